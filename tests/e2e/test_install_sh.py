"""install.sh of a release, by root, on machines that are namespaces: this system's
own files under an overlay that forgets, and one with nothing but busybox."""

import contextlib
import hashlib
import http.server
import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest

from ports import free_port
from xapsd import ROOT, executable

LIMIT_S = 6
VERSION = re.search(r"^VERSION = (\S+)$", (ROOT / "Makefile").read_text(),
                    re.M)[1]
ARCH = {"x86_64": "x86_64", "aarch64": "aarch64", "i686": "i386",
        "riscv64": "riscv64"}.get(os.uname().machine)
PROGRAM = "xapsd-%s-%s" % (VERSION, ARCH)
FILES = "xapsd-%s-files.tar.gz" % VERSION
SHARE = "/usr/local/share/"
LIST = SHARE + "xapsd/installed"
# What stays: the user, and what is his.
KEPT = re.compile(r"/(etc/(passwd|group|shadow|gshadow|subuid|subgid)\b.*|"
                  r"(etc|var/lib)/xapsd(/.*)?|etc/\.pwd\.lock|"
                  r"etc|var|var/lib)")

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or ARCH is None or bool(os.environ.get("XAPSD_WRAP")),
    reason="needs root, and one of the machines that are released for")


def sums(folder):
    (folder / "SHA256SUMS").write_text("".join(
        "%s  %s\n" % (hashlib.sha256(p.read_bytes()).hexdigest(), p.name)
        for p in sorted(folder.iterdir()) if p.name != "SHA256SUMS"))


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """A release for this machine alone."""
    folder = tmp_path_factory.mktemp("release")
    dist = folder / "dist"
    environment = {k: v for k, v in os.environ.items()
                   if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "BUILD")}
    subprocess.run(
        ["make", "-s", "-C", ROOT, "release-files", "DIST=%s" % dist,
         "FILES=%s" % (folder / "files")], check=True, env=environment)
    shutil.copy(executable(), dist / PROGRAM)
    sums(dist)
    return dist


