"""IMAP WEBPUSH in a real Dovecot, with a stand-in for xapsd."""
import contextlib
import random
import re
import time

import pytest

import fake_xapsd as fx
from dovecot import Dovecot, Imap, wait_for
from fake_xapsd import VAPID, FakeXapsd
from subscriptions import (AUTH, CODE, ENDPOINT, LIMIT, P256DH, Book, b64,
                           webpush)
from test_plugin import (FUZZ_N, IS_2_3, LOCAL, MAIL, PLUGIN, Server,
                         assert_ok, check_health, check_valgrind, command,
                         kind, own, patient, session_dir, settings,
                         stop_under_valgrind, under_valgrind, user, work_dir)

__all__ = ["own", "session_dir", "user", "work_dir"]

ON = patient({"webpush": "yes"})
COMMANDS = ["GETVAPID", webpush(), "WEBPUSH phone NIL",
            f"ACKWEBPUSH phone {CODE}", "LWEBPUSH"]
KEY = f'* VAPID "{VAPID}"'


def line(state, name="phone", endpoint=f'"{ENDPOINT}"'):
    # Dovecot quotes only where it must
    return re.compile(r'\* WEBPUSH "?%s"? "?%s"? %s$' % (
        re.escape(name), re.escape(endpoint.strip('"')), state))


@pytest.fixture(scope="module")
def shared(session_dir):
    with FakeXapsd(str(session_dir / "xapsd.sock")) as fake, \
            Dovecot(session_dir, PLUGIN, settings(fake, **ON)) as dovecot:
        yield Server(dovecot, fake)


@pytest.fixture
def server(shared):
    start = shared.dovecot.log_size()
    yield shared
    check_health(shared.dovecot, start)


@pytest.fixture
def book(server, user):
    book = Book()
    server.fake.behave(user, book)
    server.fake.behave(None, Book())
    return book


# --- the capability and the setting ---

def test_capability(server, user):
    with Imap(server.dovecot.imap_port) as c:
        assert "WEBPUSH" not in c.greeting.split()
        assert "WEBPUSH" not in " ".join(c.ok("CAPABILITY")).split()
        assert kind(c.cmd(webpush())[1]) == "BAD"
        c.ok(f"LOGIN {user} secret")
        words = c.ok("CAPABILITY")[0].split()
        assert words.count("WEBPUSH") == 1
        assert "XAPPLEPUSHSERVICE" in words
        assert "XDELTAPUSH" not in words


@pytest.mark.parametrize("more", [{}, {"webpush": "no"}], ids=str)
def test_off_it_is_as_if_it_were_not_there(own, work_dir, more):
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, settings(fake, **more))
        with server.imap("alice") as c:
            assert "WEBPUSH" not in c.ok("CAPABILITY")[0].split()
            unknown = c.cmd("NOSUCHCOMMAND")[1]
            for text in COMMANDS + ["WEBPUSH", "WEBPUSH NIL",
                                    "WEBPUSH {3+}\r\nabc (x)"]:
                untagged, tagged = c.cmd(text)
                assert not untagged and kind(tagged) == "BAD"
                assert unknown.split("NOSUCHCOMMAND: ")[1][:15] in tagged
            assert_ok(c.cmd(command()), "INBOX")
        assert {r.path for r in fake.of()} - {"/seen"} == {"/register"}


def test_userdb_switches_it_on_for_one_user(own, work_dir):
    with FakeXapsd(str(work_dir / "x")) as fake:
        server = own(fake, settings(fake, webpush="no"),
                     userdb={"xaps_webpush": "yes"})
        with server.imap("alice") as c:
            assert "WEBPUSH" in c.ok("CAPABILITY")[0].split()
            assert c.ok("GETVAPID") == [KEY]


@pytest.mark.parametrize("scope", ["no", "inbox"])
def test_scope_of_the_userdb(own, work_dir, scope):
    with FakeXapsd(str(work_dir / "x")) as fake:
        fake.behave("alice", Book())
        server = own(fake, settings(fake, **ON), userdb={"xaps": scope})
        with server.imap("alice") as c:
            if scope == "no":
                assert "WEBPUSH" not in c.ok("CAPABILITY")[0].split()
                assert kind(c.cmd(webpush())[1]) == "BAD"
            else:
                c.ok(webpush())
                assert server.registered("alice")[0]["Mailboxes"] == ["INBOX"]


