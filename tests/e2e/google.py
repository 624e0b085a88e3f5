"""Stand-in for Google's two hosts: the one that gives access tokens (OAuth 2.0,
RFC 7523) and Firebase Cloud Messaging (HTTP v1).

    with Google(certs) as google:
        with Xapsd(folder, certs, **google.config(folder)) as x:
            x.request("POST", "/register", {
                "Kind": "fcm", "Username": "alice", "Token": "app:1"})
            x.notify("alice")
            push, = google.wait_for(1, token="app:1")
            assert push.data == {"user": "alice", ...}
            google.script("app:1", error(404, "NOT_FOUND", "UNREGISTERED"))

The JWT is checked by python3-jwt, the rest as Google's papers have it; what is
wrong is in push.problem, and in problems()."""

import collections
import json
import pathlib
import re
import secrets
import time
import urllib.parse

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from pushservice import Answer, PushService, Refused, TIMEOUT_S

__all__ = ["Answer", "Google", "error", "refusal"]

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
JWT_LIFE_MAX_S = 3600
CLOCK_SLACK_S = 300
DATA_MAX = 4096
KEYS = []           # a second's work each, so all tests share them
TOKEN_PAD = 900     # Google's have up to 1,024 bytes


def error(code, status, detail=None, message="Some words for people.",
          headers=()):
    """An answer of FCM that says so."""
    said = {"code": code, "message": message, "status": status}
    if detail:
        said["details"] = [
            {"@type": "type.googleapis.com/google.rpc.BadRequest"},
            {"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError",
             "errorCode": detail}]
    return Answer(code, body=json.dumps({"error": said}, indent=2).encode(),
                  headers=headers)


def refusal(code, name, description=None):
    """The same of the host of the tokens."""
    said = {"error": name}
    if description:
        said["error_description"] = description
    return Answer(code, body=json.dumps(said).encode())


WRONG_TIME = refusal(
    400, "invalid_grant", "Invalid JWT: Token must be a short-lived token (60 "
    "minutes) and in a reasonable timeframe. Check your iat and exp values in "
    "the JWT claim.")


