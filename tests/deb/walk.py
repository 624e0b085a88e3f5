"""The life of the packages in a bare Debian: walk.py ROOT, in namespaces of its
own.  Follows the README's section on Debian.  There is no systemd running: the
daemon and Dovecot are started by hand, with the package's user and paths."""

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
LIMIT_S = 30
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
        ["chroot", ROOT, *command], text=True, stdout=subprocess.PIPE,
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
    return {name for name in
            (str(p.relative_to(ROOT)) for p in ROOT.rglob("*"))
            if not ITS_OWN.match(name)}


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
                      "stat -c \"$* %U:%G\" /etc/xapsd/xapsd.yaml >>/tmp/asked\n"
                      "exit 101\n")
    policy.chmod(0o755)
    os.environ.update(DEBIAN_FRONTEND="noninteractive", LC_ALL="C",
                      PATH="/usr/sbin:/usr/bin:/sbin:/bin")
    run("useradd", "--create-home", "alice")
    run("chpasswd", input="alice:secret\n")


def install(*debs):
    run("apt-get", "-q", "-y", "--no-install-recommends",
        "-o", "APT::Sandbox::User=root", "-o", "Dpkg::Use-Pty=0", "install",
        *("/tmp/" + d for d in debs))


def attributes(path):
    return run("stat", "-c", "%U:%G %a", path).strip()


def check_installed():
    for path, wanted in (
            ("/etc/xapsd/xapsd.yaml", "root:xapsd 640"),
            ("/var/lib/xapsd", "xapsd:xapsd 750"),
            ("/run/xapsd", "xapsd:xapsd 755"),
            ("/usr/sbin/xapsd", "root:root 755")):
        expect(attributes(path) == wanted,
               "%s is %s: %s" % (path, wanted, attributes(path)))
    expect(re.match(r"xapsd:x:\d+:\d+:[^:]*:/var/lib/xapsd:\S*nologin",
                    run("getent", "passwd", "xapsd")), "the user xapsd")
    expect("lib95_xaps" not in run("dpkg", "-L", "xapsd"), "two packages")


def configure():
    key = subprocess.run(
        ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt",
         "ec_paramgen_curve:P-256"], check=True, capture_output=True).stdout
    (ROOT / "etc/xapsd/AuthKey_ABCDE12345.p8").write_bytes(key)
    run("chgrp", "xapsd", "/etc/xapsd/AuthKey_ABCDE12345.p8")
    run("chmod", "640", "/etc/xapsd/AuthKey_ABCDE12345.p8")
    with open(ROOT / "etc/xapsd/xapsd.yaml", "a") as f:
        f.write("keyFileP8: AuthKey_ABCDE12345.p8\n"
                "keyFileKeyId: ABCDE12345\nkeyFileTeamId: TEAM123456\n"
                "keyFileTopic: com.apple.mobilemail.push.com.example\n"
                # nobody: there is no network here
                "apnsHost: 127.0.0.1\napnsPort: 1\n")
    shutil.copy(ROOT / "usr/share/doc/dovecot-xaps/examples/90-xaps.conf",
                ROOT / "etc/dovecot/conf.d/90-xaps.conf")
    run("sed", "-i", "s/^#mail_access/mail_access/",
        "/etc/dovecot/conf.d/90-xaps.conf")
    with open(ROOT / "etc/dovecot/local.conf", "w") as f:
        f.write("mail_location = maildir:~/Maildir\nssl = no\n"
                "disable_plaintext_auth = no\n"
                "log_path = /var/log/dovecot.log\nlisten = 127.0.0.1\n")


class Daemon:
    """As the unit starts it."""

    def __init__(self):
        self.log = open(ROOT / "var/log/xapsd.log", "a+")
        self.process = subprocess.Popen(
            ["chroot", ROOT, "setpriv", "--reuid", "xapsd", "--regid",
             "xapsd", "--init-groups", "--inh-caps", "-all", "xapsd", "-c",
             "/etc/xapsd/xapsd.yaml"], stdout=self.log, stderr=self.log)
        until(lambda: self.process.poll() is not None
              or (ROOT / "run/xapsd/xapsd.sock").exists(), "socket of xapsd")
        expect(self.process.poll() is None, self.text())

    def text(self):
        return (ROOT / "var/log/xapsd.log").read_text()

    def stop(self):
        self.process.terminate()
        expect(self.process.wait(LIMIT_S) == 0, self.text())
        self.log.close()


def use_it():
    """A phone registers, a mail comes."""
    imap = imaplib.IMAP4("127.0.0.1", 143, LIMIT_S)
    imap.login("alice", "secret")
    expect("XAPPLEPUSHSERVICE" in imap.capabilities or
           b"XAPPLEPUSHSERVICE" in imap.capability()[1][0], "the capability")
    imaplib.Commands["XAPPLEPUSHSERVICE"] = ("AUTH",)
    status, _ = imap._simple_command(
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


def queue_length():
    return json.loads(run("xapsd", "status", "--json"))["queue"]


def main():
    prepare()
    debs = {p.name.split("_")[0]: p.name for p in (ROOT / "tmp").glob("*.deb")}
    before = paths()

    say("install")
    systemd = ROOT / "run/systemd/system"   # as if it were running
    systemd.mkdir(parents=True)
    install(*debs.values())
    shutil.rmtree(ROOT / "run/systemd")
    asked = (ROOT / "tmp/asked").read_text()
    expect("xapsd.service start root:xapsd" in asked.splitlines(),
           "xapsd may read its configuration when it is started: " + asked)
    check_installed()
    configure()
    run("doveconf", "-n")
    daemon = Daemon()
    # it keeps its output open
    subprocess.run(["chroot", ROOT, "dovecot"], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    say("run: a registration and a mail")
    use_it()
    until(lambda: "alice" in run("xapsd", "list"), "registration")
    until(queue_length, "push in the queue")
    log = (ROOT / "var/log/dovecot.log").read_text()
    expect("rror" not in log, "Dovecot has nothing to complain of:\n" + log)

    say("upgrade")
    folder = ROOT / "tmp/newer"
    run("dpkg-deb", "-R", "/tmp/" + debs["xapsd"], "/tmp/newer")
    control = (folder / "DEBIAN/control").read_text()
    (folder / "DEBIAN/control").write_text(re.sub(
        r"^Version: (.*)", r"Version: \1+1", control, flags=re.M))
    run("dpkg-deb", "-b", "/tmp/newer", "/tmp/newer.deb")
    config = (ROOT / "etc/xapsd/xapsd.yaml").read_text()
    daemon.stop()
    install("newer.deb")
    expect(run("dpkg-query", "-W", "-f", "${Version}", "xapsd").endswith("+1"),
           "the newer one is there")
    check_installed()
    expect((ROOT / "etc/xapsd/xapsd.yaml").read_text() == config,
           "the configuration stays")
    daemon = Daemon()
    expect("alice" in run("xapsd", "list"), "the registration stays")
    until(queue_length, "push of before in the queue")

    say("remove")
    daemon.stop()
    run("doveadm", "stop")
    (ROOT / "etc/dovecot/conf.d/90-xaps.conf").unlink()
    (ROOT / "etc/dovecot/local.conf").unlink()
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


main()
