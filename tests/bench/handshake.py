#!/usr/bin/python3
"""Prints what it costs to connect to Apple over TLS 1.3:
    handshake.py FILE [OTHER]
FILE and OTHER are static executables (make static) for one machine; with OTHER the
ratios FILE / OTHER, too.

`xapsd check` does what a start does: it reads the credentials, connects, and sends
one push, for which a token key signs a JWT.  The same without a server to connect
to is what reading the credentials costs; the difference is the handshake.  The
server has a chain as Apple's, of two certificates below a root, RSA-2048 or ECDSA
(P-256, its CAs P-384).  A daemon that has lost its connection resumes the session.

Instructions are counted under qemu-user with insns.c.  For this machine also CPU
times, of many runs of both in turn."""

import contextlib
import os
import pathlib
import resource
import shutil
import statistics
import sys
import tempfile

import far      # finds what e2e has
from cryptography.hazmat.primitives.asymmetric import ec

from apple import Apple
from certs import CA, Certs, cert_pem, ec_key, key_pem, rsa_key, write
from qemu import instructions, machine, plugin, runs_here
from xapsd import Xapsd, certificate, token_key

RUNS = int(os.environ.get("HANDSHAKES", "60"))  # of each, for the CPU time
RECONNECTS = 5
IDENTITIES = (("token key", token_key), ("RSA-2048 certificate", certificate))
KINDS = (("RSA", rsa_key, rsa_key),
         ("ECDSA", ec_key, lambda: ec_key(ec.SECP384R1)))


def server(folder, certs, kind, make_key, make_ca_key):
    """A stand-in for Apple with a chain of two certificates, and the file of its
    root."""
    root = CA("root", key=make_ca_key())
    middle = CA("intermediate", parent=root, key=make_ca_key())
    key, cert = middle.server(key=make_key())
    chain = write(folder / (kind + ".pem"), cert_pem(cert),
                  cert_pem(middle.cert), key_pem(key))
    return (Apple(certs, server=chain),
            write(folder / (kind + "-root.pem"), cert_pem(root.cert)))


class Handshakes:
    """With servers of all kinds, until close()."""

    def __init__(self, folder):
        self.folder, self.stack = folder, contextlib.ExitStack()
        (folder / "certs").mkdir(parents=True)
        self.certs = Certs(str(folder / "certs"))
        plugin(folder)
        self.servers = {}
        for kind, *keys in KINDS:
            apple, ca = server(folder, self.certs, kind, *keys)
            self.servers[kind] = self.stack.enter_context(apple), ca

    def close(self):
        self.stack.close()

    def check(self, identity, kind):
        """Up to Apple's answer; kind None: up to a port where nobody is."""
        apple, ca = self.servers[kind] if kind else (None, self.certs.ca)
        run = Xapsd(self.folder, self.certs, apple=apple, identity=identity,
                    apnsCaFile=ca).run("check")
        if kind and "TLSv1.3" not in run.stdout:
            raise SystemExit("no TLS 1.3:\n" + run.stdout + run.stderr)

    def lose(self, kind, times):
        """A daemon's connection is lost so often."""
        apple, ca = self.servers[kind]
        apple.resumed = 0
        with Xapsd(self.folder, self.certs, apple=apple,
                   apnsCaFile=ca) as daemon:
            for n in range(times):
                daemon.wait_log(r"connected to(.|\n)*" * (n + 1))
                apple.drop_all()
            daemon.wait_log(r"connected to(.|\n)*" * (times + 1))
        if apple.resumed != times:
            raise SystemExit("not resumed:\n" + daemon.log())

    def million(self, path, run):
        return instructions(path, self.folder, run) / 1e6

    def reading(self, path, identity):
        return self.million(path, lambda: self.check(identity, None))

    def whole(self, path, identity, kind):
        return self.million(path, lambda: self.check(identity, kind))

    def handshake(self, path, identity, kind):
        return self.whole(path, identity, kind) - self.reading(path, identity)

    def resumption(self, path):
        none, some = (self.million(path, lambda n=n: self.lose("RSA", n))
                      for n in (0, RECONNECTS))
        return (some - none) / RECONNECTS

    def cpu_ms(self, path, identity, kind):
        os.environ["XAPSD"] = str(path)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.check(identity, kind)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (after.ru_utime + after.ru_stime -
                before.ru_utime - before.ru_stime) * 1e3


def row(what, figures, form):
    ratio = "%.2f" % (figures[0] / figures[1]) if len(figures) == 2 else ""
    print("| %s | %s | %s |" % (
        what, " | ".join(form % f for f in figures), ratio), flush=True)


def rows(h, paths):
    for name, identity in IDENTITIES:
        reading = [h.reading(p, identity) for p in paths]
        row(name + ": reading it, million instructions", reading, "%.1f")
        for kind, *_ in KINDS:
            what = "%s, %s server: " % (name, kind)
            row(what + "handshake, million instructions",
                [h.whole(p, identity, kind) - r
                 for p, r in zip(paths, reading)], "%.1f")
            if runs_here(paths[0]):
                times = [[h.cpu_ms(p, identity, kind) for p in paths]
                         for _ in range(RUNS)]
                row(what + "both, CPU ms",
                    [statistics.median(c) for c in zip(*times)], "%.1f")
    row("token key, RSA server: resumption, million instructions",
        [h.resumption(p) for p in paths], "%.1f")


def main():
    paths = [pathlib.Path(p).resolve() for p in sys.argv[1:]]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="xb-"))
    h = Handshakes(folder / "handshakes")
    print("| %s | %s | ratio |\n%s|" % (
        machine(paths[0]), " | ".join(sys.argv[1:]),
        "|---" * (2 + len(paths))))
    try:
        rows(h, paths)
    finally:
        h.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
