"""Batch normalisations and depthwise kernels in every format that has them, and files that nobody honest wrote."""

import dataclasses

import h5py
import numpy as np
import pytest
import safetensors.numpy
import torch_writers
import weight_writers as writers
from scipy.io import savemat

from converters.convert import convert
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.rows import Conv
from nst_jax.backbones.spec import Backbone, parameter_shapes
from nst_jax.errors import UserError

# The first block of ResNet-50: a convolution with a bias, and one beside the others; that of MobileNet v2 is depthwise.
RESIDUAL = dataclasses.replace(BACKBONES["resnet50"], name="residual", rows=BACKBONES["resnet50"].rows[:7], head=())
DEPTHWISE = dataclasses.replace(
    BACKBONES["mobilenet_v2"], name="depthwise", rows=BACKBONES["mobilenet_v2"].rows[:3], head=()
)
FACTOR = np.float32(998.5)
EPSILON = 1e-5


@pytest.fixture(autouse=True)
def known(monkeypatch):
    for backbone in (RESIDUAL, DEPTHWISE):
        monkeypatch.setitem(BACKBONES, backbone.name, backbone)


def arrays_of(backbone: Backbone) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    found = {name: random.normal(size=shape).astype(np.float32) for name, shape in parameter_shapes(backbone).items()}
    return found | {name: np.abs(values) for name, values in found.items() if name.endswith("variance")}


def caffe_layers(arrays):
    """Layer, kind, blobs: as Caffe's ResNet-50 has them, with the names of its authors."""
    for row in RESIDUAL.rows:
        if isinstance(row, Conv):
            of = {role: arrays[f"{row.name}/{role}"] for role in row.parameters(3)}
            name = row.name.replace("res", "") if row.name != "conv1" else "_conv1"
            kernel = of["kernel"].transpose(3, 2, 0, 1)
            yield row.name, "Convolution", [kernel, *([of["bias"]] if row.bias else [])]
            yield f"bn{name}", "BatchNorm", [of["mean"] * FACTOR, of["variance"] * FACTOR, np.array([FACTOR])]
            yield f"scale{name}", "Scale", [of["scale"], of["shift"]]


def write_caffemodel(path, arrays, layers=None):
    net = writers.caffe_messages(packed=True)["NetParameter"](name="ResNet-50")
    for name, kind, blobs in layers or caffe_layers(arrays):
        layer = net.layer.add(name=name, type=kind)
        for blob in blobs:
            writers.set_blob(layer.blobs.add(), blob, legacy=False)
    path.write_bytes(net.SerializeToString())
    return path


def write_caffe_hdf5(path, arrays):
    with h5py.File(path, "w") as file:
        for name, _, blobs in caffe_layers(arrays):
            for index, blob in enumerate(blobs):
                file[f"data/{name}/{index}"] = blob
    return path


def write_matconvnet(path, arrays):
    layers = []
    for row in RESIDUAL.rows:
        if isinstance(row, Conv):
            of = {role: arrays[f"{row.name}/{role}"] for role in row.parameters(3)}
            kernel = of["kernel"][:, :, ::-1] if row.name == "conv1" else of["kernel"]  # colours, as it has them
            moments = np.stack([of["mean"], np.sqrt(of["variance"].astype(np.float64) + EPSILON)], axis=1)
            layers += [
                {"name": row.name, "type": "conv", "weights": cell(kernel, *([of["bias"]] if row.bias else []))},
                {
                    "name": row.name.replace("res", "bn") if row.name != "conv1" else "bn_conv1",
                    "type": "bnorm",
                    "weights": cell(of["scale"][:, None], of["shift"][:, None], moments),
                    "epsilon": EPSILON,
                },
            ]
    savemat(path, {"layers": cell(*layers), "meta": {"a": 1}})
    return path


def write_dagnn(path, arrays, change=lambda layers: layers):
    """As MatConvNet's importer has Caffe's layers: BatchNorm and Scale are one, with roots of variances and epsilon."""
    layers = []
    for row in RESIDUAL.rows:
        if isinstance(row, Conv):
            of = {role: arrays[f"{row.name}/{role}"] for role in row.parameters(3)}
            kernel = of["kernel"][:, :, ::-1] if row.name == "conv1" else of["kernel"]
            bias = {f"{row.name}_bias": of["bias"]} if row.bias else {}
            layers.append((row.name, "dagnn.Conv", {f"{row.name}_filter": kernel} | bias, {"hasBias": row.bias}))
            norm = row.name.replace("res", "bn") if row.name != "conv1" else "bn_conv1"
            moments = np.concatenate(
                (of["mean"].reshape(-1, 1), np.sqrt(of["variance"].reshape(-1, 1) + np.float32(EPSILON))), axis=1
            )
            weights = {f"{norm}_mult": of["scale"], f"{norm}_bias": of["shift"], f"{norm}_moments": moments}
            layers.append((norm, "dagnn.BatchNorm", weights, {"epsilon": float(np.float32(EPSILON))}))
    return writers.save_dagnn(path, change(layers))


