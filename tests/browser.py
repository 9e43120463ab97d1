"""A real browser for tests: a headless Chromium spoken to over two pipes, with nothing installed for it."""

import base64
import json
import os
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(CHROMIUM is None or sys.platform == "win32", reason="no Chromium to be found, or no pipes")

LONGEST = 600       # seconds that a browser lives, where other programs leave it a tenth of a core
AS_3_AND_4 = """
import fcntl, os, sys
high = [fcntl.fcntl(int(descriptor), fcntl.F_DUPFD, 10) for descriptor in sys.argv[1:3]]     # clear of 3 and 4 first
os.dup2(high[0], 3)
os.dup2(high[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


@contextmanager
def browser(profile, longest=LONGEST):
    """A running browser with its profile in the folder `profile`."""
    ours, theirs = os.pipe(), os.pipe()         # Chromium reads commands from its descriptor 3 and answers on 4
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
               "--disable-background-networking", "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(
        [sys.executable, "-c", AS_3_AND_4, str(ours[0]), str(theirs[1]), *command],
        pass_fds=(ours[0], theirs[1]), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    os.close(ours[0])
    os.close(theirs[1])
    alarm = threading.Timer(longest, process.kill)          # then what waits for an answer hears that the browser ended
    alarm.start()
    with os.fdopen(ours[1], "wb", buffering=0) as write, os.fdopen(theirs[0], "rb") as read:
        try:
            yield Connection(write, read)
        finally:
            alarm.cancel()
            process.kill()
            process.wait()


class Connection:
    """Commands of the DevTools protocol, one after the other, and the events between."""

    def __init__(self, write, read):
        self.write, self.read, self.count, self.events, self.rest = write, read, 0, [], b""

    def call(self, method, session=None, **parameters):
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters}
        self.write.write(json.dumps(message if session is None else {**message, "sessionId": session}).encode() + b"\0")
        while (answer := self._next()).get("id") != self.count:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def wait(self, method):
        """Until the event has come; earlier ones count"""
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self._next())

    def _next(self):
        while b"\0" not in self.rest:
            piece = self.read.read1(1 << 16)
            assert piece, "the browser ended"
            self.rest += piece
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def blank(self):
        """An empty page"""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        return Page(self, self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])

    def open(self, path, *, dark=False, width=1280, height=900, touch=False, pixel_ratio=1):
        """A page, a file or an address, loaded and seen as by that reader"""
        page = self.blank()
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.call("Emulation.setEmulatedMedia", features=[scheme])
        page.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=pixel_ratio, mobile=touch)
        page.load(path if isinstance(path, str) else path.resolve().as_uri())
        return page


class Page:
    def __init__(self, connection, session):
        self.connection, self.session = connection, session

    def call(self, method, **parameters):
        return self.connection.call(method, self.session, **parameters)

    def load(self, address):
        """Another page in its place; what was heard before is forgotten"""
        self.connection.events.clear()
        self.call("Page.navigate", url=address)
        self.connection.wait("Page.loadEventFired")

    def run(self, script):
        """The value of a JavaScript expression"""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def messages(self):
        """Errors, warnings and all else that the console shows"""
        self.run("0")                           # what came before has been sent then
        return self._heard("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")

    def requests(self):
        """All addresses that were asked for, except data: within the page"""
        urls = [request["request"]["url"] for request in self._heard("Network.requestWillBeSent")]
        return [url for url in urls if not url.startswith("data:")]

    def _heard(self, *kinds):
        mine = (event for event in self.connection.events if event.get("sessionId") == self.session)
        return [event["params"] for event in mine if event["method"] in kinds]

    def point(self, selector, x=0.5, y=0.5):
        """Move the mouse to a place within an element, in parts of its size"""
        left, top = self.run(f"""(() => {{
            const element = document.querySelector({json.dumps(selector)});
            element.scrollIntoView({{ block: "center" }});
            const box = element.getBoundingClientRect();
            return [box.left + {x} * box.width, box.top + {y} * box.height];
        }})()""")
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=left, y=top)
        return left, top

    def click(self, selector, x=0.5, y=0.5):
        left, top = self.point(selector, x, y)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=left, y=top, button="left", clickCount=1)

    def press(self, key):
        code = {"Tab": 9, "Enter": 13}.get(key, 0)          # by which the browser itself acts on it
        for kind in ("keyDown", "keyUp"):
            text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def type(self, text):
        """Type it where the focus is"""
        self.call("Input.insertText", text=text)

    def screenshot(self, selector=None):
        """A PNG of the whole page, or of one element"""
        box = self.run(f"""(() => {{
            const box = document.querySelector({json.dumps(selector or "html")}).getBoundingClientRect();
            return {{ x: box.left + scrollX, y: box.top + scrollY, width: box.width, height: box.height, scale: 1 }};
        }})()""")
        return base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=box)["data"])
