"""Delta Chat's clients in a real Dovecot, with a stand-in for xapsd: they
store the token with which they are woken by SETMETADATA."""
import pytest

import fake_xapsd as fx
from dovecot import Dovecot, Imap, wait_for
from fake_xapsd import FakeXapsd
from subscriptions import Book
from test_plugin import (FUZZ_N, IS_2_3, LOCAL, PLUGIN, Server, assert_ok,
                         check_health, check_valgrind, command, kind, own,
                         patient, session_dir, settings, stop_under_valgrind,
                         under_valgrind, user, work_dir)
from test_webpush_plugin import all_wait, fuzz, no_answer

__all__ = ["own", "session_dir", "user", "work_dir"]

ON = patient({"deltachat": "yes"})
TOKEN = "openpgp:" + "wcFMA+base64/" * 60 + "=="
OTHER = "openpgp:" + "other+base64/" * 60 + "=="
ENTRY = "/private/devicetoken"
METADATA = "imap_metadata = yes\n" + (
    "mail_attribute_dict = file:%h/dovecot-attributes\n" if IS_2_3 else
    "mail_attribute {\n dict file {\n"
    "  path = %{home}/dovecot-attributes\n }\n}\n")


def setmetadata(token=f'"{TOKEN}"', mailbox='"INBOX"', entry=ENTRY):
    return f"SETMETADATA {mailbox} ({entry} {token})"


def getmetadata(mailbox='"INBOX"', entry=ENTRY):
    return f"GETMETADATA {mailbox} {entry}"


def tokens(imap, text=None):
    """What GETMETADATA says."""
    untagged = imap.ok(text or getmetadata())
    if not untagged or untagged[0].rstrip(")").endswith("NIL"):
        return []
    [line] = untagged
    assert line.startswith("* METADATA ") and ENTRY in line
    value = line.split("\r\n", 1)[1] if "\r\n" in line else \
        line.split(" (", 1)[1].split(" ", 1)[1].strip('"')
    return value.rstrip(")").strip('"').split(" ")


@pytest.fixture(scope="module", params=[False, True],
                ids=["METADATA off", "METADATA on"])
def shared(session_dir, request):
    folder = session_dir / str(request.param)[0]
    folder.mkdir()
    folder.chmod(0o755)
    with FakeXapsd(str(folder / "xapsd.sock")) as fake, \
            Dovecot(folder, PLUGIN, settings(fake, **ON),
                    extra=METADATA if request.param else "") as dovecot:
        server = Server(dovecot, fake)
        server.metadata = request.param
        yield server


@pytest.fixture
def server(shared):
    start = shared.dovecot.log_size()
    yield shared
    check_health(shared.dovecot, start)


@pytest.fixture
def book(server, user):
    book = Book()
    server.fake.behave(user, book)
    return book


# --- capabilities and the setting ---

def test_capabilities(server, user):
    """Its clients look for METADATA first."""
    with Imap(server.dovecot.imap_port) as c:
        assert "XDELTAPUSH" not in c.greeting
        assert kind(c.cmd(setmetadata())[1]) == "BAD"
        c.ok(f"LOGIN {user} secret")
        words = c.ok("CAPABILITY")[0].split()
        assert words.count("XDELTAPUSH") == words.count("METADATA") == 1
        assert "WEBPUSH" not in words


@pytest.mark.parametrize("metadata", [False, True],
                         ids=["METADATA off", "METADATA on"])
def test_off_nothing_is_changed(own, work_dir, metadata):
    """The default: the entry is Dovecot's own affair."""
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, settings(fake),
                     extra=METADATA if metadata else "")
        with server.imap("alice") as c:
            words = c.ok("CAPABILITY")[0].split()
            assert "XDELTAPUSH" not in words
            assert ("METADATA" in words) == metadata
            assert kind(c.cmd(setmetadata('"my own"'))[1]) == (
                "OK" if metadata else "NO")
            if metadata:
                assert tokens(c) == ["my", "own"]
            assert_ok(c.cmd(command()), "INBOX")
        assert {r.path for r in fake.of()} - {"/seen"} == {"/register"}


def test_userdb_switches_it_on_for_one_user(own, work_dir):
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, settings(fake), userdb={"xaps_deltachat": "yes"})
        with server.imap("alice") as c:
            assert "XDELTAPUSH" in c.ok("CAPABILITY")[0].split()
            c.ok(setmetadata())
        assert server.registered("alice")[0]["Token"] == TOKEN


