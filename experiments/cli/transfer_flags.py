"""The flags of a transfer, made from its options, and what they mean: the images to read, the settings.

Nothing here needs JAX, which takes a second to import; `running.job` reads the images.
"""

import dataclasses
import os
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, get_args

import numpy as np

from nst_jax import presets
from nst_jax.applications.feedforward import trained
from nst_jax.backbones import pretrained as installed
from nst_jax.backbones.pretrained import Pretrained
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.spec import layers
from nst_jax.errors import UserError, one_line
from nst_jax.io import images
from nst_jax.io.files import check_folder, sha256
from nst_jax.io.stores import located
from nst_jax.presets import LEARNING_RATES, PRESETS, default_preset
from nst_jax.settings import Settings, compares_hypercolumns
from nst_jax.vocabulary import Init

from . import samples
from .flags import ESCAPE, Common, FileOrAddress, FilePaths, flag, option_flag, serialize, split
from .folders import asked_for, default_folder

CONTENT, STYLE, INIT, REGIONS, STYLE_REGIONS = "content", "style", "init", "regions", "style_regions"

INSTANT = "instant"
"""The value of --init that means the picture which a network paints in one pass."""

INIT_NETWORK, ANY_STYLE = "init_network", "any_style"
"""That network among `inputs`, and its name."""

_OF_STYLE_IMAGES = ("style_size", "style_scale", "style_rotate", "style_flip")

_OF_REGIONS = (STYLE_REGIONS, "region_styles", "region_guides", "keep")

