"""The container image: `make check-packages` sets OCI to it.  Elsewhere skipped."""
import hashlib
import json
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import tarfile

import pytest

import containers
from apple import Answer
from containers import Container, run
from phones import ACCOUNT, TOKEN
from test_journey import mail, register
from xapsd import ROOT

IMAGE = containers.image()
# uname's machine, or qemu's, and ours
PLATFORMS = {"amd64": ("x86_64", "x86_64"), "arm64": ("aarch64", "aarch64"),
             "arm/v7": ("arm", "armv7")}
LAYER_MAX = 500_000
MAIL_GID = 10000    # of Dovecot's mail processes here
# xapsd goes on for 5 s, Docker kills after 10 s, Apple's answer is waited for
# longer than this: it is another reason than a busy machine.
STOP_S = 25

pytestmark = pytest.mark.skipif(not IMAGE, reason="of make check-packages")
needs_runc = pytest.mark.skipif(
    bool(containers.lacks()), reason=str(containers.lacks()))


def read(name):
    with tarfile.open(IMAGE) as tar:
        return tar.extractfile(name).read()


def blob(descriptor):
    data = read("blobs/sha256/" + descriptor["digest"][7:])
    assert len(data) == descriptor["size"]
    assert "sha256:" + hashlib.sha256(data).hexdigest() == \
        descriptor["digest"]
    return data


def images():
    """(platform, manifest, config) of each."""
    index, = json.loads(read("index.json"))["manifests"]
    for entry in json.loads(blob(index))["manifests"]:
        manifest = json.loads(blob(entry))
        yield entry["platform"], manifest, json.loads(blob(manifest["config"]))


def platforms():
    if not IMAGE:
        return []
    return ["/".join(filter(None, (p["architecture"], p.get("variant"))))
            for p, _, _ in images()]


def arches():
    return [PLATFORMS[p][1] for p in platforms()]


# --- the file ---

def test_layout():
    assert json.loads(read("oci-layout")) == {"imageLayoutVersion": "1.0.0"}
    assert len(platforms()) >= 2
    for platform, manifest, config in images():
        assert platform["os"] == config["os"] == "linux"
        assert platform["architecture"] == config["architecture"]
        assert platform.get("variant") == config.get("variant")
        layer, = manifest["layers"]
        assert layer["size"] < LAYER_MAX
        blob(layer)
        assert config["config"]["User"].isdigit()
        assert config["config"]["Healthcheck"]["Test"] == \
            ["CMD", "/xapsd", "healthcheck"]
        labels = config["config"]["Labels"]
        assert labels == manifest["annotations"]
        assert labels["org.opencontainers.image.version"] in \
            (ROOT / "Makefile").read_text()


def test_no_blob_too_many():
    used = {"oci-layout", "index.json", "manifest.json", "blobs",
            "blobs/sha256"}
    index, = json.loads(read("index.json"))["manifests"]
    found = [index, *json.loads(blob(index))["manifests"]]
    for _, manifest, _ in images():
        found += [manifest["config"], *manifest["layers"]]
    used |= {"blobs/sha256/" + d["digest"][7:] for d in found}
    with tarfile.open(IMAGE) as tar:
        assert sorted(tar.getnames()) == sorted(used)


def test_what_an_older_docker_loads():
    for entry, (_, manifest, _) in zip(
            json.loads(read("manifest.json")), images()):
        assert entry["Config"][13:] == manifest["config"]["digest"][7:]
        assert entry["Layers"][0][13:] == manifest["layers"][0]["digest"][7:]


def test_same_bytes_elsewhere(workdir):
    """Another folder, time zone, umask and time."""
    for arch in arches():
        folder = workdir / "build/static" / arch
        folder.mkdir(parents=True)
        shutil.copy(ROOT / "build/static" / arch / "xapsd", folder)
    labels = next(images())[1]["annotations"]
    created = labels["org.opencontainers.image.created"]
    epoch = run("date", "-d", created, "+%s").stdout.strip()
    subprocess.run(
        ["/usr/bin/python3", ROOT / "packaging/docker/oci.py", "again.tar",
         labels["org.opencontainers.image.version"],
         labels["org.opencontainers.image.url"],
         ROOT / "build/static/LICENSES", *arches()],
        check=True, cwd=workdir, umask=0o077, stdout=subprocess.DEVNULL,
        env={"SOURCE_DATE_EPOCH": epoch, "TZ": "Asia/Tokyo", "LANG": "C"})
    assert (workdir / "again.tar").read_bytes() == IMAGE.read_bytes()


# --- unpacked by others' tools ---

@pytest.fixture(scope="session")
def bundles(tmp_path_factory):
    """A function: platform to bundle, each unpacked once."""
    made = {}

    def get(platform):
        if platform not in made:
            folder = tmp_path_factory.mktemp("oci")
            made[platform] = containers.unpack(IMAGE, folder, platform)
        return made[platform]
    return get


