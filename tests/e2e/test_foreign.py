"""Push services that users name: where they may be, whatever their names lead to,
and how much one of them gets.  In a network of its own with an internet of a few
addresses and a name server that lies."""

import contextlib
import shlex
import socket
import time

import pytest

import netns
from certs import cert_pem, key_pem, write
from nameserver import A, NameServer
from network import Network
from ports import bind_port
from proxies import FakeProxy
from pushservice import Answer, PushService

NAME, EVIL = "push.test", "evil.test"
OUTSIDE, OTHER_OUTSIDE, OWN = "9.9.9.9", "9.9.9.10", "8.8.4.4"
OWN6, BESIDE6, OUTSIDE6 = "2a00:1::1", "2a00:1::2", "2a00:2::9"
P256DH = ("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7V"
          "d8pZGH6SRpkNtoIAiw4")
AUTH = "BTBZMqHH6r4Tts7J_aSIgg"
WAIT_S = 60


def register(daemon, endpoint, user="alice", **more):
    return daemon.request("POST", "/register", {
        "Kind": "webpush", "Username": user, "Endpoint": endpoint,
        "P256dh": P256DH, "Auth": AUTH, **more})


def refused(daemon, endpoint, words):
    reply = register(daemon, endpoint)
    assert reply.status == 400 and words in reply.body, (endpoint, reply)
    assert daemon.status()["registrations"] == 0, endpoint


# --- what the text of an address says ---

INSIDE = """
127.0.0.1 127.1.2.3 0.0.0.0 10.0.0.1 172.16.0.1 172.31.255.255 192.168.0.1
100.64.0.1 169.254.169.254 192.0.0.1 192.0.2.1 192.88.99.1 198.18.0.1
198.51.100.1 203.0.113.1 224.0.0.1 240.0.0.1 255.255.255.255
[::1] [::] [::7f00:1] [::ffff:127.0.0.1] [::ffff:7f00:1] [::ffff:10.0.0.1]
[::127.0.0.1] [64:ff9b::7f00:1] [64:ff9b::10.0.0.1] [64:ff9b:1::1]
[2002:7f00:1::1] [2002:a00:1::] [2001:0:53aa:64c:0:fbff:80ff:fffe]
[fc00::1] [fd12:3456::1] [fe80::1] [fec0::1] [ff02::1] [100::1] [2001:db8::1]
[2001:20::1] [3fff::1] [5f00::1]
localhost LOCALHOST localhost. a.localhost A.B.LocalHost. localhost.localdomain
printer.local db.internal nas.home.arpa router.lan nas ip6-localhost
""".split()

NEITHER = """
127.1 127.0.1 0 0177.0.0.1 017700000001 0x7f.1 0x7F000001 0x7f.0x0.0x0.0x1
2130706433 127.0.0.01 127.0.0.1. 4294967295 1.2.3.4.5 256.1.1.1 3232235521
""".split()


def test_addresses_inside(start_xapsd):
    daemon = start_xapsd()
    for host in INSIDE:
        refused(daemon, "https://%s/x" % host, "pushAllow")
        refused(daemon, "https://%s:8443/x" % host, "pushAllow")
    for host in NEITHER:
        refused(daemon, "https://%s/x" % host, "neither a name nor an address")


@pytest.mark.parametrize("host", [
    "user@push.example.org", "127.0.0.1@push.example.org", "[fe80::1%25lo]",
    "%31%32%37.0.0.1", "push.example.org\\@127.0.0.1", "", "[::1",
    "push..example.org", "１２７.0.0.1", "127。0.0.1", "x y.example.org",
    "push.example.org:0", "push.example.org:65536"])
def test_broken_addresses(start_xapsd, host):
    daemon = start_xapsd()
    assert register(daemon, "https://%s/x" % host).status == 400
    assert daemon.status()["registrations"] == 0


def test_allowed(start_xapsd):
    daemon = start_xapsd(pushAllow="nas *.lan:8443 10.1.0.0/16 [::1]:80")
    good = ["https://nas/x", "https://a.lan:8443/x", "https://10.1.255.9/x",
            "http://[::1]:80/x", "http://nas/x"]
    for i, endpoint in enumerate(good):
        assert register(daemon, endpoint).status == 200, endpoint
        assert daemon.status()["registrations"] == i + 1
    for endpoint in ("https://a.lan/x", "https://lan/x", "https://10.2.0.1/x",
                     "https://[::1]/x", "https://nas.lan/x"):
        assert register(daemon, endpoint).status == 400, endpoint


