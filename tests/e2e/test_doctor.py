"""`xapsd doctor USER`: staged troubles, each of which is the first line that is
not ok; and nothing to say where all is well."""

import contextlib
import json
import os
import pathlib
import re
import shlex
import socket
import subprocess
import threading
import time

import pytest

from apple import Answer
from dovecot import Dovecot, version
from phones import ACCOUNT, OTHER, TOKEN, token
from test_clock import all_clocks, clock    # noqa: F401
from test_health import with_clock
from test_journey import mail, register
from test_visits import seen
from xapsd import Xapsd, certificate

IS_2_3 = version() < (2, 4)
WORDS = {"ok": "ok", "look": "look", "failed": "FAILED"}


class Visit:
    """What doctor said: its exit status and steps."""

    def __init__(self, daemon, user, *args):
        done = daemon.run("doctor", *args, "--json", "--", user)
        assert done.stderr == ""
        said = json.loads(done.stdout)
        self.status, self.steps = done.returncode, said["steps"]
        assert said["ok"] == (self.status == 0)
        assert self.status in (0, 1)
        for step in self.steps:
            assert set(step) == {"step", "result", "text"}
            assert step["step"] and step["text"], self.steps

    def __repr__(self):
        return "%d %s" % (self.status, json.dumps(self.steps, indent=1))

    def first(self):
        """The first step that is not ok."""
        return next((s for s in self.steps if s["result"] != "ok"), None)

    def step(self, name):
        step, = [s for s in self.steps if s["step"] == name]
        return step

    def blames(self, step, result, *words, status=1):
        first = self.first()
        assert first and (first["step"], first["result"]) == (step, result), \
            self
        for word in words:
            assert word in first["text"], self
        assert self.status == status, self
        return self

    def names(self):
        return [s["step"] for s in self.steps]


def doctor(daemon, user="alice", *args):
    """Both forms, which say the same but for ages."""
    visit = Visit(daemon, user, *args)
    done = daemon.run("doctor", *args, "--", user)
    assert (done.returncode, done.stderr) == (visit.status, ""), visit
    lines = done.stdout.splitlines()
    assert all(len(line) <= 80 and line == line.rstrip() for line in lines)
    text = " ".join(line.strip() for line in lines)
    same = " ".join("%-14s %-7s %s" % (s["step"], WORDS[s["result"]],
                                       s["text"]) for s in visit.steps)

    def squeeze(words):
        return re.sub(r"\d+\s+(s|min|h|d)\s+ago|\s+", "", words)
    assert squeeze(text) == squeeze(same)
    return visit


# --- who is not known ---

def test_nobody_has_registered(xapsd):
    doctor(xapsd).blames("registration", "failed", "Nobody has one",
                         "xaps_imap", "XAPPLEPUSHSERVICE", "xaps must not",
                         "Settings > Apps > Mail > Mail Accounts")


def test_not_registered(xapsd):
    xapsd.register("somebody", ACCOUNT, TOKEN)
    visit = doctor(xapsd).blames(
        "registration", "failed", "no device of alice.", "Push on")
    assert "Nobody" not in visit.first()["text"]
    assert "reported" not in visit.first()["text"]
    xapsd.notify("Alice")       # names are the same in upper and lower case
    doctor(xapsd).blames("registration", "failed",
                         "Mail for Alice was reported, ")
    assert seen(xapsd, "alice").status == 404
    doctor(xapsd).blames("registration", "failed",
                         "Mail for Alice was reported, ",
                         "A phone logged in as Alice, ")


@pytest.mark.parametrize("logs_in, delivers", [
    ("alice", "alice@example.org"), ("alice@example.org", "alice"),
    ("alice@a.example", "Alice@b.example"), ("EXAMPLE\\alice", "alice"),
    ("alice@example.org", "alice+x@example.org")])
