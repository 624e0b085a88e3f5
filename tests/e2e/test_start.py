"""What prevents a start, and what a reload may not open: listeners,
privileges, files that are not there yet, descriptors."""

import os
import pwd
import re
import resource
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import threading
import time

import pytest

import netns
from phones import ACCOUNT, TOKEN
from ports import free_port
from test_daemon import (listening, make, rewrite, run_in, start_activated)
from xapsd import Xapsd, executable, tls_listener

root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
AGAIN_S = 60    # it is tried again after 15 s at most, longer on a busy machine


@pytest.fixture
def ending():
    """Daemons that the test began by hand; they go when it ends."""
    daemons = []
    yield daemons.append
    for daemon in daemons:
        daemon.kill()


def ask_tls(certs, port, text=b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n",
            host="127.0.0.1"):
    context = ssl.create_default_context(cafile=certs.ca)
    with socket.create_connection((host, port), 60) as s, \
            context.wrap_socket(s, server_hostname="localhost") as t:
        t.sendall(text)
        return int(t.recv(4096).split()[1])


# --- ports and addresses that cannot be had ---

def test_port_of_another_program(start_xapsd):
    """The Unix socket serves, and TCP is tried again until it works."""
    with listening(socket.AF_INET, ("127.0.0.1", 0)) as squatter:
        daemon = start_xapsd(port=squatter.getsockname()[1])
        port = daemon.config["port"]
        daemon.wait_log(r"error listenAddr: cannot listen on 127\.0\.0\.1 port "
                        r"%d: Address already in use: another program has it, "
                        r"perhaps an old daemon: ss -ltnp names it; it is tried "
                        r"again until it works" % port)
        assert daemon.notify("nobody").status == 404
    daemon.wait_log(r"listens on 127\.0\.0\.1 port %d now" % port, AGAIN_S)
    daemon.port = port
    assert daemon.notify("nobody", tcp=True).status == 404
    # once it is bound nothing is tried any more
    daemon.wait_asleep(2.5)


def test_one_family_is_taken(start_xapsd):
    with listening(socket.AF_INET6, ("::1", 0)) as squatter:
        port = squatter.getsockname()[1]
        daemon = start_xapsd(listenAddr="localhost", port=port)
        daemon.wait_log(r"cannot listen on ::1 port")
        daemon.port = port
        assert daemon.notify("nobody", tcp=True).status == 404


def test_tls_port_of_another_program(start_xapsd, certs):
    with listening(socket.AF_INET, ("127.0.0.1", 0)) as squatter:
        config = tls_listener(certs, tlsPort=squatter.getsockname()[1])
        daemon = start_xapsd(**config)
        daemon.wait_log(r"error tlsListenAddr: cannot listen on")
    daemon.wait_log(r"tlsListenAddr: listens on 127\.0\.0\.1 port", AGAIN_S)
    assert ask_tls(certs, config["tlsPort"]) == 200


def test_address_that_comes_later(workdir, certs, ending):
    """A VPN's, say.  In a network namespace of its own."""
    alone = netns.alone("-n", first="ip link set lo up")
    daemon = make(workdir, certs, None, retryMin="5s", retryMax="1m",
                  listenAddr="192.0.2.77", port=4711,
                  allowInsecure="yes")
    command = daemon.command
    daemon.command = lambda *a: [*alone, *command(*a)]
    ending(daemon)
    daemon.start()
    daemon.wait_log(r"error listenAddr: cannot listen on 192\.0\.2\.77 .*does "
                    r"not have this address")
    assert daemon.notify("nobody").status == 404
    subprocess.run(["nsenter", "-t", str(daemon.process.pid), "-n", "sh", "-c",
                    "ip addr add 192.0.2.77/32 dev lo"],
                   check=True, timeout=20)
    daemon.wait_log(r"listens on 192\.0\.2\.77 port 4711 now", AGAIN_S)
    daemon.stop()


