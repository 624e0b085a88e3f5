"""Hooks: what they send, to a strict server and to real programs, and what becomes
of it when those answer otherwise, late or never."""

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
import urllib.parse

import pytest

from hookserver import CUT, HANG, Answer, HookServer
from phones import ACCOUNT, TOKEN
from ports import free_port
from proxies import Tinyproxy
from pushservice import Answer as PushAnswer, PushService
from xapsd import ROOT, TIMEOUT_S, Xapsd, executable

pytestmark = pytest.mark.skipif(
    "hooks" not in subprocess.run(
        [executable(), "--version"], capture_output=True, text=True).stdout,
    reason="this xapsd was built without hooks")

HOSTILE = [
    'a"b\\c', "{user}{mailbox}", "%41&x=y#z?q", "<script>'\"", "a b+c;d,e",
    "Entwürfe €uro 😀", "\u2028\u2029", "..", "../../etc/passwd", '"}]}',
    "\\", "'; DROP TABLE x", "null", "$(id)`id`", "{", "}", "%", "%00", "=?utf-8?q?=22?=",
]


def put(path, text):
    """As an editor does: aside, then renamed."""
    aside = path.with_name("." + path.name)
    aside.write_text(text)
    aside.chmod(0o600)
    os.rename(aside, path)


class Hooks:
    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()

    def file(self, name):
        return self.folder / (name + ".yaml")

    def write(self, name, headers=None, **keys):
        lines = ["%s: '%s'" % (k, str(v).replace("'", "''"))
                 for k, v in keys.items()]
        if headers:
            lines.append("headers:")
            lines += ["  %s: '%s'" % pair for pair in headers.items()]
        put(self.file(name), "\n".join(lines) + "\n")


@pytest.fixture
def hooks(workdir):
    return Hooks(workdir / "hooks")


@pytest.fixture
def server():
    with HookServer() as server:
        yield server


@pytest.fixture
def start(start_xapsd, hooks):
    def start(**config):
        config.setdefault("hooksDir", hooks.folder)
        xapsd = start_xapsd(**config)
        if xapsd.wait:  # its socket is open before the files are read
            xapsd.wait_log(" started: ")
        return xapsd
    return start


def notify(xapsd, user="alice", mailbox="INBOX", events=("MessageNew",), **more):
    reply = xapsd.request("POST", "/notify", {
        "Username": user, "Mailbox": mailbox, "Events": list(events), **more})
    assert reply.status == 200, reply


def figures(xapsd):
    return next((k for k in xapsd.status().get("kinds", ())
                 if k["kind"] == "hook"), {"queue": 0})


def waiting(xapsd):
    return figures(xapsd)["queue"]


def idle(xapsd, timeout=TIMEOUT_S):
    """Nothing waits any more."""
    xapsd.wait_until(lambda: waiting(xapsd) == 0, "empty queue", timeout)


def reload(xapsd):
    start = xapsd.log_size()
    xapsd.process.send_signal(signal.SIGHUP)
    xapsd.wait_log("reload: the configuration was read again", start=start)


# --- what is sent ---

def test_json(start, hooks, server):
    """All of it, to a user who has no phone."""
    hooks.write("own", url=server.url("/mail"))
    xapsd = start()
    notify(xapsd, "alice@example.org", "Lists/ä", Unseen=7)
    request, = server.wait()
    assert (request.method, request.target) == ("POST", "/mail")
    assert request["content-type"] == "application/json"
    assert request["host"] == "localhost:%d" % server.port
    assert request["user-agent"] == "xapsd"
    assert request.json() == {"user": "alice@example.org",
                              "mailbox": "Lists/ä", "event": "new",
                              "unseen": 7}
    notify(xapsd)
    assert server.wait(2)[1].json()["unseen"] is None
    idle(xapsd)


