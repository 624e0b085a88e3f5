"""Registrations of apps that are not Apple's Mail, by HTTP: what xapsd-api(7)
says of /register, /vapid, /confirm, /unregister and /subscriptions."""

import concurrent.futures
import contextlib
import hashlib
import json
import re
import subprocess

import pytest

from google import Google
from phones import ACCOUNT, TOKEN
from test_store import mounted

# of RFC 8291
P256DH = ("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7V"
          "d8pZGH6SRpkNtoIAiw4")
AUTH = "BTBZMqHH6r4Tts7J_aSIgg"
HOST = "192.0.2.7"  # nobody has it; listed, so that it needs no name server
ENDPOINT = "https://%s/push/" % HOST


def key_token(address):
    return hashlib.sha256(address.encode()).hexdigest()[:32]


def app(name="a", user="alice", **more):
    return {"Kind": "webpush", "Username": user, "Endpoint": ENDPOINT + name,
            "P256dh": P256DH, "Auth": AUTH, **more}


def post(daemon, path, fields):
    return daemon.request("POST", path, fields)


def register(daemon, fields, status=200):
    reply = post(daemon, "/register", fields)
    assert reply.status == status, reply
    return reply.body


def subscriptions(daemon, user="alice", kind="webpush"):
    reply = post(daemon, "/subscriptions", {"Username": user, "Kind": kind})
    assert reply.status == 200, reply
    return json.loads(reply.body)["subscriptions"]


def ids(daemon, user="alice", kind="webpush"):
    return sorted(s["id"] for s in subscriptions(daemon, user, kind))


def code_of(daemon, user="alice"):
    """As the database has it; the app gets it by a push."""
    r, = [r for r in daemon.records() if r["user"] == user][-1:]
    return r["to"].split()[4]


@pytest.fixture(scope="module")
def account(certs):
    """Of Google's; its key takes a second."""
    return json.dumps(Google(certs).account())


@pytest.fixture
def ways(account, workdir):
    """Configuration of all kinds; nobody is there."""
    file = workdir / "account.json"
    file.write_text(account)
    file.chmod(0o600)
    return {"pushAllow": HOST, "deltachatUrl": "https://%s/notify" % HOST,
            "fcmServiceAccount": str(file)}


@pytest.fixture
def daemon(start_xapsd, ways):
    return start_xapsd(**ways)


# --- what is stored ---

def test_webpush(daemon):
    key = register(daemon, app())
    assert re.fullmatch(r"B[A-Za-z0-9_-]{86}", key)
    assert daemon.request("GET", "/vapid").body == key
    r, = daemon.records()
    assert r["user"] == "alice" and r["account"] == "webpush"
    assert r["token"] == key_token(ENDPOINT + "a")
    assert r["mailboxes"] == ["INBOX"] and r["acked"] is None
    assert r["kind"] == "webpush"
    assert r["to"].split()[:3] == [ENDPOINT + "a", P256DH, AUTH]
    assert subscriptions(daemon) == [
        {"id": "webpush", "endpoint": ENDPOINT + "a", "active": True,
         "mailboxes": ["INBOX"]}]
    daemon.restart()
    assert ids(daemon) == ["webpush"]
    assert daemon.request("GET", "/vapid").body == key


@pytest.mark.parametrize("kind", ["fcm", "deltachat"])
def test_tokens(daemon, kind):
    fields = {"Kind": kind, "Username": "alice", "Token": "x:APA91_-"}
    assert register(daemon, fields) == ""
    register(daemon, {**fields, "Token": "second", "Mailboxes": ["*"]})
    register(daemon, fields)    # again
    assert subscriptions(daemon, kind=kind) != []
    assert sorted((s["id"], s["token"], s["active"], s["mailboxes"])
                  for s in subscriptions(daemon, kind=kind)) == [
        (kind, "second", True, ["*"]), (kind, "x:APA91_-", True, ["INBOX"])]
    assert subscriptions(daemon) == []      # of webpush
    assert "vapid" not in post(daemon, "/subscriptions", {
        "Username": "alice", "Kind": kind}).body


