#!/usr/bin/python3
"""Measures what gives the same figures every time and compares them with
tests/bench/budget; exits 1 if one is over it.  XAPSD: the executable (default
./xapsd)."""

import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from unittest import mock

from bench import Bench, begin_connection, bytes_sent
from far import Asker, Relay, per_push, private, wakeups
from xapsd import ROOT, executable

IDLE_S = 20


def limits():
    rows = {}
    for line in pathlib.Path(__file__).with_name("budget").open():
        if line.strip() and not line.startswith("#"):
            name, limit, unit, reason = line.split(None, 3)
            rows[name] = float(limit), unit, reason.strip()
    return rows


def stripped(b, path):
    bare = b.folder / "bare"
    subprocess.run(["strip", "-o", str(bare), str(path)], check=True)
    return bare.stat().st_size


STATIC = ROOT / "build/static" / platform.machine() / "xapsd"


def sizes(b):
    if STATIC.exists():
        yield "static_file", stripped(b, STATIC)
    if "XAPSD" not in os.environ:
        yield "shared_file", stripped(b, executable())


def memory(b):
    for name, n in (("idle_private", 1000), ("private_100k", 100000)):
        with b.daemon(n=n) as daemon:
            daemon.up()
            yield name, private(daemon.pid) / 1024
    if STATIC.exists():
        with mock.patch.dict(os.environ, XAPSD=str(STATIC)), \
                b.daemon(n=0) as daemon:
            daemon.up()
            yield "static_private", private(daemon.pid) / 1024


def wire(b):
    relay = Relay(b.far)
    with b.daemon(relay) as daemon:
        daemon.up()
        begin_connection(daemon, relay)
        yield "bytes_first", bytes_sent(daemon, relay, range(10), 1)[0]
        yield "bytes_repeated", bytes_sent(daemon, relay, [0], 20)[-1]
        yield "bytes_200_devices", bytes_sent(
            daemon, relay, range(200), 2)[-1]
    relay.close()


def own(cost):
    return sum(n for module, n in cost.items() if module.endswith((".c", ".h")))


def instructions(b):
    """The least of three: runs of the same program differ by some hundred."""
    cost = min((per_push(b.folder, b.certs, b.far) for _ in range(3)), key=own)
    yield "instructions_own", own(cost)
    yield "instructions", sum(cost.values())


class Idle:
    """A daemon that has pushed once and is idle while others are measured."""

    def __init__(self, b):
        self.daemon = b.daemon(pushTimeout="3s").start()
        self.daemon.up()
        asker = Asker(self.daemon.port)
        asker.notify(0)
        asker.close()
        self.begin = self.first = None

    def begin_count(self):
        """After 4 s of sleep no timer is left: pushTimeout is 3 s."""
        self.daemon.wait_asleep(4)
        self.begin = time.monotonic()
        self.first = wakeups(self.daemon.pid)

    def figure(self):
        time.sleep(max(0, self.begin + IDLE_S - time.monotonic()))
        passed = time.monotonic() - self.begin
        n = wakeups(self.daemon.pid) - self.first
        self.daemon.stop()
        yield "idle_wakeups", n * IDLE_S / passed


def measure(b):
    idle = Idle(b)
    yield from sizes(b)
    yield from wire(b)
    idle.begin_count()
    yield from memory(b)
    yield from instructions(b)
    yield from idle.figure()


def main():
    rows = limits()
    over = 0
    b = Bench(pathlib.Path(tempfile.mkdtemp(prefix="xb-")))
    try:
        for name, value in measure(b):
            limit, unit, reason = rows[name]
            print("%-18s %10.0f of %.0f %s%s" % (
                name, value, limit, unit,
                "" if value <= limit else "   OVER BUDGET: %s" % reason),
                flush=True)
            over += value > limit
    finally:
        b.far.close()
        shutil.rmtree(b.folder, ignore_errors=True)
    if over:
        sys.exit("budget: %d figure%s over tests/bench/budget"
                 % (over, "" if over == 1 else "s"))


if __name__ == "__main__":
    main()