@pytest.mark.skipif(not IS_2_3, reason="2.4's own parser")
@pytest.mark.parametrize("name", ["webpush", "deltachat"])
def test_a_wrong_value_is_named(own, work_dir, name):
    server = own(None, {"url": "unix:/nowhere", name: "perhaps"})
    with server.imap("alice") as c:
        assert "XAPPLEPUSHSERVICE" not in c.ok("CAPABILITY")[0]
    server.dovecot.wait_log(
        f"xaps_config: {name} must be yes or no, not 'perhaps'")


# --- the whole way ---

def test_from_the_key_to_the_end(server, user, book):
    with server.imap(user) as c:
        assert c.ok("GETVAPID") == [KEY]
        sub, key = c.ok(webpush())
        assert line("INACTIVE").match(sub) and key == KEY
        assert server.registered(user)[0] == {
            "Kind": "webpush", "Username": user, "Id": "phone",
            "Endpoint": ENDPOINT, "P256dh": P256DH, "Auth": AUTH,
            "Confirm": True, "Mailboxes": ["*"]}
        [sub] = c.ok("LWEBPUSH")
        assert line("INACTIVE").match(sub)
        assert " NO [CANNOT] " in c.cmd("ACKWEBPUSH phone wrong")[1]
        assert c.ok(f"ACKWEBPUSH phone {CODE}") == []
        [sub] = c.ok("LWEBPUSH")
        assert line("ACTIVE").match(sub)
        # unchanged it stays active
        sub, key = c.ok(webpush())
        assert line("ACTIVE").match(sub) and key == KEY
        # a change makes it inactive
        sub, key = c.ok(webpush(auth=b64(b"x" * 16)))
        assert line("INACTIVE").match(sub)
        assert c.ok("WEBPUSH phone NIL") == []
        assert c.ok("LWEBPUSH") == []
        assert c.ok("webpush phone nil") == []   # it is gone: as good
        assert " NO [NONEXISTENT] " in c.cmd(f"ACKWEBPUSH phone {CODE}")[1]
    assert server.fake.of("/unregister", user)[0].json == {
        "Kind": "webpush", "Username": user, "Id": "phone"}
    assert server.fake.of("/confirm", user)[0].json == {
        "Kind": "webpush", "Username": user, "Id": "phone", "Code": "wrong"}


def test_users_have_their_own(server, user):
    """The name in a request is the session's, whatever the arguments say."""
    other = user + "x"
    one, two = Book(), Book()
    server.fake.behave(user, one)
    server.fake.behave(other, two)
    with server.imap(user) as c, server.imap(other) as d:
        c.ok(webpush())
        assert d.ok("LWEBPUSH") == []
        d.ok("WEBPUSH phone NIL")
        assert kind(d.cmd(f"ACKWEBPUSH phone {CODE}")[1]) == "NO"
        name = '"x\\",\\"Username\\":\\"%s"' % user
        d.ok(webpush(name))
        assert len(c.ok("LWEBPUSH")) == 1
    assert list(one.subs) == [("webpush", "phone")]
    assert list(two.subs) == [("webpush", f'x","Username":"{user}')]


def test_user_lookup(own, work_dir):
    with FakeXapsd(str(work_dir / "x")) as fake:
        fake.behave("real", Book())
        server = own(fake, settings(fake, user_lookup="name", **ON),
                     userdb={"name": "real"})
        with server.imap("alias") as c:
            c.ok(webpush())
            assert len(c.ok("LWEBPUSH")) == 1
        assert {r.user for r in fake.of()} == {"real"}


def test_limit(server, user, book):
    with server.imap(user) as c:
        for i in range(LIMIT):
            c.ok(webpush(f"app{i}"))
        tagged = c.cmd(webpush("one-more"))[1]
        assert " NO [LIMIT] alice has 20 subscriptions already" in tagged
        c.ok(webpush("app3"))           # an old one may change
        c.ok("WEBPUSH app7 NIL")
        c.ok(webpush("one-more"))
        assert len(c.ok("LWEBPUSH")) == LIMIT


def test_what_xapsd_refuses_is_told_in_its_words(server, user):
    server.fake.behave(user, fx.status(
        400, b"Endpoint: push.lan leads to a private address\n"))
    start = server.dovecot.log_size()
    with server.imap(user) as c:
        untagged, tagged = c.cmd(webpush())
        assert not untagged
        assert " NO [CANNOT] Endpoint: push.lan leads to a private address" \
            in tagged
    assert "Error" not in server.dovecot.log()[start:]


