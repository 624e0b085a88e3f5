"""Several brands: each with its credential, topic and connection, of which a bad
one never disturbs the others."""

import json
import os
import signal
import subprocess

import pytest

import certs as pki
from apple import Answer, Apple
from phones import ACCOUNT, token
from xapsd import certificate, executable

pytestmark = pytest.mark.skipif(
    "brands" not in subprocess.run(
        [executable(), "--version"], capture_output=True, text=True).stdout,
    reason="this xapsd was built without brands")


def put(path, data):
    """As an editor does: aside, then renamed."""
    aside = path.with_name("." + path.name)
    aside.write_bytes(data if isinstance(data, bytes) else data.encode())
    os.rename(aside, path)


class Brands:
    """A folder of brands, and their credentials at the stand-in for Apple."""

    def __init__(self, folder, certs, apple):
        self.folder, self.certs, self.apple = folder, certs, apple
        folder.mkdir(exist_ok=True)
        self.topics = {}

    def file(self, name):
        return self.folder / (name + ".yaml")

    def write(self, name, users, **keys):
        """users as it is typed."""
        lines = ["users: %s" % users]
        lines += ["%s: %s" % pair for pair in keys.items()]
        put(self.file(name), "\n".join(lines) + "\n")

    def token_key(self, name, users, topic=None):
        self.topics[name] = topic or "com.apple.mobilemail.push.%s" % name
        kid = "%010d" % (len(self.apple.keys) + 1)
        key = pki.ec_key()
        self.apple.keys[kid] = (key, self.certs.team_id, self.topics[name])
        put(self.folder / (name + ".p8"), pki.key_pem(key))
        self.write(name, users, keyFileP8=name + ".p8", keyFileKeyId=kid,
                   keyFileTeamId=self.certs.team_id,
                   keyFileTopic=self.topics[name])

    def issue(self, name, topic=None, **validity):
        self.topics[name] = topic or "com.apple.mobilemail.push.%s" % name
        return self.certs.issuer.client(self.topics[name], **validity)

    def pem(self, name, users, topic=None, **validity):
        key, cert = self.issue(name, topic, **validity)
        put(self.folder / (name + ".pem"),
            pki.cert_pem(cert) + pki.key_pem(key))
        self.write(name, users, certificateFilePem=name + ".pem")

    def p12(self, name, users, topic=None):
        key, cert = self.issue(name, topic)
        crt, pem = self.folder / "p12.crt", self.folder / "p12.key"
        crt.write_bytes(pki.cert_pem(cert))
        pem.write_bytes(pki.key_pem(key))
        subprocess.run(
            ["openssl", "pkcs12", "-export", "-in", crt, "-inkey", pem,
             "-passout", "pass:sesame", "-out", self.folder / (name + ".p12")],
            check=True)
        self.write(name, users, certificateFileP12=name + ".p12",
                   certificatePassword="sesame")


@pytest.fixture
def brands(workdir, certs, apple):
    return Brands(workdir / "brands", certs, apple)


@pytest.fixture
def start(start_xapsd, brands):
    def start(identity=certificate, **config):
        config.setdefault("brandsDir", brands.folder)
        return start_xapsd(identity=identity, **config)
    return start


def by_name(xapsd):
    return {b["name"]: b for b in xapsd.status()["brands"]}


def reload(xapsd, pattern="reload: the configuration was read again"):
    start = xapsd.log_size()
    xapsd.process.send_signal(signal.SIGHUP)
    xapsd.wait_log(pattern, start=start)


def push_to(xapsd, user, n, mailbox="INBOX"):
    """Notifies; the push that arrives, which must be one to this phone."""
    apple = xapsd.apple
    so_far = len(apple.to(token(n)))
    assert xapsd.notify(user, mailbox).status == 200
    apple.wait(lambda: len(apple.to(token(n))) > so_far, "push")
    xapsd.wait_until(lambda: xapsd.status()["inFlight"] == 0, "the answer")
    return apple.to(token(n))[-1]


