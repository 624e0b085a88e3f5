"""Hooks and programs of others: ntfy's server, Node's HTTP/1.1 and HTTP/2, haproxy,
and mail from a real Dovecot."""

import json
import os
import shutil
import subprocess
import urllib.request

import pytest

from hookserver import HookServer
from ports import free_port
from test_hooks import (HOSTILE, hooks, idle, notify, pytestmark,  # noqa: F401
                        put, start)
from test_journey import mail
from xapsd import ROOT

NTFY = shutil.which("ntfy") or ROOT / "build/ntfy/usr/bin/ntfy"
TOPIC = "mail-4711"


class Program:
    """One that listens to a port, its output in a file."""

    def __init__(self, folder, port, *command, **env):
        self.port, self.command = port, [str(c) for c in command]
        self.log_path = folder / "program.log"
        self.env = {**os.environ, **{k: str(v) for k, v in env.items()}}

    def __enter__(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, env=self.env, start_new_session=True)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def log(self):
        """Its lines so far, the one that it is writing left out."""
        assert self.process.poll() is None, self.log_path.read_text()
        return self.log_path.read_bytes().rpartition(b"\n")[0].decode()


# --- ntfy ---

@pytest.fixture
def ntfy(workdir):
    """One that wants a token; (URL of the topic, token, what it has got)."""
    if not os.access(NTFY, os.X_OK):
        pytest.skip("no ntfy: make ntfy")
    config = workdir / "server.yml"
    port = free_port()
    config.write_text(
        "base-url: http://127.0.0.1:%d\nlisten-http: 127.0.0.1:%d\n"
        "cache-file: %s/cache.db\nauth-file: %s/auth.db\n"
        "auth-default-access: deny-all\n" % (port, port, workdir, workdir))

    def run(*args):
        done = subprocess.run(
            [str(NTFY), *args[:1], "--config", config, *args[1:]],
            capture_output=True, text=True, timeout=60,
            env={**os.environ, "NTFY_PASSWORD": "x y z"})
        assert done.returncode == 0, done
        return done.stdout + done.stderr

    with Program(workdir, port, NTFY, "serve", "--config", config) as server:
        yield server, port, run


def got(port, token):
    """What a phone that follows the topic has been told."""
    ask = urllib.request.Request(
        "http://127.0.0.1:%d/%s/json?poll=1" % (port, TOPIC),
        headers={"Authorization": "Bearer " + token})
    with urllib.request.urlopen(ask, timeout=20) as answer:
        lines = answer.read().decode().split("\n")
    return [json.loads(line) for line in lines if line]


def test_ntfy(start, hooks, ntfy):
    server, port, run = ntfy
    hooks.write("phone", preset="ntfy", tokenFile="token",
                url="http://127.0.0.1:%d/%s" % (port, TOPIC))
    put(hooks.folder / "token", "tk_wrong\n")
    xapsd = start()
    xapsd.wait_until(lambda: "Listening" in server.log(), "ntfy", 60)
    run("user", "add", "alice")
    run("access", "alice", TOPIC, "read-write")
    token = next(w for w in run("token", "add", "alice").split()
                 if w.startswith("tk_"))
    notify(xapsd, "alice", "INBOX")
    xapsd.wait_log(r"hook phone: .*refuses our credentials \(401\)")
    assert got(port, token) == []
    put(hooks.folder / "token", token + "\n")
    idle(xapsd)
    message, = got(port, token)
    assert (message["title"], message["message"], message["tags"]) == (
        "New mail", "alice: INBOX", ["envelope"])
    for name in HOSTILE:
        notify(xapsd, name, name)
        idle(xapsd)
    assert [m["message"] for m in got(port, token)[1:]] == [
        ("%s: %s" % (name, name)).strip() for name in HOSTILE]  # by ntfy
    assert token not in xapsd.log()


# --- Node ---

