"""Credentials over time: warned of, reloaded, never lost."""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time

import pytest

import certs as pki
from apple import Answer
from phones import ACCOUNT, TOKEN
from ports import free_port
from xapsd import ROOT, tls_listener


def issue(certs, path, **validity):
    key, cert = certs.issuer.client(certs.cert_topic, **validity)
    put(path, pki.cert_pem(cert) + pki.key_pem(key))


def put(path, data, mode=0o644):
    """As an editor or certbot does: aside, then renamed."""
    aside = str(path) + ".tmp"
    with open(aside, "wb") as out:
        out.write(data)
    os.chmod(aside, mode)
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
    xapsd = start_xapsd(identity={"certificateFilePem": str(mine)},
                        pushTimeout="10m")
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
    apple.wait_for(21)
    xapsd.wait_until(lambda: xapsd.status()["queue"] == 0, "all answers")
    assert len(apple.pushes) == 21      # none was sent twice


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
    (2, "in 2 days"), (0.5, "in 1 day:")])
def test_warned_before_it_expires(start_xapsd, certs, workdir, days, words):
    issue(certs, workdir / "c.pem", days=days)
    xapsd = start_xapsd(identity={"certificateFilePem": str(workdir / "c.pem")})
    xapsd.wait_log(r"warn .*expires on .*" + words)


def test_not_warned_early(start_xapsd, certs, workdir):
    issue(certs, workdir / "c.pem", days=40)
    xapsd = start_xapsd(identity={"certificateFilePem": str(workdir / "c.pem")})
    xapsd.wait_log("Certificate valid until")
    assert "expires on" not in xapsd.log()


@pytest.mark.parametrize("days, words", [
    (13, r"warn .*TLS listener: the certificate expires on .*, in 13 days: "
     "renew it, or Dovecot refuses it then"),
    (-1, r"error .*TLS listener: the certificate expired on .*: renew it, "
     "Dovecot refuses it")])
def test_warned_of_the_listeners(start_xapsd, certs, workdir, days, words):
    path = workdir / "s.pem"
    issue(certs, path, days=days, age_days=3)
    tls = {"tlsListenAddr": "127.0.0.1", "tlsPort": free_port(),
           "tlsCertfile": str(path), "tlsKeyfile": str(path)}
    xapsd = start_xapsd(**tls)
    xapsd.wait_log(words)
    start = xapsd.log_size()
    issue(certs, path, days=20)     # others renew at 30
    xapsd.wait_log("TLS listener: certificate valid until", start=start)
    assert xapsd.request("GET", "/healthz").status == 200
    assert "expire" not in xapsd.log()[start:]


# --- the certificate of the TLS listener ---

class Door:
    """A TLS listener whose certificate the test replaces."""

    def __init__(self, start, certs, folder, lay=None):
        self.certs, self.folder = certs, folder
        self.path = folder / "door.pem"
        if lay is None:
            self.issue()
        else:
            lay(self)
        self.port = free_port()
        self.xapsd = start(tlsCertfile=str(self.path), tlsPort=self.port,
                           tlsKeyfile=str(self.path))

    def issue(self, path=None, **validity):
        """A new one in the file; its serial number."""
        key, cert = self.certs.issuer.server(**validity)
        self.pem = pki.cert_pem(cert) + pki.key_pem(key)
        put(path or self.path, self.pem)
        self.serial = cert.serial_number
        return self.serial

    def served(self):
        """The serial number that an openssl client is shown and trusts."""
        done = subprocess.run(
            ["openssl", "s_client", "-connect", "127.0.0.1:%d" % self.port,
             "-CAfile", self.certs.ca, "-verify_return_error",
             "-verify_hostname", "localhost", "-servername", "localhost"],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
        assert done.returncode == 0, done.stderr.decode()
        shown = subprocess.run(
            ["openssl", "x509", "-noout", "-serial"], input=done.stdout,
            capture_output=True, check=True, timeout=30).stdout.decode()
        return int(shown.split("=")[1], 16)

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), 20)

    def secure(self, s):
        context = ssl.create_default_context(cafile=self.certs.ca)
        return context.wrap_socket(s, server_hostname="localhost")

    def reloaded(self, start):
        self.xapsd.wait_log("TLS listener: certificate valid until",
                            start=start)


