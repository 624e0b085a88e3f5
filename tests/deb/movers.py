"""Who comes from another daemon arrives, and finds the way back: movers.py ROOT.
Three installations as those projects leave them (names, paths and shapes; the
programs are stand-ins), moved by the commands of docs/moving.md, as typed, under
a systemd that runs."""

import imaplib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
import live
import walk
from walk import ACCOUNT, TOKEN, expect, run, say, until

DOC = pathlib.Path(__file__).parents[2] / "docs/moving.md"
MODULES = "usr/lib/dovecot/modules/"
OLD_MODULES = ("lib25_xaps_imap_plugin.so",
               "lib25_xaps_push_notification_plugin.so")
GO_CONFIG = """loglevel: info
databaseFile: /var/lib/xapsd/database.json
listenAddr: '[::1]'
port: 11619
tlsCertfile:
tlsKeyfile:
tlsListenAddr:
tlsPort: 11620
checkInterval: 20
delay: 30
keyFileP8: %s
keyFileTopic: com.apple.mobilemail.push.com.example
keyFileKeyId: ABCDE12345
keyFileTeamId: TEAM123456
"""
# of the network that is not here
NOBODY = "apnsHost: 127.0.0.1\napnsPort: 1\n"
OLD_PLUGIN = """protocol imap {
  mail_plugins = $mail_plugins notify push_notification xaps_push_notification xaps_imap
}
protocol lda {
  mail_plugins = $mail_plugins notify push_notification xaps_push_notification
}
protocol lmtp {
  mail_plugins = $mail_plugins notify push_notification xaps_push_notification
}
plugin {
  %s
  push_notification_driver = %s
}
"""


class Chapter:
    """The first commands of a part of docs/moving.md, there and back."""

    def __init__(self, heading):
        text = DOC.read_text()
        expect("\n## " + heading + "\n" in text, heading + " is in " + DOC.name)
        part = text.split("\n## " + heading + "\n")[1].split("\n## ")[0]
        there, back = part.split("\n**The way back**")
        self.there, self.back = self.lines(there), self.lines(back)
        expect(0 < len(self.there) <= 10 and 0 < len(self.back) <= 10,
               "ten lines: %d, %d" % (len(self.there), len(self.back)))

    @staticmethod
    def lines(text):
        block = re.search(r"^(?: {4}\S.*\n)+", text, re.M)[0]
        return [line.strip() for line in block.splitlines()]


# apt asks nothing here, and there is no Apple
AS_TYPED = ((r"\bapt (install|purge)", "apt-get -q -y --no-install-recommends "
             "-o APT::Sandbox::User=root -o Dpkg::Use-Pty=0 \\1"),
            (r"\bxapsd check$", "xapsd check --offline"))


def type_in(lines):
    for line in lines:
        typed = line
        for pattern, by in AS_TYPED:
            typed = re.sub(pattern, by, typed)
        say("    # " + line)
        result = subprocess.run(
            [*walk.ENTER, "sh", "-c", "cd /tmp && " + typed],
            stdin=subprocess.DEVNULL, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=8 * walk.LIMIT_S)
        expect(result.returncode == 0, "%s: %d\n%s\n%s" % (
            line, result.returncode, result.stdout, journal()))


# --- what they have ---

def put(path, text, owner="root:root", mode="644"):
    file = walk.ROOT / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(text, bytes):
        file.write_bytes(text)
    else:
        file.write_text(text)
    run("chown", owner, path)
    run("chmod", mode, path)


def database(user="alice"):
    return json.dumps({
        "AppleCerts": {"Keys": None, "Signature": None},
        "Users": {user: {"Accounts": {ACCOUNT: {
            "DeviceToken": TOKEN, "Mailboxes": ["INBOX"],
            "RegistrationTime": "2026-11-26T12:42:31.5+01:00"}}}}}, indent=2)


def key():
    return subprocess.run(
        ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt",
         "ec_paramgen_curve:P-256"], check=True, capture_output=True).stdout


def push_certificate():
    """(key, certificate) as PEM."""
    folder = walk.ROOT / "tmp"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days",
         "30", "-keyout", folder / "k", "-out", folder / "c", "-subj",
         "/UID=com.apple.mail.XServer.0715a26b-ca09-4730-a419-793000ca982e"
         "/CN=APSP:0715a26b"], check=True, capture_output=True)
    return (folder / "k").read_bytes(), (folder / "c").read_bytes()


STAND_IN = "#!/bin/sh\n# stands for the other daemon\nexec sleep infinity\n"
UNIT = """[Unit]
After=network.target
[Service]
User=xapsd
Group=xapsd
ExecStart=/usr/bin/xapsd
Restart=on-failure
ReadWritePaths=/var/lib/xapsd
ProtectSystem=strict
[Install]
WantedBy=multi-user.target
"""


