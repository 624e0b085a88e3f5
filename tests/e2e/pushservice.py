"""Stand-in for push services that are not Apple's: HTTP/2 (python3-h2) and
HTTP/1.1, over TLS or in the clear.

    with PushService(certs) as service:         # https, h2 where it is offered
        app = service.subscribe(vapid=key)      # as a browser would
        x.request("POST", "/register", {"Kind": "webpush", **app.fields})
        push, = service.wait_for(1, app=app)
        assert push.content == {"user": "alice", ...}
        service.script(app.path, Answer(410))

A request to the path of a subscription is checked as RFC 8030, 8188, 8291 and
8292 have it, by python3-cryptography and python3-jwt, and answered 201; what is
wrong with it is in push.problem, and in problems().  Requests to other paths
are taken as they are and answered 200, for hooks and the like; check, a function
of the push, may raise Refused for these or return an Answer.  It runs in a
thread of its own; every method may be called from any thread."""

import asyncio
import base64
import collections
import json
import os
import re
import ssl
import time

import jwt
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from apple import Answer, Apple, Connection, Push, Refused, TIMEOUT_S

__all__ = ["Answer", "PushService", "Refused", "Subscription", "unseal"]

BODY_MAX = 4096             # of a web push; RFC 8030 7.2
REQUEST_MAX = 1 << 20       # of anything
JWT_AGE_MAX_S = 24 * 3600   # RFC 8292 2
TTL_MAX_S = 28 * 24 * 3600  # what several services take at most
URGENCIES = {"very-low", "low", "normal", "high"}
TOPIC = re.compile(r"[A-Za-z0-9_-]{1,32}\Z")


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    if not re.match(r"[A-Za-z0-9_-]*\Z", text):
        raise ValueError("not base64url: %r" % text)
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def point(key):
    return key.public_key().public_bytes(
        serialization.Encoding.X962,
        serialization.PublicFormat.UncompressedPoint)


def hkdf(salt, secret, info, length):
    return HKDF(hashes.SHA256(), length, salt, info).derive(secret)


def unseal(body, key, auth):
    """RFC 8291: (content, length of the record without its tag)."""
    salt, size, n = body[:16], int.from_bytes(body[16:20], "big"), body[20]
    sender, record = body[21:21 + n], body[21 + n:]
    if n != 65:
        raise ValueError("keyid of %d bytes" % n)
    if not 18 <= len(record) <= size:
        raise ValueError("a record of %d in %d bytes" % (len(record), size))
    secret = key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey
                          .from_encoded_point(ec.SECP256R1(), sender))
    ikm = hkdf(auth, secret, b"WebPush: info\0" + point(key) + sender, 32)
    cek = hkdf(salt, ikm, b"Content-Encoding: aes128gcm\0", 16)
    nonce = hkdf(salt, ikm, b"Content-Encoding: nonce\0", 12)
    padded = AESGCM(cek).decrypt(nonce, record, None)
    content = padded.rstrip(b"\0")
    if content[-1:] != b"\2":
        raise ValueError("no delimiter of the last record")
    return content[:-1], len(padded)


class Subscription:
    """One app: its keys, its address, what the service has for it.  vapid: our
    public key, to which the subscription is bound; None: to anybody's."""

    def __init__(self, service, vapid=None, host="localhost"):
        self.service, self.vapid = service, vapid
        self.key, self.auth = ec.generate_private_key(
            ec.SECP256R1()), os.urandom(16)
        self.path = "/wpush/" + b64(os.urandom(16))
        self.origin = service.origin(host)
        self.endpoint = self.origin + self.path
        self.p256dh = b64(point(self.key))
        self.waiting = {}       # by topic, as a service keeps for a device

    @property
    def fields(self):
        """Of POST /register."""
        return {"Endpoint": self.endpoint, "P256dh": self.p256dh,
                "Auth": b64(self.auth)}

    @property
    def json(self):
        """What PushSubscription.toJSON() gives."""
        return {"endpoint": self.endpoint, "expirationTime": None,
                "keys": {"p256dh": self.p256dh, "auth": b64(self.auth)}}


