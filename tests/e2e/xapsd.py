"""The daemon as tests see it: its config, its life, its two questions.

    with Xapsd(folder, certs, apple=apple, delay="1s") as x:
        x.register("alice", ACCOUNT, TOKEN, ["INBOX"])
        assert x.notify("alice", "INBOX").status == 200

Environment: XAPSD is the executable (default ./xapsd of this tree), XAPSD_WRAP
a command to put in front of it, such as valgrind.  Leaving the `with` asserts
that the daemon lived until then, ends with status 0 on SIGTERM, and that
neither a sanitizer nor valgrind had anything to say."""

import contextlib
import fcntl
import http.client
import json
import os
import pathlib
import pty
import re
import shlex
import signal
import socket
import struct
import subprocess
import termios
import time
import weakref

from ports import free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
START_S = 30    # valgrind on a busy machine
STOP_S = 30     # SIGTERM may take 5 s to finish what is under way
TIMEOUT_S = 20
POLL_S = 0.005
SILENT = re.compile(r"loglevel\W+(fatal|error|warn)|--syslog", re.I)
COMPLAINT = re.compile(
    r"AddressSanitizer|LeakSanitizer|UndefinedBehaviorSanitizer"
    r"|runtime error:|^==\d+== ", re.M)


class Failed(AssertionError):
    """The daemon did not do what a test may rely on."""


class Reply:
    def __init__(self, status, body, headers=None):
        self.status, self.body = status, body
        self.headers = headers or {}

    def __repr__(self):
        return "<%d %r>" % (self.status, self.body)


class UnixHTTPConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def executable():
    return os.environ.get("XAPSD") or str(ROOT / "xapsd")


def is_instrumented():
    """Under a sanitizer or valgrind, whose memory and time say nothing."""
    return "XAPSD_WRAP" in os.environ or \
        b"__asan_init" in pathlib.Path(executable()).read_bytes()


def loopback_name():
    """localhost, or its address where no /etc/hosts knows the name."""
    try:
        socket.getaddrinfo("localhost", None, socket.AF_INET)
        return "localhost"
    except OSError:
        return "127.0.0.1"


def token_key(certs):
    """Config lines that make a token key the identity."""
    return {"keyFileP8": certs.p8, "keyFileKeyId": certs.key_id,
            "keyFileTeamId": certs.team_id, "keyFileTopic": certs.key_topic}


def certificate(certs):
    return {"certificateFilePem": certs.client}


def tls_listener(certs, **more):
    """Config lines of a TLS listener."""
    return {"tlsPort": free_port(), "tlsCertfile": certs.server,
            "tlsKeyfile": certs.server, **more}


def remove_clock(pid):
    """What is left of libfaketime: a later process of the same number
    would not start."""
    for name in ("faketime_shm_%d", "sem.faketime_sem_%d"):
        pathlib.Path("/dev/shm", name % pid).unlink(missing_ok=True)


def registration(user, account, token, mailboxes):
    """What Dovecot says of a phone."""
    return {"ApsAccountId": account, "ApsDeviceToken": token,
            "ApsSubtopic": "com.apple.mobilemail", "Username": user,
            "Mailboxes": list(mailboxes)}


