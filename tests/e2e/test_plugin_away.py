"""The Dovecot modules while xapsd is away: restarts, several ways to it, what
is tried again and for how long.  And what one user or one setting changes."""
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import threading
import time

import pytest

import fake_xapsd as fx
from dovecot import ANSWER_MS, LATE_S, least, version, wait_for
from fake_xapsd import FakeXapsd, held_socket
from test_plugin import (MAIL, assert_ok, check_valgrind, command, kind, lines,
                         own, private_run, settings,
                         stop_under_valgrind, under_valgrind, work_dir)

__all__ = ["own", "work_dir"]   # fixtures
IS_2_3 = version()[:2] == (2, 3)
ONE_LMTP = "service lmtp {\n process_limit = 1\n}"
PATIENCE_S = 30     # of notifications
REGISTER_S = 10     # of registrations, by default


def url(path):
    return {"url": f"unix:{path}"}


def later(seconds, function):
    """Calls it in a thread of its own; .result() is what it returned."""
    class Later(threading.Thread):
        def run(self):
            time.sleep(seconds)
            self.value = function()

    thread = Later(daemon=True)
    thread.start()
    return thread


# --- ways to the daemon ---

def test_unset_url_means_the_socket_and_nothing_else(own):
    """Another program on port 11619 gets neither names nor tokens."""
    squatter = socket.socket()
    squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        squatter.bind(("127.0.0.1", 11619))
    except OSError:
        pytest.skip("port 11619 is in use")
    squatter.listen()
    squatter.setblocking(False)
    with squatter:
        server = own(None, {}, sample=True, prefix=private_run(None))
        server.dovecot.deliver("alice", MAIL)
        with server.imap("alice") as c:
            assert kind(c.cmd(command())[1]) == "NO"
        server.dovecot.wait_log(
            "cannot reach xapsd at unix:/run/xapsd/xapsd.sock")
        assert "11619" not in server.dovecot.log()
        with pytest.raises(BlockingIOError):
            squatter.accept()


SEPARATORS = [",", ", ", " "] if not IS_2_3 else [",", " url=", ", url="]


@pytest.mark.parametrize("separator", SEPARATORS)
def test_the_next_url_when_one_cannot_be_reached(own, work_dir, separator):
    with FakeXapsd(("127.0.0.1", 0)) as fake:
        with socket.socket() as s:      # nobody listens there
            s.bind(("127.0.0.1", 0))
            server = own(fake, {"url": separator.join((
                f"unix:{work_dir}/nobody", "http://127.0.0.1:%d" %
                s.getsockname()[1], f"http://127.0.0.1:{fake.port}"))})
            with server.imap("alice") as c:
                def registers():
                    start = time.monotonic()
                    assert_ok(c.cmd(command()), "INBOX")
                    return time.monotonic() - start
                # at once, not a second later
                assert least(registers, 0.9) < 0.9
            server.dovecot.deliver("alice", MAIL)
            server.notified("alice")
            server.dovecot.lda("alice", MAIL)
            assert len(server.notified("alice", 2)) == 2
    assert not server.dovecot.errors()


@pytest.mark.parametrize("way", ["unix", "tcp"])
def test_the_next_url_when_one_hangs(own, work_dir, way):
    """A socket that is held for a daemon that does not run; a black hole."""
    first = held_socket(str(work_dir / "held")) if way == "unix" else \
        socket.create_server(("127.0.0.1", 0))
    name = f"unix:{work_dir}/held" if way == "unix" else \
        "http://127.0.0.1:%d" % first.getsockname()[1]
    with first, FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, {"url": f"{name},unix:{fake.path}",
                            "timeout_msecs": 16000})
        with server.imap("alice") as c:
            assert_ok(c.cmd(command()), "INBOX")
        server.dovecot.deliver("alice", MAIL)
        server.notified("alice")
        server.dovecot.lda("bob", MAIL)
        assert len(server.notified("bob")) == 1


def test_a_comma_in_a_password_parts_nothing(own, work_dir):
    with FakeXapsd(("127.0.0.1", 0), password="u:a,b") as fake:
        server = own(fake, {"url": f"http://u:a,b@127.0.0.1:{fake.port}"})
        server.dovecot.deliver("alice", MAIL)
        server.notified("alice")