def test_reload(start_xapsd):
    daemon = start_xapsd()
    refused(daemon, "https://nas/x", "pushAllow")

    def reload(value):
        daemon.config["pushAllow"] = value
        daemon.write_config()
        start = daemon.log_size()
        daemon.process.send_signal(1)
        return start

    daemon.wait_log("configuration was read again", start=reload("nas"))
    assert register(daemon, "https://nas/x").status == 200
    start = reload("nas http://x")
    daemon.wait_log("pushAllow: .*leave out http://", start=start)
    daemon.wait_log("not used, the old configuration stays", start=start)
    assert register(daemon, "https://nas/y").status == 200


@pytest.mark.parametrize("value,words", [
    ("10.0.0.0/33", "number of bits"), ("127.1", "write a name"),
    ("https://nas", "leave out http://"), ("nas:0", "the port"),
    ("a,b", "pushAllow")])
def test_bad_list(start_xapsd, value, words):
    daemon = start_xapsd(pushAllow=value, wait=False)
    assert daemon.process.wait(WAIT_S) == 78
    daemon.process = None
    assert "xapsd.yaml:" in daemon.log() and words in daemon.log()
    done = daemon.run("check", "--offline")
    assert done.returncode != 0 and words in done.stderr + done.stdout


# --- a network ---

class World(Network):
    """x: the daemon's machine, out: the internet."""

    def __init__(self, folder):
        super().__init__("x", "out")
        self.folder = folder
        self.stack = contextlib.ExitStack()
        self.hosts, self.resolv = folder / "hosts", folder / "resolv.conf"

    def __enter__(self):
        super().__enter__()
        x, out = self["x"].space, self["out"].space
        for address in (OUTSIDE, OTHER_OUTSIDE):
            netns.ip("-n", out, "addr", "add", address + "/32", "dev", "lo")
            netns.ip("-n", self.router, "route", "add", address, "via",
                     self["out"].address)
        netns.ip("-n", x, "addr", "add", OWN + "/32", "dev", "lo")
        self.hosts.write_text("127.0.0.1 localhost\n")
        self.resolv.write_text("nameserver 127.0.0.1\noptions timeout:1\n")
        self.names = self.stack.enter_context(NameServer(
            self["x"].inside(self.bind_dns)))
        self.names[NAME] = [OUTSIDE]
        return self

    def __exit__(self, *exc):
        self.stack.close()
        super().__exit__(*exc)

    @staticmethod
    def bind_dns():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 53))
        return sock

    @property
    def wrap(self):
        return shlex.join(netns.wrap(self["x"].space, self.hosts, self.resolv))

    def service(self, certs, host=OUTSIDE, port=443, names=(NAME, EVIL),
                machine="out", **options):
        """A push service there, with a certificate for these names."""
        key, cert = certs.issuer.server(names, [])
        server = write(str(self.folder / (names[0] + ".pem")), cert_pem(cert),
                       key_pem(key))
        return self[machine].inside(lambda: PushService(
            certs, host=host, port=port, server=server, **options))

    def trap(self, address="127.0.0.1", port=443):
        """A listener inside, to which nobody may connect."""
        sock = self["x"].inside(lambda: bind_port(address, port))
        sock.listen(10)
        sock.setblocking(False)
        self.stack.callback(sock.close)
        return sock


def was_trapped(sock):
    try:
        sock.accept()[0].close()
    except BlockingIOError:
        return False
    return True


@pytest.fixture
def world(workdir):
    netns.need("ip", "nsenter", "unshare")
    with World(workdir) as it:
        yield it


@pytest.fixture
def start(world, start_xapsd, certs, monkeypatch):
    def start(**config):
        monkeypatch.setenv("XAPSD_WRAP", world.wrap)
        return start_xapsd(retryMin="50ms", retryMax="200ms", **config)
    return start


# --- names, when somebody registers ---

def test_names_that_lead_inside(world, start):
    daemon = start()
    leads = {"loop.test": ["127.0.0.1"], "zero.test": ["0.0.0.0"],
             "private.test": ["10.0.0.1"], "self.test": [OWN],
             "lan.test": [world["x"].address], "meta.test": [
                 "169.254.169.254"], "six.test": ["::1"],
             "mapped.test": ["::ffff:127.0.0.1"],
             "both.test": [OUTSIDE, "192.168.1.1"],
             "last.test": ["9.9.9.%d" % n for n in range(11, 30)] +
             ["127.0.0.1"]}
    world.names.update(leads)
    for name in leads:
        refused(daemon, "https://%s/x" % name, "leads to")
        refused(daemon, "https://%s./x" % name, "leads to")
    refused(daemon, "https://self.test/x", "self.test leads to this machine")
    assert register(daemon, "https://%s/x" % NAME).status == 200


