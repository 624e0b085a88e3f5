"""What the papers print, given to the real thing: configurations to xapsd,
requests to a daemon, commands to a shell."""
import json
import re
import shlex
import subprocess

import pytest

from phones import ACCOUNT, TOKEN
from test_http import raw
from xapsd import ROOT, executable

PAPERS = [ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md",
          *sorted(ROOT.glob("docs/*.md"))]
API = (ROOT / "docs/api.md").read_text()
SETTING = re.compile(r"[a-z]\w+: \S.*")
# First words of commands that the papers print.
COMMANDS = {
    "apt", "cat", "chmod", "chown", "cp", "curl", "doveadm", "echo", "find", "git",
    "groupadd", "install", "journalctl", "make", "openssl", "podman", "printf",
    "rc-service", "rc-update",
    "rm", "scp", "sed", "ssh", "systemctl", "systemd-sysusers", "tar", "uci",
    "useradd", "usermod", "xapsd", "[", "./scripts/feeds",
    "/etc/init.d/dovecot"}


def blocks(paper):
    """The indented ones, each a list of lines."""
    text = re.sub(r"^```.*?^```$", "", paper.read_text(), flags=re.M | re.S)
    return [[line.strip() for line in b.splitlines()]
            for b in re.findall(r"(?:^(?:    |       )\S.*\n)+", text, re.M)]


def commands(paper):
    return [b for b in blocks(paper) if b[0].split()[0] in COMMANDS]


@pytest.mark.parametrize("paper", PAPERS, ids=lambda p: p.name)
def test_configurations_are_taken(paper, tmp_path):
    """No line of them is refused for what it says; the files that they name
    are not here."""
    for block in blocks(paper):
        if not all(map(SETTING.fullmatch, block)):
            continue
        config = tmp_path / "xapsd.yaml"
        config.write_text("\n".join(
            [*block, "databaseFile: %s/db" % tmp_path,
             "socketPath: %s/sock" % tmp_path, ""]))
        done = subprocess.run(
            [executable(), "-c", config, "check", "--offline", "--json"],
            capture_output=True, text=True)
        step = json.loads(done.stdout)["steps"][0]
        assert step["result"] == "ok" or "No such file" in step["text"], (
            block, step)
        assert done.returncode != 78 or "No such file" in step["text"], block


@pytest.mark.parametrize("paper", PAPERS, ids=lambda p: p.name)
def test_commands_are_shell(paper):
    for block in commands(paper):
        done = subprocess.run(["sh", "-n"], input="\n".join(block) + "\n",
                              capture_output=True, text=True)
        assert done.returncode == 0, (block, done.stderr)
        for line in block:
            # what begins as a command does is one, to the block's end
            first = shlex.split(line, comments=True)[0]
            assert first in COMMANDS or "=" in first, line


@pytest.mark.parametrize("paper", PAPERS, ids=lambda p: p.name)
def test_copied_files_exist(paper):
    """Files of this tree that commands and sentences name."""
    text = paper.read_text()
    for name in re.findall(r"(?<![\w./-])(?:plugin|tests|systemd|openwrt|docs)"
                           r"/[\w./-]*\w", text):
        there = ROOT / name
        assert there.exists() or (paper.parent / name).exists() or \
            list(there.parent.glob(there.name + "*")), name


# --- docs/api.md ---

def part(title):
    found, = re.findall(r"^## %s\n(.*?)(?=^## |\Z)" % re.escape(title), API,
                        re.M | re.S)
    return found


def example(title):
    return json.loads(re.search(r"^```json\n(.*?)^```$", part(title),
                                re.M | re.S)[1])


def answers(title):
    return {int(a) for a in re.findall(r"^\| (\d{3}) \|", part(title), re.M)}


def test_requests_work(xapsd):
    register = example("POST /register")
    reply = xapsd.request("POST", "/register", register)
    assert reply.status == 200 and reply.body == xapsd.status()["topic"]
    record, = xapsd.records()
    assert record["user"] == register["Username"]
    assert record["mailboxes"] == register["Mailboxes"]

    notify = example("POST /notify")
    ox = "/preliminary/http-notify/v1/notify"
    found = {xapsd.request("POST", "/notify", n).status for n in (
        notify, {**notify, "Mailbox": "Other"},
        {**notify, "Username": "nobody", "Owner": "nobody"})}
    assert found == answers("POST /notify") - {503}
    assert xapsd.request("PUT", ox, example("PUT " + ox)).status == 200

    seen = example("POST /seen")
    found = {xapsd.request("POST", "/seen", s).status for s in (
        seen, {**seen, "Username": "nobody"})}
    assert found == answers("POST /seen")


