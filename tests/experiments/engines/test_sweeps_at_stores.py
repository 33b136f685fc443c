"""Sweeps whose folders are at an object store: in memory; and a server of S3 with workers that are killed, busy, ..."""

import contextlib
import os
import signal
import socket
import subprocess
import sys

import numpy as np
import processes
import pytest
from faulty import DENIED, SLOW_DOWN, before
from sweeps import ROOT, command, config, wait_for

from experiments import sweep
from experiments.running.checkpoint_files import CheckpointFiles
from nst_jax.errors import UserError
from nst_jax.io import stores

fsspec = pytest.importorskip("fsspec", reason="comes with orbax, but is no dependency of its own")


def test_a_sweep_at_a_store_is_that_of_the_disk(pictures, tmp_path, memory):
    for name in ("photo.png", "first.png", "second.png"):
        memory.put_file(str(pictures / name), f"art/in/{name}")
    flags = {"backbone": ("squeezenet1_1",), "style_weight": (10.0, 50.0), "styles": (str(pictures / "first.png"),)}
    sweep.run(config(pictures, tmp_path, **flags))
    outcome = sweep.run(config(pictures, "memory://art/out", **flags))
    assert (outcome.finished, outcome.missing, outcome.failed) == (2, 0, {})
    there = {path.name: path.read_bytes() for path in stores.located("memory://art/out/cells").glob("*.[pc]*")}
    assert there == {path.name: path.read_bytes() for path in (tmp_path / "cells").glob("*.[pc]*")}
    assert memory.find("art/out/checkpoints") == []
    inputs = {"contents": ("memory://art/in/photo.png",), "styles": ("memory://art/in/first.png",)}
    before = {name: file.modified for name, file in memory.store.items() if "/cells/" in name}
    sweep.run(config(pictures, "memory://art/out", **flags | inputs))  # the same pictures, from elsewhere
    assert {name: file.modified for name, file in memory.store.items() if "/cells/" in name} == before


def test_a_store_that_does_not_answer_loses_no_checkpoint(memory, monkeypatch, tmp_path):
    for folder in (tmp_path, stores.located("memory://art/checkpoints/cell")):
        kept = CheckpointFiles(folder, {"steps": 3}, {"tile": "off"})
        for step in (1, 2, 3):
            kept.save(step, lambda: [np.arange(5, dtype=np.float32)])
        assert kept.newest() == 3
        assert kept.restore(lambda step, arrays: (step, arrays[0].tolist())) == (3, [0, 1, 2, 3, 4])
        assert kept.chosen() == {"tile": "off"}
        assert len(list(folder.iterdir())) == 2

    def fail(*_, **__):
        raise ConnectionError("no route to host")

    with monkeypatch.context() as patch:
        patch.setattr(type(memory), "cat_file", fail)
        for attempt in (kept.chosen, lambda: kept.restore(lambda *_: None)):
            with pytest.raises(UserError, match="cannot be used now: no route to host") as raised:
                attempt()
            assert type(raised.value) is UserError  # no damage, after which a cell would begin again
    assert kept.newest() == 3
    kept.clear()
    assert memory.find("art/checkpoints") == []


