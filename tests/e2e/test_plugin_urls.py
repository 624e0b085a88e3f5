"""The Dovecot modules with several ways to xapsd: which one is asked, what moves
a request on to the next, and that nobody waits for one that hangs."""
import contextlib
import itertools
import os
import re
import select
import socket
import time

import pytest

import fake_xapsd as fx
from certs import Certs
from dovecot import LATE_S, least, version, wait_for
from fake_xapsd import TOPIC, FakeXapsd, held_socket
from test_plugin import (MAIL, assert_ok, command, comes, kind, own, work_dir)
from test_plugin_away import told_once

__all__ = ["own", "work_dir"]   # fixtures
IS_2_3 = version()[:2] == (2, 3)
ONE_LMTP = "service lmtp {\n process_limit = 1\n}"


def urls(*targets, **more):
    """Settings in the form of this Dovecot."""
    names = [t if isinstance(t, str) else f"unix:{t.path}" if t.path else
             f"http://127.0.0.1:{t.port}" for t in targets]
    return {"url": (" url=" if IS_2_3 else " ").join(names), **more}


def fakes(work_dir, count):
    return [FakeXapsd(str(work_dir / f"x{i}")) for i in range(count)]


def told(fake, user="alice", path="/notify"):
    return len(fake.of(path, user))


def both_ways(server, user="alice"):
    """A registration and a delivery of each kind."""
    with server.imap(user) as c:
        assert_ok(c.cmd(command()), "INBOX")
    server.dovecot.deliver(user, MAIL)
    server.dovecot.lda(user, MAIL)


def complaints(dovecot):
    """But of visits, which have a second only."""
    return [line for line in dovecot.log().splitlines() if re.search(
        "(Error|Warning): .*xaps", line) and "visit not rep" not in line]


PHONE = 'ID ("name" "com.apple.email.maild" "vendor" "Apple Inc" ' \
    '"os" "iOS" "os-version" "26.5 (23F77)")'


# --- which one ---

def test_the_first_is_asked(own, work_dir):
    first, second = fakes(work_dir, 2)
    with first, second:
        server = own(first, urls(first, second))
        both_ways(server)
        server.notified("alice", 2)
        assert not second.requests
    assert not complaints(server.dovecot)


def black_hole():
    """Accepts by the kernel only, and never answers."""
    return socket.create_server(("127.0.0.1", 0))


