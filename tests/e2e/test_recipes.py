"""The recipes in packaging/, walked through as their README says, in copies of
systems laid out as theirs: `make check-packages`.  Elsewhere skipped."""
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from xapsd import ROOT

pytestmark = [
    pytest.mark.skipif(not os.environ.get("OCI"),
                       reason="of make check-packages"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")]
DIST = pathlib.Path(os.environ.get("OCI", "/-")).parent
CHROOTS = pathlib.Path(os.environ.get("CHROOTS", ROOT / "build/chroot"))


@pytest.fixture
def volumes(workdir):
    folder = workdir / "volumes"
    folder.mkdir()
    (folder / "dist").mkdir()
    for path in DIST.glob("*plugin*"):
        shutil.copy(path, folder / "dist")
    return folder


def walk(volumes, lower, packages, script, *args):
    with tempfile.TemporaryDirectory(prefix="xr-") as work:
        done = subprocess.run(
            ["sh", str(ROOT / "tests/recipes/root.sh"), str(lower), work,
             packages, "/usr/bin/python3", "/tree/tests/recipes/" + script, *args],
            env={**os.environ, "VOLUMES": str(volumes)}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
    assert done.returncode == 0 and done.stdout.endswith("walked\n"), \
        done.stdout


def chroot(suite):
    root = CHROOTS / suite
    if not (root / ".packages").exists():
        pytest.skip("no %s: make check-dovecot makes it" % root)
    return root


def modules(volumes, abi):
    if not list((volumes / "dist").glob("*%s*.tar.gz" % abi)):
        pytest.skip("no modules for %s: make plugin-tarballs" % abi)


@pytest.mark.timeout(300)
def test_docker_mailserver(volumes):
    modules(volumes, "2.4.ABIv1")
    for what in "first", "upgraded":
        walk(volumes, chroot("trixie"), "supervisor", "dms.py", what)


@pytest.mark.timeout(300)
def test_mailcow(volumes):
    modules(volumes, "2.3.ABIv19")
    walk(volumes, "/", "", "mailcow.py")


@pytest.mark.parametrize("path", ["packaging/mailcow/docker-compose.override.yml"])
def test_compose_files(path, tmp_path):
    """They fit what mailcow's own file names."""
    if not shutil.which("docker-compose"):
        pytest.skip("docker-compose is missing")
    (tmp_path / "a.yml").write_text(
        "services:\n  dovecot-mailcow:\n    image: x\n    volumes:\n"
        "      - ./data/hooks/dovecot:/hooks\n")
    shutil.copy(ROOT / path, tmp_path / "b.yml")
    done = subprocess.run(
        ["docker-compose", "-f", "a.yml", "-f", "b.yml", "config"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "xapsd-socket-vol-1:/run/xapsd" in done.stdout


@pytest.mark.timeout(300)
def test_mailinabox(volumes):
    walk(volumes, "/", "", "mailinabox.py")


@pytest.mark.timeout(300)
def test_nas(volumes):
    walk(volumes, "/", "", "nas.py")
