"""luci-app-xapsd in a real Chromium.  LuCI is not to be had in Debian:
tests/openwrt/luci.js stands in for its browser side, Luci below for rpcd, cgi-io
and the router's files, with the package's own access list."""

import contextlib
import email.parser
import email.policy
import fnmatch
import http.server
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import threading
import time

import pytest

from phones import ACCOUNT, OTHER, TOKEN
from test_openwrt import (FEED, FILES, ROOT, STUB, Router, given, logged, make,
                          mode, shipped, variable)
from test_page import EVIL, chrome, contrast, fits, tab     # noqa: F401
from xapsd import executable, token_key

APP = FEED / "luci-app-xapsd"
VIEWS = APP / "htdocs/luci-static/resources/view/xapsd"
ACL = json.loads((APP / "root/usr/share/rpcd/acl.d/luci-app-xapsd.json")
                 .read_text())["luci-app-xapsd"]
MENU = json.loads((APP / "root/usr/share/luci/menu.d/luci-app-xapsd.json")
                  .read_text())
PROG = "/usr/sbin/xapsd"
PREFIX = PROG + " -c /var/run/xapsd.yaml"
CSP = ("default-src 'none'; script-src 'self'; style-src 'self'; "
       "connect-src 'self'; img-src data:")


class Luci:
    """The router, as a session of LuCI sees it."""

    def __init__(self, folder, conf=None, uci=None):
        self.folder, self.conf = folder, conf
        self.etc = folder / "etc"
        self.refused = folder / "run/xapsd.refused"
        self.values = {"main": {".type": "xapsd", "enabled": "1",
                                **(uci or {})}}
        self.may_write, self.csp, self.catalogue = True, True, {}
        self.answers = {}       # by subcommand, in the place of the daemon's
        self.used, self.denied, self.calls = set(), [], []
        self.apply = lambda: None
        luci = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                luci.get(self)

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                reply = (luci.upload(self.headers["Content-Type"], body)
                         if self.path == "/cgi-bin/cgi-upload"
                         else luci.ubus(**json.loads(body)))
                luci.send(self, json.dumps(reply), "application/json")

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d/" % self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever,
                                       kwargs={"poll_interval": .01})
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    # --- what a browser is given ---

    def send(self, handler, text, kind, status=200):
        data = text.encode()
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(data)))
        if self.csp:
            handler.send_header("Content-Security-Policy", CSP)
        handler.end_headers()
        handler.wfile.write(data)

    def get(self, handler):
        name = handler.path.strip("/")
        if name in ("luci.js", "luci.css"):
            self.send(handler, (STUB / name).read_text(),
                      "text/css" if name.endswith("css") else "text/javascript")
        elif name == "session.js":
            self.send(handler, "window.mayWrite = %s; window.catalogue = %s;"
                      % (json.dumps(self.may_write),
                         json.dumps(self.catalogue)), "text/javascript")
        elif name.endswith(".js"):
            self.send(handler, module(VIEWS / name), "text/javascript")
        elif name in ("status", "settings"):
            self.send(handler, """<!doctype html><html lang="en"><meta
charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>LuCI</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="/luci.css">
<div id="notifications"></div><div id="view"></div><div id="modal"></div>
<script src="/session.js"></script><script src="/luci.js"></script>
<script src="/%s.js"></script></html>""" % name, "text/html")
        else:
            self.send(handler, "", "text/plain", 404)

    # --- rpcd ---

    def may(self, scope, thing, permission):
        for group in ("read", "write") if self.may_write else ("read",):
            rules = ACL[group].get(scope, {})
            if isinstance(rules, list):     # uci and cgi-io
                rules = ({r: [group] for r in rules} if scope == "uci"
                         else {r: ["write"] for r in rules})
            for pattern, permissions in rules.items():
                if permission in permissions and fnmatch.fnmatchcase(
                        thing, pattern):
                    self.used.add((scope, pattern, permission))
                    return True
        self.denied.append((scope, thing, permission))
        return False

    def path(self, path):
        real = {"/var/run/xapsd.refused": self.refused}.get(path)
        return real or self.etc / os.path.relpath(path, "/etc/xapsd")

    def ubus(self, object, method, params):
        if object == "uci":
            if not self.may("uci", params["config"],
                            "write" if method == "apply" else "read"):
                return [6]
            if method == "get":
                return [0, {"values": self.values}]
            self.values = params["values"]
            self.apply()
            return [0, {}]
        if method == "exec":
            return self.execute(params["command"], params["params"])
        permission = {"read": "read", "list": "list", "stat": "list"}[method]
        if not self.may("file", params["path"], permission):
            return [6]
        path = self.path(params["path"])
        if not path.exists():
            return [4]
        if method == "read":
            return [0, {"data": path.read_text()}]
        return [0, {"entries": [
            {"name": p.name, "type": "directory" if p.is_dir() else "file",
             "size": p.stat().st_size} for p in sorted(path.iterdir())]}]

    def execute(self, command, params):
        if not self.may("file", " ".join([command, *params]), "exec"):
            return [6]
        assert command == PROG and params[:2] == ["-c", "/var/run/xapsd.yaml"]
        self.calls.append(params[2:])
        if params[2] in self.answers:
            return [0, self.answers[params[2]]]
        run = subprocess.run(
            [executable(), "-c", str(self.conf), *params[2:]],
            capture_output=True, text=True)
        return [0, {"code": run.returncode,
                    **{k: v for k, v in (("stdout", run.stdout),
                                         ("stderr", run.stderr)) if v}}]

    def upload(self, kind, body):
        message = email.parser.BytesParser(
            policy=email.policy.HTTP).parsebytes(
                b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
        parts = {p.get_param("name", header="Content-Disposition"):
                 p.get_payload(decode=True) for p in message.iter_parts()}
        name = parts["filename"].decode()
        if not self.may("cgi-io", "upload", "write") or not self.may(
                "file", name, "write"):
            return {"failure": [13, "Permission denied"]}
        path = self.path(name)
        path.touch(0o600)
        path.write_bytes(parts["filedata"])
        return {"size": path.stat().st_size}


def module(path):
    """A view's file, as LuCI's loader takes it."""
    text = path.read_text()
    names = re.findall(r"^'require (\w+)';$", text, re.M)
    return "define(%s, function(%s) {%s\n});" % (
        json.dumps(names), ", ".join(names), text)


@pytest.fixture
def luci(workdir, tmp_path):
    """A function that starts one; none may ask for more than it is given."""
    with contextlib.ExitStack() as stack:
        def start(*args, **kwargs):
            (tmp_path / "run").mkdir(exist_ok=True)
            router = Luci(tmp_path, *args, **kwargs)
            stack.callback(router.close)
            return router
        yield start


@pytest.fixture
def look(tab):      # noqa: F811
    def look(luci, view, **options):
        page = tab(**options)
        page.open(luci.url + view)
        page.wait("document.body.dataset.ready")
        return page
    return look


def step(page):
    """The next poll, without waiting for it."""
    page.eval("poll.step()")


def press(page, selector):
    """A button, until all that it does is done."""
    page.click(selector)
    page.wait("!window.busy")


# --- files ---

def calls_in(text):
    """Command lines of the calls of xapsd(); * for what is not literal."""
    for args in re.findall(r"\bxapsd\(([^)]*)\)", text):
        words = [a.strip() for a in args.split(",")]
        yield " ".join([PREFIX] + [
            w[1:-1] if w.startswith("'") else "*" for w in words])


def test_the_access_list_has_what_is_called_and_no_more():
    status, settings = ((VIEWS / name).read_text()
                        for name in ("status.js", "settings.js"))
    both = status + settings
    assert re.findall(r"fs\.exec\(.*", both) == [
        "fs.exec('/usr/sbin/xapsd', ['-c', '/var/run/xapsd.yaml', ...args]);"]
    commands = {re.sub(r"( \*)+$", " *", c) for c in calls_in(status)}
    reads = set(re.findall(r"fs\.read\('([^']*)'\)", both))
    # no other door to the router
    assert set(re.findall(r"\bfs\.(\w+)", both)) == {"exec", "read"}
    assert not re.search(r"\b(rpc|request|fetch|XMLHttpRequest)\b", both)
    assert re.search("^const ETC = '/etc/xapsd';$", settings, re.M)
    assert re.findall(r"root_directory = (\w+)", settings) == ["ETC"]

    def rules(permission):
        return {pattern for group in ("read", "write")
                for pattern, permissions in ACL[group]["file"].items()
                if permission in permissions}
    assert rules("exec") == commands
    assert rules("read") == reads
    assert rules("list") == {"/etc/xapsd", "/etc/xapsd/*"}
    assert rules("write") == {"/etc/xapsd/*"}
    # what changes something is not for those who may only look
    assert set(ACL) == {"description", "read", "write"}
    assert not [p for p in ACL["read"]["file"]
                if re.search(" (push|forget) ", p)]
    for group in "read", "write":
        assert ACL[group]["uci"] == ["xapsd"]
    assert ACL["write"]["cgi-io"] == ["upload"]
    assert "cgi-io" not in ACL["read"] and "ubus" not in str(ACL)


def test_menu():
    for path, node in MENU.items():
        assert path.startswith("admin/services/xapsd")
        if node["action"]["type"] == "view":
            assert node["action"]["path"].split("/")[0] == "xapsd"
            assert (VIEWS.parent / (node["action"]["path"] + ".js")).exists()
    assert MENU["admin/services/xapsd"]["depends"]["acl"] == ["luci-app-xapsd"]
    assert {p.stem for p in VIEWS.glob("*.js")} == {
        n["action"]["path"].split("/")[1] for n in MENU.values()
        if n["action"]["type"] == "view"}


def test_nothing_becomes_markup():
    for path in VIEWS.glob("*.js"):
        text = path.read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write"
                             r"|\beval\b|DOMParser|new Function", text)
        # LuCI's E() takes a string alone for markup
        assert not re.search(r"E\('\w+'(, \{[^}]*\})?, ['`_]", text)


