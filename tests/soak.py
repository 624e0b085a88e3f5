"""Hours of everything at once: mails by LMTP, flags and registrations by IMAP,
and what goes wrong on the way to Apple, with a clock that jumps, credentials
that are exchanged, reloads.  At the end of each round all comes to rest and is
measured.  In the end nothing is lost, memory and descriptors are what they were,
and the daemon's counters are Apple's.

    make soak HOURS=1
"""

import argparse
import collections
import contextlib
import glob
import json
import os
import pathlib
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/e2e"))

from apple import Answer, Apple     # noqa: E402
from certs import Certs             # noqa: E402
from dovecot import Dovecot         # noqa: E402
from phones import ACCOUNT, token   # noqa: E402
from test_plugin import MAIL, command, kind     # noqa: E402
from xapsd import Xapsd             # noqa: E402

USERS = 60
ROUND_S = 60
TROUBLES = 3            # a round
REST_S = 150            # a hold for a wrong clock looks at it once a minute
SLOPE_MAX = 1.0         # KiB an hour
JUDGED = 12             # rounds, at least, of its second half
AHEAD_S = 3600
FOLDERS = ["INBOX", "Notes", "Archive", "Lists"]
CLOCK = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")


class Soak:
    def __init__(self, folder, stack):
        certs = Certs(str(folder))
        self.certs = certs
        self.clock = folder / "clock"
        self.set_clock(0)
        self.apple = stack.enter_context(Apple(certs))
        (folder / "x").mkdir()
        self.xapsd = Xapsd(folder / "x", certs, apple=self.apple,
                           loglevel="info", pushTimeout="5s")
        with self.faked():
            stack.enter_context(self.xapsd)
        plugin = pathlib.Path(os.environ.get("PLUGIN", ROOT / "build/plugin"))
        self.dovecot = stack.enter_context(Dovecot(
            folder, plugin, {"url": "unix:" + self.xapsd.socket_path}))
        self.rng = random.Random(1)
        self.lock = threading.Lock()
        self.counts = collections.Counter()
        self.device = {}        # user -> number of his token
        self.told = {}          # user -> token and folders
        self.due = {}           # user -> when something happened last
        self.failed = []
        self.taken = collections.Counter()  # answers given, by status
        self.samples = []
        self.going = threading.Event()
        self.ended = False

    @contextlib.contextmanager
    def faked(self):
        """A clock of its own for a process that starts here."""
        if not CLOCK:
            yield
            return
        extra = {"LD_PRELOAD": CLOCK[0], "FAKETIME_NO_CACHE": "1",
                 "FAKETIME_TIMESTAMP_FILE": str(self.clock),
                 "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        os.environ.update(extra)
        try:
            yield
        finally:
            for name in extra:
                del os.environ[name]

    def set_clock(self, seconds):
        aside = self.clock.with_suffix(".new")
        aside.write_text("%+d\n" % seconds)
        os.rename(aside, self.clock)

    # --- what users do ---

    def name(self, i):
        return "user%d" % i

    def register(self, i):
        """By IMAP, as a phone does; now and then it is a new phone, and Apple
        says that the old one is gone."""
        new = i not in self.device or self.rng.random() < 0.1
        if new and i in self.device:
            gone = token(self.device[i])
            # later than its registration, also by a clock that was ahead
            self.apple.script(gone, lambda push: Answer(
                410, "Unregistered",
                timestamp=int((time.time() + 2 * AHEAD_S) * 1000)))
            self.counts["phones replaced"] += 1
        if new:
            self.counts["phones"] += 1
        number = self.counts["phones"] if new else self.device[i]
        folders = ["INBOX", *self.rng.sample(
            FOLDERS[1:], self.rng.randrange(len(FOLDERS)))]
        with self.dovecot.imap(self.name(i)) as c:
            if new:
                for folder in FOLDERS[1:]:
                    c.cmd("CREATE %s" % folder)
            tagged = c.cmd(command("(%s)" % " ".join(folders),
                                   device_token=token(number)))[1]
        if kind(tagged) != "OK":
            raise AssertionError("registration: %s" % tagged)
        with self.lock:
            self.device[i] = number
            self.told[self.name(i)] = token(number), sorted(folders)
        self.counts["registrations"] += 1

    def changed(self, i, at):
        with self.lock:
            self.due[i] = (at, self.device[i])

    def mail(self, i):
        at = time.monotonic()
        self.dovecot.deliver(self.name(i), MAIL)
        self.changed(i, at)
        self.counts["mails"] += 1

    def flag(self, i):
        at = time.monotonic()
        with self.dovecot.imap(self.name(i)) as c:
            if " 0 EXISTS" in " ".join(c.cmd("SELECT INBOX")[0]):
                return
            c.cmd("STORE 1 FLAGS (%s)" % self.rng.choice(
                ("\\Seen", "\\Flagged")))
            c.cmd("STORE 1 FLAGS ()")
            # a mailbox that grows would make Dovecot slower
            c.cmd("STORE 40:* +FLAGS (\\Deleted)")
            c.cmd("EXPUNGE")
        self.changed(i, at)
        self.counts["flags"] += 1

    def act(self, part, parts, per_second, what):
        """One of the users of this part at a time: his changes have an
        order."""
        rng = random.Random(what.__name__ + str(part))
        while not self.ended:
            if not self.going.wait(0.2):
                continue
            with self.busy[part]:
                if not self.going.is_set():
                    continue
                i = rng.randrange(USERS // parts) * parts + part
                try:
                    what(i)
                except Exception as e:  # all that a user would see
                    self.failed.append("%s of %s: %r" % (
                        what.__name__, self.name(i), e))
            time.sleep(rng.expovariate(per_second))

    # --- what goes wrong ---

    def apple_goes_away(self):
        self.apple.go_away()
        time.sleep(3)
        self.apple.come_back()

    def apple_says_goodbye(self):
        self.apple.goaway()

    def apple_forgets(self):
        self.apple.goaway(last=0)

    def connection_drops(self):
        self.apple.drop_all()

    def apple_is_silent(self):
        self.apple.script(None, *[Answer(never=True)] * 3)

    def apple_is_overloaded(self):
        self.apple.script(None, *[Answer(
            503, "ServiceUnavailable", headers=(("retry-after", "1"),))] * 10)

    def too_many_requests(self):
        self.apple.script(None, *[Answer(429, "TooManyRequests")] * 3)

    def streams_reset(self):
        self.apple.script(None, *[Answer(reset=2)] * 5, *[Answer(reset=7)] * 5)

    def reload(self):
        self.xapsd.process.send_signal(1)

    def credentials_renewed(self):
        aside = self.certs.p8 + ".new"
        shutil.copy(self.certs.p8, aside)
        os.rename(aside, self.certs.p8)

    def clock_ahead(self):
        self.set_clock(AHEAD_S)
        time.sleep(5)
        self.set_clock(0)

    def clock_late(self):
        self.set_clock(-1200)
        time.sleep(10)
        self.set_clock(0)

    TROUBLE = [apple_goes_away, apple_says_goodbye, apple_forgets,
               connection_drops, apple_is_silent, apple_is_overloaded,
               too_many_requests, streams_reset, reload, credentials_renewed]
    if CLOCK:
        TROUBLE += [clock_ahead, clock_late]

    # --- rest ---

    def missing(self):
        """Users whose phone has not been woken since."""
        since = collections.defaultdict(float)
        for push in list(self.apple.pushes):
            if push.answer and push.answer.status == 200:
                since[push.token] = max(since[push.token], push.at)
        with self.lock:
            return [i for i, (at, number) in self.due.items()
                    if since[token(number)] < at]

    def is_at_rest(self):
        return self.xapsd.status()["queue"] == 0 and not self.missing()

    def rest(self):
        """All has arrived, and nothing runs."""
        self.going.clear()
        with contextlib.ExitStack() as stack:
            for lock in self.busy:
                stack.enter_context(lock)
        self.xapsd.assert_alive()
        self.xapsd.wait_until(self.is_at_rest, "rest: %d of %d users wait" % (
            len(self.missing()), len(self.due)), REST_S)
        # those who were replaced are found out
        for i in list(self.device):
            self.xapsd.notify(self.name(i), keep=True)
        self.xapsd.wait_until(self.is_at_rest, "rest", REST_S)
        self.xapsd.wait_until(
            lambda: self.xapsd.status()["registrations"] == len(self.device),
            "one phone a user", REST_S)
        for push in self.apple.pushes:
            self.taken[push.answer.status if push.answer else 0] += 1
        self.apple.pushes.clear()       # else this would grow
        self.due.clear()
        self.xapsd.drop_kept()

    def files(self):
        """Dovecot keeps its connections for a while: they do not count."""
        return self.xapsd.open_files() - self.xapsd.status()["clients"]

    def measure(self):
        pid = self.xapsd.process.pid
        rollup = pathlib.Path("/proc/%d/smaps_rollup" % pid).read_text()
        private = sum(int(line.split()[1]) for line in rollup.splitlines()
                      if line.startswith("Private_"))
        if self.samples:    # an old connection to Apple may still drain
            self.xapsd.wait_until(
                lambda: self.files() <= self.samples[0][2],
                "%d descriptors" % self.samples[0][2], REST_S)
        self.samples.append((time.monotonic(), private, self.files()))
        return private

    def round(self, seconds):
        self.going.set()
        for _ in range(TROUBLES):
            time.sleep(seconds / (TROUBLES + 1))
            trouble = self.rng.choice(self.TROUBLE)
            trouble(self)
            self.counts[trouble.__name__.replace("_", " ")] += 1
        time.sleep(seconds / (TROUBLES + 1))
        self.rest()

    def run(self, hours):
        parts = 4
        self.busy = [threading.Lock() for _ in range(parts)]
        for i in range(USERS):
            self.register(i)
        work = [(self.mail, 1.0), (self.flag, 0.3), (self.register, 0.2)]
        threads = [threading.Thread(target=self.act, args=(
            part, parts, per_second, what))
            for part in range(parts) for what, per_second in work]
        for thread in threads:
            thread.start()
        began = time.monotonic()
        try:
            while time.monotonic() - began < hours * 3600:
                self.round(min(ROUND_S, hours * 3600))
                private = self.measure()
                print("%6.0f s  %5d mails  %5d flags  %5d registrations  "
                      "%4d KiB private  %2d descriptors" % (
                          time.monotonic() - began, self.counts["mails"],
                          self.counts["flags"], self.counts["registrations"],
                          private, self.samples[-1][2]), flush=True)
        finally:
            self.ended = True
            self.going.set()
            for thread in threads:
                thread.join()

    # --- the end ---

    def slope(self):
        """KiB an hour in the second half, when the heap has found its size:
        the median of all pairs' (Theil and Sen)."""
        kept = self.samples[len(self.samples) // 2:]
        pairs = [(b[1] - a[1]) / (b[0] - a[0]) * 3600
                 for n, a in enumerate(kept) for b in kept[n + 1:]]
        return statistics.median(pairs) if len(kept) >= JUDGED else None

    def file(self):
        """What a restart would find."""
        kept = {}
        for r in self.xapsd.records():
            kept[r["user"], r["token"]] = r
        return {user: (name, sorted(r["mailboxes"]))
                for (user, name), r in kept.items() if "gone" not in r}

    def faults(self):
        faults = list(self.failed)
        slope = self.slope()
        if slope is None:
            print("memory: not judged in under half an hour")
        elif slope >= SLOPE_MAX:
            faults.append("memory grows by %.1f KiB an hour" % slope)
        status = self.xapsd.status()
        # Apple's answer may be lost with its connection: sent once more
        lost = self.taken[200] - status["delivered"]
        if not 0 <= lost <= status["retried"]:
            faults.append("xapsd counts %d pushes taken, Apple %d" % (
                status["delivered"], self.taken[200]))
        if status["forgotten"] != self.counts["phones replaced"]:
            faults.append("xapsd has forgotten %d phones of %d replaced" % (
                status["forgotten"], self.counts["phones replaced"]))
        if status["registered"] < self.counts["registrations"]:
            faults.append("xapsd counts %d registrations of %d" % (
                status["registered"], self.counts["registrations"]))
        self.xapsd.stop()
        if self.file() != self.told:
            faults.append("the file differs from what was registered")
        faults += self.dovecot.trouble()
        return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=1)
    args = parser.parse_args()
    if not CLOCK:
        print("without libfaketime: no clock that jumps")
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        os.chmod(name, 0o755)
        with contextlib.ExitStack() as stack:
            soak = Soak(pathlib.Path(name), stack)
            soak.run(args.hours)
            faults = soak.faults()
            for what, n in soak.counts.items():
                print("%8d  %s" % (n, what))
            print("Apple's answers: %s" % ", ".join(
                "%d of %s" % (n, status or "none")
                for status, n in sorted(soak.taken.items())))
            print("memory: slope %s KiB/h; descriptors %s" % (
                soak.slope(), soak.samples[-1][2]))
    for fault in faults:
        print("FAULT: " + fault)
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
