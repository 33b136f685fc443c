"""The studio as a whole: processes, HTTP, pictures."""

import dataclasses
import json
import os
import shlex
import signal
import time
import typing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments import stylize
from experiments.cli.flags import parse_value, without_none
from nst_jax.io import images

SIZE, STEPS = 64, 400
DIALS = {
    "size": SIZE,
    "steps": STEPS,
    "shifts": 1,
    "style_layers": "conv1,fire2/concat",
    "content_layers": "fire3/concat",
}
"""Of a picture that is soon painted, by a program that is soon compiled."""


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return tmp_path_factory.mktemp("studio, with a comma")


@pytest.fixture(scope="module")
def studio(open_studio, workdir):
    return open_studio(workdir)


@pytest.fixture(scope="module")
def uploaded(studio, pictures):
    return {name: studio.upload(pictures / f"{name}.png") for name in ("photo", "first", "second")}


@pytest.fixture
def begin(studio, uploaded):
    """A function that begins a run and waits until it has done some steps."""

    def begin_(*, steps=3, styles=("first",), **dials):
        new = {"content": uploaded["photo"], "styles": [uploaded[name] for name in styles], "dials": {**DIALS, **dials}}
        run = studio.post("api/runs", new)["id"]
        studio.until(lambda state: state["run"] and state["run"]["id"] == run and state["run"]["step"] >= steps)
        return run

    yield begin_
    for entry in studio.get("api/runs"):
        studio.client.delete(f"api/runs/{entry['id']}")
    studio.until(lambda state: state["run"] is None)


def flags_in(command, **others):
    """Returns the flags of a command of `stylize`."""
    words = [word for word in shlex.split(command) if word.startswith("--")]
    given = dict(word.removeprefix("--").split("=", 1) for word in words)
    hints = typing.get_type_hints(stylize.Config, include_extras=True)
    values = {name: parse_value(text, without_none(hints[name])) for name, text in given.items()}
    return stylize.Config(**{**values, **others})


def test_a_picture_is_that_of_the_command_byte_for_byte(studio, begin, workdir, tmp_path):
    run = begin(steps=12)
    studio.post(f"api/runs/{run}/pause")
    entry = studio.until_status(run, "paused")
    step = entry["step"]
    half_way = studio.client.get(f"api/runs/{run}/picture.png").content
    studio.post(f"api/runs/{run}/go_on")
    entry = studio.until_status(run, "finished")
    assert entry["exact"]
    assert entry["step"] == STEPS
    whole, deep = (studio.client.get(f"api/runs/{run}/picture.{kind}").content for kind in ("png", "tiff"))

    flags = flags_in(entry["command"], workdir=str(tmp_path / "png"), save_every=step)
    stylize.run(flags)
    assert (tmp_path / "png" / f"step{step:05d}.png").read_bytes() == half_way
    assert (tmp_path / "png" / "picture.png").read_bytes() == whole
    stylize.run(dataclasses.replace(flags, workdir=str(tmp_path / "tiff"), bits=16, output=str(tmp_path / "deep.tiff")))
    assert (tmp_path / "deep.tiff").read_bytes() == deep
    found = studio.get(f"api/runs/{run}/run.json")
    assert found["settings"] == json.loads((tmp_path / "png" / "run.json").read_text())["settings"]
    assert studio.client.get(f"api/runs/{run}/thumbnail").content[:2] == b"\xff\xd8"


def test_moved_dials_act_and_compile_nothing(studio, begin):
    run = begin(steps=10)
    before = studio.get("api/state")["run"]
    assert before["weights"]["style"] == 140
    assert studio.post(f"api/runs/{run}/dials", {"dials": {"style_weight": 300, "tv_weight": 0}}) == {"acts": "at once"}
    acted = studio.until(lambda state: state["run"]["weights"].get("style") == 300, seconds=10)
    assert acted["run"]["weights"]["total_variation"] == 0
    assert acted["run"]["moved"] == []
    later = studio.until(lambda state: state["run"]["step"] >= acted["run"]["step"] + 5)
    assert later["run"]["compilations"] == before["compilations"]
    entry = studio.get(f"api/runs/{run}")
    [[step, dials]] = entry["stages"][0]["moves"]
    assert before["step"] <= step <= acted["run"]["step"]
    assert dials["style_weight"] == 300
    assert not entry["exact"]
    losses = studio.get(f"api/runs/{run}/losses")
    assert losses["step"] == list(range(len(losses["step"])))
    # The loss is what its terms say, with the old weights before the move and with the new ones after it.
    for place, weights in ((step, before["weights"]), (step + 1, acted["run"]["weights"])):
        expected = sum(weight * losses["terms"][name][place] for name, weight in weights.items())
        assert losses["loss"][place] == pytest.approx(expected, rel=1e-4)
    studio.post(f"api/runs/{run}/stop")
    studio.until_status(run, "stopped")
    assert studio.get(f"api/runs/{run}/run.json")["settings"]["moved"] == [
        [step, {"style_weight": 300, "tv_weight": 0}]
    ]


