"""Real engines on this machine, whose workers are killed, preempted and come back."""

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import processes
import pytest
from PIL import Image
from sweeps import ROOT, command, config, start, wait_for

from experiments import sweep
from nst_jax.errors import UserError

WEIGHTS = "--style_weight=10,50,300"
STEPS = "--steps=150"


@pytest.fixture(scope="module")
def expected(pictures, tmp_path_factory):
    """The pictures of one process."""
    folder = tmp_path_factory.mktemp("alone")
    subprocess.run(command(pictures, folder, WEIGHTS, STEPS), cwd=ROOT, check=True)
    return {path.name: path.read_bytes() for path in (folder / "cells").glob("*.png")}


def pictures_of(folder):
    return {path.name: path.read_bytes() for path in (folder / "cells").glob("*.png")}


def done(folder):
    return {path: path.stat().st_mtime_ns for path in (folder / "cells").glob("*.json")}


@pytest.mark.slow
@pytest.mark.skipif(not processes.PROC, reason="finds worker processes in /proc")
def test_dask_whose_worker_and_then_whose_driver_is_killed(expected, pictures, tmp_path):
    pytest.importorskip("distributed", reason="runs workers of Dask, an extra")
    flags = (WEIGHTS, STEPS, "--save_every=10", "--engine=dask", "--workers=3", "--cells_per_task=1")
    driver = start(pictures, tmp_path, *flags)
    wait_for(lambda: done(tmp_path), driver)
    os.kill(processes.workers(driver.pid)[0], signal.SIGKILL)
    before = len(done(tmp_path))
    wait_for(lambda: len(done(tmp_path)) > before, driver)
    driver.kill()
    driver.communicate()
    kept = done(tmp_path)
    assert len(kept) < len(expected)
    driver = start(pictures, tmp_path, *flags)
    output = driver.communicate(timeout=300)[0]
    assert driver.returncode == 0, output
    assert pictures_of(tmp_path) == expected
    # What workers of the killed driver wrote last may be newer than what it had seen; nothing is written twice.
    assert {path: done(tmp_path)[path] for path in kept} == kept
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.slow
def test_dask_says_in_a_line_why_a_task_failed(pictures, tmp_path):
    """The others go on, and the same command makes the rest when the image is back."""
    pytest.importorskip("distributed", reason="runs workers of Dask, an extra")
    photo, folder = tmp_path / "photo.png", tmp_path / "sweep"
    shutil.copy(pictures / "photo.png", photo)
    flags = (f"--contents={photo},{pictures / 'wide.png'}", "--steps=3", "--engine=dask", "--cells_per_task=1")
    running = start(pictures, folder, *flags)
    wait_for(lambda: (folder / "tasks.json").exists(), running)
    photo.rename(tmp_path / "away")
    output = running.communicate(timeout=300)[0]
    assert running.returncode == 1
    assert len(done(folder)) == 2
    said = [line for line in output.splitlines() if "photo.png: no such file" in line]
    assert [line.partition(",")[0] for line in said] == ["task 0", "task 1"]
    assert "found 2 left by workers that ended before; the same command continues" in output
    assert "Traceback" not in output
    (tmp_path / "away").rename(photo)
    subprocess.run(command(pictures, folder, *flags), cwd=ROOT, check=True)
    assert len(done(folder)) == 4


@pytest.mark.slow
def test_a_dask_scheduler_that_runs_already(expected, pictures, tmp_path):
    distributed = pytest.importorskip("distributed", reason="runs workers of Dask, an extra")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        address = cluster.scheduler_address
        running = start(pictures, tmp_path, WEIGHTS, STEPS, "--engine=dask", f"--engine_address={address}")
        output = running.communicate(timeout=300)[0]
    assert running.returncode == 0, output
    assert pictures_of(tmp_path) == expected


def test_no_dask_scheduler_there(pictures, tmp_path, monkeypatch):
    pytest.importorskip("distributed", reason="asks for a scheduler of Dask, an extra")
    from experiments.engines import dask

    monkeypatch.setattr(dask, "_PATIENCE", 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(UserError, match=f"--engine_address: expected a scheduler at {address}, found none"):
        sweep.run(config(pictures, tmp_path, engine="dask", engine_address=address))


@pytest.mark.slow
def test_dask_workers_that_come_and_go(expected, pictures, tmp_path):
    pytest.importorskip("distributed", reason="runs workers of Dask, an extra")
    flags = ("--engine=dask", "--workers=2", "--engine_options=minimum=0", "--cells_per_task=2")
    running = start(pictures, tmp_path, WEIGHTS, STEPS, *flags)
    output = running.communicate(timeout=300)[0]
    assert running.returncode == 0, output
    assert pictures_of(tmp_path) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("minimun=1",), "--engine_options: expected cluster, interval, maximum, minimum, .*, found minimun"),
        (("cluster=nowhere.Cluster",), "--engine_options: expected those of a cluster of Dask, found: No module named"),
    ],
    ids=str,
)
def test_options_that_dask_has_not(options, message, pictures, tmp_path):
    pytest.importorskip("distributed", reason="asks for a cluster of Dask, an extra")
    with pytest.raises(UserError, match=message):
        sweep.run(config(pictures, tmp_path, engine="dask", engine_options=options))


