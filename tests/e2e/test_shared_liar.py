"""A shared store that answers what was not asked."""

import contextlib
import socket
import socketserver
import threading

import pytest

from phones import ACCOUNT, token
from xapsd import is_instrumented

TWO = b"*2\r\n-ERR first\r\n+second\r\n"
NESTED = b"*2\r\n*2\r\n$1\r\na\r\n:1\r\n_\r\n"
EMPTY = b"*0\r\n"
# Of what the node asks for, a good answer
GOOD = {
    b"HELLO": b"%1\r\n+server\r\n+valkey\r\n",
    b"INFO": b"$13\r\nrole:master\r\n\r\n",
    b"SCRIPT": b"$40\r\n" + b"0" * 40 + b"\r\n",
    b"SUBSCRIBE": b">3\r\n+subscribe\r\n+xaps:events\r\n:1\r\n",
    b"SCAN": b"*2\r\n$1\r\n0\r\n*1\r\n$8\r\nxaps:{a}\r\n",
    b"HGETALL": b"%0\r\n",
    b"EVALSHA": b":1\r\n",
    b"HGET": b"_\r\n",
    b"PTTL": b":100\r\n",
    b"SET": b"+OK\r\n",
    b"PING": b"+PONG\r\n",
}


class Liar(socketserver.ThreadingTCPServer):
    """Answers as GOOD has it but for what is in `lies`."""
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, lies):
        super().__init__(("127.0.0.1", 0), Talk)
        self.lies, self.told, self.talks = lies, 0, []
        self.url = "valkey://127.0.0.1:%d" % self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def hang_up(self):
        while self.talks:
            with contextlib.suppress(OSError):
                self.talks.pop().shutdown(socket.SHUT_RDWR)

    def __exit__(self, *exc):
        self.shutdown()
        self.server_close()


class Talk(socketserver.StreamRequestHandler):
    def words(self):
        line = self.rfile.readline()
        for _ in range(int(line[1:] or 0)):
            n = int(self.rfile.readline()[1:])
            yield self.rfile.read(n + 2)[:-2]

    def handle(self):
        self.server.talks.append(self.request)
        try:
            while words := list(self.words()):
                lie = self.server.lies.get(words[0])
                self.server.told += lie is not None
                self.wfile.write(lie or GOOD[words[0]])
        except (OSError, ValueError):   # the node has had enough
            pass


@pytest.mark.parametrize("lie", [TWO, NESTED, EMPTY])
@pytest.mark.parametrize("word", sorted(GOOD))
def test_lies(start_xapsd, word, lie):
    """It costs the connection at most."""
    lies = {word: lie}
    if word == b"PTTL":     # asked when somebody else has the claim
        lies[b"SET"] = b"_\r\n"
    with Liar(lies) as liar:
        xapsd = start_xapsd(sharedStore=liar.url)
        xapsd.register("alice", ACCOUNT, token(1))
        if word in (b"SET", b"PTTL"):
            xapsd.wait_until(
                lambda: xapsd.status()["shared"]["state"] == "in step",
                "the store")
            # who cannot push claims nothing
            xapsd.wait_until(lambda: xapsd.status()["apns"] == "connected",
                             "connection to Apple")
            xapsd.request("POST", "/notify", {
                "Username": "alice", "Mailbox": "INBOX",
                "Events": ["FlagsSet"]})
        if word not in (b"PING", b"SUBSCRIBE"):
            xapsd.wait_until(lambda: liar.told > 0, "lie")
        xapsd.register("bob", ACCOUNT, token(2))
        xapsd.run("check")
        xapsd.assert_alive()


def test_no_hello_before_the_log_in(start_xapsd):
    """Valkey 9, where HELLO is renamed: it is asked in RESP2 then."""
    with Liar({b"HELLO": b"-NOAUTH Authentication required.\r\n",
               b"AUTH": b"+OK\r\n", b"HGETALL": EMPTY,
               b"SUBSCRIBE": b"*3\r\n+subscribe\r\n+xaps:events\r\n:1\r\n",
               }) as liar:
        xapsd = start_xapsd(sharedStore=liar.url.replace("//", "//:pass@"))
        xapsd.wait_until(
            lambda: xapsd.status()["shared"]["state"] == "in step", "it all")


def test_lies_are_not_kept(start_xapsd):
    """A long answer to a short question."""
    lie = b"*60\r\n" + (b"$500000\r\n" + b"x" * 500000 + b"\r\n") * 60
    with Liar({b"INFO": lie}) as liar:
        xapsd = start_xapsd(sharedStore=liar.url)
        xapsd.wait_until(
            lambda: xapsd.status()["shared"]["state"] == "in step", "it all")
        if not is_instrumented():
            assert xapsd.rss_peak_kib() < 20 * 1024


def named(*words):
    return b"*%d\r\n" % len(words) + b"".join(
        b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


@pytest.mark.parametrize("lie", [
    b"*-1\r\n", b"_\r\n", EMPTY, named(b"127.0.0.1"), named(b"", b"1"),
    named(b"127.0.0.1", b"70000"), named(b"127.0.0.1", b"-5"), TWO, NESTED,
    named(b"h" * 1000000, b"6379"), named(*[b"1"] * 5000), b":5\r\n"],
    ids=range(12))
def test_lies_of_a_sentinel(start_xapsd, lie):
    """The first is what one says that has forgotten its master."""
    with Liar({}) as liar:
        _, port = liar.server_address
        good = named(b"127.0.0.1", b"%d" % port)
        liar.lies[b"SENTINEL"] = good
        xapsd = start_xapsd(sharedStore="valkey://", sharedMaster="mymaster",
                            sharedSentinels="127.0.0.1:%d" % port)

        def is_in_step():
            return xapsd.status()["shared"]["state"] == "in step"

        xapsd.wait_until(is_in_step, "the store")
        told = liar.told
        liar.lies[b"SENTINEL"] = lie
        liar.hang_up()
        xapsd.wait_until(lambda: liar.told > told, "lie")
        xapsd.wait_until(lambda: not is_in_step(), "the end of it")
        xapsd.register("alice", ACCOUNT, token(1))
        liar.lies[b"SENTINEL"] = good
        xapsd.wait_until(is_in_step, "the store again")
