"""The daemon between its two doors: asked as Dovecot asks, seen as Apple
sees it."""

import concurrent.futures
import hashlib
import json
import signal
import time

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from apple import Answer, Apple
from certs import cert_pem, key_pem, write
from phones import ACCOUNT, OTHER, TOKEN, token
from xapsd import certificate, loopback_name, token_key

LAST = "ffff" + "0123456789abcdef" * 3 + "fedcba987654"


def md5(name):
    return hashlib.md5(name.encode()).hexdigest()


def coarse_time():
    """What time(2) reads: CLOCK_REALTIME_COARSE, a tick behind time.time()."""
    return int(time.clock_gettime(5))


def in_flight(xapsd):
    """What was sent and is not answered yet."""
    return xapsd.status()["inFlight"]


def mark(xapsd, user="marker", device=LAST):
    """Sends a push and waits for it: what was due before it has been sent."""
    seen = len(xapsd.apple.to(device))
    assert xapsd.notify(user).status == 200
    xapsd.apple.wait_for(seen + 1, token=device)


def assert_only(xapsd, n, device=TOKEN):
    """No more than n pushes to the device, and none to come.  Twice: the
    daemon has then read the answers to all that was sent before."""
    xapsd.register("marker", "M", LAST)
    mark(xapsd)
    mark(xapsd)
    assert len(xapsd.apple.to(device)) == n


def wait_gone(xapsd, device=TOKEN):
    """Waits until the file has the removal of the registration."""
    def gone():
        lines = xapsd.database.read_text().splitlines(keepends=True)
        records = [json.loads(x) for x in lines if x.endswith("\n")]
        return any(r.get("gone") and r["token"] == device for r in records)
    xapsd.wait_until(gone, "registration to go")


# --- the contents of a push ---

@pytest.mark.parametrize("identity", [token_key, certificate])
def test_push(start_xapsd, apple, certs, identity):
    xapsd = start_xapsd(identity=identity)
    topic = certs.key_topic if identity is token_key else certs.cert_topic
    assert xapsd.register("alice", ACCOUNT, TOKEN.upper()) == topic
    before = coarse_time()
    assert xapsd.notify("alice").status == 200
    push, = apple.wait_for(1)
    h = push.headers
    assert h[":path"] == "/3/device/" + TOKEN
    assert h["apns-topic"] == topic
    assert h["apns-push-type"] == "background"
    assert before + 86400 <= int(h["apns-expiration"]) <= before + 86400 + 60
    assert "apns-priority" not in h
    assert h["content-length"] == str(len(push.body))
    assert ("authorization" in h) == (identity is token_key)
    assert push.json == {"aps": {
        "account-id": ACCOUNT, "m": [md5("INBOX")],
        "subtopic": "com.apple.mobilemail"}}
    if loopback_name() == "localhost":  # an address is no server name
        assert push.connection.server_name == "localhost"
    assert push.answer.status == 200


def test_jwt_is_reused(xapsd, apple):
    for n in range(20):
        xapsd.register("u%d" % n, ACCOUNT, token(n))
        assert xapsd.notify("u%d" % n).status == 200
    apple.wait_for(20)
    assert len(apple.jwts) == 1
    assert apple.handshakes == 1


def test_unacknowledged_registration(xapsd, apple):
    """Without the mailbox lines iOS knows no hashes: only INBOX, no m."""
    xapsd.register("alice", ACCOUNT, TOKEN, ["INBOX", "Notes"], acked=None)
    assert xapsd.notify("alice", "Notes").status == 204
    assert xapsd.notify("alice", "INBOX").status == 200
    push, = apple.wait_for(1)
    assert push.json == {"aps": {"account-id": ACCOUNT}}
    assert_only(xapsd, 1)


# as the device spelled it, as Dovecot delivers to it, as iOS hashes it
NAMES = [
    ("inbox", "INBOX", "inbox"),
    ("Entw&APw-rfe", "Entwürfe", "Entwürfe"),
    ("&U,BTFw-/&ZeVnLIqe-", "台北/日本語", "台北/日本語"),
    ("A&-B", "A&B", "A&B"),
    ("&-&-", "&&", "&&"),
    ("&2D3eAA-", "😀", "😀"),
    ("a/&-/&APw-&-b", "a/&/ü&b", "a/&/ü&b"),
    # from a session with UTF8=ACCEPT
    ("Gelöscht", "Gelöscht", "Gelöscht"),
    ("R&D", "R&D", "R&D"),
    ("Über & unter", "Über & unter", "Über & unter"),
    # no modified UTF-7: a base64 that is cut off, that hides an A, that has
    # half a surrogate pair
    ("&APw", "&APw", "&APw"),
    ("&AEE-", "&AEE-", "&AEE-"),
    ("&2D0-", "&2D0-", "&2D0-"),
]


