"""Networks of torchvision with batch normalisation: torchvision builds, saves and computes them, and so do we."""

import re

import jax
import numpy as np
import pytest

from converters.convert import convert
from nst_jax.backbones import pretrained
from nst_jax.backbones.features import Features
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.rows import Conv
from nst_jax.backbones.spec import CONVENTIONS, with_head

torch = pytest.importorskip("torch", reason="needs PyTorch and torchvision, which compute what is expected")
torchvision = pytest.importorskip("torchvision", reason="needs torchvision, which computes what is expected")

SIZES = ((96, 80), (91, 97))
CONVENTION = {
    "resnet50_torchvision": "torchvision",
    "inception_v3_torchvision": "tensorflow",
    "mobilenet_v2_torchvision": "torchvision",
}


def made(name):
    """The network, with weights as of a trained one, and statistics of normalisations that are not 0 and 1."""
    options = {"init_weights": False, "transform_input": True} if "inception" in name else {}
    model = getattr(torchvision.models, name.removesuffix("_torchvision"))(weights=None, **options).eval()
    random = np.random.default_rng(0)
    with torch.no_grad():
        for key, values in model.state_dict().items():
            shape = tuple(values.shape)
            if len(shape) > 1:
                found = random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
            elif key.endswith(("running_var", "weight")):
                found = random.uniform(0.5, 1.5, shape)
            elif values.dtype.is_floating_point:
                found = random.normal(0, 0.2, shape)
            else:
                found = np.full(shape, 1000)
            values.copy_(torch.from_numpy(np.asarray(found)))
    return model


def pairs(name, model):
    """Module of torchvision → our layer, for every normalisation, and what is behind sums and modules."""
    rows = [row for row in BACKBONES[name].rows if isinstance(row, Conv)]
    linear = {row.name: f"{row.name}/linear" if row.relu else row.name for row in rows}
    modules = [key for key, module in model.named_modules() if isinstance(module, torch.nn.BatchNorm2d)]
    if "mobilenet" in name:
        return dict(zip(modules, linear.values(), strict=True)) | {"classifier": "Logits/Conv2d_1c_1x1"}
    if "inception" in name:
        own = [key for key in modules if not key.startswith("AuxLogits")]
        whole = {key: key for key in dict(model.named_children()) if key.startswith("Mixed")}
        return {key: linear[key.removesuffix(".bn").replace(".", "/")] for key in own} | whole | {"fc": "fc"}
    found = {"bn1": "conv1/linear", "maxpool": "pool1", "fc": "fc1000"}
    for key in modules:
        if block := re.fullmatch(r"layer(\d)\.(\d)\.(bn(\d)|downsample\.1)", key):
            ours = f"res{int(block[1]) + 1}{'abcdef'[int(block[2])]}"
            found[key] = linear[f"{ours}_branch2{'-abc'[int(block[4])]}" if block[4] else f"{ours}_branch1"]
            found[key.rpartition(f".{block[3]}")[0]] = ours
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", CONVENTION)
def test_every_layer(name, tmp_path):
    model = made(name)
    torch.save(model.state_dict(), tmp_path / "a.pth")
    output = tmp_path / "out.safetensors"
    convert(tmp_path / "a.pth", name, output, convention=CONVENTION[name], classifier=True)
    network = pretrained.read(output, with_head(BACKBONES[name]))
    layers, outputs = pairs(name, model), {}
    for key in layers:
        model.get_submodule(key).register_forward_hook(
            lambda _, __, found, key=key: outputs.__setitem__(key, found.detach().numpy().copy())
        )
    mean, std = (np.float32(getattr(CONVENTIONS["torchvision"], of)) for of in ("mean", "std"))
    for size in SIZES:
        pixels = np.random.default_rng(1).uniform(size=(1, *size, 3)).astype(np.float32)
        with torch.no_grad():
            model(torch.from_numpy(((pixels - mean) / std).transpose(0, 3, 1, 2)))
        found = jax.jit(lambda params, pixels: Features(network.backbone).apply(params, pixels))(network.params, pixels)
        for theirs, ours in layers.items():
            expected = outputs[theirs]
            expected = expected.transpose(0, 2, 3, 1) if expected.ndim == 4 else expected[:, None, None]
            scale = np.abs(expected).max()
            np.testing.assert_allclose(
                found[ours], expected, atol=1e-4 * scale, rtol=0, err_msg=f"{size}: {theirs}, {ours}"
            )
