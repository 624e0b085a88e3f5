"""The plugin tells xapsd that a phone has come: which clients are one, when it
says so, and that nobody waits for it."""
import contextlib
import itertools
import json
import os
import pathlib
import pwd
import random
import re
import socket
import subprocess
import time

import pytest

import fake_xapsd as fx
from dovecot import WAIT_S, Imap, version, wait_for
from fake_xapsd import FakeXapsd, held_socket
from test_plugin import (MAIL, assert_ok, check_valgrind, comes, command, kind,
                         own, server, session_dir, settings, shared,
                         stop_under_valgrind, under_valgrind, user, work_dir)

__all__ = ["own", "server", "session_dir", "shared", "user", "work_dir"]
IS_2_3 = version()[:2] == (2, 3)
SEEN = "/seen"


def said(*pairs):
    """An ID as a client sends it: None is NIL."""
    return "ID (%s)" % " ".join(
        "NIL" if x is None else f'"{x}"' for x in pairs)


IOS = ("name", "com.apple.email.maild", "version", "3864.600.51.2.1",
       "os", "iOS", "os-version", "26.5 (23F77)", "vendor", "Apple Inc")
IPHONE = said(*IOS, "event", None)
ANDROID = said("name", "FairEmail", "os", "Android", "os-version", "14")
OTHER_PROGRAM = said("name", "Thunderbird", "version", "140.5.0")


def maild(os_name, os_version, *more):
    return said("name", "com.apple.email.maild", "version", "1", "os", os_name,
                "os-version", os_version, "vendor", "Apple Inc", *more)


def one_process(service="imap", clients=100):
    """Lines that let one process serve all."""
    count = "service_count = 0" if IS_2_3 else \
        "restart_request_count = unlimited"
    return f"service {service} {{\n process_limit = 1\n" \
        f" client_limit = {clients}\n {count}\n}}\n"


def seen_of(server, user):
    """All that was sent for the user in sessions until now: a mark by a phone
    of another user comes after it over the same socket, and each request is
    in the socket before its command is answered."""
    mark = f"{user}-mark{len(server.fake.requests)}"
    with server.imap(mark) as c:
        c.ok(IPHONE)
        server.fake.wait(1, SEEN, mark)
    # one on each connection: those that were taken before are read, too
    wait_for(lambda: len(server.fake.of()) == server.fake.connections,
             what="earlier requests")
    return [r.json for r in server.fake.of(SEEN, user)]


# --- who is a phone ---

