"""Whether phones come: POST /seen, and what list, status and /metrics make of
it.  (libfaketime moves the daemon's clocks.)"""
import json
import re
import threading
import time

import pytest

from apple import Answer
from phones import ACCOUNT, OTHER, TOKEN, token
from test_clock import all_clocks, clock        # noqa: F401
from test_health import metrics, value, with_clock
from xapsd import certificate, is_instrumented, token_key

UNKNOWN = ("pushed", "seen", "client", "wakeup", "waiting", "unanswered",
           "notified", "notifiedUnwatched", "answer")


def seen(daemon, user, client=None, **kwargs):
    body = {"Username": user}
    if client is not None:
        body["Client"] = client
    return daemon.request("POST", "/seen", body, **kwargs)


def comes(daemon, user):
    assert seen(daemon, user, "iOS 26.5").status == 204


def known(daemon, user="alice"):
    """What list knows of the user's devices; of the only one, if it is one."""
    lines = daemon.request("POST", "/admin/list", {"user": user}).body
    found = [json.loads(line) for line in lines.splitlines()[:-1]]
    return found[0] if len(found) == 1 else found


def push(daemon, user="alice", mailbox="INBOX"):
    """Until Apple's answer is there."""
    before = daemon.status()
    assert daemon.notify(user, mailbox).status == 200
    daemon.wait_until(
        lambda: daemon.status()["delivered"] > before["delivered"] and
        not daemon.status()["queue"], "Apple's answer")


def counts(daemon, *names):
    status = daemon.status()
    return [status[n] for n in names]


def day_of(daemon):
    """Its numbers of the last 24 hours, to the end of this quarter of an hour,
    which may be over before they are here."""
    before = time.time()
    day = daemon.status()["day"]
    assert before - 2 < day["end"] <= time.time() + 900
    return day


# --- the journey ---

def test_came_after(start_xapsd, apple):
    began = time.monotonic()
    xapsd = start_xapsd()
    took = time.monotonic() - began
    apple.wait_connected()
    xapsd.register("alice", ACCOUNT, TOKEN)
    before = time.time()
    push(xapsd)
    time.sleep(1.5)
    comes(xapsd, "Alice")
    r, now = known(xapsd), time.time() + 0.2    # it counts in tenths
    assert r["answer"] == "Apple took it" and r["client"] == "iOS 26.5"
    assert 1.4 <= r["wakeup"] < 20 and r["unanswered"] == r["waiting"] == 0
    assert before - 2 <= r["notified"] <= now
    assert before - 2 <= r["pushed"] and r["seen"] <= now
    # whole seconds; a visit's is kept as a whole one, too
    assert -2.2 < r["seen"] - r["pushed"] - r["wakeup"] < 1.2
    assert counts(xapsd, "wakeupMedian", "visits", "wakeups", "missed",
                  "missedDay", "silent") == [r["wakeup"], 1, 1, 0, 0, 0]
    day = day_of(xapsd)
    # it may have been at the end of a quarter
    assert sum(day["pushes"]) == sum(day["pushes"][-2:]) == 1
    assert set(day["wakeups"]) == {None, r["wakeup"]}
    # earlier by what passed in the start before it looked at the clock
    assert -2 - took < (day["end"] + 450) % 900 - 450 < 2
    text = xapsd.run("list").stdout
    assert re.search(r" LAST PUSH +CAME +MAILBOXES\n.* \d+ s ago +"
                     r"came after %.1f s +INBOX\n" % r["wakeup"], text), text
    listed, = json.loads(xapsd.run("list", "--json").stdout)
    for k in ("pushed", "seen", "notified"):
        # so many tenths before now, which may begin another second
        assert abs(listed.pop(k) - r.pop(k)) <= 1, k
    assert {k: listed[k] for k in UNKNOWN if k in listed} == {
        k: r[k] for k in UNKNOWN if k in r}
    assert re.search(r"^Phones +came after %.1f s \(a day's median\), 0 pushes "
                     "missed, 0 users silent$" % r["wakeup"],
                     xapsd.run("status").stdout, re.M)


