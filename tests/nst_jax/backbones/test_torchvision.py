"""Every layer of the tables that torchvision defines too, with random weights that take the way of a user's file.

Networks of Caffe's model zoo, which torchvision has not, are written down in PyTorch here, line by line as in their
prototxt. Skipped where PyTorch and torchvision are not installed.
"""

import re

import jax
import numpy as np
import pytest

from converters.convert import convert
from nst_jax.backbones import pretrained
from nst_jax.backbones.features import Features
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.rows import Conv
from nst_jax.backbones.spec import CONVENTIONS, layers, with_head

torch = pytest.importorskip("torch")
models = pytest.importorskip("torchvision.models")

# The convolutions of VGG alone, as its classifier is 500 MB of what other networks' classifiers show.
WITHOUT_HEAD = {
    f"vgg{depth}{bn}_torchvision": (letter, bool(bn))
    for depth, letter in {11: "A", 13: "B", 16: "D", 19: "E"}.items()
    for bn in ("", "_bn")
}
WITH_HEAD = {
    "squeezenet1_0_torchvision": "squeezenet1_0",
    "squeezenet1_1_torchvision": "squeezenet1_1",
    "alexnet_torchvision": "alexnet",
}
# As their published weights want it: what torchvision computes of pixels in its own convention.
_TRANSFORMED = {"init_weights": False, "transform_input": True}
WITH_BRANCHES = {
    "resnet50_torchvision": {},
    "inception_v3_torchvision": _TRANSFORMED,
    "googlenet_torchvision": _TRANSFORMED,
    "mobilenet_v2_torchvision": {},
}


def randomised(model):
    """The model with numbers as training leaves them: maps keep their size, and no mean is 0 and no variance 1."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, values in model.state_dict().items():
            if values.ndim > 1:  # He et al. 2015
                values.copy_(torch.randn(values.shape, generator=generator) * (2 / values[0].numel()) ** 0.5)
            elif name.endswith(("bias", "running_mean")):
                values.copy_(0.2 * torch.randn(values.shape, generator=generator))
            elif values.ndim == 1:
                values.copy_(0.5 + torch.rand(values.shape, generator=generator))
            else:  # the number of steps
                values.fill_(1000)
    return model.eval()


def as_torchvision(pixels):
    mean, std = (torch.tensor(of)[:, None, None] for of in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return (pixels - mean) / std


def as_caffe(pixels):
    return 255 * pixels.flip(1) - torch.tensor((103.939, 116.779, 123.68))[:, None, None]


def steps(model):
    """The names of the modules that are steps of a sequence; of a normalised convolution the normalisation."""
    normalised = any(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())
    kinds = [torch.nn.ReLU, torch.nn.MaxPool2d, torch.nn.Linear, torch.nn.LocalResponseNorm]
    kinds.append(models.squeezenet.Fire)
    kinds.append(torch.nn.BatchNorm2d if normalised else torch.nn.Conv2d)
    return [name for name, module in model.named_modules() if isinstance(module, tuple(kinds))]


def outputs(model, names, pixels):
    """Module → what it returns `[N, H, W, C]`, in the order of computation."""
    found = {}

    def keep(name):
        def hook(module, inputs, output):
            found[name] = output.detach().clone().numpy()  # a ReLU behind it may work in place

        return hook

    hooks = [model.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    with torch.no_grad():
        model(pixels)
    for hook in hooks:
        hook.remove()
    return {
        name: values.reshape(*values.shape, *(1,) * (4 - values.ndim)).transpose(0, 2, 3, 1)
        for name, values in found.items()
    }


def assert_equal_at(sizes, name, model, backbone, tmp_path, named=None, **options):
    """Checks every layer, or those `named` by their modules, of a model that takes the way of a user's file."""
    source, path = tmp_path / "model.pth", tmp_path / "out.safetensors"
    torch.save(model.state_dict(), source)
    convention = next(name for name, preprocess in CONVENTIONS.items() if preprocess == backbone.preprocess)
    convert(source, name, path, convention=convention, **options)
    network = pretrained.read(path, backbone)
    # Each row's values once: `conv1_1/linear` and `conv1_1`, without its other name.
    ours = [names[0] for row in backbone.rows for names in row.outputs if row.name != "pool10"]
    for size in sizes:
        image = np.random.default_rng(1).uniform(size=(1, *size, 3)).astype(np.float32)
        found = jax.jit(Features(backbone).apply)(network.params, image)
        pixels = torch.from_numpy(image.transpose(0, 3, 1, 2))
        pixels = as_torchvision(pixels) if name.endswith("_torchvision") else as_caffe(pixels)
        expected = outputs(model, named or steps(model), pixels)
        assert named or len(expected) == len(ours) <= len(layers(backbone))
        pairs = (
            {named[module]: values for module, values in expected.items()}
            if named
            else dict(zip(ours, expected.values(), strict=True))
        )
        for layer, values in pairs.items():
            assert found[layer].shape == values.shape, layer
            error = found[layer] - values
            assert np.linalg.norm(error) < 1e-4 * np.linalg.norm(values), (size, layer)
            assert np.abs(error).max() < 1e-4 * np.abs(values).max(), (size, layer)


@pytest.mark.parametrize("name", WITHOUT_HEAD)
def test_every_layer_of_vgg(name, tmp_path):
    letter, normalised = WITHOUT_HEAD[name]
    model = randomised(models.vgg.make_layers(models.vgg.cfgs[letter], batch_norm=normalised))
    assert_equal_at([(64, 64), (53, 71)], name, model, BACKBONES[name], tmp_path)


