"""`xapsd check` and the start agree: what ends the start is what check says, in the
same words, and where the start is well check is, too."""

import contextlib
import getpass
import os
import re
import shutil
import socket
import subprocess

import pytest

import certs as pki
import netns
from phones import TOKEN
from ports import free_port
from xapsd import Xapsd, tls_listener

root = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another")
GO = '{"Users":{"a":{"Accounts":{"A1":{"DeviceToken":"%s","Mailboxes":[]}}}}}'


class Both:
    """Gives one configuration to the start and to check, as one user."""

    def __init__(self, folder, certs):
        self.folder, self.certs = folder, certs
        self.wrap = []

    def make(self, config):
        # Root would look as the user xapsd, if this machine has one.
        config = {"user": getpass.getuser(), "apnsHost": "192.0.2.1",
                  **config}
        x = Xapsd(self.folder, self.certs, **{
            k: v.format(d=self.folder) if isinstance(v, str) else v
            for k, v in config.items()})
        x.socket_path = x.config["socketPath"]
        x.write_config()
        return x

    def check(self, x):
        done = subprocess.run([*self.wrap, *x.command("check", "--offline")],
                              capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr

    def start(self, x):
        """The reason of a start that fails; else it fails the test."""
        with subprocess.Popen(
                [*self.wrap, *x.command()], text=True,
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            try:
                said = process.communicate(timeout=30)[1]
            except subprocess.TimeoutExpired:
                raise AssertionError("it starts") from None
            finally:
                process.kill()
        reasons = re.findall(r"^\S+ \S* ?fatal (.*)$", said, re.M)
        assert len(reasons) == 1, said
        return process.returncode, reasons[0]

    def refuse(self, words, code=1, step=None, **config):
        """code: the start's exit status; step: check's that failed.  Returns
        what check wrote to stderr."""
        x = self.make(config)
        before = set(os.listdir(self.folder))
        status, out, err = self.check(x)
        assert set(os.listdir(self.folder)) <= before, "check leaves nothing"
        code_r, reason = self.start(x)
        assert words.format(d=self.folder) in reason and code == code_r, reason
        assert status != 0, "check lets pass: " + reason
        if status == 78:
            assert err == "xapsd: %s\n" % reason
        else:
            failed, said = out.splitlines()[-1].split(" FAILED  ")
            assert said == reason and step in (None, failed.strip()), out
        return err

    def accept(self, **config):
        x = self.make(config)
        status, out, err = self.check(x)
        assert status == 0, out + err
        if self.wrap:
            command = x.command
            x.command = lambda *args: [*self.wrap, *command(*args)]
        with x:
            pass
        return err


@pytest.fixture
def both(workdir, certs):
    return Both(workdir, certs)


# --- the text of the configuration ---

@pytest.mark.parametrize("config, words", [
    ({"delay": "soon"}, "delay"),
    ({"nonsense": "1"}, "nonsense"),
    ({"retryMin": "1h", "retryMax": "1s"}, "retryMin"),
    ({"httpUser": "u"}, "password is missing"),
    ({"httpPassword": "p"}, "httpUser is missing"),
    ({"tlsCertfile": "x"}, "tlsKeyfile is missing"),
    ({"keyFileKeyId": None}, "keyFileKeyId: is missing"),
    ({"keyFileTeamId": "a b"}, "keyFileTeamId"),
    ({"keyFileTopic": None}, "keyFileTopic: is missing"),
    ({"keyFileTopic": 'a"b'}, "keyFileTopic"),
    ({"certificateFilePem": "x.pem"}, "choose one"),
    ({"certificateFilePemKey": "x.pem"}, "certificateFilePem"),
    ({"user": "nosuchuser"}, "user: there is no user nosuchuser: make one "
     "(useradd --system"),
    ({"user": "12x"}, "there is no user 12x"),
    ({"user": "-1"}, "there is no user -1"),
    ({"user": "4294967295"}, "there is no user 4294967295"),
    ({"user": "99999999999"}, "there is no user 99999999999"),
    ({"socketGroup": "nosuchgroup"}, "there is no group nosuchgroup"),
    ({"socketPath": "/tmp/" + 200 * "x"}, "socketPath: is longer than"),
    ({"socketPath": ""}, "nothing to listen on"),
    ({"socketPath": "", "tlsPort": "0"}, "nothing to listen on"),
    ({"listenAddr": "0.0.0.0", "port": 1}, "can be reached from other machines"),
    ({"listenAddr": "::", "port": 1}, "other machines"),
    ({"listenAddr": "0.0.0.0", "port": 1, "httpUser": "u",
      "httpPassword": "p"}, "other machines"),
    ({"listenAddr": "::ffff:192.0.2.1", "port": 1}, "other machines"),
    ({"listenAddr": "fe80::1%nosuch0", "port": 1}, "other machines"),
    ({"listenAddr": "nonsense", "port": 1}, "not an IP address"),
    ({"listenAddr": "127.0.0.1.1", "port": 1}, "not an IP address"),
    ({"tlsListenAddr": "127.0.0.1", "tlsCertfile": None, "tlsKeyfile": None},
     "tlsListenAddr: tlsCertfile is missing: set it and tlsKeyfile, or leave "
     "this out"),
    ({"tlsListenAddr": "0.0.0.0"}, "set httpUser and httpPassword"),
    ({"tlsListenAddr": "example.org"}, "not an IP address"),
], ids=lambda v: str(v)[:40])
def test_text(both, certs, config, words):
    if "tlsListenAddr" in config:
        config = tls_listener(certs, **config)
    both.refuse(words, code=78, **config)


@pytest.mark.parametrize("plain, tls, is_good", [
    ("localhost", "localhost", False), ("127.0.0.1", None, False),
    ("127.0.0.1", "0.0.0.0", False), ("::", "localhost", False),
    ("127.0.0.1", "127.0.0.2", True), ("127.0.0.1", "::1", True),
    ("localhost", "127.0.0.2", True)], ids=str)
def test_one_port_for_both(both, certs, plain, tls, is_good):
    """The start would try the second one for ever, and call itself "another
    program"."""
    port = free_port()
    config = tls_listener(certs, tlsPort=port, port=port, listenAddr=plain,
                    tlsListenAddr=tls, allowInsecure="yes")
    if is_good:
        both.accept(**config)
    else:
        both.refuse("%d is the port for TLS (tlsPort), too" % port, code=78,
                    **config)


# --- listeners ---

@contextlib.contextmanager
def stranger(port=0, address="127.0.0.1"):
    with socket.socket(socket.AF_INET6 if ":" in address else
                       socket.AF_INET) as s:
        s.bind((address, port))
        s.listen()
        yield s.getsockname()[1]


def test_port_of_a_stranger_and_nothing_else(both):
    with stranger() as port:
        both.refuse("no listener could be opened", step="listeners",
                    socketPath="", port=port)


def test_port_of_a_stranger_beside_the_socket(both):
    """The start goes on, and check says what it waits for."""
    with stranger() as port:
        said = both.accept(port=port)
    assert "warning" in said and "Address already in use" in said
    assert "another program has it" in said


def test_address_of_another_machine(both):
    config = {"listenAddr": "192.0.2.77", "port": free_port(),
              "allowInsecure": "yes"}
    assert ("Cannot assign requested address: this machine does not have this "
            "address, or not yet: ip addr shows those that it has"
            ) in both.accept(**config)
    both.refuse("no listener could be opened", socketPath="", **config)


def test_tls_listener_alone_without_its_file(both, workdir):
    """It would come with the file; with nothing else a start fails."""
    x = both.make({"socketPath": "", "tlsPort": free_port(),
                   "tlsCertfile": "{d}/none", "tlsKeyfile": "{d}/none"})
    status, out, _ = both.check(x)
    assert (status, "No such file" in out) == (1, True), out
    assert both.start(x)[1].startswith("no listener could be opened")


@pytest.mark.parametrize("path, words", [
    ("{d}/file", "is not a socket"),
    ("{d}/folder", "is not a socket"),
    ("{d}/link", "is not a socket"),
    ("{d}/dangling", "is not a socket"),
    ("{d}/file/sock", "Not a directory: see to the folder {d}/file, or set "
     "socketPath"),
    ("{d}/folder/", "Is a directory"),
    ("{d}/no/such/sock", "cannot listen on {d}/no/such/sock: the folder "
     "{d}/no/such does not exist, and the start cannot make it: make the folder "
     "{d}/no/such, or set socketPath"),
    ("{d}/dangling/sock", "make the folder"),
], ids=str)
def test_place_of_the_socket(both, workdir, path, words):
    (workdir / "file").write_text("x")
    (workdir / "folder").mkdir()
    (workdir / "link").symlink_to("file")
    (workdir / "dangling").symlink_to("nowhere/at/all")
    both.refuse(words, step="listeners", socketPath=path)
    assert (workdir / "file").read_text() == "x"


@pytest.mark.parametrize("path", ["{d}/s", "{d}/new/s"])
def test_good_places(both, path):
    both.accept(socketPath=path)


def left_socket(path):
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(path))


def test_socket_that_was_left(both, workdir):
    left_socket(workdir / "old")
    both.accept(socketPath="{d}/old")


@pytest.fixture
def as_nobody(both, workdir, certs):
    """Neither of them is root, and only folder n is nobody's."""
    if os.geteuid() != 0:
        pytest.skip("only root becomes another")
    both.wrap = ["setpriv", "--reuid=nobody", "--regid=nogroup",
                 "--clear-groups"]
    both.folder = workdir / "n"
    both.folder.mkdir()
    for path in (certs.p8, certs.ca, certs.server):
        shutil.copy(path, both.folder)
    for path in [both.folder, *both.folder.iterdir()]:
        shutil.chown(path, "nobody", "nogroup")

    def config(**more):
        return {"user": None,
                "keyFileP8": "{d}/" + os.path.basename(certs.p8),
                "apnsCaFile": "{d}/" + os.path.basename(certs.ca), **more}
    return config


@pytest.mark.parametrize("path, words", [
    ("{d}/../s", "the user may not make a socket in {d}/..: Permission denied: "
     "give the folder to the user, or set socketPath"),
    ("{d}/../new/s", "make the folder"),
    ("{d}/../left", "Permission denied"),
    ("{d}/../sticky/left", "not permitted"),
    ("{d}/../closed/s", "Permission denied"),
])
def test_place_that_is_closed_to_the_user(both, as_nobody, workdir, path, words):
    left_socket(workdir / "left")
    (workdir / "left").chmod(0o666)
    (workdir / "closed").mkdir(mode=0o700)
    (workdir / "sticky").mkdir()
    (workdir / "sticky").chmod(0o1777)
    left_socket(workdir / "sticky/left")
    (workdir / "sticky/left").chmod(0o666)
    both.refuse(words, **as_nobody(socketPath=path))


def test_group_of_others(both, as_nobody):
    both.refuse(" to group games: Operation not permitted: the daemon's user "
                "must be a member: usermod -aG games nobody, then restart",
                **as_nobody(socketGroup="games"))
    assert not (both.folder / "xapsd.sock").exists()


def test_group_of_its_own(both, as_nobody):
    both.accept(**as_nobody(socketGroup="nogroup"))


def test_low_port(both, as_nobody):
    both.wrap = [*netns.alone(
        "-n", first="ip link set lo up && "
        "echo 1024 >/proc/sys/net/ipv4/ip_unprivileged_port_start"), *both.wrap]
    said = both.refuse("no listener could be opened",
                       **as_nobody(socketPath="", port=99))
    assert "port 99: Permission denied: ports below 1024 need root's rights" in said
    assert "or take a port from 1024 on" in said


def test_another_listens_on_the_socket(both, workdir):
    """Without systemd that is another xapsd; check does not ask it."""
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(workdir / "s"))
        s.listen()
        x = both.make({"socketPath": "{d}/s"})
        status, out, err = both.check(x)
        s.setblocking(False)
        with pytest.raises(BlockingIOError):
            s.accept()
        assert "another xapsd is running there: stop" in both.start(x)[1]
    assert status == 0, out
    assert "another xapsd is running there" in err


