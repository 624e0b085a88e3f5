"""Coming from another daemon: its configuration, its command line, its
database, its plugins.  The inputs have the keys and the shapes that those
programs write; the words are ours."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess

import pytest

from phones import ACCOUNT, TOKEN
from ports import free_port
from test_line import check_wakes
from xapsd import Xapsd, executable, loopback_name

PASSWORDLESS = ("openssl", "pkcs12", "-export", "-passout", "pass:")


def make(workdir, certs, apple=None, **options):
    folder = workdir / "x"
    folder.mkdir(exist_ok=True)
    return Xapsd(folder, certs, apple=apple, **options)


class Mover(Xapsd):
    """Another daemon's file, as it is; what only a test needs comes on the
    command line."""

    def __init__(self, folder, certs, text, apple=None, where=None, args=(),
                 **options):
        folder.mkdir(exist_ok=True)
        super().__init__(folder, certs, apple=apple, **options)
        self.port = free_port("::1")
        self.where = self.config_path = where or folder / "xapsd.yaml"
        self.where.write_text(text.format(
            folder=folder, port=self.port, tls_port=free_port()))
        self.own = ["-socketPath=" + self.socket_path, "-apnsPort",
                    str(self.config["apnsPort"]), "-apnsHost", loopback_name(),
                    "-apnsCaFile", certs.ca, *args]
        self.find = ["-c", str(self.where)]

    def write_config(self):
        pass

    def is_ready(self):
        port, self.port = self.port, 0  # not on 127.0.0.1
        try:
            return super().is_ready()
        finally:
            self.port = port

    def command(self, *args):
        return [executable(), *self.find, *self.own, *args]


# --- configurations ---

GO_2025 = """# level
loglevel: {level}
databaseFile: {{folder}}/database.json
listenAddr: '[::1]'
port: {{port}}

tlsCertfile:
tlsKeyfile:
tlsListenAddr:
tlsPort: 11620
checkInterval: 20
delay: 30
{p12}
{pem}
# a key
keyFileP8:{p8}
keyFileTopic: com.apple.mail.nil
keyFileKeyId: ABCDEFGH
keyFileTeamId: ABCDEFGH
"""
P12, PEM = "#certificateFileP12:", "#certificateFilePem:\n#certificateFilePemKey:"


def go_2025(level="info", p12=P12, pem=PEM, p8=""):
    return GO_2025.format(level=level, p12=p12, pem=pem, p8=p8)


@contextlib.contextmanager
def pushes(daemon, apple, topic):
    """It starts, takes a registration and a mail, and Apple has the push."""
    with daemon:
        apple.wait_connected()
        daemon.register("alice", ACCOUNT, TOKEN, ["INBOX"])
        assert daemon.notify("alice").status == 200
        push, = apple.wait_for(1)
        assert push.headers["apns-topic"] == topic
        yield


def warnings(daemon):
    """But for that of tests, which run as root."""
    return [line for line in daemon.log().splitlines()
            if " warn " in line and "so this runs as root" not in line]


@pytest.mark.parametrize("level", ["info", "warning", "WARN", "warn"])
def test_go_sample_with_a_certificate(workdir, certs, apple, level):
    """Key id, team id and topic are the sample's: one warning."""
    shutil.copy(certs.client_cert, workdir / "push.pem")
    shutil.copy(certs.client_key, workdir / "push.key")
    daemon = Mover(workdir / "x", certs, go_2025(
        level, pem="certificateFilePem: push.pem\n"
        "certificateFilePemKey: push.key"), apple,
        where=workdir / "xapsd.yaml")
    with pushes(daemon, apple, certs.cert_topic):
        ignored = [w for w in warnings(daemon) if "ignored" in w]
        assert len(ignored) == 1, ignored
        for key in ("keyFileTopic", "keyFileKeyId", "keyFileTeamId"):
            assert key in ignored[0]
        assert ("started" in daemon.log()) == (level == "info")


def test_go_sample_as_installed(workdir, certs):
    """No credential at all: it starts, and names the three keys to set."""
    with Mover(workdir / "x", certs, go_2025()) as daemon:
        assert "keyFileP8" in daemon.wait_log(r"error no pushes: (.*)")[1]
        done = daemon.run("check", "--offline")
        assert "no credentials" in done.stderr and "ignored" in done.stderr