@pytest.mark.parametrize(("workers", "nodes"), [(2, 0), (3, 2), (1, 2), (2, "two")])
def test_nodes_that_cannot_share_the_processes(workers, nodes, tmp_path):
    from experiments.engines import slurm
    from experiments.engines.tasks import Work

    work = Work("", (), (0,), str(tmp_path), str(tmp_path / "logs"), workers, None, (("nodes", nodes),), together=True)
    with pytest.raises(UserError, match=f"expected nodes that share {workers} --workers equally, found nodes={nodes}"):
        slurm.start(work).__enter__()


@pytest.mark.parametrize("options", [(), (("interval", "now"),)], ids=["none", "one"])
def test_a_local_cluster_that_cannot_be_used_is_closed(options, monkeypatch):
    distributed = pytest.importorskip("distributed", reason="stands for a cluster of Dask, an extra")
    from experiments.engines import dask
    from experiments.engines.tasks import Work

    closed = []

    class Cluster:
        def __init__(self, **_):
            pass

        def scale(self, *_, **__):
            raise OSError("Too many open files")

        def close(self):
            closed.append(self)

        adapt = scale

    monkeypatch.setattr(distributed, "LocalCluster", Cluster)
    with pytest.raises(
        UserError, match=f"--engine{'_options' if options else '=dask'}: expected .* Too many open files"
    ):
        dask._cluster(Work("", (), (0,), "", "", 1, None, options))
    assert len(closed) == 1


