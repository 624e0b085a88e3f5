"""A NAS: nothing but busybox's shell and tools, and the folders in which Synology's
and QNAP's systems look for what to start."""
import os
import pathlib
import shutil
import signal
import subprocess
import sys

from walk import ACCOUNT, TOKEN, apple, put_config, sh, until, write

sys.path.insert(0, "/tree/tests/e2e")
from xapsd import UnixHTTPConnection    # noqa: E402

HERE = pathlib.Path("/volume1/my data/xapsd")
SYNOLOGY, QNAP = "/usr/local/etc/rc.d", "/etc/config/qpkg.conf"
OTHERS = "[container-station]\nName = x\nEnable = TRUE\n" \
         "[last]\nName = y\nShell = /y.sh\n"
STATIC = "/tree/build/static/%s/xapsd" % os.uname().machine


def nas(command, script=None, ends=0):
    done = subprocess.run(
        ["/bb/sh", str(script or HERE / "xapsd.sh"), *command.split()],
        env={"PATH": "/bb", "HOME": "/"}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=120,
        stdin=subprocess.DEVNULL)
    assert done.returncode == ends, (command, done.stdout)
    return done.stdout


def post(path, body):
    import json
    c = UnixHTTPConnection(HERE / "run/xapsd.sock", 20)
    c.request("POST", path, json.dumps(body))
    answer = c.getresponse()
    answer.read()
    c.close()
    return answer.status


def pid():
    return int((HERE / "pid").read_text())


def notify(service, n):
    assert post("/notify", {"Username": "alice", "Mailbox": "INBOX",
                            "Events": ["MessageNew"]}) == 200
    assert service.wait_for(n)[-1].token == TOKEN


def attack():
    """Whoever has become its user gets at nothing of root's."""
    kept = HERE.parent / "kept"
    write(kept, "root's", 0o600)
    (HERE / "brands").mkdir(exist_ok=True)
    write(HERE / "brands/a.p8", "x")
    nas("restart")
    for name in "run/pid", "lib/log", "lib/link", "brands/link":
        # a folder of his, or one in which he cannot
        subprocess.run(["setpriv", "--reuid=11619", "--regid=11619",
                        "--clear-groups", "ln", "-sfn", kept, HERE / name],
                       check=False, stderr=subprocess.DEVNULL)
    os.link(kept, HERE / "lib/hard")
    (HERE / "lib/brought").write_text("")
    nas("restart")
    assert kept.read_text() == "root's" and kept.stat().st_uid == 0
    assert oct(kept.stat().st_mode)[-3:] == "600"
    assert not (HERE / "brands/link").is_symlink()
    assert (HERE / "brands/a.p8").stat().st_uid == 11619
    assert (HERE / "lib/brought").stat().st_uid == 11619
    for name in "hard", "link", "log", "brought":
        (HERE / "lib" / name).unlink()
    shutil.rmtree(HERE / "brands")


def lay_out():
    HERE.mkdir(parents=True)
    sh("mkdir /bb && busybox --install -s /bb")
    shutil.copy("/tree/packaging/nas/xapsd.sh", HERE)


def walk(service, certs):
    assert "no %s/xapsd: put" % HERE in nas("start", ends=1)
    shutil.copy(STATIC, HERE)
    (HERE / "xapsd").chmod(0o644)
    assert "there is no %s/xapsd.yaml" % HERE in nas("start", ends=1)
    put_config(HERE, service, certs, "nokey: 1")
    assert "nokey" in nas("start", ends=1)
    put_config(HERE, service, certs)

    # neither Synology nor QNAP
    assert "At each start" in nas("install")
    assert "runs, process %d" % pid() in nas("start")
    # Synology
    os.makedirs(SYNOLOGY)
    nas("install")
    hook = SYNOLOGY + "/xapsd.sh"
    assert post("/register", {
        "ApsAccountId": ACCOUNT, "ApsDeviceToken": TOKEN,
        "ApsSubtopic": "com.apple.mobilemail", "Username": "alice",
        "Mailboxes": ["INBOX"], "MailboxesAcknowledged": True}) == 200
    notify(service, 1)
    status = pathlib.Path("/proc/%d/status" % pid()).read_text()
    assert "Uid:\t11619\t11619" in status and "Gid:\t11619\t11619" in status
    assert (HERE / "AuthKey.p8").stat().st_uid == 11619
    assert (HERE / "xapsd").stat().st_uid == 0
    assert "alice" in nas("list") and "ok" in nas("healthcheck")
    # the power fails, and its number is another process's after the boot
    os.kill(pid(), signal.SIGKILL)
    (HERE / "pid").write_text("%d\n" % os.getpid())
    nas("start", hook)
    assert pid() != os.getpid()
    notify(service, 2)
    attack()
    # an upgrade
    shutil.copy(STATIC, HERE / "xapsd.new")
    old = pid()
    nas("restart")
    assert pid() != old and not (HERE / "xapsd.new").exists()
    notify(service, 3)
    # other settings; root's editor has made the file root's
    put_config(HERE, service, certs, "loglevel: debug")
    old = pid()
    nas("reload")
    until(lambda: "reload" in (HERE / "log").read_text(), "reload")
    assert pid() == old
    nas("stop", hook)
    nas("stop", hook)
    assert "xapsd does not run" in nas("reload", ends=1)
    nas("uninstall")
    assert not os.path.exists(hook)
    os.rmdir(SYNOLOGY)
    # QNAP
    write(QNAP, OTHERS)
    nas("install")
    nas("install")
    text = pathlib.Path(QNAP).read_text()
    assert text.startswith(OTHERS) and text.count("[xapsd]") == 1
    assert "Shell = %s/xapsd.sh\n" % HERE in text
    notify(service, 4)
    nas("uninstall")
    assert pathlib.Path(QNAP).read_text() == OTHERS
    assert not (HERE / "pid").exists()


lay_out()
with apple() as (apns, keys):
    walk(apns, keys)
print("walked")
