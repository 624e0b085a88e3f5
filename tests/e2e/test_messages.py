"""What goes wrong is said with what to do about it: at the start, on the
command line, in the log and by make."""

import ctypes
import getpass
import json
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess

import pytest

import netns
from phones import ACCOUNT, OTHER, TOKEN
from test_daemon import make
from test_http import post, raw
from test_start import nobodys, root
from xapsd import Xapsd, executable

TREE = pathlib.Path(__file__).resolve().parents[2]


def as_nobody(daemon, *args, program=None):
    """A run as a user without rights; the configuration is readable to it."""
    daemon.write_config()
    daemon.folder.parent.chmod(0o755)
    command = daemon.command(*args)
    if program:
        command[command.index(executable())] = program
    return subprocess.run(
        ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups",
         *command], capture_output=True, text=True, timeout=60)


# --- ports and addresses ---

def without_ipv6():
    """A seccomp filter: socket(AF_INET6) is EAFNOSUPPORT, as in a kernel
    without IPv6."""
    nr = {"x86_64": 41, "aarch64": 198}[os.uname().machine]
    rows = [(0x20, 0, 0, 0), (0x15, 0, 3, nr), (0x20, 0, 0, 16),
            (0x15, 0, 1, socket.AF_INET6), (0x06, 0, 0, 0x00050000 | 97),
            (0x06, 0, 0, 0x7fff0000)]
    code = b"".join(struct.pack("HBBI", *row) for row in rows)
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("HxxxxxxQ", len(rows), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(38, 1, 0, 0, 0)
    assert libc.prctl(22, 2, ctypes.create_string_buffer(program)) == 0


@root
@pytest.mark.parametrize("how", ["off", "unknown"])
def test_ipv6_loopback_without_ipv6(workdir, certs, how):
    daemon = make(workdir, certs, None, listenAddr="[::1]", port=4711,
                  socketPath="")
    wrap = netns.alone("-n", first="ip link set lo up && sysctl -qw "
                       "net.ipv6.conf.all.disable_ipv6=1")
    daemon.write_config()
    done = subprocess.run(
        [*(wrap if how == "off" else ()), *daemon.command()],
        capture_output=True, text=True, timeout=30,
        preexec_fn=without_ipv6 if how == "unknown" else None)
    assert done.returncode == 1
    assert ("this machine has no IPv6: write 127.0.0.1 or localhost"
            ) in done.stderr


# --- users ---

@root
@pytest.mark.parametrize("number", ["12345", "65534"])
def test_user_by_number(workdir, certs, number):
    """As in a container, whose /etc/passwd does not have it."""
    daemon, _ = nobodys(workdir, certs, user=number)
    uid = int(number)
    for path in (daemon.folder, *daemon.folder.iterdir()):
        os.chown(path, uid, uid)
    with daemon:
        assert daemon.notify("nobody").status == 404
        text = open("/proc/%d/status" % daemon.process.pid).read()
        assert re.search(r"^Uid:\t%s\t%s\t%s" % ((number,) * 3), text, re.M)
        assert re.search(r"^Groups:\t(65534)? *$", text, re.M), text
        assert os.stat(daemon.socket_path).st_uid == uid
        done = daemon.run("check", "--offline")
        assert done.returncode == 0, done.stdout
        assert "as user " + number in done.stdout
    assert os.stat(daemon.database).st_uid == uid


@root
def test_group_by_number(workdir, certs):
    daemon, who = nobodys(workdir, certs, socketGroup="4242")
    with daemon:
        assert os.stat(daemon.socket_path).st_gid == 4242


@root
def test_root_without_a_user(workdir, certs):
    daemon, _ = nobodys(workdir, certs)
    for user, warned in ((None, True), ("nobody", False), ("root", False)):
        daemon.config["user"] = user
        with daemon:
            daemon.status()     # after the start, whose last word that may be
            said = re.findall(r"warn  user: is not set, so this runs as root.*"
                              r"set user: xapsd", daemon.log(daemon.log_start))
            assert bool(said) == warned, user


# --- a second instance ---

SECOND = re.compile(
    r"another xapsd( is running there)?: stop that one first .*, or give this "
    r"one a socketPath, port and databaseFile of its own")


@pytest.mark.parametrize("shared", [
    ["socketPath", "databaseFile", "port"], ["databaseFile"], ["socketPath"],
    ["databaseFile", "port"], ["no socket"]], ids="-".join)
def test_second_instance(start_xapsd, workdir, certs, shared):
    """The same end, whichever of the first one's it finds first."""
    lone = {"socketPath": ""} if shared == ["no socket"] else {}
    first = start_xapsd(tcp=True, wait=not lone, **lone)
    first.wait_log("started: ")
    (workdir / "b").mkdir()
    second = Xapsd(workdir / "b", certs)
    if lone:
        shared = ["socketPath", "databaseFile", "port"]
    for key in shared:
        second.config[key] = first.config[key]
    done = second.run()
    assert done.returncode == 1 and SECOND.search(done.stderr), done.stderr
    assert done.stderr.count("fatal") == 1
    first.assert_alive()


# --- the command line ---

def run(*args):
    return subprocess.run([executable(), *args], capture_output=True,
                          text=True, timeout=60)


def help_rows():
    return re.findall(r"^  ([a-z]+)\b", run("--help").stdout, re.M)


def test_help_and_version_in_every_form():
    version = run("--version")
    assert version.returncode == 0 and version.stdout.startswith("xapsd ")
    for word in ("-V", "--V", "-version", "version"):
        assert run(word).stdout == version.stdout, word
    text = run("--help").stdout
    for word in ("-h", "--h", "-help", "help", "--HELP"):
        assert (run(word).stdout, run(word).returncode) == (text, 0), word
    # -v is another one
    assert run("-v", "help").stdout == text
    assert run("list", "-V").stdout == version.stdout


def test_each_command_has_its_help():
    commands = help_rows()
    assert {"check", "list", "help"} <= set(commands)
    seen = set()
    for name in commands:
        texts = {run(*args).stdout for args in (
            [name, "--help"], [name, "-h"], ["-help", name], ["help", name])}
        if name != "help":
            assert len(texts) == 1, name
        text = run("help", name).stdout
        assert text.startswith("Usage: xapsd [-c FILE] %s" % name)
        assert all(len(line) <= 80 for line in text.splitlines())
        seen.add(text)
    assert len(seen) == len(commands)


@pytest.mark.parametrize("args, says", [
    (["lsit"], "unknown command lsit; did you mean list?"),
    (["List"], "unknown command List; did you mean list?"),
    (["pussh", "alice"], "unknown command pussh; did you mean push?"),
    (["help", "stauts"], "unknown command stauts; did you mean status?"),
    (["forgt", "--help"], "unknown command forgt; did you mean forget?"),
    (["frobnicate"], "unknown command frobnicate; try xapsd --help"),
    ([""], "unknown command ; try xapsd --help"),
    (["list", ""], "usage: xapsd list [--json] [USER]"),
    (["push", ""], "usage: xapsd push USER [MAILBOX]"),
    (["forget", "alice", ""], "usage: xapsd forget USER [ACCOUNT [TOKEN]]"),
    (["list", "--jsno"], "unknown option --jsno; did you mean --json?"),
    (["-vresion"], "unknown option -vresion; did you mean --version?"),
    # a name of the first generation, as in the file
    (["--certFil=x"], "unknown option --certFil=x; did you mean "
                      "--certificateFilePem?"),
    (["--databasFile=x"], "unknown option --databasFile=x; did you mean "
     "--databaseFile?"),
    (["--frobnicate"], "unknown option --frobnicate; try"),
], ids=lambda v: "-".join(v) if isinstance(v, list) else "")
def test_misspelled(args, says):
    done = run(*args)
    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr.startswith("xapsd: " + says), done.stderr


@root
@pytest.mark.parametrize("args", [
    ["list"], ["status"], ["push", "alice"], ["forget", "alice"], ["export"],
    ["import", "database.json"]], ids=lambda a: a[0])
def test_no_rights(start_xapsd, workdir, args):
    daemon = start_xapsd(socketMode="0600")
    daemon.register("alice", ACCOUNT, TOKEN)
    program = str(shutil.copy(executable(), workdir / "xapsd"))
    daemon.database.chmod(0o644)
    if args[0] == "import":
        args = ["import", str(daemon.database)]
    done = as_nobody(daemon, *args, program=program)
    assert done.returncode == 1
    assert ("you may not use %s: run this as root: sudo xapsd %s\n" % (
        daemon.socket_path, args[0])) in done.stderr
    daemon.write_config()
    daemon.config_path.chmod(0o600)
    done = subprocess.run(
        ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups",
         program, "-c", str(daemon.config_path), *args],
        capture_output=True, text=True, timeout=60)
    assert done.returncode == 78
    assert "sudo xapsd " + args[0] in done.stderr


