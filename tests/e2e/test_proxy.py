"""apnsProxy: the way to Apple through an HTTP proxy.  Two real ones, a hostile
one, and machines that have no other way out, no names, or no IPv4."""

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

import netns
from apple import Apple
from certs import CA, cert_pem, key_pem, write
from ports import bind_port, free_port
from proxies import FakeProxy, Squid, Tinyproxy
from test_check import check, failed        # noqa: F401
from test_connection import push, wait_delivered
from xapsd import Xapsd

SECRET = "s3cret"
LOGIN = ("mailer", SECRET)
REAL = [pytest.param(kind, id=kind.__name__, marks=pytest.mark.skipif(
    not shutil.which(kind.__name__.lower()), reason="make deps installs it"))
    for kind in (Tinyproxy, Squid)]


def secrets_of(*passwords):
    """A password as it is, and as it is sent."""
    import base64
    return [*passwords, *(base64.b64encode(b"mailer:" + p.encode()).decode()
                          for p in passwords)]


def assert_no_secret(x, *passwords):
    said = [x.log(), x.request("GET", "/status").body,
            x.request("GET", "/metrics").body, x.run("status").stdout]
    for text in said:
        for secret in secrets_of(SECRET, *passwords):
            assert secret not in text


def to_apple(apple):
    return socket.create_connection(("127.0.0.1", apple.port))


def honest(apple, answer=b"HTTP/1.1 200 OK\r\n\r\n", step=None):
    def script(sock, request, n):
        for at in range(0, len(answer), step or len(answer)):
            sock.sendall(answer[at:at + (step or len(answer))])
            if step:
                time.sleep(0.001)   # a segment each
        return to_apple(apple)
    return script


# --- real ones ---

@pytest.mark.parametrize("kind", REAL)
def test_push_through_it(kind, workdir, start_xapsd, apple):
    with kind(workdir / "p") as proxy:
        x = start_xapsd(apnsProxy=proxy.url())
        apple.wait_connected()
        push(x)
        wait_delivered(x, 1)
        x.wait_log(r"connected to \S+ \(proxy 127\.0\.0\.1 port %d, TLS"
                   % proxy.port)
        s = x.status()
        assert s["apnsProxy"] == proxy.shown and s["apns"] == "connected"
        assert re.search(r"^Apple .*through the proxy %s$" % re.escape(
            proxy.shown), x.run("status").stdout, re.M)


@pytest.mark.parametrize("kind", REAL)
def test_check_shows_it(kind, workdir, check, apple):    # noqa: F811
    with kind(workdir / "p", login=LOGIN) as proxy:
        code, lines = check(apple, apnsProxy=proxy.url("mailer:" + SECRET),
                            pushTimeout="30s")
        assert code == 0, lines
        assert lines[-3].split() == ["proxy", "ok", proxy.shown]
        assert lines[-2].split()[:2] == ["connection", "ok"]
        failed(check(apple, apnsProxy=proxy.url(), pushTimeout="30s"),
               "proxy", proxy.shown, "wants user and password", "user:password@", "(407)")
        result = check(apple, apnsProxy=proxy.url("mailer:wrong"),
                       pushTimeout="30s")
        failed(result, "proxy", "refuses user or password")
        assert "wrong" not in str(result)


@pytest.mark.parametrize("kind", REAL)
def test_wrong_password_then_reload(kind, workdir, start_xapsd, apple):
    """The log names the proxy and the cure, once; a reload takes the new."""
    with kind(workdir / "p", login=LOGIN) as proxy:
        x = start_xapsd(apnsProxy=proxy.url("mailer:0ther"))
        x.wait_log(r"warn\w* .*proxy 127\.0\.0\.1 port \d+: it refuses user or "
                   r"password of apnsProxy \(40[17]\)")
        push(x)
        assert "refuses" in x.status()["apnsError"]
        x.wait_log("(?s)(connecting to.*){3}")
        assert len(re.findall(r"warn\w* .*refuses", x.log())) == 1
        assert apple.connections == 0
        x.config["apnsProxy"] = proxy.url("mailer:" + SECRET)
        x.write_config()
        x.process.send_signal(signal.SIGHUP)
        wait_delivered(x, 1)
        assert_no_secret(x, "0ther")


