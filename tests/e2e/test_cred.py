"""Whatever is given as a credential is taken, or named for what it is."""

import base64
import datetime
import getpass
import gzip
import lzma
import os
import plistlib
import re
import shutil
import subprocess
import tarfile
import zipfile

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519
from cryptography.x509.oid import NameOID

import certs as pki
from phones import ACCOUNT, TOKEN
from test_renew import put
from xapsd import Xapsd, executable

IDS = {"keyFileKeyId": pki.KEY_ID, "keyFileTeamId": pki.TEAM_ID,
       "keyFileTopic": pki.KEY_TOPIC}


def openssl(*args, **kwargs):
    return subprocess.run(["openssl", *map(str, args)], check=True,
                          capture_output=True, **kwargs).stdout


@pytest.fixture
def check(workdir, certs):
    """`check --offline`: (status, the line of the credentials, warnings)."""
    def run(identity, **config):
        config.setdefault("user", getpass.getuser())
        done = Xapsd(workdir, certs, identity=identity, **config).run(
            "check", "--offline")
        line = [l for l in done.stdout.splitlines()
                if l.startswith("credentials")]
        return done.returncode, line[0] if line else "", done.stderr
    return run


def as_key(name, key):
    """A configuration where `key` names the file."""
    if key == "keyFileP8":
        return {**IDS, key: name}
    if key == "certificateFilePemKey":
        return {"certificateFilePem": "good.pem", key: name}
    if key == "certificateFileP12":
        return {key: name, "certificatePassword": "opensesame"}
    return {key: name}


