"""Free TCP ports."""
import collections
import random
import socket

# Below the kernel's ephemeral range, so that a port left for a moment is not
# given to a stranger.
PORTS = range(20000, 32000)
# A port is given to one test only, of all that run side by side in this network:
# whoever has the Unix socket of its number.  So many are kept for the last ones.
CLAIMS = collections.deque(maxlen=64)


def claim_port():
    while True:
        port = random.choice(PORTS)
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind("\0xapsd-test-port-%d" % port)
        except OSError:
            claim.close()
            continue
        CLAIMS.append(claim)
        return port


def bind_port(host="127.0.0.1", port=0):
    """A bound socket, of this port or a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(200):
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port or claim_port()))
            return sock
        except OSError:
            sock.close()
            if port:
                raise
    raise OSError("no free port on " + host)


def free_port(host="127.0.0.1"):
    with bind_port(host) as sock:
        return sock.getsockname()[1]
