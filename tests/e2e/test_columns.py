"""What is printed for people fits their terminal: no line is wrapped by it."""
import re
import unicodedata

import pytest

from apple import Answer
from phones import ACCOUNT, OTHER, token
from xapsd import certificate

COLUMNS = [40, 80, 132, 298]
# Longer than any terminal, of two columns a character, without a blank.
NAMES = ["bob", "alice@example.org",
         "firstname.lastname-of-considerable-length@department.example.org",
         "u" * 255, "名前が長い人@example.org", "ü" * 60, "with some blanks " * 6]
FOLDERS = ["INBOX", "Notes", "f" * 200, "フォルダー" * 12, "a/very/deep/folder" * 9,
           *("Folder %d" % i for i in range(40))]


def width(line):
    """In columns, as a terminal shows it."""
    line = re.sub(r"\x1b\[[0-9;]*m", "", line)
    assert line.isprintable(), line
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else
               0 if unicodedata.combining(c) else 1 for c in line)


def printed(daemon, columns, *args):
    """The lines on a terminal of so many columns.  What goes wrong is said in
    one line, as it is in a log."""
    return daemon.on_terminal(*args, columns=columns, ends=None, TERM="vt100",
                              errors=args[0] == "check").splitlines()


def assert_fits(daemon, columns, *args):
    lines = printed(daemon, columns, *args)
    assert lines
    for line in lines:
        assert width(line) <= columns, (columns, args, line)
        assert line.rstrip() == line, line
    return lines


@pytest.fixture
def crowd(start_xapsd, apple):
    """Every kind of device."""
    xapsd = start_xapsd(loglevel="info")
    apple.script(OTHER, Answer(400, "BadDeviceToken"))
    for i, name in enumerate(NAMES):
        xapsd.register(name, "a" * (8 + i * 30), token(i), FOLDERS[:i * 7 + 1])
    for i in range(40):
        xapsd.register("many@example.org", "A%d" % i, token(100 + i), FOLDERS)
    xapsd.register("bad", ACCOUNT, OTHER)
    xapsd.notify("bad")
    xapsd.wait_log("suspended until")
    return xapsd


@pytest.mark.parametrize("columns", COLUMNS)
def test_list(crowd, columns):
    lines = assert_fits(crowd, columns, "list")
    assert len(lines) >= len(NAMES) + 42
    assert_fits(crowd, columns, "list", "many@example.org")
    crowd.stop()
    assert_fits(crowd, columns, "list")
    crowd.start()


@pytest.mark.parametrize("columns", COLUMNS)
def test_status(crowd, columns):
    assert_fits(crowd, columns, "status")


@pytest.mark.parametrize("columns", COLUMNS)
def test_status_in_trouble(start_xapsd, certs, workdir, columns):
    xapsd = start_xapsd(identity=certificate, apple=None,
                        apnsHost="n" * 60 + ".invalid")
    xapsd.wait_log("apns: n.*: ")
    assert_fits(xapsd, columns, "status")
    assert_fits(xapsd, columns, "check")


@pytest.mark.parametrize("columns", COLUMNS)
def test_check(crowd, columns):
    assert_fits(crowd, columns, "check")
    crowd.config["keyFileP8"] = "/nonexistent/" + "long" * 40
    crowd.write_config()
    assert_fits(crowd, columns, "check")


@pytest.mark.parametrize("columns", COLUMNS)
def test_doctor(crowd, columns):
    for name in ("nobody", "many@example.org", "bad", "u" * 255, NAMES[4]):
        assert_fits(crowd, min(columns, 80), "doctor", name)
    crowd.stop()
    assert_fits(crowd, columns, "doctor", "bad")
    crowd.start()


@pytest.mark.parametrize("columns", COLUMNS)
def test_list_after_pushes(crowd, apple, columns):
    """With the columns that say whether phones come."""
    delivered = crowd.status()["delivered"]
    for name in NAMES:
        crowd.notify(name)
    crowd.wait_until(lambda: crowd.status()["delivered"] >= delivered +
                     len(NAMES), "answers")
    crowd.request("POST", "/seen", {"Username": NAMES[1]})
    lines = assert_fits(crowd, columns, "list")
    assert "CAME" in lines[0] and "USER" in lines[0]
    assert any("came after" in line for line in lines)
    assert_fits(crowd, columns, "status")


@pytest.mark.parametrize("columns", COLUMNS)
def test_push(crowd, apple, columns):
    """Apple's answers are sentences."""
    apple.script(token(100), Answer(400, "BadDeviceToken"))
    apple.script(token(101), Answer(410, "Unregistered"))
    lines = assert_fits(crowd, columns, "push", "many@example.org")
    assert "Unregistered" in " ".join(lines)


def test_help(crowd):
    for args in ([], *([c] for c in ("check", "status", "list", "doctor",
                                     "push", "forget", "csr", "import"))):
        assert_fits(crowd, 80, "help", *args)


def test_no_terminal_no_limit(crowd):
    """A pipe gets all."""
    done = crowd.run("list", "many@example.org")
    assert ", ".join(FOLDERS) in done.stdout