# --- registrations ---

@pytest.mark.parametrize("way", ["unix", "tcp"])
def test_register_waits_for_the_daemon(own, work_dir, way):
    """Meanwhile the session goes on."""
    with FakeXapsd(str(work_dir / "x") if way == "unix" else
                   ("127.0.0.1", 0)) as fake:
        target = settings(fake)["url"]
        address = fake.path or ("127.0.0.1", fake.port)
    server = own(None, {"url": target})
    with server.imap("alice") as c:
        c.send(f"x {command()}\r\n")
        got = c.ok("SELECT INBOX")
        assert "* 0 EXISTS" in got
        got += c.append("INBOX", MAIL)[0] + c.ok("NOOP")
        assert not [g for g in got if g.startswith("x ")]   # still waits
        time.sleep(2.2)     # as long as it is away
        with FakeXapsd(address) as fake:
            assert_ok(c.result("x"), "INBOX")
            assert len(fake.of("/register")) == 1
            fake.wait(1, "/notify")
        c.ok("NOOP")
    assert not server.dovecot.errors()


AWAY = {"503": fx.status(503), "502": fx.status(502), "close": fx.close,
        "half a body": fx.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n"
                              b"\r\ntop", close=True)}


@pytest.mark.parametrize("behaviour", AWAY.values(), ids=AWAY)
def test_register_is_tried_every_second(own, work_dir, behaviour):
    with FakeXapsd(str(work_dir / "x")) as fake:
        times = []

        def answer(*args):
            times.append(time.monotonic())
            (behaviour if len(times) < 6 else fx.ok)(*args)
        fake.behave("alice", answer)
        server = own(fake, {**url(fake.path),
                            "register_timeout_msecs": 60000})
        with server.imap("alice") as c:
            assert_ok(c.cmd(command()), "INBOX")
    assert len(times) == 6
    pauses = [b - a for a, b in zip(times, times[1:])]
    assert min(pauses) > 0.9, pauses
    # some may be read late; those that double would be 1, 2, 4, 8, 16
    assert statistics.median(pauses) < 1 + LATE_S, pauses


@pytest.mark.parametrize("away", ["nobody", "503"])
def test_register_gives_up(own, work_dir, away):
    with FakeXapsd(str(work_dir / "x")) as fake:
        fake.behave("alice", fx.status(503))
        if away == "nobody":
            fake.stop()
        server = own(fake, {**url(fake.path),
                            "register_timeout_msecs": 2500})
        took = []

        def gives_up():
            with server.imap("alice") as c:
                start = time.monotonic()
                untagged, tagged = c.cmd(command())
                took.append(time.monotonic() - start)
                assert not untagged and kind(tagged) == "NO"
                c.ok("NOOP")
            server.dovecot.wait_sessions("alice", len(took))
            # else its first attempt was not answered for so long
            return re.search(r"Error: .*xaps: .*tried for 2 s",
                             server.dovecot.log()) and \
                min(took) < 2.5 + LATE_S
        wait_for(gives_up, what="end in time")
        assert min(took) > 2.4
    assert len(re.findall("Error: ", server.dovecot.log())) == len(took)


def test_register_timeout_by_default(own, work_dir):
    server = own(None, {**url(work_dir / "x"),
                        "register_timeout_msecs": None})

    def gives_up():
        with server.imap("alice") as c:
            start = time.monotonic()
            assert kind(c.cmd(command())[1]) == "NO"
            return time.monotonic() - start
    took = least(gives_up, REGISTER_S + LATE_S, 4)
    assert REGISTER_S - 0.1 < took < REGISTER_S + LATE_S


def test_register_once_only(own, work_dir):
    """register timeout 0: no second attempt."""
    with FakeXapsd(str(work_dir / "x")) as fake:
        fake.behave("alice", fx.status(503))
        server = own(fake, {**url(fake.path), "register_timeout_msecs": 0})
        with server.imap("alice") as c:
            assert kind(c.cmd(command())[1]) == "NO"
            assert len(fake.of("/register")) == 1
            fake.stop()

            def refused():
                start = time.monotonic()
                assert kind(c.cmd(command())[1]) == "NO"
                return time.monotonic() - start
            assert least(refused, LATE_S) < LATE_S      # 10 s by default