def test_two_names(xapsd, logs_in, delivers):
    """From both ends."""
    xapsd.register(logs_in, ACCOUNT, TOKEN)
    xapsd.register("malice", ACCOUNT, OTHER)
    xapsd.notify(delivers)
    doctor(xapsd, delivers).blames(
        "names", "failed", delivers + " has no device", logs_in,
        "xapsd doctor " + shlex.quote(logs_in), "user_lookup")
    doctor(xapsd, logs_in).blames(
        "names", "failed", "notifications come for " + delivers,
        "for %s: none since the start" % logs_in, "user_lookup")
    doctor(xapsd, logs_in.upper()).blames("names", "failed")
    # somebody else's
    doctor(xapsd, "malice").blames("notification", "look", delivers)
    # no notification
    assert seen(xapsd, "malice@x").status == 404
    assert doctor(xapsd, "malice").step("names")["result"] == "ok"
    # it was mended
    xapsd.register(delivers, ACCOUNT, TOKEN)
    doctor(xapsd, logs_in).blames("notification", "look")


def test_misspelled(xapsd):
    xapsd.register("alice@example.org", ACCOUNT, TOKEN)
    doctor(xapsd, "alcie@example.org").blames(
        "names", "failed", "xapsd doctor alice@example.org")


def test_owner_without_a_device(xapsd):
    xapsd.register("bob", ACCOUNT, TOKEN, ["INBOX", "shared/x/INBOX"],
                   Canonical=[{"owner": "bob", "mailbox": "INBOX"},
                              {"owner": "xenia", "mailbox": "INBOX"}])
    doctor(xapsd, "xenia").blames(
        "registration", "failed",
        "Of others who watch this user's folders: 1 device")


# --- the daemon and Apple ---

def test_daemon_down(workdir, certs):
    daemon = Xapsd(workdir, certs)
    daemon.write_config()
    daemon.database.write_text(json.dumps({
        "user": "alice", "account": ACCOUNT, "token": TOKEN,
        "mailboxes": ["INBOX"], "acked": True,
        "time": int(time.time()) - 7210}) + "\n")
    visit = doctor(daemon).blames(
        "daemon", "failed", "not running", "systemctl start xapsd")
    assert visit.step("registration")["text"] == "the last one 2 h ago"
    assert visit.step("folders")["text"] == "INBOX"
    doctor(daemon, "bob").blames("daemon", "failed")
    visit = doctor(daemon, "alice@example.org")
    assert visit.step("names")["result"] == "failed"
    daemon.database.unlink()
    visit = doctor(daemon).blames("daemon", "failed")
    assert visit.step("database")["result"] == "failed"


def test_no_credentials(start_xapsd):
    doctor(start_xapsd(identity={})).blames(
        "Apple", "failed", "no credentials", "xapsd check")


def test_credentials_refused(xapsd, apple):
    xapsd.register("alice", ACCOUNT, TOKEN)
    apple.script(None, lambda push: Answer(403, "InvalidProviderToken"))
    xapsd.notify("alice")
    xapsd.wait_log("Apple refuses our credentials")
    doctor(xapsd).blames("Apple", "failed", "InvalidProviderToken",
                         "xapsd check")


def test_apple_unreachable(start_xapsd):
    daemon = start_xapsd(apple=None)
    daemon.register("alice", ACCOUNT, TOKEN)
    daemon.notify("alice")
    daemon.wait_until(lambda: daemon.status()["apnsError"], "refusal")
    doctor(daemon).blames("Apple", "failed", "xapsd check", "Pushes wait")


def test_warnings_do_not_matter_if_it_comes(start_xapsd, certs, workdir):
    key = workdir / "AuthKey_ZYXWV98765.p8"
    key.write_bytes(pathlib.Path(certs.p8).read_bytes())
    daemon = start_xapsd(keyFileP8=str(key))
    daemon.apple.wait_connected()
    daemon.register("alice", ACCOUNT, TOKEN)
    doctor(daemon).blames("Apple", "look", "ZYXWV98765")
    pushed(daemon)
    assert seen(daemon, "alice").status == 204
    assert doctor(daemon).first() is None


def test_suspicious_topic(start_xapsd, certs, apple):
    """Of Apple's apps, but not Mail's: Apple takes such a push, Mail ignores
    it."""
    daemon = start_xapsd(apple=apple, keyFileTopic="org.example.app")
    apple.wait_connected()
    daemon.register("alice", ACCOUNT, TOKEN)
    doctor(daemon).blames("Apple", "look", "org.example.app")


# --- the registration ---

