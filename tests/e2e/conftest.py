"""Fixtures of the end-to-end tests.  Each test has its own directory, ports
and processes, so that any number may run side by side (pytest -n)."""

import contextlib
import os
import pathlib
import shutil
import tempfile

import pytest

from apple import Apple
from certs import Certs
from xapsd import ROOT, Xapsd

LOG_TAIL = 60  # lines shown of a failed test's daemons


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "journey: from Dovecot to Apple; also run under valgrind")
    config.addinivalue_line(
        "markers", "valgrind: runs Dovecot under it; slow")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the logs of its daemons."""
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    folder = item.funcargs.get("workdir") or item.funcargs.get("work_dir")
    for log in sorted(folder.rglob("*.log")) if folder else ():
        if "index" in log.name:     # Dovecot's, not for people
            continue
        lines = log.read_text(errors="replace").splitlines()
        report.sections.append(
            (log.name, "\n".join(lines[-LOG_TAIL:])))


@pytest.fixture(scope="session")
def certs():
    with tempfile.TemporaryDirectory(prefix="xc-") as folder:
        yield Certs(folder)


@pytest.fixture
def workdir():
    """Short, for Unix sockets; Dovecot's mail users may enter it."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="xt-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def apple(certs):
    """Must have found nothing wrong in the end; a test that provokes it
    empties apple.errors or takes an Apple of its own."""
    with Apple(certs) as service:
        yield service
        assert service.problems() == []


@pytest.fixture
def start_xapsd(workdir, certs, apple):
    """A function that starts a daemon for `apple`; all are stopped at the
    end, each must have lived so long and left without complaint."""
    with contextlib.ExitStack() as stack:
        def start(**options):
            folder = options.pop("folder", workdir / "x")
            folder.mkdir(exist_ok=True)
            options.setdefault("apple", apple)
            return stack.enter_context(Xapsd(folder, certs, **options))
        yield start


@pytest.fixture
def xapsd(start_xapsd):
    """A daemon with a token key, connected to `apple`."""
    daemon = start_xapsd()
    daemon.wait_log("apns: connected to")
    return daemon


@pytest.fixture(scope="session")
def plugin_dir():
    path = pathlib.Path(os.environ.get("PLUGIN", ROOT / "build/plugin"))
    assert list(path.glob("lib*.so")), "no plugin in %s: make plugin" % path
    return path


@pytest.fixture
def start_dovecot(workdir, plugin_dir):
    """A function that starts a private Dovecot with the plugin, which has
    much time for the daemon's answers: a disk may be busy, too."""
    from dovecot import ANSWER_MS, Dovecot
    patient = {"timeout_msecs": ANSWER_MS, "register_timeout_msecs": ANSWER_MS}
    with contextlib.ExitStack() as stack:
        def start(url, xaps=(), **options):
            return stack.enter_context(Dovecot(
                workdir, plugin_dir, {"url": url, **patient, **dict(xaps)},
                **options))
        yield start
