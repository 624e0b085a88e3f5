"""The sender of all that is not Apple's, against servers that others wrote: HTTP/2,
HTTP/1.1 and 1.0, with and without TLS; connections that end; how many there are."""

import email.utils
import http.server
import re
import shutil
import signal
import ssl
import subprocess
import threading
import time

import pytest

from hookserver import HANG, Answer, HookServer
from ports import free_port
from xapsd import executable

pytestmark = pytest.mark.skipif(
    "hooks" not in subprocess.run(
        [executable(), "--version"], capture_output=True, text=True).stdout,
    reason="this xapsd was built without hooks")

LIMIT_S = 20


@pytest.fixture
def hook(workdir, start_xapsd, certs):
    """Starts a daemon with a hook for each url."""
    folder = workdir / "hooks"
    folder.mkdir()

    def hook(*urls, **config):
        for n, url in enumerate(urls):
            path = folder / ("h%02d.yaml" % n)
            path.write_text("url: %s\n" % url)
            path.chmod(0o600)
        config.setdefault("caFile", certs.ca)
        return start_xapsd(hooksDir=folder, **config)
    return hook


def notify(xapsd, user="alice"):
    reply = xapsd.request("POST", "/notify", {
        "Username": user, "Mailbox": "INBOX", "Events": ["MessageNew"]})
    assert reply.status == 200, reply


def delivered(xapsd, n=1):
    xapsd.wait_until(
        lambda: xapsd.log().count("delivered to the service") == n,
        "%d deliveries" % n)


def connected(xapsd):
    """How many connections were up at most, and are now."""
    most = now = 0
    for state in re.findall(
            r"send: connection: (\w+ -> up|(?:up|draining) -> closed)",
            xapsd.log()):
        now += 1 if state.endswith("up") else -1
        most = max(most, now)
    return most, now


def closed(xapsd):
    """Until none is up any more."""
    xapsd.wait_until(lambda: connected(xapsd)[1] == 0, "end of connections")


class Program:
    """A server as its own process; ready once its port takes a connection."""

    def __init__(self, port, *argv):
        self.port, self.lines = port, []
        self.process = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line)

    def text(self):
        return "".join(self.lines)

    def wait(self, pattern, n=1):
        end = time.monotonic() + LIMIT_S
        while len(re.findall(pattern, self.text())) < n:
            assert time.monotonic() < end, (pattern, self.text())
            assert self.process.poll() is None, self.text()
            time.sleep(0.02)

    def stop(self):
        self.process.terminate()
        self.process.wait(LIMIT_S)
        self.thread.join(LIMIT_S)


@pytest.fixture
def programs():
    running = []

    def start(port, *argv):
        path = shutil.which(argv[0]) or shutil.which(
            argv[0], path="/usr/sbin")
        if path is None:
            pytest.skip("no " + argv[0])
        running.append(Program(port, path, *argv[1:]))
        return running[-1]
    yield start
    for program in running:
        program.stop()


# --- nginx ---

NGINX = """
daemon off;
pid {dir}/nginx.pid;
error_log stderr;
events {{}}
http {{
    log_format short 'GOT $server_protocol $request_method $request_uri '
        '$content_length $connection END';
    access_log /dev/stdout short;
    client_body_temp_path {dir}; proxy_temp_path {dir};
    fastcgi_temp_path {dir}; uwsgi_temp_path {dir}; scgi_temp_path {dir};
    keepalive_timeout {keep};
    server {{
        listen 127.0.0.1:{port} {listen};
        ssl_certificate {cert}; ssl_certificate_key {cert};
        location / {{ return 201 "made\\n"; }}
    }}
}}
"""


@pytest.fixture
def nginx(programs, workdir, certs):
    def start(listen, keep="60s"):
        port = free_port()
        conf = workdir / "nginx.conf"
        conf.write_text(NGINX.format(dir=workdir, port=port, listen=listen,
                                     cert=certs.server, keep=keep))
        return programs(port, "nginx", "-e", "stderr", "-c", str(conf),
                        "-p", str(workdir))
    return start


@pytest.mark.parametrize("listen, scheme, version", [
    ("ssl http2", "https", "2.0"), ("ssl", "https", "1.1"),
    ("", "http", "1.1")])
def test_nginx(hook, nginx, listen, scheme, version):
    """By what it has, and on one connection."""
    server = nginx(listen)
    xapsd = hook("%s://localhost:%d/a?b=c" % (scheme, server.port),
                 retryMax="200ms")
    for n in range(5):
        notify(xapsd, "user%d" % n)
    delivered(xapsd, 5)
    server.wait(r"GOT HTTP/%s POST /a\?b=c \S+ \d+ END" % version, 5)
    assert len(set(re.findall(r"(\d+) END", server.text()))) == 1


@pytest.mark.parametrize("listen, scheme", [
    ("ssl http2", "https"), ("ssl", "https"), ("", "http")])
def test_nginx_closes_idle_connections(hook, nginx, listen, scheme):
    """That is nobody's fault, so nothing is said of it, and nothing is lost."""
    server = nginx(listen, keep="3s")
    xapsd = hook("%s://localhost:%d/" % (scheme, server.port),
                 retryMax="200ms")
    for n in range(3):
        notify(xapsd)
        delivered(xapsd, n + 1)
        closed(xapsd)
    server.wait("GOT", 3)
    assert len(set(re.findall(r"(\d+) END", server.text()))) == 3
    assert not re.search(r"(warn|error) +send: ",
                         xapsd.log()[xapsd.log().index("delivered"):])


