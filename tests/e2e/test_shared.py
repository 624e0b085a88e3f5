"""The whole way where a mailbox has several names or several users: phones
register over IMAP, Dovecot changes the mailbox, Apple gets the pushes.  That
all names are resolved by the modules is tested in test_names.py."""
import os

import pytest

from dovecot import INBOX, namespace
from phones import OTHER, TOKEN
from test_journey import mail, md5, register
from test_names import ACL, alias_for, change_flag, public, shared, virtual

MAIL = "Subject: x\r\n\r\nx\r\n"


@pytest.fixture
def start(start_xapsd, start_dovecot, apple, certs, workdir):
    """Dovecot and the daemon, which waits a second where it may."""
    def start(*namespaces, **options):
        xapsd = start_xapsd(delay="1s")
        apple.wait_connected()
        folder = workdir / "public"
        folder.mkdir()
        dovecot = start_dovecot(
            "unix:" + xapsd.socket_path, namespaces="".join(namespaces),
            **options)
        if os.getuid() == 0:
            os.chown(folder, dovecot.uid, dovecot.gid)
        return dovecot
    return start


def inbox(**change):
    return namespace("inbox", **(INBOX | change))


class Phones:
    """alice's and bob's, and what each of them was woken for."""

    tokens = {"alice": TOKEN, "bob": OTHER}

    def __init__(self, dovecot, apple, certs):
        self.dovecot, self.apple = dovecot, apple
        self.topic = certs.key_topic
        self.seen = 0

    def register(self, user, *names, create=()):
        return register(
            self.dovecot, user, self.topic, token=self.tokens[user],
            create=create, mailboxes=" ".join('"%s"' % n for n in names))

    def woken(self, *expected):
        """User and mailbox, as the user spelled it or them, since the last
        time; of
        all these, and no others."""
        self.seen += len(expected)
        pushes = self.apple.wait_for(self.seen)
        assert sorted((p.token, sorted(p.aps["m"])) for p in
                      pushes[self.seen - len(expected):]) == sorted(
            (self.tokens[user], sorted(md5(name) for name in names))
            for user, *names in expected)


@pytest.fixture
def phones(start, apple, certs):
    def phones(*namespaces, **options):
        return Phones(start(*namespaces, **options), apple, certs)
    return phones


def test_shared(phones):
    p = phones(inbox(), shared())
    names = ["INBOX", "Lists/Eins"]
    assert p.register("alice", *names, create=names[1:]) == names
    theirs = ["INBOX", "shared/alice", "shared/alice/Lists/Eins"]
    assert p.register("bob", *theirs) == theirs
    p.dovecot.deliver("alice", mail())
    p.woken(("alice", "INBOX"), ("bob", "shared/alice"))
    p.dovecot.deliver("bob", mail())
    p.woken(("bob", "INBOX"))
    p.dovecot.deliver("alice+Lists/Eins", mail())
    p.woken(("alice", "Lists/Eins"), ("bob", "shared/alice/Lists/Eins"))
    with p.dovecot.imap("bob") as c:
        change_flag(c, "shared/alice")
    p.woken(("alice", "INBOX"), ("bob", "shared/alice"))
    with p.dovecot.imap("alice") as c:
        change_flag(c, "Lists/Eins")
    p.woken(("alice", "Lists/Eins"), ("bob", "shared/alice/Lists/Eins"))


def test_only_the_watcher_has_a_phone(phones):
    """The owner is not known to the daemon."""
    p = phones(inbox(), shared())
    with p.dovecot.imap("alice") as c:
        c.ok("SELECT INBOX")
    p.register("bob", "shared/alice/INBOX")
    p.dovecot.deliver("alice", mail())
    p.woken(("bob", "shared/alice/INBOX"))
    p.dovecot.lda("alice", mail())
    p.woken(("bob", "shared/alice/INBOX"))


def test_public(phones, workdir):
    p = phones(inbox(), public(workdir))
    p.register("alice", "Public/News", create=["Public/News"])
    p.register("bob", "INBOX", "Public/News")
    p.dovecot.deliver("carol+Public/News", mail())
    p.woken(("alice", "Public/News"), ("bob", "Public/News"))


