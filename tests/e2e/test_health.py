"""Health is honest: /healthz, status and metrics say when pushes do not get out,
and only then.  (libfaketime moves the daemon's clocks.)"""

import re
import time

import pytest

from apple import Answer
from phones import ACCOUNT, TOKEN
from rawserver import (MAX_CONCURRENT_STREAMS, REFUSED_STREAM, RawServer,
                       goaway, reset, server_context)
from test_clock import all_clocks, clock, pytestmark as needs_clock  # noqa: F401
from xapsd import certificate

OTHER = "ab" * 32


def with_clock(fn):
    for mark in needs_clock:
        fn = mark(fn)
    return fn


@pytest.fixture
def later(all_clocks, start_xapsd):         # noqa: F811
    """later(seconds) moves the clocks.  With a certificate: Apple would not
    take a JWT of then."""
    def move(s):
        all_clocks("+%ds" % s)
    move(0)
    return move


def asked(x, path="/healthz"):
    reply = x.request("GET", path)
    return reply.status, reply.body.strip()


def metrics_text(x):
    reply = x.request("GET", "/metrics")
    assert reply.headers["Content-Type"].startswith(
        "text/plain; version=0.0.4")
    return reply.body


def parse(text):
    """By Prometheus' own parser: name -> family."""
    parser = pytest.importorskip("prometheus_client.parser")
    families = list(parser.text_string_to_metric_families(text))
    names = [f.name for f in families]
    assert len(set(names)) == len(names)
    return {f.name: f for f in families}


def metrics(x):
    return parse(metrics_text(x))


def value(x, name):
    return metrics(x)["xapsd_" + name].samples[0].value


def is_said_everywhere(x, words):
    """The same verdict, wherever somebody looks."""
    code, text = asked(x)
    assert code == 503 and re.search(words, text), (code, text)
    assert re.search(words, x.status()["problem"])
    assert x.status()["healthy"] is False
    assert re.search(r"^Health +" + words, x.run("status").stdout, re.M)
    assert value(x, "healthy") == 0


def is_well(x):
    assert asked(x) == (200, "ok")
    assert x.status()["problem"] == ""
    assert x.status()["healthy"] is True
    assert value(x, "healthy") == 1


NOT_CONNECTED = r"not connected to Apple for [67] min: .*refused"


@with_clock
def test_not_connected(start_xapsd, apple, later):
    """Only while pushes wait; and for load balancers never."""
    apple.go_away()
    # no name, whose lookup a leap of the clock would end
    x = start_xapsd(identity=certificate, apnsHost="127.0.0.1")
    x.register("alice", ACCOUNT, TOKEN)
    x.wait_log("refused")
    later(370)
    is_well(x)
    x.notify("alice")
    is_said_everywhere(x, NOT_CONNECTED)
    assert asked(x, "/healthz/credentials") == (200, "ok")
    apple.come_back()
    apple.wait_for(1)
    x.wait_until(lambda: asked(x) == (200, "ok"), "health")
    is_well(x)
    # each change is logged once
    assert len(re.findall(r"error push: not connected", x.log())) == 1
    assert len(re.findall(r"push: no push waits", x.log())) == 1


@with_clock
def test_not_before_five_minutes(start_xapsd, apple, later):
    apple.go_away()
    x = start_xapsd(identity=certificate, apnsHost="127.0.0.1")
    x.register("alice", ACCOUNT, TOKEN)
    x.notify("alice")
    x.wait_log("refused")
    is_well(x)
    later(240)
    is_well(x)
    later(301)
    is_said_everywhere(x, "not connected to Apple for [56] min: .*refused")
    x.run("forget", "alice")
    is_well(x)              # nobody waits any more


@with_clock
def test_the_log_says_it_unasked(start_xapsd, apple, later):
    x = start_xapsd(identity=certificate, apnsHost="127.0.0.1")
    x.register("alice", ACCOUNT, TOKEN)
    apple.wait_connected()
    apple.go_away()
    x.notify("alice")
    x.wait_log("Connection refused")
    later(370)
    x.wait_log("error push: " + NOT_CONNECTED)
    apple.come_back()
    x.wait_log("push: no push waits for Apple any more")
    assert x.log().count("error push: ") == 1