def test_go_p12_before_pem(workdir, certs, apple):
    """There the .p12 counted if both were set."""
    subprocess.run([*PASSWORDLESS, "-in", certs.client_cert, "-inkey",
                    certs.client_key, "-out", str(workdir / "a.p12")],
                   check=True)
    daemon = Mover(workdir / "x", certs, go_2025(
        p12="certificateFileP12: a.p12",
        pem="certificateFilePem: gone.pem\ncertificateFilePemKey: gone.key"),
        apple, where=workdir / "xapsd.yaml")
    with pushes(daemon, apple, certs.cert_topic):
        ignored = [w for w in warnings(daemon) if "ignored" in w]
        assert len(ignored) == 1, ignored
        assert "certificateFilePem," in ignored[0]
        assert "certificateFileP12" in ignored[0]
        # and no other key is watched or warned of
        assert "gone" not in daemon.log()
        check = daemon.run("check")
        assert check.returncode == 0, check.stdout
        assert "certificateFilePem" in check.stderr


@pytest.mark.parametrize("name", ["keys/x.p8", "x.p8", "a/../x.p8", "keys//x.p8"])
def test_go_paths_are_below_the_configuration(workdir, certs, apple, name):
    """It put /etc/xapsd/ before every name."""
    etc = workdir / "etc"
    (etc / "a").mkdir(parents=True)
    (etc / "keys").mkdir()
    shutil.copy(certs.p8, etc / name)
    text = go_2025(p8=" " + name)
    text = text.replace("ABCDEFGH", certs.key_id, 1)
    text = text.replace("ABCDEFGH", certs.team_id, 1)
    text = text.replace("com.apple.mail.nil", certs.key_topic)
    daemon = Mover(workdir / "x", certs, text, apple, where=etc / "xapsd.yaml")
    with pushes(daemon, apple, certs.key_topic):
        assert warnings(daemon) == []


def test_go_absolute_path_that_was_none(workdir, certs):
    """A leading slash did not help there: it means what it says here."""
    daemon = Mover(workdir / "x", certs, go_2025(
        p12="certificateFileP12: /nowhere/a.p12"))
    with daemon:
        assert "/nowhere/a.p12: No such file" in daemon.wait_log(
            r"no pushes: (.*)")[1]


GO_2021 = """loglevel: warn
databaseFile: {folder}/database.json
port: {port}
tlsCertfile:
tlsKeyfile:
tlsPort: 11620
checkInterval: 20
delay: 30
appleId: somebody@example.com
appleIdHashedPassword: 5e884898da28047151d0e56f8dc62927
"""


def test_go_without_listen_addr(workdir, certs):
    """Up to 2022 it listened everywhere.  One line says that we do not."""
    daemon = Mover(workdir / "x", certs, GO_2021)
    with daemon:
        daemon.wait_log(r"warn  appleId: Apple closed this log-in in October "
                        r"2024.*keyFileP8")
        said = daemon.wait_log(r"warn  (listenAddr: .*)")[1]
        assert "this machine" in said
        assert daemon.log().count("listenAddr") == 1
        with pytest.raises(OSError):
            socket.create_connection((own_address(), daemon.port), 5).close()
    with Mover(workdir / "y", certs, "listenAddr: localhost\n" +
               GO_2021) as daemon:
        assert "listenAddr" not in daemon.log()


def own_address():
    """Of another interface than lo; 127.0.0.2 where there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))
            return s.getsockname()[0]
        except OSError:
            return "127.0.0.2"


def test_our_own_sample_says_nothing(start_xapsd):
    daemon = start_xapsd(listenAddr=None, port=free_port())
    assert "listenAddr" not in daemon.log()


GO_2020 = """loglevel: warn
databaseFile: {folder}/database.json
socketPath: {folder}/from-the-file.sock
checkInterval: 20
delay: 30
keyFile: %s
certFile: %s
"""


def test_go_2020_certificate(workdir, certs, apple):
    """keyFile and certFile are the push certificate, not the listener's."""
    daemon = Mover(workdir / "x", certs,
                   GO_2020 % (certs.client_key, certs.client_cert), apple,
                   args=["-port=0"])
    with pushes(daemon, apple, certs.cert_topic):
        said = [w for w in warnings(daemon) if "certFile" in w]
        assert len(said) == 1, warnings(daemon)
        assert "certificateFilePem" in said[0]
        assert "tls" not in daemon.log().replace("mbedtls", "")
        # its socket was the only door
        assert "listenAddr" not in daemon.log()