def test_hash_is_of_the_decoded_name(xapsd, apple):
    """Registered in modified UTF-7, delivered to in UTF-8: iOS decodes the
    name and hashes its UTF-8."""
    xapsd.register("alice", ACCOUNT, TOKEN, [name for name, _, _ in NAMES])
    for n, (_, said, hashed) in enumerate(NAMES):
        assert xapsd.notify("alice", said).status == 200, said
        assert apple.wait_for(n + 1)[n].aps["m"] == [md5(hashed)]
    assert xapsd.notify("alice", "entwürfe").status == 204
    assert xapsd.run("push", "alice", "Entwürfe").returncode == 0
    assert apple.wait_for(n + 2)[n + 1].aps["m"] == [md5("Entwürfe")]
    assert xapsd.run("push", "alice", "Entw&APw-rfe").returncode == 0
    assert apple.wait_for(n + 3)[n + 2].aps["m"] == [md5("Entwürfe")]


def test_hashes_over_a_restart(xapsd, apple):
    xapsd.register("alice", ACCOUNT, TOKEN, ["Entw&APw-rfe", "R&-D"])
    apple.go_away()
    for name in ("Entwürfe", "R&D"):
        assert xapsd.notify("alice", name).status == 200
    xapsd.stop()
    apple.come_back()
    xapsd.start()
    push, = apple.wait_for(1)
    assert push.aps["m"] == [md5("Entwürfe"), md5("R&D")]


def test_thousand_mailboxes(start_xapsd, apple):
    """Apple takes 4 KiB: several pushes, and no folder is left out."""
    xapsd = start_xapsd(delay="1h", pushTimeout="10m")
    names = ["M%d" % n for n in range(1000)]
    xapsd.register("alice", ACCOUNT, TOKEN, names)
    apple.wait_connected()
    apple.hold()
    begin = xapsd.cpu_s()
    for name in names:
        assert xapsd.notify("alice", name, keep=True).status == 200
    apple.release()

    def named():
        return sum((p.aps["m"] for p in apple.pushes), [])

    apple.wait(lambda: set(named()) == set(map(md5, names)), "all names")
    assert len(named()) == 1000     # each once
    assert len(apple.pushes) <= 12
    assert xapsd.cpu_s() - begin < 2


def test_user_names_compare_lower_cased(xapsd, apple):
    xapsd.register("Alice@Example.org", ACCOUNT, TOKEN)
    assert xapsd.notify("aLICE@example.ORG").status == 200
    apple.wait_for(1)


def test_two_devices_of_one_backup(xapsd, apple):
    """Same account id, two tokens: both are pushed."""
    xapsd.register("alice", ACCOUNT, TOKEN)
    xapsd.register("alice", ACCOUNT, OTHER, ["INBOX", "Notes"])
    assert xapsd.notify("alice").status == 200
    assert {p.token for p in apple.wait_for(2)} == {TOKEN, OTHER}
    assert xapsd.notify("alice", "Notes").status == 200
    assert apple.wait_for(3)[2].token == OTHER
    assert_only(xapsd, 1)


def test_registering_again_replaces_the_mailboxes(xapsd, apple):
    xapsd.register("alice", ACCOUNT, TOKEN, ["INBOX", "Notes"])
    xapsd.register("alice", ACCOUNT, TOKEN, ["INBOX", "Work"])
    assert xapsd.notify("alice", "Notes").status == 204
    assert xapsd.notify("alice", "Work").status == 200
    push, = apple.wait_for(1)
    assert push.aps["m"] == [md5("Work")]


# --- Dovecot's door ---

def test_notify_statuses(xapsd):
    assert xapsd.notify("alice").status == 404
    xapsd.register("alice", ACCOUNT, TOKEN)
    assert xapsd.notify("alice").status == 200
    assert xapsd.notify("alice", "Other").status == 204
    assert xapsd.notify("bob").status == 404
    # what docs/trouble.md tells to look for when no push comes
    xapsd.wait_log("notify: alice: no device watches Other")
    xapsd.wait_log("notify: bob: no device of this user")


GOOD = {"ApsAccountId": ACCOUNT, "ApsDeviceToken": TOKEN,
        "ApsSubtopic": "com.apple.mobilemail", "Username": "alice",
        "Mailboxes": ["INBOX"], "MailboxesAcknowledged": True}