@pytest.mark.parametrize("content", ["json", "url", "text"])
def test_hostile_names(start, hooks, server, content):
    """Each arrives as it is, read by a parser that is not ours."""
    body = {
        "json": '{"u":{user},"m":"{mailbox}","both":"{user}/{mailbox}"}',
        "url": "u={user}&m={mailbox}&both={user}/{mailbox}",
        "text": "{user}\t{mailbox}",
    }[content]
    hooks.write("own", {"X-Box": "{mailbox}"}, content=content, body=body,
                url=server.url("/{user}/x?m={mailbox}&e={event}"))
    xapsd = start()
    for i, name in enumerate(HOSTILE):
        notify(xapsd, name, name[::-1])
        request = server.wait(i + 1)[i]
        user, mailbox = name, name[::-1]
        if content == "json":
            assert request.json() == {"u": user, "m": mailbox,
                                      "both": user + "/" + mailbox}
        elif content == "url":
            assert request.form() == {"u": user, "m": mailbox,
                                      "both": user + "/" + mailbox}
        else:
            assert request.body.decode() == user + "\t" + mailbox
        assert request.query() == {"m": mailbox, "e": "new"}
        assert urllib.parse.unquote(request.path()) == "/%s/x" % user
        assert request["x-box"] == mailbox.strip(" ")
    idle(xapsd)


def test_longest_names(start, hooks, server):
    hooks.write("own", url=server.url("/?m={mailbox}"))
    xapsd = start()
    notify(xapsd, "u" * 255, "ü" * 512)
    request, = server.wait()
    assert request.query()["m"] == request.json()["mailbox"] == "ü" * 512
    assert request.json()["user"] == "u" * 255
    notify(xapsd, "u" * 255, "ü" * 2048)        # Dovecot's longest: is cut
    assert server.wait(2)[1].json()["mailbox"] == "ü" * 512


PRESETS = {
    "ntfy": ("/topic", "POST", "/topic"),
    "gotify": ("/", "POST", "/message"),
    "homeassistant": ("", "POST", "/api/services/notify/notify"),
    "matrix": ("/!room:example.org", "PUT",
               "/_matrix/client/v3/rooms/!room:example.org/send/"
               r"m.room.message/[0-9a-f]{16}"),
}


@pytest.mark.parametrize("preset", PRESETS)
def test_preset(start, hooks, server, preset):
    path, method, target = PRESETS[preset]
    hooks.write("own", preset=preset, url=server.url(path), token="t0k_en")
    xapsd = start()
    notify(xapsd, "alice", 'a "b" \\ ü', Unseen=2)
    request, = server.wait()
    assert request.method == method
    assert re.fullmatch(target, request.target)
    if preset == "gotify":
        assert request["x-gotify-key"] == "t0k_en"
    else:
        assert request["authorization"] == "Bearer t0k_en"
    if preset == "ntfy":
        assert request["title"] == "New mail"
        assert request.body.decode() == 'alice: a "b" \\ ü'
        return
    assert request["content-type"] == "application/json"
    said = request.json()
    assert 'alice' in json.dumps(said) and said == {
        "gotify": {"title": "New mail", "priority": 5,
                   "message": 'alice: a "b" \\ ü'},
        "homeassistant": {"title": "New mail",
                          "message": 'alice: a "b" \\ ü',
                          "data": {"user": "alice", "event": "new",
                                   "mailbox": 'a "b" \\ ü', "unseen": 2}},
        "matrix": {"msgtype": "m.text",
                   "body": 'New mail: alice, a "b" \\ ü'},
    }[preset]


def test_whom_and_what(start, hooks, server):
    """users, events and delay; every hook that matches is called."""
    hooks.write("all", url=server.url("/all"))
    hooks.write("org", url=server.url("/org"), users="*@example.org bob",
                events="FlagsSet new", delay="0")
    hooks.write("late", url=server.url("/late"), users="bob", delay="1h",
                events="all")
    xapsd = start()
    notify(xapsd, "a@EXAMPLE.org")
    assert {r.target for r in server.wait(2)} == {"/all", "/org"}
    notify(xapsd, "bob", events=["FlagsSet"])
    assert server.wait(3)[2].json() == {
        "user": "bob", "mailbox": "INBOX", "event": "FlagsSet",
        "unseen": None}
    assert server.wait(3)[2].target == "/org"
    notify(xapsd, "bob")        # takes what is late along
    assert {r.target for r in server.wait(6)[3:]} == {"/all", "/org", "/late"}
    reply = xapsd.request("POST", "/notify", {
        "Username": "carol", "Mailbox": "INBOX", "Events": ["FlagsSet"]})
    assert reply.status == 404      # nobody is told of that
    idle(xapsd)
    assert server.count() == 6


