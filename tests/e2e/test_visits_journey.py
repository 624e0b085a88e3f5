"""Proof that the phone came: a scripted iPhone, a real Dovecot with the plugin,
the real daemon, a stand-in for Apple."""
import json
import re
import time

import pytest

from dovecot import wait_for
from phones import OTHER, TOKEN
from pushservice import PushService
from test_journey import ask, mail
from test_visits_plugin import ANDROID, IPHONE, OTHER_PROGRAM, said

PAUSE_S = 1.5   # from the push to the phone's log-in
# Of the time that is shown: rounded down, and a busy machine adds.
LEAST_S, MOST_S = 1.4, 1.9


class Phone:
    """What iOS does when Mail connects, and when a push has come."""

    def __init__(self, dovecot, user, token=TOKEN, says=IPHONE):
        self.dovecot, self.user = dovecot, user
        self.token, self.says = token, says

    def register(self):
        with self.dovecot.imap(self.user) as imap:
            imap.ok(self.says)
            imap.ok("NAMESPACE")
            _, tagged = ask(imap, token=self.token)
            assert tagged.split(" ")[1] == "OK"
            imap.ok("LOGOUT")

    def come(self, known=lambda: True):
        """Stays until the visit is known, as phones stay for seconds."""
        with self.dovecot.imap(self.user) as imap:
            imap.ok(self.says)
            imap.ok("SELECT INBOX")
            wait_for(known, what="visit")
            imap.ok("LOGOUT")


def came_back(apple, phone, n=1, pause_s=PAUSE_S, known=lambda: True):
    """A mail, its push, and the phone's log-in that long after it; how long
    that has been at most."""
    sent = time.monotonic()
    phone.dovecot.deliver(phone.user, mail())
    push = apple.wait_for(n, token=phone.token)[n - 1]
    time.sleep(max(0, push.at + pause_s - time.monotonic()))
    phone.come(known)
    return time.monotonic() - sent


def listed(xapsd, user):
    """Of one device, once its visit is known."""
    def known():
        found = [json.loads(line) for line in xapsd.request(
            "POST", "/admin/list", {"Username": user}).body.splitlines()]
        return [r for r in found if r.get("user") == user and "wakeup" in r]
    return wait_for(known, what="visit")[0]


def metric(xapsd, name):
    text = xapsd.request("GET", "/metrics").body
    return float(re.search(rf"^{re.escape(name)} (\S+)$", text, re.M)[1])


@pytest.mark.journey
@pytest.mark.parametrize("door", ["unix", "tcp"])
def test_came_after(start_xapsd, start_dovecot, apple, door):
    xapsd = start_xapsd(tcp=door == "tcp")
    dovecot = start_dovecot("unix:" + xapsd.socket_path if door == "unix"
                            else "http://127.0.0.1:%d" % xapsd.port)
    phone = Phone(dovecot, "alice")
    phone.register()
    xapsd.wait_until(lambda: xapsd.status()["visits"] == 1, "first visit")
    at_most = max(MOST_S, came_back(
        apple, phone, known=lambda: xapsd.status()["visits"] == 2))
    record = listed(xapsd, "alice")
    assert LEAST_S <= record["wakeup"] <= at_most
    assert record["client"] == "iOS 26.5"
    assert record["unanswered"] == 0
    status = xapsd.status()
    assert status["visits"] == 2 and status["wakeups"] == 1
    assert status["missed"] == 0 and status["silent"] == 0
    assert LEAST_S <= status["wakeupMedian"] <= at_most
    assert metric(xapsd, "xapsd_visits_total") == 2
    assert metric(xapsd, "xapsd_wakeup_seconds_count") == 1
    assert LEAST_S <= metric(xapsd, "xapsd_wakeup_seconds_sum") <= at_most
    assert metric(xapsd, 'xapsd_wakeup_seconds_bucket{le="1"}') == 0
    assert metric(xapsd, 'xapsd_wakeup_seconds_bucket{le="300"}') == 1
    shown_to_people(xapsd, "%.1f s" % record["wakeup"])
    assert not dovecot.errors() and "Warning: xaps" not in dovecot.log()


