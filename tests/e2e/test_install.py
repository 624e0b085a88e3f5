"""`make install` and `make uninstall`, from the outside."""

import os
import pathlib
import re
import shutil
import stat
import subprocess

import pytest

from xapsd import ROOT, executable

EXPOSURE_MAX = 2.0      # systemd-analyze's scale from 0 to 10

DAEMON = {
    "{prefix}/sbin/xapsd": 0o755,
    "{prefix}/share/man/man7/xapsd-api.7": 0o644,
    "{prefix}/share/man/man8/xapsd.8": 0o644,
    "{prefix}/share/bash-completion/completions/xapsd": 0o644,
    "{prefix}/share/zsh/site-functions/_xapsd": 0o644,
    "{prefix}/lib/systemd/system/xapsd.service": 0o644,
    "{prefix}/lib/systemd/system/xapsd.socket": 0o644,
    "{prefix}/lib/sysusers.d/xapsd.conf": 0o644,
    "{prefix}/lib/tmpfiles.d/xapsd.conf": 0o644,
    **{"{prefix}/share/doc/xapsd/%s" % p.relative_to(ROOT): 0o644 for p in
       [*(ROOT / n for n in ("README.md", "CHANGELOG.md", "SECURITY.md")),
        *(ROOT / "docs").glob("*.md")]},
    "{prefix}/share/doc/xapsd/examples/xapsd.yaml": 0o644,
    "{prefix}/share/doc/xapsd/examples/90-xaps-2.3.conf": 0o644,
    "{prefix}/share/doc/xapsd/examples/90-xaps-2.4.conf": 0o644,
    "{sysconfdir}/xapsd/xapsd.yaml": 0o600,
}
PLUGIN = {
    "/modules/lib95_xaps_imap_plugin.so": 0o644,
    "/modules/lib95_xaps_push_notification_plugin.so": 0o644,
    "/doc/90-xaps.conf": 0o644,
}


def make(*args):
    environment = {k: v for k, v in os.environ.items()
                   if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "BUILD",
                                "PLUGIN", "XAPSD", "PROG")}
    result = subprocess.run(
        ["make", "-C", ROOT, "PROG=" + executable(),
         # up to date: what is tested is what gets installed
         "-o", executable(), *args],
        capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture
def root(tmp_path):
    """A destination, and the make variables that go with it."""
    folder = tmp_path / "root"
    plugin = tmp_path / "build/plugin"
    plugin.mkdir(parents=True)
    built = pathlib.Path(os.environ.get("PLUGIN", ROOT / "build/plugin"))
    for file in built.glob("*"):
        shutil.copy2(file, plugin)
    return folder, ["DESTDIR=%s" % folder, "BUILD=%s" % (tmp_path / "build"),
                    "DOVECOT_MODULEDIR=/modules", "DOVECOT_DOCDIR=/doc"]


def files(folder):
    return {"/" + str(p.relative_to(folder)): stat.S_IMODE(p.stat().st_mode)
            for p in folder.rglob("*") if not p.is_dir()}


def expected(prefix, sysconfdir):
    names = {name.format(prefix=prefix, sysconfdir=sysconfdir): mode
             for name, mode in DAEMON.items()}
    return {**names, **PLUGIN}


@pytest.mark.parametrize("prefix, sysconfdir", [
    ("/usr/local", "/etc"), ("/opt/x", "/opt/x/etc")])
def test_install_and_uninstall(root, prefix, sysconfdir):
    folder, args = root
    args += ["PREFIX=" + prefix, "SYSCONFDIR=" + sysconfdir]
    make("install", *args)
    assert files(folder) == expected(prefix, sysconfdir)

    unit = (folder / prefix[1:] / "lib/systemd/system/xapsd.service"
            ).read_text()
    assert re.findall("^ExecStart=(.*)", unit, re.M) == [
        "%s/sbin/xapsd -c %s/xapsd/xapsd.yaml" % (prefix, sysconfdir)]

    # the Unix socket alone, for the mail processes alone
    assert re.findall(r"^(?!#).+", (
        folder / sysconfdir[1:] / "xapsd/xapsd.yaml").read_text(), re.M) == [
            "socketGroup: xapsd-mail", "port: 0"]

    # pictures are not installed, nor lines with them
    papers = list((folder / prefix[1:] / "share/doc/xapsd").rglob("*.md"))
    assert papers and not any("![" in p.read_text() for p in papers)

    # a second time: the administrator's configuration stays, and a Dovecot that
    # runs has the old module or the new one, never half of one
    config = folder / sysconfdir[1:] / "xapsd/xapsd.yaml"
    config.write_text("delay: 5s\n")
    module = folder / "modules/lib95_xaps_imap_plugin.so"
    os.link(module, folder.parent / "kept")
    make("install", *args)
    assert not module.samefile(folder.parent / "kept")
    steps = subprocess.run(["make", "-n", "-C", ROOT / "plugin", "install"],
                           text=True, capture_output=True, check=True).stdout
    assert re.search(r"install -m 644 \$f \$to.new && mv -f", steps)
    assert config.read_text() == "delay: 5s\n"
    assert files(folder) == expected(prefix, sysconfdir)

    # somebody else's file beside ours stays, too
    other = folder / prefix[1:] / "share/doc/xapsd/notes"
    other.write_text("mine\n")
    make("uninstall", *args)
    assert sorted(files(folder)) == sorted(
        ["%s/xapsd/xapsd.yaml" % sysconfdir, "%s/share/doc/xapsd/notes"
         % prefix])


def test_install_without_plugin(root):
    folder, args = root
    (folder.parent / "build/plugin/installable").unlink()
    make("install", *args)
    assert files(folder) == {
        k: v for k, v in expected("/usr/local", "/etc").items()
        if k not in PLUGIN}


def refused(*args, **environment):
    """`make ARGS` fails: what it says."""
    result = subprocess.run(
        ["make", "-C", ROOT, "PROG=" + executable(), "-o", executable(), *args],
        capture_output=True, text=True, env={
            **{k: v for k, v in os.environ.items()
               if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "BUILD",
                            "PLUGIN", "XAPSD", "PROG")}, **environment})
    assert result.returncode != 0, result.stdout
    return result.stderr


