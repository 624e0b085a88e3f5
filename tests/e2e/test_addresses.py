"""Many addresses of Apple's, few of which work (RFC 8305).  A network namespace
with its own addresses, names and name servers; only what speaks HTTP/2 over TLS
counts as Apple."""

import contextlib
import os
import re
import shlex
import socket
import subprocess
import threading
import time

import pytest

import netns
from certs import cert_pem, key_pem, write
from ports import bind_port
from rawserver import RawServer, server_context
from test_connection import push, wait_delivered
from xapsd import is_instrumented

NAME = "apple.test"
GOOD = "127.9.0.99"      # far from 127.0.0.1: RFC 6724 rule 9 puts it last


class Net:
    """A namespace in which this machine has many addresses."""

    def __init__(self, folder):
        self.folder = folder
        self.name = "xaddr%d" % os.getpid()
        self.hosts, self.resolv = folder / "hosts", folder / "resolv.conf"
        self.sockets = []

    def __enter__(self):
        try:
            netns.ip("netns", "add", self.name)
            netns.ip("-n", self.name, "link", "set", "lo", "up")
            # AI_ADDRCONFIG wants more than loopback of either family
            netns.ip("-n", self.name, "addr", "add", "198.18.0.1/32", "dev",
                    "lo")
            for n in range(1, 9):
                netns.ip("-n", self.name, "addr", "add",
                        "2001:db8::%d/128" % n, "dev", "lo")
        except (OSError, subprocess.CalledProcessError) as e:
            self.__exit__()
            pytest.skip("no network namespaces here: %s" % e)
        self.resolv.write_text("nameserver 127.0.0.1\n")
        return self

    def __exit__(self, *exc):
        for s in self.sockets:
            s.close()
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            netns.ip("netns", "del", self.name)

    def inside(self, fn):
        return netns.inside_or_skip(self.name, fn)

    def bound(self, address, port=0):
        return self.inside(lambda: bind_port(address, port))

    def listening(self, address, port, backlog):
        s = self.bound(address, port)
        s.listen(backlog)
        self.sockets.append(s)
        return s

    # --- what may be at an address ---

    def refusing(self, address, port):
        pass

    def tarpit(self, address, port):
        """Accepts TCP and sends nothing."""
        self.listening(address, port, 100)

    def black_hole(self, address, port):
        """A listener whose queue is full drops what comes."""
        self.listening(address, port, 0)

        def fill():
            s = socket.socket(
                socket.AF_INET6 if ":" in address else socket.AF_INET)
            s.connect((address, port))
            self.sockets.append(s)

        self.inside(fill)

    def speaking(self, text):
        """A server that sends this to every client."""
        def make(address, port):
            s = self.listening(address, port, 100)

            def serve():
                with contextlib.suppress(OSError):
                    while True:
                        c, _ = s.accept()
                        c.recv(4096)
                        c.sendall(text)
                        self.sockets.append(c)

            threading.Thread(target=serve, daemon=True).start()
        return make

    def names(self, *addresses):
        self.hosts.write_text("127.0.0.1 localhost\n" + "".join(
            "%s %s\n" % (a, NAME) for a in addresses))

    def wrap(self):
        return shlex.join(netns.wrap(self.name, self.hosts, self.resolv))


@pytest.fixture
def net(workdir):
    netns.need("ip", "nsenter", "unshare")
    with Net(workdir) as it:
        yield it


@pytest.fixture
def context(certs, workdir):
    key, cert = certs.issuer.server([NAME], [])
    return server_context(write(
        str(workdir / "good.pem"), cert_pem(cert), key_pem(key)))


