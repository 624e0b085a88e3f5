"""Free TCP ports."""
import itertools
import os
import random
import socket

# Below the kernel's ephemeral range, so that a port left for a moment is not
# given to a stranger.  Each worker of pytest-xdist has its own share and goes
# through it in turn: no port is given twice while a test may use it.
SHARES = 16
SHARE = 12000 // SHARES
FIRST = 20000 + SHARE * (int(os.environ.get(
    "PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % SHARES)
PORTS = itertools.cycle(range(FIRST, FIRST + SHARE))
for _ in range(random.randrange(SHARE)):
    next(PORTS)


def bind_port(host="127.0.0.1", port=0):
    """A bound socket, of this port or a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(200):
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port or next(PORTS)))
            return sock
        except OSError:
            sock.close()
            if port:
                raise
    raise OSError("no free port on " + host)


def free_port(host="127.0.0.1"):
    with bind_port(host) as sock:
        return sock.getsockname()[1]
