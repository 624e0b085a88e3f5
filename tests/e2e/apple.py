"""Stand-in for Apple's push service: HTTP/2 over TLS by python3-h2.

    with Apple(certs) as apple:
        ...                             # the daemon connects to apple.port
        push, = apple.wait_for(1)
        apple.script(TOKEN, Answer(429, "TooManyRequests"))

It checks every request as Apple would (and what this project's contract says
beyond that), answers, and remembers.  It runs in a thread of its own; every
method may be called from any thread.  As a program it prints what arrives:
apple.py --help."""

import argparse
import asyncio
import collections
import concurrent.futures
import dataclasses
import json
import os
import re
import socket
import ssl
import struct
import sys
import tempfile
import threading
import time
import uuid

import jwt
from cryptography import x509
from cryptography.x509.oid import NameOID
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2 import events
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame

import certs as certs_module
from ports import bind_port

PAYLOAD_MAX = 4096
JWT_AGE_MAX_S = 3600
CLOCK_SLACK_S = 60
TOKEN = re.compile(r"[0-9a-f]{16,200}\Z")
PUSH_TYPES = {"alert", "background", "location", "voip", "complication",
              "fileprovider", "mdm"}
TIMEOUT_S = 20  # of every wait, unless said: wide, for valgrind and load


@dataclasses.dataclass
class Answer:
    """The answer to one request.  body None: Apple's JSON with the reason."""
    status: int = 200
    reason: str = None
    headers: tuple = ()         # more (name, value) pairs
    timestamp: int = None       # ms, of a 410
    body: bytes = None
    delay_s: float = 0
    reset: int = None           # RST_STREAM with this code instead
    never: bool = False         # no answer at all

    def payload(self):
        if self.body is not None:
            return self.body
        if self.reason is None:
            return b""
        said = {"reason": self.reason}
        if self.timestamp is not None:
            said["timestamp"] = self.timestamp
        return json.dumps(said).encode()


class Refused(Exception):
    """The check's verdict; detail is for people."""

    def __init__(self, status, reason, detail=""):
        super().__init__("%d %s%s" % (status, reason,
                                      ": " + detail if detail else ""))
        self.answer = Answer(status, reason)


class Push:
    """One request as it arrived."""

    def __init__(self, connection, stream, header_list):
        self.connection, self.stream = connection, stream
        self.header_list = header_list
        self.headers = dict(header_list)
        self.body = b""
        self.at = None          # time.monotonic() of its last byte
        self.wall = None
        self.answer = None      # None until it is given
        self.problem = None     # why the check refused it

    @property
    def path(self):
        return self.headers.get(":path", "")

    @property
    def token(self):
        return self.path.rpartition("/")[2]

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def aps(self):
        return self.json["aps"]

    def __repr__(self):
        said = "unanswered" if self.answer is None else "%s %s" % (
            self.answer.status, self.answer.reason or "")
        return "<push %s… %s %s>" % (
            self.token[:8], said.strip(), self.problem or "")


