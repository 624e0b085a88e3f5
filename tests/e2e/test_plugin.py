"""The Dovecot modules in a real Dovecot, with a stand-in for xapsd."""
import contextlib
import itertools
import os
import pathlib
import random
import re
import shutil
import socket
import statistics
import subprocess
import tempfile
import time

import pytest

import fake_xapsd as fx
from dovecot import (ANSWER_MS, LATE_S, PLUGIN_SOURCE, Dovecot, DovecotError,
                     Imap, WAIT_S, dovecot_config, least, version,
                     wait_for)
from fake_xapsd import TOPIC, FakeXapsd
from phones import ACCOUNT, TOKEN
from xapsd import loopback_name

PLUGIN = os.environ.get(
    "PLUGIN", str(pathlib.Path(__file__).parents[2] / "build" / "plugin"))
FUZZ_N = int(os.environ.get("XAPS_FUZZ_N", "400"))
IS_2_3 = version()[:2] == (2, 3)

LOCAL = loopback_name()
MAIL = "From: a@example.net\nSubject: Hello\n\nHello.\n"
EVENTS = ["MessageNew", "MessageAppend", "MessageExpunge", "MessageRead",
          "MessageTrash", "FlagsSet", "FlagsClear"]
COUNT = itertools.count(1)


# --- servers ---

@pytest.fixture(scope="module")
def session_dir():
    with folder() as path:
        yield path


@pytest.fixture
def work_dir():
    with folder() as path:
        yield path


class folder:
    """Short, for sockets' paths, and open to mail users."""

    def __enter__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="xaps-"))
        self.path.chmod(0o755)
        return self.path

    def __exit__(self, *exc):
        shutil.rmtree(self.path, ignore_errors=True)


class Server:
    """Dovecot and the stand-in for xapsd."""

    def __init__(self, dovecot, fake):
        self.dovecot = dovecot
        self.fake = fake

    def imap(self, user):
        return self.dovecot.imap(user)

    def registered(self, user, count=1):
        return [r.json for r in self.fake.wait(count, "/register", user)]

    def notified(self, user, count=1):
        return [r.json for r in self.fake.wait(count, "/notify", user)]

    def notified_one_by_one(self, user, count, change):
        """Calls change() so often, each time when the one before is told:
        equal ones that wait for a second are merged."""
        for i in range(count):
            change()
            self.notified(user, i + 1)

    def settled(self, user, count=0):
        """All that was sent for the user before now, without the mark that
        this adds at the end. The mark comes from another process and may
        overtake others, so wait for expected ones first."""
        self.fake.wait(count, "/notify", user)
        self.dovecot.deliver(f"{user}+mark", MAIL)
        wait_for(lambda: any(r.json["Mailbox"] == "mark" for r in
                             self.fake.of("/notify", user)), what="mark")
        return [r.json for r in self.fake.of("/notify", user)
                if r.json["Mailbox"] != "mark"]


def settings(fake, **more):
    url = f"unix:{fake.path}" if fake.path else \
        f"http://{LOCAL}:{fake.port}"
    return {"url": url, **more}


def patient(xaps):
    """With much time for an answer, where nothing is said of it; None is the
    default."""
    xaps = {"timeout_msecs": ANSWER_MS, "register_timeout_msecs": ANSWER_MS,
            **xaps}
    return {key: value for key, value in xaps.items() if value is not None}


def comes(server, fake, line, user="alice", tries=20):
    """A phone's sessions until one of them is told: a visit is tried for a
    second, which a busy machine may need for something else."""
    for _ in range(tries):
        with server.imap(user) as c:
            c.ok(line)
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                if fake.of("/seen", user):
                    return
                time.sleep(0.01)
    raise TimeoutError("no visit was told")


@pytest.fixture(scope="module")
def shared(session_dir):
    with FakeXapsd(str(session_dir / "xapsd.sock")) as fake, \
            Dovecot(session_dir, PLUGIN, patient(settings(fake))) as dovecot:
        yield Server(dovecot, fake)


@pytest.fixture
def server(shared):
    """The shared one; after the test it must be as healthy as before."""
    start = shared.dovecot.log_size()
    yield shared
    check_health(shared.dovecot, start)


@pytest.fixture
def own(work_dir):
    """make(settings, ...) -> Server with a Dovecot of the test's own, which
    is patient unless there are no settings at all."""
    made = []

    def make(fake=None, xaps=None, **options):
        xaps = settings(fake) if xaps is None else xaps
        dovecot = Dovecot(work_dir, PLUGIN, patient(xaps) if xaps else {},
                          **options)
        made.append(dovecot)
        dovecot.start()
        return Server(dovecot, fake)

    yield make
    for dovecot in made:
        dovecot.stop()
        check_health(dovecot, 0, alive=False)


def check_health(dovecot, start, alive=True):
    bad = dovecot.trouble(start)
    assert not bad, "\n".join(bad)
    if alive:
        assert dovecot.alive()
        with dovecot.imap("health") as c:
            c.ok("NOOP")


@pytest.fixture
def user():
    return f"user{next(COUNT)}"


# --- the command's arguments ---

def arguments(mailboxes="(INBOX)", **change):
    """Key and value pairs, None leaves one out."""
    pairs = {"aps-version": "2", "aps-account-id": ACCOUNT,
             "aps-device-token": TOKEN,
             "aps-subtopic": "com.apple.mobilemail", "mailboxes": mailboxes}
    for key, value in change.items():
        key = key.replace("_", "-")
        pairs[key if key in pairs else f"aps-{key}"] = value
    return [f"{k} {v}" for k, v in pairs.items() if v is not None]


def command(mailboxes="(INBOX)", **change):
    return "XAPPLEPUSHSERVICE " + " ".join(arguments(mailboxes, **change))


FINAL = f'* XAPPLEPUSHSERVICE aps-version "2" aps-topic "{TOPIC}"'


def lines(*mailboxes):
    return [f"* XAPPLEPUSHSERVICE mailbox {m}" for m in mailboxes] + [FINAL]


def assert_ok(reply, *mailboxes):
    untagged, tagged = reply
    assert untagged == lines(*mailboxes)
    assert re.match(r"\S+ OK XAPPLEPUSHSERVICE completed", tagged)


def kind(tagged):
    return tagged.split(" ")[1]


# --- capability and the plain case ---

def test_capability_only_after_login(server, user):
    with Imap(server.dovecot.imap_port) as c:
        assert "XAPPLEPUSHSERVICE" not in c.greeting
        assert "XAPPLEPUSHSERVICE" not in " ".join(c.ok("CAPABILITY"))
        assert kind(c.cmd(command())[1]) == "BAD"
        assert kind(c.cmd(f"LOGIN {user} secret")[1]) == "OK"
        assert "XAPPLEPUSHSERVICE" in c.ok("CAPABILITY")[0].split()
        assert_ok(c.cmd(command()), "INBOX")


def test_register(server, user):
    with server.imap(user) as c:
        c.ok("CREATE Notes")
        assert_ok(c.cmd(command("(INBOX Notes)")), "INBOX", "Notes")
    request = server.fake.wait(1, "/register", user)[0]
    assert request.json == {
        "ApsAccountId": ACCOUNT, "ApsDeviceToken": TOKEN,
        "ApsSubtopic": "com.apple.mobilemail", "Username": user,
        "Mailboxes": ["INBOX", "Notes"], "Canonical": [
            {"owner": user, "mailbox": "INBOX"},
            {"owner": user, "mailbox": "Notes"}],
        "MailboxesAcknowledged": True}
    assert "content-type: application/json" in request.head.lower()
    assert request.head.startswith("POST /register HTTP/1.1\r\n")
    assert "\r\nHost: localhost\r\n" in request.head