# --- haproxy ---

HAPROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout http-request 3s
    timeout http-keep-alive {keep}
frontend in
    bind 127.0.0.1:{port} {bind}
    http-request return status 200 content-type text/plain string "{body}"
"""


@pytest.mark.parametrize("bind, scheme", [
    ("ssl crt {cert} alpn h2,http/1.1", "https"),
    ("ssl crt {cert} alpn http/1.1", "https"), ("ssl crt {cert}", "https"),
    ("", "http")])
def test_haproxy(hook, programs, workdir, certs, bind, scheme):
    """It closes what is idle, or says 408 first."""
    port = free_port()
    conf = workdir / "haproxy.cfg"
    conf.write_text(HAPROXY.format(
        port=port, bind=bind.format(cert=certs.server), keep="3s",
        body="x" * 5000))
    programs(port, "haproxy", "-db", "-f", str(conf))
    xapsd = hook("%s://localhost:%d/" % (scheme, port), retryMax="200ms")
    notify(xapsd)
    delivered(xapsd, 1)
    notify(xapsd, "bob")
    delivered(xapsd, 2)
    start = xapsd.log_size()
    closed(xapsd)
    notify(xapsd)
    delivered(xapsd, 3)
    assert not re.search(r"warn +send: ", xapsd.log()[start:])


# --- nghttpd ---

def test_nghttpd(hook, programs, workdir, certs):
    port = free_port()
    (workdir / "htdocs").mkdir()
    (workdir / "htdocs" / "mail").write_text("taken\n")
    server = programs(port, "nghttpd", "-v", "-d", str(workdir / "htdocs"),
                      "-a", "127.0.0.1", str(port), certs.server, certs.server)
    xapsd = hook("https://localhost:%d/mail" % port, retryMax="200ms")
    notify(xapsd)
    notify(xapsd, "bob")
    delivered(xapsd, 2)
    server.wait(r":method: POST", 2)


# --- Python's ---

class Handler(http.server.BaseHTTPRequestHandler):
    chunked = False

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append((self.request_version, body))
        self.send_response(202)
        if self.chunked:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"3\r\nabc\r\n0\r\n\r\n")
        elif self.protocol_version == "HTTP/1.1":
            self.send_header("Content-Length", "3")
            self.end_headers()
            self.wfile.write(b"abc")
        else:
            self.end_headers()
            self.wfile.write(b"until the end")

    def log_message(self, *args):
        pass


@pytest.mark.parametrize("version, chunks", [
    ("HTTP/1.0", False), ("HTTP/1.1", False), ("HTTP/1.1", True)])
def test_python(hook, version, chunks):
    class This(Handler):
        protocol_version, chunked = version, chunks

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), This)
    server.daemon_threads = True
    server.got = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        xapsd = hook("http://localhost:%d/" % server.server_address[1])
        for n in range(3):
            notify(xapsd, "user%d" % n)
        delivered(xapsd, 3)
        assert [v for v, _ in server.got] == ["HTTP/1.1"] * 3
        assert "warn  send" not in xapsd.log()
        xapsd.stop()        # ends the connection that the server waits for
    finally:
        server.shutdown()
        server.server_close()
        thread.join(LIMIT_S)


# --- whom we trust ---

def test_ca_file(hook, certs):
    """Another CA is refused with the key to set; a reload takes the right one."""
    with HookServer(tls(certs)) as server:
        xapsd = hook(server.url(), caFile=certs.other_ca, retryMax="200ms")
        notify(xapsd)
        xapsd.wait_log(r"send: .*unknown CA.*caFile")
        assert server.count() == 0
        xapsd.config["caFile"] = certs.ca
        xapsd.write_config()
        xapsd.process.send_signal(signal.SIGHUP)
        server.wait()
        delivered(xapsd)


def tls(certs):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs.server)
    return context


# --- time ---

def test_retry_after_a_date(hook):
    """As many servers send it."""
    with HookServer() as server:
        server.plan(lambda request: Answer(503, {
            "Retry-After": email.utils.formatdate(
                time.time() + 3, usegmt=True)}))
        xapsd = hook(server.url())
        notify(xapsd)
        first, second = server.wait(2)
        assert second.at - first.at >= 1.5   # the date has whole seconds
        delivered(xapsd)


# --- how many ---

def test_at_most_16_connections(hook):
    """24 servers: those that are idle make room."""
    servers = [HookServer() for _ in range(24)]
    for server in servers:
        server.__enter__()
    try:
        xapsd = hook(*[server.url() for server in servers])
        for n in range(3):
            notify(xapsd, "user%d" % n)
            for server in servers:
                server.wait(n + 1)
            delivered(xapsd, 24 * (n + 1))
        assert connected(xapsd)[0] <= 16
        assert "warn  send" not in xapsd.log()
    finally:
        for server in servers:
            server.stop()


def test_servers_that_hang_make_room(hook):
    """18 never answer: the others' turn comes after 5 s, not after pushTimeout."""
    silent = [HookServer() for _ in range(18)]
    with HookServer() as good:
        for server in silent:
            server.default = HANG
            server.__enter__()
        try:
            xapsd = hook(*[s.url() for s in silent], good.url(),
                         pushTimeout="10m", retryMin="1h", retryMax="1h")
            notify(xapsd)
            good.wait(timeout=60)
            delivered(xapsd)
            for server in silent:
                server.wait(timeout=60)
            xapsd.wait_log("no answer within 5 s, and others wait")
            assert connected(xapsd)[0] == 16
        finally:
            for server in silent:
                server.stop()
