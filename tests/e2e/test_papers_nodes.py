"""docs/nodes.md, walked as it is printed: its commands and files, in network
namespaces with a real Valkey or Redis, real Dovecots and a stand-in for Apple."""
import contextlib
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess

import pytest

import netns
from apple import Apple
from certs import cert_pem, key_pem
from dovecot import Dovecot, version, wait_for
from test_plugin import MAIL, command, kind
from valkey import executable as store_executable
from xapsd import ROOT, executable

PAPER = (ROOT / "docs/nodes.md").read_text()
IS_2_3 = version()[:2] == (2, 3)
ADDRESSES = {"mail1": "192.0.2.1", "mail2": "192.0.2.2", "mail3": "192.0.2.3",
             "store": "192.0.2.10"}
HOSTS = "127.0.0.1 localhost\n" + "".join(
    f"{a} {n}.example.org\n" for n, a in ADDRESSES.items()) + \
    f"{ADDRESSES['store']} api.push.test\n"     # Apple is on that machine
# README and docs/install.md have done this, for a machine without systemd.
INSTALLED = """
grep -q ^xapsd-mail: /etc/group || groupadd --system xapsd-mail
grep -q ^xapsd: /etc/passwd || useradd --system --user-group --groups xapsd-mail \
    --home-dir /var/lib/xapsd --shell /usr/sbin/nologin xapsd
install -d -o xapsd -g xapsd -m 700 /var/lib/xapsd
install -d -o xapsd -g xapsd -m 755 /run/xapsd
install -d -m 755 /etc/xapsd
install -o xapsd -g xapsd -m 600 /dev/null /etc/xapsd/xapsd.yaml
"""

pytestmark = pytest.mark.skipif(
    not store_executable(), reason="no valkey-server or redis-server")


# --- the paper ---

def section(title):
    return re.search(rf"^## {re.escape(title)}[^\n]*$(.*?)(?=^## |\Z)", PAPER,
                     re.M | re.S)[1]


def for_this_system(text):
    """As the paper says of Debian 12."""
    if "valkey" in store_executable():
        return text
    # not the scheme of an url
    return re.sub(r"valkey(?!s?://)", "redis", text)


def blocks(title):
    """(language, lines) of each block, in order; fenced ones are files."""
    found = []
    for m in re.finditer(r"^```\n(.*?)^```$|((?:^    \S[^\n]*\n)+)",
                         section(title), re.M | re.S):
        text = for_this_system(m[1] or m[2])
        lines = [line.strip() for line in text.splitlines()]
        is_yaml = all(re.fullmatch(r"[a-z]\w+: \S.*", x) for x in lines)
        found.append(("file" if m[1] else "yaml" if is_yaml else "shell",
                      lines))
    return found


def of_kind(title, kind):
    return [lines for k, lines in blocks(title) if k == kind]


# --- the machines ---

