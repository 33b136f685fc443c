"""Signals that ask a script to stop, on systems that have them all and on those that have not."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.cli import stopping
from experiments.running.progress import graceful_interrupt

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def forgotten():
    stopping.forget()
    yield
    stopping.forget()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_the_first_signal_is_a_request_and_the_second_stops_at_once(name, capsys):
    number = getattr(signal, name)
    before = signal.getsignal(number)
    with graceful_interrupt() as interrupt:
        assert not interrupt.requested
        os.kill(os.getpid(), number)
        assert interrupt.requested
        assert stopping.status() == 128 + number
        os.kill(os.getpid(), signal.SIGHUP)  # comes twice as a terminal goes away, and is no second request
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(number) is before
    assert "as soon as the picture can be saved" in capsys.readouterr().err


def test_a_scheduler_may_repeat_itself():
    with stopping.by_scheduler(), graceful_interrupt() as interrupt:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupt.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_nohup_is_respected(monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with graceful_interrupt() as interrupt:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not interrupt.requested
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_windows_has_no_hangup(monkeypatch):
    monkeypatch.delattr(signal, "SIGHUP")
    with graceful_interrupt() as interrupt:
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupt.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    assert stopping.status() == 143


def test_a_signal_in_the_middle_of_an_import(tmp_path):
    (tmp_path / "swallows.py").write_text(
        "import pathlib, time\npathlib.Path('begun').touch()\n"
        "while True:\n    try:\n        time.sleep(60)\n    except BaseException:\n        pass\n"
    )
    program = (
        "from experiments.cli import stopping\nwith stopping.handling(stopping.stop_at_once):\n    import swallows\n"
    )
    variables = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=tmp_path, env=variables, stderr=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "begun").exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "stopped before the run began; nothing was written\n"
