"""What packages and units do under a systemd that runs, process 1 of namespaces:
live.py ROOT, in a network of its own.  While xapsd is upgraded from 0.1.0 people
log in; while it is restarted and upgraded, nobody who talks to its socket is
turned away, and no delivery and no registration is lost."""

import contextlib
import imaplib
import itertools
import os
import pathlib
import re
import shutil
import smtplib
import socket
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
import walk
from walk import expect, run, say, until

ROOT = pathlib.Path(sys.argv[1])
RESTARTS = 10
DELIVERIES = 1000
REGISTRATIONS = 20


def boot():
    """The process that ends it all when it is killed, and systemd's id; None
    where systemd cannot be process 1."""
    holder = subprocess.Popen(
        ["sh", pathlib.Path(__file__).with_name("boot.sh"), ROOT],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    children = pathlib.Path("/proc/%d/task/%d/children" % (
        holder.pid, holder.pid))
    end = time.monotonic() + walk.LIMIT_S
    while time.monotonic() < end and holder.poll() is None:
        try:
            pids = children.read_text().split()
        except OSError:     # it ended, or this kernel has no such file
            break
        if pids:
            state = subprocess.run(
                ["nsenter", "-t", pids[0], "-a", "-r", "-w/", "systemctl",
                 "is-system-running"], capture_output=True, text=True).stdout
            if state.strip() in ("running", "degraded"):
                return holder, pids[0]
        time.sleep(0.1)
    return holder, None


def remove_cgroups():
    for folder in sorted(pathlib.Path("/sys/fs/cgroup").glob(
            "**/xapsd-check/**"), reverse=True):
        if folder.is_dir():
            with contextlib.suppress(OSError):
                folder.rmdir()


class Meanwhile:
    """Repeats a thing in the background; it must work every time."""

    def __init__(self, what, thing):
        self.what, self.thing = what, thing
        self.n, self.longest_s, self.error = 0, 0, None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.loop)

    def loop(self):
        while not self.over.is_set():
            began = time.monotonic()
            try:
                self.thing()
            except Exception as e:
                self.error = e
                return
            self.n += 1
            self.longest_s = max(self.longest_s, time.monotonic() - began)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.over.set()
        self.thread.join()
        if kind is None:
            expect(self.error is None, "%s, after %d times: %r" % (
                self.what, self.n, self.error))
            expect(self.n > 0, self.what)


# Dovecot's own packages restart it when a module is new, and a log-in that meets
# a reload of it may have to be tried again.
PAUSE_S = walk.LIMIT_S


