"""Exports a network that paints in one pass: as ONNX, as StableHLO, or as a page for the browser.

    python -m experiments.export --network=any_style --format=webpage
    python -m experiments.export --network=pastiche26 --format=onnx
    python -m experiments.export --network=pastiche26 --format=onnx --styles=3,5 --style_weights=0.7,0.3
    python -m experiments.export --network=any_style --format=stablehlo --style=painting.jpg

The page is one file that paints any photo, or what the camera sees, in any browser of today, without a network or a
server. ONNX and StableHLO leave the style an input; of a network that sees style images there is a second file,
NAME-style, from an image to this input. `--style` or `--styles` fix the style instead, and then there is one file.
"""

import dataclasses
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import nst_jax
from nst_jax.errors import UserError
from nst_jax.io import images
from nst_jax.io.files import atomic_write, check_folder, make_folder

from .cli import samples
from .cli.flags import ESCAPE, Checked, FilePath, flag, run_script
from .cli.folders import asked_for, default_folder
from .cli.transfer_flags import check_own, digest

Format = Literal["webpage", "onnx", "stablehlo"]

_FILES: dict[Format, str] = {"webpage": "index.html", "onnx": "{}.onnx", "stablehlo": "{}.stablehlo"}
_SAMPLE_SIZE = 512


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Checked):
    """The flags."""

    network: FilePath = flag("any_style", "Name of an installed network that paints, or path of its weight file.")
    format: Format = flag("webpage", "What is written.")
    style: tuple[FilePath, ...] = flag(
        (), f"Style images, for a network that sees them{ESCAPE}: the style, or those that the page begins with."
    )
    blend_weights: tuple[float, ...] = flag(
        (), "Shares of --style, one for each, which are divided by their sum; by default equal ones.", least=0
    )
    styles: tuple[str, ...] = flag(
        (),
        "Styles of a network that has its styles in it, by name or number from 1: the style, or those that the page "
        "offers.",
    )
    style_weights: tuple[float, ...] = flag(
        (), "Shares of --styles, or of all, which are divided by their sum; by default equal ones.", least=0
    )
    sides: tuple[int, ...] = flag(
        (), "Height and width in pixels of the pictures, if the file is to have fixed ones; by default they are free."
    )
    webgpu: bool = flag(True, "Whether the page can use the graphics card; without, it is 9 MB smaller.")
    runtime: FilePath | None = flag(None, "File of onnxruntime-web, for the page; by default npm fetches it.")
    workdir: FilePath | None = flag(None, "Folder for what is written; by default one in results/.")
    output: FilePath | None = flag(None, "File that is written; by default in --workdir, named after the network.")


class Result(NamedTuple):
    """The files: from a content image to the picture, and if there is one, from a style image to the style."""

    output: Path
    style: Path | None


def run(config: Config) -> Result:
    """Runs the script.

    Raises:
        UserError: the network, flags or images do not fit together, a package is missing, or something cannot be
            written; nothing is written then.
    """
    needed = "flatbuffers" if config.format == "stablehlo" else "onnx"  # JAX itself writes programs with the former
    if importlib.util.find_spec(needed) is None:
        raise UserError(f"expected the package {needed}, found none; install it with: pip install {needed}")

    from nst_jax.applications.feedforward import trained

    path = trained.find(config.network)
    network = trained.read(path)
    title = path.stem
    digests = {"network": network.sha256, "style": ",".join(digest(Path(image)) for image in config.style)}
    named = default_folder("export", title, asked_for(config, digests, but=["runtime"]))
    workdir = Path(config.workdir or named)
    output = Path(config.output or workdir / _FILES[config.format].format(title))
    inputs = {f"style{number}": Path(image) for number, image in enumerate(config.style, 1)}
    check_own(output, {"network": path, **inputs})
    if config.format != "webpage" and (config.runtime or not config.webgpu):
        raise UserError("--runtime, --nowebgpu: expected neither, which are for --format=webpage; leave them out")
    check_folder(output.parent)
    if config.format == "webpage":
        make_folder(output.parent)
        _write_page(config, network, title, output)
        return Result(output, None)
    files = _graphs(config, network) if config.format == "onnx" else _programs(config, network)
    make_folder(output.parent)
    beside = output.with_name(f"{output.stem}-style{output.suffix}")
    for place, data in zip((output, beside), files, strict=False):
        with atomic_write(place) as file:
            file.write(data)
    return Result(output, beside if len(files) > 1 else None)