def test_merged(start, hooks, server):
    """What comes while a request is under way is one more request."""
    hooks.write("own", url=server.url())
    xapsd = start(pushTimeout="10m")
    gate = threading.Event()

    def slow(request):
        gate.wait()
        return Answer()

    server.plan(slow)
    notify(xapsd)
    server.wait()
    for n in range(5):
        notify(xapsd, Unseen=n)
    notify(xapsd, mailbox="Lists")
    gate.set()
    requests = server.wait(3)
    idle(xapsd)
    assert server.count() == 3
    assert {(r.json()["mailbox"], r.json()["unseen"])
            for r in requests[1:]} == {("INBOX", 4), ("Lists", None)}


def test_phones_too(xapsd, start, hooks, server, apple):
    """A user's phone and hook are independent."""
    hooks.write("own", url=server.url())
    xapsd.stop()
    xapsd.config["hooksDir"] = hooks.folder
    xapsd.start()
    xapsd.register("alice", ACCOUNT, TOKEN)
    server.plan(HANG)
    notify(xapsd)
    assert apple.wait_for(1)[0].token == TOKEN
    server.wait()


def test_hooks_alone(start, hooks, server):
    """Without credentials for Apple."""
    hooks.write("own", url=server.url())
    xapsd = start(identity={})
    notify(xapsd)
    assert server.wait()[0].json()["user"] == "alice"
    idle(xapsd)
    done = xapsd.run("check")
    assert done.returncode == 0, done
    assert "no credentials" in done.stderr


# --- answers ---

def test_redirects_are_not_followed(start, hooks, server):
    with HookServer() as other:
        hooks.write("own", url=server.url())
        xapsd = start()
        for status in (301, 302, 303, 307, 308):
            server.plan(Answer(status, {"Location": other.url("/stolen")}))
            notify(xapsd)
            idle(xapsd)
        assert server.count() == 5 and other.count() == 0
    xapsd.wait_log(r"own: .*301.*redirects are not followed")


@pytest.mark.parametrize("body", [
    b"x" * 65536, b"x" * 65537, b"x" * 3_000_000],
    ids=["64K", "more", "3M"])
def test_large_answers(start, hooks, server, body):
    """What is beyond 64 KB is not waited for."""
    hooks.write("own", url=server.url())
    xapsd = start()
    server.plan(Answer(200, body=body))
    notify(xapsd)
    server.wait()
    idle(xapsd)
    notify(xapsd)
    server.wait(2)
    idle(xapsd)
    assert server.count() == 2


def test_endless_answer(start, hooks, server):
    """Its head is an answer; the next request is on another connection."""
    hooks.write("own", url=server.url())
    # for the head to come in time, also from a busy machine
    xapsd = start(pushTimeout="10s")
    server.plan(Answer(200, body=[b"drop"] * 10000))
    notify(xapsd)
    idle(xapsd, 60)
    notify(xapsd)
    requests = server.wait(2)
    assert requests[0].connection != requests[1].connection
    idle(xapsd)
    assert server.count() == 2


@pytest.mark.parametrize("status", [404, 410])
def test_suspended(start, hooks, server, status):
    """One error, then silence until a reload."""
    hooks.write("own", url=server.url("/s3cret"))
    hooks.write("other", url=server.url("/other"))
    xapsd = start(loglevel="info")
    server.default = lambda r: Answer(
        200 if r.target == "/other" else status)
    for n in range(5):
        notify(xapsd, "user%d" % n)
        notify(xapsd, "user%d" % n, "Lists")
    xapsd.wait_until(lambda: [r.target for r in server.wait()].count(
        "/other") == 10, "the other hook")
    xapsd.wait_log("hook own: suspended")
    said = re.findall(r".*hook own.*", xapsd.log())
    assert len(said) == 1 and "SIGHUP" in said[0] and str(status) in said[0]
    before = server.count()
    notify(xapsd, "late")
    xapsd.wait_until(lambda: server.count() > before, "the other hook")
    assert [r.target for r in server.wait()[before:]] == ["/other"]
    server.default = Answer()
    before = server.count()
    reload(xapsd)
    notify(xapsd, "after")
    xapsd.wait_until(lambda: [r for r in server.wait()[before:]
                              if r.target == "/s3cret" and
                              r.json()["user"] == "after"], "own again")
    idle(xapsd)
    assert "s3cret" not in xapsd.log()


