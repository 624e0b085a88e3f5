"""A router's clock stands at some year until NTP sets it.  (libfaketime gives
the daemon a clock of the test's, without touching the monotonic one.)"""

import datetime
import glob
import os
import re
import time

import pytest

import certs as pki
from xapsd import certificate, token_key

ACCOUNT = "0715A1B2-C3D4-4E5F-8061-728394A5B6C7"
TOKEN = "29180123" * 8
LIBRARY = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")

pytestmark = [
    pytest.mark.skipif(not LIBRARY, reason="libfaketime is not here"),
    # It and the sanitizers do not get along.
    pytest.mark.skipif("asan" in os.environ.get("XAPSD", ""),
                       reason="not under AddressSanitizer")]


@pytest.fixture
def clock(workdir, monkeypatch):
    """Sets the daemon's wall clock, also while it runs: clock("2020-01-01")."""
    path = workdir / "clock"

    def set_to(date):
        aside = workdir / "clock.new"
        aside.write_text(date + " 00:00:00\n" if date else "+0\n")
        os.rename(aside, path)
    monkeypatch.setenv("LD_PRELOAD", LIBRARY[0])
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(path))
    monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    return set_to


def test_token_key_waits_for_the_clock(start_xapsd, apple, clock):
    clock("2020-01-01")
    xapsd = start_xapsd()
    apple.wait_connected()      # the server's certificate is not judged
    xapsd.register("alice", ACCOUNT, TOKEN)
    assert xapsd.notify("alice").status == 200
    xapsd.wait_log("error push: .*clock")
    assert xapsd.request("GET", "/healthz").status == 503
    assert apple.pushes == []
    clock(None)
    apple.wait_for(1, timeout=30)
    assert xapsd.log().count("error push: ") == 1     # said once
    xapsd.wait_log("delivered to Apple")
    assert xapsd.request("GET", "/healthz").status == 200
    assert len(xapsd.records()) == 1    # not expired by the jump


def test_certificate_is_not_judged(start_xapsd, apple, clock):
    clock("2020-01-01")
    xapsd = start_xapsd(identity=certificate)
    apple.wait_connected()
    assert xapsd.request("GET", "/healthz").status == 200
    assert "expire" not in xapsd.log()


def test_a_clock_that_runs_ahead(start_xapsd, apple, certs, clock):
    """Certificates are judged then; the message names the clock."""
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