def refused():
    """A port where nobody listens, bound so that nobody takes it."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


FAULTS = {
    "no socket": lambda d: f"unix:{d}/nobody",
    "refused": refused,
    "accepts only": black_hole,
    "held socket": lambda d: held_socket(str(d / "held")),
    "no such host": lambda d: "http://nobody.invalid:11619",
    "http to https": lambda d: "TLS",
    "TLS with nobody": lambda d: "TLS hole",
    "503": fx.status(503), "500": fx.status(500), "502": fx.status(502),
    "401": fx.status(401), "403": fx.status(403), "405": fx.status(405),
    "301": fx.raw(b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\n"
                  b"Content-Length: 0\r\n\r\n"),
    "hangs": fx.hang, "closes": fx.close,
    "endless header": fx.endless_header,
    "no HTTP": fx.raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", close=True),
    "half a head": fx.raw(b"HTTP/1.1 2", close=True),
}
HALF_S = 8      # of the timeout: the share of the first of two
# That it is one of ours, but cannot be asked in this way.
BROKEN = ("500", "401", "403", "405", "301", "no HTTP")


class Fault:
    """The target, and what is to be closed after it."""

    def __init__(self, kind, work_dir):
        how, self.closes = FAULTS[kind], []
        if kind in ("refused", "accepts only"):
            self.closes.append(how())
            self.url = "http://127.0.0.1:%d" % self.closes[0].getsockname()[1]
        elif kind == "http to https":
            self.closes.append(FakeXapsd(("127.0.0.1", 0)))
            self.url = f"https://127.0.0.1:{self.closes[0].port}"
        elif kind == "TLS with nobody":
            self.closes.append(black_hole())
            self.url = "https://127.0.0.1:%d" % self.closes[0].getsockname()[1]
        elif kind in ("no socket", "no such host"):
            self.url = how(work_dir)
        elif kind == "held socket":
            self.closes.append(how(work_dir))
            self.url = f"unix:{work_dir}/held"
        else:
            self.closes.append(FakeXapsd(str(work_dir / "bad")))
            self.url = f"unix:{work_dir}/bad"
            self.closes[0].otherwise = how

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for c in self.closes:
            c.close() if isinstance(c, socket.socket) else c.stop()


@pytest.mark.parametrize("fault", FAULTS)
def test_the_next_one(own, work_dir, fault):
    """Registration and both deliveries reach the second.  Whoever comes after
    the first who has found the fault does not wait for it, neither a process
    that goes on nor a new one; the log says it once."""
    with Fault(fault, work_dir) as bad, \
            FakeXapsd(str(work_dir / "good")) as good:
        begin = time.monotonic()
        server = own(good, urls(bad.url, good,
                                timeout_msecs=HALF_S * 2 * 1000))
        server.dovecot.deliver("alice", MAIL)
        server.notified("alice")
        count = itertools.count()

        def come_after():
            start, n = time.monotonic(), next(count)
            for user in (f"bob{n}", f"carol{n}"):
                both_ways(server, user)
                server.notified(user, 2)
                server.registered(user)
            return time.monotonic() - start
        # within the 10 s for which it is known; whoever waits has half of
        # the timeout
        assert least(come_after, HALF_S, 8) < HALF_S
        server.dovecot.wait_log("xaps: .*; unix:.*/good answers")
        server.dovecot.stop()
    said = complaints(server.dovecot)
    assert 1 <= len(said) <= 1 + (time.monotonic() - begin) // 60, said
    assert all(re.search(r"xaps: .*; unix:\S*/good answers", line)
               for line in said)
    assert fault not in BROKEN or "Error: " in said[0]


@pytest.mark.parametrize("code", [200, 204, 400, 404, 413])
def test_what_is_answered_moves_nothing(own, work_dir, code):
    """A yes, and a no that the next one would say, too."""
    first, second = fakes(work_dir, 2)
    with first, second:
        first.behave("alice", fx.status(code, TOPIC.encode()
                                        if code == 200 else b"")
                     if code != 204 else fx.raw(fx.NO_CONTENT))
        server = own(first, urls(first, second))
        server.dovecot.lda("alice", MAIL)
        assert told(first) == 1
        if code in (200, 400, 413):
            with server.imap("alice") as c:
                assert kind(c.cmd(command())[1]) == (
                    "OK" if code == 200 else "NO")
            assert told(first, path="/register") == 1
        assert not second.of("/notify") + second.of("/register")


@pytest.mark.parametrize("behaviour", [
    fx.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\ntop", close=True),
    fx.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\ntop"),
    fx.trickle], ids=["breaks off", "hangs", "trickles"])
def test_what_was_taken_is_not_sent_twice(own, work_dir, behaviour):
    """A notification is, with the 200; a registration needs the topic."""
    first, second = fakes(work_dir, 2)
    with first, second:
        first.behave("alice", behaviour)
        server = own(first, urls(first, second,
                                 timeout_msecs=HALF_S * 2 * 1000))
        server.dovecot.lda("alice", MAIL)
        assert told(first) == 1 and not second.of("/notify")
        with server.imap("alice") as c:
            assert_ok(c.cmd(command()), "INBOX")
        assert told(second, path="/register") == 1


@pytest.mark.parametrize("answer", [
    fx.response(200, b"<html>Welcome</html>"), fx.response(200, b""),
    fx.NO_CONTENT, fx.response(404, b"not found")],
    ids=["page", "empty", "204", "404"])
def test_another_server_registers_nobody(own, work_dir, answer):
    first, second = fakes(work_dir, 2)
    with first, second:
        first.behave("alice", fx.raw(answer))
        server = own(first, urls(first, second))
        with server.imap("alice") as c:
            assert_ok(c.cmd(command()), "INBOX")
        assert told(second, path="/register") == 1
        server.dovecot.wait_log("Error: .*xaps: .*x0.*x1 answers")


def test_phones_are_reported_to_the_next(own, work_dir):
    """What /seen says."""
    good, = fakes(work_dir, 1)
    with good:
        server = own(good, urls(f"unix:{work_dir}/nobody", good))
        comes(server, good, PHONE)


# --- back again ---

@pytest.mark.parametrize("by", ["lmtp", "lda"])
def test_back_to_the_first(own, work_dir, by):
    """When it is well again, in the same process and in new ones."""
    path = str(work_dir / "x0")
    with FakeXapsd(str(work_dir / "x1")) as second:
        server = own(second, urls(f"unix:{path}", second), extra=ONE_LMTP)
        deliver = server.dovecot.deliver if by == "lmtp" else \
            server.dovecot.lda
        deliver("alice", MAIL)
        server.notified("alice")
        with FakeXapsd(path) as first:
            def arrives():
                deliver("alice", MAIL)
                return first.of("/notify", "alice")
            wait_for(arrives, what="a request at the first")
            deliver("bob", MAIL)
            first.wait(1, "/notify", "bob")
            assert told(second, "bob") == 0
        # and away once more
        deliver("carol", MAIL)
        server.notified("carol")


def test_one_finds_out_for_all(own, work_dir):
    """While the first hangs, others do not wait for the one that tries it."""
    with held_socket(str(work_dir / "x0")) as held, \
            FakeXapsd(str(work_dir / "x1")) as second:
        server = own(second, urls(f"unix:{work_dir}/x0", second,
                                  timeout_msecs=8000))
        server.dovecot.deliver("alice", MAIL)   # waits 4 s
        server.notified("alice")
        held.setblocking(False)
        held.accept()[0].close()

        def tried_again():
            start = time.monotonic()
            server.dovecot.deliver("bob", MAIL)
            return select.select([held], [], [], 0.3)[0] and (start,)
        start, = wait_for(tried_again, what="another attempt")
        for i in range(5):
            server.dovecot.lda(f"user{i}", MAIL)
        # whoever waits has asked it: bob's, and another one every 10 s
        attempts = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                held.accept()[0].close()
                attempts += 1
        assert 1 <= attempts <= 2 + (time.monotonic() - start) // 10
        for i in range(5):
            assert len(second.wait(1, "/notify", f"user{i}")) == 1


# --- none ---

def test_the_error_names_all(own, work_dir):
    """Each with what is wrong."""
    second, = fakes(work_dir, 1)
    with second, refused() as port:
        second.behave("alice", fx.status(503, b"no credentials"))
        name = "http://127.0.0.1:%d" % port.getsockname()[1]
        server = own(None, urls(f"unix:{work_dir}/nobody", second, name,
                                register_timeout_msecs=1500))
        sessions = itertools.count(1)

        def error():
            """Not while a machine is so busy that none is tried twice."""
            with server.imap("alice") as c:
                assert kind(c.cmd(command())[1]) == "NO"
            server.dovecot.wait_sessions("alice", next(sessions))
            return re.search(
                rf"Error: .*xaps: cannot reach xapsd at unix:{work_dir}/nobody,"
                rf" .*No such file.*; xapsd at unix:{second.path} answered 503:"
                rf" no credentials; cannot reach xapsd at {name}, .*refused.*"
                r"\(tried for 1 s\)", server.dovecot.log())
        wait_for(error, what="error that names all")
        assert told(second, path="/register") >= 2


def test_a_refused_and_a_slow_one(own, work_dir):
    """Registration goes on for as long as one may come back."""
    slow, = fakes(work_dir, 1)
    path = str(work_dir / "nobody")
    with slow:
        slow.behave("alice", fx.hang)
        server = own(None, urls(f"unix:{path}", slow, timeout_msecs=8000,
                                register_timeout_msecs=60000))
        with server.imap("alice") as c:
            c.send(f"x {command()}\r\n")
            slow.wait(1, "/register")
            with FakeXapsd(path):
                assert_ok(c.result("x"), "INBOX")


@pytest.mark.parametrize("count", [2, 8])
def test_lda_waits_for_all_of_them_as_for_one(own, work_dir, count):
    """All hang: each has its part of the timeout."""
    made = [black_hole() for _ in range(count)]
    try:
        server = own(None, urls(*("http://127.0.0.1:%d" % s.getsockname()[1]
                                  for s in made), timeout_msecs=2000))
        # a timeout for each would be 4 s and what the process needs besides
        assert least(lambda: server.dovecot.lda("alice", MAIL),
                     2 + LATE_S) < 2 + LATE_S
        asked = set()
        for s in made:
            s.setblocking(False)

        def all_asked():
            """A process that is late has no time for the last ones."""
            for s in made:
                with contextlib.suppress(BlockingIOError):
                    s.accept()[0].close()
                    asked.add(s)
            return len(asked) == count or server.dovecot.lda("alice", MAIL) < 0
        wait_for(all_asked, what="connection to each")
    finally:
        for s in made:
            s.close()


def test_lda_leaves_it_in_any_socket(own, work_dir):
    """In one that systemd holds, though another was asked last."""
    held = held_socket(str(work_dir / "x0"))
    with black_hole() as hole:
        server = own(None, urls(
            f"unix:{work_dir}/x0", "http://127.0.0.1:%d" %
            hole.getsockname()[1], timeout_msecs=600))
        server.dovecot.lda("alice", MAIL)
        server.dovecot.wait_log("x0 gave no answer .*left in its socket")
    with FakeXapsd(held) as fake:
        fake.wait(1, "/notify", "alice")


def test_notifications_wait_until_one_comes_back(own, work_dir):
    """Whichever; nothing is lost, equal ones are one."""
    server = own(None, urls(f"unix:{work_dir}/x0", f"unix:{work_dir}/x1"),
                 extra=ONE_LMTP)
    users = [f"user{i}" for i in range(20)]
    for _ in range(3):
        server.dovecot.deliver(users, MAIL)
    with FakeXapsd(str(work_dir / "x1")) as server.fake:
        told_once(server, users)


# --- kinds of urls ---

def test_each_kind_with_its_own_password(own, work_dir):
    """unix, http with a password, https with another; every connection is used
    for its own url only."""
    certs = Certs(work_dir)
    os.chmod(certs.ca, 0o644)
    unix, plain, tls = (
        FakeXapsd(str(work_dir / "x0")),
        FakeXapsd(("127.0.0.1", 0), password="u:one"),
        FakeXapsd(("127.0.0.1", 0), password="v:t,o", tls_cert=certs.server))
    ca = f"ssl_client_ca_file = {certs.ca}"
    with unix, plain, tls:
        server = own(None, urls(
            unix, f"http://u:one@127.0.0.1:{plain.port}",
            f"https://v:t,o@localhost:{tls.port}", register_timeout_msecs=0),
            extra=f"{ONE_LMTP}\n{ca}")
        for n, fake in enumerate((unix, plain, tls)):
            for i in range(3):
                server.dovecot.deliver(f"user{n}{i}", MAIL)
                fake.wait(1, "/notify", f"user{n}{i}")
            both_ways(server, f"alice{n}")
            fake.wait(1, "/register", f"alice{n}")
            fake.wait(2, "/notify", f"alice{n}")
            fake.stop()
    assert not re.search("Error: .*xaps: .*answered", server.dovecot.log())


def test_a_wrong_password_at_one(own, work_dir):
    with FakeXapsd(("127.0.0.1", 0), password="u:right") as first, \
            FakeXapsd(("127.0.0.1", 0), password="u:right") as second:
        server = own(second, urls(f"http://u:wrong@127.0.0.1:{first.port}",
                                  f"http://u:right@127.0.0.1:{second.port}"))
        both_ways(server)
        server.notified("alice", 2)
        server.registered("alice")
        server.dovecot.wait_log(r"Error: .*xaps: .* answered 401: .*"
                                r"\(set user:password@ in the url\); .*answers")
    assert "wrong" not in server.dovecot.log()
    assert len(server.dovecot.errors()) == 1


# --- settings ---

BAD = {"nonsense": "nonsense", "no scheme": "localhost:11619",
       "relative": "unix:run/xapsd.sock", "a query": "http://localhost/?a=b",
       "long": "unix:/" + "x" * 200, "port": "http://localhost:99999"}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("place", [0, 1])
def test_a_broken_one_among_good_ones(own, work_dir, bad, place):
    """One error, and the others serve."""
    with FakeXapsd(str(work_dir / "x")) as fake:
        all_of_them = [fake]
        all_of_them.insert(place, bad)
        server = own(fake, urls(*all_of_them))
        both_ways(server)
        server.notified("alice", 2)
        server.registered("alice")
        server.dovecot.stop()
    errors = server.dovecot.errors()
    assert len(errors) == 1
    assert re.search("xaps: xaps url.*; 1 other is used", errors[0])


def test_nine(own, work_dir):
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, urls(fake, *(f"unix:/{i}" for i in range(8))))
        both_ways(server)
        server.notified("alice", 2)
        server.dovecot.stop()
    error, = server.dovecot.errors()
    assert "too many, 8 are possible; 8 others are used" in error


@pytest.mark.parametrize("bad", [("nonsense", "unix:x"), ("nonsense",)])
def test_none_is_good(own, bad):
    server = own(None, urls(*bad))
    with server.imap("alice") as c:
        assert "XAPPLEPUSHSERVICE" not in c.ok("CAPABILITY")[0]
    server.dovecot.wait_log("Error: .*url")
    server.dovecot.deliver("alice", MAIL)


@pytest.mark.parametrize("text", ["", ",", ",,"])
def test_an_empty_list_is_the_socket(own, text):
    server = own(None, {"url": text if IS_2_3 else f'"{text}"',
                        "register_timeout_msecs": 0})
    with server.imap("alice") as c:
        assert kind(c.cmd(command())[1]) == "NO"
    server.dovecot.wait_log("xapsd at unix:/run/xapsd/xapsd.sock")


def test_visits_hang_nowhere(own, work_dir):
    """A log-in with a visit, while the first hangs and the second serves."""
    first, second = fakes(work_dir, 2)
    with first, second:
        first.otherwise = fx.hang
        server = own(second, urls(first, second, timeout_msecs=1000))

        def session():
            start = time.monotonic()
            with server.imap("bob") as c:
                c.ok(PHONE)
                c.ok("NOOP")
                return time.monotonic() - start
        assert least(session, LATE_S) < LATE_S
        comes(server, second, PHONE)