def test_suspended_among_others(start, hooks, certs):
    """Of several requests under way one is refused: what the others bring does not
    end the suspension, and those that are refused, too, wait for the reload."""
    with PushService(certs) as there:
        hooks.write("own", url=there.origin() + "/{user}")
        xapsd = start(caFile=certs.ca)
        xapsd.apple.wait_connected()
        notify(xapsd, "first")
        there.wait_for(1)
        there.hold()
        there.script("/gone", PushAnswer(404))
        there.script("/too", PushAnswer(404))
        for user in ("gone", "good", "too"):
            notify(xapsd, user)
        there.wait_for(4)
        there.release()
        xapsd.wait_log("hook own: suspended")
        xapsd.wait_until(lambda: figures(xapsd)["delivered"] == 2, "good")
        assert "accepts our credentials again" not in xapsd.log()
        assert "404" in xapsd.run("push", "late").stdout
        for path, code in (("/healthz", 200), ("/healthz/all", 503)):
            reply = xapsd.request("GET", path)
            assert reply.status == code and re.search(
                "^hook own: suspended, since .* 404", reply.body, re.M), reply
        reload(xapsd)
        assert xapsd.request("GET", "/healthz/all").status == 200
        notify(xapsd, "late")   # once more, if what waited is gone by now
        xapsd.wait_until(lambda: figures(xapsd)["delivered"] >= 4, "the rest")
        idle(xapsd)
        assert {p.path for p in there.pushes[4:]} == {"/too", "/late"}


@pytest.mark.parametrize("status", [401, 403])
def test_credentials_refused(start, hooks, server, status):
    """It waits, and is sent once a token is right."""
    token = hooks.folder / "token"
    put(token, "wrong\n")
    hooks.write("own", url=server.url(), tokenFile="token")
    server.default = lambda r: Answer(
        200 if r["authorization"] == "Bearer right" else status)
    xapsd = start()
    notify(xapsd)
    server.wait()
    xapsd.wait_log(r"hook own: .*refuses our credentials \(%d\)" % status)
    put(token, "right\n")       # is seen without a reload
    requests = server.wait(2)
    assert requests[1]["authorization"] == "Bearer right"
    idle(xapsd)
    assert "wrong" not in xapsd.log() and "right" not in xapsd.log()


@pytest.mark.parametrize("answer", [
    Answer(500), Answer(503), Answer(429), Answer(408), CUT,
    Answer(raw=b"HTTP/1.1 200"), Answer(raw=b"SSH-2.0-x\r\n")],
    ids=["500", "503", "429", "408", "cut", "torn", "ssh"])
def test_tried_again(start, hooks, server, answer):
    """With one id, which a newer event does not have."""
    if answer.raw:
        answer.close = True
    hooks.write("own", preset="matrix", token="t", url=server.url("/!r"))
    xapsd = start()
    server.plan(answer, answer)
    notify(xapsd)
    targets = [r.target for r in server.wait(3)]
    idle(xapsd)
    assert len(set(targets)) == 1 and server.count() == 3
    notify(xapsd)
    assert server.wait(4)[3].target != targets[0]
    idle(xapsd)


def test_retry_after(start, hooks, server):
    hooks.write("own", url=server.url())
    xapsd = start(retryMin="10ms", retryMax="20ms")
    server.plan(Answer(429, {"Retry-After": "1"}),
                Answer(503, {"Retry-After": "1"}))
    notify(xapsd)
    a, b, c = server.wait(3)
    assert b.at - a.at >= 0.9 and c.at - b.at >= 0.9
    idle(xapsd)