class Google:
    """h2: offered by ALPN.  tokens, fcm: the two hosts, each a PushService."""

    def __init__(self, certs, project="shop-1", h2=True, fcm=None):
        """fcm: another one's host of messages, which all projects share."""
        self.certs, self.project = certs, project
        self.email = "push@%s.iam.gserviceaccount.com" % project
        self.tokens = PushService(certs, h2=h2, check=self._check_grant)
        self.owns_fcm = fcm is None
        self.fcm = fcm or PushService(certs, h2=h2, check=self._check_message)
        self.token_url = self.tokens.origin() + "/token"
        self.path = "/v1/projects/%s/messages:send" % project
        self.life_s = 3600      # of access tokens, as it says
        self.clock_s = 0        # how far its clock is ahead
        self.access = {}        # tokens that are good
        self.jwts = []
        self._scripts = {}
        self.others = {}        # by path
        self.n_keys = 0
        self.new_key()
        if fcm:
            fcm.google.others[self.path] = self
        else:
            self.fcm.google = self

    def new_key(self):
        """The old one is deleted."""
        self.n_keys += 1
        while len(KEYS) < self.n_keys:
            KEYS.append(rsa.generate_private_key(65537, 2048))
        self.key = KEYS[self.n_keys - 1]
        self.key_id = secrets.token_hex(20)

    def account(self, **more):
        """What the key file of the service account says."""
        pem = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption()).decode()
        return {"type": "service_account", "project_id": self.project,
                "private_key_id": self.key_id, "private_key": pem,
                "client_email": self.email, "client_id": "1234567890",
                "token_uri": self.token_url,
                "universe_domain": "googleapis.com", **more}

    def write(self, path, **more):
        """Writes it as programs should: aside, then in its place."""
        path = pathlib.Path(path)
        aside = path.with_name(path.name + ".new")
        aside.write_text(json.dumps(self.account(**more), indent=2))
        aside.chmod(0o600)
        aside.rename(path)
        return str(path)

    def config(self, folder, name="firebase.json"):
        """Lines of the configuration."""
        return {"fcmServiceAccount": self.write(
                    pathlib.Path(folder, name)),
                "fcmUrl": self.fcm.origin(), "caFile": self.certs.ca}

    def __enter__(self):
        self.tokens.start()
        if self.owns_fcm:
            self.fcm.start()
        return self

    def __exit__(self, *exc):
        self.tokens.stop()
        if self.owns_fcm:
            self.fcm.stop()

    # --- the host of the tokens ---

    def _check_grant(self, push):
        bad = lambda name, what: Refused(400, name, what)
        h = push.headers
        if push.path != "/token" or h[":method"] != "POST":
            raise Refused(404, "NotFound", push.path)
        if h.get("content-type") != "application/x-www-form-urlencoded":
            raise bad("invalid_request", str(h.get("content-type")))
        form = urllib.parse.parse_qs(push.body.decode(), strict_parsing=True)
        if form.get("grant_type") != [GRANT] or len(form["assertion"]) != 1:
            raise bad("unsupported_grant_type", str(form))
        answer = self._check_jwt(form["assertion"][0])
        if answer:
            return answer
        token = "ya29." + secrets.token_urlsafe(TOKEN_PAD)
        self.access[token] = True
        return Answer(200, body=json.dumps(
            {"access_token": token, "expires_in": self.life_s,
             "token_type": "Bearer"}, indent=2).encode())

    def _check_jwt(self, assertion):
        header = jwt.get_unverified_header(assertion)
        try:
            claims = jwt.decode(
                assertion, self.key.public_key(), algorithms=["RS256"],
                audience=self.token_url,
                options={"verify_iat": False, "verify_exp": False})
        except jwt.InvalidSignatureError:
            return refusal(400, "invalid_grant", "Invalid JWT Signature.")
        except jwt.PyJWTError as e:
            raise Refused(400, "invalid_grant", repr(e)) from None
        if header != {"alg": "RS256", "typ": "JWT", "kid": self.key_id}:
            raise Refused(400, "invalid_grant", str(header))
        if set(claims) != {"iss", "scope", "aud", "iat", "exp"} or \
                claims["iss"] != self.email or claims["scope"] != SCOPE:
            raise Refused(400, "invalid_grant", str(claims))
        if not 0 < claims["exp"] - claims["iat"] <= JWT_LIFE_MAX_S:
            raise Refused(400, "invalid_grant", str(claims))
        now = time.time() + self.clock_s
        if not now - CLOCK_SLACK_S < claims["iat"] < now + CLOCK_SLACK_S:
            return WRONG_TIME
        self.jwts.append(assertion)
        return None

    # --- the host of the messages ---

    def _check_message(self, push):
        h = push.headers
        push.message = None
        if push.path in self.others:
            return self.others[push.path]._check_message(push)
        if push.path != self.path or h[":method"] != "POST":
            raise Refused(404, "NotFound", push.path)
        if h.get("content-type") != "application/json":
            raise Refused(400, "INVALID_ARGUMENT", str(h))
        try:
            push.message = json.loads(push.body)["message"]
            self._check_members(push.message)
        except (ValueError, KeyError, TypeError, AssertionError) as e:
            raise Refused(400, "INVALID_ARGUMENT", "%r: %r" % (
                e, push.body)) from None
        push.data = push.message["data"]
        kind, _, token = h.get("authorization", "").partition(" ")
        if kind != "Bearer" or token not in self.access:
            push.message_refused = True
            return error(401, "UNAUTHENTICATED")
        return self._script(push.message["token"]) or Answer(
            200, body=json.dumps({"name": "projects/%s/messages/0:%d" % (
                self.project, len(self.fcm.pushes))}).encode())

    def _check_members(self, message):
        assert set(message) == {"token", "android", "data"}
        assert isinstance(message["token"], str) and message["token"]
        assert message["android"]["priority"] in ("HIGH", "NORMAL")
        assert re.match(r"[0-9]{1,7}s\Z", message["android"]["ttl"])
        assert int(message["android"]["ttl"][:-1]) <= 28 * 86400
        assert set(message["android"]) == {"priority", "ttl"}
        data = message["data"]
        assert all(isinstance(value, str) for value in data.values())
        assert sum(len(k.encode()) + len(v.encode())
                   for k, v in data.items()) <= DATA_MAX

    def _script(self, token):
        for key in (token, None):
            queue = self._scripts.get(key)
            if queue:
                return queue.popleft()
        return None

    # --- what tests call ---

    def script(self, token, *answers):
        """Answers for the next messages to that token; None: to any."""
        self._scripts.setdefault(token, collections.deque()).extend(answers)

    def revoke(self):
        """No access token that was given is good any more."""
        self.access.clear()

    def to(self, token=None):
        """The messages (for this token) so far, refused ones too."""
        return [p for p in list(self.fcm.pushes) if p.message is not None and
                token in (None, p.message["token"])]

    def wait_for(self, n, token=None, timeout=TIMEOUT_S):
        def enough():
            found = self.to(token)
            return found[:n] if len(found) >= n else None
        return self.fcm.wait(enough, "%d messages" % n, timeout)

    def asked(self):
        """How often an access token was asked for."""
        return len(self.tokens.pushes)

    def wait_asked(self, n, timeout=TIMEOUT_S):
        return self.tokens.wait(lambda: self.asked() >= n,
                                "%d questions for a token" % n, timeout)

    def problems(self):
        return self.tokens.problems() + self.fcm.problems()
