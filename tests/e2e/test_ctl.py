"""The subcommands, with a running daemon and without."""
import contextlib
import json
import re
import socket
import subprocess
import threading
import time

import pytest

from apple import Answer
from many import register_many
from phones import ACCOUNT, OTHER, TOKEN
from xapsd import Xapsd, executable


GO = {"Users": {
    "alice": {"Accounts": {
        ACCOUNT: {"DeviceToken": TOKEN, "Mailboxes": ["INBOX", "Notes"],
                  "RegistrationTime": "2026-11-01T10:00:00.5+01:00"}}},
    "bob": {"Accounts": {
        "B": {"DeviceToken": OTHER, "Mailboxes": ["INBOX"]},
        "bad": {"DeviceToken": "xyz", "Mailboxes": ["INBOX"]}}}}}


@pytest.fixture
def ended(workdir, certs):
    """A daemon's folder without a daemon; holds alice's device."""
    (workdir / "x").mkdir()
    daemon = Xapsd(workdir / "x", certs)
    daemon.write_config()
    daemon.database.write_text(json.dumps({
        "user": "alice", "account": ACCOUNT, "token": TOKEN,
        "mailboxes": ["INBOX"], "acked": True,
        "time": int(time.time()) - 7260}) + "\n")
    return daemon


def ok(daemon, *args, quiet=True):
    done = daemon.run(*args)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "" or not quiet, done.stderr
    return done.stdout


def table(text):
    head, *rows = text.splitlines()
    columns = [m.start() for m in re.finditer(r"\S+", head)] + [None]
    cut = [slice(a, b) for a, b in zip(columns, columns[1:])]
    return [[row[c].strip() for c in cut] for row in (head, *rows)]


# --- list ---

def test_list(xapsd):
    xapsd.register("bob", "short", OTHER, ["INBOX"])
    xapsd.register("älice@example.org", ACCOUNT, TOKEN, ["INBOX", "Wörk"])
    head, *rows = table(ok(xapsd, "list"))
    assert head == ["USER", "DEVICE", "ACCOUNT", "REGISTERED", "AGE", "STATE",
                    "MAILBOXES"]
    assert [[*r[:3], *r[5:]] for r in rows] == [
        ["bob", OTHER[:8], "short", "active", "INBOX"],
        ["älice@example.org", TOKEN[:8], ACCOUNT[:8], "active",
         "INBOX, Wörk"]]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", r[3]) and
               re.fullmatch(r"\d+s", r[4]) for r in rows)
    assert [r[0] for r in table(ok(xapsd, "list", "BOB"))[1:]] == ["bob"]
    done = xapsd.run("list", "carol")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no device is registered for carol" in done.stderr


def test_list_json(xapsd):
    assert json.loads(ok(xapsd, "list", "--json")) == []
    xapsd.register("alice", ACCOUNT, TOKEN, ["INBOX", 'a"b\\'])
    xapsd.register("bob", ACCOUNT, OTHER, [])
    for args in (["list", "--json"], ["--json", "list"], ["-json", "list"]):
        listed = json.loads(ok(xapsd, *args))
        assert listed == [dict(r, suspended=False) for r in xapsd.records()]
    listed, = json.loads(ok(xapsd, "list", "alice", "--json"))
    assert listed["mailboxes"] == ["INBOX", 'a"b\\']


def test_list_shows_suspended(xapsd, apple):
    xapsd.register("alice", ACCOUNT, TOKEN)
    apple.script(TOKEN, Answer(400, "BadDeviceToken"))
    xapsd.notify("alice")
    xapsd.wait_log("suspended until")
    assert table(ok(xapsd, "list"))[1][5] == "suspended"
    assert json.loads(ok(xapsd, "list", "--json"))[0]["suspended"] is True


def test_list_without_a_daemon(ended):
    done = ended.run("list")
    assert done.returncode == 0
    assert "no daemon runs" in done.stderr
    row = table(done.stdout)[1]
    assert row[:2] == ["alice", TOKEN[:8]]
    assert row[4:6] == ["2h", "active"]
    assert ok(ended, "list", "alice", "--json", quiet=False) != "[]\n"
    ended.database.unlink()
    done = ended.run("list")
    assert done.returncode == 1
    assert "is not running" in done.stderr
    assert str(ended.database) in done.stderr
    assert not ended.database.exists()


