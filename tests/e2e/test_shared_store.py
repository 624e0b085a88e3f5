"""Several nodes with one book of registrations in a real Valkey or Redis."""

import contextlib
import glob
import hashlib
import json
import os
import re
import signal
import socket
import threading
import time

import pytest

import certs as pki
from apple import Answer
from many import register_many
from phones import ACCOUNT, TOKEN, token
from valkey import PASSWORD, Client, Valkey, executable, has_channel_rights
from xapsd import Xapsd

pytestmark = pytest.mark.skipif(
    not executable(), reason="no valkey-server or redis-server")

LIMIT_S = 60
LIBRARY = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")


def wait(condition, what, limit_s=LIMIT_S):
    end = time.monotonic() + limit_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, what() if callable(what) else what
        time.sleep(0.01)


@pytest.fixture
def server(workdir):
    with Valkey(workdir) as valkey:
        yield valkey


@pytest.fixture
def start_node(workdir, certs, apple):
    """A function that starts a node by name, in step with the store."""
    with contextlib.ExitStack() as stack:
        def start(name, store, in_step=True, **config):
            folder = workdir / name
            folder.mkdir(exist_ok=True)
            node = Xapsd(folder, certs, apple=apple, sharedStore=store,
                         **config)
            stack.enter_context(node)
            if in_step:
                wait_in_step(node)
            return node
        yield start


def shared(node):
    return node.status()["shared"]


def in_step(node):
    now = shared(node)
    return now["state"] == "in step" and now["waiting"] == 0


def wait_in_step(*nodes):
    for node in nodes:
        wait(lambda: in_step(node),
             lambda: "not in step: %r" % shared(node))


def settle(server, *nodes):
    """What the nodes had to ask is answered, and what the server had to tell
    them is heard: a node sends and reads it before it answers us again."""
    for _ in range(2):
        for node in nodes:
            for _ in range(2):
                node.status()
        server.call("PING")     # done when all that came before is
        server.call("PING")
    for node in nodes:
        for _ in range(2):
            node.status()


def wait_connected(*nodes):
    """To Apple: a node that is not leaves a delayed push to the others."""
    for node in nodes:
        wait(lambda: node.status()["apns"] == "connected", "not connected")


def book(node):
    """What a node has, comparable with another one's."""
    listed = json.loads(node.run("list", "--json").stdout or "[]")
    keys = ("user", "account", "token", "mailboxes", "acked", "suspended")
    return sorted([r.get(k) for k in keys] for r in listed)


def wait_equal(*nodes):
    wait_in_step(*nodes)
    wait(lambda: all(book(n) == book(nodes[0]) for n in nodes),
         lambda: "different: %r" % [book(n) for n in nodes])
    return book(nodes[0])


def values(server, user, prefix="xaps:"):
    items = server.call("HGETALL", "%s{%s}" % (prefix, user))
    return dict(zip(items[::2], map(json.loads, items[1::2])))


# --- what is registered at one node is known to all ---

def test_register_here_deliver_there(server, start_node, apple):
    a, b, c = (start_node(n, server.url) for n in "abc")
    a.register("alice", ACCOUNT, TOKEN, ["INBOX", "Notes"])
    wait_equal(a, b, c)
    assert len(book(b)) == 1
    assert b.notify("alice", "Notes").status == 200
    # else the next answer might still be taken for this push
    wait(lambda: b.status()["delivered"] == 1, "not delivered")
    # Apple's answer reaches the third, which has heard of b's JWT: one that
    # comes later makes the answer one to earlier credentials
    settle(server, b, c)
    apple.script(TOKEN, Answer(410, "Unregistered", timestamp=int(
        time.time() * 1000) + 5000))
    assert c.notify("alice", "INBOX").status == 200
    wait(lambda: book(a) == book(b) == book(c) == [], "still there")
    assert values(server, "alice")[ACCOUNT + " " + TOKEN]["gone"] is True
    # and it comes back
    b.register("alice", ACCOUNT, TOKEN)
    assert len(wait_equal(a, b, c)) == 1


def test_the_value(server, start_node):
    a = start_node("a", server.url, registrationTtl="10d")
    before = int(time.time() * 1000)
    a.register("Älice\"}@Example.org", ACCOUNT, TOKEN,
               ["INBOX", 'q"u\\o', "Entw&APw-rfe"])
    wait_in_step(a)
    (field, value), = values(server, "Älice\"}@example.org").items()
    assert field == ACCOUNT + " " + TOKEN
    assert value["mailboxes"] == ["INBOX", 'q"u\\o', "Entw&APw-rfe"]
    # in steps of 4 ms, of a clock that the daemon may have looked at before it
    # had to wait for a processor
    assert before - 60000 <= value["t"] <= time.time() * 1000 + 4
    assert value["t"] % 4 == 0
    assert value["node"] == shared(a)["node"] and value["topic"]
    # of two nodes with the same name neither would hear the other
    assert re.search("/[0-9a-f]{8}$", value["node"])
    ttl = server.call("PTTL", "xaps:{Älice\"}@example.org}") / 86400e3
    assert 11.9 < ttl <= 12
    b = start_node("b", server.url)
    assert wait_equal(a, b)


