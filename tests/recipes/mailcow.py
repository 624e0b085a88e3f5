"""mailcow's Dovecot container as far as the hook touches it: its files of plugin
names, its users, its hooks; but Debian's Dovecot, with Debian's C library.  And
xapsd with the user and the volumes of docker-compose.override.yml."""
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess

from walk import (LIMIT_S, VOLUMES, TOKEN, apple, deliver, log_in,
                  put_config, register, sh, until, until_dovecot_is_gone, write)

ETC = pathlib.Path("/etc/dovecot")
USER, PASSWORD = "alice@example.org", "secret"
CONFIG = """\
auth_mechanisms = plain login
log_path = /var/log/mail.log
disable_plaintext_auth = no
ssl = no
listen = 127.0.0.1
mail_home = /var/vmail/%d/%n
mail_location = maildir:~/
mail_plugins = </etc/dovecot/mail_plugins
protocols = imap lmtp
passdb {
  driver = static
  args = password=secret
}
userdb {
  driver = static
  args = uid=5000 gid=5000 allow_all_users=yes
}
service imap {
  executable = imap
  user = vmail
}
service lmtp {
  user = vmail
  unix_listener lmtp {
    mode = 0666
  }
}
namespace inbox {
  inbox = yes
  separator = /
}
protocol imap {
  mail_plugins = </etc/dovecot/mail_plugins_imap
}
protocol lmtp {
  mail_plugins = </etc/dovecot/mail_plugins_lmtp
  auth_socket_path = /var/run/dovecot/auth-master
}
service auth {
  unix_listener auth-master {
    mode = 0600
    user = vmail
  }
}
service stats {
  unix_listener stats-writer {
    mode = 0660
    user = vmail
  }
}
!include_try /etc/dovecot/extra.conf
"""
# what the entrypoint writes at each start
PLUGINS = {
    "mail_plugins": "quota acl zlib mail_log notify",
    "mail_plugins_imap": "quota imap_quota imap_acl acl zlib notify mail_log",
    "mail_plugins_lmtp": "quota sieve acl zlib notify",
}
HOOK = "/hooks/xapsd-hook.sh"
# as the entrypoint does it, which ends if one fails, and the container with it
HOOKS = """\
set -e
for file in /hooks/*; do
  if [ -x "$file" ]; then
    "$file"
  fi
done
"""


def lay_out():
    sh("""
        groupadd -g 5000 vmail
        useradd -g vmail -u 5000 vmail
        mkdir -p /var/vmail && chown vmail:vmail /var/vmail
        rm -rf /etc/dovecot /usr/lib/dovecot/modules/*xaps*
        mkdir -p /etc/dovecot/xapsd /hooks /run/xapsd /var/lib/xapsd
        cp /tree/packaging/mailcow/xapsd-hook.sh %s
        chmod 755 %s
        cp /volumes/dist/install-plugin.sh /etc/dovecot/xapsd
        # an empty volume takes these from the image
        chown 11619:0 /run/xapsd /var/lib/xapsd
        chmod 775 /run/xapsd
        chmod 770 /var/lib/xapsd
    """ % (HOOK, HOOK))
    write(ETC / "dovecot.conf", CONFIG)
    write(ETC / "extra.conf", "# mine\nmail_max_userip_connections = 400\n")


@contextlib.contextmanager
def dovecot():
    """The container's entrypoint, from the plugins' names on."""
    for name, text in PLUGINS.items():
        write(ETC / name, text)
    said = sh(HOOKS)
    process = subprocess.Popen(["dovecot", "-F"])
    try:
        yield said
    except BaseException:
        os.system("tail -n 40 /var/log/mail.log; doveconf -n | tail -n 30")
        raise
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0
        until_dovecot_is_gone()


@contextlib.contextmanager
def xapsd():
    process = subprocess.Popen(
        ["setpriv", "--reuid", "11619", "--regid", "5000", "--clear-groups",
         "--no-new-privs", "--bounding-set=-all",
         "/tree/build/static/%s/xapsd" % os.uname().machine])
    try:
        until(lambda: os.path.exists("/run/xapsd/xapsd.sock"), "xapsd")
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0


def capability():
    return " ".join(log_in(USER, PASSWORD).ok("CAPABILITY"))


def check(service, certs):
    with dovecot() as said:     # no modules yet
        assert "goes on without the plugin" in said, said
        assert "XAPPLE" not in capability()
        deliver(USER)
    assert (ETC / "extra.conf").read_text().startswith("# mine")
    sh("cp /volumes/dist/*.tar.gz /etc/dovecot/xapsd")
    with dovecot() as said:
        assert "switched on" in said, said
        register(log_in(USER, PASSWORD), certs.key_topic)
        deliver(USER)
        assert service.wait_for(1)[0].token == TOKEN
        again = sh(HOOKS)       # the same container
        assert "switched on" in again
    names = (ETC / "mail_plugins_imap").read_text().split()
    assert len(names) == len(set(names)), names
    with dovecot():             # the entrypoint has written the names anew
        deliver(USER)
        service.wait_for(2)
    extra = (ETC / "extra.conf").read_text()
    assert extra.count("push_notification_driver") == 1
    assert not list(ETC.glob("*without*"))


def check_mistake(service):
    """What Dovecot does not take is undone: here a plugin's own setting."""
    shutil.copy(ETC / "extra.conf", "/tmp/extra.conf")
    write(ETC / "extra.conf", "plugin {\n  push_notification_driver = xaps\n}")
    sh("sed -i 's/^doveconf/false \\&\\& doveconf/; s/if doveconf -n/if false/'"
       " " + HOOK)
    with dovecot() as said:
        assert "switched off again" in said, said
        assert "XAPPLE" not in capability()
        deliver(USER)
    assert len(service.pushes) == 2


lay_out()
with apple() as (apns, keys):
    put_config("/etc/xapsd", apns, keys)
    sh("chown -R 11619 /etc/xapsd && chmod -R go= /etc/xapsd")
    with xapsd():
        check(apns, keys)
        check_mistake(apns)
assert VOLUMES.exists()
print("walked")
