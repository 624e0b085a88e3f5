"""The daemon in its environment: service manager, signals, privileges; and
secrets, which it must not log."""
import base64
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

from apple import Answer
from phones import ACCOUNT, OTHER, TOKEN
from ports import bind_port, free_port
from test_line import Lines, register as register_line
from xapsd import Xapsd, certificate


class Manager:
    """Receives what sd_notify() sends."""

    def __init__(self, address):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(address)
        self.sock.settimeout(30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def said(self):
        return self.sock.recv(4096).decode()


def run_in(daemon, env, pass_fds=(), before=None):
    """Starts the daemon's program with an environment of its own."""
    daemon.write_config()
    daemon.log_start = daemon.log_size()
    with open(daemon.log_path, "ab") as log:
        daemon.process = subprocess.Popen(
            daemon.command(*daemon.args), stdin=subprocess.DEVNULL,
            stdout=log, stderr=log, env={**os.environ, **env},
            pass_fds=pass_fds, preexec_fn=before, start_new_session=True)
    return daemon


def make(workdir, certs, apple, **options):
    folder = workdir / "x"
    folder.mkdir()
    return Xapsd(folder, certs, apple=apple, **options)


# --- service manager ---

@pytest.mark.parametrize("abstract", [False, True])
def test_sd_notify(workdir, certs, apple, abstract):
    address = str(workdir / "notify")
    bound = "\0" + address if abstract else address
    with Manager(bound) as manager:
        daemon = run_in(make(workdir, certs, apple), {
            "NOTIFY_SOCKET": "@" + address if abstract else address})
        try:
            assert manager.said() == "READY=1"
            assert daemon.notify("nobody").status == 404    # at once
            daemon.process.send_signal(signal.SIGHUP)
            reloading = manager.said().split("\n")
            assert reloading[0] == "RELOADING=1"
            usec = int(reloading[1].removeprefix("MONOTONIC_USEC="))
            assert abs(usec / 1e6 - time.monotonic()) < 20
            assert manager.said() == "READY=1"
            daemon.stop()
            assert manager.said() == "STOPPING=1"
        finally:
            daemon.kill()


def test_nobody_to_notify(workdir, certs, apple):
    daemon = run_in(make(workdir, certs, apple),
                    {"NOTIFY_SOCKET": str(workdir / "none")})
    daemon.wait_log(r"systemd: .*none: No such file")
    daemon.wait_until(daemon.is_ready, "socket")
    daemon.stop()


def hand_over(*socks):
    """An environment and a preexec that pass sockets as fds 3, 4, …"""
    def before():
        kept = [os.dup(s.fileno()) for s in socks]
        kept = [os.dup2(fd, 100 + i) for i, fd in enumerate(kept)]
        for i, fd in enumerate(kept):
            os.dup2(fd, 3 + i, inheritable=True)
        os.environ["LISTEN_PID"] = str(os.getpid())
    return before


def start_activated(daemon, *socks, n=None, pid=None):
    """Through a shell that says its own pid, as it stays the same."""
    daemon.write_config()
    daemon.log_start = daemon.log_size()
    command = ("export LISTEN_PID=%s LISTEN_FDS=%d; exec %s" % (
        pid or "$$", len(socks) if n is None else n,
        " ".join(daemon.command())))
    with open(daemon.log_path, "ab") as log:
        daemon.process = subprocess.Popen(
            ["/bin/sh", "-c", command], stdin=subprocess.DEVNULL, stdout=log,
            stderr=log, close_fds=False, preexec_fn=hand_over(*socks),
            start_new_session=True)
    return daemon


def listening(family, address):
    """A path, or host and port; port 0: a free one."""
    if family == socket.AF_UNIX:
        s = socket.socket(family)
        s.bind(address)
    else:
        s = bind_port(*address)
    s.listen()
    return s


def test_socket_activation(workdir, certs, apple):
    tls_port = free_port()
    path = str(workdir / "given.sock")
    with listening(socket.AF_UNIX, path) as unix, \
            listening(socket.AF_INET, ("127.0.0.1", 0)) as tcp, \
            listening(socket.AF_INET, ("127.0.0.1", tls_port)) as tls:
        daemon = make(workdir, certs, apple, tlsPort=tls_port, port=free_port(),
                      tlsCertfile=certs.server, tlsKeyfile=certs.server,
                      tlsListenAddr="127.0.0.1")
        own_path, own_port = daemon.socket_path, daemon.config["port"]
        daemon.socket_path, daemon.port = path, tcp.getsockname()[1]
        # connections that came before the daemon are served, too
        early = socket.socket(socket.AF_UNIX)
        early.connect(path)
        early.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        start_activated(daemon, unix, tcp, tls)
        try:
            assert early.recv(12) in (b"HTTP/1.1 200", b"HTTP/1.1 503")
            assert daemon.notify("nobody").status == 404
            assert daemon.notify("nobody", tcp=True).status == 404
            import ssl
            context = ssl.create_default_context(cafile=certs.ca)
            with socket.create_connection(("127.0.0.1", tls_port), 20) as s, \
                    context.wrap_socket(s, server_hostname="localhost") as t:
                t.sendall(b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert t.recv(12) == b"HTTP/1.1 404"
            # what was handed over is instead of the daemon's own
            assert not os.path.exists(own_path)
            with pytest.raises(OSError):
                socket.create_connection(("127.0.0.1", own_port), 5)
            early.close()
            daemon.stop()
            assert os.path.exists(path)     # the manager's, not ours
        finally:
            daemon.kill()


def test_activation_of_one_kind_only(workdir, certs, apple):
    with listening(socket.AF_INET6, ("::1", 0)) as tcp:
        daemon = make(workdir, certs, apple)
        daemon.port = tcp.getsockname()[1]
        start_activated(daemon, tcp)
        try:
            daemon.wait_until(
                lambda: os.path.exists(daemon.socket_path), "socket")
            with socket.create_connection(("::1", daemon.port), 20) as s:
                s.sendall(b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert s.recv(12) == b"HTTP/1.1 404"
            assert daemon.notify("nobody").status == 404    # its own
            daemon.stop()
            assert not os.path.exists(daemon.socket_path)
        finally:
            daemon.kill()


def test_activation_for_somebody_else(workdir, certs, apple):
    """LISTEN_PID of another process: the descriptors are not ours."""
    with listening(socket.AF_UNIX, str(workdir / "given")) as unix:
        daemon = make(workdir, certs, apple)
        start_activated(daemon, unix, pid="1")
        try:
            daemon.wait_until(daemon.is_ready, "its own socket")
            daemon.stop()
        finally:
            daemon.kill()


# --- signals ---

def rewrite(daemon, **keys):
    daemon.config.update(keys)
    daemon.write_config()
    start = daemon.log_size()
    daemon.process.send_signal(signal.SIGHUP)
    return start


def test_reload(start_xapsd, apple):
    daemon = start_xapsd(delay="1h", tcp=True, loglevel="info")
    port = daemon.port
    daemon.register("alice", ACCOUNT, TOKEN)
    start = rewrite(daemon, delay="0s", loglevel="debug", httpUser="me",
                    httpPassword="secret", pushType="alert",
                    port=free_port(), databaseFile="/nonexistent/x")
    daemon.wait_log(r"the configuration was read again", start=start)
    warning = daemon.wait_log(
        r"takes effect at the next start only: (.*)$", start=start)[1]
    assert warning == "databaseFile, port"
    daemon.notify("alice", events=["FlagsSet"])
    assert apple.wait_for(1)[0].headers["apns-push-type"] == "alert"
    daemon.wait_log(r"push: alice: .* -> ready", start=start)   # debug
    daemon.port = port
    assert daemon.notify("alice", tcp=True).status == 401
    assert daemon.notify("alice").status == 200
    # and back
    start = rewrite(daemon, loglevel="info", httpUser=None, httpPassword=None,
                    pushType=None, port=port,
                    databaseFile=str(daemon.database))
    daemon.wait_log(r"the configuration was read again", start=start)
    assert "next start" not in daemon.log(start)
    assert daemon.notify("alice", tcp=True).status == 200
    daemon.wait_until(lambda: daemon.status()["queue"] == 0, "empty queue")
    start, n = daemon.log_size(), len(apple.pushes)
    daemon.notify("alice")
    apple.wait_for(n + 1)
    assert "->" not in daemon.log(start)


@pytest.mark.parametrize("line, says", [
    ("delay: soon", r"xapsd.yaml:1: delay: \"soon\" is not valid"),
    ("listenAddr: 0.0.0.0\nport: 1", r"can be reached from other machines"),
    ("httpUser: me\nhttpPasswordFile: none",
     r"xapsd.yaml:2: httpPasswordFile: .*none: No such file"),
    (None, r"cannot be read: No such file"),
])
def test_reload_of_a_bad_file(start_xapsd, apple, line, says):
    daemon = start_xapsd(delay="0s")
    daemon.register("alice", ACCOUNT, TOKEN)
    if line is None:
        daemon.config_path.unlink()
    else:
        daemon.config_path.write_text(line + "\n")
    start = daemon.log_size()
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_log(says, start=start)
    daemon.wait_log(r"the old configuration stays", start=start)
    daemon.notify("alice", events=["FlagsSet"])
    apple.wait_for(1)


def test_reload_keeps_the_command_line(start_xapsd):
    daemon = start_xapsd(args=["--delay", "3s"], loglevel="info")
    start = rewrite(daemon, delay="1s")
    daemon.wait_log(r"read again", start=start)
    daemon.register("alice", ACCOUNT, TOKEN)
    begun = time.monotonic()
    daemon.notify("alice", events=["FlagsSet"])
    push, = daemon.apple.wait_for(1)
    assert push.at - begun > 2.9


def test_shorter_ttl_waits_three_days(start_xapsd):
    """After a start nothing is dropped; test_clock.py has what comes then."""
    daemon = start_xapsd()
    daemon.stop()
    daemon.database.write_text(json.dumps({
        "user": "alice", "account": ACCOUNT, "token": TOKEN,
        "mailboxes": ["INBOX"], "time": int(time.time()) - 7200}) + "\n")
    daemon.start()
    start = rewrite(daemon, registrationTtl="1h")
    daemon.wait_log(r"read again", start=start)
    assert daemon.notify("alice").status == 200


def test_usr1_logs_the_status(start_xapsd):
    daemon = start_xapsd(loglevel="info")
    daemon.register("alice", ACCOUNT, TOKEN)
    daemon.process.send_signal(signal.SIGUSR1)
    said = json.loads(daemon.wait_log(r"status: (\{.*\})\n")[1])
    assert said["registrations"] == 1


# --- privileges ---

@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_drops_privileges(start_xapsd, workdir, certs):
    nobody = pwd.getpwnam("nobody")
    folder = workdir / "x"
    folder.mkdir()
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    key = shutil.copy(certs.p8, folder / "key.p8")
    ca = shutil.copy(certs.ca, folder / "ca.pem")
    for path in (key, ca):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    daemon = start_xapsd(user="nobody", keyFileP8=str(key),
                         apnsCaFile=str(ca), tcp=True)
    daemon.notify("nobody")     # started wholly
    status = pathlib.Path(
        "/proc/%d/status" % daemon.process.pid).read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines()
                  if ":\t" in line)
    assert fields["Uid"].split() == [str(nobody.pw_uid)] * 4
    assert fields["Gid"].split() == [str(nobody.pw_gid)] * 4
    assert set(fields["Groups"].split()) <= {
        str(g) for g in os.getgrouplist("nobody", nobody.pw_gid)}
    assert "0" not in fields["Groups"].split()
    assert fields["NoNewPrivs"] == "1"
    for capabilities in ("CapEff", "CapPrm", "CapInh"):
        assert int(fields[capabilities], 16) == 0
    daemon.register("alice", ACCOUNT, TOKEN)
    assert daemon.database.stat().st_uid == nobody.pw_uid
    assert os.stat(daemon.socket_path).st_uid == nobody.pw_uid


def test_no_core_dump(xapsd):
    xapsd.notify("nobody")      # started wholly
    proc = pathlib.Path("/proc/%d" % xapsd.process.pid)
    assert re.search(r"^Max core file size +0 +0 ",
                     (proc / "limits").read_text(), re.M)
    assert "NoNewPrivs:\t1" in (proc / "status").read_text()
    xapsd.process.send_signal(signal.SIGABRT)
    assert xapsd.process.wait(20) == -signal.SIGABRT
    assert not list(xapsd.folder.glob("*core*"))
    xapsd.process = None


def test_signals_while_it_starts(workdir, certs, apple):
    """From the moment that somebody can connect, none of them kills it."""
    daemon = make(workdir, certs, apple)
    for _ in range(20):
        daemon.start()      # until the socket is there, no longer
        for signo in (signal.SIGHUP, signal.SIGUSR1, signal.SIGPIPE):
            daemon.process.send_signal(signo)
        daemon.stop()


# --- what it must not log ---

def test_no_secrets_in_the_log(start_xapsd, apple, certs, workdir):
    """At level debug, through everything that can go wrong."""
    password = "Tr0ub4dor&3-and-more"
    daemon = start_xapsd(tcp=True, httpUser="me", httpPassword=password,
                         loglevel="debug")
    basic = base64.b64encode(("me:" + password).encode()).decode()
    good = {"Authorization": "Basic " + basic}
    wrong = base64.b64encode(b"me:wrong-password-here").decode()
    body = {"ApsAccountId": ACCOUNT, "ApsDeviceToken": TOKEN,
            "ApsSubtopic": "com.apple.mobilemail", "Username": "alice",
            "Mailboxes": ["INBOX"]}
    assert daemon.request("POST", "/register", body, good, tcp=True
                          ).status == 200
    for headers in ({"Authorization": "Basic " + wrong}, {},
                    {"Authorization": "Bearer " + basic}):
        assert daemon.request("POST", "/register", body, headers, tcp=True
                              ).status == 401
    for broken in ({**body, "ApsSubtopic": "x"},
                   {**body, "ApsDeviceToken": TOKEN + "x"},
                   json.dumps(body)[:-1]):
        assert daemon.request("POST", "/register", broken).status == 400
    with Lines(daemon) as c:
        c.ask(register_line("bob", token=OTHER))
        c.ask(register_line("bob", token=OTHER + "x"))
    with Lines(daemon, tcp=True) as c:
        c.ask(register_line("bob", token=OTHER))
    for answer in (Answer(403, "ExpiredProviderToken"),
                   Answer(500, "InternalServerError"),
                   Answer(429, "TooManyRequests"),
                   Answer(503, "ServiceUnavailable"),
                   Answer(400, "BadDeviceToken")):
        apple.script(TOKEN, answer)
    daemon.notify("alice")
    daemon.notify("bob")
    daemon.wait_log(r"suspended until")
    daemon.run("push", "alice")
    daemon.run("forget", "bob")
    daemon.process.send_signal(signal.SIGUSR1)
    start = rewrite(daemon, httpPassword=password + "2")
    daemon.wait_log(r"read again", start=start)
    daemon.config_path.write_text("httpPassword: [%s\n" % password)
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_log(r"old configuration stays")
    daemon.stop()
    log = daemon.log()
    assert TOKEN[:8] in log and OTHER[:8] in log    # shortened
    jwts = [p.headers["authorization"].removeprefix("bearer ")
            for p in apple.pushes]
    assert jwts
    key = pathlib.Path(certs.p8).read_text().splitlines()[1]
    for secret in (TOKEN[:20], OTHER[:20], TOKEN[20:], password, basic, wrong,
                   "wrong-password-here", key[:20],
                   *(part for jwt in jwts for part in jwt.split("."))):
        assert secret.lower() not in log.lower(), secret


def test_no_secrets_in_messages(workdir, certs, apple):
    """An error in the configuration is reported without secrets."""
    daemon = make(workdir, certs, apple, identity=certificate)
    for line in ("httpPassword: [Tr0ub4dor", 'certificatePassword: "Tr0ub4dor',
                 "httpPassword: Tr0ub4dor\nhttpPassword: Tr0ub4dor"):
        daemon.config_path.write_text(line + "\n")
        done = subprocess.run(daemon.command(), capture_output=True, text=True,
                              timeout=60)
        assert done.returncode == 78
        assert "Tr0ub4dor" not in done.stderr


def test_sigterm_answers_what_has_arrived(start_xapsd):
    """A request and SIGTERM at the same moment: an answer, and no reset."""
    x = start_xapsd()
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(30)
        s.connect(x.socket_path)
        s.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert s.recv(4096).startswith(b"HTTP/1.1 200 ")
        x.process.send_signal(signal.SIGSTOP)
        x.wait_until(lambda: x.state() == "T", "stop")
        x.process.send_signal(signal.SIGTERM)
        s.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        x.process.send_signal(signal.SIGCONT)
        answer = b""
        while piece := s.recv(4096):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    assert x.process.wait(30) == 0
    x.process = None    # it has ended as it should
