"""How registrations that are not Apple's are shown: status, /metrics, the page,
doctor, and what the visit of an Android phone says of them."""

import json
import re
import time

import pytest

from phones import ACCOUNT, TOKEN
from pushservice import Answer, PushService
from test_kinds import AUTH, P256DH, app, post, register

HOST = "192.0.2.7"


@pytest.fixture
def service(certs):
    with PushService(certs) as it:
        yield it


@pytest.fixture
def daemon(start_xapsd, certs):
    return start_xapsd(pushAllow="localhost " + HOST, caFile=certs.ca,
                       deltachatUrl="https://%s/notify" % HOST)


def subscribe(daemon, service, user="alice", **more):
    it = service.subscribe(vapid=daemon.request("GET", "/vapid").body)
    register(daemon, {"Kind": "webpush", "Username": user, **it.fields,
                      **more})
    return it


def kinds(daemon):
    return {k["kind"]: k for k in daemon.status().get("kinds", [])}


def metrics(daemon, name):
    return dict((kind, int(n)) for kind, n in re.findall(
        r'^xapsd_kind_%s\{kind="(\w+)"\} (\d+)$' % name,
        daemon.request("GET", "/metrics").body, re.M))


def doctor(daemon, user="alice"):
    """Exit status, and result and text of each step, by its name."""
    done = daemon.run("doctor", "--json", user)
    said = {}
    for s in json.loads(done.stdout)["steps"]:
        said.setdefault(s["step"], []).append((s["result"], s["text"]))
    return done.returncode, said


# --- figures ---

def test_nothing_of_it_without_them(xapsd):
    xapsd.register("alice", ACCOUNT, TOKEN)
    assert "kinds" not in xapsd.status()
    assert "xapsd_kind_" not in xapsd.request("GET", "/metrics").body
    assert "Kind" not in xapsd.run("status").stdout


def test_registrations(daemon):
    register(daemon, app("a"))
    register(daemon, app("b", user="bob"))
    register(daemon, {"Kind": "deltachat", "Username": "alice", "Token": "x:APA91"})
    daemon.register("alice", ACCOUNT, TOKEN)
    assert {k: v["registrations"] for k, v in kinds(daemon).items()} == {
        "webpush": 2, "deltachat": 1}
    assert daemon.status()["registrations"] == 4
    assert metrics(daemon, "registrations") == {"webpush": 2, "deltachat": 1}
    text = daemon.run("status").stdout
    assert re.search(r"^Kind +webpush: 2 registrations, 0 delivered since "
                     r"start, 0 waiting$", text, re.M)
    assert re.search(r"^Kind +deltachat: 1 registration, ", text, re.M)
    post(daemon, "/unregister", {"Username": "alice", "Kind": "deltachat",
                                 "Token": "x:APA91"})
    assert set(kinds(daemon)) == {"webpush"}
    daemon.restart()
    assert metrics(daemon, "registrations") == {"webpush": 2}


def test_metrics_are_well_formed(daemon):
    """Each name once with its HELP and TYPE, before its values."""
    register(daemon, app("a"))
    register(daemon, {"Kind": "deltachat", "Username": "alice", "Token": "x:APA91"})
    body = daemon.request("GET", "/metrics").body
    names = re.findall(r"^# TYPE xapsd_kind_(\w+) (?:gauge|counter)$", body,
                       re.M)
    assert len(names) == len(set(names)) == 10
    for name in names:
        assert re.search(
            r"^# HELP xapsd_kind_%s .+\n# TYPE .+\nxapsd_kind_%s\{kind="
            r'"webpush"\} \d+\nxapsd_kind_%s\{kind="deltachat"\} \d+$' % (
                name, name, name), body, re.M)
        assert name.endswith("_total") == ("xapsd_kind_%s counter" % name in
                                           body)


def test_delivered(daemon, service):
    it = subscribe(daemon, service)
    # what time(2) reads, which is a little behind (CLOCK_REALTIME_COARSE)
    begin = int(time.clock_gettime(5))
    assert daemon.notify("alice").status == 200
    service.wait_for(1, app=it)
    daemon.wait_until(
        lambda: kinds(daemon)["webpush"]["delivered"] == 1, "delivered")
    k = kinds(daemon)["webpush"]
    assert begin <= k["lastSuccess"] <= time.time()
    assert (k["queue"], k["inFlight"]) == (0, 0)
    assert metrics(daemon, "pushes_delivered_total") == {"webpush": 1}
    assert daemon.status()["delivered"] == 0    # Apple's
    assert "1 delivered since start, 0 waiting, the last taken" in re.sub(
        r"\s+", " ", daemon.run("status").stdout)
    service.script(it, Answer(410))
    daemon.notify("alice")
    daemon.wait_until(
        lambda: kinds(daemon)["webpush"]["forgotten"] == 1, "removal")
    assert kinds(daemon)["webpush"]["registrations"] == 0
    # what is counted stays, though nothing is registered any more
    assert metrics(daemon, "pushes_delivered_total") == {"webpush": 1}


def test_page(daemon, service):
    subscribe(daemon, service)
    page = daemon.request("GET", "/").body
    assert re.search(r'data-h="?Device"?>[0-9a-f]{8} webpush', page)
    assert "Pushes of kind webpush that were taken, of 1 registrations" in page
    daemon.register("bob", ACCOUNT, TOKEN)
    page = daemon.request("GET", "/").body
    assert re.search(r'data-h="?Device"?>%s\s*<' % TOKEN[:8], page)


