"""Who may do what: administrators, web pages, wrong passwords; and that one
client with any number of connections cannot lock out others."""

import base64
import contextlib
import os
import pwd
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest

from certs import cert_pem, key_pem, write
from phones import ACCOUNT, TOKEN
from ports import free_port
from test_http import NOTIFY, post, raw, read_reply
from test_line import Lines, notify as line_notify, register as line_register
from xapsd import executable, is_instrumented, tls_listener

REGISTER = ('{"ApsAccountId":"%s","ApsDeviceToken":"%s","ApsSubtopic":'
            '"com.apple.mobilemail","Username":"eve","Mailboxes":["INBOX"]}'
            % (ACCOUNT, TOKEN)).encode()
NOBODY = 65534

as_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="needs other users")
ADMIN = ["list", "forget", "push", "import"]


# --- administrators ---

def ask_as(uid, path, *requests):
    """The answer to another user's process on the socket."""
    program = """if True:
        import socket, sys
        s = socket.socket(socket.AF_UNIX)
        s.connect(sys.argv[1])
        s.sendall(sys.stdin.buffer.read())
        s.shutdown(socket.SHUT_WR)
        while True:
            data = s.recv(65536)
            if not data:
                break
            sys.stdout.buffer.write(data)
    """
    done = subprocess.run(
        ["/usr/bin/python3", "-c", program, path], input=b"".join(requests),
        capture_output=True, timeout=60, user=uid, group=uid, extra_groups=[],
        check=True)
    return done.stdout.decode()


