"""Registers many devices side by side: one fsync serves all that wait for it,
so that a disk which others keep busy is not waited for thousands of times."""

import contextlib
import json
import socket

from xapsd import registration

CONNECTIONS = 50
TIMEOUT_S = 100


def request(user, account, token, mailboxes=("INBOX",)):
    body = json.dumps({**registration(user, account, token, mailboxes),
                       "MailboxesAcknowledged": True}).encode()
    return (b"POST /register HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body))


def register_many(daemon, devices):
    """devices: what request() takes, in no order.  What is sent over one
    connection, and its answers, fit into the sockets."""
    shares = [[] for _ in range(CONNECTIONS)]
    for i, device in enumerate(devices):
        shares[i % CONNECTIONS].append(request(*device))
    with contextlib.ExitStack() as stack:
        asked = []
        for share in filter(None, shares):
            s = stack.enter_context(socket.socket(socket.AF_UNIX))
            s.connect(daemon.socket_path)   # waits while too many do
            s.settimeout(TIMEOUT_S)
            s.sendall(b"".join(share))
            s.shutdown(socket.SHUT_WR)
            asked.append((s, len(share)))
        for s, n in asked:
            said = b"".join(iter(lambda: s.recv(65536), b""))
            assert said.count(b"HTTP/1.1 200 OK\r\n") == n, said[-300:]