@pytest.mark.parametrize("name", [
    "lib25_xaps_imap_plugin.so", "lib10_xaps_push_notification_plugin.so",
    "libxaps_imap_plugin.so", "xaps_imap_plugin.so"])
def test_install_beside_another_plugin(root, name):
    """Dovecot lets nobody in when it finds a module twice."""
    folder, args = root
    (folder / "modules").mkdir(parents=True)
    other = folder / "modules" / name
    other.write_text("another's")
    said = refused("install", *args)
    assert "Multiple files for module" in said
    assert "\n    rm %s\n" % other in said
    assert list(files(folder)) == ["/modules/" + name]     # nothing was done
    other.rename(other.with_name("lib25_other_plugin.so"))
    make("install", *args)
    make("install", *args)      # ours are no others


def test_install_for_another_dovecot(root):
    folder, args = root
    (folder / "modules").mkdir(parents=True)
    stock = folder / "modules/lib20_push_notification_plugin.so"
    stock.write_bytes(b"\x7fELF\0\0002.2.ABIv7(2.2.36)\0")
    said = refused("install", *args)
    assert re.search(r"built for Dovecot's ABI 2\.\d\.ABIv\d+, and the Dovecot "
                     r"in %s/modules has 2\.2\.ABIv7" % folder, said), said
    assert list(files(folder)) == ["/modules/" + stock.name]


@pytest.mark.parametrize("config, is_refused", [
    ("protocol imap {\n  mail_plugins = notify xaps_imap\n}", True),
    ("protocol imap {\n  mail_plugins {\n    xaps_imap = yes\n  }\n}", True),
    ("plugin {\n  push_notification_driver = xaps\n}", True),
    ("push_notification xaps {\n  driver = xaps\n}", True),
    ("xaps_url = http://localhost:11619", True),
    ("mail_access_groups = xapsd-mail\nplugin {\n  xaps_config = "
     "url=unix:/run/xapsd/xapsd.sock\n}", False),
    ("", False)], ids=lambda v: str(v)[:30])