def test_twice_in_a_session(server, user):
    with server.imap(user) as c:
        assert_ok(c.cmd(command()), "INBOX")
        server.fake.behave(user, fx.topic(b"other.topic"))
        assert c.ok(command())[-1].endswith('aps-topic "other.topic"')
        server.fake.behave(user, fx.status(500))
        untagged, tagged = c.cmd(command())  # nothing is remembered
        assert not untagged and kind(tagged) == "NO"
    assert len(server.registered(user, 3)) == 3


def test_two_accounts_in_one_process(own, work_dir):
    with FakeXapsd(str(work_dir / "x")) as fake:
        count = "service_count = 0" if IS_2_3 else \
            "restart_request_count = unlimited"
        server = own(fake, extra="service imap {\n process_limit = 1\n"
                                 f" client_limit = 10\n {count}\n}}")
        gate = fx.Gate()
        fake.behave("one", gate)
        fake.behave("two", fx.topic(b"two.topic"))
        with server.imap("one") as one, server.imap("two") as two:
            one.ok("CREATE Private")
            one.send("x " + command("(INBOX Private)") + "\r\n")
            reply = two.ok(command("(INBOX Private)"))
            assert reply == [
                "* XAPPLEPUSHSERVICE mailbox INBOX",
                '* XAPPLEPUSHSERVICE aps-version "2" aps-topic "two.topic"']
            gate.open()
            assert_ok(one.result("x"), "INBOX", "Private")
        pids = wait_for(lambda: len(p := re.findall(
            r"mpid=(\d+)", server.dovecot.log())) >= 2 and p, what="log-ins")
        assert len(set(pids)) == 1


def test_no_idle_connection_is_kept_for_the_command(server, user):
    with server.imap(user) as c:
        c.ok(command())
        wait_for(lambda: not server.fake.conns, what="closed connection")


# --- arguments that are fine ---

def test_any_order(server, user):
    rng = random.Random(1)
    with server.imap(user) as c:
        for _ in range(10):
            pairs = arguments()
            rng.shuffle(pairs)
            assert_ok(c.cmd("xapplepushservice " + " ".join(pairs)), "INBOX")
    assert len({str(r) for r in server.registered(user, 10)}) == 1


def test_keys_in_any_case(server, user):
    text = re.sub(r"aps-[a-z-]+|mailboxes", lambda m: m[0].upper(), command())
    with server.imap(user) as c:
        assert_ok(c.cmd(text), "INBOX")


def quoted(text):
    return re.sub(r"(?<=[ (])([^ ()]+)", r'"\1"', text)


def test_quoted(server, user):
    with server.imap(user) as c:
        c.ok('CREATE "A \\"b\\" \\\\c"')
        assert_ok(c.cmd(quoted(command())), "INBOX")
        assert_ok(c.cmd(command('("A \\"b\\" \\\\c")')),
                  '"A \\"b\\" \\\\c"')
    assert server.registered(user, 2)[1]["Mailboxes"] == ['A "b" \\c']


def test_literals(server, user):
    """All keys and values as literals, synchronizing and not."""
    words = re.findall(r"[()]|[^ ()]+", command("(INBOX)"))[1:]
    for plus in ("+", ""):
        with server.imap(user) as c:
            c.send("x XAPPLEPUSHSERVICE")
            glue = " "
            for word in words:
                if word in "()":
                    c.send((glue if word == "(" else "") + word)
                    glue = "" if word == "(" else " "
                    continue
                c.send(f"{glue}{{{len(word)}{plus}}}\r\n")
                if not plus:
                    assert c.readline().startswith("+")
                c.send(word)
                glue = " "
            c.send("\r\n")
            assert_ok(c.result("x"), "INBOX")


def test_split_segments(server, user):
    text = command('(INBOX "INBOX" {5+}\r\nNotes)').encode()
    with server.imap(user) as c:
        c.ok("CREATE Notes")
        for i, byte in enumerate(b"x " + text + b"\r\n"):
            c.send(bytes([byte]))
            if i % 8 == 0:
                time.sleep(0.001)  # a segment of its own, not a hope
        assert_ok(c.result("x"), "INBOX", "Notes")
        for cut in range(0, len(text), 9):
            tag = c.tag().encode()
            c.send(tag + b" " + text[:cut])
            time.sleep(0.001)
            c.send(text[cut:] + b"\r\n")
            assert_ok(c.result(tag.decode()), "INBOX", "Notes")


def test_version_1(server, user):
    with server.imap(user) as c:
        assert_ok(c.cmd(command(None, version="1")), "INBOX")
    assert server.registered(user)[0]["Mailboxes"] == ["INBOX"]


@pytest.mark.parametrize("extra", [
    "aps-new thing", 'aps-new "a thing"', "aps-new {5+}\r\nthing",
    "aps-new (a (b c) {1+}\r\nd NIL)", "aps-new ()", '"quoted key" x',
    "{3+}\r\nkey x"])
def test_unknown_keys(server, user, extra):
    with server.imap(user) as c:
        assert_ok(c.cmd(f"{command()} {extra}"), "INBOX")
        head, tail = command().split(" ", 1)
        assert_ok(c.cmd(f"{head} {extra} {tail}"), "INBOX")


@pytest.mark.parametrize("version", ["3", "0", "22", "x", '"2.0"'])
def test_other_versions(server, user, version):
    with server.imap(user) as c:
        untagged, tagged = c.cmd(command(version=version))
        assert not untagged and kind(tagged) == "NO"
        assert_ok(c.cmd(command()), "INBOX")
    assert len(server.registered(user)) == 1


def test_longest_values(server, user):
    with server.imap(user) as c:
        assert_ok(c.cmd(command(account_id="a" * 200,
                                device_token="Af" * 100)), "INBOX")


# --- mailboxes ---

def test_mailboxes_that_do_not_exist(server, user):
    """Neither acknowledged nor registered."""
    names = '(Nope INBOX Nope/Sub ../../etc/passwd "/" "." %s %s ' \
        '"INBOX/Nope" a//b ~root)' % ("x" * 250, "y" * 1100)
    with server.imap(user) as c:
        assert_ok(c.cmd(command(names)), "INBOX")
        untagged, tagged = c.cmd(command("(Nope)"))
        assert untagged == [FINAL] and kind(tagged) == "OK"
    assert [r["Mailboxes"] for r in server.registered(user, 2)] == [
        ["INBOX"], []]


def test_mailboxes_that_cannot_be_selected(server, user):
    with server.imap(user) as c:
        c.ok("CREATE Parent/Child")
        c.ok("CREATE Gone")
        c.ok("DELETE Gone")
        assert_ok(c.cmd(command("(Parent Parent/Child Gone)")),
                  "Parent/Child")


def test_inbox_in_any_case(server, user):
    with server.imap(user) as c:
        assert_ok(c.cmd(command("(inbox)")), "inbox")
    assert server.registered(user)[0]["Mailboxes"] == ["inbox"]


def test_repeated_mailboxes(server, user):
    with server.imap(user) as c:
        assert_ok(c.cmd(command("(INBOX INBOX)")), "INBOX")


