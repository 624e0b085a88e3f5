"""Pushes by Firebase Cloud Messaging, against a stand-in for Google's two hosts."""

import json
import pathlib
import re
import signal
import subprocess

import pytest

from google import Answer, Google, error, refusal
from phones import ACCOUNT, TOKEN
from test_journey import mail
from xapsd import executable

pytestmark = pytest.mark.skipif(
    "fcm" not in subprocess.run(
        [executable(), "--version"], capture_output=True, text=True).stdout,
    reason="this xapsd was built without fcm")

NO_APPLE = {}   # an identity


@pytest.fixture
def google(certs):
    with Google(certs) as service:
        yield service


@pytest.fixture
def x(google, start_xapsd, workdir):
    return start_xapsd(**google.config(workdir))


def register(x, user="alice", token="app:1", **more):
    reply = x.request("POST", "/register", {
        "Kind": "fcm", "Username": user, "Token": token, **more})
    assert reply.status == 200, reply


def listed(x, user=None):
    """The registrations: token -> record of `list --json`."""
    return {r["user"]: r for r in json.loads(x.run("list", "--json").stdout)}


def health(x):
    return x.request("GET", "/healthz")


def patience(answers):
    """pushTimeout: short only where an answer never comes."""
    return "3s" if any(answer.never for answer in answers) else "30s"


def hup(x):
    start = x.log_size()
    x.process.send_signal(signal.SIGHUP)
    x.wait_log("read again", start=start)


# --- messages ---

def test_message(google, x):
    register(x)
    assert x.notify("alice").status == 200
    push, = google.wait_for(1, token="app:1")
    assert push.data == {"user": "alice", "mailbox": "INBOX", "event": "new"}
    assert push.message["android"] == {"priority": "HIGH", "ttl": "86400s"}
    assert google.problems() == []


def test_without_http2(certs, start_xapsd, workdir):
    """As through a proxy that takes TLS apart."""
    with Google(certs, h2=False) as google:
        x = start_xapsd(**google.config(workdir))
        for i in range(3):
            register(x, token="app:%d" % i)
        google.script("app:1", error(503, "UNAVAILABLE"))
        x.notify("alice")
        google.wait_for(4)
        google.wait_for(2, token="app:1")
        assert google.problems() == []


def test_flags_are_not_urgent(google, x):
    register(x)
    assert x.notify("alice", events=["FlagsSet"]).status == 200
    push, = google.wait_for(1)
    assert push.data["event"] == "changed"
    assert push.message["android"]["priority"] == "NORMAL"


def test_any_name(google, x):
    """Users and mailboxes may be called anything."""
    user = 'a"l\\ice@exämple.org'
    register(x, user, Mailboxes=["*"])
    names = ['Q"}],\\x', "Entwürfe", "a/b c", "'%s{}", "\U0001f4ec"]
    for name in names:
        assert x.notify(user, name).status == 200
    google.wait_for(len(names))
    assert sorted(p.data["mailbox"] for p in google.to()) == sorted(names)
    assert {p.data["user"] for p in google.to()} == {user}
    assert google.problems() == []


@pytest.mark.journey
def test_mail_by_dovecot(google, x, start_dovecot):
    register(x, token="app:1")
    register(x, token="app:2")
    dovecot = start_dovecot("unix:" + x.socket_path)
    dovecot.deliver("alice", mail())
    for token in "app:1", "app:2":
        push, = google.wait_for(1, token=token)
        assert push.data == {
            "user": "alice", "mailbox": "INBOX", "event": "new"}
    everything = b"".join(p.body for p in google.fcm.pushes)
    assert b"secret" not in everything and b"bob" not in everything
    assert google.problems() == []


def test_secrets_are_not_logged(google, x):
    register(x)
    x.notify("alice")
    google.wait_for(1)
    google.revoke()
    x.notify("alice")
    google.fcm.wait(lambda: len(google.access) == 1 and
                    len(google.to()) >= 3, "a new token")
    log = x.log()
    secrets = [*google.jwts, *(t[5:] for t in google.access), "PRIVATE KEY",
               google.account()["private_key"].splitlines()[3]]
    for secret in secrets:
        assert secret[:40] not in log


# --- access tokens ---

def test_one_token_for_all(google, start_xapsd, workdir):
    """Those who wait for the first one ask once."""
    x = start_xapsd(pushTimeout="10m", **google.config(workdir))
    google.tokens.hold()
    for i in range(20):
        register(x, "user%d" % i, "app:%d" % i)
        assert x.notify("user%d" % i).status == 200
    google.wait_asked(1)
    google.tokens.release()
    google.wait_for(20)
    assert x.notify("user1").status == 200
    google.wait_for(21)
    assert google.asked() == 1
    x.wait_asleep()


