"""Mail-in-a-Box's Dovecot, as its setup leaves Ubuntu's, but with Debian's 2.3.19:
the plugin, then what the box's own upgrade does, which runs that setup again."""
import os
import pathlib
import signal
import subprocess

from walk import (LIMIT_S, TOKEN, apple, deliver, log_in, put_config,
                  register, sh, until, write)

USER, PASSWORD = "alice@example.org", "secret"
CONF_D = pathlib.Path("/etc/dovecot/conf.d")
SNIPPET = CONF_D / "90-xaps.conf"
# as Debian's and Ubuntu's package has them, where the setup changes them
PACKAGED = {
    "10-mail.conf": "#mail_plugins =\n#mail_access_groups =\n"
                    "namespace inbox {\n  inbox = yes\n}\n",
    "20-imap.conf": "protocol imap {\n  #mail_plugins = $mail_plugins\n}\n",
    "20-lmtp.conf": "protocol lmtp {\n  #mail_plugins = $mail_plugins\n}\n",
}
# what only replaces its own files
SETUP = r"""
cd /etc/dovecot/conf.d
edit() {        # editconf.py: FILE KEY VALUE
	sed -i "s/^\($2=.*\)/#\1/" $1
	printf '%s=%s\n' "$2" "$3" >>$1
}
edit 10-mail.conf mail_location "maildir:/home/user-data/mail/mailboxes/%d/%n"
edit 10-mail.conf mail_privileged_group mail
edit 10-mail.conf first_valid_uid 0
edit 10-mail.conf mail_access_groups spampd
sed -i "s/#mail_plugins =\(.*\)/mail_plugins =\1 \$mail_plugins quota/" 10-mail.conf
grep -q "mail_plugins.* imap_quota" 20-imap.conf ||
	sed -i "s/\(mail_plugins =.*\)/\1\n  mail_plugins = \$mail_plugins imap_quota/" \
		20-imap.conf
sed -i "s/#mail_plugins = .*/mail_plugins = \$mail_plugins sieve/" 20-lmtp.conf
cat >99-local.conf <<END
service lmtp {
  inet_listener lmtp {
    address = 127.0.0.1
    port = 10026
  }
  unix_listener lmtp {
    mode = 0666
  }
}
END
cat >auth-sql.conf.ext <<END
passdb {
  driver = static
  args = password=secret
}
userdb {
  driver = static
  args = uid=mail gid=mail home=/home/user-data/mail/mailboxes/%d/%n allow_all_users=yes
}
END
chown -R mail:dovecot /etc/dovecot
chmod -R o-rwx /etc/dovecot
"""


def lay_out():
    sh("""
        id spampd 2>/dev/null || useradd --system spampd
        groupadd --system xapsd-mail
        useradd --system --user-group --groups xapsd-mail xapsd
        rm -rf /etc/dovecot /usr/lib/dovecot/modules/*xaps*
        mkdir -p /etc/dovecot/conf.d /home/user-data/mail/mailboxes \
            /etc/xapsd /var/lib/xapsd /root/xapsd
        chown -R mail:mail /home/user-data/mail
        chown xapsd: /var/lib/xapsd
        touch /etc/mailinabox.conf
        # while tests run their compiled files come and go
        tar -C /tree --exclude=__pycache__ -cf - Makefile features.mk static \
            release packaging plugin tests debian | tar -C /root/xapsd -xf -
    """)
    write("/etc/dovecot/dovecot.conf", """\
protocols = imap lmtp
listen = 127.0.0.1
log_path = /var/log/mail.log
ssl = no
disable_plaintext_auth = no
!include conf.d/*.conf
!include conf.d/auth-sql.conf.ext
""")
    for name, text in PACKAGED.items():
        write(CONF_D / name, text)
    sh(SETUP)


def install():
    """NO_APT: the packages are here, and no network."""
    return sh("NO_APT=1 sh packaging/mailinabox/plugin.sh", cwd="/root/xapsd")


def groups():
    return sh("doveconf -h mail_access_groups").split()


def main(service, certs):
    dovecot = subprocess.Popen(["dovecot", "-F"])
    try:
        log_in(USER, PASSWORD)
        install()
        assert groups() == ["spampd", "xapsd-mail"]
        topic = certs.key_topic
        imap = until(lambda: with_push(), "plugin after the reload")
        register(imap, topic)
        deliver(USER)
        assert service.wait_for(1)[0].token == TOKEN
        sh("echo '# mine' >>%s" % SNIPPET)
        install()               # again
        assert SNIPPET.read_text().endswith("\n# mine\n")
        # as the sample is before somebody has let the mail processes in
        sh("sed -i s/^mail_access/#mail_access/ %s" % SNIPPET)
        install()
        assert "\n# mine\n" in SNIPPET.read_text()
        assert groups() == ["spampd", "xapsd-mail"]
        sh(SETUP + "doveadm reload")
        assert groups() == ["spampd", "xapsd-mail"]
        deliver(USER)
        service.wait_for(2)
        assert oct((CONF_D / "90-xaps.conf").stat().st_mode)[-3:] == "640"
    except BaseException:
        os.system("tail -n 40 /var/log/mail.log; doveconf -n | tail -n 30")
        raise
    finally:
        dovecot.send_signal(signal.SIGTERM)
        dovecot.wait(LIMIT_S)


def with_push():
    imap = log_in(USER, PASSWORD)
    return imap if "XAPPLE" in " ".join(imap.ok("CAPABILITY")) else None


lay_out()
with apple() as (apns, keys):
    put_config("/etc/xapsd", apns, keys)
    sh("chown -R xapsd: /etc/xapsd")
    daemon = subprocess.Popen(
        ["/tree/build/static/%s/xapsd" % os.uname().machine,
         "--user", "xapsd"])
    try:
        until(lambda: os.path.exists("/run/xapsd/xapsd.sock"), "xapsd")
        main(apns, keys)
    finally:
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(LIMIT_S) == 0
print("walked")