PHONES = {
    "iOS 26.5": (IPHONE, "iOS 26.5"),
    "iOS 18.2": (said(
        "name", "com.apple.email.maild", "version", "3826.300.87.4.3", "os",
        "iOS", "os-version", "18.2 (22C152)", "vendor", "Apple Inc"),
        "iOS 18.2"),
    "woken by a push": (said(*IOS, "event", "push"), "iOS 26.5"),
    "push and periodic": (said(*IOS, "event", "periodic,push"), "iOS 26.5"),
    "older": (said("name", "iPhone Mail", "version", "15E148", "os", "iOS",
                   "os-version", "11.3.1 (15E302)"), "iOS 11.3.1"),
    "iPhone Mail": (said("name", "iPhone Mail"), "iPhone Mail"),
    "iPad Mail": (said("name", "iPad Mail", "version", "14E304"),
                  "iPad Mail"),
    "iPod": (said("name", "iPod touch Mail", "version", "1"),
             "iPod touch Mail"),
    "iPadOS": (maild("iPadOS", "18.5 (22F76)"), "iPadOS 18.5"),
    "visionOS": (maild("visionOS", "2.5 (22O473)"), "visionOS 2.5"),
    "watchOS": (maild("watchOS", "11.5 (22T572)"), "watchOS 11.5"),
    "no version": (said("name", "com.apple.email.maild", "os", "iOS"), "iOS"),
    "version NIL": (said("name", "com.apple.email.maild", "os", "iOS",
                         "os-version", None), "iOS"),
    "only a build": (maild("iOS", "(23F77)"), "iOS"),
    "beta": (maild("iOS", "27.0 beta (24A5263b)"), "iOS 27.0 beta"),
    "no system": (said("name", "com.apple.email.maild"),
                  "com.apple.email.maild"),
    "vendor and system": (said("vendor", "Apple Inc.", "os", "iOS",
                               "os-version", "18.5"), "iOS 18.5"),
    "another program of Apple's": (said(
        "name", "com.apple.mobilemail", "os", "iOS", "os-version", "19"),
        "iOS 19"),
    "any case": ('id ("NAME" "COM.APPLE.EMAIL.MAILD" "OS" "ios" '
                 '"Os-Version" "18.5" "EVENT" nil)', "ios 18.5"),
    "any order": ('ID ("event" NIL "os-version" "18.5 (22F76)" "vendor" '
                  '"Apple Inc" "os" "iOS" "name" "com.apple.email.maild")',
                  "iOS 18.5"),
    "atoms": ("ID (name com.apple.email.maild os iOS os-version 18.5)",
              "iOS 18.5"),
    "odd count": ('ID ("name" "iPhone Mail" "version")', "iPhone Mail"),
    "a list in it": ('ID ("x" ("name" "y") "name" "iPhone Mail")',
                     "iPhone Mail"),
    "a list as a key": ('ID (("name") "y" "name" "iPhone Mail")',
                        "iPhone Mail"),
    "NIL as a key": ('ID (NIL "y" "name" "iPhone Mail")', "iPhone Mail"),
    "unknown keys": ('ID ("x-a" "1" "name" "iPhone Mail" "x-b" NIL)',
                     "iPhone Mail"),
    "long version": (maild("iOS", "18" + "." * 200),
                     "iOS 18" + "." * 58),
    "umlauts cut": ('ID ("name" "com.apple.email.maild" "os" "iOS" '
                    '"os-version" "x%s")' % ("ä" * 50),
                    "iOS x" + "ä" * 29),
    "Android": (said("name", "FairEmail", "version", "1.2200", "os", "Android",
                     "os-version", "14"), "Android 14"),
    "Android with a build": (said(
        "name", "com.google.android.gm", "os", "android", "os-version",
        "14; UP1A.231005.007", "vendor", "Google"),
        "android 14"),
    "Android alone": (said("os", "Android"), "Android"),
    "version with a control character": (maild("iOS", "18\x015"), "iOS"),
}


@pytest.mark.parametrize("line,client", PHONES.values(), ids=PHONES)
def test_phone(server, user, line, client):
    with server.imap(user) as c:
        untagged, tagged = c.cmd(line)
        assert kind(tagged) == "OK" and untagged[0].startswith("* ID ")
        server.fake.wait(1, SEEN, user)
    assert seen_of(server, user) == [{"Username": user, "Client": client}]


OTHERS = {
    "NIL": "ID NIL",
    "empty list": "ID ()",
    "macOS": said("name", "Mac OS X Mail", "version",
                  "16.0 (3826.300.87.4.3)", "os", "Mac OS X", "os-version",
                  "15.2 (24C101)", "vendor", "Apple Inc."),
    "macOS's maild": maild("macOS", "26.1 (25B78)"),
    "macOS's Mail": said("name", "com.apple.mail", "version", "1", "os",
                         "macOS", "vendor", "Apple Inc"),
    "tvOS": maild("tvOS", "18.5"),
    "Thunderbird": OTHER_PROGRAM,
    "Outlook for iOS": said("name", "Outlook-iOS-Android", "version", "1.0",
                            "os", "iOS", "os-version", "18.5",
                            "vendor", "Microsoft"),
    "Outlook": said("name", "Microsoft Outlook", "version", "16.0.1"),
    "Roundcube": said("name", "Roundcube", "version", "1.6.11", "php", "8.2",
                      "os", "Linux", "command", "/?_task=mail"),
    "SnappyMail": said("name", "SnappyMail", "version", "2.38"),
    "K-9": said("name", "K-9 Mail", "version", "6.804"),
    "Thunderbird for Android": said("name", "Thunderbird for Android",
                                    "version", "8.1"),
    "Spark": said("name", "Spark", "version", "3.0", "os", "iOS",
                  "os-version", "18.5", "vendor", "Readdle"),
    "Gmail for iOS": said("name", "Gmail", "os", "iOS", "vendor", "Google"),
    "system only": said("os", "iOS", "os-version", "18.5"),
    "vendor only": said("vendor", "Apple Inc"),
    "name in another key": said("support-url", "iPhone Mail"),
    "name that only begins so": said("name", "iPhone Mailer"),
    "name NIL": said("name", None, "os", "iOS"),
    "name empty": said("name", ""),
    "name a list": 'ID ("name" ("iPhone Mail"))',
    "name without a value": 'ID ("os" "iOS" "name")',
    "indexer": said(*IOS, "event", "indexer"),
    "back-fill": said(*IOS, "event", "back-fill"),
    "back-fill and push": said(*IOS, "event", "periodic, push,back-fill"),
    "periodic": said(*IOS, "event", "periodic"),
    "event first": said("event", "indexer", *IOS),
    "unknown event": said(*IOS, "event", "background-download"),
    "empty event": said(*IOS, "event", ""),
    "event quoted NIL": said(*IOS, "event", "NIL"),
    "event a list": said(*IOS)[:-1] + ' "event" ("push"))',
    "event of an iPhone Mail": said("name", "iPhone Mail", "event", "x"),
    "no list": 'ID "name" "iPhone Mail"',
    "nothing": "ID",
}


