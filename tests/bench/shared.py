#!/usr/bin/python3
"""Prints what a shared book in Valkey or Redis costs, as one table; each row says
how it was measured.  With and without it are measured in turn; "ratio" is the
median of the rounds' ratios, and in brackets the least and the greatest.

XAPSD: the executable (default ./xapsd); PLAIN: one that was built without the
feature; VALKEY: the server.  BENCH_BIG=1: also a million registrations.
BENCH_ONLY=start,notify: only these parts."""

import os
import pathlib
import shutil
import statistics
import sys
import tempfile
import time

from bench import Bench
from far import (Asker, Relay, DEVICES, cpu, notification, per_push, private,
                 resident, token, account, user, wait_for, wrk)
from valkey import Valkey, executable as server_program
from xapsd import certificate, executable

CLIENTS = (1, 16, 64)
ROUNDS = 5
LOAD_S = 2
PACED_PER_S = 200
BLOCKS, BLOCK = 10, 100
KIB, MIB = 1024, 1024 * 1024
STEP_S = 600            # limit for a million


def ratio(pairs):
    """Of (with, without)."""
    all_ = sorted(a / b for a, b in pairs)
    return "%.3f (%.3f to %.3f)" % (
        statistics.median(all_), all_[0], all_[-1])


def column(pairs, n):
    return statistics.median(p[n] for p in pairs)


class SharedBench(Bench):
    def __init__(self, folder):
        super().__init__(folder)
        self.servers = 0

    def server(self):
        self.servers += 1
        folder = self.folder / ("v%d" % self.servers)
        folder.mkdir()
        return Valkey(folder)

    def pair(self, server, **options):
        """A node with the shared book and one without."""
        return (self.daemon(sharedStore=server.url, **options),
                self.daemon(**options))


def in_step(daemon):
    """Does not ask while it compares."""
    wait_for(lambda: " in step: " in daemon.log(daemon.log_start),
             "shared book in step", STEP_S, pause=0.02)
    wait_for(lambda: is_in_step(daemon), "end of the changes", STEP_S)


def is_in_step(daemon):
    s = daemon.status()["shared"]
    return s["state"] == "in step" and s["waiting"] == 0


class Counted:
    """What the server did between two looks."""

    def __init__(self, server):
        self.server = server
        self.first = self.look()

    def look(self):
        def fields(section):
            return dict(line.split(":", 1) for line in self.server.call(
                "INFO", section).splitlines() if ":" in line)
        calls = {k[8:]: int(v.split(",")[0].partition("=")[2])
                 for k, v in fields("commandstats").items()}
        stats = fields("stats")
        return calls, (int(stats["total_net_input_bytes"]),
                       int(stats["total_net_output_bytes"]))

    def since(self):
        """(calls by command, bytes that it got, bytes that it sent)"""
        calls, bytes_ = self.look()
        calls = {k: n - self.first[0].get(k, 0) for k, n in calls.items()}
        for own in ("info", "ping"):
            calls.pop(own, None)
        return ({k: n for k, n in calls.items() if n},
                *(b - a for a, b in zip(self.first[1], bytes_)))


def per(calls, n, least=0.001):
    return ", ".join("%s %.2f" % (k, c / n) for k, c in sorted(
        calls.items(), key=lambda i: -i[1]) if c / n >= least) or "none"


# --- without it nothing changes ---

def without(b):
    """The feature left out, built in and not used, used."""
    plain = os.environ.get("PLAIN")
    with b.server() as server:
        kinds = [("left out", plain, {})] if plain else []
        kinds += [("not used", executable(), {}),
                  ("used", executable(), {"sharedStore": server.url})]
        for n in (1000, 100000):
            for what, program, config in kinds:
                os.environ["XAPSD"] = program
                with b.daemon(n=n, **config) as daemon:
                    daemon.up()
                    if config:
                        in_step(daemon)
                        server.call("FLUSHALL")
                    b.row("%d registrations, %s: resident, private" % (
                        n, what), "%.0f, %.0f KiB" % (
                            resident(daemon.pid) / KIB,
                            private(daemon.pid) / KIB),
                          "/proc/PID/status VmRSS, RssAnon")
        for what, program, config in kinds:
            os.environ["XAPSD"] = program
            folder = b.folder / ("i-" + what.replace(" ", "-"))
            folder.mkdir()
            cost = per_push(folder, b.certs, b.far, identity=certificate,
                            **config)
            b.row("instructions per push, %s: ours, all" % what,
                  "%.0f, %.0f" % (sum(
                      c for m, c in cost.items() if m.endswith((".c", ".h"))),
                      sum(cost.values())),
                  "valgrind --tool=callgrind, 400 less 100 pushes; with "
                  "a certificate, since a JWT is made at any time")
        os.environ["XAPSD"] = kinds[-1][1]