BAD_FIELDS = {
    "ApsAccountId": [None, 7, "", "A" * 201, "x\ny", "ü", ["A"]],
    "ApsDeviceToken": [None, 7, "", "ab" * 7 + "a", "ab" * 100 + "a",
                       "aa%zz" * 8, "../../x?y=1#z0123456789", "g" * 64],
    "ApsSubtopic": [None, 7, "", "com.example.mail"],
    "Username": [None, 7, "", "u" * 256, "a\tb", "\ud800"],
    "Mailboxes": [None, "INBOX", {}, [7], ["a" * 1025], ["a\nb"], [""],
                  ["M%d" % n for n in range(1001)]],
    "MailboxesAcknowledged": ["yes", 1],
}


def bad_registrations():
    for field, values in BAD_FIELDS.items():
        for value in values:
            body = dict(GOOD)
            if value is None:
                del body[field]
            else:
                body[field] = value
            yield field, json.dumps(body)
    text = json.dumps(GOOD)
    for body in ("", "[]", "null", '"x"', "{", text[:-1], text + "x",
                 text.replace('"alice"', "alice"),
                 "[" * 20000 + "]" * 20000):
        yield "malformed", body


def test_bad_registrations(xapsd):
    for field, body in bad_registrations():
        reply = xapsd.request("POST", "/register", body.encode(), keep=True)
        assert reply.status == 400, (field, body[:200], reply)
        assert reply.body.strip() and "\n" not in reply.body.strip(), body
    for bytes_of in (b'{"Username":"\xff"}', b"\x00", b"\xef\xbb\xbf{}"):
        assert xapsd.request("POST", "/register", bytes_of).status == 400
    assert xapsd.records() == []
    assert xapsd.notify("alice").status == 404


def test_good_registrations(xapsd):
    for change in ({"ApsAccountId": "A" * 200}, {"ApsAccountId": 'x"\\y ~!'},
                   {"ApsDeviceToken": "ab" * 8},
                   {"ApsDeviceToken": "AB" * 100},
                   {"Username": "ü" * 127}, {"Username": "Jörg Ü"},
                   {"Mailboxes": ["m" * 255]},
                   {"Mailboxes": ["Postausgang/Entwürfe"]},
                   {"Mailboxes": ["M%d" % n for n in range(1000)]},
                   {"Unknown": {"deep": [1, {"x": None}]}}):
        body = dict(GOOD, **change)
        reply = xapsd.request("POST", "/register", body, keep=True)
        assert reply.status == 200, (change, reply)
        assert reply.body == xapsd.certs.key_topic
        assert reply.headers["Content-Type"].startswith("text/plain")


def test_odd_account_id_stays_in_its_string(xapsd, apple):
    account = 'x","m":["y"],"z":"\\'
    xapsd.register("alice", account, TOKEN)
    assert xapsd.notify("alice").status == 200
    push, = apple.wait_for(1)
    assert push.aps["account-id"] == account
    assert set(push.aps) == {"account-id", "m", "subtopic"}


def test_bad_notifies(xapsd):
    good = {"Username": "alice", "Mailbox": "INBOX", "Events": ["MessageNew"]}
    for field, value in (("Username", 7), ("Username", None), ("Mailbox", []),
                         ("Mailbox", None), ("Events", "MessageNew"),
                         ("Events", [1])):
        body = dict(good)
        if value is None:
            del body[field]
        else:
            body[field] = value
        reply = xapsd.request("POST", "/notify", body)
        assert reply.status == 400, (body, reply)
    assert xapsd.request("POST", "/notify", "nonsense").status == 400


def test_unknown_paths_and_methods(xapsd):
    assert xapsd.request("POST", "/nothing", {}).status == 404
    for path in ("/register", "/notify"):
        reply = xapsd.request("GET", path)
        assert reply.status == 405 and "POST" in reply.headers["Allow"]


def test_over_tcp(start_xapsd, apple):
    xapsd = start_xapsd(tcp=True)
    xapsd.register("alice", ACCOUNT, TOKEN, tcp=True)
    for n in range(3):
        assert xapsd.notify("alice", tcp=True, keep=True).status == 200
        apple.wait_for(n + 1)


def test_notify_does_not_wait_for_apple(xapsd, apple):
    apple.hold()
    xapsd.register("alice", ACCOUNT, TOKEN)
    assert xapsd.notify("alice").status == 200
    push, = apple.wait_for(1)
    assert push.answer is None
    apple.release()