def test_others(server, user):
    """In one session, and nothing is told for it; each is answered."""
    with server.imap(user) as c:
        for name, line in OTHERS.items():
            assert kind(c.cmd(line)[1]) in ("OK", "BAD"), name
            assert not server.fake.of(SEEN, user), name
        c.ok("SELECT INBOX")
    assert seen_of(server, user) == []


def test_without_any_sign(server, user):
    with server.imap(user) as c:
        c.ok("SELECT INBOX")
        c.append("INBOX", MAIL)
        c.cmd("XAPPLEPUSHSERVICE nonsense")
        c.ok("LOGOUT")
    assert seen_of(server, user) == []


def test_literals(server, user):
    """Synchronizing and not, for keys and values."""
    with server.imap(user) as c:
        c.send("x ID ({4}\r\n")
        assert c.readline().startswith("+")
        c.send("name {21}\r\n")
        assert c.readline().startswith("+")
        c.send("com.apple.email.maild {2+}\r\nos {3+}\r\niOS "
               "{10+}\r\nos-version {12+}\r\n18.5 (22F76) event NIL)\r\n")
        assert kind(c.result("x")[1]) == "OK"
    server.fake.wait(1, SEEN, user)
    assert seen_of(server, user) == [{"Username": user, "Client": "iOS 18.5"}]


@pytest.mark.parametrize("size", [1, 7, 40])
def test_split_segments(server, user, size):
    data = f"x {IPHONE}\r\ny NOOP\r\n".encode()
    with server.imap(user) as c:
        for i in range(0, len(data), size):
            c.send(data[i:i + size])
            time.sleep(0.002)   # another segment
        assert kind(c.result("x")[1]) == "OK"
        assert kind(c.result("y")[1]) == "OK"
    assert len(seen_of(server, user)) == 1


def test_huge(server, user):
    """Up to the limit of a line and beyond it: the session goes on."""
    with server.imap(user) as c:
        big = "x" * 7000
        assert kind(c.cmd(said(*IOS[:-1], big))[1]) == "OK"
        assert kind(c.cmd(said("name", big))[1]) == "OK"
        many = [x for i in range(400) for x in (f"key{i}", "value")]
        assert kind(c.cmd(said(*many))[1]) == "OK"
        assert kind(c.cmd(said("name", "x" * 70000))[1]) == "BAD"
        c.ok("NOOP")
    assert seen_of(server, user) == [{"Username": user, "Client": "iOS 26.5"}]


BAD = ['ID (', 'ID ("name"', 'ID ("name" "iPhone Mail"', 'ID )',
       'ID ("name" "iPhone Mail"))', 'ID ("name" {3}x)', 'ID (\\',
       'ID ("na\\', "ID {999999999}", 'ID ("name" "iPhone Mail") {5+}']


def test_malformed(server, user):
    """Dovecot answers or ends the session, as without us."""
    for line in BAD:
        with server.imap(user) as c:
            c.send(f"x {line}\r\n")
            c.sock.shutdown(socket.SHUT_WR)
            c.file.read()
    assert seen_of(server, user) == []


