"""docker-mailserver's image as far as the recipe touches it, in Debian 13: its
supervisor, Dovecot's folders, the volumes, what it does at a start.

    dms.py first      a new container, a phone registers
    dms.py upgraded   another new container with the same volumes"""
import os
import shutil
import signal
import subprocess
import sys

from walk import (LIMIT_S, VOLUMES, TOKEN, apple, deliver, log_in,
                  put_config, register, sh, until, until_dovecot_is_gone, write)

CONFIG = VOLUMES / "config"
USER, PASSWORD = "alice@example.org", "secret"

SUPERVISOR = """\
[unix_http_server]
file = /dev/shm/supervisor.sock
chmod = 0700
username = u
password = p
[supervisord]
user = root
nodaemon = true
logfile = /var/log/supervisor/supervisord.log
pidfile = /run/supervisord.pid
[supervisorctl]
serverurl = unix:///dev/shm/supervisor.sock
username = u
password = p
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[include]
files = /etc/supervisor/conf.d/*.conf
"""
SERVICES = """\
[program:mailserver]
command=/usr/local/bin/start-mailserver.sh
startsecs=0
autostart=true
autorestart=false
redirect_stderr=true
stdout_logfile=/var/log/supervisor/%(program_name)s.log
[program:dovecot]
command=/usr/sbin/dovecot -F
startsecs=0
autostart=false
autorestart=true
stdout_logfile=/var/log/supervisor/%(program_name)s.log
stderr_logfile=/var/log/supervisor/%(program_name)s.log
"""
# a new container is set up, a restarted one is as it was
START = """\
#!/bin/bash
if [[ ! -f /CONTAINER_START ]]; then
	/bin/bash /tmp/docker-mailserver/user-patches.sh
fi
date >/CONTAINER_START
supervisorctl start dovecot
touch /volumes/started
"""
DOVECOT = """\
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
protocols = lmtp imap
listen = 127.0.0.1
log_path = /var/log/mail.log
!include conf.d/*.conf
!include_try local.conf
stats_writer_socket_path=
"""
CONF_D = {
    "10-auth.conf": """\
auth_allow_cleartext = yes
passdb static {
  password = secret
}
userdb static {
  fields {
    uid = docker
    gid = docker
    home = /var/mail/%{user | domain}/%{user | username}/home
  }
}
""",
    "10-mail.conf": """\
mail_driver = maildir
mail_path = /var/mail/%{user | domain}/%{user | username}
mail_home = /var/mail/%{user | domain}/%{user | username}/home
namespace inbox {
  inbox = yes
}
mail_privileged_group = docker
mail_plugins {
  quota = yes
}
""",
    "10-ssl.conf": "ssl = no\n",
    "20-imap.conf": """\
protocol imap {
  mail_plugins {
    imap_quota = yes
    imap_sieve = no
  }
}
""",
    "20-lmtp.conf": """\
protocol lmtp {
  mail_plugins {
    sieve = yes
  }
}
service lmtp {
  unix_listener lmtp {
    mode = 0666
  }
}
""",
    "90-quota.conf": "quota_driver = count\nquota_storage_size = 128M\n",
}


def lay_out():
    sh("""
        groupadd -g 5000 docker
        useradd -g docker -u 5000 docker
        rm -rf /etc/dovecot /usr/lib/dovecot/modules/*xaps* \
            /usr/lib/dovecot/modules/settings/*xaps*
        mkdir -p /var/log/supervisor /volumes/config/xapsd /volumes/state \
            /volumes/mail
        ln -sfn /volumes/config /tmp/docker-mailserver
        rmdir /var/mail && ln -s /volumes/mail /var/mail
        ln -s /volumes/state /var/mail-state
        chown docker:docker /volumes/mail
    """)
    write("/etc/dovecot/dovecot.conf", DOVECOT)
    for name, text in CONF_D.items():
        write("/etc/dovecot/conf.d/" + name, text)
    write("/etc/supervisor/supervisord.conf", SUPERVISOR)
    write("/etc/supervisor/conf.d/dms-services.conf", SERVICES)
    write("/usr/local/bin/start-mailserver.sh", START, 0o755)
    xapsd = CONFIG / "xapsd"
    shutil.copy("/tree/packaging/docker-mailserver/xapsd.sh", xapsd)
    shutil.copy("/tree/build/static/%s/xapsd" % os.uname().machine, xapsd)
    (xapsd / "xapsd").chmod(0o644)      # as a browser saves it
    for path in xapsd.glob("*.tar.gz"):
        path.unlink()
    shutil.copy("/volumes/dist/install-plugin.sh", xapsd)
    write(CONFIG / "user-patches.sh",
          "#!/bin/bash\nsh /tmp/docker-mailserver/xapsd/xapsd.sh\n")


