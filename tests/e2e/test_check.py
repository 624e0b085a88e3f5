"""`xapsd check` in words: one line a step, and what to do about the one that
failed."""

import contextlib
import getpass
import hashlib
import http.server
import os
import re
import shutil
import ssl
import subprocess
import threading

import pytest

import certs as pki
import netns
from apple import Answer
from ports import free_port
from xapsd import ROOT, Xapsd, certificate, executable, token_key


@pytest.fixture
def check(workdir, certs):
    """Runs it with the keys given; returns (status, lines)."""
    def run(apple=None, identity=token_key, **config):
        config.setdefault("pushTimeout", "60s")
        # Root would look as the user xapsd, if this machine has one.
        config.setdefault("user", getpass.getuser())
        x = Xapsd(workdir, certs, apple=apple, identity=identity, **config)
        done = x.run("check")
        return done.returncode, done.stdout.splitlines()
    return run


def failed(result, step, *words):
    """It ended there, with a sentence that has these words."""
    status, lines = result
    assert status == 1, lines
    assert lines[-1].split()[:2] == [step, "FAILED"], lines
    for word in words:
        assert word in lines[-1], lines
    assert all(line.split()[1] == "ok" for line in lines[:-1]), lines


def test_all_well(check, apple):
    status, lines = check(apple)
    assert status == 0, lines
    steps = [line.split()[:2] for line in lines]
    assert steps == [[s, "ok"] for s in
                     ("configuration", "credentials", "listeners", "database",
                      "connection", "Apple")]
    assert "token key for topic com.apple.mobilemail.push" in lines[1]
    assert "TLSv1." in lines[4] and "HTTP/2" in lines[4]


def test_as_readme_shows_it(check, apple):
    """But for names, addresses and dates."""
    shown, = re.findall(r"(?:^    (?:configuration|credentials|listeners|"
                        r"database|connection|Apple) .*\n)+",
                        (ROOT / "README.md").read_text(), re.M)
    status, lines = check(apple, certificate, port=0)
    assert status == 0, lines

    def in_general(line):
        line = re.sub(r", as user xapsd|, which the start will make|"
                      r", 0 registrations", "", line)
        line = re.sub(r"for topic \S+|\d{4}-\d\d-\d\d|TLSv1\.\d|"
                      r"\S+ \(\S+ port \d+\)", "*", line)
        return re.sub(r"/\S*", "/", line).strip()

    assert [in_general(line) for line in lines] == [
        in_general(line) for line in shown.splitlines()]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another")
def test_root_looks_as_the_daemon_user(workdir, certs, apple):
    def check():
        done = x.run("check")
        return done.returncode, done.stdout.splitlines()

    for path in (certs.p8, certs.ca):
        shutil.copy(path, workdir)
    key = workdir / os.path.basename(certs.p8)
    x = Xapsd(workdir, certs, apple=apple, user="nobody", keyFileP8=key.name,
              apnsCaFile=os.path.basename(certs.ca))
    x.write_config()
    workdir.chmod(0o755)
    x.config_path.chmod(0o600)
    key.chmod(0o600)
    failed(check(), "configuration", "the user nobody may not read it")
    x.config_path.chmod(0o644)
    failed(check(), "credentials", "user nobody may not read", "chown nobody",
           "chmod 600", key.name)
    key.chmod(0o644)
    (workdir / x.config["apnsCaFile"]).chmod(0o644)
    failed(check(), "database", "cannot write to the folder", str(workdir))
    shutil.chown(workdir, "nobody")
    status, lines = check()
    assert status == 0, lines
    assert lines[0].endswith("xapsd.yaml, as user nobody")
    assert not x.database.exists()      # nothing is left
    x.database.touch(0o600)
    failed(check(), "database", "may not read and write")


def test_certificate(check, apple, certs):
    status, lines = check(apple, certificate)
    assert status == 0, lines
    assert certs.cert_topic in lines[1] and "valid until 20" in lines[1]


