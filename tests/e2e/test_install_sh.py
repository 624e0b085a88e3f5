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

LIMIT_S = 60
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
            assert time.monotonic() < deadline
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
    """And a sysv-like init: it runs, is stopped for an upgrade, and is gone.  Its
    start is slow, and over when it can be asked and stopped."""
    m = machine(BUSYBOX, pid_1="init", more="""
        rm bin/setsid
        printf '#!/bin/sh\\nsleep 1; exec busybox setsid "$@"\\n' >bin/setsid
        chmod 755 bin/setsid
    """)
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
        assert time.monotonic() < deadline
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


def test_openwrt(machine, workdir):
    """Where procd is, which is a stand-in here: below /usr, by the package's own
    starter, whose configuration it is; no papers."""
    m = machine(BUSYBOX, more="""
        touch etc/openwrt_release sbin/procd; chmod 755 sbin/procd
        mkdir -p etc/config
        printf '#!/bin/sh\\n. "$1"; shift; echo "$1" >>/asked; "$1" 2>/dev/null\\n' \
            >etc/rc.common
        chmod 755 etc/rc.common
    """)
    m.install()
    assert m.run("cat", "/usr/share/xapsd/installed").split() == [
        "/etc/capabilities/", "/etc/capabilities/xapsd.json",
        "/etc/init.d/xapsd", "/usr/sbin/xapsd", "/usr/share/",
        "/usr/share/xapsd/", "/usr/share/xapsd/install.sh",
        "/usr/share/xapsd/installed", "/usr/share/xapsd/setup.sh"]
    assert "xapsd:x:7623:7623:" in m.run("cat", "/etc/passwd")
    assert m.run("cat", "/asked") == "enable\n"
    m.sh("echo mine >>/etc/config/xapsd; rm /asked")
    m.install()
    assert m.run("tail", "-n1", "/etc/config/xapsd") == "mine\n"
    m.install("--uninstall")
    m.sh("rm /asked /etc/config/xapsd")
    m.is_as_before()


# --- where it comes from ---