def test_frames_come_when_they_are_asked_for(studio, begin):
    run = begin(steps=5)
    frame = studio.get("api/state")["run"]["frame"]
    later = studio.until(lambda state: state["run"]["step"] > 30)
    assert later["run"]["frame"] == frame == 1, "nobody asked for more than the first look"
    shown = studio.client.get(f"api/runs/{run}/frame")
    assert shown.status_code == 200
    assert (shown.headers["Frame"], shown.headers["Step"]) == ("1", "-1")
    studio.until(lambda state: state["run"]["frame"] > frame)
    newer = studio.client.get(f"api/runs/{run}/frame", params={"after": frame})
    assert int(newer.headers["Step"]) > 0
    assert newer.headers["content-type"] == "image/jpeg"


def test_a_mark_is_come_back_to(studio, begin):
    run = begin(steps=10)
    studio.post(f"api/runs/{run}/pause")
    at = studio.until_status(run, "paused")["step"]
    assert studio.post(f"api/runs/{run}/mark") == {"mark": 1}
    picture = studio.client.get(f"api/runs/{run}/picture.png").content
    studio.post(f"api/runs/{run}/dials", {"dials": {"strength": 0.9}})
    studio.post(f"api/runs/{run}/go_on")
    studio.until(lambda state: state["run"]["step"] > at + 10)
    studio.post(f"api/runs/{run}/pause")
    studio.until_status(run, "paused")
    studio.post(f"api/runs/{run}/undo", mark=1)
    studio.until(lambda state: state["run"]["step"] == at and state["entry"]["status"] == "paused")
    entry = studio.get(f"api/runs/{run}")
    assert "strength" not in entry["dials"]
    assert entry["stages"][0]["moves"] == []
    assert studio.client.get(f"api/runs/{run}/picture.png").content == picture
    assert studio.get(f"api/runs/{run}/losses")["step"] == list(range(at + 1))


def test_another_size_is_a_new_stage_from_the_picture_so_far(studio, begin, workdir):
    run = begin(steps=20)
    assert studio.post(f"api/runs/{run}/dials", {"dials": {"size": 80, "steps": 5}}) == {"acts": "stage"}
    entry = studio.until_status(run, "finished")
    assert [stage["begun"]["size"] for stage in entry["stages"]] == [64, 80]
    assert entry["exact"]
    with Image.open(workdir / "runs" / run / "picture.png") as picture:
        assert picture.size == (80, 60)
    flags = flags_in(entry["command"])
    start = images.read(flags.init).pixels
    assert start.shape == (48, 64, 3)
    assert np.std(start - images.read(flags.content, size=64).pixels) > 0.01, "the photograph as it was"


def test_regions_keep_the_photograph(studio, begin, uploaded, tmp_path):
    colours = np.zeros((48, 64, 3), np.uint8)
    colours[:, 32:] = (255, 0, 0)
    Image.fromarray(colours).save(tmp_path / "map.png")
    answer = studio.client.post(
        "api/images", content=(tmp_path / "map.png").read_bytes(), params={"kind": "map"}
    ).json()
    assert answer["colours"] == [["#000000", 0.5], ["#ff0000", 0.5]]
    run = begin(steps=10)
    assert studio.post(f"api/runs/{run}/dials", {"dials": {"keep": "#ff0000", "steps": 12}, "regions": answer["id"]})
    entry = studio.until_status(run, "finished")
    assert len(entry["stages"]) == 2
    (tmp_path / "made.png").write_bytes(studio.client.get(f"api/runs/{run}/picture.png").content)
    made = images.read(tmp_path / "made.png").pixels
    photo = images.read(flags_in(entry["command"]).content, size=64).pixels
    np.testing.assert_allclose(made[:, 32:], photo[:, 32:], atol=0.5 / 255 + 1e-6)
    assert np.abs(made[:, :32] - photo[:, :32]).mean() > 0.02


def test_what_cannot_be_is_said_and_the_studio_lives_on(studio, begin, uploaded):
    run = begin()
    assert studio.client.post(f"api/runs/{run}/dials", json={"dials": {"blend_weights": "1,2"}}).status_code == 200
    state = studio.until(lambda state: any(message["level"] == "error" for message in state["messages"]))
    assert "blend_weights" in state["messages"][-1]["text"]
    studio.post(
        f"api/runs/{run}/dials", {"dials": {"blend_weights": None, "learning_rate": 1e38, "style_weight": 1e38}}
    )
    entry = studio.until_status(run, "failed", "finished")
    assert entry["status"] == "failed"
    assert "lower learning_rate or the weights" in entry["message"]
    studio.post(f"api/runs/{run}/dials", {"dials": {"learning_rate": None, "style_weight": None}})
    studio.post(f"api/runs/{run}/go_on")
    assert studio.until_status(run, "finished")["message"] == ""