def test_other_topic(start_xapsd, certs, workdir):
    daemon = start_xapsd()
    daemon.apple.wait_connected()
    daemon.register("alice", ACCOUNT, TOKEN)
    daemon.stop()
    daemon.config["keyFileTopic"] = "com.apple.mobilemail.push.org.example.new"
    daemon.start()
    daemon.apple.wait_connected(2)
    doctor(daemon).blames(
        "topic", "failed", TOKEN[:8], certs.key_topic, "example.new",
        "until it registers again")
    # a second phone that has the new one
    daemon.register("alice", ACCOUNT, OTHER)
    doctor(daemon).blames("topic", "look", TOKEN[:8])


def test_suspended(xapsd, apple):
    xapsd.register("alice", ACCOUNT, TOKEN)
    apple.script(TOKEN, Answer(400, "BadDeviceToken"))
    xapsd.notify("alice")
    xapsd.wait_log("suspended until")
    xapsd.notify("alice")
    doctor(xapsd).blames("token", "failed", TOKEN[:8], "suspended",
                         "switched off and on")
    xapsd.register("alice", ACCOUNT, OTHER)
    doctor(xapsd).blames("token", "look", TOKEN[:8])


def test_stale(xapsd):
    old = int(time.time()) - 5 * 86400 - 60

    def put(user, name, time_s):
        line = {"user": user, "account": ACCOUNT, "token": name,
                "mailboxes": ["INBOX"], "acked": True, "time": time_s}
        reply = xapsd.request("POST", "/admin/import", json.dumps(line) + "\n")
        assert reply.status == 200
    put("alice", TOKEN, old)
    doctor(xapsd).blames("registration", "look", "5 d ago", "Push off")
    put("alice", OTHER, old + 4 * 86400)
    visit = doctor(xapsd)
    assert visit.step("registration") == {
        "step": "registration", "result": "ok",
        "text": "the last one 1 d ago; not for days: " + TOKEN[:8]}


def test_not_acknowledged(xapsd):
    xapsd.register("alice", ACCOUNT, TOKEN, ["INBOX", "Notes"], acked=False)
    xapsd.notify("alice", "Notes")
    doctor(xapsd).blames("folders", "look", "INBOX only", "acknowledge",
                         "Install xapsd's")
    xapsd.register("bob", ACCOUNT, OTHER, ["INBOX"], acked=False)
    assert doctor(xapsd, "bob").step("folders")["result"] == "ok"


def test_inbox_is_not_watched(xapsd):
    xapsd.register("alice", ACCOUNT, TOKEN, ["Notes"])
    doctor(xapsd).blames("folders", "look", "Notes: INBOX is not among them")


def test_hashes_are_off(start_xapsd):
    daemon = start_xapsd(mailboxHashes="never")
    daemon.apple.wait_connected()
    daemon.register("alice", ACCOUNT, TOKEN, ["INBOX", "Notes"])
    doctor(daemon).blames("folders", "look", "mailboxHashes is never")


def test_no_notification(xapsd):
    xapsd.register("alice", ACCOUNT, TOKEN)
    doctor(xapsd).blames("notification", "look", "for nobody",
                         "xaps_push_notification", "protocol=lmtp")
    xapsd.notify("asmith@example.org")
    # nobody's name
    assert xapsd.request("POST", "/notify", {
        "Username": "zoe", "Owner": "public:Public", "Mailbox": "x",
        "Events": ["MessageNew"]}
        ).status == 404
    visit = doctor(xapsd).blames("notification", "look", "asmith@example.org")
    assert "for nobody" not in visit.first()["text"]


def test_denied_requests_are_mentioned(start_xapsd):
    daemon = start_xapsd(tcp=True, httpUser="u", httpPassword="p")
    daemon.apple.wait_connected()
    daemon.register("alice", ACCOUNT, TOKEN)
    assert daemon.notify("alice", tcp=True).status == 401
    doctor(daemon).blames("notification", "look", "Denied: 1 request;")
    doctor(daemon, "zoe").blames("registration", "failed", "Denied: 1 request;")


# --- the way of a mail ---

def pushed(daemon, user="alice", n=1):
    assert daemon.notify(user).status == 200
    daemon.wait_until(lambda: daemon.status()["delivered"] >= n,
                      "%d answers" % n)


def test_healthy(xapsd):
    xapsd.register("alice", ACCOUNT, TOKEN, ["INBOX", "Notes"])
    pushed(xapsd)
    assert seen(xapsd, "alice", "iOS 26.5").status == 204
    visit = doctor(xapsd)
    assert visit.first() is None and visit.status == 0, visit
    assert visit.names() == ["daemon", "Apple", "names", "registration",
                             "topic", "token", "folders", "notification",
                             "push", "visit"]
    assert visit.step("visit")["text"].startswith("iOS 26.5, ")