class Serving(http.server.SimpleHTTPRequestHandler):
    cut = ()    # names of which only half is sent, of the length that is told

    def log_message(self, *_):
        pass

    def copyfile(self, source, outputfile):
        data = source.read()
        if self.path.rpartition("/")[2] in self.cut:
            data = data[:len(data) // 2]
        outputfile.write(data)


@pytest.fixture
def serve(release):
    """The address of a server of a folder, by default the release."""
    with contextlib.ExitStack() as stack:
        def start(folder=release, cut=(), host="127.0.0.1"):
            handler = type("H", (Serving,), {"cut": cut})
            server = http.server.ThreadingHTTPServer(
                (host, free_port()), lambda *a: handler(*a, directory=folder))
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            stack.callback(lambda: (server.shutdown(), server.server_close(),
                                    thread.join()))
            return "http://%s:%d" % server.server_address[:2]
        yield start


# Of the overlay: without the one, the other is taken.
WITHOUT = "".join("    rm -f %s/{n}\n" % d for d in (
    "bin", "usr/bin", "usr/local/bin", "usr/sbin", "sbin"))


def without(*names):
    return "".join(WITHOUT.format(n=n) for n in names)


@pytest.mark.parametrize("tool, gone", [
    ("curl", ["wget"]), ("wget", ["curl"]), (None, ["curl", "wget"])])
def test_from_an_address(machine, serve, tool, gone):
    if tool and not shutil.which(tool):
        pytest.skip("no %s here" % tool)
    m = machine(more=without(*gone))
    url = serve()
    said = m.install(url + "/", ok=bool(tool))
    assert ("is installed" if tool else "neither curl nor wget") in said
    if not tool:
        assert "FOLDER" in said
        m.is_as_before()
        assert "is installed" in m.install("/dist")


def test_from_an_address_by_busybox(machine, serve):
    assert "is installed" in machine(BUSYBOX).install(serve())


def test_from_nowhere(machine):
    m = machine()
    for place in ("http://127.0.0.1:1/x", "/nowhere", "/etc"):
        said = m.install(place, ok=False)
        assert place in said and "Nothing was changed" in said
        m.is_as_before()


def test_piped(machine, serve, tmp_path):
    """As README says it: a folder that happens to hold a release is not meant,
    and what was cut off on its way does nothing."""
    m = machine()
    text = (ROOT / "release/install.sh").read_text()
    url = serve()
    address = re.search(r"^URL=(\S+)$", text, re.M)[1]
    (tmp_path / "x").write_text(text.replace(address, url))
    done = subprocess.run(m.command("sh", "-c", "cd /dist && exec sh"),
                          input=text, text=True, capture_output=True,
                          timeout=LIMIT_S)
    assert done.returncode and address.split("/")[2] in done.stderr
    m.is_as_before()
    lines = text.splitlines(keepends=True)
    assert lines[-1] == 'main "$@"\n'
    for cut in range(0, len(lines), 40):
        subprocess.run(m.command("sh", "-s", "/dist"), text=True,
                       input="".join(lines[:cut]), capture_output=True,
                       timeout=LIMIT_S)
    m.is_as_before()
    done = subprocess.run(m.command("sh"), input=text.replace(address, url),
                          text=True, capture_output=True, timeout=LIMIT_S)
    assert "is installed" in done.stdout, done.stderr


def test_http_is_noted(machine, serve):
    """By another name than this machine's own."""
    m = machine(more="    sed -i '1i127.0.0.1 mirror.example' etc/hosts\n")
    url = serve()
    said = m.install(url.replace("127.0.0.1", "mirror.example"))
    assert "https:// does" in said and "is installed" in said
    assert "https:// does" not in m.install(url)


# --- what is not whole ---

@pytest.mark.parametrize("name", [PROGRAM, FILES])
@pytest.mark.parametrize("tool", ["curl", "wget"])
def test_cut_off(machine, serve, name, tool):
    if not shutil.which(tool):
        pytest.skip("no %s here" % tool)
    m = machine(more=without({"curl": "wget", "wget": "curl"}[tool]))
    said = m.install(serve(cut=[name]), ok=False)
    assert "cannot fetch" in said or "cut off" in said
    m.is_as_before()


@pytest.mark.parametrize("spoil", [
    lambda f: (f / PROGRAM).write_bytes(b"<html>404</html>"),
    lambda f: (f / PROGRAM).write_bytes(b""),
    lambda f: (f / FILES).write_bytes((f / FILES).read_bytes()[:-1]),
    lambda f: (f / "SHA256SUMS").write_text(re.sub(
        r"^\w", lambda d: "1" if d[0] == "0" else "0",
        (f / "SHA256SUMS").read_text(), flags=re.M)),
    lambda f: (f / "SHA256SUMS").write_text(
        (f / "SHA256SUMS").read_text()[:30]),
    lambda f: (f / "SHA256SUMS").write_text("<html>not found</html>"),
    lambda f: (f / "SHA256SUMS").write_text(
        (f / "SHA256SUMS").read_text().replace("  x", "  ../x")),
    lambda f: (f / "SHA256SUMS").write_text(
        (f / "SHA256SUMS").read_text().replace(VERSION, VERSION + "9") +
        (f / "SHA256SUMS").read_text()),
    lambda f: (f / "SHA256SUMS").unlink(),
    lambda f: (f / PROGRAM).unlink()])
def test_spoilt(machine, release, tmp_path, spoil):
    m = machine()
    folder = m.root / "tmp/r"
    subprocess.run(["nsenter", "-t", str(m.pid), "-m", "cp", "-r", m.root /
                    "dist", folder], check=True)
    copy = tmp_path / "r"
    shutil.copytree(release, copy)
    spoil(copy)
    subprocess.run(["nsenter", "-t", str(m.pid), "-m", "sh", "-c",
                    "rm -rf %s && cp -r %s %s" % (folder, copy, folder)],
                   check=True)
    said = m.install("/tmp/r", ok=False)
    assert "Nothing was changed" in said, said
    m.sh("rm -r /tmp/r")
    m.is_as_before()


def test_dos_line_ends(machine, release, serve, tmp_path):
    """It was fetched by a browser elsewhere."""
    copy = tmp_path / "r"
    shutil.copytree(release, copy)
    sums_ = copy / "SHA256SUMS"
    sums_.write_bytes(sums_.read_bytes().replace(b"\n", b"\r\n"))
    assert "is installed" in machine().install(serve(copy))


@pytest.mark.parametrize("tool", ["shasum", "openssl", None])
def test_what_compares(machine, tool):
    tools = {"sha256sum", "shasum", "openssl"}
    if tool and not shutil.which(tool):
        pytest.skip("no %s here" % tool)
    m = machine(more=without(*(tools - {tool})))
    said = m.install(ok=bool(tool))
    assert ("is installed" if tool else "could not be verified") in said
    if not tool:
        m.is_as_before()


# --- what this machine does not let it do ---

def test_not_root(machine):
    m = machine()
    said = m.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                 "sh", "/dist/install.sh", ok=False)
    assert "sudo sh install.sh" in said
    m.is_as_before()