# A daemon that restarts takes longer than the timeout, which is long enough for
# the one that reads at last.
UNREAD = {"timeout_msecs": 5000}
UNREAD_S = 11


def test_register_is_not_late_while_nobody_reads(own, work_dir):
    """systemd holds the socket while the daemon restarts: the connection is
    there, and the timeout is for a daemon that has the request."""
    sock = held_socket(str(work_dir / "x"))
    server = own(None, {**url(work_dir / "x"), **UNREAD,
                        "register_timeout_msecs": 60000})
    with server.imap("alice") as c:
        c.send(f"x {command()}\r\n")
        c.ok("NOOP")
        time.sleep(UNREAD_S)
        with FakeXapsd(sock) as fake:
            assert_ok(c.result("x"), "INBOX")
            assert len(fake.of("/register")) == 1   # and asked once
            fake.behave("alice", fx.hang)
            start = time.monotonic()
            assert kind(c.cmd(command())[1]) == "NO"
            assert time.monotonic() - start < 50    # or 60
            assert len(fake.of("/register")) == 2


@pytest.mark.parametrize("timeout", ["timeout_msecs",
                                     "register_timeout_msecs"])
def test_a_session_that_is_late_itself(own, work_dir, timeout):
    """Its process stands still on a busy machine, and finds the answer when
    the time for it is over."""
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, {**url(fake.path), timeout: 2000})
        with server.imap("alice") as c:
            pid = int(server.dovecot.wait_log(r"mpid=(\d+)")[1])
            in_time, late = False, -1
            while not in_time:      # else it has given up rightly
                late += 1
                gate = fx.Gate()
                fake.behave("alice", gate)
                count = len(fake.of("/register"))
                start = time.monotonic()
                c.send(f"x {command()}\r\n")
                fake.wait(count + 1, "/register")
                os.kill(pid, signal.SIGSTOP)
                in_time = time.monotonic() - start < 1.9
                gate.open()
                wait_for(lambda: fake.answered == len(fake.of()),
                         what="answer")
                time.sleep(2)       # so that the time is over
                os.kill(pid, signal.SIGCONT)
                reply = c.result("x")
            assert_ok(reply, "INBOX")
    assert len(server.dovecot.errors()) <= late


def test_disconnect_while_the_daemon_is_away(own, work_dir):
    path = str(work_dir / "x")
    server = own(None, url(path))
    for _ in range(3):
        with server.imap("alice") as c:
            c.send(f"x {command()}\r\n")
            c.ok("NOOP")
    pids = server.dovecot.wait_sessions("alice", 3)
    with FakeXapsd(path) as fake:
        # whose process has ended asks no more
        wait_for(lambda: not any(os.path.exists(f"/proc/{p}") for p in pids),
                 what="end of the sessions' processes")
        assert not fake.of("/register")


# --- LOGOUT after the command ---

LOGOUT = {"well": (fx.ok, "OK"), "slow": (fx.slow(0.3), "OK"),
          "hangs": (fx.hang, "NO"), "400": (fx.status(400), "NO"),
          "503, then well": (None, "OK")}


@pytest.mark.parametrize("behaviour,answer", LOGOUT.values(), ids=LOGOUT)
@pytest.mark.parametrize("selected", [False, True])
def test_logout_pipelined(own, work_dir, behaviour, answer, selected):
    """The command has its tagged answer, before BYE."""
    with FakeXapsd(str(work_dir / "x")) as fake:
        answers = iter([fx.status(503)])
        fake.behave("alice", behaviour or
                    (lambda *a: next(answers, fx.ok)(*a)))
        server = own(fake, {**url(fake.path), "timeout_msecs":
                            1000 if behaviour is fx.hang else ANSWER_MS})
        with server.imap("alice") as c:
            if selected:
                c.ok("SELECT INBOX")
            c.send(f"x {command()}\r\ny LOGOUT\r\nz NOOP\r\n")
            got = c.file.read().decode().split("\r\n")[:-1]
    if answer == "OK":
        assert got[:2] == lines("INBOX")
        got = got[2:]
    assert got[0].startswith(f"x {answer} ")
    assert got[1].startswith("* BYE ")
    assert got[2].startswith("y OK ")
    assert len(got) == 3


