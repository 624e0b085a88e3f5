"""Mailboxes by owner and canonical name: the modules in a real Dovecot with
namespaces of every kind, with a stand-in for xapsd."""
import os
import re
import subprocess

import pytest

import test_plugin as tp
from dovecot import INBOX, dovecot_config, find_program, namespace
from fake_xapsd import FakeXapsd
from test_plugin import (IS_2_3, MAIL, assert_ok, command, own,  # noqa: F401
                         settings, work_dir)

SHARED = dict(type="shared", separator="/", prefix="shared/USER/",
              path="HOME/Maildir", list="children", subscriptions="no")


def public(work_dir, **change):
    lines = dict(type="public", separator="/", prefix="Public/",
                 path=f"{work_dir}/public", list="children",
                 subscriptions="no")
    return namespace("public", **(lines | change))


def named(owner, mailbox):
    return {"owner": owner, "mailbox": mailbox}


class World:
    """A Dovecot with these namespaces, and the stand-in."""

    def __init__(self, own, work_dir, *namespaces, mail_plugins="", extra="",
                 lookup="", **more):
        self.checked = 0
        folder = work_dir / "public"
        folder.mkdir()
        self.fake = FakeXapsd(str(work_dir / "x"))
        self.server = own(
            self.fake, settings(self.fake, user_lookup=lookup),
            namespaces="".join(namespaces), mail_plugins=mail_plugins,
            extra=extra, **more)
        self.dovecot = self.server.dovecot
        if os.getuid() == 0:
            os.chown(folder, self.dovecot.uid, self.dovecot.gid)

    def end(self):
        self.dovecot.stop()
        self.fake.stop()
        assert len(self.fake.of("/notify")) == self.checked

    def imap(self, user):
        return self.dovecot.imap(user)

    def create(self, user, *names):
        with self.imap(user) as c:
            c.ok("SELECT INBOX")    # makes it
            for name in names:
                c.ok(f'CREATE "{name}"')

    def register(self, user, names, *acknowledged, known_as=None):
        """What the daemon received for those that were acknowledged."""
        known_as = known_as or user
        before = len(self.fake.of("/register", known_as))
        with self.imap(user) as c:
            assert_ok(c.cmd(command(f"({names})")), *acknowledged)
        request = self.fake.wait(before + 1, "/register", known_as)[-1].json
        assert request["Mailboxes"] == [a.strip('"') for a in acknowledged]
        assert len(request["Canonical"]) == len(acknowledged)
        return request["Canonical"]

    def canonical(self, user, *names):
        """As register(), all acknowledged."""
        return self.register(user, " ".join(names), *names)

    def told(self, *expected):
        """The daemon received these since the last time: whose session it
        was, owner and mailbox.  They may overtake each other."""
        self.checked += len(expected)
        assert sorted(expected) == sorted(
            (r.json["Username"], r.json.get("Owner", r.json["Username"]),
             r.json["Mailbox"]) for r in self.fake.wait(
                self.checked, "/notify")[self.checked - len(expected):])


@pytest.fixture
def world(own, work_dir):
    made = []

    def make(*namespaces, **options):
        made.append(World(own, work_dir, *namespaces, **options))
        return made[-1]

    yield make
    for one in made:
        one.end()


def inbox(**change):
    return namespace("inbox", **(INBOX | change))


def shared(**change):
    return namespace("shared", **(SHARED | change))


def alias_for(name, prefix):
    return {"alias_for": prefix if IS_2_3 else name}


def change_flag(c, mailbox, number=1, flag="\\Flagged"):
    c.ok(f'SELECT "{mailbox}"')
    c.ok(f"STORE {number} +FLAGS ({flag})")
    c.ok("UNSELECT")


ACL = "plugin {\n acl = vfile\n}\n" if IS_2_3 else "acl_driver = vfile\n"


# --- one user ---