def test_utf7_names(server, user):
    """Registered as the device wrote it, notified in UTF-8."""
    with server.imap(user) as c:
        c.ok('CREATE "Entw&APw-rfe"')
        c.ok('CREATE "R&AOk-sum&AOk- &- Co"')
        assert_ok(
            c.cmd(command('(Entw&APw-rfe "R&AOk-sum&AOk- &- Co")')),
            "Entw&APw-rfe", '"R&AOk-sum&AOk- &- Co"')
        c.append("Entw&APw-rfe", MAIL)
        c.append('"R&AOk-sum&AOk- &- Co"', MAIL)
    assert server.registered(user)[0]["Mailboxes"] == [
        "Entw&APw-rfe", "R&AOk-sum&AOk- &- Co"]
    assert sorted(r["Mailbox"] for r in server.notified(user, 2)) == [
        "Entwürfe", "Résumé & Co"]


@pytest.mark.parametrize("name", [
    b"Entw&APw", b"&", b"&!!!-", b'"\xff\xfe"', b'"caf\xc3\xa9"',
    b'"a\tb"', b"{3+}\r\na\nb", b"{4+}\r\n\x7fabc", b'"\xc3"'])
def test_names_that_are_not_valid(server, user, name):
    with server.imap(user) as c:
        untagged, tagged = c.cmd(
            command("(INBOX @)").encode().replace(b"@", name))
        assert untagged == lines("INBOX") and kind(tagged) == "OK"
    for sent in server.registered(user)[0]["Mailboxes"]:
        assert sent.isprintable()


def create(c, names, at_once=50):
    for i in range(0, len(names), at_once):
        part = names[i:i + at_once]
        for name in part:
            c.send(f"x CREATE {name}\r\n")
        for name in part:
            assert " OK " in c.result("x")[1]


@pytest.mark.timeout(400)   # a busy disk takes a minute to remove them again
def test_1000_mailboxes(own, work_dir):
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake)
        names = [f"Folder{i}" for i in range(1000)]
        with server.imap("alice") as c:
            create(c, names)
            assert_ok(c.cmd(command(f"({' '.join(names)})")), *names)
            tagged = c.cmd(command(f"({' '.join(names)} More)"))[1]
            assert " NO [LIMIT] " in tagged and "1000" in tagged
            twice = " ".join(names + names)
            assert_ok(c.cmd(command(f"({twice})")), *names)
        sent = server.registered("alice", 2)
        assert [r["Mailboxes"] for r in sent] == [names] * 2


def test_line_too_long(server, user):
    """Dovecot has a limit of its own; the session goes on."""
    with server.imap(user) as c:
        tagged = c.cmd(command(f"({'x' * 100} " * 1500 + ")"))[1]
        assert kind(tagged) == "BAD"
    with server.imap(user) as c:
        assert_ok(c.cmd(command()), "INBOX")


def test_acl(own, work_dir):
    acl = "plugin {\n acl = vfile\n}" if IS_2_3 else "acl_driver = vfile"
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, mail_plugins="acl", extra=acl)
        with server.imap("alice") as c:
            for name, rights in (("Readable", "lrws"), ("Listed", "l"),
                                 ("Hidden", "")):
                c.ok(f"CREATE {name}")
                path = server.dovecot.home / f"alice/Maildir/.{name}"
                (path / "dovecot-acl").write_text(f"owner {rights}\n")
        with server.imap("alice") as c:
            assert_ok(c.cmd(command("(Hidden Listed Readable INBOX)")),
                      "Readable", "INBOX")


# --- arguments that are not ---

BAD = {
    "nothing": "XAPPLEPUSHSERVICE",
    "odd count": command() + " aps-more",
    "odd count, a known key": command(None) + " mailboxes",
    "NIL version": command(version="NIL"),
    "NIL account": command(account_id="NIL"),
    "NIL token": command(device_token="NIL"),
    "NIL subtopic": command(subtopic="NIL"),
    "NIL mailboxes": command("NIL"),
    "NIL in mailboxes": command("(INBOX NIL)"),
    "NIL for an unknown key": command() + " aps-more NIL",
    "NIL as key": command() + " NIL x",
    "empty version": command(version='""'),
    "empty account": command(account_id='""'),
    "empty token": command(device_token='""'),
    "empty subtopic": command(subtopic='""'),
    "empty list": command("()"),
    "empty name in list": command('(INBOX "")'),
    "empty key": command() + ' "" x',
    "no version": command(version=None),
    "no account": command(account_id=None),
    "no token": command(device_token=None),
    "no subtopic": command(subtopic=None),
    "no mailboxes": command(None),
    "mailboxes an atom": command("INBOX"),
    "mailboxes quoted": command('"INBOX"'),
    "list in list": command("(INBOX (Sub))"),
    "version a list": command(version="(2)"),
    "account a list": command(account_id="(x)"),
    "key a list": command() + " (x) x",
    "twice": command() + " aps-version 2",
    "mailboxes twice": command() + " mailboxes (Other)",
    "wrong subtopic": command(subtopic="com.apple.calendar"),
    "subtopic in capitals": command(subtopic="COM.APPLE.MOBILEMAIL"),
    "token not hex": command(device_token="12345x"),
    "token too long": command(device_token="a" * 201),
    "account too long": command(account_id="a" * 201),
    "account not printable": command(account_id='"a\tb"'),
    "account not ASCII": command(account_id='"\u00e9"'),
    "account with a line end": command(account_id="{3+}\r\na\nb"),
    "unbalanced": command("(INBOX"),
    "unbalanced, other way": command("INBOX)"),
    "open quote": command(account_id='"abc'),
    "NUL in a literal": command(account_id="{3+}\r\na\0b"),
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_bad(server, user, text):
    with server.imap(user) as c:
        untagged, tagged = c.cmd(text)
        assert not untagged and kind(tagged) == "BAD"
        assert len(tagged) > len("a1 BAD ")  # says why
        c.ok("NOOP")
    assert server.settled(user) == []
    assert not server.fake.of("/register", user)


# --- fuzz ---

WORDS = ["aps-version", "aps-account-id", "aps-device-token", "aps-subtopic",
         "mailboxes", "2", "1", "NIL", "nil", "com.apple.mobilemail", ACCOUNT,
         TOKEN, "INBOX", "Entw&APw-rfe", '""', '"a b"', '"\\""', "()", "(",
         ")", "(INBOX", "(INBOX Notes)", "(NIL)", "(((a)))", "%", "*", "]",
         "\\", '"', "{", "}", "{3+}\r\nabc", "{0+}\r\n", "{5+}\r\na\r\nbc",
         "~{3+}\r\nabc", "x" * 300, "&", "&AAA-", "\xff", "\u00fc", "\x01",
         "aps-version 2", "mailboxes (INBOX)", " ", "  ", "\t"]


def mangled(rng):
    """An argument list, of ours or of anything, with some harm done."""
    if rng.random() < 0.5:
        words = " ".join(arguments()).split(" ")
    else:
        words = [rng.choice(WORDS) for _ in range(rng.randrange(12))]
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(words) + 1)
        what = rng.randrange(4)     # no match: Python 3.9 of bullseye
        if what == 0:
            words.insert(at, rng.choice(WORDS))
        elif what == 1:
            words[at:at + 1] = [rng.choice(WORDS)]
        elif what == 2:
            del words[at:at + 1]
        else:
            words[at:at] = words[at - 2:at]
    text = bytearray(" ".join(words).encode("latin-1", "replace"))
    if rng.random() < 0.3 and b"{" not in text and text:
        text[rng.randrange(len(text))] = rng.choice(
            b'()"\\ {}%*&~+\x00\x01\x7f\x80\xff')
    return bytes(text)


