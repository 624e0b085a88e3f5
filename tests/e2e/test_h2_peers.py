"""Pushes to HTTP/2 servers that others wrote: nghttpd and Node's http2.
(python-h2 is the stand-in of all other tests.)"""

import contextlib
import json
import re
import shutil
import socket
import subprocess
import time

from phones import ACCOUNT, token
from ports import free_port

DEVICES = 40


def wait_for(condition, what, limit_s=20):
    end = time.monotonic() + limit_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, "no " + what
        time.sleep(0.01)


class Peer:
    """A server process that writes what it sees to a file."""

    def __init__(self, command, log, port):
        self.log_path, self.port = log, port
        with open(log, "wb") as out:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def log(self):
        return self.log_path.read_text(errors="replace")

    def wait_listening(self):
        def listening():
            assert self.process.poll() is None, self.log()
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 5).close()
                return True
        wait_for(listening, "server on port %d" % self.port)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait()


def push_all(xapsd, rounds):
    """To every device, `rounds` times, each round answered before the next
    so that none is merged; waits until the daemon has all the answers."""
    for n in range(DEVICES):
        xapsd.register("u%d" % n, ACCOUNT, token(n))
    for done in range(rounds):
        for n in range(DEVICES):
            assert xapsd.notify("u%d" % n, keep=True).status == 200
        wait_for(lambda: xapsd.log().count("delivered to Apple") >=
                 DEVICES * (done + 1), "answers of round %d" % done)
    assert xapsd.log().count("delivered to Apple") == DEVICES * rounds
    assert xapsd.log().count("apns: connected") == 1


def test_nghttpd(start_xapsd, workdir, certs):
    """It answers 200 for files that are there."""
    devices = workdir / "root/3/device"
    devices.mkdir(parents=True)
    for n in range(DEVICES):
        (devices / token(n)).touch()
    port = free_port()
    command = [shutil.which("nghttpd") or "/usr/sbin/nghttpd", "-v",
               "-a", "127.0.0.1", "-d", str(workdir / "root"), str(port),
               certs.server, certs.server]
    with Peer(command, workdir / "nghttpd.log", port) as peer:
        peer.wait_listening()
        xapsd = start_xapsd(apple=peer)
        push_all(xapsd, rounds=3)
        xapsd.stop()
        # it left as RFC 9113 6.8 wants it
        wait_for(lambda: re.search(r"recv GOAWAY frame.*\n.*NO_ERROR",
                                   peer.log()), "GOAWAY")
        seen = peer.log()
        for n in range(DEVICES):
            assert seen.count(":path: /3/device/" + token(n)) == 3
        assert seen.count("apns-topic: " + certs.key_topic) == 3 * DEVICES
        assert seen.count("authorization: bearer ") == 3 * DEVICES
        assert seen.count(":status: 200") == 3 * DEVICES


NODE = r"""
const http2 = require("http2"), fs = require("fs");
const pem = fs.readFileSync(process.argv[1]);
const server = http2.createSecureServer({ key: pem, cert: pem,
    settings: { maxConcurrentStreams: 7, headerTableSize: 256 } });
const say = (what) => process.stdout.write(JSON.stringify(what) + "\n");
server.on("session", () => say({ session: true }));
server.on("sessionError", (e) => say({ error: e.message }));
server.on("stream", (stream, headers) => {
    let body = "";
    stream.setEncoding("utf8");
    stream.on("error", (e) => say({ error: e.message }));
    stream.on("data", (d) => { body += d; });
    stream.on("end", () => {
        say({ path: headers[":path"], topic: headers["apns-topic"],
            bearer: headers["authorization"], body: JSON.parse(body) });
        stream.respond({ ":status": 200, "apns-id": "0" },
            { endStream: true });
    });
});
server.listen(Number(process.argv[2]), "127.0.0.1");
"""


def test_node(start_xapsd, workdir, certs):
    """With 7 streams at a time and a header table of 256 bytes."""
    port = free_port()
    with Peer(["node", "-e", NODE, certs.server, str(port)],
              workdir / "node.log", port) as peer:
        peer.wait_listening()
        xapsd = start_xapsd(apple=peer)
        push_all(xapsd, rounds=3)
        xapsd.stop()
        said = [json.loads(line) for line in peer.log().splitlines()
                if line.startswith("{")]    # node has warnings of its own
        assert [s for s in said if "error" in s] == []
        assert len([s for s in said if "session" in s]) == 1
        pushes = [s for s in said if "path" in s]
        assert len(pushes) == 3 * DEVICES
        assert {p["path"] for p in pushes} == {
            "/3/device/" + token(n) for n in range(DEVICES)}
        for p in pushes:
            assert p["topic"] == certs.key_topic
            assert p["bearer"].startswith("bearer ")
            assert p["body"]["aps"]["account-id"] == ACCOUNT
