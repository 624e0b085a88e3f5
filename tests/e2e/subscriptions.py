"""What a client subscribes with, and a stand-in's book of subscriptions.

    book = Book(); fake.behave(user, book)
"""
import base64
import json

from fake_xapsd import NO_CONTENT, VAPID, response

ENDPOINT = "https://push.example.org/send/abc?x=1"


def b64(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


P256DH = b64(b"\4" + bytes(range(64)))
AUTH = b64(bytes(range(16)))
CODE = "c0de" * 8
LIMIT = 20


def webpush(name="phone", endpoint=ENDPOINT, p256dh=P256DH, auth=AUTH):
    return f'WEBPUSH {name} "{endpoint}" {p256dh} {auth}'


class Book:
    """Answers as xapsd does; the code of all first pushes is CODE."""

    def __init__(self):
        self.subs = {}      # (kind, id or token): request and "active"

    def __call__(self, conn, fake, request):
        answer = getattr(self, request.path[1:])(request.json)
        conn.sendall(answer)

    @staticmethod
    def key(r):
        return r["Kind"], r.get("Id", r.get("Token"))

    def register(self, r):
        key = self.key(r)
        old = self.subs.get(key)
        active = old is not None and old["active"] and old["request"] == r
        if r["Kind"] == "webpush" and old is None and len(self.subs) >= LIMIT:
            return response(409, b"alice has 20 subscriptions already\n")
        self.subs[key] = {"request": r, "active": active or
                          r["Kind"] == "deltachat"}
        return response(200 if self.subs[key]["active"] else 202,
                        VAPID.encode())

    def confirm(self, r):
        sub = self.subs.get(("webpush", r["Id"]))
        if sub is None:
            return response(404, b"no such subscription\n")
        if r["Code"] != CODE:
            return response(403, b"wrong code\n")
        sub["active"] = True
        return NO_CONTENT

    def unregister(self, r):
        kind, name = self.key(r)
        gone = [k for k in self.subs
                if k[0] == kind and name in (None, k[1])]
        for key in gone:
            del self.subs[key]
        return NO_CONTENT if gone else response(404, b"none\n")

    def subscriptions(self, r):
        return response(200, json.dumps({
            "vapid": VAPID, "subscriptions": [
                {"id": sub["request"].get("Id", "deltachat"),
                 "endpoint": sub["request"].get("Endpoint"),
                 "token": sub["request"].get("Token"),
                 "active": sub["active"],
                 "mailboxes": sub["request"]["Mailboxes"]}
                for (kind, _), sub in self.subs.items()
                if kind == r["Kind"]]}).encode())

    def vapid(self, r):
        return response(200, VAPID.encode())
