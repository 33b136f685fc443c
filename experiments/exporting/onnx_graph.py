"""Networks that paint as ONNX graphs, written from their tables.

Images are what onnxruntime-web's `Tensor.fromImage` and `toImageData` make and read without options: float32
`[1, 3, height, width]`, RGB in [0, 1]. Height and width are free, as `painting.paint` leaves them: a photo is reflected
up to multiples of the network's stride in the graph, and the picture cut again.

What a doodle's network reads, `doodles.painted_from`, has its channels in the place of RGB.

A style is an input of the painter: `weights` `[K]` of the styles in the network, `code` `[K]` of a predictor, or `mean`
and `deviation` `[C]` of the features; the graph of `coder` has it as output, under the same names. A style that is
fixed is folded into constants.

Operators are of set 17 (2022) and the file format 8, which every runtime of the last years reads.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, assert_never

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import nst_jax
from nst_jax.applications.feedforward.networks import (
    COLOURS,
    ENCODER,
    PAINTER,
    PREDICTOR,
    Doodle,
    Matched,
    Network,
    Output,
    Predicted,
    Transformer,
    input_channels,
    network_stride,
    parts,
)
from nst_jax.applications.feedforward.painting import LEAST_SPREAD
from nst_jax.applications.feedforward.steps import (
    Activation,
    Conv,
    Layer,
    MaxPool,
    Mean,
    Norm,
    Residual,
    Step,
    Transposed,
    output_channels,
)
from nst_jax.applications.feedforward.trained import Trained
from nst_jax.backbones.spec import Preprocess
from nst_jax.errors import UserError
from nst_jax.io.region_maps import hexadecimal

OPERATORS = 17
FORMAT = 8

CONTENT = "content"
STYLE = "style"
PICTURE = "picture"

Code = Mapping[str, np.ndarray]
"""A style by the names of its inputs."""

_ACTIVATIONS: dict[Activation, tuple[str, tuple[float, ...]]] = {
    "relu": ("Relu", ()),
    "relu6": ("Clip", (0.0, 6.0)),
    "tanh": ("Tanh", ()),
    "sigmoid": ("Sigmoid", ()),
}
"""The operator of an activation, and its further inputs."""


def code_shapes(network: Network) -> dict[str, tuple[int, ...]]:
    """Returns the inputs that are a style: name → shape; none for a network with a single style.

    Raises:
        UserError: the network matches covariances, whose eigenvectors no operator computes.
    """
    match network:
        case Transformer():
            return {"weights": (network.styles,)} if network.styles else {}
        case Predicted():
            return {"code": (output_channels(network.predictor, COLOURS),)}
        case Matched():
            if network.matching == "covariance":
                raise UserError(
                    "expected a network that ONNX can express, found one that whitens features, for which no operator "
                    "of ONNX has the eigenvectors; choose --format=stablehlo or another network"
                )
            features = output_channels(network.encoder, COLOURS)
            return {"mean": (features,), "deviation": (features,)}
        case Doodle():
            return {}
        case _:
            assert_never(network)


def named(network: Network, code: Any) -> Code:
    """Returns a code of `painting` by the names of the inputs."""
    leaves = code if isinstance(network, Matched) else () if code is None else (code,)
    return {name: np.asarray(leaf) for name, leaf in zip(code_shapes(network), leaves, strict=True)}


def painter(trained: Trained, code: Code | None = None, sides: tuple[int, int] | None = None) -> onnx.ModelProto:
    """Returns the graph from the content image, and a style, to the picture.

    Args:
        trained: the network.
        code: the style that is fixed in it; none leaves it an input.
        sides: height and width, if they are fixed too, as converters for phones want it.

    Raises:
        UserError: see `code_shapes`.
    """
    network = trained.network
    shapes = code_shapes(network)
    graph = _Graph(trained)
    fixed: Code = code or {}
    whole, ends = graph.reflected(CONTENT, network_stride(network), sides)
    maps = whole if isinstance(network, Doodle) else graph.preprocessed(whole, network.pixels)
    if isinstance(network, Matched):
        maps = graph.run(network.encoder, maps, COLOURS, ENCODER)
        maps = graph.matched(maps, *(graph.constant(name, fixed[name]) if fixed else name for name in shapes))
    elif fixed:
        (graph.fixed,) = fixed.values()
    elif shapes:
        graph.code = graph.node("Unsqueeze", [*shapes, graph.whole(0)])
    maps = graph.run(network.steps, maps, parts(network)[PAINTER][1], PAINTER)
    if ends:
        maps = graph.node("Slice", [maps, graph.whole(0, 0), ends, graph.whole(2, 3)])
    graph.pixels(maps, network.output)
    of = sides or ("height", "width")
    content = (1, input_channels(network), *of)
    return graph.model("painter", {CONTENT: content, **({} if fixed else shapes)}, {PICTURE: (1, COLOURS, *of)})


def coder(trained: Trained) -> onnx.ModelProto:
    """Returns the graph from a style image to the style, as outputs with the names of the painter's inputs.

    Raises:
        UserError: the network has its styles in it; or see `code_shapes`.
    """
    network, graph = trained.network, _Graph(trained)
    shapes = code_shapes(network)
    match network:
        case Predicted():
            maps = graph.preprocessed(STYLE, network.pixels)
            maps = graph.run(network.predictor, maps, COLOURS, PREDICTOR)
            graph.node("Reshape", [maps, graph.whole(-1)], output="code")
            seen: tuple[int | str, ...] = (network.side, network.side)
        case Matched():
            maps = graph.preprocessed(STYLE, network.pixels)
            maps = graph.run(network.encoder, maps, COLOURS, ENCODER)
            mean, _, deviation = graph.moments(maps)
            for name, found in (("mean", mean), ("deviation", deviation)):
                graph.node("Reshape", [found, graph.whole(-1)], output=name)
            seen = ("style_height", "style_width")
        case Transformer() | Doodle():
            raise UserError("expected a network that sees style images, found one with its styles in it")
        case _:
            assert_never(network)
    return graph.model("coder", {STYLE: (1, COLOURS, *seen)}, shapes)


class _Graph:
    """A graph under construction: what makes a node returns the name of its output.

    Attributes:
        code: the style `[1, K]` from which normalisations have scale and shift;
        fixed: or its numbers `[K]`.
    """

    def __init__(self, trained: Trained) -> None:
        self._trained = trained
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self.code: str | None = None
        self.fixed: np.ndarray | None = None

    def node(self, operator: str, inputs: Sequence[str], *, output: str = "", **attributes: Any) -> str:
        output = output or f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, values: Any, dtype: Any = np.float32) -> str:
        self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(values, dtype), name)
        return name

    def number(self, value: float) -> str:
        return self.constant(f"{value:.9g}", value)

    def whole(self, *values: int) -> str:
        return self.constant(f"[{','.join(map(str, values))}]", values, np.int64)

    def per_channel(self, name: str, values: np.ndarray) -> str:
        return self.constant(name, np.reshape(values, (1, -1, 1, 1)))

    def reflected(self, image: str, multiple: int, sides: tuple[int, int] | None) -> tuple[str, str]:
        """Extends an image to the right and below.

        Returns:
            The image, and the name of the height and width that it had; nothing if it stays as it is.
        """
        if multiple == 1 or (sides and not any(side % multiple for side in sides)):
            return image, ""
        if sides:
            pads = self.whole(*[0] * 6, *(-side % multiple for side in sides))
            return self.node("Pad", [image, pads], mode="reflect"), self.whole(*sides)
        had = self.node("Slice", [self.node("Shape", [image]), self.whole(2), self.whole(4)])
        short = self.node("Mod", [self.node("Neg", [had]), self.whole(multiple)])
        pads = self.node("Concat", [self.whole(*[0] * 6), short], axis=0)
        return self.node("Pad", [image, pads], mode="reflect"), had

    def preprocessed(self, image: str, convention: Preprocess) -> str:
        if convention.order == "BGR":
            image = self.node("Gather", [image, self.whole(2, 1, 0)], axis=1)
        factor = convention.scale / np.array(convention.std, np.float64)
        offset = -np.array(convention.mean, np.float64) / np.array(convention.std, np.float64)
        if (factor != 1).any():
            image = self.node("Mul", [image, self.per_channel("pixels/factor", factor)])
        if offset.any():
            image = self.node("Add", [image, self.per_channel("pixels/offset", offset)])
        return image

    def pixels(self, maps: str, output: Output) -> None:
        """Ends the graph with the picture."""
        if output.scale != 1:
            maps = self.node("Mul", [maps, self.number(output.scale)])
        if output.shift:
            maps = self.node("Add", [maps, self.number(output.shift)])
        self.node("Clip", [maps, self.number(0), self.number(1)], output=PICTURE)

    def moments(self, maps: str) -> tuple[str, str, str]:
        """Returns mean, differences from it, and deviation, as `painting` has them."""
        mean = self.node("GlobalAveragePool", [maps])
        centred = self.node("Sub", [maps, mean])
        variance = self.node("GlobalAveragePool", [self.node("Mul", [centred, centred])])
        return mean, centred, self.node("Sqrt", [self.node("Add", [variance, self.number(LEAST_SPREAD)])])

    def matched(self, maps: str, to_mean: str, to_deviation: str) -> str:
        """Returns maps with the moments of a style."""
        _, centred, deviation = self.moments(maps)
        to_mean, to_deviation = (
            self.node("Reshape", [name, self.whole(1, -1, 1, 1)]) for name in (to_mean, to_deviation)
        )
        normal = self.node("Div", [centred, deviation])
        return self.node("Add", [self.node("Mul", [normal, to_deviation]), to_mean])

    def run(self, steps: tuple[Step, ...], maps: str, channels: int, part: str) -> str:
        """Returns what the steps make of maps with this number of channels."""
        for step in steps:
            match step:
                case Conv():
                    maps = self._finish(step, self._convolve(step, maps, part), part)
                case Transposed():
                    maps = self._finish(step, self._spread(step, maps, part), part)
                case MaxPool():
                    maps = self.node("MaxPool", [maps], kernel_shape=[step.size] * 2, strides=[step.size] * 2)
                case Mean():
                    maps = self.node("GlobalAveragePool", [maps])
                case Residual():
                    maps = self.node("Add", [maps, self.run(step.steps, maps, channels, part)])
                case _:
                    assert_never(step)
            channels = step.channels(channels)
        return maps

    def _own(self, layer: Layer, role: str, part: str) -> np.ndarray:
        return np.asarray(self._trained.params[part]["params"][f"{layer.name}/{role}"], np.float32)

    def _kernel_and_bias(self, layer: Layer, part: str, axes: tuple[int, ...]) -> list[str]:
        name = f"{part}/{layer.name}"
        found = [self.constant(f"{name}/kernel", self._own(layer, "kernel", part).transpose(axes))]
        return [*found, self.constant(f"{name}/bias", self._own(layer, "bias", part))] if layer.bias else found

    def _convolve(self, layer: Conv, maps: str, part: str) -> str:
        if layer.enlarge > 1:
            factors = self.constant(f"enlarge{layer.enlarge}", [1, 1, layer.enlarge, layer.enlarge])
            nearest = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
            maps = self.node("Resize", [maps, "", factors], mode="nearest", **nearest)
        around = layer.kernel // 2
        borders: dict[str, Any] = {}
        match layer.border:
            case "reflect" if around:
                pads = self.whole(0, 0, around, around, 0, 0, around, around)
                maps = self.node("Pad", [maps, pads], mode="reflect")
            case "zeros":
                borders = {"pads": [around] * 4}
            case "same":
                borders = {"auto_pad": "SAME_UPPER"}
        kernel = self._kernel_and_bias(layer, part, (3, 2, 0, 1))
        sides: dict[str, Any] = {"kernel_shape": [layer.kernel] * 2, "strides": [layer.stride] * 2}
        return self.node("Conv", [maps, *kernel], group=layer.features if layer.depthwise else 1, **sides, **borders)

    def _spread(self, layer: Transposed, maps: str, part: str) -> str:
        # The result is to be as long as the map times the stride: what is beyond is cut off, what is missing is zero.
        surplus = layer.kernel - layer.before - layer.stride
        pads = [layer.before, layer.before, max(surplus, 0), max(surplus, 0)]
        kernel = self._kernel_and_bias(layer, part, (2, 3, 0, 1))
        sides: dict[str, Any] = {"kernel_shape": [layer.kernel] * 2, "strides": [layer.stride] * 2}
        return self.node("ConvTranspose", [maps, *kernel], pads=pads, output_padding=[max(-surplus, 0)] * 2, **sides)

    def _finish(self, layer: Layer, maps: str, part: str) -> str:
        if layer.norm is not None:
            scale, shift = (self._styled(layer, layer.norm, role, part) for role in ("scale", "shift"))
            if layer.norm.kind == "instance":
                maps = self.node("InstanceNormalization", [maps, scale, shift], epsilon=layer.norm.epsilon)
            else:
                known = [
                    self.constant(f"{part}/{layer.name}/{role}", self._own(layer, role, part))
                    for role in ("mean", "variance")
                ]
                maps = self.node("BatchNormalization", [maps, scale, shift, *known], epsilon=layer.norm.epsilon)
        if layer.activation is None:
            return maps
        operator, further = _ACTIVATIONS[layer.activation]
        return self.node(operator, [maps, *map(self.number, further)])

    def _styled(self, layer: Layer, norm: Norm, role: str, part: str) -> str:
        """Returns the scale or shift `[C]` of a normalisation."""
        name, values = f"{part}/{layer.name}/{role}", self._own(layer, role, part)
        offset = self._own(layer, f"{role}_offset", part) if norm.offset else None
        if norm.code and self.fixed is not None:
            values = np.asarray(self.fixed, np.float64) @ values + (0 if offset is None else offset)
        if not norm.code or self.fixed is not None:
            return self.constant(name, values)
        assert self.code is not None, f"{layer.name} needs a style"
        found = self.node("MatMul", [self.code, self.constant(name, values)])
        if offset is not None:
            found = self.node("Add", [found, self.constant(f"{name}_offset", offset)])
        return self.node("Reshape", [found, self.whole(-1)])

    def model(self, name: str, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> onnx.ModelProto:
        """Returns the file, checked."""
        ends = [
            [helper.make_tensor_value_info(end, TensorProto.FLOAT, shape) for end, shape in named.items()]
            for named in (inputs, outputs)
        ]
        graph = helper.make_graph(self._nodes, name, ends[0], ends[1], initializer=list(self._constants.values()))
        operators = [helper.make_opsetid("", OPERATORS)]
        model = helper.make_model(graph, opset_imports=operators, ir_version=FORMAT, producer_name="nst_jax")
        model.producer_version = nst_jax.__version__
        record = {key: value for key, value in self._trained.record.items() if isinstance(value, str)}
        styles = {"styles": json.dumps(self._trained.styles)} if self._trained.styles else {}
        network = self._trained.network
        if isinstance(network, Doodle):
            styles = {"regions": json.dumps([hexadecimal(colour) for colour in network.regions])}
        helper.set_model_props(model, {**record, **styles, "weights_sha256": self._trained.sha256})
        onnx.checker.check_model(model, full_check=True)
        return model
