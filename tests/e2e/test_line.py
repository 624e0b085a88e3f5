"""The line protocol of the first-generation plugin, on both doors."""

import contextlib

import pytest

from phones import ACCOUNT, TOKEN
from test_http import raw

REGISTER = (
    'REGISTER aps-account-id="%s"\taps-device-token="%s"\t'
    'aps-subtopic="com.apple.mobilemail"\tdovecot-username="%s"\t'
    'dovecot-mailboxes=(%s)')


def register(user="alice", mailboxes=("INBOX", "Notes"), account=ACCOUNT,
             token=TOKEN):
    def quote(s):
        return '"%s"' % s.replace("\\", "\\\\").replace('"', '\\"')
    return REGISTER % (account, token, quote(user)[1:-1],
                       ",".join(map(quote, mailboxes)))


def notify(user="alice", mailbox="INBOX", events=None):
    line = 'NOTIFY dovecot-username="%s"\tdovecot-mailbox="%s"' % (
        user, mailbox)
    if events is not None:
        line += "\tevents=(%s)" % ",".join('"%s"' % e for e in events)
    return line


class Lines:
    """A client that talks as that plugin does."""

    def __init__(self, daemon, **kwargs):
        self.sock = raw(daemon, **kwargs)
        self.file = self.sock.makefile("rwb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.sock.close()

    def send(self, *lines, end="\n"):
        self.sock.sendall("".join(x + end for x in lines).encode())

    def answer(self):
        line = self.file.readline().decode()
        assert line.endswith("\r\n"), line
        return line[:-2]

    def ask(self, line, end="\n"):
        self.send(line, end=end)
        return self.answer()


def check_wakes(daemon, apple, topic):
    """A phone that registers is woken."""
    with Lines(daemon) as c:
        assert c.ask(register()) == "OK " + topic
        assert c.ask(notify()) == "OK "
    push, = apple.wait_for(1)
    assert push.token == TOKEN


@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
def test_register_and_notify(start_xapsd, apple, tcp):
    daemon = start_xapsd(tcp=True)
    topic = daemon.certs.key_topic
    with Lines(daemon, tcp=tcp) as c:
        assert c.ask(register()) == "OK " + topic
        # on disk before the answer
        record, = daemon.records()
        assert (record["user"], record["account"], record["token"]) == (
            "alice", ACCOUNT, TOKEN)
        assert record["mailboxes"] == ["INBOX", "Notes"]
        assert record["acked"] is False
        assert c.ask(notify(), end="\r\n") == "OK "
        push, = apple.wait_for(1)
        assert push.token == TOKEN
        assert push.aps == {"account-id": ACCOUNT}
        # a client that only flags, nobody to be woken, unwatched
        assert c.ask(notify(events=["FlagsSet"])) == "OK "
        assert c.ask(notify("nobody")) == "OK "
        assert c.ask(notify(mailbox="Work")) == "OK "


def test_escapes(xapsd):
    name = 'a "b" \\ c'
    with Lines(xapsd) as c:
        assert c.ask(register(name, [name])).startswith("OK ")
    record, = xapsd.records()
    assert record["user"] == name
    assert record["mailboxes"] == [name]


def test_every_split(xapsd):
    """Wherever the network cuts, the answers are the same."""
    data = (register() + "\r\n" + notify() + "\n").encode()
    with Lines(xapsd) as c:
        for at in range(1, len(data)):
            c.sock.sendall(data[:at])
            c.sock.sendall(data[at:])
            assert c.answer().startswith("OK com.")
            assert c.answer() == "OK "
        for byte in data:
            c.sock.sendall(bytes([byte]))
        assert c.answer().startswith("OK com.")
        assert c.answer() == "OK "


def test_pipelined(xapsd):
    n = 300
    with Lines(xapsd) as c:
        c.send(*[register("u%d" % i) for i in range(n)],
               notify("u1"), "NOTIFY x", notify("u2"))
        for _ in range(n):
            assert c.answer().startswith("OK com.")
        assert c.answer() == "OK "
        assert c.answer().startswith("ERROR ")
        assert c.answer() == "OK "
    assert {r["user"] for r in xapsd.records()} == {
        "u%d" % i for i in range(n)}


def test_lines_and_http_on_one_connection(xapsd):
    with Lines(xapsd) as c:
        assert c.ask(register()).startswith("OK com.")
        c.sock.sendall(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
        assert c.file.readline() == b"HTTP/1.1 404 Not Found\r\n"


@pytest.mark.parametrize("line, reason", [
    (register(token="xyz"), "device token must be"),
    (register(account=""), "account id must be"),
    (register(user=""), "user must be"),
    (register(mailboxes=["a" * 1025]), "mailbox must be"),
    (register(mailboxes=["a\x01"]), "mailbox must be"),
    (register(mailboxes=["m%d" % i for i in range(1001)]), "1000 mailboxes"),
    (register().replace("mobilemail", "mail"), "the subtopic is not"),
    (register().replace("aps-account-id", "aps"), "aps-account-id is missing"),
    (register().split("\tdovecot-mailboxes")[0], "dovecot-mailboxes is mis"),
    ('NOTIFY dovecot-username="u"', "dovecot-mailbox is missing"),
    ('NOTIFY dovecot-mailbox="u"', "dovecot-username is missing"),
    ('NOTIFY dovecot-username="u', "closing quote"),
    ('NOTIFY dovecot-username=u', 'a "quoted" value'),
], ids=range(13))
def test_refused(xapsd, line, reason):
    with Lines(xapsd) as c:
        answer = c.ask(line)
        assert answer.startswith("ERROR "), answer
        assert reason in answer
        assert c.ask(register()).startswith("OK com.")  # it goes on
    assert len(xapsd.records()) == 1


def test_too_long(xapsd):
    with Lines(xapsd) as c:
        # it may have had enough, and left, before all is sent
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            c.sock.sendall(b'NOTIFY dovecot-username="' + b"x" * 70000)
        assert c.answer() == "ERROR the line is longer than 64 KiB"
        try:
            assert c.file.readline() == b""
        except ConnectionResetError:
            pass


def overlong_lines():
    """Longer than 64 KiB though whole in the daemon's buffer, in each part."""
    yield register(mailboxes=["x" * 72000])
    yield register(mailboxes=["m%04d%s" % (i, "x" * 60)
                              for i in range(1100)])[:72000]
    yield register(mailboxes=["x"] * 17000)
    yield register(user="u" * 66000)
    yield register(token="a" * 66000)
    yield register(account="a" * 66000)
    yield register() + '\tother="%s"' % ("x" * 66000)
    yield notify("u" * 66000)
    yield notify(mailbox="x" * 66000)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_overlong_is_refused_and_nothing_leaks(xapsd, end):
    """An earlier client's names do not become those of the next."""
    with Lines(xapsd) as c:
        assert c.ask(register("alice", ["Secret"])).startswith("OK com.")
    xapsd.register("bob", ACCOUNT, TOKEN, ["Secret too"])
    for line in overlong_lines():
        with Lines(xapsd) as c:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                c.sock.sendall((line.replace("alice", "eve") + end).encode())
            assert c.answer() == "ERROR the line is longer than 64 KiB"
    assert {r["user"]: r["mailboxes"] for r in xapsd.records()} == {
        "alice": ["Secret"], "bob": ["Secret too"]}


def test_thousands_of_names(xapsd):
    """Below 64 KiB of line, above 1,000 names; and just so many."""
    with Lines(xapsd) as c:
        for n in (1001, 5000, 20000):
            answer = c.ask(register(mailboxes=["x"] * n)[:65000 - 3] + '")'
                           if n == 20000 else register(mailboxes=["x"] * n))
            assert answer.startswith("ERROR "), answer
        for n in (1000, 1):
            names = ["m%d" % i for i in range(n)]
            assert c.ask(register(mailboxes=names)).startswith("OK com.")
            assert xapsd.records()[-1]["mailboxes"] == names


@pytest.mark.parametrize("bad", [
    dict(user="u" * 256), dict(user="u" * 60000), dict(user="a\x7f"),
    dict(user="a\u0085"), dict(token="a" * 15), dict(token="a" * 201),
    dict(token="a" * 60000), dict(account="a" * 201),
    dict(account="\u00e4"), dict(account="a" * 60000),
    dict(mailboxes=[""]), dict(mailboxes=["a\u0080"]),
    dict(mailboxes=["a" * 60000]),
], ids=range(13))
def test_limits_hold_in_both_protocols(xapsd, bad):
    with Lines(xapsd) as c:
        answer = c.ask(register(**bad))
        assert answer.startswith("ERROR "), answer
        assert len(answer) < 600
    full = dict(user="u", account=ACCOUNT, token=TOKEN) | bad
    reply = xapsd.post_register(**full)
    assert reply.status == 400, reply
    assert reply.body.count("\n") == 1 and len(reply.body) < 600
    assert not xapsd.database.exists() or xapsd.records() == []


@pytest.mark.parametrize("user, mailbox", [
    ("", "INBOX"), ("u" * 256, "INBOX"), ("u\x01", "INBOX"), ("u", ""),
    ("u", "m" * 4097), ("u", "m\u0090"),
], ids=range(6))
def test_notify_limits(xapsd, user, mailbox):
    with Lines(xapsd) as c:
        assert c.ask(notify(user, mailbox)).startswith("ERROR ")
    assert xapsd.notify(user, mailbox).status == 400
    assert xapsd.request(
        "PUT", "/preliminary/http-notify/v1/notify",
        {"user": user, "folder": mailbox, "event": "messageNew"}).status == 400


@pytest.mark.parametrize("raw_bytes", [b"\xff", b"\xc3", b"\xed\xa0\x80"])
def test_not_utf8(xapsd, raw_bytes):
    for line in (register(user="@@"), register(mailboxes=["@@"]),
                 register(account="@@"), notify("@@"), notify(mailbox="@@")):
        with Lines(xapsd) as c:
            c.sock.sendall(line.encode().replace(b"@@", raw_bytes) + b"\n")
            assert c.answer().startswith("ERROR ")


def test_password_has_no_place(start_xapsd):
    daemon = start_xapsd(tcp=True, httpUser="me", httpPassword="secret")
    with Lines(daemon, tcp=True) as c:
        assert c.ask(register()).startswith("ERROR a password is needed")
    assert not daemon.database.exists() or daemon.records() == []
    with Lines(daemon) as c:    # the Unix socket is guarded by its mode
        assert c.ask(register()).startswith("OK com.")


def test_no_credentials(start_xapsd):
    daemon = start_xapsd(identity={})
    with Lines(daemon) as c:
        assert c.ask(register()).startswith("ERROR no credentials")
        assert c.ask(notify()).startswith("ERROR no credentials")


def test_methods_of_that_name_are_http(xapsd):
    for target in ("/x", "http://h/x", "*"):
        with raw(xapsd) as s:
            s.sendall(b"NOTIFY %b HTTP/1.1\r\nHost: x\r\n\r\n"
                      % target.encode())
            assert s.recv(12) in (b"HTTP/1.1 404", b"HTTP/1.1 400")