def old_plugin(setting, driver="xaps"):
    for name in OLD_MODULES:
        put("/" + MODULES + name, "stands for the other plugin\n")
    put("/etc/dovecot/conf.d/95-xaps.conf", OLD_PLUGIN % (setting, driver))


def from_source():
    """The Go daemon under /usr/bin with the unit of its repository."""
    put("/usr/bin/xapsd", STAND_IN, mode="755")
    put("/etc/systemd/system/xapsd.service", UNIT)
    put("/etc/sysusers.d/xapsd.conf", 'u xapsd - "xapsd" /var/lib/xapsd\n')
    put("/etc/tmpfiles.d/xapsd.conf", "d /var/lib/xapsd 755 xapsd xapsd\n")
    run("systemd-sysusers")
    run("systemd-tmpfiles", "--create", "/etc/tmpfiles.d/xapsd.conf")
    put("/etc/xapsd/xapsd.yaml", GO_CONFIG % "AuthKey_ABCDE12345.p8" + NOBODY)
    put("/etc/xapsd/AuthKey_ABCDE12345.p8", key(), "root:xapsd", "640")
    put("/var/lib/xapsd/database.json", database(), "xapsd:xapsd")
    old_plugin("xaps_config = url=http://localhost:11619 "
               "user_lookup=theattribute max_retries=6 timeout_msecs=5000")
    run("systemctl", "daemon-reload")
    run("systemctl", "enable", "--now", "xapsd")


FORK_DAEMON = {
    "control": """Package: xapsd
Version: 1.4.1
Architecture: amd64
Maintainer: nobody <nobody@example.org>
Depends: debconf (>= 0.5) | debconf-2.0
Description: stands for the forks' daemon
""",
    "postinst": """#!/bin/sh
set -e
if [ "$1" = configure ]; then
	systemd-sysusers /usr/lib/sysusers.d/xapsd.conf
	systemd-tmpfiles --create /usr/lib/tmpfiles.d/xapsd.conf
	if [ ! -e /etc/xapsd/xapsd.yaml ]; then
		install -d -o root -g xapsd -m 0750 /etc/xapsd
		install -o root -g xapsd -m 0640 /usr/share/xapsd/xapsd.yaml \\
			/etc/xapsd/xapsd.yaml
	fi
	deb-systemd-helper unmask xapsd.service >/dev/null || true
	deb-systemd-helper enable xapsd.service >/dev/null || true
	systemctl --system daemon-reload >/dev/null || true
	deb-systemd-invoke start xapsd.service >/dev/null || true
fi
""",
    "prerm": """#!/bin/sh
set -e
[ "$1" != remove ] || deb-systemd-invoke stop xapsd.service >/dev/null || true
""",
    "postrm": """#!/bin/sh
set -e
if [ "$1" = purge ]; then
	rm -f /etc/xapsd/xapsd.yaml
	rmdir --ignore-fail-on-non-empty /etc/xapsd 2>/dev/null || true
fi
""",
}
FORK_PLUGIN = {
    "control": """Package: dovecot-xaps-plugin
Version: 1.1.0-1~dov23
Architecture: amd64
Maintainer: nobody <nobody@example.org>
Depends: dovecot-core (>= 2.3.0), xapsd, libc6
Description: stands for the forks' plugin
""",
    "conffiles": "/etc/dovecot/conf.d/95-xaps.conf\n",
}


def build(name, control, files):
    folder = walk.ROOT / "root" / name
    for path, text in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755 if "/bin/" in "/" + path else 0o644)
    (folder / "DEBIAN").mkdir()
    for script, text in control.items():
        (folder / "DEBIAN" / script).write_text(text)
        if script not in ("control", "conffiles"):
            (folder / "DEBIAN" / script).chmod(0o755)
    run("dpkg-deb", "-b", "--root-owner-group", "/root/" + name,
        "/root/%s.deb" % name)


def from_packages():
    build("old-xapsd", FORK_DAEMON, {
        "usr/bin/xapsd": STAND_IN,
        "usr/share/xapsd/xapsd.yaml": GO_CONFIG % "AuthKey_ABCDE12345.p8"
        + NOBODY,
        "usr/lib/sysusers.d/xapsd.conf": "u xapsd - \"daemon\" /var/lib/xapsd "
        "/usr/sbin/nologin\n",
        "usr/lib/tmpfiles.d/xapsd.conf": "d /var/lib/xapsd 0750 xapsd xapsd -\n",
        "lib/systemd/system/xapsd.service": UNIT})
    build("old-plugin", FORK_PLUGIN, {
        **{MODULES + name: "stands for\n" for name in OLD_MODULES},
        "etc/dovecot/conf.d/95-xaps.conf": OLD_PLUGIN % (
            "xaps_url = http://[::1]:11619", "xaps:")})
    run("dpkg", "-i", "--force-confnew", "/root/old-xapsd.deb",
        "/root/old-plugin.deb")
    put("/etc/apt/sources.list.d/dovecot-xaps.list", "")
    put("/etc/xapsd/AuthKey_ABCDE12345.p8", key(), "root:xapsd", "640")
    put("/var/lib/xapsd/database.json", database(), "xapsd:xapsd")
    run("systemctl", "restart", "xapsd")


