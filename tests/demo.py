"""The journey of one mail, on this machine, with a real Dovecot, the real
daemon and plugin, and a stand-in for Apple: `make demo`.

Everything lives in one temporary directory and on high ports of 127.0.0.1;
nothing of the system's Dovecot is touched, and nothing is left, whatever
happens.  Status 0: the push came; 1: it did not; 128 + n: by signal n."""

import contextlib
import os
import pathlib
import re
import signal
import sys
import tempfile
import time
import uuid

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

try:
    from apple import Apple
    from certs import Certs
    from dovecot import Dovecot, Lmtp
    from xapsd import Xapsd, executable
except ImportError as e:
    sys.exit("make demo: a Python package is missing (%s): run `make demo` "
             "as root or with sudo, it installs what it needs" % e)

USER = "alice"
ACCOUNT = str(uuid.uuid4()).upper()
TOKEN = os.urandom(32).hex()
MAIL = """\
From: Bob <bob@example.net>
To: Alice <alice@example.org>
Subject: Lunch?
Date: Sat, 1 Nov 2025 12:00:00 +0000
Message-ID: <lunch@example.net>

At noon, the usual place.
"""
# What iOS says of itself after a log-in, and how long it takes to come.
ID = ('ID ("name" "com.apple.email.maild" "version" "3864.600.51.2.1" "os" '
      '"iOS" "os-version" "26.5 (23F77)" "vendor" "Apple Inc" "event" NIL)')
COMES_AFTER_S = 1.5
LOG_TAIL = 15


class Interrupted(Exception):
    pass


class Signals:
    """Ctrl-C and the like end the demo, but only inside allowed(): never
    between a process's start and the moment when we know of it, and never in
    the tidying up."""

    ALL = signal.SIGINT, signal.SIGTERM, signal.SIGHUP

    def __init__(self):
        self.allow = False
        self.pending = None
        for signo in self.ALL:
            signal.signal(signo, self._arrived)

    def over(self):
        """Python's own end takes our handler away before it has ended."""
        for signo in self.ALL:
            signal.signal(signo, signal.SIG_IGN)

    def _arrived(self, signo, _frame):
        self.pending = signo
        if self.allow:
            self.allow = False
            raise Interrupted

    @contextlib.contextmanager
    def allowed(self):
        try:
            self.allow = True
            if self.pending:
                raise Interrupted
            yield
        finally:
            self.allow = False


class Teller:
    """One line per step, with the time since the start."""

    def __init__(self):
        self.start = time.monotonic()

    def say(self, who, text, at=None):
        at = time.monotonic() if at is None else at
        print("%7.3f s  %-8s %s" % (at - self.start, who, text), flush=True)


def expect(condition, sentence):
    if not condition:
        raise AssertionError(sentence)


def start_apple(stack, folder, tell):
    certs = Certs(folder)
    apple = stack.enter_context(Apple(certs))
    tell.say("Apple", "a stand-in for Apple's push service listens on "
             "127.0.0.1 port %d (HTTP/2 over TLS, by python3-h2)" % apple.port)
    return certs, apple


def start_xapsd(stack, folder, tell, certs, apple):
    folder.mkdir()
    daemon = stack.enter_context(Xapsd(folder, certs, apple=apple,
                                       delay="30s", retryMin="1s"))
    tell.say("xapsd", "%s runs, with a token key, on the Unix socket %s" % (
        os.path.relpath(executable()), daemon.socket_path))
    connection = apple.wait_connected()
    tell.say("xapsd", "has opened its one connection to Apple (%s, ALPN %s)"
             % (connection.tls.version(), connection.alpn))
    return daemon


def start_dovecot(stack, folder, tell, daemon, **settings):
    plugin = os.environ.get("PLUGIN", ROOT / "build" / "plugin")
    dovecot = stack.enter_context(Dovecot(
        folder, plugin, {"url": "unix:" + daemon.socket_path, **settings}))
    tell.say("Dovecot", "a private one runs with the plugin: IMAP on port %d, "
             "LMTP on %s" % (dovecot.imap_port, dovecot.lmtp_socket))
    return dovecot


def shorten(line):
    """Of Dovecot's 40 capabilities only ours."""
    return re.sub(r"(CAPABILITY IMAP4rev1)[^]]*?( XAPPLEPUSHSERVICE)",
                  r"\1 …\2", line)


def ask(tell, phone, command, shown=None, who="iPhone"):
    tell.say(who, "C: " + (shown or command))
    untagged, tagged = phone.cmd(command)
    for line in untagged + [tagged]:
        tell.say("Dovecot", "S: " + shorten(line))
    expect(tagged.split()[1] == "OK", "Dovecot refused: " + tagged)
    return untagged


def log_in(tell, phone, who="iPhone"):
    ask(tell, phone, "LOGIN %s secret" % USER, "LOGIN %s ..." % USER, who)


