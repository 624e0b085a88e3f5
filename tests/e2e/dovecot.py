"""A private Dovecot for tests and the demo.

    with Dovecot(tmpdir, plugin_dir, {"url": "unix:/x/xapsd.sock"}) as d:
        with d.imap("alice") as c:
            untagged, tagged = c.cmd("CAPABILITY")
        d.deliver("alice", "Subject: hello\\n\\nHello.\\n")
        print(d.imap_port, d.lmtp_socket, d.log())

Nothing of the system's Dovecot is read or written: own directories, own port,
own modules directory (the system's modules by symlink, ours by copy).  Works
as root and as an ordinary user.  Dovecot's version decides the form of the
configuration, see CONFIG.
"""
import ctypes
import grp
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import time
import zlib

from ports import free_port

PASSWORD = "secret"
MAIL_UID = 10000  # when started as root; Dovecot does no mail as root
START_S = 30
STOP_S = 60     # valgrind on a busy machine; what waits for an answer
WAIT_S = 30     # how long a failure takes to be one
LATE_S = 2      # what a busy machine may add: what is wrong takes longer
# For the daemon's answer, where no test is about that time: the plugin's
# default of a second is less than a thread of a busy machine may be late.
ANSWER_MS = 30000
PR_SET_CHILD_SUBREAPER = 36
ENDED = "Disconnected|Connection closed|Logged out"     # 2.3.13, the others


class DovecotError(Exception):
    pass


def wait_for(condition, limit_s=WAIT_S, what="condition"):
    """Returns what the condition returned, once it is true."""
    end = time.monotonic() + limit_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"no {what} within {limit_s} s")
        time.sleep(0.01)


def least(measure, limit, tries=30):
    """The least of what measure() returned.  A busy machine only adds, so
    it is called again while none was below the limit."""
    took = []
    while not took or (min(took) >= limit and len(took) < tries):
        took.append(measure())
    return min(took)


def dovecot_config():
    """The installed dovecot-config: dovecot_pkglibdir, ..."""
    for path in ("/usr/lib/dovecot/dovecot-config",
                 "/usr/lib64/dovecot/dovecot-config",
                 "/usr/local/lib/dovecot/dovecot-config"):
        if os.path.exists(path):
            break
    else:
        return {"dovecot_pkglibexecdir": "/usr/lib/dovecot",
                "dovecot_moduledir": "/usr/lib/dovecot/modules"}
    text = pathlib.Path(path).read_text()
    return {key: value.strip("\"' ") for key, value in
            re.findall(r"^(\w+)=(.*)$", text, re.M)}


def find_program(name):
    for folder in (*os.environ.get("PATH", "").split(":"),
                   "/usr/sbin", "/usr/local/sbin"):
        path = os.path.join(folder, name)
        if folder and os.access(path, os.X_OK):
            return path
    raise DovecotError(f"{name} is not installed")


def version():
    """(2, 3, 19) or so."""
    out = subprocess.run([find_program("dovecot"), "--version"],
                         capture_output=True, text=True, check=True).stdout
    return tuple(int(n) for n in re.match(r"[\d.]+", out)[0].split(".")[:3])


# --- configuration, a function for each line of Dovecot ---

def namespace(name, *, path=None, layout=None, driver="maildir", **lines):
    """A namespace in the form of this Dovecot.  prefix and path of a shared
    one hold USER and HOME for the name and the home of the owner."""
    old = version()[:2] == (2, 3)
    for key in set(lines) & {"prefix", "alias_for"}:
        lines[key] = lines[key].replace("USER", "%%u" if old else "$user")
    if path is not None:
        path = path.replace("USER", "%%u" if old else "%{owner_user}")
        path = path.replace("HOME", "%%h" if old else "%{owner_home}")
    if old and path is not None:
        lines["location"] = f"{driver}:{path}" + (
            f":LAYOUT={layout}" if layout else "")
    elif path is not None:
        lines.update(mail_driver=driver, mail_path=path)
        if layout:
            lines["mailbox_list_layout"] = layout
    text = "".join(f"  {k} = {v}\n" for k, v in lines.items())
    return f"namespace {name} {{\n{text}}}\n"


INBOX = dict(inbox="yes", separator="/")

SERVICES = """
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap_port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service imap {{
  process_limit = 64
}}
service lmtp {{
  unix_listener lmtp {{
    mode = 0666
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
  {no_chroot}
}}
service anvil {{
  {no_chroot}
}}
"""

ORDINARY_USER = """
default_internal_user = {user}
default_login_user = {user}
default_internal_group = {group}
first_valid_uid = 1
first_valid_gid = 1
service dict {{
  user = {user}
}}
"""