def test_aliases(phones):
    """Woken by the names that the phones have, whichever was used."""
    p = phones(
        inbox(prefix="INBOX.", separator="."),
        namespace("compat", prefix="", separator=".", hidden="yes",
                  list="no", **alias_for("inbox", "INBOX.")),
        shared(prefix="shared.USER.", separator="."))
    p.register("alice", "INBOX.Entw&APw-rfe", create=["INBOX.Entw&APw-rfe"])
    p.register("bob", "shared.alice.Entw&APw-rfe")
    expected = [("alice", "INBOX.Entwürfe"), ("bob", "shared.alice.Entwürfe")]
    p.dovecot.lda("alice", mail(), args=("-m", "Entwürfe"))
    p.woken(*expected)
    for user, name in (("alice", "Entw&APw-rfe"),
                       ("alice", "INBOX.Entw&APw-rfe"),
                       ("bob", "shared.alice.Entw&APw-rfe")):
        with p.dovecot.imap(user) as c:
            c.append(name, MAIL)
        p.woken(*expected)


def test_two_spellings_of_one_mailbox(phones):
    """The phone has two folders, and both have changed."""
    p = phones(
        inbox(), namespace("old", prefix="mail/", separator="/", hidden="yes",
                           list="no", **alias_for("inbox", "")), shared())
    p.register("alice", "INBOX", "mail/Lists", "Lists", "inbox",
               create=["Lists"])
    p.register("bob", "shared/alice/Lists", "shared/alice/INBOX", "INBOX",
               "shared/alice")
    p.dovecot.deliver("alice", mail())
    p.woken(("alice", "INBOX", "inbox"),
            ("bob", "shared/alice", "shared/alice/INBOX"))
    p.dovecot.deliver("alice+Lists", mail())
    p.woken(("alice", "Lists", "mail/Lists"), ("bob", "shared/alice/Lists"))


def test_right_that_was_taken(phones):
    """The next registration drops users who may not read any more, even if
    nothing is left of their list."""
    p = phones(inbox(), shared(), mail_plugins="acl", extra=ACL)
    with p.dovecot.imap("alice") as c:
        c.ok("SELECT INBOX")
    acl = p.dovecot.home / "alice/Maildir/dovecot-acl"
    acl.write_text("owner lrwstipekxa\nuser=bob lr\n")
    p.register("alice", "INBOX")
    assert p.register("bob", "shared/alice") == ["shared/alice"]
    p.dovecot.deliver("alice", mail())
    p.woken(("alice", "INBOX"), ("bob", "shared/alice"))
    acl.unlink()
    assert p.register("bob", "shared/alice") == []
    p.dovecot.deliver("alice", mail())
    p.woken(("alice", "INBOX"))
    p.dovecot.deliver("bob", mail())
    p.dovecot.deliver("alice", mail())
    p.woken(("alice", "INBOX"))


def test_virtual(phones):
    p = phones(inbox(), virtual(), mail_plugins="virtual")
    folder = p.dovecot.home / "alice/virtual/All"
    folder.mkdir(parents=True)
    (folder / "dovecot-virtual").write_text("*\n  all\n")
    if os.getuid() == 0:
        for path in (p.dovecot.home / "alice", folder.parent, folder,
                     folder / "dovecot-virtual"):
            os.chown(path, p.dovecot.uid, p.dovecot.gid)
    assert p.register("alice", "INBOX", "Virtual/All") == ["INBOX"]
    p.dovecot.deliver("alice", mail())
    p.woken(("alice", "INBOX"))
    with p.dovecot.imap("alice") as c:
        change_flag(c, "Virtual/All")
    p.woken(("alice", "INBOX"))


def test_long_names(phones):
    """1,024 bytes of modified UTF-7 are 1,110 of UTF-8."""
    p = phones(inbox(path="~/mail", layout="fs"))
    name = "/".join(["&" + "ThlOGU4Z" * 8 + "-"] * 15)
    utf8 = "/".join(["\u4e19" * 24] * 15)
    assert p.register("alice", name, create=[name]) == [name]
    with p.dovecot.imap("alice") as c:
        c.append(name, MAIL)
    p.woken(("alice", utf8))
    assert len(name) <= 1024 < len(utf8.encode())


def test_many_long_names(phones):
    """With canonical names they do not fit into one request."""
    p = phones(inbox())
    p.tokens = {"alice.of.a.long.name@mail.example.org": TOKEN}
    user, = p.tokens
    names = [f"Entw&APw-rfe{'x' * 60}{i}" for i in range(400)]
    assert p.register(user, *names, create=names) == names
    p.dovecot.deliver(user, mail())
    with p.dovecot.imap(user) as c:
        c.append(names[-1], MAIL)
    p.woken((user, f"Entw\u00fcrfe{'x' * 60}399"))
