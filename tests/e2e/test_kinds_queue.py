"""All kinds of registrations in one queue: one user's browser, Delta Chat app,
hook and iPhone, while what they are reached by does all that it can."""

import json
import subprocess

import pytest

from phones import ACCOUNT, TOKEN
from pushservice import Answer, PushService
from xapsd import executable

KINDS = ("webpush", "deltachat", "hook")

pytestmark = pytest.mark.skipif(
    any(feature not in subprocess.run(
        [executable(), "--version"], capture_output=True, text=True).stdout
        for feature in ("webpush", "deltachat", "hooks")),
    reason="this xapsd was built without one of them")


@pytest.fixture
def service(certs):
    """Is all three of them; must have found nothing wrong in the end."""
    with PushService(certs) as there:
        yield there
        assert there.problems() == []


class World:
    """The daemon and alice's registrations; kinds: those that there are."""

    def __init__(self, start_xapsd, certs, workdir, service, **config):
        self.service = service
        hooks = workdir / "hooks"
        hooks.mkdir(exist_ok=True)
        self.hook = hooks / "one.yaml"
        self.hook.write_text("url: %s/hook\nevents: all\n" % service.origin())
        self.xapsd = start_xapsd(**{
            "caFile": certs.ca, "pushAllow": "localhost", "hooksDir": hooks,
            "deltachatUrl": service.origin() + "/notify", **config})
        self.app = service.subscribe(
            self.xapsd.request("GET", "/vapid").body)
        self.paths = {"webpush": self.app.path, "deltachat": "/notify",
                      "hook": "/hook"}

    def register(self, *kinds):
        """Hooks need none, and must not be read again: what they have waiting
        would be sent at once."""
        asked = {"webpush": {**self.app.fields, "Mailboxes": ["*"]},
                 "deltachat": {"Token": "openpgp:abc", "Mailboxes": ["*"]}}
        for kind in set(kinds) & set(asked):
            reply = self.xapsd.request("POST", "/register", {
                "Kind": kind, "Username": "alice", **asked[kind]})
            assert reply.status == 200, reply

    def only(self, kind):
        """No other one is there."""
        if kind != "hook":
            self.hook.unlink()
            start = self.xapsd.log_size()
            self.xapsd.process.send_signal(1)
            self.xapsd.wait_log("hooks: 0", start=start)
        self.register(kind)

    def wait(self, kind, n):
        return self.service.wait_for(n, app=self.paths[kind])

    def counts(self):
        return {kind: len(self.service.to(path))
                for kind, path in self.paths.items()}

    def waiting(self):
        status = self.xapsd.status()
        return status["queue"] + sum(
            kind["queue"] for kind in status.get("kinds", ()))

    def idle(self):
        self.xapsd.wait_until(lambda: self.waiting() == 0, "empty queue")

    def listed(self):
        return {r.get("kind", "apple") for r in json.loads(
            self.xapsd.run("list", "--json", "alice").stdout)}


@pytest.fixture
def make(start_xapsd, certs, workdir, service):
    def make(**config):
        return World(start_xapsd, certs, workdir, service, **config)
    return make


def test_one_mail_wakes_all(make, service, apple):
    w = make()
    w.register(*KINDS)
    w.xapsd.register("alice", ACCOUNT, TOKEN)
    assert w.xapsd.notify("alice").status == 200
    apple.wait_for(1)
    for kind in KINDS:
        w.wait(kind, 1)
    w.idle()
    assert w.counts() == dict.fromkeys(KINDS, 1)
    assert w.listed() == {"webpush", "deltachat", "apple"}


def test_one_server_hangs(make, service, apple):
    """Apple's pushes wait for nobody."""
    w = make(pushTimeout="10m")
    w.register(*KINDS)
    w.xapsd.register("alice", ACCOUNT, TOKEN)
    service.hold()
    w.xapsd.notify("alice")
    for kind in KINDS:
        w.wait(kind, 1)
    apple.wait_for(1)       # else the next event may join it
    for n in range(2, 4):
        w.xapsd.notify("alice")
        apple.wait_for(n)
    assert w.counts() == dict.fromkeys(KINDS, 1)
    service.release()
    for kind in KINDS:      # what came meanwhile is one push
        w.wait(kind, 2)
    w.idle()
    assert w.counts() == dict.fromkeys(KINDS, 2)


def test_without_apple(make, service):
    """No credential of Apple's is needed for the others."""
    w = make(keyFileP8=None, keyFileKeyId=None, keyFileTeamId=None,
             keyFileTopic=None)
    assert w.xapsd.notify("bob").status == 200      # the hook
    w.wait("hook", 1)
    w.register(*KINDS)
    assert w.xapsd.notify("alice").status == 200
    for kind in KINDS:
        w.wait(kind, 1 + (kind == "hook"))
    w.idle()