def log_in():
    end = time.monotonic() + PAUSE_S
    while True:
        try:
            imap = imaplib.IMAP4("127.0.0.1", 143, walk.LIMIT_S)
            imap.login("alice", "secret")
            imap.logout()
            return
        except (OSError, imaplib.IMAP4.error):
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def ask_once():
    """The answer; nothing from a daemon in its last moment."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(walk.LIMIT_S)
        s.connect(str(walk.ROOT / "run/xapsd/xapsd.sock"))
        try:
            s.sendall(b"POST /notify HTTP/1.0\r\nContent-Length: 80\r\n\r\n"
                      + b'{"Username":"nobody","Mailbox":"INBOX",'
                      b'"Events":["MessageNew"]}'.ljust(80))
            return s.recv(4096)
        except (ConnectionResetError, BrokenPipeError):
            return b""


def ask():
    """A request on a connection of its own.  One that met the daemon in its last
    moment is sent again, as Dovecot's plugin does, and one restart may follow the
    other; a connection that is refused is an error."""
    end = time.monotonic() + walk.LIMIT_S
    answer = ask_once()
    while not answer and time.monotonic() < end:
        answer = ask_once()
    if b" 404 " not in answer:
        raise RuntimeError(answer)


def active(unit):
    return subprocess.run([*walk.ENTER, "systemctl", "-q", "is-active", unit]
                          ).returncode == 0


def main_pid():
    return run("systemctl", "show", "-P", "MainPID", "xapsd").strip()


def expect_all_runs():
    for unit in ("xapsd.socket", "xapsd.service"):
        expect(active(unit), unit + " is active\n" + run(
            "journalctl", "-b", "--no-pager", "-n", "30", "-u", "xapsd*"))
    expect(walk.attributes("/run/xapsd/xapsd.sock")
           == "xapsd:xapsd-mail 660", walk.attributes("/run/xapsd/xapsd.sock"))
    said = run("journalctl", "-b", "-q", "-o", "cat", "-u", "xapsd.service")
    expect("denied" not in said and "permitted" not in said, said)


def dpkg(*debs):
    return run("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--force-confold",
               "-i", *("/tmp/" + d for d in debs))


def prepare():
    # a boot empties /tmp
    shutil.copytree(walk.ROOT / "root/debs", walk.ROOT / "tmp",
                    dirs_exist_ok=True)
    (walk.ROOT / "usr/sbin/policy-rc.d").unlink(missing_ok=True)
    run("useradd", "--create-home", "alice")
    subprocess.run([*walk.ENTER, "chpasswd"], input="alice:secret\n", text=True,
                   check=True)


def start_with_the_first(old, more=""):
    dpkg(*("old/" + d for d in old.values()))
    walk.configure("-g xapsd -m 640")
    with open(walk.ROOT / "etc/xapsd/xapsd.yaml", "a") as f:
        f.write(more)
    run("systemctl", "restart", "xapsd", "dovecot")
    walk.use_it()


def remove_all(packages):
    run("dpkg", "--purge", *packages)
    shutil.rmtree(walk.ROOT / "etc/xapsd")
    walk.SNIPPET.unlink(missing_ok=True)


def upgrade_what_is_off(old, new):
    say("live: upgrade of a 0.1.0 that was switched off")
    start_with_the_first(old)
    run("systemctl", "disable", "--now", "xapsd")
    dpkg(*new.values())
    for unit in ("xapsd.socket", "xapsd.service"):
        expect(not active(unit), unit + " stays off")
        expect(subprocess.run([*walk.ENTER, "systemctl", "-q", "is-enabled",
                               unit]).returncode, unit + " stays disabled")
    remove_all(new)


def upgrade_from_the_first(old, new, more=""):
    say("live: upgrade from 0.1.0 " + more.strip())
    start_with_the_first(old, more)
    with Meanwhile("log-ins during the upgrade", log_in):
        dpkg(*new.values())
    until(lambda: active("xapsd.service"), "xapsd")
    expect_all_runs()
    walk.use_it()
    expect("alice" in run("xapsd", "list"), "the registration stays")
    remove_all(new)


def deliver(numbers):
    """Each mail into a mailbox of its own: no two reports of them are one."""
    lmtp = smtplib.LMTP(str(walk.ROOT / "run/dovecot/lmtp"))
    for n in numbers:
        refused = lmtp.sendmail("bob@example.net", ["alice+m%d" % n],
                                "Subject: %d\n\nHello.\n" % n)
        expect(not refused, "the mail is delivered: %s" % refused)
    lmtp.quit()


def register(numbers):
    imaplib.Commands["XAPPLEPUSHSERVICE"] = ("AUTH",)
    for n in numbers:
        imap = imaplib.IMAP4("127.0.0.1", 143, 4 * walk.LIMIT_S)
        imap.login("alice", "secret")
        status, said = imap.xatom(
            "XAPPLEPUSHSERVICE", "aps-version", "2", "aps-account-id",
            walk.ACCOUNT, "aps-device-token", "%064x" % (0xabcdef + n),
            "aps-subtopic", "com.apple.mobilemail", "mailboxes", "(INBOX)")
        expect(status == "OK", "phone %d is registered: %s" % (n, said))
        imap.logout()


def nothing_is_lost(deb):
    """Dovecot works while xapsd is restarted and upgraded."""
    say("live: %d deliveries, %d registrations, %d restarts, an upgrade" % (
        DELIVERIES, REGISTRATIONS, RESTARTS))
    with open(walk.ROOT / "etc/dovecot/local.conf", "a") as f:
        f.write("recipient_delimiter = +\nlmtp_save_to_detail_mailbox = yes\n"
                "lda_mailbox_autocreate = yes\n"
                # however long a restart takes on a busy machine
                "plugin {\n  xaps_config = register_timeout_msecs=120000\n}\n")
    with open(walk.ROOT / "etc/xapsd/xapsd.yaml", "a") as f:
        f.write("loglevel: debug\n")
    run("systemctl", "restart", "xapsd", "dovecot")
    walk.use_it()
    deliveries, phones = iter(range(DELIVERIES)), iter(range(REGISTRATIONS))

    def some(of, n, do):
        part = list(itertools.islice(of, n))
        threads.append(threading.Thread(target=do, args=(part,)))
        threads[-1].start()
    for turn in range(RESTARTS + 1):
        threads = []
        some(deliveries, -(-DELIVERIES // (RESTARTS + 1)), deliver)
        some(phones, -(-REGISTRATIONS // (RESTARTS + 1)), register)
        if turn == RESTARTS // 2:
            dpkg(deb)
        else:
            restart()
        for t in threads:
            t.join()

    def seen():
        log = run("journalctl", "-b", "-q", "-o", "cat", "-u", "xapsd.service")
        return len(set(re.findall(r"^notify: alice: .* (m\d+)$", log, re.M)))
    until(lambda: seen() == DELIVERIES, "report of every delivery")
    known = run("xapsd", "list", "--json").count('"token"')
    say("live: %d deliveries reported, %d devices known" % (
        DELIVERIES, known - 1))
    expect(known == REGISTRATIONS + 1, "every phone is known")


def restart():
    pid = main_pid()
    # five in 10 s are systemd's limit
    run("systemctl", "reset-failed", "xapsd.service")
    run("systemctl", "restart", "xapsd")
    expect(main_pid() != pid, "it was restarted")


def live(debs):
    say("live: install")
    dpkg(*debs.values())
    expect(active("xapsd.socket") and active("xapsd.service"), "both run")
    walk.configure("-o xapsd -g xapsd -m 600")
    run("systemctl", "restart", "xapsd", "dovecot")
    expect_all_runs()
    walk.use_it()

    say("live: %d restarts and an upgrade" % RESTARTS)
    node = (walk.ROOT / "run/xapsd/xapsd.sock").stat().st_ino
    walk.make_newer(debs["xapsd"])
    with Meanwhile("requests during restarts", ask) as requests:
        for _ in range(RESTARTS):
            restart()
        dpkg("newer.deb")
    say("live: %d requests, none turned away, %.1f s at most" % (
        requests.n, requests.longest_s))
    expect((walk.ROOT / "run/xapsd/xapsd.sock").stat().st_ino == node,
           "the same socket all the time")
    expect_all_runs()
    walk.use_it()

    nothing_is_lost(debs["xapsd"])

    say("live: remove")
    asking = threading.Event()

    def in_vain():
        while not asking.is_set():
            with contextlib.suppress(OSError, RuntimeError):
                ask()
    thread = threading.Thread(target=in_vain)
    thread.start()
    run("dpkg", "--remove", "xapsd")
    asking.set()
    thread.join()
    expect(not active("xapsd.socket") and not active("xapsd.service"),
           "the next request does not start it again")
    expect(not (walk.ROOT / "run/xapsd/xapsd.sock").exists(), "no socket")


def main():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    holder, pid = boot()
    try:
        if pid is None:
            say("live: left out, systemd cannot be process 1 here")
            return
        walk.ENTER = ["nsenter", "-t", pid, "-a", "-r", "-w/"]
        walk.ROOT = pathlib.Path("/proc/%s/root" % pid)
        walk.SNIPPET = walk.ROOT / "etc/dovecot/conf.d/90-xaps.conf"
        os.environ.update(LC_ALL="C", PATH="/usr/sbin:/usr/bin:/sbin:/bin")
        prepare()
        debs, old = walk.packages("tmp"), walk.packages("tmp/old")
        if old:
            upgrade_from_the_first(old, debs)
            upgrade_from_the_first(old, debs, "socketGroup: xapsd\n")
            upgrade_what_is_off(old, debs)
        live(debs)
        say("live: all is well")
    finally:
        holder.kill()
        holder.wait()
        until(lambda: not pid or not pathlib.Path("/proc/" + pid).exists(),
              "end")
        remove_cgroups()


if __name__ == "__main__":
    main()