@pytest.fixture
def start(net, context, start_xapsd, monkeypatch):
    """A function: kinds of addresses in the resolver's order -> a daemon."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(RawServer(context, net.bound(GOOD)))

        def start(*ways, **config):
            addresses = []
            for n, (address, kind) in enumerate(ways):
                if kind is not None:
                    kind(address, server.port)
                addresses.append(address)
            net.names(*addresses)
            monkeypatch.setenv("XAPSD_WRAP", net.wrap())
            x = start_xapsd(apple=server, apnsHost=NAME, **config)
            return x, server
        yield start


def v4(*kinds):
    return [("127.0.1.%d" % (n + 1), kind) for n, kind in enumerate(kinds)]


def v6(*kinds):
    return [("2001:db8::%d" % (n + 1), kind) for n, kind in enumerate(kinds)]


GOOD_WAY = (GOOD, None)


def tries(x, at=0):
    return re.findall(r"apns: trying (\S+) port", x.log(at))


def threads(x):
    return len(os.listdir("/proc/%d/task" % x.process.pid))


def connected(x, within_s=None):
    """Until it is, and that a push gets through.  within_s: before that time is
    over, or at least without waiting for a timeout of those before it."""
    begin = time.monotonic()
    x.wait_log("apns: connected to %s " % NAME, timeout=60)
    took_s = time.monotonic() - begin
    push(x)
    wait_delivered(x, 1)
    before = x.log().partition("apns: trying %s " % GOOD)[0]
    assert within_s is None or took_s < within_s or is_instrumented() or \
        not re.search(r" within \d+ s$", before, re.M), took_s
    return took_s


def test_black_holes_first(net, start):
    """Six of them: the seventh address is tried after 1.5 s, not 30."""
    x, _ = start(*v4(*[net.black_hole] * 6), GOOD_WAY)
    connected(x, 15)
    assert len(tries(x)) == 7 and tries(x)[6] == GOOD


def test_tcp_without_tls_first(net, start):
    x, _ = start(*v4(net.tarpit), GOOD_WAY)
    connected(x, 4)


def test_tarpits_first(net, start):
    x, _ = start(*v4(*[net.tarpit] * 4), GOOD_WAY)
    connected(x, 18)    # not 20


ALERT = b"\x15\x03\x03\x00\x02\x02\x28"     # handshake_failure


@pytest.mark.parametrize("text", [
    ALERT, b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * 100],
    ids=["alert", "http", "garbage"])
def test_no_apple_first(net, start, text):
    x, _ = start(*v4(*[net.speaking(text)] * 3), GOOD_WAY)
    connected(x, 14)    # not 15
    assert tries(x)[3] == GOOD


def test_refusing_first(net, start):
    x, _ = start(*v4(*[net.refusing] * 8), GOOD_WAY)
    took_s = [connected(x)]
    for _ in range(2):          # load only adds
        x.restart()
        took_s.append(connected(x))
    assert min(took_s) < 2 or is_instrumented(), took_s


def test_tls_without_settings_first(net, start, context):
    """TLS, even HTTP/2's name in it, is not enough."""
    release = threading.Event()

    def script(c):
        c.handshake()
        release.wait(30)

    with contextlib.ExitStack() as stack:
        def silent(address, port):
            server = stack.enter_context(
                RawServer(context, net.bound(address, port)))
            server.plan(script)

        x, _ = start(*v4(silent), GOOD_WAY)
        connected(x, 4)
        release.set()


def test_other_servers_name_first(net, start, certs):
    """Somebody else's certificate."""
    with contextlib.ExitStack() as stack:
        def other(address, port):
            stack.enter_context(RawServer(
                server_context(certs.server), net.bound(address, port)))

        x, _ = start(*v4(other), GOOD_WAY)
        connected(x, 3)


def test_all_of_ipv6_dead(net, start):
    """The families take turns."""
    x, _ = start(*v6(*[net.black_hole] * 8), GOOD_WAY)
    connected(x, 2)
    assert tries(x)[1] == GOOD


def test_more_than_a_round_tries(net, start):
    """20 addresses, the good one last: 16 in the first round, and those that
    had no turn come first in the second."""
    x, _ = start(*v4(*[net.black_hole] * 19), GOOD_WAY, pushTimeout="6s")
    connected(x)
    # 8 at once
    assert x.log().count("apns: trying") >= 17
    assert GOOD in tries(x)[16:20]


