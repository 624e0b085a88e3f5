"""Nothing that waits is lost over a stop and a start."""

import time

from phones import ACCOUNT, TOKEN, token


def test_waiting_while_apple_is_away(xapsd, apple):
    for n in range(5):
        xapsd.register("u%d" % n, ACCOUNT, token(n), ["INBOX", "Notes"])
    apple.go_away()
    for n in range(5):
        assert xapsd.notify("u%d" % n).status == 200
        assert xapsd.notify("u%d" % n, "Notes").status == 200
    xapsd.stop()
    apple.come_back()
    xapsd.start()
    pushes = apple.wait_for(5)
    assert {p.token for p in pushes} == set(map(token, range(5)))
    assert all(len(p.aps["m"]) == 2 for p in pushes)
    # Sent once: another stop and start sends nothing.
    xapsd.restart()
    xapsd.notify("u0")
    apple.wait_for(2, token=token(0))
    assert len(apple.pushes) == 6


def test_delayed_are_sent_before_the_end(xapsd, apple):
    """A run of flag changes is not over yet: the push goes out early."""
    xapsd.register("alice", ACCOUNT, TOKEN)
    xapsd.wait_log("apns: connected to")
    assert xapsd.notify("alice", events=["FlagsSet"]).status == 200
    xapsd.stop()
    apple.wait_for(1)


def test_stopping_does_not_wait_for_an_absent_apple(xapsd, apple):
    xapsd.register("alice", ACCOUNT, TOKEN)
    apple.go_away()
    xapsd.notify("alice")
    began = time.monotonic()
    xapsd.stop()
    assert time.monotonic() - began < 3
    apple.come_back()
    xapsd.start()
    apple.wait_for(1)
