"""HTTP proxies for tests: Debian's tinyproxy and squid, and one that sends
what a script wants.

    with Tinyproxy(folder, login=("user", "password")) as proxy:
        ... proxy.url("user:password") ..."""

import contextlib
import grp
import os
import pathlib
import pwd
import socket
import subprocess
import threading
import time

from ports import bind_port, free_port

LIMIT_S = 30


class Server:
    """A program that listens on host:port.  wrap: a command that runs it
    elsewhere."""

    def __init__(self, folder, host="127.0.0.1", port=0, wrap=(), login=None,
                 allow=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(exist_ok=True)
        self.host, self.port = host, port or free_port()
        self.wrap, self.login, self.allow = list(wrap), login, allow

    @property
    def shown(self):
        return ("[%s]:%d" if ":" in self.host else "%s:%d") % (
            self.host, self.port)

    def url(self, login=None):
        return "http://%s%s" % (login + "@" if login else "", self.shown)

    def file(self, name, text):
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o644)
        return path

    def __enter__(self):
        self.log = self.folder / "proxy.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                self.wrap + self.command(), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + LIMIT_S
        while not self.listens():
            assert self.process.poll() is None and time.monotonic() < end, (
                self.log.read_text(errors="replace"))
            time.sleep(0.02)
        return self

    def listens(self):
        """By the kernel's table of its namespace: connecting would show up
        in its log."""
        wanted = ":%04X" % self.port
        for table in ("tcp", "tcp6"):
            with contextlib.suppress(OSError):
                with open("/proc/%d/net/%s" % (self.process.pid, table)) as f:
                    for line in f.readlines()[1:]:
                        local, _, state = line.split()[1:4]
                        if local.endswith(wanted) and state == "0A":
                            return True
        return False

    def __exit__(self, *exc):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Tinyproxy(Server):
    def command(self):
        lines = ["Port %d" % self.port, "Listen %s" % self.host,
                 "Timeout 600", "MaxClients 50"]
        if self.login:
            lines.append("BasicAuth %s %s" % self.login)
        if self.allow:
            lines.append("ConnectPort %d" % self.allow)
        return ["tinyproxy", "-d", "-c", str(
            self.file("tinyproxy.conf", "\n".join(lines) + "\n"))]


class Squid(Server):
    """hosts: a file of names, instead of a name server."""
    hosts = None

    def command(self):
        if os.geteuid() == 0:   # it becomes another user
            os.chown(self.folder, pwd.getpwnam("proxy").pw_uid,
                     grp.getgrnam("proxy").gr_gid)
        lines = ["http_port %s" % self.shown, "pid_filename none",
                 "pinger_enable off", "cache deny all",
                 "access_log stdio:%s/access.log" % self.folder,
                 "cache_log %s/cache.log" % self.folder,
                 "netdb_filename none", "coredump_dir none",
                 "shutdown_lifetime 0 seconds", "max_filedescriptors 256",
                 "cache_mem 1 MB", "memory_pools off",
                 "connect_timeout 5 seconds", "visible_hostname squid.test"]
        if self.hosts:
            lines += ["hosts_file %s" % self.hosts,
                      "dns_nameservers 127.0.0.1"]
        if self.login:
            made = subprocess.run(
                ["openssl", "passwd", "-apr1", "-stdin"], text=True,
                input=self.login[1], capture_output=True, check=True).stdout
            users = self.file("users", "%s:%s" % (self.login[0], made))
            lines += ["auth_param basic program /usr/lib/squid/basic_ncsa_auth"
                      " %s" % users, "auth_param basic children 1 startup=1",
                      "auth_param basic utf8 on",
                      "acl known proxy_auth REQUIRED",
                      "http_access deny !known"]
        if self.allow:
            lines += ["acl good port %d" % self.allow,
                      "http_access deny !good"]
        lines.append("http_access allow all")
        return ["squid", "-N", "-f", str(
            self.file("squid.conf", "\n".join(lines) + "\n"))]


class FakeProxy:
    """script(sock, request, n): speaks to the n-th client after its request
    was read; returns a socket to the server to carry bytes on with, or None to
    hang up.  Public: port, requests."""

    def __init__(self, script, host="127.0.0.1"):
        self.script = script
        self.sock = bind_port(host)
        self.port = self.sock.getsockname()[1]
        self.requests = []
        self.open = []

    def url(self, login=None):
        return "http://%s127.0.0.1:%d" % (login + "@" if login else "",
                                          self.port)

    def __enter__(self):
        self.sock.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc):
        for s in [self.sock, *self.open]:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.sock.accept()
                self.open.append(sock)
                threading.Thread(target=self._serve, args=(sock,),
                                 daemon=True).start()

    def _serve(self, sock):
        server = None
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            request = b""
            while b"\r\n\r\n" not in request:
                data = sock.recv(4096)
                if not data:
                    break
                request += data
            self.requests.append(request)
            server = self.script(sock, request, len(self.requests))
            if server is not None:
                self.open.append(server)
                threading.Thread(target=carry, args=(server, sock),
                                 daemon=True).start()
                carry(sock, server)
        sock.close()


def carry(a, b):
    with contextlib.suppress(OSError):
        while (data := a.recv(65536)):
            b.sendall(data)
    with contextlib.suppress(OSError):
        b.shutdown(socket.SHUT_WR)
