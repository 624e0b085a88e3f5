"""A stand-in for xapsd that answers well, badly or not at all.

    fake = FakeXapsd("/x/xapsd.sock")            # or ("127.0.0.1", 0)
    fake = FakeXapsd(held_socket("/x/xapsd.sock"))  # held by systemd, say
    fake.behave("alice", hang)                   # others get ok
    fake.wait(1, "/notify", "alice")             # -> list of Request
"""
import base64
import collections
import fcntl
import json
import os
import re
import socket
import ssl
import termios
import threading

from dovecot import WAIT_S, wait_for
from ports import bind_port

TOPIC = "com.apple.mail.XServer.12345678-1234-1234-1234-123456789012"

VAPID = "B" + "A" * 80 + "vapid_"  # a public key, as text

Request = collections.namedtuple("Request", "path user json head")


# --- behaviours: how a request is answered ---

class CloseConnection(Exception):
    pass


def response(status, body=b"", reason="Reason"):
    return (f"HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


def ok(conn, fake, request):
    if request.path.endswith("/seen"):
        conn.sendall(NO_CONTENT)
        return
    if request.path == "/vapid":
        conn.sendall(response(200, VAPID.encode()))
        return
    register = request.path.endswith("/register")
    conn.sendall(response(200, TOPIC.encode() if register else b""))


NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


def topic(text):
    return raw(response(200, text))


def status(code, body=b"no, because"):
    return raw(response(code, body))


def raw(data, close=False):
    def behave(conn, fake, request):
        conn.sendall(data)
        if close:
            raise CloseConnection
    return behave


def hang(conn, fake, request):
    """Until the other end or the test goes away."""
    conn.settimeout(60)
    try:
        while conn.recv(4096):
            pass
    except OSError:
        pass
    raise CloseConnection


class Gate:
    """Keeps requests until it is opened, and then answers them so."""

    def __init__(self, behaviour=ok):
        self.behaviour = behaviour
        self.opened = threading.Event()

    def open(self):
        self.opened.set()

    def __call__(self, conn, fake, request):
        self.opened.wait(60)
        self.behaviour(conn, fake, request)


def slow(seconds):
    def behave(conn, fake, request):
        fake.stopping.wait(seconds)
        ok(conn, fake, request)
    return behave


def close(conn, fake, request):
    raise CloseConnection


def endless_body(conn, fake, request):
    conn.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while not fake.stopping.is_set():
        conn.sendall(b"x" * 4096)


def endless_header(conn, fake, request):
    conn.sendall(b"HTTP/1.1 200 OK\r\n")
    while not fake.stopping.wait(0.01):
        conn.sendall(b"X-Header: " + b"x" * 500 + b"\r\n")


def trickle(conn, fake, request):
    """Never ready, never silent for as long as a timeout."""
    conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
    while not fake.stopping.wait(0.2):
        conn.sendall(b"x")


def chunked(conn, fake, request):
    conn.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for part in (TOPIC[:10], TOPIC[10:]):
        fake.stopping.wait(0.05)
        conn.sendall(f"{len(part):x}\r\n{part}\r\n".encode())
    conn.sendall(b"0\r\n\r\n")


# --- the server ---

def held_socket(path, backlog=128, mode=0o666):
    """A Unix socket that listens; nobody accepts yet."""
    sock = socket.socket(socket.AF_UNIX)
    if os.path.exists(path):
        os.unlink(path)
    sock.bind(path)
    os.chmod(path, mode)
    sock.listen(backlog)
    return sock


class FakeXapsd:
    def __init__(self, address, tls_cert=None, password=None, mode=0o666):
        self.requests = []
        self.behaviours = {}
        self.otherwise = ok     # to users of whom nothing is said
        self.stopping = threading.Event()
        self.password = password
        self.tls = None
        self.conns = set()
        self.connections = 0
        self.answered = 0       # requests that are done with
        if tls_cert is not None:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(tls_cert)
        self.lock = threading.Lock()
        self.path = self.port = None
        if isinstance(address, str):
            address = held_socket(address, mode=mode)
        if isinstance(address, socket.socket):
            self.sock = address
            self.path = address.getsockname()
        else:
            self.sock = bind_port(*address)
            self.port = self.sock.getsockname()[1]
            self.sock.listen(128)
        self.acceptor = self._spawn(self._accept)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()

    @staticmethod
    def _spawn(function, *args):
        thread = threading.Thread(target=function, args=args, daemon=True)
        thread.start()
        return thread

    def stop(self):
        """As a daemon that ends: no listener, connections closed.  Of those
        just accepted, none may live on: it would be kept, and take what is
        meant for the next daemon."""
        self.stopping.set()
        self._end(self.sock)    # wakes accept()
        self.acceptor.join(10)
        self.sock.close()
        with self.lock:
            for conn in self.conns:
                self._end(conn)

    @staticmethod
    def _end(sock):
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def _adopt(self, conn):
        with self.lock:
            self.conns.add(conn)
            if self.stopping.is_set():
                self._end(conn)

    def behave(self, user, behaviour, seen=False):
        """seen: to /seen, else to all others."""
        self.behaviours[user, seen] = behaviour

    def of(self, path=None, user=None):
        with self.lock:
            return [r for r in self.requests
                    if path in (None, r.path) and user in (None, r.user)]

    def wait(self, count, path=None, user=None, limit_s=WAIT_S):
        """At least count requests, in the order in which they came."""
        return wait_for(
            lambda: len(r := self.of(path, user)) >= count and (r,),
            limit_s, f"{count} requests to {path} for {user}")[0]

    def all_taken(self):
        """Nothing is to be answered, and the other end has read all of it."""
        with self.lock:
            return self.answered == len(self.requests) and not any(
                fcntl.ioctl(conn, termios.TIOCOUTQ, bytes(4)) != bytes(4)
                for conn in self.conns)

    def _accept(self):
        while True:
            try:
                conn, _ = self.sock.accept()
            except OSError:
                return
            with self.lock:
                self.connections += 1
            self._spawn(self._serve, conn)

    def _serve(self, conn):
        try:
            if self.tls is not None:
                conn = self.tls.wrap_socket(conn, server_side=True)
            self._adopt(conn)
            file = conn.makefile("rb")
            while self._one(conn, file):
                pass
        except (CloseConnection, OSError):
            pass
        finally:
            with self.lock:
                self.conns.discard(conn)
            self._end(conn)
            conn.close()

    def _one(self, conn, file):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = file.readline()
            if not line:
                return False
            head += line
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        head = head.decode()
        method, target, _ = head.split("\r\n")[0].split(" ")
        path = re.sub(r"^https?://[^/]*", "", target)
        if path == "/vapid":
            assert method == "GET" and not length
            body = {"Username": None}
        else:
            assert method == "POST"
            body = json.loads(file.read(int(length[1])).decode("utf-8"))
        request = Request(path, body["Username"], body, head)
        if not self._authorized(head):
            conn.sendall(response(401, b"password needed", "Unauthorized"))
            return True
        with self.lock:     # what is set after wait() is for the next one
            self.requests.append(request)
            behaviour = self.behaviours.get(
                (request.user, request.path == "/seen"), self.otherwise)
        try:
            behaviour(conn, self, request)
        finally:
            with self.lock:
                self.answered += 1
        return True

    def _authorized(self, head):
        if self.password is None:
            return True
        wanted = base64.b64encode(self.password.encode()).decode()
        return f"\r\nauthorization: basic {wanted}\r\n".lower() in \
            head.lower()
