"""Registrations and their file, as users meet them: ceilings, disks that fill
up, files that people edited or mounted, shared folders, changed topics."""

import contextlib
import hashlib
import json
import os
import subprocess
import time

import pytest

from many import register_many
from phones import ACCOUNT, TOKEN, token
from xapsd import Xapsd

NOW = int(time.time())
WATCHED = ["INBOX", "Notes", "Sent Messages"]


def line(user, account=ACCOUNT, token=TOKEN, when=NOW, **more):
    return json.dumps({"user": user, "account": account, "token": token,
                       "mailboxes": ["INBOX"], "acked": True, "time": when,
                       **more}, separators=(",", ":")) + "\n"


def ends_at_start(daemon):
    """It must refuse to start; returns what it says."""
    daemon.wait = False
    daemon.start()
    code = daemon.process.wait(20)
    daemon.process = None
    assert code in (1, 78)
    return daemon.log()


@contextlib.contextmanager
def mounted(*args):
    """mount ARGS, undone in the end; needs root."""
    done = subprocess.run(["mount", *map(str, args)], capture_output=True)
    if done.returncode != 0:
        pytest.skip("cannot mount: %r" % done.stderr)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(args[-1])], check=True)


# --- ceilings ---

def test_devices_of_a_user(start_xapsd):
    daemon = start_xapsd(maxDevices=3)
    for i in range(3):
        daemon.register("alice", ACCOUNT, token(i))
    daemon.register("bob", ACCOUNT, token(0))
    daemon.stop()
    daemon.database.write_text("".join(
        line("alice", token=token(i), when=NOW - 86400 * (3 + i))
        for i in range(3)) + line("bob", token=token(0)))
    daemon.start()
    daemon.register("alice", ACCOUNT, token(2))     # a renewal
    assert daemon.status()["registrations"] == 4
    daemon.register("Alice", ACCOUNT, token(3))
    daemon.wait_log(r"warn .*alice: 00000000….* removed: .*maxDevices")
    assert daemon.status()["registrations"] == 4
    listed = {r["token"] for r in json.loads(
        daemon.run("list", "--json", "alice").stdout)}
    assert listed == {token(0), token(2), token(3)}


def test_devices_of_one_second(start_xapsd):
    """Of those renewed in the same second the first ones go."""
    daemon = start_xapsd(maxDevices=5)
    for i in [*range(5), 0, *range(5, 9)]:
        daemon.register("alice", "A%d" % i, token(i), keep=True)
    listed = {r["token"] for r in json.loads(
        daemon.run("list", "--json", "alice").stdout)}
    assert listed == {token(i) for i in (0, 5, 6, 7, 8)}


def test_devices_are_bounded_in_time(start_xapsd):
    """3,000 of one user cost each notification of that user 0.2 s."""
    daemon = start_xapsd(loglevel="error")
    register_many(daemon, (("alice", "A%d" % i, token(i))
                           for i in range(3000)))
    assert daemon.status()["registrations"] == 50
    begun = daemon.cpu_s()
    for _ in range(100):
        daemon.notify("alice", keep=True)
    assert daemon.cpu_s() - begun < 5


def test_registrations_in_all(start_xapsd):
    daemon = start_xapsd(maxRegistrations=5)
    for i in range(5):
        daemon.register("u%d" % i, ACCOUNT, token(i))
    for i in range(5, 8):
        reply = daemon.post_register("u%d" % i, ACCOUNT, token(i))
        assert reply.status == 503
        assert "maxRegistrations" in reply.body
    assert daemon.log().count("maxRegistrations allows no more") == 1
    daemon.register("u0", ACCOUNT, token(0), ["INBOX", "Notes"])
    assert daemon.run("forget", "u1").returncode == 0
    daemon.register("u6", ACCOUNT, token(6))
    assert daemon.status()["registrations"] == 5


def test_bytes_in_all(start_xapsd):
    daemon = start_xapsd(maxRegistrations=1000, loglevel="error")
    boxes = ["%04d" % i + "x" * 900 for i in range(60)]
    for i in range(1000):
        reply = daemon.post_register(
            "u%d" % i, ACCOUNT, token(i), boxes, keep=True)
        if reply.status != 200:
            break
    assert reply.status == 503 and "KiB" in reply.body, reply
    assert 15 < i < 20      # 1,000 times 1 KiB, by 54 KiB
    daemon.register("u0", ACCOUNT, token(0), ["INBOX"])
    assert daemon.notify("u0").status == 200


