"""A router's clock is at some year until NTP sets it.  (libfaketime gives
the daemon a clock of the test's, without touching the monotonic one.)"""

import datetime
import glob
import json
import os
import re
import signal
import time

import pytest

import certs as pki
from phones import ACCOUNT, TOKEN
from xapsd import Xapsd, certificate, token_key

LIBRARY = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")

pytestmark = [
    pytest.mark.skipif(not LIBRARY, reason="libfaketime is not here"),
    # It and the sanitizers do not get along.
    pytest.mark.skipif("asan" in os.environ.get("XAPSD", ""),
                       reason="not under AddressSanitizer")]


def set_clock(path, text):
    """At once, or not at all: a daemon may read it at any moment."""
    aside = path.with_suffix(".new")
    aside.write_text(text + "\n")
    os.rename(aside, path)


def fake_clocks(monkeypatch, path):
    """Of all daemons from now on, by what set_clock() says."""
    monkeypatch.setenv("LD_PRELOAD", LIBRARY[0])
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(path))
    monkeypatch.setenv("FAKETIME_NO_CACHE", "1")


@pytest.fixture
def clock(workdir, monkeypatch):
    """Sets the daemon's wall clock, also while it runs: clock("2020-01-01"),
    or clock("+60d")."""
    path = workdir / "clock"

    def set_to(date):
        set_clock(path, "+0" if not date else date
                  if date[0] in "+-" else date + " 00:00:00")
    fake_clocks(monkeypatch, path)
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    return set_to


@pytest.fixture
def all_clocks(clock, monkeypatch):
    """The monotonic one goes with it: time that really passes.  It leaps while
    the daemon sleeps: what is under way would time out, and who reads both
    clocks just then would see the wall clock alone leap."""
    monkeypatch.delenv("FAKETIME_DONT_FAKE_MONOTONIC")

    def leap(date):
        for daemon in list(Xapsd.everyone):
            if daemon.alive():
                daemon.wait_still()
        clock(date)
    return leap


def look(daemon):
    """What the daemon does once a day."""
    start = daemon.log_size()
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_log("read again", start=start)


def users(daemon):
    return {r["user"] for r in json.loads(
        daemon.run("list", "--json").stdout)}


def test_token_key_waits_for_the_clock(start_xapsd, apple, clock):
    clock("2020-01-01")
    xapsd = start_xapsd()
    apple.wait_connected()      # the server's certificate is not checked
    xapsd.register("alice", ACCOUNT, TOKEN)
    assert xapsd.notify("alice").status == 200
    xapsd.wait_log("error push: .*clock")
    assert xapsd.request("GET", "/healthz").status == 503
    assert apple.pushes == []
    clock(None)
    apple.wait_for(1, timeout=60)
    assert xapsd.log().count("error push: ") == 1     # said once
    xapsd.wait_log("delivered to Apple")
    assert xapsd.request("GET", "/healthz").status == 200
    assert len(xapsd.records()) == 1    # not expired by the jump


def test_certificate_dates_are_not_checked(start_xapsd, apple, clock):
    clock("2020-01-01")
    xapsd = start_xapsd(identity=certificate)
    apple.wait_connected()
    assert xapsd.request("GET", "/healthz").status == 200
    assert "expire" not in xapsd.log()


def test_a_clock_that_runs_ahead(start_xapsd, apple, certs, clock):
    """Certificates are checked then; the message names the clock."""
    clock("2040-01-01")
    xapsd = start_xapsd(identity=token_key)
    xapsd.wait_log("warn  apns: .*expired.*clock")
    clock(None)
    apple.wait_connected()
    xapsd.register("alice", ACCOUNT, TOKEN)
    assert xapsd.notify("alice").status == 200
    apple.wait_for(1)
    assert time.time() - xapsd.records()[0]["time"] < 60


def test_warned_while_it_runs(start_xapsd, certs, workdir, clock):
    """The daily look, brought near by a short registrationTtl."""
    key, cert = certs.issuer.client(certs.cert_topic, days=40)
    pki.write(workdir / "c.pem", pki.cert_pem(cert), pki.key_pem(key))
    clock(None)
    xapsd = start_xapsd(identity={"certificateFilePem": str(workdir / "c.pem")},
                        registrationTtl="2s")
    xapsd.wait_log("Certificate valid until")
    for ahead in (12, 39):
        date = datetime.date.today() + datetime.timedelta(days=ahead)
        start = xapsd.log_size()
        clock(date.isoformat())
        xapsd.wait_log(r"warn .*expires on", start=start)
    # Not every day again.
    assert len(re.findall("expires on", xapsd.log())) == 2


# --- registrations ---

def test_expiry(start_xapsd, all_clocks):
    """When time really passes, and not within three days of a start."""
    all_clocks(None)
    xapsd = start_xapsd(registrationTtl="10d")
    xapsd.register("alice", ACCOUNT, TOKEN)
    all_clocks("+9d")
    xapsd.register("bob", ACCOUNT, TOKEN)
    look(xapsd)
    assert users(xapsd) == {"alice", "bob"}
    all_clocks("+11d")
    look(xapsd)
    xapsd.wait_log("1 registration was not renewed")
    assert users(xapsd) == {"bob"}
    xapsd.stop()
    all_clocks("+50d")      # off for long: nobody could be told anything
    xapsd.start()
    look(xapsd)
    all_clocks("+52d")
    look(xapsd)
    assert users(xapsd) == {"bob"}
    all_clocks("+54d")
    look(xapsd)
    assert users(xapsd) == set()


