"""What was removed stays removed, whatever was away meanwhile."""

import json
import time

import pytest

from apple import Answer
from many import register_many
from phones import ACCOUNT, OTHER, TOKEN, token
from test_shared_store import (  # noqa: F401 (fixtures)
    book, server, shared, start_node, values, wait, wait_equal, wait_in_step)
from valkey import Valkey, executable

pytestmark = pytest.mark.skipif(
    not executable(), reason="no valkey-server or redis-server")

DURABLE = {"appendonly": "yes", "appendfsync": "always"}


def users(node):
    return [r[0] for r in book(node)]


def away(*nodes):
    wait(lambda: all(shared(n)["state"] == "away" for n in nodes), "not away")


@pytest.fixture
def durable(workdir):
    with Valkey(workdir, **DURABLE) as valkey:
        yield valkey


def forget(node, user):
    assert node.run("forget", user).returncode == 0


def unregister(node, apple):
    apple.script(TOKEN, Answer(410, "Unregistered", timestamp=int(
        time.time() * 1000) + 5000))
    assert node.notify("alice").status == 200
    wait(lambda: "alice" not in users(node), "not removed")


def replace(node):
    """The second device of a user who may have one."""
    node.register("alice", ACCOUNT, OTHER)


def test_over_a_restart(durable, start_node, apple):
    """Each way to be removed while the store is away, and then a power cut."""
    def by_forget(node):
        forget(node, "alice")

    def by_410(node):
        unregister(node, apple)

    for remove in (by_forget, by_410, replace):
        a, b = (start_node(n, durable.url, maxDevices="1") for n in "ab")
        b.register("alice", ACCOUNT, TOKEN)
        b.register("bob", ACCOUNT, token(2))
        wait_equal(a, b)
        durable.stop()
        away(a, b)
        remove(a)
        assert shared(a)["waiting"] >= 1
        a.kill()
        a.start()
        durable.start()
        left = wait_equal(a, b)
        assert [(r[0], r[2]) for r in left] == (
            [("alice", OTHER)] if remove is replace else []) + [
                ("bob", token(2))], remove
        assert values(durable, "alice")[ACCOUNT + " " + TOKEN]["gone"]
        # and it may come back
        b.register("alice", ACCOUNT, TOKEN)
        wait(lambda: TOKEN in [r[2] for r in book(a)], "not heard")
        wait_equal(a, b)
        a.stop()
        b.stop()


def test_it_costs_no_more_lines(durable, start_node):
    """One for the removal, as without other nodes; none when it is shared."""
    a = start_node("a", durable.url)
    a.register("alice", ACCOUNT, TOKEN)
    wait_in_step(a)
    durable.stop()
    away(a)
    forget(a, "alice")
    last = a.records()[-1]
    assert len(a.records()) == 2 and last["gone"] is True
    assert abs(last["t"] / 1000 - time.time()) < 60
    durable.start()
    wait_in_step(a)
    assert values(durable, "alice")[ACCOUNT + " " + TOKEN]["t"] == last["t"]
    assert len(a.records()) == 2
    a.stop()
    a.start()
    wait_in_step(a)
    assert len(a.records()) == 2


def test_a_site_with_one_node(start_xapsd):
    """Nothing changes for it."""
    a = start_xapsd()
    a.register("alice", ACCOUNT, TOKEN)
    forget(a, "alice")
    assert a.records()[-1] == {
        "user": "alice", "account": ACCOUNT, "token": TOKEN, "gone": True}


def test_many(durable, start_node):
    """More than fit anywhere: through a rewritten file and a power cut."""
    n = 4200
    a = start_node("a", durable.url, maxDevices="1", loglevel="error")
    now = int(time.time())
    a.stop()
    a.database.write_text("".join(
        json.dumps({"user": "user%d" % i, "account": ACCOUNT,
                    "token": token(i), "mailboxes": ["INBOX"], "acked": True,
                    "time": now - 60}, separators=(",", ":")) + "\n"
        for i in range(n)))
    a.start()
    b = start_node("b", durable.url, maxDevices="1", loglevel="error")
    assert len(wait_equal(a, b)) == n
    durable.stop()
    away(a, b)
    before = a.database.stat().st_ino
    register_many(a, (      # each removes one
        ("user%d" % i, ACCOUNT, token(n + i)) for i in range(n)))
    for i in range(9):      # of some much more, so that it is rewritten
        register_many(a, (
            ("user%d" % user, ACCOUNT, token(n + user), [
                "%d %d %s" % (i, k, "x" * 90) for k in range(20)])
            for user in range(300) if a.database.stat().st_ino == before))
    wait(lambda: a.database.stat().st_ino != before, "not rewritten")
    a.kill()
    a.start()
    durable.start()
    left = wait_equal(a, b)
    assert len(left) == n
    assert {r[2] for r in left} == {token(n + i) for i in range(n)}


def test_the_store_has_lost_all(server, start_node):
    """Also the removals: the nodes tell them again, so that a node with an old
    file does not bring the phone back."""
    a, b, c = (start_node(n, server.url) for n in "abc")
    a.register("alice", ACCOUNT, TOKEN)
    a.register("bob", ACCOUNT, token(2))
    wait_equal(a, b, c)
    old = b.database.read_text()
    b.stop()
    forget(a, "alice")
    wait(lambda: users(c) == ["bob"], "not heard")
    wait_equal(a, c)
    # the node that removed it is not there any more either
    a.stop()
    server.stop()
    server.start()
    wait_in_step(c)
    b.database.write_text(old)
    b.start()
    assert [r[0] for r in wait_equal(b, c)] == ["bob"]
    a.start()
    assert [r[0] for r in wait_equal(a, b, c)] == ["bob"]


def test_old_file_before_the_store_is_back(durable, start_node):
    """A node that starts with it while the store is away."""
    a, b = (start_node(n, durable.url) for n in "ab")
    a.register("alice", ACCOUNT, TOKEN)
    wait_equal(a, b)
    old = b.database.read_text()
    b.stop()
    forget(a, "alice")
    wait_equal(a)
    durable.stop()
    b.database.write_text(old)
    b.start()
    assert users(b) == ["alice"]
    durable.start()
    assert wait_equal(a, b) == []


def test_removed_and_registered_again(durable, start_node):
    """In one second, while the store is away, with a power cut after it."""
    a, b = (start_node(n, durable.url) for n in "ab")
    a.register("alice", ACCOUNT, TOKEN)
    wait_equal(a, b)
    durable.stop()
    away(a, b)
    for i in range(5):
        forget(a, "alice")
        a.register("alice", ACCOUNT, TOKEN, ["M%d" % i])
    a.kill()
    a.start()
    durable.start()
    assert [r[3] for r in wait_equal(a, b)] == [["M4"]]
    # and the other way
    durable.stop()
    away(a, b)
    a.register("alice", ACCOUNT, TOKEN, ["M5"])
    forget(a, "alice")
    a.kill()
    a.start()
    durable.start()
    assert wait_equal(a, b) == []


def test_old_removals_go(server, start_node):
    """When any registration of that age has expired."""
    a = start_node("a", server.url, registrationTtl="10d")
    a.stop()
    now = int(time.time())
    a.database.write_text("".join(json.dumps({
        "user": "user%d" % days, "account": ACCOUNT, "token": token(days),
        "gone": True, "t": (now - days * 86400) * 1000 + 2},
        separators=(",", ":")) + "\n" for days in (1, 9, 20)))
    a.start()
    wait_in_step(a)
    assert values(server, "user1") and values(server, "user9")
    b = start_node("b", server.url, registrationTtl="10d")
    assert wait_equal(a, b) == []