def test_apple_is_a_kind(daemon):
    assert daemon.post_register("alice", ACCOUNT, TOKEN, Kind="apple",
                                Endpoint=7).status == 200
    assert "kind" not in daemon.records()[0]


def test_without_credentials_for_apple(start_xapsd):
    """Who has no iPhone needs none."""
    daemon = start_xapsd(pushAllow=HOST, identity={})
    register(daemon, app())
    assert daemon.post_register("alice", ACCOUNT, TOKEN).status == 503
    assert ids(daemon) == ["webpush"]


def test_kinds_that_are_not_set_up(start_xapsd):
    daemon = start_xapsd(pushAllow=HOST)
    for kind, key in (("fcm", "fcmServiceAccount"),
                      ("deltachat", "deltachatUrl")):
        assert key in register(daemon, {
            "Kind": kind, "Username": "alice", "Token": "x"}, 503)
    assert daemon.status()["registrations"] == 0


# --- Id ---

def test_an_id_has_one_address(daemon):
    register(daemon, app("one", Id="browser"))
    register(daemon, app("one", Id="other"))
    register(daemon, app("two", Id="browser"))
    register(daemon, app("two", Id="browser", user="bob"))
    assert [(s["id"], s["endpoint"][-3:]) for s in sorted(
        subscriptions(daemon), key=lambda s: s["id"])] == [
            ("browser", "two"), ("other", "one")]
    daemon.restart()
    assert ids(daemon) == ["browser", "other"]
    assert ids(daemon, "bob") == ["browser"]


def test_update_by_id(daemon):
    register(daemon, app(Id="b"))
    register(daemon, app(Id="b", Mailboxes=["INBOX", "Lists"]))
    assert [s["mailboxes"] for s in subscriptions(daemon)] == [
        ["INBOX", "Lists"]]


def test_names_in_either_case(daemon):
    register(daemon, app(user="Alice"))
    assert ids(daemon, "aLICE") == ["webpush"]


def test_most_devices_of_a_user(start_xapsd):
    daemon = start_xapsd(pushAllow=HOST, maxDevices=2)
    for i in "abc":
        register(daemon, app(i, Id=i))
    assert ids(daemon) == ["b", "c"]
    # an update is no newcomer
    register(daemon, app("d", Id="c"))
    assert ids(daemon) == ["b", "c"]


def test_full(start_xapsd):
    daemon = start_xapsd(pushAllow=HOST, maxRegistrations=1)
    register(daemon, app(Id="a"))
    assert "maxRegistrations" in register(daemon, app("b", Id="b"), 503)
    # a new address of the same app needs no more space
    register(daemon, app("c", Id="a"))
    assert [s["endpoint"] for s in subscriptions(daemon)] == [ENDPOINT + "c"]


# --- what is malformed ---

