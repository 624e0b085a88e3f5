#!/usr/bin/python3
"""Prints what the daemon costs, as one table; each row says how it was measured.
It checks nothing: check_budget.py does.

XAPSD: the executable (default ./xapsd).  BENCH_BIG=1: also a million
registrations.  BENCH_ONLY=memory,latency: only these parts.  PEER=FILE: compares with another
daemon instead, see peer.py."""

import contextlib
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from far import (Asker, Daemon, Far, Relay, DEVICES, cpu, h2load, notification,
                 per_push, private, resident, wait_for, wakeups, written, wrk)
from certs import Certs
import peer
from xapsd import ROOT, executable

CLIENTS = (1, 16, 64)
ROUNDS = 3              # of daemon and h2load in turn; rows are medians
LOAD_S = 2
PACED_PER_S = 200
PACED_S = 5
IDLE_CLIENTS = 1024
KIB, MIB = 1024, 1024 * 1024


class Bench:
    def __init__(self, folder):
        self.folder = folder
        # A folder of their own, since the daemon watches it.
        (folder / "certs").mkdir()
        self.certs = Certs(str(folder / "certs"))
        self.far = Far(folder, self.certs)
        self.number = 0
        self.rows = []

    def daemon(self, to=None, **options):
        self.number += 1
        return Daemon(self.folder / ("x%d" % self.number), self.certs,
                      to or self.far, **options)

    def row(self, what, figure, how):
        print("| %-46s | %-34s | %s |" % (what, figure, how), flush=True)


# --- size and memory ---

def sizes(b):
    static = ROOT / "build/static/xapsd"
    for what, path in (("executable", executable()), ("static", static)):
        if not os.path.exists(path):
            b.row(what, "not built", "make static")
            continue
        text = subprocess.run(["size", str(path)], check=True, text=True,
                              stdout=subprocess.PIPE).stdout
        n_text, n_data, n_bss = text.splitlines()[1].split()[:3]
        bare = b.folder / "stripped"
        subprocess.run(["strip", "-o", str(bare), str(path)], check=True)
        b.row("%s: text, data, bss" % what,
              "%s, %s, %s B" % (n_text, n_data, n_bss), "size %s" % what)
        b.row("%s: stripped file" % what, "%d B" % bare.stat().st_size,
              "strip -o; ls -l")


def memory_row(b, what, pid):
    b.row("memory, %s: resident, private" % what, "%.0f, %.0f KiB" % (
        resident(pid) / KIB, private(pid) / KIB),
          "/proc/PID/status VmRSS, RssAnon")


def started(daemon):
    """(ms from exec to its first answer, CPU ms of it)"""
    begin = time.monotonic()
    daemon.start()
    daemon.request("GET", "/healthz")
    return (time.monotonic() - begin) * 1000, cpu(daemon.pid) * 1000


def registrations(b):
    big = (1000000,) if os.environ.get("BENCH_BIG") else ()
    for n in (0, 1000, 100000) + big:
        daemon = b.daemon(n=n)
        times = []
        for _ in range(1 if n > 100000 else ROUNDS):
            daemon.stop()
            times.append(started(daemon))
        daemon.up()
        b.row("start-up with %d registrations" % n,
              "%.0f ms, CPU %.0f ms" % tuple(
                  statistics.median(column) for column in zip(*times)),
              "exec to the first answer, medians")
        memory_row(b, "%d registrations, connected" % n, daemon.pid)
        if n == 100000:
            writing(b, daemon)
        daemon.stop()
        shutil.rmtree(daemon.folder)


def writing(b, daemon):
    """Changes of three registrations, again and again."""
    path = str(daemon.database)
    size = os.path.getsize(path)
    asker = Asker(daemon.port)
    peak = 0
    template = ('{"ApsAccountId":"a","ApsDeviceToken":"%064x","ApsSubtopic":'
                '"com.apple.mobilemail","Username":"w%d","Mailboxes":'
                '["INBOX","%s"],"MailboxesAcknowledged":true}')
    for i in range(300):
        asker.ask("/register", template % (i % 3, i % 3, "x" * (1 + i % 200)))
        peak = max(peak, private(daemon.pid))
    asker.close()
    b.row("memory, the same while it writes: private peak",
          "%.0f KiB" % (peak / KIB), "300 changes, file %+d B"
          % (os.path.getsize(path) - size))


