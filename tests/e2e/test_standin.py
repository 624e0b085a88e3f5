"""The stand-in for Apple refuses what Apple refuses: asked by Node's HTTP/2
client, so that the other tests' `no problems` means something."""

import json
import socket
import ssl
import subprocess
import threading
import time

import jwt
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

import certs as certs_module
from apple import Answer, Apple
from phones import TOKEN


CLIENT = r"""
const http2 = require("http2"), fs = require("fs");
const job = JSON.parse(fs.readFileSync(0));
const session = http2.connect("https://localhost:" + job.port, {
    ca: fs.readFileSync(job.ca),
    lookup: (host, options, cb) => options.all
        ? cb(null, [{ address: "127.0.0.1", family: 4 }])
        : cb(null, "127.0.0.1", 4),
    cert: job.client && fs.readFileSync(job.client),
    key: job.client && fs.readFileSync(job.client),
});
const results = job.requests.map(() => ({ error: "not sent" }));
let left = results.length, goaway = null, started = false;
const out = () => { session.destroy(); process.stdout.write(
    JSON.stringify({ results, goaway })); };
session.on("goaway", (code, last, debug) => {
    goaway = { code, last, debug: debug && debug.toString() }; });
const failed = (e) => {
    if (started) return;
    started = true;
    results.fill({ error: e ? e.message : "closed" });
    out();
};
session.on("error", failed);
session.on("close", () => failed());
session.once("remoteSettings", () => {  // MAX_CONCURRENT_STREAMS is known
    started = true;
    job.requests.forEach(send);
});
function send(r, i) {
    const req = session.request(r.headers), got = { body: "" };
    req.setEncoding("utf8");
    req.on("response", (h) => {
        got.status = h[":status"]; got.id = h["apns-id"]; });
    req.on("data", (d) => { got.body += d; });
    req.on("error", (e) => { got.error = e.code + " " + e.message; });
    req.on("close", () => { results[i] = got; if (--left === 0) out(); });
    req.end(r.body);
}
"""