def from_a_screen():
    """The first generation: all of it in root's home, started by hand."""
    k, c = push_certificate()
    put("/root/xapsd", STAND_IN, mode="755")
    put("/root/key.pem", k, mode="600")
    put("/root/certificate.pem", c)
    put("/root/xapsd.json", json.dumps({"Users": {"alice": {"Accounts": {
        ACCOUNT: {"DeviceToken": TOKEN, "Mailboxes": ["INBOX"]}}}}}))
    old_plugin("xaps_socket = /tmp/xapsd.sock")


# --- whether it arrived ---

def dovecot():
    with open(walk.ROOT / "etc/dovecot/local.conf", "w") as f:
        f.write("mail_location = maildir:~/Maildir\nssl = no\n"
                "disable_plaintext_auth = no\n"
                "log_path = /var/log/dovecot.log\nlisten = 127.0.0.1\n")


def journal():
    return run("journalctl", "-b", "-q", "-o", "cat", "-u", "xapsd.service")


def nothing_in_the_way():
    for name in OLD_MODULES:
        expect(not (walk.ROOT / MODULES / name).exists(), name + " is gone")
    expect(run("sh", "-c", "command -v xapsd").endswith("/usr/sbin/xapsd\n"),
           "the shell finds ours")


def arrived(said="took over 1 registration of the Go daemon, skipped 0"):
    until(lambda: live.active("xapsd.service"), "xapsd\n" + journal())
    until(lambda: said in journal(), "registration: " + journal())
    expect("alice" in run("xapsd", "list"), "she is there")
    nothing_in_the_way()
    walk.use_it()
    log = (walk.ROOT / "var/log/dovecot.log").read_text()
    expect(not re.search("lib25|Permission denied|xaps: ", log), log)
    until(lambda: json.loads(run("xapsd", "status", "--json"))["queue"],
          "push in the queue")
    for name in ("etc/xapsd/xapsd.yaml", "var/lib/xapsd/database.json"):
        owner = walk.attributes("/" + name)
        expect(owner == "xapsd:xapsd 600", name + ": " + owner)


def forget():
    """All of it, for the next one."""
    for unit in ("xapsd.socket", "xapsd.service"):
        subprocess.run([*walk.ENTER, "systemctl", "disable", "--now", unit],
                       capture_output=True)
    run("sh", "-c", "dpkg --purge xapsd dovecot-xaps dovecot-xaps-plugin "
        ">/dev/null 2>&1 || true")
    for name in ("etc/xapsd", "var/lib/xapsd", "root/before"):
        shutil.rmtree(walk.ROOT / name, ignore_errors=True)
    run("sh", "-c", "rm -f /etc/dovecot/conf.d/9?-xaps.conf* /usr/bin/xapsd "
        "/tmp/xapsd_1.4* /tmp/dovecot-xaps-plugin_* "
        "/etc/systemd/system/xapsd.service /etc/tmpfiles.d/xapsd.conf "
        "/etc/sysusers.d/xapsd.conf /%s/lib25_xaps_*" % MODULES)
    run("systemctl", "daemon-reload")
    run("journalctl", "-q", "--rotate")
    run("journalctl", "-q", "--vacuum-time=1s")
    (walk.ROOT / "var/log/dovecot.log").unlink(missing_ok=True)


def is_readable_there(path):
    """By the other daemon's rules, and with the phone in it."""
    users = json.loads((walk.ROOT / path.lstrip("/")).read_text())["Users"]
    reg = users["alice"]["Accounts"][ACCOUNT]
    expect(reg["DeviceToken"] == TOKEN and "INBOX" in reg["Mailboxes"], users)


def old_is_back(unit=True):
    if unit:
        until(lambda: live.active("xapsd.service"), "the other daemon")
        expect("ExecStart={ path=/usr/bin/xapsd" in run(
            "systemctl", "show", "-p", "ExecStart", "xapsd"), "it is that one")
    for name in OLD_MODULES:
        expect((walk.ROOT / MODULES / name).exists(), name + " is back")
    ours = list((walk.ROOT / MODULES).glob("lib95_xaps*"))
    expect(not ours, "none of ours is in the way: %s" % ours)


