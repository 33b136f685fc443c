"""Every type of row: what it knows of itself is what the interpreter computes, and one that is unknown is refused."""

import dataclasses
import typing

import jax
import numpy as np
import pytest

from nst_jax.backbones import spec
from nst_jax.backbones.features import Features
from nst_jax.backbones.receptive_field import receptive_fields
from nst_jax.backbones.rows import (
    Add,
    BatchNorm,
    Concat,
    Conv,
    GlobalAverage,
    LocalResponseNorm,
    Pool,
    Row,
    RowBase,
    Window,
)
from nst_jax.backbones.spec import Backbone, Preprocess, Provenance
from nst_jax.backbones.vgg import FAMILY

pytestmark = pytest.mark.quick

EXAMPLES = {
    Conv: (
        Conv("row", "one", 7, kernel=3, padding=1, relu="relu_row"),
        Conv("row", "one", 4, kernel=5, stride=2, padding=1),
        Conv("row", "one", 4, kernel=2, stride=3),
        Conv("row", "one", 10, kernel=(1, 3), padding=(0, 1), groups=5, bias=False),
        Conv("row", "one", 5, kernel=3, stride=2, padding="same", groups=5, relu="relu_row", ceiling=6),
        Conv("row", "one", 4, kernel=3, padding=1, bias=False, norm=BatchNorm(1e-3, scale=False), relu="relu_row"),
    ),
    Pool: (
        Pool("row", "one", size=2, stride=2, ceil=False),
        Pool("row", "one", size=3, stride=2, ceil=True),
        Pool("row", "one", size=3, stride=1, ceil=False),
        Pool("row", "one", size=3, stride=1, padding=1, kind="max"),
        Pool("row", "one", size=3, stride=2, padding=1, ceil=True, kind="padded_average"),
        Pool("row", "one", size=3, stride=2, padding="same"),
    ),
    LocalResponseNorm: (LocalResponseNorm("row", "one"), LocalResponseNorm("row", "one", size=3, k=2.0)),
    Concat: (Concat("row", ("one",)), Concat("row", ("one", "two", "one"))),
    Add: (Add("row", ("one", "one")), Add("row", ("one", "one", "one"), relu="relu_row")),
    GlobalAverage: (GlobalAverage("row", "one"),),
}
ROWS = [row for rows in EXAMPLES.values() for row in rows]


def backbone_of(*rows) -> Backbone:
    """The rows, behind two maps with 5 and 3 channels to read."""
    maps = (Conv("one", "data", 5, kernel=1), Conv("two", "data", 3, kernel=1))
    plain = Preprocess(scale=1.0, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), order="RGB")
    return Backbone("test", (*maps, *rows), plain, Provenance("", "", ""), FAMILY)


def test_every_type_has_examples():
    assert set(EXAMPLES) == set(typing.get_args(Row))
    assert all(type(row) is kind for kind, rows in EXAMPLES.items() for row in rows)
    assert all(issubclass(kind, RowBase) for kind in EXAMPLES)


@pytest.mark.parametrize("shape", [(8, 9), (7, 12)])
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_row_is_what_is_computed(row, shape):
    model = Features(backbone_of(row))
    found, variables = model.init_with_output(jax.random.key(0), jax.random.uniform(jax.random.key(1), (*shape, 3)))
    assert set(row.names) == found.keys() - {"one", "two"}
    expected = row.shape(*(found[name].shape for name in row.inputs))
    assert {found[name].shape for name in row.names} == {expected}
    assert expected[-1] == row.channels(*(found[name].shape[-1] for name in row.inputs))
    parameters = {name.removeprefix("row/"): leaf.shape for name, leaf in variables["params"].items() if "row" in name}
    inputs = [found[name].shape[-1] for name in row.inputs]
    assert parameters == (row.computed(*inputs) if isinstance(row, Conv) else row.parameters(*inputs))
    for names in row.outputs:
        assert {spec.tensor(model.backbone, name) for name in names} == {names[0]}
        for name in names:
            np.testing.assert_array_equal(found[name], found[names[0]])
    field = receptive_fields(model.backbone, *shape)[row.name]
    for span, window in zip(field, row.windows or (None, None), strict=True):
        assert span.size == (window.size if window else np.inf)
        assert spec.strides(model.backbone)[row.name] == (window.stride if window else 1)