def credential(push):
    """Which credential the push was sent with: its topic."""
    if "authorization" in push.headers:
        return "key"
    return push.connection.cert_topic


# --- three kinds ---

def three(brands):
    brands.token_key("one", "*@one.example carol")
    brands.pem("two", "'*@two.example'")
    brands.p12("three", "*@*.three.example ?ave")


def test_three(start, brands, certs, apple):
    """Token key, PEM and PKCS#12 beside the main credential: each user is told,
    and pushed with, the topic of his brand."""
    three(brands)
    xapsd = start()
    users = {"alice@one.example": "one", "CAROL": "one",
             "bob@Two.Example": "two", "b@b.three.example": "three",
             "dave": "three", "alice": None, "x@three.example": None}
    topics = {None: certs.cert_topic, **brands.topics}
    for n, (user, brand) in enumerate(users.items()):
        assert xapsd.register(user, ACCOUNT, token(n)) == topics[brand]
    apple.wait_connected(1)
    assert apple.handshakes == 1            # idle ones are not connected
    assert {b["state"] for b in xapsd.status()["brands"]} == {"idle"}
    for n, (user, brand) in enumerate(users.items()):
        push = push_to(xapsd, user, n)
        assert push.headers["apns-topic"] == topics[brand]
        assert credential(push) == ("key" if brand == "one"
                                    else topics[brand])
    assert apple.handshakes == 4
    got = by_name(xapsd)
    assert list(got) == ["one", "three", "two"]
    for name, b in got.items():
        assert b["topic"] == brands.topics[name]
        assert b["healthy"] is True and "problem" not in b
        assert b["state"] == "connected"
        assert b["queued"] == 0
        assert ("expires" in b) == (name != "one")
    assert [got[b]["registrations"] for b in got] == [2, 2, 1]
    assert [got[b]["pushed"] for b in got] == [2, 2, 1]
    status = xapsd.status()
    assert status["registrations"] == 7 and status["delivered"] == 7
    assert status["oldTopic"] == 0


def test_metrics(start, brands, apple):
    three(brands)
    xapsd = start()
    xapsd.register("alice@one.example", ACCOUNT, token(1))
    xapsd.register("alice", ACCOUNT, token(2))
    push_to(xapsd, "alice@one.example", 1)
    text = xapsd.request("GET", "/metrics").body
    lines = text.splitlines()
    for line in ('xapsd_pushes_delivered_total{brand="one"} 1',
                 'xapsd_pushes_delivered_total{brand="two"} 0',
                 "xapsd_pushes_delivered_total 0",
                 'xapsd_registrations{brand="one"} 1',
                 "xapsd_registrations 1",
                 'xapsd_healthy{brand="three"} 1', "xapsd_healthy 1",
                 'xapsd_apns_connected{brand="one"} 1',
                 'xapsd_apns_connected{brand="two"} 0'):
        assert line in lines, line
    for line in lines:      # each family in one piece, with its type once
        assert lines.count(line) == 1, line
    assert 'xapsd_certificate_expiry_timestamp_seconds{brand="two"}' in text
    assert 'expiry_timestamp_seconds{brand="one"}' not in text


def test_without_brands_nothing_is_said(start_xapsd, certs):
    xapsd = start_xapsd()
    assert "brands" not in xapsd.status()
    assert "brand=" not in xapsd.request("GET", "/metrics").body
    assert xapsd.request("GET", "/healthz").body == "ok\n"


def test_without_a_main_credential(start, brands, apple):
    three(brands)
    xapsd = start(identity={})
    assert xapsd.request("GET", "/healthz").body == "ok\n"
    assert xapsd.register("a@one.example", ACCOUNT, token(1)) == \
        brands.topics["one"]
    reply = xapsd.post_register("alice", ACCOUNT, token(2))
    assert reply.status == 503 and "no credentials" in reply.body
    push_to(xapsd, "a@one.example", 1)
    # nobody else has a device
    assert xapsd.notify("alice").status == 404
    assert xapsd.status()["healthy"] is True