LONG = "x" * 2049
BAD = [
    ({"Kind": 7}, "Kind"), ({"Kind": None}, "Kind"), ({"Kind": ""}, "Kind"),
    ({"Kind": "hook"}, "Kind"), ({"Kind": "WebPush"}, "Kind"),
    ({"Kind": "pigeon" * 9}, "Kind"), ({"Kind": ["webpush"]}, "Kind"),
    ({"Kind": "webpush\x00"}, "Kind"),
    ({"Username": None}, "Username"), ({"Username": 7}, "Username"),
    ({"Username": ""}, "user"), ({"Username": "a\nb"}, "user"),
    ({"Username": "a\x00b"}, "Username"), ({"Username": "\x9f"}, "user"),
    ({"Username": "\ud800"}, "Username"),
    ({"Username": "u" * 256}, "Username"),
    ({"Id": ""}, "Id"), ({"Id": 7}, "Id"), ({"Id": None}, "Id"),
    ({"Id": "ä"}, "Id"), ({"Id": "a\tb"}, "Id"), ({"Id": "a\x7f"}, "Id"),
    ({"Id": "i" * 201}, "Id"), ({"Id": "webpush"}, "Id"),
    ({"Mailboxes": []}, "Mailboxes"), ({"Mailboxes": "INBOX"}, "Mailboxes"),
    ({"Mailboxes": None}, "Mailboxes"), ({"Mailboxes": [7]}, "Mailboxes"),
    ({"Mailboxes": [""]}, "mailbox"), ({"Mailboxes": ["a\nb"]}, "mailbox"),
    ({"Mailboxes": ["*", "INBOX"]}, "Mailboxes"),
    ({"Mailboxes": ["INBOX", "*"]}, "Mailboxes"),
    ({"Mailboxes": ["b"] * 1001}, "Mailboxes"),
    ({"Mailboxes": ["b" * 1025]}, "Mailboxes"),
    ({"Mailboxes": ["a"], "Canonical": []}, "Canonical"),
    ({"Canonical": [{"owner": "x"}]}, "Canonical"),
    ({"Endpoint": None}, "Endpoint"), ({"Endpoint": 7}, "Endpoint"),
    ({"Endpoint": ""}, "Endpoint"), ({"Endpoint": "push"}, "Endpoint"),
    ({"Endpoint": "ftp://%s/" % HOST}, "Endpoint"),
    ({"Endpoint": "https://"}, "Endpoint"),
    ({"Endpoint": "https:///x"}, "Endpoint"),
    ({"Endpoint": "https://%s/a b" % HOST}, "Endpoint"),
    ({"Endpoint": "https://%s/\n" % HOST}, "Endpoint"),
    ({"Endpoint": "https://%s/\u00e4" % HOST}, "Endpoint"),
    ({"Endpoint": "https://u:p@%s/" % HOST}, "Endpoint"),
    ({"Endpoint": "https://%s:0/" % HOST}, "Endpoint"),
    ({"Endpoint": "https://%s:65536/" % HOST}, "Endpoint"),
    ({"Endpoint": "https://%s/" % HOST + LONG}, "Endpoint"),
    ({"Endpoint": "https://%s/" % HOST + LONG[:1200]}, "Endpoint"),
    ({"Endpoint": "http://push.example.com/"}, "https"),
    ({"P256dh": None}, "P256dh"), ({"P256dh": 7}, "P256dh"),
    ({"P256dh": ""}, "P256dh"), ({"P256dh": P256DH[:-1]}, "P256dh"),
    ({"P256dh": "A" * 87}, "P256dh"), ({"P256dh": "B" + P256DH}, "P256dh"),
    ({"P256dh": P256DH[:40] + "\n" + P256DH[40:]}, "P256dh"),
    ({"P256dh": LONG}, "P256dh"),
    ({"Auth": None}, "Auth"), ({"Auth": []}, "Auth"), ({"Auth": ""}, "Auth"),
    ({"Auth": AUTH + "AA"}, "Auth"), ({"Auth": AUTH[:-4]}, "Auth"),
    ({"Auth": LONG}, "Auth"),
    ({"Confirm": "true", "Id": "x"}, "Confirm"), ({"Confirm": 1}, "Confirm"),
    ({"Confirm": True}, "Id"),
]


def test_malformed(daemon):
    register(daemon, app("kept"))
    before = daemon.records()
    for more, word in BAD:
        fields = {k: v for k, v in app("bad", **more).items()}
        reply = post(daemon, "/register", fields)
        assert reply.status == 400, (more, reply)
        assert word in reply.body and reply.body.count("\n") == 1, (more,
                                                                    reply)
        assert daemon.records() == before
    for missing in ("Username", "Endpoint", "P256dh", "Auth"):
        fields = app("bad")
        del fields[missing]
        assert missing in register(daemon, fields, 400)
    for body in (b"", b"{", b"[]", b"7", b'{"Kind":"webpush"} x', b"\xff"):
        assert post(daemon, "/register", body).status == 400
    assert daemon.records() == before
    assert daemon.status()["refused"] == len(BAD) + 4 + 6