def test_token_ends(google, x):
    google.life_s = 2       # so it is used for half of that
    register(x)

    def another():
        x.notify("alice")
        return google.asked() >= 3
    google.tokens.wait(another, "third token")
    assert google.problems() == []


def test_token_revoked(google, x):
    """401: a new one at once, and the message is sent again."""
    register(x)
    x.notify("alice")
    google.wait_for(1)
    google.revoke()
    x.notify("alice")
    google.wait_for(3)
    assert google.asked() == 2
    google.fcm.wait(lambda: all(p.answer for p in google.to()), "answers")
    assert [p.answer.status for p in google.to()] == [200, 401, 200]


def test_token_refused_twice(google, x):
    register(x)
    google.script("app:1", *[error(401, "UNAUTHENTICATED")] * 2)
    x.notify("alice")
    x.wait_log("twice in 20 minutes")
    assert google.asked() == 2
    hup(x)
    google.wait_for(3)
    x.wait_log("delivered to Google")


@pytest.mark.parametrize("answer, words", [
    (None, "clock is probably wrong"),
    (refusal(400, "invalid_grant", "Invalid JWT Signature."),
     "the key was deleted at Google"),
    (refusal(401, "invalid_client", "The OAuth client was not found."),
     "The OAuth client was not found"),
    (Answer(404, body=b"<!DOCTYPE html>"), "is it Google that answers"),
    (Answer(200, body=b"{}"), "is it Google that answers"),
])
def test_no_token(google, start_xapsd, workdir, answer, words):
    """Refused: said once, and tried again after a reload."""
    x = start_xapsd(identity=NO_APPLE, **google.config(workdir))
    register(x)
    if answer:
        google.tokens.script(None, answer)
    else:
        google.clock_s = 7200
    x.notify("alice")
    x.wait_log("error .*%s.*: pushes wait" % re.escape(words))
    google.clock_s = 0
    reply = health(x)
    assert reply.status == 503 and words in reply.body
    assert google.email in reply.body
    hup(x)
    google.wait_for(1)
    x.wait_log("accepts our credentials again|delivered")
    x.wait_until(lambda: health(x).status == 200, "health")


def test_no_token_with_apple(google, x, apple):
    """Apple's pushes go on, so a balancer keeps the node; who asks hears of it."""
    apple.wait_connected()
    register(x)
    google.tokens.script(None, refusal(401, "disabled_client"))
    x.notify("alice")
    x.wait_log("disabled_client.*: pushes wait")
    for path, code in (("/healthz", 200), ("/healthz/all", 503),
                       ("/healthz/credentials", 200)):
        reply = x.request("GET", path)
        assert reply.status == code and "disabled_client" in reply.body, reply
    done = x.run("push", "alice")
    assert done.returncode == 1 and "disabled_client" in done.stdout, done


@pytest.mark.parametrize("token", ["a\r\nx: y", "a b", "\xe4", "a\x7f"])
def test_no_such_token(google, x, token):
    """What no header may hold is none: nothing is lost."""
    register(x)
    google.tokens.script("/token", Answer(200, body=json.dumps(
        {"access_token": token, "expires_in": 3600}).encode()))
    x.notify("alice")
    x.wait_log("gives no access token.*: pushes wait")
    hup(x)
    google.wait_for(1)


@pytest.mark.parametrize("answers", [
    [Answer(503, body=b"<html>")] * 3, [Answer(500)], [Answer(429)],
    [Answer(503, headers=(("retry-after", "1"),))], [Answer(reset=2)],
    [Answer(reset=7)], [Answer(never=True)]])
def test_token_after_faults(google, start_xapsd, workdir, answers):
    x = start_xapsd(pushTimeout=patience(answers), **google.config(workdir))
    register(x)
    google.tokens.script(None, *answers)
    x.notify("alice")
    google.wait_for(1)
    x.wait_log("delivered to Google")
    assert google.asked() >= len(answers)
    x.wait_asleep()


def test_host_of_tokens_is_away(google, x):
    google.tokens.go_away()
    register(x)
    x.notify("alice")
    x.wait_log("fcm: .*refused")
    google.tokens.come_back()
    google.wait_for(1)


# --- answers to messages ---

def test_app_is_gone(google, x):
    register(x, token="app:1")
    register(x, "bob", "app:2")
    google.script("app:1", error(404, "NOT_FOUND", "UNREGISTERED"))
    x.notify("alice")
    x.wait_log("the device is gone .404.: registration removed")
    assert set(listed(x)) == {"bob"}
    assert x.notify("alice").status == 404
    x.notify("bob")
    google.wait_for(1, token="app:2")