# --- the user ---

@root
def test_cannot_become_the_user(both, certs):
    both.wrap = ["setpriv", "--bounding-set=-setuid,-setgid"]
    both.refuse("capabilities SETUID and SETGID", user="nobody")


@root
def test_becomes_the_user(both, as_nobody):
    both.wrap = []
    both.accept(**as_nobody(user="nobody"))


# --- the database ---

def fifo(path):
    os.mkfifo(path)


@pytest.mark.parametrize("make, words", [
    (lambda p: p.mkdir(), "must name a file"),
    (fifo, "not a regular file"),
    (left_socket, "No such device or address"),
    (lambda p: p.symlink_to(p), "symbolic links"),
    (lambda p: p.symlink_to("none/at/all"), "does not exist"),
    (lambda p: p.write_text("nonsense"), "neither a file of registrations"),
    (lambda p: p.write_bytes(b"\xff\xfe{\0"), "UTF-16"),
    (lambda p: p.write_bytes(b"\x1f\x8b\x08\0"), "gzip"),
    (lambda p: p.write_text('{"Users":{"a":'), "looks like the Go daemon's"),
    (lambda p: p.write_text('{"Users":[]}'), "looks like the Go daemon's"),
], ids=["folder", "fifo", "socket", "loop", "dangling", "text", "utf16", "gzip",
        "torn", "wrong"])