def test_metrics(xapsd, apple):
    xapsd.register("alice", ACCOUNT, TOKEN)
    push(xapsd)
    comes(xapsd, "alice")
    comes(xapsd, "alice")       # once is enough
    samples = metrics(xapsd)["xapsd_wakeup_seconds"].samples
    buckets = [(s.labels["le"], s.value) for s in samples
               if s.name.endswith("_bucket")]
    assert [le for le, _ in buckets] == [
        "1", "2", "5", "10", "30", "60", "300", "600", "+Inf"]
    assert sorted(n for _, n in buckets) == [n for _, n in buckets]
    rest = {s.name.rpartition("_")[2]: s.value for s in samples[len(buckets):]}
    assert rest["count"] == 1 and 0.1 <= rest["sum"] < 20
    assert rest["sum"] == known(xapsd)["wakeup"]
    assert [value(xapsd, n) for n in (
        "visits", "wakeups", "pushes_missed", "pushes_missed_day",
        "silent_users")] == [2, 1, 0, 0, 0]


def test_nothing_is_known(xapsd):
    """No push, no visit, no columns; nobody reports visits: no verdict."""
    xapsd.register("alice", ACCOUNT, TOKEN)
    assert not set(known(xapsd)) & set(UNKNOWN)
    assert "CAME" not in xapsd.run("list").stdout
    assert "Phones         no visit reported" in xapsd.run("status").stdout
    comes(xapsd, "alice")
    assert set(known(xapsd)) & set(UNKNOWN) == {"seen", "client"}
    assert "CAME" not in xapsd.run("list").stdout
    assert counts(xapsd, "visits", "wakeups") == [1, 0]
    xapsd.restart()
    assert not set(known(xapsd)) & set(UNKNOWN)
    push(xapsd)
    assert not set(known(xapsd)) & {"seen", "wakeup", "waiting", "unanswered"}
    assert re.search(r"\d s ago +- +INBOX", xapsd.run("list").stdout)


def test_quicker_than_apple(xapsd, apple):
    """The phone comes while Apple's answer is under way."""
    xapsd.register("alice", ACCOUNT, TOKEN)
    apple.hold()
    xapsd.notify("alice")
    apple.wait_for(1)
    comes(xapsd, "alice")
    comes(xapsd, "alice")
    assert "pushed" not in known(xapsd)
    apple.release()
    xapsd.wait_until(lambda: xapsd.status()["wakeups"], "wake-up time")
    assert counts(xapsd, "wakeups", "visits") == [1, 2]
    assert 0.1 <= known(xapsd)["wakeup"] < 20 and not known(xapsd)["waiting"]


def test_a_push_that_apple_refuses(xapsd, apple):
    """Is none: the visit has another reason."""
    xapsd.register("alice", ACCOUNT, TOKEN)
    apple.script(TOKEN, Answer(400, "BadDeviceToken"))
    xapsd.notify("alice")
    xapsd.wait_log("suspended until")
    comes(xapsd, "alice")
    r = known(xapsd)
    assert not set(r) & {"pushed", "wakeup", "waiting"}
    assert r["answer"].startswith("Apple answered 400 BadDeviceToken: the dev")
    assert counts(xapsd, "visits", "wakeups") == [1, 0]
    # suspended, not unwatched
    xapsd.notify("alice")
    assert "notifiedUnwatched" not in known(xapsd)
    xapsd.notify("alice", "Work")
    assert known(xapsd)["notifiedUnwatched"] is True
    # it has registered again: what Apple said is past
    xapsd.register("alice", ACCOUNT, TOKEN)
    assert "answer" not in known(xapsd)
    push(xapsd)
    r = known(xapsd)
    assert r["answer"] == "Apple took it" and "notifiedUnwatched" not in r
    xapsd.register("alice", ACCOUNT, TOKEN)
    assert known(xapsd)["answer"] == "Apple took it"


# --- who came ---

def test_several_devices(xapsd, apple):
    xapsd.register("alice", ACCOUNT, TOKEN)
    xapsd.register("alice", ACCOUNT, OTHER)
    xapsd.notify("alice")
    xapsd.wait_until(lambda: xapsd.status()["delivered"] == 2, "answers")
    comes(xapsd, "alice")
    assert counts(xapsd, "visits", "wakeups", "missed") == [1, 1, 0]
    for r in known(xapsd):
        assert r["wakeup"] and r["client"] == "iOS 26.5" and not r["waiting"]


def test_watcher_of_a_shared_folder(xapsd, apple):
    """bob is pushed for alice's mailbox, and bob comes."""
    xapsd.register("bob", ACCOUNT, TOKEN, ["INBOX", "shared/alice"],
                   Canonical=[{"owner": "bob", "mailbox": "INBOX"},
                              {"owner": "alice", "mailbox": "INBOX"}])
    push(xapsd, "alice")
    assert "notifiedUnwatched" not in known(xapsd, "bob")
    assert seen(xapsd, "alice").status == 404
    comes(xapsd, "bob")
    assert known(xapsd, "bob")["wakeup"] > 0
    assert xapsd.status()["wakeups"] == 1


