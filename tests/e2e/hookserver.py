"""A strict HTTP/1.1 server for hooks, with or without TLS: it parses by itself what
comes, keeps it, and answers as a test has planned.

    with HookServer() as server:
        server.plan(Answer(503, {"Retry-After": "1"}), HANG)
        ...
        request = server.wait(3)[2]         # the third one
        assert request.json()["user"] == "alice"

What is not planned is answered with 200.  Leaving the `with` fails if a request was
not well-formed."""

import contextlib
import json
import re
import socket
import ssl
import threading
import time
import urllib.parse

from ports import bind_port

LIMIT_S = 20
TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
VALUE = re.compile(rb"[\x21-\x7e\x80-\xff]([\x20-\x7e\x80-\xff]*"
                   rb"[\x21-\x7e\x80-\xff])?\Z|\Z")
TARGET = re.compile(rb"/[!-~]*\Z")


class Answer:
    """body may be a list of parts, each sent after a pause of pause_s.  close:
    the connection is closed after it; raw: the very bytes."""

    def __init__(self, status=200, headers=None, body=b"", close=False,
                 raw=None):
        self.status, self.headers = status, headers or {}
        self.body, self.close, self.raw = body, close, raw

    def bytes(self):
        if self.raw is not None:
            return self.raw
        headers = {"Content-Length": len(self.body), **self.headers}
        if self.close:
            headers["Connection"] = "close"
        return b"HTTP/1.1 %d x\r\n%s\r\n%s" % (
            self.status,
            b"".join(b"%s: %s\r\n" % (k.encode(), str(v).encode())
                     for k, v in headers.items()), self.body)


HANG = Answer(raw=b"")                          # no answer, never
CUT = Answer(raw=b"", close=True)               # closed without one


class Request:
    def __init__(self, method, target, headers, body, connection):
        self.method, self.target = method, target
        self.headers, self.body = headers, body
        self.connection = connection
        self.at = time.monotonic()

    def __getitem__(self, name):
        """A header's value; "" if it is not there."""
        return self.headers.get(name, "")

    def json(self):
        return json.loads(self.body.decode("utf-8"), object_pairs_hook=pairs)

    def form(self):
        fields = urllib.parse.parse_qsl(
            self.body.decode("ascii"), keep_blank_values=True,
            strict_parsing=True, errors="strict")
        assert len(dict(fields)) == len(fields)
        return dict(fields)

    def path(self):
        return urllib.parse.urlsplit(self.target).path

    def query(self):
        return dict(urllib.parse.parse_qsl(
            urllib.parse.urlsplit(self.target).query, strict_parsing=True,
            errors="strict"))


def pairs(items):
    assert len(dict(items)) == len(items), "a key twice"
    return dict(items)


class Malformed(Exception):
    pass


class HookServer:
    def __init__(self, context=None, host="127.0.0.1", port=0):
        self.context = context
        self.listener = bind_port(host, port)
        self.port = self.listener.getsockname()[1]
        self.requests, self.planned, self.problems = [], [], []
        self.connections = 0
        self.answered = 0       # requests, with all of the answer
        self.handshakes_failed = 0
        self.lock = threading.Condition()
        self.stopping = threading.Event()
        self.sockets, self.threads = set(), []
        self.default = Answer()

    def url(self, path="/"):
        return "%s://localhost:%d%s" % (
            "https" if self.context else "http", self.port, path)

    def plan(self, *answers):
        with self.lock:
            self.planned += answers

    def wait(self, n=1, timeout=LIMIT_S):
        """All requests, once there are n."""
        with self.lock:
            if not self.lock.wait_for(lambda: len(self.requests) >= n,
                                      timeout):
                raise AssertionError("%d requests instead of %d: %r" % (
                    len(self.requests), n,
                    [(r.method, r.target) for r in self.requests]))
            return list(self.requests)

    def count(self):
        with self.lock:
            return len(self.requests)

    # --- life ---

    def __enter__(self):
        self.listener.listen(64)
        self.spawn(self.accept)
        return self

    def __exit__(self, kind, *rest):
        self.stop()
        if kind is None:
            assert self.problems == []

    def stop(self):
        self.stopping.set()
        with self.lock:
            sockets = [self.listener, *self.sockets]
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self.threads:
            thread.join(LIMIT_S)

    def spawn(self, function, *args):
        thread = threading.Thread(target=function, args=args, daemon=True)
        self.threads.append(thread)
        thread.start()

    def accept(self):
        while not self.stopping.is_set():
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections += 1
                n = self.connections
                self.sockets.add(sock)
            self.spawn(self.serve, sock, n)

    def serve(self, sock, n):
        try:
            sock.settimeout(None)
            if self.context:
                with self.lock:
                    self.sockets.discard(sock)
                sock = self.context.wrap_socket(sock, server_side=True)
                with self.lock:
                    self.sockets.add(sock)
            stream = sock.makefile("rb")
            while not self.stopping.is_set():
                request = self.read(stream, n)
                if request is None or not self.reply(sock, request):
                    break
        except Malformed as e:
            if not self.stopping.is_set():  # else we have cut it
                self.problems.append(str(e))
        except ssl.SSLError:
            self.handshakes_failed += 1
        except OSError:
            pass
        finally:
            with self.lock:
                self.sockets.discard(sock)
            sock.close()

    # --- requests ---

    def line(self, stream):
        line = stream.readline(65536)
        if line and not line.endswith(b"\r\n"):
            raise Malformed("a line without its end: %r" % line)
        return line[:-2]

    def read(self, stream, n):
        first = stream.readline(65536)
        if not first:
            return None
        parts = first[:-2].split(b" ")
        if not first.endswith(b"\r\n") or len(parts) != 3 or \
                parts[2] != b"HTTP/1.1" or not TARGET.match(parts[1]):
            raise Malformed("bad request line %r" % first)
        headers = {}
        while True:
            line = self.line(stream)
            if not line:
                break
            name, colon, value = line.partition(b":")
            value = value.strip(b" ")
            if not colon or not TOKEN.match(name) or not VALUE.match(value):
                raise Malformed("bad header %r" % line)
            name = name.decode().lower()
            if name in headers:
                raise Malformed("a header twice: %s" % name)
            headers[name] = value.decode()
        if "host" not in headers or "transfer-encoding" in headers:
            raise Malformed("headers %r" % headers)
        body = stream.read(int(headers.get("content-length", "0")))
        return Request(parts[0].decode(), parts[1].decode(), headers, body, n)

    def reply(self, sock, request):
        with self.lock:
            self.requests.append(request)
            answer = self.planned.pop(0) if self.planned else self.default
            self.lock.notify_all()
        if callable(answer):
            answer = answer(request)
        if isinstance(answer.body, list):       # drop by drop
            sock.sendall(b"HTTP/1.1 %d x\r\n\r\n" % answer.status)
            for part in answer.body:
                if self.stopping.wait(0.05):
                    return False
                sock.sendall(part)
            return False
        if answer is HANG:
            self.stopping.wait()
            return False
        sock.sendall(answer.bytes())
        with self.lock:
            self.answered += 1
        return not answer.close