@pytest.mark.parametrize("body", [
    b"", b"\n", b"a\rb", b"\xff\xfe", b"x" * 250, b"a\0b", b"\x1b[1m",
    b"* BYE injected\r\n* OK more"], ids=repr)
def test_odd_words_of_refusal(server, user, body):
    server.fake.behave(user, fx.status(400, body))
    with server.imap(user) as c:
        untagged, tagged = c.cmd(webpush())
        assert not untagged and kind(tagged) == "NO"
        assert tagged.isprintable()
        c.ok("NOOP")


# --- arguments that are fine ---

FINE = {
    "all quoted": (f'WEBPUSH "phone" "{ENDPOINT}" "{P256DH}" "{AUTH}"', None),
    "literals": ("WEBPUSH " + " ".join(
        "{%d+}\r\n%s" % (len(x), x)
        for x in ("phone", ENDPOINT, P256DH, AUTH)), None),
    "lower case": (webpush().replace("WEBPUSH", "webpush"), None),
    "padding": (webpush(p256dh=f'"{P256DH}="', auth=f'"{AUTH}=="'), None),
    "standard alphabet": (
        webpush(p256dh='"%s"' % b64(b"\4" + b"\xff\xfb\xef" * 21 + b"x")
                .replace("-", "+").replace("_", "/")),
        {"P256dh": b64(b"\4" + b"\xff\xfb\xef" * 21 + b"x")}),
    "id with spaces": (webpush('"my \\"new\\" phone"'),
                       {"Id": 'my "new" phone'}),
    "id NIL as a string": (webpush('"NIL"'), {"Id": "NIL"}),
    "id longest": (webpush("i" * 128), {"Id": "i" * 128}),
    "scheme in capitals": (webpush(endpoint="HTTPS://p.example.org/x"),
                           {"Endpoint": "HTTPS://p.example.org/x"}),
    "port and IPv6": (webpush(endpoint="https://[2001:db8::1]:8443/x"),
                      {"Endpoint": "https://[2001:db8::1]:8443/x"}),
    "endpoint longest": (
        webpush(endpoint="https://p.example.org/" + "x" * 1002),
        {"Endpoint": "https://p.example.org/" + "x" * 1002}),
}


@pytest.mark.parametrize("text, wanted", FINE.values(), ids=FINE)
def test_fine(server, user, book, text, wanted):
    with server.imap(user) as c:
        sub, key = c.ok(text)
        assert sub.startswith("* WEBPUSH ") and sub.endswith(" INACTIVE")
        assert key == KEY
        listed = c.ok("LWEBPUSH")
        assert listed == [sub]
    sent = server.registered(user)[0]
    assert sent == {"Kind": "webpush", "Username": user, "Id": "phone",
                    "Endpoint": ENDPOINT, "P256dh": P256DH, "Auth": AUTH,
                    "Confirm": True, "Mailboxes": ["*"], **(wanted or {})}


def test_split_segments(server, user, book):
    text = ("WEBPUSH {5+}\r\nphone " + f'"{ENDPOINT}" {P256DH} {AUTH}\r\n')
    with server.imap(user) as c:
        for cut in range(0, len(text), 7):
            tag = c.tag()
            c.send(f"{tag} {text[:cut]}")
            c.send(text[cut:])
            assert kind(c.result(tag)[1]) == "OK"
        c.send("x WEBPUSH {5}\r\n")
        assert c.readline().startswith("+")
        c.send("phone NIL\r\n")
        assert kind(c.result("x")[1]) == "OK"
    assert not book.subs


def test_in_selected_state(server, user, book):
    with server.imap(user) as c:
        c.ok("SELECT INBOX")
        c.ok(webpush())
        c.ok(f"ACKWEBPUSH phone {CODE}")
        assert line("ACTIVE").match(c.ok("LWEBPUSH")[0])


# --- arguments that are not ---

