"""`check`, `doctor`, /status and /metrics know the shared book."""

import json
import re

import pytest

from phones import ACCOUNT, OTHER, TOKEN, token
from test_shared_store import (  # noqa: F401 (fixtures)
    ACL, CHANNELS, book, server, shared, start_node, values, wait, wait_equal,
    wait_in_step)
from valkey import Client, Valkey, executable

pytestmark = pytest.mark.skipif(
    not executable(), reason="no valkey-server or redis-server")


def step(node, command, name="shared book", user=()):
    """Result and text of a step, and the exit status."""
    ran = node.run(command, "--json", *user)
    steps = json.loads(ran.stdout)["steps"]
    found = [s for s in steps if s["step"] == name]
    assert len(found) == 1, steps
    return found[0]["result"], found[0]["text"], ran.returncode


def warnings(node):
    steps = json.loads(node.run("check", "--json").stdout)["steps"]
    return [s["text"] for s in steps if s["result"] == "warning"]


def doctor(node, user="alice"):
    return step(node, "doctor", user=(user,))[:2]


# --- check ---

def test_all_is_well(server, start_node):
    a = start_node("a", server.url)
    name = shared(a)["book"]
    result, text, code = step(a, "check")
    assert (result, code) == ("ok", 0), text
    assert text == "127.0.0.1 port %d, master, all rights, book %s" % (
        server.port, name)
    # it leaves nothing there, and no node minds
    wait(lambda: server.call("KEYS", "xaps:check*") == [], "left")
    a.register("alice", ACCOUNT, TOKEN)
    wait_in_step(a)
    assert "warn  shared" not in a.log()
    a.stop()
    assert step(a, "check")[0] == "ok"


def test_without_it(start_xapsd):
    ran = start_xapsd().run("check", "--json")
    assert "shared" not in ran.stdout and ran.returncode == 0


def test_nothing_there_yet(workdir, start_node):
    with Valkey(workdir) as server:
        a = start_node("a", server.url, in_step=False)
        a.stop()
        server.call("FLUSHALL")
        assert step(a, "check")[1].endswith("all rights, no book yet")
    result, text, code = step(a, "check")
    assert (result, code) == ("failed", 1)
    assert "Connection refused" in text
    # files only
    ran = a.run("check", "--offline", "--json")
    assert "shared" not in ran.stdout


TRIED = [w for w in ACL.split() if w[0] in "+&~" and w not in (
    "+hello", "+auth", "+select")]


@pytest.mark.parametrize("lack", TRIED)
def test_right_that_lacks(workdir, start_node, lack):
    """check names just that one, and how to give it."""
    acl = workdir / "users.acl"
    acl.write_text("user default on nopass ~* +@all\n" + " ".join(
        w for w in (ACL % "pw").split() if w != lack) + "\n")
    with Valkey(workdir, aclfile=acl) as server:
        a = start_node("a", "valkey://xapsd:pw@127.0.0.1:%d" % server.port,
                       in_step=False)
        a.stop()
        result, text, code = step(a, "check")
        assert (result, code) == ("failed", 1), text
        assert "ACL SETUSER xapsd %s (xapsd(8)" % lack in text
        server.call("ACL", "SETUSER", "xapsd", lack)
        assert step(a, "check")[0] == "ok"


def test_several_rights_lack(workdir, start_node):
    acl = workdir / "users.acl"
    acl.write_text("user default on nopass ~* &* +@all -hget -pttl\n"
                   .replace("&* " if not CHANNELS else "\0", ""))
    with Valkey(workdir, aclfile=acl) as server:
        a = start_node("a", server.url, in_step=False)
        a.stop()
        assert "ACL SETUSER default +hget +pttl (" in step(a, "check")[1]