class H1(asyncio.Protocol):
    """A connection of HTTP/1.1; requests one after the other."""

    def __init__(self, service):
        self.apple, self.buffer, self.push = service, b"", None
        self.alpn, self.cert_topic, self.closed = None, None, False
        self.requests = 0

    def connection_made(self, transport):
        self.transport = transport
        self.tls = transport.get_extra_info("ssl_object")
        self.apple._opened(self)

    def connection_lost(self, exc):
        self.closed = True
        self.apple._closed(self)

    def data_received(self, data):
        self.apple._received(len(data))
        self.buffer += data
        self.read()

    def read(self):
        while self.push is None:
            head, found, rest = self.buffer.partition(b"\r\n\r\n")
            if not found:
                return
            try:
                push, n = self.parse(head.decode("ascii"))
            except (ValueError, UnicodeDecodeError) as e:
                self.apple._note_error("HTTP/1.1: %s: %r" % (e, head))
                self.transport.close()
                return
            if len(rest) < n:
                return
            push.body, self.buffer = rest[:n], rest[n:]
            self.push, self.requests = push, self.requests + 1
            self.apple._arrived(push)

    def parse(self, head):
        first, *lines = head.split("\r\n")
        method, target, version = first.split(" ")
        if version != "HTTP/1.1" or not target.startswith("/"):
            raise ValueError("request line")
        pairs = []
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon or name.strip() != name or not name:
                raise ValueError("header line")
            pairs.append((name.lower(), value.strip()))
        h = dict(pairs)
        if "host" not in h or "transfer-encoding" in h:
            raise ValueError("Host or length")
        scheme = "https" if self.tls else "http"
        pairs = [(":method", method), (":scheme", scheme), (":path", target),
                 (":authority", h["host"])] + [
                     (n, v) for n, v in pairs if n not in ("host",
                                                           "connection")]
        n = int(h.get("content-length", 0))
        if n > REQUEST_MAX:
            raise ValueError("content-length")
        return Push(self, self.requests, pairs), n

    def give(self, push, answer):
        if self.closed or self.push is not push:
            return
        push.answer = answer
        if answer.reset is not None:
            self.transport.abort()
            return
        body = answer.payload()
        head = "HTTP/1.1 %d Whatever\r\nContent-Length: %d\r\n" % (
            answer.status, len(body))
        head += "".join("%s: %s\r\n" % pair for pair in answer.headers)
        self.transport.write(head.encode() + b"\r\n" + body)
        self.push = None
        self.apple._notify()
        self.read()


class H2(Connection):
    def _cert_topic(self):
        return None


class Either(asyncio.Protocol):
    """Becomes one of both by what TLS has agreed on."""

    def __init__(self, service):
        self.service = service

    def connection_made(self, transport):
        tls = transport.get_extra_info("ssl_object")
        h2 = tls is not None and tls.selected_alpn_protocol() == "h2"
        connection = (H2 if h2 else H1)(self.service)
        transport.set_protocol(connection)
        connection.connection_made(transport)