@pytest.mark.parametrize("args", [["--nonsense"], ["--uninstall", "x"], ["-u"]])
def test_usage(machine, args):
    said = machine().install(*args, ok=False)
    assert "install.sh --uninstall" in said


def test_help(machine):
    said = machine().install("--help")
    assert said.startswith("Installs xapsd") and "--uninstall" in said
    assert said.endswith("does the rest.\n")


@pytest.mark.parametrize("more", [-100, 4, 24, 80, 120])
def test_full_disk(machine, release, more):
    """Whichever file is the first that does not fit."""
    size = os.stat(release / PROGRAM).st_size // 1024 + more
    m = machine(more="    mount -t tmpfs -o size=%dk tmpfs usr/local\n" % size)
    said = m.install(ok=False)
    assert "cannot write /usr/local/" in said and "full" in said
    m.is_as_before()


def test_full_disk_at_an_upgrade(machine):
    """The old one goes on."""
    m = machine()
    m.install()
    m.sh("mount -o remount,size=$(du -sk /usr/local | cut -f1)k /usr/local")
    before = m.tree()
    assert "cannot write /usr/local/" in m.install(ok=False)
    assert m.tree() == before
    assert m.run("xapsd", "--version").startswith("xapsd " + VERSION)
    m.install("--uninstall")
    m.is_as_before()


def test_full_tmp(machine):
    m = machine()
    m.sh("mount -t tmpfs -o size=64k tmpfs /tmp")
    said = m.install(ok=False)
    assert "/tmp" in said and "Nothing was changed" in said
    m.is_as_before()
    m.install(TMPDIR="/var/lib")


def test_read_only(machine):
    m = machine()
    m.sh("mount -o remount,ro /usr/local")
    said = m.install(ok=False)
    assert "cannot write /usr/local/" in said and "read-only" in said
    m.is_as_before()
    m.sh("mount -o remount,rw /usr/local")
    m.install()
    before = m.tree()
    m.sh("mount -o remount,ro /usr/local")
    assert "cannot write /usr/local/" in m.install(ok=False)
    assert "read-only" in m.install("--uninstall", ok=False)
    assert m.tree() == before


def test_read_only_etc(machine):
    m = machine(BUSYBOX)
    m.sh("mkdir /etc/xapsd && rmdir /etc/xapsd; echo xapsd:x:77: >>/etc/group; "
         "echo xapsd-mail:x:78:xapsd >>/etc/group; mkdir -p /var/lib/xapsd; "
         "echo xapsd:x:77:77:x:/:/bin/false >>/etc/passwd; "
         "mount --bind /etc /etc && mount -o remount,bind,ro /etc")
    m.begin()
    said = m.install(ok=False)
    assert "cannot write" in said and "read-only" in said
    m.is_as_before()


def test_configuration_is_a_link(machine):
    """To where its administrator keeps it, which is not here at this moment."""
    m = machine(BUSYBOX)
    m.sh("mkdir /etc/xapsd; ln -s /mnt/xapsd.yaml /etc/xapsd/xapsd.yaml")
    m.install()
    assert m.run("readlink", "/etc/xapsd/xapsd.yaml") == "/mnt/xapsd.yaml\n"


def test_noexec_tmp(machine):
    m = machine()
    m.sh("mount -t tmpfs -o noexec tmpfs /tmp")
    assert "is installed" in m.install()


def test_noexec_target(machine):
    m = machine(more="    mount -o remount,noexec usr/local\n")
    assert "noexec" in m.install(ok=False)
    m.is_as_before()