def test_uninstall_while_dovecot_names_it(tmp_path, config, is_refused):
    """With a Dovecot's answer that is made up; tests/deb/lockout.py has a real
    one.  Nothing is uninstalled: this asks only."""
    doveconf = tmp_path / "doveconf"
    doveconf.write_text("#!/bin/sh\ncat <<'END'\n# 2.3\n%s\nEND\n" % config)
    doveconf.chmod(0o755)
    path = {"PATH": "%s:%s" % (tmp_path, os.environ["PATH"])}
    ask = ["-C", "plugin", "may-uninstall"]
    if is_refused:
        said = refused(*ask, **path)
        assert "nobody could log in" in said and "doveadm reload" in said
        # the real targets ask first
        for target in (["uninstall"], ["-C", "plugin", "uninstall"]):
            steps = subprocess.run(
                ["make", "-n", "-C", ROOT, *target], text=True,
                capture_output=True, check=True).stdout
            assert 0 < steps.index("guard.sh uninstall") < steps.index("rm -f")
    for more in ([], ["DESTDIR=/staging"], ["FORCE=1"]):
        if more or not is_refused:
            subprocess.run(["make", "-C", ROOT, *ask, *more], check=True,
                           env={**os.environ, **path})


@pytest.mark.parametrize("config, is_refused", [
    ("protocol imap {\n  mail_plugins = notify xaps_imap\n}", True),
    ("# mail_plugins = xaps_imap\nprotocols = imap", False)])
def test_uninstall_while_doveconf_fails(tmp_path, config, is_refused):
    """A mistake anywhere in the configuration: doveconf shows nothing of it, and
    the Dovecot that runs still needs the modules."""
    doveconf = tmp_path / "bin/doveconf"
    doveconf.parent.mkdir()
    doveconf.write_text("#!/bin/sh\necho '# 2.3: %s/dovecot.conf'\n"
                        "exit 89\n" % tmp_path)
    doveconf.chmod(0o755)
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/90-x.conf").write_text(config + "\n")
    (tmp_path / "conf.d/90-old").write_text("mail_plugins = xaps_imap\n")
    (tmp_path / "dovecot.conf").write_text("nonsense = 1\n")
    # a prefix that is given is asked before PATH
    ask = ["-C", "plugin", "may-uninstall", "DOVECOT_PREFIX=%s" % tmp_path]
    if is_refused:
        assert "conf.d/90-x.conf:2:" in refused(*ask)
    else:
        subprocess.run(["make", "-C", ROOT, *ask], check=True)


@pytest.mark.parametrize("is_well", [True, False])
def test_the_running_dovecot_is_told(tmp_path, is_well):
    """It goes by what it has read: before the modules go, it must read again."""
    (tmp_path / "master.pid").write_text("%d\n" % os.getpid())
    for name, text in (
            ("doveconf", '[ "$1" = -n ] || echo %s\n' % tmp_path +
             ("" if is_well else '[ "$1" != -n ]\n')),
            ("doveadm", "echo $* >>%s/asked\n" % tmp_path)):
        (tmp_path / name).write_text("#!/bin/sh\n" + text)
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["sh", ROOT / "plugin/guard.sh", "reload"], text=True,
        capture_output=True, check=False, env={
            **os.environ, "PATH": "%s:%s" % (tmp_path, os.environ["PATH"])})
    assert (done.returncode == 0) == is_well
    assert ("Nothing was removed" in done.stderr) != is_well
    assert (tmp_path / "asked").exists() == is_well
    steps = subprocess.run(["make", "-n", "-C", ROOT, "uninstall"], text=True,
                           capture_output=True, check=True).stdout
    assert 0 < steps.index("guard.sh reload") < steps.index("rm -f")


@pytest.mark.skipif(not shutil.which("systemd-analyze"),
                    reason="no systemd here")
def test_the_unit_is_hardened():
    out = subprocess.run(
        ["systemd-analyze", "--no-pager", "--offline=true", "security",
         ROOT / "systemd/xapsd.service"], capture_output=True, text=True)
    level = re.search(r"exposure level for xapsd.service: ([\d.]+)",
                      out.stdout)
    assert level, out.stdout + out.stderr
    assert float(level[1]) < EXPOSURE_MAX


@pytest.mark.skipif(not shutil.which("systemd-analyze"),
                    reason="no systemd here")
