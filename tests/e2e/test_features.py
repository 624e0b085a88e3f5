"""What a build of `make FEATURES=...` has, and what it says of the rest.  The
executable under test may be any of them: `make check-features` runs this with
none of the features."""

import json
import os
import pathlib
import re
import signal
import subprocess

import pytest

from phones import ACCOUNT, TOKEN
from test_http import raw
from xapsd import ROOT, Xapsd, executable

GO = '{"Users":{"alice":{"Accounts":{"%s":{"DeviceToken":"%s",' \
    '"Mailboxes":["INBOX"]}}}}}' % (ACCOUNT, TOKEN)
LACK = "this xapsd was built without %s: "


def known():
    text = (ROOT / "features.mk").read_text()
    return re.search(r"^KNOWN_FEATURES = ((?:.*\\\n)*.*)", text, re.M)[1] \
        .replace("\\\n", "").split()


def built():
    out = subprocess.run([executable(), "--version"], capture_output=True,
                         text=True, check=True).stdout
    names = re.search(r"^features: (.*)$", out, re.M)[1]
    return [] if names == "none" else names.split()


def needs_none(feature):
    if feature in built():
        pytest.skip("this build has it")


def test_apple_is_always_there(xapsd, apple):
    """Register, notify, push: over the Unix socket, with any features."""
    xapsd.register("alice", ACCOUNT, TOKEN, ["INBOX"])
    assert xapsd.notify("alice", "INBOX").status == 200
    assert apple.wait_for(1)[0].token == TOKEN


def test_says_what_it_has(xapsd):
    assert set(built()) <= set(known())
    done = xapsd.run("status", "--json")
    assert json.loads(done.stdout)["features"].split() == built()


KEYS = [("p12", "certificateFileP12"), ("tls-listener", "tlsListenAddr"),
        ("tls-listener", "tlsCertfile"), ("tls-listener", "tlsKeyfile"),
        ("brands", "brandsDir"), ("hooks", "hooksDir"),
        ("webpush", "vapidSubject"), ("fcm", "fcmServiceAccount"),
        ("fcm", "fcmUrl"), ("deltachat", "deltachatUrl"),
        ("proxy", "apnsProxy")]


@pytest.mark.parametrize("feature, key", KEYS)
def test_key_of_a_missing_feature(workdir, certs, feature, key):
    """The start, `check` and the command line name file, line and key."""
    needs_none(feature)
    x = Xapsd(workdir, certs)
    x.write_config()
    with open(x.config_path, "a") as f:
        f.write("%s: x\n" % key)
    n = len(x.config_path.read_text().splitlines())
    said = "%s:%d: %s: %s" % (x.config_path, n, key, LACK % feature)
    for command in [], ["check"], ["status"]:
        done = subprocess.run(x.command(*command), capture_output=True,
                              text=True)
        assert done.returncode == 78, done
        assert said in done.stderr, done
    x.write_config()
    done = subprocess.run(x.command("--" + key, "x"), capture_output=True,
                          text=True)
    assert done.returncode == 78
    assert "option --%s: %s" % (key, LACK % feature) in done.stderr


@pytest.mark.parametrize("feature, key", KEYS)
def test_reload_keeps_the_old(xapsd, feature, key):
    needs_none(feature)
    xapsd.config[key] = "x"
    xapsd.write_config()
    xapsd.process.send_signal(signal.SIGHUP)
    xapsd.wait_log(key + ": " + re.escape(LACK % feature) + ".*not used")


def test_encrypted_key(workdir, certs):
    needs_none("p12")
    key = workdir / "key.pem"
    subprocess.run(["openssl", "pkcs8", "-topk8", "-v2", "aes256", "-passout",
                    "pass:x", "-in", certs.client, "-out", key], check=True)
    x = Xapsd(workdir, certs, identity={
        "certificateFilePem": certs.client, "certificateFilePemKey": key,
        "certificatePassword": "x"})
    x.write_config()
    done = subprocess.run(x.command("check", "--offline"),
                          capture_output=True, text=True)
    assert done.returncode == 1
    assert "holds an encrypted key: " + LACK % "p12" in done.stdout, done


def test_line_protocol(xapsd):
    """The older plugin gets an answer that it logs, not a hang-up."""
    needs_none("line")
    with raw(xapsd) as sock, sock.makefile("rwb") as f:
        for _ in range(2):
            f.write(b'NOTIFY dovecot-username="a"\tdovecot-mailbox="INBOX"\n')
            f.flush()
            assert f.readline().decode().startswith(
                "ERROR " + LACK % "line")


@pytest.mark.parametrize("text", [GO, GO + "\n", "\n " + GO, '{"Users":{}}',
                                  '{\n  "users": null\n}\n', "{}"])
def test_database_of_the_go_daemon(workdir, certs, text):
    """Start, check, list and import refuse it; not a byte is changed."""
    needs_none("go-import")
    x = Xapsd(workdir, certs)
    x.database.write_text(text)
    x.write_config()
    for command in [], ["check", "--offline"], ["list"], \
            ["import", str(x.database)]:
        done = subprocess.run(x.command(*command), capture_output=True,
                              text=True, timeout=60)
        assert done.returncode == 1, done
        assert "looks like the Go daemon's database, and " + \
            LACK % "go-import" in done.stdout + done.stderr, done
        assert x.database.read_text() == text
    assert sorted(p.name for p in workdir.glob("database*")) == [
        "database.json"]