def fuzz(server, user, count):
    rng = random.Random(int(os.environ.get("XAPS_FUZZ_SEED", "1")))
    kinds = {"OK": 0, "NO": 0, "BAD": 0}
    with server.imap(user) as c:
        for i in range(count):
            args = mangled(rng)
            tag = c.tag()
            c.send(f"{tag} XAPPLEPUSHSERVICE ".encode() + args + b"\r\n")
            while not (line := c.readline()).startswith(tag + " "):
                # A literal's head at the end: it gets what it asks for.
                # Other tags are words after a literal that was refused.
                m = re.search(rb"\{(\d+)\}$", args)
                if m and line.startswith("+"):
                    c.send(b"x" * int(m[1]) + b"\r\n")
            kinds[kind(line)] += 1
            if i % 10 == 9:
                c.ok("NOOP")  # Dovecot ends sessions at 20 errors in a row
        assert_ok(c.cmd(command()), "INBOX")
        c.ok("LOGOUT")
    assert min(kinds.values()) > 0, kinds


def test_fuzz(server, user):
    """Every one is answered, in one session of one process."""
    fuzz(server, user, FUZZ_N)


def under_valgrind(work_dir):
    """Lines that let imap and lmtp run under it."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        pytest.skip("valgrind is not installed")
    (work_dir / "v").mkdir()
    (work_dir / "v").chmod(0o777)
    programs = dovecot_config()["dovecot_pkglibexecdir"]
    return "".join(
        f"service {name} {{\n vsz_limit = 64G\n executable = {valgrind} "
        "--vgdb=no --leak-check=full --keep-debuginfo=yes "
        "--trace-children=yes "
        f"--log-file={work_dir}/v/{name}.%p {programs}/{name}\n}}\n"
        for name in ("imap", "lmtp"))


def stop_under_valgrind(dovecot, work_dir):
    """Not while it still looks at a process whose session has ended."""
    wait_for(lambda: all("ERROR SUMMARY" in path.read_text() for path in
                         (work_dir / "v").glob("imap.*")),
             what="ends of imap processes")
    dovecot.stop()


def check_valgrind(work_dir, count):
    """Nothing invalid is read or written, and nothing of ours leaks."""
    logs = [path.read_text() for path in (work_dir / "v").iterdir()]
    assert len(logs) >= count
    for log in logs:
        assert "ERROR SUMMARY" in log  # it ended by itself
        for block in re.split(r"\n==\d+== *\n", log):
            assert "Invalid" not in block and "ninitialised" not in block
            assert "definitely lost" not in block or "xaps" not in block


@pytest.mark.valgrind
@pytest.mark.timeout(400)
def test_valgrind(own, work_dir):
    """The fuzz and a few deliveries: nothing invalid is read or written, and
    nothing of ours leaks, in the imap and lmtp processes."""
    extra = under_valgrind(work_dir)
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, settings(fake, timeout_msecs=10000), extra=extra)
        fuzz(server, "alice", 300)
        for behaviour in (fx.ok, fx.status(500), fx.close, fx.chunked):
            fake.behave("bob", behaviour)
            server.dovecot.deliver(["bob", "alice"], MAIL)
            with server.imap("bob") as c:
                c.cmd(command("(INBOX Nope)"))
                c.append("INBOX", MAIL)
                c.ok("LOGOUT")
        stop_under_valgrind(server.dovecot, work_dir)
    check_valgrind(work_dir, 6)


# --- what the daemon may do ---

REFUSALS = {
    "400": fx.status(400), "401": fx.status(401), "404": fx.status(404),
    "500": fx.status(500), "301": fx.raw(
        b"HTTP/1.1 301 Moved\r\nLocation: http://localhost/x\r\n"
        b"Content-Length: 0\r\n\r\n"),
    "200, empty": fx.topic(b""), "204": fx.raw(
        b"HTTP/1.1 204 No Content\r\n\r\n"),
    "201": fx.status(201, b"topic"),
    "topic with CRLF": fx.topic(b"a\r\n* OK injected"),
    "topic with quote": fx.topic(b'a"b'),
    "topic too long": fx.topic(b"a" * 256),
    "topic not ASCII": fx.topic(b"\xc3\xa9"),
    "topic with NUL": fx.topic(b"a\0b"),
    "web page": fx.topic(b"<html><body>It works!</body></html>"),
    "garbage": fx.raw(b"\x15\x03\x01\0\0garbage\r\n\r\n"),
    "endless body": fx.endless_body, "endless header": fx.endless_header,
}


@pytest.mark.parametrize("behaviour", REFUSALS.values(), ids=REFUSALS)
def test_register_refused(server, user, behaviour):
    """At once: it is asked once."""
    server.fake.behave(user, behaviour)
    start_log = server.dovecot.log_size()
    with server.imap(user) as c:
        untagged, tagged = c.cmd(command())
        assert not untagged and kind(tagged) == "NO"
        assert len(server.registered(user)) == 1
        c.ok("NOOP")
        server.fake.behave(user, fx.ok)
        assert_ok(c.cmd(command()), "INBOX")
    one_error(server.dovecot, user, start_log)


def one_error(dovecot, user, start=0):
    """In the session's log, which has ended."""
    dovecot.wait_sessions(user, 1)
    assert len(re.findall(rf"imap\({user}\).*Error: .*xaps: .*",
                          "\n".join(dovecot.errors(start)))) == 1


GIVE_UP_S = 12  # not one of the defaults, which are 1 and 10
IN_THE_END = {
    "503": fx.status(503), "close": fx.close,
    "half-an-answer": fx.raw(b"HTTP/1.1 200 O", close=True),
    "half-a-body": fx.raw(
        b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\ntop", close=True),
    "hang": fx.hang, "slow": fx.slow(GIVE_UP_S + 30), "trickle": fx.trickle,
}


def test_register_refused_in_the_end(own, work_dir):
    """What may come back, or answer yet, has the time that is set.  All at
    once, in sessions that go on."""
    with FakeXapsd(str(work_dir / "x")) as fake, \
            contextlib.ExitStack() as stack:
        server = own(fake, settings(
            fake, timeout_msecs=GIVE_UP_S * 1000,
            register_timeout_msecs=GIVE_UP_S * 1000))
        sessions = {}
        for user, behaviour in IN_THE_END.items():
            fake.behave(user, behaviour)
            sessions[user] = stack.enter_context(server.imap(user))
        start = time.monotonic()
        for c in sessions.values():
            c.send(f"x {command()}\r\n")
        for user, c in sessions.items():
            untagged, tagged = c.result("x")
            assert not untagged and kind(tagged) == "NO"
            assert time.monotonic() - start > GIVE_UP_S - 0.1
            c.ok("NOOP")
            fake.behave(user, fx.ok)
            assert_ok(c.cmd(command()), "INBOX")
            c.ok("LOGOUT")
            one_error(server.dovecot, user)


@pytest.mark.parametrize("topic", [
    "com.apple.mobilemail.push.com.example", "a", "x" * 255])
def test_topics(server, user, topic):
    server.fake.behave(user, fx.topic(topic.encode()))
    with server.imap(user) as c:
        assert c.ok(command())[-1].endswith(f' aps-topic "{topic}"')


def test_chunked_and_late_answer(server, user):
    server.fake.behave(user, fx.chunked)
    with server.imap(user) as c:
        assert_ok(c.cmd(command()), "INBOX")


def test_a_lost_connection_costs_no_request(own, work_dir):
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake)
        answers = iter([fx.close])
        fake.behave("alice", lambda *a: next(answers, fx.ok)(*a))
        with server.imap("alice") as c:
            assert_ok(c.cmd(command()), "INBOX")
        assert len(fake.of("/register")) == 2