WORDS = ["(", ")", "NIL", '""', '"name"', "name", '"os"', '"os-version"',
         '"event"', '"vendor"', '"iPhone Mail"', '"com.apple.email.maild"',
         '"iOS"', '"18.5 (22F76)"', '"("', '"push,indexer"', '"Apple"', "{3+}",
         "{0+}\r\n", '"\\""', '"ä"', "\x80", "(())", '"x" ' * 30]


def test_fuzz(server, user):
    """Whatever ID is, the session and its process end as they should."""
    rng = random.Random(int(os.environ.get("XAPS_FUZZ_SEED", "1")))
    for _ in range(20):
        with server.imap(user) as c:
            for _ in range(20):
                words = rng.choices(WORDS, k=rng.randrange(14))
                if rng.random() < 0.7:
                    words = ["("] + words + [")"]
                text = " ".join(words).encode("utf-8")
                c.send(b"x ID " + text + b"\r\n")
            c.sock.shutdown(socket.SHUT_WR)
            c.file.read()
    for seen in seen_of(server, user):
        assert len(seen.get("Client", "").encode()) <= 64


def test_pipelined(server, user):
    with server.imap(user) as c:
        c.send(f"x {IPHONE}\r\ny SELECT INBOX\r\nz LOGOUT\r\n")
        text = c.file.read().decode()
    assert re.search("x OK .*y OK .*z OK", text, re.S)
    server.fake.wait(1, SEEN, user)
    assert len(seen_of(server, user)) == 1


def test_before_login(server, user):
    """Dovecot's imap-login keeps it to itself: the next sign counts."""
    with Imap(server.dovecot.imap_port) as c:
        c.ok(IPHONE)
        c.ok(f"LOGIN {user} secret")
        c.ok("NOOP")
        assert not server.fake.of(SEEN, user)
        assert_ok(c.cmd(command()), "INBOX")
    server.fake.wait(1, SEEN, user)
    assert seen_of(server, user) == [{"Username": user}]


# --- XAPPLEPUSHSERVICE ---

def test_registration_is_a_visit(server, user):
    with server.imap(user) as c:
        for _ in range(3):
            assert_ok(c.cmd(command()), "INBOX")
    assert seen_of(server, user) == [{"Username": user}]


def test_registration_after_id(server, user):
    with server.imap(user) as c:
        c.ok(IPHONE)
        assert_ok(c.cmd(command()), "INBOX")
        c.ok(IPHONE)
    assert seen_of(server, user) == [{"Username": user, "Client": "iOS 26.5"}]


def test_registration_after_another_id(server, user):
    """A system that we do not know may register."""
    with server.imap(user) as c:
        c.ok(OTHER_PROGRAM)
        assert_ok(c.cmd(command()), "INBOX")
    assert seen_of(server, user) == [{"Username": user}]


def test_registration_in_the_background(server, user):
    with server.imap(user) as c:
        c.ok(said(*IOS, "event", "back-fill"))
        assert_ok(c.cmd(command()), "INBOX")
    assert seen_of(server, user) == []


@contextlib.contextmanager
def unknown(server, name):
    """The name of a user whose visit is answered 404, within the second that a
    visit has, and his session."""
    for i in itertools.count():
        user = f"{name}-{i}"
        server.fake.behave(user, fx.status(404), seen=True)
        with server.imap(user) as c:
            start = time.monotonic()
            c.ok(IPHONE)
            server.fake.wait(1, SEEN, user)
            wait_for(server.fake.all_taken, what="answer")
            if time.monotonic() - start < 0.9:
                yield user, c
                return


def test_first_registration(server, user):
    """/seen before it is answered 404: it is said again."""
    with unknown(server, user) as (user, c):
        server.fake.behave(user, fx.ok, seen=True)
        for _ in range(3):
            assert_ok(c.cmd(command()), "INBOX")
    server.fake.wait(2, SEEN, user)
    assert seen_of(server, user) == [
        {"Username": user, "Client": "iOS 26.5"}] * 2


def test_refused_registration(server, user):
    server.fake.behave(user, fx.status(400))
    with server.imap(user) as c:
        assert kind(c.cmd(command())[1]) == "NO"
        assert kind(c.cmd(command(device_token="zz"))[1]) == "BAD"
    assert seen_of(server, user) == []


# --- how often ---

