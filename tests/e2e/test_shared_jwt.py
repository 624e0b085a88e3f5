"""Several nodes with one token key use one JWT."""

import glob
import json
import os
import signal
import time

import pytest

from apple import Answer
from certs import KEY_ID, TEAM_ID
from phones import ACCOUNT, TOKEN, token
from test_shared_store import (  # noqa: F401 (fixtures)
    LIBRARY, server, settle, shared, start_node, values, wait, wait_equal,
    wait_in_step)
from valkey import Client, Valkey, executable

pytestmark = pytest.mark.skipif(
    not executable(), reason="no valkey-server or redis-server")

KEY = "xaps:jwt:{%s.%s}" % (TEAM_ID, KEY_ID)
EXPIRED = Answer(403, "ExpiredProviderToken")


def stored(server):
    """The JWT in the store."""
    text = server.call("HGET", KEY, "jwt") or ""
    return json.loads(text) if text.endswith("}") else None


def next_second(server):
    """A JWT's time is in seconds, and one of the same second is the same."""
    wait(lambda: time.time() >= stored(server)["t"] / 1000 + 1, "no next second")


def bearer(push):
    kind, jwt = push.headers["authorization"].split()
    assert kind == "bearer"
    return jwt


def pardon(apple, word):
    """What Apple refused was to be refused."""
    for push in apple.pushes:
        if push.problem and word in push.problem:
            push.problem = None


class Phones:
    """One phone for each push, so that none is merged."""

    def __init__(self, apple):
        self.apple, self.n = apple, 0

    def push(self, node):
        """The JWT of a push by this node."""
        self.n += 1
        user = "user%d" % self.n
        node.register(user, ACCOUNT, token(self.n))
        assert node.notify(user, "INBOX").status == 200
        return bearer(self.apple.wait_for(1, token=token(self.n))[-1])


@pytest.fixture
def phones(apple):
    return Phones(apple)


def test_one_for_all(server, start_node, phones):
    a, b = (start_node(n, server.url) for n in "ab")
    jwt = phones.push(a)
    wait(lambda: stored(server), "not stored")
    assert stored(server)["jwt"] == jwt
    assert stored(server)["t"] % 1000 == 0
    assert 0 < server.call("PTTL", KEY) <= 50 * 60 * 1000
    wait_equal(a, b)
    settle(server, b)
    assert phones.push(b) == jwt
    # one that comes later, and one that comes again
    c = start_node("c", server.url)
    assert phones.push(c) == jwt
    a.stop()
    a.start()
    wait_in_step(a)
    assert phones.push(a) == jwt
    for node in (a, b, c):
        assert jwt not in node.log() and jwt[-20:] not in node.log()


def test_never_logged(server, start_node, phones):
    a = start_node("a", server.url, loglevel="trace")
    jwt = phones.push(a)
    wait(lambda: stored(server), "not stored")
    b = start_node("b", server.url, loglevel="trace")
    assert phones.push(b) == jwt
    for node in (a, b):
        assert jwt.split(".")[2] not in node.log()
        assert jwt not in json.dumps(node.status())


def test_made_while_it_is_away(workdir, start_node, phones):
    """Each has its own, and one of them is chosen."""
    server = Valkey(workdir)
    a, b = (start_node(n, server.url, in_step=False) for n in "ab")
    jwts = {phones.push(a), phones.push(b)}
    with server:
        wait_equal(a, b)
        wait(lambda: stored(server), "not stored")
        wait_equal(a, b)
        wait(lambda: phones.push(a) == phones.push(b), "two of them")
        assert phones.push(a) in jwts
        # a start while it does not answer changes nobody's
        last = phones.push(a)
        next_second(server)
        b.stop()
        server.process.send_signal(signal.SIGSTOP)
        b.start()
        assert phones.push(b) != last
        server.process.send_signal(signal.SIGCONT)
        wait_equal(a, b)
        wait(lambda: phones.push(b) == last, "another one")
        assert phones.push(a) == last


def test_at_the_same_time(server, start_node, phones, apple):
    """Whoever made one, all come to the same."""
    nodes = [start_node(n, server.url) for n in "abc"]
    for i, node in enumerate(nodes):
        node.register("x%d" % i, ACCOUNT, token(100 + i))
    wait_equal(*nodes)
    for i, node in enumerate(nodes):
        assert node.notify("x%d" % i, "INBOX", keep=True).status == 200
    for i in range(3):
        apple.wait_for(1, token=token(100 + i))
    wait(lambda: len({phones.push(n) for n in nodes}) == 1, "several")


def test_expired_for_one_is_expired_for_all(server, start_node, phones, apple):
    nodes = [start_node(n, server.url) for n in "abc"]
    first = phones.push(nodes[0])
    wait(lambda: stored(server), "not stored")
    wait_equal(*nodes)
    settle(server, *nodes)
    assert {phones.push(n) for n in nodes} == {first}
    # Apple refuses that one, whoever shows it
    next_second(server)
    apple.script(None, lambda push: EXPIRED if bearer(push) == first else None)
    for i, node in enumerate(nodes):
        node.register("y%d" % i, ACCOUNT, token(200 + i))
        assert node.notify("y%d" % i, "INBOX").status == 200
    for i in range(3):
        wait(lambda: any(bearer(p) != first
                         for p in apple.to(token(200 + i))), "not renewed")
    wait(lambda: len({phones.push(n) for n in nodes}) == 1, "several")
    jwts = {bearer(p) for p in apple.pushes}
    assert first in jwts and 2 <= len(jwts) <= 4
    last = phones.push(nodes[0])
    assert stored(server)["jwt"] == last != first
    for node in nodes:
        assert node.request("GET", "/healthz").status == 200
    # nobody goes back to it
    d = start_node("d", server.url)
    assert phones.push(d) == last