def test_nobody_has_come_yet(xapsd):
    xapsd.register("alice", ACCOUNT, TOKEN)
    xapsd.register("bob", ACCOUNT, OTHER)
    pushed(xapsd)
    # another user's shows that visits are reported
    assert seen(xapsd, "bob").status == 204
    doctor(xapsd).blames("visit", "look", "nobody has come yet",
                         "Low Power Mode")


def test_visits_are_not_reported(xapsd):
    """Then the phone is not blamed."""
    xapsd.register("alice", ACCOUNT, TOKEN)
    pushed(xapsd)
    visit = doctor(xapsd).blames("visit", "look", "xaps_visits", "not known",
                                 "none has been reported since the start",
                                 "nobody's phone has come, or", status=0)
    assert "Settings" not in visit.first()["text"]


def test_folder_is_not_watched(xapsd):
    xapsd.register("alice", ACCOUNT, TOKEN, ["INBOX", "Notes"])
    assert xapsd.notify("alice", "Lists").status == 204
    visit = doctor(xapsd).blames(
        "folders", "look", "no device watches", "INBOX, Notes",
        "Settings > Apps > Mail > Mail Accounts > Fetch New Data")
    assert "push" not in visit.names()


def test_folder_is_watched_by_somebody_else(xapsd, apple):
    xapsd.register("alice", ACCOUNT, TOKEN)
    xapsd.register("bob", ACCOUNT, OTHER, ["INBOX", "shared/alice/Lists"],
                   Canonical=[{"owner": "bob", "mailbox": "INBOX"},
                              {"owner": "alice", "mailbox": "Lists"}])
    assert xapsd.notify("alice", "Lists").status == 200
    apple.wait_for(1, token=OTHER)
    doctor(xapsd).blames("folders", "look", "no device watches")
    assert doctor(xapsd, "bob").step("folders")["result"] == "ok"


def test_no_push_is_under_way(xapsd, apple):
    """If none of those that watch the folder can be woken for it."""
    xapsd.register("alice", ACCOUNT, TOKEN, ["INBOX", "Lists"])
    apple.script(TOKEN, Answer(400, "BadDeviceToken"))
    xapsd.notify("alice", "Lists")
    xapsd.wait_log("BadDeviceToken")
    xapsd.register("alice", ACCOUNT, OTHER)
    xapsd.notify("alice", "Lists")
    visit = doctor(xapsd).blames("token", "look", TOKEN[:8])
    assert "push" not in visit.names(), visit
    xapsd.register("bob", ACCOUNT, token(1), ["INBOX", "Lists"], acked=False)
    xapsd.notify("bob", "Lists")
    visit = doctor(xapsd, "bob").blames("folders", "look", "INBOX only")
    assert "push" not in visit.names(), visit


def test_paused_device(start_xapsd, apple):
    daemon = start_xapsd(retryMin="1h", retryMax="1h")
    apple.wait_connected()
    daemon.register("alice", ACCOUNT, TOKEN)
    apple.script(TOKEN, Answer(429, "TooManyRequests"))
    daemon.notify("alice")
    daemon.wait_log("TooManyRequests")
    doctor(daemon).blames("push", "failed", "429 TooManyRequests", TOKEN[:8],
                          "none since the start", "xapsd push alice")


@with_clock
def test_nobody_came(start_xapsd, apple, all_clocks):   # noqa: F811
    all_clocks("+0s")
    # Apple would not take a JWT of later
    daemon = start_xapsd(identity=certificate)
    apple.wait_connected()
    daemon.register("alice", ACCOUNT, TOKEN)
    daemon.register("bob", ACCOUNT, OTHER)
    assert seen(daemon, "bob").status == 204
    for n in range(3):
        pushed(daemon, n=n + 1)
        all_clocks("+%ds" % (700 * (n + 1)))
    doctor(daemon).blames(
        "visit", "failed", "3 pushes, nobody came", "Low Power Mode")
    assert seen(daemon, "alice", "iOS 26.5").status == 204
    doctor(daemon).blames("visit", "look", "iOS 26.5 came", "more than 10 min")
    pushed(daemon, n=4)
    assert seen(daemon, "alice", "iOS 26.5").status == 204
    assert doctor(daemon).first() is None