def test_dask_gives_neighbours_to_one_worker(monkeypatch):
    distributed = pytest.importorskip("distributed", reason="runs workers of Dask, an extra")
    from experiments.engines import dask
    from experiments.engines.tasks import Work

    def run(_, task, __):
        time.sleep(0.05)  # longer than it takes to submit the next
        return distributed.get_worker().name

    monkeypatch.setattr(dask, "_run", run)
    tasks = tuple(range(18))
    work = Work("", (), tasks, "", "", 3, None, (), places=tuple((task + 0.5) / 18 for task in tasks))
    here = {"processes": False, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(n_workers=3, **here) as cluster, distributed.Client(cluster) as client:
        at = {task: future.result(timeout=60) for future, task in dask._submitted(client, work).items()}
    stretches = [[at[task] for task in tasks[first : first + 6]] for first in (0, 6, 12)]
    mostly = [max(stretch, key=stretch.count) for stretch in stretches]
    assert sorted(mostly) == [0, 1, 2]
    # One that is done before the others takes over the last task of theirs.
    assert all(stretch.count(name) >= 4 for stretch, name in zip(stretches, mostly, strict=True))


@pytest.mark.slow
def test_ray(expected, pictures, tmp_path):
    pytest.importorskip("ray", reason="runs workers of Ray, an extra")
    running = start(pictures, tmp_path, WEIGHTS, STEPS, "--engine=ray", "--workers=2")
    output = running.communicate(timeout=300)[0]
    assert running.returncode == 0, output
    assert pictures_of(tmp_path) == expected


CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=sched_interval=2,bf_interval=2
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN
PartitionName=low Nodes={host} Default=YES State=UP PriorityTier=1
PartitionName=high Nodes={host} State=UP PriorityTier=10
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Slurm's own daemons on this machine, with a partition of which jobs are taken for those of another."""
    pytest.importorskip("submitit", reason="submits to Slurm by submitit, an extra")
    daemons = ("munged", "slurmctld", "slurmd")
    if missing := [name for name in daemons if not shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")]:
        pytest.skip(f"starts Slurm, of which {', '.join(missing)} are not installed")
    if os.geteuid() != 0:
        pytest.skip("starts Slurm's daemons, which need root")
    folder = tmp_path / "slurm"
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    host = socket.gethostname().partition(".")[0]
    text = CONFIGURATION.format(host=host, ports=ports, folder=folder, cores=os.cpu_count())
    (folder / "slurm.conf").write_text(text)
    monkeypatch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:/usr/sbin")
    files = {"key-file": key, "socket": folder / "munge.socket", "pid-file": folder / "munged.pid"}
    files |= {"log-file": folder / "munged.log", "seed-file": folder / "munged.seed"}
    subprocess.run(["munged", "--force", *(f"--{name}={path}" for name, path in files.items())], check=True)
    subprocess.run(["slurmctld", "-c"], check=True)
    subprocess.run(["slurmd"], check=True)
    try:
        wait_for(lambda: "idle" in subprocess.run(["sinfo"], capture_output=True, text=True, check=False).stdout)
        yield
    finally:
        subprocess.run(["scancel", "--user=root"], check=False)
        for name in reversed(daemons):
            os.kill(int((folder / f"{name}.pid").read_text()), signal.SIGTERM)


@pytest.mark.slow
def test_slurm_that_takes_jobs_off_their_machine(slurm, expected, pictures, tmp_path):
    options = "--engine_options=timeout_min=10,slurm_partition=low,cpus_per_task=1"
    flags = (WEIGHTS, STEPS, "--save_every=10", "--engine=slurm", options, "--workers=2", "--cells_per_task=3")
    folder = tmp_path / "sweep"
    running = start(pictures, folder, *flags)
    wait_for(lambda: done(folder), running)
    subprocess.run(["srun", "-p", "high", "--exclusive", "sleep", "1"], check=True)
    taken = (tmp_path / "slurm" / "slurmctld.log").read_text()
    output = running.communicate(timeout=500)[0]
    assert running.returncode == 0, output
    assert "has been requeued" in taken
    assert pictures_of(folder) == expected


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Photographs of noise of many sizes, and what one process paints of them."""
    folder, out = tmp_path_factory.mktemp("frames"), tmp_path_factory.mktemp("painted")
    random = np.random.default_rng(1)
    for number in range(60):
        Image.fromarray(random.integers(0, 256, (200 + number, 256, 3), np.uint8)).save(folder / f"{number}.png")
    subprocess.run(one_pass(folder, out), cwd=ROOT, check=True)
    return folder, painted(out)


def one_pass(frames, out, *flags):
    output, workdir = f"--output={out / 'pictures'}", f"--workdir={out / 'run'}"
    return [sys.executable, "-m", "experiments.instant", f"--contents={frames}", output, workdir, *flags]


def painted(out):
    return {path.name: path.read_bytes() for path in (out / "pictures").glob("*.png")}


@pytest.mark.slow
@pytest.mark.skipif(not processes.PROC, reason="finds worker processes in /proc")
def test_a_folder_in_one_pass_whose_driver_is_killed(frames, tmp_path):
    pytest.importorskip("distributed", reason="runs workers of Dask, an extra")
    folder, expected = frames
    run = one_pass(folder, tmp_path, "--engine=dask", "--workers=2", "--pictures_per_task=5")
    driver = subprocess.Popen(run, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_for(lambda: len(painted(tmp_path)) > 5, driver)
    workers = processes.workers(driver.pid)
    driver.kill()
    driver.communicate()
    wait_for(lambda: not any(map(processes.is_there, workers)))  # workers of a driver that is gone end soon
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "pictures").glob("*.png")}
    assert len(kept) < len(expected)
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert painted(tmp_path) == expected
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


@pytest.mark.slow
def test_slurm_that_takes_a_folder_in_one_pass_off_its_machine(slurm, frames, tmp_path):
    folder, expected = frames
    options = "--engine_options=timeout_min=10,slurm_partition=low,cpus_per_task=1"
    run = one_pass(folder, tmp_path, "--engine=slurm", options, "--workers=2", "--pictures_per_task=30")
    driver = subprocess.Popen(run, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_for(lambda: len(painted(tmp_path)) > 2, driver)
    subprocess.run(["srun", "-p", "high", "--exclusive", "sleep", "1"], check=True)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "pictures").glob("*.png")}
    assert "has been requeued" in (tmp_path / "slurm" / "slurmctld.log").read_text()
    assert len(kept) < len(expected)
    output = driver.communicate(timeout=500)[0]
    assert driver.returncode == 0, output
    assert painted(tmp_path) == expected
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


@pytest.mark.slow
def test_slurm_that_takes_a_training_off_its_machine(slurm, pictures, tmp_path):
    """Two processes of one job train together, stop at a checkpoint, and go on from it when they are queued again."""
    folder, count = tmp_path / "training", 300
    flags = [f"--contents={pictures}", f"--style={pictures / 'first.png'}", "--backbone=squeezenet1_1", "--size=40"]
    flags += [
        "--style_layers=conv1",
        "--content_layers=fire2/concat",
        "--width=0.1",
        "--batch_size=2",
        "--show_every=0",
    ]
    flags += [f"--steps={count}", "--save_every=20", f"--workdir={folder}", "--engine=slurm", "--workers=2"]
    flags += ["--engine_options=timeout_min=10,slurm_partition=low,cpus_per_task=1"]
    script = [sys.executable, "-m", "experiments.train", *flags]
    running = subprocess.Popen(script, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_for(lambda: (folder / "run.json").exists(), running, seconds=300)
    subprocess.run(["srun", "-p", "high", "--exclusive", "sleep", "1"], check=True)
    assert "has been requeued" in (tmp_path / "slurm" / "slurmctld.log").read_text()
    assert json.loads((folder / "run.json").read_text())["steps_done"] < count
    output = running.communicate(timeout=500)[0]
    assert running.returncode == 0, output
    record = json.loads((folder / "run.json").read_text())
    assert (record["devices"], record["steps_done"]) == (2, count)
    logs = "".join(path.read_text() for path in (folder / "logs").glob("*.jsonl"))
    assert "going on after step" in logs
    with (folder / "losses.csv").open() as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == list(range(1, count + 1))