def test_reason_reaches_the_log(server, user):
    server.fake.behave(user, fx.status(400, b"mailboxes: too many\n"))
    start = server.dovecot.log_size()
    with server.imap(user) as c:
        c.cmd(command())
    server.dovecot.wait_log(
        r"Error: .*xaps: xapsd at unix:\S+ answered 400: mailboxes: too many$"
        .replace("$", r"\n"), start=start)


# --- waiting does not block ---

def test_pipelined_commands_are_answered_meanwhile(server, user):
    gate = fx.Gate()
    server.fake.behave(user, gate)
    with server.imap(user) as c:
        c.ok("SELECT INBOX")
        c.send(f"x {command()}\r\ny NOOP\r\nz STATUS INBOX (MESSAGES)\r\n")
        order = []
        while len(order) < 2:
            line = c.readline()
            if line[0] != "*":
                assert kind(line) == "OK"
                order.append(line[0])
        assert sorted(order) == ["y", "z"]
        gate.open()
        assert_ok(c.result("x"), "INBOX")


def test_many_at_once(server, user):
    """More than Dovecot runs in parallel, then others after them."""
    server.fake.behave(user, fx.slow(0.2))
    with server.imap(user) as c:
        for i in range(10):
            c.send(f"x{i} {command()}\r\n")
        c.send("y NOOP\r\n")
        got = set()
        while len(got) < 11:
            line = c.readline()
            if not line.startswith("*"):
                assert kind(line) == "OK"
                got.add(line.split(" ")[0])
    assert len(server.registered(user, 10)) == 10


def test_answer_during_a_large_fetch(server, user):
    """The answer comes while a literal is half written."""
    gate = fx.Gate()
    server.fake.behave(user, gate)
    body = "0123456789abcdef" * 4 + "\r\n"
    with server.imap(user) as c:
        c.append("INBOX", "Subject: large\r\n\r\n" + body * 100000)
        c.ok("SELECT INBOX")
        c.send(f"x {command()}\r\ny FETCH 1 BODY.PEEK[TEXT]\r\n")
        server.registered(user)
        c.sock.recv(1, socket.MSG_PEEK)     # the literal has begun
        gate.open()
        wait_for(server.fake.all_taken, what="answer, which waits")
        got = [c.result_line() for _ in range(5)]
    fetched = [g for g in got if g.startswith("* 1 FETCH")]
    assert len(fetched) == 1 and fetched[0].count(body) == 100000
    assert fetched[0].endswith(")")
    rest = [g for g in got if g[0] != "*" or "XAPPLE" in g]
    x = [g for g in rest if g[0] != "y"]
    assert x[:2] == lines("INBOX") and x[2].startswith("x OK")
    assert [kind(g) for g in rest if g[0] == "y"] == ["OK"]


def test_logout_while_waiting(own, work_dir):
    with FakeXapsd(str(work_dir / "x")) as fake:
        fake.behave("alice", fx.hang)
        server = own(fake, settings(fake, timeout_msecs=500))
        with server.imap("alice") as c:
            c.send(f"x {command()}\r\ny LOGOUT\r\n")
            text = c.file.read().decode()
            assert "* BYE" in text


def test_disconnect_while_waiting(server, user):
    server.fake.behave(user, fx.hang)
    for i in range(5):
        with server.imap(user) as c:
            c.send(f"x {command()}\r\n")
            server.registered(user, i + 1)
    assert len(server.dovecot.wait_sessions(user, 5)) == 5


def test_idle_while_waiting(server, user):
    gate = fx.Gate()
    server.fake.behave(user, gate)
    with server.imap(user) as c:
        c.ok("SELECT INBOX")
        c.send(f"x {command()}\r\ny IDLE\r\n")
        assert c.readline().startswith("+")
        gate.open()
        assert_ok(c.result("x"), "INBOX")
        c.send("DONE\r\n")
        assert c.result("y")[1].startswith("y OK")


# --- driver: what is reported ---

def test_lmtp(server, user):
    server.dovecot.deliver(user, MAIL)
    request = server.fake.wait(1, "/notify", user)[0]
    assert request.json == {"Username": user, "Mailbox": "INBOX",
                            "Events": ["MessageNew"]}
    assert server.settled(user) == [request.json]


def test_lmtp_several_recipients(server, user):
    users = [f"{user}x{i}" for i in range(20)]
    server.dovecot.deliver(users, MAIL)
    for u in users:
        assert server.settled(u, 1) == [{"Username": u, "Mailbox": "INBOX",
                                      "Events": ["MessageNew"]}]


def test_lmtp_detail(server, user):
    server.dovecot.deliver(f"{user}+Lists/Some", MAIL)
    assert server.notified(user)[0] == {
        "Username": user, "Mailbox": "Lists/Some", "Events": ["MessageNew"]}


def test_connection_is_kept_between_deliveries(own, work_dir):
    """Over TCP; a Unix socket costs nothing to connect to."""
    with FakeXapsd(("127.0.0.1", 0)) as fake:
        server = own(fake, extra="service lmtp {\n process_limit = 1\n}")
        too_late, before = 0, time.monotonic()
        for i in range(1, 6):
            server.dovecot.deliver("alice", MAIL)
            server.notified("alice", i)
            # only for 10 s, on a machine that was busy for so long
            too_late += time.monotonic() - before > 9
            before = time.monotonic()
            wait_for(fake.all_taken, what="answer")
        assert 1 <= fake.connections <= 1 + too_late


def test_lda(server, user):
    server.dovecot.lda(user, MAIL)
    assert server.notified(user) == [
        {"Username": user, "Mailbox": "INBOX", "Events": ["MessageNew"]}]
    server.dovecot.lda(user, MAIL, args=("-m", "Lists/Other"))
    assert server.notified(user, 2)[1]["Mailbox"] == "Lists/Other"


SIEVE = """\
require ["fileinto", "mailbox", "copy"];
if header :contains "Subject" "list" {
  fileinto :create "Lists/Sub";
}
if header :contains "Subject" "both" {
  fileinto :create :copy "Lists/Sub";
}
if header :contains "Subject" "nothing" {
  discard;
}
"""


@pytest.mark.parametrize("by", ["lmtp", "lda"])
def test_sieve(own, work_dir, by):
    if not os.path.exists(dovecot_config()["dovecot_moduledir"] +
                          "/lib90_sieve_plugin.so"):
        pytest.skip("Dovecot's Sieve is not installed")
    script = work_dir / "all.sieve"
    script.write_text(SIEVE)
    settings_of = f"plugin {{\n sieve_before = {script}\n}}" if IS_2_3 else \
        f"sieve_script all {{\n type = before\n path = {script}\n}}"
    compiled = subprocess.run(["sievec", script], capture_output=True)
    assert compiled.returncode == 0, compiled.stderr
    (work_dir / "all.svbin").chmod(0o644)
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, mail_plugins="sieve", extra=settings_of)
        deliver = getattr(server.dovecot, "deliver" if by == "lmtp" else by)
        for user, subject, told in (
                ("alice", "list", ["Lists/Sub"]), ("carol", "nothing", []),
                ("bob", "both", ["INBOX", "Lists/Sub"]),
                ("dave", "other", ["INBOX"])):
            deliver(user, f"Subject: {subject}\n\nHello.\n")
            assert sorted(server.settled(user, len(told)), key=str) == [
                {"Username": user, "Mailbox": mailbox,
                 "Events": ["MessageNew"]} for mailbox in told]


def events_of(told, mailbox="INBOX"):
    return [set(r["Events"]) for r in told if r["Mailbox"] == mailbox]


def test_append(server, user):
    with server.imap(user) as c:
        c.append("INBOX", MAIL)
        assert events_of(server.settled(user, 1)) == [{"MessageAppend"}]


