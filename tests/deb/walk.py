"""The life of the packages in a bare Debian: walk.py ROOT, in namespaces of its
own.  Follows README's sections on Debian.  There is no systemd running: the
daemon and Dovecot are started by hand, with the package's user and paths.
live.py goes on with one."""

import imaplib
import json
import os
import pathlib
import re
import shutil
import smtplib
import socket
import subprocess
import sys
import time

sys.dont_write_bytecode = True
ROOT = pathlib.Path(sys.argv[1])
SNIPPET = ROOT / "etc/dovecot/conf.d/90-xaps.conf"
ENTER = ["chroot", ROOT]
LIMIT_S = 60    # how long a failure takes
ACCOUNT = "0715A26B-CA09-4730-A419-793000CA982E"
TOKEN = "2918390218931890821908309283098109381029309829018310983092892829"
# What a package manager writes by itself.
ITS_OWN = re.compile(
    r"^(var/lib/(dpkg|apt|systemd/deb-systemd)|var/cache|var/log|tmp|proc|dev"
    r"|root|run)(/|$)|^etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$"
    r"|^etc/\.pwd\.lock$|^var/lib/dovecot/|^var/mail/|^home/")


def run(*command, **options):
    """In the chroot; its output, or the end."""
    result = subprocess.run(
        [*ENTER, *command], text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=4 * LIMIT_S, **options)
    if result.returncode:
        sys.exit("%s: status %d\n%s" % (
            " ".join(command), result.returncode, result.stdout))
    return result.stdout


def say(what):
    print("  deb     " + what, flush=True)


def until(condition, what):
    end = time.monotonic() + LIMIT_S
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            sys.exit("no %s in %d s" % (what, LIMIT_S))
        time.sleep(0.05)


def expect(condition, what):
    if not condition:
        sys.exit("not so: " + what)


def paths():
    """Not into /proc and its like, where things come and go."""
    found = set()
    for folder, folders, files in os.walk(ROOT):
        at = os.path.relpath(folder, ROOT)
        for names in folders, files:
            names[:] = [n for n in names if not ITS_OWN.match(
                os.path.normpath(os.path.join(at, n)))]
            found.update(os.path.normpath(os.path.join(at, n)) for n in names)
    return found


def prepare():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["mount", "-t", "proc", "proc", ROOT / "proc"], check=True)
    for name in ("null", "random", "urandom"):
        if not (ROOT / "dev" / name).exists():
            subprocess.run(["cp", "-a", "/dev/" + name, ROOT / "dev"],
                           check=True)
    policy = ROOT / "usr/sbin/policy-rc.d"
    # is asked when a service is to be started: notes what it would find
    policy.write_text("#!/bin/sh\n"
                      "stat -c \"$* %U:%a\" /etc/xapsd/xapsd.yaml >>/tmp/asked\n"
                      "exit 101\n")
    policy.chmod(0o755)
    os.environ.update(DEBIAN_FRONTEND="noninteractive", LC_ALL="C",
                      PATH="/usr/sbin:/usr/bin:/sbin:/bin")
    run("useradd", "--create-home", "alice")
    run("chpasswd", input="alice:secret\n")


def install(*debs):
    """Returns what services are asked for, as if systemd were running, and what
    was printed."""
    (ROOT / "tmp/asked").unlink(missing_ok=True)
    systemd = ROOT / "run/systemd/system"
    systemd.mkdir(parents=True)
    said = run("apt-get", "-q", "-y", "--no-install-recommends",
               "-o", "APT::Sandbox::User=root", "-o", "Dpkg::Use-Pty=0",
               "-o", "Dpkg::Options::=--force-confold", "install",
               *("/tmp/" + d for d in debs))
    shutil.rmtree(ROOT / "run/systemd")
    asked = (ROOT / "tmp/asked").read_text().splitlines()
    return [a for a in asked if a.startswith("xapsd")], said


def attributes(path):
    return run("stat", "-c", "%U:%G %a", path).strip()


