"""Events that may wait, of one user on two nodes, are one push."""

import time

import pytest

from phones import ACCOUNT, OTHER, TOKEN, token
from test_shared_store import (  # noqa: F401 (fixtures)
    server, shared, start_node, wait, wait_equal)
from valkey import Valkey, executable

pytestmark = pytest.mark.skipif(
    not executable(), reason="no valkey-server or redis-server")

DELAY_S = 3


def flag(node, user="alice", mailbox="INBOX"):
    assert node.notify(user, mailbox, ["FlagsSet"]).status == 200


def done(apple, *nodes):
    """Nothing waits any more: the pushes until now."""
    wait(lambda: all(n.status()["queue"] == 0 for n in nodes), "waits")
    return list(apple.pushes)


@pytest.fixture
def two(server, start_node):
    a, b = (start_node(n, server.url, delay="%ds" % DELAY_S) for n in "ab")
    a.register("alice", ACCOUNT, TOKEN, ["INBOX", "Notes"])
    wait_equal(a, b)
    return a, b


def test_one_push(two, apple, server):
    a, b = two
    began = time.monotonic()
    flag(a)
    flag(b)
    assert len(done(apple, a, b)) == 1
    assert apple.pushes[0].at - began >= DELAY_S * 0.99
    assert shared(a)["spared"] + shared(b)["spared"] == 1
    assert server.call("KEYS", "xaps:once*") == [
        k for k in server.call("KEYS", "xaps:once*") if "{alice}" in k]


def test_all_that_came_before_is_covered(two, apple):
    """Also what came just before the other one's push."""
    a, b = two
    flag(a)
    wait(lambda: a.status()["queue"] == 1, "not queued")
    for _ in range(4):
        flag(b)
        time.sleep(DELAY_S / 6)     # all of them before a's push
    assert len(done(apple, a, b)) == 1


def test_what_comes_after_it_is_pushed(two, apple):
    """b's run began before a's push and went on after it."""
    a, b = two
    flag(a)
    wait(lambda: a.status()["queue"] == 1, "not queued")
    time.sleep(1)
    flag(b)
    apple.wait_for(1)               # a's
    flag(b)
    pushes = done(apple, a, b)
    assert len(pushes) == 2


def test_mail_is_never_held_back(two, apple):
    a, b = two
    flag(a)
    flag(b)
    assert a.notify("alice", "INBOX").status == 200
    assert b.notify("alice", "INBOX").status == 200
    assert len(done(apple, a, b)) == 2


def test_other_mailboxes_and_devices(two, apple):
    """Each needs a push of its own."""
    a, b = two
    a.register("bob", ACCOUNT, OTHER, ["INBOX"])
    a.register("bob", ACCOUNT, token(5), ["INBOX"])
    wait_equal(a, b)
    flag(a)
    flag(b, mailbox="Notes")
    for node in (a, b):
        flag(node, "bob")
        flag(node, "bob")
    pushes = done(apple, a, b)
    assert len([p for p in pushes if p.token == TOKEN]) == 2
    assert [p.token for p in pushes].count(OTHER) == 1
    assert [p.token for p in pushes].count(token(5)) == 1


def test_some_of_several_mailboxes(two, apple):
    """What the other one does not push remains."""
    a, b = two
    flag(a)
    wait(lambda: a.status()["queue"] == 1, "not queued")
    time.sleep(0.2)
    flag(b)
    flag(b, mailbox="Notes")
    pushes = done(apple, a, b)
    named = sorted(name for p in pushes for name in p.aps["m"])
    assert len(pushes) == 2 and len(named) == len(set(named)) == 2


def test_again_and_again(two, apple):
    """The next run is a new one."""
    a, b = two
    for i in range(3):
        flag(a)
        flag(b)
        assert len(done(apple, a, b)) == i + 1


def test_both_push_while_it_is_away(workdir, start_node, apple):
    server = Valkey(workdir)
    server.start()
    a, b = (start_node(n, server.url, delay="%ds" % DELAY_S) for n in "ab")
    a.register("alice", ACCOUNT, TOKEN)
    wait_equal(a, b)
    server.stop()
    wait(lambda: all(shared(n)["state"] == "away" for n in (a, b)), "not away")
    flag(a)
    flag(b)
    assert len(done(apple, a, b)) == 2


def test_no_answer_delays_nothing(two, apple, server):
    """It hangs when it is asked: both push, in time."""
    a, b = two
    flag(a)
    flag(b)
    began = time.monotonic()
    server.process.send_signal(19)
    try:
        pushes = done(apple, a, b)
    finally:
        server.process.send_signal(18)
    assert len(pushes) == 2
    assert max(p.at for p in pushes) - began < DELAY_S + 4


def test_node_killed_while_its_push_waits(two, apple):
    """The other one's is sent."""
    a, b = two
    flag(a)
    flag(b)
    wait(lambda: a.status()["queue"] == 1, "not queued")
    a.kill()
    assert len(done(apple, b)) == 1


def test_who_cannot_push_claims_nothing(two, apple, certs):
    """A node without a way to Apple."""
    a, b = two
    a.config["apnsPort"] = "1"
    a.write_config()
    a.process.send_signal(1)
    wait(lambda: a.status()["apns"] != "connected", "still connected")
    flag(a)
    wait(lambda: a.status()["queue"] == 1, "not queued")
    flag(b)
    done(apple, b)
    assert len(apple.pushes) == 1
