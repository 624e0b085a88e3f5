"""Whether phones come: POST /seen, and what list, status and /metrics make of
it."""
import json
import re
import time

from phones import ACCOUNT, OTHER, TOKEN


def seen(daemon, user, client=None, **kwargs):
    body = {"Username": user}
    if client is not None:
        body["Client"] = client
    return daemon.request("POST", "/seen", body, **kwargs)


def listed(daemon, *args):
    return json.loads(daemon.run("list", "--json", *args).stdout)


def push(daemon, apple, user, n=1, mailbox="INBOX"):
    """Until the daemon has Apple's n-th answer since start."""
    assert daemon.notify(user, mailbox).status == 200
    daemon.wait_until(lambda: daemon.status()["delivered"] >= n,
                      "%d answers" % n)


def test_came_after(xapsd, apple):
    xapsd.register("alice", ACCOUNT, TOKEN)
    before = int(time.time())
    push(xapsd, apple, "alice")
    time.sleep(1.5)
    assert seen(xapsd, "Alice", "iOS 26.5").status == 204
    r, = json.loads("[%s]" % xapsd.request(
        "POST", "/admin/list", {}).body.splitlines()[0])
    now = time.time()
    assert r["answer"] == "Apple took it" and r["client"] == "iOS 26.5"
    assert 1.4 <= r["wakeup"] < 20 and r["unanswered"] == 0
    assert before - 2 <= r["notified"] <= r["pushed"] + 1 <= now + 1
    assert r["pushed"] < r["seen"] <= now
    s = xapsd.status()
    assert s["wakeupMedian"] == r["wakeup"]
    assert [s[k] for k in ("visits", "wakeups", "missed", "missedDay",
                           "silent")] == [1, 1, 0, 0, 0]
