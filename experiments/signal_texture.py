"""Synthesises signals with the texture of a given one (a sound, an electrocardiogram), without a trained network.

    python -m experiments.signal_texture
    python -m experiments.signal_texture --input=rain.wav --rate=8000
    python -m experiments.signal_texture --input=pulse.csv --rate=100

Starting from noise, L-BFGS matches the Gram matrices of random filters at several scales; the new signals share nothing
else with the original. Without --input the original is a generated electrocardiogram: 16 seconds, 72 beats per minute.
Writes to --workdir the signals, as texture0.csv and so on, or as .wav if the input is; signals.png with waveforms and
power spectra beside those of the original; and settings.json. The signals repeat without a seam.

For a rhythm to be kept, the widest filters must see more than one beat: they see --filter_size × 2^(--scales − 1)
samples. The electrocardiograms take 20 seconds on 2 cores, 4 seconds of sound at 8 kHz (--samples=32000) 3 minutes.
"""

import dataclasses
from pathlib import Path

import numpy as np

from nst_jax.errors import UserError
from nst_jax.io.files import check_folder, make_folder, sha256

from .cli.flags import Checked, FilePath, command_line, flag, option_flag, run_script
from .cli.folders import asked_for, default_folder
from .signals import files
from .signals.electrocardiogram import electrocardiogram

_RATE = 128.0
_SECONDS = 16.0
_BEATS_PER_MINUTE = 72.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Checked):
    """The flags."""

    input: FilePath | None = flag(
        None, "Original signal, a .wav file or text with one number per line; by default a generated electrocardiogram."
    )
    rate: float | None = flag(
        None,
        "Samples per second: of a text, by default 1; of a sound, which is resampled to it, by default its own.",
        least=1e-3,
        most=files.FASTEST,
    )
    samples: int = flag(16384, "Maximal number of samples; a longer signal is cut off.", least=2)
    seeds: int = flag(3, "Number of signals to synthesise.", least=1)
    seed: int = option_flag("seed", 0)
    filters: int = flag(64, "Number of random filters at each scale.", least=1)
    filter_size: int = flag(24, "Length of the filters at the finest scale in samples.", least=1)
    scales: int = flag(
        5, "Number of scales, each with filters twice as wide as those of the one before.", least=1, most=30
    )
    steps: int = option_flag("steps", 600, note="The optimiser is L-BFGS.")
    workdir: FilePath | None = option_flag("workdir")


@dataclasses.dataclass(frozen=True)
class Result:
    """Result of a run.

    Attributes:
        workdir: the folder with everything that was written.
        original: the given signal.
        synthesised: `[seeds, T]`.
        losses: first and last loss of each synthesised signal, `[2, seeds]`.
    """

    workdir: Path
    original: files.Signal
    synthesised: np.ndarray
    losses: np.ndarray


def run(config: Config) -> Result:
    """Runs the script.

    Raises:
        UserError: the input cannot be used, or something cannot be written.
    """
    original = read_input(config)
    read = {"input": sha256(Path(config.input))} if config.input else {}
    name = Path(config.input).stem if config.input else "electrocardiogram"
    workdir = Path(config.workdir or default_folder("signal_texture", name, asked_for(config, read)))
    check_folder(workdir)
    written = [workdir / f"texture{index}{original.suffix}" for index in range(config.seeds)]
    for path in written:
        if config.input and path.exists() and path.samefile(config.input):
            raise UserError(f"--workdir: expected a folder where {path.name} is not the input; choose another")
    from .running.run_record import versions, write_json
    from .signals import (
        plot,  # with JAX, for which --help should not wait
        synthesis,
    )

    low, high = original.values.min(), original.values.max()
    scaled = (original.values - low) / (high - low)
    found = synthesis.synthesise(
        scaled,
        seed=config.seed,
        seeds=config.seeds,
        filters=config.filters,
        size=config.filter_size,
        scales=config.scales,
        steps=config.steps,
    )
    result = Result(workdir, original, low + (high - low) * found.signals, found.losses)
    make_folder(workdir)
    for path, values in zip(written, result.synthesised, strict=True):
        files.write(path, dataclasses.replace(original, values=values))
    if config.input is None:
        files.write(workdir / f"original{original.suffix}", original)
    names = {f"seed {index}": values for index, values in enumerate(result.synthesised)}
    record = {
        "command": command_line("experiments.signal_texture", config),
        "settings": dataclasses.asdict(config),
        "samples": len(original.values),
        "rate": original.rate,
        "steps_done": found.steps,
        "losses": {"first": found.losses[0].tolist(), "last": found.losses[1].tolist()},
        "versions": versions(),
    }
    write_json(workdir / "settings.json", record)
    plot.write_plot(workdir / "signals.png", {"original": original.values, **names}, rate=original.rate)
    return result


def read_input(config: Config) -> files.Signal:
    """Returns the original signal.

    Raises:
        UserError: it cannot be read, or is shorter than the widest filters.
    """
    if config.input is None:
        random = np.random.default_rng(config.seed)
        heart = electrocardiogram(random, rate=_RATE, seconds=_SECONDS, beats_per_minute=_BEATS_PER_MINUTE)
        signal = files.Signal(heart[: config.samples], _RATE, files.TEXT)
    else:
        signal = files.read(Path(config.input), rate=config.rate, longest=config.samples)
    widest = config.filter_size * 2 ** (config.scales - 1)
    if len(signal.values) < widest:
        raise UserError(
            f"{config.input or '--samples'}: expected at least {widest} samples, which the widest filters see, found "
            f"{len(signal.values)}; give a longer signal or lower --scales or --filter_size"
        )
    return signal


def main(config: Config) -> None:
    """Runs the script and prints where the results are."""
    result = run(config)
    print(f"signals and plot: {result.workdir}")


if __name__ == "__main__":
    run_script(Config, main)
