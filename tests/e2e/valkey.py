"""A real Valkey or Redis server, and its Sentinel, as tests start them.

    with Valkey(folder) as server:
        server.call("SET", "a", "b")

VALKEY is the executable (default: valkey-server, else redis-server)."""

import os
import pathlib
import shutil
import socket
import subprocess
import time

from ports import free_port

START_S = 60
PASSWORD = "s3cret/ @:%"


def executable():
    return os.environ.get("VALKEY") or shutil.which("valkey-server") or \
        shutil.which("redis-server")


def has_channel_rights():
    """Redis has them since 6.2."""
    said = subprocess.run([executable(), "--version"], capture_output=True,
                          text=True).stdout
    return " v=6.0." not in said


class Refused(Exception):
    """An error that the server answered."""


class Client:
    """One connection, RESP2."""

    def __init__(self, where, timeout=START_S):
        if isinstance(where, int):
            self.sock = socket.create_connection(("127.0.0.1", where), timeout)
        else:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout)
            self.sock.connect(str(where))
        self.file = self.sock.makefile("rb")

    def close(self):
        self.file.close()
        self.sock.close()

    def call(self, *args):
        words = [str(a).encode() for a in args]
        self.sock.sendall(b"*%d\r\n" % len(words) + b"".join(
            b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
        return self.read()

    def read(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("closed")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise Refused(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"+":
            return rest.decode()
        n = int(rest)
        if n < 0:
            return None
        if kind == b"$":
            return self.file.read(n + 2)[:-2].decode()
        assert kind == b"*", line
        return [self.read() for _ in range(n)]


class Valkey:
    """unix: on a Unix socket only.  tls: the file of the certificate that it
    shows; then `port` is for TLS, and the tests use the Unix socket.  machine:
    where it runs (network.py).  Other words are lines of its configuration."""

    def __init__(self, folder, name="valkey", unix=False, tls=None, port=None,
                 sentinel=False, machine=None, address="127.0.0.1", **lines):
        self.folder = pathlib.Path(folder)
        self.name, self.sentinel = name, sentinel
        self.address = machine.address if machine else address
        self.wrap = machine.wrap if machine else []
        self.port = 0 if unix else port or free_port()
        self.path = self.folder / (name + ".sock")
        self.lines = [] if sentinel else [
            "save ''", "appendonly no", "dbfilename %s.rdb" % name,
            "repl-diskless-sync-delay 0", "repl-ping-replica-period 1"]
        self.lines += ["dir %s" % self.folder, "unixsocket %s" % self.path,
                       "bind %s" % self.address, "protected-mode no",
                       "logfile %s/%s.log" % (
                           self.folder, name)]
        if tls:
            self.lines += ["port 0", "tls-port %d" % self.port,
                           "tls-cert-file %s" % tls,
                           "tls-key-file %s" % tls,
                           "tls-auth-clients no"]
        else:
            self.lines += ["port %d" % self.port]
        for key, values in lines.items():
            for value in values if isinstance(values, list) else [values]:
                self.lines.append("%s %s" % (key.replace("_", "-"), value))
        self.process = None
        self.has_conf = False

    @property
    def url(self):
        return "valkey://%s:%d" % (self.address, self.port) if self.port else \
            "unix:%s" % self.path

    def start(self):
        conf = self.folder / (self.name + ".conf")
        if not self.has_conf:   # it may have written its own
            conf.write_text("".join(line + "\n" for line in self.lines))
            self.has_conf = True
        self.path.unlink(missing_ok=True)
        # of a replica: a server that was killed has lost everything
        (self.folder / (self.name + ".rdb")).unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [*self.wrap, executable(), str(conf), *(["--sentinel"] if self.sentinel
                                        else [])],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            start_new_session=True)
        end = time.monotonic() + START_S
        while True:
            try:
                self.call("PING")
                return self
            except Refused:
                return self
            except OSError:
                assert self.process.poll() is None, "ended: " + (
                    self.folder / (self.name + ".log")).read_text()
                assert time.monotonic() < end, "no answer from " + self.name
            time.sleep(0.01)

    def stop(self):
        """SIGKILL: nothing of it is to be kept."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    def call(self, *args):
        client = Client(self.path)
        try:
            return client.call(*args)
        finally:
            client.close()
