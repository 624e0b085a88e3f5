#!/usr/bin/python3
"""Compares xapsd with another daemon in one run, in turns:
    PEER=/path/of/the/other make bench
PEER is any executable that takes POST /register and POST /notify and is started as
`PEER -configPath DIR -configName xapsd`: the Go daemon, or another xapsd.  Both
get the same file of configuration, whose other keys the Go daemon ignores.

Both push to api.push.apple.com, which is an nghttpd here: all runs in namespaces
with a hosts file of their own.  As root.  Each row is the median of ratios of pairs,
ours to the peer's, with the smallest and the largest.

XAPSD: ours (default ./xapsd).  PEER_ONLY=paced: without loads and memory.
PEER_PAIRS: pairs of each row (9).  PEER_PUSHES:
paced pushes of each (5,000)."""

import contextlib
import http.client
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from far import (Asker, DEVICES, Far, Wire, account, cpu, notification, private,
                 resident, token, user, wait_for, wrk)
import certs as certs_module
from ports import free_port
from xapsd import executable, token_key

HOST, PORT = "api.push.apple.com", 443
CLIENTS = (1, 16, 64)
PAIRS = int(os.environ.get("PEER_PAIRS", "9"))
PUSHES = int(os.environ.get("PEER_PUSHES", "5000"))
PACED_PER_S = 500
WARM_UP = 300
LOAD_S = 2
# Paced: the daemon alone on one, all others on the other.
DAEMON_CORE, OTHER_CORE = 1, 0
MIB = 1024 * 1024


class Certs(certs_module.Certs):
    """The far end is called as Apple's server is."""

    def __init__(self, folder):
        super().__init__(folder)
        key, cert = self.issuer.server(names=[HOST])
        self.server = certs_module.write(
            os.path.join(folder, "apple.pem"), certs_module.cert_pem(cert),
            certs_module.key_pem(key))


