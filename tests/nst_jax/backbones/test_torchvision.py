"""Every layer of the tables that torchvision defines too, with random weights that take the way of a user's file.

Networks of Caffe's model zoo, which torchvision has not, are written down in PyTorch here, line by line as in their
prototxt. Skipped where PyTorch and torchvision are not installed.
"""

import jax
import numpy as np
import pytest

from converters.convert import convert
from nst_jax.backbones import pretrained
from nst_jax.backbones.features import Features
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.spec import layers, with_head

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


def randomised(model):
    """The model with biases, means and variances as training leaves them: not 0 and 1."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, values in model.state_dict().items():
            if name.endswith(("bias", "running_mean")):
                values.copy_(0.2 * torch.randn(values.shape, generator=generator))
            elif name.endswith("running_var") or values.ndim == 1:
                values.copy_(0.5 + torch.rand(values.shape, generator=generator))
    return model.eval()


def as_torchvision(pixels):
    mean, std = (torch.tensor(of)[:, None, None] for of in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return (pixels - mean) / std


def as_caffe(pixels):
    return 255 * pixels.flip(1) - torch.tensor((103.939, 116.779, 123.68))[:, None, None]


def outputs(model, image, *, caffe):
    """What each step of the model returns, in the order of computation; of a normalised convolution the normalised."""
    normalised = any(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())
    kinds = [torch.nn.ReLU, torch.nn.MaxPool2d, torch.nn.Linear, torch.nn.LocalResponseNorm]
    kinds.append(models.squeezenet.Fire)
    kinds.append(torch.nn.BatchNorm2d if normalised else torch.nn.Conv2d)
    found = []
    hooks = [
        module.register_forward_hook(lambda module, inputs, output: found.append(output.detach().clone().numpy()))
        for module in model.modules()
        if isinstance(module, tuple(kinds))
    ]
    pixels = torch.from_numpy(image.transpose(0, 3, 1, 2))
    with torch.no_grad():
        model(as_caffe(pixels) if caffe else as_torchvision(pixels))
    for hook in hooks:
        hook.remove()
    return found


def assert_equal_at(sizes, name, model, backbone, tmp_path, **options):
    source, path = tmp_path / "model.pth", tmp_path / "out.safetensors"
    torch.save(model.state_dict(), source)
    caffe = not name.endswith("_torchvision")
    convert(source, name, path, convention="caffe" if caffe else "torchvision", **options)
    network = pretrained.read(path, backbone)
    # Each row's values once: `conv1_1/linear` and `conv1_1`, without its other name.
    ours = [names[0] for row in backbone.rows for names in row.outputs if row.name != "pool10"]
    for size in sizes:
        image = np.random.default_rng(1).uniform(size=(1, *size, 3)).astype(np.float32)
        found = jax.jit(Features(backbone).apply)(network.params, image)
        expected = outputs(model, image, caffe=caffe)
        assert len(expected) == len(ours) <= len(layers(backbone))
        for layer, values in zip(ours, expected, strict=True):
            values = values.reshape(*values.shape, *(1,) * (4 - values.ndim)).transpose(0, 2, 3, 1)
            assert found[layer].shape == values.shape, layer
            error = np.linalg.norm(found[layer] - values) / np.linalg.norm(values)
            assert error < 1e-4, (layer, error)


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