def test_what_the_database_is(both, workdir, make, words):
    make(workdir / "db")
    both.refuse(words, step="database", databaseFile="{d}/db")


@pytest.mark.parametrize("path, words", [
    ("{d}/none/db", "does not exist"),
    ("{d}/file/db", "does not exist"),
    ("{d}/", "must name a file"),
    ("{d}/" + 300 * "x", "File name too long"),
    ("/" + 5000 * "x", "the name is too long"),
], ids=lambda v: v[:12])
def test_where_the_database_is(both, workdir, path, words):
    (workdir / "file").write_text("x")
    both.refuse(words, databaseFile=path)


def owned(path, text, mode, owner="root"):
    path.write_text(text)
    path.chmod(mode)
    shutil.chown(path, owner)


@pytest.mark.parametrize("path, words", [
    ("{d}/../db", "cannot write to the folder"),
    ("{d}/../closed/db", "Permission denied"),
    ("{d}/secret", "Permission denied"),
    ("{d}/readonly", "Permission denied"),
    ("{d}/../go", "Permission denied"),
])
def test_database_that_is_closed_to_the_user(both, as_nobody, workdir, path,
                                             words):
    (workdir / "closed").mkdir(mode=0o700)
    owned(workdir / "n/secret", "", 0o600)
    owned(workdir / "n/readonly", "", 0o644)
    # to be taken over: that takes a new file
    owned(workdir / "go", GO % TOKEN, 0o666)
    both.refuse(words, **as_nobody(databaseFile=path))


