"""The pictures of the page in docs/pictures: `make pictures`, as root.

A day passes in a minute: libfaketime moves the clocks of a real daemon, which
gets registrations, notifications and visits as from Dovecot, and pushes to a
stand-in for Apple.  Nothing in the page is changed."""

import glob
import os
import pathlib
import random
import sys
import tempfile
import time

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from PIL import Image

import certs as pki
from apple import Apple
from browser import Browser
from xapsd import Xapsd, certificate

OUT = ROOT / "docs/pictures"
HOST = "api.push.apple.com"
QUARTER_S = 900
DAY_S = 96 * QUARTER_S
END_HOUR = 18       # UTC, on a day that is to come

# user, client, devices, pushes of a usual quarter of an hour
PEOPLE = (("alice", "iOS 26.5", 2, 2.2), ("bob", "iOS 26.4", 1, 1.3),
          ("carol@example.org", "iPadOS 26.5", 1, .7),
          ("dave", "iOS 18.7", 1, .4))
BUSY = (.1, .05, .05, .05, .1, .2, .5, .8, 1.3, 1.6, 1.5, 1.3,
        1, 1.2, 1.4, 1.3, 1.2, 1.1, .9, .8, .9, .7, .4, .2)  # by hour

FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>/usr/share/fonts</dir><cachedir>%s</cachedir>
<match target="pattern"><edit name="family" mode="assign" binding="strong">
<string>Inter</string></edit></match></fontconfig>"""


class Day:
    """The daemon's clock, and what happens by it."""

    def __init__(self, folder):
        self.path = folder / "clock"
        self.base = time.time()
        end = (int(self.base) // 86400 + 2) * 86400 + END_HOUR * 3600
        self.begin = end - DAY_S - self.base + 120
        self.set(0)

    def set(self, s):
        aside = self.path.with_suffix(".new")
        aside.write_text("+%.2fs\n" % (self.begin + s))
        os.rename(aside, self.path)

    def environment(self):
        library, = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        return {"LD_PRELOAD": library, "FAKETIME_NO_CACHE": "1",
                "FAKETIME_TIMESTAMP_FILE": str(self.path)}


def live_through(day, x, apple, rng):
    """Every push, and how soon somebody came."""
    for user, _client, n, _rate in PEOPLE:
        for _ in range(n):
            x.register(user, "%032X" % rng.getrandbits(128),
                       "%064x" % rng.getrandbits(256),
                       ["INBOX", "Notes", "Archive"][:rng.randint(1, 3)])
    x.request("POST", "/seen", {"Username": "alice", "Client": "iOS 26.5"})
    for quarter in range(96):
        hour = (END_HOUR + quarter / 4) % 24
        at = quarter * QUARTER_S
        for user, client, n, rate in PEOPLE:
            for _ in range(round(rng.expovariate(
                    1 / (rate * BUSY[int(hour)] + .01)))):
                at += rng.uniform(20, 60)
                push(day, x, apple, user, client, n, at, rng)


def push(day, x, apple, user, client, n, at, rng):
    day.set(at)
    x.wait_until(lambda: x.status()["connected"], "connection")
    before = x.status()["delivered"]
    assert x.notify(user).status == 200
    x.wait_until(lambda: x.status()["delivered"] >= before + n, "answers")
    if user == "dave" and rng.random() < .3:
        return      # his phone is out of reach
    day.set(at + rng.lognormvariate(.55, .45))
    x.request("POST", "/seen", {"Username": user, "Client": client})


def shoot(browser, x, name, width, height, dark):
    page = browser.page(width=width, height=height, dark=dark)
    page.call("Emulation.setLocaleOverride", locale="en-GB")
    page.call("Emulation.setTimezoneOverride", timezoneId="UTC")
    page.open("http://admin:secret@127.0.0.1:%d/" % x.port)
    page.wait("document.querySelectorAll('svg').length == 2")
    assert page.complaints == [], page.complaints
    path = OUT / (name + ".png")
    page.screenshot(path, height)
    # the commonest colours are enough, and a third of the bytes
    image = Image.open(path).convert("RGB")
    common = sorted(image.getcolors(1 << 24), reverse=True)[:256]
    palette = Image.new("P", (1, 1))
    palette.putpalette([v for _n, colour in common for v in colour])
    image.quantize(palette=palette, dither=0).save(path, optimize=True)
    print("%s: %d bytes" % (path.relative_to(ROOT), path.stat().st_size))


def main():
    rng = random.Random(1)
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="xp-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        certs = pki.Certs(folder)
        key, cert = certs.issuer.server([HOST, "localhost"])
        server = pki.write(folder / "apple.pem", pki.cert_pem(cert),
                           pki.key_pem(key))
        (folder / "hosts").write_text("127.0.0.1 localhost %s\n" % HOST)
        (folder / "fonts").write_text(FONTS % folder)
        day = Day(folder)
        os.environ.update(day.environment(), XAPSD_WRAP="unshare -m sh -c '"
                          "mount --bind %s/hosts /etc/hosts && exec \"$@\"' sh"
                          % folder)
        with Apple(certs, server=server) as apple:
            with Xapsd(folder, certs, apple=apple, identity=certificate,
                       tcp=True, apnsHost=HOST, loglevel="info",
                       httpUser="admin", httpPassword="secret") as x:
                for variable in day.environment():
                    del os.environ[variable]
                apple.wait_connected()
                live_through(day, x, apple, rng)
                day.set(DAY_S - 100)
                x.wait_until(lambda: x.status()["connected"], "connection")
                with Browser(FONTCONFIG_FILE=str(folder / "fonts")) as browser:
                    shoot(browser, x, "page", 1280, 0, False)
                    shoot(browser, x, "page-phone", 360, 760, True)


if __name__ == "__main__":
    main()