def test_the_init_script_knows_all_options():
    names = set(re.findall(
        r"(?:form\.\w+|'(?:token|pem|p12)'), '(\w+)', _\(",
        (VIEWS / "settings.js").read_text()))
    names |= {"keyFileKeyId", "keyFileTeamId"}
    init = (FILES / "xapsd.init").read_text()
    lists = re.findall(r'^(?:SECRETS|FILES|KEYS|OURS)="([^"]*)"', init, re.M)
    known = set(" ".join(lists).split())
    assert len(names) > 12
    assert names - known == {"_credential"}


def test_package(tmp_path):
    text = (APP / "Makefile").read_text()
    assert text.startswith("# SPDX-License-Identifier: MIT\n")
    # scripts/feeds looks for these words
    assert text.endswith("# call BuildPackage - OpenWrt buildroot signature\n")
    fields = dict(line.split(" ", 1) for line in
                  make(tmp_path, APP, "stage").splitlines())
    assert fields["LUCI_DEPENDS"] == "+luci-base +xapsd"
    assert fields["LUCI_PKGARCH"] == "all"
    assert fields["LUCI_URL"] == variable("PROJECT_URL")
    assert fields["PKG_LICENSE"] == "MIT" and "@" in fields["PKG_MAINTAINER"]
    assert fields["LANGUAGES"] == "de"
    views = "www/luci-static/resources/view/xapsd/"
    assert shipped(tmp_path / "root/luci-app-xapsd") == dict.fromkeys([
        views + "settings.js", views + "status.js",
        "usr/share/luci/menu.d/luci-app-xapsd.json",
        "usr/share/rpcd/acl.d/luci-app-xapsd.json"], 0o644)