class Connection(asyncio.Protocol):
    """One of the daemon's connections; lives in the loop's thread."""

    def __init__(self, apple):
        self.apple = apple
        self.streams = {}       # id -> Push, until answered or reset
        self.reset = set()      # streams that the client has reset
        self.unsent = {}        # id -> body bytes that wait for a window
        self.highest = 0
        self.last = None        # of our GOAWAY
        self.client_settings = {}
        self.pings = 0
        self.said_goodbye = None    # code of the peer's GOAWAY
        self.closed = False

    # --- asyncio ---

    def connection_made(self, transport):
        self.transport = transport
        self.tls = transport.get_extra_info("ssl_object")
        self.alpn = self.tls.selected_alpn_protocol()
        self.server_name = getattr(self.tls, "asked_for", None)
        self.cert_topic = self._cert_topic()
        config = H2Configuration(client_side=False, header_encoding="utf-8")
        self.h2 = H2Connection(config)
        self.h2.local_settings = Settings(
            client=False, initial_values=dict(self.apple.settings))
        if self.alpn != "h2":
            self.apple._note_error("ALPN is %r, not h2" % self.alpn)
            transport.abort()
            return
        self.h2.initiate_connection()
        self.flush()
        self.apple._opened(self)

    def _cert_topic(self):
        der = self.tls.getpeercert(binary_form=True)
        if not der:
            return None
        subject = x509.load_der_x509_certificate(der).subject
        uids = subject.get_attributes_for_oid(NameOID.USER_ID)
        return uids[-1].value if uids else ""

    def data_received(self, data):
        self.apple._received(len(data))
        try:
            read = self.h2.receive_data(data)
            # A push and its end may come in one read: h2 knows both by now.
            self.reset.update(event.stream_id for event in read
                              if isinstance(event, events.StreamReset))
            for event in read:
                self._handle(event)
        except (ProtocolError, UnicodeDecodeError) as e:
            self.apple._note_error("%s: %s" % (type(e).__name__, e))
            self.flush()
            self.transport.close()
            return
        self.flush()

    def connection_lost(self, exc):
        self.closed = True
        self.apple._closed(self)

    def flush(self):
        data = self.h2.data_to_send()
        if data and not self.transport.is_closing():
            self.transport.write(data)

    def wire_bytes(self):
        """TCP payload received: TLS's own bytes included."""
        info = self.transport.get_extra_info("socket").getsockopt(
            socket.IPPROTO_TCP, socket.TCP_INFO, 192)
        return struct.unpack_from("=Q", info, 128)[0]

    # --- HTTP/2 ---

    def _handle(self, event):
        if isinstance(event, events.RequestReceived):
            self.highest = max(self.highest, event.stream_id)
            if self.last is None or event.stream_id <= self.last:
                self.streams[event.stream_id] = Push(
                    self, event.stream_id, list(event.headers))
        elif isinstance(event, events.DataReceived):
            self.h2.acknowledge_received_data(
                event.flow_controlled_length, event.stream_id)
            push = self.streams.get(event.stream_id)
            if push and len(push.body) <= PAYLOAD_MAX:
                push.body += event.data
        elif isinstance(event, events.StreamEnded):
            push = self.streams.get(event.stream_id)
            if push:
                self.apple._arrived(push)
        elif isinstance(event, events.StreamReset):
            self.streams.pop(event.stream_id, None)
            self.unsent.pop(event.stream_id, None)
            self.apple._note_reset(event.error_code)
        elif isinstance(event, events.RemoteSettingsChanged):
            for code, change in event.changed_settings.items():
                self.client_settings[code] = change.new_value
        elif isinstance(event, events.WindowUpdated):
            for stream in set(self.unsent) - self.reset:
                self._send_body(stream, self.unsent.pop(stream))
        elif isinstance(event, events.PingReceived):
            self.pings += 1
            self.apple._notify()
        elif isinstance(event, events.ConnectionTerminated):
            self.said_goodbye = event.error_code
            self.apple._notify()

    def give(self, push, answer):
        """Answers now; quietly nothing if the stream is gone."""
        if self.streams.pop(push.stream, None) is None or self.closed or \
                push.stream in self.reset:
            return
        push.answer = answer
        try:
            if answer.reset is not None:
                self.h2.reset_stream(push.stream, answer.reset)
            else:
                self._send(push.stream, answer)
        except ProtocolError as e:
            self.apple._note_error("%s: %s" % (type(e).__name__, e))
        self.flush()
        self._close_if_done()
        self.apple._notify()

    def _send(self, stream, answer):
        body = answer.payload()
        headers = [(":status", str(answer.status)),
                   ("apns-id", str(uuid.uuid4()).upper())]
        if body:
            headers.append(("content-type", "application/json"))
        headers += answer.headers
        self.h2.send_headers(stream, headers, end_stream=not body)
        if body:
            self._send_body(stream, body)

    def _send_body(self, stream, body):
        while body:
            n = min(self.h2.local_flow_control_window(stream),
                    self.h2.max_outbound_frame_size, len(body))
            if n <= 0:
                self.unsent[stream] = body
                return
            self.h2.send_data(stream, body[:n], end_stream=n == len(body))
            body = body[n:]

    def goaway(self, last=None, error=0, debug=b"", close=True):
        """GOAWAY; what is above `last` (default: all that came counts as
        processed) is never answered.  Then closes when the rest is done."""
        self.last = self.highest if last is None else last
        self.flush()
        self.transport.write(GoAwayFrame(
            0, last_stream_id=self.last, error_code=error,
            additional_data=debug).serialize())
        for stream in [s for s in self.streams if s > self.last]:
            self.apple._disown(self.streams.pop(stream))
        self.close_after = close
        self._close_if_done()

    def _close_if_done(self):
        if self.last is not None and self.close_after and not self.streams:
            self.transport.close()

    def change(self, settings):
        self.h2.update_settings(settings)
        self.flush()


