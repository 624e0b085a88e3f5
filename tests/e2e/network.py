"""Machines of a test's own in one network, each a namespace, and a router between
them that drops what it is told to: nobody hears of it, as when a cable breaks.

    with Network("a", "b") as net:
        net["a"].address, net["a"].wrap     # for what is to run there
        net.cut("a", "b")
        net.heal()
"""

import contextlib
import os
import subprocess

import pytest

import netns

NET = "198.18.%d.%d"    # RFC 2544: no real network


class Machine:
    def __init__(self, name, space, n):
        self.name, self.space = name, space
        self.address, self.gateway = NET % (n, 2), NET % (n, 1)
        self.wrap = ["nsenter", "--net=/var/run/netns/" + space]

    def inside(self, fn):
        return netns.inside_or_skip(self.space, fn)


class Network:
    def __init__(self, *names):
        netns.need("ip", "nsenter")
        self.router = "xr%d" % os.getpid()
        self.machines = {
            name: Machine(name, "x%s%d" % (name, os.getpid()), n)
            for n, name in enumerate(names, 1)}

    def __getitem__(self, name):
        return self.machines[name]

    def __enter__(self):
        try:
            netns.ip("netns", "add", self.router)
            for m in self.machines.values():
                self.connect(m)
            netns.inside(self.router, self.forward)
        except (OSError, subprocess.CalledProcessError,
                netns.NotAllowed) as e:
            self.__exit__()
            pytest.skip("no network namespaces here: %s" % e)
        return self

    def connect(self, m):
        netns.ip("netns", "add", m.space)
        netns.ip("link", "add", "eth0", "netns", m.space, "type", "veth",
                 "peer", "name", m.name, "netns", self.router)
        for space, device, address in ((m.space, "eth0", m.address),
                                       (self.router, m.name, m.gateway)):
            netns.ip("-n", space, "addr", "add", address + "/24", "dev",
                     device)
            netns.ip("-n", space, "link", "set", "dev", device, "up")
        netns.ip("-n", m.space, "link", "set", "lo", "up")
        netns.ip("-n", m.space, "route", "add", "default", "via", m.gateway)

    @staticmethod
    def forward():
        with open("/proc/sys/net/ipv4/ip_forward", "w") as f:
            f.write("1")

    def __exit__(self, *exc):
        for space in (self.router, *(m.space for m in
                                     self.machines.values())):
            with contextlib.suppress(OSError, subprocess.CalledProcessError):
                netns.ip("netns", "del", space)

    # --- what is broken ---

    def cut(self, these, those):
        """Between each of these and each of those; names, one a letter or
        word."""
        for a in these:
            for b in those:
                for x, y in ((a, b), (b, a)):
                    netns.ip("-n", self.router, "rule", "add", "pref", "100",
                             "from", self[x].address, "to", self[y].address,
                             "blackhole")

    def heal(self):
        with contextlib.suppress(subprocess.CalledProcessError):
            while True:     # until there is none
                netns.ip("-n", self.router, "rule", "del", "pref", "100")