# --- doctor ---

def test_doctor(daemon, service):
    it = subscribe(daemon, service, Id="laptop")
    status, said = doctor(daemon)
    assert said["names"] == [
        ("ok", "alice has 1 registration, none of Apple's Mail")]
    assert "Apple" not in said and "topic" not in said
    result, text = said["webpush"][0]
    assert result == "look" and text.startswith(
        "laptop at localhost:%d: registered " % service.port)
    assert text.endswith("no push since the start")
    daemon.notify("alice")
    service.wait_for(1, app=it)
    daemon.wait_until(
        lambda: kinds(daemon)["webpush"]["delivered"] == 1, "delivered")
    status, said = doctor(daemon)
    assert status == 0
    assert said["webpush"][0][0] == "ok"
    assert "laptop at localhost:%d: the last push was taken" % service.port \
        in said["webpush"][0][1]


def test_doctor_with_a_phone_of_apples(daemon, service, apple):
    daemon.register("alice", ACCOUNT, TOKEN)
    it = subscribe(daemon, service)
    daemon.notify("alice")
    service.wait_for(1, app=it)
    apple.wait_for(1, token=TOKEN)
    daemon.wait_until(
        lambda: kinds(daemon)["webpush"]["delivered"] == 1 and
        daemon.status()["delivered"] == 1, "delivered")
    _, said = doctor(daemon)
    assert said["names"] == [
        ("ok", "alice has 1 device and 1 other registration")]
    assert said["Apple"][0][0] == "ok"
    assert len(said["webpush"]) == 1


def test_doctor_of_what_is_wrong(daemon, service):
    """Suspended, not confirmed, not reached."""
    bad = subscribe(daemon, service, Id="bad")
    waits = service.subscribe(vapid=daemon.request("GET", "/vapid").body)
    register(daemon, {"Kind": "webpush", "Username": "alice", "Id": "waits",
                      "Confirm": True, **waits.fields}, 202)
    register(daemon, {"Kind": "webpush", "Username": "alice", "Id": "away",
                      "Endpoint": "https://localhost:1/x", "P256dh": P256DH,
                      "Auth": AUTH})
    service.script(bad, Answer(400))
    daemon.notify("alice")

    def texts():
        return {t.split(" ")[0]: t for _, t in doctor(daemon)[1]["webpush"]}

    daemon.wait_until(lambda: "suspended" in texts()["bad"] and
                      "refused" in texts()["away"], "answers")
    status, said = doctor(daemon)
    assert status == 1
    assert all(result == "look" for result, _ in said["webpush"])
    assert "suspended until the app registers again: " in texts()["bad"]
    assert "has not sent back the code" in texts()["waits"]
    assert "Connection refused" in texts()["away"]
    code, = [r["to"].split()[-1] for r in daemon.records()
             if r["account"] == "waits"]
    assert post(daemon, "/confirm", {
        "Username": "alice", "Id": "waits", "Code": code}).status == 204
    assert "code" not in texts()["waits"]


def test_doctor_without_a_daemon(daemon, service):
    subscribe(daemon, service, Id="laptop")
    daemon.stop()
    _, said = doctor(daemon)
    assert said["webpush"][0][0] == "ok"
    assert "laptop at localhost:%d: registered " % service.port in \
        said["webpush"][0][1]


# --- visits ---

def visit(daemon, client, user="alice"):
    reply = daemon.request("POST", "/seen", {"Username": user,
                                             "Client": client})
    assert reply.status == 204


def known(daemon, user="alice"):
    return {r.get("kind", "apple"): r for r in json.loads(
        daemon.run("list", "--json", user).stdout)}


def test_android_comes(daemon, service, apple):
    """Its visit answers for webpush, an iPhone's for Apple's."""
    daemon.register("alice", ACCOUNT, TOKEN)
    it = subscribe(daemon, service)
    visit(daemon, "Android 14")
    assert known(daemon)["webpush"]["client"] == "Android 14"
    assert "client" not in known(daemon)["apple"]
    daemon.notify("alice")
    service.wait_for(1, app=it)
    apple.wait_for(1, token=TOKEN)
    daemon.wait_until(
        lambda: kinds(daemon)["webpush"]["delivered"] == 1 and
        daemon.status()["delivered"] == 1, "delivered")
    assert known(daemon)["webpush"]["waiting"] == 1
    visit(daemon, "Android 14")
    r = known(daemon)
    assert r["webpush"]["wakeup"] >= 0.1 and r["webpush"]["waiting"] == 0
    assert r["apple"]["waiting"] == 1 and "wakeup" not in r["apple"]
    assert daemon.status()["wakeups"] == 1
    assert "Android 14 came" in doctor(daemon)[1]["webpush"][0][1]
    visit(daemon, "iOS 26.5")
    assert known(daemon)["apple"]["wakeup"] >= 0.1
    assert known(daemon)["webpush"]["client"] == "Android 14"


def test_a_browser_never_comes(daemon, service):
    """No push of its own is called missed."""
    it = subscribe(daemon, service)
    visit(daemon, "iOS 26.5")
    daemon.notify("alice")
    service.wait_for(1, app=it)
    daemon.wait_until(
        lambda: kinds(daemon)["webpush"]["delivered"] == 1, "delivered")
    r = known(daemon)["webpush"]
    assert r["pushed"] and (r["waiting"], r["unanswered"]) == (0, 0)
