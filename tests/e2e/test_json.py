"""What xapsd(8) says of --json's members against what is printed, both ways."""
import json
import re
import time

import pytest

from apple import Answer
from phones import ACCOUNT, OTHER, TOKEN
from test_kinds import AUTH, P256DH
from xapsd import ROOT, certificate, token_key

TYPES = {
    "string": lambda v: isinstance(v, str),
    "string or null": lambda v: v is None or isinstance(v, str),
    "boolean or null": lambda v: v is None or isinstance(v, bool),
    "boolean": lambda v: isinstance(v, bool),
    "number": lambda v: type(v) in (int, float) and v >= 0,
    "seconds": lambda v: type(v) in (int, float) and 0 <= v < 1e9,
    "time": lambda v: v == 0 or type(v) is int and
    v > time.time() - 365 * 86400,
    "array": lambda v: isinstance(v, list),
    "array of strings": lambda v: isinstance(v, list) and
    all(isinstance(x, str) for x in v),
    "array of objects": lambda v: isinstance(v, list) and
    all(isinstance(x, dict) for x in v),
    "object": lambda v: isinstance(v, dict),
}


def documented(command):
    """Of the command: each member's type, and whether it is optional."""
    page = (ROOT / "xapsd.8").read_text()
    part = page.split("\n.Ss JSON\n")[1].split("\n.Sh ")[0]
    found, = re.findall(r"^\.Cm %s\b.*?^\.El$" % command, part, re.M | re.S)
    members = {}
    for names, kind, optional in re.findall(
            r"^\.It Li (.*?) Pq ([a-z ]+)(, optional)?$", found, re.M):
        for name in names.split(" , "):
            assert name not in members
            members[name] = (kind, bool(optional))
    assert found.count("\n.It") == len(re.findall(r"^\.It Li .* Pq ", found,
                                                  re.M))
    return members


def compare(members, objects):
    """Every member of the objects is documented, of its type; what is not
    optional is in all; each optional one is in one and not in another."""
    for value in objects:
        assert set(value) <= set(members), value
        for name, (kind, optional) in members.items():
            assert optional or name in value, name
            assert name not in value or TYPES[kind](value[name]), (
                name, value[name])
    for name, (_, optional) in members.items():
        there = {name in value for value in objects}
        assert there == ({False, True} if optional else {True}), name


def printed(daemon, *args):
    return json.loads(daemon.run(*args, "--json").stdout)


def brand_of(user, workdir, certs):
    """A folder with one brand."""
    folder = workdir / "brands"
    folder.mkdir()
    (folder / "b.yaml").write_text("users: %s\ncertificateFilePem: %s\n" % (
        user, certs.client))
    return folder


def test_list(xapsd, apple, workdir, certs):
    xapsd.register("alice", ACCOUNT, TOKEN, ["INBOX", "Lists"], Canonical=[
        {"owner": "alice", "mailbox": "INBOX"},
        {"owner": "bob", "mailbox": "Lists"}])
    apple.script(OTHER, Answer(400, "BadDeviceToken"))
    xapsd.register("bob", ACCOUNT, OTHER)
    xapsd.notify("bob")
    xapsd.wait_log("suspended until")
    xapsd.notify("alice")
    xapsd.wait_log("alice: .*delivered")
    xapsd.request("POST", "/seen", {"Username": "alice", "Client": "iOS 26.5"})
    xapsd.notify("alice", "Other")
    listed = printed(xapsd, "list")
    assert [r["suspended"] for r in listed if r["user"] == "bob"] == [True]
    assert [r["canonical"] for r in listed if r["user"] == "alice"] == [
        [None, ["bob", "Lists"]]]
    # another topic, and one from before the clock was set
    xapsd.stop()
    record = xapsd.records()[0]
    xapsd.database.write_text("".join(json.dumps(r) + "\n" for r in (
        {**record, "topic": "com.example.old"},
        {**record, "user": "carol", "time": 0})))
    xapsd.config["brandsDir"] = brand_of("carol", workdir, certs)
    xapsd.start()
    listed += printed(xapsd, "list")
    assert [(r["brand"], r["via"]) for r in listed if "via" in r] == [
        ("b", "")]
    # names that are not known are taken
    for name, confirm, status in ("x", True, 202), ("y", False, 200):
        assert xapsd.request("POST", "/register", {
            "Kind": "webpush", "Username": "dave", "P256dh": P256DH,
            "Auth": AUTH, "Endpoint": "https://push.invalid/" + name,
            "Id": name, "Confirm": confirm}).status == status
    xapsd.notify("dave")
    xapsd.wait_until(lambda: any("problem" in r for r in printed(
        xapsd, "list", "dave")), "a push that cannot be sent")
    listed += printed(xapsd, "list", "dave")
    compare(documented("list"), listed)
    xapsd.stop()
    compare(documented("list"), listed + printed(xapsd, "list") + [
        {**listed[0], "oldTopic": ""}])
    xapsd.start()