def test_plain(world):
    w = world(inbox())
    w.create("alice", "Lists/2024", "Entw&APw-rfe/R&-D", "INBOX/Sub")
    assert w.canonical("alice", "INBOX", "inbox", "Lists/2024",
                       "Entw&APw-rfe/R&-D", "INBOX/Sub", "inbox/Sub") == [
        named("alice", n) for n in (
            "INBOX", "INBOX", "Lists/2024", "Entwürfe/R&D", "INBOX/Sub",
            "INBOX/Sub")]
    with w.imap("alice") as c:
        for name in ("inbox", "Lists/2024", "Entw&APw-rfe/R&-D", "inbox/Sub"):
            c.append(f'"{name}"', MAIL)
    w.told(*[("alice", "alice", name) for name in (
        "INBOX", "Lists/2024", "Entwürfe/R&D", "INBOX/Sub")])
    assert all(set(r.json) == {"Username", "Mailbox", "Events"}
               for r in w.fake.of("/notify"))


@pytest.mark.parametrize("how", ["alias_for", "same location"])
def test_prefix_and_its_hidden_aliases(world, how):
    """What Courier's users have, migrated."""
    alias = alias_for("inbox", "INBOX.") if how == "alias_for" else {}
    w = world(
        inbox(prefix="INBOX.", separator="."),
        namespace("compat", prefix="", separator=".", hidden="yes",
                  list="no", **alias),
        namespace("mail", prefix="mail/", separator="/", hidden="yes",
                  list="no", **alias))
    w.create("alice", "INBOX.Lists.2024")
    names = ["INBOX", "INBOX.Lists.2024", "Lists.2024", "mail/Lists/2024"]
    assert w.canonical("alice", *names, "inbox.Lists.2024") == [
        named("alice", "INBOX")] + [named("alice", "Lists/2024")] * 4
    with w.imap("alice") as c:
        for name in names:
            c.append(name, MAIL)
    w.told(("alice", "alice", "INBOX"),
           *[("alice", "alice", "Lists/2024")] * 3)
    w.dovecot.deliver("alice+Lists.2024", MAIL)
    w.told(("alice", "alice", "Lists/2024"))


def test_children_of_the_inbox_under_its_prefix(world):
    """INBOX.INBOX.x is x below the INBOX of the storage, INBOX.x is x."""
    w = world(inbox(prefix="INBOX/"))
    w.create("alice", "INBOX/Sub", "INBOX/INBOX/Sub")
    assert w.canonical("alice", "INBOX/Sub", "INBOX/INBOX/Sub") == [
        named("alice", "Sub"), named("alice", "INBOX/Sub")]


def test_two_storages_of_a_user(world):
    """Mailboxes of the same name in both are two."""
    w = world(inbox(), namespace("archive", prefix="Archive/", separator="/",
                                 path="~/archive"))
    w.create("alice", "2024", "Archive/2024")
    assert w.canonical("alice", "2024", "Archive/2024") == [
        named("alice", "2024"), named("alice", "Archive/2024")]
    with w.imap("alice") as c:
        c.append("Archive/2024", MAIL)
        c.append("2024", MAIL)
    w.told(("alice", "alice", "Archive/2024"), ("alice", "alice", "2024"))


def test_directories_as_levels(world):
    """LAYOUT=fs, another separator than Maildir++'s."""
    w = world(inbox(separator=".", path="~/mail", layout="fs"))
    w.create("alice", "Lists.2024.Entw&APw-rfe")
    assert w.canonical("alice", "Lists.2024.Entw&APw-rfe") == [
        named("alice", "Lists/2024/Entwürfe")]
    with w.imap("alice") as c:
        c.append("Lists.2024.Entw&APw-rfe", MAIL)
    w.told(("alice", "alice", "Lists/2024/Entwürfe"))


def virtual(separator="/"):
    return namespace("virtual", prefix=f"Virtual{separator}",
                     separator=separator, driver="virtual", path="~/virtual")


def test_virtual(world):
    """Neither acknowledged nor registered: there are no events for it.  What
    is changed through it is reported once, of the real mailbox."""
    w = world(inbox(), virtual(), mail_plugins="virtual")
    w.create("alice", "Lists")
    folder = w.dovecot.home / "alice/virtual/All"
    folder.mkdir(parents=True)
    (folder / "dovecot-virtual").write_text("*\n  all\n")
    if os.getuid() == 0:
        for path in (folder.parent, folder, folder / "dovecot-virtual"):
            os.chown(path, w.dovecot.uid, w.dovecot.gid)
    with w.imap("alice") as c:
        c.append("Lists", MAIL)
        w.told(("alice", "alice", "Lists"))
        assert "1 EXISTS" in " ".join(c.ok("SELECT Virtual/All"))
    assert w.register("alice", "Virtual/All Lists", "Lists") == [
        named("alice", "Lists")]
    with w.imap("alice") as c:
        change_flag(c, "Virtual/All")
        c.append("INBOX", MAIL)     # after it
    w.told(("alice", "alice", "Lists"), ("alice", "alice", "INBOX"))