def test_restart_with_a_queue(make, service):
    """Refused for now, and delayed: each is sent once after it.  What was
    answered before is not."""
    w = make(delay="1h", retryMin="1h", retryMax="2h")
    w.register(*KINDS)
    w.xapsd.notify("alice", "Answered")
    for kind in KINDS:
        w.wait(kind, 1)
    w.idle()
    service.script(None, lambda push: Answer(503))
    w.xapsd.notify("alice", "Refused")
    for kind in KINDS:
        w.wait(kind, 2)
    w.xapsd.notify("alice", "Delayed", events=["FlagsSet"])
    assert w.waiting() == 3
    w.xapsd.stop()
    service.unscript()
    w.xapsd.start()
    w.wait("webpush", 4)
    w.wait("hook", 4)
    w.wait("deltachat", 3)      # names no mailbox, and new mail only
    w.idle()
    assert w.counts() == {"webpush": 4, "hook": 4, "deltachat": 3}
    said = [p.content for p in service.to(w.app)[2:]]
    assert sorted((s["mailbox"], s["event"]) for s in said) == [
        ("Delayed", "changed"), ("Refused", "new")]


def test_stopped_without_an_answer(make, service):
    """Nobody knows whether it was taken: it is sent again."""
    w = make(pushTimeout="10m")     # longer than a stop waits
    w.register(*KINDS)
    service.hold()
    w.xapsd.notify("alice")
    for kind in KINDS:
        w.wait(kind, 1)
    w.xapsd.stop()
    service.wait_unconnected()      # else it would answer nobody
    service.release()
    w.xapsd.start()
    for kind in KINDS:
        w.wait(kind, 2)
    w.idle()
    assert w.counts() == dict.fromkeys(KINDS, 2)


@pytest.mark.parametrize("status", [201, 404, 410, 429, 503])
@pytest.mark.parametrize("kind", ["webpush", "deltachat"])
def test_removed_in_flight(make, service, kind, status):
    w = make(retryMin="10ms", retryMax="20ms")
    w.only(kind)
    service.script(w.paths[kind], Answer(status))
    service.hold()
    w.xapsd.notify("alice")
    w.wait(kind, 1)
    w.xapsd.run("forget", "alice")
    service.release()
    w.idle()
    assert w.listed() == set()
    assert w.xapsd.notify("alice").status == 404
    w.register(kind)            # and comes back
    w.xapsd.notify("alice")
    w.wait(kind, 2)
    w.idle()
    assert w.counts()[kind] == 2


@pytest.mark.parametrize("kind", ["webpush", "deltachat"])
def test_renewed_in_flight(make, service, kind):
    """The 410 is about the registration before."""
    w = make()
    w.only(kind)
    service.script(w.paths[kind], Answer(410), Answer(201), Answer(410))
    service.hold()
    w.xapsd.notify("alice")
    w.wait(kind, 1)
    w.register(kind)
    service.release()
    w.wait(kind, 2)
    w.idle()
    assert w.listed() == {kind}
    w.xapsd.notify("alice")
    w.wait(kind, 3)
    w.xapsd.wait_until(lambda: w.listed() == set(), "it to be gone")


@pytest.mark.parametrize("kind", KINDS)
def test_goes_away_and_comes_back(make, service, kind):
    w = make(retryMin="10ms", retryMax="20ms")
    w.only(kind)
    service.go_away()
    w.xapsd.notify("alice")
    w.xapsd.wait_log("Connection refused")
    assert w.waiting() == 1
    service.come_back()
    w.wait(kind, 1)
    w.idle()


@pytest.mark.parametrize("kind", ["webpush", "deltachat"])
def test_trial(make, service, kind):
    w = make()
    w.only(kind)
    done = w.xapsd.run("push", "alice", "Any folder")
    assert done.returncode == 0 and "took it" in done.stdout, done
    service.script(w.paths[kind], Answer(410))
    done = w.xapsd.run("push", "alice")
    assert done.returncode == 1 and "answered 410" in done.stdout, done
    assert w.listed() == set()


def test_unseen(make, service):
    w = make()
    w.hook.write_text("url: %s/hook/{unseen}\n" % service.origin())
    w.xapsd.restart()
    for said, path in ((7, "7"), (0, "0")):
        reply = w.xapsd.request("POST", "/notify", {
            "Username": "alice", "Mailbox": "INBOX", "Events": ["MessageNew"],
            "Unseen": said})
        assert reply.status == 200
        service.wait_for(1, app="/hook/" + path)
        w.idle()
    for said in (-1, 1.5, "3", True, []):
        reply = w.xapsd.request("POST", "/notify", {
            "Username": "alice", "Mailbox": "INBOX", "Events": ["MessageNew"],
            "Unseen": said})
        assert reply.status == 400 and "Unseen" in reply.body, reply
    reply = w.xapsd.request("PUT", "/preliminary/http-notify/v1/notify", {
        "user": "alice", "folder": "INBOX", "event": "messageNew",
        "unseen": 12})
    assert reply.status == 200
    service.wait_for(1, app="/hook/12")