def test_copy_and_move(server, user):
    with server.imap(user) as c:
        c.ok("CREATE A")
        server.notified_one_by_one(user, 2, lambda: c.append("INBOX", MAIL))
        c.ok("SELECT INBOX")
        c.ok("COPY 1:2 A")
        assert server.notified(user, 3)[2] == {
            "Username": user, "Mailbox": "A", "Events": ["MessageAppend"]}
        c.ok("MOVE 1:2 A")
        told = server.settled(user, 5)[3:]
    assert events_of(told, "A") == [{"MessageAppend"}]
    assert events_of(told, "INBOX") == [{"MessageExpunge"}]
    assert len(told) == 2


@pytest.mark.parametrize("store,events", [
    ("1:10 +FLAGS (\\Seen)", {"FlagsSet", "MessageRead"}),
    ("1:10 +FLAGS (\\Flagged)", {"FlagsSet"}),
    ("1:10 +FLAGS ($Forwarded)", {"FlagsSet"}),
    ("1:10 +FLAGS (\\Deleted)", {"FlagsSet", "MessageTrash"}),
    ("1:10 -FLAGS (\\Answered)", {"FlagsClear"}),
])
def test_store_of_10_is_one(server, user, store, events):
    with server.imap(user) as c:
        server.notified_one_by_one(user, 10, lambda: c.append(
            "INBOX", MAIL, "\\Answered"))
        c.ok("SELECT INBOX")
        c.ok(f"STORE {store}")
        told = events_of(server.settled(user, 11)[10:])
    assert len(told) == 1
    assert events <= told[0] <= set(EVENTS)


def test_fetch_marks_read(server, user):
    with server.imap(user) as c:
        c.append("INBOX", MAIL)
        c.ok("SELECT INBOX")
        server.notified(user, 1)    # each has a connection of its own
        c.ok("FETCH 1 BODY[]")
        told = events_of(server.settled(user, 2)[1:])
    assert len(told) == 1 and "MessageRead" in told[0]


def test_expunge(server, user):
    with server.imap(user) as c:
        server.notified_one_by_one(user, 10, lambda: c.append(
            "INBOX", MAIL, "\\Deleted"))
        c.ok("SELECT INBOX")
        c.ok("EXPUNGE")
        assert events_of(server.settled(user, 11)[10:]) == [
            {"MessageExpunge"}]


def test_nothing_for_mailboxes_themselves(server, user):
    with server.imap(user) as c:
        for text in ("CREATE A", "SUBSCRIBE A", "RENAME A B", "UNSUBSCRIBE A",
                     "SELECT B", "NOOP", "CLOSE", "DELETE B",
                     "STATUS INBOX (MESSAGES)"):
            c.ok(text)
    assert server.settled(user) == []


def test_nothing_for_no_change(server, user):
    with server.imap(user) as c:
        c.append("INBOX", MAIL, "\\Seen")
        c.ok("SELECT INBOX")
        c.ok("STORE 1 +FLAGS (\\Seen)")
        c.ok("FETCH 1 BODY.PEEK[]")
        c.ok("EXPUNGE")
    assert events_of(server.settled(user, 1)) == [{"MessageAppend"}]


def test_rollback(server, user):
    """The second message of a MULTIAPPEND never comes."""
    with server.imap(user) as c:
        c.ok("CREATE A")
        c.send(f"x APPEND A {{{len(MAIL)}+}}\r\n{MAIL} {{100+}}\r\npart")
    server.dovecot.wait_sessions(user, 1)
    assert server.settled(user) == []
    with server.imap(user) as c:
        assert "(MESSAGES 0)" in c.ok("STATUS A (MESSAGES)")[0]


def test_nothing_of_the_mail_is_parsed_or_sent(server, user):
    text = "From: Secret Sender <s@example.net>\nSubject: =?x?q?secret?=\n" \
        "Content-Type: text/html; charset=nonsense\n\nsecret snippet\n"
    server.dovecot.deliver(user, text)
    request = server.fake.wait(1, "/notify", user)[0]
    assert "ecret" not in request.head + str(request.json)
    assert set(request.json) == {"Username", "Mailbox", "Events"}


def test_user_lookup(own, work_dir):
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, settings(fake, user_lookup="push_user"),
                     userdb={"push_user": "boss", "push_user2": "no"})
        server.dovecot.deliver("alias", MAIL)
        server.notified("boss")
        with server.imap("alias") as c:
            c.ok(command())
            c.append("INBOX", MAIL)
        server.registered("boss")
        server.notified("boss", 2)
        server.dovecot.lda("alias", MAIL)
        server.notified("boss", 3)
        assert not fake.of(user="alias")


def test_user_lookup_without_the_field(own, work_dir):
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, settings(fake, user_lookup="push_user"),
                     userdb={"push": "boss"})
        server.dovecot.deliver("alice", MAIL)
        server.notified("alice")


# --- driver: never in the way ---

UNWELL = {
    "refuses": None, "hangs": fx.hang, "slow": fx.slow(3),
    "400": fx.status(400), "500": fx.status(500), "close": fx.close,
    "garbage": fx.raw(b"\0garbage\r\n\r\n"), "trickle": fx.trickle,
    "endless body": fx.endless_body, "endless header": fx.endless_header,
    "401": fx.status(401), "well": fx.ok,
}
ROUNDS = 7
MOST_ROUNDS = 60    # on a busy machine


@pytest.mark.parametrize("way", ["unix", "tcp"])
@pytest.mark.parametrize("behaviour", UNWELL.values(), ids=UNWELL)
def test_delivery_never_waits(own, work_dir, behaviour, way):
    """LMTP: within 50 ms of what it takes without the plugin."""
    (work_dir / "bare").mkdir(mode=0o755)
    address = str(work_dir / "x") if way == "unix" else ("127.0.0.1", 0)
    with FakeXapsd(address) as fake, \
            Dovecot(work_dir / "bare", None) as bare:
        well = behaviour is fx.ok
        server = own(fake, settings(
            fake, timeout_msecs=ANSWER_MS if well else 1000))
        fake.behave("alice", behaviour)
        if behaviour is None:
            fake.stop()
        counted = itertools.count(1)

        def told(events=1):
            """Equal ones that wait for a second are merged."""
            if well:
                for _ in range(events):
                    server.notified("alice", next(counted))

        without, with_plugin = [], []
        # In turns, under the same load, which only adds: the least is what it
        # takes, and a wait for the daemon, also in some rounds only, is a
        # second.
        while len(without) < ROUNDS or (len(without) < MOST_ROUNDS and not (
                min(with_plugin) - min(without) < 0.05 and
                statistics.median(with_plugin) < 0.5)):
            without.append(bare.deliver("alice", MAIL))
            with_plugin.append(server.dovecot.deliver("alice", MAIL))
            told()
        assert min(with_plugin) - min(without) < 0.05, (without, with_plugin)
        assert statistics.median(with_plugin) < 0.5, (without, with_plugin)
        mails = itertools.count(len(without))

        def session():
            have = next(mails)
            with server.imap("alice") as c:
                assert f"* {have} EXISTS" in c.ok("SELECT INBOX")
                start = time.monotonic()
                c.ok(f"STORE 1:* +FLAGS (flag{have})")
                c.append("INBOX", MAIL)
                c.ok("LOGOUT")
                took = time.monotonic() - start
            told(2)
            return took

        assert least(session, 0.5) < 0.5

        def lda():
            took = server.dovecot.lda("alice", MAIL)
            told()
            return took

        # at most the timeout, at its end
        assert least(lda, 1 + LATE_S) < 1 + LATE_S
        if not well:
            server.dovecot.wait_log(r"Error: .*xaps: ")
        else:
            count = next(counted) - 1
            assert len(server.notified("alice", count)) == count
            assert "xaps" not in server.dovecot.log()


