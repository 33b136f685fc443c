"""Amplifies in an image whatever the network sees in it (DeepDream).

    python -m experiments.dream --content=photo.jpg
    python -m experiments.dream --content=photo.jpg --layers=fire4/concat --channels=12,40
    python -m experiments.dream --content=photo.jpg --guide=flowers.jpg
    python -m experiments.dream --content=photo.jpg --frames=60

Early layers bring out strokes, late layers eyes and parts of animals and things. Writes picture.png, and to --workdir
run.json, every octave, and sheet.png with all octaves side by side. `--frames` adds a zoom into the dream, as an
endless animation (.webp or .gif); if it is interrupted, the same command continues it. To combine a dream with a style,
use `--dream_layers` of `experiments.stylize`. Without flags: a sample image at 512 pixels, in a minute with the
embedded SqueezeNet on 2 cores.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Any, NamedTuple

from nst_jax.errors import UserError
from nst_jax.io import images
from nst_jax.io.files import check_target, make_folder, remove, sha256
from nst_jax.presets import LEARNING_RATES
from nst_jax.vocabulary import Parameterization

from .cli import samples, stopping
from .cli.flags import Common, FilePath, flag, option_flag, run_script
from .cli.transfer_flags import CONTENT, check_own, network_identity, places
from .showing.animation import check_animation, write_animation


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Common):
    """The flags."""

    content: FilePath | None = flag(None, "Content image; by default a sample.")
    layers: tuple[str, ...] | None = option_flag("dream_layers", note="By default two that suit the backbone.")
    channels: tuple[int, ...] | None = option_flag("dream_channels")
    guide: FilePath | None = flag(None, "Image whose features are maximised, instead of all activations.")
    octaves: int | None = flag(
        None,
        "Number of octaves: sizes of the picture, from small to large; by default 4, or as many as fit.",
        least=1,
        most=20,
    )
    octave_scale: float = flag(1.4, "Ratio of the size of an octave to that of the one before.", least=1.01, most=8)
    steps: int | None = option_flag("steps", note="Here per octave, by default 20.")
    parameterization: Parameterization = option_flag(
        "parameterization", "pixels", note="Pixels follow the normalised gradient, all else is optimised by Adam."
    )
    learning_rate: float | None = option_flag(
        "learning_rate", note="For pixels, it is their mean change per step, by default 1.5 / 255."
    )
    jitter: int | None = option_flag("jitter", note="By default 32.")
    frames: int = flag(0, "Number of frames of a zoom into the dream; 0 means no zoom.", least=0, most=99_999)
    frame_steps: int = flag(3, "Number of optimisation steps in each frame of the zoom.", least=0)
    zoom: float = flag(1.03, "Magnification from one frame of the zoom to the next.", least=1.001, most=2)
    seconds_per_frame: float = flag(0.08, "Duration of each frame of the animation in seconds.", least=0.01, most=600)
    animation: FilePath | None = flag(None, "File of the zoom, .webp or .gif; by default in --workdir.")


class Result(NamedTuple):
    """Result of a run: the picture so far, the animation if one is wanted, and whether the run is finished."""

    output: Path | None
    animation: Path | None
    finished: bool


def run(config: Config) -> Result:
    """Runs the script.

    Raises:
        UserError: the input cannot be used, and then nothing is written; or something cannot be written.
    """
    if config.layers == ():
        raise UserError("--layers: expected one or more, found none; leave the flag out for its default")
    content_path = Path(config.content) if config.content else samples.content_image()
    guide = Path(config.guide) if config.guide else None
    paths = {CONTENT: content_path, **({"guide": guide} if guide else {})}
    zooming = ("frames", "seconds_per_frame", "animation")
    workdir, output = places(config, paths, script="dream", picture="picture.png", going_on=zooming)
    animation = Path(config.animation or workdir / "zoom.webp") if config.frames else None
    if animation:
        check_animation(animation)
        if animation.parent.absolute() != workdir.absolute():
            check_target(animation)
    content = images.read(content_path, size=config.size)
    guide_pixels = images.read(guide, size=config.size).pixels if guide else None
    from nst_jax.applications import dream
    from nst_jax.backbones.pretrained import load_for
    from nst_jax.checks import check_canvas, check_layers

    from .dreams.dreaming import Dreaming, is_same_run  # with JAX, for which --help should not wait
    from .running.progress import graceful_interrupt, progress_bar
    from .running.rescue import write_or_rescue
    from .running.run_record import versions, write_json

    pretrained = load_for(config.backbone, config.layers or ())
    given: dict[str, Any] = {"dream_layers": config.layers, "dream_channels": config.channels, "steps": config.steps}
    given |= {"learning_rate": config.learning_rate, "jitter": config.jitter}
    if config.parameterization != "pixels":
        given = {"optimizer": "adam", "parameterization": config.parameterization, **given}
        given["learning_rate"] = config.learning_rate or LEARNING_RATES["adam"]
    settings = dataclasses.replace(
        dream.dream_settings(pretrained.backbone.name, guided=guide is not None),
        **{name: value for name, value in given.items() if value is not None},
    )
    least = dream.least_octave(pretrained.backbone, settings)
    shapes = dream.octave_shapes(content.pixels.shape, count=config.octaves, scale=config.octave_scale, least=least)
    if len(shapes) > 1 and min(shapes[0]) < least:
        raise UserError(
            f"--octaves: expected at most {max(1, sum(min(shape) >= least for shape in shapes))} for this picture, so "
            f"that the smallest has a short side of {least} px, found {config.octaves}; choose fewer or a larger --size"
        )
    identity = {
        "content_sha256": sha256(content_path),
        "guide_sha256": sha256(guide) if guide else None,
        **network_identity(pretrained),
        "size": config.size,
        **{name: getattr(config, name) for name in ("seed", "octave_scale", "zoom", "frame_steps")},
        "octaves": len(shapes),
        **dataclasses.asdict(settings),
    }
    record = {"content": str(content_path), "guide": str(guide) if guide else None, **identity}
    dreaming = Dreaming(
        pretrained, settings, content, guide_pixels, len(shapes), config.octave_scale, config.seed, workdir, record
    )
    for path in (output, *dreaming.written(), *([animation] if animation else [])):
        check_own(path, paths)
    for shape in shapes:
        check_canvas(pretrained.backbone, settings, *shape, guided=guide is not None)
    if guide_pixels is not None:
        check_layers(pretrained.backbone, settings.dream_layers, guide_pixels.shape, what="dream layer of the guide")
    with graceful_interrupt() as interrupt:
        make_folder(workdir)
        if not (config.frames and is_same_run(workdir / "run.json", identity) and dreaming.frames()):
            remove(workdir / "run.json")
            dreaming.remove_frames()
            octaves = []
            with progress_bar(steps=len(shapes) * settings.steps, done=0) as bar:

                def follow(stage: int, step: int) -> None:
                    bar.update(stage * settings.steps + step, f"octave {stage + 1} of {len(shapes)}")

                for octave, path in dreaming.run_octaves(lambda: interrupt.requested, follow):
                    octaves.append(path)
                    picture, finished = dream.so_far(content.pixels, octave), octave.finished
            write_or_rescue(output, workdir, lambda path: dreaming.write(path, picture))
            if not finished or len(octaves) < len(shapes):
                return Result(output, None, finished=False)
            dreaming.draw_sheet(content_path, octaves)
            if config.frames:
                dreaming.begin_zoom(picture)
            write_json(workdir / "run.json", {"settings": record, "identity": identity, "versions": versions()})
        elif not output.exists():
            dreaming.write(output, dreaming.first_frame())
        if animation:
            with progress_bar(steps=config.frames, done=len(dreaming.frames()) - 1) as bar:
                for done in dreaming.run_frames(count=config.frames, steps=config.frame_steps, factor=config.zoom):
                    bar.update(done, f"frame {done} of {config.frames}")
                    if interrupt.requested and done < config.frames:
                        return Result(output, None, finished=False)
            shown = dreaming.frames()[: config.frames + 1]
            write_animation(animation, shown, seconds_per_picture=config.seconds_per_frame)
    return Result(output, animation, finished=True)


def main(config: Config) -> None:
    """Runs the script and prints where the results are."""
    result = run(config)
    if result.output:
        print(f"picture: {result.output}")
    if result.animation:
        print(f"animation: {result.animation}")
    if not result.finished:
        print("stopped; the same command continues a zoom that has begun, otherwise it starts again")
        sys.exit(stopping.status() or stopping.INTERRUPTED)


if __name__ == "__main__":
    run_script(Config, main)