@pytest.mark.parametrize("kind", ["fcm", "deltachat"])
def test_malformed_tokens(daemon, kind):
    for token in (None, 7, "", "a b", "a\n", "ä", "\x7f", LONG, ["x"]):
        body = register(daemon, {"Kind": kind, "Username": "alice",
                                 "Token": token}, 400)
        assert "Token" in body
    assert "Token is missing" in register(
        daemon, {"Kind": kind, "Username": "alice", "Endpoint": "x"}, 400)
    register(daemon, {"Kind": kind, "Username": "alice", "Token": LONG[1:]})
    assert len(daemon.records()) == 1


def test_malformed_questions(daemon):
    register(daemon, app(Id="b"))
    for path in ("/unregister", "/subscriptions", "/confirm"):
        for fields in ({}, {"Kind": "webpush"}, {"Username": "alice",
                                                 "Kind": "apple"},
                       {"Username": "alice", "Kind": "x"},
                       {"Username": "a\nb", "Kind": "webpush"},
                       {"Username": "alice", "Kind": "webpush", "Id": ""},
                       {"Username": "alice", "Kind": "webpush", "Id": {}}):
            reply = post(daemon, path, fields)
            assert reply.status == 400, (path, fields, reply)
    # nothing that says which: not all of them
    assert post(daemon, "/unregister", {
        "Username": "alice", "Kind": "webpush"}).status == 400
    for path in ("/register", "/confirm", "/unregister", "/subscriptions"):
        reply = daemon.request("GET", path)
        assert (reply.status, reply.headers["Allow"]) == (405, "POST")
    reply = daemon.request("POST", "/vapid", {})
    assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD")
    assert ids(daemon) == ["b"]


# --- where addresses lead ---

INSIDE = [
    "127.0.0.1", "localhost", "[::1]", "10.1.2.3", "192.168.0.1",
    "172.16.0.1", "169.254.1.1", "100.64.0.1", "[fe80::1]", "[fd00::1]",
    "[::ffff:127.0.0.1]", "0.0.0.0", "0", "2130706433", "0x7f000001",
    "0177.0.0.1", "127.1", "printer.local", "router.lan", "[::]",
    "224.0.0.1"]


def test_addresses_inside(daemon):
    for host in INSIDE:
        body = register(daemon, app(Endpoint="https://%s/x" % host), 400)
        assert body.count("\n") == 1 and len(body) > 30, host
    assert not daemon.database.exists() or daemon.records() == []


def test_name_that_leads_inside(start_xapsd, workdir):
    """By /etc/hosts, as a rebinding name server would say."""
    daemon = start_xapsd()
    name = next((line.split()[1] for line in open("/etc/hosts")
                 if line.startswith("127.") and len(line.split()) > 1 and
                 not line.split()[1].startswith("localhost")), None)
    if name is None:
        pytest.skip("/etc/hosts has no other name for 127.0.0.1")
    assert "pushAllow" in register(
        daemon, app(Endpoint="https://%s/x" % name), 400)
    assert daemon.status()["refused"] == 1


def test_name_that_is_not_known(start_xapsd):
    """The name server may be away: it is judged when it is pushed."""
    daemon = start_xapsd()
    register(daemon, app(Endpoint="https://nowhere.invalid/x"))
    assert len(daemon.records()) == 1
    daemon.wait_log("nowhere.invalid")


def test_http_for_listed_hosts_only(start_xapsd):
    daemon = start_xapsd(pushAllow="push.test")
    register(daemon, app(Endpoint="http://push.test/x"))
    assert "pushAllow" in register(
        daemon, app(Endpoint="http://other.test/x"), 400)
    assert len(daemon.records()) == 1


