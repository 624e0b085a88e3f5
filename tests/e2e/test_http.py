"""The daemon's doors as well-behaved and misbehaving clients meet them."""
import base64
import contextlib
import http.client
import json
import re
import select
import socket
import ssl
import threading

import pytest

from phones import ACCOUNT, TOKEN
from xapsd import tls_listener

NOTIFY = json.dumps({"Username": "nobody", "Mailbox": "INBOX",
                     "Events": ["MessageNew"]}).encode()


def raw(daemon, tcp=False, timeout=60):
    if tcp:
        return socket.create_connection(("127.0.0.1", daemon.port), timeout)
    s = socket.socket(socket.AF_UNIX)
    s.connect(daemon.socket_path)    # waits while the backlog is full
    s.settimeout(timeout)
    return s


def post(body, *lines, path="/notify", version="1.1"):
    head = ["POST %s HTTP/%s" % (path, version), "Host: localhost",
            "Content-Length: %d" % len(body), *lines, "", ""]
    return "\r\n".join(head).encode() + body


def read_reply(s):
    """One answer by its Content-Length: (status, header text, body)."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = s.recv(1)
        assert more, "closed in the middle of %r" % data
        data += more
    head = data.decode()
    length = int((re.search(r"content-length: (\d+)", head, re.I) or [0, 0])[1])
    body = b""
    while len(body) < length:
        more = s.recv(length - len(body))
        assert more, "closed in the middle of a body"
        body += more
    return int(head.split()[1]), head, body


def assert_closed(s):
    try:
        assert s.recv(1) == b""
    except ConnectionResetError:
        pass


def assert_refused(s, status):
    got, head, body = read_reply(s)
    assert got == status, head
    assert re.search(r"^Connection: close\r$", head, re.M)
    assert body.endswith(b"\n") and body.count(b"\n") == 1
    assert_closed(s)
    s.close()


def test_every_split(xapsd):
    """Wherever the network cuts a request, the answer is the same."""
    request = (b"POST http://localhost/notify HTTP/1.1\r\nHost: localhost\r\n"
               b"Transfer-Encoding: chunked\r\n\r\n"
               b"%x\r\n%b\r\n5;x=y\r\n     \r\n0\r\nT: x\r\n\r\n" % (
                   len(NOTIFY), NOTIFY))
    with raw(xapsd) as s:
        for at in range(1, len(request)):
            s.sendall(request[:at])
            s.sendall(request[at:])
            assert read_reply(s)[0] == 404
        for byte in request:
            s.sendall(bytes([byte]))
        assert read_reply(s)[0] == 404


def test_pipelining_keeps_the_order(xapsd):
    xapsd.register("alice", ACCOUNT, TOKEN, ["INBOX"])
    n = 500
    register = json.dumps({
        "ApsAccountId": ACCOUNT, "ApsDeviceToken": TOKEN,
        "ApsSubtopic": "com.apple.mobilemail", "Username": "alice",
        "Mailboxes": ["INBOX", "X"]}).encode()
    with raw(xapsd) as s:
        # the sockets hold neither all of it nor all answers
        sender = threading.Thread(target=s.sendall, daemon=True, args=(
            (post(NOTIFY) + post(register, path="/register")
             + b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n") * n,))
        sender.start()
        for _ in range(n):
            assert read_reply(s)[0] == 404
            status, _, body = read_reply(s)
            assert (status, body) == (200, xapsd.certs.key_topic.encode())
            assert read_reply(s)[2] == b"no such path\n"
        sender.join()


def test_http10_and_continue(xapsd):
    with raw(xapsd) as s:
        s.sendall(post(NOTIFY, "Connection: keep-alive", version="1.0"))
        assert "Connection: keep-alive" in read_reply(s)[1]
        s.sendall(post(NOTIFY, version="1.0"))
        assert "Connection: close" in read_reply(s)[1]
        assert_closed(s)
    with raw(xapsd) as s:
        request = post(NOTIFY, "Expect: 100-continue")
        s.sendall(request[:-len(NOTIFY)])
        assert s.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        s.sendall(NOTIFY)
        assert read_reply(s)[0] == 404
        s.shutdown(socket.SHUT_WR)
        assert_closed(s)
    with raw(xapsd) as s:
        s.sendall(post(NOTIFY))
        s.shutdown(socket.SHUT_WR)    # a peer that only waits for the answer
        assert read_reply(s)[0] == 404
        assert_closed(s)


def test_http_client_chunked(start_xapsd):
    """Another's client library, over TCP."""
    daemon = start_xapsd(tcp=True)
    c = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=60)
    for n in (1, 7, 1000):
        pieces = [NOTIFY[i:i + n] for i in range(0, len(NOTIFY), n)]
        c.request("POST", "/notify", iter(pieces), encode_chunked=True,
                  headers={"Transfer-Encoding": "chunked"})
        reply = c.getresponse()
        reply.read()
        assert reply.status == 404
    c.request("HEAD", "/healthz")
    reply = c.getresponse()
    assert reply.status in (200, 405, 503)
    assert reply.read() == b""
    c.request("PUT", "/notify", NOTIFY)
    reply = c.getresponse()
    reply.read()
    assert (reply.status, reply.getheader("Allow")) == (405, "POST")
    c.close()