# --- translations ---

def entries(text):
    """msgid (or the pair with its plural): the translations."""
    found = {}
    for block in text.split("\n\n")[1:]:
        strings = {k: json.loads(v) for k, v in re.findall(
            r'^(msg[\w\[\]]+) (".*")$', block, re.M)}
        key = strings.pop("msgid"), strings.pop("msgid_plural", None)
        assert key not in found
        found[key] = list(strings.values())
    return found


def test_the_template_is_current():
    made = subprocess.run([STUB / "pot.py"], capture_output=True, text=True,
                          check=True).stdout
    assert made == (APP / "po/templates/xapsd.pot").read_text(), (
        "tests/openwrt/pot.py >%s/po/templates/xapsd.pot"
        % APP.relative_to(ROOT))


def test_the_template_is_as_gettext_makes_it():
    if not shutil.which("xgettext"):
        pytest.skip("no xgettext")
    made = subprocess.run(
        ["xgettext", "--from-code=UTF-8", "--language=JavaScript", "-k",
         "--keyword=_:1", "--keyword=N_:2,3", "--no-wrap", "-o", "-",
         *VIEWS.glob("*.js")], capture_output=True, text=True, check=True)
    ours = entries((APP / "po/templates/xapsd.pot").read_text())
    theirs = entries(re.sub("(?m)^#.*\n", "", made.stdout))
    titles = {n["title"] for n in MENU.values()} | {ACL["description"]}
    assert set(theirs) == {k for k in ours if k in theirs
                           or k[0] not in titles}