def test_many_wait_for_a_name_server(start_xapsd):
    """Each is answered, or told to come again; and so it is when the daemon
    stops meanwhile."""
    daemon = start_xapsd()
    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        replies = list(pool.map(lambda i: post(daemon, "/register", app(
            Id="i%d" % i, user="u%d" % i,
            Endpoint="https://n%d.invalid/x" % i)), range(100)))
    assert {r.status for r in replies} <= {200, 503}
    stored = [r for r in replies if r.status == 200]
    assert stored and len(daemon.records()) == len(stored)
    assert all("name server" in r.body for r in replies if r.status == 503)


# --- confirmation ---

def test_confirm(daemon):
    fields = app(Id="mail app", Confirm=True)
    key = register(daemon, fields, 202)
    assert subscriptions(daemon)[0]["active"] is False
    code = code_of(daemon)
    assert re.fullmatch("[0-9a-f]{32}", code)
    ask = {"Username": "alice", "Id": "mail app"}
    for wrong in ("", code[:-1], code + "0", "0" * 32, code.upper() + " "):
        assert post(daemon, "/confirm", {**ask, "Code": wrong}).status == 403
    for wrong in (None, 7, "x" * 65):
        assert post(daemon, "/confirm", {**ask, "Code": wrong}).status == 400
    assert post(daemon, "/confirm", {
        **ask, "Id": "other", "Code": code}).status == 404
    assert post(daemon, "/confirm", {
        **ask, "Username": "bob", "Code": code}).status == 404
    assert subscriptions(daemon)[0]["active"] is False
    reply = post(daemon, "/confirm", {**ask, "Code": code})
    assert (reply.status, reply.body) == (204, "")
    assert subscriptions(daemon)[0]["active"] is True
    assert len(daemon.records()[-1]["to"].split()) == 4
    # twice is no fault
    assert post(daemon, "/confirm", {**ask, "Code": code}).status == 204
    # unchanged it stays active; changed it does not
    assert register(daemon, fields) == key
    register(daemon, {**fields, "Mailboxes": ["*"]})
    assert subscriptions(daemon)[0]["active"] is True
    daemon.restart()
    assert subscriptions(daemon)[0] == {
        "id": "mail app", "endpoint": ENDPOINT + "a", "active": True,
        "mailboxes": ["*"]}
    register(daemon, {**fields, "Endpoint": ENDPOINT + "b"}, 202)
    assert [s["active"] for s in subscriptions(daemon)] == [False]
    assert code_of(daemon) != code


def test_the_same_code_again(daemon):
    """A client that did not get it asks again."""
    fields = app(Id="b", Confirm=True)
    register(daemon, fields, 202)
    code = code_of(daemon)
    register(daemon, {**fields, "P256dh": P256DH + "="}, 202)   # the same
    assert code_of(daemon) == code
    assert len(subscriptions(daemon)) == 1


def test_most_of_a_user(daemon):
    for i in range(20):
        register(daemon, app("%d" % i, Id="i%d" % i, Confirm=True), 202)
    body = register(daemon, app("more", Id="more", Confirm=True), 409)
    assert "20" in body and "delete" in body
    register(daemon, app("new", Id="i7", Confirm=True), 202)
    register(daemon, app("more", Id="more", Confirm=True, user="bob"), 202)
    assert len(ids(daemon)) == 20
    assert post(daemon, "/unregister", {
        "Username": "alice", "Kind": "webpush", "Id": "i3"}).status == 204
    register(daemon, app("more", Id="more", Confirm=True), 202)


def test_another_key(daemon):
    """A lost key: nobody can be reached with the new one."""
    register(daemon, app(Id="b"))
    register(daemon, app("c", Id="c", Confirm=True), 202)
    code = code_of(daemon)
    daemon.stop()
    key = daemon.database.with_name("database.json.vapid")
    key.unlink()
    daemon.start()
    assert [s["active"] for s in subscriptions(daemon)] == [False, False]
    reply = post(daemon, "/confirm", {
        "Username": "alice", "Id": "c", "Code": code})
    assert reply.status == 403 and "subscribe again" in reply.body
    register(daemon, app(Id="b"))
    assert {s["id"]: s["active"] for s in subscriptions(daemon)} == {
        "b": True, "c": False}


