"""The modules ready made, plugin/tarballs.sh and plugin/install.sh, with a real
Dovecot."""

import contextlib
import hashlib
import imaplib
import os
import pathlib
import re
import shutil
import subprocess
import tarfile

import pytest

import dovecot
from netns import alone
from xapsd import ROOT

HEADERS = dovecot.dovecot_config().get("LIBDOVECOT_INCLUDE", "")[2:].split()[0:1]
IMAP = "lib95_xaps_imap_plugin.so"
PUSH = "lib95_xaps_push_notification_plugin.so"
STOCK = "lib20_push_notification_plugin.so"
MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine)

pytestmark = pytest.mark.skipif(
    not HEADERS or not MACHINE or dovecot.version()[:2] != (2, 3),
    reason="needs a Dovecot 2.3 with headers, on amd64 or arm64")


def pack(folder):
    subprocess.run(
        ["sh", ROOT / "plugin/tarballs.sh", folder], check=True,
        env={**os.environ, "SUITES": "", "TMPDIR": str(folder),
             "HEADERS": "%s=%s" % (MACHINE, HEADERS[0])})
    return folder


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    return pack(tmp_path_factory.mktemp("dist"))


@pytest.fixture
def tarball(dist):
    return next(dist.glob("*.tar.gz"))


@pytest.fixture
def unpacked(tarball, tmp_path):
    with tarfile.open(tarball) as tar:
        tar.extractall(tmp_path)
    return tmp_path / tarball.name[:-len(".tar.gz")]


def abi():
    text = pathlib.Path(HEADERS[0], "config.h").read_text()
    return re.search(r'ABI_VERSION "([^"(]*)', text)[1]


class Place:
    """Where it is installed: folders, and commands that stand for Dovecot's."""

    def __init__(self, folder, conf=None):
        self.modules = folder / "modules"
        self.doc = folder.parent / "doc"
        self.bin = folder / "bin"
        self.snippet = folder / "conf.d/90-xaps.conf"
        self.sh = ["sh"]
        for f in self.bin, self.modules, self.snippet.parent:
            f.mkdir(exist_ok=True)
        for name in "doveconf", "doveadm":
            self.command(name, 'exec %s -c %s "$@"' % (
                dovecot.find_program(name), conf)
                if conf else '[ "$1" = -h ] || echo "# 2.3: %s/dovecot.conf"' %
                folder)

    def command(self, name, text):
        (self.bin / name).write_text("#!/bin/sh\n%s\n" % text)
        (self.bin / name).chmod(0o755)

    def stock(self, change=lambda data: data):
        """Dovecot's own, changed."""
        folder = pathlib.Path(dovecot.dovecot_config()["dovecot_moduledir"])
        for name in STOCK, "lib15_notify_plugin.so":
            (self.modules / name).write_bytes(change(
                (folder / name).read_bytes()))

    def run(self, script, *words, ok=True, first=()):
        done = subprocess.run(
            [*first, *self.sh, script, *words], text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={
                "PATH": "%s:%s" % (self.bin, os.environ["PATH"]),
                "MODULEDIR": str(self.modules), "DOCDIR": str(self.doc)})
        assert (done.returncode == 0) == ok, done.stdout
        return done.stdout

    def files(self):
        return {str(p.relative_to(self.modules)): p.read_bytes()
                for p in self.modules.rglob("*") if not p.is_dir()}


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "place"
    folder.mkdir()
    return Place(folder)


@pytest.fixture
def busybox(place):
    """All tools but Dovecot's are busybox's, as on Alpine and OpenWrt."""
    program = shutil.which("busybox")
    if not program:
        pytest.skip("no busybox")
    for name in subprocess.run([program, "--list"], check=True, text=True,
                               capture_output=True).stdout.split():
        (place.bin / name).symlink_to(program)
    place.sh = [program, "env", "PATH=%s" % place.bin, program, "sh"]
    return place