def test_unknown_token_is_what_apple_says(check, apple):
    apple.script(None, Answer(400, "BadDeviceToken"))
    status, lines = check(apple)
    assert status == 0, lines


@pytest.mark.parametrize("answer, words", [
    ((403, "InvalidProviderToken"), ["403 InvalidProviderToken",
                                     "keyFileTeamId"]),
    ((400, "TopicDisallowed"), ["keyFileTopic"]),
    ((403, "BadCertificateEnvironment"), ["apnsEnvironment"]),
    ((403, "ExpiredProviderToken"), ["clock"]),
    ((503, "ServiceUnavailable"), ["503"]),
])
def test_apple_refuses(check, apple, answer, words):
    apple.script(None, Answer(*answer))
    failed(check(apple), "Apple", *words)


def test_wrong_key_id(check, apple):
    """The stand-in judges the JWT as Apple does."""
    result = check(apple, keyFileKeyId="ZZZZZ99999")
    failed(result, "Apple", "403")
    apple.pushes[0].problem = None      # the test's doing


def test_no_credentials(check, apple):
    failed(check(apple, {}), "credentials", "keyFileP8")


def test_expired_certificate(check, apple, certs, workdir):
    key, cert = certs.issuer.client(certs.cert_topic, days=-1, age_days=3)
    pki.write(workdir / "old.pem", pki.cert_pem(cert), pki.key_pem(key))
    failed(check(apple, {"certificateFilePem": "old.pem"}), "credentials",
           "expired on")


def test_tls_listener(check, apple, certs):
    status, lines = check(apple, tlsListenAddr="127.0.0.1",
                          tlsCertfile=certs.server, tlsKeyfile=certs.server)
    assert status == 0, lines
    assert [line[:22].split("  ")[0] for line in lines] == [
        "configuration", "TLS listener", "credentials", "listeners", "database",
        "connection", "Apple"]
    assert "ok      certificate, valid until 2" in lines[1]


def test_expired_tls_listener(check, apple, certs, workdir):
    key, cert = certs.issuer.client("none", days=-1, age_days=3)
    old = workdir / "old.pem"
    pki.write(old, pki.cert_pem(cert), pki.key_pem(key))
    status, lines = check(apple, tlsListenAddr="127.0.0.1", tlsCertfile=old,
                          tlsKeyfile=old)
    assert status == 1 and len(lines) == 2, lines
    assert lines[1].startswith("TLS listener   FAILED  the certificate "
                               "expired on "), lines


def make_p12(certs, path, password):
    subprocess.run(
        ["openssl", "pkcs12", "-export", "-in", certs.client_cert,
         "-inkey", certs.client_key, "-out", str(path),
         "-passout", "pass:" + password], check=True)


def test_p12(check, apple, certs, workdir):
    make_p12(certs, workdir / "push.p12", "opensesame")
    status, lines = check(apple, {"certificateFileP12": "push.p12",
                                  "certificatePassword": "opensesame"})
    if "mbedTLS 2.28" in version(workdir, certs) and status == 1:
        pytest.skip("this mbedTLS cannot decrypt it: " + lines[-1])
    assert status == 0, lines


def version(workdir, certs):
    return Xapsd(workdir, certs).run("--version").stdout


def test_wrong_p12_password(check, apple, certs, workdir):
    make_p12(certs, workdir / "push.p12", "opensesame")
    failed(check(apple, {"certificateFileP12": "push.p12",
                         "certificatePassword": "nonsense"}),
           "credentials", "push.p12", "certificatePassword is wrong",
           "'single' quotes")


def test_missing_file(check, apple):
    failed(check(apple, keyFileP8="nowhere.p8"), "credentials",
           "nowhere.p8", "No such file")


def test_nobody_there(check):
    failed(check(None), "connection", "refused")


def test_unknown_host(check):
    failed(check(None, apnsHost="no-such-host.invalid"), "connection",
           "cannot find the address of no-such-host.invalid")