def test_our_own_addresses(world, start):
    """All that this machine has at that moment."""
    x = world["x"].space
    netns.ip("-n", x, "addr", "add", OWN6 + "/64", "dev", "eth0", "nodad")
    netns.ip("-n", x, "-6", "route", "add", "default", "dev", "eth0")
    daemon = start()
    refused(daemon, "https://%s/x" % OWN, OWN + " leads to this machine")
    refused(daemon, "https://[::ffff:%s]/x" % OWN, "this machine")
    refused(daemon, "https://[%s]/x" % OWN6, "a private network")
    refused(daemon, "https://[%s]/x" % BESIDE6, "a private network")
    for address in ("8.8.8.8", "[%s]" % OUTSIDE6):
        assert register(daemon, "https://%s/x" % address).status == 200
    netns.ip("-n", x, "addr", "add", "8.8.8.8/32", "dev", "lo")
    assert register(daemon, "https://8.8.8.8/y").status == 400
    netns.ip("-n", x, "addr", "del", "8.8.8.8/32", "dev", "lo")
    assert register(daemon, "https://8.8.8.8/y").status == 200
    netns.ip("-n", x, "addr", "add", "8.8.8.8/24", "dev", "lo")
    netns.ip("-n", x, "addr", "add", "8.8.8.9/24", "dev", "lo")     # a second
    for address in ("8.8.8.8", "8.8.8.9"):
        assert register(daemon, "https://%s/z" % address).status == 400
    netns.ip("-n", x, "addr", "del", "8.8.8.9/24", "dev", "lo")
    netns.ip("-n", x, "addr", "del", "8.8.8.8/24", "dev", "lo")
    # a balancer's machine may bind to what is not its own
    world["x"].inside(lambda: open(
        "/proc/sys/net/ipv4/ip_nonlocal_bind", "w").write("1"))
    assert register(daemon, "https://8.8.8.8/z").status == 200
    assert register(daemon, "https://%s/z" % OWN).status == 400


def test_no_answer_of_name_servers(world, start):
    """It is taken, and judged when we connect."""
    daemon = start()
    world.names.silent = True
    assert register(daemon, "https://%s/x" % EVIL).status == 200
    daemon.wait_log("judged when it is pushed")


# --- connections ---

def subscribe(daemon, service, host=NAME, user="alice"):
    app = service.subscribe(
        vapid=daemon.request("GET", "/vapid").body, host=host)
    app.origin = "https://" + host
    app.endpoint = app.origin + app.path
    reply = daemon.request("POST", "/register", {
        "Kind": "webpush", "Username": user, "Id": app.path[-20:],
        **app.fields})
    assert reply.status == 200, reply
    return app


def test_outside(world, start, certs):
    with world.service(certs) as service:
        daemon = start(caFile=certs.ca)
        app = subscribe(daemon, service)
        assert daemon.notify("alice").status == 200
        push, = service.wait_for(1, app=app)
        assert push.problem is None


@pytest.mark.parametrize("inside", [
    ["127.0.0.1"], [OWN], ["::1"], ["::ffff:127.0.0.1"], ["10.0.0.1"]],
    ids=str)
def test_rebinding(world, start, certs, inside):
    """Outside when it was registered; and not lost when it is so again."""
    traps = [world.trap("0.0.0.0"), world.trap("::1")]
    world.names[EVIL] = [OUTSIDE]
    with world.service(certs) as service:
        daemon = start(caFile=certs.ca)
        app = subscribe(daemon, service, EVIL)
        world.names[EVIL] = inside
        assert daemon.notify("alice").status == 200
        daemon.wait_log("evil.test leads to")
        n = len(world.names.asked)
        daemon.wait_until(lambda: len(world.names.asked) > n + 4, "retries")
        assert not any(map(was_trapped, traps))
        assert not service.pushes
        world.names[EVIL] = inside + [OUTSIDE]
        service.wait_for(1, app=app)
        assert not any(map(was_trapped, traps))