def test_once_in_a_session(server, user):
    with server.imap(user) as c:
        for _ in range(3):
            c.ok(IPHONE)
    assert len(seen_of(server, user)) == 1


def test_each_session(server, user):
    """Each has a process of its own: the daemon merges."""
    for i in range(3):
        with server.imap(user) as c:
            c.ok(IPHONE)
        server.fake.wait(i + 1, SEEN, user)


def test_once_in_10_s_and_process(own, work_dir):
    """One after the other: a user may have the slot of another one, by a hash
    that is another in each process."""
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, extra=one_process())

        def log_in(name):
            with server.imap(name) as c:
                c.ok(IPHONE)

        start = time.monotonic()
        while len(fake.of(SEEN, "alice")) < 2:
            assert time.monotonic() - start < 10 + WAIT_S
            log_in("alice")
            time.sleep(0.1)
        assert time.monotonic() - start > 9
        for name, since in (("alice", start), ("bob", time.monotonic())):
            for _ in range(3):
                log_in(name)
            # in as many seconds as the machine took
            most = 1 + (time.monotonic() - since) // 9
            assert 1 <= len(seen_of(server, name)) <= most


def test_two_kinds_of_phones(own, work_dir):
    """One mail wakes both at once: each is told."""
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, extra=one_process())
        start = time.monotonic()
        for _ in range(2):
            for line in (ANDROID, IPHONE):
                with server.imap("alice") as c:
                    c.ok(line)
        most = 1 + (time.monotonic() - start) // 9  # once in 10 s
        told = [r["Client"] for r in seen_of(server, "alice")]
        assert set(told) == {"Android 14", "iOS 26.5"}
        assert all(told.count(client) <= most for client in told)


def test_many_users_in_a_process(own, work_dir):
    """More than it remembers: none is lost."""
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, extra=one_process())
        names = [f"user{i}" for i in range(300)]
        for i, name in enumerate(names):
            with server.imap(name) as c:
                c.ok(IPHONE)
            # of those that wait for their turn each has a second only
            fake.wait(i + 1, SEEN)
            wait_for(fake.all_taken, what="answer")
        assert sorted(r.user for r in fake.of(SEEN)) == sorted(names)


def test_unknown_user_is_remembered(own, work_dir):
    """404: not asked again within 10 minutes, until he registers."""
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, extra=one_process())
        with unknown(server, "alice") as (user, _):
            pass
        end = time.monotonic() + 11     # longer than for a known one
        while time.monotonic() < end:
            with server.imap(user) as c:
                c.ok(IPHONE)
            time.sleep(0.5)
        assert len(seen_of(server, user)) == 1
        fake.behave(user, fx.ok, seen=True)
        with server.imap(user) as c:
            assert_ok(c.cmd(command()), "INBOX")
        fake.wait(2, SEEN, user)
        server.dovecot.stop()
        assert not server.dovecot.errors()
        assert not re.search("Warning: .*xaps", server.dovecot.log())


# --- nobody waits ---

BEHAVIOURS = {
    "ok": fx.ok, "200": fx.status(200), "400": fx.status(400),
    "401": fx.status(401), "404": fx.status(404), "405": fx.status(405),
    "500": fx.status(500), "503": fx.status(503), "hang": fx.hang,
    "close": fx.close, "slow": fx.slow(2), "trickle": fx.trickle,
    "garbage": fx.raw(b"\x15\x03\x01\0\0garbage\r\n\r\n"),
    "endless body": fx.endless_body, "endless header": fx.endless_header,
    "half an answer": fx.raw(b"HTTP/1.1 204 N", close=True)}


@pytest.mark.parametrize("behaviour", BEHAVIOURS.values(), ids=BEHAVIOURS)
@pytest.mark.parametrize("way", ["unix", "tcp"])
def test_session_is_well(own, work_dir, behaviour, way):
    """Whatever the daemon does; and its process ends at once."""
    with FakeXapsd(str(work_dir / "x") if way == "unix" else
                   ("127.0.0.1", 0)) as fake:
        fake.behave("alice", behaviour, seen=True)
        server = own(fake, settings(fake, timeout_msecs=60000))
        comes(server, fake, IPHONE)
        with server.imap("alice") as c:
            c.ok(IPHONE)
            c.ok("SELECT INBOX")
            c.ok("LOGOUT")
        wait_ended(server, 2, 60 - WAIT_S)
    assert len(re.findall("Error: ", server.dovecot.log())) <= len(
        server.dovecot.sessions("alice"))