def plugin_2_3(d):
    """What 90-xaps-2.3.conf does, with the settings of a test."""
    ours = "notify push_notification xaps_push_notification"
    xaps = " ".join(f"{k}={v}" for k, v in d.xaps_settings.items())
    return f"""
protocol imap {{
  mail_plugins = $mail_plugins {ours} xaps_imap
}}
protocol lmtp {{
  mail_plugins = $mail_plugins {ours}
}}
protocol lda {{
  mail_plugins = $mail_plugins {ours}
}}
plugin {{
  push_notification_driver = {d.driver}
  {f"xaps_config = {xaps}" if xaps else ""}
}}
"""


def config_2_3(d):
    return f"""
base_dir = {d.dir}/base
state_dir = {d.dir}/state
log_path = {d.log_path}
mail_fsync = never
mail_debug = {"yes" if d.debug else "no"}
protocols = imap lmtp
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
mail_plugin_dir = {d.modules}
mail_plugins = {d.mail_plugins}
mail_location = maildir:~/Maildir
recipient_delimiter = +
lmtp_save_to_detail_mailbox = yes
lda_mailbox_autocreate = yes
postmaster_address = postmaster@example.org
hostname = test.example.org
mail_max_userip_connections = 200
passdb {{
  driver = static
  args = password={PASSWORD}
}}
userdb {{
  driver = static
  args = uid={d.uid} gid={d.gid} home={d.home}/%u allow_all_users=yes {
      " ".join(f"{k}={v}" for k, v in d.userdb.items())}
}}
{d.namespaces}
"""


SETTINGS_2_4 = {"url": "xaps_url = {}", "user_lookup": "xaps_user_lookup = {}",
                "timeout_msecs": "xaps_timeout = {}ms",
                "register_timeout_msecs": "xaps_register_timeout = {}ms",
                "visits": "xaps_visits = {}",
                "webpush": "xaps_webpush = {}",
                "deltachat": "xaps_deltachat = {}",
                "max_retries": ""}  # not to be set in 2.4


def plugin_2_4(d):
    def load(protocol, *plugins):
        lines = "\n".join(f"    {p} = yes" for p in plugins)
        return f"protocol {protocol} {{\n  mail_plugins {{\n{lines}\n  }}\n}}\n"

    ours = ("notify", "push_notification", "xaps_push_notification")
    return load("imap", *ours, "xaps_imap") + load("lmtp", *ours) + \
        load("lda", *ours) + f"""
push_notification {d.driver} {{
  driver = {d.driver}
}}
""" + "".join(SETTINGS_2_4[k].format(v) + "\n"
              for k, v in d.xaps_settings.items())


def config_2_4(d):
    def lines(values, indent):
        return "\n".join(" " * indent + f"{k} = {v}" for k, v in values)

    return f"""
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
base_dir = {d.dir}/base
state_dir = {d.dir}/state
log_path = {d.log_path}
mail_fsync = never
{"log_debug = category=push-notification OR category=http-client"
    if d.debug else ""}
protocols {{
  imap = yes
  lmtp = yes
}}
listen = 127.0.0.1
ssl = no
auth_allow_cleartext = yes
mail_plugin_dir = {d.modules}
mail_plugins {{
{lines(((p, "yes") for p in d.mail_plugins.split()), 2)}
}}
mail_driver = maildir
mail_path = ~/Maildir
mail_home = {d.home}/%{{user}}
mail_uid = {d.uid}
mail_gid = {d.gid}
recipient_delimiter = +
lmtp_save_to_detail_mailbox = yes
lda_mailbox_autocreate = yes
postmaster_address = postmaster@example.org
hostname = test.example.org
mail_max_userip_connections = 200
passdb static {{
  password = {PASSWORD}
}}
userdb static {{
  allow_all_users = yes
  fields {{
    uid = {d.uid}
    gid = {d.gid}
    home = {d.home}/%{{user}}
{lines(d.userdb.items(), 4)}
  }}
}}
{d.namespaces}
"""


# Dovecot's version: all but the plugin, the plugin, its sample.
CONFIG = {(2, 3): (config_2_3, plugin_2_3, "90-xaps-2.3.conf"),
          (2, 4): (config_2_4, plugin_2_4, "90-xaps-2.4.conf")}
PLUGIN_SOURCE = pathlib.Path(__file__).parents[2] / "plugin"


# --- the server ---