@pytest.mark.parametrize("path", sorted((APP / "po").glob("*/xapsd.po")),
                         ids=lambda p: p.parent.name)
def test_translations_are_whole(path):
    ours = entries((APP / "po/templates/xapsd.pot").read_text())
    theirs = entries(path.read_text())
    assert set(theirs) == set(ours)
    for (one, other), strings in theirs.items():
        for s in strings:
            assert s and re.findall("%[sd]", s) == re.findall(
                "%[sd]", other or one), one
    if shutil.which("msgfmt"):
        subprocess.run(["msgfmt", "--check-format", "-o", "/dev/null", path],
                       check=True)


# --- status ---

@pytest.fixture
def running(start_xapsd, apple, luci):
    """A daemon with alice's two phones, and LuCI beside it."""
    x = start_xapsd()
    x.register("alice", ACCOUNT, TOKEN, ["INBOX", "Entw&APw-rfe"])
    x.register("alice", ACCOUNT, OTHER)
    apple.wait_connected()
    return luci(x.config_path)


DAY = {"end": 0, "pushes": [i % 7 * (i > 20) for i in range(96)],
       "missed": [i % 19 == 3 and i > 20 for i in range(96)],
       "wakeups": [i % 7 and 2 + i / 9 if i > 20 else None for i in range(96)]}


def with_a_day(luci, **members):
    """What the daemon says, after a day with phones."""
    status = json.loads(luci.execute(PROG, [
        "-c", "/var/run/xapsd.yaml", "status", "--json"])[1]["stdout"])
    day = {**DAY, "end": int(time.time()),
           "missed": [int(m) for m in DAY["missed"]]}
    status.update({"day": day, "wakeupMedian": 3.4, "missedDay": 5, **members})
    luci.answers["status"] = {"code": 0, "stdout": json.dumps(status)}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_looks(running, look, width, dark):
    with_a_day(running)
    page = look(running, "status", width=width, dark=dark)
    fits(page, width)
    assert contrast(page) >= 4.5
    said = page.text()
    assert "New mail wakes the phones" in said
    assert TOKEN[:8] in said and TOKEN[:9] not in said
    assert "alice" in said and "Entw&APw-rfe" in said and "3.4 s" in said
    assert page.eval("document.querySelectorAll('svg').length") == 2
    roles = page.tree()
    assert ("heading", "Mail push") in roles
    assert [n for r, n in roles if r in ("image", "img")] == [
        "Pushes in a quarter of an hour; red: nobody came",
        "How long the phones took to come; red: nobody came"]
    # only what differs is drawn again
    page.eval("window.row = document.querySelector('#xapsd-devices tr'); 1")
    step(page)
    assert page.eval("window.row.isConnected")
    if os.environ.get("PICTURES"):
        page.screenshot(os.environ["PICTURES"] + "/status-%d-%s.png" % (
            width, "dark" if dark else "light"))


def test_a_daemon_that_keeps_no_visits(running, look):
    """Built with neither doctor nor page."""
    with_a_day(running, day=None)
    said = look(running, "status").text()
    assert "New mail wakes the phones" in said and "alice" in said
    assert "24 hours" not in said


