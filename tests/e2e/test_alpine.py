"""Alpine's packaging as far as it can be had here: the functions of APKBUILD run by
busybox's ash, the package scripts with stand-ins for busybox's adduser, and the
OpenRC script under a real OpenRC, in a copy of this machine that is thrown away."""

import os
import re
import shutil
import subprocess

import pytest

from test_foreign_packages import Machine
from xapsd import ROOT

pytestmark = pytest.mark.timeout(300)

ALPINE = ROOT / "packaging/alpine"
OPENRC = ("openrc", "librc1", "libeinfo1")
# busybox's, which Debian's lacks
STAND_INS = {
    "addgroup": """case $1 in
-S) getent group "$2" >/dev/null && exit 1; exec groupadd -r "$2" ;;
*) exec usermod -aG "$2" "$1" ;;
esac""",
    "adduser": """[ "$*" = "-S -D -H -h /var/lib/xapsd -s /sbin/nologin -G xapsd \
-g xapsd xapsd" ] || exit 99
id xapsd >/dev/null 2>&1 && exit 1
exec useradd -r -d /var/lib/xapsd -s /sbin/nologin -g xapsd xapsd""",
}


def sh(script, **more):
    done = subprocess.run(
        ["busybox", "ash", "-euc", script], text=True, timeout=240,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **more)
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """What abuild would put into the packages; the owners are set by the test,
    where there are such users.  And OpenRC, unpacked."""
    if "CHECK_PACKAGES" not in os.environ or not shutil.which("busybox"):
        pytest.skip("make check-packages")
    folder = tmp_path_factory.mktemp("alpine")
    for above in [folder, *folder.parents][:3]:
        above.chmod(0o755)
    tree = folder / "src/tree"
    tree.mkdir(parents=True)
    for name in subprocess.run(
            ["git", "-C", ROOT, "ls-files"], text=True, check=True,
            capture_output=True).stdout.splitlines():
        if (ROOT / name).exists():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree / name)
    for name in "xapsd.initd", "xapsd.confd":
        shutil.copy(ALPINE / name, folder / "src")
    sh("""chown() { :; }
    . %s/APKBUILD
    srcdir=$1/src builddir=$1/src/tree pkgdir=$1/xapsd subpkgdir=$1/plugin
    cd "$builddir"; build; cd "$builddir"; package; cd "$builddir"; _plugin
    echo "$depends" >$1/depends""".replace("$1", str(folder)) % ALPINE,
       env={**os.environ, "CFLAGS": "-O0", "CPPFLAGS": "", "LDFLAGS": ""})
    for name in ALPINE.iterdir():
        shutil.copy(name, folder)
    for name, text in STAND_INS.items():
        (folder / name).write_text("#!/bin/sh\n%s\n" % text)
        (folder / name).chmod(0o755)
    (folder / "openrc").mkdir()
    for _ in range(2):      # a mirror that fails once is asked a second time
        done = subprocess.run(
            ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "-o",
             "Acquire::Retries=3", "download", *OPENRC],
            cwd=folder / "openrc", capture_output=True, text=True, check=False)
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.stderr
    for deb in (folder / "openrc").glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", deb, folder / "openrc/root"],
                       check=True)
    return folder


@pytest.fixture
def machine(tmp_path, packages):
    top = tmp_path / "overlay"
    top.mkdir()
    return Machine(top, packages)


def test_what_is_packed(packages):
    def names(part):
        return {str(p.relative_to(packages / part)) for p in
                (packages / part).rglob("*") if not p.is_dir()}

    daemon = names("xapsd")
    assert {"usr/sbin/xapsd", "etc/init.d/xapsd", "etc/conf.d/xapsd",
            "etc/xapsd/xapsd.yaml", "usr/share/man/man8/xapsd.8",
            "usr/share/man/man7/xapsd-api.7",
            "usr/share/licenses/xapsd/LICENSE"} < daemon
    assert not [n for n in daemon if "systemd" in n or "sysusers" in n
                or n.startswith("usr/lib/")]
    plugin = names("plugin")
    assert {"usr/share/dovecot-xaps/guard.sh",
            "usr/share/dovecot-xaps/90-xaps.conf"} < plugin
    assert len([n for n in plugin if "/lib95_xaps_" in n]) == len(plugin) - 2
    assert re.fullmatch(r"dovecot~\d[\w.+~-]* !dovecot-xaps-plugin\n",
                        (packages / "depends").read_text())
    said = subprocess.run([packages / "xapsd/usr/sbin/xapsd", "--version"],
                          check=True, text=True, capture_output=True).stdout
    assert "systemd" not in said and "tls-listener" in said, said


def test_names_and_files():
    """Each script belongs to a package, is named, and is there; the daemon's
    version is the tree's."""
    text = (ALPINE / "APKBUILD").read_text()
    listed = re.search(r'^install="(.*?)"', text, re.M | re.S)[1].replace(
        "$pkgname", "xapsd").split()
    assert set(listed) == {p.name for p in ALPINE.iterdir()
                           if re.search(r"\.(pre|post)-", p.name)}
    assert "pkgver=%s\n" % re.search(
        r"^VERSION = (\S+)", (ROOT / "Makefile").read_text(), re.M)[1] in text
    for path in ALPINE.iterdir():
        subprocess.run(["busybox", "ash", "-n", path], check=True)


# --- the package's scripts ---