def test_forgotten_and_renamed(xapsd, apple):
    xapsd.register("alice", ACCOUNT, TOKEN)
    push(xapsd)
    xapsd.register("alice", ACCOUNT, TOKEN, ["INBOX", "Work"])
    assert known(xapsd)["pushed"]       # a renewal keeps it
    assert xapsd.run("forget", "alice").returncode == 0
    assert seen(xapsd, "alice").status == 404
    xapsd.register("alicia", ACCOUNT, TOKEN)
    comes(xapsd, "alicia")
    assert set(known(xapsd, "alicia")) & set(UNKNOWN) == {"seen", "client"}
    xapsd.register("alice", ACCOUNT, TOKEN)
    assert not set(known(xapsd)) & set(UNKNOWN)
    assert counts(xapsd, "visits", "wakeups", "missed") == [1, 0, 0]


def test_imported(xapsd, workdir):
    """By another tool, or of a list --json, whose fields are not taken."""
    xapsd.register("alice", ACCOUNT, TOKEN)
    push(xapsd)
    comes(xapsd, "alice")
    text = xapsd.request("POST", "/admin/list", {}).body.splitlines()[0]
    assert "wakeup" in text
    xapsd.run("forget", "alice")
    (workdir / "old").write_text(text + "\n")
    assert xapsd.run("import", str(workdir / "old")).returncode == 0
    assert not set(known(xapsd)) & set(UNKNOWN)


# --- the request ---

@pytest.mark.parametrize("body, says", [
    ("", "JSON"), ("{", "JSON"), ("[]", "object"), ("{}", "Username"),
    ('{"Username":7}', "Username is not a string"),
    ('{"Username":""}', "1 to 255"),
    ('{"Username":"a\\u0000b"}', "Username"),
    ('{"Username":"a\\nb"}', "control"),
    ('{"Username":"%s"}' % ("a" * 256), "255"),
    ('{"Username":"alice","Client":7}', "Client is not a string"),
    ('{"Username":"alice","Client":["iOS"]}', "Client is not a string"),
])
def test_malformed(xapsd, body, says):
    xapsd.register("alice", ACCOUNT, TOKEN)
    reply = xapsd.request("POST", "/seen", body)
    assert reply.status == 400 and says in reply.body, reply
    assert xapsd.status()["refused"] == 1 and xapsd.status()["visits"] == 0


def test_names(xapsd):
    xapsd.register("ä" + "x" * 253, ACCOUNT, TOKEN)
    xapsd.register("alice", ACCOUNT, OTHER)
    assert seen(xapsd, "ä" + "X" * 253).status == 204
    assert seen(xapsd, "Ä" + "x" * 253).status == 404   # ASCII only
    assert seen(xapsd, "ALICE").status == 204
    assert seen(xapsd, "alice@example.org").status == 404
    for method in ("GET", "PUT"):
        reply = xapsd.request(method, "/seen")
        assert reply.status == 405 and reply.headers["Allow"] == "POST"


@pytest.mark.parametrize("client, shown", [
    ("iOS 26.5", "iOS 26.5"), ("", None), ("x" * 64, "x" * 64),
    ("x" * 65, "x" * 64), ("x" * 60000, "x" * 64),
    ("ä" * 33, "ä" * 32), ("x" + "ä" * 33, "x" + "ä" * 31),
    ('"<b>\\', '"<b>\\'), ("iOS\n26", None), ("iOS\u009b2J", None),
    ("😀" * 17, "😀" * 16),
])
def test_client(xapsd, client, shown):
    xapsd.register("alice", ACCOUNT, TOKEN)
    assert seen(xapsd, "alice", client).status == 204
    assert known(xapsd).get("client") == shown
    listed, = json.loads(xapsd.run("list", "--json").stdout)
    assert listed.get("client") == shown
    xapsd.request("POST", "/seen", '{"Username":"alice","More":[{"a":1}]}')
    assert "client" not in known(xapsd)     # of the last visit


def test_without_credentials(start_xapsd):
    daemon = start_xapsd()
    daemon.register("alice", ACCOUNT, TOKEN)
    daemon.stop()
    for key in token_key(daemon.certs):
        del daemon.config[key]
    daemon.start()
    assert daemon.notify("alice").status == 503
    comes(daemon, "alice")
    assert known(daemon)["seen"]