def cell(*items):
    array = np.empty((1, len(items)), object)
    array[0, :] = items
    return array


def torch_state(arrays):
    """As torchvision's ResNet-50 would have the block, if its first layer had a bias."""
    names = {
        "conv1": ("conv1", "bn1"),
        "res2a_branch1": ("layer1.0.downsample.0", "layer1.0.downsample.1"),
        "res2a_branch2a": ("layer1.0.conv1", "layer1.0.bn1"),
        "res2a_branch2b": ("layer1.0.conv2", "layer1.0.bn2"),
        "res2a_branch2c": ("layer1.0.conv3", "layer1.0.bn3"),
    }
    state = {"conv1.bias": arrays["conv1/bias"]}
    for ours, (convolution, norm) in names.items():
        state |= {
            f"{convolution}.weight": np.ascontiguousarray(arrays[f"{ours}/kernel"].transpose(3, 2, 0, 1)),
            f"{norm}.weight": arrays[f"{ours}/scale"],
            f"{norm}.bias": arrays[f"{ours}/shift"],
            f"{norm}.running_mean": arrays[f"{ours}/mean"],
            f"{norm}.running_var": arrays[f"{ours}/variance"],
            f"{norm}.num_batches_tracked": np.array(1000, np.int64),
        }
    return state


def write_torch(path, arrays):
    return torch_writers.write_network("zip", path, torch_state(arrays))


def write_safetensors(path, arrays):
    safetensors.numpy.save_file(torch_state(arrays), path)
    return path


@pytest.mark.parametrize(
    ("write", "options"),
    [
        (write_caffemodel, {}),
        (write_caffe_hdf5, {}),
        (write_matconvnet, {}),
        (write_dagnn, {}),
        (write_torch, {"convention": "caffe"}),
        (write_safetensors, {"convention": "caffe"}),
    ],
)
def test_published_arrays(write, options, tmp_path):
    arrays = arrays_of(RESIDUAL)
    converted = convert(write(tmp_path / "a", arrays), "residual", tmp_path / "out.safetensors", **options)
    found = safetensors.numpy.load_file(converted.output)
    assert found.keys() == arrays.keys()
    for name, values in arrays.items():
        # Caffe's are multiplied by a factor, MatConvNet's variances are roots with a number added: both are rounded.
        rounded = name.endswith(("mean", "variance")) and write not in (write_torch, write_safetensors)
        np.testing.assert_allclose(found[name], values, rtol=3e-7 if rounded else 0, atol=1e-6 if rounded else 0)


def test_nothing_was_measured(tmp_path):
    # Caffe: a factor of 0 means mean and variance 0.
    layers = [
        (name, kind, [*blobs[:2], np.zeros(1, np.float32)] if kind == "BatchNorm" else blobs)
        for name, kind, blobs in caffe_layers(arrays_of(RESIDUAL))
    ]
    source = write_caffemodel(tmp_path / "a", {}, layers)
    found = convert(source, "residual", tmp_path / "out.safetensors").tensors
    assert not found["conv1/mean"].any()
    assert not found["conv1/variance"].any()


def changed(name, change):
    """The layers of Caffe's file with the blobs of one changed."""
    return [
        (layer, kind, change(blobs) if layer == name else blobs)
        for layer, kind, blobs in caffe_layers(arrays_of(RESIDUAL))
        if not (layer == name and change is None)
    ]


