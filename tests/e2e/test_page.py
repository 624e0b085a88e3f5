"""The page for people: by plain requests, and in a real Chromium."""

import base64
import contextlib
import html
import html.parser
import http.client
import http.server
import json
import os
import re
import select
import socket
import socketserver
import threading
import urllib.parse

import pytest

import browser as chromium
from apple import Answer
from phones import ACCOUNT, OTHER, TOKEN, token
from test_clock import all_clocks, clock       # noqa: F401
from test_guard import NOBODY, as_root, ask_as
from test_health import with_clock
from test_store import mounted
from xapsd import ROOT, Reply, certificate

ADMIN = {"httpUser": "admin", "httpPassword": "p+w & more"}
# Each is as text what it is as markup.
EVIL = ['<img src=x onerror="window.evil=1">', "</td></table><script>"
        "window.evil=1</script>", "\"><svg onload=window.evil=1>",
        "' autofocus onfocus='window.evil=1", "&lt;b&gt; &amp; &#39;",
        "{{key}} \u202egnp.exe", "javascript:window.evil=1"]


def basic(user=ADMIN["httpUser"], password=ADMIN["httpPassword"]):
    return {"Authorization": "Basic " + base64.b64encode(
        ("%s:%s" % (user, password)).encode()).decode()}


def get(x, query="", **headers):
    return x.request("GET", "/" + query, tcp=bool(x.port),
                     headers={**basic(), **headers})


def key_of(x):
    return re.search(r'name=key value="(\w{32})"', get(x).body)[1]


FORM = {**basic(), "Content-Type": "application/x-www-form-urlencoded"}


def post(x, headers=None, **fields):
    fields.setdefault("key", key_of(x))
    return x.request(
        "POST", "/", urllib.parse.urlencode(fields), tcp=bool(x.port),
        headers={**FORM, **(headers or {})})


def post_patiently(x, **fields):
    """The daemon waits 15 s for an answer of Apple's."""
    connection = http.client.HTTPConnection("127.0.0.1", x.port, timeout=60)
    with contextlib.closing(connection):
        connection.request("POST", "/", urllib.parse.urlencode(
            {"key": key_of(x), **fields}), FORM)
        reply = connection.getresponse()
        return Reply(reply.status, reply.read().decode())


def words(reply):
    """What the page says, without its markup."""
    text = re.sub(r"<(style|script).*?</\1>", "", reply.body, flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())


@pytest.fixture
def admin(start_xapsd, apple):
    """A daemon on TCP with a password, and alice's phone."""
    x = start_xapsd(tcp=True, **ADMIN)
    x.register("alice", ACCOUNT, TOKEN, ["INBOX", "Entw&APw-rfe"])
    apple.wait_connected()
    return x


# --- who sees what ---

def test_headers(admin):
    reply = get(admin)
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in reply.headers
    policy = reply.headers["Content-Security-Policy"].split("; ")
    assert policy[0] == "default-src 'none'"
    for rule in ("connect-src 'self'", "form-action 'self'",
                 "base-uri 'none'", "frame-ancestors 'none'"):
        assert rule in policy
    assert "unsafe" not in str(policy)
    assert "http://" not in reply.body.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in reply.body


def test_methods(admin):
    head = admin.request("HEAD", "/", tcp=True, headers=basic())
    assert (head.status, head.body) == (200, "")
    assert int(head.headers["Content-Length"]) > 5000
    for method in ("PUT", "DELETE", "OPTIONS", "PATCH", "FOO"):
        reply = admin.request(method, "/", tcp=True, headers=basic())
        assert reply.status == 405, method
        assert reply.headers["Allow"] == "GET, HEAD, POST"


def test_password(admin):
    for headers in ({}, basic("admin", "wrong"), basic("admin", ""),
                    {"Authorization": "Bearer x"}):
        reply = admin.request("GET", "/", tcp=True, headers=headers)
        assert reply.status == 401 and "alice" not in reply.body
        assert "WWW-Authenticate" in reply.headers
    said = words(get(admin))
    assert "alice" in said and TOKEN[:8] in said and "Entw&APw-rfe" in said
    assert TOKEN[:9] not in said
    assert "All is well" in said
    assert "Nobody came 0 pushes in 24 hours" in said


def test_without_a_password(start_xapsd, apple):
    """The figures, and how to get the rest; no name, no key."""
    x = start_xapsd(tcp=True)
    x.register("alice", ACCOUNT, TOKEN)
    apple.wait_connected()
    for headers in ({}, basic(), basic("", "")):
        reply = x.request("GET", "/", tcp=True, headers=headers)
        said = words(reply)
        assert reply.status == 200 and "alice" not in reply.body
        assert TOKEN[:8] not in reply.body
        assert "name=key value" not in reply.body
        assert "All is well" in said and "httpUser" in said
        assert "1 registered" in said
    for query in ("?user=alice", "?user=ali&from=0"):
        assert "alice" not in words(x.request("GET", "/" + query, tcp=True))
    reply = x.request("POST", "/", "do=forget&user=alice", tcp=True)
    assert reply.status == 403 and "httpUser" in reply.body
    assert len(x.records()) == 1