@pytest.mark.parametrize("answer", [
    error(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT"),
    error(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"),
    error(404, "NOT_FOUND")])
def test_suspended(google, x, answer):
    """Until the app registers again; others are not concerned."""
    register(x)
    register(x, "bob", "app:2")
    google.script("app:1", answer)
    x.notify("alice")
    x.wait_log("warn .*alice.*: Google refuses the registration .*suspended")
    assert x.notify("alice").status in (200, 204)
    x.notify("bob")
    google.wait_for(1, token="app:2")
    assert len(google.to("app:1")) == 1
    register(x)
    x.notify("alice")
    google.wait_for(2, token="app:1")


@pytest.mark.parametrize("answer, words", [
    (error(403, "PERMISSION_DENIED"), "Firebase Cloud Messaging API Admin"),
    (Answer(404, body=b"<html>no"), "is it Google that answers (fcmUrl)"),
    (Answer(302, headers=(("location", "/elsewhere"),)),
     "is it Google that answers (fcmUrl)"),
])
def test_held(google, start_xapsd, workdir, answer, words):
    """Our credentials, or settings: nothing is lost."""
    x = start_xapsd(identity=NO_APPLE, **google.config(workdir))
    register(x)
    google.script("app:1", answer)
    x.notify("alice")
    x.wait_log("error .*%s" % re.escape(words))
    reply = health(x)
    assert reply.status == 503 and words in reply.body
    hup(x)
    google.wait_for(2)
    x.wait_log("delivered to Google")


@pytest.mark.parametrize("answers", [
    [error(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED")],
    [error(503, "UNAVAILABLE", "UNAVAILABLE",
           headers=(("retry-after", "1"),))],
    [error(500, "INTERNAL", "INTERNAL")] * 3, [Answer(502)],
    [Answer(408)], [Answer(reset=7)], [Answer(reset=2)],
    [Answer(never=True)]])
def test_sent_again(google, start_xapsd, workdir, answers):
    x = start_xapsd(pushTimeout=patience(answers), **google.config(workdir))
    register(x)
    google.script("app:1", *answers)
    x.notify("alice")
    google.wait_for(len(answers) + 1, token="app:1")
    x.wait_log("delivered to Google")


def test_third_party(google, x):
    """The app's project has no key for Apple: this message only is lost."""
    register(x)
    google.script("app:1", error(
        401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"))
    x.notify("alice")
    x.wait_log("warn .*dropped: Google answered 401 THIRD_PARTY_AUTH_ERROR")
    x.notify("alice")
    google.wait_for(2)
    assert google.asked() == 1


def test_away_and_back(google, x):
    """What waits at a stop is sent after the next start, once."""
    google.fcm.go_away()
    register(x)
    x.notify("alice")
    x.wait_log("fcm: .*refused")
    x.stop()
    x.start()
    google.fcm.come_back()
    push, = google.wait_for(1)
    assert push.data == {"user": "alice", "mailbox": "INBOX", "event": "new"}
    x.wait_log("delivered to Google")
    x.wait_asleep()
    assert len(google.to()) == 1


def test_untrusted(google, start_xapsd, workdir, certs):
    """Another CA's certificate: nothing is sent, and the log says why."""
    x = start_xapsd(**{**google.config(workdir), "caFile": certs.other_ca})
    register(x)
    x.notify("alice")
    x.wait_log("fcm: localhost port .*caFile")
    assert not google.fcm.pushes and not google.tokens.pushes
    x.config["caFile"] = certs.ca
    x.write_config()
    hup(x)
    google.wait_for(1)


def test_name_is_gone(google, start_xapsd, workdir):
    x = start_xapsd(**{**google.config(workdir),
                       "fcmUrl": "https://fcm.invalid"})
    register(x)
    x.notify("alice")
    x.wait_log("fcm: .*fcm.invalid", timeout=60)
    x.config["fcmUrl"] = google.fcm.origin()
    x.write_config()
    hup(x)
    google.wait_for(1)


# --- the key file ---

def test_key_is_replaced(google, x):
    register(x)
    x.notify("alice")
    google.wait_for(1)
    path = pathlib.Path(x.config["fcmServiceAccount"])
    start = x.log_size()
    aside = path.with_name("bad")
    aside.write_text('{"type": "service_acc')
    aside.rename(path)
    x.wait_log("is not JSON.*not used, the old credentials stay", start=start)
    x.notify("alice")
    google.wait_for(2)
    assert google.asked() == 1
    google.new_key()
    google.revoke()
    google.write(path)
    x.wait_log("FCM: service account", start=start)
    x.notify("alice")
    google.wait_for(3)
    assert google.asked() == 2
    assert google.problems() == []


def test_key_comes_later(google, start_xapsd, workdir, apple):
    """Apple's phones do not wait for it; what is for apps does."""
    x = start_xapsd(**google.config(workdir))
    x.register("alice", ACCOUNT, TOKEN)
    register(x)
    x.stop()
    path = pathlib.Path(x.config["fcmServiceAccount"])
    path.unlink()
    x.start()
    x.wait_log("error no pushes by FCM: .*firebase.json")
    x.notify("alice")
    apple.wait_for(1)
    google.write(path)
    google.wait_for(1)


@pytest.mark.parametrize("text, words", [
    ("", "is not JSON"), ("{}", "client_email is missing"),
    ('{"project_info": {}}', "google-services.json")])
def test_bad_key_at_start(google, start_xapsd, workdir, text, words):
    config = google.config(workdir)
    pathlib.Path(config["fcmServiceAccount"]).write_text(text)
    x = start_xapsd(wait=False, **config)
    x.wait_log(words)
    assert x.process.wait(20) == 1
    x.process = None


@pytest.mark.parametrize("url", ["http://fcm.googleapis.com", "fcm", "https://",
                                 "https://a:b@fcm.example"])
def test_bad_url(google, start_xapsd, workdir, url):
    x = start_xapsd(wait=False, **{**google.config(workdir), "fcmUrl": url})
    x.wait_log("xapsd.yaml:.*fcmUrl: ")
    assert x.process.wait(20) == 78
    x.process = None


# --- without Apple ---

def test_without_apple(google, start_xapsd, workdir):
    x = start_xapsd(identity=NO_APPLE, **google.config(workdir))
    x.wait_log("warn .*no credential for Apple, so iPhones and iPads cannot "
               "be reached")
    assert health(x).status == 200
    assert "iPhones and iPads" in " ".join(x.status()["warnings"])
    assert x.post_register("alice", ACCOUNT, TOKEN).status == 503
    register(x)
    assert x.notify("alice").status == 200
    google.wait_for(1)
    assert health(x).status == 200


def test_brands(google, certs, start_xapsd, workdir, apple):
    """Each has its project; who has none gets the main one's."""
    folder = workdir / "brands"
    folder.mkdir()
    with Google(certs, project="other-2", fcm=google.fcm) as other:
        other.write(folder / "other.json")
        (folder / "other.yaml").write_text(
            "users: '*@other.example'\nfcmServiceAccount: other.json\n")
        x = start_xapsd(brandsDir=str(folder), **google.config(workdir))
        register(x, "alice@here.example", "app:1")
        x.notify("alice@here.example")
        google.wait_for(1)
        register(x, "bob@other.example", "app:2")
        x.notify("bob@other.example")
        other.wait_asked(1)
        push, = google.wait_for(1, token="app:2")
        assert push.path == other.path
        assert push.headers["authorization"][7:] in other.access
        # his phone is Apple's main credential's
        x.register("bob@other.example", ACCOUNT, TOKEN)
        x.notify("bob@other.example")
        apple.wait_for(1)
        other.wait_for(2, token="app:2")
        # The brand goes: its users are the main one's.
        (folder / "other.yaml").unlink()
        x.wait_log("its file is gone")
        asked = other.asked()
        x.notify("bob@other.example")
        *_, push = google.wait_for(3, token="app:2")
        assert push.path == google.path
        assert other.asked() == asked


# --- commands ---

def test_push_command(google, x):
    register(x)
    done = x.run("push", "alice")
    assert done.returncode == 0 and "Google took it" in done.stdout, done
    push, = google.wait_for(1)
    assert push.data["mailbox"] == "INBOX"
    google.script("app:1", error(404, "NOT_FOUND", "UNREGISTERED"))
    done = x.run("push", "alice")
    assert done.returncode == 1
    assert "the app is gone, or has another token" in done.stdout
    assert "app:1" not in x.log()



def test_check(google, start_xapsd, workdir):
    x = start_xapsd(**google.config(workdir))
    done = x.run("check")
    assert done.returncode == 0, done.stdout
    assert re.search(r"^Google +ok +gives access tokens to %s" % google.email,
                     done.stdout, re.M), done.stdout
    google.tokens.script(None, refusal(
        400, "invalid_grant", "Invalid JWT Signature."))
    done = x.run("check")
    assert done.returncode == 1
    assert "the key was deleted at Google" in done.stdout
    google.tokens.go_away()
    done = x.run("check")
    assert done.returncode == 1
    assert re.search("Google .*refused", done.stdout)


def test_check_without_apple(google, start_xapsd, workdir):
    x = start_xapsd(identity=NO_APPLE, **google.config(workdir))
    done = x.run("check")
    assert done.returncode == 0, done.stdout
    assert "iPhones and iPads" in done.stderr
    assert "gives access tokens" in done.stdout