def test_relative_folder_and_first_by_name(start_xapsd, workdir, certs, apple):
    folder = workdir / "x"
    folder.mkdir()
    brands = Brands(folder / "b", certs, apple)
    brands.pem("b", "*@x.example")
    brands.pem("a", "a*@x.example")
    brands.pem("c", "*@x.example alice@x.example")
    xapsd = start_xapsd(brandsDir="b")
    topic = xapsd.register
    assert topic("alice@x.example", ACCOUNT, token(1)) == brands.topics["a"]
    assert topic("bob@x.example", ACCOUNT, token(2)) == brands.topics["b"]
    xapsd.wait_log(r"brand c: users: \*@x\.example is a pattern of a brand "
                   "before it")


# --- users who move ---

def test_moved_user(start, brands, certs, apple):
    """He keeps the topic that his phone was told, and is woken with it, until
    it registers again."""
    three(brands)
    xapsd = start()
    user = "alice@one.example"
    xapsd.register(user, ACCOUNT, token(1))
    brands.write("one", "carol", **dict(
        line.split(": ") for line in
        brands.file("one").read_text().splitlines()[1:]))
    text = brands.file("two").read_text()
    put(brands.file("two"), text.replace("two.example'", "o*.example'"))
    reload(xapsd)
    got = by_name(xapsd)
    assert got["two"]["registrations"] == got["two"]["oldTopic"] == 1
    assert got["one"]["registrations"] == 0
    assert xapsd.status()["oldTopic"] == 1
    push = push_to(xapsd, user, 1)
    assert push.headers["apns-topic"] == brands.topics["one"]
    listed = xapsd.run("list")
    assert "old topic" in listed.stdout
    xapsd.restart()         # and over a restart
    assert by_name(xapsd)["two"]["oldTopic"] == 1
    push = push_to(xapsd, user, 1)
    assert push.headers["apns-topic"] == brands.topics["one"]
    assert xapsd.register(user, ACCOUNT, token(1)) == brands.topics["two"]
    assert by_name(xapsd)["two"]["oldTopic"] == 0
    push = push_to(xapsd, user, 1)
    assert push.headers["apns-topic"] == credential(push) == \
        brands.topics["two"]


def test_brand_comes_and_goes(start, brands, certs, apple):
    """By a changed folder alone; what was told in it is kept."""
    xapsd = start()
    assert xapsd.register("a@new.example", ACCOUNT, token(1)) == \
        certs.cert_topic
    brands.pem("new", "*@new.example")
    xapsd.wait_until(lambda: "new" in by_name(xapsd)
                     if "brands" in xapsd.status() else False, "the brand")
    assert by_name(xapsd)["new"]["oldTopic"] == 1
    push = push_to(xapsd, "a@new.example", 1)
    assert credential(push) == certs.cert_topic
    assert xapsd.register("a@new.example", ACCOUNT, token(1)) == \
        brands.topics["new"]
    assert credential(push_to(xapsd, "a@new.example", 1)) == \
        brands.topics["new"]
    os.rename(brands.file("new"), brands.file("newer"))
    xapsd.wait_until(lambda: "newer" in by_name(xapsd), "its new name")
    assert by_name(xapsd)["newer"]["oldTopic"] == 0
    assert credential(push_to(xapsd, "a@new.example", 1)) == \
        brands.topics["new"]
    brands.file("newer").unlink()
    xapsd.wait_until(lambda: "brands" not in xapsd.status(), "its end")
    assert xapsd.status()["oldTopic"] == 1
    assert xapsd.register("a@new.example", ACCOUNT, token(1)) == \
        certs.cert_topic
    assert credential(push_to(xapsd, "a@new.example", 1)) == certs.cert_topic
    assert "brands" not in xapsd.status()