@needs_runc
@pytest.mark.parametrize("platform", platforms())
def test_what_is_in_it(bundles, platform):
    root = bundles(platform) / "rootfs"
    files = {}
    for path in root.rglob("*"):
        at = path.lstat()
        name = str(path.relative_to(root))
        assert not at.st_mode & (stat.S_ISUID | stat.S_ISGID), name
        if name in ("run/xapsd", "var/lib/xapsd"):
            assert (at.st_uid, at.st_gid) == (11619, 0)
        else:
            assert (at.st_uid, at.st_gid) == (0, 0), name
            assert not at.st_mode & 0o022, name
        if path.is_file():
            files[name] = at.st_size
    assert sorted(files) == ["etc/group", "etc/passwd",
                             "usr/share/doc/xapsd/LICENSES", "xapsd"]
    licenses = (root / "usr/share/doc/xapsd/LICENSES").read_text()
    assert "musl" in licenses and "Apache License" in licenses
    machine = PLATFORMS[platform][0]
    qemu = [] if machine == os.uname().machine else \
        [shutil.which("qemu-%s-static" % machine)]
    assert qemu != [None], "no qemu for %s: make deps" % machine
    assert run(*qemu, str(root / "xapsd"), "--version").stdout.startswith(
        "xapsd ")


@pytest.fixture
def make(workdir, certs, bundles):
    native, = [p for p, m in PLATFORMS.items()
               if m[0] == os.uname().machine]

    def container(name="c", **options):
        folder = workdir / name
        folder.mkdir(exist_ok=True)
        return Container(folder, certs, bundles(native), **options)
    return container


def push_through(xapsd, apple, n=1, token=TOKEN):
    xapsd.register("alice", ACCOUNT, token, ["INBOX"])
    assert xapsd.notify("alice").status == 200
    assert apple.wait_for(n)[-1].token == token


@needs_runc
def test_whole_way(make, apple):
    with make(apple=apple) as xapsd:
        apple.wait_connected()
        push_through(xapsd, apple)
        text = pathlib.Path("/proc/%d/status" % xapsd.pid()).read_text()
        assert "NSpid:\t%d\t1\n" % xapsd.pid() in text
        assert "Uid:\t11619\t" in text and "Gid:\t11619\t" in text
        assert "CapEff:\t0000000000000000" in text
        at = os.stat(xapsd.socket_path)
        assert (at.st_uid, at.st_gid, stat.S_IMODE(at.st_mode)) == \
            (11619, 11619, 0o660)
        assert stat.S_IMODE(xapsd.database.stat().st_mode) == 0o600
        xapsd.wait_until(
            lambda: xapsd.exec("healthcheck").returncode == 0, "health")
        assert "connected" in xapsd.exec("status").stdout
        assert "alice" in xapsd.exec("list").stdout
        checked = xapsd.exec("check")
        assert checked.returncode == 0, checked.stdout + checked.stderr
        # nothing but a root, and nothing was written there
        names = os.listdir("/proc/%d/root" % xapsd.pid())
        assert sorted(names) == ["dev", "etc", "proc", "run", "sys", "usr",
                                 "var", "xapsd"]


@needs_runc
def test_log_is_on_stderr(make, apple, workdir):
    with make(apple=apple, stdout=workdir / "out") as xapsd:
        xapsd.wait_log(" started: ")
    assert (workdir / "out").read_bytes() == b""


@needs_runc
def test_sigterm_saves_the_queue(make, apple):
    """Apple does not answer: PID 1 ends before Docker would kill it, and what
    waited is sent by the next container."""
    apple.script(TOKEN, Answer(never=True))
    with make(apple=apple) as xapsd:
        push_through(xapsd, apple)
        assert xapsd.notify("alice").status == 200
        process = xapsd.process
        xapsd.send_signal(signal.SIGTERM)
        assert process.wait(STOP_S) == 0
        xapsd.process = None
        assert not os.path.exists(xapsd.socket_path)
        xapsd.start()
        apple.wait_for(2)


@needs_runc
def test_sigint(make, apple):
    with make(apple=apple) as xapsd:
        xapsd.stop(signal.SIGINT)


@needs_runc
def test_sighup(make, apple):
    with make(apple=apple) as xapsd:
        xapsd.config["delay"] = "7s"
        xapsd.write_config()
        xapsd.send_signal(signal.SIGHUP)
        xapsd.wait_log("reload")
        xapsd.config["delay"] = "soon"
        xapsd.write_config()
        xapsd.send_signal(signal.SIGHUP)
        xapsd.wait_log(r"xapsd\.yaml:\d+: delay: ")
        push_through(xapsd, apple)


@needs_runc
def test_power_cut(make, apple):
    """What a killed container leaves in its volumes stops no other."""
    with make(apple=apple) as xapsd:
        xapsd.register("alice", ACCOUNT, TOKEN, ["INBOX"])
        xapsd.kill()
        assert os.path.exists(xapsd.socket_path)
        xapsd.name += "2"
        xapsd.start()
        assert xapsd.notify("alice").status == 200
        apple.wait_for(1)