def test_stop_while_a_port_is_waited_for(start_xapsd):
    with listening(socket.AF_INET, ("127.0.0.1", 0)) as squatter:
        daemon = start_xapsd(port=squatter.getsockname()[1])
        daemon.stop()


# --- what may heal, and what only a person can mend ---

def test_no_configuration_yet(workdir):
    done = subprocess.run([executable(), "-c", str(workdir / "none.yaml")],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "none.yaml: cannot be read" in done.stderr


@pytest.mark.parametrize("folder", ["there", "later"])
def test_credentials_that_come_later(workdir, certs, apple, start_xapsd,
                                     folder):
    """It serves, reports why there are no pushes, and recovers by itself."""
    place = workdir / "secrets" / "deep"
    if folder == "there":
        place.mkdir(parents=True)
    daemon = start_xapsd(keyFileP8=str(place / "k.p8"))
    daemon.wait_log(r"error no pushes: .*keyFileP8: .*k\.p8: No such file")
    health = daemon.request("GET", "/healthz")
    assert health.status == 503 and "k.p8: No such file" in health.body
    reply = daemon.post_register("alice", ACCOUNT, TOKEN)
    assert reply.status == 503 and "k.p8" in reply.body
    place.mkdir(parents=True, exist_ok=True)
    shutil.copy(certs.p8, place / "k.p8")
    daemon.wait_log("Token key for topic", AGAIN_S)
    daemon.register("alice", ACCOUNT, TOKEN)
    assert daemon.notify("alice").status == 200
    apple.wait_for(1)
    assert daemon.request("GET", "/healthz").status == 200


def test_credentials_that_come_by_a_mount(workdir, certs, apple, ending):
    """A volume over the folder: inotify has nothing to say of it."""
    alone = netns.alone("-m")
    place = workdir / "volume"
    place.mkdir()
    daemon = make(workdir, certs, apple, keyFileP8=str(place / "k.p8"))
    command = daemon.command
    daemon.command = lambda *a: [*alone, *command(*a)]
    ending(daemon)
    daemon.start()
    daemon.wait_log("no pushes")
    subprocess.run(
        ["nsenter", "-t", str(daemon.process.pid), "-m", "sh", "-c",
         "mount -t tmpfs none %s && cp %s %s/k.p8" % (place, certs.p8, place)],
        check=True, timeout=20)
    daemon.wait_log("Token key for topic", AGAIN_S)
    daemon.stop()


def test_listener_certificate_that_comes_later(workdir, certs, start_xapsd):
    late = workdir / "live" / "door.pem"
    config = tls_listener(certs, tlsCertfile=str(late), tlsKeyfile=str(late))
    daemon = start_xapsd(**config)
    daemon.wait_log(r"error .*tlsCertfile: .*there is no TLS listener until")
    assert daemon.notify("nobody").status == 404
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", config["tlsPort"]), 5).close()
    late.parent.mkdir()
    shutil.copy(certs.server, late)
    daemon.wait_log(r"tlsListenAddr: listens on 127\.0\.0\.1 port", AGAIN_S)
    assert ask_tls(certs, config["tlsPort"]) == 200


# --- a reload opens nothing ---

PUBLIC = {"tlsListenAddr": "0.0.0.0", "httpUser": "me", "httpPassword": "p"}


def refused(daemon, *words, **keys):
    start = rewrite(daemon, **keys)
    said = daemon.wait_log(r"error (.*): not used, the old configuration stays",
                           start=start)[1]
    assert "read again" not in daemon.log(start)
    for word in ("can be reached from other machines", *words):
        assert word in said, said


@pytest.mark.parametrize("gone", [
    ["tlsListenAddr", "httpUser", "httpPassword"],
    ["tlsListenAddr", "httpUser", "httpPassword", "tlsCertfile", "tlsKeyfile"],
    ["httpUser", "httpPassword"],
    ["tlsListenAddr", "httpUser", "httpPassword", "tlsPort"],
], ids=lambda keys: "-".join(keys))
def test_reload_cannot_open_a_public_listener(start_xapsd, certs, gone):
    daemon = start_xapsd(**tls_listener(certs, **PUBLIC))
    port = daemon.config["tlsPort"]
    assert ask_tls(certs, port) == 401
    refused(daemon, **{key: None for key in gone})
    assert ask_tls(certs, port) == 401
    # with a password it is taken, also another one
    start = rewrite(daemon, httpUser="you", httpPassword="q",
                    tlsCertfile=certs.server, tlsKeyfile=certs.server)
    daemon.wait_log("read again", start=start)
    assert ask_tls(certs, port) == 401


def test_reload_cannot_forbid_what_is_open(start_xapsd):
    daemon = start_xapsd(listenAddr="0.0.0.0", port=free_port(),
                         allowInsecure="yes")
    refused(daemon, "0.0.0.0 port %d is open" % daemon.config["port"],
            allowInsecure=None, listenAddr="127.0.0.1")
    refused(daemon, allowInsecure=None)
    start = rewrite(daemon, listenAddr="127.0.0.1", allowInsecure="yes")
    daemon.wait_log("read again", start=start)


def test_reload_by_an_empty_password_file(start_xapsd, certs, workdir):
    secret = workdir / "secret"
    secret.write_text("p\n")
    daemon = start_xapsd(**tls_listener(
        certs, tlsListenAddr="0.0.0.0", httpUser="me",
        httpPasswordFile=str(secret)))
    secret.write_text("")
    start = rewrite(daemon)
    daemon.wait_log(r"first line of .* is empty.*old configuration stays",
                    start=start)
    assert ask_tls(certs, daemon.config["tlsPort"]) == 401


def test_reload_on_loopback_is_free(start_xapsd):
    daemon = start_xapsd(tcp=True, httpUser="me", httpPassword="p")
    start = rewrite(daemon, httpUser=None, httpPassword=None)
    daemon.wait_log("read again", start=start)
    assert daemon.notify("nobody", tcp=True).status == 404


def test_reload_with_an_activated_public_listener(workdir, certs, apple,
                                                  ending):
    port = free_port()
    with listening(socket.AF_INET, ("0.0.0.0", port)) as given:
        # the configuration itself would listen on loopback only
        daemon = make(workdir, certs, apple, **tls_listener(
            certs, tlsPort=port, httpUser="me", httpPassword="p"))
        ending(daemon)
        start_activated(daemon, given)
        daemon.wait_until(daemon.is_ready, "socket")
        assert ask_tls(certs, port) == 401
        refused(daemon, "0.0.0.0 port %d is open" % port, httpUser=None,
                httpPassword=None)
        assert ask_tls(certs, port) == 401
        daemon.stop()


# --- what is handed over ---

def handed(family, address, kind=socket.SOCK_STREAM, listen=True):
    s = socket.socket(family, kind)
    s.bind(address)
    if listen:
        s.listen()
    return s


@pytest.mark.parametrize("family, address, kind, listen, says", [
    (socket.AF_INET, ("0.0.0.0", 0), socket.SOCK_STREAM, True,
     "can be reached from other machines"),
    (socket.AF_INET6, ("::", 0), socket.SOCK_STREAM, True,
     "can be reached from other machines"),
    (socket.AF_INET, ("127.0.0.1", 0), socket.SOCK_STREAM, False,
     "is not a listening stream socket"),
    (socket.AF_INET, ("127.0.0.1", 0), socket.SOCK_DGRAM, False,
     "is not a listening stream socket"),
    (socket.AF_UNIX, "seq", socket.SOCK_SEQPACKET, True,
     "is not a listening stream socket"),
    (socket.AF_UNIX, "\0xapsd-test-%d" % os.getpid(), socket.SOCK_STREAM, True,
     "abstract"),
], ids=["v4", "v6", "deaf", "udp", "seqpacket", "abstract"])
def test_bad_activation(workdir, certs, apple, family, address, kind, listen,
                        says):
    if address == "seq":
        address = str(workdir / "seq")
    daemon = make(workdir, certs, apple)
    with handed(family, address, kind, listen) as given:
        start_activated(daemon, given)
        status = daemon.process.wait(20)
        daemon.process = None
    assert status == 78
    assert says in daemon.log()


def test_too_many_are_handed_over(workdir, certs, apple):
    daemon = make(workdir, certs, apple)
    with handed(socket.AF_UNIX, str(workdir / "given")) as given:
        start_activated(daemon, *[given] * 20)
        assert daemon.process.wait(20) == 78
        daemon.process = None
    assert "more than" in daemon.log()


def test_activated_mapped_loopback(workdir, certs, apple, ending):
    with handed(socket.AF_INET6, ("::ffff:127.0.0.1", 0)) as given:
        daemon = make(workdir, certs, apple)
        ending(daemon)
        daemon.port = given.getsockname()[1]
        start_activated(daemon, given)
        daemon.wait_until(daemon.is_ready, "socket")
        assert daemon.notify("nobody", tcp=True).status == 404
        daemon.stop()


# --- privileges, the socket's file ---

def nobodys(workdir, certs, **config):
    """A daemon that root starts and that becomes nobody."""
    folder = workdir / "n"
    folder.mkdir()
    who = pwd.getpwnam("nobody")
    for path in (certs.p8, certs.ca):
        copy = folder / os.path.basename(path)
        shutil.copy(path, copy)
        os.chown(copy, who.pw_uid, who.pw_gid)
    os.chown(folder, who.pw_uid, who.pw_gid)
    config = {"user": "nobody", "keyFileP8": str(
        folder / os.path.basename(certs.p8)), "apnsCaFile": str(
        folder / os.path.basename(certs.ca)), **config}
    return Xapsd(folder, certs, **config), who


@root
@pytest.mark.parametrize("place", ["users", "roots", "missing", "sticky"])
def test_socket_of_a_daemon_that_root_starts(workdir, certs, place):
    daemon, who = nobodys(workdir, certs, socketMode="0620", port=free_port())
    folder = {"users": daemon.folder, "roots": workdir / "r",
              "missing": workdir / "m", "sticky": workdir / "s"}[place]
    if place in ("roots", "sticky"):
        folder.mkdir()
        folder.chmod(0o755 if place == "roots" else 0o1777)
    daemon.socket_path = str(folder / "x.sock")
    daemon.config["socketPath"] = daemon.socket_path
    with daemon:
        st = os.stat(daemon.socket_path)
        assert (st.st_uid, st.st_gid) == (who.pw_uid, who.pw_gid)
        assert stat.S_IMODE(st.st_mode) == 0o620
        assert daemon.notify("nobody").status == 404
        if place == "missing":
            assert folder.stat().st_uid == who.pw_uid
    assert place == "roots" or not os.path.exists(daemon.socket_path)
    with daemon:    # a stale one is replaced
        assert daemon.notify("nobody").status == 404


@root
@pytest.mark.parametrize("user", ["nobody", None])
def test_socket_group(workdir, certs, user):
    """Any group, for root sets it; nobody is no member of games."""
    import grp
    games = grp.getgrnam("games").gr_gid
    daemon, who = nobodys(workdir, certs, socketGroup="games", user=user)
    with daemon:
        st = os.stat(daemon.socket_path)
        assert st.st_gid == games
        assert st.st_uid == (who.pw_uid if user else 0)
        groups = re.search(r"^Groups:\s*(.*)$", open(
            "/proc/%d/status" % daemon.process.pid).read(), re.M)[1].split()
        assert not user or str(games) not in groups


@root
def test_link_in_place_of_the_socket(workdir, certs):
    """Neither the link's target nor the link is touched."""
    daemon, _ = nobodys(workdir, certs)
    target = workdir / "precious"
    target.write_text("x")
    target.chmod(0o600)
    os.symlink(target, daemon.socket_path)
    before = target.stat()
    done = daemon.run()
    assert done.returncode == 1 and "is not a socket" in done.stderr
    assert os.path.islink(daemon.socket_path)
    after = target.stat()
    assert (after.st_uid, after.st_gid, after.st_mode, after.st_ctime_ns) == (
        before.st_uid, before.st_gid, before.st_mode, before.st_ctime_ns)


@root
def test_race_for_the_socket(workdir, certs):
    """The folder's owner keeps replacing the socket by a link."""
    daemon, who = nobodys(workdir, certs, socketGroup="games",
                          socketMode="0666")
    target = workdir / "precious"
    target.write_text("x")
    target.chmod(0o600)
    before = target.stat()
    path, aside = daemon.socket_path, daemon.socket_path + ".aside"
    done = threading.Event()

    def exchange():
        while not done.is_set():
            try:
                if stat.S_ISSOCK(os.lstat(path).st_mode):
                    os.rename(path, aside)
                    os.symlink(target, path)
            except OSError:
                pass

    thread = threading.Thread(target=exchange)
    thread.start()
    try:
        for _ in range(30):
            if os.path.islink(path):
                os.unlink(path)
            run_in(daemon, {})
            daemon.wait_until(
                lambda: daemon.process.poll() is not None or
                "started:" in daemon.log(daemon.log_start), "start or end")
            daemon.kill()
    finally:
        done.set()
        thread.join()
    after = target.stat()
    assert (after.st_uid, after.st_gid, after.st_mode) == (
        before.st_uid, before.st_gid, before.st_mode)


@pytest.mark.parametrize("now", ["file", "link", "another"])
def test_only_its_own_socket_is_removed(start_xapsd, workdir, now):
    daemon = start_xapsd()
    os.rename(daemon.socket_path, daemon.socket_path + ".old")
    if now == "file":
        open(daemon.socket_path, "w").close()
    elif now == "link":
        os.symlink(workdir / "target", daemon.socket_path)
    else:
        socket.socket(socket.AF_UNIX).bind(daemon.socket_path)
    daemon.stop()
    assert os.path.lexists(daemon.socket_path)


@root
def test_import_leaves_nothing_of_roots(workdir, certs):
    daemon, who = nobodys(workdir, certs)
    workdir.chmod(0o755)
    source = workdir / "go.json"    # only root may read this one
    source.write_text('{"Users":{"alice":{"Accounts":{"%s":{"DeviceToken":"%s"'
                      ',"Mailboxes":["INBOX"]}}}}}' % (ACCOUNT, TOKEN))
    source.chmod(0o600)
    # a bad line goes aside: that file, too, is the daemon's
    daemon.database.write_text(
        '{"user":"bob","account":"b","token":"%s","mailboxes":["INBOX"],'
        '"time":%d}\nnonsense\n' % (TOKEN, time.time()))
    os.chown(daemon.database, who.pw_uid, who.pw_gid)
    done = daemon.run("import", str(source))
    assert done.returncode == 0, done.stderr
    files = list(daemon.folder.glob("database.json*"))
    assert len(files) >= 2
    for path in files:
        assert path.stat().st_uid == who.pw_uid, path
    with daemon:
        assert daemon.notify("alice").status == 200


@root
def test_import_follows_no_link_of_the_users(workdir, certs):
    """The folder is nobody's, who would have root write to a file of root's."""
    daemon, who = nobodys(workdir, certs)
    workdir.chmod(0o755)
    target = workdir / "precious"
    target.write_text("")
    target.chmod(0o600)
    os.symlink(target, daemon.database)
    source = workdir / "go.json"
    source.write_text('{"Users":{"alice":{"Accounts":{"%s":{"DeviceToken":"%s"'
                      ',"Mailboxes":["INBOX"]}}}}}' % (ACCOUNT, TOKEN))
    done = daemon.run("import", str(source))
    assert done.returncode == 1
    assert target.read_text() == ""


# --- who else may read the secrets ---

def loose(log):
    return re.findall(r"(?:warn|warning) .*: (\S+) may be read by (.*): chown "
                      r"(\S+) \S+ && chmod 600", log)


@root
@pytest.mark.parametrize("mode, group, who", [
    (0o640, "games", "the group games"), (0o644, "root", "everybody"),
    (0o604, "root", "everybody"), (0o640, "root", None),
    (0o600, "games", None)])
def test_readable_secrets_are_warned_of(start_xapsd, certs, workdir, mode,
                                        group, who):
    secrets = {"keyFileP8": workdir / "k.p8",
               "tlsKeyfile": workdir / "door.pem",
               "httpPasswordFile": workdir / "pw"}
    shutil.copy(certs.p8, secrets["keyFileP8"])
    shutil.copy(certs.server, secrets["tlsKeyfile"])
    secrets["httpPasswordFile"].write_text("p\n")
    (workdir / "x").mkdir()
    database = workdir / "x" / "database.json"
    database.write_text('{"user":"a","account":"b","token":"%s","mailboxes":[],'
                        '"time":%d}\n' % (TOKEN, time.time()))
    files = [*secrets.values(), database]
    for path in files:
        path.chmod(mode)
        shutil.chown(path, group=group)
    daemon = start_xapsd(
        tlsPort=free_port(), tlsCertfile=str(secrets["tlsKeyfile"]),
        httpUser="u", **{key: str(path) for key, path in secrets.items()})
    daemon.notify("nobody")
    said = loose(daemon.log())
    check = daemon.run("check", "--offline")
    assert set(said) == set(loose(check.stderr)), check
    if who is None:
        assert not said
    else:
        assert {path for path, _, _ in said} == {str(p) for p in files}
        assert all(by.startswith(who) for _, by, _ in said)


def test_configuration_with_a_password_is_warned_of(start_xapsd):
    daemon = start_xapsd(httpUser="u", httpPassword="p")    # mode 0644
    daemon.notify("nobody")
    assert [path for path, _, _ in loose(daemon.log())] == [
        str(daemon.config_path)]
    daemon.config_path.chmod(0o600)
    start = daemon.log_size()
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_log("read again", start=start)
    assert not loose(daemon.log(start))


# --- descriptors ---

def limit(soft, hard):
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_soft_limit_is_raised(workdir, certs, apple, ending):
    daemon = make(workdir, certs, apple, maxConnections=300)
    ending(daemon)
    run_in(daemon, {}, before=limit(64, 4096))
    daemon.wait_until(daemon.is_ready, "socket")
    daemon.notify("nobody")
    limits = open("/proc/%d/limits" % daemon.process.pid).read()
    assert int(re.search(r"^Max open files\s+(\d+)", limits, re.M)[1]) >= 300
    assert "maxConnections: lowered" not in daemon.log()
    daemon.stop()


@pytest.mark.parametrize("hard", [40, 100])
def test_fewer_descriptors_than_connections(workdir, certs, apple, ending,
                                            hard):
    """Clients cannot take those that pushes and files need."""
    daemon = make(workdir, certs, apple, tcp=True)
    ending(daemon)
    run_in(daemon, {}, before=limit(hard, hard))
    daemon.wait_until(daemon.is_ready, "socket")
    said = re.findall(r"maxConnections: lowered from 1024 to \d+.*", daemon.log())
    assert len(said) == 1 and "LimitNOFILE" in said[0]
    daemon.register("alice", ACCOUNT, TOKEN)
    apple.wait_connected()      # else there is nothing to lose below
    clients = []
    try:
        for n in range(200):
            s = socket.socket()
            s.settimeout(60)
            s.connect(("127.0.0.1", daemon.port))
            if n % 2:
                s.sendall(b"P")     # begun, not finished
            clients.append(s)
        # Apple's connection is lost now, and comes back
        apple.go_away()
        apple.come_back()
        apple.wait_connected()
        before = daemon.cpu_s()
        time.sleep(1)
        assert daemon.cpu_s() - before < 0.5    # it does not spin
        daemon.assert_alive()
    finally:
        for s in clients:
            s.close()
    assert daemon.notify("alice").status == 200
    apple.wait_for(1)
    daemon.stop()