@pytest.mark.skipif(not shutil.which("squid"), reason="make deps installs it")
def test_password_of_any_characters(workdir, start_xapsd, apple):
    password = "a:b@c/d%e é'"
    coded = "a:b%40c%2Fd%25e%20%C3%A9'"
    with Squid(workdir / "p", login=("mailer", password)) as proxy:
        x = start_xapsd(apnsProxy=proxy.url("mailer:" + coded))
        push(x)
        wait_delivered(x, 1)
        assert_no_secret(x, password, coded)


@pytest.mark.parametrize("kind", REAL)
def test_forbidden(kind, workdir, check, apple):     # noqa: F811
    with kind(workdir / "p", allow=443) as proxy:
        failed(check(apple, apnsProxy=proxy.url(), pushTimeout="30s"),
               "proxy", "403", ":%d" % apple.port, "allow it")


@pytest.mark.parametrize("kind", REAL)
def test_it_cannot_get_there(kind, workdir, check):  # noqa: F811
    with kind(workdir / "p") as proxy:
        failed(check(None, apnsProxy=proxy.url(), pushTimeout="30s"),
               "proxy", "cannot get there", "its log")


def test_reload_takes_it_and_leaves_it(start_xapsd, apple):
    """From none to a proxy and back; what is under way goes on."""
    x = start_xapsd()
    apple.wait_connected()
    with FakeProxy(honest(apple)) as proxy:
        shown = "127.0.0.1:%d" % proxy.port
        for n, url in enumerate((proxy.url(), None)):
            x.config["apnsProxy"] = url
            x.write_config()
            x.process.send_signal(signal.SIGHUP)
            apple.wait_connected(n + 2)
            push(x, n)
            wait_delivered(x, n + 1)
            assert x.status()["apnsProxy"] == (shown if url else "")


def test_bad_reload_keeps_the_old(start_xapsd, apple):
    x = start_xapsd()
    apple.wait_connected()
    x.config["apnsProxy"] = "socks5://mailer:%s@127.0.0.1:1080" % SECRET
    x.write_config()
    x.process.send_signal(signal.SIGHUP)
    x.wait_log(r"xapsd\.yaml:\d+: apnsProxy: only plain HTTP proxies.*SOCKS.*"
               r"the old configuration stays")
    push(x)
    wait_delivered(x, 1)
    assert_no_secret(x)


@pytest.mark.parametrize("url, words", [
    ("https://mailer:%s@p.test:443" % SECRET, "neither https:// nor SOCKS"),
    ("socks5://p.test:1080", "neither https:// nor SOCKS"),
    ("p.test:3128", "write http://host:port"),
    ("http://mailer:%s@p.test" % SECRET, "write http://host:port"),
    ("http://mailer:%s%%@p.test:1" % SECRET, "% is %25"),
])
def test_bad_urls(workdir, certs, url, words):
    x = Xapsd(workdir, certs, apnsProxy=url)
    done = x.run()
    assert done.returncode == 78
    assert re.search(r"xapsd\.yaml:\d+: apnsProxy: ", done.stderr)
    assert words in done.stderr and SECRET not in done.stderr
    done = x.run("check")
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert words in said and SECRET not in said


# --- one that lies ---

GOOD_ANSWERS = [
    b"HTTP/1.1 200 Connection established\r\n\r\n",
    b"HTTP/1.0 200\n\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: x\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 H\r\nLink: x\r\n\r\n"
    b"HTTP/1.1 204 No Content\r\nVia: " + b"x" * 7000 + b"\r\n\r\n",
]


@pytest.mark.parametrize("answer", GOOD_ANSWERS, ids=range(4))
@pytest.mark.parametrize("step", [None, 3])
def test_good_answers(start_xapsd, apple, answer, step):
    if step and len(answer) > 1000:
        step = 501
    with FakeProxy(honest(apple, answer, step)) as proxy:
        x = start_xapsd(apnsProxy=proxy.url("mailer:" + SECRET))
        push(x)
        wait_delivered(x, 1)
        request, = set(proxy.requests)
        host = b"%s:%d" % (x.config["apnsHost"].encode(), apple.port)
        assert request == (
            b"CONNECT " + host + b" HTTP/1.1\r\nHost: " + host + b"\r\n"
            b"Proxy-Authorization: Basic " +
            secrets_of(SECRET)[1].encode() + b"\r\n\r\n")
        assert_no_secret(x)