# --- removal ---

def test_unregister(daemon):
    for user in "alice", "bob":
        register(daemon, app("1", user=user, Id="one"))
        register(daemon, app("2", user=user, Id="two"))
        register(daemon, app("3", user=user))

    def unregister(**more):
        return post(daemon, "/unregister", {
            "Username": "alice", "Kind": "webpush", **more}).status

    assert unregister(Id="three") == 404
    assert unregister(Endpoint=ENDPOINT + "4") == 404
    assert unregister(Id="one", Endpoint=ENDPOINT + "2") == 404
    assert unregister(Id="one") == 204
    assert unregister(Id="one") == 404
    assert unregister(Endpoint=ENDPOINT + "3") == 204
    assert ids(daemon) == ["two"]
    assert unregister(Id="two", Endpoint=ENDPOINT + "2") == 204
    daemon.restart()
    assert ids(daemon) == []
    assert ids(daemon, "bob") == ["one", "two", "webpush"]
    assert unregister(Id="two") == 404


def test_unregister_tokens(daemon):
    for token in "one", "two", "three":
        for kind in "deltachat", "fcm":
            register(daemon, {"Kind": kind, "Username": "alice",
                              "Token": token})
    daemon.register("alice", ACCOUNT, TOKEN)
    ask = {"Username": "alice", "Kind": "deltachat"}
    assert post(daemon, "/unregister", {**ask, "Token": "one"}).status == 204
    assert len(subscriptions(daemon, kind="deltachat")) == 2
    assert post(daemon, "/unregister", ask).status == 204
    assert post(daemon, "/unregister", ask).status == 404
    assert len(subscriptions(daemon, kind="fcm")) == 3
    assert post(daemon, "/unregister", {
        "Username": "alice", "Kind": "fcm"}).status == 400
    assert daemon.status()["registrations"] == 4


# --- trust ---

def test_a_password_is_needed(start_xapsd, certs):
    daemon = start_xapsd(tcp=True, pushAllow=HOST, httpUser="dovecot",
                         httpPassword="secret")
    for method, path in (("GET", "/vapid"), ("POST", "/register"),
                         ("POST", "/confirm"), ("POST", "/unregister"),
                         ("POST", "/subscriptions")):
        body = app() if method == "POST" else None
        assert daemon.request(method, path, body, tcp=True).status == 401
    assert daemon.request("POST", "/register", app(), tcp=True, headers={
        "Authorization": "Basic ZG92ZWNvdDpzZWNyZXQ="}).status == 200


def test_nothing_secret_in_the_log(daemon):
    register(daemon, app("s3cret", Id="b", Confirm=True), 202)
    code = code_of(daemon)
    register(daemon, {"Kind": "fcm", "Username": "alice", "Token": "t0ken"})
    register(daemon, app(Endpoint="https://127.0.0.1/s3cret"), 400)
    post(daemon, "/unregister", {"Username": "alice", "Kind": "fcm",
                                 "Token": "t0ken"})
    for secret in ("s3cret", code, "t0ken", AUTH, P256DH):
        assert secret not in daemon.log()


# --- the command line ---

SUBSCRIPTION = {"endpoint": ENDPOINT + "cli", "expirationTime": None,
                "keys": {"p256dh": P256DH, "auth": AUTH}}


def run(daemon, *args, stdin="", ends=0):
    done = subprocess.run(daemon.command(*args), input=stdin, text=True,
                          capture_output=True, timeout=60)
    assert done.returncode == ends, done
    return done.stderr if ends else done.stdout


