"""An HTTP/2 server that sends, byte for byte, what a test wants.

    with RawServer(context) as server:
        def script(c):                  # one connection, in a thread of its own
            c.open()                    # TLS, our SETTINGS
            r = c.request()             # the daemon's next whole request
            c.send(frame(DATA, 0, r.id, b"x" * 16385))
            c.expect_goaway(FRAME_SIZE_ERROR)
        server.plan(script)             # for the next connection
        ...
        server.finish()                 # what failed in a script fails here

A connection for which nothing is planned behaves well: it answers every
request with 200.  What the daemon sends is parsed by hyperframe and hpack and
kept; what we send is made here, so that it can be wrong."""

import collections
import os
import socket
import ssl
import struct
import threading
import time

import hpack
from hyperframe import frame as hf
from hyperframe.exceptions import HyperframeError

from apple import Watched
from ports import bind_port

(DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY,
 WINDOW_UPDATE, CONTINUATION) = range(10)
UNKNOWN = 0xbe      # a frame type of nobody's

END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY_FLAG = 1, 1, 4, 8, 0x20
END = END_HEADERS | END_STREAM

(NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR,
 SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL,
 COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM, INADEQUATE_SECURITY,
 HTTP_1_1_REQUIRED) = range(14)

(HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE,
 MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE) = range(1, 7)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
WINDOW = 65535
LIMIT_S = 40    # of every wait: wide, for sanitizers and load


class Wrong(AssertionError):
    """The daemon did not react as the script expects."""


# --- bytes ---

def frame(kind, flags=0, stream=0, payload=b"", length=None):
    """length: another one than the payload's."""
    n = len(payload) if length is None else length
    return struct.pack(">I", n << 8 | kind) + struct.pack(
        ">BI", flags, stream) + payload


def u32(*values):
    return struct.pack(">%dI" % len(values), *values)


def settings(*pairs):
    return frame(SETTINGS, 0, 0, b"".join(
        struct.pack(">HI", code, value) for code, value in pairs))


def window_update(stream, n):
    return frame(WINDOW_UPDATE, 0, stream, u32(n))


def goaway(last, code=NO_ERROR, debug=b""):
    return frame(GOAWAY, 0, 0, u32(last, code) + debug)


def reset(stream, code):
    return frame(RST_STREAM, 0, stream, u32(code))