def test_no_pushes_for_this_user(own, work_dir):
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, settings(fake, **ON), userdb={"xaps": "no"})
        with server.imap("alice") as c:
            assert "XDELTAPUSH" not in c.ok("CAPABILITY")[0].split()
            assert kind(c.cmd(setmetadata())[1]) == "NO"
        assert not fake.of()


def test_one_process_for_those_with_and_without(own, work_dir):
    """Who has no pushes gets a NO, not another one's tokens."""
    count = "service_count = 0" if IS_2_3 else \
        "restart_request_count = unlimited"
    with FakeXapsd(str(work_dir / "x")) as fake:
        books = {name: Book() for name in ("alice", "bob")}
        for name, book in books.items():
            fake.behave(name, book)
        server = own(fake, settings(fake, **ON), extra=(
            "service imap {\n process_limit = 1\n client_limit = 10\n "
            f"{count}\n}}\n"))
        with server.imap("alice") as a, server.imap("bob") as b:
            a.ok(setmetadata())
            b.ok(setmetadata(f'"{OTHER}"'))
            for _ in range(5):
                a.send(f"x {getmetadata()}\r\n")
                assert tokens(b) == [OTHER]
                assert TOKEN in " ".join(a.result("x")[0])
            b.ok(setmetadata("NIL"))
            assert tokens(b) == [] and tokens(a) == [TOKEN]


# --- the whole way ---

def test_as_its_clients_do(server, user, book):
    with server.imap(user) as c:
        c.ok('ID ("name" "Delta Chat")')
        # if this fails it goes no further
        for entries in ("/shared/comment /shared/admin "
                        "/shared/vendor/deltachat/irohrelay",
                        "/shared/vendor/deltachat/turn"):
            untagged = c.ok(f'GETMETADATA "" ({entries})')
            assert all(x.split(" ")[1] in ("METADATA", "NO")
                       for x in untagged)
        c.ok(setmetadata())
        assert c.ok(setmetadata()) == []        # again at the next connection
        c.ok("SELECT INBOX")
        c.ok(setmetadata())
    for request in server.registered(user, 3):
        assert request == {"Kind": "deltachat", "Username": user,
                           "Token": TOKEN, "Mailboxes": ["INBOX"]}
    assert len(book.subs) == 1


def test_several_tokens(server, user, book):
    with server.imap(user) as c:
        assert tokens(c) == []
        c.ok(setmetadata())
        assert tokens(c) == [TOKEN]
        c.ok(setmetadata(f'"{OTHER}"'))
        assert tokens(c) == [TOKEN, OTHER]
        for text in (getmetadata("inbox", ENTRY.upper()),
                     getmetadata(entry=f"({ENTRY})"),
                     getmetadata(entry=f'"{ENTRY}"'),
                     "GETMETADATA {5+}\r\nINBOX {20+}\r\n" + ENTRY,
                     f"GETMETADATA (MAXSIZE 9000) INBOX ({ENTRY})"):
            assert tokens(c, text) == [TOKEN, OTHER]
        c.ok(setmetadata("NIL"))
        assert tokens(c) == [] and not book.subs
        c.ok(setmetadata("NIL"))                # they are gone: as good
    assert server.fake.of("/unregister", user)[0].json == {
        "Kind": "deltachat", "Username": user}


def test_users_have_their_own(server, user):
    books = {}
    for name in (user, user + "x"):
        books[name] = Book()
        server.fake.behave(name, books[name])
    with server.imap(user) as c, server.imap(user + "x") as d:
        c.ok(setmetadata())
        assert tokens(d) == []
        d.ok(setmetadata("NIL"))
        assert tokens(c) == [TOKEN]


def test_another_ones_inbox(own, work_dir):
    """A shared INBOX is not for one's own tokens, nor does it show the
    owner's."""
    from dovecot import INBOX, namespace
    shared = namespace("shared", type="shared", prefix="shared/USER/",
                       separator="/", path="HOME/Maildir", subscriptions="no",
                       list="children")
    acl = "plugin {\n acl = vfile\n}" if IS_2_3 else "acl_driver = vfile"
    with FakeXapsd(str(work_dir / "x")) as fake:
        for name in ("alice", "bob"):
            fake.behave(name, Book())
        server = own(fake, settings(fake, **ON), extra=acl,
                     mail_plugins="acl",
                     namespaces=namespace("inbox", **INBOX) + shared)
        with server.imap("alice") as c:
            c.ok(setmetadata())
        (server.dovecot.home / "alice/Maildir/dovecot-acl").write_text(
            "user=bob lrwstipekxa\n")
        with server.imap("bob") as c:
            c.ok('STATUS "shared/alice/INBOX" (MESSAGES)')
            assert kind(c.cmd(setmetadata(
                "NIL", '"shared/alice/INBOX"'))[1]) == "NO"
            assert kind(c.cmd(setmetadata(
                mailbox='"shared/alice/INBOX"'))[1]) == "NO"
            untagged = c.cmd(getmetadata('"shared/alice/INBOX"'))[0]
            assert TOKEN not in " ".join(untagged)
            for mailbox in ('""', "Drafts", "*"):
                untagged = c.cmd(getmetadata(mailbox))[0]
                assert TOKEN not in " ".join(untagged)
        assert not [r for r in fake.of() if r.path == "/unregister"]
        assert len(fake.of("/register")) == 1