class Xapsd:
    """identity: token_key or certificate above (or a dict of such lines).
    apple: an Apple, or anything with a port; None: a port where nobody is.
    tcp: also listen on 127.0.0.1.  config: keys over the defaults here; None
    takes a default out."""

    everyone = weakref.WeakSet()    # of this test

    def __init__(self, folder, certs, apple=None, identity=token_key,
                 tcp=False, args=(), wait=True, **config):
        self.folder = pathlib.Path(folder)
        self.certs, self.apple = certs, apple
        self.socket_path = str(self.folder / "xapsd.sock")
        self.database = self.folder / "database.json"
        self.log_path = self.folder / "xapsd.log"
        self.config_path = self.folder / "xapsd.yaml"
        self.port = free_port() if tcp else 0
        self.args = list(args)
        self.wait = wait
        self.process = None
        self.log_start = 0
        self._kept = {}
        self.everyone.add(self)
        self.config = {
            "loglevel": "debug",
            "databaseFile": str(self.database),
            "socketPath": self.socket_path,
            "socketMode": "0666",   # Dovecot's mail users
            "listenAddr": "127.0.0.1",
            "port": self.port,
            "apnsHost": loopback_name(),
            "apnsPort": apple.port if apple else free_port(),
            "apnsCaFile": certs.ca,
            "delay": "1s",
            "retryMin": "100ms",
            "retryMax": "1s",
        }
        self.config.update(
            identity(certs) if callable(identity) else identity)
        self.config.update(config)

    # --- life ---

    def write_config(self):
        lines = ["%s: %s\n" % (key, "'%s'" % str(value).replace("'", "''"))
                 for key, value in self.config.items() if value is not None]
        self.config_path.write_text("".join(lines))

    def command(self, *args):
        wrap = shlex.split(os.environ.get("XAPSD_WRAP", ""))
        return [*wrap, executable(), "-c", str(self.config_path), *args]

    def start(self):
        if not os.access(executable(), os.X_OK):
            raise Failed("there is no %s: run `make`" % executable())
        self.write_config()
        self.log_start = self.log_size()
        env = dict(os.environ)
        env.pop("NOTIFY_SOCKET", None)
        env.pop("JOURNAL_STREAM", None)
        with open(self.log_path, "ab") as log:
            # a session of its own: Ctrl-C in a terminal is not for it
            self.process = subprocess.Popen(
                self.command(*self.args), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, env=env, start_new_session=True)
        if self.wait:
            self.wait_until(self.is_ready, "the daemon's socket", START_S)
        return self

    def is_ready(self):
        if self.process.poll() is not None:
            raise Failed("xapsd ended at start with status %d:\n%s" % (
                self.process.returncode, self.log(self.log_start)))
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(self.socket_path)
            if self.port:
                socket.create_connection(("127.0.0.1", self.port), 5).close()
        except OSError:
            return False
        # A connection waits in the kernel while the store is still read: the
        # start is over when the daemon says so, if it says anything.
        return " started: " in self.log(self.log_start) or self.is_silent()

    def is_silent(self):
        """Whether nothing below a warning is logged, or not to stderr."""
        path = self.config_path
        text = path.read_text() if path.exists() else ""
        return bool(SILENT.search(" ".join([text, *self.args])))

    def wait_until(self, condition, what, timeout=TIMEOUT_S):
        end = time.monotonic() + timeout
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > end:
                raise Failed("no %s within %g s; the log:\n%s" % (
                    what, timeout, self.log(self.log_start)[-3000:]))
            time.sleep(POLL_S)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def assert_alive(self):
        if not self.alive():
            raise Failed("xapsd died with status %s:\n%s" % (
                self.process and self.process.returncode,
                self.log(self.log_start)[-3000:]))

    def stop(self, signo=signal.SIGTERM):
        """Ends it as an init system would; it must go willingly."""
        if self.process is None:
            return
        self.drop_kept()
        process, self.process = self.process, None
        died = process.poll()
        if died is None:
            process.send_signal(signo)
        try:
            status = process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise Failed("xapsd did not end within %d s" % STOP_S) from None
        remove_clock(process.pid)
        log = self.log(self.log_start)
        if died is not None:
            raise Failed("xapsd died with status %d:\n%s" % (died, log))
        if COMPLAINT.search(log):
            raise Failed("a sanitizer or valgrind complains:\n" + log)
        if status != 0:
            raise Failed("xapsd ended with status %d:\n%s" % (status, log))

    def restart(self):
        self.stop()
        return self.start()

    def kill(self):
        """As a power cut: SIGKILL, no questions."""
        process, self.process = self.process, None
        if process:
            self.drop_kept()
            process.kill()
            process.wait()
            remove_clock(process.pid)

    @contextlib.contextmanager
    def stopped(self):
        """SIGSTOP: it finds all that happens meanwhile at once."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            self.wait_until(lambda: self.state() == "T", "its stop")
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.kill()
            raise

    def __exit__(self, kind, *rest):
        try:
            self.stop()
        except Failed:
            if kind is None:    # else the test's own failure says more
                raise

    def run(self, *args, timeout=60):
        """A run that ends by itself (check, list, a broken config)."""
        self.write_config()
        return subprocess.run(
            self.command(*args), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=timeout)

    def on_terminal(self, *args, columns=60, ends=0, errors=False, **env):
        """What a command prints on a terminal of so many columns, with its
        errors or without.  ends: its exit status; None: any."""
        leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ,
                    struct.pack("HHHH", 24, columns, 0, 0))
        process = subprocess.Popen(
            self.command(*args), stdin=subprocess.DEVNULL, stdout=follower,
            stderr=follower if errors else subprocess.DEVNULL,
            env={**os.environ, "TERM": "xterm", **env})
        os.close(follower)
        text = b""
        while True:
            try:
                more = os.read(leader, 65536)
            except OSError:     # all have closed it
                break
            if not more:
                break
            text += more
        os.close(leader)
        assert process.wait() == ends or ends is None
        return text.decode().replace("\r\n", "\n")

    # --- what it says and needs ---

    def log(self, start=0):
        try:
            with open(self.log_path, "rb") as f:
                f.seek(start)
                return f.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def log_size(self):
        try:
            return self.log_path.stat().st_size
        except FileNotFoundError:
            return 0

    def wait_log(self, pattern, timeout=TIMEOUT_S, start=None):
        """Waits for a match in the log since this start (or `start`, of
        log_size())."""
        start = self.log_start if start is None else start
        return self.wait_until(
            lambda: re.search(pattern, self.log(start), re.M),
            "log line %r" % pattern, timeout)

    def rss_kib(self):
        """Resident memory, by /proc."""
        return self.memory_kib("VmRSS")

    def rss_peak_kib(self):
        return self.memory_kib("VmHWM")

    def memory_kib(self, field):
        text = pathlib.Path("/proc/%d/status" % self.process.pid).read_text()
        return int(re.search(r"^%s:\s+(\d+) kB" % field, text, re.M)[1])

    def switches(self):
        """How often it has stopped running so far."""
        text = pathlib.Path("/proc/%d/status" % self.process.pid).read_text()
        return sum(map(int, re.findall(r"^\w+_ctxt_switches:\s+(\d+)", text,
                                       re.M)))

    def state(self):
        """As in /proc: S sleeps, R runs or waits for a processor, T is
        stopped."""
        text = pathlib.Path("/proc/%d/status" % self.process.pid).read_text()
        return re.search(r"^State:\s+(\w)", text, re.M)[1]

    def wait_asleep(self, seconds=1):
        """Until it has slept so long at a stretch: nothing woke it."""
        seen, since = -1, 0

        def asleep():
            nonlocal seen, since
            before, seen = seen, self.switches()
            if seen != before or self.state() != "S":
                since = time.monotonic()
            return time.monotonic() - since >= seconds

        self.wait_until(asleep, "%g s of sleep" % seconds)

    def wait_still(self):
        """Until nothing is under way: Apple has answered all pushes, no name is
        looked up in a thread."""
        self.wait_until(lambda: self.status()["inFlight"] == 0, "answers")
        self.wait_until(lambda: self.state() == "S" and len(os.listdir(
            "/proc/%d/task" % self.process.pid)) == 1, "sleep")

    def cpu_s(self):
        """User and system time used so far."""
        text = pathlib.Path("/proc/%d/stat" % self.process.pid).read_text()
        fields = text.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def open_files(self):
        return len(os.listdir("/proc/%d/fd" % self.process.pid))

    # --- what Dovecot says to it ---

    def _connection(self, tcp):
        if tcp:
            return http.client.HTTPConnection(
                "127.0.0.1", self.port, timeout=TIMEOUT_S)
        return UnixHTTPConnection(self.socket_path, TIMEOUT_S)

    def drop_kept(self):
        for connection in self._kept.values():
            connection.close()
        self._kept.clear()

    def request(self, method, path, body=None, headers=None, tcp=False,
                keep=False):
        """One HTTP request; keep: over a connection that stays open."""
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        all_headers = {"Content-Type": "application/json"} if body else {}
        all_headers.update(headers or {})
        connection = self._kept.get(tcp) if keep else None
        connection = connection or self._connection(tcp)
        if keep:
            self._kept[tcp] = connection
        try:
            connection.request(method, path, body, all_headers)
            response = connection.getresponse()
            text = response.read().decode("utf-8", "surrogateescape")
            return Reply(response.status, text, dict(response.getheaders()))
        finally:
            if not keep:
                connection.close()

    def post_register(self, user, account, token, mailboxes=("INBOX",),
                      acked=True, tcp=False, keep=False, **more):
        """The bare question; see register()."""
        fields = registration(user, account, token, mailboxes)
        if acked is not None:
            fields["MailboxesAcknowledged"] = acked
        fields.update(more)
        return self.request("POST", "/register", fields, tcp=tcp, keep=keep)

    def register(self, *args, **kwargs):
        """Registers a device; must succeed.  Returns the topic."""
        reply = self.post_register(*args, **kwargs)
        assert reply.status == 200, reply
        return reply.body

    def notify(self, user, mailbox="INBOX", events=("MessageNew",), tcp=False,
               keep=False):
        return self.request(
            "POST", "/notify", {"Username": user, "Mailbox": mailbox,
                                "Events": list(events)}, tcp=tcp, keep=keep)

    def status(self):
        return json.loads(self.request("GET", "/status").body)

    def records(self):
        """The lines of the registrations file."""
        return [json.loads(line) for line in
                self.database.read_text().splitlines()]
