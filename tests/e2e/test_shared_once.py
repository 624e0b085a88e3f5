"""Events that may wait, of one user on two nodes, are one push.

Who claims a push asks half a second before it is due, and an answer that comes
later is none.  So the nodes' clocks stand still here, and the tests move them:
how long anything takes on a busy machine makes no difference."""

import signal
import time

import pytest

from phones import ACCOUNT, OTHER, TOKEN, token
from test_clock import LIBRARY, fake_clocks, set_clock
from test_shared_store import (  # noqa: F401 (fixtures)
    server, settle, shared, start_node, wait, wait_connected,
    wait_equal)
from valkey import executable
from xapsd import is_instrumented

pytestmark = pytest.mark.skipif(
    not executable(), reason="no valkey-server or redis-server")

# Beside it the real time that a test takes is nothing: claims live by the
# server's clock, which goes on.
DELAY_S = 200


def flag(node, user="alice", mailbox="INBOX"):
    assert node.notify(user, mailbox, ["FlagsSet"]).status == 200


def done(apple, *nodes):
    """Nothing waits any more: the pushes until now."""
    wait(lambda: all(n.status()["queue"] == 0 for n in nodes), "waits")
    return list(apple.pushes)


class Site:
    """Nodes with one clock, which stands still."""

    def __init__(self, folder, server):
        self.path, self.server = folder / "clock", server
        # Apple takes a JWT of the last hour
        self.time_s = int(time.time()) - 1800
        self.nodes = []

    def set_clock(self):
        set_clock(self.path, time.strftime(
            "%Y-%m-%d %H:%M:%S", time.localtime(self.time_s)))

    def start(self, start_node, monkeypatch):
        self.set_clock()
        with monkeypatch.context() as env:
            fake_clocks(env, self.path)
            self.nodes = [start_node(
                n, self.server.url, delay="%ds" % DELAY_S) for n in "ab"]
        a, b = self.nodes
        a.register("alice", ACCOUNT, TOKEN, ["INBOX", "Notes"])
        wait_equal(a, b)
        wait_connected(a, b)
        return a, b

    def claims(self):
        return self.server.call("KEYS", "xaps:once*")

    def step(self, s, answers=True):
        """So much later, one node after the other; answers: of the server,
        and every node knows what it said."""
        for key in self.claims() if answers else ():    # first: they are older
            self.server.call("PEXPIRE", key,
                             self.server.call("PTTL", key) - s * 1000)
        self.time_s += s
        self.set_clock()
        for node in self.nodes:
            if answers and node.alive():
                settle(self.server, node)   # which wakes it
            elif node.alive():
                node.status()
                node.status()


@pytest.fixture
def site(workdir, server):
    if not LIBRARY or is_instrumented():
        pytest.skip("without libfaketime: test_in_real_time")
    return Site(workdir, server)


@pytest.fixture
def two(site, start_node, monkeypatch):
    return site.start(start_node, monkeypatch)


def test_one_push(two, site, apple):
    a, b = two
    flag(a)
    flag(b)
    site.step(DELAY_S - 1)
    assert (site.claims(), apple.pushes) == ([], [])
    site.step(1)
    claim, = site.claims()
    assert "{alice}" in claim
    assert shared(a)["spared"] + shared(b)["spared"] == 1
    assert apple.pushes == []
    site.step(1)
    assert len(done(apple, a, b)) == 1
    assert shared(a)["spared"] + shared(b)["spared"] == 1


