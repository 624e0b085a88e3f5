"""What the measurements need besides the daemon: a far end (nghttpd with an empty
file for each token it knows), a relay that counts what passes, load generators,
and the kernel's figures of a process."""

import contextlib
import json
import os
import pathlib
import resource
import select
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))

from ports import free_port     # noqa: E402
from xapsd import Xapsd         # noqa: E402

DEVICES = 1000          # known to the far end; loads use them in turn
START_S = 30


def user(i):
    return "user%06d" % i


def account(i):
    return "0715BAF2-7C1F-4B9A-9C0E-%012d" % i


def token(i):
    return "%064x" % (0x2918 << 240 | i * 0x9E3779B97F4A7C15)


def record(i, acked):
    return json.dumps({
        "user": user(i), "account": account(i), "token": token(i),
        "mailboxes": ["INBOX", "Notes"], "acked": acked,
        "time": int(time.time())}, separators=(",", ":"))


def notification(i):
    return json.dumps({"Username": user(i), "Mailbox": "INBOX",
                       "Events": ["MessageNew"]})


def wait_for(condition, what, limit=START_S, pause=0.005):
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("no %s within %g s" % (what, limit))
        time.sleep(pause)


def quietly(command):
    return subprocess.Popen(command, stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)


# --- the kernel's figures of a process ---

def _status(pid, key):
    with open("/proc/%d/status" % pid) as f:
        for line in f:
            if line.startswith(key + ":"):
                return int(line.split()[1])
    raise KeyError(key)


def resident(pid):
    """Bytes."""
    return _status(pid, "VmRSS") * 1024


def private(pid):
    """Bytes of anonymous memory: not the pages of files, which are shared and
    can be dropped."""
    return _status(pid, "RssAnon") * 1024


def wakeups(pid):
    return _status(pid, "voluntary_ctxt_switches")


def sleeps(pid):
    """It has read what came: the kernel had made it run when that came."""
    with open("/proc/%d/stat" % pid) as f:
        return f.read().rpartition(")")[2].split()[0] == "S"


def cpu(pid):
    """Seconds, all threads."""
    total = 0
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/schedstat" % (pid, task)) as f:
            total += int(f.read().split()[0])
    return total / 1e9


def written(pid):
    """Bytes that its files wrote to the disk."""
    with open("/proc/%d/io" % pid) as f:
        for line in f:
            if line.startswith("write_bytes:"):
                return int(line.split()[1])
    raise KeyError("write_bytes")


# --- the far end ---

class Far:
    """nghttpd: 200 with an empty body for a token it knows."""

    def __init__(self, folder, certs, port=None):
        self.port = port or free_port()
        root = folder / "far"
        (root / "3/device").mkdir(parents=True)
        for i in range(DEVICES):
            (root / "3/device" / token(i)).touch()
        self.process = quietly([
            "nghttpd", "-n1", "-d", str(root), "-a", "127.0.0.1",
            str(self.port), certs.server, certs.server])
        self.pid = self.process.pid
        wait_for(self._listens, "nghttpd")

    def _listens(self):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True

    def close(self):
        self.process.terminate()
        self.process.wait()


class Relay(threading.Thread):
    """Passes bytes between daemon and far end, and counts them: `out` and `back`
    are the bytes of each direction, `records` the TLS records of the daemon,
    `out_ns` and `back_ns` the times of the last bytes.  `before_back` is called
    before bytes are passed back."""

    def __init__(self, far, port=0):
        super().__init__(daemon=True)
        self.far = far
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        self.out = self.back = self.records = 0
        self.out_ns = self.back_ns = 0
        self.before_back = lambda: None
        self._skip = 0          # bytes to the next record's header
        self._head = b""
        self.start()

    def _count_records(self, data):
        """RFC 8446 5.1: type, version, length."""
        at = self._skip
        if self._head:
            data, at, self._head = self._head + data, 0, b""
        while at < len(data):
            if len(data) - at < 5:
                self._head, at = data[at:], len(data)
                break
            at += 5 + int.from_bytes(data[at + 3:at + 5], "big")
            self.records += 1
        self._skip = at - len(data)

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                near = self.listener.accept()[0]
                self._carry(near)

    def _carry(self, near):
        far = socket.create_connection(("127.0.0.1", self.far.port))
        for s in (near, far):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._skip, self._head = 0, b""
        with near, far, contextlib.suppress(OSError):
            while True:
                for s in select.select([near, far], [], [])[0]:
                    data = s.recv(262144)
                    now = time.monotonic_ns()
                    if not data:
                        return
                    if s is near:
                        far.sendall(data)
                        self._count_records(data)
                        self.out += len(data)
                        self.out_ns = now
                    else:
                        self.before_back()
                        near.sendall(data)
                        self.back += len(data)
                        self.back_ns = now

    def close(self):
        self.listener.close()