@pytest.mark.parametrize(
    ("layer", "change", "message"),
    [
        ("bn_conv1", lambda blobs: blobs[:2], r"bn_conv1: expected mean, variance and one factor.* \[64\], \[64\];"),
        ("bn_conv1", lambda blobs: [*blobs[:2], blobs[0]], "bn_conv1: expected mean, variance and one factor"),
        ("bn_conv1", lambda blobs: [blobs[0], blobs[1][:9], blobs[2]], r"conv1/variance: expected shape \[64\], found"),
        ("scale2a_branch1", lambda blobs: [*blobs, blobs[0]], "expected one or two blobs in a layer Scale, found 3"),
        ("scale2a_branch1", lambda blobs: blobs[:1], "without res2a_branch1/shift"),
        ("scale2a_branch1", None, "without res2a_branch1/scale, res2a_branch1/shift"),
        ("bn2a_branch2b", lambda blobs: [blobs[0], blobs[1] * np.nan, blobs[2]], "variance: expected finite numbers"),
        ("bn2a_branch2b", lambda blobs: [*blobs[:2], np.array([1e-45], "f4")], "mean: expected finite numbers"),
    ],
)
def test_hostile_caffe(layer, change, message, tmp_path):
    source = write_caffemodel(tmp_path / "a", {}, changed(layer, change))
    with pytest.raises(UserError, match=message):
        convert(source, "residual", tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_hostile_moments(tmp_path):
    arrays = arrays_of(RESIDUAL)
    bnorm = {"name": "bn_conv1", "type": "bnorm", "weights": cell(*(arrays["conv1/scale"][:, None],) * 3)}
    savemat(tmp_path / "a.mat", {"layers": cell(bnorm)})
    with pytest.raises(UserError, match="expected multipliers, biases and moments of a normalisation, found numbers"):
        convert(tmp_path / "a.mat", "residual", tmp_path / "out.safetensors")


@pytest.mark.parametrize(
    ("layer", "weights", "message"),
    [
        ("bn_conv1", {"bn_conv1_moments": np.ones((64, 3))}, r"layers\(2\): expected multipliers, biases and moments"),
        ("bn_conv1", {"bn_conv1_moments": np.ones((9, 2))}, r"bn_conv1/mean: expected shape \[64\], found \[9\]"),
        ("bn_conv1", {"bn_conv1_mult": np.ones((8, 8, 2))}, r"bn_conv1/scale: expected shape \[64\], found \[128\]"),
        ("bn_conv1", {"bn_conv1_mult": "text"}, "expected multipliers, biases and moments of a norm.*, found text of"),
        ("bn_conv1", {"bn_conv1_moments": np.full((64, 2), np.nan)}, "bn_conv1/mean: expected finite numbers"),
        ("conv1", {"conv1_filter": np.ones((7, 7, 3, 65))}, r"conv1/kernel: expected shape \[7, 7, 3, 64\], found \[7"),
        ("res2a_branch1", {"more": np.ones(256)}, "with the unknown res2a_branch1/bias"),
        ("bn2a_branch1", None, "without res2a_branch1/mean, res2a_branch1/variance, res2a_branch1/scale and 1 more"),
    ],
)
def test_hostile_graphs(layer, weights, message, tmp_path):
    def change(layers):
        for name, kind, of, block in layers:
            if name != layer:
                yield name, kind, of, block
            elif weights is not None:
                yield name, kind, of | weights, block

    source = write_dagnn(tmp_path / "a.mat", arrays_of(RESIDUAL), lambda layers: list(change(layers)))
    with pytest.raises(UserError, match=message):
        convert(source, "residual", tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_hostile_state(tmp_path):
    state = torch_state(arrays_of(RESIDUAL))
    for key, change, message in (
        ("layer1.0.bn1.running_var", None, "without res2a_branch2a/variance"),
        ("layer1.0.bn1.running_var", np.ones(65, "f4"), r"bn1/running_var: expected shape \[64\], found \[65\]"),
        ("layer1.0.bn1.running_var", np.full(64, np.nan, "f4"), "bn1/running_var: expected finite numbers"),
        ("layer1.0.bn1.running_var", np.ones(64, "i4"), "bn1/running_var: expected floating-point numbers"),
        ("layer1.0.bn9.running_var", np.ones(64, "f4"), "with the unknown layer1.0.bn9/running_var"),
        ("bn_conv1.weight", np.ones(64, "f4"), "expected conv1/scale once, found it as"),
    ):
        broken = {name: values for name, values in (state | {key: change}).items() if values is not None}
        safetensors.numpy.save_file(broken, tmp_path / "a")
        with pytest.raises(UserError, match=message):
            convert(tmp_path / "a", "residual", tmp_path / "out.safetensors", convention="caffe")


@pytest.mark.parametrize(
    ("name", "axes"),
    [("expanded_conv/depthwise/kernel", (0, 1, 3, 2)), ("expanded_conv/depthwise/depthwise_weights", (0, 1, 3, 2))],
)
def test_depthwise_kernels_of_tensorflow(name, axes, tmp_path):
    # [height, width, channels, 1] there; one that convolves groups of one channel by itself is stored as ours.
    arrays = arrays_of(DEPTHWISE)
    stored = {key: values for key, values in arrays.items() if key != "expanded_conv/depthwise/kernel"}
    for kernel in (arrays["expanded_conv/depthwise/kernel"].transpose(axes), arrays["expanded_conv/depthwise/kernel"]):
        safetensors.numpy.save_file(stored | {name: np.ascontiguousarray(kernel)}, tmp_path / "a")
        found = convert(tmp_path / "a", "depthwise", tmp_path / "out.safetensors", convention="tensorflow").tensors
        for key, values in arrays.items():
            np.testing.assert_array_equal(found[key], values)


def test_a_depthwise_kernel_of_another_shape(tmp_path):
    arrays = arrays_of(DEPTHWISE)
    arrays["expanded_conv/depthwise/kernel"] = np.ones((3, 3, 32, 2), "f4")
    safetensors.numpy.save_file(arrays, tmp_path / "a")
    message = r"depthwise/kernel: expected shape \[3, 3, 1, 32\], found \[3, 3, 32, 2\]"
    with pytest.raises(UserError, match=message):
        convert(tmp_path / "a", "depthwise", tmp_path / "out.safetensors", convention="tensorflow")