def test_brands_dir_comes_and_goes(start_xapsd, brands, certs):
    brands.pem("a", "*@a.example")
    xapsd = start_xapsd()
    for told in (brands.folder, None):
        xapsd.config["brandsDir"] = told
        xapsd.write_config()
        reload(xapsd)
        assert ("brands" in xapsd.status()) == (told is not None)
        assert xapsd.register("a@a.example", ACCOUNT, token(1)) == (
            brands.topics["a"] if told else certs.key_topic)


def test_waiting_pushes_move(start, brands, apple):
    """What waits for a brand that goes away goes with the one that comes; what is
    under way ends where it was sent."""
    brands.pem("a", "*@a.example")
    xapsd = start(pushTimeout="10m")
    xapsd.register("u@a.example", ACCOUNT, token(1))
    apple.hold()
    assert xapsd.notify("u@a.example").status == 200
    apple.wait(lambda: len(apple.to(token(1))) == 1, "the push")
    assert xapsd.notify("u@a.example").status == 200    # waits
    text = brands.file("a").read_text()
    brands.pem("b", "*@a.example")
    brands.file("a").unlink()
    xapsd.wait_until(lambda: list(by_name(xapsd)) == ["b"], "only b")
    assert by_name(xapsd)["b"]["queued"] == 0
    apple.release()
    apple.wait(lambda: len(apple.to(token(1))) == 2, "the second push")
    assert [credential(p) for p in apple.to(token(1))] == \
        [brands.topics["a"], brands.topics["b"]]
    xapsd.wait_until(lambda: xapsd.status()["queue"] == 0, "the end")
    assert text


# --- bad ones ---

BAD = [
    # text of the file, in the message
    ("keyFileP8: a.p8\n", ["a.yaml", "users: is missing"]),
    ("users: '  '\nkeyFileP8: a.p8\n", ["a.yaml", "users: is missing"]),
    ("users: x\n", ["a.yaml: ", "keyFileP8: is missing"]),
    ("users: x\nport: 1\n", ["a.yaml:2: port: ", "xapsd.yaml"]),
    ("users: x\nbrandsDir: y\n", ["a.yaml:2: brandsDir: "]),
    ("users: x\nuser: y\n", ["a.yaml:2: user: ", "is users meant?"]),
    ("users: x\nkeyFileP9: y\n", ["a.yaml:2: ", "did you mean keyFileP8"]),
    ("users: x\nusers: y\n", ["a.yaml:2: users: ", "line 1 already"]),
    ("users: a,b\n", ["a.yaml:1: users: "]),
    ("users:\n  - x\n", ["a.yaml:2: users: ", "indented"]),
    ("users: x\nkeyFileP8: a.p8\n", ["a.yaml: keyFileKeyId: "]),
    ("users: x\ncertificateFilePem: bad.pem\n",
     ["a.yaml:2: certificateFilePem: ", "bad.pem"]),
    ("users: x\ncertificateFilePemKey: bad.pem\n", ["a.yaml"]),
]


@pytest.mark.parametrize("text, words", BAD)
def test_bad_at_start(start, brands, text, words):
    brands.pem("b", "y")
    (brands.folder / "bad.pem").write_text("nothing\n")
    put(brands.file("a"), text)
    xapsd = start(wait=False)
    status = xapsd.process.wait(60)
    said = xapsd.log()
    xapsd.process = None
    assert status == (1 if "bad.pem" in words else 78), said
    for word in words:
        assert word in said


def test_bad_folders(start, brands, workdir):
    with pytest.raises(AssertionError, match="status 1") as e:
        start(brandsDir=workdir / "none", folder=workdir / "y")
    assert "brandsDir: " in str(e.value) and "make this folder" in str(e.value)
    (brands.folder / "a b.yaml").write_text("users: x\n")
    with pytest.raises(AssertionError) as e:
        start()
    assert "a b.yaml" in str(e.value) and "rename" in str(e.value)