# --- with Dovecot ---

@pytest.fixture
def dovecot(xapsd, workdir, plugin_dir):
    """A function that starts one whose plugin talks to the daemon."""
    with contextlib.ExitStack() as stack:
        yield lambda **options: stack.enter_context(Dovecot(
            workdir, plugin_dir, {"url": "unix:" + xapsd.socket_path},
            **options))


def test_dovecot_reports_no_delivery(xapsd, dovecot, certs):
    server = dovecot(extra="protocol lmtp {\n  mail_plugins =\n}\n" if IS_2_3
                     else "protocol lmtp {\n  mail_plugins {\n"
                     "    xaps_push_notification = no\n"
                     "    push_notification = no\n  }\n}\n")
    register(server, "alice", certs.key_topic)
    server.deliver("alice", mail())
    doctor(xapsd).blames("notification", "look", "for nobody",
                         "doveconf -f protocol=lmtp mail_plugins")


def test_dovecot_has_two_names(xapsd, dovecot, certs):
    server = dovecot()
    register(server, "alice", certs.key_topic)
    server.deliver("alice@example.org", mail())
    xapsd.wait_until(lambda: xapsd.status()["unknownUsers"], "notification")
    doctor(xapsd).blames("names", "failed", "alice@example.org")
    doctor(xapsd, "alice@example.org").blames("names", "failed",
                                              "devices of alice.")


def test_dovecot_leaves_a_user_out(xapsd, dovecot):
    server = dovecot(userdb={"xaps": "no"})
    with server.imap("alice") as imap:
        assert "XAPPLEPUSHSERVICE" not in " ".join(imap.ok("CAPABILITY"))
    doctor(xapsd).blames("registration", "failed", "field xaps must not be no")


def test_device_is_gone(xapsd, apple):
    xapsd.register("alice", ACCOUNT, TOKEN)
    apple.script(TOKEN, Answer(410, "Unregistered",
                               timestamp=int(time.time() + 60) * 1000))
    xapsd.notify("alice")
    xapsd.wait_log("registration removed")
    doctor(xapsd).blames("registration", "failed",
                         "Apple has reported gone, see xapsd's log: 1 device.")


def test_push_is_under_way(start_xapsd, apple):
    daemon = start_xapsd(delay="1h")
    apple.wait_connected()
    daemon.register("alice", ACCOUNT, TOKEN)
    daemon.notify("alice", events=["FlagsSet"])
    doctor(daemon).blames("push", "look", "under way")


# --- what only time brings: answers written by hand ---

NOW = 100_000   # seconds ago that all began


class Scripted:
    """Answers as a daemon would: /status, lines of /admin/list, names."""

    def __init__(self, daemon):
        self.status = {"version": "0.2.0", "uptime": NOW, "problem": "",
                       "apns": "connected", "apnsError": "", "topic": "t",
                       "notified": 5, "visits": 3, "warnings": []}
        self.lines = []
        self.unknown = {}
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(daemon.socket_path)
        self.socket.listen()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def device(self, name=TOKEN, **more):
        """Times are seconds ago, and one: time() may be late by a tick."""
        line = {"user": "alice", "account": ACCOUNT, "token": name,
                "mailboxes": ["INBOX"], "acked": True, "time": 3600,
                "notified": 80, "pushed": 80, "answer": "Apple took it",
                "seen": 78, "client": "iOS 26.5", "wakeup": 1.8,
                "waiting": 0, "unanswered": 0}
        line.update(more)
        line = {k: v for k, v in line.items() if v is not None}
        for key in {"time", "notified", "pushed", "seen"} & set(line):
            line[key] = int(time.time()) - line[key] - 1
        self.lines.append(line)

    def body(self, path):
        if path == "/status":
            return json.dumps(self.status)
        if path == "/admin/unknown":
            return json.dumps(self.unknown)
        assert path == "/admin/list"
        return "".join(json.dumps(line) + "\n"
                       for line in [*self.lines, {"next": 0}])

    def serve(self):
        while True:
            connection, _ = self.socket.accept()
            with connection, connection.makefile("rb") as stream:
                first = stream.readline().split()
                if not first:
                    return
                head = b"".join(iter(stream.readline, b"\r\n"))
                # what is unread would reset the connection
                stream.read(int(re.search(rb"Length: (\d+)", head)[1]))
                body = self.body(first[1].decode()).encode()
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (
                        len(body), body))

    def end(self, path):
        with socket.socket(socket.AF_UNIX) as s:    # ends serve()
            s.connect(path)
        self.thread.join()
        self.socket.close()