@as_root
def test_unix_socket(start_xapsd):
    """Names for root, and for who sends the password; else none."""
    x = start_xapsd(**ADMIN)
    x.register("alice", ACCOUNT, TOKEN)
    ask = "%s / HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: 0\r\n\r\n"
    login = "Authorization: %s\r\n" % basic()["Authorization"]
    assert "alice" in x.request("GET", "/").body
    assert "alice" in ask_as(NOBODY, x.socket_path,
                             (ask % ("GET", login)).encode())
    said = ask_as(NOBODY, x.socket_path, (ask % ("GET", "")).encode())
    assert said.startswith("HTTP/1.1 200 ") and "alice" not in said
    said = ask_as(NOBODY, x.socket_path, (ask % ("POST", "")).encode())
    assert said.startswith("HTTP/1.1 403 ")


def test_tunnel_to_the_socket(start_xapsd):
    """ssh -L 8080:/run/xapsd/xapsd.sock: root's, and a browser's.  So no page
    of another site may use it, nor one whose name was pointed here."""
    x = start_xapsd()
    x.register("alice", ACCOUNT, TOKEN)
    assert "alice" in x.request("GET", "/", headers={
        "Host": "localhost:8080"}).body
    assert "alice" in x.request("GET", "/", headers={
        "Host": "127.0.0.1:8080"}).body
    for headers in ({"Host": "evil.example:8080"}, {"Host": "10.0.0.1"},
                    {"Origin": "http://evil.example"}, {"Origin": "null"},
                    {"Host": "localhost:8080", "Origin": "http://localhost"}):
        reply = x.request("GET", "/", headers=headers)
        assert reply.status == 403 and "alice" not in reply.body, headers
    fields = {"do": "forget", "user": "alice", "account": ACCOUNT,
              "token": TOKEN}
    own = {"Host": "localhost:8080", "Origin": "http://localhost:8080"}
    assert post(x, {**own, "Sec-Fetch-Site": "cross-site"},
                **fields).status == 403
    assert post(x, own, **fields).status == 200
    # Dovecot's requests have whatever Host they have
    assert x.request("GET", "/status", headers={"Host": "any"}).status == 200


@pytest.mark.parametrize("headers", [
    {"Host": "evil.example:8080", "Origin": "http://evil.example:8080"},
    {"Host": "localhost:8080", "Origin": "http://evil.example"},
    {"Host": "localhost:8080", "Origin": "http://localhost:3000"},
    {"Host": "localhost:8080", "Origin": "null"},
    {"Host": "localhost:8080", "Sec-Fetch-Site": "cross-site"},
    {"Host": "localhost:8080", "Sec-Fetch-Site": "same-site"}], ids=str)
def test_other_sites_at_the_tunnel(start_xapsd, headers):
    """While it is open, whatever root may do can be reached by any web page
    in the browser beside it, not the page at / alone."""
    x = start_xapsd()
    x.register("alice", ACCOUNT, TOKEN)
    for path, body in (
            ("/admin/list", {}), ("/admin/forget", {"user": "alice"}),
            ("/admin/push", {"user": "alice", "mailbox": "INBOX"}),
            ("/admin/import", '{"Users":{}}'), ("/admin/unknown", {}),
            ("/register", {"Username": "alice", "ApsAccountId": ACCOUNT,
                           "ApsDeviceToken": OTHER, "Mailboxes": ["INBOX"],
                           "ApsSubtopic": "com.apple.mobilemail"}),
            ("/notify", {"Username": "alice", "Mailbox": "INBOX",
                         "Events": ["MessageNew"]}),
            ("/seen", {"Username": "alice"})):
        reply = x.request("POST", path, body, headers={
            "Content-Type": "text/plain", **headers})
        assert reply.status == 403 and ACCOUNT not in reply.body, path
    assert [r["token"] for r in x.records()] == [TOKEN]
    # an old browser says only where it goes
    assert x.request("POST", "/admin/list", {}, headers={
        "Host": "evil.example:8080"}).status == 403


# --- forms ---

def test_test_push(admin, apple):
    admin.register("alice", ACCOUNT, OTHER)
    apple.script(OTHER, Answer(410, "Unregistered", timestamp=1))
    said = words(post(admin, do="push", user="alice"))
    apple.wait_for(2)
    assert "Device %s: Apple took it" % TOKEN[:8] in said
    assert re.search("Device %s: Apple answered 410 Unregistered" % OTHER[:8],
                     said)
    said = words(post(admin, do="push", user="nobody"))
    assert "No device is registered for this user" in said


def test_last_answer(admin, apple):
    """Of a phone whose pushes Apple does not take, in its row."""
    apple.script(TOKEN, Answer(400, "BadDeviceToken"))
    admin.notify("alice")
    admin.wait_log("suspended")
    assert re.search("suspended .*BadDeviceToken", words(get(admin)))


def test_test_push_that_waits(admin, apple):
    """Until Apple answers, others are served."""
    apple.hold()
    said = []
    thread = threading.Thread(target=lambda: said.append(
        post_patiently(admin, do="push", user="alice")))
    thread.start()
    apple.wait_for(1)
    assert get(admin).status == 200
    second = words(post(admin, do="push", user="alice"))
    assert "another test is under way" in second
    apple.release()
    thread.join()
    assert "Apple took it" in words(said[0])


