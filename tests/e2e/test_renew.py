"""Credentials over time: warned of, reloaded, never lost."""

import os
import shutil
import signal

import pytest

import certs as pki
from apple import Answer
ACCOUNT = "0715A1B2-C3D4-4E5F-8061-728394A5B6C7"
TOKEN = "29180123" * 8


def issue(certs, path, **validity):
    key, cert = certs.issuer.client(certs.cert_topic, **validity)
    put(path, pki.cert_pem(cert) + pki.key_pem(key))


def put(path, data):
    """As an editor or certbot does: aside, then renamed."""
    aside = str(path) + ".tmp"
    with open(aside, "wb") as out:
        out.write(data)
    os.rename(aside, path)


@pytest.fixture
def mine(workdir, certs):
    """A certificate that the test may replace."""
    path = workdir / "mine.pem"
    shutil.copy(certs.client, path)
    return path


def pushed(xapsd, apple, n):
    assert xapsd.notify("alice").status == 200
    apple.wait_for(n)


@pytest.mark.parametrize("how", ["rename", "rewrite", "SIGHUP"])
def test_new_certificate_without_restart(start_xapsd, apple, certs, mine, how):
    xapsd = start_xapsd(identity={"certificateFilePem": str(mine)})
    xapsd.register("alice", ACCOUNT, TOKEN)
    pushed(xapsd, apple, 1)
    start = xapsd.log_size()
    if how == "rename":
        issue(certs, mine)
    else:
        key, cert = certs.issuer.client(certs.cert_topic)
        mine.write_bytes(pki.cert_pem(cert) + pki.key_pem(key))
    if how == "SIGHUP":
        xapsd.process.send_signal(signal.SIGHUP)
    xapsd.wait_log("Certificate valid until", start=start)
    apple.wait(lambda: apple.handshakes >= 2, "a new connection")
    pushed(xapsd, apple, 2)
    assert len(xapsd.records()) == 1


def test_bad_replacement_is_refused(start_xapsd, apple, certs, mine):
    xapsd = start_xapsd(identity={"certificateFilePem": str(mine)})
    xapsd.register("alice", ACCOUNT, TOKEN)
    pushed(xapsd, apple, 1)
    put(mine, b"no certificate\n")
    xapsd.wait_log(r"mine\.pem.*the old credentials stay")
    pushed(xapsd, apple, 2)
    assert apple.handshakes == 1
    assert xapsd.request("GET", "/healthz").status == 200
    start = xapsd.log_size()
    issue(certs, mine)      # mended
    xapsd.wait_log("Certificate valid until", start=start)
    pushed(xapsd, apple, 3)


def test_no_push_is_lost_over_a_reload(start_xapsd, apple, certs, mine):
    """Requests under way are answered on the old connection."""
    xapsd = start_xapsd(identity={"certificateFilePem": str(mine)})
    for n in range(20):
        xapsd.register("u%d" % n, ACCOUNT, "%064x" % (n + 1))
    apple.wait_connected()
    apple.hold()
    for n in range(10):
        assert xapsd.notify("u%d" % n).status == 200
    apple.wait_for(10)
    start = xapsd.log_size()
    issue(certs, mine)
    xapsd.wait_log("Certificate valid until", start=start)
    for n in range(10, 20):
        assert xapsd.notify("u%d" % n).status == 200
    apple.wait_for(20)
    apple.release()
    assert len({p.token for p in apple.pushes}) == 20
    xapsd.notify("u0")
    assert len(apple.wait_for(21)) == 21      # none was sent twice


def test_swap_ends_a_refusal(start_xapsd, apple, certs, mine):
    """Apple refuses the old one; the new one is tried at once, and no
    registration is lost meanwhile."""
    xapsd = start_xapsd(identity={"certificateFilePem": str(mine)})
    xapsd.register("alice", ACCOUNT, TOKEN)
    apple.script(None, Answer(403, "BadCertificate"))
    assert xapsd.notify("alice").status == 200
    xapsd.wait_log("Apple refuses our credentials")
    assert xapsd.request("GET", "/healthz").status == 503
    assert len(xapsd.records()) == 1
    issue(certs, mine)
    apple.wait_for(2)
    apple.wait(lambda: xapsd.request("GET", "/healthz").status == 200,
               "health")


def test_new_token_key(start_xapsd, apple, certs, workdir):
    path = workdir / "mine.p8"
    put(path, pki.key_pem(pki.ec_key()))    # not the one that Apple knows
    xapsd = start_xapsd(keyFileP8=str(path))
    xapsd.register("alice", ACCOUNT, TOKEN)
    assert xapsd.notify("alice").status == 200
    xapsd.wait_log("403 InvalidProviderToken.*keyFileKeyId")
    shutil.copy(certs.p8, str(path) + ".new")
    os.rename(str(path) + ".new", path)
    apple.wait(lambda: not apple.pushes[-1].problem,
               "the push with the new key")
    apple.pushes[0].problem = None      # the test's doing


@pytest.mark.parametrize("days, words", [
    (29, "in 29 days"), (13, "in 13 days"), (6, "in 6 days"),
    (2, "in 2 days"), (0.5, "in 1 days")])
def test_warned_before_it_expires(start_xapsd, certs, workdir, days, words):
    issue(certs, workdir / "c.pem", days=days)
    xapsd = start_xapsd(identity={"certificateFilePem": str(workdir / "c.pem")})
    xapsd.wait_log(r"warn .*expires on .*" + words)


def test_not_warned_early(start_xapsd, certs, workdir):
    issue(certs, workdir / "c.pem", days=40)
    xapsd = start_xapsd(identity={"certificateFilePem": str(workdir / "c.pem")})
    xapsd.wait_log("Certificate valid until")
    assert "expires on" not in xapsd.log()


def test_expired_is_said_and_shown(start_xapsd, apple, certs, workdir):
    issue(certs, workdir / "c.pem", days=-1, age_days=3)
    xapsd = start_xapsd(identity={"certificateFilePem": str(workdir / "c.pem")})
    xapsd.wait_log("no pushes: the certificate expired on")
    reply = xapsd.request("GET", "/healthz")
    assert reply.status == 503 and "expired" in str(reply.body)


def test_retired_apple_id(start_xapsd):
    xapsd = start_xapsd(appleId="a@example.org",
                        appleIdHashedPassword="0" * 64)
    xapsd.wait_log("Apple closed this log-in in October 2024.*keyFileP8")