def test_times_do_not_go_back(server, start_node):
    """Also where one second ends and the next begins."""
    a = start_node("a", server.url)
    users = []
    while len(users) < 8:
        if time.time() % 1 < 0.02 or time.time() % 1 > 0.98:
            users.append("user%d" % len(users))
            a.register(users[-1], ACCOUNT, TOKEN, keep=True)
    wait_in_step(a)
    times = [values(server, u)[ACCOUNT + " " + TOKEN]["t"] for u in users]
    assert times == sorted(times)


def test_suspended_everywhere(server, start_node, apple):
    a, b = (start_node(n, server.url) for n in "ab")
    a.register("alice", ACCOUNT, TOKEN)
    wait_equal(a, b)
    apple.script(TOKEN, Answer(400, "BadDeviceToken"))
    b.notify("alice", "INBOX")
    wait(lambda: a.status()["suspendedNow"] == 1, "not suspended")
    # also at one that comes later
    c = start_node("c", server.url)
    assert c.status()["suspendedNow"] == 1
    a.register("alice", ACCOUNT, TOKEN)
    wait(lambda: b.status()["suspendedNow"] == 0 and
         c.status()["suspendedNow"] == 0, "still suspended")
    wait_equal(a, b, c)


def test_quick_changes_of_one_second(server, start_node):
    """Forgotten and registered again at once, at different nodes."""
    a, b = (start_node(n, server.url) for n in "ab")
    for i in range(10):
        one, other = (a, b) if i % 2 else (b, a)
        one.register("alice", ACCOUNT, TOKEN, ["INBOX", "M%d" % i])
        wait(lambda: book(other) == book(one) != [], "not heard")
        assert other.run("forget", "alice").returncode == 0
        wait(lambda: book(one) == [], "not forgotten")
    a.register("alice", ACCOUNT, TOKEN, ["last"])
    assert wait_equal(a, b)[0][3] == ["last"]


def test_names_in_either_case(server, start_node):
    a, b = (start_node(n, server.url) for n in "ab")
    a.register("Alice", ACCOUNT, TOKEN, ["INBOX"])
    wait_equal(a, b)
    b.register("alice", ACCOUNT, TOKEN, ["Notes"])
    wait(lambda: book(a) and book(a)[0][3] == ["Notes"], "not replaced")
    assert len(server.call("KEYS", "xaps:{*")) == 1


# --- away and back ---

def test_away_costs_nothing(workdir, start_node, apple):
    """Nobody waits for it; health stays; one line for each change."""
    server = Valkey(workdir)
    a = start_node("a", server.url, in_step=False)
    a.wait_log(r"warn .*shared: .*; all goes on")
    a.register("alice", ACCOUNT, TOKEN)
    assert a.notify("alice").status == 200
    apple.wait_for(1)
    assert a.request("GET", "/healthz").status == 200
    assert shared(a)["state"] == "away" and shared(a)["problem"]
    for _ in range(2):
        with server:
            wait_in_step(a)
            assert values(server, "alice")
        wait(lambda: shared(a)["state"] == "away", "not away")
    assert a.request("GET", "/healthz").status == 200
    log = a.log()
    assert log.count(" warn  shared: ") == 3, log
    assert log.count("shared: 127.0.0.1 port %d: in step" % server.port) == 2


def test_changes_while_it_is_away(workdir, start_node, apple):
    server = Valkey(workdir)
    server.start()
    a, b = (start_node(n, server.url) for n in "ab")
    for i in range(3):
        a.register("user%d" % i, ACCOUNT, token(i))
    wait_equal(a, b)
    server.stop()
    a.register("new-a", ACCOUNT, token(10))
    b.register("new-b", ACCOUNT, token(11))
    assert b.run("forget", "user0").returncode == 0
    b.register("user1", ACCOUNT, token(1), ["changed"])
    with server:                        # all it had is lost
        both = wait_equal(a, b)
        assert [r[0] for r in both] == ["new-a", "new-b", "user1", "user2"]
        assert both[2][3] == ["changed"]
        c = start_node("c", server.url)
        assert wait_equal(a, b, c) == both