LONG = "x" * 5000
BAD = {
    "WEBPUSH: nothing": "WEBPUSH",
    "only id": "WEBPUSH phone",
    "no keys": f'WEBPUSH phone "{ENDPOINT}"',
    "no auth": f'WEBPUSH phone "{ENDPOINT}" {P256DH}',
    "one too many": webpush() + " more",
    "a list more": webpush() + " ()",
    "after NIL": "WEBPUSH phone NIL NIL",
    "keys after NIL": f"WEBPUSH phone NIL {P256DH} {AUTH}",
    "id NIL": webpush("NIL"),
    "id NIL, to delete": "WEBPUSH NIL NIL",
    "id empty": webpush('""'),
    "id empty, to delete": 'WEBPUSH "" NIL',
    "id a list": webpush("(phone)"),
    "id too long": webpush("i" * 129),
    "id not ASCII": webpush('"t\u00e9l\u00e9"'),
    "id with a control character": webpush('"a\tb"'),
    "id with a line end": webpush("{4+}\r\na\r\nb"),
    "id with a NUL": webpush("{3+}\r\na\0b"),
    "endpoint NIL string": webpush(endpoint="NIL"),
    "endpoint empty": webpush(endpoint=""),
    "endpoint a list": f"WEBPUSH phone (x) {P256DH} {AUTH}",
    "endpoint http": webpush(endpoint="http://push.example.org/x"),
    "endpoint ftp": webpush(endpoint="ftp://push.example.org/x"),
    "endpoint without scheme": webpush(endpoint="push.example.org/x"),
    "endpoint without host": webpush(endpoint="https:///x"),
    "endpoint scheme only": webpush(endpoint="https://"),
    "endpoint with a password": webpush(endpoint="https://a:b@example.org/"),
    "endpoint with a fragment": webpush(endpoint="https://example.org/#x"),
    "endpoint with a bad port": webpush(endpoint="https://example.org:x/"),
    "endpoint with a space": webpush(endpoint="https://example.org/a b"),
    "endpoint not ASCII": webpush(endpoint="https://ex\u00e4mple.org/"),
    "endpoint too long": webpush(
        endpoint="https://p.example.org/" + "x" * 1003),
    "endpoint much too long": webpush(endpoint="https://p/" + LONG),
    "p256dh NIL": webpush(p256dh="NIL"),
    "p256dh empty": webpush(p256dh='""'),
    "p256dh a list": webpush(p256dh="(x)"),
    "p256dh too short": webpush(p256dh=P256DH[:-1]),
    "p256dh too long": webpush(p256dh=P256DH + "A"),
    "p256dh much too long": webpush(p256dh=LONG),
    "p256dh compressed": webpush(p256dh=b64(b"\2" + bytes(32))),
    "p256dh compressed, length right": webpush(p256dh=b64(b"\2" + bytes(64))),
    "p256dh begins with 0x05": webpush(p256dh=b64(b"\5" + bytes(64))),
    "p256dh not base64": webpush(p256dh='"' + P256DH[:-1] + '!"'),
    "p256dh not base64, a dot": webpush(p256dh=P256DH[:-1] + "."),
    "p256dh padding inside": webpush(
        p256dh='"' + P256DH[:40] + "=" + P256DH[41:] + '"'),
    "p256dh too much padding": webpush(p256dh=f'"{P256DH}==="'),
    "auth NIL": webpush(auth="NIL"),
    "auth empty": webpush(auth='""'),
    "auth a list": webpush(auth="(x)"),
    "auth too short": webpush(auth=AUTH[:-1]),
    "auth too long": webpush(auth=AUTH + "AA"),
    "auth not base64": webpush(auth='"' + AUTH[:-1] + ' "'),
    "auth only padding": webpush(auth='"=="'),
    "auth a NUL": webpush(auth="{3+}\r\na\0b"),
    "unbalanced": webpush() + ")",
    "open quote": 'WEBPUSH "phone',
    "ACK: nothing": "ACKWEBPUSH",
    "ACK: no code": "ACKWEBPUSH phone",
    "ACK: id NIL": f"ACKWEBPUSH NIL {CODE}",
    "ACK: id empty": f'ACKWEBPUSH "" {CODE}',
    "ACK: id a list": f"ACKWEBPUSH (phone) {CODE}",
    "ACK: code NIL": "ACKWEBPUSH phone NIL",
    "ACK: code empty": 'ACKWEBPUSH phone ""',
    "ACK: code a list": f"ACKWEBPUSH phone ({CODE})",
    "ACK: code too long": "ACKWEBPUSH phone " + "c" * 129,
    "ACK: code not printable": 'ACKWEBPUSH phone "a\tb"',
    "ACK: code with a line end": "ACKWEBPUSH phone {3+}\r\na\nb",
    "ACK: one too many": f"ACKWEBPUSH phone {CODE} x",
    "GETVAPID: arguments": "GETVAPID x",
    "GETVAPID: NIL": "GETVAPID NIL",
    "GETVAPID: a list": "GETVAPID ()",
    "LWEBPUSH: arguments": 'LWEBPUSH "%"',
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_bad(server, user, book, text):
    with server.imap(user) as c:
        c.ok(webpush("before"))
        count = len(server.fake.of(user=user))
        untagged, tagged = c.cmd(text)
        assert not untagged and kind(tagged) == "BAD"
        assert len(tagged) > len("a2 BAD ")  # says why
        c.ok("NOOP")
        assert len(server.fake.of(user=user)) == count
        assert len(c.ok("LWEBPUSH")) == 1
    assert list(book.subs) == [("webpush", "before")]


def test_reasons(server, user):
    """A client's author learns what is wrong."""
    with server.imap(user) as c:
        for text, why in {
            "WEBPUSH phone": "WEBPUSH: endpoint is missing ",
            webpush(endpoint="http://example.org/"): "endpoint is not https",
            webpush(p256dh="AAAA"): "p256dh has a wrong length",
            webpush(auth="NIL"): "auth must be a string",
            "ACKWEBPUSH phone": "ACKWEBPUSH: code is missing ",
            "GETVAPID x": "GETVAPID: it takes no arguments ",
        }.items():
            assert why in c.cmd(text)[1]


WORDS = ["phone", "NIL", "nil", f'"{ENDPOINT}"', P256DH, AUTH, CODE, "()",
         "(", ")", "(x)", '""', '"a b"', '"', "\\", "{", "}", "%", "*",
         "{3+}\r\nabc", "{0+}\r\n", "{5+}\r\na\r\nbc", "~{3+}\r\nabc",
         "x" * 200, "\xff", "\u00fc", "\x01", " ", "\t", "=", "=="]


def arguments(rng):
    words = ["phone", f'"{ENDPOINT}"', P256DH, AUTH][:rng.randrange(5)]
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(words) + 1)
        words[at:at + rng.randrange(2)] = [rng.choice(WORDS)]
    return " ".join(words).encode("latin-1", "replace")


