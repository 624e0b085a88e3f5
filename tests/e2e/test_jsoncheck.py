"""jsoncheck over the part of JSONTestSuite beside the repository, if present."""
import os
import subprocess

import pytest

from xapsd import ROOT

TOOL = ROOT / os.environ.get("BUILD", "build") / "jsoncheck"
DATA = ROOT.parent / "shared" / "data" / "json"
CASES = sorted(DATA.glob("*.json")) if DATA.is_dir() else []


def check(path):
    done = subprocess.run([TOOL, path], capture_output=True, timeout=20)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.skipif(not CASES, reason="no JSONTestSuite beside the repository")
def test_suite():
    wrong = []
    for path in CASES:
        code, out, err = check(path)
        allowed = {"y": {0}, "n": {1}, "i": {0, 1}}[path.name[0]]
        if code not in allowed or err:
            wrong.append((path.name, code, out, err))
    assert wrong == []


@pytest.mark.parametrize("text, answer", [
    (b'{"a":[1,2]}', None),
    (b"[" * 100000 + b"]" * 100000, None),
    (b"[" * 100000, "1:100001: the text ends too early"),
    (b'{"a":1,\n "b" 2}', "2:6: expected ':'"),
    (b"", "1:1: the text ends too early"),
    (b'"\xff"', "1:2: not UTF-8"),
], ids=["valid", "deep", "deep-unclosed", "second-line", "empty", "utf8"])
def test_answer(tmp_path, text, answer):
    path = tmp_path / "t.json"
    path.write_bytes(text)
    code, out, err = check(path)
    assert (code, out, err) == (
        (0, "", "") if answer is None else (1, answer + "\n", ""))


def test_unreadable(tmp_path):
    code, out, err = check(tmp_path / "none")
    assert (code, out) == (2, "")
    assert "none: No such file" in err
