"""`xapsd check` compares Dovecot's modules with the Dovecot that is here, in folders
of a test's own, and names the fix before a reload locks everybody out."""

import getpass
import json
import os
import pathlib
import random
import re
import shutil
import subprocess

import pytest

import dovecot
from netns import alone
from xapsd import Xapsd, token_key

SYSTEM = pathlib.Path(dovecot.dovecot_config()["dovecot_moduledir"])
BUILT = pathlib.Path(os.environ.get(
    "PLUGIN", pathlib.Path(__file__).parents[2] / "build/plugin"))
STOCK = "lib20_push_notification_plugin.so"
IMAP = "lib95_xaps_imap_plugin.so"
PUSH = "lib95_xaps_push_notification_plugin.so"
SETTINGS = "settings/lib95_xaps_settings.so"
LOCKED = "nobody can log in after Dovecot's next reload"

pytestmark = pytest.mark.skipif(
    not (SYSTEM / STOCK).exists() or not (BUILT / IMAP).exists()
    or dovecot.version()[:2] != (2, 3), reason="needs Dovecot 2.3 and the plugin")


class Here:
    """A folder of modules in the place of /usr/lib/dovecot, and check in it."""

    def __init__(self, workdir, certs):
        self.folder = workdir / "dovecot"
        self.modules = self.folder / "modules"
        (self.modules / "settings").mkdir(parents=True)
        shutil.copy(SYSTEM / STOCK, self.modules)
        for name in IMAP, PUSH:
            shutil.copy(BUILT / name, self.modules)
            (self.modules / name).chmod(0o644)
        self.x = Xapsd(workdir, certs, identity=token_key, port=0,
                       user=getpass.getuser())
        self.x.write_config()

    def check(self, *words):
        done = subprocess.run(
            [*alone("--mount", first="mount --bind %s /usr/lib/dovecot" %
                    self.folder), *self.x.command("check", *words)],
            capture_output=True, timeout=60, check=False)
        assert done.returncode in (0, 1), done
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def faults(self):
        """The sentences that --json and the lines have, all of them warnings."""
        status, said, warnings = self.check("--offline", "--json")
        steps = [s for s in json.loads(said)["steps"] if re.match(
            "Dovecot: ", s["text"]) or s["step"] == "Dovecot"]
        assert (status, warnings) == (0, ""), said
        faults = [s["text"][9:] for s in steps if s["step"] is None]
        assert all(s["result"] == "warning" for s in steps if not s["step"])
        assert bool(faults) != ("Dovecot" in [s["step"] for s in steps]), steps
        status, _, warnings = self.check("--offline")
        assert status == 0
        assert len(re.findall("Dovecot: ", warnings)) == len(faults)
        return faults

    def change(self, name, function):
        path = self.modules / name
        path.write_bytes(function(path.read_bytes()))


@pytest.fixture
def here(workdir, certs):
    return Here(workdir, certs)


def abi():
    return re.search(rb"\d\.\d\.ABIv\d+", (SYSTEM / STOCK).read_bytes())[0].decode()


def other_abi(data):
    return re.sub(rb"2\.3\.ABIv\d\d", b"2.3.ABIv07", data)


def elf(at, value):
    return lambda data: data[:at] + value + data[at + len(value):]


def test_they_fit(here):
    status, said, warnings = here.check("--offline")
    assert status == 0 and warnings == "", said + warnings
    assert re.search(r"^Dovecot +ok +%s, the plugin in /usr/lib/dovecot/modules "
                     "fits$" % abi(), said, re.M), said


def test_no_dovecot_or_no_plugin(here):
    """Nothing to say: it may be elsewhere, or use another driver."""
    kept = (here.modules / STOCK).read_bytes()
    for names in [STOCK], [IMAP, PUSH]:
        for name in names:
            (here.modules / name).unlink()
        status, said, warnings = here.check("--offline")
        assert (status, warnings) == (0, "") and "Dovecot" not in said, said
        if names == [STOCK]:
            (here.modules / STOCK).write_bytes(kept)
    # another one alone is not our business
    (here.modules / "lib25_xaps_imap_plugin.so").write_text("?")
    assert "Dovecot" not in "".join(map(str, here.check("--offline")))
    shutil.rmtree(here.modules)
    assert "Dovecot" not in "".join(map(str, here.check("--offline")))