def check_installed():
    for path, wanted in (
            ("/etc/xapsd", "root:xapsd 750"),
            ("/etc/xapsd/xapsd.yaml", "xapsd:xapsd 600"),
            ("/var/lib/xapsd", "xapsd:xapsd 700"),
            ("/run/xapsd", "xapsd:xapsd 755"),
            ("/usr/sbin/xapsd", "root:root 755")):
        expect(attributes(path) == wanted,
               "%s is %s: %s" % (path, wanted, attributes(path)))
    expect(re.match(r"xapsd:x:\d+:\d+:[^:]*:/var/lib/xapsd:\S*nologin",
                    run("getent", "passwd", "xapsd")), "the user xapsd")
    expect(sorted(run("id", "-nG", "xapsd").split()) == ["xapsd", "xapsd-mail"],
           "xapsd may give its socket to xapsd-mail")
    for unit, target in (("xapsd.service", "multi-user"),
                         ("xapsd.socket", "sockets")):
        expect((ROOT / "etc/systemd/system" / (target + ".target.wants") / unit)
               .is_symlink(), unit + " is on")
    listed = run("dpkg", "-L", "xapsd")
    expect("lib95_xaps" not in listed, "two packages")
    for name in ("bash-completion/completions/xapsd",
                 "zsh/vendor-completions/_xapsd"):
        expect("/usr/share/" + name in listed.split(), name)


def configure(install_key):
    """As the README says, up to the starts."""
    key = subprocess.run(
        ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt",
         "ec_paramgen_curve:P-256"], check=True, capture_output=True).stdout
    (ROOT / "root/AuthKey_ABCDE12345.p8").write_bytes(key)
    run("install", *install_key.split(), "/root/AuthKey_ABCDE12345.p8",
        "/etc/xapsd/")
    with open(ROOT / "etc/xapsd/xapsd.yaml", "a") as f:
        f.write("keyFileP8: AuthKey_ABCDE12345.p8\n"
                "keyFileKeyId: ABCDE12345\nkeyFileTeamId: TEAM123456\n"
                "keyFileTopic: com.apple.mobilemail.push.com.example\n"
                # none: there is no network here
                "apnsHost: 127.0.0.1\napnsPort: 1\n")
    shutil.copy(ROOT / "usr/share/doc/dovecot-xaps/examples/90-xaps.conf", SNIPPET)
    run("sed", "-i", "s/^#mail_access/mail_access/",
        "/etc/dovecot/conf.d/90-xaps.conf")
    with open(ROOT / "etc/dovecot/local.conf", "w") as f:
        f.write("mail_location = maildir:~/Maildir\nssl = no\n"
                "disable_plaintext_auth = no\n"
                "log_path = /var/log/dovecot.log\nlisten = 127.0.0.1\n"
                # a busy machine; 0.1.0 tries a registration no longer
                "plugin {\n  xaps_config = timeout_msecs=20000\n}\n")
    run("doveconf", "-n")


