"""What the walks through recipes share: they run inside a copy of a system
(root.sh), with its real Dovecot, and a stand-in for Apple."""
import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, "/tree/tests/e2e")
from apple import Apple                         # noqa: E402
from certs import Certs                         # noqa: E402
from dovecot import Imap, Lmtp, wait_for        # noqa: E402,F401

VOLUMES = pathlib.Path("/volumes")
ACCOUNT = "0715A26B-CA09-4730-A419-793000CA982E"
TOKEN = "2918" + "0123456789abcdef" * 3 + "fedcba987654"
MAIL = "From: b@example.net\r\nSubject: x\r\nMessage-ID: <%s@x>\r\n\r\nx\r\n"
LIMIT_S = 60


def sh(script, **options):
    """Its output; it must succeed."""
    done = subprocess.run(["sh", "-ec", script], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=120,
                          **options)
    if done.returncode != 0:
        raise AssertionError("%s\nended with %d:\n%s" % (
            script, done.returncode, done.stdout))
    return done.stdout


def write(path, text, mode=0o644):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


@contextlib.contextmanager
def apple():
    """And its CA and keys."""
    with tempfile.TemporaryDirectory() as folder:
        certs = Certs(folder)
        with Apple(certs) as service:
            yield service, certs
            assert service.problems() == []


def put_config(folder, service, certs, *more):
    """xapsd.yaml and the credential as an administrator would put them."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(certs.p8, folder / "AuthKey.p8")
    shutil.copy(certs.ca, folder / "ca.pem")
    write(folder / "xapsd.yaml", "\n".join((
        "keyFileP8: AuthKey.p8", "keyFileKeyId: " + certs.key_id,
        "keyFileTeamId: " + certs.team_id, "keyFileTopic: " + certs.key_topic,
        "apnsHost: 127.0.0.1", "apnsPort: %d" % service.port,
        "apnsCaFile: ca.pem", "port: 0", *more)) + "\n", 0o600)


def until(condition, what):
    return wait_for(condition, LIMIT_S, what)


def is_served(*places):
    """Whether any port of 127.0.0.1, or socket's path, is listened to."""
    for place in places:
        is_port = isinstance(place, int)
        with socket.socket(socket.AF_INET if is_port else socket.AF_UNIX) as s:
            if s.connect_ex(("127.0.0.1", place) if is_port else place) == 0:
                return True
    return False


def until_dovecot_is_gone():
    """Its processes outlive the first one, with its sockets, which the next
    Dovecot needs."""
    until(lambda: not is_served(143, "/run/dovecot/lmtp"), "end of Dovecot")


def log_in(user, password, port=143):
    imap = until(lambda: connect(Imap, port), "IMAP on port %d" % port)
    imap.ok('LOGIN "%s" "%s"' % (user, password))
    return imap


def connect(what, where):
    try:
        return what(where)
    except OSError:     # not there yet
        return None


def deliver(user, path="/run/dovecot/lmtp"):
    until(lambda: connect(Lmtp, path), "LMTP").deliver([user], mail())


def register(imap, topic):
    untagged, tagged = imap.cmd(
        "XAPPLEPUSHSERVICE aps-version 2 aps-account-id %s aps-device-token "
        "%s aps-subtopic com.apple.mobilemail mailboxes (INBOX)" % (
            ACCOUNT, TOKEN))
    assert tagged.split(" ", 1)[1].startswith(
        "OK XAPPLEPUSHSERVICE completed"), tagged
    assert untagged == [
        "* XAPPLEPUSHSERVICE mailbox INBOX",
        '* XAPPLEPUSHSERVICE aps-version "2" aps-topic "%s"' % topic], untagged


def mail():
    return MAIL % os.urandom(8).hex()
