"""One daemon through all that clocks do: not set at boot (1970), 60 days ahead,
back, a day late, an hour either way; with registrations, pushes, restarts and
a power cut under each.  In the end nothing is lost: every registration is
there, every change of every folder has been pushed."""

import hashlib
import time

import pytest

import certs as pki
from apple import Apple
from phones import ACCOUNT, token
from test_clock import clock as wall_clock  # noqa: F401
from test_clock import pytestmark  # noqa: F401
from xapsd import certificate, token_key

HOUR, DAY = 3600, 86400
EPOCH = "1970"

# name of the phase, how far the clock is from the right one
PHASES = [
    ("unset", EPOCH), ("set", 0), ("ahead", 60 * DAY), ("back", 0),
    ("late", -DAY), ("right", 0), ("summer", HOUR), ("winter", -HOUR),
    ("unset-again", EPOCH), ("end", 0),
]
RECOVERY_S = 150    # a hold looks at the clock once a minute
# Dropping what is old is the store's; here only pushes are of interest.
FOREVER = "3650d"


@pytest.fixture
def clock(wall_clock):
    """Sets the daemon's wall clock, also while it runs: so many seconds from
    the right one, or EPOCH."""
    def set_to(offset):
        if offset == EPOCH:
            offset = 60 - int(time.time())
        wall_clock("%+d" % offset)
    return set_to


@pytest.fixture
def stern_apple(certs):
    """It refuses what wrong clocks cause, which is not a failure."""
    with Apple(certs) as service:
        yield service
        assert service.errors == []


FOLDERS = ["%s-%d" % (name, n) for name, _ in PHASES for n in range(5)]


class Soak:
    def __init__(self, xapsd, apple):
        self.xapsd, self.apple = xapsd, apple
        self.told = {}      # user -> folders

    def register(self, n):
        self.xapsd.register("u%d" % n, ACCOUNT, token(n),
                            ["INBOX", *FOLDERS])
        self.told.setdefault(n, set())

    def notify(self, folder, event="MessageNew"):
        for n, told in self.told.items():
            reply = self.xapsd.notify("u%d" % n, folder, [event])
            assert reply.status == 200, (n, folder, reply)
            told.add(folder)

    def missing(self):
        """What Apple has not taken yet."""
        lost = {}
        for n, told in self.told.items():
            heard = set()
            for p in self.apple.to(token(n)):
                if p.answer and p.answer.status == 200:
                    heard.update(p.aps["m"])
            left = {f for f in told if hashlib.md5(
                f.encode()).hexdigest() not in heard}
            if left:
                lost[n] = sorted(left)
        return lost

    def settle(self, where):
        end = time.monotonic() + RECOVERY_S
        while self.missing():
            self.xapsd.assert_alive()
            assert time.monotonic() < end, (where, self.missing())
            time.sleep(0.05)

    def phase(self, at, name, offset, clock):
        """Under the last clock, under this one, over a restart, a power cut
        (which may lose what waits, so that comes when nothing does)."""
        self.notify(name + "-0", "FlagsSet")
        clock(offset)
        self.notify(name + "-1")
        self.register(at)       # a new phone
        for n in list(self.told) if offset == 0 else [0]:
            self.register(n)    # some that come back
        self.notify(name + "-2")
        self.xapsd.restart()
        self.register(at + 100)
        self.notify(name + "-3")
        self.notify(name + "-4", "FlagsSet")
        if offset != 0:
            return
        self.settle(name)
        self.xapsd.kill()
        self.xapsd.start()
        assert self.xapsd.request("GET", "/healthz").status == 200


@pytest.mark.parametrize("identity", [token_key, certificate])
@pytest.mark.timeout(600)
def test_no_push_is_lost(start_xapsd, stern_apple, clock, identity):
    clock(EPOCH)
    xapsd = start_xapsd(apple=stern_apple, identity=identity, retryMax="500ms",
                        registrationTtl=FOREVER)
    soak = Soak(xapsd, stern_apple)
    soak.register(0)
    for at, (name, offset) in enumerate(PHASES, 1):
        soak.phase(at, name, offset, clock)
    # and no more than that: nothing is pushed twice
    assert stern_apple.resets == []
    assert "dropped" not in xapsd.log()
    # Apple is not bothered with JWTs either
    assert len(stern_apple.jwts) <= 3 * len(PHASES)


