"""Several processes that share the cells of a sweep, as on several hosts."""

import os
import signal
import socket

import pytest
from sweeps import config, manifest, start, wait_for

from experiments import sweep
from experiments.sweeping import hosts
from nst_jax.errors import UserError


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start_both(pictures, workdir, *flags):
    common = ("--distributed", f"--coordinator_address=127.0.0.1:{free_port()}", "--num_processes=2")
    return [start(pictures, workdir, *flags, *common, f"--process_id={index}") for index in range(2)]


@pytest.mark.slow
def test_two_processes_of_which_one_ends_and_one_is_killed(pictures, tmp_path):
    flags = ("--style_weight=10,300", "--size=48,56", "--steps=150", "--save_every=4")
    processes = start_both(pictures, tmp_path, *flags)
    # The second process has done a cell and is at its next one.
    wanted = ("cells/001*.json", "checkpoints/00[357]*/*")
    wait_for(lambda: all(any(tmp_path.glob(pattern)) for pattern in wanted), *processes)
    processes[1].send_signal(signal.SIGINT)
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [1, 130], outputs
    # The other one went on to its end, and then said what is missing.
    assert "error: expected all cells to be done, found " in outputs[0]
    assert {int(path.name[:3]) for path in (tmp_path / "cells").glob("*.json")} >= {0, 1, 2, 4, 6}
    assert any(tmp_path.glob("checkpoints/*/*"))

    processes = start_both(pictures, tmp_path, *flags)
    number = len(list((tmp_path / "cells").glob("*.json")))
    wait_for(lambda: len(list((tmp_path / "cells").glob("*.json"))) > number, *processes)
    for process in reversed(processes):
        process.kill()
        process.communicate()
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").glob("*.json")}
    assert len(done) < 8

    processes = start_both(pictures, tmp_path, *flags)
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert all("4 of 8 cells, " in output for output in outputs)
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert {cell["status"] for cell in manifest(tmp_path)["cells"]} == {"finished"}
    assert (tmp_path / "index.html").exists()
    assert not (tmp_path / "processes").exists()


def test_the_first_process_forgets_earlier_runs_and_nobody_of_this_one(tmp_path):
    signs = tmp_path / "processes"
    signs.mkdir()
    for name in ("1", "2"):
        (signs / name).touch()
    os.utime(signs / "1", (0, 0))
    with hosts.taking_part(tmp_path):
        assert [path.name for path in signs.iterdir()] == ["2"]


def test_the_first_process_is_not_there(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(hosts, "PATIENCE", 0)
    address = f"127.0.0.1:{free_port()}"
    flags = {"distributed": True, "coordinator_address": address, "num_processes": 2, "process_id": 1}
    with pytest.raises(UserError, match=f"expected the first process at {address} within 0 s, found none"):
        sweep.run(config(pictures, tmp_path, **flags))