def test_test_push_without_apple(admin, apple):
    start = admin.log_size()
    apple.go_away()
    admin.wait_log("refused", start=start)
    said = words(post_patiently(admin, do="push", user="alice"))
    assert "not connected to Apple" in said and "stays queued" in said
    apple.come_back()
    apple.wait_for(1)


def test_forget(admin):
    admin.register("alice", ACCOUNT, OTHER)
    reply = post(admin, do="forget", user="alice", account=ACCOUNT,
                 token=TOKEN)
    assert reply.status == 200 and "Forgotten" in words(reply)
    assert admin.records()[-1] == {"user": "alice", "account": ACCOUNT,
                                   "token": TOKEN, "gone": True}
    said = words(get(admin))
    assert OTHER[:8] in said and TOKEN[:8] not in said
    reply = post(admin, do="forget", user="alice", account=ACCOUNT,
                 token=TOKEN)
    assert reply.status == 404 and "load the page again" in reply.body


def test_forget_one_of_two_alike(admin):
    """A token and an account id may be the beginning of others, and account
    ids differ in case: the button means the device beside it."""
    admin.register("bob", ACCOUNT, TOKEN)
    admin.register("bob", ACCOUNT, TOKEN + "00")
    admin.register("bob", ACCOUNT + "0", TOKEN)
    admin.register("bob", ACCOUNT.lower(), TOKEN)
    for status in (200, 404):   # again, from a page that is out of date
        assert post(admin, do="forget", user="bob", account=ACCOUNT,
                    token=TOKEN).status == status
    left = sorted((r["account"], r["token"])
                  for r in json.loads(admin.run("list", "--json",
                                                    "bob").stdout))
    assert left == sorted([(ACCOUNT, TOKEN + "00"), (ACCOUNT + "0", TOKEN),
                           (ACCOUNT.lower(), TOKEN)])


def test_key(admin):
    """Nothing is done without it, nor with another, nor an older one."""
    old = key_of(admin)
    assert key_of(admin) == old
    for key in ("", "0" * 32, old[:-1], old + "0", old.upper() + "x",
                "x" * 5000):
        reply = post(admin, key=key, do="forget", user="alice",
                     account=ACCOUNT, token=TOKEN)
        assert reply.status == 403, key
        assert "load the page again" in reply.body
    for body in ("", "do=forget&user=alice", '{"key":"%s"}' % old,
                 "key=%s&key=%s&do=push&user=alice" % (old, old),
                 "key=%s&do=push&user=alice&=%%zz" % old,
                 "key=%s&do=push&user=alice&" % old + "%00=1"):
        reply = admin.request("POST", "/", body, tcp=True, headers=basic())
        assert reply.status == 403, body
    assert len(admin.records()) == 1
    admin.restart()
    assert post(admin, key=old, do="push", user="alice").status == 403
    assert key_of(admin) != old


@pytest.mark.parametrize("fields", [
    {}, {"do": "push"}, {"user": "alice"}, {"do": "push", "user": ""},
    {"do": "erase", "user": "alice"}, {"do": "x" * 99, "user": "alice"},
    {"do": "forget", "user": "alice"},
    {"do": "forget", "user": "alice", "account": ACCOUNT},
    {"do": "forget", "user": "alice", "account": ACCOUNT, "token": ""},
    {"do": "forget", "user": "alice", "account": "", "token": TOKEN},
    {"do": "forget", "user": "alice", "account": ACCOUNT, "token": "2918"},
    {"do": "forget", "user": "alice", "account": ACCOUNT, "token": "9" * 201},
    {"do": "forget", "user": "alice", "account": "x" * 201, "token": TOKEN},
    {"do": "push", "user": "a" * 256}, {"do": "push", "user": b"\xff"},
    {"do": "push", "user": "a\x01"}])
def test_malformed_forms(admin, apple, fields):
    reply = post(admin, **fields)
    assert reply.status == 400 and reply.body.count("\n") == 1
    assert len(admin.records()) == 1 and not apple.pushes


def test_cross_site(admin):
    """Whatever a browser says of where a form comes from."""
    own = "http://127.0.0.1:%d" % admin.port
    form = {"do": "forget", "user": "alice", "account": ACCOUNT,
            "token": TOKEN}
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"},
                    {"Sec-Fetch-Site": "cross-site"},
                    {"Sec-Fetch-Site": "same-site"},
                    {"Origin": own, "Sec-Fetch-Site": "cross-site"},
                    {"Host": "evil.example"}):
        reply = post(admin, headers, **form)
        assert reply.status == 403, headers
    assert len(admin.records()) == 1
    reply = post(admin, {"Origin": own, "Sec-Fetch-Site": "same-origin"},
                 **form)
    assert reply.status == 200


# --- the list ---