@pytest.mark.skipif(not IS_2_3, reason="2.4 has no such plugin")
def test_mailbox_alias(world):
    w = world(inbox(), mail_plugins="mailbox_alias", extra="""
plugin {
  mailbox_alias_old = Sent
  mailbox_alias_new = Sent Messages
  mailbox_alias_old2 = Sent
  mailbox_alias_new2 = Sent Items
}
""")
    w.create("alice", "Sent", "Sent Messages", "Sent Items")
    assert (w.dovecot.home / "alice/Maildir/.Sent Items").is_symlink()
    names = ["Sent", '"Sent Messages"', '"Sent Items"']
    assert w.canonical("alice", *names) == [named("alice", "Sent")] * 3
    with w.imap("alice") as c:
        for name in names:
            c.append(name, MAIL)
    w.told(*[("alice", "alice", "Sent")] * 3)


# --- two users ---

def test_shared(world):
    w = world(inbox(), shared())
    w.create("alice", "Lists/2024")
    w.dovecot.deliver("alice", MAIL)
    w.told(("alice", "alice", "INBOX"))
    mine = w.canonical("alice", "INBOX", "Lists/2024")
    assert mine == [named("alice", "INBOX"), named("alice", "Lists/2024")]
    assert w.canonical("bob", "INBOX", "shared/alice", "shared/alice/INBOX",
                       "shared/alice/Lists/2024") == [
        named("bob", "INBOX"), mine[0], *mine]
    # their own, by the long name
    assert w.canonical("alice", "shared/alice/Lists/2024") == mine[1:]
    w.dovecot.deliver("alice", MAIL)
    w.dovecot.lda("alice", MAIL)
    w.told(*[("alice", "alice", "INBOX")] * 2)
    with w.imap("bob") as c:
        change_flag(c, "shared/alice/INBOX")
        c.append("shared/alice/Lists/2024", MAIL)
        change_flag(c, "shared/alice/Lists/2024", flag="\\Deleted")
        c.ok("SELECT shared/alice/Lists/2024")
        c.ok("EXPUNGE")
    w.told(("bob", "alice", "INBOX"),
           *[("bob", "alice", "Lists/2024")] * 3)
    with w.imap("alice") as c:
        change_flag(c, "INBOX", 2)
        c.append("shared/alice/Lists/2024", MAIL)
    w.told(("alice", "alice", "INBOX"), ("alice", "alice", "Lists/2024"))


def test_shared_with_prefix_and_dots(world):
    """The owner's own names have a prefix that those of others do not have."""
    w = world(inbox(prefix="INBOX.", separator="."),
              namespace("compat", prefix="", separator=".", hidden="yes",
                        list="no", **alias_for("inbox", "INBOX.")),
              shared(prefix="shared.USER.", separator="."))
    w.create("alice", "INBOX.Lists.2024")
    assert w.canonical("alice", "INBOX", "INBOX.Lists.2024") == \
        w.canonical("bob", "shared.alice.INBOX",
                    "shared.alice.Lists.2024") == [
            named("alice", "INBOX"), named("alice", "Lists/2024")]
    with w.imap("bob") as c:
        c.append("shared.alice.INBOX", MAIL)
        c.append("shared.alice.Lists.2024", MAIL)
    w.told(("bob", "alice", "INBOX"), ("bob", "alice", "Lists/2024"))


def test_shared_by_parts_of_the_name(world):
    """With domains; the viewer's is meant where none is written."""
    w = world(inbox(), namespace("shared", **(SHARED | {
        "prefix": "user/%%n/" if IS_2_3 else "user/$username/"})))
    w.create("alice@example.org")
    assert w.canonical("bob@example.org", "user/alice/INBOX") == [
        named("alice@example.org", "INBOX")]
    with w.imap("bob@example.org") as c:
        c.append("user/alice/INBOX", MAIL)
    w.told(("bob@example.org", "alice@example.org", "INBOX"))