def test_go_2020_leftovers(workdir, certs, apple):
    """After an upgrade there the old keys were left, and ignored."""
    text = go_2025(p8=" " + certs.p8).replace(
        "ABCDEFGH", certs.key_id, 1).replace(
        "ABCDEFGH", certs.team_id, 1).replace(
        "com.apple.mail.nil", certs.key_topic)
    text += "certFile: /nowhere/c.pem\nkeyFile: /nowhere/k.pem\n"
    daemon = Mover(workdir / "x", certs, text, apple)
    with pushes(daemon, apple, certs.key_topic):
        said = [w for w in warnings(daemon) if "certFile" in w]
        assert len(said) == 1 and "ignored" in said[0], warnings(daemon)


def test_go_2020_half(workdir, certs):
    daemon = Mover(workdir / "x", certs, "keyFile: /nowhere/k.pem\n")
    done = subprocess.run(daemon.command(), capture_output=True, text=True,
                          timeout=30)
    assert done.returncode == 78
    assert "certificateFilePem is missing" in done.stderr, done.stderr


# Its command line tool rewrote the file: lower case, sorted, "" and null.
REWRITTEN = """appleid: ""
appleidhashedpassword: null
certificatefilep12: ""
certificatefilepem: {pem}
certificatefilepemkey: ~
checkinterval: 20
databasefile: {{folder}}/database.json
delay: 111
keyfilep8: ''
listenaddr: ::1
loglevel: debug
port: "{{port}}"
tlscertfile: ""
tlslistenaddr: ""
tlsport: "11620"
"""


def test_go_rewritten_file(workdir, certs, apple):
    daemon = Mover(workdir / "x", certs,
                   REWRITTEN.format(pem=certs.client), apple)
    with pushes(daemon, apple, certs.cert_topic):
        assert warnings(daemon) == []


@pytest.mark.parametrize("key, end", [
    (r"\1:\t\t", ""), (r'"\1": ', ""), (r"'\1' :\t", "...\n")])
def test_go_file_in_other_yaml(workdir, certs, apple, key, end):
    """Aligned with tabs, or written by a tool that quotes keys."""
    text = re.sub(r"^(\w+): *", key, REWRITTEN.format(pem=certs.client),
                  flags=re.M)
    daemon = Mover(workdir / "x", certs, text + end, apple)
    with pushes(daemon, apple, certs.cert_topic):
        assert warnings(daemon) == []


def test_hints_do_not_lead_to_the_listener(workdir, certs):
    """A misspelt push certificate is no listener's."""
    for name, hint in (("certFil", "certificateFilePem"),
                       ("key_file", "certificateFilePemKey"),
                       ("certificateFile", "certificateFilePem"),
                       ("tlsCertFil", "tlsCertfile")):
        daemon = Mover(workdir / "x", certs, name + ": a.pem\n")
        done = subprocess.run(daemon.command(), capture_output=True, text=True,
                              timeout=30)
        assert done.returncode == 78
        assert "did you mean " + hint in done.stderr, done.stderr


# --- where it looks for the file ---

@pytest.mark.parametrize("name, args", [
    ("xapsd.yaml", ["-configPath", "{etc}"]),
    ("mine.yaml", ["-configPath", "{etc}", "-configName", "mine"]),
    ("mine.yaml", ["-configPath={etc}/", "-configName=mine.yaml"]),
    ("mine.yml", ["--configPath", "{etc}", "--configName", "mine"]),
    ("mine", ["-configName", "mine", "-configPath", "{etc}"]),
    ("x.yaml", ["-configName", "x", "-configPath", "{etc}", "-pass=false"]),
])
def test_config_path_and_name(workdir, certs, name, args):
    etc = workdir / "etc"
    etc.mkdir()
    daemon = Mover(workdir / "x", certs, go_2025(), where=etc / name)
    daemon.find = [a.format(etc=etc) for a in args]
    with daemon:
        daemon.wait_log("no pushes")
        assert daemon.run("list").returncode == 0


def test_config_that_is_nowhere(workdir, certs):
    daemon = Mover(workdir / "x", certs, "")
    daemon.find = ["-configPath", str(workdir), "-configName", "none"]
    done = subprocess.run(daemon.command(), capture_output=True, text=True,
                          timeout=30)
    assert done.returncode == 1
    assert str(workdir) + "/none.yaml: cannot be read" in done.stderr


# --- command lines ---