def wait_ended(server, sessions, limit_s):
    """The processes of all alice's sessions."""
    pids = server.dovecot.wait_sessions("alice", sessions)
    wait_for(lambda: not any(os.path.exists(f"/proc/{p}") for p in pids),
             limit_s, "end of the sessions' processes")


def test_daemon_away(own, work_dir):
    """One line a minute, whichever the process; nothing is said later."""
    path = str(work_dir / "x")
    start = time.monotonic()
    server = own(None, {"url": f"unix:{path}"},
                 extra="log_debug = category=xaps")
    for _ in range(20):
        with server.imap("alice") as c:
            c.ok(IPHONE)
            c.ok("SELECT INBOX")
    with server.imap("alice") as c:
        c.ok(IPHONE)
        server.dovecot.wait_log(
            "Error: .*xaps: visit not reported: cannot reach xapsd")
        wait_for(lambda: server.dovecot.log().count("visit not reported") == 21,
                 what="end of all attempts")
        with FakeXapsd(path) as fake:
            server.fake = fake
            assert seen_of(server, "bob") == []
            assert len(fake.of(SEEN, "alice")) == 0
    wait_ended(server, 21, WAIT_S)
    assert 1 <= len(re.findall("Error: ", server.dovecot.log())) <= 1 + (
        time.monotonic() - start) // 60


def test_short_restart(own, work_dir):
    """A visit is tried for a second, the last time after 0.7."""
    path = str(work_dir / "x")
    server = own(None, {"url": f"unix:{path}"})
    for i in itertools.count():
        start = time.monotonic()
        with server.imap(f"user{i}") as c:
            c.ok(IPHONE)
            with FakeXapsd(path) as fake:
                if time.monotonic() - start < 0.65:
                    fake.wait(1, SEEN, f"user{i}")
                    break
    server.dovecot.stop()
    assert not [line for line in server.dovecot.errors()
                if f"(user{i})" in line]


def test_socket_that_nobody_reads(own, work_dir):
    """systemd holds it: sessions end at once, the daemon reads them later."""
    sock = held_socket(str(work_dir / "x"))
    server = own(None, {"url": f"unix:{work_dir}/x", "timeout_msecs": 60000})
    for _ in range(5):
        with server.imap("alice") as c:
            c.ok(IPHONE)
    wait_ended(server, 5, 60 - WAIT_S)
    with FakeXapsd(sock) as fake:
        fake.wait(5, SEEN, "alice")
    assert not server.dovecot.errors()


def test_the_next_url(own, work_dir):
    with FakeXapsd(("127.0.0.1", 0)) as fake:
        server = own(fake, {"url": f"unix:{work_dir}/nobody,"
                            f"http://127.0.0.1:{fake.port}"})
        comes(server, fake, IPHONE)


def test_no_connection_is_kept(own, work_dir):
    """Every imap process would have one."""
    with FakeXapsd(("127.0.0.1", 0)) as fake:
        server = own(fake)
        comes(server, fake, IPHONE)
        with server.imap("alice") as c:
            c.ok(IPHONE)
            wait_for(lambda: not fake.conns, what="closed connection")
            c.ok("NOOP")


def test_short_session(own, work_dir):
    """All in one segment: it is told, though the process ends."""
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake)
        for i in range(20):
            with server.imap(f"user{i}") as c:
                c.send(f"x {IPHONE}\r\ny LOGOUT\r\n")
                assert "y OK" in c.file.read().decode()
        fake.wait(20, SEEN)


def test_many_at_once_while_it_hangs(own, work_dir):
    """In one process: none is told later than a second."""
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, settings(fake, timeout_msecs=60000),
                     extra=one_process(clients=200))
        names = [f"user{i}" for i in range(100)]
        for name in names:
            fake.behave(name, fx.hang, seen=True)
        for name in names:
            with server.imap(name) as c:
                c.ok(IPHONE)
                c.ok("SELECT INBOX")
        # four at once: 25 s if each had its second
        start = time.monotonic()
        comes(server, fake, IPHONE)
        assert time.monotonic() - start < 15
        # not later: those that hang meet a server that is gone, in several ways
        assert len(re.findall("Error: .*visit", server.dovecot.log())) <= 1