def test_shared_second_storage(world):
    """The owner calls it by the prefix that it has with everybody."""
    archive = dict(separator="/", path="~/archive")
    w = world(inbox(), namespace("archive", prefix="Archive/", **archive),
              shared(), namespace("others", **(SHARED | {
                  "prefix": "archives/USER/", "path": "HOME/archive"})))
    w.create("alice", "2024", "Archive/2024")
    assert w.canonical("bob", "shared/alice/2024", "archives/alice/2024") == \
        w.canonical("alice", "2024", "Archive/2024") == [
            named("alice", "2024"), named("alice", "Archive/2024")]
    with w.imap("bob") as c:
        c.append("archives/alice/2024", MAIL)
    w.told(("bob", "alice", "Archive/2024"))


@pytest.mark.parametrize("field", ["push_user", "user"])
def test_shared_with_the_name_that_userdb_has(world, field):
    """The owner's, not that of the user who looks: by user_lookup, or because
    userdb changes all users' names."""
    lookup = field if field == "push_user" else ""
    w = world(inbox(), shared(), lookup=lookup,
              userdb={field: "box-%u" if IS_2_3 else "box-%{user}"})
    w.create("alice")
    assert w.register("bob", "INBOX shared/alice", "INBOX", "shared/alice",
                      known_as="box-bob") == [
        named("box-bob", "INBOX"), named("box-alice", "INBOX")]
    with w.imap("bob") as c:
        c.append("shared/alice", MAIL)
    w.dovecot.deliver("alice", MAIL)
    w.told(("box-bob", "box-alice", "INBOX"),
           ("box-alice", "box-alice", "INBOX"))


def test_shared_by_who_wants_pushes_for_his_inbox_only(world):
    """What others may watch is reported all the same."""
    w = world(inbox(), shared(), userdb={"xaps": "inbox"})
    w.create("alice", "Lists")
    w.create("bob")
    with w.imap("bob") as c:
        c.append("shared/alice/Lists", MAIL)
        c.append("INBOX", MAIL)
    with w.imap("alice") as c:
        c.append("Lists", MAIL)
    w.told(("bob", "alice", "Lists"), ("bob", "bob", "INBOX"))


def test_shared_with_nobody(world):
    w = world(inbox(), shared())
    assert w.register(
        "bob", "shared/nobody/Lists shared shared/ shared//INBOX INBOX "
        "shared/alice/../bob/INBOX", "INBOX") == [named("bob", "INBOX")]


@pytest.mark.parametrize("how", ["type public", "shared, one fixed place"])
def test_public(world, work_dir, how):
    change = {} if how == "type public" else {
        "type": "shared", "layout": "fs"}
    w = world(inbox(), public(work_dir, **change))
    w.create("alice", "Public/News/Local")
    for user in ("alice", "bob"):
        assert w.canonical(user, "Public/News/Local") == [
            named("public:Public", "News/Local")]
    with w.imap("bob") as c:
        c.append("Public/News/Local", MAIL)
        change_flag(c, "Public/News/Local")
        c.append("INBOX", MAIL)
    w.dovecot.deliver("alice+Public/News/Local", MAIL)
    w.told(("bob", "public:Public", "News/Local"),
           ("bob", "public:Public", "News/Local"), ("bob", "bob", "INBOX"),
           ("alice", "public:Public", "News/Local"))


def test_public_and_its_alias(world, work_dir):
    w = world(inbox(), public(work_dir), namespace(
        "old", type="public", separator="/", prefix="old/news/",
        path=f"{work_dir}/public", list="no", hidden="yes",
        subscriptions="no", **alias_for("public", "Public/")))
    w.create("alice", "Public/News")
    assert w.canonical("alice", "Public/News", "old/news/News") == [
        named("public:Public", "News")] * 2


