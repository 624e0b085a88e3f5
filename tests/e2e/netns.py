"""Namespaces of a test's own, mostly of the network, by iproute2 and util-linux."""
import ctypes
import os
import shutil
import subprocess
import threading

import pytest

CLONE_NEWNET = 0x40000000


class NotAllowed(Exception):
    """setns() is refused here."""


def need(*programs):
    """Skips where a test cannot make them, or its daemon not be in one."""
    if os.geteuid() != 0 or not all(map(shutil.which, programs)):
        pytest.skip("needs root, ip and util-linux")
    if os.environ.get("XAPSD_WRAP"):
        pytest.skip("runs under something else already")


def alone(*flags, first="true"):
    """The command that runs another one in namespaces of its own, after a
    shell's lines there."""
    if subprocess.run(["unshare", *flags, "true"], check=False,
                      stderr=subprocess.DEVNULL).returncode:
        pytest.skip("needs root, for a namespace")
    return ["unshare", *flags, "sh", "-c", first + ' && exec "$@"', "sh"]


def ip(*args):
    subprocess.run(["ip", *args], check=True, capture_output=True)


def inside(name, fn):
    """What fn returns in there: a thread may enter another namespace."""
    entered, made = [], []

    def run():
        with open("/var/run/netns/" + name) as ns:
            if ctypes.CDLL(None).setns(ns.fileno(), CLONE_NEWNET) == 0:
                entered.append(True)
                made.append(fn())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if not entered:
        raise NotAllowed("setns() is not allowed here")
    assert made
    return made[0]


def inside_or_skip(name, fn):
    try:
        return inside(name, fn)
    except NotAllowed as e:
        pytest.skip(str(e))


def wrap(name, hosts, resolv):
    """The command that runs another one in there, with these two files in the
    place of those of /etc."""
    script = ("mount --bind %s /etc/hosts && mount --bind %s /etc/resolv.conf "
              '&& exec "$@"' % (hosts, resolv))
    return ["nsenter", "--net=/var/run/netns/" + name, "unshare", "-m", "sh",
            "-c", script, "sh"]
