"""The benchmark: that it measures what it says, and that all of its numbers are there."""

import dataclasses
import json
import subprocess
import sys
import typing

import numpy as np
import pytest
from PIL import Image

from experiments import benchmark
from nst_jax.applications.feedforward import trained
from nst_jax.applications.feedforward.networks import Transformer, network_parameters
from nst_jax.applications.feedforward.steps import Conv
from nst_jax.errors import UserError
from nst_jax.presets import PRESETS


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    """What the script sets for its process is undone."""
    import jax

    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    before = jax.config.jax_enable_compilation_cache
    yield
    jax.config.update("jax_enable_compilation_cache", before)


@pytest.fixture
def few_layers(monkeypatch):
    """The preset of SqueezeNet with the first layers only, which compile soon."""
    settings = dataclasses.replace(
        PRESETS["squeezenet"], content_layers=("fire2/concat",), style_layers=("conv1", "fire2/concat")
    )
    monkeypatch.setitem(PRESETS, "squeezenet", settings)


def config(workdir, **changes):
    return benchmark.Config(
        **{
            "workdir": str(workdir),
            "backbones": ("squeezenet1_1",),
            "sizes": (40,),
            "rounds": 2,
            "steps_per_round": 2,
            "rivals": "none",
            "memory_size": 0,
            "loss_steps": 4,
            "picture_size": 0,
            "networks": (),
            **changes,
        }
    )


@pytest.fixture
def one_style(tmp_path):
    """The file of a network that paints in one pass."""
    network = Transformer((Conv("a", 3, kernel=3, bias=True, activation="sigmoid"),))
    numbers = {name: np.full(shape, 0.1, np.float32) for name, shape in network_parameters(network).items()}
    path = tmp_path / "grey.safetensors"
    trained.write(path, numbers, network, record={})
    return str(path)


def test_onnx_files_that_cannot_be_measured(one_style, tmp_path, monkeypatch):
    from experiments.benchmarking import one_pass

    monkeypatch.setattr(one_pass.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match="--onnx: expected onnxruntime to be installed"):
        one_pass.check((one_style,), tmp_path)
    monkeypatch.setattr(one_pass.importlib.util, "find_spec", lambda _: "found")
    with pytest.raises(UserError, match=r"expected NAME.onnx for one network or more"):
        one_pass.check((one_style,), tmp_path)


def test_everything_is_measured_printed_and_saved(two_scales, one_style, tmp_path, capsys, monkeypatch):
    from experiments.benchmarking import measure

    monkeypatch.setattr(measure, "_PRODUCT_SIDE", 256)
    benchmark.run(config(tmp_path, picture_size=64, networks=(one_style,)))
    report = json.loads((tmp_path / "benchmark.json").read_text())
    assert {"device", "cpu", "cores"} <= report["machine"].keys()
    assert {"jax", "jaxlib", "flax", "python"} <= report["versions"].keys()
    assert report["date"][:2] == "20"
    assert report["product_peak"] > 1e8
    assert (report["rival"], report["rival_name"]) == (None, "none chosen")
    (step,) = report["steps"]
    assert (step["backbone"], step["size"]) == ("squeezenet1_1", 40)
    assert {"ours", "evaluation"} <= step["seconds"].keys() <= {"ours", "direct", "evaluation"}
    for times in step["seconds"].values():
        assert 0 < times["fastest"] <= times["median"]
        assert len(times["rounds"]) == 2
    assert step["roofline"] > 0
    assert step["compile_seconds"] > 0.01
    assert step["overhead"] > -1
    assert step["over_rival"] is None
    assert step["loss"]["ours"] == pytest.approx(step["loss"].get("direct", step["loss"]["ours"]), rel=1e-3)
    assert max(step["gradient_difference"].values()) < 1e-4
    assert report["slopes"] == {"squeezenet1_1": None}  # of a single size
    (race,) = report["races"]
    lbfgs = race["optimizers"]["lbfgs"]
    assert len(lbfgs["losses"]) == 4
    assert race["target"] == pytest.approx(1.1 * lbfgs["losses"][-1])
    assert 1 <= lbfgs["steps"] <= 4
    assert 0 < lbfgs["seconds"] <= lbfgs["elapsed"][-1]
    assert 1 <= lbfgs["evaluations"] < 5
    assert len(race["optimizers"]["adam"]["losses"]) <= 16
    (picture,) = report["pictures"]
    assert picture["sides"]["coarse_to_fine"]["evaluations"] >= 9
    (at_once,) = report["one_pass"]
    assert at_once["seconds"].keys() == {"ours", "as_written"}
    assert at_once["difference"]["as_written"] < 1e-5
    assert at_once["code_seconds"] is None
    printed = capsys.readouterr().out
    assert "| squeezenet1_1 | 40 " in printed
    assert "| squeezenet1_1 | 48, 64 | coarse to fine |" in printed
    assert f"| {one_style} | 64 |" in printed
    assert "rival: none chosen" in printed
    assert "share of peak (as direct convolution)" in printed
    with Image.open(tmp_path / "benchmark.png") as plot:
        assert plot.format == "PNG"