def test_who_may_ask(start_xapsd):
    daemon = start_xapsd(tcp=True, httpUser="dovecot", httpPassword="secret")
    daemon.register("alice", ACCOUNT, TOKEN)
    assert seen(daemon, "alice", tcp=True).status == 401
    right = {"Authorization": "Basic ZG92ZWNvdDpzZWNyZXQ="}
    assert seen(daemon, "alice", tcp=True, headers=right).status == 204
    assert seen(daemon, "alice", tcp=True, headers={
        **right, "Origin": "https://evil.example"}).status == 403
    assert daemon.status()["visits"] == 1


def test_status_names_nobody(start_xapsd, apple):
    daemon = start_xapsd(tcp=True)
    daemon.register("somebody", ACCOUNT, TOKEN)
    push(daemon, "somebody")
    seen(daemon, "somebody", "Some phone")
    for path in ("/status", "/metrics", "/healthz"):
        body = daemon.request("GET", path, tcp=True).body
        assert "omebody" not in body and "Some phone" not in body
    assert daemon.request("POST", "/admin/list", {}, tcp=True).status == 404


def test_another_name_at_log_in(xapsd):
    """Said once a name, whichever request it was."""
    xapsd.register("alice", ACCOUNT, TOKEN)
    for _ in range(3):
        assert seen(xapsd, "alice@example.org").status == 404
        assert xapsd.notify("alice@example.org").status == 404
        assert seen(xapsd, "nobody").status == 404
    xapsd.wait_log("info  seen: alice@example.org has no device, but alice "
                   "has: ")
    assert xapsd.log().count("has no device, but") == 1


# --- time ---

@pytest.fixture
def later(all_clocks):              # noqa: F811
    """later(seconds) moves the daemon's clocks."""
    def move(s):
        all_clocks("+%ds" % s)
    move(0)
    return move


@with_clock
def test_nobody_came(start_xapsd, apple, later):
    daemon = start_xapsd(identity=certificate)
    daemon.register("alice", ACCOUNT, TOKEN)
    daemon.register("bob", ACCOUNT, OTHER)
    comes(daemon, "bob")
    push(daemon)
    later(200)
    push(daemon)
    later(210)
    push(daemon)
    assert known(daemon)["waiting"] == 2 and known(daemon)["unanswered"] == 1
    assert re.search("1 push, nobody came", daemon.run("list").stdout)
    later(830)
    assert counts(daemon, "missed", "missedDay", "wakeups") == [3, 3, 0]
    assert [value(daemon, n) for n in ("pushes_missed", "pushes_missed_day")
            ] == [3, 3]
    assert known(daemon)["unanswered"] == 3 and not known(daemon)["waiting"]
    text = daemon.run("list").stdout
    assert re.search(r"\d+ min ago +3 pushes, nobody came", text), text
    assert sum(daemon.status()["day"]["missed"]) == 3
    # it comes too late for any of them, then in time again
    comes(daemon, "alice")
    assert known(daemon)["unanswered"] == 0 and "wakeup" not in known(daemon)
    assert "came much later" in daemon.run("list").stdout
    later(1000)
    start = time.monotonic()
    push(daemon)
    later(1045)
    comes(daemon, "alice")
    most = 46 + time.monotonic() - start
    came = re.search(r"came after (\d+) s", daemon.run("list").stdout)
    assert 45 <= int(came[1]) <= most
    later(1000 + 24 * 3600)
    assert counts(daemon, "missed", "missedDay") == [3, 0]


@with_clock
def test_asleep_for_three(start_xapsd, apple, later):
    """Of three pushes over 20 minutes the last one brought it."""
    daemon = start_xapsd(identity=certificate)
    daemon.register("alice", ACCOUNT, TOKEN)
    comes(daemon, "alice")
    for s in (10, 500, 1200):
        later(s)
        push(daemon)
    later(1202)
    comes(daemon, "alice")
    assert 1.5 <= known(daemon)["wakeup"] < 20
    later(2500)
    assert counts(daemon, "missed", "wakeups") == [2, 1]


@with_clock
def test_silent(start_xapsd, apple, later):
    daemon = start_xapsd(identity=certificate)
    daemon.register("alice", ACCOUNT, TOKEN)
    daemon.register("alice", ACCOUNT, token(7))
    daemon.register("bob", ACCOUNT, OTHER)
    comes(daemon, "bob")
    comes(daemon, "alice")
    words = "info  push: alice: not seen for .* days, though Apple took"
    for day in range(1, 12):
        later(day * 86400)
        push(daemon)
        comes(daemon, "bob")
        assert daemon.status()["silent"] == (day >= 7), day
    assert len(re.findall(words, daemon.log())) == 1
    assert value(daemon, "silent_users") == 1
    assert ", 1 user silent" in daemon.run("status").stdout
    comes(daemon, "alice")
    assert daemon.status()["silent"] == 0
    for day in range(12, 21):
        later(day * 86400)
        push(daemon)
    assert daemon.status()["silent"] == 1
    assert len(re.findall(words, daemon.log())) == 2
    assert daemon.run("forget", "alice").returncode == 0
    assert daemon.status()["silent"] == 0