@pytest.mark.parametrize("name", WITH_HEAD)
def test_every_layer_with_the_classifier(name, tmp_path):
    model = randomised(getattr(models, WITH_HEAD[name])(weights=None))
    # At other sizes AlexNet's average to 6 × 6 does something, which no other framework has.
    sizes = [(224, 224), (230, 239)]
    assert_equal_at(sizes, name, model, with_head(BACKBONES[name]), tmp_path, classifier=True)


def modules_of(name, model):
    """Module → our layer, for every normalisation, and what is behind sums and modules."""
    rows = [row for row in BACKBONES[name].rows if isinstance(row, Conv)]
    linear = {row.name: f"{row.name}/linear" if row.relu else row.name for row in rows}
    norms = [
        key
        for key, module in model.named_modules()
        if isinstance(module, torch.nn.BatchNorm2d) and not key.lower().startswith("aux")
    ]
    if "resnet" not in name:  # both in the order of computation
        found = dict(zip(norms, linear.values(), strict=True))
        if "mobilenet" in name:
            return found | {"classifier": "Logits/Conv2d_1c_1x1"}
        children = dict(model.named_children())
        if "inception" in name:
            return found | {key: key for key in children if key.startswith("Mixed")} | {"fc": "fc"}
        whole = {key: f"inception_{key[-2:]}/output" for key in children if key.startswith("inception")}
        return found | whole | {"maxpool4": "pool4/3x3_s2", "fc": "loss3/classifier"}
    found = {"bn1": "conv1/linear", "maxpool": "pool1", "fc": "fc1000"}
    for key in norms:
        if block := re.fullmatch(r"layer(\d)\.(\d)\.(bn(\d)|downsample\.1)", key):
            ours = f"res{int(block[1]) + 1}{'abcdef'[int(block[2])]}"
            found[key] = linear[f"{ours}_branch2{'-abc'[int(block[4])]}" if block[4] else f"{ours}_branch1"]
            found[key.rpartition(f".{block[3]}")[0]] = ours
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_BRANCHES)
def test_layers_of_networks_with_branches(name, tmp_path):
    model = randomised(getattr(models, name.removesuffix("_torchvision"))(weights=None, **WITH_BRANCHES[name]))
    named, sizes = modules_of(name, model), [(96, 80), (91, 97)]
    assert_equal_at(sizes, name, model, with_head(BACKBONES[name]), tmp_path, named, classifier=True)


def conv(before, features, side, **options):
    return torch.nn.Conv2d(before, features, side, **options), torch.nn.ReLU()


def pool(side=3):
    return torch.nn.MaxPool2d(side, 2, ceil_mode=side == 3)


def norm(alpha=1e-4, k=1.0):
    return torch.nn.LocalResponseNorm(5, alpha=alpha, k=k)


def behind_two(first, second):
    """The layers of AlexNet behind its first convolution."""
    return (
        *(*first, *conv(96, 256, 5, padding=2, groups=2), *second, *conv(256, 384, 3, padding=1)),
        *(*conv(384, 384, 3, padding=1, groups=2), *conv(384, 256, 3, padding=1, groups=2), pool()),
    )


def vgg(depths, **others):
    """The layers of a configuration of VGG: others by the name of the convolution that they replace or follow."""
    before = 3
    for block, (depth, features) in enumerate(zip(depths, (64, 128, 256, 512, 512), strict=True), start=1):
        for index in range(1, depth + 1):
            name = f"conv{block}_{index}"
            side = 1 if name in others.get("narrow", ()) else 3
            yield from conv(before, features, side, padding=side // 2)
            if name == "conv1_1" and "norm" in others:
                yield others["norm"]
            before = features
        yield pool(2)


CAFFE = {
    "alexnet": lambda: (*conv(3, 96, 11, stride=4), *behind_two((norm(), pool()), (norm(), pool()))),
    "caffenet": lambda: (*conv(3, 96, 11, stride=4), *behind_two((pool(), norm()), (pool(), norm()))),
    "nin": lambda: (
        *(*conv(3, 96, 11, stride=4), *conv(96, 96, 1), *conv(96, 96, 1), pool()),
        *(*conv(96, 256, 5, padding=2), *conv(256, 256, 1), *conv(256, 256, 1), pool()),
        *(*conv(256, 384, 3, padding=1), *conv(384, 384, 1), *conv(384, 384, 1), pool(), torch.nn.Dropout()),
        *(*conv(384, 1024, 3, padding=1), *conv(1024, 1024, 1), *conv(1024, 1000, 1)),
    ),
    # PyTorch divides alpha by the size as Caffe does; k and alpha of the paper by Krizhevsky et al.
    "vgg11_lrn": lambda: vgg((1, 1, 2, 2, 2), norm=norm(alpha=5 * 1e-4, k=2.0)),
    "vgg16_c": lambda: vgg((2, 2, 3, 3, 3), narrow=("conv3_3", "conv4_3", "conv5_3")),
}


@pytest.mark.parametrize("name", CAFFE)
def test_every_layer_of_networks_that_torchvision_has_not(name, tmp_path):
    model = randomised(torch.nn.Sequential(*CAFFE[name]()))
    assert_equal_at([(96, 96), (131, 110)], name, model, BACKBONES[name], tmp_path)