@pytest.mark.parametrize("args", [
    ["-debug=true"], ["-debug"], ["--debug=1"], ["-debug=T"],
    ["-loglevel=debug", "-feedbackInterval=60"],
    ["-loglevel=debug", "-redisEnabled=false", "-redisUrl=localhost:6379",
     "-redisPassword=", "-redisDb=0", "-feedbackInterval", "60"],
    ["-loglevel=debug", "-redisEnabled", "-redisUrl", "localhost:6379"],
    ["-loglevel=debug", "--apns-host=gateway.push.apple.com",
     "--apns-port", "2195"],
], ids=" ".join)
def test_first_generation(workdir, certs, apple, args):
    """In a folder of its own, with the names that it has there."""
    daemon = make(workdir, certs, apple)
    here = workdir / "home"
    here.mkdir()
    shutil.copy(certs.client_cert, here / "certificate.pem")
    shutil.copy(certs.client_key, here / "key.pem")
    daemon.write_config = lambda: None
    daemon.command = lambda *a: [
        "env", "-C", str(here), executable(), "-key=key.pem",
        "-certificate=certificate.pem", "-database=xapsd.json",
        "-socket=" + daemon.socket_path, "-delayTime=30",
        "-delayCheckInterval=20", *args,
        "-port=0", "-apnsHost=" + loopback_name(),
        "-apnsPort=%d" % apple.port, "-apnsCaFile=" + certs.ca, *a]
    with daemon:
        check_wakes(daemon, apple, certs.cert_topic)
        assert " debug " in daemon.log()
        words = " ".join(args)
        for name in ("feedbackInterval", "redis", "apns-host"):
            said = [w for w in warnings(daemon) if name in w]
            assert bool(said) == (name in words), daemon.log()
    assert (here / "xapsd.json").exists()