def test_all_that_came_before_is_covered(two, site, apple):
    """Also what came just before the other one's push."""
    a, b = two
    flag(a)
    for _ in range(4):
        flag(b)
        site.step(DELAY_S // 5)
    flag(b)
    site.step(DELAY_S // 5)
    site.step(1)
    assert len(done(apple, a, b)) == 1


def test_what_comes_after_it_is_pushed(two, site, apple):
    """b's run began before a's push and went on after it."""
    a, b = two
    flag(a)
    site.step(50)
    flag(b)
    site.step(DELAY_S - 50)
    site.step(1)
    assert len(done(apple, a)) == 1
    flag(b)
    site.step(49)
    assert len(apple.pushes) == 1
    site.step(1)
    assert len(done(apple, a, b)) == 2


def test_mail_is_never_held_back(two, apple):
    a, b = two
    flag(a)
    flag(b)
    assert a.notify("alice", "INBOX").status == 200
    assert b.notify("alice", "INBOX").status == 200
    assert len(done(apple, a, b)) == 2


def test_other_mailboxes_and_devices(two, site, apple):
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
    site.step(DELAY_S)
    site.step(1)
    pushes = done(apple, a, b)
    assert len([p for p in pushes if p.token == TOKEN]) == 2
    assert [p.token for p in pushes].count(OTHER) == 1
    assert [p.token for p in pushes].count(token(5)) == 1


def test_some_of_several_mailboxes(two, site, apple):
    """What the other one does not push remains."""
    a, b = two
    flag(a)
    site.step(10)
    flag(b)
    flag(b, mailbox="Notes")
    site.step(DELAY_S - 10)
    site.step(1)
    assert len(done(apple, a)) == 1
    site.step(9)
    site.step(1)
    pushes = done(apple, a, b)
    named = sorted(name for p in pushes for name in p.aps["m"])
    assert len(pushes) == 2 and len(named) == len(set(named)) == 2


def test_again_and_again(two, site, apple):
    """The next run is a new one."""
    a, b = two
    for i in range(3):
        flag(a)
        flag(b)
        site.step(DELAY_S)
        site.step(1)
        assert len(done(apple, a, b)) == i + 1


def test_both_push_while_it_is_away(two, site, apple, server):
    a, b = two
    server.stop()
    wait(lambda: all(shared(n)["state"] == "away" for n in (a, b)), "not away")
    flag(a)
    flag(b)
    site.step(DELAY_S, answers=False)
    site.step(1, answers=False)
    assert len(done(apple, a, b)) == 2


def test_no_answer_delays_nothing(two, site, apple, server):
    """It hangs when it is asked: both push, in time."""
    a, b = two
    flag(a)
    flag(b)
    server.process.send_signal(signal.SIGSTOP)
    try:
        site.step(DELAY_S, answers=False)
        assert apple.pushes == []
        site.step(1, answers=False)
        assert len(done(apple, a, b)) == 2
    finally:
        server.process.send_signal(signal.SIGCONT)


def test_node_killed_while_its_push_waits(two, site, apple):
    """The other one's is sent."""
    a, b = two
    flag(a)
    flag(b)
    assert a.status()["queue"] == 1
    a.kill()
    site.step(DELAY_S)
    site.step(1)
    assert len(done(apple, b)) == 1


def test_who_cannot_push_claims_nothing(two, site, apple, certs):
    """A node without a way to Apple."""
    a, b = two
    a.config["apnsPort"] = "1"
    a.write_config()
    a.process.send_signal(signal.SIGHUP)
    wait(lambda: a.status()["apns"] != "connected", "still connected")
    flag(a)
    flag(b)
    site.step(DELAY_S)
    assert len(site.claims()) == 1
    site.step(1)
    assert len(done(apple, b)) == 1
    assert a.status()["queue"] == 1


def test_in_real_time(server, start_node, apple):
    """By clocks that nobody holds, whatever the machine makes of it: each of
    the two pushes is sent or spared."""
    a, b = (start_node(n, server.url, delay="2s") for n in "ab")
    a.register("alice", ACCOUNT, TOKEN)
    wait_equal(a, b)
    flag(a)
    flag(b)
    pushes = done(apple, a, b)
    assert 1 <= len(pushes) == 2 - sum(shared(n)["spared"] for n in (a, b))
