"""A real Chromium, driven over a pipe in its own protocol (CDP), so that nothing
but the browser is needed.

    with Browser() as browser:
        page = browser.page(width=360, dark=True)
        page.open("http://localhost:11619/")
        assert page.eval("document.title") == "xapsd"
"""

import base64
import contextlib
import fcntl
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import tempfile
import time

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser",
         "google-chrome", "chrome")
TIMEOUT_S = 60      # how long a failure takes on a busy machine
POLL_S = 0.02


def executable():
    """None if there is none."""
    return os.environ.get("CHROMIUM") or next(
        filter(None, map(shutil.which, NAMES)), None)


class Browser:
    def __init__(self, **env):
        self.folder = tempfile.mkdtemp(prefix="xb-")
        self.pages, self.answers, self.last_id = {}, {}, 0
        self.buffer = b""
        # 3 and 4 are the numbers that the browser expects
        theirs_in, self.to = map(self.high, os.pipe())
        self.from_, theirs_out = map(self.high, os.pipe())

        def child():
            os.dup2(theirs_in, 3)
            os.dup2(theirs_out, 4)

        self.process = subprocess.Popen(
            [executable(), "--headless", "--remote-debugging-pipe",
             "--no-sandbox", "--no-first-run", "--disable-dev-shm-usage",
             "--disable-gpu", "--hide-scrollbars",
             "--force-color-profile=srgb", "--user-data-dir=" + self.folder,
             "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, close_fds=False, preexec_fn=child,
            start_new_session=True, env={**os.environ, **env,
                                         "TMPDIR": self.folder})
        os.close(theirs_in)
        os.close(theirs_out)

    @staticmethod
    def high(fd):
        copy = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)
        os.close(fd)
        return copy

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.send("Browser.close")
            self.process.wait(TIMEOUT_S)
        except (OSError, subprocess.TimeoutExpired):
            pass
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.to)
        os.close(self.from_)
        # its helpers may write into the folder until they are gone, too
        end = time.monotonic() + TIMEOUT_S
        while self.helpers() and time.monotonic() < end:
            time.sleep(POLL_S)
        shutil.rmtree(self.folder)

    def helpers(self):
        """Of its process group, but for what nobody has reaped yet."""
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = path.read_text().rpartition(")")[2].split()
                if fields[0] not in "ZX" and int(fields[2]) == self.process.pid:
                    found.append(path.parent.name)
        return found

    # --- messages ---

    def send(self, method, session=None, **params):
        self.last_id += 1
        message = {"id": self.last_id, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.to, data):]
        return self.last_id

    def call(self, method, session=None, **params):
        number = self.send(method, session, **params)
        end = time.monotonic() + TIMEOUT_S
        while number not in self.answers:
            self.receive(end, method)
        answer = self.answers.pop(number)
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def receive(self, end, what):
        """Takes in one more piece of what the browser says."""
        ready, _, _ = select.select([self.from_], [], [],
                                    max(0, end - time.monotonic()))
        assert ready, "the browser does not answer: " + what
        data = os.read(self.from_, 1 << 20)
        assert data, "the browser has ended: " + what
        *messages, self.buffer = (self.buffer + data).split(b"\0")
        for message in map(json.loads, messages):
            if "id" in message:
                self.answers[message["id"]] = message
            elif message.get("sessionId") in self.pages:
                self.pages[message["sessionId"]].take(message)

    def page(self, **options):
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank",
                           browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target,
                            flatten=True)["sessionId"]
        page = self.pages[session] = Page(self, session, context)
        page.prepare(**options)
        return page


class Page:
    """One tab of a profile of its own: nothing is shared with other pages."""

    def __init__(self, browser, session, context):
        self.browser, self.session, self.context = browser, session, context
        self.loads, self.requests, self.complaints = 0, [], []
        self.loaded = set()     # documents, by their loader's id
        self.times_up = 0       # of pass_time()

    def take(self, message):
        method, params = message["method"], message["params"]
        if method == "Page.loadEventFired":
            self.loads += 1
        elif method == "Page.lifecycleEvent":
            if params["name"] == "load":
                self.loaded.add(params["loaderId"])
        elif method == "Emulation.virtualTimeBudgetExpired":
            self.times_up += 1
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"])
        elif method == "Log.entryAdded":
            self.complaints.append(params["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"]))

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def prepare(self, width=1280, height=800, dark=False, js=True, scale=1):
        for domain in ("Page", "Network", "Log", "Runtime", "DOM",
                       "Accessibility"):
            self.call(domain + ".enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)
        self.call("Emulation.setDeviceMetricsOverride", width=width,
                  height=height, deviceScaleFactor=scale, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme",
             "value": "dark" if dark else "light"}])
        self.call("Emulation.setScriptExecutionDisabled", value=not js)

    def close(self):
        self.browser.call("Target.disposeBrowserContext",
                          browserContextId=self.context)
        del self.browser.pages[self.session]

    def receive_until(self, condition, what):
        """Takes messages until one has made it true."""
        end = time.monotonic() + TIMEOUT_S
        while not condition():
            self.browser.receive(end, what)

    def wait_load(self, act, what):
        """Does something that loads a page, and waits for it."""
        loads = self.loads
        act()
        self.receive_until(lambda: self.loads != loads, what)

    def open(self, url):
        """Waits for this document's load: the empty one, with which a tab begins,
        has one, too, at its own time."""
        loader = self.call("Page.navigate", url=url)["loaderId"]
        self.receive_until(lambda: loader in self.loaded, url)

    def pass_time(self, seconds):
        """In no time, as the page sees it; afterwards its clock stands still."""
        before = self.times_up
        self.call("Emulation.setVirtualTimePolicy", policy="advance",
                  budget=seconds * 1000)
        self.receive_until(lambda: self.times_up != before, "%d s" % seconds)

    def eval(self, expression):
        result = self.call("Runtime.evaluate", expression=expression,
                           returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait(self, expression, what=None):
        end = time.monotonic() + TIMEOUT_S
        while True:
            value = self.eval(expression)
            if value:
                return value
            assert time.monotonic() < end, "no %s:\n%s" % (
                what or expression, self.text())
            time.sleep(POLL_S)

    def text(self, selector="body"):
        return self.eval("document.querySelector(%s).innerText"
                         % json.dumps(selector))

    def click(self, selector):
        """Where a mouse would hit it; in one go, since what the page draws anew
        may move it in the moment between a look and a press."""
        hit = self.eval(
            "(e => { e.scrollIntoView({block: 'center'});"
            " const r = e.getBoundingClientRect(), at = document.elementFromPoint("
            "r.x + r.width / 2, r.y + r.height / 2);"
            " if (!e.contains(at)) return at ? at.outerHTML : 'nothing';"
            " e.click(); return true })"
            "(document.querySelector(%s))" % json.dumps(selector))
        assert hit is True, "%s is covered by %s" % (selector, hit)

    def key(self, key, code, text=None):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key,
                      windowsVirtualKeyCode=code,
                      **({"text": text} if text and kind == "keyDown" else {}))

    def tree(self):
        """What a screen reader is told: (role, name) of each node."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        return [(n["role"]["value"], n.get("name", {}).get("value", ""))
                for n in nodes if not n.get("ignored")]

    def screenshot(self, path, height=0):
        """Of the page from its top, 0: to its end."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        size["height"] = height or size["height"]
        data = self.call("Page.captureScreenshot", format="png",
                         captureBeyondViewport=True,
                         clip=dict(size, scale=1))["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(data))