@pytest.fixture
def said(workdir, certs):
    """What the daemon says, and a function that asks the doctor."""
    daemon = Xapsd(workdir, certs)
    script = Scripted(daemon)
    script.ask = lambda *user: doctor(daemon, *user)
    script.run = daemon.run
    yield script
    script.end(daemon.socket_path)


def test_ages_and_clients(said):
    said.device()
    visit = said.ask()
    assert visit.first() is None and visit.status == 0, visit
    assert visit.step("notification")["text"] == "the last one 1 min ago"
    assert visit.step("push")["text"] == "Apple took the last one 1 min ago"
    assert re.fullmatch(r"iOS 26.5, 1.8 s after a push, came 1 min ago\."
                        " If it shows nothing: Settings > .*",
                        visit.step("visit")["text"])


def test_suspended_is_not_a_matter_of_folders(said):
    said.device(notifiedUnwatched=True, suspended=True,
                answer="Apple answered 400 BadDeviceToken: unknown here")
    visit = said.ask().blames("token", "failed", "BadDeviceToken",
                              "unknown here")
    assert visit.step("folders")["result"] == "ok"


def test_one_device_is_paused(said):
    said.device(answer="Apple answered 429 TooManyRequests", pushed=1800,
                seen=1790)
    said.device(OTHER, pushed=60)
    said.ask().blames("push", "look", "1 min ago", TOKEN[:8])


def test_notified_and_not_pushed(said):
    said.device(notified=600, pushed=7300, seen=7298)
    said.ask().blames("push", "look", "2 h ago", "log")
    said.lines.clear()
    said.device(notified=600, pushed=None, seen=None, answer=None)
    said.ask().blames("push", "look", "none since the start")


def test_what_to_look_at_on_the_phone(said):
    said.device(notified=1200, pushed=1200, seen=90000, unanswered=1)
    said.ask().blames(
        "visit", "failed", "1 push, nobody came", "Fetch New Data",
        "Settings > Notifications > Mail", "Low Power Mode", "Game Mode",
        "switched off and on (Settings > Apps > Mail > Mail Accounts)",
        "Nor has anybody else's phone")
    said.status["wakeups"] = 1
    assert "Nor has" not in said.ask().first()["text"]


def test_push_without_a_visit(said):
    said.device(notified=60, pushed=60, seen=900, waiting=1)
    said.ask().blames("visit", "look", "1 min ago", "within seconds")
    said.lines.clear()      # it was a push of before the first visit
    said.device(notified=60, pushed=60, seen=None, waiting=0)
    said.ask().blames("visit", "look", "Ask again")


def test_no_visits_and_many_pushes(said):
    said.status["visits"] = 0
    for unanswered in (0, 3):
        said.lines.clear()
        said.device(seen=None, client=None, wakeup=None, unanswered=unanswered)
        visit = said.ask().blames("visit", "look", "xaps_visits", "not known",
                                  status=0)
        assert "Settings" not in visit.first()["text"]
    del said.status["visits"]   # an older daemon
    said.ask().blames("visit", "look", "not known", status=0)


def test_other_name_is_notified_now(said):
    said.device(notified=7200, pushed=7200)
    said.unknown = {"name": "alice@example.org", "notified": 60, "last": ""}
    said.ask().blames("names", "failed", "alice@example.org, who",
                      "the last 1 min ago, and for alice: 2 h ago")
    # it was so, until somebody mended it
    said.lines.clear()
    said.device()
    said.unknown["notified"] = 7200
    assert said.ask().first() is None


def test_same_name_in_another_domain(said):
    """Mail for info@b is no trouble of info@a, who has mail of his own."""
    said.device()
    said.unknown = {"name": "alice@b.example", "notified": 10, "last": ""}
    said.ask().blames("names", "failed", "alice@b.example, who has no device",
                      "If that is the same person")
    assert said.ask("alice@a.example").first() is None