QUARTER = 90
"""Degrees."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PictureFlags(Common):
    """The flags that name images."""

    content: FileOrAddress | None = flag(None, "Content image; by default a sample.")
    style: FilePaths | None = flag(None, f"Style image, or several separated by commas{ESCAPE}; by default a sample.")


def _option_fields() -> Iterator[tuple[str, Any, Any]]:
    """Yields a flag for the preset and for every option, in the order of the axes of a sweep."""
    names: Any = ("auto", *PRESETS)
    yield "preset", Literal[names], flag("auto", "Named settings; auto means the ones that suit the backbone.")
    hints = typing.get_type_hints(Settings)
    for row in dataclasses.fields(Settings):
        yield row.name, hints[row.name] | None, option_flag(row.name)
        if row.name == "style_weight":  # TransferFlags fills them in; the names of sweeps' folders depend on the place
            for name in _OF_STYLE_IMAGES:
                yield name, Any, None


# Any, as no type checker knows the fields of a class that is made at run time.
OptionFlags: Any = dataclasses.make_dataclass(
    "OptionFlags",
    _option_fields(),
    bases=(PictureFlags,),
    namespace={"__doc__": "A flag for every option of a transfer."},
    frozen=True,
    kw_only=True,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransferFlags(OptionFlags, PictureFlags):
    """The flags of a transfer; those that are None are taken from the preset."""

    style_size: tuple[int, ...] | None = flag(
        None,
        "Long side of the style image in pixels, which sets the scale of its strokes, or one for each; by default "
        "--size.",
        least=1,
    )
    style_scale: tuple[float, ...] | None = flag(
        None,
        "Factor of the size of the style image, or one for each: with 0.5 its strokes are half as large, with 2 twice.",
        least=0.01,
        most=100,
    )
    style_rotate: tuple[int, ...] | None = flag(
        None, "Degrees by which the style image is turned to the left, 0, 90, 180 or 270, or one for each."
    )
    style_flip: bool | None = flag(None, "Mirror the style images, left and right, before they are turned.")
    init: FileOrAddress | None = option_flag(
        "init",
        note=f"Or {INSTANT}: what the network {ANY_STYLE} paints in one pass. Any other value is an image file to "
        "start from.",
    )
    regions: FileOrAddress | None = flag(
        None,
        "Map of the content image with a flat colour for each region, or a soft mask in grey or transparency. Regions "
        "follow the style images one after the other, as they appear on the map from the upper left.",
    )
    style_regions: tuple[FileOrAddress, ...] | None = flag(
        None, f"Maps of the style images, one each{ESCAPE}: equal colours belong together."
    )
    region_styles: tuple[int, ...] | None = flag(
        None, "Number of the style image, from 1, that each region of --regions follows.", least=1
    )
    keep: tuple[str, ...] | None = flag(
        None, "Colours on --regions, as red or #ff0000, where the content image stays as it is, bit for bit."
    )


def inputs(flags: TransferFlags) -> dict[str, Path]:
    """Returns the images to read: `content`, `style`, `style2` ..., `init` if the run starts from a file, and maps.

    These are `regions`, and those of the style images, `regions_style`, `regions_style2` ... Where the run starts from
    what a network paints in one pass, `init_network` is its weight file.

    Raises:
        UserError: what was given looks like a word, flags about regions lack a map, or there is no network or no style
            image for --init=instant.
    """
    paths = {CONTENT: located(flags.content) if flags.content else samples.content_image()}
    unused = flags.style is None and flags.style_layers == ()
    for number, path in enumerate([] if unused else style_files(flags.style), start=1):
        paths[STYLE if number == 1 else f"{STYLE}{number}"] = path
    if flags.init == INSTANT:
        if not styles(paths):
            raise UserError(f"--init: expected a style image with {INSTANT}, found none; choose another")
        paths[INIT_NETWORK] = trained.find(ANY_STYLE)
    elif flags.init and flags.init not in get_args(Init):
        paths[INIT] = _initial_image(flags.init)
    if flags.regions:
        paths[REGIONS] = located(flags.regions)
    elif without := next((name for name in _OF_REGIONS if getattr(flags, name)), None):
        raise UserError(f"--{without}: expected --regions with it, a map of the content image, found none")
    for number, each in enumerate(flags.style_regions or (), start=1):
        paths[f"{REGIONS}_{STYLE}{number if number > 1 else ''}"] = located(each)
    return paths


def _initial_image(given: str) -> Path:
    """Returns the file of an initial image.

    Raises:
        UserError: there is none, and what was given looks like a word.
    """
    path = located(given)
    if path.name == given and not path.suffix and not os.path.exists(given):  # noqa: PTH110 - Path raises for some
        raise UserError(
            f"--init: expected one of {', '.join((*get_args(Init), INSTANT))}, or an image file, found "
            f"{one_line(given)!r}, which is neither; choose one"
        )
    return path


def styles(paths: Mapping[str, Path]) -> list[Path]:
    """Returns the files of the style images among `inputs`."""
    return [path for name, path in paths.items() if is_style(name)]


def is_style(name: str) -> bool:
    """Returns whether the name of one of `inputs` is that of a style image."""
    return name.startswith(STYLE)


class StyleImage(NamedTuple):
    """A style image as a transfer sees it.

    Attributes:
        path: its file.
        size: its long side in pixels.
        turns: by how many quarters it is turned to the left.
        flip: whether it is mirrored, left and right, before that.
    """

    path: Path
    size: int
    turns: int = 0
    flip: bool = False

    def placed(self, pixels: np.ndarray) -> np.ndarray:
        """Returns its pixels `[H, W, 3]`, as the file has them in this size, mirrored and turned."""
        return np.ascontiguousarray(np.rot90(pixels[:, ::-1] if self.flip else pixels, self.turns))

    def shape(self, of_file: Sequence[int]) -> tuple[int, ...]:
        """Returns the shape `(H, W, 3)` that it has where its file has one in this size."""
        height, width, *channels = of_file
        return (width, height, *channels) if self.turns % 2 else (height, width, *channels)

    def read(self) -> np.ndarray:
        """Returns its pixels, `[H, W, 3]`.

        Raises:
            UserError: see `images.read`.
        """
        return self.placed(images.read(self.path, size=self.size).pixels)


def style_images(flags: TransferFlags, files: Sequence[Path]) -> list[StyleImage]:
    """Returns the style images of some files, see `styles`.

    Raises:
        UserError: a flag has another number of values than there are style images, or an angle is none of four.
    """
    count = len(files)

    def each(name: str, default: Any) -> Sequence[Any]:
        given = getattr(flags, name) or (default,)
        if len(given) not in (1, count):
            whom = "the style image" if count == 1 else f"each of {count} style images"
            raise UserError(
                f"--{name}: expected one value for {whom}, found {serialize(given)}; "
                "in a sweep, semicolons separate its values"
            )
        return given * count if len(given) == 1 else given

    sizes, factors, angles = each("style_size", flags.size), each("style_scale", 1.0), each("style_rotate", 0)
    for angle in angles:
        if angle % QUARTER:
            raise UserError(f"--style_rotate: expected 0, 90, 180 or 270 degrees, found {angle}")
    return [
        StyleImage(path, max(1, round(size * factor)), angle // QUARTER % 4, bool(flags.style_flip))
        for path, size, factor, angle in zip(files, sizes, factors, angles, strict=True)
    ]


def recorded(shown: Sequence[StyleImage]) -> dict[str, Any]:
    """Returns what records say of style images beside their files: a single value where all have the same."""
    each: dict[str, list[Any]] = {
        "style_size": [image.size for image in shown],
        "style_rotate": [image.turns * QUARTER for image in shown],
        "style_flip": [image.flip for image in shown],
    }
    return {name: values[0] if len(set(values)) == 1 else values for name, values in each.items()}


def resolve(flags: TransferFlags, backbone: str) -> Settings:
    """Returns the settings of the preset, replaced where flags are given.

    Raises:
        UserError: the preset names layers that the backbone does not have, or a number is out of its range.
    """
    preset = presets.preset(flags.preset, backbone)
    both_given = flags.content_layers is not None and flags.style_layers is not None  # perhaps as empty lists
    for layer in preset.content_layers + preset.style_layers:
        if layer not in layers(BACKBONES[backbone]) and not both_given:
            fitting = default_preset(backbone)
            raise UserError(
                f"--preset={flags.preset}: its layer {layer} is not one of {backbone}; choose --preset={fitting}, "
                "another --backbone, or layers with --content_layers and --style_layers"
            )
    names = {field.name for field in dataclasses.fields(Settings)}
    given = {name: value for name, value in vars(flags).items() if name in names and value is not None}
    if given.get("init") not in get_args(Init):
        given.pop("init", None)
    if given.get("optimizer", preset.optimizer) != preset.optimizer:
        given.setdefault("learning_rate", LEARNING_RATES[given["optimizer"]])
    if compares_hypercolumns({**vars(preset), **given}):  # which shifts do not suit
        given.setdefault("shifts", 1)
    if "steps" in given:  # else those of a preset's scales would hold in their place
        given.setdefault("scale_steps", ())
    if given.get("scales"):  # perhaps fewer than the preset has steps for
        given.setdefault("scale_steps", preset.scale_steps[: len(given["scales"])])
    return dataclasses.replace(preset, **given)


def identity(
    flags: TransferFlags, settings: Settings, pretrained: Pretrained, digests: Mapping[str, str]
) -> dict[str, Any]:
    """Returns everything that the picture after a given step depends on; `digests`: SHA-256 of each of `inputs`."""
    of_regions = {"region_styles": flags.region_styles or (), "keep": flags.keep or ()} if REGIONS in digests else {}
    options = dataclasses.asdict(settings)
    if INIT_NETWORK in digests:
        options["init"] = INSTANT
    if not settings.finish_steps:  # the last scale may go on for longer
        options["scale_steps"] = settings.scale_steps[:-1]
        options.pop("steps")
    return {
        **{f"{name}_sha256": digest for name, digest in digests.items()},
        **network_identity(pretrained),
        "size": flags.size,
        **recorded(style_images(flags, [Path(name) for name in digests if is_style(name)] or [Path(STYLE)])),
        "seed": flags.seed,
        **of_regions,
        **options,
    }


def network_identity(pretrained: Pretrained) -> dict[str, str]:
    """Returns the identity of a backbone and its weights, and how the numbers came about where that matters."""
    numbers = {"weights": pretrained.numbers} if pretrained.numbers else {}
    return {"backbone": pretrained.backbone.name, "weights_sha256": pretrained.sha256, **numbers}


def describe(paths: Mapping[str, Path], identity: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the description of a transfer for its record: its files, and everything that its picture depends on."""
    files = {name: str(path) for name, path in paths.items()}
    return {**files, **identity, **files}  # files first, and that of --init instead of its setting