@root
@pytest.mark.parametrize("command", ["list", "export"])
def test_no_rights_without_a_daemon(start_xapsd, workdir, command):
    daemon = start_xapsd()
    daemon.register("alice", ACCOUNT, TOKEN)
    daemon.stop()
    daemon.database.chmod(0o600)
    program = str(shutil.copy(executable(), workdir / "xapsd"))
    done = as_nobody(daemon, command, program=program)
    assert (done.returncode, done.stdout) == (1, "")
    assert "is not running" in done.stderr
    assert done.stderr.endswith(
        "run this as root: sudo xapsd %s\n" % command), done.stderr


# --- names ---

@pytest.fixture
def named(start_xapsd):
    daemon = start_xapsd()
    for i, user in enumerate(["alice@example.org", "bob", "carol@a.example",
                              "carol@b.example", "Dörte"]):
        daemon.register(user, "A%d" % i, "%064x" % i)
    return daemon


@pytest.mark.parametrize("typed, meant", [
    ("alice", "alice@example.org"),
    ("alice@mail.example.org", "alice@example.org"),
    ("Alice", "alice@example.org"),
    ("alcie@example.org", "alice@example.org"),
    ("alice.example.org", "alice@example.org"),
    ("EXAMPLE\\alice", "alice@example.org"),
    ("bob@example.org", "bob"),
    ("bop", "bob"),
    ("DÖRTE", "Dörte"),
    ("Dorte", "Dörte"),
    ("Dörtee@example.org", "Dörte"),
    ("carol", "carol@a.example or carol@b.example"),
    ("frederick", None),
])
def test_similar_users(named, typed, meant):
    for command in ("push", "list", "forget"):
        done = named.run(command, typed)
        assert (done.returncode, done.stdout) == (1, ""), command
        if meant is None:
            assert "did you mean" not in done.stderr
            assert "; xapsd list shows who has one" in done.stderr
            continue
        said = re.search(r"did you mean (.*)\?$", done.stderr)[1]
        assert set(said.split(" or ")) == set(meant.split(" or ")), command
        assert typed in done.stderr
    assert len(named.records()) == 5    # nothing was forgotten