def test_logout_behind_several(own, work_dir):
    with FakeXapsd(str(work_dir / "x")) as fake:
        fake.behave("alice", fx.slow(0.2))
        server = own(fake)
        with server.imap("alice") as c:
            for i in range(3):
                c.send(f"x{i} {command()}\r\n")
            c.send("y LOGOUT\r\n")
            text = c.file.read().decode()
    assert all(f"\nx{i} OK " in text for i in range(3))
    assert text.index("* BYE") > text.rindex("OK XAPPLE")


def test_disconnect_while_logout_waits(own, work_dir):
    with FakeXapsd(str(work_dir / "x")) as fake:
        fake.behave("alice", fx.hang)
        server = own(fake, settings(fake, timeout_msecs=1000))
        for _ in range(3):
            with server.imap("alice") as c:
                c.send(f"x {command()}\r\ny LOGOUT\r\n")
        server.dovecot.wait_sessions("alice", 3)


def test_logout_without_the_command(own, work_dir):
    server = own(None, url(work_dir / "x"))
    with server.imap("alice") as c:
        c.send("y LOGOUT\r\n")
        assert "y OK" in c.file.read().decode()


# --- notifications ---

def test_notifications_wait_for_the_daemon(own, work_dir):
    """Equal ones are one; each user's comes."""
    path = str(work_dir / "x")
    server = own(None, url(path), extra=ONE_LMTP)
    users = [f"user{i}" for i in range(20)]
    start = time.monotonic()
    for _ in range(3):
        server.dovecot.deliver(users, MAIL)
    time.sleep(2)       # as long as it is away
    with FakeXapsd(path) as server.fake:
        told_once(server, users)
    # which says so after 5 s
    assert time.monotonic() - start > 5 or not server.dovecot.errors()


def told_once(server, users):
    """Of three deliveries to each user.  What is just being tried, four at
    once, is not merged."""
    for user in users:
        server.notified(user)
    server.dovecot.deliver("mark", MAIL)
    server.notified("mark")
    most = 2 * 4    # while the second and the third came
    assert 0 <= len(server.fake.of("/notify")) - len(users) - 1 <= most


@pytest.mark.parametrize("behaviour", AWAY.values(), ids=AWAY)
@pytest.mark.parametrize("way", ["unix", "tcp"])
def test_notification_is_tried_again(own, work_dir, behaviour, way):
    address = str(work_dir / "x") if way == "unix" else ("127.0.0.1", 0)
    with FakeXapsd(address) as fake:
        times = []

        def answer(*args):
            times.append(time.monotonic())
            (behaviour if len(times) < 5 else fx.ok)(*args)
        fake.behave("alice", answer)
        server = own(fake, extra=ONE_LMTP)
        server.dovecot.deliver("alice", MAIL)
        fake.wait(5, "/notify", "alice")
    pauses = [b - a for a, b in zip(times, times[1:])]
    # some may be read late
    assert all(p > 0.09 * 2 ** i for i, p in enumerate(pauses)), pauses


def test_notification_is_given_up(own, work_dir):
    """After 30 s, with a line in the log after 5."""
    server = own(None, url(work_dir / "x"),
                 extra=ONE_LMTP + "\nlog_debug = category=xaps")
    start = time.monotonic()
    server.dovecot.deliver("alice", MAIL)
    server.dovecot.wait_log("Error: .*not notified: cannot reach xapsd .*"
                            r"\(attempts go on\)")
    assert 4 < time.monotonic() - start < PATIENCE_S - LATE_S
    server.dovecot.wait_log("Debug: .*not notified: cannot reach xapsd .*"
                            rf"\(tried for {PATIENCE_S} s\)", PATIENCE_S * 2)
    assert time.monotonic() - start > PATIENCE_S - 0.1
    with FakeXapsd(str(work_dir / "x")) as server.fake:
        server.dovecot.deliver("mark", MAIL)
        server.notified("mark")
        assert not server.fake.of("/notify", "alice")
    assert len(re.findall("Error: ", server.dovecot.log())) == 1