def test_limits_of_names(start_xapsd):
    daemon = start_xapsd()
    long = "é" * 512
    daemon.register("u" * 255, "A" * 200, "f" * 200, ["INBOX", long])
    assert daemon.notify("U" * 255, long).status == 200
    for fields in ({"user": "u" * 256}, {"account": "A" * 201},
                   {"token": "f" * 201}, {"token": "f" * 15},
                   {"mailboxes": [long + "x"]},
                   {"mailboxes": ["x%d" % i for i in range(1001)]}):
        reply = daemon.post_register(**{
            "user": "u", "account": ACCOUNT, "token": TOKEN, **fields})
        assert reply.status == 400, fields
    daemon.register("v", ACCOUNT, TOKEN, ["x%d" % i for i in range(1000)])
    daemon.stop()
    daemon.start()
    assert daemon.notify("v", "x999").status == 200
    assert daemon.notify("u" * 255, long).status == 200
    assert daemon.status()["registrations"] == 2


# --- what is written ---

def test_order_is_no_change(start_xapsd):
    daemon = start_xapsd()
    daemon.register("alice", ACCOUNT, TOKEN, WATCHED)
    before = daemon.database.read_bytes()
    for boxes in (WATCHED[::-1], ["Notes", "inbox", "Sent Messages", "Notes"],
                  WATCHED):
        daemon.register("alice", ACCOUNT, TOKEN, boxes)
        assert daemon.database.read_bytes() == before
    daemon.register("alice", ACCOUNT, TOKEN, WATCHED[:2])
    assert len(daemon.records()) == 2


def test_alternating_lists(start_xapsd):
    """Ten are written, then memory has the newest; a stop writes it."""
    daemon = start_xapsd()
    for i in range(60):
        daemon.register("alice", ACCOUNT, TOKEN, ["INBOX", "F%d" % (i % 2)],
                        keep=True)
        assert daemon.notify("alice", "F%d" % (i % 2), keep=True).status == 200
        assert daemon.notify("alice", "F%d" % ((i + 1) % 2),
                             keep=True).status == 204
    assert len(daemon.records()) == 11
    daemon.register("bob", ACCOUNT, TOKEN)      # others as ever
    assert daemon.records()[-1]["user"] == "bob"
    daemon.stop()
    assert daemon.records()[-1]["mailboxes"] == ["INBOX", "F1"]


def test_disk_full_heals_by_itself(start_xapsd, workdir):
    disk = workdir / "disk"
    disk.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=64k", "none", disk):
        daemon = start_xapsd(databaseFile=str(disk / "db"))
        daemon.database = disk / "db"
        daemon.register("before", ACCOUNT, TOKEN)
        filler = os.open(disk / "filler", os.O_WRONLY | os.O_CREAT)
        with contextlib.suppress(OSError):
            while True:
                os.write(filler, b"x" * 1024)
        os.close(filler)
        boxes = ["INBOX"] + ["x" * 1000] * 6
        reply = daemon.post_register("alice", ACCOUNT, TOKEN, boxes)
        assert reply.status == 503 and "No space" in reply.body, reply
        assert "kept in memory" in reply.body
        # What is on disk is still so, and pushes go on.
        assert daemon.post_register("before", ACCOUNT, TOKEN).status == 200
        assert daemon.notify("alice").status == 200
        assert daemon.post_register("bob", ACCOUNT, TOKEN,
                                    boxes).status == 503
        os.unlink(disk / "filler")
        # Nobody asked for it: it is tried again after as long as it took
        # until now.
        daemon.wait_log("on disk again", timeout=90)
        log = daemon.log()
        assert log.count("No space left") == 1
        assert log.count("on disk again") == 1
        assert [r["user"] for r in daemon.records()] == [
            "before", "alice", "bob"]
        daemon.register("carol", ACCOUNT, TOKEN)
        daemon.stop()


def test_read_only_disk(start_xapsd, workdir):
    disk = workdir / "disk"
    disk.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=1m", "none", disk):
        daemon = start_xapsd(databaseFile=str(disk / "db"))
        daemon.database = disk / "db"
        daemon.register("before", ACCOUNT, TOKEN)
        # Open for writing it cannot be made read-only: full and over.
        daemon.stop()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert "Read-only" in ends_at_start(daemon)


def test_idle_while_nothing_waits(start_xapsd):
    """The timers of above are not there in good times."""
    daemon = start_xapsd()
    daemon.apple.wait_connected()
    daemon.register("alice", ACCOUNT, TOKEN)
    daemon.wait_asleep(2)


# --- files of people ---

