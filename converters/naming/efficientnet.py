"""EfficientNet-Lite: in the PyTorch port `_blocks.3._expand_conv` is `blocks_3/expand`; normalisations have numbers."""

from collections.abc import Sequence

from nst_jax.backbones.rows import Conv, Row

from .place import Pairs, Place, pair

_NORMALISATIONS = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}


def ported(rows: Sequence[Row]) -> Pairs:
    """Yields the names in EfficientNet-PyTorch and what stems from it."""
    yield from pair("stem", "_conv_stem", "_bn0")
    yield from pair("head", "_conv_head", "_bn1")
    yield "_fc", Place("logits")
    for row in rows:
        block, _, part = row.name.partition("/")
        if isinstance(row, Conv) and part:
            theirs = f"_blocks.{block.removeprefix('blocks_')}"
            yield from pair(row.name, f"{theirs}._{part}_conv", f"{theirs}.{_NORMALISATIONS[part]}")