def play_iphone(tell, dovecot, apple):
    """Registers as iOS does when the account's push is switched on."""
    def ask_it(command):
        return ask(tell, phone, command)

    with dovecot.imap() as phone:
        log_in(tell, phone)
        said = " ".join(ask_it("CAPABILITY"))
        expect("XAPPLEPUSHSERVICE" in said.split(),
               "Dovecot does not offer XAPPLEPUSHSERVICE: the plugin is not "
               "loaded")
        said = ask_it("XAPPLEPUSHSERVICE aps-version 2 aps-account-id %s "
                      "aps-device-token %s aps-subtopic com.apple.mobilemail "
                      "mailboxes (INBOX)" % (ACCOUNT, TOKEN))
        expect(any("mailbox" in line and "INBOX" in line for line in said),
               "no line says that INBOX is watched")
        expect(any(apple.topic in line for line in said),
               "no line names the topic " + apple.topic)
        ask_it("LOGOUT")


def come_back(tell, dovecot, daemon, push):
    """As a phone that the push has woken: it looks for mail, and the plugin
    reports that it has come."""
    time.sleep(max(0, push.at + COMES_AFTER_S - time.monotonic()))
    with dovecot.imap() as phone:
        log_in(tell, phone)
        ask(tell, phone, ID)

    def came():
        return re.search(r"came after [\d.]+ s", daemon.run(
            "list", USER).stdout)

    tell.say("xapsd", "`xapsd list` says: \"%s\"" % daemon.wait_until(
        came, "visit in `xapsd list`")[0])


def deliver(tell, dovecot, apple):
    tell.say("sender", "delivers a mail to %s by LMTP: \"Subject: Lunch?\""
             % USER)
    with Lmtp(dovecot.lmtp_socket) as lmtp:
        answer_s = lmtp.deliver([USER], MAIL)
        dot_at = lmtp.dot_at
    push, = apple.wait_for(1)
    events = [
        (dot_at, "sender", "the mail's final dot is sent"),
        (dot_at + answer_s, "Dovecot", "250: the mail is in the mailbox"),
        (push.at, "Apple", "POST " + push.path)]
    for at, who, text in sorted(events):
        tell.say(who, text, at)
    return push, dot_at, answer_s


def show_push(push):
    for name, value in push.header_list:
        if name == "authorization":
            value = value[:27] + "… (ES256 signature, key id, team: right)"
        if not name.startswith(":"):
            print(" " * 20 + "%s: %s" % (name, value))
    print(" " * 20 + push.body.decode())


def play(stack, signals, tell):
    folder = pathlib.Path(stack.enter_context(
        tempfile.TemporaryDirectory(prefix="xapsd-demo-")))
    folder.chmod(0o755)     # Dovecot's mail users pass through
    stack.logs = [folder / "x" / "xapsd.log", folder / "dovecot/dovecot.log"]
    certs, apple = start_apple(stack, folder, tell)
    with signals.allowed():
        pass
    daemon = start_xapsd(stack, folder / "x", tell, certs, apple)
    with signals.allowed():
        pass
    dovecot = start_dovecot(stack, folder, tell, daemon)
    with signals.allowed():
        play_iphone(tell, dovecot, apple)
        push, dot_at, answer_s = deliver(tell, dovecot, apple)
        show_push(push)
        expect(push.problem is None, "Apple would refuse it: %s"
               % push.problem)
        expect(push.token == TOKEN and push.aps["account-id"] == ACCOUNT,
               "the push is not for this phone")
        memory = ""
        with contextlib.suppress(OSError):  # no /proc here
            memory = "; xapsd takes %.1f MB of memory" % (
                daemon.rss_kib() / 1024)
        tell.say("Apple", "accepts it: only \"account, folder hash: look for "
                 "mail\" has left this machine")
        come_back(tell, dovecot, daemon, push)
        print("\nFrom the mail's final dot to the push at Apple: %.1f ms "
              "(Dovecot's 250 came after %.1f ms)%s." % (
                  (push.at - dot_at) * 1000, answer_s * 1000, memory),
              flush=True)


def show_logs(paths):
    for path in paths:
        with contextlib.suppress(OSError):
            lines = path.read_text(errors="replace").splitlines()
            print("\nThe end of %s:" % path.name, file=sys.stderr)
            print("\n".join("  " + x for x in lines[-LOG_TAIL:]),
                  file=sys.stderr)


def main(play=play, name="make demo"):
    sys.stdout.reconfigure(errors="replace")    # a locale without "…"
    signals = Signals()
    tell = Teller()
    stack = contextlib.ExitStack()
    stack.logs = []
    try:
        with stack:
            try:
                play(stack, signals, tell)
            except Exception:
                if not signals.pending:
                    show_logs(stack.logs)   # before they are removed
                raise
    except Exception as e:
        signals.over()
        # Ctrl-C may also hit a child that is only just being started
        if signals.pending:
            print("\n%s: interrupted; nothing is left running" % name,
                  file=sys.stderr)
            return 128 + signals.pending
        print("\n%s failed: %s" % (name, str(e) or repr(e)),
              file=sys.stderr)
        return 1
    signals.over()
    print("Everything is stopped again, nothing is left.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
