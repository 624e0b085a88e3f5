"""`xapsd healthcheck`, which engines of containers run: by the socket, or by TCP
where there is none."""
import pytest

from xapsd import Xapsd


@pytest.fixture
def ended(workdir, certs):
    """A daemon that is not started, for one command."""
    return Xapsd(workdir, certs)


def ask(xapsd):
    done = xapsd.run("healthcheck", timeout=40)
    return done.returncode, done.stdout, done.stderr


def test_by_the_socket(xapsd):
    xapsd.wait_until(lambda: ask(xapsd) == (0, "ok\n", ""), "ok")


def test_says_why_not(start_xapsd):
    xapsd = start_xapsd(identity={})
    code, out, err = ask(xapsd)
    assert (code, out) == (1, "")
    assert err == "xapsd: %s\n" % \
        xapsd.request("GET", "/healthz").body.strip()
    assert "credential" in err


@pytest.mark.parametrize("more", [
    {"listenAddr": "127.0.0.1"}, {"listenAddr": "localhost"},
    {"listenAddr": None}, {"listenAddr": "[::1]"},
    {"listenAddr": "0.0.0.0", "allowInsecure": "yes"},
    {"listenAddr": "[::]", "allowInsecure": "yes"},
    {"httpUser": "u", "httpPassword": "p"}])
def test_by_tcp(start_xapsd, more):
    xapsd = start_xapsd(tcp=True, wait=False, socketPath="", **more)
    xapsd.wait_log(" started: ")
    xapsd.apple.wait_connected()
    xapsd.wait_until(lambda: ask(xapsd) == (0, "ok\n", ""), "ok")


def test_nobody_there(ended):
    code, out, err = ask(ended)
    assert (code, out) == (1, "")
    assert "xapsd is not running: nobody answers at " + \
        ended.socket_path in err


def test_nobody_there_by_tcp(workdir, certs):
    x = Xapsd(workdir, certs, tcp=True, socketPath="")
    code, out, err = ask(x)
    assert (code, out) == (1, "")
    assert "nobody answers at 127.0.0.1 port %d: " % x.port in err


def test_nowhere_to_ask(workdir, certs):
    x = Xapsd(workdir, certs, socketPath="", port=0,
              tlsPort=1, tlsCertfile=certs.server, tlsKeyfile=certs.server)
    code, out, err = ask(x)
    assert (code, out) == (1, "")
    assert "healthcheck asks at socketPath or at port: set one" in err


def test_takes_no_argument(ended):
    done = ended.run("healthcheck", "now")
    assert done.returncode == 64