def test_came_much_later(said):
    """Somebody opened Mail: no push has woken the phone."""
    said.device(notified=7200, pushed=7200, seen=6000, wakeup=None)
    said.ask().blames("visit", "look", "iOS 26.5 came 1 h ago",
                      "more than 10 minutes after the push of 2 h ago",
                      "Low Power Mode")
    # another device, on which an earlier push was answered
    said.device(OTHER, notified=9000, pushed=9000, seen=6000)
    said.lines.reverse()
    said.ask().blames("visit", "look", "more than 10 minutes")


def test_came_again(said):
    """The last visit is not the one that a push brought."""
    said.device(notified=7200, pushed=7200, seen=60)
    visit = said.ask()
    assert visit.first() is None, visit
    assert visit.step("visit")["text"].startswith(
        "iOS 26.5 came 1.8 s after the last push, and again 1 min ago. If")


def test_more_pushes_than_are_counted(said):
    said.device(seen=90000, unanswered=255)
    said.ask().blames("visit", "failed", "255+ pushes, nobody came")


@pytest.mark.parametrize("name", [
    "a b", "o'brien", "-x", "$(touch oops)", "pa;ul", "jürgen@a-b.example"])
def test_commands_can_be_pasted(xapsd, name):
    xapsd.register(name, ACCOUNT, TOKEN)
    text = doctor(xapsd, name + "+more").blames("names", "failed")
    command = text.first()["text"].rpartition(" woken: ")[2]
    said = shlex.split(command)
    assert subprocess.run(
        ["sh", "-c", "printf '%s\n' " + command], text=True,
        stdout=subprocess.PIPE, check=True).stdout.splitlines() == said
    assert said[:2] == ["xapsd", "doctor"] and said[-1] == name
    assert xapsd.run(*said[1:]).stderr == ""
    assert ("'" in command) == (name[0] in "ao$p") or name[0] == "-"


def test_long_names_are_cut_between_characters(xapsd):
    folder = "Übergrößenträger"
    xapsd.register("x" + "ä" * 60 + "@a.example", ACCOUNT, TOKEN,
                   ["INBOX", "y" + folder * 3])
    visit = doctor(xapsd, "x" + "ä" * 60).blames(
        "names", "failed", "are devices of x" + "ä" * 19 + "…. If")
    text = doctor(xapsd, "x" + "ä" * 60 + "@a.example").step("folders")["text"]
    assert text.startswith("INBOX, yÜbergrö") and text.endswith("…")
    assert "\ufffd" not in repr(visit) + text and "?" not in text


def test_several_devices_one_comes(said):
    said.device()
    said.device(OTHER, pushed=86400, seen=None, unanswered=9,
                time=20 * 86400)
    visit = said.ask()
    assert visit.first() is None, visit


def test_several_nodes(said):
    said.device(notified=None, pushed=None, seen=None)
    assert "nodes" not in said.ask().blames("notification",
                                            "look").first()["text"]
    said.status["shared"] = {"state": "in step"}
    said.ask().blames("notification", "look", "There are several nodes")
    said.lines.clear()
    assert "node" not in said.ask().blames("registration",
                                           "failed").first()["text"]
    said.status["shared"]["state"] = "away"
    said.status["shared"]["lag"] = 300
    assert said.ask().step("shared book")["text"].startswith(
        "away, last in step 5 min ago")


def test_disk(said):
    said.device()
    said.status["storeFailing"] = True
    said.ask().blames("daemon", "failed", "cannot be written")


def test_hostile_answers(said):
    said.device(client="\033[2J", answer="\033]0;x\007\u009b31m" + "y" * 5000,
                mailboxes=["a\rb", "\u009b", "INBOX", 7, None])
    said.status["apnsError"] = "\033"
    text = said.run("doctor", "alice").stdout
    assert not re.search("[^\n -~]", text)
    assert "?[2J, 1.8 s after" in text and "a?b, ?, INBOX and" in text
    assert json.loads(said.run("doctor", "alice", "--json").stdout)


@pytest.mark.parametrize("body", [
    "", "[]", "{}", "7", "{\"user\":", "null\n", "{\"next\":0}{}\n",
    "{\"token\":1}\n{\"next\":0}\n",
    "{\"token\":1,\"mailboxes\":{},\"canonical\":3}\n{\"next\":0}\n"])
def test_answers_that_are_none(said, body):
    def answers(path):
        return json.dumps(said.status) if path in good else body
    said.body = answers
    for good in ([], ["/status"]):
        for args in (["--json"], []):
            assert said.run("doctor", "alice", *args).returncode == 1