def test_flushed_by_mistake(server, start_node):
    a, b = (start_node(n, server.url) for n in "ab")
    for i in range(50):
        (a if i % 2 else b).register("user%d" % i, ACCOUNT, token(i))
    wait_equal(a, b)
    server.call("FLUSHALL")
    server.call("CLIENT", "KILL", "TYPE", "normal")
    server.call("CLIENT", "KILL", "TYPE", "pubsub")
    wait(lambda: len(server.call("KEYS", "xaps:{*")) == 50, "not refilled")
    wait_equal(a, b)


def test_another_node_has_seen_that_it_is_empty(server, start_node):
    """It names the book anew; the others, still connected, hear that."""
    a, b = (start_node(n, server.url) for n in "ab")
    for i in range(50):
        a.register("user%d" % i, ACCOUNT, token(i))
    assert a.run("forget", "user0").returncode == 0
    wait_equal(a, b)
    assert shared(a)["book"] == shared(b)["book"] != ""
    server.call("FLUSHALL")
    value = '{"book":"0123456789abcdef","t":1,"node":"x"}'
    server.call("HSET", "xaps:book", "id", value)
    server.call("PUBLISH", "xaps:events", value)
    for node in (a, b):
        node.wait_log("warn .*has lost its data: it is filled again")
        wait(lambda: shared(node)["book"] == "0123456789abcdef", "not heard")
    wait(lambda: len(server.call("KEYS", "xaps:{*")) == 50, "not refilled")
    assert values(server, "user0")[ACCOUNT + " " + token(0)]["gone"] is True
    wait_equal(a, b)


@pytest.mark.skipif("CHECK_SHARED" not in os.environ,
                    reason="make check-shared: takes up to 38 s")
def test_flushed_while_all_are_connected(server, start_node):
    a, b = (start_node(n, server.url) for n in "ab")
    for i in range(50):
        (a if i % 2 else b).register("user%d" % i, ACCOUNT, token(i))
    wait_equal(a, b)
    server.call("FLUSHALL")
    wait(lambda: len(server.call("KEYS", "xaps:{*")) == 50, "not refilled",
         60)
    wait_equal(a, b)
    assert shared(a)["book"] == shared(b)["book"]


def test_strange_names_of_the_book(server, start_node):
    a = start_node("a", server.url)
    a.register("alice", ACCOUNT, TOKEN)
    wait_in_step(a)
    book_id = shared(a)["book"]
    for value in ('{"book":"', '{"book":"0123456789abcdef"',
                  '{"book":"0123456789ABCDEF","t":1,"node":"x"}',
                  '{"book":"0123456789abcde","t":1,"node":"x"}',
                  '{"book":"0123456789abcdef0","t":1,"node":"x"}',
                  '{"book":"0123456789abcdef","t":2,"node":"x"}'):
        server.call("PUBLISH", "xaps:events", value)
    b = start_node("b", server.url)
    b.register("bob", ACCOUNT, token(2))
    wait_equal(a, b)
    assert shared(a)["book"] == shared(b)["book"] == book_id
    assert "lost its data" not in a.log()


def test_old_backup_revives_nobody(server, start_node):
    a, b = (start_node(n, server.url) for n in "ab")
    week = int(time.time()) - 7 * 86400
    a.register("alice", ACCOUNT, TOKEN)
    a.register("bob", ACCOUNT, token(2), ["INBOX", "new"])
    wait_equal(a, b)
    b.stop()
    assert a.run("forget", "alice").returncode == 0
    now = wait_equal(a)
    lines = b.records()
    b.database.write_text("".join(
        json.dumps({**line, "time": week, "mailboxes": ["old"]}) + "\n"
        for line in lines))
    b.start()
    assert wait_equal(a, b) == now
    assert [r[0] for r in now] == ["bob"]


def test_killed_node(server, start_node):
    a, b = (start_node(n, server.url) for n in "ab")
    for i in range(20):
        a.register("user%d" % i, ACCOUNT, token(i))
    a.kill()
    b.register("other", ACCOUNT, TOKEN)
    a.start()
    assert len(wait_equal(a, b)) == 21


@pytest.mark.skipif(not LIBRARY, reason="libfaketime is not here")
@pytest.mark.skipif("asan" in os.environ.get("XAPSD", ""),
                    reason="not under AddressSanitizer")
def test_clock_a_minute_off(server, start_node, monkeypatch):
    """What a phone says last is what counts, by whatever clock."""
    ahead = start_node("ahead", server.url)
    monkeypatch.setenv("LD_PRELOAD", LIBRARY[0])
    monkeypatch.setenv("FAKETIME", "-60s")
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    behind = start_node("behind", server.url)
    monkeypatch.undo()
    for i in range(4):
        node, other = (ahead, behind) if i % 2 else (behind, ahead)
        node.register("alice", ACCOUNT, TOKEN, ["M%d" % i])
        wait(lambda: book(other) and book(other)[0][3] == ["M%d" % i],
             "not heard")
    assert ahead.run("forget", "alice").returncode == 0
    wait(lambda: book(behind) == [], "not forgotten")
    behind.register("alice", ACCOUNT, TOKEN, ["again"])
    assert wait_equal(ahead, behind)[0][3] == ["again"]