def idle_clients(b):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    with b.daemon(n=1000) as daemon, contextlib.ExitStack() as stack:
        daemon.up()
        before = private(daemon.pid)
        for i in range(IDLE_CLIENTS):
            asker = Asker(daemon.port)
            stack.callback(asker.close)
            asker.notify(i % DEVICES)
        daemon.wait_answered()
        b.row("%d idle clients: private memory more" % IDLE_CLIENTS,
              "%.0f KiB" % ((private(daemon.pid) - before) / KIB),
              "each has asked once")


# --- pushes ---

class LoadRun:
    """The daemon under load for some seconds."""

    def __init__(self, b, daemon, clients):
        body = notification(0).replace("000000", "%06d")
        delivered, spent = daemon.delivered(), cpu(daemon.pid)
        far_spent = cpu(b.far.pid)
        begin = time.monotonic()
        self.load = wrk(daemon, "notify.lua", clients, LOAD_S, DEVICES, body)
        daemon.wait_answered()
        self.seconds = time.monotonic() - begin
        self.pushes = daemon.delivered() - delivered
        self.rate = self.pushes / self.seconds
        self.cpu = (cpu(daemon.pid) - spent) * 1e4 / self.pushes
        self.far = (cpu(b.far.pid) - far_spent) * 1e4 / self.pushes
        self.asked = self.load.requests / self.load.seconds
        self.asked_cpu = self.cpu * self.pushes / self.load.requests
        self.busy = (cpu(daemon.pid) - spent + cpu(b.far.pid) - far_spent +
                     self.load.cpu_s) / self.seconds


def median(runs, name):
    return statistics.median(getattr(s, name) for s in runs)


def throughput(b):
    with b.daemon() as daemon:
        daemon.up()
        for clients in CLIENTS:
            ours, theirs = [], []
            for _ in range(ROUNDS):
                ours.append(LoadRun(b, daemon, clients))
                theirs.append(h2load(b.folder, b.far, clients, 20000
                                     if clients > 1 else 8000))
            throughput_rows(b, clients, ours, theirs)
        memory_row(b, "after these loads", daemon.pid)


def throughput_rows(b, clients, ours, theirs):
    many = "%d client%s" % (clients, "" if clients == 1 else "s")
    rate = median(ours, "rate")
    spent = median(ours, "cpu")
    their_rate = statistics.median(t.requests / t.seconds for t in theirs)
    their_cpu = statistics.median(t.cpu_s * 1e4 / t.requests for t in theirs)
    b.row("%s: pushes (notifications) per second" % many,
          "%.0f (%.0f)" % (rate, median(ours, "asked")), ours[0].load.command)
    b.row("%s: CPU per 10,000 pushes (far end's)" % many,
          "%.3f s (%.3f s)" % (spent, median(ours, "far")),
          "/proc/PID/schedstat; %.1f of %d cores busy"
          % (median(ours, "busy"), os.cpu_count()))
    b.row("%s: h2load, the same run: rate, CPU" % many,
          "%.0f/s, %.3f s" % (their_rate, their_cpu), theirs[0].command)
    b.row("%s: CPU per 10,000 notifications" % many,
          "%.3f s" % median(ours, "asked_cpu"),
          "some share a push when the far end is slower")
    b.row("%s: our part of h2load's rate, CPU" % many,
          "%.2f, %.2f" % (rate / their_rate, spent / their_cpu), "the above")


def loaded_memory(b):
    """Sampled while 64 clients are busy."""
    with b.daemon() as daemon:
        daemon.up()
        body = notification(0).replace("000000", "%06d")
        load = subprocess.Popen(
            ["wrk", "-t1", "-c64", "-d2s", "-s",
             str(pathlib.Path(__file__).with_name("notify.lua")),
             "http://127.0.0.1:%d" % daemon.port, "--", str(DEVICES), body],
            stdout=subprocess.DEVNULL)
        peak = 0
        while load.poll() is None:
            peak = max(peak, private(daemon.pid))
            time.sleep(0.02)
        daemon.wait_answered()
        b.row("memory, 64 busy clients: private peak",
              "%.0f KiB" % (peak / KIB), "sampled every 20 ms")