def test_what_else_is_in_the_folder(start, brands):
    brands.pem("a", "x")
    for name in (".b.yaml", "c.yaml~", "d.yaml.bak", "e.yml", ".yaml"):
        (brands.folder / name).write_text("no: brand\n")
    (brands.folder / "sub").mkdir()
    xapsd = start()
    assert list(by_name(xapsd)) == ["a"]


@pytest.mark.parametrize("text, words", BAD[1::3] + BAD[-2:-1])
def test_bad_at_reload(start, brands, apple, text, words):
    """The old one stays, and the others do not notice."""
    brands.pem("a", "*@a.example")
    brands.pem("b", "*@b.example")
    (brands.folder / "bad.pem").write_text("nothing\n")
    xapsd = start()
    for n, name in enumerate("ab"):
        user = "u@%s.example" % name
        xapsd.register(user, ACCOUNT, token(n))
        push_to(xapsd, user, n)
    apple.wait_connected(3)
    start_of_log = xapsd.log_size()     # the file is watched, too
    put(brands.file("a"), text)
    xapsd.process.send_signal(signal.SIGHUP)
    xapsd.wait_log("brand a: .*not used, the old credentials stay",
                   start=start_of_log)
    said = xapsd.log(start_of_log)
    for word in words:
        assert word in said, said
    got = by_name(xapsd)
    assert got["a"]["healthy"] is True      # the old one works
    assert any(words[-1] in w for w in got["a"]["warnings"])
    assert got["a"]["registrations"] == 1
    assert "warnings" not in got["b"]
    for n, name in enumerate("ab"):
        push = push_to(xapsd, "u@%s.example" % name, n)
        assert push.headers["apns-topic"] == brands.topics[name]
    assert xapsd.register("v@a.example", ACCOUNT, token(9)) == \
        brands.topics["a"]
    for name in "ab":       # neither was connected anew
        assert xapsd.log().count("brand %s: connected" % name) == 1
    start_of_log = xapsd.log_size()
    brands.pem("a", "*@a.example")          # mended
    xapsd.wait_log("brand a: Certificate valid", start=start_of_log)
    assert "warnings" not in by_name(xapsd)["a"]


def test_new_bad_one(start, brands, certs, apple):
    """It is shown, and has no users until it is good."""
    brands.pem("b", "*@b.example")
    xapsd = start()
    (brands.folder / "bad.pem").write_text("nothing\n")
    brands.write("a", "*", certificateFilePem="bad.pem")
    xapsd.wait_until(lambda: "a" in by_name(xapsd), "the bad one")
    got = by_name(xapsd)
    assert got["a"]["healthy"] is False and "bad.pem" in got["a"]["problem"]
    assert xapsd.register("u@b.example", ACCOUNT, token(1)) == \
        brands.topics["b"]
    assert xapsd.register("u", ACCOUNT, token(2)) == certs.cert_topic
    reply = xapsd.request("GET", "/healthz")
    assert reply.status == 200
    assert reply.body.startswith("ok\nbrand a: ") and "bad.pem" in reply.body
    assert "brand b" not in reply.body
    reply = xapsd.request("GET", "/healthz/all")
    assert reply.status == 503 and "brand a: " in reply.body
    assert xapsd.request("GET", "/healthz/credentials").status == 200
    brands.pem("a", "u*")
    xapsd.wait_until(lambda: by_name(xapsd)["a"]["healthy"], "the good one")
    assert xapsd.register("u", ACCOUNT, token(2)) == brands.topics["a"]
    assert xapsd.request("GET", "/healthz/all").status == 200


def test_things_that_are_no_files(start, brands, certs):
    """A pipe would stop the daemon, and so would a terminal."""
    brands.pem("b", "*@b.example")
    xapsd = start()
    os.mkfifo(brands.file("a"))
    brands.file("c").symlink_to("/dev/zero")
    brands.file("d").mkdir()
    xapsd.wait_until(lambda: len(by_name(xapsd)) == 4, "the bad ones")
    for name in "acd":
        assert "is not a file" in by_name(xapsd)[name]["problem"]
    assert xapsd.register("u@b.example", ACCOUNT, token(1)) == \
        brands.topics["b"]
    said = xapsd.run("check").stdout
    assert said.count("is not a file") == 3, said