def test_push_and_forget(running, look, apple):
    page = look(running, "status")
    devices = "document.querySelectorAll('#xapsd-devices tr').length - 1"
    assert page.eval(devices) == 2
    press(page, "#xapsd-devices .cbi-button-action")
    assert TOKEN[:8] in page.text("#notifications")
    apple.wait_for(2)
    assert running.calls.count(["push", "--", "alice"]) == 1
    # asked for, and not
    press(page, "#xapsd-devices .cbi-button-negative")
    assert "alice" in page.text("#modal")
    press(page, "#modal .btn")
    assert page.eval("document.querySelector('#modal').innerText") == ""
    assert page.eval(devices) == 2
    press(page, "#xapsd-devices .cbi-button-negative")
    press(page, "#modal .cbi-button-negative")
    page.wait(devices + " == 1")
    forgotten = [c for c in running.calls if c[0] == "forget"]
    assert len(forgotten) == 1 and forgotten[0][:4] == [
        "forget", "--", "alice", ACCOUNT]
    assert forgotten[0][4] in (TOKEN, OTHER)


def test_check(running, look):
    page = look(running, "status")
    press(page, ".cbi-section > button")
    said = page.text("#xapsd-check")
    assert "takes these credentials" in said and "ok" in said


@pytest.fixture
def mute():
    """Takes connections and says nothing, as behind some firewalls."""
    with socket.create_server(("127.0.0.1", 0)) as s:
        yield s.getsockname()[1]


def test_check_has_an_answer_before_luci_gives_up(tmp_path, certs, mute):
    """LuCI's limit for a call is 20 seconds, the daemon's for Apple 30."""
    conf = tmp_path / "xapsd.yaml"
    conf.write_text("".join("%s: %s\n" % item for item in {
        **token_key(certs), "databaseFile": tmp_path / "db", "port": 0,
        "socketPath": tmp_path / "s", "apnsHost": "127.0.0.1",
        "apnsPort": mute, "apnsCaFile": certs.ca}.items()))
    command, = [c for c in ACL["read"]["file"] if " check " in c]
    words = command.replace("/var/run/xapsd.yaml", str(conf)).split()
    assert words[0] == PROG and words[-2] == "--pushTimeout"
    assert 2 * int(words[-1].rstrip("s")) < 20
    # with less patience, for the test
    done = subprocess.run([executable(), *words[1:-1], "1s"],
                          capture_output=True, text=True)
    steps = json.loads(done.stdout)["steps"]
    assert done.returncode == 1 and steps[-1]["result"] == "failed"


def test_everything_in_the_access_list_is_used(running, look, tmp_path):
    """And nothing beyond it is asked for."""
    (tmp_path / "etc").mkdir()
    page = look(running, "status")
    press(page, "#xapsd-devices .cbi-button-action")
    press(page, ".cbi-section > button")
    press(page, "#xapsd-devices .cbi-button-negative")
    press(page, "#modal .cbi-button-negative")
    page.wait("document.querySelectorAll('#xapsd-devices tr').length == 2")
    page = look(running, "settings")
    upload(page, "keyFileP8", tmp_path / "key.p8", "k")
    save(page)
    assert running.denied == []
    entries = {(scope, pattern, p) for group in ("read", "write")
               for scope in ACL[group]
               for pattern in ACL[group][scope]
               for p in ([group] if scope == "uci" else ["write"]
                         if scope == "cgi-io" else ACL[group][scope][pattern])}
    # the stat of a chosen file is the widget's own
    assert entries - running.used == {("file", "/etc/xapsd/*", "list")}


@pytest.mark.parametrize("evil", [*EVIL, "-c", "--config=/tmp/x", "a b\\ c",
                                  "Jürgen „🐈“", "$(reboot)`id`;'\""])
