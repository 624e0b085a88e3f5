"""Web Push: from a mail to what the app decrypts, and what push services answer.

The other side is the stand-in of pushservice.py, and npm's web-push, with which
both are compared."""

import json
import signal
import time

import jwt
import pytest

import certs as pki
from certs import CA, cert_pem, key_pem, write
from phones import ACCOUNT, TOKEN
from pushservice import Answer, PushService, b64, ec, point
import test_clock
from test_clock import clock
from test_journey import mail
from webpush import needs_npm, open_by_npm, send_by_npm

SUBJECT = "mailto:postmaster@example.org"
HOURS = 3600


def with_clock(test):
    for mark in test_clock.pytestmark:
        test = mark(test)
    return test


# --- the stand-in is right: npm's web-push sends to it ---

def vapid_options(subject="mailto:a@example.org", **more):
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_numbers().private_value.to_bytes(32, "big")
    return {"vapidDetails": {"subject": subject, "publicKey": b64(point(key)),
                             "privateKey": b64(private)}, **more}


@needs_npm
def test_standin_takes_what_npm_sends(certs):
    with PushService(certs, h2=False) as service:
        options = vapid_options(TTL=60, urgency="high", topic="abc")
        app = service.subscribe(options["vapidDetails"]["publicKey"])
        assert send_by_npm(app, '{"a": "ü"}', certs.ca, **options) == 201
        assert service.problems() == []
        push, = service.to(app)
        assert push.content == {"a": "ü"}
        assert push.headers["topic"] == "abc"


@needs_npm
@pytest.mark.parametrize("change, status, problem", [
    (lambda o, a: a.__setattr__("vapid", "x"), 403, "VapidPkHashMismatch"),
    (lambda o, a: a.__setattr__("auth", b"x" * 16), 400, "CannotDecrypt"),
    (lambda o, a: o.update(TTL=10 ** 9), 400, "BadTtl"),
    (lambda o, a: o.pop("vapidDetails"), 401, "MissingVapid"),
    (lambda o, a: a.__setattr__("origin", "https://x:1"), 400, "BadOrigin"),
])
def test_standin_refuses(certs, change, status, problem):
    with PushService(certs, h2=False) as service:
        options = vapid_options()
        app = service.subscribe()
        subscription = app.json
        change(options, app)
        app.__class__ = type("Same", (type(app),), {"json": subscription})
        assert send_by_npm(app, "{}", certs.ca, **options) == status
        assert problem in service.problems()[0]


# --- the daemon sends ---

@pytest.fixture
def service(certs):
    """Must have found nothing wrong in the end."""
    with PushService(certs) as there:
        yield there
        assert there.problems() == []


@pytest.fixture
def start_web(start_xapsd, certs):
    def start(**config):
        return start_xapsd(**{"caFile": certs.ca, "pushAllow": "localhost",
                              "vapidSubject": SUBJECT, **config})
    return start


@pytest.fixture
def xapsd(start_web):
    return start_web()


def vapid(xapsd):
    reply = xapsd.request("GET", "/vapid")
    assert reply.status == 200, reply
    return reply.body


def post(xapsd, app, user="alice", **more):
    return xapsd.request("POST", "/register", {
        "Kind": "webpush", "Username": user, **app.fields, **more})


def subscribe(xapsd, service, user="alice", **more):
    app = service.subscribe(vapid(xapsd))
    reply = post(xapsd, app, user, **more)
    assert reply.status == 200, reply
    assert reply.body == app.vapid
    return app


def waiting(xapsd):
    """Pushes that wait or are not answered yet."""
    return sum(k["queue"] for k in xapsd.status()["kinds"])


def lines(xapsd):
    """What is registered by the file."""
    last = {}
    for line in xapsd.records():
        last[line["user"], line["account"], line["token"]] = line
    return [line for line in last.values() if not line.get("gone")]