def test_the_last_good_one_is_first(net, start):
    x, server = start(*v4(*[net.black_hole] * 3), GOOD_WAY)
    connected(x)
    files = x.open_files()
    for n in range(3):
        at = x.log_size()
        server.drop()
        x.wait_log("apns: connected to", start=at)
        assert tries(x, at)[0] == GOOD
    # nothing is left of the abandoned ones
    x.wait_until(lambda: x.open_files() <= files, "descriptors given back")
    x.wait_until(lambda: threads(x) == 1, "no thread left")


def test_the_failed_one_is_not_first(net, start):
    """The good one stops to answer: the others come before it."""
    x, server = start(*v4(net.tarpit), GOOD_WAY, pushTimeout="3s",
                      retryMin="100ms", retryMax="200ms")
    connected(x)
    at = x.log_size()
    server.away()
    server.drop()
    x.wait_log("(?s)(connecting to.*){3}", start=at, timeout=30)
    rounds = [re.findall(r"trying (\S+)", part) for part in
              x.log(at).split("connecting to")[1:3]]
    assert rounds[0][0] == GOOD     # it was good until then
    assert rounds[1][0] != GOOD
    at = x.log_size()
    server.back(net.bound(GOOD, server.port))
    x.wait_log("apns: connected to", start=at, timeout=30)


def test_a_good_one_that_is_no_use(net, start, context):
    """Its SETTINGS come, and then the end, every time."""
    def script(c):
        c.open()
        c.hang_up()

    with contextlib.ExitStack() as stack:
        def useless(address, port):
            server = stack.enter_context(
                RawServer(context, net.bound(address, port)))
            server.plan(*[script] * 20)

        x, _ = start(*v4(useless), GOOD_WAY, retryMin="100ms",
                     retryMax="200ms")
        x.wait_log(r"apns: connected to %s \(%s " % (
            NAME, re.escape(GOOD)), timeout=30)
        push(x)
        wait_delivered(x, 1)


def test_nobody_anywhere(net, start):
    """Logged when it is new, with little CPU time, without a leak."""
    x, _ = start(*v4(*[net.black_hole] * 10), pushTimeout="1s",
                 retryMin="100ms", retryMax="200ms")
    x.wait_log("(?s)(connecting to.*){3}", timeout=30)
    files, cpu_s, at = x.open_files(), x.cpu_s(), x.log_size()
    x.wait_log("(?s)(connecting to.*){4}", timeout=30, start=at)
    assert x.cpu_s() - cpu_s < 0.5
    assert x.open_files() <= files + 10
    # one that was late has another number of seconds
    warned = re.findall(r" warn  apns: .*(no TLS .*); next", x.log())
    assert warned and all(a != b for a, b in zip(warned, warned[1:]))
    assert threads(x) <= 2


def test_silent_name_servers(net, start):
    """One lookup at a time, however long it lasts; and it is over some day."""
    net.black_hole("127.0.0.53", 53)
    net.resolv.write_text("nameserver 127.0.0.53\noptions timeout:30\n")
    silent = net.inside(lambda: socket.socket(
        socket.AF_INET, socket.SOCK_DGRAM))
    silent.bind(("127.0.0.53", 53))
    net.sockets.append(silent)
    x, _ = start(pushTimeout="1s", retryMin="100ms", retryMax="200ms")
    at = x.log_size()
    x.wait_log("(?s)(connecting to.*){4}", timeout=30, start=at)
    assert threads(x) <= 2
    assert "no answer from the name servers within 1 s" in x.log()


def test_idle_afterwards(net, start):
    """No timer of the race is left."""
    x, _ = start(*v4(net.tarpit, net.black_hole), GOOD_WAY)
    connected(x)
    x.wait_asleep(2)