@pytest.mark.skipif(sys.platform == "win32", reason="peaks of memory are told on Linux and macOS")
def test_memory_is_that_of_a_process_of_its_own(monkeypatch):
    from experiments.benchmarking import memory

    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "true")  # it compiles sooner
    ballast = np.ones(2**26)  # half a gigabyte, which is none of the other process's
    found = memory.peak("ours", "squeezenet1_1", 40, "float32")
    assert 0 < found["step"] < found["process"]
    assert found["process"] == found["before"] + found["step"]
    assert found["before"] < ballast.nbytes


@pytest.fixture
def two_scales(few_layers, monkeypatch):
    changes = {"scales": (48, 64), "scale_steps": (3, 4), "steps": 9}
    monkeypatch.setitem(PRESETS, "squeezenet", dataclasses.replace(PRESETS["squeezenet"], **changes))


def test_the_same_picture_from_coarse_to_fine(two_scales):
    """With everything that is told of a side, and the clock and the errors of a plain run."""
    from experiments.benchmarking import scales, workload
    from nst_jax import pyramid
    from nst_jax.backbones import pretrained
    from nst_jax.loop import run

    network = pretrained.load("squeezenet1_1")
    found = scales.same_picture(network, 64, "float32", rival=None)
    assert found["scales"] == [48, 64]
    one, ours = found["sides"]["one_scale"], found["sides"]["coarse_to_fine"]
    assert found["sides"].keys() == {"one_scale", "coarse_to_fine"}
    assert found["rival_problem"] is None
    assert one["evaluations"] >= 10  # the start, and one or more a step
    assert ours["evaluations"] >= 9
    assert ours["seconds"] > 0
    assert {"grain", "border_frame", "blotches"} < ours.keys() == one.keys()
    content, style = workload.pictures(64)
    steps = pyramid.scales_of(network.backbone, PRESETS["squeezenet"], content.shape, [style.shape])
    make = pyramid.transfers(network, PRESETS["squeezenet"], content, [style], steps)
    begin = pyramid.starts(PRESETS["squeezenet"], steps, content)
    *_, last = run(pyramid.stages(make, pyramid.at_scale(content, (48, 48)), steps, begin))
    assert ours["style"] == pytest.approx(last.history.terms["style"][-1], rel=1e-3)
    assert ours["content"] == pytest.approx(last.history.terms["content"][-1], rel=1e-3)


def test_the_rival_paints_at_the_same_scales(two_scales, monkeypatch):
    pytest.importorskip("torch", reason="compares with PyTorch, which is no dependency")
    from experiments.benchmarking import scales
    from nst_jax.backbones import pretrained

    network = pretrained.load("squeezenet1_1")
    found = scales.same_picture(network, 64, "float32", rival="torch")
    assert found["rival_problem"].startswith("unknown padding of the rival 'reflect'")
    assert "rival" not in found["sides"]
    plain = dataclasses.replace(PRESETS["squeezenet"], padding="zeros", antialias=False, shifts=1)
    monkeypatch.setitem(PRESETS, "squeezenet", plain)
    found = scales.same_picture(network, 64, "float32", rival="torch")
    ours, rival = found["sides"]["coarse_to_fine"], found["sides"]["rival"]
    assert rival["evaluations"] == ours["evaluations"]
    assert rival["seconds"] > 0
    assert rival["style"] < 1
    assert found["rival_problem"] is None