def test_log_in(workdir, start_node):
    with Valkey(workdir, requirepass="right") as server:
        for login, says in (("", "NOAUTH.*sharedStore: valkey://user:passw"),
                            (":wrong@", "WRONGPASS.*check user and password")):
            a = start_node("a", server.url.replace("//", "//" + login),
                           in_step=False)
            a.stop()
            result, text, code = step(a, "check")
            assert (result, code) == ("failed", 1)
            assert re.search(says, text), text
            assert "wrong" not in text
        file = workdir / "pw"
        a = start_node("a", server.url, in_step=False)
        a.stop()
        a.config["sharedPasswordFile"] = str(file)
        a.write_config()
        result, text, _ = step(a, "check")
        assert result == "failed" and "sharedPasswordFile" in text
        ran = a.run("check", "--offline", "--json")
        assert "sharedPasswordFile" in ran.stdout and ran.returncode == 1
        file.write_text("right\n")
        assert step(a, "check")[0] == "ok"


def test_tls(workdir, certs, start_node):
    with Valkey(workdir, tls=certs.server) as server:
        url = "valkeys://127.0.0.1:%d" % server.port
        a = start_node("a", url, sharedCaFile=certs.ca)
        assert ", TLS, master, all rights" in step(a, "check")[1]
        b = start_node("b", url, in_step=False)
        result, text, _ = step(b, "check")
        assert result == "failed" and "certificate" in text
        assert "sharedCaFile" in text


def test_replica_and_policy(workdir, start_node):
    with Valkey(workdir, "m", maxmemory="100mb",
                maxmemory_policy="allkeys-lru") as server:
        a = start_node("a", server.url)
        assert shared(a)["policy"] == "allkeys-lru"
        assert shared(a)["role"] == "master"
        said, = [w for w in warnings(a) if "maxmemory" in w]
        assert "is allkeys-lru" in said
        assert "CONFIG SET maxmemory-policy noeviction" in said
        assert step(a, "check")[::2] == ("ok", 0)
        with Valkey(workdir, "r",
                    replicaof="127.0.0.1 %d" % server.port) as replica:
            b = start_node("b", replica.url, in_step=False)
            result, text, _ = step(b, "check")
            assert result == "failed" and "is a replica" in text
            assert "sharedSentinels" in text


def test_memory_full(workdir, start_node):
    with Valkey(workdir, maxmemory="1", maxmemory_policy="noeviction") as s:
        a = start_node("a", s.url, in_step=False)
        result, text, _ = step(a, "check")
        assert result == "failed" and "OOM" in text


def test_something_else_answers(start_node, apple):
    a = start_node("a", "valkey://127.0.0.1:%d" % apple.port, in_step=False)
    result, text, _ = step(a, "check")
    assert result == "failed"
    assert "not the protocol" in text or "closed" in text, text


def test_daemon_with_another_book(server, start_node):
    """Changed in the configuration, not yet in the daemon; and no longer in
    step."""
    a = start_node("a", server.url)
    b = start_node("b", server.url + "/3")
    a.config["sharedStore"] = server.url + "/3"
    a.write_config()
    result, text, code = step(a, "check")
    assert (result, code) == ("failed", 1)
    assert shared(a)["book"] in text and shared(b)["book"] in text
    assert "SIGHUP" in text
    a.config["sharedStore"] = None
    a.write_config()
    a.stop()
    a.start()
    a.config["sharedStore"] = server.url
    a.write_config()
    result, _, code = step(a, "check")
    assert (result, code) == ("ok", 0)
    assert "does not use it yet" in a.run("check").stderr


def test_daemon_that_is_not_in_step(server, start_node):
    a = start_node("a", server.url)
    server.call("CONFIG", "SET", "requirepass", "new")
    admin = Client(server.path)
    admin.call("AUTH", "new")
    admin.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    admin.call("CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes")
    wait(lambda: "NOAUTH" in shared(a)["problem"], "not away")
    a.register("alice", ACCOUNT, TOKEN)
    a.config["sharedStore"] = server.url.replace("//", "//:new@")
    a.write_config()
    result, text, code = step(a, "check")
    assert (result, code) == ("failed", 1)
    assert "was last in step" in text and "NOAUTH" in text
    assert "1 changes wait" in text
    admin.close()