# --- settings and users ---

@pytest.mark.parametrize("value,on", [
    ("yes", True), ("no", False), ("No", False), ("y", True), ("1", True),
    *([("true", True), ("false", False), ("0", False), ("n", False)]
      if IS_2_3 else [])])
def test_setting(own, work_dir, value, on):
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, settings(fake, visits=value))
        with server.imap("alice") as c:
            c.ok(IPHONE)
            assert_ok(c.cmd(command()), "INBOX")
        if on:
            fake.wait(1, SEEN, "alice")
        server.dovecot.stop()
        assert len(fake.of(SEEN)) == on
    assert not server.dovecot.errors()


@pytest.mark.skipif(not IS_2_3, reason="2.3 only")
@pytest.mark.parametrize("value,told", [("no", 0), ("maybe", 0), ("yes", 1)])
def test_name_of_2_4(own, work_dir, value, told):
    """In plugin { }, and it comes before xaps_config."""
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, settings(fake, visits="no" if told else "yes"),
                     extra=f"plugin {{\n xaps_visits = {value}\n}}\n")
        with server.imap("alice") as c:
            c.ok(IPHONE)
        if told:
            fake.wait(1, SEEN, "alice")
        server.dovecot.stop()
        assert len(fake.of(SEEN)) == told
    errors = re.findall("Error: .*", server.dovecot.log())
    assert len(errors) == (value == "maybe")
    assert not errors or "xaps_visits must be yes or no, not 'maybe'" in \
        errors[0]


@pytest.mark.skipif(not IS_2_3, reason="2.4 checks at its start")
@pytest.mark.parametrize("value", ["maybe", "", "2"])
def test_bad_setting(own, work_dir, value):
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, settings(fake, visits=value))
        with server.imap("alice") as c:
            c.ok(IPHONE)
            assert "XAPPLEPUSHSERVICE" not in c.ok("CAPABILITY")[0]
        server.dovecot.wait_log(
            f"Error: .*xaps_config: visits must be yes or no, not '{value}'")
        server.dovecot.stop()
        assert not fake.of(SEEN)
    assert len(re.findall("Error: ", server.dovecot.log())) == 1


@pytest.mark.skipif(IS_2_3, reason="2.3 checks at log-in")
def test_bad_setting_2_4(own, work_dir):
    """By Dovecot's own words."""
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake)
        server.dovecot.xaps_settings["visits"] = "maybe"
        server.dovecot.write_config()
        result = subprocess.run(
            ["doveconf", "-c", str(server.dovecot.conf), "-n"],
            capture_output=True, text=True, check=False)
        assert "xaps_visits" in result.stderr and "maybe" in result.stderr


@pytest.mark.parametrize("fields,told", [
    ({"xaps": "no"}, False), ({"xaps": "inbox"}, True),
    ({"xaps": "yes"}, True), ({"xaps_visits": "no"}, False)],
    ids=lambda x: str(x))
def test_userdb(own, work_dir, fields, told):
    """A user's own field: xaps=no means nothing at all."""
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, userdb=fields)
        with server.imap("alice") as c:
            c.ok(IPHONE)
        if told:
            fake.wait(1, SEEN, "alice")
        server.dovecot.stop()
        assert len(fake.of(SEEN)) == told
    assert not server.dovecot.errors()


def test_user_lookup(own, work_dir):
    """The name of /register."""
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, settings(fake, user_lookup="push_user"),
                     userdb={"push_user": "%u@example.org" if IS_2_3 else
                             "%{user}@example.org"})
        with server.imap("alice") as c:
            c.ok(IPHONE)
            assert_ok(c.cmd(command()), "INBOX")
        name = "alice@example.org"
        assert len(fake.wait(1, "/register", name)) == 1
        assert len(fake.wait(1, SEEN, name)) == 1