class Machine:
    """A root of its own, in namespaces that end with it."""

    def __init__(self, workdir, release, fill, is_overlay, pid_1):
        self.is_overlay = is_overlay
        self.workdir, self.top = workdir, workdir / "m"
        self.root = self.top / "root"
        self.top.mkdir()
        init = workdir / pid_1
        init.write_text("#!/bin/sh\nsleep 1000 &\nwait\n")    # for all that end
        init.chmod(0o755)
        ready = workdir / "ready"
        script = workdir / "fill.sh"
        script.write_text("""set -e
            mount -t tmpfs -o mode=755 tmpfs %(top)s
            mkdir %(top)s/upper %(top)s/work %(top)s/root
            cd %(top)s/root
            %(fill)s
            cd %(top)s/root
            mkdir -p proc dev tmp run dist
            mount -t proc proc proc
            mount --rbind /dev dev
            mount -t tmpfs -o mode=1777 tmpfs tmp
            mount -t tmpfs -o mode=755 tmpfs run
            mount --bind %(release)s dist
            touch %(ready)s
            exec %(init)s
            """ % {"top": self.top, "fill": fill, "release": release,
                   "ready": ready, "init": init})
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh",
             script], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        deadline = time.monotonic() + LIMIT_S
        while not ready.exists():
            if self.holder.poll() is not None:
                pytest.skip("no overlay and namespaces here: %s" %
                            self.holder.stderr.read().decode())
            assert time.monotonic() < deadline, condition()
            time.sleep(0.01)
        self.pid = int(pathlib.Path("/proc/%d/task/%d/children" % (
            (self.holder.pid,) * 2)).read_text())

    def close(self):
        self.holder.kill()
        self.holder.wait()
        self.holder.stderr.close()

    def command(self, *words, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:"
                "/usr/bin:/sbin:/bin", **environment):
        return ["nsenter", "-t", str(self.pid), "-m", "-p", "chroot", self.root,
                "env", "-i", "PATH=" + path,
                *("%s=%s" % pair for pair in environment.items()), *words]

    def run(self, *words, ok=True, **options):
        """What it says; whether it succeeds is as expected."""
        done = subprocess.run(
            self.command(*words, **options), text=True, timeout=LIMIT_S,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        assert ok is None or (done.returncode == 0) == ok, done.stdout
        return done.stdout

    def sh(self, lines, **options):
        return self.run("sh", "-ec", lines, **options)

    def install(self, *args, shell=("sh",), script="/dist/install.sh",
                **options):
        return self.run(*shell, script, *args, **options)

    def is_serving(self):
        return "no credentials" in self.run("xapsd", "status", ok=None)

    def begin(self):
        self.before = self.tree()

    def tree(self):
        """What is there, but for KEPT; of an overlay what differs from below."""
        def found(where, *options):
            out = subprocess.run(
                ["nsenter", "-t", str(self.pid), "-m", "find", where, "-xdev",
                 *options, "-printf", "/%P\n"], check=True, text=True,
                stdout=subprocess.PIPE).stdout.splitlines()
            return {name for name in out if not KEPT.fullmatch(name)}
        if not self.is_overlay:
            return found(self.root)
        upper = self.top / "upper"
        return {*found(upper, "!", "-type", "d"),
                *(d for d in found(upper, "-type", "d") if not os.path.isdir(d)),
                *("/usr/local" + n for n in found(self.root / "usr/local"))}

    def is_as_before(self):
        assert self.tree() == self.before
        assert self.sh("ls -A /tmp") == ""


# This system; without what may be installed on it.
OVERLAY = """
    mount -t overlay overlay -o lowerdir=/,upperdir=%s/upper,workdir=%s/work .
    cd ../root
    mount -t tmpfs tmpfs var/lib/dpkg
    mkdir var/lib/dpkg/info var/lib/dpkg/updates
    touch var/lib/dpkg/status
    mount -t tmpfs tmpfs usr/local
    rm -rf etc/xapsd var/lib/xapsd etc/init.d/xapsd
    rm -f lib/systemd/system/xapsd.* etc/systemd/system/xapsd.*
    rm -f etc/systemd/system/*.wants/xapsd.*
    sed -i '/^xapsd/d' etc/passwd etc/group
    sed -i 's/,xapsd$//; s/:xapsd$/:/' etc/group
"""

# No shell but its own, no useradd, curl, openssl, dpkg; as libraries only those
# of busybox and of the daemon, whose build may need some.
BUSYBOX = """
    mkdir -p bin sbin usr/sbin usr/bin usr/local etc/init.d var/lib lib
    for f in $(command -v busybox) %s; do
        ldd "$f" 2>/dev/null | grep -o '/[^ ]*'
    done | sort -u | while read -r lib; do
        mkdir -p ".${lib%%/*}"
        cp -L "$lib" ".$lib"
    done
    cp "$(command -v busybox)" bin/busybox
    chroot . /bin/busybox --install -s /bin
    echo 'root:x:0:0:root:/root:/bin/sh' >etc/passwd
    echo 'root:x:0:' >etc/group
    echo 'root:*:::::::' >etc/shadow
"""


@pytest.fixture
def machine(workdir, release):
    """Makes one, of a kind."""
    made = []

    def make(kind=OVERLAY, pid_1="other", more=""):
        fill = kind % ((workdir / "m",) * 2 if kind is OVERLAY
                       else executable())
        made.append(Machine(workdir, release, fill + more, kind is OVERLAY,
                            pid_1))
        made[0].begin()
        return made[0]
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: [m.close() for m in made])
        yield make


# --- installing, upgrading, removing ---

@pytest.mark.parametrize("shell", [["dash"], ["bash"], ["busybox", "ash"]],
                         ids=lambda s: s[-1])