def test_missing_file_is_waited_for(start, brands, certs):
    """As the main one's: a file system may be mounted later."""
    brands.pem("a", "*@a.example")
    brands.pem("b", "*@b.example")
    pem = brands.folder / "a.pem"
    kept = pem.read_bytes()
    pem.unlink()
    xapsd = start()
    got = by_name(xapsd)
    assert got["a"]["healthy"] is False and "a.pem" in got["a"]["problem"]
    assert got["b"]["healthy"] is True
    reply = xapsd.post_register("u@a.example", ACCOUNT, token(1))
    assert reply.status == 503 and "a.pem" in reply.body
    assert xapsd.register("u@b.example", ACCOUNT, token(2)) == \
        brands.topics["b"]
    put(pem, kept)
    xapsd.wait_until(lambda: by_name(xapsd)["a"]["healthy"], "its file")
    assert xapsd.register("u@a.example", ACCOUNT, token(1)) == \
        brands.topics["a"]


def test_notify_while_a_file_is_missing(start, brands):
    """503: Dovecot's plugin asks again."""
    brands.pem("a", "*@a.example")
    xapsd = start()
    xapsd.register("u@a.example", ACCOUNT, token(1))
    xapsd.stop()
    pem = brands.folder / "a.pem"
    kept = pem.read_bytes()
    pem.unlink()
    xapsd.start()
    reply = xapsd.notify("u@a.example")
    assert reply.status == 503 and "a.pem" in reply.body
    put(pem, kept)
    xapsd.wait_until(lambda: by_name(xapsd)["a"]["healthy"], "its file")
    push_to(xapsd, "u@a.example", 1)


# --- Apple's answers are of one brand ---

@pytest.mark.parametrize("answer", [
    Answer(403, "BadCertificate"), Answer(400, "BadTopic"),
    Answer(403, "InvalidProviderToken")])
def test_refused_brand_waits_alone(start, brands, apple, answer):
    brands.pem("a", "*@a.example")
    brands.token_key("b", "*@b.example")
    xapsd = start()
    users = {"u@a.example": 1, "u@b.example": 2, "u": 3}
    for user, n in users.items():
        xapsd.register(user, ACCOUNT, token(n))
    apple.script(token(1), answer)
    assert xapsd.notify("u@a.example").status == 200
    xapsd.wait_until(lambda: not by_name(xapsd)["a"]["healthy"], "the hold")
    xapsd.wait_asleep(2)    # no look at its files sends it again
    for user in ("u@b.example", "u"):
        push_to(xapsd, user, users[user])
    got = by_name(xapsd)
    assert answer.reason in got["a"]["problem"]
    assert got["a"]["queued"] == 1 and got["b"]["queued"] == 0
    assert xapsd.request("GET", "/healthz").status == 200
    pushed = xapsd.run("push", "u@a.example")
    assert pushed.returncode == 1 and answer.reason in pushed.stdout
    pushed = xapsd.run("push", "u@b.example")
    assert pushed.returncode == 0, pushed
    # a reload tries again at once
    reload(xapsd)
    apple.wait(lambda: len(apple.to(token(1))) == 2, "the second try")
    xapsd.wait_until(lambda: by_name(xapsd)["a"]["healthy"], "its health")


def test_verdict_for_balancers(start, brands, apple):
    """503 only when no credential is left that can push."""
    brands.pem("a", "*@a.example")
    xapsd = start(identity={})
    xapsd.register("u@a.example", ACCOUNT, token(1))
    apple.script(token(1), Answer(403, "BadCertificate"))
    xapsd.notify("u@a.example")
    for path in ("/healthz", "/healthz/credentials"):
        xapsd.wait_until(
            lambda: xapsd.request("GET", path).status == 503, "503")
    assert "BadCertificate" in xapsd.request("GET", "/healthz").body
    assert xapsd.status()["healthy"] is False