class Wire:
    """The kernel's times of what passes on the loopback interface.  As root."""

    SO_TIMESTAMPNS = 35

    def __init__(self):
        ip = 0x0800
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM,
                                    socket.htons(ip))
        self.socket.bind(("lo", ip))
        self.socket.setsockopt(socket.SOL_SOCKET, self.SO_TIMESTAMPNS, 1)
        self.socket.setblocking(False)
        self.clear()

    def clear(self):
        """Forgets what has passed."""
        self.first_ns = {}      # by port: of the first bytes sent to it
        with contextlib.suppress(BlockingIOError):
            while True:
                self.socket.recv(1)

    def sees(self, port):
        """Have bytes been sent to this port?"""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._take(*self.socket.recvmsg(64, 64)[:2])
        return port in self.first_ns

    def _take(self, data, ancillary):
        tcp = (data[0] & 15) * 4
        head = tcp + (data[tcp + 12] >> 4) * 4
        if int.from_bytes(data[2:4], "big") > head:
            s, ns = struct.unpack("qq", ancillary[0][2])
            self.first_ns.setdefault(
                int.from_bytes(data[tcp + 2:tcp + 4], "big"), s * 10**9 + ns)

    def close(self):
        self.socket.close()


# --- the daemon ---

def write_database(path, n, acked=False):
    with open(path, "w") as f:
        for i in range(n):
            f.write(record(i, acked) + "\n")


class Daemon(Xapsd):
    """Has n registrations and pushes to a Far or a Relay."""

    def __init__(self, folder, certs, to, n=DEVICES, acked=False, **config):
        folder.mkdir()
        config.setdefault("loglevel", "info")
        super().__init__(folder, certs, apple=to, tcp=True, **config)
        if n:
            write_database(self.database, n, acked)

    @property
    def pid(self):
        return self.process.pid

    def up(self):
        """Connected to the far end."""
        wait_for(self.is_up, "connection")
        return self

    def is_up(self):
        return "apns: connected to" in self.log()

    def metric(self, name):
        for line in self.request("GET", "/metrics").body.splitlines():
            if line.startswith("xapsd_%s " % name):
                return int(line.split()[1])
        raise KeyError(name)

    def delivered(self):
        return self.metric("pushes_delivered_total")

    def wait_answered(self):
        """Waits until every push is answered."""
        wait_for(lambda: self.metric("queue_length") == 0, "empty queue")


