"""tests/deps.sh where there is no apt: it names what lacks.  What it does with apt is
tested in a chroot, by tests/deb/deps.py."""

import pathlib
import shutil
import subprocess
import sys

import pytest

DEPS = pathlib.Path(__file__).resolve().parents[1] / "deps.sh"


@pytest.fixture
def deps(tmp_path):
    """Runs it where only the commands given exist."""
    def run(*groups, commands=()):
        for name in ("sh", "sed", "head", "grep", "tr", "ls", "id", "cat",
                     *commands):
            if not (tmp_path / name).exists():
                (tmp_path / name).symlink_to(shutil.which(name))
        done = subprocess.run(
            [shutil.which("sh"), DEPS, *groups], capture_output=True, text=True,
            env={"PATH": str(tmp_path), "PYTHON": sys.executable}, timeout=30)
        return done.returncode, done.stdout + done.stderr
    return run


def test_names_what_lacks(deps):
    status, said = deps("build", "lint")
    assert status == 1
    assert "equivalents of these Debian packages: gcc" in said
    assert "mandoc" in said and "shellcheck" in said


def test_has_all_that_is_needed(deps):
    """Fedora's, say: their packages have other names."""
    assert deps("lint", commands=["clang-format", "shellcheck", "mandoc",
                                  "yamllint"]) == (
        0, "")
    assert deps("dovecot", commands=["debootstrap"]) == (0, "")


def test_headers_and_modules(deps):
    assert deps("build", commands=["cc", "gcc", "as", "ld", "pkg-config"]) == (
        0, "")
    status, said = deps("bench")
    assert status == 1
    # of Python, by PYTHON
    assert "python3-h2" not in said and "wrk" in said


def test_unknown_group(deps):
    assert deps("nonsense")[0] == 64
