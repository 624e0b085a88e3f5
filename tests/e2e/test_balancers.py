"""What stands in front of several nodes: a real haproxy, and health checks as
others send them."""
import http.client
import re
import shutil
import socket
import subprocess

import pytest

from apple import Answer
from dovecot import wait_for
from phones import ACCOUNT, TOKEN
from ports import free_port
from valkey import Valkey, executable as store_executable
from xapsd import ROOT, tls_listener, token_key

NAME = "xapsd.example.org"


def raw(port, text):
    """The whole answer, until the other end closes."""
    with socket.create_connection(("127.0.0.1", port), 30) as s:
        s.sendall(text.replace("\n", "\r\n").encode())
        return b"".join(iter(lambda: s.recv(4096), b"")).decode()


# As these programs send them (haproxy 2.6, keepalived 2.2, nginx 1.22,
# Kubernetes 1.30, AWS), Host by HOST.
CHECKS = {
    "haproxy": "GET PATH HTTP/1.0\n\n",
    "haproxy 1.1": "GET PATH HTTP/1.1\nhost: HOST\nconnection: close\n\n",
    "keepalived": "GET PATH HTTP/1.0\nUser-Agent: KeepAliveClient\n"
                  "Host: HOST\n\n",
    "nginx": "GET PATH HTTP/1.0\nHost: NAME\nConnection: close\n\n",
    "kubelet": "GET PATH HTTP/1.1\nHost: HOST\nUser-Agent: kube-probe/1.30\n"
               "Accept: */*\nConnection: close\n\n",
    "aws": "GET PATH HTTP/1.1\nHost: HOST\nConnection: close\n"
           "User-Agent: ELB-HealthChecker/2.0\nAccept-Encoding: gzip, "
           "compressed\n\n",
    "HEAD": "HEAD PATH HTTP/1.0\n\n",
}


@pytest.mark.parametrize("path", ["/healthz", "/healthz/credentials"])
@pytest.mark.parametrize("check", CHECKS)
def test_checks(start_xapsd, path, check):
    """No password, short, closed at the end; the same with what is wrong."""
    x = start_xapsd(tcp=True, httpUser="u", httpPassword="p", httpHosts=NAME)
    x.apple.wait_connected()
    ask = CHECKS[check].replace("PATH", path).replace("NAME", NAME).replace(
        "HOST", f"127.0.0.1:{x.port}")

    def answer(code):
        text = raw(x.port, ask)
        head, _, body = text.partition("\r\n\r\n")
        assert head.split()[1] == str(code), text
        assert len(text) < 400
        assert "content-length: " in head.lower()
        assert (body == "") == (check == "HEAD")
        return body
    assert answer(200) in ("", "ok\n", "ok")
    x.apple.script(TOKEN, Answer(403, "InvalidProviderToken"))
    x.register("alice", ACCOUNT, TOKEN)
    x.notify("alice")
    x.wait_until(lambda: not x.status()["healthy"], "trouble")
    assert check == "HEAD" or "Apple refuses" in answer(503)


def test_a_check_that_only_connects(start_xapsd, certs):
    """By TCP, as often as it likes: no line in the log, nothing kept."""
    x = start_xapsd(tcp=True, **tls_listener(certs))
    x.wait_log("apns: connected")
    start = x.log_size()
    for port in (x.port, x.config["tlsPort"]):
        for _ in range(20):
            socket.create_connection(("127.0.0.1", port), 10).close()
    x.wait_until(lambda: x.status()["clients"] <= 1, "ends")
    assert not [line for line in x.log(start).splitlines()
                if " debug " not in line and " trace " not in line]


def test_an_unknown_host_says_what_to_do(start_xapsd):
    x = start_xapsd(tcp=True)
    text = raw(x.port, f"GET /healthz HTTP/1.1\nHost: {NAME}\n"
               "Connection: close\n\n")
    assert " 403 " in text and "httpHosts" in text


@pytest.mark.skipif(not store_executable(),
                    reason="no valkey-server or redis-server")
def test_healthy_without_the_store(start_xapsd, workdir):
    """It is no reason to take a node out."""
    with Valkey(workdir) as store:
        x = start_xapsd(sharedStore=store.url)
        x.apple.wait_connected()
        x.wait_until(lambda: x.status()["shared"]["state"] == "in step", "step")
        store.stop()
        x.wait_until(lambda: x.status()["shared"]["state"] != "in step", "away")
        for path in ("/healthz", "/healthz/credentials"):
            assert x.request("GET", path).status == 200


# --- haproxy ---

@pytest.fixture
def haproxy(workdir):
    """start(nodes) -> the port where it listens; its backend is that of
    docs/nodes.md, but for ports and names, and it looks more often."""
    program = shutil.which("haproxy") or shutil.which(
        "haproxy", path="/usr/sbin")
    if program is None:
        pytest.skip("no haproxy")
    started = []

    def start(nodes):
        port = free_port()
        conf = workdir / "haproxy.cfg"
        backend, = re.findall(r"^```\n(backend .*?)^```$", (
            ROOT / "docs/nodes.md").read_text(), re.M | re.S)
        for i, n in enumerate(nodes, 1):
            assert f"192.0.2.{i}:11620 check " in backend
            backend = backend.replace(
                f"192.0.2.{i}:11620 check ", f"127.0.0.1:"
                f"{n.config['tlsPort']} check inter 100ms fall 1 rise 1 ")
        backend = re.sub(r"mail\d\.example\.org$", "localhost", backend,
                         flags=re.M).replace("/etc/haproxy/xapsd-ca.pem",
                                             nodes[0].certs.ca)
        conf.write_text(
            "defaults\n mode http\n timeout connect 2s\n timeout client 20s\n"
            " timeout server 20s\n timeout check 10s\n option redispatch\n"
            " retries 2\n"
            f"frontend f\n bind 127.0.0.1:{port}\n default_backend xapsd\n"
            f"{backend}")
        started.append(subprocess.Popen(
            [program, "-db", "-f", conf], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return port

    yield start
    for process in started:
        process.kill()
        process.wait()


def notify(port, user):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        c.request("POST", "/notify", headers={
            "Host": NAME, "Content-Type": "application/json"},
            body='{"Username":"%s","Mailbox":"INBOX","Events":["MessageNew"]}'
            % user)
        return c.getresponse().status
    except OSError:
        return None
    finally:
        c.close()


def test_haproxy(start_xapsd, certs, workdir, haproxy):
    """It goes to the other node when one is away or has no credentials, and
    not because Apple cannot be reached."""
    nodes = [start_xapsd(folder=workdir / name, httpHosts=NAME,
                         **tls_listener(certs)) for name in "ab"]
    for n, x in enumerate(nodes):
        x.apple.wait_connected(n + 1)
        # each knows another user, which shows who has answered
        x.register("ab"[n], ACCOUNT, TOKEN)
    port = haproxy(nodes)
    wait_for(lambda: notify(port, "a") == 200, what="the first node")
    wait_for(lambda: notify(port, "b") == 404, what="the first node's no")

    nodes[0].stop()
    wait_for(lambda: notify(port, "b") == 200, what="the second node")
    nodes[0].start()
    wait_for(lambda: notify(port, "a") == 200, what="the first again")
    nodes[0].stop()
    nodes[0].config.update({key: None for key in token_key(nodes[0].certs)})
    nodes[0].start()
    wait_for(lambda: notify(port, "b") == 200, what="the one with credentials")
