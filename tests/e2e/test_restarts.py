"""Restarts of the daemon cost nothing: mails are delivered and phones register
all the while, and each mail wakes its phone.

`python3 test_restarts.py [CASE ...]` does more of it (XAPS_DELIVERIES, XAPS_PHONES
and XAPS_RESTARTS change the numbers) and prints what is lost, also in the case
that is not promised."""
import os
import queue
import statistics
import sys
import threading
import time

import pytest

from dovecot import ANSWER_MS, Dovecot, version, wait_for
from fake_xapsd import held_socket
from phones import ACCOUNT, token
from ports import free_port
from test_daemon import start_activated
from test_plugin import MAIL, command, kind
from xapsd import Xapsd

FULL = __name__ == "__main__"
DELIVERIES = int(os.environ.get("XAPS_DELIVERIES", "1000" if FULL else "200"))
PHONES = int(os.environ.get("XAPS_PHONES", "20" if FULL else "8"))
RESTARTS = int(os.environ.get("XAPS_RESTARTS", "10" if FULL else "4"))
DOWN_S = 1.0        # between the end of one daemon and the start of the next
UP_S = 1.0
THREADS = 4
# A process for each delivery, as 2.4 has it by default.
ONE_SHOT = "service lmtp {\n %s = 1\n}" % (
    "service_count" if version() < (2, 4) else "restart_request_count")
LIVING = "service lmtp {\n %s\n}" % (
    "service_count = 0" if version() < (2, 4)
    else "restart_request_count = unlimited")


class Load:
    """Deliveries and registrations, spread over the restarts."""

    def __init__(self, dovecot, seconds):
        self.dovecot, self.seconds = dovecot, seconds
        self.failed, self.took = [], []     # took: when it began, seconds
        self.work = queue.Queue()
        for i in range(DELIVERIES):
            self.work.put((i / DELIVERIES, self.deliver, i))
        jobs = [threading.Thread(target=self.run) for _ in range(THREADS)]
        jobs += [threading.Thread(target=self.phone, args=(i,))
                 for i in range(PHONES)]
        self.begun = time.monotonic()
        self.threads = jobs
        for job in jobs:
            job.start()

    def sleep_until(self, part):
        time.sleep(max(0, self.begun + part * self.seconds -
                       time.monotonic()))

    def run(self):
        while True:
            try:
                part, function, i = self.work.get_nowait()
            except queue.Empty:
                return
            self.sleep_until(part)
            function(i)

    def deliver(self, i):
        start = time.monotonic()
        self.took.append((start, self.dovecot.deliver(f"user{i}", MAIL)))

    def phone(self, i):
        self.sleep_until((i + 0.5) / PHONES)
        with self.dovecot.imap(f"phone{i}") as c:
            tagged = c.cmd(command(device_token=token(10 ** 6 + i)))[1]
            if kind(tagged) != "OK":
                self.failed.append(self.dovecot.wait_log(
                    f"Error: .*phone{i}.*|phone{i}.*Error: .*")[0])

    def join(self):
        for thread in self.threads:
            thread.join(120)
            assert not thread.is_alive()


def measure(workdir, plugin_dir, certs, apple, held, lmtp):
    """-> (users whose mail woke nobody, phones refused, the seconds of all
    deliveries, and of those while the daemon was away)."""
    folder = workdir / "x"
    folder.mkdir()
    x = Xapsd(folder, certs, apple=apple, port=free_port())
    sock = held_socket(x.socket_path, 4096) if held else None

    def start():
        if sock:
            start_activated(x, sock)
        else:
            x.start()
    start()
    down = []
    try:
        wait_for(x.is_ready, 30, "daemon")
        for i in range(DELIVERIES):
            x.register(f"user{i}", ACCOUNT, token(i), keep=True)
        url = {"url": f"unix:{x.socket_path}"}
        if not FULL:    # the disk of a busy machine is not what is tested
            url["timeout_msecs"] = url["register_timeout_msecs"] = ANSWER_MS
        with Dovecot(workdir, plugin_dir, url, extra=lmtp) as dovecot:
            load = Load(dovecot, RESTARTS * (DOWN_S + UP_S))
            for _ in range(RESTARTS):
                time.sleep(UP_S)
                x.stop()
                down.append(time.monotonic())
                time.sleep(DOWN_S)
                start()
            load.join()
            try:
                wait_for(lambda: len({p.token for p in list(apple.pushes)}) >=
                         DELIVERIES, 40, "pushes")
            except TimeoutError:
                pass
            trouble = dovecot.trouble()
        woken = {p.token for p in list(apple.pushes)}
    finally:
        x.stop()
    lost = [i for i in range(DELIVERIES) if token(i) not in woken]
    assert not trouble, "\n".join(trouble)
    # those that began while it was away for at least half a second more
    away = [s for at, s in load.took
            if any(d <= at < d + DOWN_S / 2 for d in down)]
    return lost, load.failed, [s for _, s in load.took], away


# Without systemd's socket a process that ends at once has no more than the
# timeout: that is not promised.
CASES = {"held": (True, LIVING), "held, process a mail": (True, ONE_SHOT),
         "not held": (False, LIVING)}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("held,lmtp", CASES.values(), ids=CASES)
def test_nothing_is_lost(workdir, plugin_dir, certs, apple, held, lmtp):
    lost, failed, took, away = measure(
        workdir, plugin_dir, certs, apple, held, lmtp)
    assert lost == [] and failed == []
    # No wait for the daemon, which would be half a second and more.  A busy
    # machine takes what it takes, and it does so also while there is one.
    assert away == [] or min(away) < DOWN_S / 2, away
    assert away == [] or statistics.median(away) < DOWN_S / 2 + \
        statistics.median(took)


def main():
    import pathlib
    import tempfile
    from apple import Apple
    from certs import Certs
    root = pathlib.Path(__file__).resolve().parents[2]
    plugin = pathlib.Path(os.environ.get("PLUGIN", root / "build/plugin"))
    cases = {**CASES, "not held, process a mail": (False, ONE_SHOT)}
    for name, (held, lmtp) in cases.items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        with tempfile.TemporaryDirectory(prefix="xr-") as folder, \
                tempfile.TemporaryDirectory(prefix="xc-") as papers:
            os.chmod(folder, 0o755)
            certs = Certs(papers)
            with Apple(certs) as apple:
                lost, failed, took, _ = measure(
                    pathlib.Path(folder), plugin, certs, apple, held, lmtp)
        print("%-26s %d of %d mails lost, %d of %d phones refused, slowest "
              "delivery %.0f ms" % (name, len(lost), DELIVERIES, len(failed),
                                    PHONES, max(took) * 1000), *failed,
              sep="\n", flush=True)


if __name__ == "__main__":
    main()