@with_clock
def test_connected_but_no_push_is_taken(start_xapsd, apple, later):
    # so long that no leap of the clock finds a push under way
    x = start_xapsd(identity=certificate, retryMin="30m", retryMax="30m")
    x.register("alice", ACCOUNT, TOKEN)
    apple.wait_connected()
    apple.script(None, lambda push: Answer(503, "ServiceUnavailable"))
    x.notify("alice")
    x.wait_log("503 ServiceUnavailable")
    is_well(x)
    later(370)
    x.wait_until(lambda: asked(x)[0] == 503, "trouble")
    is_said_everywhere(
        x, r"Apple has taken no push for [67] min: 503 ServiceUnavailable")
    assert asked(x, "/healthz/credentials") == (200, "ok")
    # refused again, the answer of 30 minutes ago counts
    later(2000)
    asked(x)                # wakes it: its timers sleep in real time
    apple.wait_for(2)
    x.wait_still()
    is_said_everywhere(
        x, r"Apple has taken no push for 3[34] min: 503 ServiceUnavailable")
    apple.unscript()
    later(4000)
    x.wait_until(lambda: asked(x) == (200, "ok"), "health")
    assert len(apple.pushes) == 3
    assert x.log().count("error push: Apple has taken no push") == 1


@with_clock
def test_connections_that_are_of_no_use(certs, start_xapsd, later):
    """Each gives its SETTINGS and ends: as good as none."""
    def script(c):
        c.open()
        c.hang_up()

    with RawServer(server_context(certs.server)) as server:
        server.plan(*[script] * 1000)
        x = start_xapsd(apple=server, identity=certificate)
        x.register("alice", ACCOUNT, TOKEN)
        x.notify("alice")
        # of a push that was sent on one of them it is known since when
        x.wait_log("no answer from Apple: will be sent again")
        x.wait_until(lambda: server.accepted > 4, "connections")
        later(370)
        for _ in range(20):     # whether one is open at the moment or not
            code, text = asked(x)
            assert code == 503, text
            assert re.match("(not connected to Apple|Apple has taken no push) "
                            "for [67] min", text)
        with server._change:
            server._planned.clear()
        x.wait_until(lambda: asked(x) == (200, "ok"), "health")


def takes_no_request(c):
    c.open((MAX_CONCURRENT_STREAMS, 0))
    c.serve()


def refuses_each(c):
    c.open()
    while True:
        c.send(reset(c.request().id, REFUSED_STREAM))


def goes_away(c):
    c.open()
    c.request()
    c.send(goaway(0))
    c.hang_up()


@with_clock
@pytest.mark.parametrize("script, why, again", [
    (takes_no_request, "takes no request",
     r"takes no request(.|\n)* settings -> up"),
    # which of their ends is the last: a leap of the clock makes others
    (goes_away, r"\w", "settings -> up"),
    (refuses_each, r"\w", "paused -> ready")])
def test_it_says_why(certs, start_xapsd, later, script, why, again):
    """Also of connections that come up and are of no use."""
    with RawServer(server_context(certs.server)) as server:
        server.plan(*[script] * 2000)
        x = start_xapsd(apple=server, identity=certificate,
                        apnsHost="127.0.0.1")
        x.register("alice", ACCOUNT, TOKEN)
        x.notify("alice")
        x.wait_log("settings -> up")
        for minute in range(1, 8):
            start = x.log_size()
            later(60 * minute)
            asked(x)            # wakes it: its timers sleep in real time
            x.wait_log(again, start=start)
        x.wait_until(lambda: asked(x)[0] == 503, "trouble")
        assert re.search(r"for \d+ min: .*" + why, asked(x)[1]), asked(x)
        with server._change:
            server._planned.clear()


@with_clock
def test_a_day_of_rest_is_no_trouble(start_xapsd, apple, later):
    """What was long ago does not count for the push of this moment."""
    x = start_xapsd(identity=certificate)
    x.register("alice", ACCOUNT, TOKEN)
    apple.wait_connected()
    apple.script(TOKEN, Answer(503, "ServiceUnavailable"))
    x.notify("alice")
    apple.wait_for(2)
    x.wait_until(lambda: x.status()["queue"] == 0, "delivery")
    later(86400)
    apple.hold()
    x.notify("alice")
    apple.wait_for(3)
    is_well(x)
    apple.release()


def test_credentials_refused(start_xapsd, apple):
    x = start_xapsd()
    x.register("alice", ACCOUNT, TOKEN)
    apple.script(TOKEN, Answer(403, "InvalidProviderToken"))
    x.notify("alice")
    x.wait_log("error push: Apple refuses our credentials")
    is_said_everywhere(x, "Apple refuses our credentials")
    code, text = asked(x, "/healthz/credentials")
    assert code == 503 and "403 InvalidProviderToken" in text


def test_paths(start_xapsd, apple):
    x = start_xapsd(tcp=True, httpUser="u", httpPassword="p")
    for path in ("/healthz", "/healthz?verbose", "/healthz/credentials"):
        assert x.request("GET", path, tcp=True).status == 200, path
        assert x.request("HEAD", path, tcp=True).status == 200, path
        assert x.request("POST", path, tcp=True).status == 405, path
    assert x.request("GET", "/healthz/else").status == 404