def test_lda_waits_at_most_the_timeout(own, work_dir):
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, settings(fake, timeout_msecs=1500))
        assert least(lambda: server.dovecot.lda("alice", MAIL), 1.4) < 1.4
        fake.behave("bob", fx.hang)
        assert 1.4 < least(lambda: server.dovecot.lda("bob", MAIL), 2.9) < 2.9


def test_one_log_line_says_what_to_do(own, work_dir):
    with FakeXapsd(str(work_dir / "x")) as fake:
        fake.stop()
        server = own(fake, settings(fake, timeout_msecs=1000),
                     extra="service lmtp {\n process_limit = 1\n}")
        start = time.monotonic()
        for _ in range(10):
            server.dovecot.deliver("alice", MAIL)
        server.dovecot.wait_log("cannot reach xapsd")
        server.dovecot.deliver("alice", MAIL)
        server.dovecot.stop()
    log = re.findall(r"Error: .*xaps: .*", server.dovecot.log())
    assert 1 <= len(log) <= 1 + (time.monotonic() - start) // 60
    assert "is it running?" in log[0] and f"unix:{work_dir}/x" in log[0]


def test_daemon_comes_back(own, work_dir):
    """No pause longer than the daemon's: the next mail is reported."""
    path = str(work_dir / "x")
    with FakeXapsd(path) as fake:
        server = own(fake, extra="service lmtp {\n process_limit = 1\n}")
        server.dovecot.deliver("alice", MAIL)
        server.notified("alice")
    for _ in range(12):
        server.dovecot.deliver("alice", MAIL)
    with FakeXapsd(path) as fake:
        server.fake = fake
        server.dovecot.deliver("bob", MAIL)
        server.notified("bob")


def test_daemon_stops_hanging(own, work_dir):
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, settings(fake, timeout_msecs=300),
                     extra="service lmtp {\n process_limit = 1\n}")
        fake.behave("alice", fx.hang)
        for _ in range(30):  # more than there are connections
            server.dovecot.deliver("alice", MAIL)
        server.dovecot.wait_log("gave no answer")
        fake.behave("alice", fx.ok)
        server.dovecot.deliver("bob", MAIL)
        server.notified("bob")


@pytest.mark.parametrize("way", ["unix", "tcp"])
def test_daemon_restarts_between_deliveries(own, work_dir, way):
    """A kept connection that is gone costs no request."""
    address = str(work_dir / "x") if way == "unix" else ("127.0.0.1", 0)
    server = None
    for i in range(5):
        with FakeXapsd(address) as fake:
            address = address if way == "unix" else ("127.0.0.1", fake.port)
            server = server or own(
                fake, extra="service lmtp {\n process_limit = 1\n}")
            server.fake = fake
            server.dovecot.deliver("alice", MAIL)
            server.notified("alice")
            wait_for(fake.all_taken, what="answer")


def test_daemon_ends_before_the_request(own, work_dir):
    """The connection is there, then lost, and the next one refused: lib-http
    ends the process at this."""
    path = str(work_dir / "x")
    server = own(None, {"url": f"unix:{path}", "timeout_msecs": 1000},
                 extra="service lmtp {\n process_limit = 1\n}")
    for _ in range(10):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(path)
            os.chmod(path, 0o666)
            sock.listen(5)
            server.dovecot.deliver("alice", MAIL)
            sock.settimeout(WAIT_S)
            sock.accept()[0].close()
        os.unlink(path)
    with FakeXapsd(path) as fake:
        server.fake = fake
        server.dovecot.deliver("bob", MAIL)
        server.notified("bob")


def test_a_short_restart_costs_no_request(own, work_dir):
    path = str(work_dir / "x")
    with FakeXapsd(path) as fake:
        server = own(fake)
    server.dovecot.deliver("alice", MAIL)
    with FakeXapsd(path) as fake:  # at once
        fake.wait(1, "/notify", "alice")


def test_no_request_is_lost_in_a_burst(own, work_dir):
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake)
        users = [f"user{i}" for i in range(60)]
        fake.behaviours = {u: fx.slow(0.02) for u in users}
        server.dovecot.deliver(users, MAIL)
        for u in users:
            server.notified(u)
        # One process for each client, and it ends at once.
        for u in users[:10]:
            server.dovecot.lda(u, MAIL)
            assert len(server.notified(u, 2)) == 2


def test_full_backlog(own, work_dir):
    """It listens, but never accepts."""
    path = str(work_dir / "x")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        os.chmod(path, 0o666)
        sock.listen(0)
        server = own(None, {"url": f"unix:{path}", "timeout_msecs": 3000,
                            "register_timeout_msecs": 500})
        took = [server.dovecot.deliver("alice", MAIL) for _ in range(5)]
        assert statistics.median(took) < LATE_S, took
        with server.imap("alice") as c:
            assert kind(c.cmd(command())[1]) == "NO"
            assert "* 5 EXISTS" in c.ok("SELECT INBOX")


# --- ways to the daemon ---

def test_http(own, work_dir):
    with FakeXapsd(("127.0.0.1", 0)) as fake:
        server = own(fake)
        with server.imap("alice") as c:
            assert_ok(c.cmd(command()), "INBOX")
        server.dovecot.deliver("alice", MAIL)
        server.notified("alice")
        head = fake.of("/notify")[0].head
        assert head.startswith("POST /notify HTTP/1.1\r\n")
        assert f"Host: {LOCAL}:{fake.port}" in head


def test_http_by_other_names(own, work_dir):
    """With a name, Dovecot's dns-client is asked, which does not block."""
    name = socket.gethostname()
    try:
        address = socket.gethostbyname(name)
        fake = FakeXapsd((address, 0))
    except OSError:
        pytest.skip("this host has no name")
    with fake:
        for i, url in enumerate((f"http://{name}:{fake.port}/",
                                 f"http://{address}:{fake.port}/some/path")):
            server = own(fake, {"url": url})
            server.dovecot.deliver(f"user{i}", MAIL)
            server.fake.wait(1, ("", "/some/path")[i] + "/notify",
                             f"user{i}")
            server.dovecot.stop()


def test_basic_authentication(own, work_dir):
    with FakeXapsd(("127.0.0.1", 0), password="dovecot:p@ss/w:rd") as fake:
        url = f"http://dovecot:p%40ss%2fw:rd@127.0.0.1:{fake.port}"
        if IS_2_3:
            url = url.replace("%", "%%")  # Dovecot has variables there
        server = own(fake, {"url": url})
        with server.imap("alice") as c:
            assert_ok(c.cmd(command()), "INBOX")
        server.dovecot.deliver("alice", MAIL)
        server.notified("alice")


def test_wrong_password_is_not_logged(own, work_dir):
    with FakeXapsd(("127.0.0.1", 0), password="dovecot:right") as fake:
        server = own(fake, {"url": "http://dovecot:wrong@127.0.0.1:"
                                   f"{fake.port}"})
        with server.imap("alice") as c:
            assert kind(c.cmd(command())[1]) == "NO"
        server.dovecot.deliver("alice", MAIL)
        server.dovecot.wait_log("not notified: .* answered 401: password")
        assert "wrong" not in server.dovecot.log()