@pytest.mark.parametrize("request_, status", [
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400),
    (post(b"{}", "Transfer-Encoding: chunked"), 400),
    (post(b"{}", "Content-Length: 2"), 400),
    (post(b"{}", "Expect: the-unexpected"), 417),
    (b"GET / HTTP/2.0\r\n", 505),
    (b"CONNECT a:1 HTTP/1.1\r\n", 501),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    (b"POST /notify HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
     b"5\nhello\r\n0\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nX: " + b"x" * 8192, 431),
    (post(b"")[:-4].replace(b": 0", b": 65537") + b"\r\n\r\n", 413),
    (post(b"x" * 200_000), 413),
    (b"POST /notify HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
     b"fffffff\r\n", 413),
], ids=["no-host", "two-hosts", "folded", "two-framings", "two-lengths",
        "expectation", "http2", "connect", "tls", "bare-lf-chunk",
        "long-head", "long-body", "sent-body", "long-chunk"])
def test_refusals(xapsd, request_, status):
    with raw(xapsd) as s:
        # it may have had enough, and left, before all is sent
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            s.sendall(request_)
        assert_refused(s, status)
    assert xapsd.request("GET", "/healthz").status == 200


def test_nobody_is_idle(start_xapsd):
    daemon = start_xapsd(maxConnections=4, loglevel="trace")
    busy = []
    for _ in range(4):
        s = raw(daemon)
        s.sendall(b"POST /notify HT")
        busy.append(s)
    daemon.wait_until(lambda: daemon.log().count(" -> head") >= 4,
                      "four requests begun")
    with raw(daemon) as s:
        # on a slow machine one of them has taken a second, and goes instead
        ready, _, _ = select.select([s, *busy], [], [], 20)
        assert_refused(ready[0], 503)
    for s in busy:
        s.close()
    daemon.wait_until(lambda: daemon.notify("nobody").status == 404, "answer")


def test_password_on_tcp_only(start_xapsd):
    daemon = start_xapsd(tcp=True, httpUser="me", httpPassword="it's: me")
    assert daemon.notify("nobody").status == 404    # Unix socket
    reply = daemon.notify("nobody", tcp=True)
    assert reply.status == 401
    assert reply.headers["WWW-Authenticate"].startswith("Basic ")
    assert daemon.request("GET", "/healthz", tcp=True).status == 200
    for text, status in (("me:it's: me", 404), ("me:its: me", 401),
                         ("me:it's: me2", 401), ("me:", 401), ("", 401)):
        basic = base64.b64encode(text.encode()).decode()
        reply = daemon.request("POST", "/notify", NOTIFY.decode(), tcp=True,
                               headers={"Authorization": "Basic " + basic})
        assert reply.status == status, text
    assert "it's" not in daemon.log()


def test_tls(start_xapsd, certs):
    daemon = start_xapsd(**tls_listener(certs))
    port = daemon.config["tlsPort"]
    daemon.wait_log("started")    # the Unix socket is there before the port
    context = ssl.create_default_context(cafile=certs.ca)
    c = http.client.HTTPSConnection("127.0.0.1", port, timeout=60,
                                    context=context)
    for _ in range(3):
        c.request("POST", "/notify", NOTIFY)
        reply = c.getresponse()
        reply.read()
        assert reply.status == 404
    c.close()
    # plain HTTP, nonsense and silence at the TLS door
    for data in (post(NOTIFY), b"\x16\x03\x01\x00\x05hello", b""):
        with socket.create_connection(("127.0.0.1", port), 60) as s, \
                contextlib.suppress(ConnectionResetError, BrokenPipeError):
            s.sendall(data)
            with contextlib.suppress(OSError):  # ENOTCONN: it has ended already
                s.shutdown(socket.SHUT_WR)
            while s.recv(4096):
                pass
    assert daemon.notify("nobody").status == 404