def test_many(server, start_node):
    """More than one step of everything."""
    a = start_node("a", server.url)
    register_many(a, (("user%d" % i, ACCOUNT, token(i)) for i in range(1500)))
    b = start_node("b", server.url)
    assert len(wait_equal(a, b)) == 1500


# --- ways to reach it ---

def test_unix_socket(workdir, start_node):
    with Valkey(workdir, unix=True) as server:
        a, b = (start_node(n, server.url) for n in "ab")
        a.register("alice", ACCOUNT, TOKEN)
        assert wait_equal(a, b)
        assert str(server.path) in shared(a)["server"]


CHANNELS = "resetchannels &xaps:events " if executable() and \
    has_channel_rights() else ""
ACL = ("user xapsd on >%s resetkeys ~xaps:* " + CHANNELS + "-@all +hello "
       "+auth +select +ping +info +script|load +evalsha +hget "
       "+hset +hdel +hgetall +pexpire +publish +subscribe +scan +set +pttl")


def test_user_with_just_the_rights(workdir, start_node):
    """The rights that the man page names, and a password with everything."""
    from urllib.parse import quote
    acl = workdir / "users.acl"
    acl.write_text("user default off\n" + ACL % PASSWORD.replace(" ", "_") +
                   "\nuser admin on nopass ~* +@all\n")
    with Valkey(workdir, aclfile=acl) as server:
        password = PASSWORD.replace(" ", "_")
        url = "valkey://xapsd:%s@127.0.0.1:%d/0" % (
            quote(password, safe=""), server.port)
        a = start_node("a", url)
        file = workdir / "password"
        file.write_text(password + "\n")
        b = start_node("b", "valkey://xapsd@127.0.0.1:%d" % server.port,
                       sharedPasswordFile=file)
        a.register("alice", ACCOUNT, TOKEN)
        assert wait_equal(a, b)
        wrong = start_node("w", "valkey://xapsd:wrong@127.0.0.1:%d" %
                           server.port, in_step=False)
        wrong.wait_log("warn .*shared: .*WRONGPASS.*check user and password")
        for log in (a.log(), b.log(), wrong.log()):
            assert password not in log and quote(password, safe="") not in log
        none = start_node("n", server.url, in_step=False)
        none.wait_log("warn .*shared: .*NOAUTH.*sharedPasswordFile")


# Without these it goes on: RESP2, nobody asks, old values stay.
SPARE = {"+hello", "+auth", "+ping", "+hdel"}


@pytest.mark.parametrize("lack", [
    word for word in ACL.split() if word[0] in "+&~"])
def test_right_that_lacks(workdir, start_node, lack):
    """The log names xapsd(8), whichever it is."""
    acl = workdir / "users.acl"
    acl.write_text("user default on nopass ~* +@all\n" + " ".join(
        w for w in (ACL % "pw").split() if w != lack) + "\n")
    with Valkey(workdir, aclfile=acl) as server:
        server.call("HSET", "xaps:{bob}", "field", "foreign")
        # another database, if that is what it may not have
        a = start_node("a", "valkey://xapsd:pw@127.0.0.1:%d/%d" % (
            server.port, lack == "+select"), in_step=False, delay="1s")
        a.register("alice", ACCOUNT, TOKEN)
        if lack in ("+set", "+pttl"):   # of which a delayed push has need
            wait_in_step(a)
            wait_connected(a)
            server.call("SET", "xaps:once:{alice} %s %s %s" % (
                ACCOUNT, TOKEN, hashlib.md5(b"INBOX").hexdigest()), "1")
            a.notify("alice", "INBOX", ["FlagsSet"])
        if lack in SPARE:
            wait_in_step(a)
            assert " refuses " not in a.log()
            assert values(server, "alice")
        else:
            a.wait_log(r"warn  shared: .* refuses .*its user lacks a right: "
                       r"xapsd\(8\) names those")
            assert len(re.findall("warn  shared: .* refuses", a.log())) == 1
        if lack in ("+info", "+set", "+pttl"):
            wait_in_step(a)


def test_tls_with_a_private_ca(workdir, certs, start_node):
    with Valkey(workdir, tls=certs.server) as server:
        url = "valkeys://127.0.0.1:%d" % server.port
        a, b = (start_node(n, url, sharedCaFile=certs.ca) for n in "ab")
        a.register("alice", ACCOUNT, TOKEN)
        assert wait_equal(a, b)
        plain = start_node("p", "valkey://127.0.0.1:%d" % server.port,
                           in_step=False)
        plain.wait_log("warn .*shared: ")