@pytest.mark.parametrize(("reached", "expected"), [(0.5, 2.0), (0.1, None)])
def test_the_seconds_to_a_style_error(reached, expected):
    """Of the moments at the final size alone, as errors at other sizes are others."""
    from experiments.benchmarking import scales

    run = scales._Run.__new__(scales._Run)
    run._stages = [scales.loop.Stage(None, None, 1), scales.loop.Stage(None, None, 3)]
    run._state = None
    run.moments = [[scales.Moment(1.0, 1, 0.0, 0.0)], [scales.Moment(2.0, 2, 0.5, 0.0)]]
    run._timed = lambda _: iter(())
    assert run.seconds_to(reached, steps=4) == expected
    assert len(run.moments[-1]) == 1


def test_the_slope_of_a_time_that_is_linear_in_the_pixels():
    from experiments.benchmarking import measure

    def step(size, seconds):
        return {"size": size, "seconds": {"ours": {"median": seconds}}}

    assert measure.slope([step(256, 0.1), step(512, 0.4), step(1024, 1.6)]) == pytest.approx(1)
    assert measure.slope([step(100, 1.0), step(200, 1.0)]) == pytest.approx(0)
    assert measure.slope([step(256, 0.1)]) is None


def test_multiplications_of_vgg19():
    """Counted by hand, for 224 px: Simonyan & Zisserman 2015, table 1, column E; known as 19.6 G with dense layers."""
    from experiments.benchmarking import workload
    from nst_jax.backbones.registry import BACKBONES

    layers = [  # side of the map, channels in and out, convolutions
        (224, 3, 64, 1),
        (224, 64, 64, 1),
        (112, 64, 128, 1),
        (112, 128, 128, 1),
        (56, 128, 256, 1),
        (56, 256, 256, 3),
        (28, 256, 512, 1),
        (28, 512, 512, 3),
        (14, 512, 512, 4),
    ]
    expected = sum(count * side**2 * 9 * into * out for side, into, out, count in layers)
    assert expected == 19_508_428_800
    assert workload.multiply_adds(BACKBONES["vgg19"], ("relu5_4",), 224) == expected
    up_to_conv5_1 = expected - 3 * 14**2 * 9 * 512**2
    assert workload.multiply_adds(BACKBONES["vgg19"], ("conv1_1", "conv5_1", "conv4_2"), 224) == up_to_conv5_1


@pytest.mark.parametrize(("style_loss", "content_loss"), [
    ("relative_squared_error", "relative_squared_error"),
    ("gram_error", "half_squared_error"),
])  # fmt: skip
def test_the_rival_does_the_same(style_loss, content_loss):
    pytest.importorskip("torch", reason="compares with PyTorch, which is no dependency")
    import jax.numpy as jnp

    from experiments.benchmarking import pytorch, workload
    from nst_jax import loop, transfer
    from nst_jax.backbones import pretrained

    settings = dataclasses.replace(
        workload.step_settings("squeezenet1_1", "float32"), style_loss=style_loss, content_loss=content_loss
    )
    photograph, painting = workload.pictures(48)
    job = transfer.prepare(pretrained.load("squeezenet1_1"), settings, photograph, painting)
    image = np.asarray(transfer.initial_image(settings, jnp.asarray(photograph), seed=0)).clip(0, 1)
    state = loop.init(job, jnp.asarray(image))
    rival = pytorch.Torch(job, image, learning_rate=settings.learning_rate)
    assert rival.loss == pytest.approx(float(state.evaluation.loss), rel=1e-4)
    gradient = np.asarray(state.evaluation.gradient)
    assert np.linalg.norm(rival.gradient - gradient) < 1e-4 * np.linalg.norm(gradient)
    _, info = loop.compile_chunk(job, state)(job, state, jnp.int32(3))
    assert rival.run(3) == pytest.approx(float(info.loss[2]), rel=1e-3)


