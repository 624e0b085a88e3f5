"""Nobody waits for somebody else: not for one user's storm, not for a brand
whose way to Apple is shut."""

import re
import socket

from h2.settings import SettingCodes

from apple import Answer
from phones import ACCOUNT, token
from test_brands import brands, by_name, start  # noqa: F401

STORM = 10000


def notification(user, event="FlagsSet"):
    body = '{"Username":"%s","Mailbox":"INBOX","Events":["%s"]}' % (
        user, event)
    return ("POST /notify HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d"
            "\r\n\r\n%s" % (len(body), body)).encode()


class Client:
    """Requests by the thousand over one connection, unhurried by answers."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.socket.setblocking(False)
        self.unsent, self.got = b"", b""

    def send(self, data):
        """Returns what does not fit any more."""
        self.unsent += data
        try:
            while self.unsent:
                self.unsent = self.unsent[self.socket.send(self.unsent):]
        except BlockingIOError:
            pass
        return self.unsent

    def count(self):
        """Answers so far."""
        try:
            self.got += self.socket.recv(1 << 20)
        except BlockingIOError:
            pass
        return self.got.count(b"HTTP/1.1 200")


def test_one_users_storm(start_xapsd, apple):
    """Ten thousand changes of flags, as fast as they go: everybody else's
    mail is seen to at once, and they are one push, not ten thousand."""
    xapsd = start_xapsd(delay="1s", loglevel="trace")
    xapsd.register("storm", ACCOUNT, token(0))
    for n in range(1, 21):
        xapsd.register("user%d" % n, ACCOUNT, token(n))
    storm = Client(xapsd.socket_path)
    others = [Client(xapsd.socket_path) for _ in range(20)]
    # all accepted, and the one that asks
    xapsd.wait_until(lambda: xapsd.status()["clients"] == 22, "all of them")
    waiting = notification("storm") * STORM
    with xapsd.stopped():
        log = xapsd.log_size()
        rest = storm.send(waiting)
        there = (len(waiting) - len(rest)) // len(notification("storm"))
        assert there > 300      # else this would show nothing
        for n, other in enumerate(others, 1):
            other.send(notification("user%d" % n, "MessageNew"))
    apple.wait(lambda: all(apple.to(token(n)) for n in range(1, 21)),
               "everybody's push")
    # in the order in which it took them: one of the storm's turns at most
    # before each of the others
    lines = re.findall(r"(?:trace http: \S+ \S+ -> (replied)|"
                       r"push: (user\d+): \S+ idle -> ready)",
                       xapsd.log(log))
    last = max(i for i, (_, user) in enumerate(lines) if user)
    assert lines[:last].count(("replied", "")) < 20 + 100, lines[:last]
    xapsd.wait_until(lambda: (storm.send(b""), storm.count())[1] == STORM,
                     "all answers", 60)
    first = apple.wait_for(1, token=token(0))[0]
    xapsd.wait_until(lambda: xapsd.status()["queue"] == 0, "rest")
    pushes = len(apple.to(token(0)))
    assert pushes <= 2 + (apple.to(token(0))[-1].at - first.at)
    assert xapsd.status()["notified"] == STORM + 20


def test_brand_that_is_not_answered(start, brands, apple):     # noqa: F811
    """All of its streams are taken, hundreds of its pushes wait: the other
    brand and the main credential go on, and in the end nothing is lost."""
    apple.change_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 10})
    brands.pem("a", "*@a.example")
    brands.token_key("b", "*@b.example")
    xapsd = start(pushTimeout="3s")
    for n in range(300):
        xapsd.register("u%d@a.example" % n, ACCOUNT, token(n), keep=True)
    xapsd.register("u@b.example", ACCOUNT, token(1000))
    xapsd.register("u", ACCOUNT, token(1001))
    of_a = {token(n) for n in range(300)}
    apple.script(None, lambda push: Answer(never=True)
                 if push.token in of_a else None)
    for n in range(300):
        xapsd.notify("u%d@a.example" % n, keep=True)
    apple.wait(lambda: sum(p.token in of_a for p in apple.pushes) >= 10,
               "its streams")
    for user, n in (("u@b.example", 1000), ("u", 1001)):
        for mailbox in range(3):
            before = len(apple.to(token(n)))
            assert xapsd.notify(user).status == 200
            apple.wait(lambda: len(apple.to(token(n))) > before, "push")
    assert by_name(xapsd)["a"]["queued"] >= 290
    xapsd.wait_until(lambda: by_name(xapsd)["b"]["queued"] == 0,
                     "the answer to b's last one")
    apple.unscript()
    apple.wait(lambda: all(
        any(p.answer and p.answer.status == 200 for p in apple.to(t))
        for t in of_a), "all of a's pushes", 60)