@pytest.mark.parametrize("server, says", [
    ({"days": -1, "age_days": 9}, "certificate.*expired"),
    ({"addresses": ["192.0.2.1"]}, "certificate.*127.0.0.1"),
    ({}, "certificate.*"),
])
def test_tls_that_is_not_the_right_one(workdir, certs, start_node, apple,
                                       server, says):
    """Expired, of another name, of another CA; then the right one comes."""
    pem = workdir / "server.pem"
    issuer = certs.issuer if server else pki.CA("a stranger")
    key, cert = issuer.server(**server)
    pki.write(str(pem), pki.cert_pem(cert), pki.key_pem(key))
    with Valkey(workdir, tls=pem) as store:
        a = start_node("a", "valkeys://127.0.0.1:%d" % store.port,
                       sharedCaFile=certs.ca, in_step=False)
        a.wait_log("warn .*shared: 127.0.0.1 port .*" + says)
        a.register("alice", ACCOUNT, TOKEN)
        assert a.notify("alice").status == 200
        apple.wait_for(1)
        assert a.log().count("warn  shared: ") == 1
        store.stop()
        key, cert = certs.issuer.server()
        pki.write(str(pem), pki.cert_pem(cert), pki.key_pem(key))
        store.start()
        wait_in_step(a)
        assert values(store, "alice")


def test_database_and_prefix(server, start_node):
    a = start_node("a", server.url + "/3", sharedPrefix="site/one:")
    a.register("alice", ACCOUNT, TOKEN)
    wait_in_step(a)
    assert server.call("DBSIZE") == 0
    b = start_node("b", server.url + "/3", sharedPrefix="other:")
    assert book(b) == []
    # messages, too: the server does not tell databases apart
    c = start_node("c", server.url + "/2", sharedPrefix="site/one:")
    d = start_node("d", server.url, sharedPrefix="site/one:")
    a.register("bob", ACCOUNT, token(2))
    e = start_node("e", server.url + "/3", sharedPrefix="site/one:")
    assert len(wait_equal(a, e)) == 2
    c.register("carol", ACCOUNT, token(3))
    wait_in_step(c, d)
    assert book(d) == [] and len(book(c)) == 1 and len(book(a)) == 2
    assert "lost its data" not in a.log() + c.log() + d.log()


def test_policy_is_warned_of(workdir, start_node):
    with Valkey(workdir, maxmemory="100mb", maxmemory_policy="allkeys-lru") \
            as server:
        a = start_node("a", server.url)
        a.wait_log("warn .*maxmemory-policy is allkeys-lru.*noeviction")
    with Valkey(workdir) as server:
        b = start_node("b", server.url)
        assert "maxmemory" not in b.log()


def test_failover(workdir, start_node):
    """The master dies; Sentinel makes a replica the new one."""
    master = Valkey(workdir, "m", unixsocketperm=700)
    replicas = [Valkey(workdir, "r%d" % i,
                       replicaof="127.0.0.1 %d" % master.port)
                for i in (1, 2)]
    sentinels = [Valkey(workdir, "s%d" % i, sentinel=True, sentinel_=[])
                 for i in (1, 2, 3)]
    for s in sentinels:
        # a master that only has no processor is not down
        s.lines += ["sentinel monitor mail 127.0.0.1 %d 2" % master.port,
                    "sentinel down-after-milliseconds mail 600000",
                    "sentinel failover-timeout mail 2000"]
    with contextlib.ExitStack() as stack:
        for s in (master, *replicas, *sentinels):
            stack.enter_context(s)
        wait(lambda: all(s.call("SENTINEL", "replicas", "mail").__len__() == 2
                         for s in sentinels), "replicas are not found")
        wait(lambda: all(len(s.call("SENTINEL", "sentinels", "mail")) == 2
                         for s in sentinels), "sentinels are not found")
        hosts = " ".join("127.0.0.1:%d" % s.port for s in sentinels)
        a, b = (start_node(n, "valkey:///0", sharedSentinels=hosts,
                           sharedMaster="mail") for n in "ab")
        a.register("alice", ACCOUNT, TOKEN)
        wait_equal(a, b)
        # one that is told a replica's address alone says so
        r = start_node("r", replicas[0].url, in_step=False)
        r.wait_log("warn .*shared: .*replica.*sharedSentinels")
        master.stop()
        for s in sentinels:
            s.call("SENTINEL", "SET", "mail", "down-after-milliseconds", "500")
        b.register("bob", ACCOUNT, token(2))
        wait(lambda: str(master.port) not in shared(a)["server"] and
             str(master.port) not in shared(b)["server"], "no failover")
        a.register("carol", ACCOUNT, token(3))
        assert [x[0] for x in wait_equal(a, b)] == ["alice", "bob", "carol"]