# --- doctor ---

def test_doctor_sees_the_same(server, start_node):
    a, b = (start_node(n, server.url) for n in "ab")
    a.register("alice", ACCOUNT, TOKEN)
    a.register("alice", ACCOUNT, OTHER)
    wait_equal(a, b)
    for node in (a, b):
        assert doctor(node) == (
            "ok", "in step; this user's devices are the same here and "
            "there: 2")
    assert doctor(b, "nobody")[1].endswith("there: 0")


def test_doctor_sees_differences(server, start_node):
    a = start_node("a", server.url)
    a.register("alice", ACCOUNT, TOKEN)
    a.register("alice", ACCOUNT, OTHER)
    wait_in_step(a)
    # behind its back
    value = values(server, "alice")[ACCOUNT + " " + TOKEN]
    server.call("HDEL", "xaps:{alice}", ACCOUNT + " " + TOKEN)
    for t in (token(7), token(8)):
        server.call("HSET", "xaps:{alice}", ACCOUNT + " " + t, json.dumps(
            {**value, "token": t}, separators=(",", ":")))
    result, text = doctor(a)
    assert result == "look"
    assert "1 only here, 2 only in the shared book, 0 otherwise" in text
    gone = {"user": "alice", "account": ACCOUNT, "token": token(7),
            "gone": True, "t": value["t"] + 8000, "node": "x"}
    server.call("HSET", "xaps:{alice}", ACCOUNT + " " + token(7),
                json.dumps(gone, separators=(",", ":")))
    assert "1 only here, 1 only in" in doctor(a)[1]


def test_doctor_when_it_is_away(workdir, start_node):
    server = Valkey(workdir)
    with server:
        a = start_node("a", server.url)
        a.register("alice", ACCOUNT, TOKEN)
        wait_in_step(a)
    wait(lambda: shared(a)["state"] == "away", "not away")
    result, text = doctor(a)
    assert result == "look"
    assert text.startswith("away, last in step ") and "xapsd check" in text


# --- status and metrics ---

def metrics(node):
    return dict(line.split() for line in node.request(
        "GET", "/metrics").body.splitlines()
        if line.startswith("xapsd_shared_"))


def test_metrics(workdir, start_node, start_xapsd):
    server = Valkey(workdir)
    server.start()
    a, b = (start_node(n, server.url) for n in "ab")
    a.register("alice", ACCOUNT, TOKEN)
    wait_equal(a, b)
    assert metrics(a) == {
        "xapsd_shared_in_step": "1", "xapsd_shared_waiting": "0",
        "xapsd_shared_lag_seconds": "0", "xapsd_shared_taken_total": "0",
        "xapsd_shared_sent_total": "1",
        "xapsd_shared_spared_pushes_total": "0"}
    assert metrics(b)["xapsd_shared_taken_total"] == "1"
    server.stop()
    wait(lambda: shared(a)["state"] == "away", "not away")
    a.register("bob", ACCOUNT, token(2))
    assert a.run("forget", "alice").returncode == 0
    now = metrics(a)
    assert now["xapsd_shared_in_step"] == "0"
    assert now["xapsd_shared_waiting"] == "2"
    wait(lambda: int(metrics(a)["xapsd_shared_lag_seconds"]) > 0, "no lag")
    assert shared(a)["lag"] > 0 and shared(a)["waiting"] == 2
    assert a.request("GET", "/healthz").status == 200
    with server:
        wait_equal(a, b)
        assert shared(a)["lag"] == 0
    c = start_xapsd()
    assert metrics(c) == {}


def test_apple_and_the_store(start_node, apple):
    """Two faults are both named."""
    a = start_node("a", "valkey://127.0.0.1:1", in_step=False)
    apple.go_away()
    steps = json.loads(a.run("check", "--json").stdout)["steps"]
    assert {"connection", "shared book"} <= {
        s["step"] for s in steps if s["result"] == "failed"}, steps