def ask(apple, *requests, client=None):
    """Sends all at once over one connection; -> (results, goaway)."""
    job = {"port": apple.port, "ca": apple.certs.ca, "client": client,
           "requests": [{"headers": h, "body": b} for h, b in requests]}
    done = subprocess.run(["node", "-e", CLIENT], input=json.dumps(job),
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    return got["results"], got["goaway"]


def bearer(certs, key=None, kid=certs_module.KEY_ID, age_s=0,
           iss=certs_module.TEAM_ID):
    return "bearer " + jwt.encode(
        {"iss": iss, "iat": int(time.time()) - age_s},
        key or certs.token_key, algorithm="ES256", headers={"kid": kid})


def request(certs, body=b'{"aps":{"account-id":"A"}}', **change):
    """A right request, less or other where `change` says so (None: without;
    names with _ for -)."""
    headers = {":method": "POST", ":path": "/3/device/" + TOKEN,
               "authorization": bearer(certs),
               "apns-topic": certs.key_topic,
               "apns-push-type": "background",
               "apns-expiration": str(int(time.time()) + 86400)}
    for name, value in change.items():
        name = name.replace("_", "-")
        name = ":" + name if name in ("method", "path") else name
        headers[name] = value
    return ({k: v for k, v in headers.items() if v is not None},
            body.decode())


def test_right_request_is_taken(certs):
    with Apple(certs) as apple:
        (got,), _ = ask(apple, request(certs))
        assert got["status"] == 200 and got["body"] == "" and got["id"]
        push, = apple.wait_for(1)
        assert push.token == TOKEN and push.aps == {"account-id": "A"}
        assert apple.problems() == []
        assert apple.bytes_received > 100


def test_what_is_refused(certs):
    other = certs_module.ec_key()
    cases = [
        (request(certs, method="PUT"), 405, "MethodNotAllowed"),
        (request(certs, path="/3/devices/" + TOKEN), 404, "BadPath"),
        (request(certs, path="/3/device/"), 400, "MissingDeviceToken"),
        (request(certs, path="/3/device/xyz"), 400, "BadDeviceToken"),
        (request(certs, path="/3/device/%s?x" % TOKEN), 400,
         "BadDeviceToken"),
        (request(certs, apns_topic=None), 400, "MissingTopic"),
        (request(certs, apns_topic="com.example"), 400, "TopicDisallowed"),
        (request(certs, apns_push_type=None), 400, "InvalidPushType"),
        (request(certs, apns_push_type="x"), 400, "InvalidPushType"),
        (request(certs, apns_expiration="soon"), 400, "BadExpirationDate"),
        (request(certs, apns_expiration="1"), 400, "BadExpirationDate"),
        (request(certs, apns_priority="7"), 400, "BadPriority"),
        (request(certs, authorization=None), 403, "MissingProviderToken"),
        (request(certs, authorization="basic x"), 403,
         "InvalidProviderToken"),
        (request(certs, authorization="bearer x.y.z"), 403,
         "InvalidProviderToken"),
        (request(certs, authorization=bearer(certs, key=other)), 403,
         "InvalidProviderToken"),
        (request(certs, authorization=bearer(certs, kid="ZZZZZ12345")), 403,
         "InvalidProviderToken"),
        (request(certs, authorization=bearer(certs, iss="NOBODY")), 403,
         "InvalidProviderToken"),
        (request(certs, authorization=bearer(certs, age_s=-600)), 403,
         "InvalidProviderToken"),
        (request(certs, authorization=bearer(certs, age_s=3700)), 403,
         "ExpiredProviderToken"),
        (request(certs, b""), 400, "PayloadEmpty"),
        (request(certs, b"{}"), 400, "PayloadEmpty"),
        (request(certs, b'{"aps":{"account-id":7}}'), 400, "PayloadEmpty"),
        (request(certs, b'{"aps":{"account-id":"A",}}'), 400,
         "PayloadEmpty"),
        (request(certs, b'{"aps":{"account-id":"%s"}}' % (b"A" * 4096)), 413,
         "PayloadTooLarge"),
    ]
    with Apple(certs) as apple:
        results, _ = ask(apple, *(case[0] for case in cases))
        for got, (sent, status, reason) in zip(results, cases):
            assert got["status"] == status, (sent, got)
            assert json.loads(got["body"])["reason"] == reason, sent
        assert len(apple.problems()) == len(cases)
        assert len(apple.pushes) == len(cases)


def test_certificate(certs):
    good = request(certs, authorization=None, apns_topic=certs.cert_topic)
    wrong = request(certs, authorization=None)
    with Apple(certs) as apple:
        (first, second), _ = ask(apple, good, wrong, client=certs.client)
        assert first["status"] == 200
        assert second["status"] == 400
        assert "TopicDisallowed" in second["body"]


def test_certificate_of_another_issuer(certs, workdir):
    key, cert = certs_module.CA("stranger").client(certs.cert_topic)
    path = certs_module.write(str(workdir / "stranger.pem"),
                              certs_module.cert_pem(cert),
                              certs_module.key_pem(key))
    with Apple(certs) as apple:
        (got,), _ = ask(apple, request(certs), client=path)
        assert "status" not in got
        assert apple.wait(lambda: apple.tls_errors, "a TLS error")
        assert apple.pushes == []


def test_scripted_answers(certs):
    with Apple(certs) as apple:
        apple.script(TOKEN, Answer(410, "Unregistered", timestamp=12345),
                     Answer(429, "TooManyRequests"),
                     Answer(reset=ErrorCodes.REFUSED_STREAM),
                     Answer(500, body=b"<html>", delay_s=0.05))
        results, _ = ask(apple, *[request(certs)] * 5)
        assert [r.get("status") for r in results] == [410, 429, None, 500, 200]
        assert json.loads(results[0]["body"]) == {
            "reason": "Unregistered", "timestamp": 12345}
        assert "REFUSED_STREAM" in results[2]["error"]
        assert results[3]["body"] == "<html>"


def test_goaway_keeps_its_word(certs):
    """The first is answered, what is above last is not."""
    with Apple(certs) as apple:
        apple.script(None, lambda push: push.stream == 3 and (
            push.connection.goaway(1, 0, b"bye") or Answer(never=True)))
        apple.hold()
        release = threading.Thread(
            target=lambda: (apple.wait_for(2), apple.release()))
        release.start()
        results, goaway = ask(apple, *[request(certs)] * 2)
        release.join()
        assert goaway == {"code": 0, "last": 1, "debug": "bye"}
        assert results[0]["status"] == 200
        assert "status" not in results[1]
        assert len(apple.pushes) == len(apple.disowned) == 1


def test_settings_and_coming_back(certs):
    with Apple(certs, settings={
            SettingCodes.MAX_CONCURRENT_STREAMS: 1}) as apple:
        results, _ = ask(apple, *[request(certs)] * 3)
        assert [r["status"] for r in results] == [200] * 3
        apple.go_away()
        (got,), _ = ask(apple, request(certs))
        assert "ECONNREFUSED" in got["error"]
        apple.come_back()
        (got,), _ = ask(apple, request(certs))
        assert got["status"] == 200
        assert apple.connections == 2
        apple.mode = "refuse"
        (got,), _ = ask(apple, request(certs))
        assert "status" not in got
        assert apple.connections == 3 and apple.handshakes == 2


def test_reset_in_one_read(certs):
    """A push that is taken back before it could be answered."""
    context = ssl.create_default_context(cafile=certs.ca)
    context.set_alpn_protocols(["h2"])
    headers, body = request(certs)
    headers = {":method": "POST", ":path": headers.pop(":path"),
               ":scheme": "https", ":authority": "localhost", **headers}
    h2 = H2Connection(H2Configuration(client_side=True))
    h2.initiate_connection()
    h2.send_headers(1, list(headers.items()))
    h2.send_data(1, body.encode(), end_stream=True)
    h2.reset_stream(1, ErrorCodes.CANCEL)
    with Apple(certs) as apple, \
            socket.create_connection(("127.0.0.1", apple.port), 30) as plain, \
            context.wrap_socket(plain, server_hostname="localhost") as s:
        s.sendall(h2.data_to_send())
        apple.wait(lambda: apple.resets == [ErrorCodes.CANCEL], "reset")
        assert len(apple.pushes) == 1 and apple.problems() == []


def test_gone_away_during_a_handshake(certs):
    """What was not open yet is dropped, too, as soon as it is."""
    context = ssl.create_default_context(cafile=certs.ca)
    context.set_alpn_protocols(["h2"])
    with Apple(certs) as apple:
        plain = socket.create_connection(("127.0.0.1", apple.port), 30)
        apple.wait(lambda: apple.connections == 1, "accepted connection")
        apple.go_away()
        try:
            with context.wrap_socket(plain, server_hostname="localhost") as s:
                while s.recv(4096):
                    pass
        except TimeoutError:
            pytest.fail("the connection stays")
        except OSError:
            pass        # a reset
        apple.wait_unconnected()