class Watched:
    """What threads change and tests wait for."""

    def __init__(self):
        self._change = threading.Condition()

    def _notify(self):
        with self._change:
            self._change.notify_all()

    def _so_far(self):
        """For the message of a wait in vain."""
        return ""

    def wait(self, condition, what, timeout=TIMEOUT_S):
        """Waits until condition() is true and returns its value."""
        end = time.monotonic() + timeout
        with self._change:
            while True:
                value = condition()
                if value:
                    return value
                left = end - time.monotonic()
                if left <= 0:
                    raise AssertionError("no %s within %g s%s" % (
                        what, timeout, self._so_far()))
                # not every change is announced
                self._change.wait(min(left, 0.05))


class Apple(Watched):
    """The service.  Public: port, pushes, problems, errors, tls_errors,
    connections, handshakes, resumed, bytes_received, resets."""

    def __init__(self, certs, host="127.0.0.1", port=0, topic=None,
                 server=None, settings=None, min_tls=None, max_tls=None,
                 on_push=None):
        super().__init__()
        self.certs = certs
        self.host = host
        self.topic = topic or certs.key_topic   # of the token key
        # by key id: key, team, topic; a test may add others
        self.keys = {certs.key_id: (certs.token_key, certs.team_id, None)}
        self.settings = {SettingCodes.MAX_CONCURRENT_STREAMS: 1000,
                         SettingCodes.MAX_HEADER_LIST_SIZE: 8000}
        self.settings.update(settings or {})
        self.pushes = []            # every request, in order of arrival
        self.disowned = []          # those that a GOAWAY took back
        self.errors = []            # the peer broke HTTP/2
        self.tls_errors = []
        self.connections = 0        # accepted by TCP
        self.handshakes = 0         # came as far as HTTP/2
        self.resumed = 0            # of these, by an earlier session
        self.bytes_received = 0     # inside TLS
        self.resets = []            # codes of RST_STREAM from the peer
        self.jwts = []              # different ones, in order
        self.mode = "serve"         # or "refuse", "hang": of new connections
        self.on_push = on_push      # called in the loop's thread
        self._on_answer = {}        # token or None -> deque of answers
        self._holding = False
        self._held = []
        self._open = []
        self._hung = []
        self._listener = None
        self._good_jwts = {}        # and the topics of their keys
        self._ssl = self._make_ssl(server or certs.server, min_tls, max_tls)
        self._sock = bind_port(host, port)
        self.port = self._sock.getsockname()[1]
        self._loop = None
        self._thread = None

    def _make_ssl(self, server, min_tls, max_tls):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = min_tls or ssl.TLSVersion.TLSv1_2
        if max_tls:
            context.maximum_version = max_tls
        context.load_cert_chain(server)
        context.load_verify_locations(self.certs.ca)
        context.verify_mode = ssl.CERT_OPTIONAL
        context.set_alpn_protocols(["h2"])

        def remember(sslobj, server_name, _context):
            sslobj.asked_for = server_name

        context.sni_callback = remember
        return context

    # --- life ---

    def start(self):
        ready = threading.Event()

        def run():
            self._loop = asyncio.new_event_loop()
            # a lost TLS connection is a fact of the tests, not an event
            self._loop.set_exception_handler(lambda loop, context: None)
            self._loop.call_soon(ready.set)
            self._loop.run_forever()
            self._loop.close()

        self._thread = threading.Thread(target=run, daemon=True, name="apple")
        self._thread.start()
        ready.wait()
        self._in_loop(self._listen)
        return self

    def stop(self):
        if not self._thread:
            self._sock.close()
            return
        self._in_loop(self._unlisten)
        self._in_loop(self._drop_all)
        asyncio.run_coroutine_threadsafe(
            self._cancel_tasks(), self._loop).result(TIMEOUT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(TIMEOUT_S)
        self._thread = None

    async def _cancel_tasks(self):
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    def _in_loop(self, fn, *args):
        if threading.current_thread() is self._thread:
            return fn(*args)
        done = concurrent.futures.Future()

        def call():
            try:
                done.set_result(fn(*args))
            except BaseException as e:
                done.set_exception(e)

        self._loop.call_soon_threadsafe(call)
        return done.result(TIMEOUT_S)

    # --- listening ---

    def _listen(self):
        if self._sock is None:
            self._sock = bind_port(self.host, self.port)
        self._sock.listen(128)
        self._sock.setblocking(False)
        self._listener = self._loop.create_task(self._accept(self._sock))

    def _unlisten(self):
        if self._listener:
            self._listener.cancel()
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()
            self._listener = self._sock = None

    async def _accept(self, listening):
        while True:
            sock, _ = await self._loop.sock_accept(listening)
            with self._change:
                self.connections += 1
                self._change.notify_all()
            if self.mode == "refuse":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                struct.pack("ii", 1, 0))
                sock.close()
            elif self.mode == "hang":
                self._hung.append(sock)
            else:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._loop.create_task(self._serve(sock))

    def _connection(self):
        return Connection(self)

    async def _serve(self, sock):
        try:
            await self._loop.connect_accepted_socket(
                self._connection, sock, ssl=self._ssl)
        except (OSError, ssl.SSLError, asyncio.TimeoutError) as e:
            with self._change:
                self.tls_errors.append(str(e) or type(e).__name__)
                self._change.notify_all()

    # --- called by connections, in the loop's thread ---

    def _opened(self, connection):
        with self._change:
            self.handshakes += 1
            self.resumed += bool(
                connection.tls and connection.tls.session_reused)
            self._open.append(connection)
            self._change.notify_all()
        # Its handshake was under way when we went away: dropped like the rest.
        if self._listener is None:
            connection.transport.abort()

    def _closed(self, connection):
        with self._change:
            if connection in self._open:
                self._open.remove(connection)
            self._change.notify_all()

    def _received(self, n):
        self.bytes_received += n

    def _note_error(self, what):
        with self._change:
            self.errors.append(what)
            self._change.notify_all()

    def _note_reset(self, code):
        with self._change:
            self.resets.append(code)
            self._change.notify_all()

    def _disown(self, push):
        with self._change:
            if push in self.pushes:
                self.pushes.remove(push)
            self._held = [h for h in self._held if h[0] is not push]
            self.disowned.append(push)

    def _arrived(self, push):
        push.at, push.wall = time.monotonic(), time.time()
        answer = Answer()
        try:
            answer = self._check(push) or answer
        except Refused as e:
            push.problem, answer = str(e), e.answer
        # Whoever sees the push sees what was answered at once, too.
        with self._change:
            self.pushes.append(push)
            if self._holding:
                self._held.append((push, answer))
            else:
                self._answer(push, answer)
            self._change.notify_all()
        if self.on_push:
            self.on_push(push)

    def _answer(self, push, verdict):
        answer = self._scripted(push) or verdict
        if answer.never:
            return
        if answer.delay_s:
            self._loop.call_later(
                answer.delay_s, push.connection.give, push, answer)
        else:
            push.connection.give(push, answer)

    def _scripted(self, push):
        for key in (push.token, None):
            queue = self._on_answer.get(key)
            if queue:
                entry = queue[0] if callable(queue[0]) else queue.popleft()
                return entry(push) if callable(entry) else entry
        return None

    # --- the check ---

    def _check(self, push):
        names = [n for n, _ in push.header_list]
        if len(set(names)) != len(names):
            raise Refused(400, "DuplicateHeaders", str(names))
        self._check_path(push)
        self._check_identity(push)
        self._check_headers(push.headers)
        self._check_body(push.body)

    def _check_path(self, push):
        h = push.headers
        if h.get(":method") != "POST":
            raise Refused(405, "MethodNotAllowed", str(h.get(":method")))
        if h.get(":scheme") != "https" or not h.get(":authority"):
            raise Refused(400, "BadPath", "scheme or authority missing")
        if not push.path.startswith("/3/device/"):
            raise Refused(404, "BadPath", push.path)
        if push.path == "/3/device/":
            raise Refused(400, "MissingDeviceToken")
        if not TOKEN.match(push.path[len("/3/device/"):]):
            raise Refused(400, "BadDeviceToken", push.path)

    def _check_identity(self, push):
        bearer = push.headers.get("authorization")
        topic = push.headers.get("apns-topic")
        if bearer is not None:
            mine = self._check_bearer(bearer) or self.topic
        elif push.connection.cert_topic is not None:
            mine = push.connection.cert_topic
        else:
            raise Refused(403, "MissingProviderToken")
        if not topic:
            raise Refused(400, "MissingTopic")
        if topic != mine:
            raise Refused(400, "TopicDisallowed", topic)

    def _check_bearer(self, bearer):
        kind, _, token = bearer.partition(" ")
        if kind.lower() != "bearer":
            raise Refused(403, "InvalidProviderToken", "not bearer")
        if token not in self._good_jwts:
            self._good_jwts[token] = self._check_jwt(token)
            self.jwts.append(token)
        iat = jwt.decode(token, options={"verify_signature": False})["iat"]
        if iat < time.time() - JWT_AGE_MAX_S:
            raise Refused(403, "ExpiredProviderToken", "iat %s" % iat)
        return self._good_jwts[token]

    def _check_jwt(self, token):
        bad = lambda what: Refused(403, "InvalidProviderToken", what)
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            if kid not in self.keys:
                raise bad("kid %r" % kid)
            key, team, topic = self.keys[kid]
            claims = jwt.decode(
                token, key.public_key(), algorithms=["ES256"],
                options={"verify_iat": False, "verify_exp": False})
        except jwt.PyJWTError as e:
            raise bad("%s: %s" % (type(e).__name__, e)) from None
        if claims.get("iss") != team:
            raise bad("iss %r" % claims.get("iss"))
        iat = claims.get("iat")
        if type(iat) is not int or iat > time.time() + CLOCK_SLACK_S:
            raise bad("iat %r" % iat)
        return topic

    def _check_headers(self, h):
        if h.get("apns-push-type") not in PUSH_TYPES:
            raise Refused(400, "InvalidPushType", str(h.get("apns-push-type")))
        # may be left out: Apple keeps the push as long as it likes
        expiration = h.get("apns-expiration", str(2 ** 32))
        if not re.match(r"[0-9]{1,12}\Z", expiration) or (
                int(expiration) <= time.time()):
            raise Refused(400, "BadExpirationDate", expiration)
        if h.get("apns-priority", "10") not in ("1", "5", "10"):
            raise Refused(400, "BadPriority", h["apns-priority"])

    def _check_body(self, body):
        if not body:
            raise Refused(400, "PayloadEmpty")
        if len(body) > PAYLOAD_MAX:
            raise Refused(413, "PayloadTooLarge", str(len(body)))
        try:
            aps = json.loads(body)["aps"]
            ok = isinstance(aps["account-id"], str) and aps["account-id"]
        except (ValueError, KeyError, TypeError) as e:
            raise Refused(400, "PayloadEmpty", "%r in %r" % (e, body)) from e
        if not ok:
            raise Refused(400, "PayloadEmpty", "account-id in %r" % body)

    # --- what tests call ---

    def _so_far(self):
        return ("; Apple has %r, %d connections, HTTP/2 errors %r, "
                "TLS errors %r" % (self.pushes, self.connections, self.errors,
                                   self.tls_errors))

    def to(self, token):
        """The requests for this device so far."""
        with self._change:
            return [p for p in self.pushes if p.token == token.lower()]

    def wait_for(self, n, timeout=TIMEOUT_S, token=None):
        """The first n requests (to token, if given), once they are there."""
        def enough():
            found = self.to(token) if token else list(self.pushes)
            return found[:n] if len(found) >= n else None
        return self.wait(enough, "%d pushes" % n, timeout)

    def wait_connected(self, n=1, timeout=TIMEOUT_S):
        """Until the n-th connection ever has come as far as HTTP/2 and one is
        open; returns the youngest."""
        return self.wait(
            lambda: self.handshakes >= n and self._open and self._open[-1],
            "connection %d" % n, timeout)

    def wait_unconnected(self, timeout=TIMEOUT_S):
        self.wait(lambda: not self._open, "no connection", timeout)

    @property
    def open(self):
        return list(self._open)

    def problems(self):
        """What the check or HTTP/2 found wrong; empty if all was well."""
        with self._change:
            return self.errors + [p.problem for p in self.pushes if p.problem]

    def script(self, token, *answers):
        """Answers for the next requests to token (None: to any without its
        own).  A callable gets the push and returns an Answer, or None for the
        ordinary one; it stays until unscript()."""
        queue = self._on_answer.setdefault(
            token and token.lower(), collections.deque())
        queue.extend(answers)

    def unscript(self, token=None):
        self._on_answer.pop(token and token.lower(), None)

    def hold(self):
        """From now on requests are taken but not answered."""
        with self._change:
            self._holding = True

    def release(self):
        """Answers what was held, and from now on at once."""
        def release():
            self._holding = False
            held, self._held = self._held, []
            for push, verdict in held:
                self._answer(push, verdict)
        self._in_loop(release)

    def give(self, push, answer):
        """The answer to one that got none (Answer.never)."""
        self._in_loop(push.connection.give, push, answer)

    def goaway(self, last=None, error=ErrorCodes.NO_ERROR, debug=b"",
               close=True):
        """GOAWAY on every open connection, see Connection.goaway."""
        def goaway():
            for connection in list(self._open):
                connection.goaway(last, int(error), debug, close)
        self._in_loop(goaway)

    def change_settings(self, settings, now=True):
        """Of connections to come and, if now, of the open ones."""
        def change():
            self.settings.update(settings)
            for connection in list(self._open) if now else []:
                connection.change(settings)
        self._in_loop(change)

    def _drop_all(self):
        for connection in list(self._open):
            connection.transport.abort()
        for sock in self._hung:
            sock.close()
        self._hung.clear()

    def drop_all(self):
        """Closes every connection without a word.  A client may be back when
        this returns."""
        with self._change:
            dropped = list(self._open)
        self._in_loop(self._drop_all)
        self.wait(lambda: not any(c in self._open for c in dropped),
                  "end of what was dropped")

    def go_away(self):
        """Stops listening and drops all: connection refused from now on."""
        self._in_loop(self._unlisten)
        self._in_loop(self._drop_all)
        self.wait_unconnected()

    def come_back(self):
        """Listens again on the same port."""
        self._in_loop(self._listen)