def test_queue_over_a_restart(start, brands, certs):
    """What waits for a brand is saved and sent with its credential."""
    brands.pem("a", "*@a.example")
    with Apple(certs) as away:
        xapsd = start(apple=away)
        xapsd.register("u@a.example", ACCOUNT, token(1))
        xapsd.register("u", ACCOUNT, token(2))
        away.wait_connected()
        away.go_away()
        for user in ("u@a.example", "u"):
            assert xapsd.notify(user).status == 200
        xapsd.stop()
        assert len(xapsd.folder.joinpath("database.json.queue")
                   .read_text().splitlines()) == 2
        away.come_back()
        xapsd.start()
        away.wait(lambda: len(away.to(token(1))) == 1 and
                  len(away.to(token(2))) == 1, "both")
        assert credential(away.to(token(1))[0]) == brands.topics["a"]
        assert credential(away.to(token(2))[0]) == certs.cert_topic
        xapsd.stop()


# --- what shows them ---

def test_check(start, brands, apple):
    three(brands)
    xapsd = start()
    run = xapsd.run("check")
    assert run.returncode == 0, run
    for name in ("one", "two", "three"):
        lines = [line for line in run.stdout.splitlines()
                 if line.startswith("brand %s " % name)]
        assert len(lines) == 2, run.stdout  # its credential, Apple's answer
        assert brands.topics[name] in lines[0]
        assert "takes these credentials" in lines[1]
    topics = {p.headers["apns-topic"] for p in apple.pushes}
    assert topics >= set(brands.topics.values())
    steps = json.loads(xapsd.run("check", "--json").stdout)["steps"]
    assert [s["step"] for s in steps].count("brand two") == 2


def test_check_finds_the_bad_ones(start, brands, apple):
    three(brands)
    xapsd = start()
    put(brands.file("two"), "users: x\nkeyFileP8: y\nport: 1\n")
    (brands.folder / "three.p12").write_bytes(b"nothing")
    apple.script(None, lambda push: Answer(403, "InvalidProviderToken")
                 if "authorization" in push.headers else None)
    for args in ((), ("--offline",)):
        run = xapsd.run("check", *args)
        assert run.returncode == 1
        assert "two.yaml:3: port: " in run.stdout
        assert "three.p12" in run.stdout
        assert ("InvalidProviderToken" in run.stdout) == (args == ())


def test_check_without_a_main_credential(start, brands):
    brands.pem("a", "x")
    xapsd = start(identity={})
    run = xapsd.run("check")
    assert run.returncode == 0, run
    assert "nothing can be pushed to other users" in run.stderr


def test_status_list_and_doctor(start, brands, certs):
    brands.pem("a", "u")
    brands.pem("b", "v")
    xapsd = start()
    xapsd.register("u", ACCOUNT, token(1))
    xapsd.register("w", ACCOUNT, token(2))
    push_to(xapsd, "u", 1)
    shown = xapsd.run("status").stdout
    assert "a: connected, topic " + brands.topics["a"] in shown
    assert "b: idle" in shown
    listed = {r["user"]: r for r in
              json.loads(xapsd.run("list", "--json").stdout)}
    assert listed["u"]["brand"] == "a" and "via" not in listed["u"]
    assert "brand" not in listed["w"] and "via" not in listed["w"]
    told = xapsd.run("doctor", "u").stdout
    assert "connected, brand a" in told
    # moved to b: pushed by a until the phone registers again
    put(brands.file("a"), brands.file("a").read_text().replace(
        "users: u", "users: x"))
    put(brands.file("b"), brands.file("b").read_text().replace(
        "users: v", "users: u"))
    reload(xapsd)
    listed = {r["user"]: r for r in
              json.loads(xapsd.run("list", "--json").stdout)}
    assert listed["u"]["brand"] == "b" and listed["u"]["via"] == "a"
    assert listed["u"]["oldTopic"] == brands.topics["a"]
    told = " ".join(xapsd.run("doctor", "u").stdout.split())
    assert "topic of another brand" in told or "that of another brand" in told
    assert "(a) until it registers again" in told
    # its old brand is gone: a fault that heals by itself
    brands.file("a").unlink()
    reload(xapsd)
    told = " ".join(xapsd.run("doctor", "u").stdout.split())
    assert "ignores pushes of " + brands.topics["b"] in told