def test_database_in_a_folder_that_is_closed(both, as_nobody, workdir):
    """The start writes to it, though not a new one."""
    owned(workdir / "db", "", 0o600, "nobody")
    said = both.accept(**as_nobody(databaseFile="{d}/../db"))
    assert "cannot write to the folder" in said


def test_database_on_a_file_system_without_writing(both, workdir):
    (workdir / "ro").mkdir()
    both.wrap = netns.alone(
        "-m", first="mount -t tmpfs -o ro none %s" % (workdir / "ro"))
    both.refuse("Read-only file system", databaseFile="{d}/ro/db")


@pytest.mark.parametrize("text", ["", "\n", GO % TOKEN, "\ufeff" + GO % TOKEN])
def test_good_databases(both, workdir, text):
    (workdir / "db").write_text(text)
    both.accept(databaseFile="{d}/db")


def test_database_of_another_daemon(both, workdir, certs):
    other = workdir / "other"
    other.mkdir()
    with Xapsd(other, certs, databaseFile=str(workdir / "db")) as x:
        x.wait_log("started:")
        both.refuse("in use by another xapsd", databaseFile="{d}/db")


@pytest.mark.parametrize("changed", [
    {}, {"socketPath": "{d}/new.sock"}, {"socketPath": ""}])
def test_database_of_the_daemon_that_is_to_be_restarted(both, changed):
    """It runs by this configuration, before somebody changed that."""
    port = free_port()
    with both.make({"port": port}) as x:
        x.wait_log("started:")
        status, out, err = both.check(both.make({"port": port, **changed}))
        x.assert_alive()
    assert status == 0, out + err
    assert ("FAILED" not in out and "in use by another" not in err)


