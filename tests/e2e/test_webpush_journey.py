"""IMAP WEBPUSH and Delta Chat, the whole way: a real Dovecot with the plugin,
the real daemon, and a stand-in for the push services that checks and decrypts."""

import pytest

from apple import Answer
from dovecot import wait_for
from phones import TOKEN
from pushservice import PushService
from test_journey import mail, register

CONFIG = {"pushAllow": "localhost", "delay": "1s",
          "vapidSubject": "mailto:postmaster@example.org"}
# valgrind makes a key in a second
ON = {"webpush": "yes", "timeout_msecs": 20000}
CHAT = "openpgp:" + "abcdef+/" * 80 + "=="


@pytest.fixture
def service(certs):
    """Must have found nothing wrong in the end."""
    with PushService(certs) as there:
        yield there
        assert there.problems() == []


@pytest.fixture
def xapsd(start_xapsd, certs, service):
    return start_xapsd(caFile=certs.ca, deltachatUrl=service.origin() +
                       "/notify", **CONFIG)


@pytest.fixture
def dovecot(start_dovecot, xapsd):
    return start_dovecot("unix:" + xapsd.socket_path,
                         {"deltachat": "yes", **ON})


class App:
    """A mail app on a phone whose push service is `service`."""

    def __init__(self, dovecot, service, user="alice", name="phone"):
        self.service, self.name, self.count = service, name, 0
        self.imap = dovecot.imap(user)
        line, = self.imap.ok("GETVAPID")
        self.at = service.subscribe(line.split('"')[1])

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.imap.close()

    def webpush(self):
        """-> the state that the server tells."""
        mine = self.at.fields
        sub, key = self.imap.ok('WEBPUSH %s "%s" %s %s' % (
            self.name, mine["Endpoint"], mine["P256dh"], mine["Auth"]))
        assert sub.startswith("* WEBPUSH") and mine["Endpoint"] in sub
        assert key == '* VAPID "%s"' % self.at.vapid
        return sub.split(" ")[-1]

    def next(self):
        self.count += 1
        return self.service.wait_for(self.count, app=self.at)[-1].content

    def code(self, user="alice"):
        content = self.next()
        code = content.pop("code")
        assert content == {"user": user, "event": "confirm", "id": self.name}
        return code

    def ack(self, code):
        return self.imap.cmd("ACKWEBPUSH %s %s" % (self.name, code))[1]

    def subscribe(self, user="alice"):
        assert self.webpush() == "INACTIVE"
        assert " OK " in self.ack(self.code(user))
        return self

    def states(self):
        return [x.split(" ")[-1] for x in self.imap.ok("LWEBPUSH")]


@pytest.fixture
def app(dovecot, service):
    with App(dovecot, service) as there:
        yield there


def new(mailbox="INBOX", user="alice", event="new"):
    return {"user": user, "mailbox": mailbox, "event": event}


@pytest.mark.journey
def test_the_whole_way(dovecot, xapsd, service, app, apple):
    """Beside an iPhone of the same user."""
    register(dovecot, "alice", apple.topic)
    app.subscribe()
    assert app.states() == ["ACTIVE"]
    dovecot.deliver("alice", mail())
    assert app.next() == new()
    assert apple.wait_for(1)[0].token == TOKEN
    # flags are no new mail, and may wait
    app.imap.ok("SELECT INBOX")
    app.imap.ok("STORE 1 +FLAGS (\\Seen)")
    assert app.next() == new(event="changed")
    assert app.imap.ok("WEBPUSH phone NIL") == [] and app.states() == []
    count = len(apple.pushes)
    dovecot.deliver("alice", mail())
    apple.wait_for(count + 1)
    assert len(service.pushes) == app.count     # it got no more
    sent = b"".join(p.body for p in service.pushes)
    assert b"secret" not in sent and b"alice" not in sent


def test_all_mailboxes(dovecot, service, app):
    app.subscribe()
    dovecot.deliver("alice+other", mail())
    assert app.next() == new("other")
    app.imap.ok("CREATE Entw&APw-rfe")
    app.imap.append("Entw&APw-rfe", mail())     # no delivery
    assert app.next() == new("Entwürfe", event="changed")


def test_only_inbox(start_dovecot, xapsd, service):
    dovecot = start_dovecot("unix:" + xapsd.socket_path, ON,
                            userdb={"xaps": "inbox"})
    with App(dovecot, service) as app:
        app.subscribe()
        dovecot.deliver("alice+other", mail())
        dovecot.deliver("alice", mail())
        assert app.next() == new()


def test_nothing_before_the_code_is_acknowledged(dovecot, service, app):
    assert app.webpush() == "INACTIVE"
    code = app.code()
    dovecot.deliver("alice", mail())
    assert app.states() == ["INACTIVE"]
    assert " NO " in app.ack("0" * len(code))
    assert app.states() == ["INACTIVE"]
    # the same once more: the same code, for who did not get it
    assert app.webpush() == "INACTIVE"
    assert app.code() == code
    assert " OK " in app.ack(code)
    assert app.states() == ["ACTIVE"]
    assert " OK " in app.ack(code)      # twice does no harm
    assert app.webpush() == "ACTIVE"    # unchanged
    dovecot.deliver("alice", mail())
    assert app.next() == new()


def test_a_change_needs_a_new_code(dovecot, service, app):
    app.subscribe()
    old = app.at
    app.at, app.count = service.subscribe(old.vapid), 0
    assert app.webpush() == "INACTIVE"
    app.ack(app.code())
    dovecot.deliver("alice", mail())
    assert app.next() == new()
    assert app.states() == ["ACTIVE"]
    assert len(service.to(old)) == 1    # its code only