@as_root
@pytest.mark.parametrize("command", ADMIN)
def test_others_are_no_administrators(xapsd, command):
    """Users of the socket may register and notify, and no more."""
    xapsd.register("alice", ACCOUNT, TOKEN)
    body = b'{"user":"alice"}'
    said = ask_as(NOBODY, xapsd.socket_path,
                  post(body, path="/admin/" + command),
                  post(REGISTER, path="/register"),
                  b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
    answers = said.split("HTTP/1.1 ")[1:]
    assert [a[:3] for a in answers] == ["403", "200", "200"]
    assert answers[0].endswith(
        "run it as root, e.g. sudo xapsd %s\n" % command)
    assert "alice" not in said
    assert {r["user"] for r in xapsd.records()} == {"alice", "eve"}
    reply = xapsd.request("POST", "/admin/" + command, body.decode())
    assert reply.status != 403


@as_root
def test_the_method_does_not_matter(xapsd):
    for line in ("GET /admin/list", "HEAD /admin/list", "PUT /admin/list",
                 "POST http://localhost/admin/list", "POST /admin/list?x",
                 "DELETE /admin/forget", "POST /admin/push",
                 "POST /admin/unknown"):
        said = ask_as(NOBODY, xapsd.socket_path, (
            line + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"
        ).encode())
        assert said.startswith("HTTP/1.1 403 "), line
    for line in ("POST /admin/", "POST /admin/nothing", "POST /admin//list",
                 "POST /ADMIN/list", "POST /admin/list/"):
        said = ask_as(NOBODY, xapsd.socket_path, (
            line + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"
        ).encode())
        assert said.startswith("HTTP/1.1 404 "), line


@as_root
def test_commands_say_who_may(start_xapsd, workdir):
    daemon = start_xapsd()
    daemon.register("alice", ACCOUNT, TOKEN)
    program = shutil.copy(executable(), workdir / "xapsd")
    source = workdir / "db.json"
    shutil.copy(daemon.database, source)
    source.chmod(0o644)

    def run(*args):
        return subprocess.run(
            [str(program), "-c", str(daemon.config_path), *args],
            capture_output=True, text=True, timeout=60,
            user=NOBODY, group=NOBODY, extra_groups=[])
    for args in (["list"], ["list", "--json", "alice"], ["forget", "alice"],
                 ["push", "alice"], ["export"], ["import", str(source)]):
        done = run(*args)
        assert done.returncode == 1, done
        assert "run it as root" in done.stderr and "sudo" in done.stderr
        assert done.stderr.count("\n") == 1
        assert "alice" not in done.stdout
    assert run("status").returncode == 0
    assert [r["user"] for r in daemon.records()] == ["alice"]


@as_root
def test_own_user_is_administrator(start_xapsd, workdir, certs):
    folder = workdir / "x"
    folder.mkdir()
    for name in ("p8", "ca"):
        shutil.copy(getattr(certs, name), folder / name)
        (folder / name).chmod(0o644)
    os.chown(folder, NOBODY, NOBODY)
    daemon = start_xapsd(user="nobody", keyFileP8=str(folder / "p8"),
                         apnsCaFile=str(folder / "ca"))
    daemon.register("alice", ACCOUNT, TOKEN)
    ask = post(b"{}", path="/admin/list")
    assert "alice" in ask_as(NOBODY, daemon.socket_path, ask)
    assert "alice" in daemon.request("POST", "/admin/list", "{}").body
    said = ask_as(1, daemon.socket_path, ask)
    assert said.startswith("HTTP/1.1 403 ")
    assert said.endswith("run it as root or as user %s, e.g. sudo xapsd "
                         "list\n" % pwd.getpwuid(NOBODY).pw_name)


def test_nobody_administrates_over_tcp(start_xapsd):
    daemon = start_xapsd(tcp=True, httpUser="me", httpPassword="secret")
    basic = "Basic " + base64.b64encode(b"me:secret").decode()
    for command in ADMIN:
        for headers, status in (({}, 401), ({"Authorization": basic}, 404)):
            assert daemon.request("POST", "/admin/" + command, "{}", headers,
                                  tcp=True).status == status


# --- Host and Origin ---

def ask_tcp(port, *lines, target="/nowhere", version="1.1", address="127.0.0.1",
            context=None, body=b""):
    head = ["POST %s HTTP/%s" % (target, version), *lines,
            "Content-Length: %d" % len(body), "Connection: close", "", ""]
    with contextlib.ExitStack() as stack:
        s = stack.enter_context(socket.create_connection((address, port), 60))
        if context is not None:
            s = stack.enter_context(
                context.wrap_socket(s, server_hostname="localhost"))
        s.sendall("\r\n".join(head).encode() + body)
        status, _, text = read_reply(s)
        return status, text.decode()


def minutes_since(began):
    """Whole ones, by which a busy machine prolongs a test."""
    return int(time.monotonic() - began) // 60


def test_hosts(start_xapsd):
    daemon = start_xapsd(tcp=True)
    p, began = daemon.port, time.monotonic()
    for host in ("localhost", "LocalHost", "localhost.", "localhost:%d" % p,
                 "localhost.:%d" % p, "localhost:", "127.0.0.1",
                 "127.0.0.1:%d" % p, "[::1]", "[::1]:%d" % p, "[0::1]",
                 "[::ffff:127.0.0.1]:%d" % p):
        assert ask_tcp(p, "Host: " + host)[0] == 404, host
        assert ask_tcp(p, target="http://%s/nowhere" % host,
                       version="1.0")[0] == 404, host
    for host in ("evil.example", "localhost.evil.example", "evil-localhost",
                 "xlocalhost", "localhostx", "localhost..", ".localhost",
                 "evil.example:%d" % p, "localhost:1", "localhost:0",
                 "localhost:x", "localhost:%d:1" % p, "127.0.0.1:1",
                 "localhost:+%d" % p, "127.0.0.1.", "127.0.0.1.evil.example",
                 "127.1", "2130706433", "0x7f.0.0.1", "0.0.0.0", "127.0.0.2",
                 "192.0.2.1", "[::]", "[::2]", "::1", "[::1", "[127.0.0.1]",
                 "[::1]x", "[localhost]", "", ":%d" % p, "a" * 300,
                 "localhost%00", "localhost,evil.example"):
        status, text = ask_tcp(p, "Host: " + host)
        assert status == 403, host
        assert "httpHosts" in text and text.count("\n") == 1
        assert len(text) < 300
        if host:
            # the target's counts, not the header's
            for lines in ((), ("Host: localhost",)):
                assert ask_tcp(
                    p, *lines, version="1.0",
                    target="http://%s/nowhere" % host)[0] in (400, 403), host
    assert ask_tcp(p, "Host: evil.example",
                   target="http://localhost/nowhere")[0] == 404
    # every path, also those without a password
    for path in ("/healthz", "/status", "/register", "/admin/list"):
        assert ask_tcp(p, "Host: evil.example", target=path,
                       body=REGISTER)[0] == 403
    assert ask_tcp(p, version="1.0")[0] == 404
    assert ask_tcp(p)[0] == 400
    assert ask_tcp(p, "Host: localhost", "Host: localhost")[0] == 400
    assert ask_tcp(p, "Host: localhost", "host: evil.example")[0] == 400
    # the Unix socket asks for no password
    assert daemon.request("GET", "/status",
                          headers={"Host": "evil.example"}).status == 200
    lines = [x for x in daemon.log().splitlines() if "refused a request" in x]
    assert 1 <= len(lines) <= 1 + minutes_since(began)
    assert "from 127.0.0.1" in lines[0] and "httpHosts" in lines[0]


def test_http_hosts(start_xapsd):
    daemon = start_xapsd(
        tcp=True, httpHosts="mail.example.org  Xapsd docker:8080 192.0.2.7")
    p = daemon.port
    for host, status in (
            ("mail.example.org", 404), ("MAIL.example.ORG.", 404),
            ("mail.example.org:%d" % p, 404), ("mail.example.org:443", 404),
            ("xapsd", 404), ("docker:8080", 404), ("docker", 404),
            ("docker:8081", 403), ("192.0.2.7:1", 404), ("192.0.2.8", 403),
            ("example.org", 403), ("mail.example.org.evil", 403),
            ("mail", 403), ("localhost", 404)):
        assert ask_tcp(p, "Host: " + host)[0] == status, host
    at = daemon.log_size()
    daemon.config["httpHosts"] = "other"
    daemon.write_config()
    daemon.process.send_signal(1)
    daemon.wait_log("configuration was read again", start=at)
    assert ask_tcp(p, "Host: other")[0] == 404
    assert ask_tcp(p, "Host: xapsd")[0] == 403


def test_host_on_every_address(start_xapsd):
    """Listening on all of them, those that clients reach are ours."""
    daemon = start_xapsd(port=(port := free_port()), listenAddr="0.0.0.0",
                         allowInsecure="yes")
    daemon.wait_log("started")
    for address in ("127.0.0.1", "127.0.0.9"):
        assert ask_tcp(port, "Host: %s:%d" % (address, port),
                       address=address)[0] == 404
        assert ask_tcp(port, "Host: 0.0.0.0", address=address)[0] == 403
    assert ask_tcp(port, "Host: 127.0.0.9")[0] == 403


def test_certificate_names_are_ours(start_xapsd, certs, workdir):
    """A client that reached it by TLS and name still does."""
    daemon = start_xapsd(tcp=True, **tls_listener(certs))
    port = daemon.config["tlsPort"]
    daemon.wait_log("started")
    context = ssl.create_default_context(cafile=certs.ca)
    for host, status in (
            ("api.push.test", 404), ("API.push.test:%d" % port, 404),
            ("api.push.test:443", 404), ("push.test", 403),
            ("x.api.push.test", 403), ("localhost:%d" % port, 404),
            ("evil.example", 403)):
        assert ask_tcp(port, "Host: " + host, context=context)[0] == status
    assert ask_tcp(daemon.port, "Host: api.push.test")[0] == 403


def test_wildcard_names_are_ours(start_xapsd, certs, workdir):
    key, cert = certs.issuer.server(("*.example.org", "localhost"))
    file = write(str(workdir / "wild.pem"), cert_pem(cert), key_pem(key))
    port = free_port()
    daemon = start_xapsd(tlsPort=port, tlsListenAddr="127.0.0.1",
                         tlsCertfile=file, tlsKeyfile=file)
    daemon.wait_log("started")
    context = ssl.create_default_context(cafile=certs.ca)
    for host, status in (
            ("mail.example.org", 404), ("MAIL.Example.org.", 404),
            ("example.org", 403), ("a.mail.example.org", 403),
            (".example.org", 403), ("*.example.org", 404),
            ("mailexample.org", 403), ("mail.example.org.evil", 403)):
        assert ask_tcp(port, "Host: " + host, context=context)[0] == status
    own = ["Host: mail.example.org:%d" % port,
           "Origin: https://mail.example.org:%d" % port]
    assert ask_tcp(port, *own, context=context)[0] == 404
    own[1] = own[1].replace("https", "http")
    assert ask_tcp(port, *own, context=context)[0] == 403


@pytest.mark.parametrize("origin", [
    "null", "", "http://evil.example", "https://localhost:{p}",
    "http://localhost", "http://localhost:{p}.evil.example",
    "http://localhost:1", "http://127.0.0.1:{p}", "localhost:{p}",
    "http://localhost:{p}/", "http://a http://localhost:{p}",
    "file://", "chrome-extension://abc"])
def test_other_sites_pages(start_xapsd, origin):
    daemon = start_xapsd(tcp=True)
    host = "Host: localhost:%d" % daemon.port
    status, text = ask_tcp(
        daemon.port, host, "Origin: " + origin.format(p=daemon.port),
        "Content-Type: text/plain", target="/register", body=REGISTER)
    assert status == 403
    assert "web page" in text and text.count("\n") == 1
    assert not daemon.database.exists() or daemon.records() == []
    # our own page
    assert ask_tcp(daemon.port, host,
                   "Origin: http://localhost:%d" % daemon.port)[0] == 404
    assert ask_tcp(daemon.port, host, "Origin: http://localhost:%d"
                   % daemon.port, "Origin: http://evil.example")[0] == 400


def test_page_behind_a_proxy(start_xapsd):
    """One that takes the TLS off: the browser's Origin says https.  Only for
    names that the configuration says are ours."""
    daemon = start_xapsd(tcp=True, httpHosts="mail.example.org")
    for host, status in (("mail.example.org", 404),
                         ("localhost:%d" % daemon.port, 403)):
        assert ask_tcp(daemon.port, "Host: " + host,
                       "Origin: https://" + host)[0] == status
    assert ask_tcp(daemon.port, "Host: mail.example.org",
                   "Origin: https://evil.example")[0] == 403


@pytest.mark.parametrize("site,status", [
    ("same-origin", 404), ("none", 404), ("cross-site", 403),
    ("same-site", 403), ("", 403), ("same-origin2", 403)])
def test_fetch_metadata(start_xapsd, site, status):
    """What a browser says of a request, also without an Origin; a link may
    come from anywhere."""
    daemon = start_xapsd(tcp=True)
    host = "Host: localhost:%d" % daemon.port
    assert ask_tcp(daemon.port, host, "Sec-Fetch-Site: " + site)[0] == status
    reply = daemon.request("GET", "/status", tcp=True,
                           headers={"Sec-Fetch-Site": site})
    assert reply.status == 200


def test_no_way_from_a_page_to_lines(start_xapsd):
    """What a page posts is a body, however the request is refused."""
    daemon = start_xapsd(tcp=True)
    evil = (line_register("eve") + "\r\n" + line_notify("eve") + "\r\n")
    page = ["Host: localhost:%d" % daemon.port, "Origin: http://evil.example"]
    requests = [
        "\r\n".join(["POST / HTTP/1.1", *page, "Content-Length: %d"
                     % len(evil), "", evil]),
        "\r\n".join(["POST / HTTP/1.1", *page, "Content-Length: 2", "",
                     "{}" + evil]),
        "\r\n".join(["POST / HTTP/1.1", *page, "Content-Length: 99999", "",
                     evil]),
        "\r\n".join(["POST / HTTP/1.1", *page, "Transfer-Encoding: chunked",
                     "", "x\r\n" + evil]),
        "\r\n".join(["POST / HTTP/1.1", "Host: a", *page, "", evil]),
        "\r\n".join(["POST / HTTP/9.1", *page, "", evil]),
        "\r\n".join(["POST / HTTP/1.1", *page, "X: " + "x" * 9000, "", evil]),
        "\r\n".join(["POST / HTTP/1.1", *page, "Expect: x", "", evil]),
        "\r\n".join(["POST / HTTP/1.1", evil]),
        "GET / HTTP/1.0\r\n\r\n" + evil,
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + evil,
        "\r\n".join(["OPTIONS * HTTP/1.1", *page, "", evil]),
    ]
    for request in requests:
        with raw(daemon, tcp=True) as s:
            # also ENOTCONN, if the connection has ended before shutdown()
            with contextlib.suppress(OSError):
                s.sendall(request.encode())
                s.shutdown(socket.SHUT_WR)
                said = b""
                while more := s.recv(65536):
                    said += more
                assert b"\nOK" not in said and not said.startswith(b"OK")
                assert b"ERROR" not in said
    assert not daemon.database.exists() or daemon.records() == []
    with Lines(daemon, tcp=True) as c:  # the plugin's way is open
        assert c.ask(line_register("u")).startswith("OK com.")


# --- passwords ---

def test_wrong_passwords_are_logged(start_xapsd):
    """Once a minute and address, without the password."""
    daemon = start_xapsd(port=(port := free_port()), listenAddr="0.0.0.0",
                         allowInsecure="yes", httpUser="me",
                         httpPassword="secret")
    daemon.wait_log("started")
    basic = "Authorization: Basic " + base64.b64encode(b"me:hunter2").decode()
    began = time.monotonic()
    for n in range(1, 5):
        for address in ("127.0.0.%d" % i for i in range(1, 41)):
            with socket.create_connection(
                    ("127.0.0.1", port), 60, (address, 0)) as s:
                s.sendall(post(NOTIFY, basic))
                assert read_reply(s)[0] == 401
    log = daemon.log()
    lines = re.findall(r"wrong user or password from (\S+)", log)
    # addresses that it remembers, for a minute
    assert 32 <= len(lines) <= 32 * (1 + minutes_since(began))
    assert len(set(lines[:32])) == 32
    assert "hunter2" not in log and "secret" not in log
    with socket.create_connection(("127.0.0.1", port), 60) as s:
        s.sendall(post(NOTIFY))
        assert read_reply(s)[0] == 401
    assert daemon.log().count("wrong user or password") == len(lines)


# --- one client against all others ---

def tcp_flood(port, n, data):
    socks = []
    for i in range(n):
        with contextlib.suppress(OSError):
            s = socket.create_connection(("127.0.0.1", port), 60)
            s.sendall(data)
            socks.append(s)
    return socks


@pytest.mark.parametrize("data", [
    b"", b"P", post(NOTIFY)[:-3], b"REGISTER x", post(NOTIFY) * 3000,
], ids=["idle", "one-byte", "half-a-body", "half-a-line", "unread-answers"])
def test_tcp_does_not_shut_out_the_socket(start_xapsd, data):
    daemon = start_xapsd(tcp=True, maxConnections=64)
    socks = []
    for i in range(200):
        s = socket.create_connection(("127.0.0.1", daemon.port), 60)
        s.setblocking(False)
        with contextlib.suppress(BlockingIOError, ConnectionResetError,
                                 BrokenPipeError):
            s.send(data)
        socks.append(s)
        if i % 10 == 0:
            assert daemon.notify("nobody").status == 404
    # nor others on TCP
    assert daemon.request("GET", "/healthz", tcp=True).status == 200
    assert daemon.request("POST", "/admin/list", "{}").status == 200
    for s in socks:
        s.close()
    daemon.wait_until(lambda: '"clients":1,' in daemon.request(
        "GET", "/status").body, "end of all others")


def test_1024_on_tcp(start_xapsd):
    """The numbers of the default."""
    daemon = start_xapsd(tcp=True)
    socks = tcp_flood(daemon.port, 1100, b"P")
    begin = daemon.cpu_s()
    for _ in range(20):
        assert daemon.notify("nobody").status == 404
    assert daemon.cpu_s() - begin < 2 or is_instrumented()
    assert daemon.request("GET", "/healthz", tcp=True).status == 200
    for s in socks:
        s.close()


@as_root
def test_one_user_does_not_shut_out_others(start_xapsd):
    """Half requests on all connections of the Unix socket, renewed at once
    when they are ended: another user and root get in all the time."""
    daemon = start_xapsd(maxConnections=32)
    program = """if True:
        import select, socket, sys
        def dial():
            s = socket.socket(socket.AF_UNIX)
            s.connect(sys.argv[1])
            try:
                s.sendall(b"POST /not")
            except OSError:     # refused already
                pass
            return s
        socks = [dial() for _ in range(60)]
        print("ready", flush=True)
        while True:
            for s in select.select(socks, [], [], 1)[0]:
                socks.remove(s)
                s.close()
                socks.append(dial())
    """
    with subprocess.Popen(
            ["/usr/bin/python3", "-c", program, daemon.socket_path],
            stdout=subprocess.PIPE, user=NOBODY, group=NOBODY,
            extra_groups=[]) as attacker:
        try:
            assert attacker.stdout.readline() == b"ready\n"
            for _ in range(30):
                assert daemon.notify("nobody").status == 404
                assert ask_as(1, daemon.socket_path, post(NOTIFY)).startswith(
                    "HTTP/1.1 404 ")
            assert daemon.run("list").returncode == 0
        finally:
            attacker.kill()


def client_hello():
    """A client's first word, by its library."""
    out = ssl.MemoryBIO()
    t = ssl.create_default_context().wrap_bio(
        ssl.MemoryBIO(), out, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        t.do_handshake()
    return out.read()


# In which a good client answers, and says hello (http/capacity.c)
HANDSHAKE_S, HELLO_S = 1, 0.2


def say_hello(port, context):
    """A TLS connection that has said it, and since when it has been given a
    client's time: long ago, if a busy machine kept us from saying it at once."""
    at = time.monotonic()
    t = context.wrap_socket(
        socket.create_connection(("127.0.0.1", port), 60),
        server_hostname="localhost", do_handshake_on_connect=False)
    t.setblocking(False)
    with contextlib.suppress(OSError):  # an end is found by who goes on
        t.do_handshake()
    return t, at - (time.monotonic() - at > HELLO_S) * HANDSHAKE_S


@pytest.mark.parametrize("hello", [
    b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    client_hello()], ids=["nothing", "one-byte", "half", "whole-hello"])
def test_half_open_handshakes(start_xapsd, certs, hello):
    """They cost 38 KB each: a ceiling, and newcomers get in nevertheless."""
    daemon = start_xapsd(**tls_listener(certs))
    port = daemon.config["tlsPort"]
    daemon.wait_log("started")
    context = ssl.create_default_context(cafile=certs.ca)

    def ask():
        while True:
            t, at = say_hello(port, context)
            with t:
                try:
                    t.settimeout(60)
                    t.do_handshake()
                    t.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    return read_reply(t)[0]
                except (OSError, AssertionError):
                    # on a busy machine we may be slower than a client is given
                    assert HANDSHAKE_S < time.monotonic() - at < 60
    assert ask() == 200
    before = daemon.rss_kib()
    socks = tcp_flood(port, 1000, hello)
    for _ in range(10):
        assert daemon.notify("nobody").status == 404
    assert ask() == 200
    assert daemon.rss_peak_kib() - before < 9000 or is_instrumented()
    # nobody can tell ended ones from waiting ones: all end
    for s in socks:
        s.close()
    assert ask() == 200


def test_a_burst_of_good_handshakes(start_xapsd, certs):
    """As after a restart of Dovecot, more than may be under way at once: none
    of them is ended for another."""
    daemon = start_xapsd(**tls_listener(certs))
    port = daemon.config["tlsPort"]
    daemon.wait_log("started")
    context = ssl.create_default_context(cafile=certs.ca)

    todo = dict(say_hello(port, context) for _ in range(160))
    done, late = [], 0
    end = time.monotonic() + 60
    while todo and time.monotonic() < end:
        for t, at in list(todo.items()):
            try:
                t.do_handshake()
                done.append(t)
                del todo[t]
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                pass
            except (ssl.SSLError, OSError):
                # on a busy machine we may be slower than a client is given
                assert time.monotonic() - at > HANDSHAKE_S
                del todo[t]
                late += 1
    assert not todo
    for _ in range(late):       # nobody else wants to get in any more
        done.append(context.wrap_socket(socket.create_connection(
            ("127.0.0.1", port), 60), server_hostname="localhost"))
    for t in done:
        t.setblocking(True)
        t.sendall(post(NOTIFY))
        assert read_reply(t)[0] == 404
        t.close()


def test_half_bodies_have_a_ceiling(start_xapsd):
    """64 KB each, of all clients together 8 MiB."""
    daemon = start_xapsd(tcp=True)
    assert daemon.notify("nobody").status == 404
    before = daemon.rss_kib()
    body = b"x" * 65536
    socks = []
    for _ in range(500):
        s = socket.create_connection(("127.0.0.1", daemon.port), 60)
        s.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            s.send(post(body)[:-1])
        socks.append(s)
    for tcp in (False, True):
        reply = daemon.request("POST", "/notify", body.decode(), tcp=tcp)
        assert reply.status == 400
    assert daemon.rss_peak_kib() - before < 20000 or is_instrumented()
    for s in socks:
        s.close()
    assert "too many large requests" in daemon.log()


def test_who_pipelines_takes_turns(start_xapsd):
    """Thousands of requests in one go are served in pieces, and all of them."""
    n, clients = 3000, 10
    x = start_xapsd(tcp=True, loglevel="info")
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    counts = []

    def pipeline():
        with socket.create_connection(("127.0.0.1", x.port), 100) as s:
            sender = threading.Thread(
                target=s.sendall, args=(request * (n - 1) + last,))
            sender.start()
            got = b"".join(iter(lambda: s.recv(1 << 16), b""))
            sender.join()
            counts.append(got.count(b"HTTP/1.1 200 OK"))

    threads = [threading.Thread(target=pipeline) for _ in range(clients)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert counts == [n] * clients