def test_a_killed_worker_is_replaced_and_its_run_goes_on(studio, begin):
    run = begin(steps=10)
    studio.post(f"api/runs/{run}/pause")  # which keeps a checkpoint
    at = studio.until_status(run, "paused")["step"]
    before = studio.get(f"api/runs/{run}/losses")["loss"]
    os.kill(studio.worker(), signal.SIGKILL)
    studio.until(lambda state: "signal 9" in "".join(message["text"] for message in state["messages"]))
    entry = studio.until_status(run, "finished")
    assert entry["step"] == STEPS
    after = studio.get(f"api/runs/{run}/losses")
    assert after["loss"][: at + 1] == pytest.approx(before)


def test_runs_wait_their_turn(studio, begin):
    first = begin()
    second = studio.post("api/runs", studio_run(studio, first))["id"]
    third = studio.post("api/runs", studio_run(studio, first))["id"]
    assert studio.get("api/state")["waiting"] == [second, third]
    studio.post(f"api/runs/{third}/first")
    assert studio.get("api/state")["waiting"] == [third, second]
    studio.client.delete(f"api/runs/{second}")
    studio.post(f"api/runs/{first}/stop")
    state = studio.until(lambda state: state["run"] and state["run"]["id"] == third)
    assert state["waiting"] == []
    assert studio.get(f"api/runs/{first}")["status"] == "stopped"


def lives(pid):
    """Returns whether there is a process, which is not just waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def studio_run(studio, like):
    """Returns the body of a run with the images and dials of another one."""
    entry = studio.get(f"api/runs/{like}")
    return {"content": entry["images"]["content"], "styles": entry["images"]["styles"], "dials": entry["dials"]}


@pytest.mark.slow
def test_many_are_tried(studio, begin, uploaded):
    new = {"content": uploaded["photo"], "styles": [uploaded["first"]], "dials": {**DIALS, "steps": 4}}
    run = studio.post("api/sweeps", {**new, "axes": {"style_weight": [20, 200]}})["id"]
    entry = studio.until_status(run, "finished", "failed")
    assert (entry["status"], entry["message"]) == ("finished", "")
    page = studio.client.get(f"api/runs/{run}/sweep/index.html")
    assert page.status_code == 200
    assert "unsafe-inline" in page.headers["content-security-policy"]
    cells = sorted(
        path.name for path in Path(entry["command"].split("--workdir=")[1].split("'")[0]).glob("cells/*.png")
    )
    assert len(cells) == 2
    assert studio.client.get(f"api/runs/{run}/sweep/cells/{cells[0]}").status_code == 200
    assert studio.client.get(f"api/runs/{run}/sweep/cells/..%2f..%2fstudio.json").status_code == 404


def test_the_gallery_and_what_was_under_way_survive(open_studio, pictures, tmp_path):
    first = open_studio(tmp_path)
    photo, style = first.upload(pictures / "photo.png"), first.upload(pictures / "first.png")
    new = {"content": photo, "styles": [style], "dials": DIALS}
    run = first.post("api/runs", new)["id"]
    first.until(lambda state: state["run"] and state["run"]["step"] > 5)
    first.post(f"api/runs/{run}/pause")  # which keeps a checkpoint
    at = first.until_status(run, "paused")["step"]
    first.post(f"api/runs/{run}/go_on")
    first.until_status(run, "running")
    worker = first.worker()
    first.close(signal.SIGKILL)
    ends = time.monotonic() + 300
    while lives(worker):  # not for long, without its server
        assert time.monotonic() < ends
        time.sleep(0.1)
    second = open_studio(tmp_path)
    assert second.address != first.address
    goes_on = second.until(lambda state: state["run"] and state["run"]["steps"] and state["run"]["doing"] == "painting")
    assert goes_on["run"]["step"] >= at
    assert second.until_status(run, "finished")["step"] == STEPS
    second.close()
    assert second.process.returncode == 130


@pytest.mark.slow
def test_a_terminal_stops_a_sweep_and_no_step_is_lost(open_studio, pictures, tmp_path):
    """Ctrl-C goes to all processes of a terminal, and twice where somebody is impatient."""
    first = open_studio(tmp_path)
    photo, style = first.upload(pictures / "photo.png"), first.upload(pictures / "first.png")
    new = {"content": photo, "styles": [style], "dials": {**DIALS, "steps": 90_000}, "axes": {"seed": [1, 2]}}
    run = first.post("api/sweeps", new)["id"]
    folder = tmp_path / "runs" / run / "sweep"
    ends = time.monotonic() + 300
    while not list(folder.glob("checkpoints/*")):
        os.kill(first.worker(), signal.SIGINT)  # as the terminal does
        assert time.monotonic() < ends
        time.sleep(0.5)
    worker = first.worker()
    for number in (signal.SIGINT, signal.SIGINT):
        os.kill(worker, number)
        first.process.send_signal(number)
        time.sleep(0.3)
    assert first.process.wait(120) == 130
    first.close()
    assert not lives(worker)
    entry = json.loads((tmp_path / "runs" / run / "studio.json").read_text())
    assert entry["status"] in ("starting", "running"), "it goes on when the studio is opened again"
    assert list(folder.glob("checkpoints/*/*")), "the last state of its cells"