def test_many_pages(start_xapsd):
    """More than one answer holds, while others come and go."""
    xapsd = start_xapsd(maxDevices=1000)
    n = 2000
    register_many(xapsd, (("u%d" % (i % 500), "A%d" % i, "%064x" % i)
                          for i in range(n)))
    page = xapsd.request("POST", "/admin/list", {"from": 0})
    assert 64 * 1024 <= len(page.body) < 80 * 1024
    assert json.loads(page.body.splitlines()[-1])["next"] > 0
    listed = json.loads(ok(xapsd, "list", "--json"))
    assert len(listed) == len({r["account"] for r in listed}) == n
    # one user's come in pages too
    register_many(xapsd, (("many", "A%d" % i, "%064x" % i)
                          for i in range(600)))
    listed = json.loads(ok(xapsd, "list", "--json", "many"))
    assert {r["account"] for r in listed} == {"A%d" % i for i in range(600)}


def test_colours_only_on_a_terminal(xapsd):
    # 2 hours old, for an hour: lists are compared
    assert xapsd.request("POST", "/admin/import", json.dumps({
        "user": "alice", "account": ACCOUNT, "token": TOKEN, "acked": True,
        "mailboxes": ["INBOX", *("Folder%d" % i for i in range(30))],
        "time": int(time.time()) - 7260}) + "\n").status == 200
    assert "\033" not in ok(xapsd, "list") + ok(xapsd, "status")
    text = xapsd.on_terminal("list")
    assert "\033[1mUSER\033[0m" in text and "\033[32mactive\033[0m" in text
    assert re.search(r"INBOX.* \+\d+\n", text)
    plain = xapsd.on_terminal("list", NO_COLOR="1")
    assert "\033" not in plain
    assert plain == re.sub("\033\\[\\d*m", "", text)
    assert "\033" not in xapsd.on_terminal("status", TERM="dumb")
    assert "\033" not in xapsd.on_terminal("list", "--json")


# --- status ---

def test_status(xapsd, apple):
    xapsd.register("alice", ACCOUNT, TOKEN)
    xapsd.notify("alice")
    apple.wait_for(1)
    xapsd.wait_until(
        lambda: json.loads(ok(xapsd, "status", "--json"))["delivered"] == 1,
        "delivery")
    text = ok(xapsd, "status")
    assert re.search(r"^Health +ok$", text, re.M)
    assert re.search(r"^Apple +connected, \S+ port %d$" % apple.port, text,
                     re.M)
    assert re.search(r"^Registrations +1, ", text, re.M)
    assert re.search(r"^Pushes +1 delivered", text, re.M)
    assert "token key, topic " + xapsd.certs.key_topic in text
    assert all(len(line) <= 100 for line in text.splitlines())
    same = xapsd.status()
    assert set(same) == set(json.loads(ok(xapsd, "status", "--json")))


def test_status_with_trouble(start_xapsd, certs):
    daemon = start_xapsd(identity={})
    text = ok(daemon, "status")
    assert re.search(r"^Health +no credentials", text, re.M)
    assert re.search(r"^Apple +off", text, re.M)


@contextlib.contextmanager
def answering(path, text):
    """Somebody in the daemon's place who answers one request with text."""
    def answer():
        with listener.accept()[0] as conn:
            head = b""
            while b"\r\n\r\n" not in head:
                head += conn.recv(4096)
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n"
                         b"Connection: close\r\n\r\n" % len(text) + text)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        thread = threading.Thread(target=answer)
        thread.start()
        yield
        thread.join()


