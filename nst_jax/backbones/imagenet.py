"""The 1000 classes of ImageNet (ILSVRC 2012, Russakovsky et al., arXiv:1409.0575) by number and by name.

The classes are nouns of WordNet 3.0, each with all its names, numbered as in Caffe and every later framework,
and so in the head of every network of the registry. `python -m converters.embed_imagenet` remakes the table.
"""

import difflib
import functools
import importlib.resources
from pathlib import Path
from typing import NamedTuple

from nst_jax.errors import UserError, one_line

FILE = Path(str(importlib.resources.files("nst_jax.backbones") / "data" / "imagenet_classes.tsv"))
"""Number, WordNet id, names and definition, one class per line."""

_MOST = 8  # similar names in a message


class ImageNetClass(NamedTuple):
    """A class.

    Attributes:
        synset: the WordNet id.
        names: all names, the most usual first.
        definition: the definition in WordNet.
    """

    synset: str
    names: tuple[str, ...]
    definition: str


@functools.cache
def classes() -> tuple[ImageNetClass, ...]:
    """Returns all classes, in the order of their numbers."""
    rows = (line.split("\t") for line in FILE.read_text(encoding="utf-8").splitlines())
    return tuple(ImageNetClass(synset, tuple(names.split(", ")), text) for _, synset, names, text in rows)


def class_name(index: int) -> str:
    """Returns the first name of a class, given its number. Two classes are cranes, others share other names."""
    return classes()[index].names[0]


def class_index(name: str) -> int:
    """Returns the number of a class.

    Args:
        name: any of its names, in any case and with underscores or spaces, its WordNet id, or the number itself.

    Raises:
        UserError: no class has this name, or several have; the message lists these, or similar names.
    """
    key = _plain(name)
    if key.isdecimal() and int(key) < len(classes()):
        return int(key)
    found = _by_name().get(key, ())
    if len(found) == 1:
        return found[0]
    if found:
        several = " and ".join(f"{number} ({classes()[number].definition})" for number in found)
        raise UserError(f"class {one_line(name)!r}: expected one class, found {several}; give a number")
    near = ", ".join(_alike(key)[:_MOST])
    expected = f"expected a number from 0 to {len(classes()) - 1} or a name of ImageNet"
    raise UserError(f"unknown class {one_line(name)!r}; {expected}{near and f', like {near}'}; all are in {FILE}")


def _alike(key: str) -> list[str]:
    """Returns the names with all words of the key, then those with a similar spelling."""
    words = set(key.split())
    having = [name for name in _by_name() if words and words <= set(name.replace("-", " ").split())]
    spelled = difflib.get_close_matches(key, _by_name(), n=_MOST, cutoff=0.7)
    return list(dict.fromkeys([*having, *spelled]))


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").lower().split())


@functools.cache
def _by_name() -> dict[str, tuple[int, ...]]:
    numbers: dict[str, tuple[int, ...]] = {}
    for number, (synset, names, _) in enumerate(classes()):
        for key in dict.fromkeys(map(_plain, (*names, synset))):
            numbers[key] = (*numbers.get(key, ()), number)
    return numbers