@needs_runc
@pytest.mark.parametrize("user", [(1234, 1234), (1000660000, 0), (65534, 65534),
                                  (0, 0)])
def test_any_user(make, apple, user):
    with make(apple=apple, user=user) as xapsd:
        push_through(xapsd, apple)
        xapsd.wait_until(
            lambda: xapsd.exec("healthcheck").returncode == 0, "health")
        assert xapsd.exec("list").returncode == 0


@needs_runc
def test_volumes_of_another_user(make, apple):
    """As the image's folders are: its user's, and writable for group root."""
    with make(apple=apple, user=(1000660000, 0), owner=(11619, 0)) as xapsd:
        push_through(xapsd, apple)


@needs_runc
@pytest.mark.parametrize("folder", ["lib", "run"])
def test_volume_that_cannot_be_written(make, apple, folder):
    x = make(apple=apple, user=(1234, 1234))
    x.forbidden = folder
    done = x.run()
    assert done.returncode not in (0, 64) and done.stdout == ""
    assert {"lib": "/var/lib/xapsd", "run": "/run/xapsd"}[folder] in \
        done.stderr


@needs_runc
def test_no_configuration(make, apple):
    x = make(apple=apple)
    x.has_config = False
    done = x.run()
    assert done.returncode == 1 and done.stdout == ""
    assert "/etc/xapsd/xapsd.yaml" in done.stderr


@needs_runc
def test_no_name_server(make, apple):
    """It says so, is not healthy, and stays."""
    with make(apple=apple, apnsHost="push.example.invalid") as xapsd:
        xapsd.wait_log("cannot find the address of push.example.invalid.*"
                       "there is no /etc/resolv.conf")
        xapsd.register("alice", ACCOUNT, TOKEN, ["INBOX"])
        assert xapsd.notify("alice").status == 200
        xapsd.assert_alive()
        assert "no /etc/resolv.conf" in xapsd.exec("status").stdout


@needs_runc
def test_unhealthy(make, apple):
    with make(apple=apple, keyFileP8=None, keyFileKeyId=None,
              keyFileTeamId=None, keyFileTopic=None) as xapsd:
        done = xapsd.exec("healthcheck")
        assert done.returncode == 1 and "credential" in done.stderr


@needs_runc
def test_one_database_for_one(make, apple):
    with make(apple=apple) as xapsd:
        second = make("d", apple=apple, listenAddr="127.0.0.1", port=0)
        second.write_config()
        spec = second.command()
        path = pathlib.Path(spec[spec.index("--bundle") + 1], "config.json")
        path.write_text(path.read_text().replace(
            str(second.folder / "lib"), str(xapsd.folder / "lib")))
        done = subprocess.run(spec, capture_output=True, text=True, timeout=60)
        assert done.returncode != 0
        assert "database.json" in done.stderr, done.stderr


@needs_runc
def test_syslog_without_its_socket(make, apple):
    with make(apple=apple, args=["--syslog"]) as xapsd:
        xapsd.wait_log(" started: ")
        push_through(xapsd, apple)


@needs_runc
@pytest.mark.parametrize("gid, more", [
    (MAIL_GID, {}), (11619, {"socketMode": "0666"})])
def test_dovecot_by_the_volume(make, apple, start_dovecot, gid, more):
    """The socket's folder is all that the two share; its group is vmail's."""
    with make(apple=apple, user=(11619, gid), **more) as xapsd:
        apple.wait_connected()
        dovecot = start_dovecot("unix:" + xapsd.socket_path)
        register(dovecot, "alice", xapsd.certs.key_topic)
        dovecot.deliver("alice", mail())
        apple.wait_for(1)


# --- compose.yaml ---

def test_compose(tmp_path):
    if not shutil.which("docker-compose"):
        pytest.skip("docker-compose is missing")
    import yaml
    text = (ROOT / "packaging/docker/compose.yaml").read_text()
    # 1.29 wants a version where the specification has none
    (tmp_path / "compose.yaml").write_text("version: '3.8'\n" + text)
    done = run("docker-compose", "-f", str(tmp_path / "compose.yaml"),
               "config")
    xapsd = yaml.safe_load(done.stdout)["services"]["xapsd"]
    version = next(images())[1]["annotations"][
        "org.opencontainers.image.version"]
    assert xapsd["image"] == "xapsd:" + version
    assert xapsd["read_only"] and xapsd["cap_drop"] == ["ALL"]
    config = next(images())[2]["config"]
    assert xapsd["healthcheck"]["test"] == config["Healthcheck"]["Test"]
    assert xapsd["user"].split(":")[0] == config["User"]
    mounted = {v.split(":")[1] for v in xapsd["volumes"]}
    assert set(config["Volumes"]) < mounted
