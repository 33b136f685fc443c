"""A browser under control: Chromium by its debugging protocol over a pipe, which needs no package."""

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PIPE = "import os, sys; a, b = (os.dup(int(fd)) for fd in sys.argv[1:3]); a, b = os.dup(a), os.dup(b); "
PIPE += "os.dup2(a, 3); os.dup2(b, 4); os.execvp(sys.argv[3], sys.argv[3:])"


class Page:
    """A tab of a browser."""

    def __init__(self, write, read):
        self._write, self._read = write, read
        self._buffer, self._count, self.session = b"", 0, None
        self.events = []

    def send(self, method, *, seconds=120, **params):
        """Sends a command and returns its result."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + seconds
        while True:
            answer = self._next(end)
            if answer.get("id") == self._count:
                assert "error" not in answer, answer["error"]
                return answer["result"]
            self.events.append(answer)

    def _next(self, end):
        while b"\0" not in self._buffer:
            left = end - time.monotonic()
            assert select.select([self._read], [], [], max(left, 0))[0], "the browser does not answer"
            self._buffer += os.read(self._read, 1 << 16)
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def run(self, script, *, seconds=120):
        """Returns the value of an expression, awaited."""
        asked = {"expression": script, "awaitPromise": True, "returnByValue": True, "userGesture": True}
        found = self.send("Runtime.evaluate", seconds=seconds, **asked)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, condition, *, seconds=120):
        """Waits until an expression is true."""
        end = time.monotonic() + seconds
        while not self.run(f"!!({condition})"):
            assert time.monotonic() < end, f"waited in vain for {condition}"
            time.sleep(0.05)

    def choose_file(self, selector, path):
        """Puts a file into a file input, as a visitor does."""
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", files=[str(path)], nodeId=node)

    def window(self, width, height, *, scheme="light", scale=1):
        """Sets the size of the window and the colour scheme that the visitor prefers."""
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False}
        self.send("Emulation.setDeviceMetricsOverride", **size)
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path):
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot")["data"]))


@contextlib.contextmanager
def browser(*options):
    """Yields an empty page of a new browser, or None where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        yield None
        return
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        arguments = [found, "--headless", "--no-sandbox", "--no-first-run", "--remote-debugging-pipe"]
        arguments += [f"--user-data-dir={profile}", "--use-fake-device-for-media-stream", *options, "about:blank"]
        command = [sys.executable, "-c", PIPE, str(theirs_in), str(theirs_out), *arguments]
        with subprocess.Popen(command, pass_fds=(theirs_in, theirs_out), stderr=subprocess.DEVNULL) as process:
            os.close(theirs_in)
            os.close(theirs_out)
            try:
                page = Page(ours_out, ours_in)
                target = page.send("Target.createTarget", url="about:blank")["targetId"]
                session = page.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
                page.session = session
                page.send("Runtime.enable")
                page.send("Log.enable")
                page.send("Page.enable")
                yield page
            finally:
                with contextlib.suppress(Exception):
                    page.session = None
                    page.send("Browser.close", seconds=5)
                process.kill()
                os.close(ours_in)
                os.close(ours_out)