GO_DEVICE = {"DeviceToken": TOKEN, "Mailboxes": ["INBOX"],
             "RegistrationTime": "2026-01-02T03:04:05Z"}
GO = {"Users": {"alice": {"Accounts": {ACCOUNT: GO_DEVICE}}}}
LOWER = {"users": {"alice": {"accounts": {ACCOUNT: {
    "devicetoken": TOKEN, "mailboxes": ["INBOX"]}}}}}
SORTED = {"A": 1, **GO, "Z": {}}


@pytest.mark.parametrize("text", [
    json.dumps(GO), json.dumps(LOWER), "\ufeff" + json.dumps(GO),
    json.dumps(SORTED, indent=2, sort_keys=True).replace("\n", "\r\n"),
    "\n\t" + json.dumps(GO, indent=4) + "\n\n"])
def test_edited_go_database(start_xapsd, text):
    daemon = start_xapsd()
    daemon.stop()
    daemon.database.write_text(text, newline="")
    daemon.start()
    assert daemon.notify("alice").status == 200
    assert (daemon.folder / "database.json.orig").read_text() == text or \
        (daemon.folder / "database.json.orig").read_bytes() == text.encode()
    assert daemon.records()[0]["user"] == "alice"
    assert not (daemon.folder / "database.json.bad").exists()


@pytest.mark.parametrize("data", [
    json.dumps(GO).encode("utf-16"), json.dumps(GO).encode("utf-16-le"),
    b"\x1f\x8b\x08\0\n\n\0\n", b"-----BEGIN PRIVATE KEY-----\nMIG\n",
    json.dumps(GO)[:-3].encode(), b'{"Users":[]}', b"\0\1\2\n\3"])
def test_stranger_is_left_alone(workdir, certs, data):
    daemon = Xapsd(workdir, certs)
    daemon.database.write_bytes(data)
    log = ends_at_start(daemon)
    assert "database.json" in log
    assert "move it away" in log
    assert daemon.database.read_bytes() == data


def test_no_newline_at_the_end(start_xapsd):
    """Complete except for that: it counts, and the next one begins a line."""
    daemon = start_xapsd()
    daemon.stop()
    daemon.database.write_bytes(
        b"\xef\xbb\xbf" + (line("alice").strip() + "\r\n" +
                           line("bob").strip()).encode())
    daemon.start()
    daemon.register("carol", ACCOUNT, TOKEN)
    assert {r["user"] for r in daemon.records()} == {"alice", "bob", "carol"}


def test_torn_line_is_kept_aside(start_xapsd):
    daemon = start_xapsd()
    daemon.stop()
    torn = line("bob")[:70]
    daemon.database.write_text(line("alice") + torn)
    daemon.start()
    daemon.wait_log(r"warn .*torn")
    assert (daemon.folder / "database.json.bad").read_text() == torn + "\n"
    assert daemon.database.read_text() == line("alice")


def test_mounted_file(start_xapsd, workdir):
    """As `docker run -v file:file`: nothing can take its name."""
    outside = workdir / "outside.json"
    outside.write_text(json.dumps(GO))
    daemon = start_xapsd()
    daemon.stop()
    daemon.database.touch()
    with mounted("--bind", outside, daemon.database):
        daemon.start()
        daemon.wait_log(r"warn .*mount its directory")
        assert daemon.notify("alice").status == 200
        assert json.loads(outside.read_text())["user"] == "alice"
        orig = daemon.folder / "database.json.orig"
        assert orig.read_text() == json.dumps(GO)
        # Enough to be rewritten.
        boxes = ["%04d" % i + "x" * 100 for i in range(100)]
        for i in range(40):
            daemon.register("u%d" % i, ACCOUNT, TOKEN, boxes)
            daemon.run("forget", "u%d" % i)
        assert outside.stat().st_size < 100_000
        daemon.kill()
        # Cut short while it was written over: the copy counts.
        whole = outside.read_bytes()
        (daemon.folder / "database.json.copy").write_bytes(whole)
        outside.write_bytes(whole[:20])
        daemon.start()
        daemon.wait_log(r"warn .*cut short")
        assert daemon.notify("alice").status == 200
        assert outside.read_bytes() == whole
        assert not (daemon.folder / "database.json.copy").exists()
        daemon.stop()


