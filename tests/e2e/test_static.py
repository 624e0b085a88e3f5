"""The static executable by itself: `make check-static` sets XAPSD to one (and
XAPSD_WRAP to qemu for another machine's) and STATIC.  Elsewhere skipped."""

import hashlib
import os
import pathlib
import re
import shlex
import shutil
import socket
import subprocess

import pytest

from phones import ACCOUNT, TOKEN
from xapsd import Xapsd, executable

pytestmark = pytest.mark.skipif(
    not os.environ.get("STATIC"), reason="of make check-static")


class Jailed(Xapsd):
    """In a root directory with nothing but the executable, its configuration,
    a key and a CA: no /etc, /dev, /proc, no user, no name server."""

    def __init__(self, folder, certs, host="127.0.0.1", **options):
        super().__init__(folder, certs, **options)
        self.config.update({
            "databaseFile": "/database.json", "socketPath": "/xapsd.sock",
            "apnsHost": host})
        for key, path in (("keyFileP8", certs.p8), ("apnsCaFile", certs.ca)):
            if self.config.get(key):
                shutil.copy(path, self.folder)
                self.config[key] = "/" + pathlib.Path(path).name
        shutil.copy(executable(), self.folder / "xapsd")
        self.wrap = shlex.split(os.environ.get("XAPSD_WRAP", ""))
        if self.wrap:
            shutil.copy(shutil.which(self.wrap[0]), self.folder / "qemu")
            self.wrap[0] = "/qemu"

    def command(self, *args):
        enter = ["chroot"] if os.geteuid() == 0 else ["unshare", "-r", "chroot"]
        return [*enter, str(self.folder), *self.wrap, "/xapsd", "-c",
                "/xapsd.yaml", *args]


@pytest.fixture
def jail(workdir, certs):
    folder = workdir / "jail"
    folder.mkdir()

    def make(**options):
        return Jailed(folder, certs, **options)
    return make


def push_through(xapsd, apple):
    """One mail's way from /register to Apple."""
    xapsd.register("alice", ACCOUNT, TOKEN, ["INBOX"])
    assert xapsd.notify("alice").status == 200
    push, = apple.wait_for(1)
    assert push.token == TOKEN
    assert push.json["aps"]["m"] == [hashlib.md5(b"INBOX").hexdigest()]


def test_version(workdir, certs):
    done = Xapsd(workdir, certs).run("--version")
    assert done.returncode == 0
    assert "mbedTLS 3.6" in done.stdout
    assert "TLS 1.2 and 1.3; " in done.stdout
    assert ", static with musl, " in done.stdout


def readelf(option):
    return subprocess.run(
        ["readelf", "-W", option, executable()], check=True,
        capture_output=True, text=True).stdout


def test_is_static_and_hardened():
    header = readelf("-h")
    assert "DYN (" in header    # loads anywhere
    segments = readelf("-l")
    assert "INTERP" not in segments
    assert "GNU_RELRO" in segments
    stack, = [l for l in segments.splitlines() if "GNU_STACK" in l]
    assert " RWE " not in stack
    dynamic = readelf("-d")
    assert "NEEDED" not in dynamic and "TEXTREL" not in dynamic
    assert "Displaying notes" not in readelf("-n")


class Mapping:
    """A line of /proc/PID/maps."""

    def __init__(self, line):
        fields = line.split(None, 5)
        self.start, self.end = (int(x, 16) for x in fields[0].split("-"))
        self.rights, self.offset = fields[1], int(fields[2], 16)
        self.path = fields[5].strip() if len(fields) > 5 else ""


def mappings(pid):
    """Of the executable and what directly follows it: its .bss."""
    found = []
    for line in pathlib.Path("/proc/%d/maps" % pid).read_text().splitlines():
        m = Mapping(line)
        if m.path == executable() or (
                found and not m.path and m.start == found[-1].end):
            found.append(m)
    return found


def test_it_is_what_runs(start_xapsd):
    """What the journey's daemon has in memory is this file, under XAPSD_WRAP
    if that is set."""
    xapsd = start_xapsd()
    program = os.path.realpath("/proc/%d/exe" % xapsd.process.pid)
    wrap = shlex.split(os.environ.get("XAPSD_WRAP", ""))
    assert program == os.path.realpath(
        shutil.which(wrap[0]) if wrap else executable())
    assert mappings(xapsd.process.pid)