def percentile(values, p):
    return sorted(values)[min(len(values) - 1, int(len(values) * p / 100))]


def latency(b):
    """One client at a steady rate; the relay records when the push passes."""
    relay = Relay(b.far)
    with b.daemon(relay) as daemon:
        daemon.up()
        asker = Asker(daemon.port)
        took, spent = [], cpu(daemon.pid)
        next_at = time.monotonic()
        for i in range(PACED_PER_S * PACED_S):
            next_at += 1 / PACED_PER_S
            time.sleep(max(0, next_at - time.monotonic()))
            out, begin = relay.out, time.monotonic_ns()
            asker.notify(i % DEVICES)
            wait_for(lambda: relay.out > out, "push", pause=0.00005)
            took.append((relay.out_ns - begin) / 1e6)
        spent = (cpu(daemon.pid) - spent) * 1e4 / len(took)
        asker.close()
    relay.close()
    how = "1 client at %d/s; times of a relay" % PACED_PER_S
    b.row("paced: notify to push on the wire, p50, p99", "%.2f, %.2f ms" % (
        percentile(took, 50), percentile(took, 99)), how)
    b.row("paced: CPU per 10,000 pushes", "%.2f s" % spent,
          "/proc/PID/schedstat")


def bytes_sent(daemon, relay, devices, rounds):
    """Bytes per push in each round of all devices, one push at a time."""
    asker = Asker(daemon.port)
    result = []
    done = daemon.delivered()
    for _ in range(rounds):
        sent = 0
        for i in devices:
            out = relay.out
            asker.notify(i)
            done += 1
            wait_for(lambda: daemon.delivered() == done, "answer")
            sent += relay.out - out
        result.append(sent / len(devices))
    asker.close()
    return result


def begin_connection(daemon, relay):
    """The first push has the JWT, and costs 9 bytes less for what follows in the
    same second, with the same date: no figure is to depend on that."""
    bytes_sent(daemon, relay, [999], 1)
    second = int(time.time())
    wait_for(lambda: time.time() > second + 1.1, "second")


def wire(b):
    for acked in (False, True):
        what = "with mailbox hash" if acked else "61 B payload"
        relay = Relay(b.far)
        with b.daemon(relay, acked=acked) as daemon:
            daemon.up()
            begin_connection(daemon, relay)
            first = bytes_sent(daemon, relay, range(10), 1)[0]
            again = bytes_sent(daemon, relay, [0], 20)[-1]
            many = bytes_sent(daemon, relay, range(200), 2)[-1]
            protocol = daemon.log().split("connected to")[1].split(",")[1]
            protocol = protocol.strip().rstrip(")")
        relay.close()
        how = "one at a time, %s" % protocol
        b.row("bytes sent per push, %s: first" % what, "%.0f" % first, how)
        b.row("bytes sent per push, %s: repeated" % what, "%.0f" % again, how)
        b.row("bytes sent per push, %s: 200 devices" % what, "%.0f" % many,
              "second round; %s" % how)


def tls_records(b):
    for clients in CLIENTS:
        relay = Relay(b.far)
        with b.daemon(relay) as daemon:
            daemon.up()
            records, out = relay.records, relay.out
            run = LoadRun(b, daemon, clients)
            b.row("TLS records, bytes per push, %d clients" % clients,
                  "%.2f, %.0f" % ((relay.records - records) / run.pushes,
                                  (relay.out - out) / run.pushes),
                  run.load.command + ", through a relay")
        relay.close()


def syscalls(b):
    """Under strace, which slows it down: only the counts are meaningful."""
    for clients in (1, 16):
        with b.daemon() as daemon:
            daemon.up()
            out = b.folder / "strace"
            tracer = subprocess.Popen(
                ["strace", "-qq", "-c", "-f", "-o", str(out), "-p",
                 str(daemon.pid)], stderr=subprocess.DEVNULL)
            wait_for(lambda: traced(daemon.pid), "strace")
            run = LoadRun(b, daemon, clients)
            tracer.terminate()
            tracer.wait()
            b.row("system calls per push, %d clients" % clients,
                  calls(out, run.pushes), "strace -c")