@pytest.mark.parametrize("identity", [token_key, certificate, {}])
def test_status(start_xapsd, apple, workdir, certs, identity):
    began = int(time.time())
    xapsd = start_xapsd(identity=identity)
    node = start_xapsd(identity=identity, folder=workdir / "n",
                       sharedStore="unix:/nonexistent/valkey.sock",
                       brandsDir=brand_of("carol", workdir, certs))
    assert node.request("POST", "/register", {
        "Kind": "webpush", "Username": "dave", "P256dh": P256DH, "Auth": AUTH,
        "Endpoint": "https://push.invalid/"}).status == 200
    found = [printed(node, "status"), printed(xapsd, "status"), xapsd.status()]
    assert [(k["kind"], k["registrations"]) for k in found[0]["kinds"]] == [
        ("webpush", 1)]
    shared = found[0]["shared"]
    assert set(shared) == {"state", "server", "problem", "node", "book",
                           "role", "policy", "waiting", "lag", "taken",
                           "sent", "spared"}
    assert shared["state"] == "away"
    if identity:
        apple.wait_connected()
        xapsd.register("alice", ACCOUNT, TOKEN)
        xapsd.notify("alice")
        xapsd.wait_log("delivered to Apple")
        xapsd.request("POST", "/seen", {"Username": "alice"})
        found.append(printed(xapsd, "status"))
        assert found[-1]["lastSuccess"] > 0
    else:
        found.append({**found[-1], "wakeupMedian": 0.1})
    compare(documented("status"), found)
    for day in (f["day"] for f in found):
        assert set(day) == {"end", "pushes", "missed", "wakeups"}
        # a quarter of an hour may have ended meanwhile
        assert began - 1 <= day["end"] <= time.time() + 900
        for name in ("pushes", "missed", "wakeups"):
            assert len(day[name]) == 96
            assert set(map(type, day[name])) <= {float, int, type(None)}
        assert None not in day["pushes"] + day["missed"]
    assert sum(found[-1]["day"]["pushes"]) == (1 if identity else 0)
    assert {s["apns"] for s in found} <= {"connected", "connecting", "waiting",
                                          "off"}
    assert {s["credentials"] for s in found} <= {"token key", "certificate",
                                                 "none"}


def steps(members, found):
    """Of an object with steps, and of the steps."""
    of_each = {k: members.pop(k) for k in ("step", "result", "text")}
    compare(members, found)
    compare(of_each, [s for f in found for s in f["steps"]])
    return {s["result"] for f in found for s in f["steps"]}


def test_check(xapsd, certs):
    found = [printed(xapsd, "check"), printed(xapsd, "check", "--offline")]
    assert all(f["ok"] is True for f in found)
    for key, value in (("keyFileP8", "/nonexistent"), ("nonsense", "1")):
        before = dict(xapsd.config)
        xapsd.config[key] = value
        found.append(printed(xapsd, "check"))
        assert found[-1]["ok"] is False
        xapsd.config = before
    xapsd.write_config()
    (xapsd.folder / "open.p8").write_bytes(open(certs.p8, "rb").read())
    (xapsd.folder / "open.p8").chmod(0o644)
    found.append(xapsd.run("--keyFileP8", str(xapsd.folder / "open.p8"),
                           "check", "--json").stdout)
    found[-1] = json.loads(found[-1])
    assert steps(documented("check"), found) == {"ok", "failed", "warning"}


def test_doctor(xapsd):
    found = [printed(xapsd, "doctor", "alice")]
    xapsd.register("alice", ACCOUNT, TOKEN)
    found.append(printed(xapsd, "doctor", "alice"))
    assert steps(documented("doctor"), found) == {"ok", "look", "failed"}