def walk_from_source():
    say("movers: the Go daemon from source, with its unit")
    chapter = Chapter("The Go daemon, installed from source")
    from_source()
    type_in(chapter.there)
    arrived()
    type_in(chapter.back)
    old_is_back()
    is_readable_there("/var/lib/xapsd/database.json")


def walk_from_packages():
    say("movers: the forks' packages xapsd 1.4 and dovecot-xaps-plugin")
    chapter = Chapter("The packages xapsd 1.4 and dovecot-xaps-plugin")
    from_packages()
    config = (walk.ROOT / "etc/xapsd/xapsd.yaml").read_text()
    type_in(chapter.there)
    expect((walk.ROOT / "etc/xapsd/xapsd.yaml").read_text() == config,
           "the configuration is as it was")
    arrived()
    # their packages, from wherever they were got
    for name in ("old-xapsd", "old-plugin"):
        shutil.copy(walk.ROOT / ("root/%s.deb" % name), walk.ROOT / "tmp")
    os.replace(walk.ROOT / "tmp/old-xapsd.deb",
               walk.ROOT / "tmp/xapsd_1.4.1_amd64.deb")
    os.replace(walk.ROOT / "tmp/old-plugin.deb",
               walk.ROOT / "tmp/dovecot-xaps-plugin_1.1.0_amd64.deb")
    type_in(chapter.back)
    old_is_back()
    is_readable_there("/var/lib/xapsd/database.json")
    expect((walk.ROOT / "etc/xapsd/xapsd.yaml").read_text() == config,
           "and is so still")


def walk_from_a_screen():
    say("movers: the first generation in a screen")
    chapter = Chapter("The first generation, in a screen")
    from_a_screen()
    type_in(chapter.there)
    arrived("import: 1")
    type_in(chapter.back)
    old_is_back(unit=False)
    is_readable_there("/root/xapsd.json")


def keep_the_first_plugin():
    """Its socket was open to all, ours is not."""
    say("movers: the first generation's plugin and the socket")
    folder = walk.ROOT / "root/debs"
    run("dpkg", "-i", *("/root/debs/" + p.name
                        for p in folder.glob("xapsd_*.deb")))
    k, c = push_certificate()
    put("/etc/xapsd/both.pem", k + c, "xapsd:xapsd", "600")
    with open(walk.ROOT / "etc/xapsd/xapsd.yaml", "a") as f:
        f.write("certificateFilePem: both.pem\n" + NOBODY)
    run("systemctl", "stop", "xapsd.socket", "xapsd")
    run("systemctl", "start", "xapsd.socket", "xapsd")
    ask = ("use Socket; socket(S, AF_UNIX, SOCK_STREAM, 0); "
           "connect(S, sockaddr_un('/run/xapsd/xapsd.sock')) or die \"$!\\n\"; "
           "syswrite(S, \"NOTIFY dovecot-username=\\\"alice\\\"\\t"
           "dovecot-mailbox=\\\"INBOX\\\"\\r\\n\"); sysread(S, $a, 99); "
           "print $a")

    def as_a_mail_process(groups):
        result = subprocess.run(
            [*walk.ENTER, "setpriv", "--reuid", "alice", "--regid", "alice",
             *groups, "perl", "-e", ask], capture_output=True, text=True)
        return result.stdout or result.stderr

    expect("Permission denied" in as_a_mail_process(["--clear-groups"]),
           "not everybody")
    expect(as_a_mail_process(["--groups", "xapsd-mail"]).startswith("OK "),
           "the mail processes")


def main():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    holder, pid = live.boot()
    try:
        if pid is None:
            say("movers: left out, systemd cannot be process 1 here")
            return
        walk.ENTER = ["nsenter", "-t", pid, "-a", "-r", "-w/"]
        walk.ROOT = pathlib.Path("/proc/%s/root" % pid)
        os.environ.update(LC_ALL="C", DEBIAN_FRONTEND="noninteractive",
                          PATH="/usr/sbin:/usr/bin:/sbin:/bin")
        live.prepare()
        dovecot()
        put("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")
        run("systemctl", "restart", "dovecot")
        imaplib.Commands["XAPPLEPUSHSERVICE"] = ("AUTH",)
        for step in (keep_the_first_plugin, walk_from_source,
                     walk_from_packages, walk_from_a_screen):
            step()
            forget()
        say("movers: all is well")
    finally:
        holder.kill()
        holder.wait()
        until(lambda: not pid or not pathlib.Path("/proc/" + pid).exists(),
              "end")
        live.remove_cgroups()


main()
