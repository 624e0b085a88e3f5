"""Web Push: from a mail to what the app decrypts, and what push services answer.

The other side is the stand-in of pushservice.py, and npm's web-push, with which
both are compared."""

import json
import time

import pytest

from pushservice import Answer, PushService, b64, ec, point
from webpush import needs_npm, open_by_npm, send_by_npm


# --- the stand-in is right: npm's web-push sends to it ---

def vapid_options(subject="mailto:a@example.org", **more):
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_numbers().private_value.to_bytes(32, "big")
    return {"vapidDetails": {"subject": subject, "publicKey": b64(point(key)),
                             "privateKey": b64(private)}, **more}


@needs_npm
def test_standin_takes_what_npm_sends(certs):
    with PushService(certs, h2=False) as service:
        options = vapid_options(TTL=60, urgency="high", topic="abc")
        app = service.subscribe(options["vapidDetails"]["publicKey"])
        assert send_by_npm(app, '{"a": "ü"}', certs.ca, **options) == 201
        assert service.problems() == []
        push, = service.to(app)
        assert push.content == {"a": "ü"}
        assert push.headers["topic"] == "abc"


@needs_npm
@pytest.mark.parametrize("change, status, problem", [
    (lambda o, a: a.__setattr__("vapid", "x"), 403, "VapidPkHashMismatch"),
    (lambda o, a: a.__setattr__("auth", b"x" * 16), 400, "CannotDecrypt"),
    (lambda o, a: o.update(TTL=10 ** 9), 400, "BadTtl"),
    (lambda o, a: o.pop("vapidDetails"), 401, "MissingVapid"),
    (lambda o, a: a.__setattr__("origin", "https://x:1"), 400, "BadOrigin"),
])
def test_standin_refuses(certs, change, status, problem):
    with PushService(certs, h2=False) as service:
        options = vapid_options()
        app = service.subscribe()
        subscription = app.json
        change(options, app)
        app.__class__ = type("Same", (type(app),), {"json": subscription})
        assert send_by_npm(app, "{}", certs.ca, **options) == status
        assert problem in service.problems()[0]