def test_directory_not_writable(start_xapsd, workdir):
    """The file can be appended to; a bad line stays where it is."""
    disk = workdir / "disk"
    disk.mkdir()
    (disk / "db").write_text(line("alice") + "nonsense\n")
    files = workdir / "files"
    files.mkdir()
    (files / "db").write_text(line("alice") + "nonsense\n")
    with mounted("--bind", disk, disk):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(disk)],
                       check=True)
        with mounted("--bind", files / "db", disk / "db"):
            daemon = start_xapsd(databaseFile=str(disk / "db"))
            daemon.wait_log(r"warn .*bad lines stay in the file")
            assert daemon.notify("alice").status == 200
            daemon.register("bob", ACCOUNT, TOKEN)
            text = (files / "db").read_text()
            assert text.startswith(line("alice") + "nonsense\n")
            assert json.loads(text.splitlines()[-1])["user"] == "bob"
            daemon.stop()


# --- whose mailbox ---

def md5(name):
    return hashlib.md5(name.encode()).hexdigest()


def register_shared(daemon, user, i, boxes):
    """boxes: spelling -> (owner, mailbox)"""
    daemon.register(user, ACCOUNT, token(i), list(boxes), Canonical=[
        {"owner": o, "mailbox": m} for o, m in boxes.values()])


def notify(daemon, user, mailbox, owner=None):
    fields = {"Username": user, "Mailbox": mailbox, "Events": ["MessageNew"]}
    if owner is not None:
        fields["Owner"] = owner
    return daemon.request("POST", "/notify", fields).status


def woken(daemon, start, n):
    """Device -> hashes of the pushes since."""
    apple = daemon.apple
    apple.wait_for(start + n)
    daemon.wait_until(lambda: daemon.status()["queue"] == 0, "empty queue")
    pushes = apple.pushes[start:]
    assert len(pushes) == n
    return {p.token: p.aps["m"] for p in pushes}


def test_shared_folders(start_xapsd, apple):
    daemon = start_xapsd()
    register_shared(daemon, "alice", 0, {"INBOX": ("alice", "INBOX"),
                                         "Lists": ("alice", "Lists")})
    register_shared(daemon, "bob", 1, {
        "INBOX": ("bob", "INBOX"), "shared/alice/INBOX": ("Alice", "INBOX"),
        "Public/News": ("public:Public", "News")})
    for round in range(2):
        for who, box, owner, devices in (
                ("alice", "INBOX", None, {0: "INBOX",
                                          1: "shared/alice/INBOX"}),
                ("alice", "inbox", "alice", {0: "INBOX",
                                             1: "shared/alice/INBOX"}),
                ("bob", "INBOX", "ALICE", {0: "INBOX",
                                           1: "shared/alice/INBOX"}),
                ("alice", "Lists", "alice", {0: "Lists"}),
                ("bob", "INBOX", None, {1: "INBOX"}),
                ("carol", "News", "public:Public", {1: "Public/News"})):
            start = len(apple.pushes)
            assert notify(daemon, who, box, owner) == 200
            assert woken(daemon, start, len(devices)) == {
                token(i): [md5(name)] for i, name in devices.items()}, box
        assert notify(daemon, "bob", "Other", "alice") == 204
        assert notify(daemon, "bob", "shared/alice/INBOX") == 204
        assert notify(daemon, "bob", "X", "nobody") == 204
        assert notify(daemon, "nobody", "X", "alice") == 204
        assert notify(daemon, "nobody", "X", "public:Other") == 404
        daemon.stop()
        daemon.start()
        apple.wait_connected()
    # First without the permission, then without the user.
    register_shared(daemon, "bob", 1, {"INBOX": ("bob", "INBOX")})
    start = len(apple.pushes)
    assert notify(daemon, "alice", "INBOX") == 200
    assert set(woken(daemon, start, 1)) == {token(0)}
    register_shared(daemon, "bob", 1, {"a": ("alice", "INBOX")})
    assert daemon.run("forget", "alice").returncode == 0
    assert notify(daemon, "alice", "INBOX") == 200
    assert daemon.run("forget", "bob").returncode == 0
    assert notify(daemon, "alice", "INBOX") == 404


def test_canonical_names(start_xapsd):
    """By the canonical name and no other, where it is said."""
    daemon = start_xapsd()
    register_shared(daemon, "alice", 0, {
        "INBOX.Sent": ("alice", "Sent"), "Entw&APw-rfe": ("alice", "Entwürfe"),
        "R&-D": ("ALICE", "R&D")})
    for name, want in (("Sent", 200), ("INBOX.Sent", 204), ("Entwürfe", 200),
                       ("Entw&APw-rfe", 204), ("R&D", 200), ("R&-D", 204)):
        assert notify(daemon, "alice", name) == want, name
    # Without it as before.
    daemon.register("alice", ACCOUNT, token(0), ["INBOX.Sent", "Entw&APw-rfe"])
    assert notify(daemon, "alice", "INBOX.Sent") == 200
    assert notify(daemon, "alice", "Entwürfe") == 200
    assert notify(daemon, "alice", "Sent") == 204