class Peer:
    """A daemon, ours or the other one."""

    def __init__(self, name, program, folder, certs, core=None):
        self.name, self.folder = name, folder
        self.port = free_port()
        folder.mkdir()
        key = token_key(certs)
        # The Go daemon looks in /etc/xapsd, we beside the configuration.
        for place in (folder, pathlib.Path("/etc/xapsd")):
            shutil.copy(key["keyFileP8"], place / "key.p8")
        key["keyFileP8"] = "key.p8"
        config = dict(loglevel="error", databaseFile=folder / "database.json",
                      socketPath="", listenAddr="127.0.0.1", port=self.port,
                      tlsListenAddr="", apnsCaFile=certs.ca,
                      checkInterval=20, delay=30, **key)
        (folder / "xapsd.yaml").write_text("".join(
            "%s: '%s'\n" % item for item in config.items()))
        self.log = open(folder / "log", "wb")
        command = [program, "-configPath", str(folder), "-configName", "xapsd"]
        if core is not None:
            command = ["taskset", "-c", str(core), *command]
        self.process = subprocess.Popen(
            command,
            env=dict(os.environ, SSL_CERT_FILE=certs.ca),
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.pid = self.process.pid
        try:
            wait_for(self._registers, "answer of " + name)
        except SystemExit:
            print((folder / "log").read_text(errors="replace")[-2000:])
            raise
        self.asker = Asker(self.port)
        for i in range(1, DEVICES):
            self._register(self.asker, i)

    def _register(self, asker, i):
        asker.ask("/register", json.dumps({
            "ApsAccountId": account(i), "ApsDeviceToken": token(i),
            "ApsSubtopic": "com.apple.mobilemail", "Username": user(i),
            "Mailboxes": ["INBOX", "Notes"]}))

    def _registers(self):
        if self.process.poll() is not None:
            raise SystemExit("%s has ended: %s" % (
                self.name, (self.folder / "log").read_text(errors="replace")))
        with contextlib.suppress(OSError):
            asker = Asker(self.port)
            self._register(asker, 0)
            asker.close()
            return True

    def delivered(self):
        """None: it does not say, so each notification was a push."""
        http_ = http.client.HTTPConnection("127.0.0.1", self.port)
        http_.request("GET", "/metrics")
        text = http_.getresponse().read().decode(errors="replace")
        http_.close()
        for line in text.splitlines():
            if line.startswith("xapsd_pushes_delivered_total "):
                return int(line.split()[1])
        return None

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def quiet(pid):
    """Waits until it has nothing more to do."""
    before = -1
    while cpu(pid) != before:
        before = cpu(pid)
        time.sleep(0.05)


def load(peer, clients):
    """(notifications/s, CPU s per 10,000 pushes)"""
    body = notification(0).replace("000000", "%06d")
    before, spent = peer.delivered(), cpu(peer.pid)
    run = wrk(peer, "notify.lua", clients, LOAD_S, DEVICES, body)
    quiet(peer.pid)
    pushes = run.requests if before is None else peer.delivered() - before
    return run.requests / run.seconds, (cpu(peer.pid) - spent) * 1e4 / pushes


def pace(n):
    """0 to n - 1, at their times."""
    next_at = time.monotonic()
    for i in range(n):
        next_at += 1 / PACED_PER_S
        time.sleep(max(0, next_at - time.monotonic()))
        yield i


def paced(peer, wire, pushes):
    """(p50, p99) in ms from the notification to the push, both on the wire."""
    took = []
    for i in pace(pushes):
        wire.clear()
        peer.asker.notify(i % DEVICES)
        wait_for(lambda: wire.sees(PORT), "push", pause=0.00002)
        took.append((wire.first_ns[PORT] - wire.first_ns[peer.port]) / 1e6)
    took.sort()
    return took[len(took) // 2], took[len(took) * 99 // 100]


def paced_cpu(peer, pushes):
    """(CPU s per 10,000); nothing is captured, which would count, too."""
    spent = cpu(peer.pid)
    for i in pace(pushes):
        peer.asker.notify(i % DEVICES)
    quiet(peer.pid)
    return ((cpu(peer.pid) - spent) * 1e4 / pushes,)


def row(what, pairs, form, how):
    """pairs: of ours and the peer's figures."""
    ratios = sorted(a / b for a, b in pairs)
    ours, theirs = (statistics.median(column) for column in zip(*pairs))
    print("| %-38s | %10s | %10s | %.2f (%.2f to %.2f) | %s |" % (
        what, form % ours, form % theirs, statistics.median(ratios),
        ratios[0], ratios[-1], how), flush=True)


def alternate(peers, measure, pairs=PAIRS):
    """Pairs of results; who begins changes."""
    result = []
    for n in range(pairs):
        turn = peers if n % 2 == 0 else peers[::-1]
        one = {p.name: measure(p) for p in turn}
        result.append(tuple(one[p.name] for p in peers))
    return result


def column(pairs, i):
    return [(a[i], b[i]) for a, b in pairs]


def loads(peers):
    for clients in CLIENTS:
        many = "%d client%s" % (clients, "" if clients == 1 else "s")
        pairs = alternate(peers, lambda p, n=clients: load(p, n),
                          max(3, PAIRS // 3))
        how = "wrk -c%d -d%ds" % (clients, LOAD_S)
        row(many + ": notifications/s", column(pairs, 0), "%.0f", how)
        row(many + ": CPU s per 10,000 pushes", column(pairs, 1), "%.3f", how)


def compare(folder, programs):
    (folder / "certs").mkdir()
    certs = Certs(str(folder / "certs"))
    far = Far(folder, certs, port=PORT)
    print("| what | ours | peer | ratio (smallest to largest) | how |\n%s|"
          % ("|---" * 5))
    with contextlib.ExitStack() as stack:
        stack.callback(far.close)
        peers = start(stack, folder / "load", programs, certs)
        for what, figure in (("resident", resident), ("private", private)):
            row("memory, %s, 1,000 registrations" % what,
                [tuple(figure(p.pid) / MIB for p in peers)], "%.1f MiB",
                "/proc/PID/status")
        if os.environ.get("PEER_ONLY") != "paced":
            loads(peers)
        row("memory, private, after these loads",
            [tuple(private(p.pid) / MIB for p in peers)], "%.1f MiB",
            "/proc/PID/status")
    latencies(folder, programs, certs)


def start(stack, folder, programs, certs, core=None):
    folder.mkdir()
    peers = []
    for name, program in programs.items():
        peer = Peer(name, program, folder / name, certs, core)
        stack.callback(peer.close)
        peers.append(peer)
    return peers


def latencies(folder, programs, certs):
    """One at a time is busy: what passes to Apple's port is its own."""
    os.sched_setaffinity(0, {OTHER_CORE})
    far_folder = folder / "paced-far"
    far_folder.mkdir()
    with contextlib.ExitStack() as stack:
        stack.callback(Far(far_folder, certs, port=PORT).close)
        peers = start(stack, folder / "paced", programs, certs, DAEMON_CORE)
        for peer in peers:
            paced_cpu(peer, WARM_UP)
        spent = alternate(peers, lambda p: paced_cpu(p, PUSHES // PAIRS))
        with contextlib.closing(Wire()) as wire:
            pairs = alternate(peers,
                              lambda p: paced(p, wire, PUSHES // PAIRS))
    how = "%d of each at %d/s, pinned, %d pairs" % (PUSHES, PACED_PER_S, PAIRS)
    row("paced: notify to push on the wire, p50", column(pairs, 0), "%.3f ms",
        how + "; the kernel's times of packets")
    row("paced: the same, p99", column(pairs, 1), "%.3f ms", how)
    row("paced: CPU s per 10,000 pushes", column(spent, 0), "%.3f", how)


def inside(program):
    """Again in namespaces where Apple's name is ours."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="xb-"))
    script = r"""ip link set lo up && cd "$1" && shift &&
        mkdir over && mount -t tmpfs tmpfs over &&
        mkdir over/work over/etc over/etc/xapsd &&
        echo "127.0.0.1 localhost %s" >over/etc/hosts &&
        mount -t overlay -o lowerdir=/etc,upperdir=over/etc,workdir=over/work \
            overlay /etc && exec "$@" """ % HOST
    try:
        return subprocess.run(
            ["unshare", "--net", "--mount", "sh", "-c", script, "sh",
             str(folder), sys.executable, os.path.abspath(__file__),
             str(folder), program], check=False).returncode
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main():
    if len(sys.argv) == 3:
        compare(pathlib.Path(sys.argv[1]),
                {"ours": executable(), "peer": sys.argv[2]})
        return 0
    program = shutil.which(os.environ.get("PEER", ""))
    if program is None:
        raise SystemExit("PEER: no executable named so")
    if os.geteuid() != 0:
        raise SystemExit("bench with PEER needs root, for its namespaces")
    return inside(os.path.abspath(program))


if __name__ == "__main__":
    sys.exit(main())
