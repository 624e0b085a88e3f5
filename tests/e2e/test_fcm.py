"""Pushes by Firebase Cloud Messaging, against a stand-in for Google's two hosts."""

import json

import pytest

from google import Google
from xapsd import Xapsd


@pytest.fixture
def google(certs):
    with Google(certs) as service:
        yield service


@pytest.fixture
def x(google, start_xapsd, workdir):
    return start_xapsd(**google.config(workdir))


def register(x, user, token, **more):
    reply = x.request("POST", "/register", {
        "Kind": "fcm", "Username": user, "Token": token, **more})
    assert reply.status == 200, reply


def test_message(google, x):
    register(x, "alice", "app:1")
    assert x.notify("alice").status == 200
    push, = google.wait_for(1, token="app:1")
    assert push.data == {"user": "alice", "mailbox": "INBOX", "event": "new"}
    assert push.message["android"] == {"priority": "HIGH", "ttl": "86400s"}
    assert google.problems() == []