def test_other_answers(start, hooks, server):
    """Dropped, with a warning, and the next is sent."""
    hooks.write("own", url=server.url())
    xapsd = start(loglevel="info")
    for n in range(3):
        server.plan(Answer(400))
        notify(xapsd)
        server.wait(n + 1)
        idle(xapsd)
    notify(xapsd)
    server.wait(4)
    idle(xapsd)
    assert len(re.findall("warn .* own: dropped: .* 400",
                          xapsd.log())) == 3
    assert figures(xapsd)["dropped"] == 3


# --- servers that are slow, silent or away ---

def test_one_hangs(start, hooks, server):
    """Ten hooks, of which one never answers: the others do not wait."""
    with HookServer() as silent:
        silent.default = HANG
        hooks.write("0", url=silent.url())
        for n in range(1, 10):
            hooks.write(str(n), url=server.url("/%d" % n))
        xapsd = start(pushTimeout="10m")
        for n in range(20):
            notify(xapsd, "user%d" % n)
        requests = server.wait(180, timeout=60)
        assert len({(r.target, r.json()["user"]) for r in requests}) == 180
        silent.wait()
        assert silent.count() == 1
        xapsd.wait_until(lambda: waiting(xapsd) == 20, "the rest")


def test_no_answer(start, hooks, server):
    hooks.write("own", url=server.url())
    xapsd = start(pushTimeout="500ms")
    server.plan(HANG)
    notify(xapsd)
    requests = server.wait(2)
    assert requests[0].json() == requests[1].json()
    idle(xapsd)


def test_answer_while_it_was_stopped(start, hooks, server):
    """For longer than an answer may take, but here it is."""
    hooks.write("own", url=server.url())
    xapsd = start(pushTimeout="10s")
    gate = threading.Event()
    server.plan(lambda request: gate.wait() and Answer())
    notify(xapsd)
    request, = server.wait()
    with xapsd.stopped():
        gate.set()
        xapsd.wait_until(lambda: server.answered == 1 and
                         time.monotonic() > request.at + 10.1, "its time", 60)
    idle(xapsd)
    assert server.count() == 1


def test_server_comes_later(start, hooks):
    port = free_port()
    hooks.write("own", url="http://127.0.0.1:%d/" % port)
    xapsd = start()
    notify(xapsd)
    xapsd.wait_log("hook own: .*refused")
    with HookServer(port=port) as server:
        server.wait()
        idle(xapsd)


def test_name_gone(start, hooks):
    hooks.write("own", url="http://nowhere.invalid/s3cret")
    xapsd = start()
    notify(xapsd)
    xapsd.wait_log("hook own: .*nowhere.invalid", timeout=60)
    assert waiting(xapsd) == 1
    assert "s3cret" not in xapsd.log()


def test_expires(start, hooks):
    hooks.write("own", url="http://127.0.0.1:%d/" % free_port())
    xapsd = start(pushExpiration="1s")
    notify(xapsd)
    idle(xapsd)


def test_restart_with_a_queue(start, hooks, server):
    """What waits is sent after a restart, with the id that it had."""
    hooks.write("own", preset="matrix", token="t", url=server.url("/!r"))
    hooks.write("gone", url=server.url("/gone"))
    server.default = Answer(503)
    xapsd = start(retryMin="1h", retryMax="2h")     # so each is asked once
    notify(xapsd, "alice", 'a "b" ü', Unseen=3)
    notify(xapsd, "bob")
    server.wait(4)
    before = {r.target: r.body for r in server.wait()}
    server.default = Answer()
    xapsd.stop()
    hooks.file("gone").unlink()
    n = server.count()
    xapsd.start()
    idle(xapsd)
    after = {r.target: r.body for r in server.wait()[n:]}
    assert after == {t: b for t, b in before.items() if "/_matrix" in t}
    assert len(after) == 2
    xapsd.wait_log("gone")


# --- files ---

