"""README's and docs/others.md's examples of other phones and programs, as printed:
only the hosts are others, since those are not here."""

import json
import re
import shlex
import subprocess

import pytest

from hookserver import HookServer
from subscriptions import AUTH, ENDPOINT
from test_hooks import pytestmark   # noqa: F401 (needs the feature)
from test_kinds import P256DH
from xapsd import ROOT, executable

README = (ROOT / "README.md").read_text()
OTHERS = (ROOT / "docs/others.md").read_text()
HOOKS = [b for text in (README, OTHERS)
         for b in re.findall(r"^```yaml\n(.*?)^```$", text, re.M | re.S)]


def commands(text, first):
    return [line.strip() for line in
            re.findall(r"^ +(%s .*)$" % first, text, re.M)]


@pytest.mark.parametrize("text", HOOKS)
def test_hook(start_xapsd, workdir, text):
    folder = workdir / "hooks"
    folder.mkdir()
    name = re.match(r"# hooks/(\w+)\.yaml", text)
    path = folder / ((name[1] if name else "ntfy") + ".yaml")
    for file in re.findall(r"^tokenFile: (\S+)$", text, re.M):
        for place in (folder, workdir):
            (place / file).write_text("t0k_en\n")
            (place / file).chmod(0o600)
    with HookServer() as server:
        url = re.search(r"^url: (https?://[^/\n]+)(.*)$", text, re.M)
        path.write_text(text.replace(url[1], server.url().rstrip("/")))
        path.chmod(0o600)
        xapsd = start_xapsd(hooksDir=folder)
        xapsd.request("POST", "/notify", {
            "Username": "alice", "Mailbox": "INBOX",
            "Events": ["MessageNew"]})
        request, = server.wait()
        assert server.problems == []
    path.write_text(text)
    done = xapsd.run("check", "--offline", "--json")
    steps = json.loads(done.stdout)["steps"]
    assert all(s["result"] != "failed" for s in steps), steps
    if "{user}" in url[2]:
        assert request.target == url[2].replace("{user}", "alice")
        assert request.json() == {"text": "Mail for alice in INBOX",
                                  "unseen": None}


def test_all_kinds_of_hooks_are_printed():
    presets = {m for b in HOOKS for m in re.findall(r"^preset: (\w+)$", b, re.M)}
    assert presets == {"ntfy", "gotify", "homeassistant", "matrix"}
    assert any("preset" not in b for b in HOOKS)


def test_register_by_hand(start_xapsd, workdir, certs):
    (workdir / "subscription.json").write_text(json.dumps({
        "endpoint": "https://192.0.2.1/x", "expirationTime": None,
        "keys": {"p256dh": P256DH, "auth": AUTH}}))
    account = workdir / "firebase.json"
    account.write_text(json.dumps({
        "type": "service_account", "project_id": "shop-1",
        "private_key": fcm_key(), "client_email": "a@shop-1.example",
        "token_uri": "https://127.0.0.1:1/token"}))
    account.chmod(0o600)
    (key, name), = re.findall(r"^ +(fcmServiceAccount): (\S+)$", OTHERS, re.M)
    xapsd = start_xapsd(pushAllow="192.0.2.1", **{key: workdir / name})
    done = []
    for line in [*commands(README, "xapsd register"),
                 *commands(OTHERS, "xapsd register")]:
        words = shlex.split(line)
        assert words.pop(0) == "xapsd"
        done.append(subprocess.run(
            [executable(), "-c", xapsd.config_path, *words], text=True,
            cwd=workdir, capture_output=True))
        assert done[-1].returncode == 0, (line, done[-1])
    assert len(done) == 3
    kinds = {r.get("kind") for r in json.loads(
        xapsd.run("list", "--json").stdout)}
    assert kinds == {"webpush", "fcm"}


def fcm_key():
    from certs import key_pem, rsa_key
    return key_pem(rsa_key()).decode()


def test_vapid_by_curl(xapsd):
    line, = commands(OTHERS, "curl")
    words = [w.replace("/run/xapsd/xapsd.sock", xapsd.socket_path)
             for w in shlex.split(line)]
    done = subprocess.run([*words, "-s", "--fail"], capture_output=True,
                          text=True)
    assert re.fullmatch(r"[\w-]{87}", done.stdout.strip()), done


def test_targets_exist():
    for target in re.findall(r"\bmake (demo-\w+)", README + OTHERS):
        assert re.search(r"^%s:" % target, (ROOT / "Makefile").read_text(),
                         re.M), target