# --- as a program ---

def _describe(push, started):
    said = push.problem or "accepted"
    return "%8.3f s  %s  topic %s  type %s  %s  [%s]" % (
        push.at - started, push.token[:8] + "…",
        push.headers.get("apns-topic"), push.headers.get("apns-push-type"),
        push.body.decode(errors="replace"), said)


def main():
    parser = argparse.ArgumentParser(
        description="A stand-in for Apple's push service on this machine. It "
        "makes its own keys and certificates, says how xapsd is to be "
        "configured for it, and prints each push that arrives.")
    parser.add_argument("--port", type=int, default=0,
                        help="TCP port on 127.0.0.1 (default: a free one)")
    parser.add_argument("--dir", help="where keys and certificates are put "
                        "(default: a new directory, removed at the end)")
    parser.add_argument("--delay", type=float, default=0, metavar="SECONDS",
                        help="answer each push only after this time")
    parser.add_argument("--status", type=int, default=200, metavar="N",
                        help="answer each push with this status")
    parser.add_argument("--reason", help="and this reason")
    parser.add_argument("--max-streams", type=int, default=1000, metavar="N")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="apple-") as temporary:
        directory = args.dir or temporary
        os.makedirs(directory, exist_ok=True)
        certs = certs_module.Certs(directory)
        started = time.monotonic()
        apple = Apple(
            certs, port=args.port,
            settings={SettingCodes.MAX_CONCURRENT_STREAMS: args.max_streams},
            on_push=lambda p: print(_describe(p, started), flush=True))
        if args.delay or args.status != 200 or args.reason:
            apple.script(None, lambda p: None if p.problem else Answer(
                args.status, args.reason, delay_s=args.delay))
        with apple:
            print("apnsHost: 127.0.0.1\napnsPort: %d\napnsCaFile: %s\n"
                  "# either\nkeyFileP8: %s\nkeyFileKeyId: %s\n"
                  "keyFileTeamId: %s\nkeyFileTopic: %s\n"
                  "# or\ncertificateFilePem: %s\n" % (
                      apple.port, certs.ca, certs.p8, certs.key_id,
                      certs.team_id, certs.key_topic, certs.client),
                  flush=True)
            try:
                threading.Event().wait()
            except KeyboardInterrupt:
                pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