@pytest.mark.parametrize("away", ["1970", "ahead", "late"])
def test_queue_over_a_restart_under_a_wrong_clock(
        start_xapsd, stern_apple, clock, away):
    """Saved under one clock, sent under another, whichever way."""
    wrong = {"1970": EPOCH, "ahead": 60 * DAY, "late": -DAY}[away]
    clock(0)
    xapsd = start_xapsd(apple=stern_apple, registrationTtl=FOREVER)
    soak = Soak(xapsd, stern_apple)
    soak.register(0)
    stern_apple.go_away()
    for n, offset in enumerate((0, wrong, wrong, 0, wrong)):
        clock(offset)
        soak.notify("set-%d" % n)
        xapsd.restart()
    clock(0)
    xapsd.restart()
    stern_apple.come_back()
    soak.settle(away)
    assert "dropped" not in xapsd.log()


def test_warned_again_after_a_clock_that_ran_ahead(
        start_xapsd, stern_apple, certs, workdir, clock):
    """A warning that came too early is repeated at the right time."""
    key, cert = certs.issuer.client(certs.cert_topic, days=40)
    pki.write(workdir / "c.pem", pki.cert_pem(cert), pki.key_pem(key))
    clock(0)
    xapsd = start_xapsd(
        apple=stern_apple, registrationTtl="2s",    # brings the look near
        identity={"certificateFilePem": str(workdir / "c.pem")})
    xapsd.wait_log("Certificate valid until")
    for days in (39, 12):
        start = xapsd.log_size()
        clock(days * DAY)
        xapsd.wait_log(r"warn .*expires on", start=start)


# --- where the store is involved (SPEC 4) ---

@pytest.mark.timeout(600)
def test_no_registration_is_lost(start_xapsd, stern_apple, clock):
    """With the default registrationTtl: no clock makes anything old."""
    clock(EPOCH)
    xapsd = start_xapsd(apple=stern_apple, identity=certificate)
    soak = Soak(xapsd, stern_apple)
    soak.register(0)
    for at, (name, offset) in enumerate(PHASES, 1):
        clock(offset)
        for n in soak.told:
            assert xapsd.notify("u%d" % n).status == 200, (name, n)
        soak.register(at)
        soak.register(0)
        xapsd.restart()
        for n in soak.told:
            assert xapsd.notify("u%d" % n).status == 200, (name, n)
        xapsd.kill()
        xapsd.start()
        for n in soak.told:
            assert xapsd.notify("u%d" % n).status == 200, (name, n)


def test_410_under_each_clock(start_xapsd, stern_apple, clock):
    """A phone that is gone is forgotten whatever the clock said when it
    registered; one that Apple reported before stays."""
    from apple import Answer
    clock(60 * DAY)
    xapsd = start_xapsd(apple=stern_apple, identity=certificate,
                        registrationTtl=FOREVER)
    for n, offset in enumerate((60 * DAY, EPOCH, -DAY, 0)):
        clock(offset)
        xapsd.register("u%d" % n, ACCOUNT, token(n))
    clock(0)
    now_ms = int(time.time() * 1000)
    for n in range(4):
        stern_apple.script(token(n), Answer(
            410, "Unregistered", timestamp=now_ms + 60000))
        assert xapsd.notify("u%d" % n).status == 200
        xapsd.wait_until(lambda: xapsd.notify("u%d" % n).status == 404,
                         "u%d to go" % n)
    xapsd.register("back", ACCOUNT, token(9))
    stern_apple.script(token(9), Answer(
        410, "Unregistered", timestamp=now_ms - 60000))
    assert xapsd.notify("back").status == 200
    stern_apple.wait_for(1, token=token(9))
    xapsd.wait_log("registered again since Apple's 410")
    assert xapsd.notify("back").status == 200
