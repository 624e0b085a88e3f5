"""The whole way of one mail: a phone registers over IMAP, a mail is delivered
to a real Dovecot with the plugin, and Apple gets the push."""

import hashlib
import os
import shutil
from urllib.parse import quote

import pytest

from apple import Answer
from dovecot import version
from phones import ACCOUNT, OTHER, TOKEN
from ports import free_port
from xapsd import certificate, loopback_name, token_key

# qemu before 8.1 hands its host's number of the error to a MIPS executable.
REFUSED = ("refused|No error information"
           if "qemu-mips" in os.environ.get("XAPSD_WRAP", "") else "refused")
MAIL = """\
From: Bob <bob@example.net>
To: alice@example.org
Subject: Something secret
Message-ID: <%s@example.net>

Body of the secret.
"""


def mail():
    return MAIL % os.urandom(8).hex()


def md5(name):
    return hashlib.md5(name.encode()).hexdigest()


def ask(imap, account=ACCOUNT, token=TOKEN, mailboxes="INBOX"):
    return imap.cmd(
        "XAPPLEPUSHSERVICE aps-version 2 aps-account-id %s aps-device-token "
        "%s aps-subtopic com.apple.mobilemail mailboxes (%s)" % (
            account, token, mailboxes))


def register(dovecot, user, topic, create=(), **asked):
    """Plays the iPhone; returns the mailboxes that the server watches."""
    with dovecot.imap(user) as imap:
        assert "XAPPLEPUSHSERVICE" in " ".join(
            imap.ok("CAPABILITY")).split()
        for mailbox in create:
            imap.ok('CREATE "%s"' % mailbox)
        untagged, tagged = ask(imap, **asked)
        imap.ok("LOGOUT")
    # Dovecot puts the times that it took before the full stop
    assert tagged.split(" ", 1)[1].startswith(
        "OK XAPPLEPUSHSERVICE completed")
    assert untagged[-1] == (
        '* XAPPLEPUSHSERVICE aps-version "2" aps-topic "%s"' % topic)
    start = "* XAPPLEPUSHSERVICE mailbox "
    assert all(line.startswith(start) for line in untagged[:-1])
    return [line[len(start):].strip('"') for line in untagged[:-1]]


@pytest.mark.journey
@pytest.mark.parametrize("identity", [token_key, certificate])
@pytest.mark.parametrize("door", ["unix", "tcp"])
def test_mail_becomes_push(start_xapsd, start_dovecot, apple, certs, identity,
                           door):
    xapsd = start_xapsd(identity=identity, tcp=door == "tcp")
    url = ("http://127.0.0.1:%d" % xapsd.port if door == "tcp"
           else "unix:" + xapsd.socket_path)
    topic = certs.key_topic if identity is token_key else certs.cert_topic
    dovecot = start_dovecot(url)
    assert register(dovecot, "alice", topic) == ["INBOX"]
    dovecot.deliver("alice", mail())
    push, = apple.wait_for(1)
    assert push.token == TOKEN
    assert push.headers["apns-topic"] == topic
    assert push.json == {"aps": {
        "account-id": ACCOUNT, "m": [md5("INBOX")],
        "subtopic": "com.apple.mobilemail"}}
    assert b"ecret" not in push.body
    assert "ecret" not in xapsd.log()


@pytest.mark.journey
def test_two_devices(xapsd, start_dovecot, apple, certs):
    dovecot = start_dovecot("unix:" + xapsd.socket_path)
    register(dovecot, "alice", certs.key_topic)
    register(dovecot, "alice", certs.key_topic, token=OTHER)
    dovecot.deliver("alice", mail())
    assert {p.token for p in apple.wait_for(2)} == {TOKEN, OTHER}


@pytest.mark.journey
def test_two_mailboxes(xapsd, start_dovecot, apple, certs):
    """Only what was asked for is pushed; hashes are of the names as the phone
    decodes them; a mailbox that does not exist gets no line."""
    dovecot = start_dovecot("unix:" + xapsd.socket_path)
    watched = register(
        dovecot, "alice", certs.key_topic,
        create=["Notes", "Entw&APw-rfe", "Other"],
        mailboxes='"INBOX" Notes "Entw&APw-rfe" Missing')
    assert watched == ["INBOX", "Notes", "Entw&APw-rfe"]
    wanted = []
    for address, name in (("alice+Other", None), ("alice+Notes", "Notes"),
                          ("alice", "INBOX")):
        dovecot.deliver(address, mail())
        if name:
            wanted.append(name)
            pushes = apple.wait_for(len(wanted))
            assert [p.aps["m"] for p in pushes] == [[md5(w)] for w in wanted]
    with dovecot.imap("alice") as imap:
        _, tagged = imap.append('"Entw&APw-rfe"', "Subject: x\r\n\r\nx\r\n")
        assert " OK " in tagged
    pushes = apple.wait_for(3)
    assert pushes[2].aps["m"] == [md5("Entwürfe")]