def test_no_route(workdir, certs):
    """In a network namespace of its own, which has no way out at all."""
    x = Xapsd(workdir, certs, apnsHost="192.0.2.1")
    x.write_config()
    done = subprocess.run([*netns.alone("-n"), *x.command("check")],
                          capture_output=True, text=True, timeout=60)
    failed((done.returncode, done.stdout.splitlines()), "connection",
           "192.0.2.1", "Network is unreachable")


def test_untrusted_server(check, apple, certs):
    result = check(apple, apnsCaFile=certs.other_ca)
    failed(result, "connection", "apnsCaFile")
    apple.errors.clear()


def test_silent_server(check, apple):
    apple.mode = "hang"
    failed(check(apple, pushTimeout="1s"), "connection", "within 1 s")


@contextlib.contextmanager
def web_server(certs, protocols):
    """HTTPS without HTTP/2."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs.server)
    if protocols:
        context.set_alpn_protocols(protocols)
    server = http.server.HTTPServer(
        ("127.0.0.1", free_port()), http.server.BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("protocols", [None, ["http/1.1"]])
def test_server_without_h2(check, certs, protocols):
    with web_server(certs, protocols) as port:
        failed(check(None, apnsPort=port), "connection", "HTTP/2")


@pytest.mark.parametrize("word", ["pass", "-pass", "--pass"])
def test_pass(word):
    """The Go daemon's hash: SHA-256 of the line."""
    done = subprocess.run([executable(), word], input="opensesame\n",
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == 0
    assert done.stdout.strip() == hashlib.sha256(b"opensesame").hexdigest()


# --- what the start would find, without a network ---

@pytest.fixture
def offline(workdir, certs):
    """Runs it with the keys given: (status, lines, warnings)."""
    def run(identity=token_key, **config):
        config.setdefault("user", getpass.getuser())
        config.setdefault("apnsHost", "no-such-host.invalid")
        x = Xapsd(workdir, certs, identity=identity, **config)
        done = x.run("check", "--offline")
        return done.returncode, done.stdout.splitlines(), done.stderr
    return run


def test_offline(offline):
    status, lines, said = offline(port=free_port())
    assert (status, said) == (0, ""), lines
    assert [line.split()[:2] for line in lines] == [[s, "ok"] for s in (
        "configuration", "credentials", "listeners", "database")]
    assert "xapsd.sock, 127.0.0.1 port " in lines[2]
    assert "which the start will make" in lines[3]


def test_offline_without_credentials(offline):
    """The daemon starts without, so this is no fault of the configuration."""
    status, lines, warnings = offline(identity={})
    assert status == 0, lines
    assert [line.split()[0] for line in lines] == [
        "configuration", "listeners", "database"]
    assert "no credentials" in warnings and "keyFileP8" in warnings


def test_offline_beside_a_running_daemon(start_xapsd):
    """It has the ports, the socket and the lock, and notices nothing."""
    daemon = start_xapsd(tcp=True, user=getpass.getuser())
    daemon.register("alice", "0715A2B4", "29" * 32)
    daemon.wait_log("apns: connected")
    daemon.status()     # what it logs with that line is there by now
    start = daemon.log_size()
    done = daemon.run("check", "--offline")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "127.0.0.1 port %d" % daemon.port in done.stdout
    assert "1 registration" in done.stdout
    daemon.assert_alive()
    assert daemon.log(start) == ""
    daemon.register("bob", "0715A2B4", "30" * 32)


def test_offline_beside_a_daemon_without_unix_socket(workdir, certs):
    """An init script asks before a reload: it must not be refused."""
    x = Xapsd(workdir, certs, socketPath="", port=free_port(),
              user=getpass.getuser(), wait=False)
    with x:
        x.wait_log("started:")
        done = x.run("check", "--offline")
        assert done.returncode == 0, done.stdout
        assert "if that is not the running xapsd" in done.stderr
        x.assert_alive()


@pytest.mark.parametrize("args", [["list", "--offline"], ["--offline"],
                                  ["check", "--offline=yes"]])
def test_offline_is_for_check(workdir, certs, args):
    assert Xapsd(workdir, certs).run(*args).returncode == 64