# --- names, many of them, and terminals ---

@pytest.mark.parametrize("name", [
    "\033[31mred", "a\nb", "x" * 256, "\x7f", "a\u0085b",
    b"\xff\xfe".decode("utf-8", "surrogateescape")], ids=range(6))
def test_names_that_nobody_has(xapsd, name):
    visit = doctor(xapsd, name)
    assert [s["step"] for s in visit.steps] == ["names"]
    visit.blames("names", "failed", "nobody can have this name")


@pytest.mark.parametrize("name", [
    '"', "\\", "a b", "-x", "--json", "%s%n", "x" * 255, "ж" * 127, "<b>"],
    ids=range(9))
def test_odd_names(xapsd, name):
    doctor(xapsd, name).blames("registration", "failed", name[:20])
    xapsd.register(name, ACCOUNT, TOKEN)
    doctor(xapsd, name).blames("notification", "look")
    assert name in doctor(xapsd, name).step("names")["text"]


def test_fifty_devices(xapsd):
    for i in range(50):
        xapsd.register("alice", ACCOUNT, token(i), ["INBOX", "Notes"],
                       acked=i % 2 == 0, keep=True)
    visit = doctor(xapsd)
    assert visit.step("names")["text"] == "alice has 50 devices"
    assert len(visit.step("folders")["text"]) < 300
    assert visit.step("folders")["text"].count(token(1)[:8]) <= 3
    assert " and 22 more: INBOX only" in visit.step("folders")["text"]


def test_a_thousand_folders(xapsd):
    names = ["INBOX", *("ordner/%d" % i for i in range(997)), "é" * 512,
             "a\\b\"c"]
    xapsd.register("alice", ACCOUNT, TOKEN, names)
    assert doctor(xapsd).step("folders")["text"] == \
        "INBOX, ordner/0, ordner/1 and 997 more"
    xapsd.register("alice", ACCOUNT, TOKEN, ["é" * 512, "x" * 1024, "INBOX"])
    assert len(doctor(xapsd).step("folders")["text"]) < 200


def test_on_a_terminal(xapsd):
    xapsd.register("alice", ACCOUNT, TOKEN)
    text = xapsd.on_terminal("doctor", "alice", ends=1)
    assert "\033[32mok\033[0m" in text and "\033[1mlook\033[0m" in text
    plain = xapsd.on_terminal("doctor", "alice", NO_COLOR="1", ends=1)
    assert "\033" not in plain and max(map(len, plain.splitlines())) <= 60


# --- the command ---

def test_usage(xapsd):
    for args in ([], ["a", "b"], [""]):
        done = xapsd.run("doctor", *args)
        assert done.returncode == 64
        assert "usage: xapsd doctor [--json] USER" in done.stderr
    assert "did you mean doctor?" in xapsd.run("docter", "x").stderr
    done = xapsd.run("help", "doctor")
    assert done.returncode == 0 and "--json" in done.stdout


def test_wrong_configuration(xapsd):
    for args in ([], ["--json"]):
        done = xapsd.run("--port=x", "doctor", *args, "alice")
        assert done.returncode == 78
        assert "port: " in done.stderr
    said = json.loads(done.stdout)
    assert said["ok"] is False
    assert said["steps"][0]["step"] == "configuration"


def test_output_that_cannot_be_written(xapsd):
    import subprocess
    with open("/dev/full", "w") as full:
        done = subprocess.run(xapsd.command("doctor", "alice"), stdout=full)
    assert done.returncode == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another")
def test_not_allowed(start_xapsd, workdir):
    import shutil
    import subprocess
    from xapsd import executable
    daemon = start_xapsd()
    program = workdir / "xapsd"
    shutil.copy(executable(), program)
    daemon.config_path.chmod(0o644)
    for path in daemon.folder.glob("*"):
        path.chmod(path.stat().st_mode | 0o004)
    for socket_mode in (0o666, 0o600):
        os.chmod(daemon.socket_path, socket_mode)
        done = subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
             str(program), "-c", str(daemon.config_path), "doctor", "alice"],
            capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (1, "")
        said = " ".join(done.stdout.split())
        assert said.startswith("daemon FAILED ") and "sudo xapsd doctor" in said