BAD = [("url: nowhere\n", "url"), ("url: http://h\nurls: x\n", "urls"),
       ("url: http://h\nbody: '{'\n", "body"), ("", "url"),
       ("url: http://h\ntokenFile: none\n", "tokenFile")]


@pytest.mark.parametrize("text, key", BAD)
def test_bad_file_at_start(start, hooks, text, key):
    put(hooks.file("bad"), text)
    xapsd = start(wait=False)
    assert xapsd.process.wait(60) == (1 if key == "tokenFile" else 78)
    xapsd.process = None
    assert re.search(r"bad\.yaml:(\d+:)? %s: " % key, xapsd.log())


@pytest.mark.parametrize("text, key", BAD)
def test_bad_file_later(start, hooks, server, text, key):
    """The old one stays, and no other is touched."""
    hooks.write("own", url=server.url("/own"))
    hooks.write("other", url=server.url("/other"))
    xapsd = start()
    put(hooks.file("own"), text)
    put(hooks.file("fresh"), text)
    xapsd.wait_log(r"hook own: .*own\.yaml.* %s: .*: the old one stays" % key)
    xapsd.wait_log(r"hook fresh: .* %s: .*: not used" % key)
    notify(xapsd)
    assert {r.target for r in server.wait(2)} == {"/own", "/other"}
    hooks.write("own", url=server.url("/new"))
    hooks.write("fresh", url=server.url("/fresh"))
    xapsd.wait_until(lambda: changed(xapsd, server, "/new", "/fresh"),
                     "both mended")


def changed(xapsd, server, *targets):
    """Whether exactly these are called now, besides /other."""
    idle(xapsd)
    before = server.count()
    reply = xapsd.request("POST", "/notify", {
        "Username": "alice", "Mailbox": "INBOX", "Events": ["MessageNew"]})
    idle(xapsd)
    return reply.status in (200, 404) and {
        r.target for r in server.requests[before:]} - {"/other"} == set(
            targets)


def test_files_come_and_go(start, hooks, server):
    xapsd = start()
    assert xapsd.notify("alice").status == 404
    hooks.write("a", url=server.url("/a"))
    xapsd.wait_until(lambda: changed(xapsd, server, "/a"), "a new hook")
    hooks.write("a", url=server.url("/b"))
    xapsd.wait_until(lambda: changed(xapsd, server, "/b"), "its change")
    hooks.file("a").unlink()
    xapsd.wait_until(lambda: changed(xapsd, server), "its end")
    hooks.write("a", url=server.url("/c"))
    xapsd.wait_until(lambda: changed(xapsd, server, "/c"), "its return")


def test_gone_while_it_waits(start, hooks, server):
    """Its pushes end with it; one under way ends where it was sent."""
    hooks.write("own", url=server.url())
    xapsd = start(retryMin="1h", retryMax="1h", pushTimeout="10m")
    server.plan(Answer(503), HANG)
    notify(xapsd, "alice")
    server.wait()
    notify(xapsd, "bob")
    server.wait(2)
    notify(xapsd, "bob", "Lists")
    hooks.file("own").unlink()
    xapsd.wait_until(lambda: waiting(xapsd) == 1, "the one under way")
    hooks.write("own", url=server.url("/again"))
    xapsd.wait_until(lambda: xapsd.notify("carol").status == 200,
                     "the hook's return")
    assert server.wait(3)[2].target == "/again"


def test_without_trust(start, hooks, server, workdir):
    """A new address that cannot be called: its secrets do not go to the old one."""
    hooks.write("own", url=server.url("/old"))
    xapsd = start(caFile=workdir / "none")
    notify(xapsd)
    server.wait(1)
    idle(xapsd)
    hooks.write("own", url="https://localhost:%d/new" % free_port(),
                token="s3cret")
    xapsd.wait_log("error .*hook own: .*caFile.*: it is not called")
    assert xapsd.notify("bob").status == 404
    hooks.write("own", url=server.url("/again"))
    xapsd.wait_until(lambda: xapsd.notify("carol").status == 200, "reload")
    assert [r.target for r in server.wait(2)] == ["/old", "/again"]
    idle(xapsd)


