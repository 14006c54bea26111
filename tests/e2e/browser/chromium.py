"""A headless Chromium, driven through its DevTools protocol."""

import collections
import itertools
import json
import re
import shutil
import subprocess
import tempfile
import threading
import time

import websocket
from arsenal_e2e import WAIT_SECONDS

# Nothing but the loopback interface can be reached, whatever page or browser might want.
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
]


class Chromium:
    """One browser with an empty profile."""

    def __init__(self):
        self.profile = tempfile.mkdtemp(prefix="arsenal-e2e-chromium-")
        self.process = subprocess.Popen(
            ["chromium", *FLAGS, f"--user-data-dir={self.profile}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            self.socket = websocket.create_connection(
                self._address(), timeout=WAIT_SECONDS, suppress_origin=True, http_no_proxy=["127.0.0.1"]
            )
        except BaseException:
            self.end()
            raise
        self.ids = itertools.count(1)
        # What came and belongs to no command, oldest first.
        self.events = []

    def _address(self):
        printed = []
        for line in self.process.stderr:
            printed.append(line)
            if found := re.search(r"DevTools listening on (ws://\S+)", line):
                # Whatever else it says is read and dropped: a full pipe would stop it.
                drain = threading.Thread(target=collections.deque, args=(self.process.stderr, 0), daemon=True)
                drain.start()
                return found[1]
        raise RuntimeError(f"chromium did not start:\n{''.join(printed)}")

    def command(self, method, session=None, **parameters):
        """Does a command and answers its result."""
        number = next(self.ids)
        message = {"id": number, "method": method, "params": parameters}
        self.socket.send(json.dumps(message | ({"sessionId": session} if session else {})))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def wait_for(self, method, session):
        """Waits for an event of a page, which may have come already."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not any(event["method"] == method and event.get("sessionId") == session for event in self.events):
            if time.monotonic() > deadline:
                raise AssertionError(f"no {method} came")
            self.events.append(json.loads(self.socket.recv()))

    def open(self, url, script):
        """A new page, when it has loaded and the script has run in it."""
        target = self.command("Target.createTarget", url="about:blank")["targetId"]
        session = self.command("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        for domain in ["Network", "Page", "Runtime", "Log"]:
            page.command(f"{domain}.enable")
        page.command("Page.navigate", url=url)
        self.wait_for("Page.loadEventFired", session)
        page.run(script)
        return page

    def end(self):
        """Ends the browser with all that belongs to it."""
        try:
            self.command("Browser.close")
            self.process.wait(WAIT_SECONDS)
        except Exception:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.profile, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


class Page:
    """A page in it."""

    def __init__(self, browser, session):
        self.browser = browser
        self.session = session

    def command(self, method, **parameters):
        """Does a command on this page."""
        return self.browser.command(method, self.session, **parameters)

    def run(self, expression):
        """Evaluates a script; where that is a promise, what comes of it."""
        result = self.command("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if failure := result.get("exceptionDetails"):
            raise AssertionError(failure.get("exception", {}).get("description", failure["text"]))
        return result["result"].get("value")

    def call(self, function, *arguments):
        """Calls a function of the page's script."""
        return self.run(f"e2e.{function}({', '.join(map(json.dumps, arguments))})")

    def told(self, method):
        """The parameters of all events of a kind so far."""
        mine = [event for event in self.browser.events if event.get("sessionId") == self.session]
        return [event["params"] for event in mine if event["method"] == method]