@pytest.mark.parametrize("h2", [True, False], ids=["h2", "h1"])
def test_new_mail(start_web, certs, h2):
    with PushService(certs, h2=h2) as service:
        xapsd = start_web()
        app = subscribe(xapsd, service)
        assert xapsd.notify("alice").status == 200
        push, = service.wait_for(1, app=app)
        assert push.content == {
            "user": "alice", "mailbox": "INBOX", "event": "new"}
        assert (push.connection.alpn == "h2") == h2
        assert push.padded == 256
        assert push.headers["urgency"] == "high"
        assert push.headers["ttl"] == str(24 * HOURS)
        assert len(push.headers["topic"]) <= 32
        claims = jwt.decode(service.jwts[0],
                            options={"verify_signature": False})
        assert claims["sub"] == SUBJECT
        assert xapsd.notify("alice").status == 200
        service.wait_for(2, app=app)
        # one connection, one JWT
        assert service.handshakes == 1 and len(service.jwts) == 1
        assert service.problems() == []


@needs_npm
def test_others_decrypt(xapsd, service):
    """The stand-in does; so does npm's http_ece."""
    app = subscribe(xapsd, service, "ünsal@example.org")
    xapsd.notify("ünsal@example.org")
    push, = service.wait_for(1, app=app)
    assert json.loads(open_by_npm(app, push.body)) == {
        "user": "ünsal@example.org", "mailbox": "INBOX", "event": "new"}


@pytest.mark.journey
def test_mail_from_dovecot(xapsd, service, start_dovecot):
    app = subscribe(xapsd, service, Mailboxes=["INBOX"])
    dovecot = start_dovecot("unix:" + xapsd.socket_path)
    dovecot.deliver("alice", mail())
    push, = service.wait_for(1, app=app)
    assert push.content == {
        "user": "alice", "mailbox": "INBOX", "event": "new"}
    with dovecot.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        imap.ok("STORE 1 +FLAGS (\\Seen)")
        imap.ok("LOGOUT")
    push = service.wait_for(2, app=app)[1]
    assert push.content["event"] == "changed"
    assert push.headers["urgency"] == "low"


def test_flags_wait_and_are_less_urgent(start_web, service):
    xapsd = start_web(delay="1s")
    app = subscribe(xapsd, service)
    at = time.monotonic()
    xapsd.notify("alice", events=["FlagsSet"])
    push, = service.wait_for(1, app=app)
    assert push.at - at >= 0.5      # jitter is not meant, half is for load
    assert push.content["event"] == "changed"
    assert push.headers["urgency"] == "low"
    # long enough for both of them; a restart sends what waits
    xapsd.config["delay"] = "1h"
    xapsd.wait_until(lambda: waiting(xapsd) == 0, "the answer")
    xapsd.restart()
    xapsd.notify("alice", events=["FlagsSet"])
    xapsd.notify("alice", events=["MessageExpunge"])
    assert waiting(xapsd) == 1
    xapsd.restart()
    push = service.wait_for(2, app=app)[1]
    assert push.content["event"] == "changed"
    assert push.headers["urgency"] == "low"
    xapsd.wait_until(lambda: waiting(xapsd) == 0, "the answer")
    xapsd.notify("alice", events=["FlagsSet"])
    xapsd.notify("alice", events=["MessageNew"])
    push = service.wait_for(3, app=app)[2]
    assert push.content["event"] == "new"
    assert push.headers["urgency"] == "high"
    xapsd.wait_until(lambda: waiting(xapsd) == 0, "the answer")
    assert len(service.to(app)) == 3


@pytest.mark.parametrize("mailbox", [
    "INBOX", "Entwürfe", 'a"b\\c', "{}", "x" * 1024, '"' * 1024])
def test_names_in_the_content(xapsd, service, mailbox):
    """Whole, whatever they are; by length only what is padded shows."""
    user = 'alice"\\ü'
    app = subscribe(xapsd, service, user, Mailboxes=["*"])
    xapsd.notify(user, mailbox)
    push, = service.wait_for(1, app=app)
    assert push.content == {
        "user": user, "mailbox": mailbox, "event": "new"}
    assert push.padded % 256 == 0


