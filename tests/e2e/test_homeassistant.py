"""The app (add-on) of Home Assistant: its config.yaml by the documented keys, its
options to xapsd.yaml, its start."""
import base64
import http.client
import json
import os
import re
import shutil
import ssl
import subprocess

import pytest

from ports import free_port
from xapsd import ROOT, Xapsd, executable

FOLDER = ROOT / "packaging/homeassistant"
# developers.home-assistant.io, Apps, Configuration
KEYS = set("""name version slug description arch machine url startup webui boot
    ports ports_description host_network host_ipc host_dbus host_pid host_uts
    devices homeassistant hassio_role hassio_api homeassistant_api docker_api
    privileged full_access apparmor map environment audio video gpio usb uart
    udev devicetree kernel_modules stdin legacy options schema image timeout
    tmpfs discovery services auth_api ingress ingress_port ingress_entry
    ingress_stream panel_icon panel_title panel_admin backup backup_pre
    backup_post backup_exclude stage init watchdog realtime journald
    breaking_versions ulimits""".split())
TYPES = re.compile(r"(str|bool|int|float|email|url|password|port|match\(.*\)"
                   r"|list\(.*\))(\(.*\))?\??")
AWKS = [a for a in ("mawk", "gawk", "original-awk", "busybox")
        if shutil.which(a)]


@pytest.fixture
def config():
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load((FOLDER / "config.yaml").read_text())


def test_keys(config):
    assert set(config) <= KEYS
    assert {"name", "version", "slug", "description", "arch"} <= set(config)
    assert set(config["arch"]) <= {"aarch64", "amd64"}
    assert config["startup"] in ("initialize", "system", "services",
                                 "application")
    assert set(config["options"]) <= set(config["schema"])
    for kind in config["schema"].values():
        assert TYPES.fullmatch(kind), kind
    version = re.search(r"^VERSION = (.*)$", (ROOT / "Makefile").read_text(),
                        re.M)[1]
    assert config["version"] == version
    assert 'io.hass.version="%s"' % version in \
        (FOLDER / "Dockerfile").read_text()
    assert set(config["ports"]) == set(config["ports_description"])


def test_every_option_is_a_key_of_ours(config):
    known = set(re.findall(r"^#?(\w+): ", (ROOT / "xapsd.yaml").read_text(),
                           re.M))
    assert set(config["schema"]) <= known


def convert(text, awk="awk"):
    command = {"busybox": ["busybox", "awk"]}.get(awk, [awk])
    return subprocess.run(
        [*command, "-f", str(FOLDER / "options.awk")], input=text,
        capture_output=True, text=True, timeout=30)


ODD = ['a"b', "back\\slash", "tab\there", "new\nline", "#no", "'q'", "{x}: [y],",
       "ümläut €", "/slash/", "true", "5", " blanks ", "a:b", "null", "%s&\\n"]


@pytest.mark.parametrize("awk", AWKS)
@pytest.mark.parametrize("form", [
    {"indent": 2}, {"separators": (",", ":")}, {"indent": 1},
    {"ensure_ascii": False}])
def test_options(awk, form, workdir, certs):
    """What comes out is read by xapsd as what went in."""
    for odd in ODD:
        options = {"httpUser": "dovecot", "httpPassword": odd, "topic": "",
                   "port": 0, "allowInsecure": True, "delay": None}
        done = convert(json.dumps(options, **form), awk)
        assert done.returncode == 0, done.stderr
        lines = dict(line.split(": ", 1)
                     for line in done.stdout.splitlines())
        assert set(lines) == {"httpUser", "httpPassword", "port",
                              "allowInsecure"}
        assert lines["allowInsecure"] == "yes" and lines["port"] == "0"
        assert json.loads(lines["httpPassword"]) == odd


@pytest.mark.parametrize("awk", AWKS)
@pytest.mark.parametrize("text", ['{"a": [1, 2]}', '{"a": {"b": "c"}}'])
def test_what_is_not_flat_is_refused(awk, text):
    done = convert(text, awk)
    assert done.returncode == 1
    assert "options: a: a list or an object is not taken" in done.stderr


def test_no_options():
    assert convert("{}").stdout == ""


class App(Xapsd):
    """As its container is started."""

    def __init__(self, folder, certs, options, **more):
        super().__init__(folder, certs, **more)
        self.options = options
        for name in "data", "config":
            (self.folder / name).mkdir(exist_ok=True)
        shutil.copy(certs.p8, self.folder / "config/key.p8")

    def write_config(self):
        (self.folder / "data/options.json").write_text(
            json.dumps(self.options, indent=2))

    def command(self, *args):
        return ["env", "DATA=%s" % (self.folder / "data"),
                "CONFIG=%s" % (self.folder / "config"),
                "XAPSD=" + executable(),
                "OPTIONS_AWK=%s" % (FOLDER / "options.awk"),
                "sh", str(FOLDER / "run.sh"), *args]


def test_app(workdir, certs, apple):
    port = free_port()
    odd = 'p"a\\s {s}: \u20ac'
    app = App(workdir, certs, {
        "keyFileP8": "key.p8", "keyFileKeyId": certs.key_id,
        "keyFileTeamId": certs.team_id, "keyFileTopic": certs.key_topic,
        "tlsCertfile": certs.server, "tlsKeyfile": certs.server,
        "tlsListenAddr": "0.0.0.0", "tlsPort": port, "httpUser": "dovecot",
        "httpPassword": odd, "socketPath": str(workdir / "xapsd.sock"),
        "apnsHost": "127.0.0.1", "apnsPort": apple.port,
        "apnsCaFile": certs.ca, "port": 0, "topic": ""}, apple=apple)
    app.config["tlsPort"] = port
    with app:
        apple.wait_connected()
        context = ssl.create_default_context(cafile=certs.ca)
        context.check_hostname = False

        word = base64.b64encode(("dovecot:" + odd).encode()).decode()
        for headers, wanted in (({}, 401),
                                ({"Authorization": "Basic " + word}, 200)):
            c = http.client.HTTPSConnection("127.0.0.1", port, timeout=20,
                                            context=context)
            c.request("GET", "/status", headers=headers)
            assert c.getresponse().status == wanted
            c.close()
        made = app.folder / "config/.xapsd.yaml"
        assert made.stat().st_mode & 0o777 == 0o600


def test_app_without_what_must_be_set(workdir, certs):
    done = App(workdir, certs, {"delay": "soon"}).run()
    assert done.returncode == 78
    assert re.search(r"config/\.xapsd\.yaml:\d+: delay: ", done.stderr)
    assert not os.path.exists(workdir / "config/.xapsd.yaml.new")