NODE = """
const http = require("http"), http2 = require("http2"), fs = require("fs");
const [port, protocol, pem] = process.argv.slice(2);
const handler = (req, res) => {
	const parts = [];
	req.on("data", p => parts.push(p));
	req.on("end", () => {
		const body = Buffer.concat(parts).toString("utf8");
		const type = req.headers["content-type"];
		const url = new URL(req.url, "http://x");
		process.stdout.write(JSON.stringify({
			version: req.httpVersion, method: req.method,
			path: url.pathname,
			query: Object.fromEntries(url.searchParams),
			host: req.headers.host || req.headers[":authority"],
			header: Buffer.from(req.headers["x-box"], "latin1")
				.toString("utf8"),
			body: type == "application/json" ? JSON.parse(body) :
				type == "application/x-www-form-urlencoded" ?
				Object.fromEntries(new URLSearchParams(body)) :
				body }) + "\\n");
		res.writeHead(200);
		res.end("ok");
	});
};
const tls = pem && { key: fs.readFileSync(pem), cert: fs.readFileSync(pem) };
const server = !tls ? http.createServer(handler) :
	protocol == "h2" ? http2.createSecureServer(tls, handler) :
	require("https").createServer(tls, handler);
server.listen(port, "localhost", () => console.log('"listening"'));
"""


@pytest.fixture
def node(workdir, certs):
    """Starts one: its URL, and a function that gives what it has got."""
    running = []

    def run(protocol):
        port = free_port()
        script = workdir / "server.js"
        script.write_text(NODE)
        program = Program(workdir, port, "node", script, port, protocol,
                          *[certs.server] * (protocol != "http"))
        running.append(program)
        program.__enter__()
        return "%s://localhost:%d" % (
            "http" if protocol == "http" else "https", port), program

    yield run
    for program in running:
        program.__exit__()


def lines(program):
    return [json.loads(line) for line in program.log().split("\n")
            if line.endswith("}") or line == '"listening"']


@pytest.mark.parametrize("content", ["json", "url", "text"])
@pytest.mark.parametrize("protocol", ["http", "https", "h2"])
def test_node(start, hooks, node, certs, protocol, content):
    """Hostile names, as another's parsers of HTTP, URLs, JSON and forms see them."""
    url, program = node(protocol)
    body = {"json": '{"u":{user},"m":"{mailbox}"}',
            "url": "u={user}&m={mailbox}", "text": "{user}\t{mailbox}"}[content]
    hooks.write("own", {"X-Box": "{mailbox}"}, content=content,
                body=body, url=url + "/x/?m={mailbox}")
    xapsd = start(caFile=certs.ca)
    xapsd.wait_until(lambda: '"listening"' in program.log(), "Node", 60)
    for i, name in enumerate(HOSTILE):
        notify(xapsd, name, name)
    got = xapsd.wait_until(
        lambda: len(lines(program)) > len(HOSTILE) and lines(program)[1:],
        "all requests")
    assert {g["version"] for g in got} == {"2.0" if protocol == "h2" else "1.1"}
    for g in got:
        name = g["query"]["m"]
        assert g["header"] == name
        assert g["body"] == ("%s\t%s" % (name, name) if content == "text"
                             else {"u": name, "m": name})
        assert g["host"] == url.partition("//")[2]
    assert {g["query"]["m"] for g in got} == set(HOSTILE)
    idle(xapsd)
    done = xapsd.run("check")
    assert "hook own" in done.stdout and "FAILED" not in done.stdout


def test_certificate(start, hooks, node, certs):
    """Of somebody whom caFile does not vouch for: nothing is sent."""
    url, program = node("h2")
    hooks.write("own", {"X-Box": "s3cret"}, url=url + "/s3cret")
    xapsd = start()         # the system's bundle
    xapsd.wait_until(lambda: '"listening"' in program.log(), "Node", 60)
    notify(xapsd)
    xapsd.wait_log("hook own: .*certificate")
    assert lines(program) == ["listening"]
    done = xapsd.run("check")
    assert done.returncode == 1 and "certificate" in done.stdout
    assert "s3cret" not in xapsd.log() + done.stdout + done.stderr
    xapsd.config["caFile"] = certs.ca
    xapsd.write_config()
    xapsd.process.send_signal(1)
    idle(xapsd)
    assert len(lines(program)) == 2


# --- the way of a mail ---

@pytest.mark.journey
def test_mail(start, hooks, start_dovecot):
    """A mail to a user without a phone, from Dovecot to the hook."""
    with HookServer() as server:
        hooks.write("own", url=server.url("/{user}"))
        xapsd = start()
        dovecot = start_dovecot("unix:" + xapsd.socket_path)
        dovecot.deliver("alice", mail())
        request, = server.wait()
        assert request.json()["user"] == "alice"
        assert request.json()["mailbox"] == "INBOX"
        assert request.json()["event"] == "new"
        with dovecot.imap("alice") as imap:
            imap.ok("SELECT INBOX")
        idle(xapsd)