def fuzz(server, user, names, arguments, count):
    rng = random.Random(7)
    kinds = {"OK": 0, "NO": 0, "BAD": 0}
    with server.imap(user) as c:
        for i in range(count):
            args = arguments(rng)
            tag = c.tag()
            c.send(f"{tag} {rng.choice(names)} ".encode() + args + b"\r\n")
            while not (text := c.readline()).startswith(tag + " "):
                # as in test_plugin.py
                m = re.search(rb"\{(\d+)\}$", args)
                if m and text.startswith("+"):
                    c.send(b"x" * int(m[1]) + b"\r\n")
            kinds[kind(text)] += 1
            if i % 10 == 9:
                c.ok("NOOP")  # Dovecot ends sessions at 20 errors in a row
        c.ok("LOGOUT")
    assert kinds["OK"] > 0 and kinds["BAD"] > 0, kinds


def test_fuzz(server, user, book):
    """Any arguments get one tagged answer, in one session."""
    fuzz(server, user, ["WEBPUSH", "ACKWEBPUSH", "GETVAPID", "LWEBPUSH"],
         arguments, FUZZ_N)


# --- the daemon is away, slow, or wrong ---

@pytest.mark.parametrize("text", COMMANDS)
def test_away(own, work_dir, text):
    server = own(None, {"url": f"unix:{work_dir}/none", **ON,
                        "register_timeout_msecs": 300})
    with server.imap("alice") as c:
        c.send(f"x {text}\r\n")
        c.ok("NOOP")                    # answered meanwhile
        untagged, tagged = c.result("x")
        assert not untagged and " NO [UNAVAILABLE] " in tagged
        c.ok("NOOP")
    server.dovecot.wait_log("cannot reach xapsd at .*is it running")


def test_a_restart_costs_nothing(own, work_dir):
    """The command waits for the daemon, up to the register timeout."""
    path = str(work_dir / "x")
    server = own(None, {"url": f"unix:{path}", **ON,
                        "register_timeout_msecs": 60000})
    with server.imap("alice") as c:
        c.send(f"x {webpush()}\r\n")
        c.ok("NOOP")
        with FakeXapsd(path) as fake:
            fake.behave("alice", Book())
            assert kind(c.result("x")[1]) == "OK"