def test_shorter_ttl(start_xapsd, all_clocks):
    all_clocks(None)
    xapsd = start_xapsd()
    xapsd.register("alice", ACCOUNT, TOKEN)
    all_clocks("+4d")
    look(xapsd)
    assert users(xapsd) == {"alice"}
    xapsd.config["registrationTtl"] = "3d"
    xapsd.write_config()
    look(xapsd)
    assert users(xapsd) == set()


STATES = ["1970-01-02", "2020-01-01", None, "+60d", None, "-1d", "+60d", "-1d",
          None, "+3600", "-3600", "+10y", "1970-01-02", None]


@pytest.mark.parametrize("restart", [False, True])
def test_no_jump_drops(start_xapsd, clock, restart):
    """Through all states of a clock, with registrations in each."""
    clock(None)
    xapsd = start_xapsd(loglevel="info", registrationTtl="5d")
    xapsd.register("before", ACCOUNT, TOKEN)
    want = {"before"}
    for i, state in enumerate(STATES):
        if restart and i % 2:
            xapsd.stop() if i % 4 == 1 else xapsd.kill()
            clock(state)
            xapsd.start()
        else:
            clock(state)
        look(xapsd)
        assert users(xapsd) == want, state
        want.add("u%d" % i)
        xapsd.register("u%d" % i, ACCOUNT, TOKEN)
        xapsd.register("always", ACCOUNT, TOKEN)
        want.add("always")
        look(xapsd)
        assert users(xapsd) == want, state
        for user in want:
            assert xapsd.notify(user, "Other").status == 204
    assert "not renewed" not in xapsd.log()
    times = {r["user"]: r["time"] for r in json.loads(
        xapsd.run("list", "--json").stdout)}
    assert abs(times["always"] - time.time()) < 100


def test_registered_before_the_clock_is_set(start_xapsd, clock):
    """A router boots, its phones come back in that minute."""
    clock(None)
    xapsd = start_xapsd()
    xapsd.register("known", ACCOUNT, TOKEN)
    begun = xapsd.records()[0]["time"]
    xapsd.stop()
    clock("1970-01-02")
    xapsd.start()
    xapsd.register("known", ACCOUNT, TOKEN)
    xapsd.register("fresh", ACCOUNT, TOKEN)
    times = {r["user"]: r["time"] for r in xapsd.records()}
    assert times == {"known": begun, "fresh": 0}
    assert re.search("^fresh .* - +- +active", xapsd.run("list").stdout, re.M)
    xapsd.kill()        # and the power goes
    xapsd.start()
    assert users(xapsd) == {"known", "fresh"}
    clock(None)
    xapsd.register("third", ACCOUNT, TOKEN)     # the first that happens
    times = {r["user"]: r["time"] for r in xapsd.records()}
    assert abs(times["fresh"] - time.time()) < 60
    assert abs(times["third"] - time.time()) < 60


def test_written_under_a_clock_ahead(start_xapsd, clock, all_clocks):
    """Neither for ever nor gone at once."""
    all_clocks("+60d")
    xapsd = start_xapsd(registrationTtl="10d")
    xapsd.register("alice", ACCOUNT, TOKEN)
    xapsd.stop()
    all_clocks(None)
    xapsd.start()
    look(xapsd)
    assert users(xapsd) == {"alice"}
    all_clocks("+4d")
    look(xapsd)
    assert users(xapsd) == {"alice"}
    assert abs(xapsd.records()[-1]["time"] - time.time() - 4 * 86400) < 100
    all_clocks("+15d")
    look(xapsd)
    assert users(xapsd) == set()


def test_account_set_up_again(start_xapsd, all_clocks):
    all_clocks(None)
    xapsd = start_xapsd(loglevel="info")
    xapsd.register("alice", "OLD", TOKEN)
    xapsd.register("alice", "TWIN", TOKEN)
    for day in range(1, 7):
        all_clocks("+%dd" % day)
        if day == 1:
            xapsd.register("alice", "NEW", TOKEN)
        xapsd.register("alice", "TWIN", TOKEN)
        xapsd.register("alice", "NEW", TOKEN)
        look(xapsd)
        accounts = {r["account"] for r in json.loads(
            xapsd.run("list", "--json").stdout)}
        assert accounts == {"TWIN", "NEW"} | ({"OLD"} if day < 4 else set())


def test_short_ttl_outlives_restarts(start_xapsd, all_clocks):
    """Renewals every two hours, a registrationTtl of six, restarts between."""
    all_clocks(None)
    xapsd = start_xapsd(registrationTtl="6h", loglevel="info")
    xapsd.register("alice", ACCOUNT, TOKEN)
    for hour in range(2, 16, 2):
        all_clocks("+%dh" % hour)
        xapsd.register("alice", ACCOUNT, TOKEN)
        assert abs(xapsd.records()[-1]["time"] - time.time() - hour * 3600) \
            < 100
        xapsd.kill()
        xapsd.start()