def sentinel_of(workdir, name, master, *lines, **options):
    s = Valkey(workdir, name, sentinel=True, **options)
    s.lines += ["sentinel monitor mail 127.0.0.1 %d 1" % master.port, *lines]
    return s


@pytest.mark.skipif(not executable() or not has_channel_rights(),
                    reason="Sentinel has users since Redis 6.2")
def test_sentinel_with_its_own_user(workdir, start_node):
    """Who has just the right to ask, and another password than the store."""
    master = Valkey(workdir, "m", requirepass="store-pw")
    sentinel = sentinel_of(
        workdir, "s", master, "sentinel auth-pass mail store-pw",
        "user default off", "user asker on >sent%-pw resetkeys "
        "resetchannels -@all +auth +sentinel|get-master-addr-by-name")
    with master, sentinel:
        config = {"sharedMaster": "mail"}

        def node(name, login, **more):
            return start_node(
                name, "valkey://:store-pw@/0", sharedSentinels=
                "%s127.0.0.1:%d" % (login, sentinel.port), **config, **more)
        a = node("a", "asker:sent%25-pw@")
        a.register("alice", ACCOUNT, TOKEN)
        wait_in_step(a)
        b = node("b", "valkey://asker:sent%25-pw@")
        assert wait_equal(a, b)
        none = node("n", "", in_step=False)
        none.wait_log("warn .*shared: .*NOAUTH.*sharedSentinels: user:")
        wrong = node("w", "asker:store-pw@", in_step=False)
        wrong.wait_log("warn .*shared: .*WRONGPASS.*password in "
                       "sharedSentinels")
        for log in (a.log(), b.log(), none.log(), wrong.log()):
            assert "sent%" not in log and "store-pw" not in log


def test_sentinel_with_tls_of_its_own(workdir, certs, start_node):
    """The store has none; and the other way round."""
    master = Valkey(workdir, "m")
    sentinel = sentinel_of(workdir, "s", master, tls=certs.server)
    with master, sentinel:
        a = start_node("a", "valkey:///0", sharedMaster="mail",
                       sharedSentinels="valkeys://127.0.0.1:%d" %
                       sentinel.port, sharedCaFile=certs.ca)
        a.register("alice", ACCOUNT, TOKEN)
        wait_in_step(a)
        plain = start_node("p", "valkey:///0", sharedMaster="mail",
                           sharedSentinels="127.0.0.1:%d" % sentinel.port,
                           in_step=False)
        plain.wait_log("warn .*shared: ")
    with Valkey(workdir, "t", tls=certs.server) as store:
        with sentinel_of(workdir, "u", store, "tls-replication no") as other:
            b = start_node("b", "valkeys:///0", sharedMaster="mail",
                           sharedSentinels="valkey://127.0.0.1:%d" %
                           other.port, sharedCaFile=certs.ca)
            b.register("bob", ACCOUNT, token(2))
            wait_in_step(b)


def test_server_without_hello(workdir, start_node, apple):
    """Proxies, as a rule: RESP2, and messages on a second connection."""
    with Valkey(workdir, rename_command='HELLO ""', requirepass="pass") as s:
        url = s.url.replace("//", "//:pass@")
        a, b = (start_node(n, url) for n in "ab")
        a.register("alice", ACCOUNT, TOKEN)
        assert wait_equal(a, b)
        a.register("alice", ACCOUNT, TOKEN, ["Notes"])
        wait(lambda: book(b)[0][3] == ["Notes"], "not heard")
        # either connection may be lost
        admin = Client(s.path)
        admin.call("AUTH", "pass")
        for kind in ("pubsub", "normal"):
            admin.call("CLIENT", "KILL", "TYPE", kind)
            b.register(kind, ACCOUNT, token(2))
            wait(lambda: kind in [r[0] for r in book(a)], "not heard")
            wait_equal(a, b)
        admin.close()


def test_server_hangs(server, start_node, apple):
    """It is there and says nothing; nobody waits, and it is noticed."""
    a = start_node("a", server.url)
    b = start_node("b", server.url)
    a.register("alice", ACCOUNT, TOKEN)
    wait_equal(a, b)
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        for i in range(10):
            a.register("user%d" % i, ACCOUNT, token(i))
        assert a.notify("user0").status == 200
        apple.wait_for(1, token=token(0))
        a.wait_log("warn .*shared: .*does not answer")
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    assert len(wait_equal(a, b)) == 11