def test_other_entries_are_dovecots(server, user):
    with server.imap(user) as c:
        reply = c.cmd('SETMETADATA INBOX (/private/comment "mine")')[1]
        assert kind(reply) == ("OK" if server.metadata else "NO")
        reply = c.cmd('SETMETADATA INBOX (/shared/devicetoken "x")')[1]
        assert kind(reply) == ("OK" if server.metadata else "NO")
        c.cmd("GETMETADATA INBOX (/private/comment /shared/devicetoken)")
        c.cmd("GETMETADATA (DEPTH infinity) INBOX /private")
        c.ok("NOOP")
    assert not [r for r in server.fake.of(user=user) if r.path != "/seen"]


def test_together_with_other_entries(server, user, book):
    """All or nothing, as far as Dovecot can."""
    both = f'SETMETADATA INBOX (/private/comment "mine" {ENTRY} "{TOKEN}")'
    with server.imap(user) as c:
        assert kind(c.cmd(both)[1]) == ("OK" if server.metadata else "NO")
        assert len(book.subs) == server.metadata
        if server.metadata:
            untagged = c.ok(
                f"GETMETADATA INBOX (/private/comment {ENTRY})")
            assert "mine" in " ".join(untagged)
            assert TOKEN in " ".join(untagged)
        wrong = f'SETMETADATA INBOX ({ENTRY} "{OTHER}" comment "x")'
        assert kind(c.cmd(wrong)[1]) == "BAD"
        c.ok("NOOP")
    assert len(book.subs) == server.metadata


# --- how it may be written ---

FINE = {
    "quoted": setmetadata(),
    "all quoted": setmetadata(entry=f'"{ENTRY}"'),
    "atom": setmetadata("openpgp:abc+/="),
    "mailbox an atom": setmetadata(mailbox="INBOX"),
    "mailbox in lower case": setmetadata(mailbox="inbox"),
    "entry in upper case": setmetadata(entry=ENTRY.upper()),
    "command in lower case": setmetadata().replace("SET", "set"),
    "literals": "SETMETADATA {5+}\r\nINBOX ({20+}\r\n%s {%d+}\r\n%s)" % (
        ENTRY, len(TOKEN), TOKEN),
    "literal8": "SETMETADATA INBOX (%s ~{%d+}\r\n%s)" % (
        ENTRY, len(TOKEN), TOKEN),
    "longest": setmetadata('"%s"' % ("x" * 2048)),
    "twice, the last one counts": "SETMETADATA INBOX (%s \"%s\" %s x)" % (
        ENTRY, OTHER, ENTRY),
}


@pytest.mark.parametrize("text", FINE.values(), ids=FINE)
def test_fine(server, user, book, text):
    with server.imap(user) as c:
        assert c.ok(text) == []
        assert len(tokens(c)) == 1
    assert len(server.registered(user)) == 1


def test_synchronizing_literals_and_segments(server, user, book):
    with server.imap(user) as c:
        c.send("x SETMETADATA {5}\r\n")
        assert c.readline().startswith("+")
        c.send(f"INBOX ({ENTRY} {{{len(TOKEN)}}}\r\n")
        assert c.readline().startswith("+")
        c.send(TOKEN[:100])
        c.send(TOKEN[100:] + ")\r\n")
        assert kind(c.result("x")[1]) == "OK"
        assert tokens(c) == [TOKEN]
        text = setmetadata(f'"{OTHER}"') + "\r\n"
        for cut in range(0, len(text), 61):
            tag = c.tag()
            c.send(f"{tag} {text[:cut]}")
            c.send(text[cut:])
            assert kind(c.result(tag)[1]) == "OK"
        assert tokens(c) == [TOKEN, OTHER]