def test_install_upgrade_uninstall(machine, release, shell):
    if not shutil.which(shell[0]) or not shutil.which("systemctl"):
        pytest.skip("no %s or no systemctl here" % shell[0])
    m = machine()
    said = m.install(shell=shell)
    assert "xapsd %s is installed." % VERSION in said
    assert "What is next" in said and "xapsd check" in said
    inside = subprocess.run(
        ["tar", "-tzf", release / FILES], check=True, text=True,
        stdout=subprocess.PIPE).stdout.split()
    for name in inside:
        if name.startswith("usr/local/"):
            m.run("test", "-f", "/" + name)
    assert m.run("xapsd", "--version").startswith("xapsd " + VERSION)
    assert m.sh("stat -c '%a %U %G' /etc/xapsd/xapsd.yaml /etc/xapsd "
                "/var/lib/xapsd /usr/local/sbin/xapsd /usr/local/share/man/man8/*"
                ).splitlines() == [
        "600 xapsd xapsd", "750 root xapsd", "700 xapsd xapsd", "755 root root",
        "644 root root"]
    assert set(m.run("id", "-Gn", "xapsd").split()) == {"xapsd", "xapsd-mail"}
    assert m.sh("systemctl is-enabled xapsd.service xapsd.socket"
                ).split() == ["enabled"] * 2
    assert "/usr/local/sbin/xapsd -c" in m.sh(
        "cat /usr/local/lib/systemd/system/xapsd.service")
    listed = m.run("cat", LIST).split()
    new = {p for p in m.tree() - m.before if not p.startswith("/etc/systemd")}
    assert {p.rstrip("/") for p in listed} == new

    # again: what the administrator has changed stays, what went goes
    m.sh("echo 'topic: mine' >>/etc/xapsd/xapsd.yaml; chmod 640 /etc/xapsd/*; "
         "systemctl disable xapsd.socket; echo old >%sdoc/xapsd/gone.md; "
         "echo %sdoc/xapsd/gone.md >>%s; rm %sdoc/xapsd/README.md"
         % (SHARE, SHARE, LIST, SHARE))
    said = m.install(shell=shell)
    assert "is installed" in said and "What is next" not in said
    assert "topic: mine" in m.run("cat", "/etc/xapsd/xapsd.yaml")
    assert m.sh("stat -c %a /etc/xapsd/xapsd.yaml") == "640\n"
    assert "disabled" in m.sh("systemctl is-enabled xapsd.socket", ok=False)
    assert m.run("cat", LIST).split() == listed

    # its own copy knows how to remove it
    said = m.install("--uninstall", shell=shell,
                     script=SHARE + "xapsd/install.sh")
    assert "/etc/xapsd" in said
    m.is_as_before()
    assert "topic: mine" in m.run("cat", "/etc/xapsd/xapsd.yaml")
    m.run("test", "-d", "/var/lib/xapsd")
    assert "was installed by this script" in m.install(
        "--uninstall", shell=shell, ok=False)


def test_busybox_alone(machine):
    """And a sysv-like init: it runs, is stopped for an upgrade, and is gone."""
    m = machine(BUSYBOX, pid_1="init")
    said = m.install()
    assert "next start: no update-rc.d" in said and "installed" in said
    assert set(m.run("id", "-Gn", "xapsd").split()) == {"xapsd", "xapsd-mail"}
    status = m.sh("/etc/init.d/xapsd status")
    first = re.search(r"process (\d+)", status)[1]
    until(m.is_serving)
    assert m.sh("stat -c %%U /proc/%s" % first) == "xapsd\n"
    assert "is installed" in m.install()
    second = re.search(r"process (\d+)", m.sh("/etc/init.d/xapsd status"))[1]
    assert second != first
    until(m.is_serving)
    m.install("--uninstall")
    m.sh("! pidof xapsd")
    m.is_as_before()


def until(condition):
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, condition()
        time.sleep(0.05)


def test_while_it_runs(machine):
    """Its file is in use: what runs goes on with it."""
    m = machine()
    m.install()
    daemon = subprocess.Popen(
        m.command("xapsd", "-c", "/etc/xapsd/xapsd.yaml", "--socketGroup=root",
                  "--socketPath=/run/x.sock", "--databaseFile=/run/x.db"),
        stderr=subprocess.PIPE)
    try:
        until(lambda: m.sh("ls /run", ok=None).find("x.sock") >= 0)
        before = m.sh("stat -c %i /usr/local/sbin/xapsd")
        m.install()
        assert m.sh("stat -c %i /usr/local/sbin/xapsd") != before
        assert daemon.poll() is None
    finally:
        # the chroot and the daemon are one process, nsenter's child
        m.sh("kill $(pidof xapsd)")
        assert daemon.wait(LIMIT_S) == 0
        daemon.stderr.close()


@pytest.mark.parametrize("config", [None, "port: 0\n"])
def test_over_what_is_there(machine, config):
    """User, configuration, half of the groups."""
    m = machine(BUSYBOX)
    m.sh("echo xapsd:x:7624: >>/etc/group; mkdir /etc/xapsd; "
         "echo xapsd:x:7:7624:x:/:/bin/false >>/etc/passwd; "
         "echo xapsd-mail:x:50:other >>/etc/group")
    if config:
        m.sh("echo '%s' >/etc/xapsd/xapsd.yaml" % config.strip())
    m.install()
    assert set(m.run("id", "-Gn", "xapsd").split()) == {"xapsd", "xapsd-mail"}
    text = m.run("cat", "/etc/xapsd/xapsd.yaml")
    assert text == config if config else "socketGroup: xapsd-mail" in text