def integer(n, prefix=7, pattern=0):
    """RFC 7541 5.1."""
    mask = (1 << prefix) - 1
    if n < mask:
        return bytes([pattern | n])
    out, n = bytearray([pattern | mask]), n - mask
    while n >= 0x80:
        out.append(n & 0x7f | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def text(s):
    s = s if isinstance(s, bytes) else s.encode()
    return integer(len(s)) + s


def field(name, value, pattern=0):
    """A literal header field with a new name; 0x40: into the table."""
    return bytes([pattern]) + text(name) + text(value)


OK = b"\x88"    # :status 200 by its static index


def status(value):
    return field(":status", str(value))


def padded(payload, n):
    return bytes([n]) + payload + bytes(n)


# --- one connection ---

class Request:
    """One of the daemon's; complete when its END_STREAM is in."""

    def __init__(self, connection, stream, header_list):
        self.connection, self.id = connection, stream
        self.header_list = header_list
        self.headers = dict(header_list)
        self.body = b""
        self.complete = False
        self.taken = False      # by Connection.request()
        self.answered = None    # the status that we gave
        self.at = time.monotonic()

    @property
    def token(self):
        return self.headers.get(":path", "").rpartition("/")[2]


class Connection:
    """Scripts call its methods; everything waits at most LIMIT_S."""

    def __init__(self, server, sock, script):
        self.server, self.sock, self.script = server, sock, script
        self.context = getattr(script, "context", None) or server.context
        self.planned = script is not Connection.healthy
        self.passed = False     # nothing can fail any more
        self.fault = None
        self.tls = None
        self.buffer = b""
        self.decoder = hpack.Decoder()
        self.table_sizes = collections.deque()  # not acknowledged yet
        self.requests = []
        self.frames = []        # (type name, stream) of all that came
        self.pings = 0
        self.pongs = set()      # what the daemon has acknowledged
        self.settings_acks = 0
        self.resets = {}
        self.goodbye = None     # code of the daemon's GOAWAY
        self.ended = None       # "close_notify", "eof", "reset"
        self.polite = True      # PING and SETTINGS are acknowledged
        self.gives_back = True  # the connection's window
        self.windows = collections.defaultdict(lambda: WINDOW)
        self.unreturned = 0     # bytes of our window for the connection
        self.tls_bytes = 0      # received, as on the wire
        self.sent_bytes = 0     # the same, sent
        self.handshake_bytes = 0
        self.h2_bytes = 0
        self.got_preface = False

    def run(self):
        try:
            self.script(self)
            self.passed = True
        except Exception as e:
            self.fault = e
        finally:
            self.hang_up()
            self.server._notify()

    def healthy(self):
        try:
            self.open()
            self.serve()
        except (OSError, Wrong):
            pass    # the daemon may leave whenever it likes

    # --- TLS over the socket ---

    def _fill(self):
        """Bytes from the socket; False at the end."""
        try:
            data = self.sock.recv(65536)
        except ConnectionError:
            self.ended = self.ended or "reset"
            return False
        except TimeoutError:
            raise
        except OSError:     # closed by drop()
            data = b""
        if not data:
            self.ended = self.ended or "eof"
            return False
        self.tls_bytes += len(data)
        self.incoming.write(data)
        return True

    def _flush(self):
        data = self.outgoing.read()
        if data:
            self.sent_bytes += len(data)
            self.sock.sendall(data)

    def handshake(self):
        self.sock.settimeout(LIMIT_S)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = self.context.wrap_bio(
            self.incoming, self.outgoing, server_side=True)
        while True:
            try:
                self.tls.do_handshake()
                self._flush()
                self.handshake_bytes = self.tls_bytes + self.sent_bytes
                return
            except ssl.SSLWantReadError:
                self._flush()
                if not self._fill():
                    raise Wrong("TLS: the daemon hung up") from None
            except ssl.SSLError:
                self._flush()
                raise

    def send(self, data, each=None, pause_s=0):
        """each: bytes in one TLS record."""
        for at in range(0, len(data), each or max(1, len(data))):
            part = data[at:at + each] if each else data
            self.tls.write(part)
            self._flush()
            if pause_s:
                time.sleep(pause_s)

    def push_in(self, data):
        """Sends as much as the daemon takes before it hangs up."""
        try:
            self.send(data)
        except OSError:
            pass

    def raw(self, data):
        """Past TLS."""
        self.sock.sendall(data)

    def alert(self):
        """A fatal alert inside TLS: OpenSSL's answer to a damaged record."""
        self.incoming.write(b"\x17\x03\x03\x00\x40" + os.urandom(64))
        try:
            while True:
                self.tls.read(65536)
        except ssl.SSLWantReadError:
            raise Wrong("OpenSSL took rubbish") from None
        except ssl.SSLError:
            self._flush()

    def close_notify(self):
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            pass
        self._flush()

    def hang_up(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()

    def abort(self):
        """TCP RST."""
        self.sock.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def _read(self):
        while True:
            try:
                data = self.tls.read(65536)
                if data:
                    self.h2_bytes += len(data)
                    return data
                self.ended = self.ended or "close_notify"
                return b""
            except ssl.SSLWantReadError:
                self._flush()
                if not self._fill():
                    return b""
            except ssl.SSLZeroReturnError:
                self.ended = self.ended or "close_notify"
                return b""

    # --- frames in ---

    def _need(self, n):
        while len(self.buffer) < n:
            data = self._read()
            if not data:
                return False
            self.buffer += data
        return True

    def _next(self):
        """Takes one frame in; False when the daemon is gone."""
        if not self.got_preface:
            if not self._need(len(PREFACE)):
                return False
            if not self.buffer.startswith(PREFACE):
                raise Wrong("no preface: %r" % self.buffer[:40])
            self.buffer = self.buffer[len(PREFACE):]
            self.got_preface = True
        if not self._need(9):
            return False
        try:
            f, n = hf.Frame.parse_frame_header(memoryview(self.buffer[:9]))
            if not self._need(9 + n):
                return False
            f.parse_body(memoryview(self.buffer[9:9 + n]))
        except HyperframeError as e:
            raise Wrong("the daemon sent a wrong frame: %s" % e) from e
        self.buffer = self.buffer[9 + n:]
        self.frames.append((type(f).__name__, f.stream_id))
        take = getattr(self, "_take_" + type(f).__name__, None)
        if take:
            take(f)
        return True

    def _take_SettingsFrame(self, f):
        if "ACK" not in f.flags:
            if self.polite:
                self.push_in(frame(SETTINGS, ACK))
            return
        self.settings_acks += 1
        if self.table_sizes:
            size = self.table_sizes.popleft()
            if size is not None:
                self.decoder.max_allowed_table_size = size

    def _take_PingFrame(self, f):
        if "ACK" in f.flags:
            self.pongs.add(bytes(f.opaque_data))
            return
        self.pings += 1
        if self.polite:
            self.push_in(frame(PING, ACK, 0, bytes(f.opaque_data)))

    def _take_HeadersFrame(self, f):
        if "END_HEADERS" not in f.flags:
            raise Wrong("a request's headers in several frames")
        if f.stream_id % 2 == 0 or any(
                r.id >= f.stream_id for r in self.requests):
            raise Wrong("stream %d out of turn" % f.stream_id)
        r = Request(self, f.stream_id, [
            (n.decode() if isinstance(n, bytes) else n,
             v.decode() if isinstance(v, bytes) else v)
            for n, v in self.decoder.decode(bytes(f.data))])
        r.complete = "END_STREAM" in f.flags
        self.requests.append(r)
        self.server._arrived(r)

    def _take_DataFrame(self, f):
        self.unreturned += f.flow_controlled_length
        for r in self.requests:
            if r.id == f.stream_id:
                r.body += bytes(f.data)
                r.complete = "END_STREAM" in f.flags
                r.at = time.monotonic()
        if self.gives_back and self.unreturned > WINDOW // 2:
            self.give_back()
        self.server._notify()

    def _take_WindowUpdateFrame(self, f):
        self.windows[f.stream_id] += f.window_increment

    def _take_RstStreamFrame(self, f):
        self.resets[f.stream_id] = f.error_code

    def _take_GoAwayFrame(self, f):
        self.goodbye = f.error_code

    def give_back(self):
        self.push_in(window_update(0, self.unreturned))
        self.unreturned = 0

    # --- for scripts: sending ---

    def open(self, *pairs):
        """TLS and SETTINGS."""
        self.handshake()
        self.settings(*pairs)

    def settings(self, *pairs):
        self.table_sizes.append(dict(pairs).get(HEADER_TABLE_SIZE))
        self.send(settings(*pairs))

    def headers(self, stream, *fields, flags=END):
        self.send(frame(HEADERS, flags, stream, b"".join(fields)))

    def answer(self, r, code=200, body=b""):
        r.answered, r.taken = code, True
        block = OK if code == 200 else status(code)
        self.headers(r.id, block, flags=END_HEADERS if body else END)
        if body:
            self.send_body(r.id, body)
        self.server._notify()

    def send_body(self, stream, body, end=True):
        """As fast as the daemon's windows allow, until it wants no more."""
        while body and stream not in self.resets:
            n = min(16384, len(body), self.windows[0], self.windows[stream])
            if n <= 0:
                if not self._next():
                    raise Wrong("the daemon hung up amid a body")
                continue
            self.windows[0] -= n
            self.windows[stream] -= n
            last = end and n == len(body)
            self.send(frame(DATA, END_STREAM if last else 0, stream, body[:n]))
            body = body[n:]

    def serve(self):
        """Behaves well until the daemon or the test ends it."""
        self.polite = True
        self.passed = True
        self.server._notify()
        self.sock.settimeout(None)
        try:
            while True:
                while (r := self._untaken(complete=True)):
                    self.answer(r)
                if not self._next():
                    return
        except (OSError, ssl.SSLError):
            pass

    # --- for scripts: waiting ---

    def until(self, condition, what):
        """Takes frames in until condition() is true; its value."""
        end = time.monotonic() + LIMIT_S
        while True:
            value = condition()
            if value:
                return value
            self.sock.settimeout(max(0.001, end - time.monotonic()))
            try:
                going_on = self._next()
            except TimeoutError:
                raise Wrong("no %s in %d s; got %r" % (
                    what, LIMIT_S, self.frames[-20:])) from None
            if not going_on:
                raise Wrong("the connection ended (%s) before %s; got %r" % (
                    self.ended, what, self.frames[-20:]))

    def _untaken(self, complete):
        for r in self.requests:
            if not r.taken and (r.complete or not complete):
                r.taken = True
                return r
        return None

    def request(self, complete=True):
        """The next request; complete=False: its headers are enough."""
        return self.until(lambda: self._untaken(complete), "request")

    def requests_in_all(self, n):
        self.until(lambda: len([r for r in self.requests if r.complete]) >= n,
                   "%d requests" % n)

    def round_trip(self):
        """The daemon has handled all that we sent so far."""
        sent = os.urandom(8)
        self.send(frame(PING, 0, 0, sent))
        self.until(lambda: sent in self.pongs, "PING acknowledgement")

    def expect_reset(self, stream, code):
        got = self.until(lambda: stream in self.resets and
                         (self.resets[stream],), "RST_STREAM")[0]
        if got != code:
            raise Wrong("RST_STREAM with %d, not %d" % (got, code))

    def wait_end(self):
        """Waits until the daemon has closed; anything may come before."""
        end = time.monotonic() + LIMIT_S
        try:
            while True:
                self.sock.settimeout(max(0.001, end - time.monotonic()))
                if not self._next():
                    return
        except TimeoutError:
            raise Wrong("the connection is still open after %d s" %
                        LIMIT_S) from None
        except ssl.SSLError:
            self.ended = self.ended or "broken"

    def expect_goaway(self, code):
        """GOAWAY with this code, then the end of the connection."""
        self.wait_end()
        if self.goodbye != code:
            raise Wrong("GOAWAY with %s, not %d; got %r" % (
                self.goodbye, code, self.frames[-20:]))

    def expect_end(self):
        """Closed, without a protocol error."""
        self.wait_end()
        if self.goodbye not in (None, NO_ERROR):
            raise Wrong("GOAWAY with %d" % self.goodbye)


# --- the server ---

def server_context(certificate, alpn=("h2",), min_tls=None, max_tls=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = min_tls or ssl.TLSVersion.TLSv1_2
    if max_tls:
        context.maximum_version = max_tls
    context.load_cert_chain(certificate)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


class RawServer(Watched):
    """port, accepted (connections so far), connections, requests."""

    def __init__(self, context, listening=None):
        super().__init__()
        self.context = context
        self.sock = listening or bind_port()
        self.host, self.port = self.sock.getsockname()[:2]
        self.sock.listen(128)
        self.connections, self.requests = [], []
        self.accepted = 0
        self._planned = collections.deque()
        self._running = []      # planned connections since the last plan()
        self._stopping = False

    def __enter__(self):
        self._start()
        return self

    def __exit__(self, *exc):
        self._stopping = True
        self._unlisten()
        self._thread.join(LIMIT_S)
        self.drop()
        for c in self.connections:
            c.thread.join(LIMIT_S)

    def _start(self):
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _unlisten(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)    # wakes accept()
        except OSError:
            pass

    def _accept(self):
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                self.sock.close()
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._change:
                script = (self._planned.popleft() if self._planned
                          else Connection.healthy)
                c = Connection(self, sock, script)
                self.connections.append(c)
                if c.planned:
                    self._running.append(c)
                self.accepted += 1
                c.thread = threading.Thread(target=c.run, daemon=True)
                c.thread.start()
                self._change.notify_all()

    def _arrived(self, r):
        with self._change:
            self.requests.append(r)
            self._change.notify_all()

    # --- what tests call ---

    def plan(self, *scripts, drop=False):
        """One for each of the next connections; drop: those from before end
        now, and none that comes in between."""
        with self._change:
            assert not self._planned, "a script was never reached"
            self._running = []
            self._planned.extend(scripts)
            self._expected = len(scripts)
            old = list(self.connections)
        if drop:
            self._drop(old)

    def finish(self):
        """Waits until every planned script has passed."""
        def over():
            passed = [c for c in self._running if c.passed]
            return self.fault() or len(passed) >= self._expected
        self.wait(over, "end of the scripts (%d of %d connections came)" % (
            len(self._running), self._expected), 3 * LIMIT_S)
        if self.fault():
            raise self.fault()

    def drop(self):
        """Ends every open connection without a word."""
        with self._change:
            old = list(self.connections)    # the next may be there at once
        self._drop(old)

    @staticmethod
    def _drop(old):
        for c in old:
            try:
                c.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for c in old:
            c.thread.join(LIMIT_S)

    def forget(self):
        """Forgets what happened before."""
        with self._change:
            self._planned.clear()
            self.connections = [
                c for c in self.connections if c.thread.is_alive()]
            self.requests.clear()

    def to(self, token):
        with self._change:
            return [r for r in self.requests if r.token == token]

    def away(self):
        """Connection refused from now on."""
        self._unlisten()
        self._thread.join(LIMIT_S)

    def back(self, bound=None):
        """bound: a socket, where the server is in another namespace."""
        self.sock = bound or bind_port(self.host, self.port)
        self.sock.listen(128)
        self._start()

    def fault(self):
        """Of a planned connection, the first; None so far."""
        return next((c.fault for c in self._running if c.fault), None)
