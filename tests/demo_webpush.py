"""How a mail app is woken by IMAP WEBPUSH, on this machine, with a real Dovecot,
the real daemon and plugin, and a stand-in for a push service that checks each
push as RFC 8030, 8188, 8291 and 8292 have it: `make demo-webpush`.

What class App does is what the app's author has to write."""

import json
import pathlib
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import demo
from demo import MAIL, USER, Certs, Xapsd, expect
try:
    from pushservice import PushService
except ImportError as e:
    sys.exit("make demo-webpush: a Python package is missing (%s): run it as "
             "root or with sudo, it installs what it needs" % e)

NAME = "pixel"      # of the subscription, any that the app likes


class App:
    """The app's end.  The push service is the phone's: UnifiedPush, Mozilla's,
    Google's; here it is the stand-in, which also decrypts for us."""

    def __init__(self, tell, dovecot, service):
        self.tell, self.service = tell, service
        self.imap = dovecot.imap()
        self.seen = 0

    def ask(self, command):
        return demo.ask(self.tell, self.imap, command, who="app")

    def next_push(self):
        """What has come, in the clear."""
        self.seen += 1
        push = self.service.wait_for(self.seen, app=self.at)[-1]
        expect(push.problem is None, "the push service would refuse it: %s"
               % push.problem)
        self.tell.say("service", "POST %s…, %d bytes: %s" % (
            push.path[:20], len(push.body), ", ".join(
                "%s: %s" % (n, push.headers[n])
                for n in ("ttl", "urgency", "topic") if n in push.headers)),
            push.at)
        self.tell.say("app", "is woken and decrypts: %s"
                      % json.dumps(push.content))
        return push

    def log_in(self):
        demo.log_in(self.tell, self.imap, "app")
        said = " ".join(self.ask("CAPABILITY"))
        expect("WEBPUSH" in said.split(), "Dovecot does not offer WEBPUSH")

    def subscribe(self):
        line, = self.ask("GETVAPID")
        key = line.split('"')[1]
        # The phone's push service gives an address for us alone, and binds it
        # to the server's key.
        self.at = self.service.subscribe(vapid=key)
        mine = self.at.fields
        said = self.ask('WEBPUSH %s "%s" "%s" "%s"' % (
            NAME, mine["Endpoint"], mine["P256dh"], mine["Auth"]))
        expect(said[0].endswith(" INACTIVE"), "it is not inactive at first")

    def confirm(self):
        """Only who gets the pushes can know the code."""
        content = self.next_push().content
        expect((content["event"], content["id"]) == ("confirm", NAME),
               "the first push is no confirmation")
        self.ask("ACKWEBPUSH %s %s" % (NAME, content["code"]))
        line, = self.ask("LWEBPUSH")
        expect(line.endswith(" ACTIVE"), "it is not active now")

    def leave(self):
        self.ask("WEBPUSH %s NIL" % NAME)
        expect(self.ask("LWEBPUSH") == [], "something is left")
        self.ask("LOGOUT")
        self.imap.close()


def start_service(stack, folder, tell):
    certs = Certs(folder)
    service = stack.enter_context(PushService(certs))
    tell.say("service", "a stand-in for a push service listens on 127.0.0.1 "
             "port %d (HTTP/2 over TLS)" % service.port)
    return certs, service


def start_xapsd(stack, folder, tell, certs):
    folder.mkdir()
    daemon = stack.enter_context(Xapsd(
        folder, certs, identity={}, caFile=certs.ca, pushAllow="localhost",
        vapidSubject="mailto:postmaster@example.org", retryMin="1s"))
    tell.say("xapsd", "runs, without any credential of Apple's, on the Unix "
             "socket " + daemon.socket_path)
    return daemon


def deliver(tell, dovecot, app):
    tell.say("sender", "delivers a mail to %s by LMTP: \"Subject: Lunch?\""
             % USER)
    answer_s = dovecot.deliver(USER, MAIL)
    dot_at = time.monotonic() - answer_s
    push = app.next_push()
    expect(push.content == {"user": USER, "mailbox": "INBOX", "event": "new"},
           "that is not what a new mail's push holds")
    return push.at - dot_at


def play(stack, signals, tell):
    folder = pathlib.Path(stack.enter_context(
        tempfile.TemporaryDirectory(prefix="xapsd-demo-")))
    folder.chmod(0o755)     # Dovecot's mail users pass through
    stack.logs = [folder / "x" / "xapsd.log", folder / "dovecot/dovecot.log"]
    certs, service = start_service(stack, folder, tell)
    daemon = start_xapsd(stack, folder / "x", tell, certs)
    dovecot = demo.start_dovecot(stack, folder, tell, daemon, webpush="yes")
    with signals.allowed():
        app = App(tell, dovecot, service)
        app.log_in()
        app.subscribe()
        app.confirm()
        took_s = deliver(tell, dovecot, app)
        app.leave()
        print("\nFrom the mail's final dot to the push service: %.1f ms; it "
              "saw %d encrypted bytes, and no word of the mail." % (
                  took_s * 1000, len(service.pushes[-1].body)), flush=True)
    expect(service.problems() == [], "; ".join(service.problems()))


if __name__ == "__main__":
    sys.exit(demo.main(play, "make demo-webpush"))