def test_notification_is_not_late_while_nobody_reads(own, work_dir):
    sock = held_socket(str(work_dir / "x"))
    server = own(None, {**url(work_dir / "x"), **UNREAD}, extra=ONE_LMTP)
    users = [f"user{i}" for i in range(20)]
    server.dovecot.deliver(users, MAIL)
    time.sleep(UNREAD_S)
    with FakeXapsd(sock) as server.fake:
        for user in users:
            server.notified(user)
        assert len(server.fake.of("/notify")) == 20
    assert not re.search("Error|Warning: .*xaps", server.dovecot.log())


def test_64_at_once_over_a_full_socket(own, work_dir):
    """Its queue takes one, and nobody accepts for a second."""
    sock = held_socket(str(work_dir / "x"), backlog=0)
    server = own(None, url(work_dir / "x"), extra=ONE_LMTP)
    users = [f"user{i}" for i in range(64)]
    server.dovecot.deliver(users, MAIL)
    time.sleep(1)       # as long as it takes to restart
    with FakeXapsd(sock) as server.fake:
        for user in users:
            server.notified(user)


def test_64_processes_at_once(own, work_dir):
    """Each ends at once; the daemon's queue takes few."""
    sock = held_socket(str(work_dir / "x"), backlog=5)
    with FakeXapsd(sock) as fake:
        server = own(fake, {**url(fake.path), "timeout_msecs": 60000})
        users = {f"user{i}" for i in range(64)}
        threads = [later(0, lambda u=u: server.dovecot.lda(u, MAIL, 100))
                   for u in users]
        for thread in threads:
            thread.join(100)
        wait_for(lambda: {r.user for r in fake.of("/notify")} == users,
                 what="requests")


def make_folders(dovecot, user, n):
    """F0, F1, ...; quicker than by CREATE."""
    home = dovecot.home / user
    for folder in ("", *(f".F{i}" for i in range(n))):
        for part in ("cur", "new", "tmp"):
            (home / "Maildir" / folder / part).mkdir(parents=True)
    subprocess.run(["chown", "-R", f"{dovecot.uid}:{dovecot.gid}", home],
                   check=True)


def append(c, folders):
    """A mail to each, without a wait for each answer."""
    for i in range(0, len(folders), 50):
        part = folders[i:i + 50]
        c.send("".join(f"x APPEND {name} {{{len(MAIL)}+}}\r\n{MAIL}\r\n"
                       for name in part))
        for _ in part:
            assert kind(c.result("x")[1]) == "OK"


@pytest.mark.timeout(400)   # a busy disk takes a minute to remove the folders
def test_more_than_may_wait(own, work_dir):
    """1,000 in a process; mail goes on."""
    path = str(work_dir / "x")
    server = own(None, {**url(path), "timeout_msecs": 1000})
    make_folders(server.dovecot, "alice", 1050)
    with server.imap("alice") as c:
        start = time.monotonic()
        append(c, [f"F{i}" for i in range(1050)])
        if time.monotonic() - start > PATIENCE_S - 8:
            pytest.skip("too busy here: the first are given up already")
        server.dovecot.wait_log("too many notifications are waiting")
        with FakeXapsd(path) as fake:
            def told():
                return {r.json["Mailbox"] for r in fake.of("/notify")}
            wait_for(lambda: len(told()) >= 900, what="requests")

            def goes_on():
                start = time.monotonic()
                c.append("INBOX", MAIL)
                return time.monotonic() - start
            assert least(goes_on, LATE_S) < LATE_S
            wait_for(lambda: "INBOX" in told(), what="the last")
            assert 900 <= len(told()) <= 1001


