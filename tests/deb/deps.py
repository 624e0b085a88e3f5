"""What tests/deps.sh does to a machine, with real apt and dpkg in a bare Debian with
Dovecot: deps.py ROOT DEBS.  The archive is local: DEBS holds Dovecot's own packages,
the others are made here and are empty."""

import collections
import contextlib
import hashlib
import http.server
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
ROOT, DEBS = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
TREE = pathlib.Path(__file__).resolve().parents[2]
ARCHIVE = ROOT / "root/archive"
POLICY = ROOT / "usr/sbin/policy-rc.d"
LIMIT_S = 300   # how long a failure takes: apt on a busy machine


def say(what):
    print("  deps    " + what, flush=True)


def expect(condition, what):
    if not condition:
        sys.exit("not so: %s" % what)


def until(condition, what):
    end = time.monotonic() + LIMIT_S
    while not condition():
        expect(time.monotonic() < end, what)
        time.sleep(0.02)


def run(*command, ok=True):
    done = subprocess.run(
        ["chroot", ROOT, "env", "-i", "LC_ALL=C",
         "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *command], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT_S)
    if ok:
        expect(done.returncode == 0, "%s\n%s" % (command, done.stdout))
    return done.stdout if ok else done


def package(name, version="1", preinst=None, **fields):
    """An empty one, into the archive."""
    folder = ROOT / "root/package"
    (folder / "DEBIAN").mkdir(parents=True)
    lines = {"Package": name, "Version": version, "Architecture": "all",
             "Maintainer": "nobody <nobody@example.org>", "Description": name,
             **{k.capitalize(): v for k, v in fields.items()}}
    (folder / "DEBIAN/control").write_text(
        "".join("%s: %s\n" % line for line in lines.items()))
    if preinst:
        (folder / "DEBIAN/preinst").write_text("#!/bin/sh\n" + preinst)
        (folder / "DEBIAN/preinst").chmod(0o755)
    subprocess.run(["dpkg-deb", "-Znone", "-b", folder, ARCHIVE / (
        "%s_%s.deb" % (name, version.replace(":", "%")))], check=True,
        stdout=subprocess.DEVNULL)
    shutil.rmtree(folder)


def publish():
    index = []
    for deb in sorted(ARCHIVE.glob("*.deb")):
        control = subprocess.run(["dpkg-deb", "-f", deb], check=True,
                                 capture_output=True, text=True).stdout
        data = deb.read_bytes()
        index.append("%sFilename: ./%s\nSize: %d\nSHA256: %s\n" % (
            control, deb.name, len(data), hashlib.sha256(data).hexdigest()))
    (ARCHIVE / "Packages").write_text("\n".join(index))
    # else apt keeps what is not older by a second
    for old in (ROOT / "var/lib/apt/lists").glob("*_Packages"):
        old.unlink()


def fresh_archive(*deps):
    """With all that a demo needs but Dovecot's."""
    shutil.rmtree(ARCHIVE, ignore_errors=True)
    ARCHIVE.mkdir()
    for name in ("gcc", "libc6-dev", "pkg-config", "libmbedtls-dev",
                 "python3-h2", "python3-cryptography", "python3-jwt", *deps):
        package(name)


def installed():
    return dict(line.split() for line in run(
        "dpkg-query", "-W", "-f", "${binary:Package} ${Version}\\n"
        ).splitlines())


def enabled():
    etc = ROOT / "etc"
    return {str(p.relative_to(etc)) for pattern in (
        "systemd/system/*.wants/*", "systemd/system/*.requires/*",
        "systemd/user/*.wants/*", "rc?.d/S*")
        for p in etc.glob(pattern)}


def deps(*groups, ok=True):
    """What it says; what was here before is as it was."""
    before, links = installed(), enabled()
    policy = POLICY.read_text() if POLICY.exists() else None
    done = run("sh", "/root/deps.sh", *groups, ok=False)
    after = installed()
    expect({k: after.get(k) for k in before} == before,
           "nothing that was installed changes\n" + done.stdout)
    expect(enabled() == links, "%s is not switched on\n%s" % (
        enabled() - links, done.stdout))
    expect((POLICY.read_text() if POLICY.exists() else None) == policy,
           "policy-rc.d is as before")
    expect((done.returncode == 0) == ok, done.stdout)
    if not ok:
        expect(after == before, "nothing is installed")
        expect("othing was installed" in done.stdout or
               "Could not install" in done.stdout, done.stdout)
    return done.stdout, set(after) - set(before)


def remove(names):
    run("dpkg", "--purge", *names)


def newer_dovecot(here):
    newer = here + "+9"
    say("a newer Dovecot than %s is in the archive" % here)
    fresh_archive()
    for version in here, newer:
        package("dovecot-dev", version, source="dovecot",
                depends="dovecot-core (= %s)" % version)
    for name in "core", "imapd", "lmtpd":
        package("dovecot-" + name, newer, source="dovecot", **(
            {"depends": "dovecot-core (= %s)" % newer}
            if name != "core" else {}))
    publish()
    said, new = deps("build", "demo")
    expect(installed()["dovecot-dev"] == here, said)
    expect(re.search(r"Installing 8 packages.*:\n.*dovecot-dev", said), said)
    remove(new)

    say("and the -dev of the one that is installed is gone")
    next(ARCHIVE.glob("dovecot-dev_%s.deb" % here.replace(":", "%"))).unlink()
    publish()
    said, _ = deps("build", ok=False)
    expect("would upgrade your running Dovecot from %s to %s" % (here, newer)
           in said and "chroot" in said and "only-upgrade" in said, said)


def others(mbedtls):
    say("other packages that would be upgraded or removed")
    fresh_archive()
    for version in mbedtls, mbedtls + "+9":
        package("libmbedtls-dev", version, source="mbedtls",
                depends="libmbedtls14 (= %s)" % version)
    package("libmbedtls14", mbedtls + "+9", source="mbedtls")
    package("dovecot-dev", installed()["dovecot-core"])
    publish()
    said, new = deps("build")
    expect(installed()["libmbedtls-dev"] == mbedtls, said)
    remove(new)
    package("zlib1g", "9:1", architecture="amd64")
    package("gcc", "2", depends="zlib1g (>= 9:1)")
    next(ARCHIVE.glob("gcc_1.deb")).unlink()
    publish()
    said, _ = deps("build", ok=False)
    expect(re.search(r"would upgrade zlib1g from \S+ to 9:1\.", said)
           and "UPGRADE=1" in said, said)
    package("gcc", "2", conflicts="dovecot-lmtpd")
    publish()
    said, _ = deps("build", ok=False)
    expect("would remove dovecot-lmtpd" in said, said)
    package("gcc", "2", depends="nowhere")
    publish()
    said, _ = deps("build", ok=False)
    expect("Could not install" in said and "nowhere" in said, said)


def may_upgrade():
    say("on a machine where it may upgrade")
    fresh_archive()
    package("tzdata", "9:1")
    package("gcc", "2", depends="tzdata (>= 9:1)")
    package("dovecot-dev")
    publish()
    said = run("env", "UPGRADE=1", "sh", "/root/deps.sh", "build")
    expect("1 of them in another version than here" in said, said)
    expect(installed()["tzdata"] == "9:1" and "gcc" in installed(), said)


def running_without_a_protocol(here):
    say("a protocol that the running Dovecot does not have")
    fresh_archive()
    for deb in DEBS.glob("*.deb"):
        shutil.copy(deb, ARCHIVE)
    publish()
    remove(["dovecot-lmtpd"])
    (ROOT / "run/dovecot").mkdir(exist_ok=True)
    pid = ROOT / "run/dovecot/master.pid"
    pid.write_text("%d\n" % os.getpid())
    said, _ = deps("demo", ok=False)
    expect("add protocols to your running Dovecot" in said
           and "apt-get install dovecot-lmtpd" in said, said)
    pid.unlink()
    with dovecot_runs("/usr/sbin/dovecot"):     # base_dir is elsewhere
        said, _ = deps("demo", ok=False)
        expect("add protocols to your running Dovecot" in said, said)
    said, new = deps("demo")
    expect("dovecot-lmtpd" in new, said)
    with dovecot_runs("/usr/sbin/dovecot"):     # it has a file in conf.d
        said, _ = deps("check", ok=False)
        expect("needs dovecot-sieve, which would add" in said, said)
    remove(new - {"dovecot-lmtpd"})


@contextlib.contextmanager
def dovecot_runs(program):
    """A process of that name."""
    path = ROOT / program[1:]
    kept = path.with_name("kept")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        path.rename(kept)
    shutil.copy(ROOT / "usr/bin/sleep", path)
    process = subprocess.Popen(["chroot", ROOT, program, "600"])
    name = pathlib.Path("/proc/%d/comm" % process.pid)
    try:
        # chroot's process first, then its own
        until(lambda: process.poll() is not None
              or name.read_text() == "dovecot\n", "it begins")
        expect(process.poll() is None, "it runs")
        yield
    finally:
        process.kill()
        process.wait()
        path.unlink()
        if kept.exists():
            kept.rename(path)


def fresh_dovecot():
    say("no Dovecot here before")
    remove(["dovecot-lmtpd", "dovecot-imapd", "dovecot-core"])
    POLICY.write_text("#!/bin/sh\nexit 0\n")    # the administrator's
    POLICY.chmod(0o755)
    (ROOT / "run/systemd/system").mkdir(parents=True)
    said, new = deps("demo")
    shutil.rmtree(ROOT / "run/systemd")
    expect(new >= {"dovecot-core", "dovecot-imapd", "dovecot-lmtpd"}, said)
    expect("dovecot.service is new here: switched off again" in said, said)
    expect(not (ROOT / "run/dovecot/master.pid").exists(), "it does not run")
    expect(deps("demo")[0] == "", "nothing lacks now")
    POLICY.unlink()


def dovecot_of_others():
    say("a Dovecot that is not Debian's")
    remove(["dovecot-lmtpd", "dovecot-imapd", "dovecot-core"])
    theirs = ROOT / "usr/local/sbin/dovecot"
    theirs.write_text("#!/bin/sh\n")
    theirs.chmod(0o755)
    said, _ = deps("demo", ok=False)
    expect("/usr/local/sbin/dovecot is not Debian's" in said, said)
    theirs.unlink()
    with dovecot_runs("/opt/dovecot/sbin/dovecot"):
        said, _ = deps("demo", ok=False)
        expect("/opt/dovecot/sbin/dovecot is not Debian's" in said, said)


def units_of_users():
    say("a unit of every user's")
    shutil.rmtree(ARCHIVE)
    ARCHIVE.mkdir()
    wants = "/etc/systemd/user/sockets.target.wants"
    package("debootstrap", preinst="mkdir -p %s\nln -s /usr/lib/systemd/user/"
            "agent.socket %s\n" % (wants, wants))
    publish()
    said, new = deps("dovecot")
    expect("agent.socket is new here: switched off again" in said, said)
    remove(new)


@contextlib.contextmanager
def mirror_that_fails():
    """By HTTP: the lists are refused once, packages as often as apt itself asks
    again and once more."""
    asked = collections.Counter()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            asked[self.path] += 1
            if asked[self.path] <= (4 if self.path.endswith(".deb") else 1):
                self.send_error(503)
            else:
                super().do_GET()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0),
            lambda *a: Handler(*a, directory=ARCHIVE)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield "http://127.0.0.1:%d" % server.server_address[1], asked
        server.shutdown()


def tries_again():
    say("a mirror that fails once")
    shutil.rmtree(ARCHIVE)
    ARCHIVE.mkdir()
    package("debootstrap")
    publish()
    sources = ROOT / "etc/apt/sources.list"
    before = sources.read_text()
    with mirror_that_fails() as (url, asked):
        sources.write_text("deb [trusted=yes] %s/ ./\n" % url)
        said, new = deps("dovecot")
    expect(new == {"debootstrap"}, said)
    expect(asked["/./debootstrap_1.deb"] == 5, asked)
    sources.write_text(before)
    remove(new)
    run("apt-get", "clean")     # the next one of that name has the same size


def interrupted():
    """Ctrl-C while apt works: it is left to end, and policy-rc.d goes."""
    say("interrupted")
    shutil.rmtree(ARCHIVE)
    ARCHIVE.mkdir()
    package("debootstrap", preinst="touch /root/began\n"
            "until [ -e /root/told ]; do sleep 0.1; done\n")
    publish()
    process = subprocess.Popen(
        ["chroot", ROOT, "sh", "/root/deps.sh", "dovecot"], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    until(lambda: process.poll() is not None
          or (ROOT / "root/began").exists(), "apt works")
    expect(POLICY.exists(), "no service starts meanwhile")
    process.send_signal(signal.SIGTERM)
    (ROOT / "root/told").touch()
    said = process.communicate(timeout=LIMIT_S)[0]
    expect(process.returncode == 130 and not POLICY.exists(), said)


def main():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for name in ("null", "zero", "random", "urandom"):
        if not (ROOT / "dev" / name).exists():
            subprocess.run(["cp", "-a", "/dev/" + name, ROOT / "dev"],
                           check=True)
    subprocess.run(["mount", "-t", "proc", "proc", ROOT / "proc"], check=True)
    shutil.copy(TREE / "tests/deps.sh", ROOT / "root")
    (ROOT / "etc/apt/sources.list").write_text(
        "deb [trusted=yes] file:/root/archive ./\n")
    (ROOT / "etc/apt/apt.conf.d/99test").write_text(
        'APT::Sandbox::User "root";\nAcquire::Languages "none";\n')
    POLICY.unlink(missing_ok=True)
    here = installed()
    newer_dovecot(here["dovecot-core"])
    others(next(v for k, v in here.items() if k.startswith("libmbedtls14")))
    running_without_a_protocol(here["dovecot-core"])
    fresh_dovecot()
    dovecot_of_others()
    may_upgrade()
    units_of_users()
    tries_again()
    interrupted()
    say("all is well")


main()
