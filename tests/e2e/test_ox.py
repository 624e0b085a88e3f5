"""Dovecot's stock driver `ox` instead of ours, with the configurations that
docs/ox.md gives, as they are but for the port."""

import pathlib
import re
import subprocess

import pytest

from dovecot import Dovecot, find_program, version
from phones import ACCOUNT, TOKEN
from test_journey import mail, md5, register

PAPER = pathlib.Path(__file__).resolve().parents[2] / "docs/ox.md"
DRIVER = {(2, 3): r"^ *push_notification_driver = ox:",
          (2, 4): r"^ *driver = ox$"}
ENTRY = "/private/vendor/vendor.dovecot/http-notify"


def block_of_paper(pattern):
    """The indented block of the paper that has such a line."""
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", PAPER.read_text(),
                        re.M)
    block, = [b for b in blocks if re.search(pattern, b, re.M)]
    return block


@pytest.fixture
def start(workdir, plugin_dir):
    """A function that starts a Dovecot as the paper says."""
    started = []

    def run(xapsd, ours=True):
        conf = block_of_paper(DRIVER[version()[:2]])
        assert "localhost:11619" in conf
        conf = conf.replace("localhost:11619", "127.0.0.1:%d" % xapsd.port)
        if not ours:
            conf = "\n".join(line.replace(" xaps_imap", "")
                             for line in conf.splitlines()
                             if "xaps_imap = " not in line)
        url = "unix:" + xapsd.socket_path   # of the registering module
        extra = "" if not ours else (
            "plugin {\n xaps_config = url=%s\n}" if version() < (2, 4)
            else "xaps_url = %s") % url
        dovecot = Dovecot(workdir, plugin_dir, plugin_conf=conf, extra=extra)
        started.append(dovecot)
        dovecot.start()
        return dovecot

    yield run
    for dovecot in started:
        dovecot.stop()
        assert not dovecot.trouble()


def check_push(dovecot, apple):
    dovecot.deliver("alice", mail())
    push, = apple.wait_for(1)
    assert push.token == TOKEN and push.aps["m"] == [md5("INBOX")]
    assert b"ecret" not in push.body


def test_registered_by_our_module(start_xapsd, start, apple, certs):
    xapsd = start_xapsd(tcp=True)
    dovecot = start(xapsd)
    assert register(dovecot, "alice", certs.key_topic) == ["INBOX"]
    with dovecot.imap("alice") as imap:
        imap.ok('SETMETADATA "" (%s "user=alice")' % ENTRY)
    check_push(dovecot, apple)
    assert "ecret" not in xapsd.log()


def test_without_any_of_our_modules(start_xapsd, start, apple):
    xapsd = start_xapsd(tcp=True)
    dovecot = start(xapsd, ours=False)
    xapsd.register("alice", ACCOUNT, TOKEN, tcp=True)
    with dovecot.imap("alice") as imap:
        assert "XAPPLEPUSHSERVICE" not in " ".join(imap.ok("CAPABILITY"))
        imap.ok('SETMETADATA "" (%s "user=alice")' % ENTRY)
    check_push(dovecot, apple)


def test_switched_on_by_doveadm(start_xapsd, start, apple, certs):
    """As the paper says, for a user who never logged in."""
    xapsd = start_xapsd(tcp=True)
    dovecot = start(xapsd)
    command = block_of_paper(r"doveadm mailbox metadata set").strip()
    assert command.startswith("doveadm ") and ENTRY in command
    command = command.replace(
        "doveadm", "%s -c %s" % (find_program("doveadm"), dovecot.conf), 1)
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    register(dovecot, "alice", certs.key_topic)
    check_push(dovecot, apple)


def test_nothing_before_it_is_switched_on(start_xapsd, start, apple, certs):
    xapsd = start_xapsd(tcp=True)
    dovecot = start(xapsd)
    register(dovecot, "alice", certs.key_topic)
    dovecot.deliver("alice", mail())
    with dovecot.imap("alice") as imap:
        imap.ok('SETMETADATA "" (%s "user=alice")' % ENTRY)
    check_push(dovecot, apple)
    assert len(apple.to(TOKEN)) == 1