def test_topics(xapsd, service):
    """A waiting push is replaced by a later one of the same mailbox, no
    other; nothing of names is in it, not even for who can guess them."""
    app = subscribe(xapsd, service, Mailboxes=["INBOX", "Notes"])
    other = subscribe(xapsd, service, Id="other", Mailboxes=["INBOX"])
    for n, mailbox in enumerate(["INBOX", "Notes", "INBOX"], 1):
        xapsd.notify("alice", mailbox)
        service.wait_for(n, app=app)
    assert len(app.waiting) == 2
    topics = [p.headers["topic"] for p in service.to(app)]
    assert topics[0] == topics[2] != topics[1]
    assert service.to(other)[0].headers["topic"] not in topics


@pytest.mark.parametrize("change", [
    lambda e: e + "?a=b&c=%20",
    lambda e: e.replace("https://localhost", "HTTPS://LocalHost"),
], ids=["query", "capitals"])
def test_other_addresses(xapsd, service, change):
    """The query is part of it; who we say that we mean is as in RFC 6454."""
    app = service.subscribe(vapid(xapsd))
    app.endpoint = change(app.endpoint)
    app.path = app.endpoint[len(app.origin):]
    service.apps = {app.path: app}
    assert post(xapsd, app).status == 200
    xapsd.notify("alice")
    service.wait_for(1, app=app)


def test_one_app_of_two_users(xapsd, service):
    """Neither's waiting push replaces the other's."""
    app = subscribe(xapsd, service)
    assert post(xapsd, app, "bob").status == 200
    xapsd.notify("alice")
    xapsd.notify("bob")
    pushes = service.wait_for(2, app=app)
    assert {p.content["user"] for p in pushes} == {"alice", "bob"}
    assert len(app.waiting) == 2


def test_push_by_hand(xapsd, service):
    app = subscribe(xapsd, service)
    done = xapsd.run("push", "alice")
    assert done.returncode == 0 and "took it" in done.stdout, done
    push, = service.wait_for(1, app=app)
    assert push.content["mailbox"] == "INBOX"
    service.script(app, Answer(410))
    done = xapsd.run("push", "alice")
    assert done.returncode == 1 and "410" in done.stdout, done


# --- answers ---

@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_taken(xapsd, service, status):
    app = subscribe(xapsd, service)
    service.script(app, Answer(status))
    xapsd.notify("alice")
    xapsd.wait_log("delivered to the push service")
    xapsd.notify("alice")
    service.wait_for(2, app=app)
    assert len(service.to(app)) == 2


@pytest.mark.parametrize("status", [400, 404, 410])
def test_late_answer_of_an_old_subscription(xapsd, service, status):
    """An app has subscribed anew meanwhile: nothing of that ends."""
    old = subscribe(xapsd, service, Id="app")
    service.script(old, Answer(status))
    service.hold()
    xapsd.notify("alice")
    service.wait_for(1, app=old)
    new = subscribe(xapsd, service, Id="app")
    service.release()
    xapsd.notify("alice")
    service.wait_for(1, app=new)
    xapsd.notify("alice")
    service.wait_for(2, app=new)
    assert len(service.to(old)) == 1
    assert len(lines(xapsd)) == 1


@pytest.mark.parametrize("status", [404, 410])
def test_gone(xapsd, service, status):
    app = subscribe(xapsd, service)
    other = subscribe(xapsd, service, Id="other")
    service.script(app, Answer(status))
    xapsd.notify("alice")
    service.wait_for(1, app=app)
    xapsd.wait_log("registration removed")
    xapsd.notify("alice")
    service.wait_for(2, app=other)
    assert len(service.to(app)) == 1
    assert len(lines(xapsd)) == 1
    # the app comes again
    post(xapsd, app)
    xapsd.notify("alice")
    service.wait_for(2, app=app)