def test_hostile_names(running, look, evil, start_xapsd, apple):
    """Whoever may log in by IMAP chooses folder names, and perhaps his own.
    Without the policy, which would hide it."""
    running.csp = False
    with_a_day(running, problem=evil, healthy=False, apnsError=evil,
               topic=evil, warnings=[evil], brands=[
                   {"name": evil, "topic": evil, "healthy": False,
                    "problem": evil, "state": evil}])
    device = {"user": evil, "account": ACCOUNT, "token": TOKEN, "time": 1,
              "mailboxes": ["INBOX", evil], "acked": True, "suspended": False,
              "answer": evil, "client": evil}
    running.answers["list"] = {"code": 0, "stdout": json.dumps([device])}
    running.answers["push"] = {"code": 1, "stderr": "xapsd: " + evil}
    running.answers["check"] = {"code": 1, "stdout": json.dumps(
        {"ok": False, "steps": [{"step": evil, "result": "failed",
                                 "text": evil}]})}
    running.refused.write_text(evil + "\n")
    page = look(running, "status")
    press(page, "#xapsd-devices .cbi-button-action")
    assert running.calls[-1] != [] and ["push", "--", evil] in running.calls
    press(page, ".cbi-section > button")
    press(page, "#xapsd-devices .cbi-button-negative")
    page.eval("document.querySelectorAll('details').forEach(e => e.open = 1)")
    for place in ("#xapsd-top", "#xapsd-devices", "#notifications", "#modal",
                  "#xapsd-check"):
        assert evil in page.eval(
            "document.querySelector('%s').textContent" % place), place
    assert page.eval("document.querySelectorAll('#view img, #view script, "
                     "[onload], [onerror], [onfocus]').length") == 0
    assert page.eval("window.evil") is None
    # the real program takes the name as a name
    assert running.denied == []
    del running.answers["push"]
    run = running.execute(PROG, ["-c", "/var/run/xapsd.yaml", "push", "--",
                                 evil])[1]
    assert run["code"] == 1 and "usage" not in run["stderr"].lower()


def test_who_may_only_look(running, look):
    running.may_write = False
    page = look(running, "status")
    assert page.eval("[...document.querySelectorAll('#xapsd-devices button')]"
                     ".every(b => b.disabled)")
    for command in "push", "forget":
        assert running.ubus("file", "exec", {
            "command": PROG, "params": ["-c", "/var/run/xapsd.yaml", command,
                                        "--", "alice"]}) == [6]
    assert running.denied


@pytest.mark.parametrize("args", [
    ["-c", "/etc/passwd", "status", "--json"], ["-c", "/var/run/xapsd.yaml"],
    ["-c", "/var/run/xapsd.yaml", "import", "/etc/shadow"],
    ["-c", "/var/run/xapsd.yaml", "push", "-c", "/tmp/x", "alice"],
    ["-c", "/var/run/xapsd.yaml", "csr", "/etc/x"]])
def test_nobody_may_more(running, args):
    assert running.ubus("file", "exec",
                        {"command": PROG, "params": args}) == [6]


def test_not_running(luci, look, tmp_path):
    router = luci(tmp_path / "none.yaml")
    page = look(router, "status")
    said = page.text()
    assert "xapsd does not run" in said and "none.yaml: cannot be read" in said
    router.values["main"]["enabled"] = "off"
    page = look(router, "status")
    assert "xapsd is switched off" in page.text()
    assert "xapsd does not run" not in page.text()


def test_a_daemon_that_ends_and_comes_back(running, look):
    page = look(running, "status")
    running.answers["status"] = {"code": 1, "stderr": "xapsd: nobody answers"}
    step(page)
    said = page.text()
    assert "xapsd does not run" in said and "nobody answers" in said
    assert "xapsd: " not in said
    running.answers["status"] = {"code": 0, "stdout": '{"torn":'}
    step(page)
    assert "xapsd does not run" in page.text()
    del running.answers["status"]
    step(page)
    assert "New mail wakes the phones" in page.text()


TROUBLE = [
    ({"healthy": False, "problem": "The certificate has expired."},
     ["New mail does not wake the phones", "has expired."]),
    ({"storeFailing": True}, ["New phones cannot be saved", "to disk"]),
    ({"warnings": ["It expires in 7 days."]},
     ["but look at this", "in 7 days"]),
    ({"connected": False, "apnsError": "no route"}, ["Not connected", "no route"]),
    ({"suspendedNow": 2}, ["Suspended devices: 2."]),
    ({"oldTopic": 3}, ["topic of other credentials: 3."]),
    ({"silent": 4}, ["Silent users: 4."]),
    ({"registrations": 0}, ["no phone has registered yet", "Fetch New Data"]),
    ({"shared": {"state": "away", "server": "kv:6379", "problem": "refused"}},
     ["Shared book: refused", "away, kv:6379"]),
    ({"brands": [{"name": "shop", "topic": "t.shop", "healthy": False,
                  "problem": "expired", "state": "off"}]},
     ["shop: expired", "Brand shop", "off, t.shop"]),
]