@pytest.fixture
def things(workdir, certs):
    """A file of every kind that people take for a credential."""
    at = workdir.joinpath
    cert, key = certs.client_cert, certs.client_key
    shutil.copy(cert, at("good.pem"))
    shutil.copy(cert, at("cert.pem"))
    shutil.copy(key, at("rsa.key"))
    shutil.copy(certs.p8, at("token.p8"))
    shutil.copy(certs.client, at("both.pem"))
    openssl("x509", "-in", cert, "-outform", "DER", "-out", at("cert.cer"))
    openssl("pkcs12", "-export", "-in", cert, "-inkey", key, "-passout",
            "pass:opensesame", "-out", at("id.p12"))
    openssl("req", "-new", "-key", key, "-subj", "/CN=x", "-out", at("r.csr"))
    openssl("req", "-new", "-key", key, "-subj", "/CN=x", "-outform", "DER",
            "-out", at("r.der"))
    openssl("pkey", "-in", certs.p8, "-pubout", "-out", at("public.pem"))
    openssl("crl2pkcs7", "-nocrl", "-certfile", cert, "-out", at("chain.p7b"))
    at("ed25519.p8").write_bytes(pki.key_pem(
        ed25519.Ed25519PrivateKey.generate()))
    at("p384.p8").write_bytes(pki.key_pem(
        ec.generate_private_key(ec.SECP384R1())))
    at("locked.p8").write_bytes(pki.key_pem(certs.token_key, "secret"))
    at("id_ecdsa").write_bytes(certs.token_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption()))
    at("id_ecdsa.pub").write_bytes(certs.token_key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH))
    plist = plistlib.dumps({"ProvisionedDevices": ["x"], "TeamName": "y"})
    at("app.plist").write_bytes(plist)
    at("plist.bin").write_bytes(plistlib.dumps({"a": "b"},
                                               fmt=plistlib.FMT_BINARY))
    openssl("cms", "-sign", "-nodetach", "-signer", cert, "-inkey", key,
            "-outform", "DER", "-out", at("app.mobileprovision"), input=plist)
    at("error.html").write_text("<!DOCTYPE html>\n<html><body>Log in</body>")
    with zipfile.ZipFile(at("key.zip"), "w") as z:
        z.write(certs.p8, "AuthKey.p8")
    at("empty").write_text("")
    at("blank").write_text("\n \n")
    at("huge").write_bytes(bytes(1024 * 1024 + 1))
    at("binary").write_bytes(bytes(range(256)) * 4)
    at("words").write_text("a few words\n")
    at("account.json").write_text('{"type": "service_account"}')
    now = datetime.datetime.utcnow()
    crl = x509.CertificateRevocationListBuilder().issuer_name(
        pki.name(("COMMON_NAME", "x"))).last_update(now).next_update(
            now + datetime.timedelta(1)).sign(
                certs.token_key, hashes.SHA256())
    at("crl.pem").write_bytes(crl.public_bytes(serialization.Encoding.PEM))
    at("crl.der").write_bytes(crl.public_bytes(serialization.Encoding.DER))
    for name, kind in (("private.asc", "PRIVATE"), ("public.asc", "PUBLIC")):
        at(name).write_text("-----BEGIN PGP %s KEY BLOCK-----\n\n%s\n"
                            "-----END PGP %s KEY BLOCK-----\n" % (
                                kind, 4 * ("lQdG" * 15 + "\n"), kind))
    openssl("ecparam", "-name", "prime256v1", "-out", at("params.pem"))
    openssl("ecparam", "-name", "prime256v1", "-param_enc", "explicit",
            "-genkey", "-noout", "-out", at("nameless.p8"))
    openssl("genpkey", "-algorithm", "RSA-PSS", "-out", at("pss.key"))
    old = dsa.generate_private_key(1024)
    at("dsa.p8").write_bytes(pki.key_pem(old))
    at("dsa.key").write_bytes(old.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption()))
    at("rsa+token.p8").write_bytes(at("rsa.key").read_bytes()
                                   + at("token.p8").read_bytes())
    at("store.jks").write_bytes(b"\xfe\xed\xfe\xed\0\0\0\2" + 60 * b"x")
    at("login.keychain").write_bytes(b"kych\0\1\0\0" + 60 * b"x")
    at("key.gz").write_bytes(gzip.compress(at("token.p8").read_bytes()))
    at("key.xz").write_bytes(lzma.compress(at("token.p8").read_bytes()))
    at("key.7z").write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(60))
    with tarfile.open(at("key.tar"), "w") as t:
        t.add(certs.client_cert, "cert.pem")
    at("key.pdf").write_bytes(b"%PDF-1.7\n%\xe2\xe3\n" + 60 * b"x")
    at("key.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(60))
    at("error.xml").write_text("<?xml version='1.0'?>\n<Error>denied</Error>")
    at("folder").mkdir()
    at("cut.cer").write_bytes(at("cert.cer").read_bytes()[:300])
    return at


P12, P8, PEM, KEY = ("certificateFileP12", "keyFileP8", "certificateFilePem",
                     "certificateFilePemKey")
EVERY = (P12, P8, PEM, KEY)


@pytest.mark.parametrize("name, keys, words", [
    ("id.p12", (P8, PEM, KEY), ["PKCS#12", P12 + " takes"]),
    ("cert.pem", (P12, P8, KEY), ["a certificate", PEM + " takes"]),
    ("cert.cer", (P12, P8, KEY), ["a certificate", PEM + " takes"]),
    ("both.pem", (P12, P8), ["a certificate with its key", PEM + " takes"]),
    ("rsa.key", (P12, PEM), ["a private key", KEY]),
    ("token.p8", (P12, PEM), ["a private key", P8 + " takes a token key"]),
    ("rsa.key", (P8,), ["an RSA key", "P-256", "AuthKey_"]),
    ("p384.p8", (P8,), ["secp384r1", "P-256", "AuthKey_"]),
    ("ed25519.p8", (P8,), ["an Ed25519 key", "P-256", "AuthKey_"]),
    ("ed25519.p8", (KEY,), ["an Ed25519 key"]),
    ("locked.p8", (P8,), ["encrypted", "downloaded"]),
    ("locked.p8", (KEY,), ["encrypted", "certificatePasswordFile"]),
    ("token.p8", (KEY,), ["does not belong to the certificate in", "good.pem",
                          "token.p8"]),
    ("dsa.p8", (P8,), ["a DSA key", "P-256", "AuthKey_"]),
    ("dsa.key", (P8,), ["a DSA key", "P-256", "AuthKey_"]),
    ("pss.key", (P8,), ["an RSA-PSS key", "P-256", "AuthKey_"]),
    ("nameless.p8", (P8,), ["an EC key", "no name", "P-256", "AuthKey_"]),
    ("rsa+token.p8", (P8,), ["an RSA key", "P-256", "AuthKey_"]),
    ("r.csr", EVERY, ["signing request", "upload it", ".cer"]),
    ("crl.pem", EVERY, ["a revocation list", "the certificate"]),
    ("crl.der", EVERY, ["a revocation list", "the certificate"]),
    ("private.asc", EVERY, ["a key of PGP", "Apple"]),
    ("public.asc", EVERY, ["a key of PGP", "Apple"]),
    ("params.pem", EVERY, ["PEM of another kind", "Apple"]),
    ("r.der", EVERY, ["signing request", "upload it"]),
    ("public.pem", EVERY, ["a public key", "private one"]),
    ("chain.p7b", EVERY, ["PKCS#7", "openssl pkcs7 -print_certs"]),
    ("id_ecdsa", EVERY, ["SSH"]),
    ("id_ecdsa.pub", EVERY, ["SSH"]),
    ("app.mobileprovision", EVERY, ["a provisioning profile"]),
    ("app.plist", EVERY, ["a property list"]),
    ("plist.bin", EVERY, ["a property list"]),
    ("error.html", EVERY, ["a web page", "download"]),
    ("key.zip", EVERY, ["a ZIP archive", "unpack"]),
    ("key.gz", EVERY, ["an archive", "unpack"]),
    ("key.xz", EVERY, ["an archive", "unpack"]),
    ("key.7z", EVERY, ["an archive", "unpack"]),
    ("key.tar", EVERY, ["an archive", "unpack"]),
    ("store.jks", EVERY, ["a key store of Java", "keytool"]),
    ("login.keychain", EVERY, ["a keychain", "export"]),
    ("key.pdf", EVERY, ["a document or a picture", "Apple"]),
    ("key.png", EVERY, ["a document or a picture", "Apple"]),
    ("error.xml", EVERY, ["XML", "download"]),
    ("empty", EVERY, ["it is empty"]),
    ("blank", EVERY, ["it is empty"]),
    ("huge", EVERY, ["larger than 1 MiB"]),
    ("binary", EVERY, ["binary data"]),
    ("words", EVERY, ["text without a PEM part"]),
    ("account.json", EVERY, ["JSON"]),
    ("folder", EVERY, ["a folder", "name the file in it"]),
    ("cut.cer", EVERY, ["damaged, cut off"]),
    ("none.p8", EVERY, ["No such file or directory"]),
], ids=lambda v: v if isinstance(v, str) else "")
def test_named_for_what_it_is(check, things, name, keys, words):
    for key in keys:
        status, line, _ = check(as_key(name, key))
        assert status == 1, line
        assert re.search(r"xapsd\.yaml:\d+: %s: .*/%s" % (
            key, re.escape(name)), line), line
        for word in words:
            assert word in line, line
        assert "mbedTLS" not in line and not re.search(r"[ (-]\w*\d\)?$", line), line


def test_exchanged(check, things):
    _, line, _ = check({PEM: "rsa.key", KEY: "cert.pem"})
    assert "exchange %s and %s" % (PEM, KEY) in line, line


@pytest.mark.parametrize("cert, key, words", [
    ("id.p12", "rsa.key", ["PKCS#12", "openssl pkcs12"]),
    ("rsa.key", "cert.pem", ["exchange tlsCertfile and tlsKeyfile"]),
    ("rsa.key", "rsa.key", ["tlsKeyfile takes"]),
    ("cert.pem", "cert.pem", ["tlsCertfile takes"]),
    ("cert.pem", "ed25519.p8", ["an Ed25519 key"]),
    ("cert.pem", "token.p8", ["does not belong"]),
    ("cert.pem", "locked.p8", ["encrypted", "openssl pkey"]),
    ("r.csr", "rsa.key", ["that the CA makes of it"]),
])
def test_of_the_tls_listener(workdir, certs, things, cert, key, words):
    done = Xapsd(workdir, certs, user=getpass.getuser(), tlsCertfile=cert,
                 tlsKeyfile=key).run("check", "--offline")
    line = done.stdout.splitlines()[-1]
    assert line.startswith("TLS listener   FAILED"), line
    for word in words:
        assert word in line, line


# --- what is taken ---

def crlf(text):
    return text.replace(b"\n", b"\r\n")


WAYS = {
    "as it is": lambda t: t,
    "trailing blanks": lambda t: t.replace(b"\n", b"  \t\n"),
    "indented": lambda t: b"    " + t.replace(b"\n", b"\n    "),
    "CRLF": crlf,
    "CR only": lambda t: t.replace(b"\n", b"\r"),
    "letters": lambda t: t.replace(b"\n", b"\\n"),
    "quoted letters": lambda t: b'"' + t.replace(b"\n", b"\\n") + b'"',
    "mark": lambda t: b"\xef\xbb\xbf" + crlf(t),
    "UTF-16": lambda t: t.decode().encode("utf-16"),
    "UTF-16BE": lambda t: b"\xfe\xff" + t.decode().encode("utf-16-be"),
    "no newline": lambda t: t.rstrip(),
    "text around": lambda t: b"Key ID: X\n\n" + t + b"\nKeep it!\n",
    "one line": lambda t: t.replace(b"\n", b" "),
    "body alone": lambda t: b"\n".join(t.split(b"\n")[1:-2]) + b"\n",
    "no first line": lambda t: t.split(b"\n", 1)[1],
    "no last line": lambda t: t[:t.index(b"-----END")],
}


def der(text):
    return base64.b64decode(b"".join(text.split(b"\n")[1:-2]))


@pytest.mark.parametrize("way", [*WAYS, "DER"])
def test_taken(check, workdir, certs, way):
    change = WAYS.get(way, der)
    for source, name in ((certs.p8, "k.p8"), (certs.client_key, "c.key"),
                         (certs.client_cert, "c.pem")):
        with open(source, "rb") as f:
            pki.write(workdir / name, change(f.read()))
    status, line, said = check({**IDS, P8: "k.p8"})
    assert (status, said) == (0, ""), line
    status, line, said = check({PEM: "c.pem", KEY: "c.key"})
    assert (status, said) == (0, ""), line


def test_taken_der_and_key(check, things, workdir):
    """cat aps.cer push.key"""
    pki.write(workdir / "a.pem", (workdir / "cert.cer").read_bytes()
              + (workdir / "rsa.key").read_bytes())
    status, line, said = check({PEM: "a.pem"})
    assert (status, said) == (0, ""), line


def test_taken_p8_signs(start_xapsd, apple, certs, workdir):
    """What was made good pushes, too."""
    with open(certs.p8, "rb") as f:
        (workdir / "k.p8").write_bytes(WAYS["letters"](f.read()))
    xapsd = start_xapsd(keyFileP8=str(workdir / "k.p8"))
    xapsd.register("alice", ACCOUNT, TOKEN)
    assert xapsd.notify("alice").status == 200
    apple.wait_for(1)


# --- topics, passwords ---

def certificate(certs, path, *uids, cn="APSP:x", **validity):
    subject = x509.Name([x509.NameAttribute(NameOID.USER_ID, uid)
                         for uid in uids]
                        + [x509.NameAttribute(NameOID.COMMON_NAME, cn)])
    key, cert = certs.issuer.client(subject=subject, **validity)
    put(path, pki.cert_pem(cert) + pki.key_pem(key), 0o600)
    return {PEM: str(path)}


def test_warned_in_log_and_status(start_xapsd, certs, workdir):
    xapsd = start_xapsd(identity=certificate(
        certs, workdir / "c.pem", "com.apple.mgmt.External.1"))
    xapsd.wait_log("warn +the topic com.apple.mgmt.External.1 is one of device")
    assert "MDM" in xapsd.run("status").stdout
    assert '"warnings":["the topic com.apple.mgmt' in xapsd.run(
        "status", "--json").stdout.replace(": [", ":[")
    certificate(certs, workdir / "c.pem", certs.cert_topic)
    xapsd.wait_log("Certificate valid until .*XServer")
    assert "Warning" not in xapsd.run("status").stdout


@pytest.mark.parametrize("cn", ["Apple Development: A B (X)",
                                "Apple Distribution: A (X)",
                                "iPhone Distribution: A",
                                "Developer ID Application: A (X)"])
def test_certificate_of_a_developer(check, workdir, certs, cn):
    status, line, _ = check(certificate(
        certs, workdir / "c.pem", "TEAMID1234", cn=cn))
    assert status == 1 and cn in line and "no push certificate" in line, line


@pytest.mark.parametrize("content, words", [
    ("opensesame", None), ("opensesame\n", None), ("opensesame\r\nx\n", None),
    ("wrong\n", ["does not open with the first line of", "/pw"]),
    ("opensesame \n", ["/pw", "without the blanks"]),
    ("", ["/pw", "is empty"]), ("\nopensesame\n", ["/pw", "is empty"]),
    (None, ["certificatePasswordFile: ", "/pw", "No such file"]),
    ("x" * 1025, ["/pw", "first line"]),
    ("\ufeffopensesame\n", None),
    (b"\xff\xfeo\0p\0", ["/pw", "UTF-16", "UTF-8"]),
    (b"\xfe\xff\0o\0p", ["/pw", "UTF-16", "UTF-8"]),
])
def test_password_file(check, things, workdir, content, words):
    if content is not None:
        (workdir / "pw").write_bytes(
            content.encode() if isinstance(content, str) else content)
        (workdir / "pw").chmod(0o600)
    status, line, _ = check({P12: "id.p12", "certificatePasswordFile": "pw"})
    assert status == (0 if words is None else 1), line
    assert "certificatePassword is" not in line
    for word in words or ():
        assert word in line, line


# --- dates ---

@pytest.mark.parametrize("validity, words", [
    ({"days": -1, "age_days": 3}, "expired on"),
    ({"days": 30, "age_days": -2}, "is not valid before"),
])
def test_dates_name_the_clock(check, start_xapsd, certs, workdir, validity,
                              words):
    pattern = words + r" \S+ \S+ UTC, and this machine's clock says 20\S+ "
    who = certificate(certs, workdir / "c.pem", certs.cert_topic, **validity)
    status, _, said = check(who)
    assert status == 0 and re.search(pattern, said), said
    xapsd = start_xapsd(identity=who)
    xapsd.wait_log("no pushes: the certificate " + pattern)
    reply = xapsd.request("GET", "/healthz")
    assert reply.status == 503 and re.search(pattern, reply.body)


@pytest.mark.parametrize("validity", [{"days": -1, "age_days": 3},
                                      {"days": 30, "age_days": -2}])
def test_old_one_stays(start_xapsd, apple, certs, workdir, validity):
    """A certificate that cannot push yet replaces none that can."""
    path = workdir / "c.pem"
    xapsd = start_xapsd(identity=certificate(certs, path, certs.cert_topic))
    xapsd.register("alice", ACCOUNT, TOKEN)
    certificate(certs, path, certs.cert_topic, **validity)
    xapsd.wait_log("this machine's clock .*not used, the old credentials stay")
    assert xapsd.request("GET", "/healthz").status == 200
    assert "the old credentials stay" in xapsd.run("status").stdout
    assert xapsd.notify("alice").status == 200
    apple.wait_for(1)
    put(path, b"nonsense")
    xapsd.wait_log("holds no certificate: it is text .*the old credentials")
    assert "it is text" in xapsd.run("status").stdout
    start = xapsd.log_size()
    certificate(certs, path, certs.cert_topic, days=60)
    xapsd.wait_log("Certificate valid until", start=start)
    assert "Warning" not in xapsd.run("status").stdout


# --- xapsd csr ---

def csr(*args, cwd):
    return subprocess.run([executable(), "csr", *args], cwd=cwd, text=True,
                          capture_output=True, timeout=100)


def test_csr(start_xapsd, apple, certs, workdir):
    """The request is signed, and its certificate pushes."""
    done = csr("push.csr", cwd=workdir)
    assert done.returncode == 0, done.stderr
    for word in ("push.csr", "push.key", "developer.apple.com", PEM, KEY):
        assert word in done.stdout
    assert (workdir / "push.key").stat().st_mode & 0o777 == 0o600
    openssl("req", "-in", workdir / "push.csr", "-verify", "-noout")
    request = x509.load_pem_x509_csr((workdir / "push.csr").read_bytes())
    assert request.is_signature_valid
    key = request.public_key()
    assert key.key_size == 2048
    assert request.signature_hash_algorithm.name == "sha256"
    openssl("rsa", "-in", workdir / "push.key", "-check", "-noout")
    subject = pki.name(("USER_ID", certs.cert_topic), ("COMMON_NAME", "x"))
    cert = certs.issuer.sign(subject, key, ())
    (workdir / "aps.cer").write_bytes(cert.public_bytes(
        serialization.Encoding.DER))
    xapsd = start_xapsd(identity={PEM: str(workdir / "aps.cer"),
                                  KEY: str(workdir / "push.key")})
    xapsd.register("alice", ACCOUNT, TOKEN)
    assert xapsd.notify("alice").status == 200
    apple.wait_for(1)


def test_csr_keys_differ(workdir):
    for name in ("a.csr", "b.csr"):
        assert csr(name, cwd=workdir).returncode == 0
    assert (workdir / "a.key").read_text() != (workdir / "b.key").read_text()


@pytest.mark.parametrize("there, named", [
    ("push.csr", "push.csr"), ("push.key", "push.csr"), ("push.key", "push")])
def test_csr_overwrites_nothing(workdir, there, named):
    (workdir / there).write_text("mine")
    done = csr(named, cwd=workdir)
    assert done.returncode == 1
    assert there in done.stderr and "not overwritten" in done.stderr
    assert (workdir / there).read_text() == "mine"
    assert sorted(os.listdir(workdir)) == [there]
    # not even through a link that leads nowhere
    (workdir / there).unlink()
    (workdir / there).symlink_to("nowhere")
    assert csr(named, cwd=workdir).returncode == 1
    assert os.listdir(workdir) == [there]


@pytest.mark.parametrize("args, status, words", [
    ([], 64, "csr FILE"), (["a", "b"], 64, "csr FILE"),
    (["a.key"], 1, "name the request"), (["no/such/a.csr"], 1, "No such file"),
    (["folder/"], 1, "folder"),
])
def test_csr_mistakes(workdir, args, status, words):
    (workdir / "folder").mkdir()
    done = csr(*args, cwd=workdir)
    assert done.returncode == status, done
    assert words in done.stderr and not done.stdout
    assert os.listdir(workdir) == ["folder"]


def test_csr_leaves_nothing_on_a_full_disk(workdir):
    small = workdir / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "none",
                       str(small)], check=False).returncode != 0:
        pytest.skip("needs root, for a small file system")
    try:
        done = csr("push.csr", cwd=small)
        assert done.returncode == 1 and "No space left" in done.stderr, done
        assert os.listdir(small) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_csr_needs_no_configuration(workdir):
    done = subprocess.run([executable(), "-c", "/nonexistent", "csr", "x.csr"],
                          cwd=workdir, capture_output=True, timeout=100)
    assert done.returncode == 0, done