@pytest.mark.parametrize("status", [400, 413])
def test_refused_for_good(xapsd, service, status):
    app = subscribe(xapsd, service)
    other = subscribe(xapsd, service, Id="other")
    service.script(app, Answer(status, "BadRequest"))
    xapsd.notify("alice")
    xapsd.wait_log("suspended.*again")
    assert '(%d {"reason": "BadRequest"})' % status in xapsd.log()
    for n in (2, 3):
        xapsd.notify("alice")
        service.wait_for(n, app=other)
    assert len(service.to(app)) == 1
    assert post(xapsd, app).status == 200
    xapsd.notify("alice")
    service.wait_for(2, app=app)


@pytest.mark.parametrize("answer", [
    Answer(500), Answer(503, body=b"<html>later</html>"), Answer(429),
    Answer(406), Answer(408), Answer(401), Answer(reset=8),
    Answer(403, "BadJwtToken")], ids=lambda a: str(a.reset or a.status))
@pytest.mark.parametrize("h2", [True, False], ids=["h2", "h1"])
def test_tried_again(start_web, certs, answer, h2):
    with PushService(certs, h2=h2) as service:
        xapsd = start_web()
        app, other = (subscribe(xapsd, service, Id=i) for i in "ab")
        service.script(app, answer, answer)
        xapsd.notify("alice")
        service.wait_for(3, app=app)
        service.wait_for(1, app=other)
        assert len(lines(xapsd)) == 2
        assert service.problems() == []
        # refused: signed anew, and said once
        if answer.status in (401, 403):
            assert xapsd.log().count("vapidSubject") == 1
            assert len(service.jwts) > 1


def test_retry_after(xapsd, service):
    app = subscribe(xapsd, service)
    service.script(app, Answer(429, headers=(("retry-after", "2"),)))
    xapsd.notify("alice")
    first, second = service.wait_for(2, app=app)
    assert second.at - first.at >= 1.9


def test_no_answer(start_web, service):
    xapsd = start_web(pushTimeout="3s")
    app = subscribe(xapsd, service)
    service.script(app, Answer(never=True))
    xapsd.notify("alice")
    service.wait_for(2, app=app)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(xapsd, service, status):
    app = subscribe(xapsd, service)
    service.script(app, Answer(status, headers=(
        ("location", service.origin() + "/elsewhere"),)))
    xapsd.notify("alice")
    xapsd.wait_log("dropped: .* answered %d" % status)
    xapsd.notify("alice")
    service.wait_for(2, app=app)
    assert len(service.pushes) == 2


def test_long_answers(xapsd, service):
    """Of 1 MB nothing is kept but a reason, without what is no text."""
    app = subscribe(xapsd, service)
    service.script(app, Answer(400, body=b"bad \x1b[31m\n" + b"x" * 2 ** 20))
    xapsd.notify("alice")
    xapsd.wait_log(r"refuses the registration \(400 bad \): suspended")


# --- origins that are away ---

def test_wrong_certificate(start_web, certs, workdir):
    """Nothing is sent to somebody else; it is when the right one is back."""
    stranger = CA("a stranger's")
    key, cert = stranger.server()
    bad = write(str(workdir / "bad.pem"), cert_pem(cert), key_pem(key))
    with PushService(certs, server=bad) as service:
        xapsd = start_web()
        app = subscribe(xapsd, service)
        xapsd.notify("alice")
        service.wait(lambda: service.connections >= 2, "attempts")
        xapsd.wait_log("caFile")
        assert service.pushes == []
        port = service.port
    service = PushService(certs, port=port)
    service.apps[app.path] = app        # before anybody can ask
    with service:
        service.wait_for(1, app=app)
        assert service.problems() == []


def test_name_is_gone(start_web, service):
    """It is tried again; the others do not wait."""
    xapsd = start_web(pushAllow="localhost gone.invalid")
    app = subscribe(xapsd, service)
    gone = service.subscribe(vapid(xapsd), host="gone.invalid")
    assert post(xapsd, gone, Id="gone").status == 200
    xapsd.notify("alice")
    service.wait_for(1, app=app)
    xapsd.wait_log("gone.invalid", timeout=60)
    xapsd.notify("alice")
    service.wait_for(2, app=app)
    assert len(lines(xapsd)) == 2