@pytest.mark.journey
def test_restart_keeps_registrations(xapsd, start_dovecot, apple, certs):
    dovecot = start_dovecot("unix:" + xapsd.socket_path)
    register(dovecot, "alice", certs.key_topic)
    xapsd.restart()
    dovecot.deliver("alice", mail())
    push, = apple.wait_for(1)
    assert push.token == TOKEN


@pytest.mark.journey
def test_apple_away_and_back(xapsd, start_dovecot, apple, certs):
    dovecot = start_dovecot("unix:" + xapsd.socket_path)
    register(dovecot, "alice", certs.key_topic)
    register(dovecot, "bob", certs.key_topic, token=OTHER)
    apple.go_away()
    for _ in range(3):
        dovecot.deliver("alice", mail())
    dovecot.deliver("bob", mail())
    xapsd.wait_log(REFUSED)
    apple.come_back()
    for token in (TOKEN, OTHER):
        apple.wait_for(1, token=token)


@pytest.mark.journey
def test_phone_that_is_gone(xapsd, start_dovecot, apple, certs):
    dovecot = start_dovecot("unix:" + xapsd.socket_path)
    register(dovecot, "alice", certs.key_topic)
    apple.script(TOKEN, Answer(410, "Unregistered", timestamp=2 ** 42))
    dovecot.deliver("alice", mail())
    apple.wait_for(1)
    xapsd.wait_until(lambda: xapsd.notify("alice").status == 404,
                     "registration to go")


@pytest.mark.journey
def test_over_tls_with_a_password(start_xapsd, start_dovecot, apple, certs,
                                  workdir):
    """As docs/dovecot.md says for Dovecot on another machine."""
    port = free_port()
    xapsd = start_xapsd(
        tlsCertfile=certs.server, tlsKeyfile=certs.server, tlsPort=port,
        tlsListenAddr="127.0.0.1", httpUser="dovecot",
        httpPassword="p@ss w/rd:50%")
    password = quote("p@ss w/rd:50%", safe="")
    if version() < (2, 4):
        password = password.replace("%", "%%")
    ca = workdir / "ca.pem"     # where mail users may read it
    shutil.copy(certs.ca, ca)
    ca.chmod(0o644)
    trust = "ssl_client_ca_file = %s" % ca
    name = loopback_name()
    dovecot = start_dovecot("https://dovecot:%s@%s:%d" % (
        password, name, port), extra=trust)
    register(dovecot, "alice", certs.key_topic)
    dovecot.deliver("alice", mail())
    apple.wait_for(1)
    dovecot.lda("alice", mail())
    apple.wait_for(2)
    assert "50%" not in xapsd.log() + dovecot.log()
    dovecot.stop()
    dovecot.xaps_settings["url"] = "https://dovecot:mistaken@%s:%d" % (
        name, port)
    dovecot.start()
    with dovecot.imap("alice") as imap:
        assert ask(imap)[1].split(" ")[1] == "NO"
    dovecot.wait_log("answered 401")
    assert "mistaken" not in dovecot.log()


def test_daemon_down(xapsd, start_dovecot, apple, certs):
    """The phone gets NO, mail is delivered, and then all is well."""
    dovecot = start_dovecot("unix:" + xapsd.socket_path,
                            {"register_timeout_msecs": 2000})
    xapsd.stop()
    with dovecot.imap("alice") as imap:
        untagged, tagged = ask(imap)
        assert tagged.split(" ")[1] == "NO" and untagged == []
        assert imap.ok("NOOP") == []        # the session goes on
    dovecot.deliver("alice", mail())
    with dovecot.imap("alice") as imap:
        assert "* 1 EXISTS" in imap.ok("SELECT INBOX")
    xapsd.start()
    register(dovecot, "alice", certs.key_topic)
    dovecot.deliver("alice", mail())
    apple.wait_for(1)


def test_reading_and_deleting(start_xapsd, start_dovecot, apple, certs):
    """Flags of ten mails are one push, after the delay."""
    xapsd = start_xapsd(delay="12s")    # or more than the session takes
    dovecot = start_dovecot("unix:" + xapsd.socket_path)
    register(dovecot, "alice", certs.key_topic)
    for n in range(10):
        dovecot.deliver("alice", mail())
        apple.wait_for(n + 1)
    with dovecot.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        imap.ok("STORE 1:10 +FLAGS (\\Seen)")
        imap.ok("STORE 1:10 +FLAGS (\\Deleted)")
        imap.ok("EXPUNGE")
        imap.ok("CREATE Elsewhere")
    push = apple.wait_for(11, timeout=60)[10]
    assert push.aps["m"] == [md5("INBOX")]
    register(dovecot, "bob", certs.key_topic, token=OTHER)
    dovecot.deliver("bob", mail())
    apple.wait_for(1, token=OTHER)
    assert len(apple.to(TOKEN)) == 11