def test_over_restarts(dovecot, xapsd, service, app):
    app.subscribe()
    xapsd.restart()
    assert app.states() == ["ACTIVE"]
    assert app.webpush() == "ACTIVE"
    dovecot.deliver("alice", mail())
    assert app.next() == new()


def test_a_new_vapid_key(dovecot, xapsd, service, app):
    """The push service would refuse what is signed with it: the app has to
    subscribe there anew, and learns so from VAPID."""
    app.subscribe()
    xapsd.stop()
    (xapsd.folder / "database.json.vapid").unlink()
    xapsd.start()
    assert app.states() == ["INACTIVE"]
    line, = app.imap.ok("GETVAPID")
    key = line.split('"')[1]
    assert key != app.at.vapid
    app.at.vapid = key                  # as if it had subscribed there anew
    assert app.webpush() == "INACTIVE"
    assert " OK " in app.ack(app.code())
    assert app.states() == ["ACTIVE"]
    dovecot.deliver("alice", mail())
    assert app.next() == new()


@pytest.mark.parametrize("status", [404, 410])
def test_gone_at_the_push_service(dovecot, service, app, status):
    app.subscribe()
    service.script(app.at, Answer(status))
    dovecot.deliver("alice", mail())
    wait_for(lambda: app.states() == [], what="removal")


def test_several_apps_and_users(dovecot, service, app):
    app.subscribe()
    with App(dovecot, service, "alice", "tablet") as tablet, \
            App(dovecot, service, "bob") as bob:
        tablet.subscribe()
        bob.subscribe("bob")
        assert app.states() == ["ACTIVE"] * 2 and bob.states() == ["ACTIVE"]
        dovecot.deliver("alice", mail())
        assert app.next() == tablet.next() == new()
        bob.imap.ok("WEBPUSH tablet NIL")       # of alice's
        assert app.states() == ["ACTIVE"] * 2
        dovecot.deliver("bob", mail())
        assert bob.next() == new(user="bob")
        assert bob.count == len(service.to(bob.at))


def test_twenty(dovecot, xapsd, service, app):
    assert app.webpush() == "INACTIVE"
    for i in range(19):
        app.name = "app%d" % i
        app.webpush()
    app.name = "one-more"
    mine = app.at.fields
    text = 'WEBPUSH one-more "%s" %s %s' % (
        mine["Endpoint"], mine["P256dh"], mine["Auth"])
    assert " NO [LIMIT] " in app.imap.cmd(text)[1]
    assert len(app.states()) == 20
    app.imap.ok("WEBPUSH app7 NIL")
    assert " OK " in app.imap.cmd(text)[1]


INSIDE = ["https://127.0.0.1:%d/x", "https://[::1]/x", "https://10.0.0.1/x",
          "https://2130706433/x", "https://[::ffff:127.0.0.1]/x"]


@pytest.mark.parametrize("url", INSIDE)
def test_addresses_inside_are_refused(dovecot, xapsd, service, app, url):
    """Only what pushAllow lists (here: localhost, by name)."""
    mine = app.at.fields
    url = url % service.port if "%d" in url else url
    tagged = app.imap.cmd('WEBPUSH x "%s" %s %s' % (
        url, mine["P256dh"], mine["Auth"]))[1]
    assert " NO [CANNOT] " in tagged
    assert app.states() == []


def test_not_on_the_curve(dovecot, xapsd, service, app):
    tagged = app.imap.cmd('WEBPUSH x "%s" %s %s' % (
        app.at.endpoint, "BA" + "A" * 85, app.at.fields["Auth"]))[1]
    assert " NO [CANNOT] " in tagged
    assert app.states() == []


# --- Delta Chat ---

def tell(imap, value):
    return imap.ok('SETMETADATA "INBOX" (/private/devicetoken %s)' % value)


@pytest.mark.journey
def test_deltachat(dovecot, xapsd, service, apple):
    with dovecot.imap("alice") as c:
        assert {"METADATA", "XDELTAPUSH"} <= set(
            c.ok("CAPABILITY")[0].split())
        tell(c, '"%s"' % CHAT)
        tell(c, '"%s"' % CHAT)
        tell(c, '"openpgp:tablet"')
        listed = " ".join(c.ok('GETMETADATA "INBOX" /private/devicetoken'))
        assert CHAT in listed and "openpgp:tablet" in listed
        dovecot.deliver("alice", mail())
        pushes = service.wait_for(2, app="/notify")
        assert sorted(p.body.decode() for p in pushes) == sorted(
            [CHAT, "openpgp:tablet"])
        # one is gone there
        service.script("/notify", lambda push: Answer(
            410 if push.body == b"openpgp:tablet" else 200))
        dovecot.deliver("alice", mail())
        service.wait_for(4, app="/notify")
        wait_for(lambda: "tablet" not in " ".join(
            c.ok('GETMETADATA "INBOX" /private/devicetoken')), what="removal")
        # and this account does not want any more
        tell(c, "NIL")
        assert CHAT not in " ".join(
            c.ok('GETMETADATA "INBOX" /private/devicetoken'))
    register(dovecot, "alice", apple.topic)
    dovecot.deliver("alice", mail())
    apple.wait_for(1)
    assert len(service.pushes) == 4


def test_deltachat_over_a_restart(dovecot, xapsd, service):
    with dovecot.imap("alice") as c:
        tell(c, '"%s"' % CHAT)
        xapsd.restart()
        assert CHAT in " ".join(
            c.ok('GETMETADATA "INBOX" /private/devicetoken'))
    dovecot.deliver("alice", mail())
    push, = service.wait_for(1, app="/notify")
    assert push.body.decode() == CHAT