def test_many_callers_one_connection(xapsd, apple):
    users = 200
    def one(n):
        xapsd.register("u%d" % n, ACCOUNT, token(n))
        return xapsd.notify("u%d" % n).status
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert set(pool.map(one, range(users))) == {200}
    pushes = apple.wait_for(users)
    assert len({p.token for p in pushes}) == users
    assert apple.connections == 1


# --- registrations outlive the daemon ---

def test_restart_keeps_registrations(xapsd, apple):
    xapsd.register("alice", ACCOUNT, TOKEN, ["INBOX", "Notes"])
    xapsd.register("bob", "B", OTHER)
    xapsd.restart()
    assert xapsd.notify("alice", "Notes").status == 200
    assert xapsd.notify("bob").status == 200
    pushes = apple.wait_for(2)
    assert {p.token for p in pushes} == {TOKEN, OTHER}
    assert apple.to(TOKEN)[0].aps["m"] == [md5("Notes")]


def test_kill_keeps_registrations(xapsd, apple):
    xapsd.register("alice", ACCOUNT, TOKEN)
    xapsd.kill()
    xapsd.start()
    assert xapsd.notify("alice").status == 200
    apple.wait_for(1)


def test_file_is_as_promised(xapsd):
    before = coarse_time()
    xapsd.register("alice", ACCOUNT, TOKEN, ["INBOX", "Notes"])
    record, = xapsd.records()
    assert before <= record.pop("time") <= time.time()
    assert record == {"user": "alice", "account": ACCOUNT, "token": TOKEN,
                      "mailboxes": ["INBOX", "Notes"], "acked": True}


# --- when it is sent ---

def test_new_mail_overtakes_flags(start_xapsd, apple):
    """Flags wait `delay`, new mail does not."""
    xapsd = start_xapsd(delay="1h")
    xapsd.register("alice", ACCOUNT, TOKEN)
    xapsd.register("bob", "B", OTHER)
    assert xapsd.notify("alice", events=["FlagsSet"]).status == 200
    assert xapsd.notify("bob", events=["MessageNew"]).status == 200
    first, = apple.wait_for(1)
    assert first.token == OTHER
    xapsd.stop()        # which does not wait for them
    first, second = apple.pushes
    assert second.token == TOKEN


def test_flags_wait(xapsd, apple):
    """For `delay`, 1 s in these tests."""
    xapsd.register("alice", ACCOUNT, TOKEN)
    start = time.monotonic()
    assert xapsd.notify("alice", events=["FlagsSet"]).status == 200
    push, = apple.wait_for(1)
    assert push.at - start >= 0.99


def test_delay_counts_from_the_first_flag(xapsd, apple):
    """A run of flag changes is one push and does not put itself off."""
    xapsd.register("alice", ACCOUNT, TOKEN)
    start = time.monotonic()
    while not apple.to(TOKEN):
        assert xapsd.notify(
            "alice", events=["FlagsClear", "FlagsSet"],
            keep=True).status == 200
        assert time.monotonic() < start + 20
    assert apple.to(TOKEN)[0].at - start >= 0.99


def test_new_mail_takes_the_flags_along(start_xapsd, apple):
    xapsd = start_xapsd(delay="1h")
    xapsd.register("alice", ACCOUNT, TOKEN, ["INBOX", "Notes"])
    xapsd.register("bob", "B", OTHER)
    assert xapsd.notify("alice", "Notes", ["FlagsSet"]).status == 200
    assert xapsd.notify("alice", "INBOX", ["MessageNew"]).status == 200
    assert xapsd.notify("bob", "INBOX", ["FlagsSet"]).status == 200
    first, = apple.wait_for(1)
    assert first.token == TOKEN
    assert sorted(first.aps["m"]) == sorted([md5("INBOX"), md5("Notes")])
    xapsd.stop()        # sends what is delayed: bob's, and none of alice's
    first, second = apple.pushes
    assert second.token == OTHER


def test_burst_while_apple_is_slow(start_xapsd, apple):
    """1,000 notifies: one push under way, one with all that came since."""
    xapsd = start_xapsd(pushTimeout="10m")
    names = ["INBOX", "Notes", "Work"]
    xapsd.register("alice", ACCOUNT, TOKEN, names)
    apple.hold()
    assert xapsd.notify("alice").status == 200
    apple.wait_for(1)
    for n in range(999):
        reply = xapsd.notify("alice", names[n % 3], keep=True)
        assert reply.status == 200
    assert in_flight(xapsd) == 1
    assert len(apple.pushes) == 1
    apple.release()
    first, second = apple.wait_for(2)
    assert first.aps["m"] == [md5("INBOX")]
    assert sorted(second.aps["m"]) == sorted(map(md5, names))
    assert_only(xapsd, 2)