def test_what_is_in_it(tarball, dist, tmp_path):
    assert tarball.name == "dovecot-xaps-plugin-%s-%s.tar.gz" % (abi(), MACHINE)
    with tarfile.open(tarball) as tar:
        names = {m.name.partition("/")[2]: m for m in tar}
        assert set(names) == {"", "LICENSE", "install.sh", "90-xaps.conf", IMAP,
                              PUSH}
        assert all((m.uid, m.gid) == (0, 0) and not m.mode & 0o022
                   for m in names.values())
        for name in IMAP, PUSH:
            data = tar.extractfile(names[name]).read()
            assert abi().encode() + b"(" in data
            assert b"%s_version" % name[6:-3].encode() in data
            # neither where it was made, nor newer than anybody's C library
            assert HEADERS[0].encode() not in data
            assert b"/tmp" not in data and str(ROOT).encode() not in data
            assert max(tuple(map(int, v.split(b"."))) for v in re.findall(
                rb"GLIBC_([\d.]+)", data)) <= (2, 17)
    # the same bytes at every time and place
    again = tmp_path / "again"
    again.mkdir()
    pack(again)
    assert {p.name: p.read_bytes() for p in dist.glob("*.*")} == {
        p.name: p.read_bytes() for p in again.glob("*.*")}


def capabilities(server):
    imap = imaplib.IMAP4("127.0.0.1", server.imap_port, 30)
    imap.login("alice", dovecot.PASSWORD)
    said = imap.capability()[1][0]
    imap.logout()
    return said


def has_push(server, wanted):
    """After a reload, for new sessions, of which the first may meet a process
    that is just ending."""
    def has():
        with contextlib.suppress(imaplib.IMAP4.error, OSError):
            return (b"XAPPLEPUSHSERVICE" in capabilities(server)) == wanted
    dovecot.wait_for(has, what="session %s push" % (
        "with" if wanted else "without"))


def test_installed_used_and_taken_away(workdir, unpacked):
    """With a Dovecot that runs."""
    conf = workdir / "dovecot/dovecot.conf"
    with dovecot.Dovecot(workdir, None, extra="!include_try %s/conf.d/*.conf\n"
                         % conf.parent) as server:
        place = Place(conf.parent, conf)
        has_push(server, False)
        stock = set(place.files())
        said = place.run(unpacked / "install.sh")
        assert "Then:  doveadm reload" in said, said
        assert set(place.files()) - stock == {IMAP, PUSH}
        assert all((place.modules / f).stat().st_mode & 0o777 == 0o644
                   for f in (IMAP, PUSH))
        sample = place.snippet.read_text()
        server.process.send_signal(1)
        has_push(server, True)

        # an upgrade: whoever has the old file open keeps it whole
        before = (place.modules / IMAP).stat()
        with open(place.modules / IMAP, "rb") as old:
            place.snippet.write_text(sample + "# mine\n")
            said = place.run(unpacked / "install.sh")
            assert os.fstat(old.fileno()).st_ino == before.st_ino
            assert old.read() == (unpacked / IMAP).read_bytes()
        assert (place.modules / IMAP).stat().st_ino != before.st_ino
        assert "left as it is" in said, said
        assert place.snippet.read_text() == sample + "# mine\n"
        has_push(server, True)

        # what is not as it was installed is not ours to take away
        before = place.files()
        said = place.run(unpacked / "install.sh", "--uninstall", ok=False)
        assert "nobody could log in" in said and "90-xaps.conf:" in said, said
        assert place.files() == before and place.snippet.exists()
        place.snippet.write_text(sample)
        server.write_config()
        good = conf.read_text()
        conf.write_text(good + "nonsense = 1\n")
        said = place.run(unpacked / "install.sh", "--uninstall", ok=False)
        assert "cannot read its configuration again" in said, said
        assert place.files() == before and place.snippet.exists()
        conf.write_text(good)
        place.run(unpacked / "install.sh", "--uninstall")
        assert set(place.files()) == stock
        assert not list(place.snippet.parent.iterdir())
        assert not place.doc.exists()
        has_push(server, False)


def machine_of(data, machine):
    return data[:18] + machine.to_bytes(2, "little") + data[20:]


OTHERS = {
    "ABI": (lambda data: re.sub(rb"2\.\d\.ABIv\d\d", b"2.3.ABIv77", data),
            "2.3.ABIv77-" + str(MACHINE), "has 2.3.ABIv77"),
    "machine": (lambda data: machine_of(data, 243),
                "-machine-0201f300.tar.gz", "for machine-0201f300"),
    "C library": (lambda data: data.replace(b"libc.so.6", b"libc.musl"),
                  "-%s-musl.tar.gz" % MACHINE, "%s-musl" % MACHINE),
}