def asks(t):
    t.sendall(b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = t.recv(4096)
    assert answer.startswith(b"HTTP/1.1 404"), answer


@pytest.fixture
def door(start_xapsd, certs, workdir):
    return Door(start_xapsd, certs, workdir)


def relink(door):
    """As certbot does: files in an archive, links to them replaced."""
    new = door.folder / "archive.pem"
    serial = door.issue(new)
    door.path.unlink()
    door.path.symlink_to(new)
    return serial


def rewrite(door):
    kept = door.path.read_bytes()
    serial = door.issue(door.folder / "aside.pem")
    assert door.pem != kept
    door.path.write_bytes(door.pem)
    return serial


@pytest.mark.parametrize("how", [Door.issue, rewrite, relink],
                         ids=["rename", "rewrite", "link"])
def test_listener_certificate_without_restart(door, how):
    """Newcomers see the new one; open connections and handshakes under way
    go on with the old one."""
    assert door.served() == door.serial
    with door.secure(door.connect()) as old:
        asks(old)
        start = door.xapsd.log_size()
        begun = door.connect()      # it has 10 s for its handshake
        asks(old)
        serial = how(door)
        door.reloaded(start)
        with door.secure(begun) as t:
            asks(t)
        assert door.served() == serial
        asks(old)
    door.xapsd.assert_alive()


def test_listener_certificate_by_sighup(door):
    """Also from other files, named in the configuration since."""
    serial = door.issue(door.folder / "elsewhere.pem")
    door.xapsd.config.update(tlsCertfile=str(door.folder / "elsewhere.pem"),
                             tlsKeyfile=str(door.folder / "elsewhere.pem"))
    door.xapsd.write_config()
    assert door.served() != serial
    start = door.xapsd.log_size()
    door.xapsd.process.send_signal(signal.SIGHUP)
    door.reloaded(start)
    assert door.served() == serial
    # the new files are watched, too
    start = door.xapsd.log_size()
    serial = door.issue(door.folder / "elsewhere.pem")
    door.reloaded(start)
    assert door.served() == serial


@pytest.mark.parametrize("spoil, says", [
    (lambda pem: b"no certificate\n", r"tlsCertfile: .*door\.pem"),
    (lambda pem: pem.split(b"-----BEGIN PRIVATE")[0],
     r"tlsKeyfile: .*door\.pem"),
    (lambda pem: pem.split(b"-----BEGIN PRIVATE")[0] +
     pki.key_pem(pki.ec_key()), r"tlsKeyfile: the key does not belong"),
], ids=["garbage", "no-key", "another-key"])
def test_bad_listener_certificate_is_refused(door, spoil, says):
    good = door.serial
    put(door.path, spoil(door.pem))
    door.xapsd.wait_log(
        r"error .*xapsd\.yaml:\d+: %s.*: not used, the old certificate stays" %
        says)
    assert door.served() == good
    start = door.xapsd.log_size()
    door.xapsd.process.send_signal(signal.SIGHUP)
    door.xapsd.wait_log("the old certificate stays", start=start)
    assert door.served() == good
    assert len(re.findall("the old certificate stays",
                          door.xapsd.log())) == 2
    start = door.xapsd.log_size()
    serial = door.issue()       # mended
    door.reloaded(start)
    assert door.served() == serial


def test_listener_is_not_switched_by_sighup(door):
    """On or off at the next start only, which is logged."""
    config = dict(door.xapsd.config)
    for key in ("tlsCertfile", "tlsKeyfile"):
        del door.xapsd.config[key]
    door.xapsd.write_config()
    door.xapsd.process.send_signal(signal.SIGHUP)
    door.xapsd.wait_log("takes effect at the next start only: tlsCertfile")
    assert door.served() == door.serial
    door.xapsd.restart()
    with pytest.raises(OSError):
        door.connect()
    door.xapsd.config.update(config)
    start = door.xapsd.log_size()
    door.xapsd.write_config()
    door.xapsd.process.send_signal(signal.SIGHUP)
    door.xapsd.wait_log("takes effect at the next start only: tlsCertfile",
                        start=start)
    door.xapsd.assert_alive()


def test_listener_certificate_under_load(door):
    """Handshakes without a pause while it is replaced again and again."""
    for n in range(20):
        with contextlib.ExitStack() as stack:
            waiting = [stack.enter_context(door.connect())
                       for _ in range(5)]
            door.issue()
            door.xapsd.process.send_signal(signal.SIGHUP)
            for s in waiting:
                with door.secure(s) as t:
                    asks(t)
    assert door.served() == door.serial


# --- what is watched ---

def listener(certs, path):
    """The keys of a TLS listener with a certificate of the test's own."""
    shutil.copy(certs.server, path)
    return tls_listener(certs, tlsCertfile=str(path), tlsKeyfile=str(path))


def wait_settled(xapsd, certs):
    """What changed before this has been looked at: the listener's files are
    watched in the same way, and a later change of theirs has been noticed."""
    start = xapsd.log_size()
    put(xapsd.config["tlsCertfile"], pathlib.Path(certs.server).read_bytes())
    xapsd.wait_log("TLS listener: a file has changed", start=start)
    assert xapsd.request("GET", "/healthz").status == 200


def test_other_files_in_the_folder_are_nothing(start_xapsd, certs, workdir):
    """The database may lie beside them."""
    folder = workdir / "x"
    folder.mkdir()
    shutil.copy(certs.client, folder / "mine.pem")
    xapsd = start_xapsd(identity={"certificateFilePem": "mine.pem"},
                        **listener(certs, folder / "door.pem"))
    assert xapsd.config["databaseFile"].startswith(str(folder))
    xapsd.register("alice", ACCOUNT, TOKEN)
    put(folder / "other.pem", b"x")
    put(folder / "mine.pem.bak", b"x")
    put(folder / "mine.pe", b"x")
    (folder / "link").symlink_to("mine.pem")
    os.chmod(folder / "other.pem", 0o600)
    wait_settled(xapsd, certs)
    assert "credentials: a file has changed" not in xapsd.log()
    os.chmod(folder / "mine.pem", 0o640)        # as one who mends its rights
    xapsd.wait_log("credentials: a file has changed")


# --- names that come to mean another file ---

def link(target, path):
    """As `ln -sfn` of busybox: the name is away for a moment."""
    if os.path.lexists(path):
        os.unlink(path)
    os.symlink(target, path)


def swap_link(target, path):
    """As Kubernetes and certbot do it: never away."""
    os.symlink(target, str(path) + ".tmp")
    os.rename(str(path) + ".tmp", path)


class Way:
    """A layout of folders and links: lay() makes it, change() brings a new
    file to the same name, n times."""

    def __init__(self, door):
        self.door, self.n = door, 0

    def new(self, *names):
        """A new certificate in this file."""
        path = self.door.folder.joinpath(*names)
        path.parent.mkdir(parents=True, exist_ok=True)
        return self.door.issue(path)


class Kubernetes(Way):
    def lay(self):
        self.turn()
        (self.door.folder / "door.pem").symlink_to("..data/door.pem")

    def turn(self):
        self.n += 1
        serial = self.new("..v%d" % self.n, "door.pem")
        swap_link("..v%d" % self.n, self.door.folder / "..data")
        if self.n > 1:
            shutil.rmtree(self.door.folder / ("..v%d" % (self.n - 1)))
        return serial


class Certbot(Way):
    """A relative link from live/ to archive/."""

    def lay(self):
        (self.door.folder / "live" / "x").mkdir(parents=True)
        self.door.path = self.door.folder / "live" / "x" / "door.pem"
        self.turn()

    def turn(self):
        self.n += 1
        serial = self.new("archive", "x", "door%d.pem" % self.n)
        swap_link("../../archive/x/door%d.pem" % self.n, self.door.path)
        return serial


class Current(Way):
    """A link to a folder, replaced."""
    make = staticmethod(link)

    def lay(self):
        self.door.path = self.door.folder / "current" / "door.pem"
        self.turn()

    def turn(self):
        self.n += 1
        serial = self.new("v%d" % self.n, "door.pem")
        self.make("v%d" % self.n, self.door.folder / "current")
        return serial


class CurrentSwapped(Current):
    make = staticmethod(swap_link)


class Folder(Way):
    """Whole folders are exchanged, above the one that the file is in."""

    def lay(self):
        self.door.path = self.door.folder / "a" / "b" / "c" / "door.pem"
        self.new("a", "b", "c", "door.pem")

    def turn(self):
        self.n += 1
        serial = self.new("a.new", "b", "c", "door.pem")
        os.rename(self.door.folder / "a", self.door.folder / ("a%d" % self.n))
        os.rename(self.door.folder / "a.new", self.door.folder / "a")
        return serial


class Chain(Way):
    """Links to links, through .. and absolute ones; the middle one changes."""

    def lay(self):
        f = self.door.folder
        for name in ("one", "two", "three"):
            (f / name).mkdir()
        (f / "one" / "door.pem").symlink_to("../one/.././two/link")
        (f / "two" / "link").symlink_to(f / "three" / "link")
        self.door.path = f / "one" / "door.pem"
        self.turn()

    def turn(self):
        self.n += 1
        serial = self.new("four", "door%d.pem" % self.n)
        swap_link("../four/door%d.pem" % self.n,
                  self.door.folder / "three" / "link")
        return serial


class Behind(Way):
    """The target of a link is replaced; the link stays."""

    def lay(self):
        self.turn()
        self.door.path.symlink_to("far/away.pem")

    def turn(self):
        return self.new("far", "away.pem")


class BehindInPlace(Behind):
    def turn(self):
        path = self.door.folder / "far" / "away.pem"
        if not path.exists():
            return self.new("far", "away.pem")
        serial = self.new("aside.pem")
        path.write_bytes(self.door.pem)
        return serial


class Removed(Way):
    """The folder is away for longer than a change takes to settle."""

    def lay(self):
        self.door.path = self.door.folder / "d" / "door.pem"
        self.new("d", "door.pem")

    def turn(self):
        start = self.door.xapsd.log_size()
        shutil.rmtree(self.door.folder / "d")
        self.door.xapsd.wait_log("the old certificate stays", start=start)
        return self.new("d", "door.pem")


WAYS = [Kubernetes, Certbot, Current, CurrentSwapped, Folder, Chain, Behind,
        BehindInPlace, Removed]


@pytest.mark.parametrize("way", WAYS, ids=lambda w: w.__name__)
def test_new_file_behind_the_same_name(start_xapsd, certs, workdir, way):
    """More than once: what is watched moves along."""
    ways = []

    def lay(door):
        ways.append(way(door))
        ways[0].lay()

    folder = workdir / "certs"
    folder.mkdir()
    door = Door(start_xapsd, certs, folder, lay)
    assert door.served() == door.serial
    for _ in range(3):
        start = door.xapsd.log_size()
        serial = ways[0].turn()
        door.reloaded(start)
        assert door.served() == serial


def test_credentials_behind_a_link(start_xapsd, apple, certs, workdir):
    """The same for those for Apple."""
    folder = workdir / "k"
    for n in (1, 2):
        (folder / ("..v%d" % n)).mkdir(parents=True)
        issue(certs, folder / ("..v%d" % n) / "c.pem")
    (folder / "..data").symlink_to("..v1")
    (folder / "c.pem").symlink_to("..data/c.pem")
    xapsd = start_xapsd(identity={"certificateFilePem": str(folder / "c.pem")})
    xapsd.register("alice", ACCOUNT, TOKEN)
    pushed(xapsd, apple, 1)
    start = xapsd.log_size()
    swap_link("..v2", folder / "..data")
    xapsd.wait_log("Certificate valid until", start=start)
    apple.wait(lambda: apple.handshakes >= 2, "a new connection")
    pushed(xapsd, apple, 2)


def test_the_same_file_is_no_change(start_xapsd, certs, workdir):
    """A link made again to the same file, a folder moved away and back."""
    folder = workdir / "k"
    folder.mkdir()
    issue(certs, folder / "c1.pem")
    (folder / "c.pem").symlink_to("c1.pem")
    xapsd = start_xapsd(identity={"certificateFilePem": str(folder / "c.pem")},
                        **listener(certs, workdir / "door.pem"))
    start = xapsd.log_size()
    swap_link("c1.pem", folder / "c.pem")
    with xapsd.stopped():   # away for longer would be a change
        os.rename(folder, workdir / "k.old")
        os.rename(workdir / "k.old", folder)
    wait_settled(xapsd, certs)
    assert "credentials: a file has changed" not in xapsd.log(start)
    start = xapsd.log_size()
    issue(certs, folder / "c1.pem")     # it still looks
    xapsd.wait_log("Certificate valid until", start=start)


def test_a_circle_of_links(start_xapsd, certs, workdir):
    """Is reported like a missing file, and ends like one."""
    (workdir / "a").symlink_to("b")
    (workdir / "b").symlink_to("a")
    xapsd = start_xapsd(keyFileP8=str(workdir / "a"))
    xapsd.wait_log("no pushes: .*symbolic links")
    swap_link(certs.p8, workdir / "b")
    xapsd.wait_log("Token key for topic")


def test_nothing_runs_while_nothing_changes(start_xapsd, certs):
    """Neither time nor what goes on in a folder further up wakes it."""
    place = ROOT / "build"
    place.mkdir(exist_ok=True)
    above = tempfile.mkdtemp(dir=place)
    folder = os.path.join(above, "deep")
    os.mkdir(folder)
    try:
        for path in (certs.p8, certs.ca, certs.server):
            shutil.copy(path, folder)
        copy = lambda path: os.path.join(folder, os.path.basename(path))
        xapsd = start_xapsd(
            keyFileP8=copy(certs.p8), apnsCaFile=copy(certs.ca),
            tlsPort=free_port(), tlsCertfile=copy(certs.server),
            tlsKeyfile=copy(certs.server))
        xapsd.notify("nobody")
        xapsd.apple.wait_connected()
        xapsd.wait_asleep()
        before = xapsd.switches()
        for n in range(100):
            with open(os.path.join(above, str(n)), "w") as f:
                f.write("x")
            time.sleep(0.02)        # each an event of its own
        assert xapsd.switches() - before <= 1
    finally:
        shutil.rmtree(above)