# --- Apple's answers ---

def test_410_drops(xapsd, apple):
    xapsd.register("alice", ACCOUNT, TOKEN)
    xapsd.register("alice", ACCOUNT, OTHER)
    apple.script(TOKEN, Answer(410, "Unregistered",
                               timestamp=int(time.time() + 5) * 1000))
    assert xapsd.notify("alice").status == 200
    apple.wait_for(2)
    wait_gone(xapsd)
    assert xapsd.notify("alice").status == 200
    apple.wait_for(2, token=OTHER)
    assert_only(xapsd, 1, TOKEN)
    xapsd.restart()
    assert xapsd.notify("alice").status == 200
    apple.wait_for(3, token=OTHER)
    assert_only(xapsd, 1, TOKEN)


def test_410_of_the_only_device(xapsd, apple):
    xapsd.register("alice", ACCOUNT, TOKEN)
    apple.script(TOKEN, Answer(410, "Unregistered",
                               timestamp=int(time.time() + 5) * 1000))
    assert xapsd.notify("alice").status == 200
    wait_gone(xapsd)
    assert xapsd.notify("alice").status == 404


@pytest.mark.parametrize("body", [
    b'{"reason":"Unregistered"}',
    b'{"reason":"Unregistered","timestamp":null}',
    b'{"reason":"Unregistered","timestamp":"yesterday"}',
    b'{"reason":"Unregistered","timestamp":-5}',
    b'{"reason":"Unregistered","timestamp":99999999999999999999999}',
], ids=["none", "null", "text", "negative", "too large"])
def test_410_without_a_usable_timestamp(xapsd, apple, body):
    """The registration is older than the push that Apple speaks of."""
    xapsd.register("alice", ACCOUNT, TOKEN)
    apple.script(TOKEN, Answer(410, body=body))
    assert xapsd.notify("alice").status == 200
    wait_gone(xapsd)
    assert xapsd.notify("alice").status == 404


@pytest.mark.parametrize("answer", [
    Answer(400, "BadDeviceToken"), Answer(410, "ExpiredToken"),
    Answer(410, "Unregistered", timestamp=2 ** 53)], ids=lambda a: a.reason)
def test_registered_again_while_under_way(xapsd, apple, answer):
    """What Apple says to a push from before says nothing about the new
    registration: it is asked again."""
    xapsd.register("alice", ACCOUNT, TOKEN)
    apple.script(TOKEN, answer)
    apple.hold()
    assert xapsd.notify("alice").status == 200
    apple.wait_for(1)
    xapsd.register("alice", ACCOUNT, TOKEN)
    apple.release()
    first, second = apple.wait_for(2)
    assert second.aps == first.aps
    assert_only(xapsd, 2)
    assert xapsd.notify("alice").status == 200


def test_410_older_than_the_registration(xapsd, apple):
    """The device has come back since: it stays."""
    xapsd.register("alice", ACCOUNT, TOKEN)
    apple.script(TOKEN, Answer(410, "Unregistered", timestamp=1000000))
    assert xapsd.notify("alice").status == 200
    apple.wait_for(1)
    assert_only(xapsd, 1)
    assert xapsd.notify("alice").status == 200
    apple.wait_for(2, token=TOKEN)


@pytest.mark.parametrize("status, reason", [
    (400, "BadDeviceToken"), (400, "DeviceTokenNotForTopic"),
    (410, "ExpiredToken")])
def test_suspended_until_it_registers_again(xapsd, apple, status, reason):
    xapsd.register("alice", ACCOUNT, TOKEN)
    apple.script(TOKEN, Answer(status, reason))
    assert xapsd.notify("alice").status == 200
    apple.wait_for(1)
    assert_only(xapsd, 1)
    assert xapsd.notify("alice").status == 204
    assert_only(xapsd, 1)
    xapsd.register("alice", ACCOUNT, TOKEN)
    assert xapsd.notify("alice").status == 200
    apple.wait_for(2, token=TOKEN)