def test_the_rival_computes_every_type_of_row():
    pytest.importorskip("torch", reason="compares with PyTorch, which is no dependency")
    import jax
    import jax.numpy as jnp

    from experiments.benchmarking import pytorch, workload
    from nst_jax import loop, transfer
    from nst_jax.backbones.features import Features
    from nst_jax.backbones.pretrained import Pretrained
    from nst_jax.backbones.registry import BACKBONES
    from nst_jax.backbones.rows import Add, Concat, Conv, GlobalAverage, LocalResponseNorm, Pool, Row

    rows = (
        Conv("conv", "data", 8, kernel=3, padding=1, relu="relu"),
        LocalResponseNorm("norm", "conv", size=3, alpha=1e-3),
        Pool("pool", "norm", size=2, stride=2, ceil=False),
        Conv("narrow", "pool", 4, kernel=1),
        Concat("concat", ("pool", "narrow")),
        Conv("flat", "concat", 12, kernel=(1, 3), padding=(0, 1), groups=2, relu="relu_flat", ceiling=0.5),
        Add("sum", ("concat", "flat"), relu="relu_sum"),
        Pool("padded", "sum", size=3, stride=1, padding=1, kind="padded_average"),
        Pool("most", "padded", size=3, stride=2, padding="same", kind="max"),
        Pool("within", "most", size=3, stride=1, padding=1, kind="average"),
        Conv("same", "within", 4, kernel=3, stride=2, padding="same"),
        GlobalAverage("mean", "same"),
    )
    assert {type(row) for row in rows} == set(typing.get_args(Row))
    backbone = dataclasses.replace(BACKBONES["vgg19"], rows=rows, head=())
    photograph, painting = workload.pictures(16)
    params = jax.device_get(Features(backbone).init(jax.random.key(0), photograph))
    settings = dataclasses.replace(
        workload.step_settings("vgg19", "float32"),
        content_layers=("norm", "mean"),
        style_layers=("conv/linear", "concat", "flat", "same"),
    )
    job = transfer.prepare(Pretrained(backbone, params, ""), settings, photograph, painting)
    image = np.random.default_rng(0).uniform(size=painting.shape).astype(np.float32)
    state = loop.init(job, jnp.asarray(image))
    rival = pytorch.Torch(job, image, learning_rate=settings.learning_rate)
    assert rival.loss == pytest.approx(float(state.evaluation.loss), rel=1e-4)
    gradient = np.asarray(state.evaluation.gradient)
    assert np.linalg.norm(rival.gradient - gradient) < 1e-4 * np.linalg.norm(gradient)
    with pytest.raises(AssertionError, match="unreachable"):
        rival._outputs(object(), {})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbones": ("vgg20",)}, "unknown backbone 'vgg20'; expected one of: vgg"),
        (
            {"backbones": ("squeezenet1_1", "squeezenet1_1")},
            "--sizes: expected one or more of each, each once",
        ),
        ({"sizes": ()}, "--sizes: expected one or more of each, each once"),
        ({"sizes": (8,)}, "margin: expected less than the short side of 8 px"),
        ({"memory_size": 8}, "margin: expected less than the short side of 8 px"),
        ({"picture_size": 40}, "--picture_size: expected 0, or 64 or more, found 40"),
        ({"rounds": 0}, "--rounds: expected 1 or more, found 0"),
    ],
    ids=str,
)
def test_what_is_refused(changes, message, tmp_path):
    with pytest.raises(UserError, match=message):
        benchmark.run(config(tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_a_file():
    with pytest.raises(UserError, match="expected a folder or room for a new one, found a file"):
        benchmark.run(config(__file__))


def test_a_rival_that_is_not_there(monkeypatch, tmp_path):
    from experiments.benchmarking import pytorch

    monkeypatch.setattr(pytorch.importlib.util, "find_spec", lambda _: None)
    assert pytorch.find("auto") == (None, "torch is not installed")
    with pytest.raises(UserError, match="--rivals: expected torch to be installed, found: torch is not installed"):
        benchmark.run(config(tmp_path / "run", rivals="torch"))


def test_help_does_not_wait_for_jax():
    command = "import sys, experiments.benchmark; print('jax' in sys.modules, 'matplotlib' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", command], check=True, capture_output=True, text=True).stdout
    assert found.split() == ["False", "False"]
