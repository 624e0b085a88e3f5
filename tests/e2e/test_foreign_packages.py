"""RPM and Arch Linux packages: built by rpmbuild and makepkg, installed, upgraded
and removed by rpm and pacman, in a copy of this machine that is thrown away.
Their dependencies are Debian's here: they are not asked for."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import pytest

from xapsd import ROOT

pytestmark = [
    pytest.mark.skipif("CHECK_PACKAGES" not in os.environ,
                       reason="make check-packages"),
    pytest.mark.timeout(300)]

# In namespaces: what is mounted or started there ends with the command.
OVERLAY = """
mount -t tmpfs none /mnt
mkdir -p {top}/upper {top}/work /mnt/root
mount -t overlay none -o lowerdir=/,upperdir={top}/upper,workdir={top}/work \
    /mnt/root
mount -t proc none /mnt/root/proc
mount --bind /dev /mnt/root/dev
mount -t tmpfs none /mnt/root/run
mkdir -p /mnt/root/mnt/packages
mount --bind {packages} /mnt/root/mnt/packages
exec chroot /mnt/root sh -ec "$1"
"""
# Dovecot's configuration of these tests: nothing but the plugin.
NAMED = r"""printf '%s\n' 'protocol imap {' \
    ' mail_plugins = $mail_plugins xaps_imap' '}' 'ssl = no' \
    >/etc/dovecot/dovecot.conf
"""
PLAIN = "echo 'ssl = no' >/etc/dovecot/dovecot.conf\n"
MODULES = "$(. /usr/lib/dovecot/dovecot-config; echo $dovecot_moduledir)"


def version():
    return re.search(r"^VERSION = (\S+)", (ROOT / "Makefile").read_text(),
                     re.M)[1]


def run(*command, **more):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=240, **more)
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


class Machine:
    """A copy of this machine with the packages in /mnt/packages; what a
    command changes is seen by the next."""

    def __init__(self, top, packages):
        self.script = OVERLAY.format(top=top, packages=packages)

    def run(self, command, status=0):
        done = subprocess.run(
            ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child",
             "sh", "-ec", self.script, "sh", command],
            stdin=subprocess.DEVNULL, text=True, timeout=240,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == status or \
            (status is None and done.returncode), done.stdout
        return done.stdout


@pytest.fixture(scope="module")
def folder():
    """Not pytest's, which nobody but root may enter: makepkg is not root."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="xp-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def tarball(folder):
    """The release's own, of the files as they are here."""
    own = {k: v for k, v in os.environ.items()
           if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "BUILD")}
    run("make", "-s", "-C", str(ROOT), "release-source",
        "DIST=%s" % folder, env=own)
    return folder / ("xapsd-%s.tar.gz" % version())


@pytest.fixture
def machine(tmp_path, packages):
    top = tmp_path / "overlay"
    top.mkdir()
    # an overlay needs a file system that can be its upper one
    return Machine(top, packages)


class Rpm:
    tools = ["rpmbuild", "rpm", "checkmodule", "semodule_package"]
    install = "rpm --force-debian -i --nodeps "
    upgrade = "rpm --force-debian -U --nodeps --replacepkgs "
    remove = "rpm --force-debian -e "
    daemon = "/mnt/packages/xapsd-[0-9]*.rpm"
    plugin = "/mnt/packages/dovecot-xaps-[0-9]*.rpm"
    sbin = "/usr/sbin"
    saved = ".rpmsave"

    @staticmethod
    def build(folder, tarball):
        top = folder / "rpm"
        (top / "SOURCES").mkdir(parents=True)
        shutil.copy(tarball, top / "SOURCES")
        run("rpmbuild", "-bb", "--nodeps", "--define", "_topdir %s" % top,
            "--define", "_rpmdir %s/out" % folder,
            "--define", "_build_name_fmt %%{NAME}-%%{VERSION}.rpm",
            str(ROOT / "packaging/rpm/xapsd.spec"))
        return folder / "out"


class Arch:
    tools = ["makepkg", "pacman", "bsdtar"]
    install = "pacman -U --noconfirm -dd "
    upgrade = install
    remove = "pacman -R --noconfirm -dd "
    daemon = "/mnt/packages/xapsd-[0-9]*.pkg.tar.gz"
    plugin = "/mnt/packages/dovecot-xaps-[0-9]*.pkg.tar.gz"
    sbin = "/usr/bin"
    saved = ".pacsave"

    @staticmethod
    def build(folder, tarball):
        top = folder / "arch"
        shutil.copytree(ROOT / "packaging/arch", top)
        shutil.copy(tarball, top)
        run("chown", "-R", "nobody:nogroup", str(top))
        run("setpriv", "--reuid", "nobody", "--regid", "nogroup",
            "--clear-groups", "makepkg", "-f", "--nodeps", cwd=top,
            env={**os.environ, "HOME": str(top), "PKGEXT": ".pkg.tar.gz"})
        return top