@pytest.mark.parametrize("answer", [
    Answer(500, "InternalServerError"), Answer(503, "ServiceUnavailable"),
    Answer(503, body=b"<html>no json</html>"), Answer(503),
    Answer(429, "TooManyRequests"),
    Answer(429, "TooManyProviderTokenUpdates"),
    Answer(reset=ErrorCodes.REFUSED_STREAM),
    Answer(reset=ErrorCodes.INTERNAL_ERROR),
], ids=lambda a: "%s %s" % (a.status, a.reason or a.body or a.reset))
def test_sent_again(xapsd, apple, answer):
    xapsd.register("alice", ACCOUNT, TOKEN)
    apple.script(TOKEN, answer, answer)
    assert xapsd.notify("alice").status == 200
    pushes = apple.wait_for(3)
    assert pushes[2].aps == pushes[0].aps
    assert_only(xapsd, 3)


def test_retry_after_is_honoured(xapsd, apple):
    xapsd.register("alice", ACCOUNT, TOKEN)
    apple.script(TOKEN, Answer(503, "ServiceUnavailable",
                               headers=(("retry-after", "2"),)))
    assert xapsd.notify("alice").status == 200
    first, second = apple.wait_for(2)
    assert second.at - first.at >= 1.99


@pytest.mark.parametrize("value", [
    "", "-1", "Wed, 21 Oct 2099 07:28:00 GMT", "1e9", "0x7f", "9" * 1000])
def test_odd_retry_after(xapsd, apple, value):
    """What is no number of seconds is ignored; more than an hour is not
    waited for (push_test.c has the hour)."""
    xapsd.register("alice", ACCOUNT, TOKEN)
    apple.script(TOKEN, Answer(503, "ServiceUnavailable",
                               headers=(("retry-after", value),)))
    assert xapsd.notify("alice").status == 200
    if value.isdigit():
        apple.wait_for(1)
        xapsd.wait_log("ready -> idle(.|\n)*idle -> paused")
    else:
        apple.wait_for(2)


def test_no_answer_is_sent_again(start_xapsd, apple):
    xapsd = start_xapsd(pushTimeout="1s")
    xapsd.register("alice", ACCOUNT, TOKEN)
    apple.script(TOKEN, Answer(never=True))
    start = time.monotonic()    # Apple may read it long after it was sent
    assert xapsd.notify("alice").status == 200
    first, second = apple.wait_for(2)
    # if Apple is too slow for a PING, too, the connection is given up earlier
    if second.connection is first.connection:
        assert second.at - start >= 0.99


def test_expired_jwt_is_renewed(xapsd, apple):
    xapsd.register("alice", ACCOUNT, TOKEN)
    apple.script(TOKEN, Answer(403, "ExpiredProviderToken"))
    assert xapsd.notify("alice").status == 200
    first, second = apple.wait_for(2)
    assert first.headers["authorization"] != second.headers["authorization"]
    assert_only(xapsd, 2)


def test_refused_credentials_hold_the_pushes(xapsd, apple):
    """Logged once, nothing dropped, Apple not flooded."""
    for n in range(5):
        xapsd.register("u%d" % n, ACCOUNT, token(n))
    apple.script(None, lambda push: Answer(403, "InvalidProviderToken"))
    assert xapsd.notify("u0").status == 200
    apple.wait_for(1)
    xapsd.wait_log("InvalidProviderToken")
    for n in range(1, 5):
        assert xapsd.notify("u%d" % n).status == 200
    log = xapsd.log()
    assert in_flight(xapsd) == 0
    assert len(apple.pushes) == 1
    assert log.count("InvalidProviderToken") == 1


@pytest.mark.parametrize("answer", [
    Answer(403, "InvalidProviderToken"), Answer(403, "ExpiredProviderToken"),
    Answer(400, "TopicDisallowed"), Answer(400, "DeviceTokenNotForTopic"),
    Answer(400, "BadDeviceToken")], ids=lambda a: a.reason)
def test_late_answer_to_the_old_credentials(xapsd, apple, answer):
    """It comes on the old connection after others were loaded, and says
    nothing about those: no hold, no suspension, and the push goes out."""
    xapsd.register("alice", ACCOUNT, TOKEN)
    apple.script(TOKEN, answer)
    apple.hold()
    assert xapsd.notify("alice").status == 200
    apple.wait_for(1)
    xapsd.process.send_signal(signal.SIGHUP)
    apple.wait_connected(2)
    apple.release()
    first, second = apple.wait_for(2)
    assert second.connection is not first.connection
    assert second.aps == first.aps
    assert_only(xapsd, 2)
    assert xapsd.request("GET", "/healthz").status == 200
    assert "refuses" not in xapsd.log()
    assert xapsd.notify("alice").status == 200
    apple.wait_for(3, token=TOKEN)