def all_wait(server, user, texts):
    """Each in a session of its own, which goes on meanwhile."""
    gate = fx.Gate(fx.status(500))
    for who in (user, None):        # None: GETVAPID
        server.fake.behave(who, gate)
    count = len(server.fake.of())
    with contextlib.ExitStack() as stack:
        sessions = [stack.enter_context(server.imap(user)) for _ in texts]
        for c, text in zip(sessions, texts):
            c.send(f"x {text}\r\n")
        wait_for(lambda: len(server.fake.of()) >= count + len(texts),
                 what="requests")
        for c in sessions:
            c.ok("NOOP")
            c.ok("SELECT INBOX")
            c.append("INBOX", MAIL)
        gate.open()
        for c in sessions:
            untagged, tagged = c.result("x")
            assert not untagged and " NO [UNAVAILABLE] " in tagged
    server.fake.behave(None, fx.ok)


def test_slow_daemon_blocks_nothing(server, user):
    all_wait(server, user, COMMANDS)


def no_answer(own, work_dir, texts, on):
    """After the timeout that is set."""
    with FakeXapsd(str(work_dir / "x")) as fake, \
            contextlib.ExitStack() as stack:
        for who in ("alice", None):
            fake.behave(who, fx.hang)
        server = own(fake, settings(fake, **{**on, "timeout_msecs": 2000}))
        sessions = [stack.enter_context(server.imap("alice")) for _ in texts]
        start = time.monotonic()
        for c, text in zip(sessions, texts):
            c.send(f"x {text}\r\n")
        for c in sessions:
            untagged, tagged = c.result("x")
            assert not untagged and " NO [UNAVAILABLE] " in tagged
            assert time.monotonic() - start > 1.9
            c.ok("NOOP")


def test_no_answer(own, work_dir):
    no_answer(own, work_dir, COMMANDS, ON)


@pytest.mark.parametrize("text", COMMANDS)
def test_gone_while_waiting(server, user, text):
    who = None if text == "GETVAPID" else user
    count = len(server.fake.of(user=who))
    server.fake.behave(who, fx.hang)
    try:
        with server.imap(user) as c:
            c.send(f"x {text}\r\ny {text}\r\nz {text}\r\n")
            server.fake.wait(count + 1, user=who)
        wait_for(lambda: not server.fake.conns, what="aborted request")
    finally:
        server.fake.behave(None, fx.ok)


WRONG = {
    "empty": fx.status(200, b""), "topic with CRLF": fx.topic(b"a\r\n* BYE"),
    "quote": fx.topic(b'a"b'), "created": fx.status(201, b"key"),
    "no content": fx.raw(fx.NO_CONTENT), "500": fx.status(500),
    "501": fx.status(501, b"this xapsd was built without webpush\n"),
    "401": fx.status(401), "403": fx.status(403),
    "404": fx.status(404), "302": fx.status(302),
    "no HTTP": fx.raw(b"hello\r\n\r\n"), "endless": fx.endless_body,
    "NUL": fx.topic(b"a\0b"), "long": fx.topic(b"k" * 300),
}


@pytest.mark.parametrize("behaviour", WRONG.values(), ids=WRONG)
def test_wrong_answers_to_a_new_one(server, user, behaviour):
    server.fake.behave(user, behaviour)
    with server.imap(user) as c:
        untagged, tagged = c.cmd(webpush())
        assert not untagged and kind(tagged) == "NO"
        c.ok("NOOP")


@pytest.mark.parametrize("behaviour", [fx.status(503), fx.close],
                         ids=["503", "closed"])
def test_not_back_in_time(own, work_dir, behaviour):
    with FakeXapsd(str(work_dir / "x")) as fake:
        fake.behave("alice", behaviour)
        server = own(fake, settings(fake, **{
            **ON, "register_timeout_msecs": 1500}))
        with server.imap("alice") as c:
            untagged, tagged = c.cmd(webpush())
            assert not untagged and " NO [UNAVAILABLE] " in tagged
            c.ok("NOOP")


LISTS = {
    "nothing": b"", "no JSON": b"hello", "an array": b"[]", "empty": b"{}",
    "null": b"null", "cut": b'{"subscriptions":[{"id":"a","endp',
    "not a list": b'{"subscriptions":{}}',
    "list of strings": b'{"subscriptions":["a"]}',
    "bad escape": b'{"subscriptions":[{"id":"\\x"}]}',
    "NUL escape": b'{"subscriptions":[{"id":"\\u0000"}]}',
    "open": b'{"subscriptions":[{"id":"a"}',
    "deep": b'{"a":' + b"[" * 10000,
    "too much": b'{"subscriptions":[' + b" " * (300 * 1024) + b"]}",
}


