"""What a worker says, and that it is alive."""

import datetime as dt
import json
import os
import sys
import time

import pytest

from experiments.engines import worker_logs
from experiments.engines.worker_logs import last_said, logged
from nst_jax.errors import UserError
from nst_jax.io import stores


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines_are_json_and_say_how_a_task_ends(tmp_path):
    with logged(tmp_path, 3):
        sys.stdout.write("one\ntwo\n")
        sys.stderr.write('three "quoted"\n')
    with pytest.raises(ValueError, match="no picture"), logged(tmp_path, 4):
        raise ValueError("no picture\nhere")
    (path,) = tmp_path.iterdir()
    assert [(line["task"], line["event"], line["text"]) for line in lines(path)] == [
        (3, "begun", ""),
        (3, "said", "one"),
        (3, "said", "two"),
        (3, "said", 'three "quoted"'),
        (3, "done", ""),
        (4, "begun", ""),
        (4, "failed", "ValueError: no picture\\nhere"),
    ]
    now = dt.datetime.now(dt.UTC)
    assert all(abs(dt.datetime.fromisoformat(line["time"]) - now) < dt.timedelta(minutes=1) for line in lines(path))
    said = last_said(path)
    assert (said.task, said.event, said.text) == (4, "failed", "ValueError: no picture\\nhere")


def test_a_worker_at_a_long_cell_touches_its_file(tmp_path, monkeypatch):
    monkeypatch.setattr(worker_logs, "BEATS", 0.05)
    with logged(tmp_path, 1):
        (path,) = tmp_path.iterdir()
        os.utime(path, (1000, 1000))
        end = time.monotonic() + 10
        while path.stat().st_mtime < 2000 and time.monotonic() < end:
            time.sleep(0.02)
        assert last_said(path).time > 2000
        assert last_said(path).event == "begun"


def test_a_worker_at_a_store_is_seen_at_work_with_what_it_said_last(monkeypatch):
    fsspec = pytest.importorskip("fsspec", reason="comes with orbax, but is no dependency of its own")
    monkeypatch.setitem(stores._STORES, "memory", ("fsspec", {}))
    monkeypatch.setattr(worker_logs, "BEATS", 0.002)
    folder = stores.located("memory://log-bucket/logs")
    store = fsspec.filesystem("memory")
    puts, put = [], stores.StorePath.put
    monkeypatch.setattr(stores.StorePath, "put", lambda *given: (put(*given), puts.append(given)))
    with logged(folder, 5):
        sys.stdout.write("step 5\n")
        end = time.monotonic() + 10
        while len(puts) < 60 and time.monotonic() < end:
            time.sleep(0.01)
        (path,) = folder.iterdir()
        size = path.stat().st_size
        assert last_said(path)[1:] == (5, "said", "step 5")
    assert len(puts) >= 60
    assert path.stat().st_size < 2 * size
    store.rm("/log-bucket", recursive=True)


def test_a_host_without_the_disk_of_the_run_begins_no_other(tmp_path):
    with pytest.raises(UserError, match="found none: mount its disk"), logged(tmp_path / "run" / "logs", 1):
        pass
    assert not (tmp_path / "run").exists()


def test_half_a_line_and_something_else_are_passed_over(tmp_path):
    path = tmp_path / "host-1.jsonl"
    assert last_said(path) is None
    path.write_text("")
    assert last_said(path).event == ""
    good = json.dumps({"task": 2, "event": "said", "text": "step 5"})
    path.write_text("x" * 9000 + "\n" + good + "\n[1]\n" + '{"task": 2, "ev')
    assert last_said(path)[1:] == (2, "said", "step 5")