@with_clock
@pytest.mark.parametrize("step", ["+40d", "-20h", "2020-01-01"])
def test_clock_steps(start_xapsd, apple, clock, step):      # noqa: F811
    """Only the wall clock: no time is wrong, none in the future."""
    clock(None)
    daemon = start_xapsd(identity=certificate)
    daemon.register("alice", ACCOUNT, TOKEN)
    push(daemon)
    clock(step)
    comes(daemon, "alice")
    r = known(daemon)
    assert 0.1 <= r["wakeup"] < 20
    push(daemon)
    text = daemon.run("list").stdout
    assert re.search(r"\d s ago +not yet", text), text
    clock(None)
    comes(daemon, "alice")
    assert 0.1 <= known(daemon)["wakeup"] < 20
    text = daemon.run("list").stdout
    assert re.search(r"\d s ago +came after", text), text
    assert counts(daemon, "wakeups", "missed", "silent") == [2, 0, 0]
    assert sum(day_of(daemon)["pushes"]) == 2


def test_idle_while_somebody_may_come(xapsd, apple):
    xapsd.register("alice", ACCOUNT, TOKEN)
    comes(xapsd, "alice")
    push(xapsd)
    xapsd.wait_asleep(3)


# --- load ---

def test_many_visits(xapsd, apple):
    """And pushes at the same time: nothing is lost or slow, nothing grows."""
    users = ["user%d" % i for i in range(50)]
    for i, user in enumerate(users):
        xapsd.register(user, ACCOUNT, token(i), keep=True)
    comes(xapsd, users[0])
    memory = xapsd.rss_kib()
    failed = []

    def visit(part):
        import http.client
        import socket
        c = http.client.HTTPConnection("localhost", timeout=60)
        c.sock = socket.socket(socket.AF_UNIX)
        c.sock.connect(xapsd.socket_path)
        for i in range(500):
            c.request("POST", "/seen", json.dumps(
                {"Username": users[i % 50], "Client": "iOS %d.%d" % (
                    part, i % 100)}))
            reply = c.getresponse()
            reply.read()
            if reply.status != 204:
                failed.append(reply.status)
        c.close()
    threads = [threading.Thread(target=visit, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for user in users:
        xapsd.notify(user, keep=True)
    for t in threads:
        t.join()
    assert not failed
    assert xapsd.status()["visits"] == 2001
    for user in users:
        comes(xapsd, user)
    xapsd.wait_until(lambda: xapsd.status()["queue"] == 0, "an empty queue")
    assert not any(known(xapsd, u)["waiting"] for u in users)
    assert 1 <= xapsd.status()["wakeups"] <= 50
    assert is_instrumented() or xapsd.rss_kib() < memory + 4096


# --- the table ---

@pytest.mark.parametrize("columns", [80, 132])
def test_table_fits(xapsd, apple, columns):
    longest = "somebody-with-a-long-name." + "x" * 20 + "@mail.example.org"
    xapsd.register(longest, ACCOUNT, TOKEN,
                   ["Verschickte Objekte", "INBOX", "Work"])
    xapsd.register("älice", ACCOUNT, OTHER,
                   ["INBOX", *("Folder %d" % i for i in range(12))])
    push(xapsd, "älice")
    comes(xapsd, "älice")
    xapsd.notify(longest, "Work")
    xapsd.wait_until(lambda: xapsd.status()["delivered"] == 2, "answer")
    text = xapsd.on_terminal("list", columns=columns, TERM="dumb")
    assert all(len(line) <= columns for line in text.splitlines()), text
    for word in ("älice", "somebod", "e.org", "LAST PUSH", "not yet",
                 "came after", "active", "INBOX", TOKEN[:8]):
        assert word in text, (word, text)
    text = xapsd.on_terminal("status", columns=columns, TERM="dumb")
    assert all(len(line) <= columns for line in text.splitlines())
    piped = xapsd.run("list").stdout
    assert longest in piped and "Folder 11" in piped and "REGISTERED" in piped
