"""The OpenWrt packages, without OpenWrt's SDK: tests/openwrt/ stands in for its
buildroot, and for the shell functions that an init script calls."""

import base64
import copy
import hashlib
import json
import os
import pathlib
import re
import shlex
import shutil
import stat
import subprocess

import pytest

from apple import Apple
from xapsd import ROOT, Xapsd, executable, token_key

STUB = ROOT / "tests/openwrt"
FEED = ROOT / "openwrt"
PACKAGES = ["xapsd", "dovecot-xaps-plugin"]
FILES = FEED / "xapsd/files"
SHELLS = [["dash"], ["busybox", "ash"]]
# Odd in a shell, in sed, in printf, in YAML, in UCI.
ODD = r"""it's "q" $HOME `id` \n \\ %s & # : ; * | ~ !é{}[] ,'' '"""


@pytest.fixture(params=SHELLS, ids=lambda s: s[-1])
def shell(request):
    assert shutil.which(request.param[0]), "install " + request.param[0]
    return request.param


# --- the packages ---

def make(out, folder, *args):
    environment = {k: v for k, v in os.environ.items()
                   if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "BUILD",
                                "PLUGIN", "CFLAGS", "LDFLAGS", "WERROR", "PROG",
                                "MBEDTLS_CFLAGS", "MBEDTLS_LIBS", "FEATURES")}
    result = subprocess.run(
        ["make", "-s", "-C", folder, "TOPDIR=%s" % STUB, "OUT=%s" % out,
         *args], capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def info(out, folder, *args):
    """Of the one package of a folder."""
    packages, lines = {}, iter(make(out, folder, *args).splitlines())
    for line in lines:
        words = line.split(" ", 2)
        if len(words) < 2:
            continue
        fields = packages.setdefault(words[0], {})
        if words[1] == "conffiles":
            fields["conffiles"] = list(
                iter(lambda: next(lines), words[0] + " end"))
        else:
            fields[words[1]] = words[2] if len(words) > 2 else ""
    assert list(packages) == [folder.name]
    return packages[folder.name]


def variable(name):
    return re.search(r"^%s = (\S+)$" % name, (ROOT / "Makefile").read_text(),
                     re.M)[1]


@pytest.mark.parametrize("name", PACKAGES)
def test_metadata(tmp_path, name):
    fields = info(tmp_path, FEED / name)
    assert fields["PKG_NAME"] == name
    assert fields["PKG_VERSION"] == variable("VERSION").replace("-", "_")
    assert re.fullmatch(r"\d+(\.\d+)*(_(alpha|beta|pre|rc|p)\d*)?",
                        fields["PKG_VERSION"])
    assert fields["PKG_RELEASE"].isdecimal()
    assert re.fullmatch(r"[^<>]+ <\S+@\S+>", fields["PKG_MAINTAINER"])
    assert fields["PKG_LICENSE"] == "MIT"
    assert (ROOT / fields["PKG_LICENSE_FILES"]).exists()
    assert fields["SECTION"] == "mail" and fields["CATEGORY"] == "Mail"
    assert fields["URL"] == variable("PROJECT_URL")
    assert 0 < len(fields["TITLE"]) <= 60 and "'" not in fields["TITLE"]
    assert (FEED / name / "Makefile").read_text().startswith(
        "# SPDX-License-Identifier: MIT\n")


def test_the_daemon_needs_no_dovecot(tmp_path):
    """Whose build takes minutes, and which may be on another machine."""
    daemon = info(tmp_path, FEED / "xapsd")
    assert daemon["DEPENDS"] == "+libmbedtls"
    assert daemon["EXTRA_DEPENDS"] == daemon["PKG_BUILD_DEPENDS"] == ""
    # xapsd is in both groups; the second is for the socket alone
    assert daemon["USERID"] == (
        "xapsd=7623:xapsd=7623 xapsd=7623:xapsd-mail=7624")
    # kept by sysupgrade
    assert daemon["conffiles"] == ["/etc/config/xapsd", "/etc/xapsd/"]


def test_the_plugin_is_for_the_dovecot_that_it_was_built_with(tmp_path):
    plugin = info(tmp_path, FEED / "dovecot-xaps-plugin")
    assert plugin["DEPENDS"] == "+dovecot"
    assert plugin["EXTRA_DEPENDS"] == "dovecot (>=2.3.0), dovecot (<2.4.0)"
    assert plugin["USERID"] == "" and plugin["conffiles"] == [""]


@pytest.mark.parametrize("name", PACKAGES)
def test_a_change_of_the_sources_builds_again(tmp_path, name):
    """The buildroot looks at the package's folder, and at what it is told of.
    Papers are none of it, nor is what a build or a test makes."""
    sources = info(tmp_path, FEED / name)["PKG_FILE_DEPENDS"].split()
    tracked = subprocess.run(
        ["git", "-C", ROOT, "ls-files"], capture_output=True, text=True)
    names = tracked.stdout.split() or ["Makefile", "xapsd.c", "api/line.c",
                                       "plugin/Makefile"]
    for name in names:
        if name.startswith((".", "docs/", "tests/")):
            continue
        assert any(str(ROOT / name) == s or str(ROOT / name).startswith(s + "/")
                   for s in sources), name
    made = {str(ROOT / name) for name in ("build", "dist", "xapsd", "tests")}
    assert not made & set(sources)
    assert not any(s.endswith("/.git") for s in sources)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_release_candidate_gets_a_version_that_apk_takes(tmp_path, name):
    tree = tmp_path / "tree"
    shutil.copytree(FEED, tree / "openwrt")
    (tree / "Makefile").write_text("VERSION = 1.0-rc2\n")
    assert info(tmp_path, tree / "openwrt" / name)["PKG_VERSION"] == "1.0_rc2"


def headers(out):
    """Where the buildroot has Dovecot's."""
    staged = out / "staging/usr/include"
    staged.mkdir(parents=True)
    config = subprocess.run(
        "for f in /usr/lib/dovecot/dovecot-config "
        "/usr/local/lib/dovecot/dovecot-config; do "
        "test ! -e $f || { . $f; echo $LIBDOVECOT_INCLUDE; exit; }; done",
        shell=True, capture_output=True, text=True, check=True).stdout
    (staged / "dovecot").symlink_to(config.split()[0][2:])


def shipped(root):
    return {str(p.relative_to(root)): stat.S_IMODE(p.stat().st_mode)
            for p in root.rglob("*") if p.is_file()}


# Without optimisation: it is the staging that is looked at.
STAGE = ["stage", "TARGET_CFLAGS=-O0", "-j2"]


def source_tarball(folder, version="9.8"):
    """As a release has it."""
    tarball = folder / ("xapsd-%s.tar.gz" % version)
    subprocess.run("sh release/list.sh | sh release/tar.sh %s . xapsd-%s/" % (
        tarball, version), cwd=ROOT, shell=True, check=True,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1000000000"})
    return tarball


@pytest.fixture(params=["checkout", "release"])
def source(request, tmp_path):
    """Where the package folders are, and what make must be told: this
    checkout, and OpenWrt's own feed with a release's tarball."""
    if request.param == "checkout":
        return FEED, []
    tarball = source_tarball(tmp_path)
    subprocess.run(["sh", FEED / "feed.sh", tarball, tmp_path / "feeds"],
                   check=True)
    return tmp_path / "feeds/packages/mail", ["DL_DIR=%s" % tmp_path]


def ci_test(folder, path, root):
    """What the feed's CI runs, with the files in root."""
    script = (folder / "test.sh").read_text().replace(
        path, path.replace("/", "%s/" % root, 1))
    run = subprocess.run(
        ["busybox", "sh", "-c", script, "sh", folder.name,
         variable("VERSION")], capture_output=True, text=True,
        env={**os.environ,
             "PATH": "%s/usr/sbin:%s" % (root, os.environ["PATH"])})
    assert run.returncode == 0, run
    # and it does find what is wrong
    assert subprocess.run(
        ["busybox", "sh", "-c", script.replace(str(root), "/nowhere"), "sh",
         folder.name, "0.0.1"], capture_output=True).returncode == 1


@pytest.mark.timeout(300)
def test_stage_the_daemon(tmp_path):
    """Builds as the buildroot would, and looks at what would be shipped."""
    make(tmp_path, FEED / "xapsd", *STAGE)
    root = tmp_path / "root/xapsd"
    assert shipped(root) == {
        "usr/sbin/xapsd": 0o755,
        "etc/init.d/xapsd": 0o755,
        "etc/config/xapsd": 0o600,
        "etc/capabilities/xapsd.json": 0o644,
    }
    assert (root / "etc/xapsd").is_dir()
    out = subprocess.run([root / "usr/sbin/xapsd", "--version"],
                         capture_output=True, text=True, check=True).stdout
    features = out.split("features: ")[1].split()
    assert "p12" in features and "systemd" not in features
    # two builds beside each other do not see this machine's objects
    assert not list((tmp_path / "build").glob("*/build/unit"))
    ci_test(FEED / "xapsd", " /etc/", root)


@pytest.mark.timeout(300)
def test_stage_the_plugin(tmp_path, source):
    folder, args = source
    headers(tmp_path)
    make(tmp_path, folder / "dovecot-xaps-plugin", *args, *STAGE)
    root = tmp_path / "root/dovecot-xaps-plugin"
    sample = ("usr/share/doc/dovecot/example-config/conf.d/90-xaps.conf")
    assert shipped(root) == {
        "usr/lib/dovecot/lib95_xaps_imap_plugin.so": 0o755,
        "usr/lib/dovecot/lib95_xaps_push_notification_plugin.so": 0o755,
        sample: 0o644,
    }
    # there is no /run; and TCP is off
    text = (root / sample).read_text()
    assert re.findall("^  #?xaps_config = .*", text, re.M) == [
        "  xaps_config = url=unix:/var/run/xapsd/xapsd.sock"]
    assert re.findall("^#?mail_access_groups = .*", text, re.M) == [
        "#mail_access_groups = xapsd-mail"]
    ci_test(folder / "dovecot-xaps-plugin", "/usr/", root)


@pytest.mark.parametrize("name", PACKAGES)
def test_the_packages_feed_gets_a_release(tmp_path, name):
    tarball = tmp_path / "xapsd-9.8.tar.gz"
    tarball.write_bytes(b"some bytes")
    subprocess.run(["sh", FEED / "feed.sh", tarball, tmp_path / "feeds"],
                   check=True)
    folder = tmp_path / "feeds/packages/mail" / name
    fields = info(tmp_path, folder)
    assert fields["PKG_VERSION"] == "9.8"
    assert fields["PKG_SOURCE"] == tarball.name
    assert fields["PKG_SOURCE_URL"] == (
        variable("PROJECT_URL") + "/releases/download/v9.8")
    assert fields["PKG_HASH"] == hashlib.sha256(b"some bytes").hexdigest()
    assert fields["PKG_FILE_DEPENDS"] == ""
    assert "checkout" not in (folder / "Makefile").read_text()
    # another file of that name is refused
    tarball.write_bytes(b"others")
    with pytest.raises(AssertionError, match="FAILED"):
        make(tmp_path, folder, "stage", "DL_DIR=%s" % tmp_path)


def test_the_luci_feed_gets_it_too(tmp_path):
    tarball = tmp_path / "xapsd-9.8.tar.gz"
    tarball.touch()
    subprocess.run(["sh", FEED / "feed.sh", tarball, tmp_path / "feeds"],
                   check=True)
    ours = FEED / "luci-app-xapsd"
    theirs = tmp_path / "feeds/luci/applications/luci-app-xapsd"
    assert shipped(theirs) == shipped(ours)
    text = (theirs / "Makefile").read_text()
    assert "\ninclude ../../luci.mk\n" in text and "feeds/luci" not in text


@pytest.mark.parametrize("file", ["xapsd-1.0-rc1.tar.gz", "xapsd-1.0.tar.xz",
                                  "other-1.0.tar.gz", "xapsd-.tar.gz"])
def test_what_is_no_release_does_not_get_there(tmp_path, file):
    (tmp_path / file).touch()
    run = subprocess.run(["sh", FEED / "feed.sh", tmp_path / file,
                          tmp_path / "feeds"], capture_output=True, text=True)
    assert run.returncode == 64 and file in run.stderr
    assert not (tmp_path / "feeds").exists()


def test_features_can_be_chosen(tmp_path):
    """Each that makes sense on a router, in the menu and in the build."""
    text = (FEED / "xapsd/Makefile").read_text()
    menu = re.findall(r"^\tconfig XAPSD_(\w+)$", text, re.M)
    assert menu.pop(0) == "CHOOSE"
    names = [m.lower().replace("_", "-") for m in menu]
    known = re.search(r"^KNOWN_FEATURES = ((?:.*\\\n)*.*)$",
                      (ROOT / "features.mk").read_text(),
                      re.M)[1].replace("\\\n", " ").split()
    assert names == [k for k in known if k != "systemd"]
    assert info(tmp_path, FEED / "xapsd")["PKG_CONFIG_DEPENDS"].split() == [
        "CONFIG_XAPSD_" + m for m in ["CHOOSE", *menu]]

    def features(*args):
        flags = info(tmp_path, FEED / "xapsd", *args)["MAKE_FLAGS"]
        return re.search('FEATURES="(.*?)"', flags)[1].split()
    assert features() == ["all", "-systemd"]
    assert features("CONFIG_XAPSD_CHOOSE=y") == []
    for m, name in zip(menu, names):
        assert features("CONFIG_XAPSD_CHOOSE=y",
                        "CONFIG_XAPSD_%s=y" % m) == [name]
    assert features("XAPSD_FEATURES=p12 page") == ["p12", "page"]


@pytest.fixture
def script(tmp_path, shell):
    """Calls one of the plugin's, with its paths bent into a folder.  What is
    done to Dovecot is in the file "done"."""
    text = (FEED / "dovecot-xaps-plugin/Makefile").read_text()
    (tmp_path / "etc/dovecot/conf.d").mkdir(parents=True)
    for name, body in (("doveadm", "echo doveadm"),):
        (tmp_path / name).write_text("#!/bin/sh\n%s $* >>%s/done\n"
                                     % (body, tmp_path))
        (tmp_path / name).chmod(0o755)

    def call(name, root=str(tmp_path)):
        body = re.search(r"^define Package/dovecot-xaps-plugin/%s\n(.*?)^endef"
                         % name, text, re.M | re.S)[1].replace("$$", "$")
        if not root:
            for folder in "/etc/dovecot", "/var/run/dovecot":
                body = body.replace(folder, str(tmp_path) + folder)
        (tmp_path / "done").write_text("")
        return subprocess.run(
            [*shell, "-c", 'kill() { echo "kill $*" >>%s/done; }\n' % tmp_path
             + body], capture_output=True, text=True, check=True,
            env={"PATH": "%s:%s" % (tmp_path, os.environ["PATH"]),
                 "IPKG_INSTROOT": root}).stderr
    return call


def test_removal_locks_nobody_out(tmp_path, script):
    """The sample goes aside with the plugin and comes back with it."""
    conf = tmp_path / "etc/dovecot/conf.d/90-xaps.conf"
    aside = conf.with_name(conf.name + ".disabled-by-xaps-plugin")
    done = tmp_path / "done"
    assert script("prerm") == script("postinst") == ""  # nothing is there
    conf.write_text("mine\n")
    for root, reload in (str(tmp_path), ""), ("", "doveadm reload\n"):
        script("prerm", root)
        assert (conf.exists(), aside.read_text()) == (False, "mine\n")
        assert done.read_text() == reload
        script("postinst", root)
        assert (conf.read_text(), aside.exists()) == ("mine\n", False)
        assert done.read_text() == reload
    # lines elsewhere
    doveconf = tmp_path / "doveconf"
    doveconf.write_text("#!/bin/sh\necho mail_plugins = xaps_imap\n")
    doveconf.chmod(0o755)
    (conf.parents[1] / "local.conf").write_text("mail_plugins = xaps_imap\n")
    said = script("prerm", "")
    assert "nobody can log in" in said and "local.conf:1:" in said


def test_without_doveadm_dovecot_reloads_too(tmp_path, script):
    """It is in a package of its own, which need not be installed."""
    (tmp_path / "doveadm").write_text("#!/bin/sh\nexit 127\n")
    pid = tmp_path / "var/run/dovecot/master.pid"
    pid.parent.mkdir(parents=True)
    pid.write_text("123\n")
    (tmp_path / "etc/dovecot/conf.d/90-xaps.conf").write_text("mine\n")
    for name in "prerm", "postinst":
        script(name, "")
        assert (tmp_path / "done").read_text() == "kill -HUP 123\n"


def test_the_feeds_packages():
    """OpenWrt's scripts/feeds looks for Makefiles that define packages, five
    levels deep: ours are found, and no other of this tree is taken for one."""
    found = []
    for name, folders, files in os.walk(ROOT):
        path = pathlib.Path(name)
        if path == ROOT:    # what a build makes comes and goes
            folders[:] = set(folders) - {"build", "dist"}
        elif len(path.relative_to(ROOT).parts) == 4:
            folders.clear()
        if "Makefile" in files and re.search(
                r"call (Build/DefaultTargets|BuildPackage|KernelPackage)",
                (path / "Makefile").read_text()):
            found.append(path.name)
    assert sorted(found) == sorted([*PACKAGES, "luci-app-xapsd"])
    assert all((FEED / p / "Makefile").exists() for p in found)


def test_no_capabilities():
    sets = json.loads((FILES / "xapsd.json").read_text())
    assert sets == {name: [] for name in (
        "bounding", "effective", "ambient", "permitted", "inheritable")}


# --- the init script ---

def uci(text):
    """The file as shell lines, each word quoted: the form in which config_load
    sees it.  UCI's own quoting is a shell's without expansion."""
    lines = []
    for n, line in enumerate(text.splitlines()):
        words = shlex.split(line, comments=True)
        if words[:1] == ["config"] and len(words) == 2:
            words.append("cfg%02x" % n)
        if words:
            lines.append(" ".join(shlex.quote(w) for w in words) + "\n")
    return "".join(lines)


def uci_quote(value):
    return "'" + value.replace("'", "'\\''") + "'"


def uci_text(options):
    return "config xapsd 'main'\n" + "".join(
        "\toption %s %s\n" % (k, uci_quote(str(v)))
        for k, v in options.items())


def program(folder):
    """xapsd, whose `check --offline` may not be there yet."""
    real = executable()
    asked = subprocess.run([real, "-c", os.devnull, "check", "--offline"],
                           capture_output=True)
    if asked.returncode != 64:
        return real
    wrapper = folder / "xapsd"
    wrapper.write_text(
        '#!/bin/sh\n[ "$4" = --offline ] || exec %(real)s "$@"\n'
        'said=$(%(real)s "$1" "$2" status 2>&1)\n'
        'if [ $? = 78 ]; then echo "$said"; exit 78; fi\n'
        'key=$(sed -n "s/^keyFileP8: .\\(.*\\).$/\\1/p" "$2")\n'
        '[ -z "$key" ] || [ -e "$key" ] || { printf "%%-14s %%-7s %%s\\n" '
        'configuration ok "$2" credentials FAILED "keyFileP8: cannot read $key"'
        '; exit 1; }\n' % {"real": real})
    wrapper.chmod(0o755)
    return str(wrapper)


class Router:
    """Paths of the script bent into a folder."""

    def __init__(self, folder, shell):
        self.folder, self.shell = folder, shell
        self.etc, self.run = folder / "etc", folder / "run/xapsd"
        self.etc.mkdir()
        self.run.parent.mkdir()
        self.jail = folder / "ujail"
        self.jail.touch(0o755)
        self.conf = folder / "run/xapsd.yaml"
        self.resolv = folder / "resolv.conf"
        self.resolv.write_text("nameserver 127.0.0.1\n")
        self.program = program(folder)
        self.running = False
        text = (FILES / "xapsd.init").read_text()
        for name, value in (("PROG", self.program), ("ETC", self.etc),
                            ("RUN", self.run), ("JAIL", self.jail),
                            ("RESOLV", self.resolv)):
            text, n = re.subn("^%s=.*" % name, "%s=%s" % (name, value), text,
                              flags=re.M)
            assert n == 1
        self.init = folder / "xapsd.init"
        self.init.write_text(text)

    def call(self, config, action="start"):
        """config: options of the section, or the file's text.  Returns the
        status and the calls, as lists of words."""
        if not isinstance(config, str):
            config = uci_text({
                "enabled": 1, "databaseFile": self.etc / "db/database.json",
                "socketPath": self.run / "xapsd.sock", **config})
        return self.call_uci(uci(config), action)

    def call_uci(self, text, action):
        file = self.folder / "uci"
        file.write_text(text)
        said = self.folder / "said"
        run = subprocess.run(
            ["sh", "-c", 'out=$1; shift; exec "$@" 3>"$out"', "sh",
             str(said), *self.shell, str(STUB / "procd.sh"), str(self.init),
             str(file), action], capture_output=True, text=True,
            env={**os.environ, "RUNNING": "1" if self.running else ""})
        assert run.stderr == "", run.stderr
        assert run.stdout == ""
        calls = [record.split("\0") for record in
                 said.read_text().split("\0\0")[:-1]]
        return run.returncode, calls


def logged(calls):
    """What the log shows: level, text."""
    return [(c[-2].replace("daemon.", ""), c[-1]) for c in calls
            if c[0] == "logger"]


def instance(calls):
    """What procd is asked to run; None if it is not; [] if it is asked to stop
    what runs."""
    if ["set"] not in calls:
        return None
    words = [c[0] for c in calls]
    if "instance" not in words:
        return []
    return calls[words.index("instance"):words.index("end")]


@pytest.fixture
def router(tmp_path, shell):
    return Router(tmp_path, shell)


TRIGGERS = [["reload_trigger", "xapsd"],
            ["raw_trigger", "interface.*.up", "2000", "/etc/init.d/xapsd",
             "reload"],
            ["validation", "validate_xapsd"], ["set"]]


def test_off_as_shipped(router):
    status, calls = router.call((FILES / "xapsd.config").read_text())
    assert status == 0
    assert calls == TRIGGERS
    assert not router.run.exists()


def test_what_is_shipped_is_flash_and_not_flash():
    """The registrations survive a boot; the socket is in RAM."""
    text = (FILES / "xapsd.config").read_text()
    assert "option databaseFile '/etc/xapsd/db/database.json'\n" in text
    assert "option socketPath '/var/run/xapsd/xapsd.sock'\n" in text
    assert "\toption port '0'\n" in text


def test_instance(router):
    status, calls = router.call({"keyFileP8": "key.p8", "delay": "10s"})
    assert status == 0
    run, etc = str(router.run), str(router.etc)
    assert calls == [
        ["chown", "xapsd:xapsd", run + ".new"],
        ["chown", "root:xapsd", etc],
        ["chown", "xapsd:xapsd", ".", etc + "/db"],
        ["chown", "xapsd:xapsd", ".", run],
        ["instance", "main"],
        ["command", router.program, "-c", run + ".yaml", "--syslog"],
        ["file", "/etc/config/xapsd", run + ".yaml", router.program,
         str(router.resolv)],
        ["user", "xapsd"],
        ["group", "xapsd"],
        ["stderr", "1"],
        ["respawn", "3600", "5", "0"],
        ["term_timeout", "10"],
        ["jail", "xapsd", "log"],
        ["mount_ro", etc, run + ".yaml"],
        ["mount_rw", etc + "/db"],
        ["mount_rw", run],
        ["capabilities", "/etc/capabilities/xapsd.json"],
        ["no_new_privs", "1"],
        ["end"],
        *TRIGGERS]
    assert router.conf.read_text() == (
        "databaseFile: '%s/db/database.json'\n"
        "socketPath: '%s/xapsd.sock'\n"
        "delay: '10s'\n"
        "keyFileP8: '%s/key.p8'\n" % (etc, run, etc))
    # its user's alone
    modes = {p: stat.S_IMODE(p.stat().st_mode) for p in (
        router.conf, router.run, router.etc, router.etc / "db")}
    assert list(modes.values()) == [0o400, 0o755, 0o750, 0o700]
    assert sorted(p.name for p in router.run.parent.iterdir()) == [
        "xapsd", "xapsd.yaml"]


def test_the_socket_is_dovecots(router):
    """Where the package's group is; unless the administrator wants another."""
    groups = router.folder / "group"
    groups.write_text("root:x:0:\nxapsd-mail:x:7624:xapsd\n")
    router.init.write_text(router.init.read_text().replace(
        "/etc/group", str(groups)))
    router.call({})
    assert "socketGroup: 'xapsd-mail'\n" in router.conf.read_text()
    router.call({"socketGroup": "vmail"})
    assert "socketGroup: 'vmail'\n" in router.conf.read_text()


def test_name_servers_that_change(router):
    """The jail keeps /etc/resolv.conf as it was, even as a link."""
    real = router.folder / "resolv.conf.auto"
    router.resolv.rename(real)
    router.resolv.symlink_to(real)
    _, calls = router.call({})
    files = [c[1:] for c in calls if c[0] == "file"]
    assert files[0][-2:] == [str(router.resolv), str(real)]
    router.resolv.unlink()
    status, calls = router.call({})     # no network yet
    assert status == 0 and instance(calls)


# --- folders and keys after scp and sysupgrade ---

def test_sysupgrade_gave_all_to_root(router):
    folder = router.etc / "db"
    folder.mkdir(0o755)
    for name in ("database.json", ".hidden", "database.json.queue"):
        (folder / name).touch()
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "sub").mkdir()
    _, calls = router.call({})
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    given = [c[1:] for c in calls if c[0] == "chown"]
    assert ["xapsd:xapsd", ".", str(folder)] in given
    files = {c[-2]: c for c in given if c[-2].startswith("./")}
    # a link to a file is no file of ours: -h gives away the link alone
    assert set(files) - {"./link"} == {
        "./database.json", "./.hidden", "./database.json.queue"}
    assert all(c[0] == "-h" and c[-1] == str(folder) for c in files.values())


@pytest.mark.parametrize("where", ["db", "db/sub", "run"])
def test_a_link_is_refused(router, where):
    """Whatever it leads to keeps owner and mode."""
    target = router.folder / "target"
    target.mkdir(0o755)
    place = router.run if where == "run" else router.etc / where
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(target)
    options = {} if where == "run" else {
        "databaseFile": place / "database.json"}
    status, calls = router.call(options)
    assert not [c for c in calls if c[0] == "chown" and str(target) in c]
    assert stat.S_IMODE(target.stat().st_mode) == 0o755
    if where != "run":
        assert status == 1 and instance(calls) == []
    assert "there is a link in %s" % place in str(logged(calls))


def test_a_link_above_ours_is_fine(router):
    """/var is one."""
    router.run.parent.rename(router.folder / "tmp")
    router.run.parent.symlink_to(router.folder / "tmp")
    status, calls = router.call({})
    assert status == 0 and logged(calls) == []
    assert stat.S_IMODE(router.run.stat().st_mode) == 0o755


def given(calls):
    """The files that become xapsd's."""
    return {os.path.normpath(os.path.join(c[4], c[3])) for c in calls
            if c[:3] == ["chown", "-h", "xapsd:xapsd"]}


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_in_folders(router):
    """Wherever below /etc/xapsd; a certificate without its key is no secret."""
    keys = router.etc / "keys/of/apple"
    keys.mkdir(parents=True, mode=0o700)
    (router.etc / "keys").chmod(0o700)
    for name in ("k.p8", "tls.key", "tls.pem", "ca.pem", "else"):
        (keys / name).touch(0o640)
    _, calls = router.call({
        "keyFileP8": keys / "k.p8", "tlsKeyfile": "%s//tls.key" % keys,
        "tlsCertfile": keys / "tls.pem", "apnsCaFile": keys / "ca.pem"})
    assert given(calls) == {str(keys / "k.p8"), str(keys / "tls.key")}
    assert [mode(keys / n) for n in ("k.p8", "tls.key", "tls.pem", "ca.pem",
                                     "else")] == [
        0o600, 0o600, 0o644, 0o644, 0o640]
    for folder in (keys, keys.parent, keys.parent.parent):
        assert ["chown", "root:xapsd", str(folder)] in calls
        assert mode(folder) == 0o750


def test_certificate_and_key_in_one_file(router):
    pem = router.etc / "both.pem"
    pem.touch(0o644)
    _, calls = router.call({"tlsCertfile": "both.pem", "tlsKeyfile": pem})
    assert given(calls) == {str(pem)} and mode(pem) == 0o600


def test_secrets_are_not_sought_behind_links(router):
    outside = router.folder / "outside"
    outside.mkdir(0o755)
    for name in ("k.p8", "tls.pem"):
        (outside / name).touch(0o640)
    (router.etc / "keys").symlink_to(outside)
    (router.etc / "tls.pem").symlink_to(outside / "tls.pem")
    status, calls = router.call({"keyFileP8": router.etc / "keys/k.p8",
                                 "tlsCertfile": "tls.pem"})
    assert status == 0 and given(calls) == set() and logged(calls) == []
    assert mode(outside) == 0o755
    assert mode(outside / "k.p8") == mode(outside / "tls.pem") == 0o640


def test_where_xapsd_writes_no_mode_is_set(router):
    """It could lay a link there in the moment between."""
    keys = router.etc / "keys"
    keys.mkdir()
    for name in ("k.p8", "tls.pem"):
        (keys / name).touch(0o640)
    os.chown(keys, 7623, 7623)
    _, calls = router.call({"keyFileP8": keys / "k.p8",
                            "tlsCertfile": keys / "tls.pem"})
    assert given(calls) == {str(keys / "k.p8")}
    assert mode(keys / "k.p8") == mode(keys / "tls.pem") == 0o640
    assert ["chown", "root:xapsd", str(keys)] not in calls


def test_the_jail_holds_what_links_lead_to(router):
    """As acme.sh and certbot lay them: relative, absolute, one after another."""
    acme, ssl, usb = (router.folder / n for n in ("acme", "ssl", "usb"))
    for folder in (acme, ssl, usb, acme / "archive"):
        folder.mkdir()
    (acme / "archive/full.cer").touch()
    (acme / "live.cer").symlink_to("archive/full.cer")
    (ssl / "a.crt").symlink_to("../acme/live.cer")
    (ssl / "a.key").touch()
    (usb / "k.p8").touch()
    (router.etc / "k.p8").symlink_to(usb / "k.p8")
    (router.etc / "loop.pem").symlink_to("loop.pem")
    (router.etc / "in.pem").symlink_to("db/x")
    status, calls = router.call({
        "tlsCertfile": ssl / "a.crt", "tlsKeyfile": ssl / "a.key",
        "keyFileP8": "k.p8", "apnsCaFile": "loop.pem",
        "certificateFilePem": "in.pem"})
    assert status == 0 and logged(calls) == []
    mounts = [c[1:] for c in calls if c[0] == "mount_ro"]
    assert mounts[0] == [str(router.etc), str(router.conf)]
    assert sorted(mounts[1:]) == sorted(
        [str(f)] for f in (acme, ssl, usb, acme / "archive"))


def test_a_folder_with_spaces_behind_a_link(router):
    odd = router.folder / "my disk"
    odd.mkdir()
    (odd / "k.p8").touch()
    (router.etc / "k.p8").symlink_to(odd / "k.p8")
    status, calls = router.call({"keyFileP8": "k.p8"})
    assert status == 0
    assert [c[1:] for c in calls if c[0] == "mount_ro"] == [
        [str(router.etc), str(router.conf)]]
    assert "'%s': a folder's name must not hold spaces" % odd in str(
        logged(calls)).replace('\\', "")


def test_two_slashes_are_one(router):
    status, calls = router.call({
        "databaseFile": "%s//db///database.json" % router.etc,
        "socketPath": "%s//xapsd.sock" % router.run,
        "keyFileP8": "/mnt//keys/k.p8"})
    assert status == 0 and logged(calls) == []
    said = router.conf.read_text()
    assert "//" not in said
    assert "databaseFile: '%s/db/database.json'" % router.etc in said
    assert "keyFileP8: '/mnt/keys/k.p8'" in said


@pytest.mark.parametrize("option", ["databaseFile", "socketPath"])
@pytest.mark.parametrize("slash", ["/", "//"])
def test_roots_own_folder_stays_roots(router, option, slash):
    status, calls = router.call({option: "%s%sx" % (router.etc, slash)})
    assert status == 1 and instance(calls) == []
    assert one_error(calls) == (
        "option %s: '%s/x': %s itself is root's, name a folder in it: "
        "%s/db/x" % (option, router.etc, router.etc, router.etc))


@pytest.mark.parametrize("where", ["db", "run", "disk", "db/sub"])
def test_a_file_in_the_place_of_a_folder(router, where):
    place = {"run": router.run, "disk": router.folder / "disk"}.get(
        where, router.etc / "db")
    place.write_text("mine")
    folder = router.etc / where if where == "db/sub" else place
    status, calls = router.call(
        {} if where == "run" else {"databaseFile": folder / "d.json"})
    assert status == 1 and instance(calls) == []
    assert one_error(calls) == "cannot make the folder %s: %s" % (
        folder, "Not a directory" if where == "db/sub"
        else "there is a file of that name")
    assert place.read_text() == "mine"


@pytest.mark.parametrize("command", ["mkdir", "chmod"])
def test_flash_that_is_read_only(router, command):
    if command == "chmod":
        (router.etc / "db").mkdir()
    with open(router.init, "a") as f:
        f.write('%s() { case $PWD/$* in *%s*) ;; *) command %s "$@"; return; '
                "esac; echo '%s: Read-only file system' >&2; return 1; }\n"
                % (command, router.etc, command, command))
    status, calls = router.call({})
    assert status == 1 and instance(calls) == []
    errors = [t for level, t in logged(calls) if level == "err"]
    assert "Read-only file system" in errors[-1]
    assert not [e for e in errors if "there is a link" in e]


def test_secrets_become_the_users_alone(router):
    for name in ("key.p8", "pass", "server.pem", "server.key", "else"):
        (router.etc / name).touch(0o644)
    (router.etc / "aps.pem").symlink_to("/etc/passwd")
    outside = router.folder / "outside"
    outside.mkdir()
    (outside / "http").touch(0o640)
    _, calls = router.call({
        "keyFileP8": "key.p8", "certificatePasswordFile": router.etc / "pass",
        "certificateFilePem": "aps.pem", "tlsCertfile": "server.pem",
        "tlsKeyfile": "server.key", "httpPasswordFile": outside / "http"})
    secret = {str(router.etc / n) for n in ("key.p8", "pass", "server.key")}
    assert given(calls) == secret
    for path in router.etc.iterdir():
        if path.is_file() and not path.is_symlink():
            assert stat.S_IMODE(path.stat().st_mode) == (
                0o600 if str(path) in secret else 0o644), path
    assert stat.S_IMODE((outside / "http").stat().st_mode) == 0o640


def test_as_the_paper_says(router, certs):
    """Its options make a configuration with which Apple is reached."""
    paper = (ROOT / "docs/openwrt.md").read_text()
    options = dict(re.findall(r"^    uci set xapsd\.main\.(\w+)=(\S+)$", paper,
                              re.M))
    assert options.pop("enabled") == "1"
    shutil.copy(certs.p8, router.etc / options["keyFileP8"])
    theirs = copy.copy(certs)
    theirs.key_id = options["keyFileKeyId"]
    theirs.team_id = options["keyFileTeamId"]
    with Apple(theirs, topic=options["keyFileTopic"]) as apple:
        status, calls = router.call({
            **options, "apnsHost": "127.0.0.1", "apnsPort": apple.port,
            "apnsCaFile": certs.ca})
        assert status == 0 and ["instance", "main"] in calls
        out = subprocess.run([executable(), "-c", router.conf, "check"],
                             capture_output=True, text=True)
    assert out.returncode == 0, out.stdout
    assert "ok      takes these credentials" in out.stdout


def test_without_jail(router):
    router.jail.unlink()
    _, calls = router.call({})
    words = [c[0] for c in calls]
    assert "user" in words
    assert not {"jail", "mount_ro", "mount_rw", "capabilities",
                "no_new_privs"} & set(words)


def test_the_jail_holds_what_is_named(router):
    disk = router.folder / "disk"
    disk.mkdir(0o777)
    disk.chmod(0o777)
    _, calls = router.call({
        "databaseFile": disk / "database.json",
        "socketPath": router.folder / "sockets/xapsd.sock",
        "certificateFilePem": "/mnt/keys/push.pem",
        "tlsCertfile": router.etc / "server.pem", "tlsKeyfile": "server.pem"})
    assert [c[1:] for c in calls if c[0] == "mount_ro"] == [
        [str(router.etc), str(router.conf)], ["/mnt/keys"]]
    assert [c[1:] for c in calls if c[0] == "mount_rw"] == [
        [str(disk)], [str(router.folder / "sockets")]]
    # a folder that was there keeps its owner and mode
    assert not [c for c in calls if c[0] == "chown" and c[2] == str(disk)]
    assert stat.S_IMODE(disk.stat().st_mode) == 0o777


# --- messages about faults ---

BAD = [
    ({"port": "65536"}, "option port: '65536' is no number"),
    ({"port": "x"}, "option port: 'x' is no number"),
    ({"maxConnections": "0"}, "option maxConnections: '0' is no number"),
    ({"enabled": "maybe"}, "option enabled: 'maybe' must be 1 or 0"),
    ({"databaseFile": "database.json"},
     "option databaseFile: 'database.json' must be a path such as"),
    ({"databaseFile": "/etc/xapsd/db/"}, "option databaseFile: "),
    ({"databaseFile": "/etc/xapsd/../x/y"}, "option databaseFile: "),
    ({"socketPath": "/xapsd.sock"}, "'/xapsd.sock' must be a path such as"),
    ({"socketPath": "no"}, ", or none"),
    ({"socketPath": "/var/run/my folder/x.sock"},
     "option socketPath: '/var/run/my folder/x.sock': a folder's name must "
     "not hold spaces"),
    ({"tlsKeyfile": "/mnt/my\tkeys/x.key"},
     "option tlsKeyfile: '/mnt/my\tkeys/x.key': a folder's name must "
     "not hold spaces"),
    ({"keyFileP8": "sub/key.p8"}, "option keyFileP8: 'sub/key.p8' must be"),
]


def one_error(calls, *more):
    """The one line that reports it, with no name in it twice."""
    lines = [text for level, text in logged(calls) if level == "err"]
    assert lines[1:] == ["/etc/config/xapsd: " + m for m in more]
    assert lines[0].startswith("/etc/config/xapsd: ")
    assert lines[0].count("/etc/config/xapsd") == 1
    assert "xapsd: xapsd:" not in lines[0] and ".new" not in lines[0]
    return lines[0][len("/etc/config/xapsd: "):]


@pytest.mark.parametrize("options, words", BAD,
                         ids=lambda o: isinstance(o, dict) and
                         "%s=%s" % (*o.items(),)[0] or "")
def test_invalid_options_start_nothing(router, options, words):
    status, calls = router.call(options)
    assert status == 1
    assert instance(calls) == []
    assert words in one_error(calls)
    assert not router.conf.exists()


@pytest.mark.parametrize("enabled, runs", [
    ("1", True), ("on", True), ("yes", True), ("true", True),
    ("enabled", True), ("TRUE", True), ("Yes", True),
    ("0", False), ("off", False), ("no", False), ("FALSE", False)])
def test_enabled(router, enabled, runs):
    status, calls = router.call({"enabled": enabled})
    assert status == 0 and logged(calls) == []
    assert bool(instance(calls)) == runs


def test_numbers_that_the_daemon_takes(router):
    status, calls = router.call({"port": "0", "tlsPort": "65535"})
    assert status == 0 and logged(calls) == []
    assert "port: '0'\n" in router.conf.read_text()


def test_no_socket(router):
    status, calls = router.call({"socketPath": "none", "port": "11619"})
    assert status == 0 and logged(calls) == []
    assert "socketPath: ''\n" in router.conf.read_text()
    assert [c[1:] for c in calls if c[0] == "mount_rw"] == [
        [str(router.etc / "db")]]


@pytest.mark.parametrize("text", [
    "", "config xapsd\n\toption enabled 1\n",
    "config xapsd 'Main'\n\toption enabled 1\n",
    "config other 'main'\n\toption enabled 1\n"])
def test_no_main_section(router, text):
    for action in ("start", "reload"):
        status, calls = router.call(text, action)
        assert status == 1
        assert not instance(calls)
        assert "no section: config xapsd 'main'" in one_error(calls)


def test_other_sections_are_named(router):
    status, calls = router.call(
        uci_text({"enabled": 0}) + "config xapsd 'second'\n")
    assert status == 0
    assert logged(calls) == [("warn", "/etc/config/xapsd: section second is "
                              "ignored, only 'main' counts")]


def test_a_file_that_is_no_uci(router):
    status, calls = router.call_uci("config xapsd 'main\n", "start")
    assert status == 1 and instance(calls) == []
    assert "cannot be read: `uci show xapsd` says why" in one_error(calls)


def test_misspelt_options_are_named(router):
    status, calls = router.call({"keyfileP8": "x.p8", "regTtl": "60d"})
    assert status == 0 and instance(calls)
    assert logged(calls) == [
        ("warn", "/etc/config/xapsd: option keyfileP8 is unknown and ignored"
         ", keyFileP8 is meant"),
        ("warn", "/etc/config/xapsd: option regTtl is unknown and ignored")]
    assert "x.p8" not in router.conf.read_text()
    # a reload that starts reports it once, too
    _, calls = router.call({"regTtl": "60d"}, "reload")
    assert len(logged(calls)) == 1


def test_a_list_is_no_option(router):
    text = uci_text({"enabled": 1}) + "\tlist topic 'a'\n\tlist topic 'b'\n"
    status, calls = router.call(text)
    assert status == 1 and instance(calls) == []
    assert one_error(calls) == "topic must be one option, not a list"


# --- what runs goes on ---

def test_reload(router):
    status, calls = router.call({"delay": "10s"}, "reload")
    assert status == 0
    assert instance(calls) and calls.count(["set"]) == 1
    assert "delay: '10s'" in router.conf.read_text()
    assert sorted(p.name for p in router.run.parent.iterdir()) == [
        "xapsd", "xapsd.yaml"]


LATE = [({"delay": "soon"}, "delay: "), ({"keyFileP8": "gone.p8"},
        "keyFileP8: "), ({"port": "many"}, "option port: 'many'")]


@pytest.mark.parametrize("options, words", LATE,
                         ids=["config", "start", "uci"])
@pytest.mark.parametrize("running", [True, False])
def test_a_bad_reload_keeps_the_old(router, options, words, running):
    """No call of reload may reach procd without an instance: it would stop
    the daemon.  Faults that only the start finds count, too."""
    router.call({"delay": "10s"})
    before = router.conf.read_text()
    router.running = running
    options = {"keyFileKeyId": "ABCDE12345", "keyFileTeamId": "TEAM123456",
               "keyFileTopic": "com.example", **options}
    status, calls = router.call(options, "reload")
    assert status == 1
    assert instance(calls) is None
    assert one_error(calls, *(["the old configuration stays in use"]
                              if running else [])).startswith(words)
    assert router.conf.read_text() == before
    assert sorted(p.name for p in router.run.parent.iterdir()) == [
        "xapsd", "xapsd.refused", "xapsd.yaml"]


def test_what_was_refused_is_kept_for_luci(router):
    """In sentences, for root alone, until something is accepted."""
    refused = router.folder / "run/xapsd.refused"
    _, calls = router.call({"port": "many", "maxConnections": "0"}, "reload")
    assert refused.read_text().splitlines() == [
        t.replace("/etc/config/xapsd: ", "") for level, t in logged(calls)
        if level == "err"]
    assert refused.read_text().count("\n") == 2 and mode(refused) == 0o600
    router.call({"port": "some"})       # the faults of the last try
    assert refused.read_text().count("\n") == 1
    _, calls = router.call({"regTtl": "60d"}, "reload")     # a warning
    assert logged(calls) and not refused.exists()
    router.call({"port": "many"})
    router.call({"enabled": 0, "port": "many"})
    assert not refused.exists()


@pytest.mark.parametrize("options, words", LATE,
                         ids=["config", "start", "uci"])
def test_a_bad_start_keeps_what_runs(router, options, words):
    """apk calls start after an upgrade, people do at any time: the old
    parameters are sent again."""
    disk = router.folder / "disk"
    disk.mkdir()
    _, calls = router.call({"databaseFile": disk / "it's/d.json",
                            "apnsCaFile": "/mnt/ca/roots.pem"})
    before = instance(calls)
    conf = router.conf.read_text()
    router.running = True
    options = {"keyFileKeyId": "ABCDE12345", "keyFileTeamId": "TEAM123456",
               "keyFileTopic": "com.example", **options}
    status, calls = router.call(options)
    assert status == 1
    assert instance(calls) == before
    assert one_error(calls, "the old configuration stays in use"
                     ).startswith(words)
    assert router.conf.read_text() == conf
    # but switching it off is meant
    status, calls = router.call({"enabled": 0})
    assert status == 0 and instance(calls) == []


def test_a_start_leaves_its_faults_to_the_daemon(router):
    """What may heal (a disk that comes later) is waited for there."""
    status, calls = router.call({"keyFileP8": "gone.p8"})
    assert status == 0 and instance(calls) and logged(calls) == []


def test_odd_characters_reach_the_daemon(router, certs, workdir):
    """Every byte of a value, from UCI through the shell to the daemon."""
    base = Xapsd(workdir, certs, tcp=True)
    config = {**base.config, **token_key(certs)}
    config.update(httpUser="o'dd \"$(id)\"", httpPassword=ODD)
    status, calls = router.call(config)
    assert status == 0, calls

    class Started(Xapsd):
        def write_config(self):
            pass

    daemon = Started(workdir, certs)
    daemon.config_path, daemon.port = router.conf, base.port
    with daemon:
        def ask(password):
            pair = "%s:%s" % (config["httpUser"], password)
            return daemon.request("GET", "/status", headers={
                "Authorization": "Basic "
                + base64.b64encode(pair.encode()).decode()}, tcp=True).status
        assert ask(ODD) == 200
        assert ask(ODD + "x") == 401


def test_a_line_feed_cannot_smuggle_a_key_in(router):
    file = router.folder / "uci"
    _, _ = router.call({})
    file.write_text("config xapsd main\noption enabled 1\n"
                    "option socketPath %s\noption databaseFile %s\n"
                    "option topic 'x'\\''\nallowInsecure: '\\''yes'\n"
                    % (router.run / "s", router.etc / "db/d"))
    run = subprocess.run(
        ["sh", "-c", 'exec "$@" 3>/dev/null', "sh", *router.shell,
         str(STUB / "procd.sh"), str(router.init), str(file),
         "start"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    out = subprocess.run([executable(), "-c", router.conf, "status"],
                         capture_output=True, text=True)
    assert out.returncode == 78 and "topic" in out.stderr


def test_every_key_of_the_daemon_can_be_set():
    """xapsd.yaml names all keys; procd takes care of the user."""
    sample = (ROOT / "xapsd.yaml").read_text()
    keys = set(re.findall(r"^#?([a-zA-Z0-9]+):(?: |$)", sample, re.M))
    init = (FILES / "xapsd.init").read_text()
    lists = re.findall(r'^(?:SECRETS|FILES|KEYS|OURS)="([^"]*)"', init, re.M)
    assert len(lists) == 4
    known = set(" ".join(lists).split()) - {"$SECRETS", "enabled"}
    assert len(keys) > 30
    assert known == keys - {"user"}


def test_the_sample_names_only_keys():
    init = (FILES / "xapsd.init").read_text()
    text = (FILES / "xapsd.config").read_text()
    options = re.findall(r"^#?\s*option (\w+)", text, re.M)
    assert "keyFileP8" in options
    for option in options:
        assert re.search(r"\b%s\b" % option, init)