@pytest.fixture
def certificate(work_dir):
    """Of 127.0.0.1 and localhost, its own CA; key in the same file."""
    cert, both = work_dir / "cert.pem", work_dir / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,"
         "IP:127.0.0.1", "-keyout", both, "-out", cert],
        check=True, capture_output=True)
    both.write_text(both.read_text() + cert.read_text())
    return cert, both


def test_https(own, work_dir, certificate):
    cert, both = certificate
    with FakeXapsd(("127.0.0.1", 0), tls_cert=both,
                   password="u:p") as fake:
        server = own(fake, {"url": f"https://u:p@{LOCAL}:{fake.port}"},
                     extra=f"ssl_client_ca_file = {cert}")
        with server.imap("alice") as c:
            assert_ok(c.cmd(command()), "INBOX")
        server.dovecot.deliver("alice", MAIL)
        server.notified("alice")
        server.dovecot.lda("alice", MAIL)
        server.notified("alice", 2)


def test_https_with_unknown_ca(own, work_dir, certificate):
    with FakeXapsd(("127.0.0.1", 0), tls_cert=certificate[1]) as fake:
        server = own(fake, {"url": f"https://{LOCAL}:{fake.port}",
                            "timeout_msecs": 2000,
                            "register_timeout_msecs": 500})
        with server.imap("alice") as c:
            assert kind(c.cmd(command())[1]) == "NO"
        server.dovecot.deliver("alice", MAIL)
        server.dovecot.wait_log("not notified: .*certificate")
        assert not fake.of()


def test_socket_without_permission(own, work_dir):
    if os.getuid() != 0:
        pytest.skip("root only: the mail user is another one")
    with FakeXapsd(str(work_dir / "x"), mode=0o600) as fake:
        server = own(fake, settings(fake, register_timeout_msecs=500))
        with server.imap("alice") as c:
            assert kind(c.cmd(command())[1]) == "NO"
        server.dovecot.wait_log("Error: .*xaps: .*Permission denied")


# --- settings ---

def private_run(socket_path):
    """A command prefix that gives Dovecot a /run of its own, with the
    daemon's socket in it or without."""
    link = f"mkdir /run/xapsd && ln -s {socket_path} /run/xapsd/xapsd.sock &&" \
        if socket_path else ""
    prefix = ["unshare", "-m", "sh", "-c",
              f'mount -t tmpfs none /run && {link} exec "$@"', "sh"]
    if subprocess.run([*prefix, "true"], capture_output=True).returncode:
        pytest.skip("a private /run needs root")
    return prefix


def timeout_line(msecs):
    """Beside the sample."""
    return f"plugin {{\n xaps_config = timeout_msecs={msecs}\n}}" if IS_2_3 \
        else f"xaps_timeout = {msecs}ms"


def test_socket_is_the_default(own, work_dir):
    """With the sample configuration as it is."""
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, {}, sample=True, prefix=private_run(fake.path),
                     extra=timeout_line(ANSWER_MS))
        with server.imap("alice") as c:
            assert_ok(c.cmd(command()), "INBOX")
        server.dovecot.deliver("alice", MAIL)
        server.notified("alice")
        with server.imap("alice") as c:
            c.ok("SELECT INBOX")
            c.ok("STORE 1 +FLAGS (\\Seen)")
        server.notified("alice", 2)


@pytest.mark.parametrize("sample", ["90-xaps-2.3.conf", "90-xaps-2.4.conf"])
def test_paper_shows_the_sample(sample):
    """But for explanations; the settings in comments are there, too."""
    def settings_of(text):
        return [line.strip() for line in text.splitlines()
                if re.match(r" *(?!# |#$)\S", line)]

    wanted = "\n".join(settings_of((PLUGIN_SOURCE / sample).read_text()))
    paper = (PLUGIN_SOURCE.parent / "docs/dovecot.md").read_text()
    blocks = re.findall(r"(?:^    .*\n)+", paper, re.M)
    assert wanted in ["\n".join(settings_of(b)) for b in blocks]


BROKEN = {
    "no url": ({"url": "nonsense"}, "url is not valid"),
    "other scheme": ({"url": "ftp://localhost/"}, "url is not valid"),
    "no host": ({"url": "http://"}, "url is not valid"),
    "bad port": ({"url": "http://localhost:99999999"}, "url is not valid"),
    "query": ({"url": "http://localhost:1/?a=b"}, "query is not possible"),
    "relative socket": ({"url": "unix:xapsd.sock"}, "must begin with /"),
    "long socket": ({"url": "unix:/" + "x" * 200}, "too long"),
    "timeout 0": ({"timeout_msecs": 0}, "more than 0"),
}
if IS_2_3:
    BROKEN.update({
        "timeout not a number": ({"timeout_msecs": "soon"},
                                 "timeout_msecs must be a number"),
        "retries negative": ({"max_retries": -1}, "must be a number"),
        "retries huge": ({"max_retries": 4294967295}, "100 at most"),
        "unknown key": ({"ulr": "http://localhost"}, "unknown 'ulr'"),
    })


@pytest.mark.parametrize("xaps,why", BROKEN.values(), ids=BROKEN)
def test_broken_settings(own, xaps, why):
    """One clear error, push is off, mail works."""
    server = own(None, xaps)
    with server.imap("alice") as c:
        assert "XAPPLEPUSHSERVICE" not in c.ok("CAPABILITY")[0]
        assert kind(c.cmd(command())[1]) == "NO"
        c.append("INBOX", MAIL)
        c.ok("LOGOUT")

    def logged(count):
        return wait_for(lambda: len(e := re.findall(
            r"Error: .*", server.dovecot.log())) >= count and e,
            what=f"{count} errors")
    errors = logged(1)
    assert len(errors) == 1 and why in errors[0], errors
    server.dovecot.deliver("alice", MAIL)
    server.dovecot.lda("alice", MAIL)
    errors = logged(3)
    assert len(errors) == 3 and why in errors[2], errors
    with server.imap("alice") as c:
        assert "* 3 EXISTS" in c.ok("SELECT INBOX")


def test_imap_module_alone(own, work_dir):
    """Registering without the driver, and its error without the driver's."""
    def alone(url):
        if IS_2_3:
            return "protocol imap {\n mail_plugins = xaps_imap\n}\n" \
                f"plugin {{\n xaps_config = url={url} timeout_msecs=" \
                f"{ANSWER_MS}\n}}"
        return "protocol imap {\n mail_plugins {\n  xaps_imap = yes\n }\n}\n" \
            f"xaps_url = {url}\n{timeout_line(ANSWER_MS)}"

    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, plugin_conf=alone(f"unix:{fake.path}"))
        with server.imap("alice") as c:
            assert_ok(c.cmd(command()), "INBOX")
        server.dovecot.stop()
        server.dovecot.plugin_conf = alone("nonsense")
        server.dovecot.start()
        server.dovecot.imap("alice").close()
        server.dovecot.wait_log("Error: .*url is not valid")


def test_module_for_another_dovecot_is_refused(work_dir):
    """Dovecot's own ABI check sees our version symbol."""
    wrong = work_dir / "wrong"
    shutil.copytree(PLUGIN, wrong)
    for path in wrong.glob("lib*_plugin.so"):
        data = path.read_bytes()
        assert re.search(rb"2\.\d\.ABIv\d", data)
        path.write_bytes(re.sub(rb"(2\.\d)\.ABIv\d", rb"\1.ABIv0", data))
    with FakeXapsd(str(work_dir / "x")) as fake, \
            Dovecot(work_dir, wrong, settings(fake)) as d:
        with pytest.raises((DovecotError, ConnectionError)):
            d.imap("alice").cmd("NOOP")
        d.wait_log("Module is for different ABI version")
        assert "signal" not in d.log() and d.alive()
