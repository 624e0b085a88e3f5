"""Misbehaviour from every side.  Each case ends with a daemon that lives,
serves, and holds no more memory or descriptors than before."""
import base64
import contextlib
import os
import random
import resource
import select
import signal
import socket
import ssl
import time

import pytest

from phones import ACCOUNT, TOKEN
from test_http import NOTIFY, assert_closed, post, raw, read_reply
from test_line import notify as line_notify, register as line_register
from xapsd import Xapsd, is_instrumented, tls_listener

# What the C library may keep of a crowd that has gone.
GROWTH_KIB = 1024
CROWD_KIB = 4096


@contextlib.contextmanager
def unharmed(daemon, growth=GROWTH_KIB):
    """It serves afterwards, with the memory and descriptors of before."""
    daemon.notify("nobody")
    daemon.apple.wait_connected()
    files, memory = daemon.open_files(), daemon.rss_kib()
    yield
    daemon.assert_alive()
    daemon.wait_until(lambda: daemon.notify("nobody").status == 404, "answer")
    daemon.wait_until(lambda: daemon.open_files() <= files + 1,
                      "descriptors given back (%d before)" % files)
    # buffers of connections go after a second
    if not is_instrumented():
        daemon.wait_until(
            lambda: daemon.rss_kib() - memory < growth,
            "memory given back (%d KiB before)" % memory)


def connect(daemon, kind):
    if kind == "unix":
        return raw(daemon)
    return socket.create_connection(
        ("127.0.0.1", daemon.port if kind == "tcp" else
         daemon.config["tlsPort"]), 20)


@pytest.fixture
def doors(start_xapsd, certs):
    """A daemon with all three doors."""
    daemon = start_xapsd(tcp=True, **tls_listener(certs))
    daemon.wait_until(lambda: can_connect(daemon.config["tlsPort"]), "TLS port")
    return daemon


def can_connect(port):
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 5).close()
        return True


# --- peers ---