@pytest.mark.parametrize("answer", [Answer(400, "PayloadEmpty"),
                                    Answer(413, "PayloadTooLarge"),
                                    Answer(404, "BadPath")],
                         ids=lambda a: a.reason)
def test_other_refusals_are_dropped(xapsd, apple, answer):
    xapsd.register("alice", ACCOUNT, TOKEN)
    apple.script(TOKEN, answer)
    assert xapsd.notify("alice").status == 200
    apple.wait_for(1)
    xapsd.wait_log(answer.reason)
    assert_only(xapsd, 1)
    assert xapsd.notify("alice").status == 200
    apple.wait_for(2, token=TOKEN)


# --- the connection ---

def test_away_and_back(xapsd, apple):
    for n in range(10):
        xapsd.register("u%d" % n, ACCOUNT, token(n))
    apple.go_away()
    for n in range(10):
        for _ in range(3):
            assert xapsd.notify("u%d" % n).status == 200
    apple.come_back()
    pushes = apple.wait_for(10)
    assert {p.token for p in pushes} == set(map(token, range(10)))
    assert_only(xapsd, 1, token(0))


def test_away_at_start(start_xapsd, apple):
    apple.go_away()
    xapsd = start_xapsd()
    xapsd.register("alice", ACCOUNT, TOKEN)
    assert xapsd.notify("alice").status == 200
    apple.come_back()
    apple.wait_for(1)


def test_lost_with_a_request_under_way(xapsd, apple):
    xapsd.register("alice", ACCOUNT, TOKEN)
    apple.hold()
    assert xapsd.notify("alice").status == 200
    apple.wait_for(1)
    apple.drop_all()
    apple.wait_for(2)
    apple.release()
    assert_only(xapsd, 2)


def test_graceful_goaway(xapsd, apple):
    """What is under way is answered there, what comes goes elsewhere."""
    xapsd.register("alice", ACCOUNT, TOKEN)
    xapsd.register("bob", "B", OTHER)
    apple.hold()
    assert xapsd.notify("alice").status == 200
    apple.wait_for(1)
    apple.goaway()
    assert xapsd.notify("bob").status == 200
    first, second = apple.wait_for(2)
    assert first.connection is not second.connection
    apple.release()
    assert_only(xapsd, 1)
    assert len(apple.to(OTHER)) == 1


def test_goaway_that_disowns(xapsd, apple):
    """Above last-stream-id: surely not processed, sent again at once."""
    xapsd.register("alice", ACCOUNT, TOKEN)
    apple.hold()
    assert xapsd.notify("alice").status == 200
    apple.wait_for(1)
    apple.goaway(last=0)
    apple.wait_for(1)
    assert len(apple.disowned) == 1
    apple.release()
    assert_only(xapsd, 1)
    assert apple.connections == 2


def test_goaway_with_an_error(xapsd, apple):
    apple.goaway(error=ErrorCodes.ENHANCE_YOUR_CALM, debug=b"Shutdown")
    apple.wait_connected(2)
    xapsd.register("alice", ACCOUNT, TOKEN)
    assert xapsd.notify("alice").status == 200
    apple.wait_for(1)
    xapsd.wait_log("ENHANCE_YOUR_CALM.*Shutdown")


@pytest.mark.parametrize("streams", [1, 3])
def test_few_streams(certs, start_xapsd, streams):
    """No more requests at once than Apple allows, still one connection."""
    with Apple(certs, settings={
            SettingCodes.MAX_CONCURRENT_STREAMS: streams}) as apple:
        xapsd = start_xapsd(apple=apple)
        apple.wait_connected()
        apple.hold()
        for n in range(10):
            xapsd.register("u%d" % n, ACCOUNT, token(n))
            assert xapsd.notify("u%d" % n).status == 200
        apple.wait_for(streams)
        assert in_flight(xapsd) == streams
        assert len(apple.pushes) == streams
        apple.release()
        apple.wait_for(10)
        assert apple.connections == 1
        assert apple.problems() == []
        xapsd.stop()


def test_streams_raised_later(certs, start_xapsd):
    with Apple(certs, settings={
            SettingCodes.MAX_CONCURRENT_STREAMS: 0}) as apple:
        xapsd = start_xapsd(apple=apple)
        apple.wait_connected()
        xapsd.register("alice", ACCOUNT, TOKEN)
        assert xapsd.notify("alice").status == 200
        apple.change_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 5})
        apple.wait_for(1)
        assert apple.problems() == []
        xapsd.stop()