@pytest.mark.parametrize("body", LISTS.values(), ids=LISTS)
def test_wrong_lists(server, user, body):
    server.fake.behave(user, fx.status(200, body))
    with server.imap(user) as c:
        untagged, tagged = c.cmd("LWEBPUSH")
        assert not untagged and kind(tagged) == "NO"
        c.ok("NOOP")


def test_odd_lists(server, user):
    """Members that we do not know, and those that are missing."""
    server.fake.behave(user, fx.status(200, b"""
        { "vapid" : "x", "more":[{"a":[1,-2.5e3,{}]},null,true, "]}"],
          "subscriptions" : [ {},
            {"id":"one \\"1\\" \\\\ \\u0041","active":false,"n":{"id":"no"},
             "endpoint":"https:\\/\\/a.example.org/", "mailboxes":["*","["]},
            {"id":5,"endpoint":"https://c.example.org/"},
            {"endpoint":"https://b.example.org/", "active":true},
            {"id":"two","endpoint":"https://d.example.org/","active": true}
          ] }"""))
    with server.imap(user) as c:
        one, two = c.ok("LWEBPUSH")
    assert one.endswith(" INACTIVE") and "https://a.example.org/" in one
    assert 'one \\"1\\" \\\\ A' in one or 'one "1" \\ A' in one
    assert line("ACTIVE", "two", "https://d.example.org/").match(two)


def test_no_list_is_an_empty_one(server, user):
    for answer in (fx.status(404, b"no devices of this user"),
                   fx.status(200, b'{"vapid":"x","subscriptions":[]}')):
        server.fake.behave(user, answer)
        with server.imap(user) as c:
            assert c.ok("LWEBPUSH") == []


def test_many_and_long(server, user, book):
    endpoint = "https://p.example.org/" + "x" * 1002
    names = [f"{i:02d}" + "i" * 126 for i in range(LIMIT)]
    with server.imap(user) as c:
        for name in names:
            c.ok(webpush(name, endpoint))
        listed = c.ok("LWEBPUSH")
    assert len(listed) == LIMIT
    assert all(line("INACTIVE", name, endpoint).match(text)
               for name, text in zip(names, listed))


# --- pipelining ---

def test_pipelined_commands_keep_their_order(server, user, book):
    with server.imap(user) as c:
        for i in range(10):
            c.send(f"a {webpush()}\r\nb ACKWEBPUSH phone {CODE}\r\n"
                   "c LWEBPUSH\r\nd WEBPUSH phone NIL\r\ne LWEBPUSH\r\n"
                   "f NOOP\r\n")
            replies, seen = {}, []
            while len(replies) < 6:
                text = c.result_line()
                if text[0] == "*":
                    seen.append(text)
                else:
                    replies[text[0]] = text.split(" ")[1]
            assert replies == dict.fromkeys("abcdef", "OK")
            seen = [x for x in seen if "WEBPUSH" in x]
            assert [x.split(" ")[-1] for x in seen] == ["INACTIVE", "ACTIVE"]
        assert not book.subs
    paths = [r.path for r in server.fake.of(user=user)]
    assert paths == ["/register", "/confirm", "/subscriptions",
                     "/unregister", "/subscriptions"] * 10


def test_one_that_fails_does_not_hold_up_the_next(server, user):
    gate = fx.Gate(fx.status(500))
    with server.imap(user) as c:
        server.fake.behave(user, gate)
        c.send(f"a {webpush()}\r\n")
        server.fake.wait(1, user=user)
        server.fake.behave(user, Book())
        c.send(f"b {webpush('other')}\r\nc WEBPUSH\r\nd GETVAPID\r\n")
        assert kind(c.result("c")[1]) == "BAD"      # needs no answer
        gate.open()
        assert kind(c.result("a")[1]) == "NO"
        assert kind(c.result("b")[1]) == "OK"
        assert kind(c.result("d")[1]) == "OK"


def test_beside_the_phones_command(server, user, book):
    """XAPPLEPUSHSERVICE does not wait for them, nor they for it."""
    gate = fx.Gate(fx.status(500))
    with server.imap(user) as c:
        server.fake.behave(user, gate)
        c.send(f"a {webpush()}\r\n")
        server.fake.wait(1, user=user)
        server.fake.behave(user, fx.ok)
        assert_ok(c.cmd(command()), "INBOX")
        gate.open()
        assert kind(c.result("a")[1]) == "NO"