def shown_to_people(xapsd, took):
    """list, status, doctor and the page say the same."""
    after = "came after " + took
    assert after in xapsd.run("list").stdout
    assert after in xapsd.run("status").stdout
    doctor = xapsd.run("doctor", "alice")
    assert doctor.returncode == 0
    assert re.search("^visit +ok +iOS 26.5, %s after a push" % took,
                     doctor.stdout, re.M)
    assert "<b>%s</b>" % took in xapsd.request("GET", "/").body


@pytest.mark.journey
def test_android_came(start_xapsd, start_dovecot, certs):
    """A mail, a web push, and the log-in of a client whose ID names Android."""
    with PushService(certs) as service:
        xapsd = start_xapsd(pushAllow="localhost", caFile=certs.ca)
        dovecot = start_dovecot("unix:" + xapsd.socket_path)
        app = service.subscribe(vapid=xapsd.request("GET", "/vapid").body)
        assert xapsd.request("POST", "/register", {
            "Kind": "webpush", "Username": "alice", **app.fields
            }).status == 200
        phone = Phone(dovecot, "alice", says=ANDROID)
        phone.come(lambda: xapsd.status()["visits"] == 1)
        dovecot.deliver("alice", mail())
        push, = service.wait_for(1, app=app)
        assert push.problem is None and push.content["mailbox"] == "INBOX"
        xapsd.wait_until(lambda: xapsd.status()["kinds"][0]["delivered"] == 1,
                         "its answer")
        phone.come(lambda: xapsd.status()["visits"] == 2)
        record = listed(xapsd, "alice")
        assert record["client"] == "Android 14" and record["wakeup"] > 0
        assert record["kind"] == "webpush" and record["unanswered"] == 0
        assert "came after" in xapsd.run("list").stdout
        doctor = xapsd.run("doctor", "alice")
        assert doctor.returncode == 0
        assert "Android 14 came" in " ".join(doctor.stdout.split())


@pytest.mark.journey
def test_others_are_no_proof(xapsd, start_dovecot, apple):
    """A webmail, a Mac and a download in the background are not the phone
    that the push was for."""
    dovecot = start_dovecot("unix:" + xapsd.socket_path)
    phone = Phone(dovecot, "alice")
    phone.register()
    xapsd.wait_until(lambda: xapsd.status()["visits"] == 1, "first visit")
    dovecot.deliver("alice", mail())
    apple.wait_for(1)
    for says in (OTHER_PROGRAM, said("name", "Mac OS X Mail", "os", "Mac OS X"),
                 said("name", "com.apple.email.maild", "os", "iOS",
                      "os-version", "26.5", "event", "back-fill")):
        Phone(dovecot, "alice", says=says).come()
    other = Phone(dovecot, "bob", OTHER)
    other.register()
    xapsd.wait_until(lambda: xapsd.status()["visits"] == 2, "bob's visit")
    assert xapsd.status()["wakeups"] == 0
    phone.come()
    assert listed(xapsd, "alice")["wakeup"] > 0


@pytest.mark.journey
def test_each_push(xapsd, start_dovecot, apple):
    """Visits that follow each other quickly are measured each."""
    dovecot = start_dovecot("unix:" + xapsd.socket_path)
    phone = Phone(dovecot, "alice")
    phone.register()
    for n in (1, 2):
        came_back(apple, phone, n, pause_s=0.1)
        xapsd.wait_until(lambda n=n: xapsd.status()["visits"] == n + 1,
                         "visit")
    assert xapsd.status()["missed"] == 0


@pytest.mark.journey
def test_visits_off(xapsd, start_dovecot, apple):
    dovecot = start_dovecot("unix:" + xapsd.socket_path)
    dovecot.stop()
    dovecot.xaps_settings["visits"] = "no"
    dovecot.start()
    phone = Phone(dovecot, "alice")
    phone.register()
    came_back(apple, phone, pause_s=0)
    dovecot.stop()      # all is sent
    status = xapsd.status()
    assert status["visits"] == status["missed"] == 0