def test_similar_users_without_a_daemon(named):
    named.stop()
    done = named.run("list", "alice")
    assert done.returncode == 1
    assert "did you mean alice@example.org?" in done.stderr


def test_forget_what_a_user_does_not_have(named):
    done = named.run("forget", "bob", "nosuchaccount")
    assert done.returncode == 1
    assert "bob: there is no such registration; xapsd list bob shows" in (
        done.stderr)
    assert "(404)" not in done.stderr


HINT = r"info  notify: %s has no device, but %s has: .*user_lookup"


def test_unknown_user_with_a_known_name(named):
    """Once for each, at its first notification after the other registered."""
    for _ in range(3):
        assert named.notify("alice").status == 404
        assert named.notify("bob@example.org").status == 404
        assert named.notify("frederick@example.org").status == 404
        assert named.notify("bob").status == 200
    named.register("frederick", "F", OTHER)
    named.notify("Frederick@Example.org")
    named.notify("frederick@example.org")
    log = named.log()
    for user, other in (("alice", "alice@example.org"),
                        ("bob@example.org", "bob"),
                        ("(?i:frederick@example.org)", "frederick")):
        assert len(re.findall(HINT % (user, other), log)) == 1, user
    assert len(re.findall(HINT % (".*", ".*"), log)) == 3


def test_known_names_are_bounded(named):
    """Neither lines nor memory grow with what is sent."""
    for i in range(200):
        named.notify("bob@%d.example" % i, keep=True)
    lines = re.findall(HINT % (".*", ".*"), named.log())
    assert len(lines) == 32
    assert "(more such names are not logged)" in named.log()


def test_unknown_names_cost_nothing(start_xapsd, workdir):
    """With many registrations only a few searches a minute."""
    folder = workdir / "x"
    folder.mkdir()
    n = 50000
    with open(folder / "database.json", "w") as f:
        for i in range(n):
            f.write('{"user":"user%d@example.org","account":"A","token":"%064x"'
                    ',"mailboxes":["INBOX"],"acked":true,"time":4000000000}\n'
                    % (i, i))
        f.write('{"user":"carol","account":"A","token":"%s","mailboxes":[]'
                ',"acked":true,"time":4000000000}\n' % TOKEN)
    daemon = start_xapsd(folder=folder, loglevel="info")
    daemon.notify("warm", keep=True)

    def cost(name, status):
        before = daemon.cpu_s()
        with raw(daemon) as s:
            for i in range(0, 2000, 200):   # as many as a socket holds
                s.sendall(b"".join(post(json.dumps({
                    "Username": name % k, "Mailbox": "INBOX",
                    "Events": ["MessageNew"]}).encode())
                    for k in range(i, i + 200)))
                said = b""
                while said.count(b"HTTP/1.1 ") < 200:
                    said += s.recv(65536)
                assert said.count(b"HTTP/1.1 %d " % status) == 200, said
        return daemon.cpu_s() - before
    known = cost("user%d@example.org", 200)
    assert cost("nobody%d", 404) < 3 * known + 1     # 7 s if all are searched
    assert not re.search(HINT % (".*", ".*"), daemon.log())
    # but the name without a domain is found at once
    daemon.notify("carol@example.org")
    daemon.wait_log(HINT % ("carol@example.org", "carol"))


