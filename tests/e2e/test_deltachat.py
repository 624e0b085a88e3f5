"""Pushes to Delta Chat's apps: their tokens, sent to their developers' server, for
which a stand-in takes part that knows nothing but HTTP."""

import json
import os
import subprocess

import pytest

from phones import ACCOUNT, TOKEN
from pushservice import Answer, PushService
from test_clock import LIBRARY, all_clocks, clock, look  # noqa: F401
from test_journey import mail
from xapsd import executable

pytestmark = pytest.mark.skipif(
    "deltachat" not in subprocess.run(
        [executable(), "--version"], capture_output=True, text=True).stdout,
    reason="this xapsd was built without deltachat")

# As chatmail's core makes it, and a short one.
LONG = "openpgp:" + "wV4DY7mYbKtX+/eSAQdA" * 40 + "=="
SHORT = "fcm-chat.delta:abc"


@pytest.fixture
def server(certs):
    with PushService(certs) as service:
        yield service
        assert service.problems() == []


@pytest.fixture
def x(server, start_xapsd):
    return start_xapsd(**config(server))


def config(server):
    return {"deltachatUrl": server.origin() + "/notify",
            "caFile": server.certs.ca}


def register(x, user="alice", token=SHORT, **more):
    reply = x.request("POST", "/register", {
        "Kind": "deltachat", "Username": user, "Token": token, **more})
    assert reply.status == 200, reply


def listed(x):
    return [r["user"] for r in json.loads(x.run("list", "--json").stdout)]


@pytest.mark.journey
def test_mail_by_dovecot(server, x, start_dovecot):
    register(x, token=LONG)
    register(x)
    dovecot = start_dovecot("unix:" + x.socket_path)
    dovecot.deliver("alice", mail())
    pushes = server.wait_for(2)
    assert sorted(p.body.decode() for p in pushes) == sorted([LONG, SHORT])
    for push in pushes:
        assert push.headers[":method"] == "POST"
        assert push.path == "/notify"
        assert push.headers.get("content-length", str(len(push.body))) == \
            str(len(push.body))
    assert x.records()[-1]["to"] in (LONG, SHORT)
    assert LONG not in x.log()


def test_new_mail_only(server, x):
    register(x)
    for event in "FlagsSet", "MessageExpunge", "MessageRead":
        assert x.notify("alice", events=[event]).status in (200, 204)
    x.notify("alice")
    server.wait_for(1)
    x.wait_asleep()
    assert len(server.pushes) == 1


def test_any_mailbox_is_one_push(server, x):
    """The app looks everywhere."""
    register(x, Mailboxes=["*"])
    server.hold()
    x.notify("alice")
    server.wait_for(1)
    for i in range(5):
        assert x.notify("alice", "Box %d" % i).status == 200
    server.release()
    server.wait_for(2)
    x.wait_asleep()
    assert len(server.pushes) == 2


def test_off_by_default(server, start_xapsd):
    x = start_xapsd()
    reply = x.request("POST", "/register", {
        "Kind": "deltachat", "Username": "alice", "Token": SHORT})
    if reply.status == 200:
        x.notify("alice")
        x.wait_log("deltachatUrl is not set")
    else:
        assert reply.status == 503 and "deltachatUrl" in reply.body
    assert not server.pushes


def test_gone(server, x):
    register(x, token=LONG)
    register(x, "bob")
    server.script(None, Answer(410))
    x.notify("alice")
    x.wait_log("the device is gone .410.: registration removed")
    assert listed(x) == ["bob"]
    x.notify("bob")
    server.wait_for(2)


@pytest.mark.parametrize("answers", [
    [Answer(500)] * 3, [Answer(503, headers=(("retry-after", "1"),))],
    [Answer(408)], [Answer(429)], [Answer(reset=7)], [Answer(reset=2)],
    [Answer(never=True)]])
def test_sent_again(server, start_xapsd, answers):
    # short only where an answer never comes
    never = any(answer.never for answer in answers)
    x = start_xapsd(pushTimeout="3s" if never else "30s", **config(server))
    register(x)
    server.script(None, *answers)
    x.notify("alice")
    server.wait_for(len(answers) + 1)
    x.wait_log("delivered to Delta Chat's server")


@pytest.mark.parametrize("status", [404, 308, 403])
def test_wrong_address(server, start_xapsd, status):
    """Nothing is removed, nothing is lost, and redirects are not followed."""
    x = start_xapsd(identity={}, **config(server))
    register(x)
    server.script(None, Answer(status, headers=(
        ("location", server.origin() + "/other"),)))
    x.notify("alice")
    x.wait_log("error .*deltachatUrl: it answers %d" % status)
    reply = x.request("GET", "/healthz")
    assert reply.status == 503 and "deltachatUrl" in reply.body
    assert listed(x) == ["alice"]
    assert len(server.pushes) == 1


def test_refused_token(server, x):
    """A token that it does not like is nobody else's fault."""
    register(x, token=LONG)
    register(x, "bob")
    server.script(None, Answer(400))
    x.notify("alice")
    x.wait_log("alice.*dropped: Delta Chat's server answered 400")
    x.notify("bob")
    server.wait_for(2)
    assert sorted(listed(x)) == ["alice", "bob"]


def test_restart(server, x):
    """What waits is sent after the next start, once."""
    server.go_away()
    register(x)
    x.notify("alice")
    x.wait_log("refused")
    x.stop()
    x.start()
    server.come_back()
    server.wait_for(1)
    x.wait_log("delivered to Delta Chat's server")
    x.wait_asleep()
    assert len(server.pushes) == 1


@pytest.mark.skipif(not LIBRARY, reason="libfaketime is not here")
@pytest.mark.skipif("asan" in os.environ.get("XAPSD", ""),
                    reason="not under AddressSanitizer")
def test_expiry(server, start_xapsd, all_clocks):  # noqa: F811
    """90 days after its app has last renewed it, whatever registrationTtl is."""
    all_clocks(None)
    x = start_xapsd(registrationTtl="10d", **config(server))
    register(x)
    register(x, "bob")
    all_clocks("+89d")
    look(x)
    assert sorted(listed(x)) == ["alice", "bob"]
    register(x, "bob")
    all_clocks("+91d")
    look(x)
    x.wait_log("1 registration was not renewed")
    assert listed(x) == ["bob"]


def test_without_apple(server, start_xapsd):
    x = start_xapsd(identity={}, **config(server))
    assert x.request("GET", "/healthz").status == 200
    assert x.post_register("alice", ACCOUNT, TOKEN).status == 503
    register(x)
    assert x.notify("alice").status == 200
    server.wait_for(1)


def test_plain_http(certs, start_xapsd):
    with PushService(certs, tls=False) as server:
        x = start_xapsd(**config(server))
        register(x)
        x.notify("alice")
        push, = server.wait_for(1)
        assert push.body.decode() == SHORT


def test_name_is_gone(server, start_xapsd):
    x = start_xapsd(deltachatUrl="https://push.invalid/notify")
    register(x)
    x.notify("alice")
    x.wait_log("push.invalid", timeout=60)
    x.assert_alive()


@pytest.mark.parametrize("url", ["notify", "ftp://a/b", "https://u:p@a/"])
def test_bad_url(start_xapsd, url):
    x = start_xapsd(wait=False, deltachatUrl=url)
    x.wait_log("xapsd.yaml:.*deltachatUrl: ")
    assert x.process.wait(20) == 78
    x.process = None
