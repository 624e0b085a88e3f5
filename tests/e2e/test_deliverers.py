"""Who delivers, as whom, and what lets it use the socket: the rows of
docs/dovecot.md's table that need Dovecot only.

Groups and users of the system play xapsd-mail and vmail: they exist on every
Debian, and own nothing that a test could harm."""

import grp
import os
import pathlib
import pwd
import subprocess

import pytest

from dovecot import Dovecot, dovecot_config
from test_journey import TOKEN, mail, register

PAPER = pathlib.Path(__file__).resolve().parents[2] / "docs/dovecot.md"
GROUP, VMAIL = "audio", "games"
ACCESS = "mail_access_groups = " + GROUP
DENIED = r"not notified: cannot reach xapsd at unix:.*Permission denied"
EXTRA = "extra_groups = " + GROUP
AS_VMAIL = "service lmtp {\n  user = %s\n  %%s\n}\n" % VMAIL

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="processes of other users need root")


@pytest.fixture
def vmail():
    return pwd.getpwnam(VMAIL)


@pytest.fixture
def serve(workdir, plugin_dir, start_xapsd, vmail):
    """A daemon whose socket belongs to a group, and a Dovecot for it whose
    mails are all vmail's."""
    started = []

    def run(extra, group=GROUP):
        xapsd = start_xapsd(socketMode="0660", socketGroup=group)
        dovecot = Dovecot(
            workdir, plugin_dir, {"url": "unix:" + xapsd.socket_path,
                                  "timeout_msecs": 10000},
            extra=extra + "\nfirst_valid_uid = 1\nfirst_valid_gid = 1\n"
            "service auth {\n  unix_listener auth-userdb {\n"
            "    mode = 0666\n  }\n}\n")
        dovecot.uid, dovecot.gid = vmail.pw_uid, vmail.pw_gid
        started.append(dovecot)
        dovecot.start()
        return dovecot

    yield run
    for dovecot in started:
        dovecot.stop()
        assert not dovecot.trouble()


def lda(dovecot, **whom):
    """dovecot-lda as a mail server starts it; its log is Dovecot's."""
    dovecot.log_path.chmod(0o666)
    subprocess.run(
        [os.path.join(dovecot_config()["dovecot_pkglibexecdir"],
                      "dovecot-lda"), "-c", dovecot.conf, "-d", "alice"],
        input=mail(), text=True, check=True, timeout=60, **whom)


def as_vmail(vmail, groups=()):
    return dict(user=vmail.pw_uid, group=vmail.pw_gid,
                extra_groups=[grp.getgrnam(g).gr_gid for g in groups])


def test_imap_and_lmtp(serve, apple, certs):
    dovecot = serve(ACCESS)
    assert register(dovecot, "alice", certs.key_topic) == ["INBOX"]
    dovecot.deliver("alice", mail())
    apple.wait_for(1)


def test_imap_as_vmail(serve, apple, certs):
    dovecot = serve(ACCESS + "\nservice imap {\n  user = %s\n}\n" % VMAIL)
    assert register(dovecot, "alice", certs.key_topic) == ["INBOX"]


def test_lmtp_as_vmail(serve, apple, certs):
    """mail_access_groups is root's to give."""
    dovecot = serve(ACCESS + "\n" + AS_VMAIL % "")
    register(dovecot, "alice", certs.key_topic)
    dovecot.deliver("alice", mail())
    dovecot.wait_log(DENIED)
    assert not apple.to(TOKEN)


def test_lmtp_as_vmail_with_extra_groups(serve, apple, certs):
    assert "`%s`" % EXTRA.replace(GROUP, "xapsd-mail") in PAPER.read_text()
    dovecot = serve(ACCESS + "\n" + AS_VMAIL % EXTRA)
    register(dovecot, "alice", certs.key_topic)
    dovecot.deliver("alice", mail())
    apple.wait_for(1)


def test_lmtp_as_vmail_with_the_groups_socket(serve, apple, certs, vmail):
    dovecot = serve(AS_VMAIL % "", grp.getgrgid(vmail.pw_gid).gr_name)
    register(dovecot, "alice", certs.key_topic)
    dovecot.deliver("alice", mail())
    apple.wait_for(1)


def test_lda_by_root(serve, apple, certs):
    dovecot = serve(ACCESS)
    register(dovecot, "alice", certs.key_topic)
    lda(dovecot)
    apple.wait_for(1)


def test_lda_without_groups(serve, apple, certs, vmail):
    """As Postfix's pipe(8) and an Exim without initgroups start it."""
    dovecot = serve(ACCESS)
    register(dovecot, "alice", certs.key_topic)
    lda(dovecot, **as_vmail(vmail))
    dovecot.wait_log(DENIED)
    assert not apple.to(TOKEN)


def test_lda_with_its_groups(serve, apple, certs, vmail):
    """As cron, a shell, procmail and an Exim with initgroups start it."""
    dovecot = serve(ACCESS)
    register(dovecot, "alice", certs.key_topic)
    lda(dovecot, **as_vmail(vmail, [GROUP]))
    apple.wait_for(1)


def test_lda_and_the_groups_socket(serve, apple, certs, vmail):
    dovecot = serve("", grp.getgrgid(vmail.pw_gid).gr_name)
    register(dovecot, "alice", certs.key_topic)
    lda(dovecot, **as_vmail(vmail))
    apple.wait_for(1)