class Asker:
    """A client with one connection and one request at a time."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, path, body):
        self.socket.sendall(
            b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
            b"application/json\r\nContent-Length: %d\r\n\r\n%s"
            % (path.encode(), len(body), body.encode()))
        answer = self.socket.recv(4096)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise SystemExit("%s: %r" % (path, answer))

    def notify(self, i):
        self.ask("/notify", notification(i))

    def close(self):
        self.socket.close()


# --- loads ---

class Load:
    """What a load generator did: requests, seconds, and its own CPU seconds."""

    def __init__(self, requests, seconds, cpu_s, command):
        self.requests, self.seconds = requests, seconds
        self.cpu_s, self.command = cpu_s, command


def _run(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    text = subprocess.run(command, check=True, text=True,
                          stdout=subprocess.PIPE).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return text, (after.ru_utime + after.ru_stime -
                  before.ru_utime - before.ru_stime)


def wrk(daemon, script, clients, seconds, *args):
    command = ["wrk", "-t1", "-c%d" % clients, "-d%ds" % seconds,
               "-s", str(HERE / script),
               "http://127.0.0.1:%d" % daemon.port, "--", *map(str, args)]
    text, cpu_s = _run(command)
    for line in text.splitlines():
        if "Non-2xx" in line or "Socket errors" in line:
            raise SystemExit("wrk: %s" % line.strip())
        if " requests in " in line:
            requests = int(line.split()[0])
    shown = ["wrk", "-t1", "-c%d" % clients, "-d%ds" % seconds, "-s", script]
    return Load(requests, float(seconds), cpu_s, " ".join(shown))


def h2load(folder, far, streams, requests):
    """The same requests sent by h2load, to compare with."""
    payload = folder / "payload"
    payload.write_text('{"aps":{"account-id":"%s"}}' % account(0))
    uris = folder / "uris"
    uris.write_text("".join("https://127.0.0.1:%d/3/device/%s\n"
                            % (far.port, token(i)) for i in range(DEVICES)))
    command = ["h2load", "-c1", "-m%d" % streams, "-n%d" % requests,
               "-d", str(payload), "-i", str(uris),
               "-H", "apns-topic: com.apple.mail.XServer.test",
               "-H", "apns-push-type: background",
               "-H", "apns-expiration: %d" % (time.time() + 86400)]
    text, cpu_s = _run(command)
    for line in text.splitlines():
        if line.startswith("finished in "):
            seconds = line.split()[2].rstrip(",")
        if line.startswith("requests:") and " 0 failed" not in line:
            raise SystemExit("h2load: %s" % line)
    unit = "ms" if seconds.endswith("ms") else "us" \
        if seconds.endswith("us") else "s"
    value = float(seconds[:-len(unit)]) * {"s": 1, "ms": 1e-3, "us": 1e-6}[unit]
    return Load(requests, value, cpu_s,
                "h2load -c1 -m%d -n%d" % (streams, requests))


# --- instructions ---

def callgrind(folder, certs, far, pushes, **config):
    """{module: instructions} of a whole run with this many pushes, one at a time.
    A module is one of our files, or a library."""
    out = folder / "callgrind.out"
    relay = Relay(far)
    os.environ["XAPSD_WRAP"] = (
        "valgrind -q --tool=callgrind --callgrind-out-file=%s" % out)
    try:
        with Daemon(folder / "x", certs, relay, n=20, **config) as daemon:
            daemon.up()
            if "sharedStore" in config:
                wait_for(lambda: "in step" in daemon.log(), "shared book")

            def wait_asleep():
                wait_for(lambda: sleeps(daemon.pid), "sleep", pause=0.0002)
            # An answer that is there before it has ended its work for the push
            # costs less, and how often that is depends on the load.
            relay.before_back = wait_asleep
            asker = Asker(daemon.port)
            for i in range(pushes):
                back = relay.back
                asker.notify(i % 20)
                wait_for(lambda: relay.back > back, "answer", pause=0.0005)
                wait_asleep()
            relay.before_back = lambda: None
            asker.close()
    finally:
        del os.environ["XAPSD_WRAP"]
        relay.close()
    return _read_callgrind(out)


KINDS = {"fl": "fl", "fi": "fl", "fe": "fl", "cfi": "fl", "cfl": "fl",
         "ob": "ob", "cob": "ob"}


def _read_callgrind(path):
    """Self cost by module.  Lines: "fl=(1) name", "ob=(2)", costs "+3 17"; the
    line after "calls=" is the cost of the function called."""
    names, cost = {"fl": {}, "ob": {}}, {}
    at = {"fl": "?", "ob": "?"}
    skip = False
    with open(path) as f:
        for line in f:
            if line[0].isdigit() or line[0] in "+-*":
                if not skip:
                    ours = os.path.basename(at["ob"]).startswith("xapsd")
                    module = os.path.basename(at["fl" if ours else "ob"])
                    cost[module] = cost.get(module, 0) + int(line.split()[1])
                skip = False
                continue
            key, eq, value = line.partition("=")
            if key == "calls":
                skip = True
            kind = KINDS.get(key)
            if eq and kind:
                number, _, name = value.strip().partition(" ")
                if name:
                    names[kind][number] = name
                if key[0] != "c":
                    at[kind] = names[kind].get(number, number)
    return cost


def per_push(folder, certs, far, few=100, many=400, **config):
    """Instructions per push, by module: the difference of two runs."""
    runs = []
    for n in (few, many):
        sub = folder / ("callgrind-%d" % n)
        sub.mkdir()
        runs.append(callgrind(sub, certs, far, n, **config))
        shutil.rmtree(sub, ignore_errors=True)
    return {module: (n - runs[0].get(module, 0)) / (many - few)
            for module, n in runs[1].items()}
