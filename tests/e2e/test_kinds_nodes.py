"""Registrations of other kinds than Apple's on several nodes: the shared book has
them, too."""
import json
import shutil

import pytest

from phones import ACCOUNT, TOKEN
from pushservice import PushService
from test_kinds import app, code_of, ids, post, register, subscriptions
from test_shared_store import (         # noqa: F401  fixtures
    executable, server, start_node, values, wait, wait_in_step)

pytestmark = pytest.mark.skipif(
    not executable(), reason="no valkey-server or redis-server")
HOST = "localhost"


@pytest.fixture
def nodes(server, start_node, workdir):     # noqa: F811
    """Two with one VAPID key, as their administrator copies it."""
    a = start_node("a", server.url, pushAllow=HOST)
    assert a.request("GET", "/vapid").status == 200
    (workdir / "b").mkdir()
    shutil.copy(str(a.database) + ".vapid", workdir / "b/database.json.vapid")
    return a, start_node("b", server.url, pushAllow=HOST)


def everything(node):
    return sorted((r["user"], r["account"], r["token"], r.get("kind"),
                   r.get("to"), r["mailboxes"], r["suspended"])
                  for r in json.loads(node.run("list", "--json").stdout))


def wait_same(*nodes):      # noqa: F811
    wait_in_step(*nodes)
    wait(lambda: everything(nodes[0]) == everything(nodes[1]),
         lambda: "different: %r" % [everything(n) for n in nodes])
    return everything(nodes[0])


def http(name, **more):
    return app(Endpoint="http://%s/%s" % (HOST, name), **more)


def test_here_and_there(server, nodes):     # noqa: F811
    a, b = nodes
    register(a, http("1", Id="one", Mailboxes=["*"]))
    register(a, http("2", Id="two", Confirm=True), 202)
    register(b, http("3"))
    a.register("alice", ACCOUNT, TOKEN)
    assert len(wait_same(a, b)) == 4
    value = values(server, "alice")
    assert sum(v.get("kind") == "webpush" for v in value.values()) == 3
    # a code that one has sent is confirmed at the other
    code, = [r["to"].split()[4] for r in b.records()
             if r["account"] == "two"]
    assert post(b, "/confirm", {
        "Username": "alice", "Id": "two", "Code": code}).status == 204
    wait_same(a, b)
    assert {s["id"]: s["active"] for s in subscriptions(a)} == {
        "one": True, "two": True, "webpush": True}
    # another address of the same app, at the other node
    register(b, http("4", Id="one"))
    assert len(wait_same(a, b)) == 4
    assert "http://localhost/4" in [s["endpoint"] for s in subscriptions(a)]
    # away
    assert post(a, "/unregister", {"Username": "alice", "Kind": "webpush",
                                   "Endpoint": "http://localhost/3"}
                ).status == 204
    assert len(wait_same(a, b)) == 3
    assert ids(b) == ["one", "two"]


def test_mail_that_arrives_at_the_other(nodes, certs):
    a, b = nodes
    key = a.request("GET", "/vapid").body
    with PushService(certs, tls=False) as service:
        browser = service.subscribe(vapid=key)
        register(a, {"Kind": "webpush", "Username": "alice",
                     **browser.fields})
        wait_same(a, b)
        assert b.notify("alice").status == 200
        push, = service.wait_for(1, app=browser)
        assert push.content == {"user": "alice", "mailbox": "INBOX",
                                "event": "new"}
        assert not service.problems()


def test_a_store_that_was_away(server, nodes):      # noqa: F811
    """What happens meanwhile, and what is removed, is known in the end."""
    a, b = nodes
    register(a, http("1", Id="one"))
    register(a, http("2", Id="two"))
    wait_same(a, b)
    server.stop()
    wait(lambda: a.status()["shared"]["state"] == "away", "not away")
    assert post(a, "/unregister", {
        "Username": "alice", "Kind": "webpush", "Id": "one"}).status == 204
    register(b, http("3", Id="three"))
    server.start()
    assert len(wait_same(a, b)) == 2
    assert ids(a) == ids(b) == ["three", "two"]
    # also one that is older than removals are kept
    for node in a, b:
        listed = json.loads(node.run("list", "--json").stdout)
        node.stop()
        node.database.write_text("".join(
            json.dumps({**r, "time": r["time"] - 300 * 86400}) + "\n"
            for r in listed))
    server.stop()
    server.start()
    a.start()
    b.start()
    assert len(wait_same(a, b)) == 2
    server.stop()
    wait(lambda: a.status()["shared"]["state"] == "away", "not away")
    assert post(a, "/unregister", {
        "Username": "alice", "Kind": "webpush", "Id": "two"}).status == 204
    a.restart()
    server.start()
    assert len(wait_same(a, b)) == 1
    assert ids(b) == ["three"]


def test_nodes_with_keys_of_their_own(server, start_node):  # noqa: F811
    """Nobody is lost, but one has to be told what to copy."""
    a = start_node("a", server.url, pushAllow=HOST)
    b = start_node("b", server.url, pushAllow=HOST)
    register(b, http("b", user="bob"))
    register(a, http("a"))
    wait_same(a, b)
    assert [s["active"] for s in subscriptions(b)] == [False]
    b.wait_log(r"warn .*database\.json\.vapid")