@pytest.mark.parametrize("window", [Window(size, stride, padding, ceil) for size, stride, padding, ceil in [
    (1, 1, 0, False), (3, 1, 1, False), (2, 2, 0, False), (3, 2, 0, True), (2, 2, 0, True), (5, 3, 2, False),
    (3, 2, 1, True), (2, 2, 1, True), (11, 4, 0, False),
]], ids=str)  # fmt: skip
def test_windows_one_by_one(window):
    for length in range(window.size, 30):
        end = length + window.padding
        starts = [-window.padding]
        # With `ceil` there is another as long as something is not covered, else as long as another fits.
        while starts[-1] + window.size < end if window.ceil else starts[-1] + window.stride + window.size <= end:
            starts.append(starts[-1] + window.stride)
        # Caffe, pooling_layer.cpp: the last one has to begin "strictly inside the image".
        starts = [start for start in starts if start < length]
        assert window.count(length) == len(starts)
        assert window.overhang(length) == max(0, starts[-1] + window.size - end)


@pytest.mark.parametrize(("size", "stride"), [(1, 2), (2, 1), (2, 2), (3, 1), (3, 2), (5, 3), (7, 2)])
def test_same_is_that_of_tensorflow(size, stride):
    window = Window(size, stride, "same")
    for length in range(1, 30):
        expected = jax.lax.padtype_to_pads((length,), (size,), (stride,), "SAME")
        assert [window.around(length)] == expected
        assert (window.count(length), window.overhang(length)) == (-(-length // stride), 0)


def test_a_row_has_to_know_its_geometry():
    @dataclasses.dataclass(frozen=True)
    class Vague(RowBase):
        input: str

    with pytest.raises(TypeError, match=r"abstract class Vague .*channels.*inputs.*windows"):
        Vague("vague", "one")


@pytest.mark.parametrize(
    "query",
    [
        spec.channels,
        spec.convolutions,
        spec.parameter_shapes,
        spec.layers,
        spec.blocks,
        spec.strides,
        receptive_fields,
        lambda backbone: spec.ancestors(backbone, ("behind",)),
        lambda backbone: spec.layer_shapes(backbone, 8, 8),
        lambda backbone: spec.least_side(backbone, "behind"),
        lambda backbone: spec.tensor(backbone, "behind"),
        lambda backbone: Features(backbone).init(jax.random.key(0), np.zeros((8, 8, 3), np.float32)),
    ],
)
def test_what_is_no_row_is_refused(query):
    @dataclasses.dataclass(frozen=True)
    class Stranger:
        name: str
        input: str

    with pytest.raises(AttributeError, match="'Stranger' object has no attribute"):
        query(backbone_of(Stranger("stranger", "one"), Conv("behind", "stranger", 2, kernel=1)))


def test_the_interpreter_refuses_a_row_that_it_does_not_know():
    @dataclasses.dataclass(frozen=True)
    class Halve(RowBase):
        """It knows its geometry, so everything that follows from the table is right."""

        input: str
        inputs = property(lambda self: (self.input,))
        windows = property(lambda self: (Window(2, 2), Window(2, 2)))

        def channels(self, *inputs):
            return inputs[0] + 1

    network = backbone_of(Halve("halve", "one"))
    assert spec.layer_shapes(network, 8, 6)["halve"] == (4, 3, 6)
    assert receptive_fields(network)["halve"] == ((0, 2, 2), (0, 2, 2))
    with pytest.raises(AssertionError, match=r"unreachable.*Halve\(name='halve', input='one'\)"):
        Features(network).init(jax.random.key(0), np.zeros((8, 8, 3), np.float32))