@pytest.mark.parametrize("mode", ["hang", "refuse"])
def test_one_origin_is_away(start_web, certs, service, mode):
    with PushService(certs) as away:
        away.mode = mode
        xapsd = start_web(pushTimeout="5s")
        app = subscribe(xapsd, service)
        lost = subscribe(xapsd, away, Id="lost")
        for n in range(1, 11):
            xapsd.notify("alice")
            service.wait_for(n, app=app)
        away.mode = "serve"
        push = away.wait_for(1, app=lost)[0]
        assert push.content["event"] == "new"
        assert away.problems() == []


def test_restart_with_a_queue(start_web, certs):
    """What waited is sent after it: content, urgency and all."""
    with PushService(certs) as service:
        # tried once: nothing is under way when it stops
        xapsd = start_web(delay="1h", retryMin="1h", retryMax="2h")
        app = subscribe(xapsd, service, Mailboxes=["*"])
        service.script(app, Answer(503))
        xapsd.notify("alice", 'Entwürfe "x"')
        xapsd.notify("alice", "Notes", events=["FlagsSet"])
        xapsd.wait_log("answered 503: will be sent again")
        assert len(service.to(app)) == 1
        xapsd.stop()
        xapsd.config.update(retryMin="100ms", retryMax="1s")
        xapsd.start()
        said = service.wait_for(3, app=app)[1:]
        assert sorted((p.content["mailbox"], p.content["event"],
                       p.headers["urgency"]) for p in said) == [
            ('Entwürfe "x"', "new", "high"), ("Notes", "changed", "low")]
        assert service.problems() == []


# --- our key and its JWTs ---

def test_key_stays(xapsd, service):
    app = subscribe(xapsd, service)
    file = xapsd.folder / "database.json.vapid"
    assert file.stat().st_mode & 0o777 == 0o600
    xapsd.restart()
    assert vapid(xapsd) == app.vapid
    xapsd.notify("alice")
    service.wait_for(1, app=app)


def test_key_of_others_making(start_web, certs, service, workdir):
    """As openssl and its kind write them."""
    folder = workdir / "x"
    folder.mkdir()
    key = pki.ec_key()
    write(str(folder / "database.json.vapid"), key_pem(key))
    xapsd = start_web()
    assert vapid(xapsd) == b64(point(key))
    app = subscribe(xapsd, service)
    xapsd.notify("alice")
    service.wait_for(1, app=app)


@pytest.mark.parametrize("make, said", [
    (lambda: key_pem(pki.rsa_key()), "is not an EC key on P-256"),
    (lambda: key_pem(ec.generate_private_key(ec.SECP384R1())),
     "is not an EC key on P-256"),
    (lambda: key_pem(pki.ec_key(), "secret"), "is not an EC key on P-256"),
    (lambda: pki.public_pem(pki.ec_key()), "holds no private key"),
    (lambda: b"", "holds no private key"),
], ids=["rsa", "p384", "encrypted", "public", "empty"])
def test_keys_that_are_none(start_web, certs, workdir, make, said):
    folder = workdir / "x"
    folder.mkdir()
    write(str(folder / "database.json.vapid"), make())
    xapsd = start_web()
    xapsd.wait_log("error webpush: no pushes: ")
    reply = xapsd.request("GET", "/vapid")
    assert reply.status == 503 and said in reply.body, reply


def test_no_key_without_apps(xapsd, apple):
    xapsd.register("alice", ACCOUNT, TOKEN)
    xapsd.notify("alice")
    apple.wait_for(1)
    assert not (xapsd.folder / "database.json.vapid").exists()


