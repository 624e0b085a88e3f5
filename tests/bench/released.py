#!/usr/bin/python3
"""Prints size and memory of the released executables as a table:
    released.py [FILE ...]
by default of all in dist/.  Each is connected over TLS 1.3 and idle.

Those for other machines run under qemu, with all their addresses in one window,
which distinguishes their pages from qemu's own.

The others count instructions, under qemu-user with tests/bench/insns.c, which is the
same on every machine that measures; handshake.py explains the third one.
Milliseconds are an estimate for a router of 580 MHz that completes one instruction
in two cycles."""

import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from far import Asker, Daemon, Far, Relay, wait_for
from certs import Certs
from handshake import IDENTITIES, KINDS, Handshakes
from qemu import QEMU, instructions, machine, plugin, runs_here
from xapsd import ROOT

WINDOW, WINDOW_SIZE = 0x70000000000, 1 << 32
REGISTRATIONS = (0, 1000, 100000)
START_S = 120
PUSHES = (20, 120)      # of two runs: the difference is pushes alone
ROUTER_PER_MS = 580e3 / 2


def qemu(arch):
    name, _, options = QEMU[arch].partition(" ")
    # 32-bit machines have a window of 4 GB anyway
    size = " -R %#x" % WINDOW_SIZE if "64" in arch else ""
    return "qemu-%s-static %s -B %#x%s" % (name, options, WINDOW, size)


def writable(path):
    """Bytes of writable sections: in the file, and .bss."""
    text = subprocess.run(["readelf", "-SW", path], check=True, text=True,
                          stdout=subprocess.PIPE).stdout
    data = bss = 0
    for kind, size, flags in re.findall(
            r"\] \S+ +(\w+) +\w+ \w+ (\w+) \w+ +(\w*)", text):
        if "W" in flags and kind == "NOBITS" and "T" not in flags:
            bss += int(size, 16)
        elif "W" in flags and kind != "NOBITS":
            data += int(size, 16)
    return data, bss


def memory(pid, foreign):
    """KiB resident, and the private part of it."""
    total = {"Rss": 0, "Anonymous": 0}
    low, high = (WINDOW, WINDOW + WINDOW_SIZE) if foreign else (0, 1 << 63)
    inside = False
    with open("/proc/%d/smaps" % pid) as f:
        for line in f:
            edges = re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line)
            if edges:
                start, end = (int(e, 16) for e in edges.groups())
                inside = low <= start and end <= high
            key, _, value = line.partition(":")
            if inside and key in total:
                total[key] += int(value.split()[0])
    return total["Rss"], total["Anonymous"]


def row(path, folder, certs, far):
    arch = machine(path)
    foreign = not runs_here(path)
    os.environ["XAPSD"] = str(path)
    os.environ["XAPSD_WRAP"] = qemu(arch) if foreign else ""
    columns = [arch, "%d" % path.stat().st_size, "%d + %d" % writable(path)]
    for n in REGISTRATIONS:
        with Daemon(folder / ("%s-%d" % (arch, n)), certs, far,
                    n=n) as daemon:
            wait_for(daemon.is_up, "connection", START_S)
            if ", TLSv1.3" not in daemon.log():
                raise SystemExit("this is not TLS 1.3:\n" + daemon.log())
            columns.append("%d, %d" % memory(daemon.pid, foreign))
    print("| %s |" % " | ".join(columns + [
        "qemu" if foreign else "this machine"]), flush=True)


# --- instructions ---

def push(folder, certs, far, pushes):
    """From start to end, this many pushes one at a time."""
    relay = Relay(far)
    with Daemon(folder, certs, relay, n=20) as daemon:
        wait_for(daemon.is_up, "connection", START_S)
        asker = Asker(daemon.port)
        for i in range(pushes):
            back = relay.back
            asker.notify(i % 20)
            wait_for(lambda: relay.back > back, "answer", pause=0.0005)
        daemon.wait_answered()
        asker.close()
    relay.close()


def instruction_row(path, folder, certs, far):
    arch = machine(path)
    few, many = (instructions(path, folder, lambda n=n: push(
        folder / ("i%s-%d" % (arch, n)), certs, far, n)) for n in PUSHES)
    one = (many - few) / (PUSHES[1] - PUSHES[0])
    start = few - one * PUSHES[0]
    print("| %s | %.1f million | %.0f ms | %.0f | %.2f ms |" % (
        arch, start / 1e6, start / ROUTER_PER_MS, one, one / ROUTER_PER_MS),
        flush=True)


def handshake_row(path, h):
    """Of one connection, not of the whole start."""
    millions = [h.handshake(path, identity, kind)
                for _, identity in IDENTITIES for kind, *_ in KINDS]
    print("| %s | %s |" % (machine(path), " | ".join(
        "%.1f million, %.0f ms" % (m, m * 1e6 / ROUTER_PER_MS)
        for m in [*millions, h.resumption(path)])), flush=True)


def main():
    paths = [pathlib.Path(p).resolve() for p in sys.argv[1:]] or sorted(
        p for p in (ROOT / "dist").glob("xapsd-*")
        if p.name.rpartition("-")[2] in QEMU)
    if not paths:
        raise SystemExit("nothing in dist/: make release")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="xb-"))
    (folder / "certs").mkdir()      # the daemon watches their folder
    certs = Certs(str(folder / "certs"))
    far = Far(folder, certs)
    print("| machine | bytes | data + bss | %s | run by |\n|%s" % (
        " | ".join("KiB resident, private: %d registrations" % n
                   for n in REGISTRATIONS), "---|" * (4 + len(REGISTRATIONS))))
    try:
        for path in paths:
            row(path, folder, certs, far)
        print("\n| machine | start, TLS 1.3, stop: instructions | on a router | "
              "one push: instructions | on a router |\n%s|" % ("|---" * 5))
        plugin(folder)
        for path in paths:
            instruction_row(path, folder, certs, far)
        print("\n| machine | TLS 1.3: %s | resumed |\n%s|" % (
            " | ".join("%s, %s server" % (name, kind)
                       for name, _ in IDENTITIES for kind, *_ in KINDS),
            "|---" * (2 + len(IDENTITIES) * len(KINDS))))
        with contextlib.closing(Handshakes(folder / "handshakes")) as h:
            for path in paths:
                handshake_row(path, h)
    finally:
        far.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
