"""`make demo` does what it says, and leaves nothing, whatever happens."""

import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest

from xapsd import ROOT


def processes_under(folder):
    """Command lines that name the folder: xapsd, Dovecot and its children
    (those by their parent's process group are gone with it)."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            line = (entry / "cmdline").read_bytes() + os.fsencode(
                os.readlink(entry / "cwd"))
        except OSError:
            continue
        if os.fsencode(str(folder)) in line:
            found.append(line)
    return found


class Demo:
    def __init__(self, folder, plugin_dir, script="demo.py", **env):
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-u", str(ROOT / "tests" / script)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
            env=dict(os.environ, TMPDIR=str(folder), PLUGIN=str(plugin_dir),
                     **env))

    def read_until(self, pattern):
        for line in self.process.stdout:
            if re.search(pattern, line):
                return
        raise AssertionError("no line with " + pattern)

    def end(self, limit_s=100):
        """-> (status, stdout's rest, stderr); asserts that nothing is left."""
        out, err = self.process.communicate(timeout=limit_s)
        assert list(self.folder.iterdir()) == []
        assert processes_under(self.folder) == []
        return self.process.returncode, out, err


@pytest.mark.journey
def test_demo(workdir, plugin_dir):
    status, out, err = Demo(workdir, plugin_dir).end()
    assert (status, err) == (0, ""), out + err
    took = re.search(r"to the push at Apple: ([0-9.]+) ms", out)
    assert took and 0 < float(took[1])
    if not os.environ.get("XAPSD_WRAP"):
        # 100 on a machine that is not busy; a delay would be 30 s
        assert float(took[1]) < 25000
    assert "POST /3/device/" in out and "aps-topic" in out
    assert re.search(r'list` says: "came after \d+(\.\d)? s"', out)
    shown_in_readme(out)


def test_demo_webpush(workdir, plugin_dir):
    status, out, err = Demo(workdir, plugin_dir, "demo_webpush.py").end()
    assert (status, err) == (0, ""), out + err
    assert '"event": "confirm"' in out and '"event": "new"' in out
    assert "Lunch" not in re.sub(r"Subject: Lunch\?", "", out)


def pattern(line):
    """Of what README shows: numbers and ids are others each time, and … is
    what was left out."""
    parts = re.split("…|[0-9A-Fa-f]{8,}|[0-9.]+[0-9]", line)
    return ".*?".join(re.escape(" ".join(p.split())) for p in parts)


def shown_in_readme(out):
    """README's picture is the demo's output.  Dovecot's 250 and the push come
    in either order."""
    block, = re.findall("^```\n(  Apple .*?)^```$", (
        ROOT / "README.md").read_text(), re.M | re.S)
    printed = " ".join(out.split())
    for line in block.splitlines():
        assert re.search(pattern(line), printed), line


STAGES = ["Apple ", "xapsd .* runs", "Dovecot .* runs", "C: XAPPLE",
          "final dot", "accepts it"]


@pytest.mark.parametrize("whom", ["process", "group"])
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("signo", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(workdir, plugin_dir, stage, signo, whom):
    """By Ctrl-C (the terminal's group gets it) or by kill."""
    demo = Demo(workdir, plugin_dir)
    demo.read_until(stage)
    (os.killpg if whom == "group" else os.kill)(demo.process.pid, signo)
    status, out, err = demo.end()
    if status != 0:     # else it had been done already
        assert status == 128 + signo, err
        assert "interrupted" in err and "Traceback" not in err


def test_without_the_plugin(workdir, tmp_path):
    status, _, err = Demo(workdir, tmp_path).end()
    assert status == 1
    assert "make demo failed: " in err and "Traceback" not in err
    assert str(tmp_path) in err


def test_without_the_daemon(workdir, plugin_dir):
    status, _, err = Demo(workdir, plugin_dir, XAPSD="/nonexistent").end()
    assert status == 1
    assert "there is no /nonexistent: run `make`" in err


def test_daemon_that_ends(workdir, plugin_dir):
    """Its own words are shown."""
    status, _, err = Demo(workdir, plugin_dir, XAPSD_WRAP="sh -c 'echo "
                          "Some reason; exit 3'").end()
    assert status == 1
    assert "Some reason" in err and "status 3" in err