def test_constant_memory_is_write_protected(start_xapsd):
    """RELRO, as the kernel sees it; and no memory is both writable and
    executable."""
    relro, = [l.split() for l in readelf("-l").splitlines()
              if "GNU_RELRO" in l]
    vaddr, size = int(relro[2], 16), int(relro[5], 16)
    first, = [l.split() for l in readelf("-l").splitlines()
              if l.split()[:2] == ["LOAD", "0x000000"]]
    xapsd = start_xapsd()
    found = mappings(xapsd.process.pid)
    base = found[0].start - int(first[2], 16)
    assert found[0].offset == 0
    page = os.sysconf("SC_PAGESIZE")
    start = (base + vaddr) & -page
    end = (base + vaddr + size) & -page
    inside = [m for m in found if m.start < end and m.end > start]
    assert end > start and inside
    assert {m.rights for m in inside} == {"r--p"}
    assert sum(min(m.end, end) - max(m.start, start)
               for m in inside) == end - start
    assert any(m.rights == "rw-p" and m.start >= end for m in found)
    assert not [m for m in found if "w" in m.rights and "x" in m.rights]


def test_nothing_but_the_file(jail, apple):
    with jail(apple=apple) as xapsd:
        apple.wait_connected()
        push_through(xapsd, apple)
        assert xapsd.request("GET", "/healthz").status == 200
    assert sorted(p.name for p in xapsd.folder.iterdir() if p.is_dir()) == []


def test_registrations_outlive_it(jail, apple):
    with jail(apple=apple) as xapsd:
        xapsd.register("alice", ACCOUNT, TOKEN, ["INBOX"])
        xapsd.restart()
        assert xapsd.notify("alice").status == 200
        apple.wait_for(1)


def test_default_address_without_hosts_file(jail, apple):
    """listenAddr is localhost, which no file explains here."""
    with jail(apple=apple, tcp=True, listenAddr=None) as xapsd:
        reply = xapsd.request("GET", "/healthz", tcp=True)
        assert reply.status in (200, 503)


def test_name_without_name_server(jail, apple):
    done = jail(apple=apple, host="push.example.invalid").run("check")
    assert done.returncode == 1
    assert "cannot find the address of push.example.invalid" in done.stdout
    assert "there is no /etc/resolv.conf" in done.stdout


def test_no_bundle_of_cas(jail, apple):
    """The built-in roots are there, and are not those of our stand-in."""
    done = jail(apple=apple, apnsCaFile=None).run("check")
    assert done.returncode == 1
    assert "the unknown CA" in done.stdout
    assert "apnsCaFile" in done.stdout
    apple.errors.clear()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes its user")
def test_user_without_passwd(jail, apple):
    done = jail(apple=apple, user="xapsd").run()
    assert done.returncode == 78
    assert re.search(r"/xapsd\.yaml:\d+: user: there is no user xapsd: "
                     r"make one \(useradd .*\), write a number, or "
                     r"leave this out$", done.stderr, re.M)


def test_group_without_group_file(jail, apple):
    done = jail(apple=apple, socketGroup="mail").run()
    assert done.returncode == 78
    assert re.search(r"/xapsd\.yaml:\d+: socketGroup: there is no group mail: "
                     r"make one \(groupadd .*\), or leave this out$",
                     done.stderr, re.M)


def test_syslog_without_log_socket(jail, apple):
    with jail(apple=apple, args=["--syslog"]) as xapsd:
        apple.wait_connected()
        push_through(xapsd, apple)


def test_syslog(jail, apple):
    folder = jail().folder
    (folder / "dev").mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(folder / "dev" / "log"))
        log.settimeout(60)
        with jail(apple=apple, args=["--syslog"]) as xapsd:
            line = log.recv(2048)
        assert re.match(rb"<23>[A-Z][a-z][a-z] [ 1-3]\d \d\d:\d\d:\d\d "
                        rb"xapsd\[\d+\]: apns: connecting", line)
        assert xapsd.log() == ""


def test_token_key_or_certificate(jail, apple, certs):
    """RSA and EC signatures: what differs between machines is arithmetic."""
    shutil.copy(certs.client, jail().folder / "push.pem")
    with jail(apple=apple, identity={
            "certificateFilePem": "/push.pem"}) as xapsd:
        apple.wait_connected()
        push_through(xapsd, apple)