@pytest.mark.parametrize("status, is_refused", [
    ("install ok installed", True), ("install ok unpacked", True),
    ("hold ok installed", True), ("deinstall ok config-files", False)])
def test_over_a_package(machine, status, is_refused):
    if not shutil.which("dpkg-query"):
        pytest.skip("no dpkg here")
    m = machine()
    m.sh("printf 'Package: xapsd\\nStatus: %s\\nMaintainer: x <x@x>\\n"
         "Architecture: all\\nVersion: 0.1\\nDescription: x\\n' "
         ">/var/lib/dpkg/status" % status)
    said = m.install(ok=not is_refused)
    if is_refused:
        assert "apt remove xapsd" in said and "package" in said
        m.is_as_before()


def test_after_a_package(machine):
    """A removed one has left its units masked."""
    if not shutil.which("systemctl"):
        pytest.skip("no systemctl here")
    m = machine()
    m.sh("cd /etc/systemd/system; d=/var/lib/systemd/deb-systemd-helper-masked; "
         "mkdir -p $d; for u in xapsd.service xapsd.socket; do "
         "ln -s /dev/null $u; touch $d/$u; done")
    m.install()
    assert m.sh("systemctl is-enabled xapsd.service xapsd.socket"
                ).split() == ["enabled"] * 2


@pytest.mark.parametrize("where", ["etc/systemd/system/xapsd.service",
                                   "lib/systemd/system/xapsd.service",
                                   "etc/init.d/xapsd"])
def test_over_another_daemon(machine, where):
    """Which would be started in the place of ours."""
    m = machine()
    m.sh("mkdir -p /%s; echo 'ExecStart=/usr/bin/xapsd' >/%s" % (
        where.rpartition("/")[0], where))
    m.begin()
    assert "starts another xapsd" in m.install(ok=False)
    m.is_as_before()
    # one's own unit for ours is
    m.sh("sed -i s,/usr/bin,/usr/local/sbin, /" + where)
    m.install()


def test_interrupted(machine, serve):
    """By whoever does not want to wait any more."""
    m = machine(more="""
        printf '#!/bin/sh\\nkill -TERM $PPID; sleep 0.1\\n' >usr/local/systemd-sysusers
        chmod 755 usr/local/systemd-sysusers
    """)
    m.sh("mkdir /usr/local/sbin; mv /usr/local/systemd-sysusers /usr/local/sbin")
    m.begin()
    m.install(ok=False)
    m.is_as_before()


def test_killed_before_it_is_switched_on(machine):
    """The next run goes on where the power failed."""
    m = machine(more="""
        mkdir usr/local/sbin
        printf '#!/bin/sh\\nexec 9<&-; kill -9 $PPID\\n' >usr/local/sbin/systemctl
        chmod 755 usr/local/sbin/systemctl
    """)
    m.begin()
    m.sh("sh /dist/install.sh & wait $! || :")
    m.sh("test -x /usr/local/sbin/xapsd && rm /usr/local/sbin/systemctl")
    m.sh("rm -r /tmp/tmp.*")
    assert "What is next" in m.install()
    assert m.sh("systemctl is-enabled xapsd.service xapsd.socket"
                ).split() == ["enabled"] * 2
    assert "What is next" not in m.install()
    m.install("--uninstall")
    assert m.tree() == m.before - {"/usr/local/sbin/systemctl"}


def test_a_package_takes_its_place(machine):
    """That came later, and whose units it has hidden."""
    m = machine()
    m.install()
    m.sh("""mkdir -p /lib/systemd/system; cd /usr/local/lib/systemd/system
        cp xapsd.service xapsd.socket /lib/systemd/system
        systemctl disable xapsd.socket""")
    assert "takes its place" in m.install("--uninstall")
    assert m.sh("systemctl is-enabled xapsd.service xapsd.socket",
                ok=None).split() == ["enabled", "disabled"]


