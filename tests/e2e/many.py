"""Registers many devices side by side: one fsync serves all that wait for it,
so that a disk which others keep busy is not waited for thousands of times."""

import contextlib
import itertools
import json

from xapsd import TIMEOUT_S, UnixHTTPConnection

AT_ONCE = 50


def ask(connection, user, account, token, mailboxes=("INBOX",)):
    connection.request("POST", "/register", json.dumps({
        "ApsAccountId": account, "ApsDeviceToken": token,
        "ApsSubtopic": "com.apple.mobilemail", "Username": user,
        "Mailboxes": list(mailboxes), "MailboxesAcknowledged": True}),
        {"Content-Type": "application/json"})


def register_many(daemon, devices):
    """devices: tuples of what ask() takes after its first.  Those of each
    AT_ONCE are in no order."""
    devices = iter(devices)
    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(contextlib.closing(
                UnixHTTPConnection(daemon.socket_path, 3 * TIMEOUT_S)))
            for _ in range(AT_ONCE)]
        while some := list(itertools.islice(devices, AT_ONCE)):
            for connection, device in zip(connections, some):
                ask(connection, *device)
            for connection, device in zip(connections, some):
                response = connection.getresponse()
                said = response.read()
                assert response.status == 200, (device[0], said)