def test_acl(world):
    """Without the right to read: not registered, or dropped if it is lost."""
    w = world(inbox(), shared(), mail_plugins="acl", extra=ACL)
    w.create("alice", "Read", "Seen", "No")
    home = w.dovecot.home / "alice/Maildir"
    for path, rights in ((".Read", "user=bob lr"), (".Seen", "user=bob l"),
                         (".No", "user=carol lr"), ("", "user=bob lrs")):
        (home / path / "dovecot-acl").write_text(
            f"owner lrwstipekxa\n{rights}\n")
    names = "shared/alice/INBOX shared/alice/Read shared/alice/Seen " \
        "shared/alice/No INBOX"
    assert w.register("bob", names, "shared/alice/INBOX", "shared/alice/Read",
                      "INBOX") == [
        named("alice", "INBOX"), named("alice", "Read"),
        named("bob", "INBOX")]
    w.dovecot.deliver("alice", MAIL)
    with w.imap("bob") as c:
        change_flag(c, "shared/alice/INBOX", flag="\\Seen")
    w.told(("alice", "alice", "INBOX"), ("bob", "alice", "INBOX"))
    (home / "dovecot-acl").unlink()
    assert w.register("bob", names, "shared/alice/Read", "INBOX") == [
        named("alice", "Read"), named("bob", "INBOX")]


@pytest.mark.parametrize("by", ["lmtp", "lda"])
def test_sieve_into_what_others_see(world, work_dir, by):
    if not os.path.exists(dovecot_config()["dovecot_moduledir"] +
                          "/lib90_sieve_plugin.so"):
        pytest.skip("Dovecot's Sieve is not installed")
    script = work_dir / "all.sieve"
    script.write_text('require ["fileinto", "copy", "mailbox"];\n'
                      'fileinto :create :copy "shared/bob/Team";\n'
                      'fileinto :create :copy "Public/News";\n')
    done = subprocess.run(["sievec", script], capture_output=True)
    assert done.returncode == 0, done.stderr
    (work_dir / "all.svbin").chmod(0o644)
    w = world(inbox(), shared(), public(work_dir), mail_plugins="sieve",
              extra=f"plugin {{\n sieve_before = {script}\n}}\n" if IS_2_3
              else f"sieve_script all {{\n type = before\n"
                   f" path = {script}\n}}\n")
    getattr(w.dovecot, "deliver" if by == "lmtp" else by)("alice", MAIL)
    w.told(("alice", "alice", "INBOX"), ("alice", "bob", "Team"),
           ("alice", "public:Public", "News"))


OURS = "notify push_notification xaps_push_notification".split()
DOVEADM = "protocol doveadm {\n mail_plugins = $mail_plugins %s\n}\n" % (
    " ".join(OURS)) if IS_2_3 else \
    "protocol doveadm {\n mail_plugins {\n%s }\n}\n" % "".join(
        f"  {name} = yes\n" for name in OURS)


def test_doveadm(world, work_dir):
    """A process without sessions, which is gone at once."""
    w = world(inbox(), shared(), public(work_dir), extra=DOVEADM)
    w.create("alice", "Public/News")
    with w.imap("alice") as c:
        c.append("INBOX", MAIL)
        c.append("Public/News", MAIL)
    w.told(("alice", "alice", "INBOX"),
           ("alice", "public:Public", "News"))
    for change in (["flags", "add", "-u", "bob", "\\Flagged"],
                   ["expunge", "-u", "bob"]):
        for mailbox in ("shared/alice", "Public/News"):
            done = subprocess.run(
                [*w.dovecot.view, find_program("doveadm"), "-c",
                 w.dovecot.conf, *change, "mailbox", mailbox, "all"],
                capture_output=True, text=True)
            assert (done.returncode, done.stderr) == (0, "")
        w.told(("bob", "alice", "INBOX"), ("bob", "public:Public", "News"))