def traced(pid):
    with open("/proc/%d/status" % pid) as f:
        return "TracerPid:\t0\n" not in f.read()


def calls(path, per):
    counts = {}
    for line in path.read_text().splitlines():
        fields = line.split()
        if len(fields) >= 5 and fields[3].isdigit():
            counts[fields[-1]] = int(fields[3]) / per
    total = counts.pop("total", 0)
    top = sorted(counts.items(), key=lambda c: -c[1])[:5]
    return "%.2f: %s" % (total, ", ".join(
        "%s %.2f" % (n.replace("epoll_", "e."), c) for n, c in top))


def instructions(b):
    cost = per_push(b.folder, b.certs, b.far)
    b.row("instructions per push", "%.0f" % sum(cost.values()),
          "valgrind --tool=callgrind, 400 less 100 pushes")
    for module, n in sorted(cost.items(), key=lambda c: -c[1])[:16]:
        b.row("    %s" % module, "%.0f" % n, "the same")


# --- idle ---

def idle(b):
    """A daemon that stays idle while the other parts are measured."""
    daemon = b.daemon(pushTimeout="3s")
    daemon.start()
    daemon.up()
    asker = Asker(daemon.port)
    asker.notify(0)
    daemon.wait_answered()
    asker.close()
    memory_row(b, "idle, connected", daemon.pid)
    time.sleep(4)       # pushTimeout: its last timer has ended
    return daemon, wakeups(daemon.pid), time.monotonic()


def idle_end(b, daemon, before, begin):
    minutes = (time.monotonic() - begin) / 60
    n = wakeups(daemon.pid) - before
    b.row("wake-ups per minute when idle", "%.1f" % (n / minutes),
          "%d in %.0f s; /proc/PID/status" % (n, minutes * 60))
    daemon.stop()


# --- registrations ---

def registering(b):
    with b.daemon(n=0) as daemon:
        daemon.up()
        for i, (kind, clients) in enumerate(
                (("new", 1), ("new", 16), ("renewal", 1), ("renewal", 16))):
            size, disk = os.path.getsize(daemon.database), written(daemon.pid)
            load = wrk(daemon, "register.lua", clients, LOAD_S, kind, i + 1)
            n = load.requests
            b.row("registrations/s, %s, %d clients" % (kind, clients),
                  "%.0f" % (n / load.seconds), load.command)
            b.row("    bytes of file, of disk, per registration",
                  "%.0f, %.0f" % (
                      (os.path.getsize(daemon.database) - size) / n,
                      (written(daemon.pid) - disk) / n),
                  "file size; /proc/PID/io write_bytes")
    probe = b.folder / "fsync"
    n, begin = 0, time.monotonic()
    with open(probe, "ab", buffering=0) as f:
        while time.monotonic() - begin < 1:
            f.write(b"x" * 200)
            os.fdatasync(f.fileno())
            n += 1
    b.row("the disk: appends with fdatasync per second", "%d" % n,
          "one after the other, 200 bytes each")


PARTS = (sizes, registrations, idle_clients, loaded_memory, latency, throughput,
         wire, tls_records, syscalls, registering, instructions)


def main():
    if os.environ.get("PEER"):
        return peer.main()
    only = os.environ.get("BENCH_ONLY", "").split(",")
    begin = time.monotonic()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="xb-"))
    b = Bench(folder)
    b.row("what", "figure", "how")
    print("|---|---|---|")
    try:
        idle_run = idle(b) if only == [""] or "idle" in only else None
        for part in PARTS:
            if only == [""] or part.__name__ in only:
                part(b)
        if idle_run:
            idle_end(b, *idle_run)
    finally:
        b.far.close()
        shutil.rmtree(folder, ignore_errors=True)
    print("%.0f s in total, load average %.1f"
          % (time.monotonic() - begin, os.getloadavg()[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