@pytest.mark.parametrize("tools", ["usual", "busybox"])
@pytest.mark.parametrize("change, right, why", OTHERS.values(), ids=OTHERS)
def test_another_dovecot(request, place, unpacked, tools, change, right, why):
    """The sentence says which file is the right one."""
    if tools == "busybox":
        request.getfixturevalue("busybox")
    place.stock(change)
    before = place.files()
    said = place.run(unpacked / "install.sh", ok=False)
    assert "nobody could log in" in said and why in said, said
    assert re.search("Take dovecot-xaps-plugin-.*" + re.escape(right),
                     said), said
    assert place.files() == before
    assert not place.doc.exists() and not place.snippet.exists()
    assert right in place.run(unpacked / "install.sh", "--which")


@pytest.mark.parametrize("name", [
    "lib25_xaps_imap_plugin.so", "lib_xaps_push_notification_plugin.so",
    "lib10_xaps_plugin.so", "settings/lib25_xaps_settings.so"])
def test_beside_another_plugin(busybox, unpacked, name):
    busybox.stock()
    (busybox.modules / "settings").mkdir()
    (busybox.modules / name).write_text("another's")
    before = busybox.files()
    said = busybox.run(unpacked / "install.sh", ok=False)
    assert "\n    rm %s/%s\n" % (busybox.modules, name) in said, said
    assert busybox.files() == before
    # the name of a module is more than its end
    (busybox.modules / name).rename(
        busybox.modules / "lib25_other_xaps_imap_plugin.so")
    busybox.run(unpacked / "install.sh")
    assert set(busybox.files()) - set(before) == {
        IMAP, PUSH, "lib25_other_xaps_imap_plugin.so"}


def test_it_picks_the_right_tarball(busybox, dist, tarball, tmp_path):
    """The installer alone, and all tarballs of a release in a folder."""
    busybox.stock()
    folder = tmp_path / "release"
    folder.mkdir()
    script = shutil.copy(dist / "install-plugin.sh", folder)
    (folder / "dovecot-xaps-plugin-2.3.ABIv1-amd64.tar.gz").write_text("?")
    said = busybox.run(script, ok=False)
    assert tarball.name in said and "not in %s" % folder in said, said
    shutil.copy(tarball, folder)
    sums = folder / "SHA256SUMS"
    sums.write_text("%064d  %s\n" % (0, tarball.name))
    assert "SHA256SUMS" in busybox.run(script, ok=False)
    assert IMAP not in busybox.files()
    sums.write_text("%s  %s\n" % (hashlib.sha256(
        tarball.read_bytes()).hexdigest(), tarball.name))
    busybox.run(script)
    with tarfile.open(tarball) as tar:
        assert busybox.files()[IMAP] == tar.extractfile(
            "%s/%s" % (tarball.name[:-7], IMAP)).read()
    busybox.run(script, "--uninstall")
    assert not {IMAP, PUSH} & set(busybox.files())
    sums.unlink()
    (folder / tarball.name).write_bytes(tarball.read_bytes()[:9999])
    assert "damaged" in busybox.run(script, ok=False)
    assert not {IMAP, PUSH} & set(busybox.files())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(tarball, elsewhere)
    busybox.run(script, elsewhere)
    assert {IMAP, PUSH} < set(busybox.files())


@pytest.mark.parametrize("line, why", [
    ("%s  %s\r\n", None), ("%s *%s\n", None), ("0%.63s  %s\r\n", "not what"),
    ("0%.63s *%s\n", "not what"), ("%.40s", "says nothing of"),
    ("", "says nothing of")])
def test_kinds_of_sums(place, dist, tarball, tmp_path, line, why):
    """Fetched by whatever, written by whatever; cut off."""
    place.stock()
    folder = tmp_path / "release"
    folder.mkdir()
    script = shutil.copy(dist / "install-plugin.sh", folder)
    shutil.copy(tarball, folder)
    words = (hashlib.sha256(tarball.read_bytes()).hexdigest(), tarball.name)
    (folder / "SHA256SUMS").write_text(line % words[:line.count("%")])
    said = place.run(script, ok=not why)
    assert (IMAP in place.files()) == (not why)
    assert not why or why in said, said


@pytest.mark.parametrize("tool", ["openssl", None])
def test_what_compares(busybox, dist, tarball, tmp_path, tool):
    busybox.stock()
    (busybox.bin / "sha256sum").unlink()
    if tool:
        (busybox.bin / tool).symlink_to(shutil.which(tool))
    folder = tmp_path / "release"
    folder.mkdir()
    script = shutil.copy(dist / "install-plugin.sh", folder)
    shutil.copy(tarball, folder)
    (folder / "SHA256SUMS").write_text("%s  %s\n" % (hashlib.sha256(
        tarball.read_bytes()).hexdigest(), tarball.name))
    said = busybox.run(script, ok=bool(tool))
    assert (IMAP in busybox.files()) == bool(tool)
    assert tool or "None of sha256sum" in said, said