# --- a notify ---

def one_block(asker, relay, first):
    """Medians in ms: to the answer, to the push on the wire."""
    answers, pushes = [], []
    next_at = time.monotonic()
    for i in range(BLOCK):
        next_at += 1 / PACED_PER_S
        time.sleep(max(0, next_at - time.monotonic()))
        out, begin = relay.out, time.monotonic_ns()
        asker.notify((first + i) % DEVICES)
        answers.append((time.monotonic_ns() - begin) / 1e6)
        wait_for(lambda: relay.out > out, "push", pause=0.00005)
        pushes.append((relay.out_ns - begin) / 1e6)
    return statistics.median(answers), statistics.median(pushes)


def notify(b):
    relays = Relay(b.far), Relay(b.far)
    with b.server() as server:
        pair = [
            b.daemon(relays[0], sharedStore=server.url), b.daemon(relays[1])]
        for d in pair:
            d.start().up()
        in_step(pair[0])
        askers = [Asker(d.port) for d in pair]
        answers, pushes = [], []
        for k in range(BLOCKS + 1):
            got = [None, None]
            for at in ((0, 1), (1, 0))[k % 2]:
                got[at] = one_block(askers[at], relays[at], k * BLOCK)
            if k:       # the first one warms up
                answers.append((got[0][0], got[1][0]))
                pushes.append((got[0][1], got[1][1]))
        counted = Counted(server)
        for i in range(200):
            out = relays[0].out
            askers[0].notify(i)
            wait_for(lambda: relays[0].out > out, "push", pause=0.0002)
        calls, _, _ = counted.since()
        how = "%d blocks of %d, in turn, 1 client at %d/s" % (
            BLOCKS, BLOCK, PACED_PER_S)
        for what, pairs in (("its answer", answers),
                            ("the push on the wire", pushes)):
            b.row("notify to %s: with, without" % what,
                  "%.3f, %.3f ms; ratio %s" % (
                      column(pairs, 0), column(pairs, 1), ratio(pairs)), how)
        b.row("messages per push (new mail)", per(calls, 200),
              "INFO commandstats, 200 pushes")
        for a in askers:
            a.close()
        for d in pair:
            d.stop()
    for r in relays:
        r.close()


# --- registrations ---

def register(b):
    number = 0
    for clients in CLIENTS:
        pairs, cpus = [], []
        with b.server() as server:
            pair = b.pair(server, n=0)
            for d in pair:
                d.start().up()
            in_step(pair[0])
            for k in range(ROUNDS):
                rates, spent = [0, 0], [0, 0]
                for at in ((0, 1), (1, 0))[k % 2]:
                    number += 1
                    before = cpu(pair[at].pid)
                    load = wrk(pair[at], "register.lua", clients, LOAD_S,
                               "new", number)
                    if at == 0:
                        in_step(pair[0])
                    rates[at] = load.requests / load.seconds
                    spent[at] = (cpu(pair[at].pid) - before) / load.requests
                pairs.append(tuple(rates))
                cpus.append(tuple(spent))
            how = "%d rounds in turn; %s" % (ROUNDS, load.command)
            b.row("registrations/s, %d clients: with, without" % clients,
                  "%.0f, %.0f; ratio %s" % (
                      column(pairs, 0), column(pairs, 1), ratio(pairs)), how)
            b.row("    CPU of the node per 1,000", "%.1f, %.1f ms" % (
                column(cpus, 0) * 1e6, column(cpus, 1) * 1e6),
                "/proc/PID/schedstat")
            for d in pair:
                d.stop()


