"""A name server of the tests' own, over UDP, which may say something else each
time it is asked.

    with NameServer(socket) as names:   # bound, perhaps in another namespace
        names["push.test"] = ["9.9.9.9", "2a00::9"]
        names["evil.test"] = lambda n: ["9.9.9.9"] if n == 0 else ["127.0.0.1"]

A function gets how often the name was asked for before, by type.  Names that it
does not know do not exist; asked: what it was asked for, as (name, type)."""

import contextlib
import ipaddress
import socket
import struct
import threading

A, AAAA = 1, 28
NXDOMAIN = 3


def parse(query):
    """Name, type, and the bytes of the question."""
    at, labels = 12, []
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode("ascii"))
        at += 1 + query[at]
    return (".".join(labels).lower(), struct.unpack_from(">H", query, at + 1)[0],
            query[12:at + 5])


class NameServer(dict):
    def __init__(self, sock):
        super().__init__()
        self.sock, self.asked = sock, []
        self.silent = False

    def __enter__(self):
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *exc):
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        self.thread.join(10)

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                query, peer = self.sock.recvfrom(512)
                if not query:
                    return
                if not self.silent:
                    self.sock.sendto(self.answer(query), peer)

    def answer(self, query):
        name, kind, question = parse(query)
        found = self.get(name)
        if callable(found):
            found = found(self.asked.count((name, kind)))
        self.asked.append((name, kind))
        records = [ipaddress.ip_address(a).packed for a in found or ()]
        records = [r for r in records if len(r) == (4 if kind == A else 16)
                   and kind in (A, AAAA)]
        flags = 0x8180 | (NXDOMAIN if found is None else 0)
        head = query[:2] + struct.pack(">HHHHH", flags, 1, len(records), 0, 0)
        return head + question + b"".join(
            struct.pack(">HHHIH", 0xc00c, kind, 1, 0, len(r)) + r
            for r in records)