def test_no_od(busybox, unpacked):
    """OpenWrt's busybox has hexdump alone."""
    busybox.stock()
    (busybox.bin / "od").unlink()
    busybox.run(unpacked / "install.sh")
    assert {IMAP, PUSH} < set(busybox.files())


def test_no_dovecot_here(busybox, unpacked):
    said = busybox.run(unpacked / "install.sh", ok=False)
    assert "is all of Dovecot installed?" in said, said
    assert busybox.files() == {}
    assert busybox.run(unpacked / "install.sh", "--help").startswith("usage")
    busybox.run(unpacked / "install.sh", "--nonsense", ok=False)


def test_two_dovecots(place, unpacked):
    """The program in PATH is not the one whose modules were found."""
    place.stock()
    place.command("dovecot", "echo '2.4.1-4 (7d8c0e5759)'")
    said = place.run(unpacked / "install.sh", ok=False)
    assert "%s/dovecot is 2.4.1-4" % place.bin in said, said
    assert "another Dovecot, %s" % abi() in said and "MODULEDIR" in said, said
    assert IMAP not in place.files()


def test_a_tight_umask(place, unpacked):
    """Whoever reads mail reads the modules."""
    place.stock()
    place.sh = ["sh", "-c", 'umask 077 && exec sh "$@"', "sh"]
    place.run(unpacked / "install.sh")
    for path in (place.modules / IMAP, place.snippet, place.doc,
                 place.doc / "90-xaps.conf"):
        assert path.stat().st_mode & 0o044 == 0o044, path


def test_a_read_only_system(place, unpacked):
    place.stock()
    before = place.files()
    said = place.run(unpacked / "install.sh", ok=False, first=alone(
        "--mount", first="mount --bind %s %s && mount -o remount,bind,ro %s" % (
            (place.modules,) * 3)))
    assert "nothing was installed" in said, said
    assert place.files() == before


@pytest.mark.parametrize("is_upgrade", [False, True])
def test_dovecot_does_not_take_them(place, unpacked, is_upgrade):
    """What was there is there again."""
    place.stock()
    if is_upgrade:
        for name in IMAP, PUSH:
            (place.modules / name).write_text("older")
    before = place.files()
    place.command("doveconf", '[ "$1" = -h ] || ! grep -q "xaps_push" %s/%s || '
                  "{ echo no such thing >&2; exit 89; }" % (place.modules, PUSH))
    said = place.run(unpacked / "install.sh", ok=False)
    assert "no such thing" in said and "removed again" in said, said
    assert place.files() == before
    assert not place.snippet.exists()


def test_dovecot_does_not_take_the_sample(place, unpacked):
    place.stock()
    place.command("doveconf", "[ ! -e %s ] || { echo no such line >&2; exit 89; }"
                  "\n[ $1 = -h ] || echo '# 2.3: %s/dovecot.conf'" % (
                      place.snippet, place.snippet.parents[1]))
    said = place.run(unpacked / "install.sh", ok=False)
    assert "no such line" in said and "removed again" in said, said
    assert list(place.snippet.parent.iterdir()) == []
    assert IMAP in place.files() and (place.doc / "90-xaps.conf").exists()
    place.run(unpacked / "install.sh", "--no-config")


def test_a_configuration_with_a_mistake(place, unpacked):
    """It had one before: not ours to judge, nor to add to."""
    place.stock()
    place.command("doveconf", "exit 89")
    said = place.run(unpacked / "install.sh")
    assert "has a mistake" in said, said
    assert not place.snippet.exists() and IMAP in place.files()


@pytest.mark.parametrize("group, has", [("xapsd-mail", False), ("xapsd-mail", True)])
def test_the_line_for_the_socket(place, unpacked, group, has):
    """Only where there is such a group: else nobody could log in."""
    place.stock()
    place.command("getent", "[ $2 = %s ]" % group if has else "exit 2")
    place.command("grep", 'case $* in *"%s:"*) exit 1 ;; esac\nexec %s "$@"' % (
        group, shutil.which("grep")))
    said = place.run(unpacked / "install.sh")
    text = place.snippet.read_text()
    assert ("\nmail_access_groups = xapsd-mail\n" in text) == has, said
    assert ("put xapsd-mail into Dovecot's mail_access_groups" in said) != has
    place.run(unpacked / "install.sh", "--uninstall")
    assert not place.snippet.exists()