@pytest.mark.parametrize("by", ["lda", "imap"])
def test_a_process_that_ends_leaves_its_request(own, work_dir, by):
    """In the socket that systemd holds, from where the daemon takes it when
    it starts; the process waits no longer than the timeout."""
    sock = held_socket(str(work_dir / "x"))
    server = own(None, {**url(work_dir / "x"), "timeout_msecs": 500})
    if by == "lda":
        assert least(lambda: server.dovecot.lda("alice", MAIL),
                     0.5 + LATE_S) < 0.5 + LATE_S
    else:
        make_folders(server.dovecot, "alice", 100)
        with server.imap("alice") as c:
            append(c, [f"F{i}" for i in range(100)])
            c.ok("LOGOUT")
    server.dovecot.wait_log("left in its socket")
    with FakeXapsd(sock) as fake:
        wait_for(lambda: len({r.json["Mailbox"] for r in fake.of("/notify")})
                 == (1 if by == "lda" else 100), what="requests")
    assert not server.dovecot.errors()


def test_real_daemon_takes_what_was_left(own, start_xapsd, apple, workdir):
    """The client has closed the connection long ago."""
    x = start_xapsd()
    apple.wait_connected()
    x.register("alice", "0715A26B", "ab" * 32)
    body = json.dumps({"Username": "alice", "Mailbox": "INBOX",
                       "Events": ["MessageNew"]})
    os.kill(x.process.pid, 19)      # SIGSTOP: as one that is not there yet
    for _ in range(5):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(x.socket_path)
            s.sendall(f"POST /notify HTTP/1.1\r\nHost: localhost\r\n"
                      f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
    os.kill(x.process.pid, 18)
    apple.wait_for(1)


# --- errors ---

def test_one_error_for_all_processes(own, work_dir):
    server = own(None, {**url(work_dir / "x"), "timeout_msecs": 200})
    start = time.monotonic()
    threads = [later(0, lambda u=f"user{i}": server.dovecot.lda(u, MAIL))
               for i in range(12)]
    for thread in threads:
        thread.join(60)
    for i in range(3):
        server.dovecot.lda("alice", MAIL)
    logged = len(re.findall(r"Error: .*xaps: ", server.dovecot.log()))
    assert 1 <= logged <= 1 + (time.monotonic() - start) // 60


@pytest.mark.parametrize("way", ["fixed", "with ours", "added"])
def test_imap_capability(own, work_dir, way):
    """A list that lacks ours is logged once; we cannot change it."""
    if IS_2_3:
        extra = "imap_capability = " + {
            "fixed": "IMAP4rev1 IDLE", "with ours":
            "IMAP4rev1 xapplepushservice", "added": "+XSOMETHING"}[way]
    else:
        extra = {"fixed": "imap_capability {\n IMAP4rev1 = yes\n IDLE = yes\n"
                          "}", "with ours": "imap_capability {\n "
                 "XAPPLEPUSHSERVICE = yes\n}", "added":
                 "imap_capability {\n XSOMETHING = yes\n}"}[way]
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, extra=extra)
        for i in range(3):
            with server.imap(f"user{i}") as c:
                shown = c.ok("CAPABILITY")[0].upper()
                c.ok("LOGOUT")
            server.dovecot.wait_sessions(f"user{i}", 1)
        warned = re.findall("Warning: .*xaps: imap_capability",
                            server.dovecot.log())
        if "XAPPLEPUSHSERVICE" in shown.split():
            assert not warned
        else:
            assert way == "fixed" and len(warned) == 1
        assert way != "fixed" or not IS_2_3 or warned


# --- one user, one setting ---

SCOPES = {"no": [], "inbox": ["INBOX"], "INBOX": ["INBOX"],
          "yes": ["INBOX", "Notes"]}


