"""Dovecot lets nobody in whose configuration names a module that is missing, of
another ABI, or there twice: what packages and `make uninstall` do about it, with real
log-ins.  lockout.py ROOT DEBS, after walk.py; DEBS holds Dovecot's packages."""

import hashlib
import imaplib
import os
import pathlib
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
import walk
from walk import ENTER, LIMIT_S, ROOT, SNIPPET, expect, run, say, until
from walk import start_dovecot

TREE = pathlib.Path(__file__).resolve().parents[2]
EXTRA = ROOT / "etc/dovecot/extra.conf"
ASIDE = SNIPPET.with_name(SNIPPET.name + ".disabled-by-dovecot-xaps")
MODULES = ROOT / "usr/lib/dovecot/modules"


def apt(*words):
    """Status and what it said."""
    done = subprocess.run(
        [*ENTER, "apt-get", "-q", "-y", "--no-install-recommends",
         "-o", "APT::Sandbox::User=root", "-o", "Dpkg::Use-Pty=0",
         "-o", "Dpkg::Options::=--force-confold", *words], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=4 * LIMIT_S)
    return done.returncode, done.stdout


def try_log_in():
    """The capabilities; None: nobody is let in."""
    try:
        imap = imaplib.IMAP4("127.0.0.1", 143, LIMIT_S)
        imap.login("alice", "secret")
        said = imap.capability()[1][0]
        imap.logout()
        return said
    except (OSError, imaplib.IMAP4.error):
        return None


def can_log_in(with_push, what):
    """Now, and once Dovecot has read everything again."""
    for again in (False, True):
        if again:
            restart_dovecot()
        said = until(try_log_in, "log-in: %s\n%s" % (
            what, (ROOT / "var/log/dovecot.log").read_text()[-2000:]))
        expect((b"XAPPLEPUSHSERVICE" in said) == with_push, what)


def restart_dovecot():
    walk.stop_dovecot()
    start_dovecot()


def plugin_is_removed(deb):
    say("the plugin is removed while Dovecot's configuration names it")
    status, said = apt("remove", "dovecot-xaps")
    expect(status == 0 and "is %s now" % ASIDE.relative_to(ROOT) in
           said.replace("is /", "is "), said)
    expect(ASIDE.exists() and not SNIPPET.exists(), "the sample is put aside")
    can_log_in(False, "after the removal")
    status, said = apt("install", deb)
    expect(status == 0 and SNIPPET.exists() and not ASIDE.exists(), said)
    can_log_in(True, "after the installation that puts it back")

    EXTRA.write_text("# xaps_imap\nprotocol imap {\n  mail_plugins = "
                     "$mail_plugins xaps_imap\n}\n")
    local = ROOT / "etc/dovecot/local.conf"
    before = local.read_text()
    local.write_text(before + "!include extra.conf\n")
    for word in "remove", "purge":
        status, said = apt(word, "dovecot-xaps")
        expect(status != 0 and "nobody could log in" in said
               and "/etc/dovecot/extra.conf:3:" in said
               and "extra.conf:1:" not in said, said)
        expect(SNIPPET.exists() and not ASIDE.exists(), "nothing is changed")
        can_log_in(True, "after a removal that was refused")
    local.write_text(before)
    EXTRA.unlink()
    SNIPPET.unlink()
    SNIPPET.symlink_to("/usr/share/doc/dovecot-xaps/examples/90-xaps.conf")
    status, said = apt("purge", "dovecot-xaps")
    expect(status == 0, said)
    expect(not SNIPPET.is_symlink() and not ASIDE.is_symlink(), "it is gone")
    can_log_in(False, "after the purge")
    apt("install", deb)
    copy_sample()


def dovecot_goes_by_what_it_read(deb):
    say("the plugin is removed from a Dovecot that has read older lines")
    broken = SNIPPET.with_name("95-broken.conf")
    broken.write_text("nonsense = 1\n")
    status, said = apt("remove", "dovecot-xaps")
    expect(status != 0 and "cannot read its configuration again" in said
           and SNIPPET.exists() and not ASIDE.exists(), said)
    expect(next(MODULES.glob("lib95_xaps_imap_plugin.so"), None), "it stays")
    broken.unlink()
    can_log_in(True, "after a removal that was refused")
    SNIPPET.unlink()            # and no doveadm reload
    status, said = apt("remove", "dovecot-xaps")
    expect(status == 0, said)
    can_log_in(False, "after the removal")
    apt("install", deb)
    copy_sample()
    restart_dovecot()