class PushService(Apple):
    """h2: offered by ALPN; tls False: http:// and HTTP/1.1.  server: another
    certificate and key (a file).  For the rest see Apple."""

    def __init__(self, certs, h2=True, tls=True, check=None, **options):
        self.h2, self.is_tls, self.check = h2, tls, check
        super().__init__(certs, **options)
        self.apps = {}          # by path
        self.tokens = {}        # VAPID JWTs that were good: origin, key

    def _make_ssl(self, server, min_tls, max_tls):
        if not self.is_tls:
            return None
        context = super()._make_ssl(server, min_tls, max_tls)
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(
            ["h2", "http/1.1"] if self.h2 else ["http/1.1"])
        return context

    def _connection(self):
        return Either(self)

    def origin(self, host="localhost"):
        return "%s://%s:%d" % (
            "https" if self.is_tls else "http", host, self.port)

    def subscribe(self, vapid=None, host="localhost"):
        app = Subscription(self, vapid, host)
        self.apps[app.path] = app
        return app

    # --- scripts and waits by path ---

    def _scripted(self, push):
        for key in (push.path, None):
            queue = self._on_answer.get(key)
            if queue:
                entry = queue[0] if callable(queue[0]) else queue.popleft()
                return entry(push) if callable(entry) else entry
        return None

    def script(self, path, *answers):
        """As Apple's, by path (or a Subscription); None: to any."""
        self._on_answer.setdefault(
            getattr(path, "path", path), collections.deque()).extend(answers)

    def unscript(self, path=None):
        self._on_answer.pop(getattr(path, "path", path), None)

    def to(self, path):
        path = getattr(path, "path", path)
        with self._change:
            return [p for p in self.pushes if p.path == path]

    def wait_for(self, n, timeout=TIMEOUT_S, app=None):
        """The first n requests (to app, a Subscription or a path)."""
        return super().wait_for(n, timeout, token=app)

    # --- the check ---

    def _check(self, push):
        names = [n for n, _ in push.header_list]
        if len(set(names)) != len(names):
            raise Refused(400, "DuplicateHeaders", str(names))
        app = self.apps.get(push.path)
        if app is None:
            if push.path.startswith("/wpush/"):
                raise Refused(404, "NoSuchSubscription", push.path)
            if self.check:
                return self.check(push)
            return None
        self._check_push(push, app)
        topic = push.headers.get("topic", "push %d" % len(app.waiting))
        app.waiting[topic] = push
        return Answer(201)

    def _check_push(self, push, app):
        h = push.headers
        if h.get(":method") != "POST":
            raise Refused(405, "MethodNotAllowed", h.get(":method"))
        if h.get(":scheme") + "://" + h.get(":authority", "") != app.origin:
            raise Refused(400, "BadOrigin", str(h))
        self._check_vapid(h.get("authorization"), app)
        if not re.match(r"[0-9]{1,10}\Z", h.get("ttl", "")) or \
                int(h["ttl"]) > TTL_MAX_S:
            raise Refused(400, "BadTtl", str(h.get("ttl")))
        if h.get("urgency", "normal") not in URGENCIES:
            raise Refused(400, "BadUrgency", h["urgency"])
        if not TOPIC.match(h.get("topic", "x")):
            raise Refused(400, "BadTopic", h["topic"])
        if h.get("content-encoding") != "aes128gcm":
            raise Refused(415, "BadEncoding", str(h.get("content-encoding")))
        if h.get("content-length", str(len(push.body))) != str(
                len(push.body)):
            raise Refused(400, "BadLength", h["content-length"])
        if len(push.body) > BODY_MAX:
            raise Refused(413, "PayloadTooLarge", str(len(push.body)))
        try:
            text, push.padded = unseal(push.body, app.key, app.auth)
            push.content = json.loads(text)
        except (ValueError, InvalidTag, IndexError) as e:
            raise Refused(400, "CannotDecrypt", repr(e)) from None

    def _check_vapid(self, said, app):
        m = re.match(r"vapid t=([\w.-]+), ?k=([\w-]+)\Z", said or "")
        if not m:
            raise Refused(401, "MissingVapid", str(said))
        token, key = m.groups()
        if app.vapid is not None and key != app.vapid:
            raise Refused(403, "VapidPkHashMismatch", key)
        if self.tokens.get(token) != (app.origin, key):
            self._check_vapid_jwt(token, key, app)
            self.tokens[token] = app.origin, key
            if token not in self.jwts:
                self.jwts.append(token)
        claims = json.loads(unb64(token.split(".")[1]))
        now = time.time()
        if not now < claims["exp"] <= now + JWT_AGE_MAX_S:
            raise Refused(403, "BadJwtToken", "exp %r" % claims["exp"])

    def _check_vapid_jwt(self, token, key, app):
        bad = lambda what: Refused(403, "BadJwtToken", what)
        try:
            public = ec.EllipticCurvePublicKey.from_encoded_point(
                ec.SECP256R1(), unb64(key))
            header = jwt.get_unverified_header(token)
            claims = jwt.decode(token, public, algorithms=["ES256"],
                                options={"verify_aud": False,
                                         "verify_exp": False})
        except (jwt.PyJWTError, InvalidSignature, ValueError) as e:
            raise bad("%s: %s" % (type(e).__name__, e)) from None
        if header.get("typ", "JWT") != "JWT":
            raise bad("typ %r" % header)
        if claims.get("aud") != app.origin:
            raise bad("aud %r, not %r" % (claims.get("aud"), app.origin))
        if type(claims.get("exp")) is not int:
            raise bad("exp %r" % claims.get("exp"))
        sub = claims.get("sub")
        if sub is not None and not re.match(
                r"(mailto:[^@ ]+@|https://)[\w-]+(\.[\w-]+)+", sub):
            raise bad("sub %r" % sub)

    def _arrived(self, push):
        push.content = push.padded = None
        super()._arrived(push)