def test_another_key(xapsd, service):
    """Nobody is asked in vain; whoever subscribes again is reached, and with
    the old key back all are."""
    app = subscribe(xapsd, service)
    file = xapsd.folder / "database.json.vapid"
    old = file.read_bytes()
    xapsd.stop()
    file.unlink()
    xapsd.start()
    assert vapid(xapsd) != app.vapid
    said = json.loads(xapsd.request("POST", "/subscriptions", {
        "Username": "alice", "Kind": "webpush"}).body)
    assert [s["active"] for s in said["subscriptions"]] == [False]
    new = subscribe(xapsd, service, Id="new")
    xapsd.notify("alice")
    service.wait_for(1, app=new)
    xapsd.notify("alice")
    service.wait_for(2, app=new)
    assert service.to(app) == []
    assert xapsd.log().count("subscribed with another key") == 1
    xapsd.wait_until(lambda: waiting(xapsd) == 0, "the answer")
    xapsd.stop()
    file.write_bytes(old)
    xapsd.start()
    xapsd.notify("alice")
    service.wait_for(1, app=app)


def test_damaged_key(xapsd, service):
    """Nothing is overwritten, and Apple's phones are woken as before."""
    app = subscribe(xapsd, service)
    file = xapsd.folder / "database.json.vapid"
    xapsd.stop()
    file.write_text("oh\n")
    xapsd.start()
    xapsd.wait_log("error webpush: no pushes: .*vapid: holds no private key")
    reply = xapsd.request("GET", "/vapid")
    assert reply.status == 503 and "holds no private key" in reply.body
    assert post(xapsd, app).status == 503
    xapsd.notify("alice")
    xapsd.register("alice", ACCOUNT, TOKEN)
    xapsd.notify("alice")
    xapsd.apple.wait_for(1)
    assert file.read_text() == "oh\n"


@with_clock
def test_jwt_is_renewed_by_time(clock, start_web, service):
    xapsd = start_web()
    app = subscribe(xapsd, service)
    exps = []
    for n, hours in enumerate([0, 10, 12, 13], 1):
        clock("+%dh" % hours if hours else "+0")
        xapsd.notify("alice")
        service.wait(lambda: len(service.to(app)) >= n, "push")
        said = service.to(app)[-1].headers["authorization"]
        token = said.partition("t=")[2].partition(",")[0]
        exps.append(jwt.decode(token, options={
            "verify_signature": False})["exp"])
    assert exps[0] == exps[1] < exps[2] == exps[3]


@with_clock
def test_clock_that_is_not_set(clock, start_web, service):
    """It is said once what lacks, and the push goes out once it is there."""
    clock("+0")
    xapsd = start_web()
    app = subscribe(xapsd, service)
    clock("2020-01-01")
    xapsd.notify("alice")
    xapsd.wait_log("error push: .*clock")
    xapsd.notify("alice")
    clock("+0")
    service.wait_for(1, app=app, timeout=40)
    assert xapsd.log().count("error push: ") == 1


def test_subject_is_reloaded(xapsd, service):
    app = subscribe(xapsd, service)
    xapsd.notify("alice")
    service.wait_for(1, app=app)
    xapsd.config["vapidSubject"] = "https://example.org/contact"
    xapsd.write_config()
    start = xapsd.log_size()
    xapsd.process.send_signal(signal.SIGHUP)
    xapsd.wait_log("was read again", start=start)
    xapsd.notify("alice")
    service.wait_for(2, app=app)
    claims = jwt.decode(service.jwts[-1], options={"verify_signature": False})
    assert claims["sub"] == "https://example.org/contact"


def test_no_longer_listed(xapsd, service):
    """The connection that is open does not outlive the permission."""
    app = subscribe(xapsd, service)
    xapsd.notify("alice")
    service.wait_for(1, app=app)
    xapsd.config["pushAllow"] = "example.org"
    xapsd.write_config()
    start = xapsd.log_size()
    xapsd.process.send_signal(signal.SIGHUP)
    xapsd.wait_log("was read again", start=start)
    xapsd.notify("alice")
    xapsd.wait_log("localhost .*where users may not send pushes", start=start)
    assert len(service.to(app)) == 1