@pytest.fixture(scope="module", params=[Rpm, Arch])
def kind(request):
    missing = [t for t in request.param.tools if not shutil.which(t)]
    if missing or os.getuid():
        pytest.skip("no %s" % ", ".join(missing) if missing else "not root")
    return request.param


@pytest.fixture(scope="module")
def packages(kind, folder, tarball):
    own = folder / kind.__name__
    own.mkdir()
    return kind.build(own, tarball)


def test_daemon(machine, kind):
    """Installed, its file changed, installed again, removed."""
    conf = "/etc/xapsd/xapsd.yaml"
    machine.run(kind.install + kind.daemon)
    said = machine.run("%s/xapsd --version; stat -c '%%U %%G %%a' /etc/xapsd %s;"
                       "id xapsd; grep ^ExecStart= "
                       "/usr/lib/systemd/system/xapsd.service" % (
                           kind.sbin, conf))
    assert said.startswith("xapsd " + version())
    assert "root xapsd 750\nxapsd xapsd 600\n" in said
    assert "(xapsd-mail)" in said
    assert "ExecStart=%s/xapsd -c %s\n" % (kind.sbin, conf) in said
    machine.run("echo 'delay: 7s' >>%s" % conf)
    machine.run(kind.upgrade + kind.daemon)
    said = machine.run("tail -n 1 %s; stat -c '%%U %%a' %s" % (conf, conf))
    assert said == "delay: 7s\nxapsd 600\n"
    said = machine.run(kind.remove + "xapsd; ls /etc/xapsd; "
                       "command -v xapsd || echo gone")
    assert "xapsd.yaml" + kind.saved in said and said.endswith("gone\n")


def test_plugin_for_this_dovecot_only(packages, kind):
    dovecot = run("dovecot", "--version").split()[0]
    if kind is Rpm:
        said = run("rpm", "-qp", "--requires", *map(str, packages.rglob(
            "dovecot-xaps-*.rpm")))
        assert "dovecot = %s\n" % dovecot in said
    else:
        path, = packages.glob("dovecot-xaps-*.pkg.tar.gz")
        said = run("tar", "xOf", str(path), ".PKGINFO")
        assert "depend = dovecot=%s\n" % dovecot in said


def test_plugin_is_kept_while_it_is_named(machine, kind):
    machine.run(PLAIN + kind.install + kind.plugin)
    machine.run(NAMED + "doveconf -n | grep xaps_imap")
    said = machine.run(kind.remove + "dovecot-xaps", status=None)
    assert "nobody could log in. Nothing was removed" in \
        " ".join(said.split())
    machine.run("ls %s/lib95_xaps_imap_plugin.so" % MODULES)
    machine.run(PLAIN + kind.remove + "dovecot-xaps")
    machine.run("! ls %s/lib95_xaps_imap_plugin.so" % MODULES)


def test_beside_another_plugin(machine, kind):
    machine.run("touch %s/lib25_xaps_imap_plugin.so" % MODULES)
    # pacman cannot be kept from it: the modules go at once
    said = machine.run(kind.install + kind.plugin,
                       status=None if kind is Rpm else 0)
    assert "rm /" in said and "lib25_xaps_imap_plugin.so" in said
    machine.run("! ls %s/lib95_xaps_imap_plugin.so" % MODULES)
    machine.run("rm %s/lib25_xaps_imap_plugin.so" % MODULES)
    machine.run(kind.install + kind.plugin)
    machine.run("ls %s/lib95_xaps_imap_plugin.so" % MODULES)


def test_upgrade_of_a_plugin_that_is_named(machine, kind):
    """Nobody is asked: the modules are there before and after."""
    machine.run(PLAIN + kind.install + kind.plugin)
    machine.run(NAMED + kind.upgrade + kind.plugin)
    machine.run("ls %s/lib95_xaps_imap_plugin.so" % MODULES)


def test_selinux_module(machine, kind):
    if kind is not Rpm:
        pytest.skip("RPM only")
    said = machine.run("rpm -qpl /mnt/packages/xapsd-selinux-*.rpm")
    assert said == "/usr/share/selinux/packages/xapsd.pp\n"