def test_tls_1_2_alone(xapsd):
    needs_none("tls13")
    said = subprocess.run([executable(), "--version"], capture_output=True,
                          text=True, check=True).stdout
    assert "\nTLS 1.2; " in said
    done = xapsd.run("check")
    assert done.returncode == 0, done
    assert ", TLSv1.2, HTTP/2" in done.stdout


def test_visits(xapsd):
    """They are taken, and not kept."""
    needs_none("doctor")
    needs_none("page")
    xapsd.register("alice", ACCOUNT, TOKEN, ["INBOX"])
    for user, status in ("alice", 204), ("bob", 404):
        reply = xapsd.request("POST", "/seen", {"Username": user,
                                                "Client": "iOS 26.1"})
        assert reply.status == status
    assert "day" not in xapsd.status() and xapsd.status()["visits"] == 0
    assert "Phones" not in xapsd.run("status").stdout
    assert "alice" in xapsd.run("list").stdout


def test_page(xapsd):
    needs_none("page")
    reply = xapsd.request("GET", "/")
    assert reply.status == 404
    assert LACK % "page" in str(reply.body)


@pytest.mark.parametrize("feature, command", [
    ("go-import", ["export"]), ("doctor", ["doctor", "alice"]),
    ("doctor", ["doctor", "--json", "alice"]), ("csr", ["csr", "push.csr"])])
def test_command(xapsd, workdir, feature, command):
    needs_none(feature)
    before = sorted(os.listdir(workdir))
    done = xapsd.run(*command)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "xapsd: %s: %s" % (command[0], LACK % feature))
    assert done.stdout == ""
    assert sorted(os.listdir(workdir)) == before


def test_how_it_is_started(tmp_path):
    """A router has no systemctl."""
    conf = tmp_path / "xapsd.yaml"
    conf.write_text("socketPath: %s/none\n" % tmp_path)
    said = subprocess.run([executable(), "-c", conf, "status"],
                          capture_output=True, text=True).stderr
    assert "start it first" in said
    assert ("systemctl" in said) == ("systemd" in built())


def test_systemd(workdir, certs):
    """Who starts it under systemd learns why the unit fails."""
    needs_none("systemd")
    x = Xapsd(workdir, certs)
    x.write_config()
    for variable in "NOTIFY_SOCKET", "LISTEN_FDS":
        with open(x.log_path, "wb") as log:
            process = subprocess.Popen(
                x.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, variable: "1"})
        try:
            x.wait_until(lambda: "started" in x.log(), "start")
            assert "systemd: " + LACK % "systemd" in x.log()
        finally:
            process.terminate()
            assert process.wait(timeout=30) == 0


# --- the Makefile ---

def make(*args):
    return subprocess.run(["make", "-s", "-n", *args], cwd=ROOT, text=True,
                          capture_output=True,
                          env={"PATH": os.environ["PATH"]})


def flags(features):
    done = make("BUILD=nowhere", "FEATURES=" + features,
                "nowhere/features.o")
    assert done.returncode == 0, done
    return re.search(r'-DXAPSD_FEATURES=\'"(.*?)"\'', done.stdout)[1].split()


def test_choosing():
    everything = known()
    one, two = everything[0], everything[1]
    assert flags("all") == everything
    assert flags("") == flags("none") == []
    assert flags(two + " " + one) == [one, two]
    assert flags(one + "," + two) == flags(" %s,  %s, " % (one, two))
    assert flags("all -" + one) == [f for f in everything if f != one]
    assert flags("-" + one) == flags("all -" + one)
    assert flags("none -" + one) == flags(one + " -" + one) == []


@pytest.mark.parametrize("features", ["p21", "p12 p21", "all,-p21", "P12"])
def test_unknown_feature(features):
    for target in "all", "static", "check":
        done = make("FEATURES=" + features, target)
        assert done.returncode != 0
        assert re.search(r"FEATURES: .*p21|P12", done.stderr)
        for name in known():
            assert name in done.stderr


def test_environment_does_not_choose():
    """Gentoo's portage has a variable of this name."""
    done = subprocess.run(
        ["make", "-s", "-n", "BUILD=nowhere", "nowhere/features.o"], cwd=ROOT,
        text=True, capture_output=True,
        env={"PATH": os.environ["PATH"], "FEATURES": "sandbox"})
    assert done.returncode == 0, done
    assert " ".join(known()) in done.stdout


def test_each_has_its_place():
    """Files, stub, and words for the user."""
    makefile = (ROOT / "features.mk").read_text().replace("\\\n", " ")
    rows = (ROOT / "features.c").read_text()
    for name in known():
        assert "#ifdef XAPSD_WITHOUT_%s\n" % \
            name.upper().replace("-", "_") in rows
        assert 'ROW("%s",' % name in rows
        for kind in "files", "stub":
            found = re.search(r"^%s\.%s = (.*)" % (name, kind),
                              makefile, re.M)
            assert found, (name, kind)
            for path in found[1].split():
                assert pathlib.Path(ROOT, path).exists(), path