BAD = {
    "empty": setmetadata('""'),
    "a space": setmetadata('"a b"'),
    "a quote": setmetadata('"a\\"b"'),
    "a backslash": setmetadata('"a\\\\b"'),
    "a tab": setmetadata('"a\tb"'),
    "a line end": setmetadata("{4+}\r\na\r\nb"),
    "a NUL": setmetadata("~{3+}\r\na\0b"),
    "not ASCII": setmetadata('"\u00e9"'),
    "too long": setmetadata('"%s"' % ("x" * 2049)),
    "too long a literal": setmetadata("{3000+}\r\n" + "x" * 3000),
    "much too long a literal": setmetadata("{200000+}\r\n" + "x" * 200000),
    "a list": setmetadata("(x)"),
    "no value": f"SETMETADATA INBOX ({ENTRY})",
    "no list": f'SETMETADATA INBOX {ENTRY} "x"',
    "nothing": "SETMETADATA",
    "mailbox NIL": setmetadata(mailbox="NIL"),
    "mailbox a list": setmetadata(mailbox="(INBOX)"),
    "no such mailbox": setmetadata(mailbox="Nope"),
    "another mailbox": setmetadata(mailbox="Other"),
    "the server": setmetadata(mailbox='""'),
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_bad(server, user, text):
    book = Book()
    server.fake.behave(user, book)
    with server.imap(user) as c:
        c.ok("CREATE Other")
        c.ok(setmetadata())
        untagged, tagged = c.cmd(text)
        if "OK" == kind(tagged):    # METADATA on: Dovecot keeps it as such
            assert server.metadata and text == BAD["the server"]
        assert kind(tagged) in ("NO", "BAD", "OK")
        assert len(tagged) > len("a3 BAD ")
        c.ok("NOOP")
        assert tokens(c) == [TOKEN]
    assert len(server.registered(user)) == 1


def test_reasons(server, user):
    with server.imap(user) as c:
        c.ok("CREATE Other")
        assert "The token is empty" in c.cmd(setmetadata('""'))[1]
        assert "The token is too long" in c.cmd(
            setmetadata('"%s"' % ("x" * 2049)))[1]
        assert "is for the INBOX" in c.cmd(setmetadata(mailbox="Other"))[1]


WORDS = [ENTRY, f'"{TOKEN}"', "NIL", "INBOX", '""', "()", "(", ")", "(x)",
         "/private/comment", "/shared/x", "/private", "/x", "x", '"a b"', '"',
         "\\", "{", "}", "%", "*", "{3+}\r\nabc", "{0+}\r\n", "\xff", "\x01",
         "~{3+}\r\nabc", "(DEPTH 1)", "(MAXSIZE 3)", " ", "\t"]


def arguments(rng):
    words = ["INBOX", "(" + ENTRY, '"token"' + ")"]
    for _ in range(rng.randrange(3)):
        at = rng.randrange(len(words) + 1)
        words[at:at + rng.randrange(2)] = [rng.choice(WORDS)]
    return " ".join(words).encode("latin-1", "replace")


def test_fuzz(server, user, book):
    fuzz(server, user, ["SETMETADATA", "GETMETADATA"], arguments, FUZZ_N // 2)


# --- the daemon is away, slow, or wrong ---

SET_GET = [setmetadata(), setmetadata("NIL"), getmetadata()]
KINDS = ["set", "remove", "get"]


@pytest.mark.parametrize("text", SET_GET, ids=KINDS)
def test_away(own, work_dir, text):
    server = own(None, {"url": f"unix:{work_dir}/none", **ON,
                        "register_timeout_msecs": 300})
    with server.imap("alice") as c:
        c.send(f"x {text}\r\n")
        c.ok("NOOP")
        untagged, tagged = c.result("x")
        assert not untagged and " NO [UNAVAILABLE] " in tagged
        c.ok("NOOP")
    server.dovecot.wait_log("cannot reach xapsd at .*is it running")


def test_a_restart_costs_nothing(own, work_dir):
    path = str(work_dir / "x")
    server = own(None, {"url": f"unix:{path}", **ON,
                        "register_timeout_msecs": 60000})
    with server.imap("alice") as c:
        c.send(f"x {setmetadata()}\r\n")
        c.ok("NOOP")
        with FakeXapsd(path) as fake:
            fake.behave("alice", Book())
            assert kind(c.result("x")[1]) == "OK"


def test_slow_daemon_blocks_nothing(server, user):
    all_wait(server, user, SET_GET)


def test_no_answer(own, work_dir):
    no_answer(own, work_dir, SET_GET, ON)


@pytest.mark.parametrize("text", SET_GET, ids=KINDS)
def test_gone_while_waiting(server, user, text):
    server.fake.behave(user, fx.hang)
    with server.imap(user) as c:
        c.send(f"x {text}\r\ny {text}\r\n")
        server.fake.wait(1, user=user)
    wait_for(lambda: not server.fake.conns, what="aborted request")


def test_gone_within_the_command(server, user):
    for text in (f"x SETMETADATA INBOX ({ENTRY} {{100+}}\r\nabc",
                 f'x SETMETADATA INBOX ({ENTRY} "abc" ', "x GETMETADATA ("):
        with server.imap(user) as c:
            c.send(text)
    assert not server.fake.of("/register", user)


ANSWERS = {
    "refused": (fx.status(400, b"Token: too long\n"),
                "NO [CANNOT] Token: too long"),
    "500": (fx.status(500), "NO [UNAVAILABLE]"),
    "401": (fx.status(401), "NO [UNAVAILABLE]"),
    "501": (fx.status(501, b"built without deltachat"), "NO [UNAVAILABLE]"),
    "empty": (fx.status(200, b""), "OK "),
    "no content": (fx.raw(fx.NO_CONTENT), "OK "),
}


@pytest.mark.parametrize("answer, wanted", ANSWERS.values(), ids=ANSWERS)
def test_answers(server, user, answer, wanted):
    server.fake.behave(user, answer)
    with server.imap(user) as c:
        untagged, tagged = c.cmd(setmetadata())
        assert not untagged and wanted in tagged
        c.ok("NOOP")


def test_not_back_in_time(own, work_dir):
    with FakeXapsd(str(work_dir / "x")) as fake:
        fake.behave("alice", fx.close)
        server = own(fake, settings(fake, **{
            **ON, "register_timeout_msecs": 1500}))
        with server.imap("alice") as c:
            untagged, tagged = c.cmd(setmetadata())
            assert not untagged and " NO [UNAVAILABLE] " in tagged
            c.ok("NOOP")


def test_pipelined_commands_keep_their_order(server, user, book):
    with server.imap(user) as c:
        for _ in range(5):
            c.send(f"a {setmetadata()}\r\nb {getmetadata()}\r\n"
                   f"c {setmetadata('NIL')}\r\nd {getmetadata()}\r\n"
                   "e NOOP\r\n")
            replies, seen = {}, []
            while len(replies) < 5:
                text = c.result_line()
                if text[0] == "*":
                    seen.append(text)
                else:
                    replies[text[0]] = text.split(" ")[1]
            assert replies == dict.fromkeys("abcde", "OK")
            seen = [x for x in seen if "METADATA" in x]
            assert len([x for x in seen if TOKEN in x]) == 1
        assert not book.subs
    paths = [r.path for r in server.fake.of(user=user)]
    assert paths == ["/register", "/subscriptions", "/unregister",
                     "/subscriptions"] * 5


def test_logout_waits(server, user):
    gate = fx.Gate()
    server.fake.behave(user, gate)
    with server.imap(user) as c:
        c.send(f"a {setmetadata()}\r\nb LOGOUT\r\n")
        server.registered(user)
        gate.open()
        lines = []
        try:
            while True:
                lines.append(c.readline())
        except ConnectionError:
            pass
    assert [x[:4] for x in lines if x[0] != "*"] == ["a OK", "b OK"]


def test_over_tcp(own, work_dir):
    with FakeXapsd(("127.0.0.1", 0), password="u:p") as fake:
        fake.behave("alice", Book())
        server = own(fake, {"url": f"http://u:p@{LOCAL}:{fake.port}", **ON})
        with server.imap("alice") as c:
            c.ok(setmetadata())
            assert tokens(c) == [TOKEN]
            c.ok(setmetadata("NIL"))


@pytest.mark.valgrind
@pytest.mark.timeout(400)
def test_valgrind(own, work_dir):
    with FakeXapsd(str(work_dir / "xapsd.sock")) as fake:
        server = own(fake, settings(fake, **ON),
                     extra=under_valgrind(work_dir) + METADATA)
        fake.behave("fuzz", Book())
        fuzz(server, "fuzz", ["SETMETADATA", "GETMETADATA"], arguments, 150)
        fake.behave("gone", fx.hang)
        with server.imap("gone") as c:
            c.send(f"x {setmetadata()}\r\ny {getmetadata()}\r\n")
            fake.wait(1, "/register", "gone")
        wait_for(lambda: not fake.conns, what="aborted request")
        stop_under_valgrind(server.dovecot, work_dir)
    check_valgrind(work_dir, 1)