def test_pages(start_xapsd):
    """300 devices: about 100 at a time, each once; found by a part of the
    name."""
    x = start_xapsd(tcp=True, **ADMIN)
    names = {"user%03d@example.org" % i for i in range(300)}
    for i, name in enumerate(sorted(names)):
        x.register(name, ACCOUNT, token(i), keep=True)
    seen, query, pages = [], "", 0
    while query is not None:
        reply = get(x, query)
        found = re.findall(r"<th scope=row><bdi>([^<]*)", reply.body)
        assert found == sorted(found) and len(found) < 150
        assert len(reply.body) < 200_000
        seen += found
        more = re.search(r'name=from value="(\d+)">More', reply.body)
        query, pages = more and "?user=&from=" + more[1], pages + 1
    assert sorted(seen) == sorted(names) and pages >= 2
    said = words(get(x, "?user=USER12&from=0"))
    assert said.count("@example.org") == 10
    assert "No user with “ zoe ” in the name" in words(get(x, "?user=zoe"))
    assert "user007@example.org" in get(x, "?user=user007%40example.org").body


@pytest.mark.parametrize("query,status", [
    ("?", 200), ("?user=", 200), ("?from=18446744073709551615", 200),
    ("?from=-1", 200), ("?from=x", 200), ("?a=b&c=d", 200), ("?user", 400),
    ("?user=%zz", 400), ("?user=%00", 400), ("?user=a&user=b", 400),
    ("?user=" + "a" * 256, 400), ("?user=%ff", 400), ("?&", 400),
    ("?from=" + "1" * 30, 400)])
def test_queries(admin, query, status):
    assert get(admin, query).status == status


def test_many_mailboxes(admin):
    """The longest registration is a short row."""
    admin.register("bob", ACCOUNT, OTHER,
                   ["%03d" % i + "<" * 50 for i in range(1000)])
    reply = get(admin, "?user=bob")
    assert "+996" in reply.body and len(reply.body) < 30_000


@pytest.mark.parametrize("query", ["", "?user=bob"])
def test_many_devices_of_one_user(start_xapsd, query):
    """However many an administrator allows, an answer has a limit."""
    x = start_xapsd(tcp=True, maxDevices=2000, **ADMIN)
    for i in range(1010):
        x.register("bob", ACCOUNT, token(i), keep=True)
    assert len(re.findall("<summary[^>]*>Forget", get(x, query).body)) == 1000


def structure(text):
    """Tags and names of attributes, as a browser finds them."""
    tags, attributes = [], set()

    class Parser(html.parser.HTMLParser):
        def handle_starttag(self, tag, attrs):
            tags.append(tag)
            attributes.update(name for name, _value in attrs)
    Parser().feed(text)
    return tags, attributes


@pytest.mark.parametrize("evil", EVIL)
def test_nothing_is_markup(start_xapsd, apple, evil):
    """What comes from outside, wherever it is shown."""
    x = start_xapsd(tcp=True, **ADMIN)
    ascii_evil = evil.encode("ascii", "ignore").decode()
    x.register(evil, ascii_evil, TOKEN, [evil, "INBOX"])
    apple.script(None, lambda push: Answer(400, evil[:60]))
    replies = [get(x), get(x, "?" + urllib.parse.urlencode({"user": evil})),
               get(x, "?" + urllib.parse.urlencode({"user": evil + "z"})),
               post(x, do="push", user=evil),
               post(x, do="push", user=evil + "z"),
               post(x, do="forget", user=evil, account=ascii_evil,
                    token=TOKEN)]
    for reply in replies:
        assert reply.status == 200
        assert evil in html.unescape(reply.body)
        tags, attributes = structure(reply.body)
        assert tags.count("script") == 1
        assert not {"img", "svg"} & set(tags)
        assert not [a for a in attributes if a.startswith("on")
                    or a in ("autofocus", "src")]


# --- whether phones come ---

def test_came_after(admin, apple):
    """A push, and a visit: the device's row and the figure of the day."""
    assert "no phone came yet" in words(get(admin))
    admin.notify("alice")
    admin.wait_until(lambda: admin.status()["delivered"], "Apple's answer")
    admin.request("POST", "/seen", {"Username": "alice",
                                    "Client": "iOS <26.5>"})
    median = admin.status()["wakeupMedian"]
    said = words(get(admin))
    assert "Wake-up %s s median of 24 hours" % median in said
    assert re.search(r" \d+ s ago \d+ s ago, after %s s iOS <26.5>" % median,
                     said)


@with_clock
def test_came_again(start_xapsd, apple, all_clocks):   # noqa: F811
    """A visit that no push brought is not one after so many seconds."""
    all_clocks("+0s")
    daemon = start_xapsd(identity=certificate)
    apple.wait_connected()
    daemon.register("alice", ACCOUNT, TOKEN)

    def row(n):
        daemon.request("POST", "/seen", {"Username": "alice"})
        assert daemon.status()["visits"] == n
        return words(daemon.request("GET", "/"))
    daemon.notify("alice")
    daemon.wait_until(lambda: daemon.status()["delivered"], "Apple's answer")
    all_clocks("+2s")
    assert re.search(r" \d+ s ago \d+ s ago, after \d+\.\d s ", row(1))
    assert re.search(r" \d+ s ago \d+ s ago, after \d+\.\d s ", row(2))
    all_clocks("+7200s")
    assert re.search(r" [12] h ago \d+ s ago [12] h ago INBOX ", row(3))


# --- every kind of trouble, in words ---

def no_credentials(start, stack, **options):
    return start(identity={}, **options), \
        "does not wake the phones", "credentials"