def test_units_are_well_formed(root):
    """systemd's own opinion of what is installed."""
    folder, args = root
    make("install", *args)
    units = folder / "usr/local/lib/systemd/system"
    unit = units / "xapsd.service"
    unit.write_text(unit.read_text().replace(
        "ExecStart=", "ExecStart=%s" % folder))
    out = subprocess.run(
        ["systemd-analyze", "verify", "--man=no",
         unit, units / "xapsd.socket"],
        capture_output=True, text=True)
    assert (out.returncode, out.stdout + out.stderr) == (0, "")


def test_who_may_read_what():
    """Group xapsd-mail is for the socket: every mail process is in it."""
    socket = (ROOT / "systemd/xapsd.socket").read_text()
    assert "\nSocketUser=xapsd\n" in socket
    assert "\nSocketGroup=xapsd-mail\n" in socket
    assert "\nSocketMode=0660\n" in socket
    service = (ROOT / "systemd/xapsd.service").read_text()
    assert "\nUser=xapsd\nGroup=xapsd\nUMask=0077\n" in service
    assert "\nStateDirectoryMode=0700\n" in service
    users = (ROOT / "systemd/xapsd.sysusers").read_text()
    assert re.findall("^(?!#).*", users, re.M)[:3] == [
        'u xapsd - "xapsd mail push" /var/lib/xapsd', "g xapsd-mail -",
        "m xapsd xapsd-mail"]
    folders = (ROOT / "systemd/xapsd.tmpfiles").read_text()
    assert re.findall("^d .*", folders, re.M) == [
        "d /etc/xapsd 0750 root xapsd", "d /run/xapsd 0755 xapsd xapsd",
        "d /var/lib/xapsd 0700 xapsd xapsd"]
    # nowhere is a mail process asked into the daemon's own group
    for path in (*(ROOT / "docs").glob("*.md"), "README.md", "xapsd.8", "xapsd.yaml",
                 "plugin/90-xaps-2.3.conf", "plugin/90-xaps-2.4.conf"):
        for line in (ROOT / path).read_text().splitlines():
            assert not re.search(r"^[ #]*mail_access_groups = xapsd$", line), (
                path, line)


def test_version_says_what_was_built():
    """What a report of a problem needs, and true."""
    out = subprocess.run([executable(), "--version"], capture_output=True,
                         text=True, check=True).stdout
    said = re.fullmatch(
        r"xapsd \S+, mbedTLS (\d)\S+\n"
        r"TLS 1\.2( and 1\.3)?; ([\w-]+), "
        r"(shared libraries|static with musl), (gcc|.*[Cc]lang) [\d.]+.*\n"
        r"features: [\w -]+\n",
        out)
    assert said, out
    if said[1] == "2":
        assert not said[2]
    segments = subprocess.run(["readelf", "-lW", executable()], text=True,
                              capture_output=True, check=True).stdout
    assert ("INTERP" in segments) == (said[4] == "shared libraries")


def test_one_version():
    """The Makefile's; packages and changelogs follow it."""
    version = re.search(r"^VERSION = (\S+)$",
                        (ROOT / "Makefile").read_text(), re.M)[1]
    out = subprocess.run([executable(), "--version"], capture_output=True,
                         text=True, check=True).stdout
    assert out.startswith("xapsd %s, " % version)
    assert re.search("^## %s( |$)" % re.escape(version),
                     (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert (ROOT / "debian/changelog").read_text().startswith(
        "xapsd (1:%s) " % version)
    for name, pattern in {
            "openwrt/xapsd/Makefile": r"^PKG_VERSION:=(.*)$",
            "openwrt/dovecot-xaps-plugin/Makefile": r"^PKG_VERSION:=(.*)$",
            "packaging/alpine/APKBUILD": "^pkgver=(.*)$",
            "packaging/arch/PKGBUILD": "^pkgver=(.*)$",
            "packaging/rpm/xapsd.spec": r"^Version: *(.*)$",
            "packaging/docker/compose.yaml": "image: xapsd:(.*)$",
            "packaging/mailcow/docker-compose.override.yml": "image: xapsd:(.*)$",
            "packaging/homeassistant/config.yaml": '^version: "(.*)"$',
            "packaging/homeassistant/Dockerfile": 'io.hass.version="([^"]*)"',
            "docs/docker.md": r" xapsd:(\S+) check$"}.items():
        found = re.findall(pattern, (ROOT / name).read_text(), re.M)
        assert found == [version], name