def test_not_acknowledged(start_xapsd):
    """Without names a phone would look into an INBOX of its own."""
    daemon = start_xapsd()
    daemon.register("bob", ACCOUNT, TOKEN, ["INBOX", "x"], acked=False,
                    Canonical=[{"owner": "bob", "mailbox": "INBOX"},
                               {"owner": "alice", "mailbox": "INBOX"}])
    assert notify(daemon, "alice", "INBOX") == 404
    assert notify(daemon, "bob", "INBOX") == 200


@pytest.mark.parametrize("canonical", [
    None, {}, "x", [], [1], [None], [{}], [{"owner": "a"}],
    [{"owner": "a", "mailbox": 1}], [{"owner": "", "mailbox": "b"}],
    [{"owner": "a", "mailbox": ""}], [{"owner": "a" * 256, "mailbox": "b"}],
    [{"owner": "a", "mailbox": "b" * 2049}],
    [{"owner": "a\n", "mailbox": "b"}], [{"owner": "a", "mailbox": "b\t"}],
    [{"owner": "a", "mailbox": "b"}] * 2])
def test_bad_canonical(xapsd, canonical):
    reply = xapsd.post_register("alice", ACCOUNT, TOKEN, ["INBOX"],
                                Canonical=canonical)
    assert reply.status == 400 and "anonical" in reply.body, reply
    assert xapsd.notify("alice").status == 404


@pytest.mark.parametrize("owner", [7, None, "x" * 256, ["a"]])
def test_bad_owner(xapsd, owner):
    reply = xapsd.request("POST", "/notify", {
        "Username": "alice", "Mailbox": "INBOX", "Events": [], "Owner": owner})
    assert reply.status == 400 and "Owner" in reply.body


def test_thousand_canonical_names(start_xapsd):
    daemon = start_xapsd()
    register_shared(daemon, "bob", 0, {
        "s/%d" % i: ("o%d" % i, "b%d" % i) for i in range(1000)})
    for i in (0, 500, 999):
        assert notify(daemon, "o%d" % i, "b%d" % i) == 200
    daemon.stop()
    daemon.start()
    assert notify(daemon, "x", "b999", "o999") == 200
    assert notify(daemon, "x", "b999", "o998") == 404


def test_shared_folder_is_tested(start_xapsd, apple):
    """`xapsd push` takes the name as the phone shows it."""
    daemon = start_xapsd()
    register_shared(daemon, "bob", 1, {"shared/alice/INBOX":
                                       ("alice", "INBOX")})
    assert daemon.run("push", "bob", "shared/alice/INBOX").returncode == 0
    assert apple.pushes[0].aps["m"] == [md5("shared/alice/INBOX")]


# --- topics ---

def test_topic_changes(start_xapsd, certs):
    daemon = start_xapsd()
    daemon.register("alice", ACCOUNT, token(0))
    daemon.register("bob", ACCOUNT, token(1))
    assert daemon.status()["oldTopic"] == 0
    assert "topic" not in daemon.records()[0]
    old = daemon.config["keyFileTopic"]
    daemon.stop()
    daemon.config["keyFileTopic"] = new = "com.apple.mobilemail.push.com.new"
    daemon.start()
    for left in (2, 1, 0):
        assert daemon.status()["oldTopic"] == left
        states = daemon.run("list").stdout.count("old topic")
        assert states == left
        waiting = [r["user"] for r in json.loads(
            daemon.run("list", "--json").stdout) if r.get("oldTopic") == old]
        assert waiting == ["alice", "bob"][2 - left:]
        assert "%d with an old topic" % left in daemon.run("status").stdout
        daemon.stop()       # it is remembered
        daemon.start()
        assert daemon.status()["oldTopic"] == left
        if left:
            assert daemon.register(*{2: ("alice", ACCOUNT, token(0)),
                                     1: ("bob", ACCOUNT, token(1))}[
                                         left]) == new
    # Back by a reload.
    daemon.config["keyFileTopic"] = old
    daemon.write_config()
    start = daemon.log_size()
    daemon.reload() if hasattr(daemon, "reload") else \
        daemon.process.send_signal(1)
    daemon.wait_log("read again", start=start)
    assert daemon.status()["oldTopic"] == 2