@root
def test_port_of_a_stranger_beside_the_running_daemon(both):
    """It would be waited for after the restart; the daemon's own port is fine."""
    own = free_port()
    with stranger() as port, both.make({"port": own}) as x:
        x.wait_log("started:")
        status, out, err = both.check(both.make({"port": port}))
        assert status == 0, out
        assert "another program has it" in err and str(port) not in out
        _, out, err = both.check(both.make({"port": own}))
        assert (err, "port %d" % own in out) == ("", True)


# --- credentials and passwords ---

@pytest.fixture
def bad_files(workdir, certs):
    (workdir / "garbage").write_text("x")
    (workdir / "empty").write_text("\n")
    (workdir / "long").write_text(2000 * "x")
    pki.write(workdir / "other.key", pki.key_pem(pki.rsa_key()))
    key, cert = certs.issuer.client(subject=pki.name(("COMMON_NAME", "x")))
    pki.write(workdir / "no-uid.pem", pki.cert_pem(cert), pki.key_pem(key))


@pytest.mark.parametrize("identity, config, words", [
    (None, {"keyFileP8": "garbage"}, "keyFileP8"),
    (None, {"keyFileP8": "{d}"}, "is not a file"),
    (None, {"keyFileP8": "other.key"}, "keyFileP8"),
    ({"certificateFilePem": "garbage"}, {}, "certificateFilePem"),
    ({"certificateFilePem": "no-uid.pem"}, {}, "has no UID"),
    ({"certificateFileP12": "garbage"}, {}, "certificateFileP12"),
    ("other", {}, "does not belong to"),
    (None, {"apnsCaFile": "garbage"}, "apnsCaFile"),
    (None, {"httpUser": "u", "httpPasswordFile": "none"}, "No such file"),
    (None, {"httpUser": "u", "httpPasswordFile": "empty"}, "is empty"),
    (None, {"httpUser": "u", "httpPasswordFile": "long"}, "over 1024"),
    (None, {"httpUser": "u", "httpPasswordFile": "{d}"}, "is not a file"),
    (None, {"tlsCertfile": "garbage", "tlsKeyfile": "garbage"}, "tlsCertfile"),
    (None, {"tlsKeyfile": "other.key"}, "does not belong to"),
], ids=str)
def test_credentials(both, certs, bad_files, identity, config, words):
    if identity == "other":
        identity = {"certificateFilePem": certs.client_cert,
                    "certificateFilePemKey": "other.key"}
    if identity is not None:
        config = {"keyFileP8": None, "keyFileKeyId": None,
                  "keyFileTeamId": None, "keyFileTopic": None, **identity,
                  **config}
    if "tlsKeyfile" in config:
        config = tls_listener(certs, **config)
    both.refuse(words, **config)