class Container:
    """From the start of its supervisor to the stop."""

    def __enter__(self):
        (VOLUMES / "started").unlink(missing_ok=True)
        self.process = subprocess.Popen(
            ["supervisord", "-c", "/etc/supervisor/supervisord.conf"])
        until((VOLUMES / "started").exists, "end of the start")
        return self

    def __exit__(self, *exc):
        if exc[0]:
            os.system("tail -n 40 /var/log/supervisor/* /var/log/mail.log")
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(LIMIT_S) == 0
        until_dovecot_is_gone()


def state(program):
    return subprocess.run(
        ["supervisorctl", "status", program], check=False,
        stdout=subprocess.PIPE, text=True).stdout.split()[1]


def wake(service, n):
    deliver(USER)
    assert service.wait_for(n)[-1].token == TOKEN


def xapsd(*args):
    return sh("xapsd " + " ".join(args))


def put_modules():
    sh("cp /volumes/dist/*.tar.gz %s; rm -f /CONTAINER_START" %
       (CONFIG / "xapsd"))


def check_without_modules():
    """A new Dovecot for which there are none yet: mail works."""
    with Container():
        deliver(USER)
        imap = log_in(USER, PASSWORD)
        assert "XAPPLE" not in " ".join(imap.ok("CAPABILITY"))
    said = sh("cat /var/log/supervisor/mailserver.log")
    assert "is what this Dovecot" in said and "no plugin" in said, said


def first():
    lay_out()
    with apple() as (service, certs):
        put_config(CONFIG / "xapsd", service, certs)
        check_without_modules()
        put_modules()
        with Container():
            until(lambda: state("xapsd") == "RUNNING", "xapsd")
            register(log_in(USER, PASSWORD), certs.key_topic)
            wake(service, 1)
            assert USER in xapsd("list")
            at = os.stat("/run/xapsd/xapsd.sock")
            assert at.st_mode & 0o777 == 0o660
            # what root runs does not belong to xapsd, secrets do
            assert sh("stat -c %U /volumes/config/xapsd/xapsd.sh "
                      "/volumes/config/xapsd/xapsd /volumes/config/xapsd "
                      "/volumes/config/xapsd/AuthKey.p8").split() == [
                          "root", "root", "root", "xapsd"]
            assert "ok" in xapsd("healthcheck")
            sh("/bin/bash /tmp/docker-mailserver/user-patches.sh")  # again
            wake(service, 2)
            assert sh("doveconf -n").count("push_notification xaps") == 1
            # the host's file, edited by somebody else
            put_config(CONFIG / "xapsd", service, certs, "loglevel: debug")
        with Container():       # docker restart
            until(lambda: state("xapsd") == "RUNNING", "xapsd")
            wake(service, 3)
            xapsd("check")


def upgraded():
    """Nothing is left of the old container but its volumes."""
    lay_out()
    put_modules()
    with apple() as (service, certs):
        put_config(CONFIG / "xapsd", service, certs)
        with Container():
            until(lambda: state("xapsd") == "RUNNING", "xapsd")
            wake(service, 1)
            log_in(USER, PASSWORD).ok("LOGOUT")


{"first": first, "upgraded": upgraded}[sys.argv[1]]()
print("walked")