@pytest.mark.valgrind
@pytest.mark.timeout(400)
def test_valgrind(world, work_dir):
    """Nothing invalid is read or written, and nothing of ours leaks, in the
    imap and lmtp processes."""
    w = world(inbox(prefix="INBOX.", separator="."),
              namespace("compat", prefix="", separator=".", hidden="yes",
                        list="no", **alias_for("inbox", "INBOX.")),
              namespace("archive", prefix="archive.", separator=".",
                        path="~/archive"),
              shared(separator=".", prefix="shared.USER."),
              namespace("others", **(SHARED | {
                  "separator": ".", "prefix": "archives.USER.",
                  "path": "HOME/archive"})),
              public(work_dir, separator=".", prefix="Public."),
              virtual("."),
              mail_plugins="acl virtual", lookup="push_user",
              extra=tp.under_valgrind(work_dir) + ACL,
              userdb={"push_user": "box-%u" if IS_2_3 else "box-%{user}"})
    w.create("alice", "archive.2024", "INBOX.Lists")
    for path in (".Lists", "", "../archive/.2024"):
        (w.dovecot.home / "alice/Maildir" / path / "dovecot-acl").write_text(
            "owner lrwstipekxa\nuser=bob lrwsi\n")
    names = ["shared.alice", "shared.alice.INBOX", "shared.alice.Lists",
             "archives.alice.2024", "archive.2024", "INBOX"]
    w.create("bob", "archive.2024")
    for _ in range(2):
        w.register("bob", " ".join(names + [
            "shared.nobody.x", "shared", "shared.", "Public", "Public.x",
            "Virtual.x", "Virtual", "&", "archives.alice.", "shared..x"]),
            *names, known_as="box-bob")
    with w.imap("bob") as c:
        for name in names:
            assert tp.kind(c.append(name, MAIL)[1]) == "OK"
        c.ok("LOGOUT")
    w.dovecot.deliver(["alice", "bob"], MAIL)
    w.told(*[("box-bob", "box-alice", n) for n in (
        "INBOX", "INBOX", "Lists", "archive/2024")], *[
        ("box-bob", "box-bob", n) for n in (
            "archive/2024", "INBOX", "INBOX")],
        ("box-alice", "box-alice", "INBOX"))
    tp.stop_under_valgrind(w.dovecot, work_dir)
    tp.check_valgrind(work_dir, 4)


# --- limits ---

def test_long_names(world):
    """1,024 bytes as the client spells it; in UTF-8 it may have more."""
    w = world(inbox(path="~/mail", layout="fs"))
    part = "x" * 200
    fits = "/".join([part] * 5) + "/" + "y" * 19
    assert len(fits) == 1024
    longer = fits + "y"
    # 3 bytes a character in UTF-8, 2 2/3 in Base64
    wide = "/".join(["&" + "ThlOGU4Z" * 8 + "-"] * 15)
    utf8 = "/".join(["丙丙丙丙"[:3] * 8] * 15)
    assert len(wide) <= 1024 < len(utf8.encode())
    w.create("alice", fits, longer, wide)
    assert w.register("alice", f"{longer} {wide} {fits}", wide, fits) == [
        named("alice", utf8), named("alice", fits)]
    with w.imap("alice") as c:
        for name in (wide, fits):
            assert tp.kind(c.append(name, MAIL)[1]) == "OK"
    w.told(("alice", "alice", utf8), ("alice", "alice", fits))


@pytest.mark.timeout(400)
def test_more_names_than_a_request_holds(world):
    """The user's own, called as they are, work without Canonical."""
    user = "a" * 40 + "@example.org"
    w = world(inbox(), shared())
    names = [f"Entw&APw-rfe{'x' * 60}{i}" for i in range(400)] + ["INBOX"]
    w.create("bob")
    with w.imap(user) as c:
        tp.create(c, names[:-1])
        reply = c.cmd(command(f"(shared/bob {' '.join(names)})"))
        assert_ok(reply, *names)
    request = w.fake.wait(1, "/register", user)[0]
    assert request.json["Mailboxes"] == names
    assert "Canonical" not in request.json
    w.dovecot.wait_log("too many mailboxes for one request")


def test_many_names_are_read_once(world):
    """The line is as long as Dovecot allows: more than 30,000 names."""
    w = world(inbox())
    names = " ".join("abcdefghijklmnopqrstuvwxyz"[i % 26] +
                     str(i // 26 % 38) for i in range(20000))
    with w.imap("alice") as c:
        untagged, tagged = c.cmd(command(f"({names[:60000]})"))
        assert len(untagged) == 1 and tp.kind(tagged) == "OK"
        many = " ".join(f"n{i}" for i in range(9000))
        untagged, tagged = c.cmd(command(f"({many})"))
        assert not untagged and " NO [LIMIT] " in tagged
        assert re.search("1000", tagged)