@pytest.mark.parametrize("members, words", TROUBLE,
                         ids=[list(t[0])[0] for t in TROUBLE])
def test_what_is_wrong_is_said(running, look, members, words):
    with_a_day(running, **members)
    said = look(running, "status").text("#xapsd-top")
    for word in words:
        assert word in said


def test_a_refused_configuration_is_shown(running, look):
    running.refused.write_text("option port: 'x' is no number\n"
                               "the old configuration stays in use\n")
    for view in "status", "settings":
        said = look(running, view).text()
        assert "The configuration was refused" in said
        assert "option port: 'x' is no number" in said


# --- settings ---

def field(name):
    return "#cbi-xapsd-main-" + name


def fill(page, name, value):
    page.eval("(e => { e.value = %s; e.dispatchEvent(new Event('change', "
              "{bubbles: true})) })(document.querySelector('%s input, %s "
              "select'))" % (json.dumps(value), field(name), field(name)))


def shown(page):
    return page.eval("[...document.querySelectorAll('.cbi-value:not(.hidden)')]"
                     ".map(e => e.id.replace('cbi-xapsd-main-', ''))")


def upload(page, name, path, text):
    path.write_text(text)
    page.click(field(name) + " button")
    page.wait("!!document.querySelector('%s input[type=file]')" % field(name))
    root = page.call("DOM.getDocument")["root"]["nodeId"]
    node = page.call("DOM.querySelector", nodeId=root, selector=field(name)
                     + " input[type=file]")["nodeId"]
    page.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])
    page.wait("[...document.querySelectorAll('%s a')].some(a => a.textContent"
              " == %s)" % (field(name), json.dumps(path.name)))
    page.eval("[...document.querySelectorAll('%s a')].find(a => a.textContent"
              " == %s).click()" % (field(name), json.dumps(path.name)))


def save(page):
    press(page, ".cbi-button-apply")


@pytest.fixture
def router(tmp_path):
    return Router(tmp_path, ["dash"])


def apply_by(luci, router):
    """Save & Apply reaches the init script."""
    def apply():
        options = {k: v for k, v in luci.values["main"].items()
                   if not k.startswith(".")}
        luci.applied = router.call(
            {**options, "databaseFile": router.etc / "db/database.json",
             "socketPath": router.run / "xapsd.sock"}, "reload")
    luci.apply = apply


def test_a_key_is_uploaded(luci, look, router, tmp_path, certs):
    """From Apple's file to the daemon's user, and to nobody else's."""
    box = luci(uci={"enabled": "0", "port": "0", "maxDevices": "7"})
    apply_by(box, router)
    page = look(box, "settings")
    assert {"enabled", "_credential", "keyFileP8", "keyFileTopic",
            "delay"} <= set(shown(page))
    assert not {"certificateFilePem", "certificateFileP12"} & set(shown(page))
    assert not page.eval("document.querySelector('.remove')")
    page.click(field("enabled") + " input")
    (tmp_path / "home").mkdir()
    upload(page, "keyFileP8", tmp_path / "home/AuthKey_ABCDE12345.p8",
           pathlib.Path(certs.p8).read_text())
    # the name says it
    assert page.eval("document.querySelector('%s input').value"
                     % field("keyFileKeyId")) == "ABCDE12345"
    fill(page, "keyFileTeamId", "FGHIJ67890")
    fill(page, "keyFileTopic", "com.apple.mobilemail.push.com.example")
    fill(page, "delay", "10s")
    save(page)
    assert box.values["main"] == {
        ".type": "xapsd", "enabled": "1", "port": "0", "maxDevices": "7",
        "keyFileP8": "/etc/xapsd/AuthKey_ABCDE12345.p8",
        "keyFileKeyId": "ABCDE12345", "keyFileTeamId": "FGHIJ67890",
        "keyFileTopic": "com.apple.mobilemail.push.com.example",
        "delay": "10s"}
    key = router.etc / "AuthKey_ABCDE12345.p8"
    assert mode(key) == 0o600
    # the router's paths are in the test's folder
    box.values["main"]["keyFileP8"] = str(key)
    box.apply()
    status, calls = box.applied
    assert status == 0 and logged(calls) == []
    assert given(calls) == {str(key)}
    assert "keyFileP8: '%s'" % key in router.conf.read_text()
    assert "maxDevices: '7'" in router.conf.read_text()