@pytest.mark.parametrize("scope,told", SCOPES.items(), ids=SCOPES)
def test_opt_out_by_userdb(own, work_dir, scope, told):
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, userdb={"xaps": scope})
        with server.imap("alice") as c:
            capable = "XAPPLEPUSHSERVICE" in c.ok("CAPABILITY")[0].split()
            c.ok("CREATE Notes")
            untagged, tagged = c.cmd(command("(Notes INBOX)"))
            c.append("Notes", MAIL)
            c.append("INBOX", MAIL)
            c.ok("LOGOUT")
        server.dovecot.lda("alice", MAIL)
        assert capable == bool(told)
        assert kind(tagged) == ("OK" if told else "NO")
        if told:
            assert sorted(untagged[:-1]) == [
                f"* XAPPLEPUSHSERVICE mailbox {m}" for m in told]
            server.notified("alice", len(told))
            assert sorted(server.registered("alice")[0]["Mailboxes"]) == told
        seen = {r.json["Mailbox"] for r in fake.of("/notify")}
        assert seen == set(told)
    assert not server.dovecot.errors()


@pytest.mark.parametrize("off", [True, False])
def test_driver_off_by_userdb(own, work_dir, off):
    """Dovecot's own way: no driver for this user.  A registration that never
    gets a push is refused."""
    if IS_2_3:      # where a userdb cannot return an empty field
        options = {"driver": "", "userdb": {} if off else {
            "push_notification_driver": "xaps"}}
    else:
        options = {"userdb": {"push_notification": ""} if off else {}}
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, **options)
        with server.imap("alice") as c:
            capable = "XAPPLEPUSHSERVICE" in c.ok("CAPABILITY")[0].split()
            tagged = c.cmd(command())[1]
            c.append("INBOX", MAIL)
        server.dovecot.lda("alice", MAIL)
        assert capable == (not off)
        assert kind(tagged) == ("NO" if off else "OK")
        assert bool(fake.of("/notify")) == (not off)
    assert not server.dovecot.errors()


def test_opt_out_with_an_unknown_word(own, work_dir):
    server = own(None, url(work_dir / "x"), userdb={"xaps": "maybe"})
    with server.imap("alice") as c:
        assert "XAPPLEPUSHSERVICE" not in c.ok("CAPABILITY")[0]
        c.append("INBOX", MAIL)
    server.dovecot.wait_log("Error: .*xaps must be yes, no or inbox")
    assert len(re.findall("Error: ", server.dovecot.log())) == 1


@pytest.mark.skipif(not IS_2_3, reason="2.3 has settings of any name")
@pytest.mark.parametrize("userdb,told", [({}, "box-alice"),
                                         ({"push_user": "boss"}, "boss")])
def test_user_lookup_of_a_plugin_setting(own, work_dir, userdb, told):
    """With variables; a userdb field of that name comes first."""
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, settings(fake, user_lookup="push_user"),
                     userdb=userdb,
                     extra="plugin {\n push_user = box-%n\n}")
        server.dovecot.deliver("alice", MAIL)
        server.notified(told)
        with server.imap("alice") as c:
            assert_ok(c.cmd(command()), "INBOX")
        server.registered(told)


@pytest.mark.skipif(not IS_2_3, reason="there was none for 2.4")
@pytest.mark.parametrize("where", ["xaps_socket = ", "xaps_url = unix:"])
def test_settings_of_other_plugins(own, work_dir, where):
    """The first generation's, and 2.4's names, which one plugin has on 2.3."""
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, {}, extra=f"plugin {{\n {where}{fake.path}\n"
                     " xaps_user_lookup = push_user\n}",
                     userdb={"push_user": "boss"})
        server.dovecot.deliver("alice", MAIL)
        server.notified("boss")
        with server.imap("alice") as c:
            assert_ok(c.cmd(command()), "INBOX")


@pytest.mark.skipif(not IS_2_3, reason="there was none for 2.4")
def test_xaps_config_comes_before_the_first_generation(own, work_dir):
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, settings(fake), extra="plugin {\n"
                     f" xaps_socket = {work_dir}/nobody\n}}")
        server.dovecot.deliver("alice", MAIL)
        server.notified("alice")