def test_limits_of_a_registration(xapsd):
    """As the table says: the largest is taken, one more is not."""
    fields = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$",
                             part("POST /register"), re.M))
    assert "1 to 255 bytes" in fields["Username"]
    assert "1 to 200 " in fields["ApsAccountId"]
    assert "16 to 200 hex" in fields["ApsDeviceToken"]
    assert "1,000 names" in fields["Mailboxes"] and \
        "1,024 bytes" in fields["Mailboxes"]
    for user, account, token, mailboxes, status in (
            ("u" * 255, ACCOUNT, TOKEN, ["INBOX"], 200),
            ("u" * 256, ACCOUNT, TOKEN, ["INBOX"], 400),
            ("u", "a" * 200, TOKEN, ["INBOX"], 200),
            ("u", "a" * 201, TOKEN, ["INBOX"], 400),
            ("u", ACCOUNT, "a" * 16, ["INBOX"], 200),
            ("u", ACCOUNT, "a" * 15, ["INBOX"], 400),
            ("u", ACCOUNT, "a" * 201, ["INBOX"], 400),
            ("u", ACCOUNT, TOKEN, ["m%d" % i for i in range(1000)], 200),
            ("u", ACCOUNT, TOKEN, ["m%d" % i for i in range(1001)], 400),
            ("u", ACCOUNT, TOKEN, ["m" * 1024], 200),
            ("u", ACCOUNT, TOKEN, ["m" * 1025], 400)):
        reply = xapsd.post_register(user, account, token, mailboxes)
        assert reply.status == status, (user[:3], reply)


def test_lines_work(xapsd):
    for line in re.findall(r"^    ((?:REGISTER|NOTIFY) .*)$", API, re.M):
        line = line.replace("<TAB>", "\t").replace(
            'token="B"', 'token="%s"' % TOKEN)
        connection = xapsd._connection(False)
        connection.connect()
        with connection.sock as s:
            s.sendall(line.encode() + b"\n")
            answer = s.recv(1000).decode()
        assert answer.startswith("OK "), (line, answer)


def test_curl_works(xapsd):
    for line in re.findall(r"^    (curl .*)$", API, re.M):
        words = [w.replace("/run/xapsd/xapsd.sock", xapsd.socket_path)
                 for w in shlex.split(line)]
        done = subprocess.run([*words, "-s", "--fail"], capture_output=True,
                              text=True)
        assert done.returncode == 0, (line, done)
    assert "curl " in API


def test_metrics_exist(start_xapsd, workdir):
    """Those of the table and of the alerts."""
    xapsd = start_xapsd(sharedStore=f"unix:{workdir}/nobody")
    names = set(re.findall(r"^# TYPE (\w+)", xapsd.request(
        "GET", "/metrics").body, re.M))
    shown = set(re.findall(r"\bxapsd_\w+", part("GET /metrics")))
    assert "xapsd_healthy" in shown
    later = {"xapsd_", "xapsd_last_push_success_timestamp_seconds",
             "xapsd_certificate_expiry_timestamp_seconds",
             "xapsd_certificate_expiry_seconds"}
    for name in shown - later:
        # of the kinds that there are
        name = name.replace("xapsd_kind_", "xapsd_")
        assert re.sub("_(bucket|sum|count)$", "", name) in names, name


def test_status_members_exist(xapsd):
    status = {**xapsd.status(), "wakeupMedian": 0,     # not yet
              "brands": [], "brandsDir": "", "shared": {}}  # not of this one
    for name in re.findall(r"`(\w+)`", part("GET /status").split("\n\n")[0]):
        assert name in status or name in ("true", "false"), name


def test_limits_of_requests(xapsd):
    rows = dict(re.findall(r"^\| ([a-z ]+) \| (.*) \| \d+ \|$", part("Limits"),
                           re.M))
    assert rows["request line and headers"] == "8 KiB"
    assert rows["body"] == "64 KiB"
    assert rows["time for a request once it has begun"] == "10 s"
    for size, status in ((7 * 1024, 200), (8 * 1024, 431)):
        assert xapsd.request("GET", "/status", headers={
            "X-Long": "x" * size}).status == status
    for size, status in ((64 * 1024, 400), (64 * 1024 + 1, 413)):
        # in one piece: the head alone may be refused, and the connection closed
        with raw(xapsd) as s:
            s.sendall(b"POST /notify HTTP/1.1\r\nHost: localhost\r\n"
                      b"Content-Length: %d\r\n\r\n" % size + b"x" * size)
            assert s.recv(4096).startswith(b"HTTP/1.1 %d " % status)


def test_health_says_what_is_listed(start_xapsd):
    listed = part("GET /healthz")
    assert "`no credentials`" in listed and "`ok`" in listed
    xapsd = start_xapsd(identity={})
    reply = xapsd.request("GET", "/healthz")
    assert reply.status == 503 and reply.body.startswith("no credentials")
    assert xapsd.request("GET", "/healthz/credentials").status == 503