class Destination(Protocol):
    """Flags that may name the places where a script writes."""

    @property
    def workdir(self) -> str | None:
        """The folder."""

    @property
    def output(self) -> str | None:
        """The picture."""


def places(
    flags: Destination,
    paths: Mapping[str, Path],
    *,
    script: str,
    picture: str,
    bits: int = 8,
    going_on: Collection[str] = (),
    choose: Callable[[Path], Path] = lambda folder: folder,
) -> tuple[Path, Path]:
    """Returns the folder and the picture that a script will write, after checking that it can.

    Args:
        flags: which may name both.
        paths: the images that it reads, see `inputs`; the folder is named after them if no flag names it.
        script: the name of the script.
        picture: the name of the file if no flag names it.
        bits: per channel of the picture.
        going_on: flags with which the script goes on with what another value of theirs began, in the same folder.
        choose: the folder that results have if no flag names one → the one to use.

    Raises:
        UserError: it cannot, or the picture is one of the images that are read.
    """
    workdir = Path(flags.workdir) if flags.workdir else choose(_own_folder(flags, paths, script, going_on))
    output = Path(flags.output or workdir / picture)
    check_folder(workdir)
    images.check_format(output, bits=bits)
    if output.parent.absolute() != workdir.absolute():
        images.check_output(output, bits=bits)
    check_own(output, paths)
    return workdir, output


