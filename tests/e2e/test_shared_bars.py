"""What several nodes with a shared book promise, while everything that can break
does: no registration that was acknowledged is lost, all books are the same again
5 s after healing, and every delivery wakes its devices.  By `make check-shared`
only: it takes a minute, and its times mean something on a quiet machine."""

import collections
import contextlib
import json
import os
import random
import signal
import socket
import threading
import time

import pytest

from phones import ACCOUNT, token
from test_shared_store import book, shared, wait
from valkey import Valkey, executable
from xapsd import Xapsd

pytestmark = [
    pytest.mark.skipif(not executable(),
                       reason="no valkey-server or redis-server"),
    pytest.mark.skipif("CHECK_SHARED" not in os.environ,
                       reason="make check-shared")]

USERS = 10000
BUSY = int(os.environ.get("BUSY", 300))     # of these change all the time
HEAL_S = 5
NAMES = "abc"


class Link:
    """A node's way to the server: it can be held (packets get lost: nobody is
    told) and cut."""

    def __init__(self, port):
        self.port_to = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.open = threading.Event()
        self.open.set()
        self.ends = set()
        self.closed = False
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while not self.closed:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.port_to))
            except OSError:
                near.close()
                continue
            self.ends |= {near, far}
            for a, b in ((near, far), (far, near)):
                threading.Thread(
                    target=self.carry, args=(a, b), daemon=True).start()

    def carry(self, a, b):
        with contextlib.suppress(OSError):
            while data := a.recv(65536):
                self.open.wait()
                b.sendall(data)
        for end in (a, b):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def hold(self):
        self.open.clear()

    def heal(self):
        self.open.set()

    def cut(self):
        for end in list(self.ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.closed = True
        self.heal()
        self.cut()
        self.listener.close()


class Site:
    def __init__(self, workdir, certs, apple, stack):
        self.server = stack.enter_context(Valkey(workdir))
        self.links, self.nodes = {}, {}
        for name in NAMES:
            link = self.links[name] = Link(self.server.port)
            stack.callback(link.close)
            (workdir / name).mkdir()
            self.nodes[name] = Xapsd(
                workdir / name, certs, apple=apple, loglevel="info",
                sharedStore="valkey://127.0.0.1:%d" % link.port)
        with open(self.nodes["a"].database, "w") as out:
            for i in range(USERS):
                out.write(json.dumps({
                    "user": "user%d" % i, "account": ACCOUNT,
                    "token": token(i), "mailboxes": ["INBOX"], "acked": True,
                    "time": int(time.time()) - 3600},
                    separators=(",", ":")) + "\n")
        for node in self.nodes.values():
            stack.enter_context(node)
        self.locks = {name: threading.Lock() for name in NAMES}
        # what was acknowledged last, by user
        self.told = collections.defaultdict(lambda: "INBOX")
        self.stop = threading.Event()
        self.n = 0

    def register(self, name, i):
        self.n += 1
        mailbox = "M%d" % self.n
        with self.locks[name]:
            try:
                reply = self.nodes[name].post_register(
                    "user%d" % i, ACCOUNT, token(i), [mailbox])
            except OSError:
                self.told.pop(i, None)      # who knows
                self.told[i] = None
                return
        if reply.status == 200:
            self.told[i] = mailbox

    def traffic(self):
        """One phone after the other says something, each at one node while it
        is away: two at the same time are in no order."""
        rng = random.Random(1)
        while not self.stop.is_set():
            i = rng.randrange(BUSY)
            self.register(NAMES[i % len(NAMES)], i)
            time.sleep(0.002)

    def equal(self):
        nodes = list(self.nodes.values())
        if not all(shared(n)["state"] == "in step" and
                   shared(n)["waiting"] == 0 for n in nodes):
            return False
        books = [book(n) for n in nodes]
        return books[0] if books[0] == books[1] == books[2] else False

    def healed(self, what):
        """All is the same again, in time."""
        began = time.monotonic()
        same = wait(self.equal, lambda: "%s: %r" % (
            what, [shared(n) for n in self.nodes.values()]))
        took = time.monotonic() - began
        print("%s: equal after %.2f s" % (what, took))
        assert len(same) == USERS
        by_user = {r[0]: r[3] for r in same}
        for i, mailbox in list(self.told.items()):
            if mailbox is not None:
                assert by_user["user%d" % i] == [mailbox], (
                    what, i, by_user["user%d" % i], mailbox, self.server.call(
                        "HGETALL", "xaps:{user%d}" % i))
        return took

    @contextlib.contextmanager
    def busy(self):
        self.stop.clear()
        thread = threading.Thread(target=self.traffic)
        thread.start()
        try:
            yield
        finally:
            self.stop.set()
            thread.join()


def partition_of_a_node(site):
    site.links["b"].hold()
    wait(lambda: shared(site.nodes["b"])["state"] == "away", "not noticed")
    yield
    site.links["b"].heal()


def cut_connections(site):
    for link in site.links.values():
        link.cut()
    yield


def partition_of_the_server(site):
    for link in site.links.values():
        link.hold()
    wait(lambda: all(shared(n)["state"] == "away"
                     for n in site.nodes.values()), "not noticed")
    yield
    for link in site.links.values():
        link.heal()


def killed_nodes(site):
    for name in "ca":
        with site.locks[name]:
            site.nodes[name].kill()
            site.nodes[name].start()
    yield


def killed_server(site):
    site.server.stop()
    yield
    site.server.start()


def flushed(site):
    site.server.call("FLUSHALL")
    yield
    site.server.call("CLIENT", "KILL", "TYPE", "normal")
    site.server.call("CLIENT", "KILL", "TYPE", "pubsub")


def hanging_server(site):
    site.server.process.send_signal(signal.SIGSTOP)
    time.sleep(1)
    yield
    site.server.process.send_signal(signal.SIGCONT)


FAULTS = [partition_of_a_node, cut_connections, partition_of_the_server,
          killed_nodes, killed_server, flushed, hanging_server]


@pytest.mark.timeout(300)
def test_bars(workdir, certs, apple):
    with contextlib.ExitStack() as stack:
        site = Site(workdir, certs, apple, stack)
        slow = {}
        wait(site.equal, lambda: "start: %r" % [
            shared(n) for n in site.nodes.values()])
        with site.busy():
            time.sleep(1)
        site.healed("no fault")
        for fault in FAULTS:
            with site.busy():
                steps = fault(site)
                next(steps)
                time.sleep(1)       # more happens meanwhile
            with contextlib.suppress(StopIteration):
                next(steps)
            slow[fault.__name__] = site.healed(fault.__name__)
        # every delivery wakes its device, wherever it arrives
        rng = random.Random(2)
        for i in range(BUSY):
            if site.told[i] is None:
                continue
            node = site.nodes[rng.choice(NAMES)]
            assert node.notify("user%d" % i, site.told[i], keep=True
                               ).status == 200
        for i in range(BUSY):
            if site.told[i] is not None:
                apple.wait_for(1, token=token(i))
        for node in site.nodes.values():
            assert node.request("GET", "/healthz").status == 200
        assert all(s < HEAL_S for s in slow.values()), slow