def test_logout_waits_for_all(server, user):
    server.fake.behave(user, fx.slow(0.2))
    with server.imap(user) as c:
        c.send(f"a ACKWEBPUSH phone {CODE}\r\nb WEBPUSH phone NIL\r\n"
               "c LOGOUT\r\n")
        lines = []
        try:
            while True:
                lines.append(c.readline())
        except ConnectionError:
            pass
    tagged = [x for x in lines if x[0] != "*"]
    assert [x[:4] for x in tagged] == ["a OK", "b OK", "c OK"]


def test_idle_while_waiting(server, user):
    """An answer in the middle of IDLE does no harm."""
    gate = fx.Gate()
    server.fake.behave(user, gate)
    with server.imap(user) as c:
        c.ok("SELECT INBOX")
        c.send(f"a ACKWEBPUSH phone {CODE}\r\nb IDLE\r\n")
        assert c.readline().startswith("+")
        gate.open()
        assert c.readline().startswith("a ")
        c.send("DONE\r\n")
        assert kind(c.result("b")[1]) == "OK"


# --- over TCP, with several addresses ---

def test_over_tcp(own, work_dir):
    with FakeXapsd(("127.0.0.1", 0), password="u:p") as fake:
        fake.behave("alice", Book())
        server = own(fake, {"url": f"http://u:p@{LOCAL}:{fake.port}", **ON})
        with server.imap("alice") as c:
            assert c.ok("GETVAPID") == [KEY]
            c.ok(webpush())
            assert kind(c.cmd("ACKWEBPUSH phone x")[1]) == "NO"
            c.ok(f"ACKWEBPUSH phone {CODE}")
            assert line("ACTIVE").match(c.ok("LWEBPUSH")[0])
            c.ok("WEBPUSH phone NIL")
        head = fake.of("/vapid")[0].head
        assert head.startswith("GET ") and "content-length" not in head.lower()


def test_of_two_daemons_the_other_one(own, work_dir):
    with FakeXapsd(str(work_dir / "x")) as fake:
        fake.behave("alice", Book())
        glue = " url=" if IS_2_3 else " "
        server = own(fake, {
            "url": f"unix:{work_dir}/none{glue}unix:{fake.path}", **ON})
        with server.imap("alice") as c:
            assert c.ok("GETVAPID") == [KEY]
            c.ok(webpush())
            # what the one refuses is final
            assert kind(c.cmd("ACKWEBPUSH phone x")[1]) == "NO"
            assert len(fake.of("/confirm")) == 1


def test_event(own, work_dir):
    with FakeXapsd(str(work_dir / "x")) as fake:
        fake.behave("alice", Book())
        fmt = "event_exporter log {\n format = json\n transport = log\n" \
            " format_args = time-rfc3339\n}\n" if IS_2_3 else \
            "event_exporter log {\n driver = log\n format = json\n" \
            " time_format = rfc3339\n}\n"
        fmt += "metric x {\n exporter = log\n" \
            " filter = event=xaps_webpush_finished\n}\n"
        server = own(fake, settings(fake, **ON), extra=fmt)
        with server.imap("alice") as c:
            c.ok(webpush())
        server.dovecot.wait_log(r"xaps_webpush_finished.*\"status\":202")


@pytest.mark.valgrind
@pytest.mark.timeout(400)
def test_valgrind(own, work_dir):
    with FakeXapsd(str(work_dir / "xapsd.sock")) as fake:
        server = own(fake, settings(fake, **ON),
                     extra=under_valgrind(work_dir))
        fake.behave("fuzz", Book())
        fuzz(server, "fuzz", ["WEBPUSH", "ACKWEBPUSH", "GETVAPID",
                              "LWEBPUSH"], arguments, 200)
        with server.imap("lists") as c:
            for body in LISTS.values():
                fake.behave("lists", fx.status(200, body))
                c.cmd("LWEBPUSH")
        fake.behave("gone", fx.hang)
        with server.imap("gone") as c:
            c.send(f"x {webpush()}\r\ny {webpush()}\r\n")
            fake.wait(1, "/register", "gone")
        wait_for(lambda: not fake.conns, what="aborted request")
        stop_under_valgrind(server.dovecot, work_dir)
    check_valgrind(work_dir, 1)