def messages(b):
    with b.server() as server, \
            b.daemon(sharedStore=server.url, n=0) as node, \
            b.daemon(sharedStore=server.url, n=0) as other:
        in_step(node)
        in_step(other)
        for what, names in (("a new registration", ("INBOX", "Notes")),
                            ("a renewal", ("INBOX", "Notes")),
                            ("a change", ("INBOX",))):
            counted = Counted(server)
            for i in range(500):
                assert node.post_register(user(i), account(i), token(i), names,
                                          keep=True).status == 200
            in_step(node)
            calls, got, sent = counted.since()
            b.row("messages per %s" % what[2:], per(calls, 500),
                  "INFO commandstats, 500 of them, 2 nodes")
            b.row("    bytes to and from the server, per %s" % what[2:],
                  "%.0f, %.0f" % (got / 500, sent / 500),
                  "INFO stats total_net_*_bytes; 2 nodes hear it")
        wait_for(lambda: other.status()["registrations"] == 500, "the other")
        for nodes in ((node,), (node, other)):
            counted = Counted(server)
            for i in range(200):
                for n in nodes:
                    n.notify(user(i), events=["FlagsSet"], keep=True)
            for n in nodes:
                wait_for(lambda: n.metric("queue_length") == 0, "pushes")
            calls, got, sent = counted.since()
            b.row("messages per change of flags at %d node%s" % (
                len(nodes), "s" * (len(nodes) > 1)), per(calls, 200),
                "200 users; %.0f, %.0f bytes to and from the server" % (
                    got / 200, sent / 200))


# --- start and comparison ---

def memory_of_server(server):
    fields = dict(line.split(":", 1) for line in server.call(
        "INFO", "memory").splitlines() if ":" in line)
    return int(fields["used_memory"])


def timed(daemon):
    """(s from exec to the first answer, s to be in step, its CPU s)"""
    begin = time.monotonic()
    daemon.start()
    daemon.request("GET", "/healthz")
    answered = time.monotonic() - begin
    in_step(daemon)
    return answered, time.monotonic() - begin, cpu(daemon.pid)


def start_row(b, what, node, server, n):
    counted, before = Counted(server), cpu(server.process.pid)
    answered, took, spent = timed(node)
    calls, got, sent = counted.since()
    b.row("%d, %s: answers, in step after" % (n, what),
          "%.2f s, %.2f s" % (answered, took),
          "exec to GET /healthz; to \"in step\" in its log")
    b.row("    CPU of the node, of the server", "%.2f s, %.2f s" % (
        spent, cpu(server.process.pid) - before), "/proc/PID/schedstat")
    b.row("    bytes to and from the server", "%.1f, %.1f MB" % (
        got / 1e6, sent / 1e6), "INFO stats; %.0f, %.0f per registration" % (
            got / n, sent / n))
    b.row("    commands per 1,000 registrations", per(
        {k: c * 1000 for k, c in calls.items()}, n, 0.5),
        "INFO commandstats")
    b.row("    memory of the node: resident, private", "%.1f, %.1f MiB" % (
        resident(node.pid) / MIB, private(node.pid) / MIB),
        "%.0f B private per registration" % (private(node.pid) / n))


def start(b):
    big = (1000000,) if os.environ.get("BENCH_BIG") else ()
    for n in (100000,) + big:
        with b.server() as server:
            empty = memory_of_server(server)
            first = b.daemon(sharedStore=server.url, n=n)
            start_row(b, "first node, server empty", first, server, n)
            used = memory_of_server(server)
            b.row("    its file", "%.1f MB" % (
                first.database.stat().st_size / 1e6), "%.0f B per "
                "registration" % (first.database.stat().st_size / n))
            b.row("    memory of the server", "%.1f MiB" % (used / MIB),
                  "INFO used_memory; %.0f B per registration" % (
                      (used - empty) / n))
            second = b.daemon(sharedStore=server.url, n=0)
            start_row(b, "second node, its file empty", second, server, n)
            second.stop()
            start_row(b, "second node again", second, server, n)
            second.stop()
            first.stop()
            shutil.rmtree(first.folder)
            shutil.rmtree(second.folder)


PARTS = (without, notify, register, messages, start)


def main():
    if not server_program():
        sys.exit("no valkey-server or redis-server")
    only = os.environ.get("BENCH_ONLY", "").split(",")
    begin = time.monotonic()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="xb-"))
    b = SharedBench(folder)
    b.row("what", "figure", "how")
    print("|---|---|---|")
    try:
        for part in PARTS:
            if only == [""] or part.__name__ in only:
                part(b)
    finally:
        b.far.close()
        shutil.rmtree(folder, ignore_errors=True)
    print("%.0f s in total, load average %.1f"
          % (time.monotonic() - begin, os.getloadavg()[0]))


if __name__ == "__main__":
    main()