def test_status_of_an_older_daemon(ended):
    """Figures that it does not know are 0; values are no templates."""
    name = "{queue}[x]%s"
    status = {"version": "0.1.0", "tls": "mbedTLS", "healthy": False,
              "problem": name, "credentials": "token key", "topic": name,
              "apns": "waiting", "apnsHost": name, "apnsPort": 443,
              "apnsError": name, "day": {}, "visits": 1, "missedDay": 1,
              "notified": 1, "queue": 5,
              "brands": [{"name": name, "healthy": True, "state": "off"}],
              "kinds": [{"kind": "fcm", "registrations": 1}]}
    with answering(ended.socket_path, json.dumps(status).encode()):
        text = ok(ended, "status")
    assert text.splitlines()[1:] == [
        "Health         " + name,
        "Credentials    token key, topic " + name,
        "Apple          waiting, %s port 443: %s" % (name, name),
        "Brand          %s: off, 0 registrations, 0 with an old topic, "
        "0 waiting" % name,
        "Kind           fcm: 1 registration, 0 delivered since start, "
        "0 waiting",
        "Last push      none since start",
        "Phones         1 push missed, 0 users silent",
        "Registrations  0, 0 with an old topic, 0 reported gone by Apple, "
        "0 suspended",
        "Queue          5 waiting, 0 in flight",
        "Pushes         0 delivered, 0 merged, 0 sent again, 0 dropped",
        "Asked          0 registrations, 1 notification, 0 unwatched, "
        "0 without a device",
        "Refused        0 malformed, 0 not allowed",
        "Clients        0"]


def test_metrics(start_xapsd, apple):
    daemon = start_xapsd(tcp=True)
    daemon.register("alice", ACCOUNT, TOKEN)
    daemon.notify("alice")
    daemon.notify("alice", "Work")
    daemon.notify("nobody")
    daemon.request("POST", "/notify", "{")
    apple.wait_for(1)
    daemon.wait_until(lambda: daemon.status()["delivered"], "delivery")
    reply = daemon.request("GET", "/metrics", tcp=True)
    assert reply.headers["Content-Type"] == "text/plain; version=0.0.4"
    parser = pytest.importorskip("prometheus_client.parser")
    families = {f.name: f for f in
                parser.text_string_to_metric_families(reply.body)}
    got = {s.name: s.value for f in families.values()
           if f.type != "histogram" for s in f.samples}
    for name, want in {"registrations": 1, "registers_total": 1,
                       "notifies_total": 1, "notifies_unwatched_total": 1,
                       "notifies_unknown_user_total": 1, "healthy": 1,
                       "pushes_delivered_total": 1, "apns_connected": 1,
                       "requests_refused_total": 1, "info": 1}.items():
        assert got["xapsd_" + name] == want, name
    assert got["xapsd_clients"] >= 1
    # of the same table as the status
    status = daemon.status()
    numbers = [k for k, v in status.items()
               if isinstance(v, int) and k not in ("apnsPort", "expires")]
    assert len(numbers) == len(got) - 2     # the two about the version


def test_metrics_tell_of_a_certificate(start_xapsd, certs):
    from xapsd import certificate
    daemon = start_xapsd(identity=certificate)
    text = daemon.request("GET", "/metrics").body
    when = int(re.search(r"^xapsd_certificate_expiry_timestamp_seconds (\d+)$",
                         text, re.M)[1])
    assert 300 * 86400 < when - time.time() < 400 * 86400
    assert re.search(r"certificate, topic .*, valid until \d{4}-\d\d-\d\d "
                     r"\(36\dd\)", ok(daemon, "status"))


# --- push ---

def test_push(xapsd, apple):
    xapsd.register("alice", ACCOUNT, TOKEN, ["INBOX", "Notes"])
    xapsd.register("alice", "second", OTHER, ["INBOX"])
    head, *rows = table(ok(xapsd, "push", "alice"))
    assert head == ["DEVICE", "ACCOUNT", "ANSWER"]
    assert sorted(rows) == [[TOKEN[:8], ACCOUNT[:8], "Apple took it"],
                            [OTHER[:8], "second", "Apple took it"]]
    assert len(apple.pushes) == 2
    done = xapsd.run("push", "alice", "Notes")
    assert done.returncode == 1     # not all of them
    assert sorted(r[2] for r in table(done.stdout)[1:]) == [
        "Apple took it", "does not watch this mailbox"]
    assert len(apple.pushes) == 3