@pytest.fixture(scope="module")
def port():
    """The port of a server of S3 on this machine, with a bucket `art`, and a key in the environment."""
    pytest.importorskip("moto", reason="runs moto's server of S3: pip install 'moto[server]'")
    pytest.importorskip("s3fs", reason="reads and writes by s3fs: pip install '.[store]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(number)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{number}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "hushhush",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            patch.setenv(name, value)
        try:
            wait_for(lambda: answers(number), server)
            fsspec.filesystem("s3").mkdir("art")
            yield number
        finally:
            server.kill()
            server.wait()


def answers(port):
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


def at_store(folder):
    """Name → content of the files of the cells there."""
    store = fsspec.filesystem("s3", use_listings_cache=False)
    return {name.rpartition("/")[2]: store.cat_file(name) for name in store.find(f"art/{folder}/cells")}


def pictures_of(files):
    return {name: content for name, content in files.items() if name.endswith((".png", ".csv"))}


WEIGHTS = "--style_weight=10,50,300"
STEPS = "--steps=300"


@pytest.mark.slow
@pytest.mark.parametrize("engine", [(), ("--engine=dask", "--workers=2", "--cells_per_task=1")])
def test_killed_at_a_store_it_goes_on_to_the_same_bytes(pictures, tmp_path, port, engine):
    if engine:
        pytest.importorskip("distributed", reason="runs workers of Dask, an extra")
        if not processes.PROC:
            pytest.skip("finds worker processes in /proc")
    subprocess.run(command(pictures, tmp_path, WEIGHTS, STEPS), cwd=ROOT, check=True)
    folder = "dask" if engine else "alone"
    run = command(pictures, f"s3://art/{folder}", WEIGHTS, STEPS, "--save_every=10", *engine)
    driver = subprocess.Popen(run, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    store = fsspec.filesystem("s3", use_listings_cache=False)

    def written(kind):
        return set(store.glob(f"art/{folder}/{kind}"))

    wait_for(lambda: written("cells/*.json") and written("checkpoints/*/*"), driver)
    workers = processes.workers(driver.pid)
    if engine:
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        wait_for(lambda: set(processes.workers(driver.pid)).isdisjoint(workers), driver)
        left = written("*/*/*")
        wait_for(lambda: written("*/*/*") - left, driver)  # checkpoints of the workers that came in their place
        workers = processes.workers(driver.pid)
    driver.kill()
    driver.communicate()
    wait_for(lambda: not any(map(processes.is_there, workers)))  # workers of a driver that is gone end soon
    kept = {name: content for name, content in at_store(folder).items() if name.endswith(".json")}
    assert 0 < len(kept) < 6
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    files = at_store(folder)
    assert pictures_of(files) == pictures_of({path.name: path.read_bytes() for path in (tmp_path / "cells").iterdir()})
    assert {name: files[name] for name in kept} == kept
    assert store.find(f"art/{folder}/checkpoints") == []
    everything = b"".join(store.cat_file(name) for name in store.find(f"art/{folder}"))
    assert b"hushhush" not in everything


@pytest.mark.slow
def test_a_blend_killed_at_a_store(pictures, tmp_path, port):
    """Its animation, too, is that of a folder on the disk."""

    def blend(workdir):
        return [
            *(sys.executable, "-m", "experiments.blend", f"--workdir={workdir}", "--backbone=squeezenet1_1"),
            *("--size=48", "--style_layers=conv1,fire2/concat", "--content_layers=fire2/concat", "--optimizer=adam"),
            *(f"--content={pictures / 'photo.png'}", f"--style={pictures / 'first.png'},{pictures / 'second.png'}"),
            *("--blend_steps=4", STEPS, "--save_every=10"),
        ]

    subprocess.run(blend(tmp_path), cwd=ROOT, check=True)
    run = blend("s3://art/blend")
    store = fsspec.filesystem("s3", use_listings_cache=False)
    driver = subprocess.Popen(run, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_for(lambda: store.glob("art/blend/cells/*.json") and store.glob("art/blend/checkpoints/*/*"), driver)
    driver.kill()
    driver.communicate()
    kept = {name: content for name, content in at_store("blend").items() if name.endswith(".json")}
    assert 0 < len(kept) < len(list((tmp_path / "cells").glob("*.json")))
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    files = at_store("blend")
    assert pictures_of(files) == pictures_of({path.name: path.read_bytes() for path in (tmp_path / "cells").iterdir()})
    assert {name: files[name] for name in kept} == kept
    assert store.cat_file("art/blend/blend.webp") == (tmp_path / "blend.webp").read_bytes()
    assert store.find("art/blend/checkpoints") == []


def is_record(method, path):
    return method == "PUT" and "/cells/" in path and path.endswith(".json")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (lambda method, path, count: SLOW_DOWN if method == "PUT" and count < 2 else None, None),
        (lambda method, path, count: SLOW_DOWN if is_record(method, path) else None, "reduce your request rate"),
        (lambda method, path, count: (500, "?") if is_record(method, path) else None, "Internal Server Error"),
        (lambda method, path, count: DENIED if method == "PUT" else None, "no permission at the store: Access Denied"),
    ],
    ids=["busy for a while", "busy for ever", "broken", "not allowed"],
)
def test_a_store_on_a_bad_day(pictures, tmp_path, port, monkeypatch, request, fault, problem):
    folder = "s3://art/" + request.node.callspec.id.replace(" ", "-")
    run = command(pictures, folder, "--steps=3", styles="first.png")
    with before(port, fault) as (address, seen):
        done = subprocess.run(
            run, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "AWS_ENDPOINT_URL": address}
        )
    assert len(seen) < 150
    assert "hushhush" not in done.stdout + done.stderr
    if problem:
        assert done.returncode == 1
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert [problem in line for line in errors] == [True]
        assert "Traceback" not in done.stderr
        done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True)  # the day after
    assert done.returncode == 0, done.stderr
    assert sum(name.endswith(".json") for name in at_store(folder.removeprefix("s3://art/"))) == 1


@pytest.mark.slow
def test_what_is_not_there_is_one_line(pictures, port):
    for folder, endpoint, problem in (
        ("s3://nothing/out", None, "The specified bucket does not exist"),
        ("s3://art/out", "http://127.0.0.1:9", "Could not connect to the endpoint"),
    ):
        environment = {**os.environ, **({"AWS_ENDPOINT_URL": endpoint} if endpoint else {})}
        done = subprocess.run(
            command(pictures, folder), cwd=ROOT, capture_output=True, text=True, env=environment, timeout=300
        )
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert problem in done.stderr