def start_dovecot():
    # it keeps its output open
    subprocess.run(["chroot", ROOT, "dovecot"], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def is_open(port):
    try:
        socket.create_connection(("127.0.0.1", port), LIMIT_S).close()
        return True
    except ConnectionRefusedError:
        return False


def stop_dovecot():
    """Which goes on for a moment: until the next one can take its place."""
    run("doveadm", "stop")
    until(lambda: not (ROOT / "run/dovecot/master.pid").exists()
          and not is_open(143), "end of Dovecot")


def unconfigure():
    stop_dovecot()
    for path in (SNIPPET, ROOT / "etc/dovecot/local.conf",
                 ROOT / "var/log/dovecot.log"):
        path.unlink()


class Daemon:
    """As the unit starts it; with sockets by xapsd.socket, or its own."""

    def __init__(self, activated=False):
        self.log = open(ROOT / "var/log/xapsd.log", "a+")
        start = len(self.text())
        command = ["chroot", ROOT, "setpriv", "--reuid", "xapsd", "--regid",
                   "xapsd", "--init-groups", "--inh-caps", "-all"]
        daemon = ["xapsd", "-c", "/etc/xapsd/xapsd.yaml"]
        if activated:
            command[2:2] = ["systemd-socket-activate", "-l",
                            "/run/xapsd/xapsd.sock"]
        self.process = subprocess.Popen(command + daemon, stdout=self.log,
                                        stderr=self.log)
        if activated:
            self.as_the_socket_unit_says()
        # its owner and mode come a moment after the socket itself
        until(lambda: activated or self.process.poll() is not None
              or " started: " in self.text()[start:], "start of xapsd")
        expect(self.process.poll() is None, self.text())

    @staticmethod
    def as_the_socket_unit_says():
        until((ROOT / "run/xapsd/xapsd.sock").exists, "socket")
        unit = next(ROOT.glob("*lib/systemd/system/xapsd.socket")).read_text()
        says = dict(re.findall("^(Socket[A-Z]\\w+)=(.*)", unit, re.M))
        run("chown", "%(SocketUser)s:%(SocketGroup)s" % says,
            "/run/xapsd/xapsd.sock")
        run("chmod", says["SocketMode"], "/run/xapsd/xapsd.sock")

    def text(self):
        return (ROOT / "var/log/xapsd.log").read_text()

    def stop(self):
        self.process.terminate()
        expect(self.process.wait(LIMIT_S) == 0, self.text())
        self.log.close()
        (ROOT / "run/xapsd/xapsd.sock").unlink(missing_ok=True)


def use_it():
    """A phone registers, a mail comes."""
    imap = imaplib.IMAP4("127.0.0.1", 143, LIMIT_S)
    imap.login("alice", "secret")
    expect("XAPPLEPUSHSERVICE" in imap.capabilities or
           b"XAPPLEPUSHSERVICE" in imap.capability()[1][0], "the capability")
    imaplib.Commands["XAPPLEPUSHSERVICE"] = ("AUTH",)
    status, _ = imap.xatom(
        "XAPPLEPUSHSERVICE", "aps-version", "2", "aps-account-id", ACCOUNT,
        "aps-device-token", TOKEN, "aps-subtopic", "com.apple.mobilemail",
        "mailboxes", "(INBOX)")
    expect(status == "OK", "the phone is registered: %s\n%s" % (
        status, (ROOT / "var/log/dovecot.log").read_text()))
    imap.logout()
    socket.setdefaulttimeout(LIMIT_S)
    lmtp = smtplib.LMTP(str(ROOT / "run/dovecot/lmtp"))
    refused = lmtp.sendmail("bob@example.net", ["alice"],
                            "Subject: Lunch?\n\nAt noon.\n")
    expect(not refused, "the mail is delivered: %s" % refused)
    lmtp.quit()


def mail_from_a_link(path):
    """The answer to a user with a link to a file in the Maildir."""
    folder = ROOT / "home/alice/Maildir/cur"
    link = folder / "1.link:2,"
    link.symlink_to(path)
    imap = imaplib.IMAP4("127.0.0.1", 143, LIMIT_S)
    imap.login("alice", "secret")
    imap.select()
    try:
        _, parts = imap.fetch("1:*", "(BODY.PEEK[])")
    except imaplib.IMAP4.abort:     # may not be read: Dovecot hangs up
        parts = []
    imap.shutdown()
    link.unlink()
    return b"".join(p if isinstance(p, bytes) else b"".join(p)
                    for p in parts if p)


def nobody_else_reads(*paths):
    """As every mail process may be: of the user, in Dovecot's groups, and still
    in those of 0.1.0."""
    for path in paths:
        for groups in ("xapsd", "xapsd-mail"):
            result = subprocess.run(
                ["chroot", ROOT, "setpriv", "--reuid", "alice", "--regid",
                 "alice", "--groups", groups, "cat", path],
                capture_output=True)
            expect(result.returncode and not result.stdout,
                   "group %s cannot read %s" % (groups, path))


def postinst_once_more(before="0.1.0"):
    return run("env", "DPKG_MAINTSCRIPT_PACKAGE=xapsd",
               "/var/lib/dpkg/info/xapsd.postinst", "configure", before)


def make_newer(deb):
    """The next version of a package: /tmp/newer.deb."""
    run("dpkg-deb", "-R", "/tmp/" + deb, "/tmp/newer")
    control = ROOT / "tmp/newer/DEBIAN/control"
    control.write_text(re.sub(r"^Version: (.*)", r"Version: \1+1",
                              control.read_text(), flags=re.M))
    run("dpkg-deb", "-b", "/tmp/newer", "/tmp/newer.deb")


def as_in_the_first(enabled):
    """xapsd.socket was never on."""
    enabled.unlink(missing_ok=True)
    (ROOT / "var/lib/systemd/deb-systemd-helper-enabled/sockets.target.wants"
     / "xapsd.socket").unlink(missing_ok=True)


def other_group(snippet, moved, enabled):
    """Socket and mail processes stay in one group."""
    file = ROOT / "etc/xapsd/xapsd.yaml"
    config = file.read_text()
    for line in ("socketGroup: xapsd", "SocketGroup: 'xapsd' # Dovecot's",
                 "socketGroup: xapsd\nsocketPath: /var/run/xapsd/xapsd.sock\n"
                 "socketMode: 0660"):
        file.write_text(config + line + "\n")
        SNIPPET.write_text(snippet)
        as_in_the_first(enabled)
        said = postinst_once_more()
        expect(enabled.is_symlink(), "0.1.0's default is no own socket: " + line)
        expect(SNIPPET.read_text() == moved and "stays off" not in said, said)
    file.write_text(config + "socketGroup: xapsd\nsocketPath: /run/xapsd/x\n")
    SNIPPET.write_text(snippet)
    as_in_the_first(enabled)
    said = postinst_once_more()
    expect("its group stays xapsd" in said and "pushes wait" not in said, said)
    expect(not enabled.is_symlink() and SNIPPET.read_text() == snippet,
           "socket and Dovecot stay as they are")
    file.write_text(config)
    as_in_the_first(enabled)
    postinst_once_more()
    expect(enabled.is_symlink() and SNIPPET.read_text() == moved, "as before")


def switched_off(enabled):
    service = ROOT / "etc/systemd/system/multi-user.target.wants/xapsd.service"
    target = os.readlink(service)
    service.unlink()
    as_in_the_first(enabled)
    postinst_once_more()
    expect(not service.is_symlink() and not enabled.is_symlink(),
           "what was switched off stays off")
    service.symlink_to(target)
    masked = ROOT / "etc/systemd/system/xapsd.service"
    masked.symlink_to("/dev/null")
    as_in_the_first(enabled)
    postinst_once_more()
    expect(not enabled.is_symlink(), "what was masked stays off")
    masked.unlink()
    as_in_the_first(enabled)
    postinst_once_more()
    expect(enabled.is_symlink(), "on again")


def after_a_purge(snippet, moved, key):
    """A new installation finds the files of 0.1.0, and one of no use."""
    for before in "", "0.2.0":
        run("chown", "root:xapsd", key)
        run("chmod", "640", key)
        SNIPPET.write_text(snippet)
        run("chown", "root:root", "/etc/xapsd/xapsd.yaml")
        run("chmod", "600", "/etc/xapsd/xapsd.yaml")
        postinst_once_more(before)
        expect(attributes(key) == "xapsd:xapsd 600", attributes(key))
        expect(SNIPPET.read_text() == moved, "the shipped line is moved")
        expect(attributes("/etc/xapsd/xapsd.yaml") == "xapsd:xapsd 600",
               "the configuration that dpkg restored can be read")
    run("chown", "root:root", "/etc/xapsd/xapsd.yaml")
    run("chmod", "644", "/etc/xapsd/xapsd.yaml")
    postinst_once_more("0.2.0")
    expect(attributes("/etc/xapsd/xapsd.yaml") == "root:root 644",
           "what xapsd can read stays as it is")
    run("chown", "xapsd:xapsd", "/etc/xapsd/xapsd.yaml")
    run("chmod", "600", "/etc/xapsd/xapsd.yaml")


def upgrade_from_the_first(old, new):
    """0.1.0, set up as its README said, becomes this one."""
    say("0.1.0 as it was, to be upgraded")
    install(*("old/" + d for d in old.values()))
    run("useradd", "--system", "vmail")
    run("usermod", "-a", "-G", "xapsd", "vmail")
    configure("-g xapsd -m 640")
    start_dovecot()
    elsewhere = ROOT / "root/elsewhere.pem"
    elsewhere.write_text("of another program")
    elsewhere.chmod(0o640)
    run("chgrp", "xapsd", "/root/elsewhere.pem")
    (ROOT / "etc/xapsd/link.pem").symlink_to("/root/elsewhere.pem")
    daemon = Daemon()
    use_it()
    expect(b"PRIVATE KEY" in mail_from_a_link(
        "/etc/xapsd/AuthKey_ABCDE12345.p8"), "0.1.0 gave the key away")
    config = (ROOT / "etc/xapsd/xapsd.yaml").read_text()
    snippet = SNIPPET.read_text()

    say("upgrade from 0.1.0")
    daemon.stop()
    asked, said = install(*new.values())
    # the first stops both: one question, as the answer is no
    expect([a.rsplit(" ", 1)[0] for a in asked] == [
        "xapsd.socket stop", "xapsd.socket start", "xapsd.service restart"],
        "the socket unit takes over while xapsd is stopped: %s" % asked)
    check_installed()
    expect((ROOT / "etc/xapsd/xapsd.yaml").read_text() == config,
           "the configuration stays")
    key = "/etc/xapsd/AuthKey_ABCDE12345.p8"
    expect(attributes(key) == "xapsd:xapsd 600", attributes(key))
    expect(attributes("/root/elsewhere.pem") == "root:xapsd 640",
           "a link is not followed")
    expect(SNIPPET.read_text() == snippet.replace(
        "\nmail_access_groups = xapsd\n",
        "\nmail_access_groups = xapsd-mail\n") != snippet,
        "the shipped line is moved, and only that")
    expect([p.name for p in SNIPPET.parent.glob("90-xaps*")] == [SNIPPET.name],
           "nothing is left beside it")
    expect("xapsd-mail" in run("id", "-nG", "vmail").split(),
           "members of group xapsd come along")
    expect("note" not in said and "pushes wait for you" not in said, said)
    daemon = Daemon(activated=True)
    use_it()
    expect("alice" in run("xapsd", "list"), "the registration stays")
    expect(b"KEY" not in mail_from_a_link(key), "the key is nobody's mail")
    nobody_else_reads(key, "/etc/xapsd/xapsd.yaml",
                      "/var/lib/xapsd/database.json")

    say("upgrade from 0.1.0, set up in another way")
    moved = SNIPPET.read_text()
    for line, is_noted in (
            ("mail_access_groups = xapsd games", True),
            ("protocol imap {\n  mail_access_groups = xapsd\n}", True),
            ("protocol lmtp {\n  mail_access_groups = games,xapsd\n}", True),
            ("mail_access_groups = xapsd-mail\n"
             "service imap {\n  extra_groups = xapsd\n}", True),
            ("mail_access_groups = not-xapsd xapsd-mail", False),
            ("mail_access_groups = xapsd,xapsd-mail", False)):
        theirs = moved.replace("mail_access_groups = xapsd-mail", line)
        SNIPPET.write_text(theirs)
        said = postinst_once_more()
        expect(SNIPPET.read_text() == theirs, "another line stays")
        expect(("pushes wait for you" in said) == is_noted, said)
    run("doveadm", "reload")
    use_it()
    theirs = snippet + "nonsense {\n"
    SNIPPET.write_text(theirs)
    postinst_once_more()
    expect(SNIPPET.read_text() == theirs, "a broken configuration stays")
    SNIPPET.write_text(moved)
    # the unit would serve another socket than the one that is asked for
    enabled = ROOT / "etc/systemd/system/sockets.target.wants/xapsd.socket"
    as_in_the_first(enabled)
    with open(ROOT / "etc/xapsd/xapsd.yaml", "a") as f:
        f.write("socketGroup: vmail\n")
    expect("xapsd.socket stays off" in postinst_once_more(), "it says so")
    expect(not enabled.is_symlink(), "a socket of one's own stays in use")
    (ROOT / "etc/xapsd/xapsd.yaml").write_text(config)
    other_group(snippet, moved, enabled)
    switched_off(enabled)
    after_a_purge(snippet, moved, key)

    daemon.stop()
    unconfigure()
    elsewhere.unlink()
    run("apt-get", "-q", "-y", "-o", "Dpkg::Use-Pty=0", "purge", "xapsd",
        "dovecot-xaps")
    shutil.rmtree(ROOT / "etc/xapsd")
    run("userdel", "vmail")


def queue_length():
    return json.loads(run("xapsd", "status", "--json"))["queue"]


def packages(folder):
    return {p.name.split("_")[0]: p.name for p in (ROOT / folder).glob("*.deb")}


def main():
    prepare()
    debs, old = packages("tmp"), packages("tmp/old")
    before = paths()
    if old:
        upgrade_from_the_first(old, debs)
        expect(paths() == before, "nothing is left: %s" % sorted(
            paths() ^ before))

    say("install")
    asked, _ = install(*debs.values())
    expect(asked == ["xapsd.socket start xapsd:600",
                     "xapsd.service start xapsd:600"],
           "xapsd may read its configuration when it is started: %s" % asked)
    check_installed()
    configure("-o xapsd -g xapsd -m 600")
    start_dovecot()
    daemon = Daemon()
    expect(attributes("/run/xapsd/xapsd.sock") == "xapsd:xapsd-mail 660",
           "mail processes may use the socket")
    expect("127.0.0.1:11619" not in subprocess.run(
        ["ss", "-ltn"], check=True, capture_output=True, text=True).stdout,
        "no TCP unless it is wanted")

    say("run: a registration and a mail")
    use_it()
    until(lambda: "alice" in run("xapsd", "list"), "registration")
    until(queue_length, "push in the queue")
    nobody_else_reads(
        "/etc/xapsd/AuthKey_ABCDE12345.p8", "/etc/xapsd/xapsd.yaml",
        "/var/lib/xapsd/database.json")
    log = (ROOT / "var/log/dovecot.log").read_text()
    expect("rror" not in log, "Dovecot has nothing to complain of:\n" + log)

    say("upgrade")
    make_newer(debs["xapsd"])
    config = (ROOT / "etc/xapsd/xapsd.yaml").read_text()
    daemon.stop()
    asked, _ = install("newer.deb")
    expect(asked == ["xapsd.socket start xapsd:600",
                     "xapsd.service restart xapsd:600"],
           "the socket stays open: %s" % asked)
    expect(run("dpkg-query", "-W", "-f", "${Version}", "xapsd").endswith("+1"),
           "the newer one is there")
    check_installed()
    expect((ROOT / "etc/xapsd/xapsd.yaml").read_text() == config,
           "the configuration stays")
    daemon = Daemon()
    expect("alice" in run("xapsd", "list"), "the registration stays")
    until(queue_length, "push of before in the queue")

    local = ROOT / "usr/local/lib/systemd/system/xapsd.service"
    local.parent.mkdir(parents=True)
    local.write_text("")
    expect("another one is in /usr/local" in postinst_once_more("0.2.0"),
           "one from source in its place is told")
    shutil.rmtree(local.parents[1])

    say("remove")
    daemon.stop()
    unconfigure()
    run("apt-get", "-q", "-y", "-o", "Dpkg::Use-Pty=0", "remove", "xapsd", "dovecot-xaps")
    expect(not (ROOT / "usr/sbin/xapsd").exists(), "the program is gone")
    for name in ("etc/xapsd/xapsd.yaml", "var/lib/xapsd/database.json"):
        expect((ROOT / name).exists(), name + " stays until it is purged")

    say("purge")
    run("apt-get", "-q", "-y", "-o", "Dpkg::Use-Pty=0", "purge", "xapsd", "dovecot-xaps")
    # the administrator's own key is not ours to delete
    expect(paths() - before == {"etc/xapsd",
                                "etc/xapsd/AuthKey_ABCDE12345.p8"},
           "nothing is left: %s" % sorted(paths() - before))
    expect(before <= paths(), "nothing of others is gone: %s" % sorted(
        before - paths()))
    expect(not (ROOT / "run/xapsd").exists(), "nothing is left in /run")
    expect("xapsd" in run("getent", "passwd", "xapsd"),
           "the user stays, as Debian does it")
    say("all is well")


if __name__ == "__main__":
    main()