def test_one_credential_is_kept(luci, look):
    box = luci(uci={"keyFileP8": "k.p8", "keyFileKeyId": "ABCDE12345",
                    "keyFileTeamId": "FGHIJ67890", "keyFileTopic": "t",
                    "delay": "5m", "httpHosts": "box.lan"})
    page = look(box, "settings")
    fill(page, "_credential", "p12")
    assert {"certificateFileP12", "certificatePassword", "topic"} <= set(
        shown(page))
    assert not {"keyFileP8", "certificateFilePem"} & set(shown(page))
    fill(page, "certificatePassword", "it's \"a\" <secret>")
    assert page.eval("document.querySelector('%s input').type"
                     % field("certificatePassword")) == "password"
    save(page)
    assert box.values["main"] == {
        ".type": "xapsd", "enabled": "1", "delay": "5m",
        "certificatePassword": "it's \"a\" <secret>", "httpHosts": "box.lan"}


@pytest.mark.parametrize("options, kind", [
    ({}, "token"), ({"certificateFilePem": "c.pem"}, "pem"),
    ({"certificateFileP12": "c.p12"}, "p12"), ({"keyFileP8": "k"}, "token")])
def test_the_kind_is_seen(luci, look, options, kind):
    page = look(luci(uci=options), "settings")
    assert page.eval("document.querySelector('%s select').value"
                     % field("_credential")) == kind


@pytest.mark.parametrize("value, on", [("1", True), ("yes", True),
                                       ("TRUE", True), ("off", False),
                                       (None, False)])
def test_saving_something_else_does_not_switch_it(luci, look, value, on):
    """The init script takes more than 0 and 1."""
    box = luci()
    box.values["main"].pop("enabled")
    if value:
        box.values["main"]["enabled"] = value
    page = look(box, "settings")
    fill(page, "delay", "1m")
    save(page)
    assert box.values["main"]["enabled"] == ("1" if on else "0")


@pytest.mark.parametrize("name, bad", [
    ("keyFileKeyId", "ABC"), ("keyFileTeamId", "ABCDE1234<"),
    ("delay", "soon"), ("databaseFile", "db.json")])
def test_invalid_values_are_not_saved(luci, look, name, bad):
    box = luci()
    page = look(box, "settings")
    before = json.dumps(box.values)
    fill(page, name, bad)
    assert page.text(field(name) + " .cbi-value-error")
    page.expected.append("invalid")
    save(page)
    assert json.dumps(box.values) == before


def test_without_a_section(luci, look):
    """Somebody emptied /etc/config/xapsd."""
    box = luci()
    box.values = {}
    page = look(box, "settings")
    page.click(field("enabled") + " input")
    save(page)
    assert box.values == {"main": {".type": "xapsd", "enabled": "1"}}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_settings_look(luci, look, width, dark):
    box = luci(uci={"keyFileP8": "/etc/xapsd/AuthKey_ABCDE12345.p8",
                    "keyFileKeyId": "ABCDE12345", "sharedStore": "x" * 200})
    page = look(box, "settings", width=width, dark=dark)
    fits(page, width)
    assert contrast(page) >= 4.5
    if os.environ.get("PICTURES"):
        page.screenshot(os.environ["PICTURES"] + "/settings-%d-%s.png" % (
            width, "dark" if dark else "light"))


def test_german(running, look):
    """A catalogue reaches the views."""
    running.catalogue = {
        k: s for (one, other), strings in entries(
            (APP / "po/de/xapsd.po").read_text()).items()
        for k, s in zip((one, other) if other else (one,), strings)}
    with_a_day(running)
    said = look(running, "status", width=360).text()
    assert "Neue Mail weckt die Telefone" in said and "Geräte" in said