@pytest.mark.parametrize("kind", ["unix", "tcp", "tls"])
def test_slow_ones_are_cut_off(doors, kind):
    """A byte a second of a head, a body, a line, a handshake."""
    starts = {"tls": [b"\x16\x03\x01\x02\x00"]}.get(kind, [
        b"POST /notify HTTP/1.1\r\nHost: x\r\nX: ", post(NOTIFY)[:-40],
        b'NOTIFY dovecot-username="',
        b"POST /notify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        b"\r\n1;"])
    with unharmed(doors, CROWD_KIB):
        begun = time.monotonic()    # a handshake's time starts here
        socks = [connect(doors, kind) for _ in range(40)]
        for i, s in enumerate(socks):
            s.sendall(starts[i % len(starts)])
        while socks:        # they are cut off at 10 s, whatever they send
            assert doors.notify("nobody").status == 404
            for s in select.select(socks, [], [], 0.9)[0]:
                with contextlib.suppress(ConnectionResetError):
                    answer = s.recv(4096)
                    assert kind == "tls" or b" 408 " in answer or \
                        answer.startswith(b"ERROR "), answer
                    assert_closed(s)
                s.close()
                socks.remove(s)
                assert time.monotonic() - begun > 9
            assert time.monotonic() - begun < 60
            for s in socks:
                with contextlib.suppress(OSError):  # cut off meanwhile
                    s.sendall(b"1")


@pytest.mark.parametrize("kind", ["unix", "tcp", "tls"])
def test_ten_megabytes(doors, kind):
    """Of a body, of a chunked body, of a head, of a line, of nothing."""
    big = b"x" * 10_000_000
    with unharmed(doors):
        for start in (
                b"POST /notify HTTP/1.1\r\nHost: x\r\nContent-Length: "
                b"10000000\r\n\r\n",
                b"POST /notify HTTP/1.1\r\nHost: x\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n989680\r\n",
                b"GET / HTTP/1.1\r\nHost: x\r\nX: ", b"NOTIFY x=\"", b"",
                b"POST /notify HTTP/1.1\r\nHost: x\r\nContent-Length: "
                b"99999999999999999999999\r\n\r\n"):
            with connect(doors, kind) as s:
                with contextlib.suppress(OSError):
                    s.sendall(start + big)
                with contextlib.suppress(ConnectionResetError):
                    while s.recv(65536):
                        pass


def test_garbage_everywhere(doors):
    rnd = random.Random(5)
    whole = [post(NOTIFY), (line_register() + "\n").encode(),
             (line_notify() + "\r\n").encode(), b"\x16\x03\x01\x02\x00\x01",
             b'{"user":"alice"}']
    with unharmed(doors):
        for i in range(600):
            data = bytearray(whole[i % len(whole)])
            if i % 7 == 0:
                data = bytearray(rnd.randbytes(rnd.randrange(1, 2000)))
            for _ in range(rnd.randrange(4)):
                data[rnd.randrange(len(data))] = rnd.randrange(256)
            with connect(doors, ("unix", "tcp", "tls")[i % 3]) as s:
                with contextlib.suppress(OSError):    # it may have closed
                    s.sendall(data)
                    if i % 2:
                        s.shutdown(socket.SHUT_WR)
                        while s.recv(4096):
                            pass


def test_half_open(doors):
    """Peers that end their side, reset, or never read what they asked for."""
    linger = b"\1\0\0\0\0\0\0\0"    # l_onoff, l_linger 0: a reset
    with unharmed(doors):
        keep = []
        for i in range(200):
            s = connect(doors, ("unix", "tcp")[i % 2])
            s.sendall(post(NOTIFY)[:1 + i])
            if i % 4 == 0:
                s.shutdown(socket.SHUT_WR)
            elif i % 4 == 1:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                s.close()
            elif i % 4 == 2:
                s.close()
            else:
                keep.append(s)
        greedy = connect(doors, "tcp")
        greedy.settimeout(1)
        with contextlib.suppress(OSError):
            for _ in range(20000):    # asks, and reads nothing
                greedy.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert doors.notify("nobody").status == 404
        greedy.close()
        for s in keep:
            s.close()


def test_idle_ones_and_a_newcomer(start_xapsd):
    """1,024 idle connections, as of silent IMAP processes: what they cost, and
    that a newcomer is let in (the longest-idle one goes)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4096:
        pytest.skip("the limit of open files is too low")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    daemon = start_xapsd()
    with unharmed(daemon, CROWD_KIB):
        files, memory = daemon.open_files(), daemon.rss_kib()
        socks = []
        for _ in range(1024):
            s = raw(daemon)
            s.sendall(post(NOTIFY))
            assert read_reply(s)[0] == 404
            socks.append(s)
        daemon.wait_asleep()
        print("1,024 idle connections: %d descriptors, %d KiB" % (
            daemon.open_files() - files, daemon.rss_kib() - memory))
        assert abs(daemon.open_files() - files - 1024) <= 1
        assert daemon.rss_kib() - memory < 4096 or is_instrumented()
        socks[0].sendall(post(NOTIFY))      # not the longest-idle any more
        assert read_reply(socks[0])[0] == 404
        for gone, ask in ((1, post(NOTIFY)),
                          (2, (line_notify() + "\n").encode())):
            newcomer = raw(daemon)
            socks.append(newcomer)
            newcomer.sendall(ask)
            assert newcomer.recv(100).startswith((b"HTTP/1.1 404", b"OK \r\n"))
            assert_closed(socks[gone])
        for s in (socks[0], socks[3]):
            s.sendall(post(NOTIFY))
            assert read_reply(s)[0] == 404
        for s in socks:
            s.close()


# --- the machine ---

def test_few_descriptors(start_xapsd):
    """Started with 40: neither dies nor spins, and serves all in turn."""
    daemon = start_xapsd(maxConnections=30)
    daemon.apple.wait_connected()
    with unharmed(daemon):
        before = resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE,
                         (40, before[1]))
        socks = [socket.socket(socket.AF_UNIX) for _ in range(200)]
        for s in socks:
            s.setblocking(False)
            if s.connect_ex(daemon.socket_path) == 0:
                with contextlib.suppress(OSError):  # it may have to go
                    s.send(b"POST /no")
        cpu = daemon.cpu_s()
        time.sleep(1.5)
        assert daemon.cpu_s() - cpu < 1
        for s in socks:
            s.close()
        daemon.wait_until(
            lambda: daemon.notify("nobody").status == 404, "answer")
        # the disk is reached, too
        daemon.register("alice", ACCOUNT, TOKEN)
        resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, before)


def test_signal_storm(start_xapsd):
    """Reloads, status and strays by the thousand, amid requests."""
    daemon = start_xapsd(loglevel="error")
    pid = daemon.process.pid
    rnd = random.Random(1)

    def storm():
        for _ in range(20):
            os.kill(pid, rnd.choice((signal.SIGHUP, signal.SIGUSR1,
                                     signal.SIGPIPE, signal.SIGCHLD,
                                     signal.SIGWINCH, signal.SIGCONT)))

    with unharmed(daemon):
        for i in range(100):
            storm()     # as many reloads as requests, on a slow machine, too
            assert daemon.notify("nobody", keep=True).status == 404
            storm()
            daemon.register("u%d" % (i % 20), ACCOUNT, TOKEN, keep=True)
        daemon.drop_kept()
        daemon.wait_until(lambda: daemon.notify("nobody").status == 404,
                          "answer")
        daemon.apple.wait(lambda: daemon.apple.open, "connection")
        daemon.wait_until(lambda: '"apns":"connected"' in daemon.request(
            "GET", "/status").body, "connection")
    assert len({r["user"] for r in daemon.records()}) == 20


def test_stopped_and_continued(xapsd):
    """A laptop's lid, a debugger: asleep, then as if nothing had been."""
    with unharmed(xapsd):
        xapsd.process.send_signal(signal.SIGSTOP)
        socks = []
        for _ in range(50):
            s = raw(xapsd)
            s.sendall(post(NOTIFY))
            socks.append(s)
        time.sleep(0.5)
        xapsd.process.send_signal(signal.SIGCONT)
        for s in socks:
            assert read_reply(s)[0] == 404
            s.close()


# --- the socket's file ---

def test_stale_socket_is_replaced(xapsd):
    xapsd.kill()
    assert os.path.exists(xapsd.socket_path)
    xapsd.start()
    assert xapsd.notify("nobody").status == 404


def test_socket_of_the_living_is_not_stolen(start_xapsd, workdir, certs):
    first = start_xapsd(folder=workdir / "a")
    with unharmed(first):
        (workdir / "b").mkdir()
        second = Xapsd(workdir / "b", certs, socketPath=first.socket_path)
        done = second.run()
        assert done.returncode in (1, 78)
        assert "another xapsd is running there" in done.stderr
        assert os.path.exists(first.socket_path)
    # not even when it is too busy to answer
    first.process.send_signal(signal.SIGSTOP)
    try:
        assert second.run().returncode != 0
        assert os.path.exists(first.socket_path)
    finally:
        first.process.send_signal(signal.SIGCONT)
    assert first.notify("nobody").status == 404


# --- who may talk ---

def test_tls_with_password(start_xapsd, certs):
    daemon = start_xapsd(httpUser="me", httpPassword="secret",
                         **tls_listener(certs))
    port = daemon.config["tlsPort"]
    daemon.wait_until(lambda: can_connect(port), "TLS port")
    context = ssl.create_default_context(cafile=certs.ca)

    def ask(data):
        with socket.create_connection(("127.0.0.1", port), 20) as s, \
                context.wrap_socket(s, server_hostname="localhost") as t:
            t.sendall(data)
            return read_reply(t)

    with unharmed(daemon):
        basic = base64.b64encode(b"me:secret").decode()
        assert ask(post(NOTIFY))[0] == 401
        assert ask(post(NOTIFY, path="/nowhere"))[0] == 401
        assert ask(post(NOTIFY, "Authorization: Basic eDp5"))[0] == 401
        assert ask(post(NOTIFY, "Authorization: Basic " + basic))[0] == 404
        assert ask(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")[0] == 200
        assert ask(b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n")[0] == 401
        assert ask(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")[0] == 401
        with socket.create_connection(("127.0.0.1", port), 20) as s, \
                context.wrap_socket(s, server_hostname="localhost") as t:
            t.sendall((line_notify() + "\n").encode())
            assert t.recv(100).startswith(b"ERROR a password is needed")