def test_two_at_once(machine):
    m = machine()
    first = subprocess.Popen(m.command("flock", "-n", "/", "cat"), text=True,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with first:
        first.stdin.write("locked\n")
        first.stdin.flush()
        assert first.stdout.readline() == "locked\n"
        assert "another install.sh runs here" in m.install(ok=False)
    m.is_as_before()
    m.install()


def test_plain_su(machine):
    """It leaves PATH as it was, an ordinary user's."""
    m = machine()
    m.sh("""rm -f /usr/bin/systemd-sysusers
        for f in groupadd useradd usermod; do
            mv /usr/sbin/$f /opt/$f
            printf '#!/bin/sh\\necho %s >>/used; exec /opt/%s "$@"\\n' \\
                $f $f >/usr/sbin/$f
            chmod 755 /usr/sbin/$f
        done""")
    m.install(path="/usr/local/bin:/usr/bin:/bin")
    assert m.sh("sort -u /used").split() == ["groupadd", "useradd", "usermod"]


def test_no_link_is_followed(machine):
    """That user xapsd has laid, to have a file of root's given to him."""
    m = machine(BUSYBOX)
    m.install()
    m.sh("chown xapsd /etc/xapsd; rm /etc/xapsd/xapsd.yaml; echo x >/etc/kept; "
         "ln -s /etc/kept /etc/xapsd/xapsd.yaml.new")
    m.install()
    assert m.sh("cat /etc/kept; stat -c %U /etc/kept") == "x\nroot\n"


# --- which file ---

@pytest.mark.parametrize("uname, arch", [
    ("x86_64", "x86_64"), ("amd64", "x86_64"), ("i686", "i386"),
    ("i586", "i386"), ("aarch64", "aarch64"), ("arm64", "aarch64"),
    ("armv7l", "armv7"), ("armv8l", "armv7"), ("armv6l", "armel"),
    ("armv5tel", "armel"), ("riscv64", "riscv64"), ("ppc64le", "ppc64le")])
def test_which_machine(machine, uname, arch):
    m = machine(more="    mkdir usr/local/bin; printf '#!/bin/sh\\n[ \"$1\" = -m ] "
                "&& echo %s || echo Linux\\n' >usr/local/bin/uname; "
                "chmod 755 usr/local/bin/uname\n" % uname)
    if arch == ARCH:
        assert "is installed" in m.install()
        return
    said = m.install(ok=False)
    assert "no file for this machine, xapsd-VERSION-%s " % arch in said
    m.is_as_before()


# EI_CLASS and EI_DATA of /bin/sh: what the system's own programs are made for.
@pytest.mark.parametrize("uname, bits, data, arch", [
    ("x86_64", 1, 1, "i386"), ("aarch64", 1, 1, "armv7"),
    ("aarch64_be", 2, 2, "aarch64_be"), ("armv7l", 1, 1, "armv7"),
    ("mips", 1, 1, "mipsel"), ("mips", 1, 2, "mips"), ("mips64", 1, 2, "mips"),
    ("mips64", 2, 1, "mipsel"), ("riscv32", 1, 1, "riscv32")])
def test_which_of_two(machine, uname, bits, data, arch):
    """By the pieces of the script that look, /bin/sh being another file."""
    text = (ROOT / "release/install.sh").read_text()
    pieces = re.findall(r"^(?:say|die|byte)\(\) [^\n]*\n|^machine\(\) \{\n.*?^\}\n",
                        text, re.M | re.S)
    assert len(pieces) == 4
    m = machine()
    m.sh("printf '\\177ELF\\%03o\\%03o' >/tmp/sh" % (bits, data))
    script = "".join(pieces).replace("if=/bin/sh", "if=/tmp/sh")
    assert m.sh("uname() { [ $1 = -m ] && echo %s || echo Linux; }\n%s machine"
                % (uname, script)) == arch + "\n"


def test_another_system(machine):
    m = machine(more="    mkdir usr/local/bin; printf '#!/bin/sh\\necho FreeBSD\\n' "
                ">usr/local/bin/uname; chmod 755 usr/local/bin/uname\n")
    assert "this is FreeBSD" in m.install(ok=False)
    m.is_as_before()


def test_file_of_another_machine(machine, release, tmp_path, serve):
    """The name is right, and it does not run."""
    copy = tmp_path / "r"
    shutil.copytree(release, copy)
    (copy / PROGRAM).write_bytes(b"\x7fELF" + bytes(600))
    sums(copy)
    m = machine()
    said = m.install(serve(copy), ok=False)
    assert "does not run here" in said and "Nothing was changed" in said
    m.is_as_before()