def test_unknown_ca_is_refused(start_xapsd, apple, certs):
    xapsd = start_xapsd(apnsCaFile=certs.other_ca)
    xapsd.wait_log(r"apnsCaFile")
    apple.wait(lambda: apple.tls_errors, "a refused handshake")
    xapsd.register("alice", ACCOUNT, TOKEN)
    assert xapsd.notify("alice").status == 200
    assert apple.pushes == [] and apple.handshakes == 0


def test_wrong_name_is_refused(start_xapsd, certs, workdir):
    key, cert = certs.issuer.server(["api.example.org"], [])
    path = write(str(workdir / "other.pem"), cert_pem(cert), key_pem(key))
    with Apple(certs, server=path) as apple:
        xapsd = start_xapsd(apple=apple)
        xapsd.wait_log(r"api\.example\.org.*apnsHost")
        apple.wait(lambda: apple.tls_errors, "a refused handshake")
        assert apple.handshakes == 0
        xapsd.stop()


def test_session_is_resumed(xapsd, apple):
    apple.drop_all()
    apple.wait_connected(2)
    assert apple.resumed == 1


def test_repeated_push_costs_few_bytes(xapsd, apple):
    """What repeats goes as an index: two frame heads of 9, the length and
    expiration, little more."""
    xapsd.register("alice", ACCOUNT, TOKEN)
    costs = []
    for n in range(4):
        before = apple.bytes_received
        assert xapsd.notify("alice").status == 200
        push = apple.wait_for(n + 1)[n]
        apple.wait(lambda: push.answer, "the answer")
        costs.append(apple.bytes_received - before - len(push.body))
    assert min(costs[1:]) <= 60 < costs[0]


# --- the end ---

def test_sigterm_waits_for_what_is_under_way(xapsd, apple):
    xapsd.register("alice", ACCOUNT, TOKEN)
    apple.hold()
    assert xapsd.notify("alice").status == 200
    push, = apple.wait_for(1)
    start = time.monotonic()
    xapsd.process.send_signal(signal.SIGTERM)
    xapsd.wait_log("stopping: SIGTERM")
    # GOAWAY comes only after the answer
    goodbye = push.connection.said_goodbye
    apple.release()
    in_time = time.monotonic() - start < 4.5    # of 5 s that it waits
    assert xapsd.process.wait(30) == 0
    assert (goodbye is None and push.answer.status == 200) or not in_time
    xapsd.process = None


def test_sigterm_with_a_silent_apple(start_xapsd, apple):
    xapsd = start_xapsd(pushTimeout="10m")
    xapsd.register("alice", ACCOUNT, TOKEN)
    apple.hold()
    assert xapsd.notify("alice").status == 200
    apple.wait_for(1)
    xapsd.stop()        # in 30 s


def test_sigterm_sends_what_is_delayed(start_xapsd, apple):
    xapsd = start_xapsd(delay="1h")
    xapsd.wait_log("apns: connected to")
    xapsd.register("alice", ACCOUNT, TOKEN)
    assert xapsd.notify("alice", events=["FlagsSet"]).status == 200
    xapsd.stop()
    apple.wait_for(1)


def test_sigterm_saves_what_cannot_be_sent(xapsd, apple):
    """It does not wait for an absent Apple; all are sent once, later."""
    for n in range(5):
        xapsd.register("u%d" % n, ACCOUNT, token(n), ["INBOX", "Notes", "X"])
    apple.go_away()
    took = []       # load only adds
    for _ in range(3):
        for n in range(5):
            assert xapsd.notify("u%d" % n).status == 200
            assert xapsd.notify("u%d" % n, "Notes").status == 200
        began = time.monotonic()
        xapsd.stop()
        took.append(time.monotonic() - began)
        xapsd.start()
    assert min(took) < 4.5      # of 5 s that it has for work
    apple.come_back()
    pushes = apple.wait_for(5)
    assert {p.token for p in pushes} == set(map(token, range(5)))
    assert all(set(p.aps["m"]) == {md5("INBOX"), md5("Notes")} for p in pushes)
    xapsd.restart()
    xapsd.notify("u0")
    apple.wait_for(2, token=token(0))
    assert len(apple.pushes) == 6


def test_without_credentials(start_xapsd):
    """It runs, and reports it in the log and to the phone."""
    xapsd = start_xapsd(identity={})
    reply = xapsd.post_register("alice", ACCOUNT, TOKEN)
    assert reply.status == 503 and reply.body.strip()
    assert xapsd.request("GET", "/healthz").status == 503
    xapsd.wait_log("credentials")


def test_sigint_too(xapsd):
    xapsd.stop(signal.SIGINT)