def expired(start, stack, certs, workdir, **options):
    import certs as pki
    key, cert = certs.issuer.client(certs.cert_topic, days=-1, age_days=9)
    pki.write(workdir / "c.pem", pki.cert_pem(cert), pki.key_pem(key))
    return start(identity={"certificateFilePem": str(workdir / "c.pem")},
                 **options), "does not wake the phones", "expired"


def refused(start, stack, apple, **options):
    x = start(**options)
    x.register("alice", ACCOUNT, TOKEN)
    apple.script(None, lambda push: Answer(403, "InvalidProviderToken"))
    x.notify("alice")
    x.wait_log("error push: ")
    return x, "does not wake the phones", "InvalidProviderToken"


def unreachable(start, stack, apple, **options):
    apple.go_away()
    x = start(**options)
    x.register("alice", ACCOUNT, TOKEN)
    x.wait_log("refused")
    return x, "look at this", "Not connected to Apple now"


def suspended(start, stack, apple, **options):
    x = start(**options)
    x.register("alice", ACCOUNT, TOKEN)
    apple.script(TOKEN, Answer(400, "BadDeviceToken"))
    x.notify("alice")
    x.wait_log("suspended")
    return x, "look at this", "Suspended device: 1"


def nobody_registered(start, stack, apple, **options):
    x = start(**options)
    apple.wait_connected()
    return x, "no phone has registered yet", "Fetch New Data"


def disk_full(start, stack, apple, workdir, **options):
    disk = workdir / "disk"
    disk.mkdir()
    stack.enter_context(mounted("-t", "tmpfs", "-o", "size=64k", "none", disk))
    x = stack.enter_context(contextlib.ExitStack())     # unmounted after it
    x = start(databaseFile=str(disk / "db"), **options)
    apple.wait_connected()
    with open(disk / "filler", "wb", buffering=0) as filler, \
            contextlib.suppress(OSError):
        while True:
            filler.write(b"x" * 1024)
    reply = x.post_register("alice", ACCOUNT, TOKEN, ["x" * 1000] * 6)
    assert reply.status == 503
    stack.callback(lambda: (disk / "filler").unlink())
    return x, "New phones cannot be saved", "cannot be written to disk"


TROUBLES = [no_credentials, expired, refused, unreachable, suspended,
            nobody_registered]


@pytest.fixture
def in_trouble(request, start_xapsd, apple, certs, workdir):
    with contextlib.ExitStack() as stack:
        yield lambda stage: stage(
            start_xapsd, stack=stack, tcp=True, **ADMIN, **{
                name: value for name, value in (
                    ("apple", apple), ("certs", certs), ("workdir", workdir))
                if name in stage.__code__.co_varnames})


@pytest.mark.parametrize("stage, credential", [
    (no_credentials, r"none (?!without)"), (expired, "expired until 2"),
    (unreachable, "token key without an end")],
    ids=["none", "expired", "token"])
def test_end_of_the_credential(in_trouble, stage, credential):
    """Nothing is left of one that has expired, and none has no end."""
    assert re.search("Credential " + credential,
                     words(get(in_trouble(stage)[0])))


@pytest.mark.parametrize("stage", TROUBLES, ids=lambda s: s.__name__)
def test_trouble(in_trouble, stage):
    x, headline, reason = in_trouble(stage)
    said = words(get(x))
    assert headline in said, said[:600]
    assert reason in said, said[:600]
    assert "All is well" not in said


# --- in a browser ---

@pytest.fixture(scope="module")
def chrome():
    if not chromium.executable():
        if os.environ.get("NEED_BROWSER"):
            pytest.fail("no Chromium: sh tests/deps.sh browser")
        pytest.skip("no Chromium: sh tests/deps.sh browser")
    with chromium.Browser() as browser:
        yield browser


@pytest.fixture
def tab(chrome):
    """A function that opens a tab; in the end none has had to complain."""
    with contextlib.ExitStack() as stack:
        def new(**options):
            page = chrome.page(**options)
            stack.callback(page.close)
            page.expected = []
            stack.callback(lambda: check(page))
            return page

        def check(page):
            assert [c for c in page.complaints
                    if not re.search("|".join(page.expected) or "$^", c)] == []
        yield new


# What the page asks for at first, and every 5 s.
FOLLOWED = ("performance.getEntries().some("
            "e => e.name.endsWith('/?user=&from=0'))")


def address(x, login=True):
    user = "%s:%s@" % tuple(map(urllib.parse.quote, ADMIN.values()))
    return "http://%s127.0.0.1:%d/" % (user if login else "", x.port)


def fits(page, width):
    assert page.eval("document.documentElement.scrollWidth") <= width
    outside = page.eval(
        "[...document.querySelectorAll('body *')].filter(e => "
        "e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('thead'))"
        ".map(e => e.outerHTML.slice(0, 80))")
    assert outside == []