def test_answer_to_the_one_before(server, start_node, phones, apple):
    """b has heard of the new one while Apple refuses b's old one: it does not
    make a third."""
    a, b = (start_node(n, server.url, pushTimeout="10m") for n in "ab")
    first = phones.push(a)
    wait(lambda: stored(server), "not stored")
    wait_equal(a, b)
    settle(server, b)
    assert phones.push(b) == first
    b.register("slow", ACCOUNT, TOKEN)
    apple.script(TOKEN, Answer(never=True))
    assert b.notify("slow", "INBOX").status == 200
    slow, = apple.wait_for(1, token=TOKEN)
    next_second(server)
    a.register("fast", ACCOUNT, token(300))
    apple.script(token(300), EXPIRED)
    assert a.notify("fast", "INBOX").status == 200
    second = bearer(apple.wait_for(2, token=token(300))[1])
    assert second != first
    wait(lambda: stored(server)["jwt"] == second, "not stored")
    settle(server, b)
    apple.give(slow, EXPIRED)
    again = bearer(apple.wait_for(2, token=TOKEN)[1])
    assert again == second
    assert {bearer(p) for p in apple.pushes} == {first, second}


@pytest.mark.skipif(not LIBRARY, reason="libfaketime is not here")
@pytest.mark.skipif("asan" in os.environ.get("XAPSD", ""),
                    reason="not under AddressSanitizer")
@pytest.mark.parametrize("step", ["+7200s", "-7200s"])
def test_wrong_clock_poisons_nobody(server, start_node, phones, apple,
                                    monkeypatch, step):
    a, b = (start_node(n, server.url) for n in "ab")
    monkeypatch.setenv("LD_PRELOAD", LIBRARY[0])
    monkeypatch.setenv("FAKETIME", step)
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    wrong = start_node("wrong", server.url)
    monkeypatch.undo()
    bad = phones.push(wrong)
    wait(lambda: stored(server), "not stored")
    good = phones.push(a)
    assert good != bad
    wait(lambda: stored(server)["jwt"] == good, "not replaced")
    wait(lambda: phones.push(b) == good, "b has another one")
    wrong.stop()
    c = start_node("c", server.url)
    assert phones.push(c) == good
    pardon(apple, "iat")


def forged(good, **change):
    value = {**good, **change}
    return json.dumps(value, separators=(",", ":"))


def test_only_our_own_key_is_believed(server, start_node, phones):
    """Whoever can write to the store changes nothing."""
    a = start_node("a", server.url)
    jwt = phones.push(a)
    wait(lambda: stored(server), "not stored")
    good = stored(server)
    head, claims, sig = jwt.split(".")
    later = good["t"] + 5000
    other = "A" if sig[10] != "A" else "B"
    far = 9000000000000000000
    bad = [
        forged(good, t=later),                          # not that time's
        forged(good, jwt=".".join([head, claims, sig[:10] + other + sig[11:]])),
        forged(good, jwt=head + "." + claims + ".", t=later),
        forged(good, jwt="x" * 3000, t=later),
        forged(good, jwt="", t=later),
        forged(good, jwt=jwt + "A", t=far),
        '{"jwt":"' + jwt,
        '{"jwt":"',
        '{"jwt":5,"t":%d,"node":"x"}' % later,
    ]
    b = start_node("b", server.url)
    assert phones.push(b) == jwt
    for value in bad:
        server.call("PUBLISH", "xaps:events", value.replace(
            good["node"], "x"))
    a.register("after", ACCOUNT, token(500))
    wait_equal(a, b)
    assert phones.push(b) == jwt
    for value in bad:
        server.call("HSET", KEY, "jwt", value)
        b.stop()
        b.start()
        wait_in_step(b)
        mine = phones.push(b)
        wait(lambda: (stored(server) or {}).get("jwt") == mine, "not mended")


def test_another_key(server, start_node, phones, apple):
    """Another team or key id is another JWT."""
    a = start_node("a", server.url)
    phones.push(a)
    wait(lambda: stored(server), "not stored")
    b = start_node("b", server.url, keyFileKeyId="ZZZZZ99999")
    b.register("z", ACCOUNT, TOKEN)
    b.notify("z", "INBOX")
    wait(lambda: server.call("EXISTS", KEY.replace(KEY_ID, "ZZZZZ99999")),
         "no second one")
    b.wait_log("error push: .*InvalidProviderToken.*: pushes wait")
    pardon(apple, "kid")


def test_certificate_has_none(server, start_node, certs, apple):
    a = start_node("a", server.url, keyFileP8=None, keyFileKeyId=None,
                   keyFileTeamId=None, keyFileTopic=None,
                   certificateFilePem=certs.client)
    a.register("alice", ACCOUNT, TOKEN)
    assert a.notify("alice").status == 200
    apple.wait_for(1)
    wait_in_step(a)
    assert server.call("KEYS", "xaps:jwt*") == []


def test_new_credentials(server, start_node, phones):
    """They are shared, too, and the old ones' end does no harm."""
    a, b = (start_node(n, server.url) for n in "ab")
    jwt = phones.push(a)
    wait(lambda: stored(server), "not stored")
    wait_equal(a, b)
    settle(server, b)
    assert phones.push(b) == jwt
    for node in (a, b):
        start = node.log_size()
        node.process.send_signal(signal.SIGHUP)
        node.wait_log("configuration was read again", start=start)
    settle(server, a, b)
    wait(lambda: phones.push(a) == jwt and phones.push(b) == jwt, "not asked")
    server.stop()
    assert phones.push(a) == jwt