def test_folder_missing(start, hooks):
    xapsd = start(hooksDir="nowhere", wait=False)
    assert xapsd.process.wait(60) == 1
    xapsd.process = None
    assert "hooksDir: " in xapsd.log() and "make this folder" in xapsd.log()


def test_bad_name(start, hooks, server):
    hooks.write("a b", url=server.url())
    xapsd = start(wait=False)
    assert xapsd.process.wait(60) != 0
    xapsd.process = None
    assert "a b.yaml: the name of a hook" in xapsd.log()


# --- secrets ---

def test_secrets(start, hooks, server):
    """Neither in the log nor in what any command says, whatever happens."""
    hooks.write("own", {"X-Key": "s3cret-header"}, token="s3cret-token",
                url=server.url("/s3cret-path?k=s3cret-query"),
                body='{"k": "s3cret-body"}')
    xapsd = start()
    for answer in (Answer(), Answer(500), CUT, Answer(302), Answer(400),
                   Answer(401), Answer(404)):
        server.plan(answer)
        before = server.count()
        reload(xapsd)
        # What was held until now may have ended in a suspension already.
        assert xapsd.notify("alice").status in (200, 404)
        server.wait(before + 1)
    assert server.requests[0]["x-key"] == "s3cret-header"
    xapsd.process.send_signal(signal.SIGUSR1)
    put(hooks.file("own"), hooks.file("own").read_text() +
        "users: a,b s3cret\nbogus: s3cret\n")
    xapsd.wait_log("the old one stays")
    said = xapsd.log()
    for command in (["status"], ["status", "--json"], ["list"],
                    ["list", "--json"], ["push", "alice"], ["check"]):
        done = xapsd.run(*command)
        said += done.stdout + done.stderr
    for path in ("/status", "/metrics", "/healthz"):
        said += xapsd.request("GET", path).body
    assert "s3cret" not in said


# --- check and push ---

def test_check(start, hooks, server, xapsd):
    hooks.write("good", url=server.url("/x"))
    xapsd.config["hooksDir"] = hooks.folder
    done = xapsd.run("check")
    assert re.search(r"^hook good +ok +localhost .*not called", done.stdout,
                     re.M)
    assert done.returncode == 0 and server.count() == 0
    hooks.write("away", url="http://127.0.0.1:%d/" % free_port())
    hooks.write("bad", url="ftp://x")
    done = xapsd.run("check")
    assert done.returncode == 1
    assert re.search(r"^hook away +FAILED +.*refused", done.stdout, re.M)
    assert re.search(r"^hook bad +FAILED +.*bad.yaml:1: url: ", done.stdout,
                     re.M)
    assert re.search(r"^hook good +ok", done.stdout, re.M)
    hooks.file("bad").unlink()
    done = xapsd.run("check", "--offline")
    assert done.returncode == 0, done.stdout
    hooks.file("good").chmod(0o644)
    assert "good.yaml may be read by everybody" in xapsd.run("check").stderr


def test_push(start, hooks, server):
    """Calls those of the user, and says what they answered."""
    hooks.write("good", url=server.url("/good"))
    hooks.write("bad", url=server.url("/bad"), users="al*")
    hooks.write("others", url=server.url("/others"), users="bob")
    server.default = lambda r: Answer(200 if r.target == "/good" else 404)
    xapsd = start()
    done = xapsd.run("push", "alice", "Lists")
    assert done.returncode == 1
    assert re.search(r"^hook +good +.*took it", done.stdout, re.M)
    assert re.search(r"^hook +bad +.*404", done.stdout, re.M)
    assert "others" not in done.stdout
    assert {(r.target, r.json()["mailbox"]) for r in server.wait(2)} == {
        ("/good", "Lists"), ("/bad", "Lists")}
    done = xapsd.run("push", "alice")
    assert re.search(r"^hook +bad +.*suspended", done.stdout, re.M)


# --- and their kin ---

@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_methods(start, hooks, server, method):
    hooks.write("own", method=method, url=server.url("/?u={user}&id={id}"))
    xapsd = start()
    notify(xapsd)
    request, = server.wait()
    assert request.method == method
    assert request.query()["u"] == "alice"
    assert re.fullmatch("[0-9a-f]{16}", request.query()["id"])
    assert bool(request.body) == (method != "GET")
    assert bool(request["content-type"]) == (method != "GET")
    idle(xapsd)