SETUP = r"""
export PATH=/mnt/packages:$PATH
sh /mnt/packages/xapsd.pre-install
cp -a /mnt/packages/openrc/root/etc /mnt/packages/openrc/root/sbin \
    /mnt/packages/openrc/root/lib /tmp
for d in sbin lib etc; do cp -a /tmp/$d/. /$d/; done
rm -f /etc/init.d/*
touch /etc/insserv.conf
printf '%s\n' '#!/sbin/openrc-run' 'start() { :; }' >/etc/init.d/localmount
chmod 755 /etc/init.d/localmount
cp -a /mnt/packages/xapsd/. /
chown root:xapsd /etc/xapsd; chown xapsd:xapsd /etc/xapsd/xapsd.yaml
for d in daemons exclusive failed hotplugged inactive options scheduled started \
    starting stopping tmp wasinactive; do mkdir -p /run/openrc/$d; done
touch /run/openrc/softlevel
"""


def test_users(machine):
    said = machine.run("""
    export PATH=/mnt/packages:$PATH
    for again in 1 2; do sh /mnt/packages/xapsd.pre-install || exit; done
    sh /mnt/packages/xapsd.pre-upgrade
    id xapsd""")
    assert re.search(r"uid=\d+\(xapsd\) gid=\d+\(xapsd\) groups=\d+\(xapsd\),"
                     r"\d+\(xapsd-mail\)$", said), said


def test_another_plugin_is_here(machine):
    said = machine.run("""
    cd /usr/lib/dovecot; rm -f *xaps_*.so
    sh /mnt/packages/dovecot-xaps.pre-install
    touch lib95_xaps_imap_plugin.so
    sh /mnt/packages/dovecot-xaps.pre-upgrade
    touch lib25_xaps_imap_plugin.so
    ! sh /mnt/packages/dovecot-xaps.pre-install
    """)
    assert "rm /usr/lib/dovecot/lib25_xaps_imap_plugin.so" in said


def test_the_plugin_is_not_removed_while_it_is_named(machine):
    said = machine.run("""
    cp -a /mnt/packages/plugin/. /
    printf '%s\\n' 'protocol imap {' ' mail_plugins = xaps_imap' '}' 'ssl = no' \
        >/etc/dovecot/dovecot.conf
    ! sh /mnt/packages/dovecot-xaps.pre-deinstall
    echo 'ssl = no' >/etc/dovecot/dovecot.conf
    sh /mnt/packages/dovecot-xaps.pre-deinstall
    """)
    assert "nobody could log in" in said and "dovecot.conf:2:" in said


# --- OpenRC ---

UNTIL = """
until_true() {
    n=0
    until "$@"; do
        n=$((n + 1)); [ $n -lt 300 ] || { echo "not so: $*"; exit 1; }
        sleep 0.1
    done
}
log() { cat /tmp/log; }
answers() { xapsd status >/dev/null 2>&1; }
is_gone() { ! [ -e /proc/$1 ]; }
is_another() { now=$(pidof xapsd) && [ "$now" != "$1" ]; }
"""


def test_openrc(machine):
    """Started, reloaded, killed and back, restarted, stopped; a mistake in the
    configuration stops none of that runs."""
    said = machine.run(SETUP + UNTIL + r"""
    rc-service xapsd start
    until_true answers
    stat -c '%U:%G %a %n' /run/xapsd /run/xapsd/xapsd.sock /var/lib/xapsd
    first=$(pidof xapsd)
    ps -o user= -p $first
    grep '^Groups' /proc/$first/status | wc -w
    rc-service xapsd status
    rc-service xapsd checkconfig && echo checked

    echo === reload
    rc-service xapsd reload
    [ "$(pidof xapsd)" = $first ]

    echo === mistakes
    cp -p /etc/xapsd/xapsd.yaml /tmp/good
    echo 'nonsense: 1' >>/etc/xapsd/xapsd.yaml
    ! rc-service xapsd checkconfig
    ! rc-service xapsd reload
    ! rc-service xapsd restart
    [ "$(pidof xapsd)" = $first ] && echo runs on
    cp -p /tmp/good /etc/xapsd/xapsd.yaml

    echo === killed
    kill -9 $first
    until_true is_another $first
    until_true answers
    second=$(pidof xapsd)

    echo === restart
    rc-service xapsd restart
    until_true answers
    third=$(pidof xapsd)
    [ $second != $third ]

    echo === stop
    rc-service xapsd stop
    until_true is_gone $third
    ! pidof xapsd
    echo 'nonsense: 1' >>/etc/xapsd/xapsd.yaml
    ! rc-service xapsd start
    ! pidof xapsd
    echo all is well
    """)
    parts = re.split("=== (.*)\n", said)
    begin, parts = parts[0], dict(zip(parts[1::2], parts[2::2]))
    assert "xapsd:xapsd 755 /run/xapsd\n" in begin, said
    assert "xapsd:xapsd-mail 660 /run/xapsd/xapsd.sock\n" in begin, said
    assert "xapsd:xapsd 700 /var/lib/xapsd\n" in begin, said
    assert "\nxapsd\n3\n" in begin, said        # both groups
    assert "status: started" in begin and "\nchecked\n" in begin, said
    assert "no credentials" in begin, said      # a warning
    assert "Reloading xapsd" in parts["reload"], said
    assert parts["mistakes"].count("nonsense") == 3, said
    assert "xapsd.yaml cannot be used" in parts["mistakes"], said
    assert "runs on" in parts["mistakes"], said
    assert parts["stop"].endswith("all is well\n"), said