def test_register_a_browser(daemon):
    file = daemon.folder / "subscription.json"
    file.write_text(json.dumps(SUBSCRIPTION))
    out = run(daemon, "register", "webpush", "--user", "alice", str(file))
    assert out == "registered; a test: xapsd push alice\n"
    run(daemon, "register", "webpush", "-", "--user=bob", "--id", "Firefox 9",
        "--mailbox", "INBOX", "--mailbox=Lists",
        stdin=json.dumps(SUBSCRIPTION))
    assert subscriptions(daemon) == [
        {"id": "webpush", "endpoint": ENDPOINT + "cli", "active": True,
         "mailboxes": ["INBOX"]}]
    assert subscriptions(daemon, "bob") == [
        {"id": "Firefox 9", "endpoint": ENDPOINT + "cli", "active": True,
         "mailboxes": ["INBOX", "Lists"]}]


def test_register_tokens(daemon):
    for kind in "fcm", "deltachat":
        run(daemon, "register", kind, "--user", "alice", "cafe:" + kind,
            "--mailbox", "*")
        s, = subscriptions(daemon, kind=kind)
        assert (s["token"], s["mailboxes"]) == ("cafe:" + kind, ["*"])


def test_register_mistakes(daemon, workdir):
    def says(*args, stdin="", ends=1):
        return run(daemon, "register", *args, stdin=stdin, ends=ends)

    user = ["--user", "alice"]
    assert "usage" in says("webpush", "x", ends=64)
    assert "usage" in says("webpush", *user, ends=64)
    assert "usage" in says("webpush", *user, "a", "b", ends=64)
    assert "webpush, fcm and deltachat" in says("apple", *user, "x", ends=64)
    assert "webpush, fcm and deltachat" in says("hook", *user, "x", ends=64)
    assert "no such file" in says(
        "webpush", *user, str(workdir / "missing")).lower()
    assert "cannot be read" in says("webpush", *user, str(workdir))
    for text in ("", "{", "\0", "[" * 2000, "x" * 20000):
        assert "toJSON" in says("webpush", *user, "-", stdin=text), text
    for text in ("{}", "[]", "7", '{"keys":7}', '{"endpoint":7}'):
        assert "Endpoint is missing" in says(
            "webpush", *user, "-", stdin=text), text
    assert "P256dh is missing" in says("webpush", *user, "-", stdin=json.dumps(
        {**SUBSCRIPTION, "keys": {}}))
    assert "pushAllow" in says("webpush", *user, "-", stdin=json.dumps(
        {**SUBSCRIPTION, "endpoint": "https://localhost/"}))
    assert "Token" in says("fcm", *user, "a b")
    assert "mailbox" in says("fcm", *user, "x", "--mailbox", "a\nb")
    assert "32" in says("fcm", *user, "x", *["--mailbox=m"] * 33, ends=64)
    for args in (["list", "--id", "x"], ["--mailbox", "x"], ["--id=x"]):
        run(daemon, *args, ends=64)
    assert daemon.status()["registrations"] == 0
    daemon.stop()
    assert "not running" in says("fcm", *user, "x")


def test_list_and_forget(daemon):
    daemon.register("alice", ACCOUNT, TOKEN)
    assert "KIND" not in run(daemon, "list")
    register(daemon, app(Id="Firefox", Confirm=True), 202)
    register(daemon, {"Kind": "fcm", "Username": "bob", "Token": "x"})
    head, *rows = [line.split() for line in run(daemon, "list").splitlines()]
    assert head[:4] == ["USER", "DEVICE", "ACCOUNT", "KIND"]
    assert [[*r[:4], r[7]] for r in rows] == [
        ["alice", TOKEN[:8], ACCOUNT[:8], "apple", "active"],
        ["alice", key_token(ENDPOINT + "a")[:8], "Firefox", "webpush",
         "unconfirmed"],
        ["bob", key_token("x")[:8], "fcm", "fcm", "active"]]
    listed = json.loads(run(daemon, "list", "--json"))
    assert [(r.get("kind"), r["acked"]) for r in listed] == [
        (None, True), ("webpush", None), ("fcm", None)]
    assert listed[1]["to"].startswith(ENDPOINT + "a ")
    assert listed[1].pop("inactive") is True
    assert listed == [dict(r, suspended=False) for r in daemon.records()]
    # on a narrow terminal, too
    assert all(len(line) <= 60 for line in daemon.on_terminal(
        "list", NO_COLOR="1").splitlines())
    assert "1 registration removed" in run(
        daemon, "forget", "alice", "Firefox")
    assert "1 registration removed" in run(
        daemon, "forget", "bob", "fcm", key_token("x")[:8])
    assert len(json.loads(run(daemon, "list", "--json"))) == 1