def test_push_in_words(start_xapsd, apple):
    # a test does not wait for the pause after a failure
    xapsd = start_xapsd(retryMin="1h", retryMax="1h")
    apple.wait_connected()
    xapsd.register("alice", ACCOUNT, TOKEN)
    xapsd.register("bob", ACCOUNT, OTHER)
    apple.script(TOKEN, Answer(503, "ServiceUnavailable"))
    done = xapsd.run("push", "alice")
    assert done.returncode == 1
    assert "Apple answered 503 ServiceUnavailable" in done.stdout
    apple.script(TOKEN, Answer(400, "BadDeviceToken"))
    done = xapsd.run("push", "alice")
    assert "400 BadDeviceToken: the device token is unknown" in done.stdout
    done = xapsd.run("push", "alice")
    assert (done.returncode, "suspended: " in done.stdout) == (1, True)
    apple.script(OTHER, Answer(410, "Unregistered",
                               timestamp=int(time.time() + 60) * 1000))
    done = xapsd.run("push", "bob")
    assert "410 Unregistered: the account was removed" in done.stdout
    done = xapsd.run("push", "bob")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no device is registered for this user" in done.stderr


def test_push_of_a_line_client(xapsd):
    """A device that can only be woken for INBOX."""
    xapsd.register("alice", ACCOUNT, TOKEN, ["INBOX", "Notes"], acked=False)
    assert "Apple took it" in ok(xapsd, "push", "alice", "inbox")
    assert "for INBOX only" in xapsd.run("push", "alice", "Notes").stdout


