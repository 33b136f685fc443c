"""What tests of the studio share: a studio as a process of its own, and who asks it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

httpx = pytest.importorskip("httpx")

REPOSITORY = Path(__file__).parents[3]
WAIT = 300
"""Seconds: far more than anything takes, on a machine that has much else to do."""


class Studio:
    """A studio that runs, with a client that asks as a browser would."""

    def __init__(self, workdir, *flags):
        command = [sys.executable, "-m", "experiments.studio", f"--workdir={workdir}", "--no_browser", *flags]
        self.process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line.startswith("studio: "), line
        self.address = line.split()[1]
        self.client = httpx.Client(base_url=self.address, timeout=WAIT)

    def get(self, path, **query):
        answer = self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path, body=None, **query):
        answer = self.client.post(path, json=body, params=query)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def upload(self, path, **query):
        answer = self.client.post(
            "api/images", content=Path(path).read_bytes(), params={"name": Path(path).name, **query}
        )
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def until(self, wanted, seconds=WAIT):
        """Waits for a state of which `wanted` is true, and returns it."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            state = self.get("api/state")
            if wanted(state):
                return state
            time.sleep(0.05)
        raise AssertionError(f"never so: {state}")

    def until_status(self, run, *statuses):
        """Waits for a run to have one of these statuses, and returns its entry."""
        ends = time.monotonic() + WAIT
        while time.monotonic() < ends:
            entry = self.get(f"api/runs/{run}")
            if entry["status"] in statuses:
                return entry
            time.sleep(0.05)
        raise AssertionError(f"never so: {entry}")

    def worker(self):
        """Returns the id of the process that has JAX."""
        found = subprocess.run(
            ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(self.process.pid)], capture_output=True, text=True
        )
        return next(int(line.split()[0]) for line in found.stdout.splitlines() if "spawn_main" in line)

    def close(self, number=signal.SIGINT):
        self.client.close()
        self.process.send_signal(number)
        self.process.wait(WAIT)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def open_studio():
    """A function that opens a studio in a folder, and closes it at the end."""
    with contextlib.ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setenv("NST_JAX_WEIGHTS", os.devnull)  # the embedded network

        def open_(workdir, *flags):
            studio = Studio(workdir, *flags)
            stack.callback(lambda: studio.process.poll() is None and studio.close())
            return studio

        yield open_
