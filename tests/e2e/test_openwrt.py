"""The OpenWrt packages, without OpenWrt's SDK: tests/openwrt/ stands in for its
buildroot, and for the shell functions that an init script calls."""

import base64
import copy
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
from xapsd import Xapsd, executable, token_key

ROOT = pathlib.Path(__file__).resolve().parents[2]
STUB = ROOT / "tests/openwrt"
PACKAGE = ROOT / "openwrt/xapsd"
FILES = PACKAGE / "files"
SHELLS = [["dash"], ["busybox", "ash"]]
# Odd in a shell, in sed, in printf, in YAML, in UCI.
ODD = r"""it's "q" $HOME `id` \n \\ %s & # : ; * | ~ !é{}[] ,'' '"""


@pytest.fixture(params=SHELLS, ids=lambda s: s[-1])
def shell(request):
    assert shutil.which(request.param[0]), "install " + request.param[0]
    return request.param


# --- the package ---

def make(out, *args):
    environment = {k: v for k, v in os.environ.items()
                   if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "BUILD",
                                "PLUGIN", "CFLAGS", "LDFLAGS", "WERROR", "PROG",
                                "MBEDTLS_CFLAGS", "MBEDTLS_LIBS")}
    result = subprocess.run(
        ["make", "-s", "-C", PACKAGE, "TOPDIR=%s" % STUB, "OUT=%s" % out,
         *args], capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def info(out):
    packages, lines = {}, iter(make(out).splitlines())
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
    return packages


def test_metadata(tmp_path):
    packages = info(tmp_path)
    assert sorted(packages) == ["dovecot-xaps-plugin", "xapsd"]
    version = re.search(r"^VERSION = (\S+)$",
                        (ROOT / "Makefile").read_text(), re.M)[1]
    for fields in packages.values():
        assert fields["PKG_VERSION"] == version.replace("-", "_")
        assert re.fullmatch(r"\d+(\.\d+)*(_(alpha|beta|pre|rc|p)\d*)?",
                            fields["PKG_VERSION"])
        assert fields["PKG_RELEASE"].isdecimal()
        assert re.fullmatch(r"[^<>]+ <\S+@\S+>", fields["PKG_MAINTAINER"])
        assert fields["PKG_LICENSE"] == "MIT"
        assert (ROOT / fields["PKG_LICENSE_FILES"]).exists()
        assert fields["SECTION"] == "mail" and fields["CATEGORY"] == "Mail"
        assert 0 < len(fields["TITLE"]) <= 60 and "'" not in fields["TITLE"]
    daemon, plugin = packages["xapsd"], packages["dovecot-xaps-plugin"]
    assert daemon["DEPENDS"] == "+libmbedtls"
    assert plugin["DEPENDS"] == "+dovecot"
    assert daemon["USERID"] == "xapsd=7623:xapsd=7623"
    # kept by sysupgrade
    assert daemon["conffiles"] == ["/etc/config/xapsd", "/etc/xapsd/"]
    assert plugin["conffiles"] == [""]


def test_a_release_candidate_gets_a_version_that_apk_takes(tmp_path):
    tree = tmp_path / "tree"
    shutil.copytree(PACKAGE, tree / "openwrt/xapsd")
    (tree / "Makefile").write_text("VERSION = 1.0-rc2\n")
    out = subprocess.run(
        ["make", "-s", "-C", tree / "openwrt/xapsd", "TOPDIR=%s" % STUB,
         "OUT=%s" % tmp_path], capture_output=True, text=True, check=True)
    assert "xapsd PKG_VERSION 1.0_rc2\n" in out.stdout


def test_stage(tmp_path):
    """Builds as the buildroot would and looks at what would be shipped."""
    headers = tmp_path / "staging/usr/include"
    headers.mkdir(parents=True)
    config = subprocess.run(
        "for f in /usr/lib/dovecot/dovecot-config "
        "/usr/local/lib/dovecot/dovecot-config; do "
        "test ! -e $f || { . $f; echo $LIBDOVECOT_INCLUDE; exit; }; done",
        shell=True, capture_output=True, text=True, check=True).stdout
    (headers / "dovecot").symlink_to(config.split()[0][2:])
    # without optimisation: it is the staging that is looked at
    make(tmp_path, "stage", "TARGET_CFLAGS=-O0", "-j2")
    shipped = {
        str(p.relative_to(tmp_path / "root")): stat.S_IMODE(p.stat().st_mode)
        for p in (tmp_path / "root").rglob("*") if p.is_file()}
    assert shipped == {
        "xapsd/usr/sbin/xapsd": 0o755,
        "xapsd/etc/init.d/xapsd": 0o755,
        "xapsd/etc/config/xapsd": 0o600,
        "xapsd/etc/capabilities/xapsd.json": 0o644,
        "dovecot-xaps-plugin/usr/lib/dovecot/lib95_xaps_imap_plugin.so":
            0o755,
        "dovecot-xaps-plugin/usr/lib/dovecot/"
        "lib95_xaps_push_notification_plugin.so": 0o755,
        "dovecot-xaps-plugin/usr/share/doc/dovecot/example-config/conf.d/"
        "90-xaps.conf": 0o644,
    }
    assert (tmp_path / "root/xapsd/etc/xapsd").is_dir()
    # two builds beside each other do not see this machine's objects
    assert not (tmp_path / "build/xapsd" / "build/unit").exists()
    out = subprocess.run([tmp_path / "root/xapsd/usr/sbin/xapsd", "--version"],
                         capture_output=True, text=True, check=True).stdout
    assert out.startswith("xapsd ")


def test_the_feed_has_one_package():
    """OpenWrt's scripts/feeds looks for Makefiles that define packages, five
    levels deep: ours is found, and no other of this tree is taken for one."""
    found = [
        p for p in ROOT.rglob("Makefile")
        if len(p.relative_to(ROOT).parts) <= 5
        and p.relative_to(ROOT).parts[0] not in ("build", "dist")
        and re.search(r"call (Build/DefaultTargets|BuildPackage|KernelPackage)",
                      p.read_text())]
    assert found == [PACKAGE / "Makefile"]


def test_no_capabilities():
    sets = json.loads((FILES / "xapsd.json").read_text())
    assert sets == {name: [] for name in (
        "bounding", "effective", "ambient", "permitted", "inheritable")}


# --- the init script ---

def uci(text):
    """The file as shell lines, each word quoted: the form in which config_load
    sees it.  UCI's own quoting is a shell's without expansion."""
    lines = []
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        if words:
            lines.append(" ".join(shlex.quote(w) for w in words) + "\n")
    return "".join(lines)


def uci_quote(value):
    return "'" + value.replace("'", "'\\''") + "'"


def uci_text(options):
    return "config xapsd 'main'\n" + "".join(
        "\toption %s %s\n" % (k, uci_quote(str(v)))
        for k, v in options.items())


class Router:
    """Paths of the script bent into a folder."""

    def __init__(self, folder, shell):
        self.folder, self.shell = folder, shell
        self.etc, self.run = folder / "etc", folder / "run/xapsd"
        self.etc.mkdir()
        self.run.parent.mkdir()
        self.jail = folder / "ujail"
        self.jail.touch(0o755)
        self.conf = self.run / "xapsd.yaml"
        text = (FILES / "xapsd.init").read_text()
        for name, value in (("PROG", executable()), ("ETC", self.etc),
                            ("RUN", self.run), ("JAIL", self.jail)):
            text, n = re.subn("^%s=.*" % name, "%s=%s" % (name, value), text,
                              flags=re.M)
            assert n == 1
        self.init = folder / "xapsd.init"
        self.init.write_text(text)

    def call(self, config, action="start_service"):
        """config: options of the section, or the file's text.  Returns the
        status and the calls, as lists of words."""
        if not isinstance(config, str):
            config = uci_text({
                "enabled": 1, "databaseFile": self.etc / "db/database.json",
                "socketPath": self.run / "xapsd.sock", **config})
        file = self.folder / "uci"
        file.write_text(uci(config))
        said = self.folder / "said"
        run = subprocess.run(
            ["sh", "-c", 'out=$1; shift; exec "$@" 3>"$out"', "sh",
             str(said), *self.shell, str(STUB / "procd.sh"), str(self.init),
             str(file), action], capture_output=True, text=True)
        assert run.stderr == "", run.stderr
        assert run.stdout == ""
        calls = [record.split("\0") for record in
                 said.read_text().split("\0\0")[:-1]]
        return run.returncode, calls


@pytest.fixture
def router(tmp_path, shell):
    return Router(tmp_path, shell)


TRIGGERS = [["reload_trigger", "xapsd"], ["validation", "validate_xapsd"]]


def test_off_as_shipped(router):
    status, calls = router.call((FILES / "xapsd.config").read_text())
    assert status == 0
    assert [c for c in calls if c[0] != "chown"] == TRIGGERS
    assert not router.run.exists()


def test_what_is_shipped_is_flash_and_not_flash():
    """The registrations survive a boot; the socket is in RAM."""
    text = (FILES / "xapsd.config").read_text()
    assert "option databaseFile '/etc/xapsd/db/database.json'\n" in text
    assert "option socketPath '/var/run/xapsd/xapsd.sock'\n" in text


def test_instance(router):
    status, calls = router.call({"keyFileP8": "key.p8", "delay": "10s"})
    assert status == 0
    run, etc = str(router.run), str(router.etc)
    assert calls == [
        ["chown", "root:xapsd", run + ".new"],
        ["chown", "root:xapsd", run],
        ["chown", "xapsd:xapsd", etc + "/db"],
        ["instance", "main"],
        ["command", executable(), "-c", run + "/xapsd.yaml", "--syslog"],
        ["file", "/etc/config/xapsd", run + "/xapsd.yaml", executable()],
        ["user", "xapsd"],
        ["group", "xapsd"],
        ["stderr", "1"],
        ["respawn"],
        ["term_timeout", "10"],
        ["jail", "xapsd", "log"],
        ["mount_ro", etc],
        ["mount_rw", run, etc + "/db"],
        ["capabilities", "/etc/capabilities/xapsd.json"],
        ["no_new_privs", "1"],
        ["end"],
        *TRIGGERS]
    assert router.conf.read_text() == (
        "databaseFile: '%s/db/database.json'\n"
        "socketPath: '%s/xapsd.sock'\n"
        "delay: '10s'\n"
        "keyFileP8: '%s/key.p8'\n" % (etc, run, etc))
    modes = {p: stat.S_IMODE(p.stat().st_mode) for p in (
        router.conf, router.run, router.etc / "db")}
    assert list(modes.values()) == [0o640, 0o1775, 0o700]
    assert sorted(p.name for p in router.run.parent.iterdir()) == ["xapsd"]


def test_as_the_readme_says(router, certs):
    """Its options make a configuration with which Apple is reached."""
    readme = (ROOT / "README.md").read_text()
    options = dict(re.findall(r"^    uci set xapsd\.main\.(\w+)=(\S+)$", readme,
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
        [str(router.etc)], ["/mnt/keys"]]
    assert [c[1:] for c in calls if c[0] == "mount_rw"] == [
        [str(router.run), str(disk)], [str(router.folder / "sockets")]]
    # a folder that was there keeps its owner and mode
    assert not [c for c in calls if c[0] == "chown" and c[2] == str(disk)]
    assert stat.S_IMODE(disk.stat().st_mode) == 0o777


@pytest.mark.parametrize("options", [
    {"port": "65536"}, {"port": "x"}, {"maxConnections": "-1"},
    {"enabled": "maybe"}, {"databaseFile": "database.json"},
    {"socketPath": "/xapsd.sock"}], ids=lambda o: "%s=%s" % (*o.items(),)[0])
def test_invalid_options_start_nothing(router, options):
    status, calls = router.call(options)
    assert status == 1
    assert [c[0] for c in calls][-3:] == [
        "logger", "reload_trigger", "validation"]
    assert "instance" not in [c[0] for c in calls]


def test_reload(router):
    status, calls = router.call({"delay": "10s"}, "reload_service")
    assert status == 0
    assert ["instance", "main"] in calls
    assert "delay: '10s'" in router.conf.read_text()


@pytest.mark.parametrize("options, why", [
    ({"delay": "soon"}, "delay: "), ({"port": "many"}, "not valid")],
    ids=["daemon", "uci"])
def test_a_bad_reload_keeps_the_old(router, options, why):
    """No call of reload may reach procd without an instance: it would stop
    the daemon."""
    router.call({"delay": "10s"})
    before = router.conf.read_text()
    status, calls = router.call(options, "reload_service")
    assert status == 1
    assert "instance" not in [c[0] for c in calls]
    logged = " ".join(w for c in calls if c[0] == "logger" for w in c)
    assert why in logged and "the old configuration stays" in logged
    assert router.conf.read_text() == before
    assert sorted(p.name for p in router.run.parent.iterdir()) == ["xapsd"]


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
         "start_service"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    out = subprocess.run([executable(), "-c", router.conf, "status"],
                         capture_output=True, text=True)
    assert out.returncode == 78 and "topic" in out.stderr


def test_every_key_of_the_daemon_can_be_set():
    """xapsd.yaml names all keys; procd takes care of the user."""
    sample = (ROOT / "xapsd.yaml").read_text()
    keys = set(re.findall(r"^#?([a-zA-Z0-9]+):(?: |$)", sample, re.M))
    init = (FILES / "xapsd.init").read_text()
    lists = re.findall(r'^(?:FILES|KEYS)="([^"]*)"', init, re.M)
    assert len(lists) == 2
    known = set(" ".join(lists).split()) | {"databaseFile", "socketPath"}
    assert len(keys) > 30
    assert known == keys - {"user"}


def test_the_sample_names_only_keys():
    init = (FILES / "xapsd.init").read_text()
    text = (FILES / "xapsd.config").read_text()
    options = re.findall(r"^#?\s*option (\w+)", text, re.M)
    assert "keyFileP8" in options
    for option in options:
        assert re.search(r"\b%s\b" % option, init)