def dovecot_of_another_abi(debs, deb):
    say("Dovecot is upgraded to another ABI")
    names = []
    for name in "core", "imapd", "lmtpd":
        source = next(debs.glob("dovecot-%s_*.deb" % name))
        folder = ROOT / "tmp/abi"
        subprocess.run(["dpkg-deb", "-R", source, folder], check=True)
        control = folder / "DEBIAN/control"
        text = control.read_text()
        version = re.search("^Version: (.*)", text, re.M)[1]
        control.write_text(text.replace(version, version + "+9").replace(
            "dovecot-abi-2.3.abiv19", "dovecot-abi-2.3.abiv99"))
        names.append("/tmp/new-%s.deb" % name)
        subprocess.run(["dpkg-deb", "-Znone", "-b", folder,
                        ROOT / names[-1][1:]], check=True,
                       stdout=subprocess.DEVNULL)
        shutil.rmtree(folder)
    status, said = apt("install", *names)
    expect(status == 0 and "Removing dovecot-xaps" in said, said)
    restart_dovecot()
    can_log_in(False, "the plugin is gone with the ABI")
    status, said = apt("install", deb)
    expect(status != 0 and "dovecot-abi-2.3.abiv19" in said, said)
    done = subprocess.run([*ENTER, "dpkg", "-i", deb], capture_output=True,
                          text=True, check=False)
    expect(done.returncode and "is for another Dovecot" in done.stderr
           and not list(MODULES.glob("*xaps*")), done.stderr)
    for name in names:
        (ROOT / name[1:]).unlink()


def another_plugin(deb):
    """Of the field: the same modules by other file names."""
    say("another plugin is here already")
    ours = [p for p in MODULES.glob("lib95_xaps_*_plugin.so")]
    kept = [shutil.copy(p, ROOT / "tmp") for p in ours]
    for name in "lib25_", "lib":
        others = [MODULES / p.name.replace("lib95_", name) for p in ours]
        for kept_at, other in zip(kept, others):
            shutil.copy(kept_at, other)
        expect(try_log_in() is None, "both together let nobody in")
        said = run("xapsd", "check", "--offline")
        expect(all("rm /" + str(o.relative_to(ROOT)) in said for o in others),
               said)
        apt("remove", "dovecot-xaps")
        status, said = apt("install", deb)
        expect(status != 0 and all(str(o.relative_to(ROOT)) in said
                                   for o in others) and "    rm /" in said, said)
        for other in others:
            other.unlink()
        status, said = apt("install", deb)
        expect(status == 0, said)
        can_log_in(True, "after the other one is gone")

    say("and is a package")
    folder = ROOT / "tmp/other"
    (folder / "DEBIAN").mkdir(parents=True)
    (folder / "DEBIAN/control").write_text(
        "Package: dovecot-xaps-plugin\nVersion: 1.4.6\nArchitecture: all\n"
        "Maintainer: nobody <nobody@example.org>\nDescription: another\n")
    place = folder / MODULES.relative_to(ROOT)
    place.mkdir(parents=True)
    apt("remove", "dovecot-xaps")
    for kept_at in kept:
        shutil.copy(kept_at, place / pathlib.Path(kept_at).name.replace(
            "lib95_", "lib25_"))
        os.unlink(kept_at)
    subprocess.run(["dpkg-deb", "-Znone", "-b", folder, ROOT / "tmp/other.deb"],
                   check=True, stdout=subprocess.DEVNULL)
    run("dpkg", "-i", "/tmp/other.deb")
    status, said = apt("install", deb)
    expect(status == 0 and "Removing dovecot-xaps-plugin" in said, said)
    can_log_in(True, "it took the other's place")
    run("dpkg", "--purge", "dovecot-xaps-plugin")
    shutil.rmtree(folder)