def contrast(page):
    """The least of WCAG's contrast of the text in the page."""
    return page.eval("""(() => {
        const rgb = s => s.match(/[\\d.]+/g).map(Number);
        const lum = c => c.slice(0, 3).map(v => v / 255).map(v =>
            v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
            .reduce((s, v, i) => s + v * [.2126, .7152, .0722][i], 0);
        let least = 99;
        for (const e of document.querySelectorAll('body *')) {
            if (![...e.childNodes].some(n => n.nodeType == 3 &&
                n.data.trim()) || !e.getClientRects().length) continue;
            let b = e, svg = e.closest('svg');
            while (b && rgb(getComputedStyle(b).backgroundColor)[3] === 0)
                b = b.parentElement;
            const style = getComputedStyle(e);
            const x = lum(rgb(svg ? style.fill : style.color)),
                y = lum(rgb(getComputedStyle(b || document.body)
                    .backgroundColor));
            const c = (Math.max(x, y) + .05) / (Math.min(x, y) + .05);
            if (!e.closest('title') && c < least) least = c;
        }
        return least })()""")


@pytest.mark.parametrize("js", [True, False], ids=["js", "nojs"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_looks(admin, tab, width, dark, js):
    admin.register("a.very.long.name.of.a.user@department.example.org",
                   ACCOUNT, OTHER, ["INBOX", "x" * 200, "Ä B"])
    page = tab(width=width, dark=dark, js=js)
    page.open(address(admin))
    if js:
        page.wait("document.title == 'xapsd' && performance.getEntries()"
                  ".some(e => e.name.endsWith('/status'))")
    assert page.text("h1") == "All is well: new mail wakes the phones"
    fits(page, width)
    assert contrast(page) >= 4.5
    background = page.eval("getComputedStyle(document.body).backgroundColor")
    assert (int(re.search(r"\d+", background)[0]) < 99) is dark
    assert page.eval("document.cookie") == ""


def test_widths(admin, apple, tab):
    """From the narrowest phone on, with all that a row may hold."""
    admin.register("a.very.long.name.of.a.user@department.example.org",
                   ACCOUNT, OTHER, ["INBOX", "x" * 200, "Ä B"])
    apple.script(OTHER, Answer(400, "BadDeviceToken"))
    for user in ("alice", "a.very.long.name.of.a.user@department.example.org"):
        admin.notify(user)
    admin.wait_until(lambda: admin.status()["delivered"], "Apple's answer")
    admin.wait_log("suspended")
    admin.request("POST", "/seen", {"Username": "alice", "Client": "W" * 64})
    page = tab()
    page.open(address(admin))
    for width in (320, 640, 768, 991, 1000, 1100, 1920):
        page.call("Emulation.setDeviceMetricsOverride", width=width,
                  height=800, deviceScaleFactor=1, mobile=False)
        page.wait("innerWidth == %d" % width)
        rows = page.eval("[...document.querySelectorAll('dl > div')]"
                         ".map(e => e.offsetTop)")
        assert len({rows.count(top) for top in rows}) == 1, width
        fits(page, width)


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("stage", TROUBLES, ids=lambda s: s.__name__)
def test_trouble_looks(in_trouble, tab, stage, width):
    x, headline, _reason = in_trouble(stage)
    page = tab(width=width)
    page.open(address(x))
    assert headline in page.text("h1")
    fits(page, width)


@as_root
def test_disk_full(in_trouble, tab):
    x, headline, reason = in_trouble(disk_full)
    page = tab(width=360)
    page.open(address(x))
    assert headline in page.text("h1") and reason in page.text()


def test_follows(admin, apple, tab):
    """What changes is shown without a click: trouble, a stop, a new start."""
    page = tab()
    page.expected = ["Failed to load resource", "Failed to fetch"]
    page.open(address(admin))
    page.eval("window.same = 1")
    apple.script(TOKEN, Answer(400, "BadDeviceToken"))
    admin.notify("alice")
    page.wait("document.querySelector('h1').innerText.includes('look at')")
    assert "Suspended device: 1" in page.text()
    admin.stop()
    page.wait("document.querySelector('h1').innerText.includes"
              "('does not answer')")
    admin.start()
    admin.register("alice", ACCOUNT, TOKEN)
    page.wait("document.querySelector('h1').innerText.includes('All is well')")
    assert page.eval("window.same") == 1


def test_buttons_after_a_restart(admin, apple, tab):
    """A page that stays open gets the new process's token."""
    page = tab()
    page.expected = ["Failed to load resource"]
    page.open(address(admin))
    old = page.eval("document.querySelector('[name=key]').value")
    admin.restart()
    page.wait("document.querySelector('[name=key]').value != '%s'" % old)
    page.wait_load(lambda: page.click("button[value=push]"), "the answer")
    assert "Test push to alice" in page.text("[role=alert]")


def test_rests_while_hidden(admin, tab):
    """Nobody looks: nothing is asked."""
    page = tab()
    page.open(address(admin))
    page.wait(FOLLOWED)
    page.eval("Object.defineProperty(document, 'hidden', {value: true, "
              "configurable: true});"
              "document.dispatchEvent(new Event('visibilitychange'))")
    before = len(page.requests)
    page.pass_time(60)
    assert len(page.requests) == before
    page.eval("Object.defineProperty(document, 'hidden', {value: false})")
    page.eval("document.dispatchEvent(new Event('visibilitychange'))")
    page.wait("performance.getEntries().filter("
              "e => e.name.endsWith('/status')).length > 1")


@contextlib.contextmanager
def tunnel(path):
    """A port that leads to a Unix socket, as ssh -L makes it."""
    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            with socket.socket(socket.AF_UNIX) as there:
                there.connect(path)
                pairs = {self.request: there, there: self.request}
                while True:
                    for s in select.select(list(pairs), [], [])[0]:
                        data = s.recv(65536)
                        if not data:
                            return
                        pairs[s].sendall(data)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads, block_on_close = True, False

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@as_root
def test_by_ssh(start_xapsd, apple, tab):
    """No port, no password: as root over the Unix socket."""
    x = start_xapsd()
    x.register("alice", ACCOUNT, TOKEN)
    apple.wait_connected()
    page = tab()
    with tunnel(x.socket_path) as port:
        page.open("http://localhost:%d/" % port)
        page.wait("document.querySelectorAll('#plots svg').length == 2")
        page.wait_load(lambda: page.click("button[value=push]"), "the push")
        assert "Apple took it" in page.text("[role=alert]")


def test_plots(admin, apple, tab):
    """Drawn from /status, and drawn again; a push that is now is in the last
    quarter of an hour.  Without numbers (an xapsd without visits) none."""
    page = tab()
    page.open(address(admin))
    page.wait("document.querySelectorAll('#plots svg').length == 2")
    assert ("image", "0 pushes in the last 24 hours, at most 0 in a quarter "
            "of an hour, 0 brought nobody") in page.tree()
    admin.notify("alice")
    admin.wait_until(lambda: admin.status()["delivered"], "Apple's answer")
    admin.request("POST", "/seen", {"Username": "alice"})
    page.wait("document.querySelectorAll('#pushes .p').length == 1 && "
              "document.querySelectorAll('#wakeups .p').length == 1")
    right = page.eval("document.querySelector('#pushes .p')"
                      ".getBoundingClientRect().right / document.querySelector"
                      "('#pushes svg').getBoundingClientRect().right")
    assert right > .95
    tree = page.tree()
    assert [name for role, name in tree if "1 push in the last 24 hours" in
            name and role in ("image", "img")], tree
    # the numbers in the picture are no words of a screen reader
    assert not [name for _role, name in tree if name.endswith(": 0 pushes")]


EXTREMES = """
const real = fetch;
fetch = async (...args) => {
    const reply = await real(...args);
    if (!args[0].endsWith('/status')) return reply;
    const st = await reply.json(), day = st.day;
    day.end += QUARTERS * 900 - day.end % 43200;
    [day.pushes[0], day.pushes[50], day.pushes[95]] = [1, 1234567, 100000];
    [day.wakeups[0], day.wakeups[50], day.wakeups[95]] = [.1, 600, 599.9];
    [day.missed[1], day.missed[50]] = [3, 1234567];
    return new Response(JSON.stringify(st));
};"""


def open_at(page, admin, quarters):
    """With extremes, so long after noon or midnight, where an hour is printed:
    the first is as far to the left, the last as far to the right as can be."""
    page.call("Page.addScriptToEvaluateOnNewDocument",
              source=EXTREMES.replace("QUARTERS", str(quarters)))
    page.open(address(admin))


@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("quarters", [0, 3, 4, 5])
def test_plots_of_extremes(admin, tab, width, quarters):
    """Whatever the figures, nothing is cut off."""
    page = tab(width=width)
    open_at(page, admin, quarters)
    page.wait("!!document.querySelector('#wakeups circle')")
    assert page.eval("document.querySelectorAll('#wakeups circle').length") == 3
    outside = page.eval("""
        [...document.querySelectorAll('svg :not(g, title)')].filter(e => {
            const r = e.getBoundingClientRect(),
                  s = e.closest('svg').getBoundingClientRect();
            return r.left < s.left - .5 || r.right > s.right + .5 ||
                   r.top < s.top - .5 || r.bottom > s.bottom + .5;
        }).map(e => e.outerHTML)""")
    assert outside == []


@pytest.mark.parametrize("width", [320, 360, 390, 768, 1280])
@pytest.mark.parametrize("quarters", [0, 4])
def test_hours_are_legible(admin, tab, width, quarters):
    """In the languages with the longest ones, too: 06:00 PM."""
    page = tab(width=width)
    open_at(page, admin, quarters)
    page.wait("!!document.querySelector('#wakeups svg')")
    ends = page.eval("[...document.querySelectorAll("
                     "'#pushes text[text-anchor=middle]')].map(e => {"
                     "const r = e.getBoundingClientRect();"
                     "return [r.left, r.right] })")
    assert len(ends) >= 2
    for (_left, right), (left, _right) in zip(ends, ends[1:]):
        assert right + 2 < left, ends


@pytest.mark.parametrize("js", [True, False], ids=["js", "nojs"])
def test_buttons(admin, apple, tab, js):
    """As a person uses them: a test push, a search, and forgetting, which
    takes two clicks."""
    page = tab(js=js, width=360)
    page.open(address(admin))
    page.wait_load(lambda: page.click("button[value=push]"), "the push")
    assert "Device %s: Apple took it" % TOKEN[:8] in page.text("[role=alert]")
    assert apple.pushes[0].token == TOKEN
    page.wait_load(lambda: page.click("[role=search] button"), "the search")
    assert "user=alice" in page.eval("location.search")
    assert page.eval("getComputedStyle(document.querySelector("
                     "'button[value=forget]')).visibility") != "x"
    page.click("details.f summary")
    page.wait_load(lambda: page.click("button[value=forget]"), "forgetting")
    assert "Forgotten" in page.text("[role=alert]")
    assert admin.records()[-1]["gone"] is True


def test_keyboard(admin, apple, tab):
    """Every control is reached by Tab, in order, and works by Enter."""
    page = tab()
    page.open(address(admin))
    names = []
    for _ in range(6):
        page.key("Tab", 9)
        names.append(page.eval(
            "document.activeElement.getAttribute('aria-label') || "
            "document.activeElement.innerText || "
            "document.activeElement.name"))
        assert page.eval("getComputedStyle(document.activeElement)"
                         ".outlineStyle") != "none"
        if names[-1] == "Test push to alice":
            page.wait_load(lambda: page.key("Enter", 13, "\r"), "the push")
            break
    assert names == ["user", "Find", "Test push to alice"]
    assert "Apple took it" in page.text("[role=alert]")


@pytest.mark.parametrize("width", [360, 1280])
def test_screen_reader(admin, tab, width):
    admin.register("bob", ACCOUNT, OTHER)
    page = tab(width=width)
    page.open(address(admin))
    tree = page.tree()
    roles = [role for role, _name in tree]
    for item in (("main", ""), ("heading", "All is well: new mail wakes the "
                                           "phones"),
                 ("region", "Users and devices"), ("searchbox", "User"),
                 ("search", ""), ("status", ""), ("columnheader", "Came"),
                 ("columnheader", "Device"),
                 ("button", "Test push to bob"), ("DisclosureTriangle",
                  "Forget device %s of alice" % TOKEN[:8])):
        assert item in tree, item
    assert roles.count("rowheader") == 2 and "contentinfo" in roles
    assert roles.count("row") >= 3
    assert not [name for role, name in tree if role == "button" and not name]
    ids = page.eval("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    assert page.eval("document.documentElement.lang") == "en"


def test_wrong_password(admin, tab):
    page = tab()
    page.expected = ["401"]
    page.open("http://admin:wrong@127.0.0.1:%d/" % admin.port)
    assert "wrong or missing user and password" in page.text()
    assert "alice" not in page.text()


def test_evil_names(start_xapsd, apple, tab):
    """In the page, in what the script exchanges, and in Apple's answer."""
    x = start_xapsd(tcp=True, **ADMIN)
    for i, evil in enumerate(EVIL):
        x.register(evil, evil.encode("ascii", "ignore").decode(), token(i),
                   [evil, "INBOX"])
    apple.script(None, lambda push: Answer(400, EVIL[1][:60]))
    page = tab()
    page.open(address(x))
    for evil in EVIL:
        assert evil in page.eval("document.body.textContent")
    page.wait(FOLLOWED)
    page.wait_load(lambda: page.click("button[value=push]"), "the push")
    assert "Apple answered 400" in page.text("[role=alert]")
    assert page.eval("typeof window.evil") == "undefined"
    assert page.eval("document.scripts.length") == 1
    assert page.eval("document.images.length") == 0


@contextlib.contextmanager
def evil_site(text):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield "http://localhost:%d/" % server.server_address[1]
        server.shutdown()


def test_other_sites_page(admin, apple, tab):
    """In a browser that is logged in: a form with everything right but where
    it comes from, a frame, and a script that wants to read."""
    target = address(admin, False)
    key = key_of(admin)
    page = tab()
    page.expected = ["403", "frame-ancestors", "CORS", "Failed to load",
                     "Failed to fetch", "Refused to"]
    page.open(address(admin))
    assert "alice" in page.text()
    evil = """<form method=post action="%s"><input name=key value="%s">
        <input name=do value=forget><input name=user value=alice>
        <input name=account value="%s"><input name=token value="%s">
        <button>x</button></form><iframe src="%s"></iframe><script>
        window.got = 'nothing';
        fetch('%s', {credentials: 'include'}).then(r => r.text())
            .then(t => window.got = t, () => window.got = 'refused')
        </script>""" % (target, key, ACCOUNT, TOKEN, target, target)
    with evil_site(evil) as site:
        page.open(site)
        page.wait("window.got == 'refused'")
        page.wait_load(lambda: page.click("button"), "the form")
        assert "web pages of other sites may not ask" in page.text()
    assert len(admin.records()) == 1 and not apple.pushes
    # a link may lead here from anywhere
    with evil_site('<a href="%s">x</a>' % target) as site:
        page.open(site)
        page.wait_load(lambda: page.click("a"), "the link")
        assert "alice" in page.text()


# --- the asset ---

def test_asset_is_current_and_small():
    """As `make lint` checks; 8 KB in the executable."""
    import subprocess
    made = subprocess.run(["/usr/bin/python3", ROOT / "page/make-page.py"],
                          capture_output=True, check=True).stdout
    assert made == (ROOT / "api/page_asset.h").read_bytes()
    assert int(re.search(rb": (\d+) bytes", made)[1]) <= 8192