def _own_folder(flags: Destination, paths: Mapping[str, Path], script: str, going_on: Collection[str]) -> Path:
    """Returns a folder that no other images, weights or flags have."""
    title = "-".join(path.stem for name, path in paths.items() if name.startswith((CONTENT, STYLE)))
    digests = {name: digest(path) for name, path in paths.items()}
    if isinstance(flags, Common):
        backbone = installed.resolve(flags.backbone)
        digests |= {"backbone": backbone, "weights": digest(installed.find(backbone))}
    return default_folder(script, title, asked_for(flags, digests, but=going_on))


def digest(path: Path | None) -> str:
    """Returns the SHA-256 of a file, nothing for one that cannot be read, which is said when it has to be."""
    try:
        return sha256(path) if path else ""
    except (OSError, ValueError):
        return ""


def check_own(output: Path, paths: Mapping[str, Path]) -> None:
    """Checks that the file to be written is none of `paths`, which are images but for a `network`.

    Raises:
        UserError: it is.
    """
    for name, path in paths.items():
        if output.exists() and path.exists() and output.samefile(path):
            what = name if name == "network" else f"{name} image"
            raise UserError(
                f"--output: expected a file of its own, found the {what} {path}; choose another, or --workdir"
            )


def style_files(given: str | None) -> list[Path]:
    """Returns the style images that a flag names; if a file has the whole text as its name, commas separate nothing."""
    if given is None:
        return [samples.style_image()]
    if os.path.exists(given):  # noqa: PTH110 - Path complains about lists that are too long for a name
        return [located(given)]
    paths = [located(name) for name in split(given, ",")]
    if not paths:
        raise UserError(f"--style: expected a style image, found none in {given!r}; leave the flag out for a sample")
    return paths