def forks_archive():
    """Its packages are newer by their number, and apt knows where they are."""
    say("an archive that has the forks' packages, too")
    archive = ROOT / "root/forks"
    archive.mkdir()
    for name, version in ("xapsd", "1.4.1"), ("dovecot-xaps-plugin", "1.4.6"):
        folder = ROOT / "tmp/fork"
        (folder / "DEBIAN").mkdir(parents=True)
        (folder / "DEBIAN/control").write_text(
            "Package: %s\nVersion: %s\nArchitecture: amd64\nMaintainer: nobody "
            "<nobody@example.org>\nDescription: another\n" % (name, version))
        subprocess.run(["dpkg-deb", "-Znone", "-b", folder, archive / (
            "%s_%s_amd64.deb" % (name, version))], check=True,
            stdout=subprocess.DEVNULL)
        shutil.rmtree(folder)
    ours = {p.name.partition("_")[0]: shutil.copy(p, archive)
            for p in (ROOT / "tmp").glob("*_amd64.deb")}
    expect(set(ours) == {"xapsd", "dovecot-xaps"}, ours)
    index = []
    for deb in archive.glob("*.deb"):
        control = subprocess.run(["dpkg-deb", "-f", deb], check=True, text=True,
                                 capture_output=True).stdout
        index.append("%sFilename: ./%s\nSize: %d\nSHA256: %s\n" % (
            control, deb.name, deb.stat().st_size,
            hashlib.sha256(deb.read_bytes()).hexdigest()))
    (archive / "Packages").write_text("\n".join(index))
    sources = ROOT / "etc/apt/sources.list"
    before = sources.read_text()
    sources.write_text("deb [trusted=yes] file:/root/forks ./\n")
    expect(apt("update")[0] == 0, "apt reads it")
    version = run("dpkg-query", "-W", "-f", "${Version}", "xapsd")
    for words in (["dist-upgrade"], ["install", "xapsd"]):
        status, said = apt(*words)
        expect(status == 0 and "Removing" not in said, said)
        expect(run("dpkg-query", "-W", "-f", "${Version}", "xapsd") == version
               and version.startswith("1:"), said)
        can_log_in(True, "after " + words[0])
    # and who has theirs gets ours
    run("dpkg", "--purge", "--force-depends", "xapsd")
    status, said = apt("install", "xapsd=1.4.1")
    expect(status == 0, said)
    status, said = apt("dist-upgrade")
    expect(run("dpkg-query", "-W", "-f", "${Version}", "xapsd") == version, said)
    sources.write_text(before)
    shutil.rmtree(archive)


def from_source():
    say("uninstalled from source while Dovecot's configuration names it")
    shutil.copy(TREE / "plugin/guard.sh", ROOT / "tmp")
    done = subprocess.run([*ENTER, "sh", "/tmp/guard.sh", "uninstall"],
                          capture_output=True, text=True)
    expect(done.returncode == 1 and "nobody could log in" in done.stderr
           and "/etc/dovecot/conf.d/90-xaps.conf:" in done.stderr
           and "doveadm reload" in done.stderr, done.stderr)
    broken = SNIPPET.with_name("95-broken.conf")
    broken.write_text("nonsense = 1\n")
    for what in "uninstall", "reload":
        done = subprocess.run([*ENTER, "sh", "/tmp/guard.sh", what], text=True,
                              capture_output=True)
        expect(done.returncode == 1 and "Nothing was removed" in done.stderr,
               done.stderr)
    broken.unlink()
    SNIPPET.unlink()
    run("sh", "/tmp/guard.sh", "uninstall")
    run("sh", "/tmp/guard.sh", "reload")
    for module in MODULES.glob("lib95_xaps_*"):
        module.rename(ROOT / "tmp" / module.name)
    can_log_in(False, "after make uninstall")
    for module in (ROOT / "tmp").glob("lib95_xaps_*"):
        shutil.move(module, MODULES)


def copy_sample():
    shutil.copy(ROOT / "usr/share/doc/dovecot-xaps/examples/90-xaps.conf",
                SNIPPET)
    run("sed", "-i", "s/^#mail_access/mail_access/",
        "/etc/dovecot/conf.d/90-xaps.conf")


def main():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    os.environ.update(DEBIAN_FRONTEND="noninteractive", LC_ALL="C",
                      PATH="/usr/sbin:/usr/bin:/sbin:/bin")
    debs = walk.packages("tmp")
    deb = "/tmp/" + debs["dovecot-xaps"]
    status, said = apt("install", *("/tmp/" + d for d in debs.values()))
    expect(status == 0, said)
    walk.configure("-o xapsd -g xapsd -m 600")
    start_dovecot()
    can_log_in(True, "as installed")
    plugin_is_removed(deb)
    restart_dovecot()
    dovecot_goes_by_what_it_read(deb)
    another_plugin(deb)
    forks_archive()
    from_source()
    copy_sample()
    restart_dovecot()
    dovecot_of_another_abi(pathlib.Path(sys.argv[2]), deb)
    run("doveadm", "stop")


main()