def test_events(own, work_dir):
    """Category, names and fields, as metrics and log filters see them."""
    exporter = "event_exporter all {\n format = json\n transport = log\n" \
        " format_args = time-rfc3339\n}" if IS_2_3 else \
        "event_exporter all {\n driver = log\n format = json\n" \
        " time_format = rfc3339\n}"
    metrics = "".join(
        f"metric {name} {{\n exporter = all\n filter = event={name}\n}}\n"
        for name in ("xaps_notify_finished", "xaps_register_finished"))
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, settings(fake), extra=f"{exporter}\n{metrics}"
                     "log_debug = category=xaps")
        start = time.monotonic()
        server.dovecot.deliver("alice", MAIL)
        server.notified("alice")
        with server.imap("alice") as c:
            assert_ok(c.cmd(command()), "INBOX")
        fake.behave("bob", fx.status(400))
        server.dovecot.deliver("bob", MAIL)

        def exported(name, user):
            for text in re.findall(r"Info: .*?(\{.*)\n", server.dovecot.log()):
                event = json.loads(text)
                if event["event"] == name and \
                        event["fields"].get("user") == user:
                    return event
        for name, user, status in (
                ("xaps_notify_finished", "alice", 200),
                ("xaps_register_finished", "alice", 200),
                ("xaps_notify_finished", "bob", 400)):
            event = wait_for(lambda: exported(name, user), what=f"{name}")
            assert event["fields"]["status"] == status
            assert event["fields"]["mailbox"] == "INBOX"
            assert 0 < event["fields"]["duration"] < 10 ** 6 * (
                time.monotonic() - start)
            assert "xaps" in event["categories"]
            assert ("error" in event["fields"]) == (status != 200)
        server.dovecot.wait_log("Debug: .*xaps: answer 200")


def test_chroot_is_named(own, work_dir):
    """mail_chroot: the socket is looked up inside; the error says so."""
    if os.getuid() != 0:
        pytest.skip("root only")
    jail = work_dir / "jail"
    (jail / "alice").mkdir(parents=True)
    subprocess.run(["chown", "-R", "10000:10000", jail / "alice"],
                   check=True)
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, {**url(fake.path), "register_timeout_msecs": 1000},
                     extra=f"mail_chroot = {jail}\nvalid_chroot_dirs = {jail}",
                     userdb={"home": "/alice"})
        with server.imap("alice") as c:
            assert kind(c.cmd(command())[1]) == "NO"
        server.dovecot.wait_log(
            f"cannot reach xapsd at unix:{fake.path} inside the chroot "
            f"{jail}")


@pytest.mark.valgrind
@pytest.mark.timeout(400)
@pytest.mark.parametrize("way", ["unix", "tcp"])
def test_valgrind_while_the_daemon_is_away(own, work_dir, way):
    """Attempts, ends of sessions meanwhile, what is left at the end."""
    extra = under_valgrind(work_dir)
    with FakeXapsd(str(work_dir / "x") if way == "unix" else
                   ("127.0.0.1", 0)) as fake:
        address = fake.path or ("127.0.0.1", fake.port)
        target = f"unix:{fake.path}" if fake.path else \
            f"http://127.0.0.1:{fake.port}"
    server = own(None, {"url": f"unix:{work_dir}/nobody,{target}",
                        "timeout_msecs": 10000,
                        "register_timeout_msecs": 60000}, extra=extra)
    for end in ("", "y LOGOUT\r\n"):
        with server.imap("alice") as c:
            c.append("INBOX", MAIL)
            c.send(f"x {command()}\r\n{end}")
    with server.imap("bob") as c:   # before: valgrind takes its time
        for user in ("alice", "alice", "bob"):
            server.dovecot.deliver(user, MAIL)
        c.send(f"x {command()}\r\n")
        with FakeXapsd(address) as fake:
            assert_ok(c.result("x"), "INBOX")
            c.append("INBOX", MAIL)
            fake.wait(1, "/notify", "bob")
            fake.wait(1, "/notify", "alice")
            answers = iter([fx.status(503), fx.close, fx.chunked])
            fake.behave("alice", lambda *a: next(answers, fx.ok)(*a))
            server.dovecot.deliver("alice", MAIL)
            with server.imap("alice") as d:
                d.send(f"x {command()}\r\ny LOGOUT\r\n")
                assert "x OK" in d.file.read().decode()
            fake.behave("bob", fx.hang)
            server.dovecot.deliver("bob", MAIL)
            c.close()
            stop_under_valgrind(server.dovecot, work_dir)
    check_valgrind(work_dir, 5)