# --- JSON for programs ---

def test_status_json_of_an_unhealthy_daemon(start_xapsd):
    daemon = start_xapsd(identity={})
    shown = json.loads(daemon.run("status", "--json").stdout)
    assert shown["healthy"] is False
    assert shown["problem"] == daemon.request("GET", "/healthz").body.strip()
    assert shown["problem"] in daemon.run("status").stdout
    metrics = daemon.request("GET", "/metrics").body
    assert "\nxapsd_healthy 0\n" in metrics


def test_check_json(start_xapsd, workdir, certs, apple):
    daemon = start_xapsd(user=getpass.getuser())
    lines = daemon.run("check").stdout.splitlines()
    done = daemon.run("check", "--json")
    shown = json.loads(done.stdout)
    assert (done.returncode, done.stderr, shown["ok"]) == (0, "", True)
    assert [(s["step"], s["result"]) for s in shown["steps"]] == [
        (line.split()[0], line.split()[1]) for line in lines]
    for step, line in zip(shown["steps"], lines):
        assert set(step) == {"step", "result", "text"}
        assert line.endswith(step["text"]) or "port" in line


def test_check_json_of_what_is_wrong(start_xapsd, workdir):
    daemon = start_xapsd(httpUser="u", httpPassword='p"', user="root")
    daemon.config["keyFileP8"] = "none\\.p8"
    done = daemon.run("check", "--json", "--offline")
    shown = json.loads(done.stdout)
    assert (done.returncode, done.stderr, shown["ok"]) == (1, "", False)
    results = [(s["step"], s["result"]) for s in shown["steps"]]
    assert results[0] == ("configuration", "ok")
    assert (None, "warning") in results     # the password in a readable file
    assert results[-1] == ("credentials", "failed")
    assert "none\\.p8" in shown["steps"][-1]["text"]


def test_check_json_of_no_configuration(workdir):
    (workdir / "x.yaml").write_text("porto: 1\n")
    done = run("-c", str(workdir / "x.yaml"), "check", "--json")
    shown = json.loads(done.stdout)
    assert (done.returncode, shown["ok"]) == (78, False)
    step, = shown["steps"]
    assert (step["step"], step["result"]) == ("configuration", "failed")
    assert "x.yaml:1: porto: no such key; did you mean port?" in step["text"]


def test_one_is_no_plural(start_xapsd):
    daemon = start_xapsd()
    daemon.register("alice", ACCOUNT, TOKEN)
    text = daemon.run("status").stdout
    assert re.search(r"^Asked +1 registration, 0 notifications,", text, re.M)
    daemon.stop()
    daemon.start()
    daemon.wait_log("started: 1 registration$")


# --- make ---

def make_in(folder, hide=None, *args):
    """A build beside the tree's, with a folder of the system empty."""
    command = ["make", "-C", str(TREE), "BUILD=%s/b" % folder,
               "PROG=%s/x" % folder, *args]
    if hide:
        command = [*netns.alone("-m", first="mount -t tmpfs none " + hide),
                   *command]
    # none of the flags of the make that runs the tests
    env = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    return subprocess.run(command, capture_output=True, text=True, env=env,
                          timeout=100)


@pytest.mark.parametrize("hide, args, says, packages", [
    (None, ["CC=nosuchcc"], "There is no C compiler nosuchcc", ["gcc"]),
    ("/usr/include", [], "finds no stdio.h", ["libc6-dev", "glibc-devel",
                                              "musl-dev"]),
    ("/usr/include/mbedtls", [], "mbedTLS's headers are missing",
     ["libmbedtls-dev", "mbedtls-devel", "mbedtls-dev ", "pkg-config"]),
    (None, ["plugin", "CC=nosuchcc"], "There is no C compiler nosuchcc",
     ["gcc"]),
    (None, ["plugin", "DOVECOT_CONFIG=", "DOVECOT_CFLAGS="],
     "Dovecot's headers are missing", ["dovecot-dev", "dovecot-devel"]),
], ids=["compiler", "libc", "mbedtls", "plugin-compiler", "plugin-dovecot"])
def test_make_says_what_is_missing(workdir, hide, args, says, packages):
    done = make_in(workdir, hide, *args)
    assert done.returncode == 2
    assert says in done.stderr, done.stderr
    for package in packages:
        assert package in done.stderr
    assert "error:" not in done.stderr     # of the compiler
    assert not (workdir / "x").exists()