def test_another_answer_each_time(world, start, certs):
    """What was judged is what is connected to: nobody asks again in between."""
    trap = world.trap()
    world.names[EVIL] = lambda n: [OUTSIDE] if n % 2 == 0 else ["127.0.0.1"]
    with world.service(certs) as service:
        daemon = start(caFile=certs.ca)
        app = subscribe(daemon, service, EVIL)
        for n in range(1, 5):
            assert daemon.notify("alice").status == 200
            service.wait_for(n, app=app)
            service.drop_all()      # so that it has to connect again
        assert world.names.asked.count((EVIL, A)) > 4
        assert not was_trapped(trap)


def test_after_a_reload(world, start, certs):
    """An address that has worked is judged, too."""
    world.names["nas.test"] = [world["out"].address]    # 198.18
    with world.service(certs, host=world["out"].address,
                       names=["nas.test"]) as service:
        daemon = start(caFile=certs.ca, pushAllow="nas.test")
        app = subscribe(daemon, service, "nas.test")
        daemon.notify("alice")
        service.wait_for(1, app=app)
        daemon.config["pushAllow"] = None
        daemon.write_config()
        start = daemon.log_size()
        daemon.process.send_signal(1)
        daemon.wait_log("configuration was read again", start=start)
        service.drop_all()
        world.names.silent = True   # the dialer would use what has worked
        daemon.notify("alice")
        daemon.wait_log("nas.test leads to", timeout=WAIT_S, start=start)
        assert len(service.pushes) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(world, start, certs, status):
    trap = world.trap(port=8443)
    with world.service(certs) as service:
        daemon = start(caFile=certs.ca)
        app = subscribe(daemon, service)
        service.script(app, Answer(status, headers=[
            ("location", "https://127.0.0.1:8443/")]))
        daemon.notify("alice")
        service.wait_for(1, app=app)
        daemon.wait_log("dropped: .* answered %d" % status)
        assert not was_trapped(trap)


# --- through a proxy ---

def test_proxy_gets_an_address(world, start, certs):
    """The proxy would look a name up again: only those of pushAllow go to it."""
    world.names["listed.test"] = lambda n: None     # for the proxy to know
    asked = []

    def script(sock, request, n):
        asked.append(request.split()[1].decode())
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        return world["x"].inside(
            lambda: socket.create_connection((OUTSIDE, 443)))

    with world["x"].inside(lambda: FakeProxy(script)) as proxy, \
            world.service(certs, names=[NAME, EVIL, "listed.test"]) as service:
        daemon = start(caFile=certs.ca, apnsProxy="http://127.0.0.1:%d" % proxy.port,
                       pushAllow="listed.test")
        for host in (NAME, "listed.test"):
            app = subscribe(daemon, service, host)
            daemon.notify("alice")
            service.wait_for(1, app=app)
        pushes = {a for a in asked if "test" in a or OUTSIDE in a}
        assert pushes == {OUTSIDE + ":443", "listed.test:443"}
        world.names[EVIL] = [OUTSIDE]
        app = subscribe(daemon, service, EVIL, user="bob")
        world.names[EVIL] = ["127.0.0.1"]
        daemon.notify("bob")
        daemon.wait_log("evil.test leads to this machine")
        del world.names[EVIL]
        daemon.wait_log("evil.test: there is no such name; if only the proxy "
                        "can, list it in pushAllow")
        assert not any("evil" in a or "127.0.0.1" in a for a in asked)


# --- how many ---

def test_flood(world, start, certs):
    """50 subscriptions of one user's at a stranger's server, and a mail loop."""
    with world.service(certs) as service:
        daemon = start(caFile=certs.ca)
        apps = [subscribe(daemon, service) for _ in range(50)]
        begin = time.monotonic()
        while time.monotonic() < begin + 6 or len(service.pushes) < 65:
            assert time.monotonic() < begin + WAIT_S
            assert daemon.notify("alice").status == 200
            # 60 at once, then one a second
            n = len(service.pushes)
            assert n <= 60 + (time.monotonic() - begin) + 1
            time.sleep(0.02)
        assert all(service.to(app) for app in apps)
        # another user's mail does not wait for them
        other = subscribe(daemon, service, user="bob")
        daemon.notify("bob")
        service.wait_for(1, app=other)
        # nothing is lost: who has to wait is told later, also after a restart
        daemon.notify("alice")
        k, = daemon.status()["kinds"]
        assert k["queue"] > 30 and k["dropped"] == 0
        daemon.stop()
        told = [len(service.to(app)) for app in apps]
        daemon.start()
        service.wait(lambda: sum(
            len(service.to(app)) > n for app, n in zip(apps, told)) > 30,
            "rest", WAIT_S)