def test_push_when_apple_is_away(start_xapsd, certs):
    daemon = start_xapsd(apple=None)
    daemon.register("alice", ACCOUNT, TOKEN)
    start = time.monotonic()
    done = daemon.run("push", "alice")
    assert 10 < time.monotonic() - start < 50
    assert done.returncode == 1
    assert "not connected to Apple: " in done.stdout
    assert "it stays queued" in done.stdout
    daemon.notify("nobody")
    # a user who does not wait for the end, and a daemon that ends before it
    while True:
        start = time.monotonic()
        merged = daemon.status()["merged"]
        p = subprocess.Popen(daemon.command("push", "alice"),
                             stdout=subprocess.DEVNULL)
        daemon.wait_until(
            lambda: daemon.status()["merged"] > merged, "test under way")
        p.kill()
        p.wait()
        done = daemon.run("push", "alice")
        if "another test is under way" in done.stdout:
            break
        # on a busy machine the first one was over by then
        assert time.monotonic() - start > 10
    daemon.register("bob", "B", OTHER)
    p = subprocess.Popen(daemon.command("push", "bob"),
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    daemon.wait_until(
        lambda: daemon.status()["queue"] == 2, "test under way")
    daemon.stop()
    p.communicate(timeout=30)
    assert p.returncode == 1


def test_push_merges_with_what_waits(start_xapsd, apple):
    daemon = start_xapsd(delay="1h")
    daemon.register("alice", ACCOUNT, TOKEN, ["INBOX", "Notes"])
    daemon.notify("alice", "Notes", ["FlagsSet"])
    assert "Apple took it" in ok(daemon, "push", "alice")
    push, = apple.wait_for(1)
    assert len(push.aps["m"]) == 2


# --- forget ---

def test_forget(xapsd):
    for user in ("alice", "bob"):
        xapsd.register(user, ACCOUNT, TOKEN)
        xapsd.register(user, ACCOUNT, OTHER)
        xapsd.register(user, "second", TOKEN)
    assert ok(xapsd, "forget", "alice", ACCOUNT, TOKEN[:8]) == \
        "1 registration removed\n"
    assert xapsd.records()[-1]["gone"] is True
    assert ok(xapsd, "forget", "alice", "second") == "1 registration removed\n"
    assert ok(xapsd, "forget", "alice") == "1 registration removed\n"
    assert ok(xapsd, "forget", "BOB", ACCOUNT[:8]) == \
        "2 registrations removed\n"
    done = xapsd.run("forget", "bob", "sec")    # too little to mean it
    assert done.returncode == 1
    assert "there is no such registration" in done.stderr
    assert xapsd.notify("alice").status == 404
    assert xapsd.notify("bob").status == 200
    xapsd.restart()
    assert [r["account"] for r in json.loads(ok(xapsd, "list", "--json"))] \
        == ["second"]


def test_forget_while_it_is_pushed(xapsd, apple):
    xapsd.register("alice", ACCOUNT, TOKEN)
    apple.script(TOKEN, Answer(never=True))
    p = subprocess.Popen(xapsd.command("push", "alice"), text=True,
                         stdout=subprocess.PIPE)
    apple.wait_for(1)
    ok(xapsd, "forget", "alice")
    out, _ = p.communicate(timeout=20)
    assert "the registration was removed meanwhile" in out


# --- export and import ---

def same_as_go(text):
    out = json.loads(text)
    assert set(out) == {"Users"}
    assert set(out["Users"]) == {"alice", "bob"}
    account = out["Users"]["alice"]["Accounts"][ACCOUNT]
    assert account == {"DeviceToken": TOKEN, "Mailboxes": ["INBOX", "Notes"],
                       "RegistrationTime": "2026-11-01T09:00:00Z"}
    assert set(out["Users"]["bob"]["Accounts"]) == {"B"}


@pytest.mark.parametrize("running", [True, False])
def test_import_and_export(start_xapsd, workdir, certs, running):
    go = workdir / "go.json"
    go.write_text(json.dumps(GO, indent=1))
    if running:
        daemon = start_xapsd(registrationTtl="3650d")
    else:
        (workdir / "x").mkdir()
        daemon = Xapsd(workdir / "x", certs, registrationTtl="3650d")
    done = daemon.run("import", str(go))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "2 registrations taken over, 1 left out\n"
    assert "bob" in done.stderr and "device token" in done.stderr
    assert len(daemon.records()) == 2
    done = daemon.run("export")
    assert done.returncode == 0
    same_as_go(done.stdout)
    # its own export, again: nothing is newer
    go.write_text(done.stdout)
    assert ok(daemon, "import", str(go), quiet=running) == (
        "0 registrations taken over, 2 not newer than what is here\n")
    if running:
        assert daemon.notify("alice", "Notes").status == 204    # not acked
        assert daemon.notify("alice").status == 200


def test_import_of_our_own(start_xapsd, workdir):
    """A copy of another xapsd's file; many, in batches."""
    source = workdir / "copy.jsonl"
    now = int(time.time())
    lines = [json.dumps({"user": "u%d" % i, "account": "A", "token": TOKEN,
                         "mailboxes": ["INBOX"], "acked": True, "time": now})
             for i in range(3000)]
    source.write_text("\n".join([*lines, "{torn"]))
    daemon = start_xapsd()
    daemon.register("u1", "A", OTHER)
    daemon.register("u2", "A", TOKEN, acked=True)   # as new, or newer
    done = daemon.run("import", str(source))
    assert done.stdout == ("2999 registrations taken over, 1 not newer than "
                           "what is here, 1 left out\n")
    assert source.read_text().endswith("{torn")     # not mended
    assert not (workdir / "copy.jsonl.bad").exists()
    assert len(json.loads(ok(daemon, "list", "--json"))) == 3001
    done = daemon.run("export")
    assert done.returncode == 0
    assert "1 registration left out" in done.stderr
    assert len(json.loads(done.stdout)["Users"]) == 3000


def test_import_mistakes(xapsd, workdir):
    done = xapsd.run("import", str(workdir / "none"))
    assert done.returncode == 1 and "No such file" in done.stderr
    assert xapsd.run("import", str(workdir)).returncode == 1
    bad = workdir / "bad.json"
    bad.write_text('{"Users":{"alice":')
    done = xapsd.run("import", str(bad))
    assert done.returncode == 1 and "1:" in done.stderr
    bad.write_text("nonsense")
    done = xapsd.run("import", str(bad))
    assert done.returncode == 1 and "no registration in it" in done.stderr
    assert json.loads(ok(xapsd, "list", "--json")) == []
    reply = xapsd.request("POST", "/admin/import", "nonsense")
    assert (reply.status, reply.body[:7]) == (400, "line 1:")


def test_import_into_a_locked_file(start_xapsd, workdir):
    """A daemon without a Unix socket keeps its file for itself."""
    daemon = start_xapsd(tcp=True, wait=False, socketPath="")
    daemon.wait_until(lambda: "started" in daemon.log(), "start")
    daemon.register("alice", ACCOUNT, TOKEN, tcp=True)
    go = workdir / "go.json"
    go.write_text(json.dumps(GO))
    done = daemon.run("import", str(go))
    assert done.returncode == 1
    assert "in use by another xapsd" in done.stderr
    done = daemon.run("list")
    assert table(done.stdout)[1][0] == "alice"
    done = daemon.run("status")
    assert (done.returncode, "socketPath is empty" in done.stderr) == (1, True)


# --- who may, and what is wrong ---

def test_bad_admin_requests(xapsd):
    assert xapsd.request("GET", "/admin/list").status == 405
    for body in ({"user": 1}, {"from": -1}, {"from": "x"}, []):
        assert xapsd.request("POST", "/admin/list", body).status == 400
    assert xapsd.request("POST", "/admin/forget", {}).status == 400
    assert xapsd.request(
        "POST", "/admin/list", {"from": 10 ** 15}).body == '{"next":0}\n'


def test_not_running(ended):
    for command in (["status"], ["push", "alice"], ["forget", "alice"]):
        done = ended.run(*command)
        assert done.returncode == 1
        assert done.stdout == ""
        assert "xapsd is not running" in done.stderr
        assert ended.socket_path in done.stderr
    assert len(ended.records()) == 1


@pytest.mark.parametrize("args, says", [
    (["nonsense"], "unknown command nonsense"),
    (["list", "a", "b"], "xapsd list [--json] [USER]"),
    (["push"], "xapsd push USER [MAILBOX]"),
    (["forget", "a", "b", "c", "d"], "xapsd forget USER [ACCOUNT [TOKEN]]"),
    (["import"], "xapsd import FILE"),
    (["push", "a", "--json"], "xapsd push"),
    (["--json"], "--json is for"),
    (["--nonsense", "list"], "unknown option --nonsense"),
    (["list", "--loglevel"], "needs a value"),
    (["status", "--json=yes"], "takes no value"),
])
def test_usage(ended, args, says):
    done = ended.run(*args)
    assert done.returncode == 64
    assert says in done.stderr


def test_options_anywhere(ended):
    def run(*args):
        done = subprocess.run([executable(), *args], capture_output=True,
                              text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout
    conf = str(ended.config_path)
    for args in (["list", "-c", conf, "alice", "--json"],
                 ["-c", conf, "--json", "list", "alice"],
                 ["list", "--json", "alice", "-c=" + conf],
                 ["-json", "-c", conf, "list", "--", "alice"],
                 ["list", "--json", "--databaseFile", str(ended.database),
                  "-socketPath=" + str(ended.folder / "none")]):
        assert json.loads(run(*args))[0]["user"] == "alice"


def test_help_fits_a_screen():
    done = subprocess.run([executable(), "--help"], capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 80
    for word in ("check", "status", "list", "push", "forget", "export",
                 "import", "pass"):
        assert re.search(r"^  %s\b" % word, done.stdout, re.M), word


def test_output_that_cannot_be_written(xapsd):
    xapsd.register("alice", ACCOUNT, TOKEN)
    for command in ("list", "status", "export"):
        with open("/dev/full", "w") as full:
            done = subprocess.run(xapsd.command(command), stdout=full,
                                  stderr=subprocess.PIPE, text=True)
        assert done.returncode == 1
        assert "could not be written" in done.stderr


def test_not_xapsd_behind_the_socket(ended):
    import socket
    import threading
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(ended.socket_path)
        s.listen()
        def serve():
            for said in (b"", b"HTTP/1.1 200 OK\r\n", b"nonsense\r\n\r\n",
                         b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}",
                         b"HTTP/1.1 200 OK\r\n\r\nnonsense",
                         b"HTTP/1.1 500 X\r\n\r\nwhy\n"):
                c, _ = s.accept()
                with c:
                    c.recv(4096)
                    c.sendall(said)
        thread = threading.Thread(target=serve)
        thread.start()
        for says in ("is not xapsd",) * 4 + ("not understood", "xapsd: why\n"):
            done = ended.run("status")
            assert (done.returncode, says in done.stderr) == (1, True), (
                done.stderr)
        thread.join()