def test_doctor_of_a_bad_brand(start, brands, apple):
    brands.pem("a", "u")
    xapsd = start()
    xapsd.register("u", ACCOUNT, token(1))
    xapsd.register("w", ACCOUNT, token(2))
    apple.script(token(1), Answer(403, "BadCertificate"))
    xapsd.notify("u")
    xapsd.wait_until(lambda: not by_name(xapsd)["a"]["healthy"], "the hold")
    assert "BadCertificate" in xapsd.run("doctor", "u").stdout
    assert "BadCertificate" not in xapsd.run("doctor", "w").stdout
    assert "BadCertificate" in xapsd.run("status").stdout


def test_page(start, brands, apple):
    brands.pem("a", "u")
    brands.pem("b", "v")
    xapsd = start()
    xapsd.register("u", ACCOUNT, token(1))
    apple.script(token(1), Answer(403, "BadCertificate"))
    xapsd.notify("u")
    xapsd.wait_until(lambda: not by_name(xapsd)["a"]["healthy"], "the hold")
    page = xapsd.request("GET", "/").body
    assert "Brand a: " in page and "BadCertificate" in page
    assert "Brand b: " not in page
    assert "Registrations of brand a" in page
    assert "but look at this" in page


# --- many ---

def test_a_thousand(start, brands, apple, certs):
    """At the start nobody but the main one connects; each brand costs little;
    those that are used connect, a few at a time."""
    key = pki.key_pem(certs.token_key)
    for i in range(1000):
        name = "b%03d" % i
        kid = "K%09d" % i
        topic = "com.apple.mobilemail.push." + name
        apple.keys[kid] = (certs.token_key, certs.team_id, topic)
        (brands.folder / (name + ".p8")).write_bytes(key)
        (brands.folder / (name + ".yaml")).write_text(
            "users: *@%s.example\nkeyFileP8: %s.p8\nkeyFileKeyId: %s\n"
            "keyFileTeamId: %s\nkeyFileTopic: %s\n" % (
                name, name, kid, certs.team_id, topic))
    alone = start(brandsDir=None, loglevel="info", folder=brands.folder.parent
                  / "alone")
    base = alone.rss_kib()
    xapsd = start(loglevel="info")
    xapsd.wait_log(" started: ")
    apple.wait_connected(2)
    assert apple.handshakes == 2
    assert len(xapsd.status()["brands"]) == 1000
    if not os.environ.get("XAPSD_WRAP") and b"__asan_init" not in \
            open(executable(), "rb").read():
        assert xapsd.rss_kib() - base < 16 * 1024   # 8 MB
    for i in range(40):
        xapsd.register("u@b%03d.example" % i, ACCOUNT, token(i), keep=True)
    for i in range(40):
        assert xapsd.notify("u@b%03d.example" % i, keep=True).status == 200
    apple.wait_for(40, timeout=60)
    assert {p.headers["apns-topic"] for p in apple.pushes} == {
        "com.apple.mobilemail.push.b%03d" % i for i in range(40)}
    assert apple.handshakes == 42
    assert [p.problem for p in apple.pushes if p.problem] == []
    # one of them changes, without a new connection of the others
    before = xapsd.log_size()
    put(brands.file("b999"), brands.file("b999").read_text() + "\n")
    xapsd.wait_log("brand b999: Token key", start=before)
    assert apple.handshakes == 42