def test_another_folder(start, hooks, server, workdir):
    """hooksDir itself changes with a reload, and may go."""
    hooks.write("a", url=server.url("/a"))
    xapsd = start()
    other = Hooks(workdir / "other")
    other.write("b", url=server.url("/b"))
    xapsd.config["hooksDir"] = other.folder
    xapsd.write_config()
    reload(xapsd)
    xapsd.wait_until(lambda: changed(xapsd, server, "/b"), "the other folder")
    xapsd.config["hooksDir"] = workdir / "none"
    xapsd.write_config()
    reload(xapsd)
    xapsd.wait_log("hooksDir: .*none.*: the old hooks stay")
    assert changed(xapsd, server, "/b")
    xapsd.config["hooksDir"] = None
    xapsd.write_config()
    reload(xapsd)
    assert xapsd.notify("alice").status == 404


def test_too_many(start, hooks, server):
    for n in range(65):
        hooks.write(str(n), url=server.url("/%d" % n))
    xapsd = start(wait=False)
    assert xapsd.process.wait(60) != 0
    xapsd.process = None
    assert "more than 64 hooks" in xapsd.log()
    hooks.file("64").unlink()
    xapsd = start()
    notify(xapsd)
    # One that is not answered within 5 s makes room for others and comes again.
    xapsd.wait_until(
        lambda: len({r.target for r in server.wait()}) == 64, "all", 60)


def test_what_else_is_there(start, hooks, server):
    """A folder, a pipe, editors' files."""
    hooks.write("own", url=server.url("/own"))
    (hooks.folder / ".own.yaml.swp").write_text("x")
    (hooks.folder / "own.yaml~").write_text("x")
    (hooks.folder / "notes.txt").write_text("x")
    xapsd = start()
    notify(xapsd)
    server.wait()
    os.mkfifo(hooks.file("pipe"))
    xapsd.wait_log("hook pipe: .*is not a file")
    hooks.file("folder").mkdir()
    xapsd.wait_log("hook folder: .*is not a file")
    notify(xapsd)
    assert server.wait(2)[1].target == "/own"


@pytest.mark.skipif(not shutil.which("tinyproxy"), reason="no tinyproxy")
def test_proxy(start, hooks, server, workdir):
    """apnsProxy is the way out for hooks, too."""
    hooks.write("own", url=server.url("/own"))
    with Tinyproxy(workdir) as proxy:
        xapsd = start(apnsProxy=proxy.url())
        notify(xapsd)
        server.wait()
        idle(xapsd)
        xapsd.wait_until(
            lambda: "CONNECT localhost:%d " % server.port in
            proxy.log.read_text(errors="replace"), "its log")


def test_wakes_nobody(start, hooks, server):
    """Hooks with nothing to do cost no wake-up."""
    hooks.write("own", url=server.url())
    xapsd = start()
    notify(xapsd)
    server.wait()
    idle(xapsd)
    xapsd.wait_asleep(2)


def examples():
    """The files in the papers: blocks that begin with their name, and the man
    page's."""
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for block in re.findall(r"^```yaml\n(# hooks/.*?)^```$",
                                path.read_text(), re.M | re.S):
            yield block
    section = re.search(r"^\.Ss Hooks.*?(?=^\.Ss )",
                        (ROOT / "xapsd.8").read_text(), re.M | re.S)[0]
    yield from re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed$", section,
                          re.M | re.S)


@pytest.mark.parametrize("text", examples())
def test_examples(hooks, workdir, certs, text):
    """As they are printed."""
    put(hooks.file("example"), text)
    for name in re.findall("^tokenFile: (.*)$", text, re.M):
        put(hooks.folder / name, "t0k\n")
    xapsd = Xapsd(workdir, certs, hooksDir=hooks.folder)
    done = xapsd.run("check", "--offline")
    assert re.search("^hook example +ok ", done.stdout, re.M), done.stdout