class Machine:
    """A network namespace with its own /etc, /run and /var/lib."""

    def __init__(self, name, number, lan, folder, stack):
        self.name, self.folder, self.stack = name, folder / name, stack
        self.ns = f"xn{os.getpid()}-{number}"
        self.daemons = {}
        self.folder.mkdir()
        self.folder.chmod(0o755)
        netns.ip("netns", "add", self.ns)
        stack.callback(netns.ip, "netns", "del", self.ns)
        self.plug_in(lan, number)
        self.root = self.make_root()
        stack.callback(self.stop_all)
        self.sh(f"printf %s {shlex.quote(HOSTS)} >/etc/hosts")

    def plug_in(self, lan, number):
        ends = f"xa{os.getpid()}-{number}", f"xb{os.getpid()}-{number}"
        netns.ip("link", "add", ends[0], "type", "veth", "peer", ends[1])
        netns.ip("link", "set", ends[0], "netns", lan)
        netns.ip("-n", lan, "link", "set", ends[0], "master", "br0", "up")
        netns.ip("link", "set", ends[1], "netns", self.ns)
        netns.ip("-n", self.ns, "link", "set", "lo", "up")
        netns.ip("-n", self.ns, "address", "add",
                 ADDRESSES[self.name] + "/24", "dev", ends[1])
        netns.ip("-n", self.ns, "link", "set", ends[1], "up")

    def make_root(self):
        """The process that holds the mounts."""
        mounts = ["mount --make-rprivate /"]
        for path in ("/etc", "/run", "/var/lib"):
            own = self.folder / path.replace("/", "-").strip("-")
            if path == "/etc":
                subprocess.run(["cp", "-a", path, own], check=True)
            else:
                own.mkdir()
            mounts.append(f"mount --bind {own} {path}")
        holder = subprocess.Popen(
            ["nsenter", f"--net=/var/run/netns/{self.ns}", "unshare", "-m",
             "sh", "-c", " && ".join(mounts) + " && echo && exec sleep 3600"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.stack.callback(holder.wait)
        self.stack.callback(holder.kill)
        assert holder.stdout.readline() == b"\n"
        return holder.pid

    def enter(self, net=True):
        return ["nsenter", "-t", str(self.root), "-m",
                *(["-n"] if net else [])]

    def sh(self, line):
        """One line of a shell, which must succeed; -> what it prints."""
        path = f"{self.folder.parent}/bin:{os.environ['PATH']}:/usr/sbin:/sbin"
        done = subprocess.run(
            [*self.enter(), "sh", "-euc", line], stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=60,
            env={**os.environ, "PATH": path})
        assert done.returncode == 0, (self.name, line, done)
        return done.stdout

    def walk(self, lines):
        """Commands of the paper; this is the part of systemd."""
        for line in lines:
            if line.startswith("systemctl restart "):
                self.restart(line.split()[2])
            else:
                self.sh(line)

    def restart(self, service):
        self.stop(service)
        run = {"xapsd": ["xapsd", "-c", "/etc/xapsd/xapsd.yaml"]}.get(service)
        if run is None:
            user = service.partition("-")[0]
            run = ["setpriv", f"--reuid={user}", f"--regid={user}",
                   "--clear-groups", service, f"/etc/{user}/{user}.conf",
                   "--daemonize", "no", "--supervised", "no", "--logfile", "",
                   "--pidfile", "", "--save", ""]
        else:
            run[0] = executable()
        log_path = self.folder / f"{service}.log"
        with open(log_path, "ab") as log:
            start = len(log_path.read_text())
            self.daemons[service] = subprocess.Popen(
                [*self.enter(), *run], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True)
        # systemd waits for each as long
        if service == "xapsd":
            wait_for(lambda: self.is_up(), what="xapsd")
        else:
            wait_for(lambda: "Ready to accept connections" in
                     log_path.read_text()[start:], what=service)

    def is_up(self):
        assert self.daemons["xapsd"].poll() is None, (
            self.folder / "xapsd.log").read_text()
        return subprocess.run(
            [*self.enter(), executable(), "-c", "/etc/xapsd/xapsd.yaml",
             "status"], capture_output=True).returncode == 0

    def stop(self, service, signo=signal.SIGTERM):
        process = self.daemons.pop(service, None)
        if process:
            process.send_signal(signo)
            process.wait(30)

    def stop_all(self):
        for service in list(self.daemons):
            self.stop(service)

    def status(self):
        return self.sh("xapsd status")

    def inside(self, fn, *args):
        return netns.inside_or_skip(self.ns, lambda: fn(*args))


class Site:
    def __init__(self, folder, certs, stack):
        netns.need("ip", "nsenter", "unshare", "setpriv", "useradd", "openssl")
        self.folder, self.certs, self.stack = folder, certs, stack
        (folder / "bin").mkdir()
        (folder / "bin/xapsd").symlink_to(executable())
        lan = f"xn{os.getpid()}-lan"
        netns.ip("netns", "add", lan)
        stack.callback(netns.ip, "netns", "del", lan)
        netns.ip("-n", lan, "link", "add", "br0", "type", "bridge")
        netns.ip("-n", lan, "link", "set", "br0", "up")
        self.machines = {
            name: Machine(name, i, lan, folder, stack)
            for i, name in enumerate(ADDRESSES)}
        self.store = self.machines["store"]
        self.nodes = [m for n, m in self.machines.items() if n != "store"]
        self.apple = stack.enter_context(self.store.inside(
            lambda: Apple(certs, host=ADDRESSES["store"])))

    def install_node(self, node):
        """As README has it, but Apple is ours."""
        for line in INSTALLED.replace("\\\n", "").strip().splitlines():
            node.sh(line)
        name = f"{node.name}.example.org"
        key, cert = self.certs.issuer.server([name], [])
        (node.folder / "mail.pem").write_bytes(cert_pem(cert))
        (node.folder / "mail.key").write_bytes(key_pem(key))
        node.sh(f"install -o xapsd -g xapsd -m 600 {self.certs.p8} "
                f"{self.certs.ca} {node.folder}/mail.pem "
                f"{node.folder}/mail.key /etc/xapsd/")
        self.configure(node, [
            "user: xapsd", "port: 0", "socketMode: 0666", "delay: 1s",
            f"keyFileP8: {pathlib.Path(self.certs.p8).name}",
            f"keyFileKeyId: {self.certs.key_id}",
            f"keyFileTeamId: {self.certs.team_id}",
            f"keyFileTopic: {self.certs.key_topic}",
            "apnsHost: api.push.test", f"apnsPort: {self.apple.port}",
            f"apnsCaFile: {pathlib.Path(self.certs.ca).name}"])
        node.restart("xapsd")

    @staticmethod
    def configure(node, lines):
        text = "".join(line + "\n" for line in lines)
        node.sh(f"printf %s {shlex.quote(text)} >>/etc/xapsd/xapsd.yaml")

    def set_up_store(self):
        """Section 1: commands, the file, commands."""
        name = for_this_system("valkey")
        self.store.sh(f"install -d -o {name} -g {name} /var/lib/{name}")
        first, (_, lines), last = blocks("1. The store")
        self.store.walk(first[1])
        conf = f"/etc/{name}/{name}.conf"
        self.store.sh(f"sed -i '/^bind /d; /^port /d' {conf}")
        text = "".join(line + "\n" for line in lines)
        self.store.sh(f"printf %s {shlex.quote(text)} >>{conf}")
        self.store.walk(last[1])

    def copy(self, node):
        """scp of section 2."""
        for name in ("store.crt", "xapsd.password"):
            source = self.store.folder / "etc" / for_this_system("valkey")
            shutil.copy(source / name, node.folder / "etc/xapsd" / name)

    def start_dovecot(self, node):
        """With the list of section 3, as it is printed for mail1."""
        lines = [x for f in of_kind(TITLES[2], "file") for x in f]
        key, = [x for x in lines if x.startswith(
            "xaps_config" if IS_2_3 else "xaps_url")]
        url = key.partition(" = url=" if IS_2_3 else " = ")[2]
        order = {"mail1": "mail2", "mail2": "mail1"}
        url = re.sub("mail2", lambda m: order[node.name] if
                     node.name == "mail2" else m[0], url)
        folder = self.folder / f"d-{node.name}"
        folder.mkdir()
        folder.chmod(0o755)
        ca = folder / "ca.pem"
        ca.write_bytes(pathlib.Path(self.certs.ca).read_bytes())
        ca.chmod(0o644)
        dovecot = Dovecot(folder, os.environ.get("PLUGIN",
                                                 ROOT / "build/plugin"),
                          {"url": url}, prefix=node.enter(net=False),
                          extra=f"ssl_client_ca_file = {ca}")
        self.stack.callback(dovecot.stop)
        node.inside(dovecot.start)
        return dovecot


TITLES = ("1. The store", "2. The nodes", "3. Dovecot", "4. Try it")


def in_step(node):
    return wait_for(lambda: re.search("Shared book +in step", node.status()),
                    what="same book at " + node.name)


@pytest.fixture
def site(workdir, certs):
    with contextlib.ExitStack() as stack:
        made = Site(workdir, certs, stack)
        yield made
        assert made.apple.problems() == []


def test_the_walk(site):
    mail1, mail2, _ = site.nodes
    for node in site.nodes:
        site.install_node(node)
    site.set_up_store()

    shell = of_kind(TITLES[1], "shell")
    for node in site.nodes:
        site.copy(node)
        node.walk(shell[0])
        site.configure(node, *of_kind(TITLES[1], "yaml"))
        site.configure(node, *of_kind(TITLES[2], "yaml"))
        node.walk(shell[1])
        in_step(node)

    dovecots = {n.name: site.start_dovecot(n) for n in (mail1, mail2)}

    def register():
        with dovecots["mail1"].imap("alice") as c:
            return c.cmd(command())[1]
    assert kind(mail1.inside(register)) == "OK"
    commands, = of_kind(TITLES[3], "shell")
    wait_for(lambda: "alice" in mail2.sh(commands[0]), what="alice at mail2")
    assert "Apple took it" in mail2.sh(commands[1])
    site.apple.wait_for(1)
    dovecots["mail2"].deliver("alice", MAIL)
    site.apple.wait_for(2)

    # a node is down: the next url
    mail1.stop("xapsd")
    dovecots["mail1"].deliver("alice", MAIL)
    site.apple.wait_for(3)
    dovecots["mail1"].wait_log("Warning: .*xaps: .*mail2.example.org.* answers")

    # the store is down: mail and health are not
    store = for_this_system("valkey-server")
    site.store.stop(store, signal.SIGKILL)
    wait_for(lambda: re.search("Shared book +away", mail2.status()),
             what="away")
    assert mail2.sh("curl -sf --unix-socket /run/xapsd/xapsd.sock "
                    "http://localhost/healthz").startswith("ok")
    dovecots["mail2"].deliver("alice", MAIL)
    site.apple.wait_for(4)
    mail1.restart("xapsd")

    # it has lost its data: the nodes fill it again
    site.store.restart(store)
    for node in site.nodes:
        in_step(node)
        assert "alice" in node.sh("xapsd list")


def test_the_rights_are_those_of_the_man_page():
    page = re.sub(r"\s+", " ", re.search(
        r"^user xapsd on (.*?)^\.Ed", (ROOT / "xapsd.8").read_text(),
        re.M | re.S)[1])
    rights = page.split("resetkeys", 1)[1].split()
    line, = [x for x in PAPER.splitlines() if "resetkeys" in x]
    assert line.split("resetkeys", 1)[1].split('"')[0].split() == rights