@pytest.mark.parametrize("args, says", [
    (["-debug=maybe"], "debug"), (["-version=2"], "version"),
    (["-feedbackInterval"], "needs a value"),
    (["-redisEnabled=perhaps"], "redisEnabled"),
])
def test_first_generation_nonsense(args, says):
    done = subprocess.run([executable(), "-key=k", *args],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 64 and says in done.stderr, done.stderr


def test_names_on_the_command_line(workdir, certs, apple):
    """They are the shell's, also where there is a configuration file; a name
    that is not there is looked up beside that file, as in it."""
    etc = workdir / "etc"
    etc.mkdir()
    here = workdir / "home"
    here.mkdir()
    shutil.copy(certs.client_cert, here / "certificate.pem")
    shutil.copy(certs.client_key, etc / "key.pem")
    daemon = Mover(workdir / "x", certs, "port: 0\n", apple,
                   where=etc / "xapsd.yaml",
                   args=["-key=key.pem", "-certificate=certificate.pem",
                         "-database=" + str(workdir / "d.json")])
    plain = daemon.command
    daemon.command = lambda *a: ["env", "-C", str(here), *plain(*a)]
    with pushes(daemon, apple, certs.cert_topic):
        pass


# --- the older plugins ---

def register_body(**more):
    body = {"ApsAccountId": ACCOUNT, "ApsDeviceToken": TOKEN,
            "ApsSubtopic": "com.apple.mobilemail", "Username": "alice",
            "Mailboxes": ["INBOX"]}
    body.update(more)
    return json.dumps(body)


def as_dovecot(daemon, path, body):
    """What lib-http of Dovecot sends for a plugin."""
    return daemon.request("POST", path, body, {
        "Date": "Fri, 27 Nov 2026 10:00:00 GMT", "Connection": "Keep-Alive",
        "Content-Type": "application/json; charset=utf-8"})


def test_plugin_that_would_abort(start_xapsd):
    """The older HTTP plugin asserts a topic of over 50 characters: it gets
    none that is shorter, and one error says what to do."""
    daemon = start_xapsd(keyFileTopic="a" * 50, apple=None)
    for _ in range(7):      # as often as it tries
        reply = as_dovecot(daemon, "/register", register_body())
        assert reply.status == 503
        assert "dovecot-xaps" in reply.body
    errors = [line for line in daemon.log().splitlines()
              if " error " in line and "plugin" in line]
    assert len(errors) == 1, errors
    assert not daemon.records()
    # all others are served
    assert as_dovecot(daemon, "/register", register_body(
        MailboxesAcknowledged=True)).status == 200
    assert as_dovecot(daemon, "/register", register_body(
        mailboxesacknowledged=False)).status == 200
    assert daemon.request("POST", "/register", register_body(), {
        "Content-Type": "application/json"}).status == 200
    assert as_dovecot(daemon, "/notify", json.dumps({
        "Username": "alice", "Mailbox": "INBOX",
        "Events": ["MessageNew"]})).status == 200


def test_plugin_with_a_long_topic(start_xapsd):
    daemon = start_xapsd(keyFileTopic="a" * 51, apple=None)
    reply = as_dovecot(daemon, "/register", register_body())
    assert (reply.status, reply.body) == (200, "a" * 51)
    assert "plugin" not in daemon.log()


@pytest.mark.parametrize("change", [str.lower, str.upper, str.swapcase])
def test_keys_in_any_case(start_xapsd, apple, change):
    """Go takes them so."""
    daemon = start_xapsd()
    apple.wait_connected()

    def keys(value):
        return json.dumps({change(k): v for k, v in value.items()})

    reply = daemon.request("POST", "/register", keys(
        json.loads(register_body(MailboxesAcknowledged=True))))
    assert reply.status == 200, reply
    assert daemon.records()[0]["acked"] is True
    for path, body in (
            ("/notify", {"Username": "alice", "Mailbox": "INBOX",
                         "Events": ["MessageNew"], "Owner": "alice"}),
            ("/preliminary/http-notify/v1/notify", {
                "user": "alice", "folder": "INBOX", "event": "messageNew"})):
        assert daemon.request("POST", path, keys(body)).status == 200
    apple.wait_for(1)
    # the last of equal ones counts, as there
    assert daemon.request("POST", "/notify", json.dumps({
        "Username": "nobody", "username": "alice", "Mailbox": "INBOX",
        "Events": []})).status == 200
    assert daemon.request("POST", "/notify", json.dumps({
        "username": "alice", "Username": "nobody", "Mailbox": "INBOX",
        "Events": []})).status == 404


# --- databases ---

CERTS = {"Signature": [{"Certificate": ["MIIB"], "PrivateKey": None,
                        "OCSPStaple": None, "Leaf": None}] * 5,
         "Keys": ["MIIE", "MIIE", "MIIE", "MIIE", "MIIE"]}


def device(token=TOKEN, **more):
    return {"DeviceToken": token, "Mailboxes": ["INBOX", "Notes"], **more}


TIME = {"RegistrationTime": "2026-11-26T12:42:31.123456789+01:00"}
DATABASES = {
    # with the first generation's flags, and with its v0.8
    "first": {"Users": {"alice": {"Accounts": {ACCOUNT: device()}}}},
    "2018": {"Users": {"alice": {"Accounts": {
        ACCOUNT: device(), "b": device(64 * "a", **TIME)}},
        "bob@example.org": {"Accounts": {}}, "carl": {"Accounts": None}}},
    # 2020 to 2025: Apple's certificates inside
    "2021": {"Users": {"alice": {"Accounts": {ACCOUNT: device(**TIME)}}},
             "AppleCerts": CERTS},
    "zero": {"Users": {"alice": {"Accounts": {ACCOUNT: device(
        RegistrationTime="0001-01-01T00:00:00Z")}}},
        "AppleCerts": {"Signature": None, "Keys": None}},
}


def lower(value):
    if isinstance(value, dict):
        return {k if k in (ACCOUNT, "alice") else k.lower(): lower(v)
                for k, v in value.items()}
    return value


SHAPES = {
    "as written": lambda d: json.dumps(d, indent=2),
    "jq -S": lambda d: json.dumps(d, indent=2, sort_keys=True),
    "jq -c": lambda d: json.dumps(d, separators=(",", ":")),
    "tabs": lambda d: json.dumps(d, indent="\t") + "\n",
    "mark": lambda d: "\ufeff" + json.dumps(d, indent=4),
    "windows": lambda d: json.dumps(d, indent=2).replace("\n", "\r\n"),
    "lower": lambda d: json.dumps(lower(d)),
    "escaped": lambda d: json.dumps(d).replace(
        "Users", "\\u0055sers").replace("INBOX", "\\u0049NBOX"),
    "backwards": lambda d: json.dumps(dict(reversed(list(d.items())))),
    "a line each": lambda d: json.dumps(d).replace("{", "{\n").replace(
        ", ", ",\n"),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("era", DATABASES)
def test_go_database(start_xapsd, era, shape):
    daemon = start_xapsd()
    daemon.stop()
    text = SHAPES[shape](DATABASES[era])
    daemon.database.write_bytes(text.encode())
    daemon.start()
    daemon.wait_log(r"took over %d registrations? of the Go daemon, skipped 0"
                    % (2 if era == "2018" else 1))
    assert daemon.notify("alice").status == 200
    assert "bad line" not in daemon.log()
    assert daemon.database.with_suffix(
        ".json.orig").read_bytes() == text.encode()
    assert not daemon.database.with_suffix(".json.bad").exists()


@pytest.mark.parametrize("name", [
    "database.json", "databasefile.json", "xapsd.json", "xaps.json", "db"])
def test_go_database_of_any_name(workdir, certs, name):
    daemon = make(workdir, certs, databaseFile=str(workdir / name))
    (workdir / name).write_text(json.dumps(DATABASES["first"]))
    with daemon:
        daemon.wait_log("took over 1 registration of")
    assert (workdir / (name + ".orig")).exists()


def test_python_database_is_named(workdir, certs):
    """Of 2014: {user: {accounts: {account: {devices: {token: …}}}}}."""
    daemon = make(workdir, certs)
    text = json.dumps({"alice": {"accounts": {ACCOUNT: {"devices": {
        TOKEN: {"mailboxes": ["INBOX"]}}}}}}, indent=4)
    daemon.database.write_text(text)
    daemon.write_config()
    done = subprocess.run(daemon.command(), capture_output=True, text=True,
                          timeout=30)
    assert done.returncode == 1
    assert "move it away" in done.stderr, done.stderr
    assert daemon.database.read_text() == text


# --- and back ---

def go_reads(text):
    """By its rules: exact types, RFC 3339, the zero time is no time."""
    import datetime
    found = []
    for user, value in json.loads(text)["Users"].items():
        assert user == user.lower() and isinstance(value["Accounts"], dict)
        for account, reg in value["Accounts"].items():
            assert set(reg) <= {"DeviceToken", "Mailboxes",
                                "RegistrationTime"}
            assert isinstance(reg["DeviceToken"], str)
            assert all(isinstance(m, str) for m in reg["Mailboxes"])
            time = reg.get("RegistrationTime")
            if time is not None:
                time = datetime.datetime.fromisoformat(
                    time.replace("Z", "+00:00"))
                assert time.tzinfo is not None
            found.append((user, account, reg["DeviceToken"],
                          reg["Mailboxes"], time))
    return found


def test_the_way_back(start_xapsd):
    daemon = start_xapsd()
    daemon.register("Alice@Example.org", ACCOUNT, TOKEN, ["INBOX", "Notes"])
    daemon.register("bob", "b", 64 * "b", ["INBOX"])
    # taken over while the clock was not set: no time is known
    daemon.stop()
    with open(daemon.database, "a", encoding="utf-8") as f:
        f.write(json.dumps({"user": "carl", "account": "c", "token": 64 * "c",
                            "mailboxes": ["INBOX"], "acked": False,
                            "time": 0}, separators=(",", ":")) + "\n")
    daemon.start()
    done = daemon.run("export")
    assert done.returncode == 0
    back = {r[0]: r for r in go_reads(done.stdout)}
    assert set(back) == {"alice@example.org", "bob", "carl"}
    assert back["alice@example.org"][2:4] == (TOKEN, ["INBOX", "Notes"])
    # after 30 days it drops them; without a time never
    for user in back:
        assert back[user][4] is None or back[user][4].year >= 2025 or \
            back[user][4].year == 1, back[user]
    # and what it would write then is taken over again
    daemon.stop()
    for name in ("database.json", "database.json.orig"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(daemon.folder / name)
    daemon.database.write_text(json.dumps(json.loads(done.stdout), indent=2))
    daemon.start()
    daemon.wait_log("took over 3 registrations of the Go daemon, skipped 0")


# --- what proxies on the way to Apple ask for ---

def test_pushes_say_their_length(xapsd, apple):
    """lighttpd answers 411 to a request without."""
    xapsd.register("alice", ACCOUNT, TOKEN, ["INBOX", "Notes"], acked=True)
    xapsd.register("bob", "b" * 200, 64 * "b", ["INBOX"])
    for n, user in enumerate(("alice", "bob", "alice")):
        assert xapsd.notify(user).status == 200
        push = apple.wait_for(n + 1)[n]
        assert int(push.headers["content-length"]) == len(push.body), push
