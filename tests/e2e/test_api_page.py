"""xapsd-api(7) against the code and the running daemon: its fields, statuses
and limits, and its examples as they are printed."""
import json
import re
import shutil
import subprocess

import pytest

from test_kinds import account, ways   # noqa: F401  fixtures
from xapsd import ROOT, executable

PAGE = (ROOT / "xapsd-api.7").read_text()
CODE = (ROOT / "api/apps.c").read_text()


def part(title):
    return re.search(r"^\.S[sh] %s\n(.*?)(?=^\.S[sh] |\Z)" % re.escape(title),
                     PAGE, re.M | re.S)[1]


def words(text):
    """What is set as code."""
    found = set()
    for line in re.findall(r"^\.(?:It )?(?:Pq )?Li (.*)$", text, re.M):
        line = re.split(r" (?:Pq|No|Po) ", line)[0]
        found |= set(re.findall(r"[\w./:\\()\[\]*-]+", line))
    return found


def test_fields_of_registrations():
    """Every member that the code asks for is in the page, and the other way
    round."""
    asked = set(re.findall(
        r'api_body_\w+\(\s*rq,\s*"(\w+)"|json_get\(&rq->j, rq->j.toks, '
        r'"(\w+)"\)', CODE))
    asked = {a or b for a, b in asked} | {"Endpoint", "Token"}
    of_register = {w for w in words(part("POST /register"))
                   if re.fullmatch(r"[A-Z]\w+", w)}
    assert of_register == asked - {"Code"}
    of_confirm = {w for w in words(part("POST /confirm")) if w[0].isupper()}
    assert of_confirm == {"Username", "Id", "Code"}


def test_fields_of_apple():
    code = (ROOT / "api/dovecot.c").read_text()
    asked = set(re.findall(r'{ "(Aps\w+)"', code))
    assert len(asked) == 3
    assert asked <= words(part("Apple"))
    assert "MailboxesAcknowledged" in words(part("Apple"))
    of_notify = set(re.findall(r'api_body_\w+\(rq, "([A-Z]\w+)"', re.search(
        r"\nvoid api_handle_notify.*?\n}", code, re.S)[0]))
    assert of_notify | {"Events"} == {
        w for w in words(part("POST /notify")) if re.fullmatch(r"[A-Z]\w+", w)}


def test_kinds():
    names = set(re.findall(r'\[REG_\w+\] = "(\w+)"',
                           (ROOT / "store/reg.c").read_text()))
    assert names - {"hook"} == {
        w for w in words(part("POST /register").split(".It Li Username")[0])
        if w.islower() and w.isalpha()}


def test_statuses():
    said = {int(n) for n in re.findall(r"\b([2-5]\d\d)\b(?!,)", re.sub(
        r"\.Sh EXAMPLES.*", "", PAGE, flags=re.S)) if int(n) < 505}
    code = {int(n) for n in re.findall(r"\b([45]\d\d)\b", CODE)}
    assert code - {500} <= said     # which nobody can cause


def test_paths():
    routes = re.findall(r'^\t{ "(/\w+)", (M_\w+)',
                        (ROOT / "api.c").read_text(), re.M)
    methods = {path: method[2:] for path, method in routes}
    titles = re.findall(r"^\.Ss (GET|POST) (/\w+)$", PAGE, re.M)
    assert len(titles) == 6
    for method, path in titles:
        assert methods[path] == method


def test_limits():
    assert "at most 1,024 bytes" in PAGE and "2,048\nprintable" in PAGE
    header = (ROOT / "store.h").read_text()
    assert re.search(r"REG_TO_MAX 2048\b", header)
    assert re.search(r"WEBPUSH_ENDPOINT_MAX 1024\b",
                     (ROOT / "webpush.h").read_text())
    assert re.search(r"UNTRUSTED_MAX 20\b", CODE)
    assert "can have 20 of webpush" in PAGE


def examples():
    found = []
    for block in re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", PAGE,
                            re.M | re.S):
        found += re.findall(r"^(?:curl|xapsd) .*?(?=^(?:curl|xapsd) |\Z)",
                            block, re.M | re.S)
    return found


def test_examples(start_xapsd, ways, workdir):
    """As they are typed, but for the socket and the configuration."""
    assert shutil.which("curl")
    daemon = start_xapsd(**{**ways, "pushAllow": "push.example.com"})
    (daemon.folder / "subscription.json").write_text(json.dumps({
        "endpoint": "https://push.example.com/other", "expirationTime": None,
        "keys": json.loads(re.search(
            r"{\n  \"Kind\": \"webpush\".*?}", PAGE, re.S)[0].replace(
                "P256dh", "p256dh").replace("Auth", "auth"))}))
    said = []
    for command in examples():
        done = subprocess.run(
            ["sh", "-ec", command.replace(
                "/run/xapsd/xapsd.sock", daemon.socket_path).replace(
                "curl ", "curl -sS --fail-with-body ", 1).replace(
                "xapsd register", "%s -c %s register" % (
                    executable(), daemon.config_path), 1)],
            cwd=daemon.folder, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, (command, done)
        said.append(done.stdout)
    key = said[0]
    assert len(said) == 7 and len(key) == 87 and said[1] == key
    had = json.loads(said[5])
    assert had["vapid"] == key
    assert sorted(s["id"] for s in had["subscriptions"]) == [
        "Firefox at work", "phone"]
    assert [(r["account"], r["kind"]) for r in json.loads(
        daemon.run("list", "--json").stdout)] == [
        ("Firefox at work", "webpush"), ("fcm", "fcm")]
