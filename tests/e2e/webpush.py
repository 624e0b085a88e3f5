"""npm's web-push, the other side of Web Push, where npm could fetch it."""

import json
import os
import subprocess

import pytest

from pushservice import b64, unb64
from xapsd import ROOT

PACKAGES = ROOT / "build/web-push"
RUN = ROOT / "tests/web-push/run.js"

needs_npm = pytest.mark.skipif(
    not (PACKAGES / "node_modules/web-push").exists(),
    reason="npm's web-push is not there: make web-push")


def ask_node(question, ca=None):
    env = dict(os.environ)
    if ca:
        env["NODE_EXTRA_CA_CERTS"] = str(ca)
    done = subprocess.run(
        ["node", str(RUN), str(PACKAGES)], input=json.dumps(question),
        capture_output=True, text=True, timeout=60, env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def send_by_npm(app, content, ca, **options):
    """Status of what npm's web-push sent."""
    return ask_node({"send": {"subscription": app.json, "payload": content,
                              "options": options}}, ca)["status"]


def open_by_npm(app, body):
    """The content, by npm's http_ece."""
    private = app.key.private_numbers().private_value.to_bytes(32, "big")
    said = ask_node({"open": {"body": b64(body), "private": b64(private),
                              "auth": b64(app.auth)}})
    return unb64(said["content"])