def test_ids_are_told_apart(daemon):
    """What list and push show is enough for forget."""
    daemon.register("alice", ACCOUNT, TOKEN)
    for place in ("work", "home"):
        register(daemon, app(Id="Firefox at " + place, Endpoint=ENDPOINT +
                             place, Confirm=True), 202)
    for command in ("list", "push"):
        text = daemon.run(command, "alice").stdout
        assert ACCOUNT[:8] + "  " in text
        assert "Firefox at home  " in text and "Firefox at work  " in text
    assert "1 registration removed" in run(
        daemon, "forget", "alice", "Firefox at work")


def test_suspended_in_list_json(daemon):
    """What the daemon adds to a line is found after what a kind has."""
    register(daemon, app(Id='x","time":1'))
    assert [r["account"] for r in json.loads(
        run(daemon, "list", "--json"))] == ['x","time":1']


def test_export_says_what_is_left_out(daemon):
    daemon.register("alice", ACCOUNT, TOKEN)
    register(daemon, app())
    register(daemon, {"Kind": "fcm", "Username": "bob", "Token": "x"})
    done = daemon.run("export")
    assert done.returncode == 0
    assert list(json.loads(done.stdout)["Users"]) == ["alice"]
    assert len(json.loads(done.stdout)["Users"]["alice"]["Accounts"]) == 1
    assert "2 registrations of other kinds" in done.stderr
    # a copy of the database has them
    copy = daemon.folder / "copy"
    copy.write_text(daemon.database.read_text())
    run(daemon, "forget", "alice")
    run(daemon, "forget", "bob")
    assert run(daemon, "import", str(copy)) == "3 registrations taken over\n"
    assert ids(daemon) == ["webpush"] and ids(daemon, "bob", "fcm") == ["fcm"]


# --- the file ---

def test_disk_that_refuses(start_xapsd, workdir):
    """Nothing is confirmed that is not on disk."""
    disk = workdir / "disk"
    disk.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=64k", "none", disk):
        daemon = start_xapsd(pushAllow=HOST,
                             databaseFile=str(disk / "database.json"))
        register(daemon, app("1", Id="one", Confirm=True), 202)
        r = json.loads((disk / "database.json").read_text())
        ballast = disk / "ballast"
        with contextlib.suppress(OSError), open(ballast, "wb", 0) as f:
            while True:
                f.write(b"x" * 4096)
        big = ["m%03d" % i + "x" * 900 for i in range(60)]
        for path, fields in (
                ("/register", app("2", Id="two", Mailboxes=big)),
                ("/confirm", {"Username": "alice", "Id": "one",
                              "Code": r["to"].split()[4]})):
            reply = post(daemon, path, fields)
            assert reply.status == 503, (path, reply)
            assert "memory only" in reply.body
        ballast.unlink()
        daemon.wait_until(lambda: not daemon.status()["storeFailing"],
                          "the disk to be well")
        daemon.restart()
        assert {s["id"]: s["active"] for s in subscriptions(daemon)} == {
            "one": True, "two": True}
        daemon.stop()


def test_an_earlier_version(start_xapsd):
    """What it makes of a line of another kind: it sets it aside, and a person
    can bring it back."""
    daemon = start_xapsd(pushAllow=HOST)
    register(daemon, app(Id="b"))
    r, = daemon.records()
    assert r["acked"] is None   # an earlier one takes true and false only