def test_bytes_after_the_answer_are_tls(start_xapsd, apple):
    """Taken for Apple's: here they are not, so the handshake fails, and says
    so; nothing of them is taken for the proxy's."""
    def script(sock, request, n):
        tail = b"HTTP/1.1 403 No\r\n\r\n" if n == 1 else b""
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + tail)
        return to_apple(apple)

    with FakeProxy(script) as proxy:
        x = start_xapsd(apnsProxy=proxy.url())
        x.wait_log("speaks plain HTTP on this port, not TLS")
        push(x)
        wait_delivered(x, 1)
        assert not re.search(r"\b403\b", x.log())     # but in a port


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                    struct.pack("ii", 1, 0))


def flood(sock):
    sock.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        sock.sendall(b"X: " + b"y" * 1000 + b"\r\n")


BAD = {
    "nothing": (lambda s: None, "closed the connection without an answer"),
    "half": (lambda s: s.sendall(b"HTTP/1.1 200 OK\r\nVia"),
             "in the middle of its answer"),
    "reset": (reset, "it broke the connection|without an answer"),
    "tls": (lambda s: s.sendall(b"\x15\x03\x01\x00\x02\x02\x46"),
            "not HTTP: .*without TLS"),
    "ssh": (lambda s: s.sendall(b"SSH-2.0-OpenSSH_9.2\r\n"), "not HTTP"),
    "webserver": (lambda s: s.sendall(
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nno\n"),
        "answers 400 to CONNECT .*is it an HTTP proxy"),
    "portal": (lambda s: s.sendall(
        b"HTTP/1.1 302 Found\r\nLocation: http://portal/\r\n\r\n"),
        "answers 302 to CONNECT"),
    "endless": (flood, "longer than 8 KiB"),
    "line": (lambda s: s.sendall(b"HTTP/1.1 200 " + b"x" * 100000),
             "longer than 8 KiB"),
    "502": (lambda s: s.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n"),
            "502 to CONNECT .*cannot get there"),
    "504": (lambda s: s.sendall(b"HTTP/1.1 504 Gateway Timeout\r\n\r\n"),
            "504 to CONNECT .*cannot get there"),
    "ntlm": (lambda s: s.sendall(
        b"HTTP/1.1 407 x\r\nProxy-Authenticate: NTLM\r\n\r\n"),
        "takes no Basic authentication"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_answers(start_xapsd, apple, what):
    """Each is one warning with the cure; the next try finds it mended."""
    say, words = BAD[what]
    mended = threading.Event()

    def script(sock, request, n):
        if mended.is_set():
            return honest(apple)(sock, request, n)
        say(sock)
        return None

    with FakeProxy(script) as proxy:
        x = start_xapsd(apnsProxy=proxy.url("mailer:" + SECRET))
        x.wait_log(r"warn\w* .*proxy 127\.0\.0\.1 port \d+: .*(%s)" % words)
        mended.set()
        push(x)
        wait_delivered(x, 1)
        assert_no_secret(x)


def silence(sock):
    sock.settimeout(30)
    with contextlib.suppress(OSError):
        sock.recv(1)


def dribble(sock):
    with contextlib.suppress(OSError):
        for byte in b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100:
            sock.sendall(bytes([byte]))
            time.sleep(0.1)


@pytest.mark.parametrize("say", [silence, dribble])
def test_no_answer_in_time(start_xapsd, check, apple, say):  # noqa: F811
    with FakeProxy(lambda s, r, n: say(s)) as proxy:
        failed(check(apple, apnsProxy=proxy.url(), pushTimeout="1s"), "proxy",
               "no answer from the proxy within 1 s")


def test_the_proxy_is_away(check, apple):    # noqa: F811
    port = free_port()
    failed(check(apple, apnsProxy="http://127.0.0.1:%d" % port), "proxy",
           "cannot connect to the proxy 127.0.0.1 port %d" % port, "refused")
    failed(check(apple, apnsProxy="http://no-such-host.invalid:3128"), "proxy",
           "cannot find the address of no-such-host.invalid")


def test_past_the_proxy(check, certs):       # noqa: F811
    """The proxy's step is ok where what follows is not."""
    with Apple(certs) as apple:
        apple.mode = "refuse"
        with FakeProxy(honest(apple)) as proxy:
            status_, lines = check(apple, apnsProxy=proxy.url(),
                                   pushTimeout="30s")
            assert status_ == 1
            assert lines[-2].split()[:2] == ["proxy", "ok"]
            assert lines[-1].split()[:2] == ["connection", "FAILED"]


def test_it_opens_tls(check, certs, workdir):   # noqa: F811
    """With a certificate of its own CA: not to be trusted."""
    other = CA("Inspection")
    key, cert = other.server()
    with Apple(certs, server=write(str(workdir / "mitm.pem"), cert_pem(cert),
                                   key_pem(key))) as apple:
        with FakeProxy(honest(apple)) as proxy:
            failed(check(apple, apnsProxy=proxy.url(), pushTimeout="30s"),
                   "connection", "does the proxy open TLS? It must not for this host",
                   "Inspection")
            assert apple.handshakes == 0


def test_proxy_lost_and_back(start_xapsd, apple):
    """A proxy that is restarted: what waited goes when it is back."""
    proxy = FakeProxy(honest(apple))
    with proxy:
        x = start_xapsd(apnsProxy=proxy.url())
        apple.wait_connected()
    apple.wait_unconnected()
    push(x)
    x.wait_log("cannot connect to the proxy")
    again = FakeProxy(honest(apple))
    again.sock.close()
    again.sock = bind_port("127.0.0.1", proxy.port)
    with again:
        wait_delivered(x, 1)


# --- machines without another way ---

class Islands:
    """A namespace for the daemon and one for all else.  They are joined by one
    cable; the daemon's knows no route beyond it."""

    def __init__(self, folder):
        self.folder = folder
        self.names = ["xprx%s%d" % (c, os.getpid()) for c in "ab"]

    def __enter__(self):
        a, b = self.names
        try:
            for name in self.names:
                netns.ip("netns", "add", name)
                netns.ip("-n", name, "link", "set", "lo", "up")
                # 127.0.0.1 would count as IPv4
                netns.ip("-n", name, "addr", "flush", "dev", "lo")
                netns.ip("-n", name, "addr", "add", "::1/128", "dev", "lo")
            netns.ip("link", "add", "xv", "netns", a, "type", "veth", "peer",
                    "name", "xv", "netns", b)
        except (OSError, subprocess.CalledProcessError) as e:
            self.__exit__()
            pytest.skip("no network namespaces here: %s" % e)
        for name in self.names:
            netns.ip("-n", name, "link", "set", "xv", "up")
            self.file(name, "hosts", "")
            self.file(name, "resolv.conf", "nameserver 127.0.0.1\n")
        return self

    def __exit__(self, *exc):
        for name in self.names:
            with contextlib.suppress(OSError, subprocess.CalledProcessError):
                netns.ip("netns", "del", name)

    def file(self, name, what, text):
        (self.folder / (name + what)).write_text(text)

    def address(self, who, address, dev="xv"):
        netns.ip("-n", self.names[who], "addr", "add", address, "dev", dev,
                *(["nodad"] if ":" in address else []))

    def inside(self, who, fn):
        return netns.inside(self.names[who], fn)

    def wrap(self, who):
        name = self.names[who]
        return netns.wrap(name, self.folder / (name + "hosts"),
                          self.folder / (name + "resolv.conf"))


@pytest.fixture
def islands(workdir):
    netns.need("ip", "nsenter", "unshare")
    with Islands(workdir) as it:
        yield it


NAME = "api.push.test"
FAR4, FAR6 = "10.8.0.1", "2001:db8:8::1"     # Apple
NEAR4, NEAR6 = "10.9.0.2", "2001:db8:9::2"   # the proxy's end of the cable


@pytest.mark.parametrize("kind", REAL)
@pytest.mark.parametrize("near, mine, far", [
    (NEAR4, "10.9.0.1", FAR4), (NEAR6, "2001:db8:9::1", FAR6),
    (NEAR6, "2001:db8:9::1", FAR4)], ids=["v4", "v6", "v6-to-v4"])
def test_no_way_out_but_the_proxy(islands, workdir, certs, start_xapsd,
                                  monkeypatch, kind, near, mine, far):
    """No name server either: Apple's name is known to the proxy alone."""
    islands.address(0, mine + ("/64" if ":" in mine else "/24"))
    islands.address(1, near + ("/64" if ":" in near else "/24"))
    islands.address(1, far + ("/128" if ":" in far else "/32"), "lo")
    islands.file(islands.names[1], "hosts", "%s %s\n" % (far, NAME))
    proxy = kind(workdir / "p", host=near, wrap=islands.wrap(1), login=LOGIN)
    proxy.hosts = workdir / (islands.names[1] + "hosts")
    apple = islands.inside(1, lambda: Apple(
        certs, host=far, server=server_for(certs, far)))
    with apple, proxy:
        monkeypatch.setenv("XAPSD_WRAP", shlex.join(islands.wrap(0)))
        x = start_xapsd(apple=apple, apnsHost=NAME)
        x.wait_log("cannot find the address of " + NAME, timeout=60)
        x.stop()
        assert apple.connections == 0
        x.config["apnsProxy"] = proxy.url("mailer:" + SECRET)
        x.start()
        push(x)
        wait_delivered(x, 1)
        assert apple.open[0].server_name == NAME
        assert_no_secret(x)
        # and by address, where names are not known anywhere
        x.config["apnsHost"] = far
        x.write_config()
        x.process.send_signal(signal.SIGHUP)
        apple.wait_connected(2)
        assert apple.problems() == []


class NameServer:
    """Knows one name, and it has AAAA only."""

    def __init__(self, name, address):
        self.question = b"".join(
            bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0"
        self.address = socket.inet_pton(socket.AF_INET6, address)
        self.asked = set()
        self.sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self.sock.bind(("::1", 53))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                query, who = self.sock.recvfrom(512)
                end = query.index(b"\0", 12) + 5
                kind = struct.unpack(">H", query[end - 4:end - 2])[0]
                known = query[12:end - 4].lower() == self.question
                self.asked.add((known, kind))
                n = known and kind == 28
                self.sock.sendto(
                    query[:2] + struct.pack(
                        ">HHHHH", 0x8180 | (0 if known else 3), 1, n, 0, 0) +
                    query[12:end] + n * (b"\xc0\x0c" + struct.pack(
                        ">HHIH", 28, 1, 60, 16) + self.address), who)


@pytest.mark.parametrize("by", ["hosts", "dns", "address"])
def test_ipv6_only(islands, certs, start_xapsd, monkeypatch, by):
    """No IPv4 anywhere, not even 127.0.0.1."""
    islands.address(0, "2001:db8:9::1/64")
    islands.address(1, NEAR6 + "/64")
    islands.address(1, FAR6 + "/128", "lo")
    netns.ip("-n", islands.names[0], "route", "add", "default", "via", NEAR6)
    mine = islands.names[0]
    if by == "hosts":
        islands.file(mine, "hosts", "%s %s\n" % (FAR6, NAME))
    if by == "dns":
        islands.file(mine, "resolv.conf", "nameserver ::1\n")
        server = islands.inside(0, lambda: NameServer(NAME, FAR6))
    apple = islands.inside(1, lambda: Apple(
        certs, host=FAR6, server=server_for(certs, FAR6)))
    with apple:
        monkeypatch.setenv("XAPSD_WRAP", shlex.join(islands.wrap(0)))
        x = start_xapsd(apple=apple, listenAddr="localhost", apnsHost=(
            "[%s]" % FAR6 if by == "address" else NAME))
        push(x)
        wait_delivered(x, 1)
        assert apple.problems() == []
        if by == "dns":
            assert (True, 28) in server.asked
            server.sock.close()


def server_for(certs, address):
    key, cert = certs.issuer.server([NAME], [address])
    return write(certs.directory + "/v6.pem", cert_pem(cert), key_pem(key))