@pytest.mark.parametrize("subject", [
    "postmaster@example.org", "mailto:a@localhost", "https://mail.local/",
    "http://example.org"])
def test_bad_subject(start_xapsd, subject):
    xapsd = start_xapsd()
    done = xapsd.run("--vapidSubject", subject)
    assert done.returncode == 78 and "vapidSubject: write" in done.stderr
    xapsd.config["vapidSubject"] = subject
    done = xapsd.run("check")
    assert done.returncode != 0
    assert "vapidSubject: write" in done.stdout + done.stderr


# --- subscribing ---

@pytest.mark.parametrize("field, value, said", [
    ("P256dh", b64(b"\4" + b"\0" * 64), "P256dh"),
    ("P256dh", b64(b"\4" + b"x" * 64), "P256dh"),
    ("P256dh", b64(b"\2" + b"x" * 32), "P256dh"),
    ("P256dh", "", "P256dh"), ("P256dh", None, "P256dh"),
    ("P256dh", 7, "P256dh"),
    ("Auth", b64(b"x" * 15), "Auth"), ("Auth", b64(b"x" * 17), "Auth"),
    ("Auth", "äääääääääääääääääääääää", "Auth"), ("Auth", None, "Auth"),
    ("Endpoint", "http://push.example.org/x", "ndpoint"),
    ("Endpoint", "https://", "Endpoint"), ("Endpoint", "x", "Endpoint"),
    ("Endpoint", "https://localhost/ x", "Endpoint"),
    ("Endpoint", "https://user:pw@localhost/", "Endpoint"),
    ("Endpoint", "https://localhost/" + "x" * 1100, "Endpoint"),
    ("Endpoint", None, "Endpoint"),
])
def test_bad_subscription(xapsd, service, field, value, said):
    app = service.subscribe(vapid(xapsd))
    fields = {k: v for k, v in {**app.fields, field: value}.items()
              if v is not None}
    reply = xapsd.request("POST", "/register", {
        "Kind": "webpush", "Username": "alice", **fields})
    assert reply.status == 400 and said in reply.body, reply
    assert lines(xapsd) == []


def test_confirmation(xapsd, service):
    """The first push brings a code; nothing else comes before it is back."""
    app = service.subscribe(vapid(xapsd))
    reply = post(xapsd, app, Id="my app", Confirm=True)
    assert reply.status == 202, reply
    push, = service.wait_for(1, app=app)
    code = push.content.pop("code")
    assert push.content == {"user": "alice", "event": "confirm",
                            "id": "my app"}
    assert len(code) >= 16
    assert push.headers["urgency"] == "high"
    assert int(push.headers["ttl"]) <= 300
    other = subscribe(xapsd, service, Id="other")
    xapsd.notify("alice")
    service.wait_for(1, app=other)
    ask = {"Username": "alice", "Kind": "webpush", "Id": "my app"}
    assert xapsd.request("POST", "/confirm", {
        **ask, "Code": code[:-1] + "!"}).status == 403
    assert xapsd.request("POST", "/confirm", {
        **ask, "Code": code}).status == 204
    xapsd.notify("alice")
    service.wait_for(2, app=other)
    push = service.wait_for(2, app=app)[1]
    assert push.content["event"] == "new"


def test_log_holds_no_secret(xapsd, service):
    app = subscribe(xapsd, service)
    service.script(app, Answer(500), Answer(400))
    xapsd.notify("alice")
    xapsd.wait_log("suspended")
    xapsd.run("list")
    log = xapsd.log()
    for secret in (app.path, b64(app.auth), app.p256dh, service.jwts[0]):
        assert secret not in log


def test_many_apps(start_web, service):
    """Of one user and of many, on one connection."""
    xapsd = start_web()
    apps = [subscribe(xapsd, service, "user%d" % (i % 10), Id="app%d" % i)
            for i in range(100)]
    for i in range(10):
        xapsd.notify("user%d" % i)
    service.wait_for(100, timeout=60)
    assert all(len(service.to(app)) == 1 for app in apps)
    assert service.handshakes == 1