def test_master_user(own, work_dir):
    """The phone is registered for the user; so is its visit."""
    master = "auth_master_user_separator = *\npassdb {\n driver = static\n" \
        " master = yes\n args = password=master\n}\n" if IS_2_3 else \
        "auth_master_user_separator = *\npassdb master {\n driver = static" \
        "\n master = yes\n static_password = master\n}\n"
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, extra=master)
        with Imap(server.dovecot.imap_port) as c:
            c.ok("LOGIN alice*boss master")
            c.ok(IPHONE)
            assert_ok(c.cmd(command()), "INBOX")
        assert len(fake.wait(1, "/register", "alice")) == 1
        assert len(fake.wait(1, SEEN, "alice")) == 1
        server.dovecot.stop()
        assert len(fake.of(SEEN)) == 1


def imap_processes(dovecot):
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            _, name, _, parent, *_ = path.read_text().split(" ", 4)
            if name == "(imap)" and int(parent) == dovecot.process.pid:
                found.append(path)
    return found


def test_hibernated(own, work_dir):
    """The session comes back in another process: no second visit."""
    with FakeXapsd(str(work_dir / "x")) as fake:
        user = f"user = {pwd.getpwuid(os.getuid()).pw_name}"
        server = own(fake, extra="""
imap_hibernate_timeout = 1s
service imap-hibernate {
  unix_listener imap-hibernate {
    mode = 0666
  }
  %s
}
service imap {
  unix_listener imap-master {
    mode = 0666
  }
}
""" % user)
        with server.imap("alice") as c:
            c.ok(IPHONE)
            c.ok("SELECT INBOX")
            c.send("i IDLE\r\n")
            assert c.readline().startswith("+")
            fake.wait(1, SEEN, "alice")
            wait_for(lambda: not imap_processes(server.dovecot),
                     what="hibernation")
            c.send("DONE\r\n")
            assert kind(c.result("i")[1]) == "OK"
            assert imap_processes(server.dovecot)
            c.ok("NOOP")
            c.ok("SELECT INBOX")
        server.dovecot.stop()
        assert len(fake.of(SEEN)) == 1


def test_event(own, work_dir):
    exporter = "event_exporter all {\n format = json\n transport = log\n" \
        " format_args = time-rfc3339\n}" if IS_2_3 else \
        "event_exporter all {\n driver = log\n format = json\n" \
        " time_format = rfc3339\n}"
    metric = "metric visits {\n exporter = all\n" \
        " filter = event=xaps_seen_finished\n}\n"
    with FakeXapsd(str(work_dir / "x")) as fake:
        fake.behave("bob", fx.status(400), seen=True)
        server = own(fake, extra=exporter + "\n" + metric)

        def event(name, n):
            """The n-th."""
            found = [json.loads(text) for text in re.findall(
                r"Info: .*?(\{.*)\n", server.dovecot.log())]
            return [f for f in found if f["fields"].get("user") == name][n:]

        def answered(name):
            """By a machine that does it within the second."""
            for n in itertools.count():
                with server.imap(name) as c:
                    c.ok(IPHONE)
                    found = wait_for(lambda: event(name, n), what="event")[0]
                if found["fields"]["status"] < 9000:
                    return found

        for name, status in (("alice", 204), ("bob", 400)):
            found = answered(name)
            assert found["event"] == "xaps_seen_finished"
            assert found["fields"]["status"] == status
            assert 0 < found["fields"]["duration"] < 10 ** 6
            assert ("error" in found["fields"]) == (status != 204)


@pytest.mark.valgrind
@pytest.mark.timeout(400)
@pytest.mark.parametrize("way", ["unix", "tcp"])
def test_valgrind(own, work_dir, way):
    """Nothing invalid is read or written, and nothing of ours leaks."""
    extra = under_valgrind(work_dir)
    with FakeXapsd(str(work_dir / "x") if way == "unix" else
                   ("127.0.0.1", 0)) as fake:
        server = own(fake, extra=extra)
        for behaviour in (fx.ok, fx.status(404), fx.hang, fx.close):
            fake.behave("alice", behaviour, seen=True)
            with server.imap("alice") as c:
                c.ok(IPHONE)
                for line in OTHERS.values():
                    c.cmd(line)
                assert_ok(c.cmd(command()), "INBOX")
            with server.imap("alice") as c:
                c.send(f"x {IPHONE}\r\ny LOGOUT\r\n")
                c.file.read()
        fake.stop()
        with server.imap("alice") as c:
            c.ok(IPHONE)
        stop_under_valgrind(server.dovecot, work_dir)
    check_valgrind(work_dir, 5)