class Dovecot:
    """tmpdir: a directory that every user may enter; a folder is made in it.
    plugin_dir: where our built modules are; None for a Dovecot without them.
    xaps_settings: url, user_lookup, timeout_msecs, ...; empty for defaults.
    namespaces: what namespace() made, instead of a plain one with the INBOX.
    extra: more lines for the end of dovecot.conf.
    userdb: more userdb fields; values may hold %u.
    mail_plugins: more of Dovecot's own, such as acl.
    sample: the plugin is configured by the sample that we install, as it is.
    plugin_conf: lines that configure the plugin instead of all these.
    prefix: a command in front of dovecot, which must exec it."""

    def __init__(self, tmpdir, plugin_dir, xaps_settings=None, *, extra="",
                 userdb=None, driver="xaps", mail_plugins="", sample=False,
                 plugin_conf=None, prefix=(), debug=False, namespaces=None):
        self.dir = pathlib.Path(tmpdir) / "dovecot"
        self.plugin_dir = plugin_dir
        self.xaps_settings = dict(xaps_settings or {})
        self.extra = extra
        self.userdb = dict(userdb or {})
        self.driver = driver
        self.mail_plugins = mail_plugins
        self.sample = sample
        self.plugin_conf = plugin_conf
        self.namespaces = namespaces or namespace("inbox", **INBOX)
        self.prefix = prefix
        self.view = ()      # a command in front of what reads the config
        self.debug = debug
        self.modules = self.dir / "modules"
        self.home = self.dir / "home"
        self.conf = self.dir / "dovecot.conf"
        self.log_path = self.dir / "dovecot.log"
        self.lmtp_socket = str(self.dir / "base" / "lmtp")
        self.imap_port = None
        self.process = None
        self.stops = []     # parts of the log written while it was stopping
        root = os.getuid() == 0
        self.uid = MAIL_UID if root else os.getuid()
        self.gid = MAIL_UID if root else os.getgid()
        self.install = dovecot_config()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.stop()

    # -- start and stop --

    def start(self):
        self._make_folders()
        for _ in range(20):
            self.imap_port = free_port()
            self.write_config()
            begin = self.log_size()
            try:
                self._start_once()
                return
            except OSError:  # somebody else took the port meanwhile
                self.stop()
                self.stops[-1] = (begin, self.log_size())
        raise DovecotError("no free port")

    def stop(self):
        process, self.process = self.process, None
        if process is None:
            return
        start = self.log_size()
        process.terminate()
        try:  # and what is left of it, all in our own group
            process.wait(STOP_S)
            wait_for(lambda: self._group_ended(process.pid), STOP_S)
        except (subprocess.TimeoutExpired, TimeoutError):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise DovecotError(f"not ended within {STOP_S} s") from None
        finally:
            self.stops.append((start, self.log_size()))
            self._remove_semaphores()

    def _remove_semaphores(self):
        """The plugin's, see xaps-log.c and xaps-health.c."""
        for name in ("base", "base/xaps-health"):
            key = zlib.crc32(f"{self.dir}/{name}".encode()) & 0x7fffffff | 1
            if shutil.which("ipcrm"):
                subprocess.run(["ipcrm", "-S", hex(key)], capture_output=True)

    def reload(self):
        """Takes a changed configuration for new sessions."""
        self.write_config()
        self.process.send_signal(signal.SIGHUP)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def log(self):
        try:
            return self.log_path.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def wait_log(self, pattern, limit_s=WAIT_S, start=0):
        """Waits for a line that matches; start as from log_size()."""
        try:
            return wait_for(lambda: re.search(pattern, self.log()[start:]),
                            limit_s, f"log line {pattern!r}")
        except TimeoutError as e:
            raise TimeoutError(f"{e}:\n{self.log()[start:][-3000:]}") from None

    def log_size(self):
        return len(self.log())

    def errors(self, start=0):
        """The log's lines of errors.  A visit is told for a second only: that
        a busy machine did not answer in time is no error of a test."""
        return re.findall(r".*Error: (?!.*visit not reported: .* gave no "
                          r"answer within).*", self.log()[start:])

    def sessions(self, user):
        """The processes of the user's IMAP sessions that have ended; all that
        they have logged is in the log by then."""
        return re.findall(rf"imap\({user}\)<(\d+)>.*(?:{ENDED})", self.log())

    def wait_sessions(self, user, n):
        """Until n of them have ended."""
        return wait_for(lambda: len(pids := self.sessions(user)) >= n and pids,
                        what=f"{n} ended sessions of {user}")

    def trouble(self, start=0):
        """The log's lines of crashes and leaks; start as from log_size().
        A process that Dovecot starts in the moment when it is told to stop
        finds the socket of its configuration closed: Fatal, but no fault; nor
        is a port in use, for which another one is taken."""
        crash = ("Panic|backtrace|killed with|leaked|not unref|"
                 "core dump(?!s disabled)")
        log, lines = self.log(), []
        for stop, end in (*self.stops, (len(log), len(log))):
            lines += re.findall(f".*(?:Fatal|{crash}).*", log[start:stop])
            lines += re.findall(f".*(?:{crash}).*", log[max(start, stop):end])
            start = max(start, end)
        return lines

    def _make_folders(self):
        if len(self.lmtp_socket) > 80:  # sun_path holds 108
            raise DovecotError(f"too long for sockets: {self.dir}")
        for folder in (self.dir, self.dir / "base", self.dir / "state",
                       self.modules, self.home):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o755)
        os.chown(self.home, self.uid, self.gid)
        for folder in self.dir.parents if os.getuid() == 0 else ():
            if not folder.stat().st_mode & 0o001:
                raise DovecotError(f"mail users may not enter {folder}")
        for path in pathlib.Path(
                self.install["dovecot_moduledir"]).glob("*"):
            link = self.modules / path.name
            if "xaps" not in path.name and not link.exists():
                link.symlink_to(path)
        if self.plugin_dir is not None:
            self._copy_modules()

    def _copy_modules(self):
        # Copied, since mail users may not enter our build directory.
        ours = sorted(pathlib.Path(self.plugin_dir).glob("lib*_plugin.so"))
        if not ours:
            raise DovecotError(f"no modules in {self.plugin_dir}")
        if version() >= (2, 4):
            self._settings_module()
        for path in ours:
            shutil.copy(path, self.modules / path.name)
            (self.modules / path.name).chmod(0o644)

    def _settings_module(self):
        """2.4's config process looks for it in one folder only.  Where it is
        not installed, a copy of that folder with it is mounted there, for our
        own Dovecot's eyes only."""
        name = "lib95_xaps_settings.so"
        folder = pathlib.Path(self.install["dovecot_moduledir"], "settings")
        built = pathlib.Path(self.plugin_dir, name)
        if (folder / name).exists():
            return
        if not folder.is_dir() or not built.exists():
            raise DovecotError(f"{folder / name} must be installed: "
                               "make install")
        ours = self.dir / "settings"
        shutil.copytree(folder, ours, dirs_exist_ok=True)
        shutil.copy(built, ours)
        script = 'mount --bind "$0" "$1" && shift && exec "$@"'
        how = ["unshare", "--mount"]
        if os.getuid() != 0:
            how += ["--user", "--map-current-user", "--keep-caps"]
            script = script.replace(
                "exec", "exec setpriv --inh-caps=-all --ambient-caps=-all")
        self.view = [*how, "sh", "-c", script, str(ours), str(folder)]

    def write_config(self):
        try:
            base, plugin, sample = CONFIG[version()[:2]]
        except KeyError:
            raise DovecotError(f"Dovecot {version()} is not known here")
        root = os.getuid() == 0
        text = base(self) + SERVICES.format(
            imap_port=self.imap_port, no_chroot="" if root else "chroot =")
        if not root:
            text += ORDINARY_USER.format(
                user=pwd.getpwuid(self.uid).pw_name,
                group=grp.getgrgid(self.gid).gr_name)
        if self.plugin_conf is not None:
            text += self.plugin_conf
        elif self.sample:
            text += (PLUGIN_SOURCE / sample).read_text()
        elif self.plugin_dir is not None:
            text += plugin(self)
        self.conf.write_text(f"{text}\n{self.extra}\n")

    def _start_once(self):
        start = self.log_size()
        # Orphans of its master are ours: no init that reaps late is waited for.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        self.process = subprocess.Popen(
            [*self.prefix, *self.view, find_program("dovecot"), "-F",
             "-c", str(self.conf)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, start_new_session=True)
        wait_for(lambda: self._ready(start), START_S, "start of Dovecot")

    def _ready(self, start):
        if self.process.poll() is not None:
            why = self.process.stderr.read().decode(errors="replace")
            why += self.log()[start:]
            if "Address already in use" in why:
                raise OSError(why)
            raise DovecotError(f"Dovecot ended: {why}")
        if not os.path.exists(self.lmtp_socket):
            return False
        try:
            with socket.create_connection(("127.0.0.1", self.imap_port),
                                          2) as s:
                return s.recv(4) == b"* OK"
        except OSError:
            return False

    @staticmethod
    def _group_ended(pgid):
        try:
            while os.waitpid(-pgid, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass
        try:
            os.killpg(pgid, 0)
            return False
        except ProcessLookupError:
            return True

    # -- talking to it --

    def imap(self, user=None, password=PASSWORD):
        """An IMAP connection, logged in when a user is given."""
        client = Imap(self.imap_port)
        if user is not None:
            _, tagged = client.cmd(f'LOGIN "{user}" "{password}"')
            if " OK" not in tagged:
                raise DovecotError(f"login of {user}: {tagged}")
        return client

    def deliver(self, users, text, sender="sender@example.net"):
        """Delivers by LMTP to one user or several; returns the seconds from
        the end of the message to the answer for the last recipient."""
        if isinstance(users, str):
            users = [users]
        with Lmtp(self.lmtp_socket) as lmtp:
            return lmtp.deliver(users, text, sender)

    def lda(self, user, text, limit_s=60, args=()):
        """Delivers by dovecot-lda; returns the seconds it took."""
        start = time.monotonic()
        done = subprocess.run(
            [*self.view,
             self.install["dovecot_pkglibexecdir"] + "/dovecot-lda",
             "-c", str(self.conf), "-d", user, *args],
            input=text.encode(), capture_output=True, timeout=limit_s)
        if done.returncode != 0:
            raise DovecotError(f"dovecot-lda: {done.returncode} "
                               f"{done.stderr.decode(errors='replace')}")
        return time.monotonic() - start


# --- the client's ends ---

class Line:
    """Lines over a socket, with a limit in time."""

    limit_s = 60

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(self.limit_s)
        self.file = sock.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.file.close()
        self.sock.close()

    def send(self, data):
        """Sends as it is; str as UTF-8."""
        self.sock.sendall(data.encode() if isinstance(data, str) else data)

    def readline(self):
        line = self.file.readline()
        if not line.endswith(b"\n"):
            raise ConnectionError(f"connection ended after {line!r}")
        return line.rstrip(b"\r\n").decode("utf-8", "surrogateescape")


class Imap(Line):
    def __init__(self, port):
        super().__init__(socket.create_connection(("127.0.0.1", port)))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.count = 0
        self.greeting = self.readline()

    def tag(self):
        self.count += 1
        return f"a{self.count}"

    def cmd(self, line):
        """Sends one command, without tag; -> (untagged lines, tagged)."""
        tag = self.tag()
        text = line.encode() if isinstance(line, str) else line
        self.send(tag.encode() + b" " + text + b"\r\n")
        return self.result(tag)

    def ok(self, line):
        """As cmd(), and it must be OK; -> untagged lines."""
        untagged, tagged = self.cmd(line)
        if tagged.split(" ", 2)[1] != "OK":
            raise DovecotError(f"{line}: {tagged}")
        return untagged

    def result(self, tag):
        """Reads until the tagged line -> (all before it, tagged)."""
        untagged = []
        while not (line := self.result_line()).startswith(tag + " "):
            untagged.append(line)
        return untagged, line

    def result_line(self):
        """One line, with the literals in it."""
        line = self.readline()
        while m := re.search(r"\{(\d+)\}$", line):
            data = self.file.read(int(m[1]))
            line += "\r\n" + data.decode("utf-8", "surrogateescape")
            line += self.readline()
        return line

    def append(self, mailbox, text, flags=""):
        data = text.encode()
        self.send(f"{self.tag()} APPEND {mailbox} ({flags}) "
                  f"{{{len(data)}+}}\r\n")
        self.send(data + b"\r\n")
        return self.result(f"a{self.count}")


class Lmtp(Line):
    def __init__(self, path):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(path)
        super().__init__(sock)
        self.limit_s = 90
        sock.settimeout(self.limit_s)
        self.expect("220")
        self.command("LHLO test.example.org", "250")

    def expect(self, code):
        while True:
            line = self.readline()
            if not line.startswith(code):
                raise DovecotError(f"LMTP: {line}")
            if line[3:4] != "-":
                return line

    def command(self, line, code):
        self.send(line + "\r\n")
        return self.expect(code)

    def deliver(self, users, text, sender="sender@example.net"):
        self.command(f"MAIL FROM:<{sender}>", "250")
        for user in users:
            self.command(f"RCPT TO:<{user}>", "250")
        self.command("DATA", "354")
        lines = text.replace("\r\n", "\n").split("\n")
        body = "\r\n".join("." + x if x.startswith(".") else x
                           for x in lines)
        self.send(body + "\r\n")
        self.dot_at = time.monotonic()
        self.send(".\r\n")
        for _ in users:
            self.expect("250")
        return time.monotonic() - self.dot_at