CHANGES = {
    "ABI": (other_abi, "is for another Dovecot, 2.3.ABIv07, so " + LOCKED),
    "machine": (elf(18, b"\xb7\0"), "another machine or C library"),
    "byte order": (elf(5, b"\2"), "another machine or C library"),
    "musl": (lambda data: data.replace(b"libc.so.6", b"libc.so\0\0"),
             "another machine or C library"),
    "empty": (lambda data: b"", "is damaged"),
    "no ELF": (lambda data: b"#!/bin/sh\n" * 99, "is damaged"),
    "half": (lambda data: data[:len(data) // 2], "is damaged"),
    "all but a byte": (lambda data: data[:-1], "is damaged"),
    "the head alone": (lambda data: data[:64], "is damaged"),
    "no ABI": (lambda data: data.replace(b".ABIv", b".ABIw"), "is damaged"),
    "sections nowhere": (elf(0x28, b"\xff" * 8), "is damaged"),
    "too many sections": (elf(0x3a, b"\xff" * 4), "is damaged"),
    "far too long an ABI": (lambda data: re.sub(
        rb"2\.3\.ABIv\d\d.{40}", b"2.3.ABIv" + b"1" * 42, data, flags=re.S),
        "is damaged"),
}


@pytest.mark.parametrize("name", [IMAP, PUSH])
@pytest.mark.parametrize("change, what", CHANGES.values(), ids=CHANGES)
def test_of_another_dovecot_or_damaged(here, name, change, what):
    here.change(name, change)
    fault, = here.faults()
    assert fault.startswith("/usr/lib/dovecot/modules/%s is " % name)
    assert what in fault and LOCKED in fault, fault
    assert fault.endswith(": install the plugin for " + abi()), fault


def test_dovecot_was_upgraded(here):
    here.change(STOCK, other_abi)
    faults = here.faults()
    assert len(faults) == 2
    assert all("is for another Dovecot, %s, so " % abi() in f and f.endswith(
        "install the plugin for 2.3.ABIv07") for f in faults), faults


@pytest.mark.parametrize("name", [IMAP, PUSH])
def test_one_is_missing(here, name):
    (here.modules / name).unlink()
    fault, = here.faults()
    assert fault.startswith("/usr/lib/dovecot/modules/%s is missing" % name)
    (here.modules / name).symlink_to("/nowhere")
    assert here.faults() == [fault]


def test_dovecot_2_4_needs_settings(here):
    def newer(data):
        return re.sub(rb"2\.3\.ABIv\d\d", b"2.4.ABIv1\0", data)

    for name in STOCK, IMAP, PUSH:
        here.change(name, newer)
    fault, = here.faults()
    assert SETTINGS + " is missing" in fault and "for 2.4.ABIv1" in fault
    shutil.copy(here.modules / IMAP, here.modules / SETTINGS)
    assert here.faults() == []
    # ready made, or linked with --as-needed (Ubuntu), it needs no C library
    here.change(SETTINGS, lambda data: data.replace(b"libc.so.6", b"none.so.6"))
    assert here.faults() == []
    here.change(SETTINGS, lambda data: data.replace(b"4.ABIv1", b"4.ABIv5"))
    fault, = here.faults()
    assert SETTINGS + " is for another Dovecot, 2.4.ABIv5" in fault


@pytest.mark.parametrize("name, is_told", [
    ("lib25_xaps_imap_plugin.so", True),
    ("lib95xaps_imap_plugin.so", False),
    ("xaps_push_notification_plugin.so", True),
    ("lib_xaps_imap_plugin.so", True),
    ("lib095_xaps_plugin.so", True),
    ("settings/lib25_xaps_settings.so", True),
    ("settings/" + IMAP, True),
    ("lib25_xaps_imap_plugin.so.bak", False),
    ("lib25_xaps_imap_plugin.so.so", False),
    (".lib25_xaps_imap_plugin.so", False),
    ("lib25_other_xaps_imap_plugin.so", False)])
def test_others_beside_ours(here, name, is_told):
    """By Dovecot's own rule of which files are the same module."""
    shutil.copy(here.modules / IMAP, here.modules / name)
    faults = here.faults()
    assert len(faults) == is_told, faults
    if is_told:
        assert LOCKED in faults[0] and faults[0].endswith(
            ": rm /usr/lib/dovecot/modules/" + name), faults


def test_a_copy_in_a_subfolder(here):
    (here.modules / "old").mkdir()
    shutil.copy(here.modules / IMAP, here.modules / "old")
    fault, = here.faults()
    assert fault == ("/usr/lib/dovecot/modules/old/%s is in the wrong folder: rm "
                     "/usr/lib/dovecot/modules/old/%s" % (IMAP, IMAP))


def test_a_link_to_the_folder_itself(here):
    """Whoever removed what is told in it would remove the modules."""
    (here.modules / "all").symlink_to(".")
    (here.modules / "loop").symlink_to("loop")
    assert here.faults() == []


def test_one_folder_by_two_names(here):
    """As /usr/lib64 may be /usr/lib."""
    here.modules.rename(here.folder / "elsewhere")
    for path in (here.folder / "elsewhere").iterdir():
        path.rename(here.folder / path.name)
    here.modules.symlink_to(".")
    _, said, _ = here.check("--offline")
    assert len(re.findall("^Dovecot +ok", said, re.M)) == 1, said
    (here.folder / PUSH).unlink()
    assert len(here.faults()) == 1


@pytest.mark.parametrize("mode, what", [
    (0o600, "is not readable by everybody, so " + LOCKED),
    (0o640, "is not readable by everybody, so " + LOCKED),
    (0o666, "can be changed by others than its owner:"),
    (0o664, "can be changed by others than its owner:")])
def test_permissions(here, mode, what):
    (here.modules / IMAP).chmod(mode)
    fault, = here.faults()
    assert what in fault, fault
    assert fault.endswith("chmod 644 /usr/lib/dovecot/modules/" + IMAP)


def test_all_at_once(here):
    (here.modules / PUSH).unlink()
    (here.modules / IMAP).chmod(0o600)
    (here.modules / "lib1_xaps_imap_plugin.so").write_text("")
    assert len(here.faults()) == 3


def test_without_offline_the_step_has_failed(here):
    """And the others are done all the same."""
    here.change(IMAP, other_abi)
    status, said, _ = here.check()
    assert status == 1
    assert re.search(r"^Dovecot +FAILED +/usr/lib/dovecot/modules/" + IMAP, said,
                     re.M), said
    assert re.search("^database +ok", said, re.M), said
    status, said, _ = here.check("--json")
    steps = json.loads(said)["steps"]
    assert ("Dovecot", "failed") in [(s["step"], s["result"]) for s in steps]


def test_no_file_at_all(here):
    """Anything may be of that name: it neither waits nor fails."""
    path = here.modules / IMAP
    for make in (os.mkfifo, os.mkdir,
                 lambda p: p.symlink_to(p), lambda p: p.symlink_to("/dev/zero"),
                 lambda p: p.write_bytes(b"") or os.truncate(p, 1 << 40)):
        path.unlink()
        make(path)
        fault, = here.faults()
        assert IMAP in fault and LOCKED in fault, fault
        assert "chmod" not in fault, fault
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
            path.touch()
    (here.modules / "xaps_\x1b[31m\n.so").touch()
    (here.modules / ("xaps_%s.so" % ("x" * 247))).touch()
    faults = here.faults()
    assert len(faults) == 3 and "xaps_?[31m?.so" in here.check("--offline")[2]


def test_hostile_heads(here):
    """Whatever stands in a file, there is a sentence or none."""
    chance = random.Random(18)
    whole = (here.modules / IMAP).read_bytes()
    for _ in range(40):
        data = bytearray(whole[:chance.choice([len(whole), 5000, 70, 64, 63])])
        for _ in range(chance.randrange(1, 12)):
            data[chance.randrange(64 if chance.random() < 0.8 else len(data))
                 % len(data)] = chance.choice([0, 1, 0x7f, 0x80, 0xff])
        (here.modules / IMAP).write_bytes(data)
        assert len(here.check("--offline")[2].splitlines()) <= 1