def test_draining_is_not_connected(start_xapsd, apple):
    x = start_xapsd()
    x.register("alice", ACCOUNT, TOKEN)
    apple.wait_connected()
    apple.hold()
    x.notify("alice")
    apple.wait_for(1)
    apple.mode = "hang"         # no other one comes
    apple.goaway()
    x.wait_log("up -> draining")
    assert x.status()["apns"] != "connected"
    assert x.status()["connected"] is False and value(x, "apns_connected") == 0
    apple.release()
    x.wait_until(lambda: x.status()["queue"] == 0, "the answer")


def test_suspended_now(start_xapsd, apple):
    """The count goes down again when the phone comes back, or is dropped."""
    x = start_xapsd()
    for user in ("alice", "bob"):
        x.register(user, ACCOUNT, TOKEN)
        apple.script(TOKEN, Answer(400, "BadDeviceToken"))
        x.notify(user)
        x.wait_log(user + ".*suspended until")
    assert x.status()["suspendedNow"] == 2
    assert value(x, "suspended_registrations") == 2
    assert "2 suspended" in x.run("status").stdout
    x.register("alice", ACCOUNT, TOKEN)
    assert x.status()["suspendedNow"] == 1
    x.run("forget", "bob")
    assert value(x, "suspended_registrations") == 0
    assert value(x, "registrations_suspended") == 2     # since start


# --- metrics ---

def test_metrics_by_their_own_parser(start_xapsd, apple):
    x = start_xapsd()
    text = metrics_text(x)
    families = parse(text)
    for f in families.values():
        assert f.documentation.endswith("."), f.name
        assert f.type in ("gauge", "counter", "histogram"), f.name
        assert f.name.startswith("xapsd_")
    assert text.count("# HELP ") == text.count("# TYPE ") == len(families)
    for line in re.findall(r"^# TYPE (\S+) counter$", text, re.M):
        assert line.endswith("_total")
    labels = families["xapsd_build_info"].samples[0].labels
    assert labels["version"] == x.status()["version"]
    assert labels == families["xapsd_info"].samples[0].labels
    assert "xapsd_last_push_success_timestamp_seconds" not in families


def test_last_success(start_xapsd, apple):
    x = start_xapsd()
    x.register("alice", ACCOUNT, TOKEN)
    assert re.search(r"^Last push +none since start$", x.run("status").stdout,
                     re.M)
    apple.script(TOKEN, Answer(410, "ExpiredToken"))
    x.notify("alice")
    x.wait_log("suspended until")
    assert x.status()["lastSuccess"] == 0
    x.register("alice", ACCOUNT, TOKEN)
    x.notify("alice")
    x.wait_until(lambda: x.status()["delivered"], "delivery")
    for when in (x.status()["lastSuccess"],
                 value(x, "last_push_success_timestamp_seconds")):
        assert abs(when - time.time()) < 60
    assert re.search(r"^Last push +taken by Apple \d+s ago$",
                     x.run("status").stdout, re.M)


def test_latency(start_xapsd, apple):
    x = start_xapsd()
    x.register("alice", ACCOUNT, TOKEN)
    x.register("bob", ACCOUNT, OTHER)
    apple.wait_connected()
    apple.script(OTHER, Answer(delay_s=0.6))
    took = []       # at most
    for n, user in enumerate(("alice", "bob"), 1):
        begun = time.monotonic()
        x.notify(user)
        x.wait_until(lambda: x.status()["delivered"] == n, "delivery")
        took.append(time.monotonic() - begun)
    samples = metrics(x)["xapsd_apns_answer_seconds"].samples
    buckets = [(float(s.labels["le"]), s.value) for s in samples
               if s.name.endswith("_bucket")]
    assert [le for le, _ in buckets] == [
        0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, float("inf")]
    assert sorted(n for _, n in buckets) == [n for _, n in buckets]
    for le, n in buckets:   # each counts when it surely was as fast
        assert sum(t <= le for t in took) <= n <= 1 + (le >= 0.6), (le, took)
    rest = {s.name.rpartition("_")[2]: s.value for s in samples[len(buckets):]}
    assert rest["count"] == 2 and 0.6 <= rest["sum"] <= sum(took) + 0.002


def test_expiry_under_both_names(start_xapsd, apple):
    x = start_xapsd(identity=certificate)
    when = value(x, "certificate_expiry_timestamp_seconds")
    assert 300 * 86400 < when - time.time() < 400 * 86400
    assert value(x, "certificate_expiry_seconds") == when
    old = metrics(x)["xapsd_certificate_expiry_seconds"]
    assert "Old name" in old.documentation and "0.3.0" in old.documentation
    assert x.status()["expires"] == when


def test_no_expiry_of_a_token_key(start_xapsd, apple):
    names = metrics(start_xapsd())
    assert not [n for n in names if "expiry" in n]