def slow_line(port, bytes_s, pauses):
    """Its listener; what the server sends comes at that pace.  pauses: the
    times between two pieces of it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source, to, pause_s):
        last = time.monotonic()
        with contextlib.suppress(OSError):
            while data := source.recv(bytes_s // 20):
                to.sendall(data)
                pauses.append(pause_s and time.monotonic() - last)
                last = time.monotonic()
                time.sleep(pause_s * len(data))
        with contextlib.suppress(OSError):
            to.shutdown(socket.SHUT_RDWR)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
                far = socket.create_connection(("127.0.0.1", port))
                for ends in (near, far, 0), (far, near, 1 / bytes_s):
                    threading.Thread(
                        target=pump, args=ends, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener


def test_slow_line(server, start_node):
    """One answer takes longer than a server may be silent."""
    a = start_node("a", server.url)
    folders = ["INBOX"] + ["A folder with a long name %d" % i
                           for i in range(50)]
    register_many(a, (("user%d" % (i // 20), ACCOUNT, token(i), folders)
                      for i in range(400)))
    wait_in_step(a)
    pauses = []
    with slow_line(server.port, 100000, pauses) as line:
        b = start_node("b", "valkey://127.0.0.1:%d" %
                       line.getsockname()[1], in_step=False)
        b.wait_log("shared: .* in step", timeout=90)
        # unless the machine was so busy that nothing came at all
        assert "does not answer" not in b.log() or max(pauses) > 4
        assert len(book(b)) == 400
        b.stop()


def test_strange_values(server, start_node):
    """What others wrote there does no harm."""
    good = json.dumps({
        "user": "bob", "account": ACCOUNT, "token": TOKEN,
        "mailboxes": ["INBOX"], "acked": True, "time": 1,
        "t": int(time.time() * 1000), "node": "x"}, separators=(",", ":"))
    server.call("SET", "xaps:{string}", "1")
    server.call("LPUSH", "xaps:{list}", "1")
    for field, value in (
            ("a", ""), ("b", "x" * 700000), ("c", "{}"), ("d", '{"t":1}'),
            ("e", '{"user":1,"t":%d,"node":"x"}' % (time.time() * 1000)),
            ("f", '{,"t":99999999999999999999,"node":"x"}'),
            ("g", '[[[[[' * 1000 + ',"t":1,"node":"x"}'),
            ("x" * 5000, good), (ACCOUNT + " " + TOKEN, good)):
        server.call("HSET", "xaps:{bob}", field, value)
    a = start_node("a", server.url)
    assert [r[0] for r in book(a)] == ["bob"]
    assert a.log().count("shared book is not taken") == 1
    for value in ("", "x" * 100000, good.replace("bob", "carol")):
        server.call("PUBLISH", "xaps:events", value)
    wait(lambda: [r[0] for r in book(a)] == ["bob", "carol"], "not heard")
    wait_in_step(a)


def test_a_key_of_somebody_else(server, start_node):
    """One user is not shared; all others are."""
    server.call("SET", "xaps:{bob}", "1")
    a = start_node("a", server.url)
    a.register("bob", ACCOUNT, token(1))
    a.wait_log("warn .*the key xaps:{bob} is somebody else's.* delete it")
    a.register("alice", ACCOUNT, token(2))
    wait_in_step(a)
    b = start_node("b", server.url)
    assert [r[0] for r in book(b)] == ["alice"]
    server.call("DEL", "xaps:{bob}")
    a.register("bob", ACCOUNT, token(1), ["INBOX", "Notes"])
    assert len(wait_equal(a, b)) == 2


def test_old_values_go(server, start_node):
    """Nobody needs them when they are 2 days older than registrationTtl."""
    def value(user, days, **more):
        t = int(time.time() - days * 86400)
        return json.dumps({
            "user": user, "account": ACCOUNT, "token": TOKEN, **(more or {
                "mailboxes": ["INBOX"], "acked": True, "time": t}),
            "t": t * 1000, "node": "x"}, separators=(",", ":"))
    for name, text in (("old", value("alice", 13)),
                       ("gone", value("alice", 13, gone=True)),
                       ("unused", value("alice", 11)),
                       ("good", value("alice", 9))):
        server.call("HSET", "xaps:{alice}", name, text)
    a = start_node("a", server.url, registrationTtl="10d")
    assert len(book(a)) == 1
    wait(lambda: set(values(server, "alice")) == {"unused", "good"},
         "old ones are still there")


def test_memory_full(workdir, start_node):
    """The store refuses; said once, tried again, nothing is lost here."""
    with Valkey(workdir, maxmemory="1", maxmemory_policy="noeviction") as s:
        a = start_node("a", s.url, in_step=False)
        a.register("alice", ACCOUNT, TOKEN)
        a.wait_log("warn .*shared: .*refuses.*OOM")
        assert "OOM" in shared(a)["problem"]
        a.register("bob", ACCOUNT, token(2))
        assert len(book(a)) == 2


@pytest.mark.skipif(not executable() or not has_channel_rights(),
                    reason="Redis 6.0 takes changes of a script even then")
def test_master_without_replicas(workdir, start_node):
    """As right after a failover: it passes by itself, and is tried again soon."""
    with Valkey(workdir, min_replicas_to_write="1") as s:
        a = start_node("a", s.url, in_step=False)
        a.register("alice", ACCOUNT, TOKEN)
        a.wait_log("warn .*shared: .*refuses.*NOREPLICAS")
        s.call("CONFIG", "SET", "min-replicas-to-write", "0")
        wait_in_step(a)
        assert values(s, "alice")


def test_something_else_answers(workdir, start_node, start_xapsd):
    """A web server, TLS, and somebody who says nothing."""
    web = start_xapsd(tcp=True)
    a = start_node("a", "valkey://127.0.0.1:%d" % web.port, in_step=False)
    a.wait_log("warn .*shared: .*not the protocol of Valkey or Redis")
    apple = start_node("b", "valkey://127.0.0.1:%d" % a.apple.port,
                       in_step=False)
    apple.wait_log("warn .*shared: ")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        c = start_node("c", "valkey://127.0.0.1:%d" %
                       silent.getsockname()[1], in_step=False)
        c.wait_log("warn .*shared: .*does not answer")


def test_status_for_people(server, start_node, workdir):
    a = start_node("a", server.url)
    assert "Shared book    in step, 127.0.0.1 port %d, 0 changes wait\n" % \
        server.port in a.run("status").stdout
    server.stop()
    wait(lambda: shared(a)["state"] == "away", "not away")
    assert "Shared book    away, " in a.run("status").stdout
    server.start()


# --- what is written wrongly ---

@pytest.mark.parametrize("config, says", [
    ({"sharedStore": "http://host"}, "sharedStore.*valkey://host"),
    ({"sharedStore": "valkey://u:p4ss@h:99999"}, "sharedStore.*valkey://host"),
    ({"sharedStore": "valkey://host/x"}, "sharedStore.*valkey://host"),
    ({"sharedStore": "valkey://"}, "sharedStore.*host is missing"),
    ({"sharedStore": "unix:rel"}, "sharedStore.*unix:/path"),
    ({"sharedStore": "valkey://h", "sharedPrefix": "a*"},
     "sharedPrefix.*letters"),
    ({"sharedStore": "valkey://u:p4ss@h", "sharedPasswordFile": "x"},
     "sharedPasswordFile.*remove one"),
    ({"sharedStore": "valkey://", "sharedSentinels": "h"},
     "sharedMaster.*missing"),
    ({"sharedStore": "valkey://", "sharedSentinels": "h:x",
      "sharedMaster": "m"}, "sharedSentinels.*user:password@host"),
    ({"sharedStore": "valkey://", "sharedSentinels": "u:p4ss@h u:p4ss@",
      "sharedMaster": "m"}, "sharedSentinels.*user:password@host"),
])
def test_bad_keys(start_xapsd, config, says):
    daemon = start_xapsd(wait=False, **config)
    assert daemon.process.wait(20) == 78
    daemon.process = None
    daemon.wait_log(says, start=0)
    assert "p4ss" not in daemon.log()


def test_reload(workdir, server, start_xapsd):
    """It may come, change and go while the daemon runs."""
    a = start_xapsd()
    a.register("alice", ACCOUNT, TOKEN)
    assert "shared" not in a.status()

    def reload(**config):
        for key, value in config.items():
            a.config[key] = value
        a.write_config()
        start = a.log_size()
        a.process.send_signal(signal.SIGHUP)
        a.wait_log("reload: the configuration was read again|not used",
                   start=start)

    reload(sharedStore=server.url)
    wait_in_step(a)
    assert values(server, "alice")
    reload(sharedStore=server.url, sharedPrefix="two:")
    wait_in_step(a)
    assert values(server, "alice", "two:")
    reload(sharedStore="valkey://host:x")
    wait_in_step(a)
    reload(sharedStore=None)
    wait(lambda: "shared" not in a.status(), "still there")
    a.register("bob", ACCOUNT, token(2))
    assert len(server.call("KEYS", "*{*")) == 2


def test_cluster_without_proxy(workdir, start_node):
    """It says so: keys are elsewhere, or nowhere yet."""
    # its other port, higher by 10,000, may be that of somebody's connection,
    # but not at this address
    with Valkey(workdir, address="127.43.21.1", cluster_enabled="yes") as server:
        a = start_node("a", server.url, in_step=False)
        a.register("alice", ACCOUNT, TOKEN)
        a.wait_log("warn .*shared: .*CLUSTERDOWN")
        assert a.notify("alice").status == 200
