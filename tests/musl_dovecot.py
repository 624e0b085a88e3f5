"""The modules for musl in a Dovecot that was built with it; musl_dovecot.sh calls this
in namespaces of its own."""

import http.server
import imaplib
import json
import os
import pathlib
import socket
import socketserver
import subprocess
import threading
import time

DIR = pathlib.Path(os.environ["DIR"])
PREFIX = pathlib.Path(os.environ["PREFIX"])
TOPIC = "com.apple.mobilemail.push.com.example"
LIMIT_S = 60
CONFIG = """protocols = imap lmtp
ssl = no
disable_plaintext_auth = no
mail_location = maildir:~/Maildir
log_path = /tmp/dovecot.log
listen = 127.0.0.1
passdb {
  driver = static
  args = password=secret
}
userdb {
  driver = static
  args = uid=10000 gid=10000 home=/tmp/%u allow_all_users=yes
}
service lmtp {
  unix_listener lmtp {
    mode = 0666
  }
}
!include_try conf.d/*.conf
"""


def run(*command, ok=True):
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)
    assert (done.returncode == 0) == ok, done.stdout
    return done.stdout


def until(condition, what):
    end = time.monotonic() + LIMIT_S
    while True:
        try:
            value = condition()
        except (OSError, imaplib.IMAP4.error):
            value = None
        if value:
            return value
        assert time.monotonic() < end, (
            what, pathlib.Path("/tmp/dovecot.log").read_text()[-2000:])
        time.sleep(0.05)


class Daemon(http.server.BaseHTTPRequestHandler):
    """Stands for xapsd."""
    protocol_version = "HTTP/1.1"
    requests = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.requests.append((self.path, json.loads(body)))
        self.send_response(200)
        self.send_header("Content-Length", str(len(TOPIC)))
        self.end_headers()
        self.wfile.write(TOPIC.encode())

    def address_string(self):
        return ""

    def log_message(self, *args):
        pass


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


def log_in():
    imap = imaplib.IMAP4("127.0.0.1", 143, LIMIT_S)
    imap.login("alice", "secret")
    return imap


def register(imap):
    imap.send(b'a XAPPLEPUSHSERVICE aps-version 2 aps-account-id 0715A26B '
              b'aps-device-token ' + b"ab" * 32 + b' aps-subtopic '
              b'com.apple.mobilemail mailboxes (INBOX)\r\n')
    lines = []
    while not lines or not lines[-1].startswith(b"a "):
        lines.append(imap.readline())
    assert lines[-1].startswith(b"a OK"), lines
    assert TOPIC.encode() in b"".join(lines), lines


def deliver():
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(PREFIX / "var/run/dovecot/lmtp"))
        talk = s.makefile("rwb")
        talk.readline()
        for line in (b"LHLO x", b"MAIL FROM:<a@example.org>", b"RCPT TO:<alice>",
                     b"DATA", b"Subject: x\r\n\r\nx\r\n."):
            talk.write(line + b"\r\n")
            talk.flush()
            said = talk.readline()
            while said[3:4] == b"-":
                said = talk.readline()
            assert said[:1] in b"23", said


def main():
    for folder in "/opt", "/run":
        run("mount", "-t", "tmpfs", "none", folder)
    PREFIX.mkdir(parents=True)
    run("mount", "--bind", str(DIR / "root") + str(PREFIX), str(PREFIX))
    run("mount", "-t", "tmpfs", "-o", "mode=1777", "none", "/tmp")
    pathlib.Path("/run/xapsd").mkdir()
    run("ip", "link", "set", "lo", "up")
    os.environ.update(DOCDIR="/tmp/doc", PATH="%s/bin:%s/sbin:%s" % (
        PREFIX, PREFIX, os.environ["PATH"]))
    conf = PREFIX / "etc/dovecot"
    (conf / "conf.d").mkdir(parents=True, exist_ok=True)
    for old in (conf / "conf.d").glob("*"):
        old.unlink()
    (conf / "dovecot.conf").write_text(CONFIG)
    (PREFIX / "var/lib/dovecot").mkdir(parents=True, exist_ok=True)
    server = Server("/run/xapsd/xapsd.sock", Daemon)
    os.chmod("/run/xapsd/xapsd.sock", 0o666)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    script = str(DIR / "dist/install-plugin.sh")
    right = run("sh", script, "--which").strip()
    assert right.endswith("-amd64-musl.tar.gz"), right
    wrong = DIR / "dist" / right.replace("-musl", "")
    run("tar", "-C", "/tmp", "-xzf", str(wrong))
    said = run("sh", "/tmp/%s/install.sh" % wrong.name[:-7], ok=False)
    assert "Take " + right in said, said
    run("sh", script)
    subprocess.run(["dovecot"], check=True, stdout=subprocess.DEVNULL)
    try:
        register(until(log_in, "log-in"))
        deliver()
        until(lambda: {"/register", "/notify"} <= {
            path for path, _ in Daemon.requests}, "notification")
        notify = dict(Daemon.requests)["/notify"]
        assert notify == {"Username": "alice", "Mailbox": "INBOX",
                          "Events": ["MessageNew"]}, notify
    finally:
        run("doveadm", "stop")
    run("sh", script, "--uninstall")
    assert not list((PREFIX / "lib/dovecot").glob("*xaps*"))
    print("musl, Dovecot %s: registered, delivered, notified" %
          run("dovecot", "--version").strip())


main()