def _graphs(config: Config, network: Any) -> list[bytes]:
    """Returns painter and, where the style is open and an image, coder, in ONNX."""
    from nst_jax.applications.feedforward import instant

    from .exporting import onnx_graph, styles

    onnx_graph.code_shapes(network.network)
    choice = _choice(config)
    code = styles.fixed_code(network, config.network, choice)
    fixed = onnx_graph.named(network.network, code) if code is not None else None
    graphs = [onnx_graph.painter(network, fixed, _sides(config))]
    if code is None and instant.takes_images(network.network):
        graphs.append(onnx_graph.coder(network))
    return [graph.SerializeToString() for graph in graphs]


def _programs(config: Config, network: Any) -> list[bytes]:
    from nst_jax.applications.feedforward import instant

    from .exporting import stablehlo, styles

    code = styles.fixed_code(network, config.network, _choice(config))
    programs = [stablehlo.painter(network, code, _sides(config))]
    return [*programs, stablehlo.coder(network)] if code is None and instant.takes_images(network.network) else programs


def _choice(config: Config) -> Any:
    from .exporting.styles import Choice

    return Choice(config.style, config.blend_weights, config.styles, config.style_weights)


def _sides(config: Config) -> tuple[int, int] | None:
    """Returns height and width, if they are fixed."""
    if not config.sides:
        return None
    if len(config.sides) != 2 or min(config.sides) < images.MIN_SIDE:
        raise UserError(f"--sides: expected a height and a width of {images.MIN_SIDE} px or more; change them")
    height, width = config.sides
    return height, width


def _write_page(config: Config, network: Any, title: str, path: Path) -> None:
    from nst_jax.applications.feedforward import instant
    from nst_jax.applications.feedforward.networks import Doodle, content_steps
    from nst_jax.applications.feedforward.steps import least_side

    from .exporting import onnx_graph, page, runtime, styles
    from .running import network_styles

    codes = onnx_graph.code_shapes(network.network)
    if isinstance(network.network, Doodle):
        raise UserError(
            f"--network: expected one that paints from photos, as the page does, found {title}, which paints from maps "
            "of regions; choose --format=onnx or stablehlo"
        )
    if config.sides:
        raise UserError("--sides: expected none for the page, which paints at any size; leave it out")
    choice = _choice(config)
    styles.check(network, config.network, choice)
    if choice.blend_weights or choice.style_weights:
        raise UserError("--blend_weights, --style_weights: expected none for the page, where a visitor mixes styles")
    models = {"painter": onnx_graph.painter(network).SerializeToString()}
    photo = images.read(samples.content_image(), size=_SAMPLE_SIZE).pixels
    offered: list[page.Style] = []
    if instant.takes_images(network.network):
        models["coder"] = onnx_graph.coder(network).SerializeToString()
        paths = [Path(image) for image in choice.style] or samples.style_images()
        offered = [page.Style(image.stem, styles.for_page(image), None) for image in paths]
    elif codes:
        chosen = network_styles.numbers(network, choice.styles)
        shown = zip(chosen, styles.previews(network, chosen, photo), strict=True)
        offered = [page.Style(network.styles[index], image, code.tolist()) for index, (code, image) in shown]
    parts = runtime.runtime(config.runtime, ("wasm", "webgpu") if config.webgpu else ("wasm",))
    made = [f"weights: {_origin(network.record)}", f"{runtime.NAME} {runtime.VERSION}, {runtime.LICENCE}"]
    page.write_page(
        path,
        title=title,
        made=[*made, f"made by nst_jax {nst_jax.__version__}"],
        sample=photo,
        styles=offered,
        codes=list(codes),
        side=getattr(network.network, "side", None),
        least=least_side(content_steps(network.network)),
        models=models,
        parts=parts,
    )


def _origin(record: Mapping[str, Any]) -> str:
    known = [str(record[key]) for key in ("licence", "source") if isinstance(record.get(key), str)]
    return ", ".join(known) or "trained by the user"


def main(config: Config) -> None:
    """Runs the script and prints what there is."""
    for path in filter(None, run(config)):
        print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    run_script(Config, main)
