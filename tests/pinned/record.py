"""The record of what the scripts compute, and how near to it another run has to be.

    python tests/pinned/record.py
    python tests/pinned/record.py --compare --only='^stylize/'

The first writes the record of this kind of machine, in records/; the second writes nothing and prints how far this code
is from it, step by step. Cases of VGG-19 take part where ../shared has its weights.
"""

import argparse
import json
import os
import platform
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import cases
import jax
import numpy as np
from cases import Numbers

from converters.convert import convert
from nst_jax.backbones.pretrained import FOLDER_VARIABLE, file_name

RECORDS = Path(__file__).parent / "records"
SHARED = Path(__file__).parents[3] / "shared"


def fingerprint() -> str:
    """Returns what the last bits of the numbers depend on, as the name of a record.

    Which vector instructions XLA may use, how many CPUs it divides sums among, and its version.
    """
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_vector_instructions()}_{cpus}cpus_jax{jax.__version__}"


def _vector_instructions() -> str:
    """Returns `avx512`, `avx2`, ..., or the machine's architecture where there is no x86 or no Linux."""
    limit = re.search(r"--xla_cpu_max_isa=(\w+)", os.environ.get("XLA_FLAGS", ""))
    if limit and not limit[1].upper().startswith("AVX512"):
        return limit[1].lower()
    try:
        found = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.machine().lower()
    names = {"avx512f": "avx512", "avx2": "avx2", "avx": "avx", "sse4_2": "sse4_2"}
    return next((name for flag, name in names.items() if re.search(rf"\b{flag}\b", found)), platform.machine().lower())


def path_of(name: str) -> Path:
    """Returns where the record of a kind of machine is."""
    return RECORDS / f"{name}.json"


def read(path: Path) -> dict[str, Numbers]:
    """Returns a record: case → name → numbers."""
    return json.loads(path.read_text())


def write(path: Path, record: Mapping[str, Numbers]) -> None:
    """Writes a record, with a line for each list of numbers."""
    lines = [
        f" {json.dumps(case)}: {{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in of.items()) + "\n }"
        for case, of in record.items()
    ]
    path.parent.mkdir(exist_ok=True)
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


_SMALLEST = 1e-4
"""Share of the largest value that a loss has in a run below which its differences are counted as those of this share:
the content loss of a picture that is still the photograph is nothing but rounding."""


def deviations(found: Numbers, expected: Numbers) -> dict[str, np.ndarray]:
    """Returns how far numbers are from the recorded ones: losses by ratio, pixels in levels of 0 to 255."""
    assert found.keys() == expected.keys(), f"expected the numbers {sorted(expected)}, found {sorted(found)}"
    away = {}
    for name, values in expected.items():
        one, other = np.array(found[name]), np.array(values)
        assert one.shape == other.shape, f"{name}: expected {other.shape}, found {one.shape}"
        scale = 1 if name.startswith(cases.PIXELS) else np.maximum(np.abs(other), _SMALLEST * np.abs(other).max())
        away[name] = np.abs(one - other) / np.where(scale == 0, 1, scale)
    return away


def _summary(away: Mapping[str, np.ndarray]) -> str:
    """Returns the largest deviation of any loss at each step, and of any pixel."""
    of_losses = [values for name, values in away.items() if name.startswith(cases.LOSS)]
    longest = max(map(len, of_losses), default=0)
    by_step = [max(values[step] for values in of_losses if len(values) > step) for step in range(longest)]
    pixels = max((values.max() for name, values in away.items() if name.startswith(cases.PIXELS)), default=0.0)
    return f"losses by step {' '.join(f'{amount:.0e}' for amount in by_step)}, pixels {pixels:g}"


# Allowed on a machine of a recorded kind, where this code gave the same bits each time; the rest is for code that adds
# in another order. Losses by ratio, pixels in levels.
_HERE = 1e-5
_HERE_LEVELS, _HERE_PIXEL = 0.05, 1
# Allowed on another kind of machine. Measured between AVX-512 and AVX2 (--xla_cpu_max_isa=AVX2): before and after the
# first step losses differ by rounding, 7e-6 at most and 4e-7 in most cases. Then it grows from step to step: L-BFGS
# divides by differences of gradients, Adam and DeepDream by the size of a gradient, and where that is next to nothing
# rounding decides. The worst of ten steps: 1.3e-3 in the sweep, 3.3e-4 in textures and reconstructions, 1.5e-4 with
# dream layers, 4e-5 in all other cases of SqueezeNet. VGG-19 under L-BFGS: 9e-4 for neural_style, 4e-3 for vgg, 4e-2
# for gatys, whose first steps from noise are long (2e-5 after two steps, 2e-3 after three); 2e-5 for ng, under Adam. No
# number of evaluations differed. Allowed is about five times the worst. The flag changes what XLA compiles, not Eigen's
# products of matrices.
_ELSEWHERE_FIRST = 4e-5
_ELSEWHERE = {"sweep": 7e-3, "vgg19/neural_style": 5e-3, "vgg19/vgg": 2e-2, "vgg19/gatys": 0.2}
_ELSEWHERE_REST = 2e-3
# Measured: means and deviations 0.2, in vgg19/gatys; single pixels 2, there and in the sweep.
_ELSEWHERE_LEVELS, _ELSEWHERE_PIXEL = 1.0, 10


def allowed(case: str, name: str, count: int, *, here: bool) -> np.ndarray:
    """Returns how far each of `count` numbers may be from the recorded one."""
    if name.startswith(cases.PIXELS):
        single = "some" in name.split("/")
        most = (
            (_HERE_PIXEL if single else _HERE_LEVELS) if here else (_ELSEWHERE_PIXEL if single else _ELSEWHERE_LEVELS)
        )
        return np.full(count, most)
    if here:
        return np.full(count, _HERE)
    by_step = np.full(count, _ELSEWHERE.get(case, _ELSEWHERE_REST))
    if count > 2:  # a column of losses, from step 0 on
        by_step[:2] = _ELSEWHERE_FIRST
    return by_step


def check(case: str, found: Numbers) -> None:
    """Checks that a case computes what the record says; that of another kind of machine where there is none of this.

    Raises:
        AssertionError: it does not; the message names the earliest number that is wrong.
    """
    own = path_of(fingerprint())
    expected = read(own if own.exists() else _nearest())[case]
    wrong = []
    for name, away in deviations(found, expected).items():
        most = allowed(case, name, len(away), here=own.exists())
        wrong += [(index, name, away[index], most[index]) for index in np.flatnonzero(~(away <= most))]
    if wrong:
        index, name, amount, most = min(wrong)  # the earliest step
        raise AssertionError(
            f"{case}: expected the numbers of the record, found {len(wrong)} others, the first of them "
            f"{name}[{index}], {amount:.2g} away where {most:g} is allowed"
        )


def _nearest() -> Path:
    """Returns a record of another kind of machine, if there is one with the same vector instructions."""
    instructions = _vector_instructions()
    return min(RECORDS.glob("*.json"), key=lambda path: (path.stem.split("_")[0] != instructions, path.stem))


def install_vgg19(folder: Path) -> None:
    """Converts the weights of VGG-19 that developers have beside the checkout into a folder of installed ones."""
    convert(SHARED / "weights" / "vgg19_tfjs", "vgg19", folder / file_name("vgg19"))


def run_all(folder: Path, only: str = "") -> Iterator[tuple[str, Numbers]]:
    """Runs every case that can be run here and whose name has a match of a pattern; yields case and numbers."""
    os.environ[FOLDER_VARIABLE] = str(folder / "weights")
    (folder / "weights").mkdir()
    wanted = dict(cases.CASES)
    if SHARED.is_dir():
        install_vgg19(folder / "weights")
        wanted |= cases.VGG_CASES
    for name, case in wanted.items():
        if not re.search(only, name):
            continue
        own = folder / name.replace("/", "-")
        own.mkdir()
        cases.make_pictures(own)
        yield name, case(own)


def main() -> None:
    """Writes the record, or compares with it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compare", metavar="RECORD", nargs="?", const=path_of(fingerprint()), type=Path)
    parser.add_argument("--only", metavar="PATTERN", default="", help="cases whose names match; others stay")
    flags = parser.parse_args()
    path = flags.compare or path_of(fingerprint())
    known = read(path) if path.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        for name, found in run_all(Path(folder), flags.only):
            line = f"{name:28} {time.process_time() - began:5.1f} s of CPU time"
            if flags.compare and name in known:
                line += f"  {_summary(deviations(found, known[name]))}"
            print(line, flush=True)
            if not flags.compare:
                _add(path, name, found)
            began = time.process_time()


def _add(path: Path, case: str, found: Numbers) -> None:
    """Writes a case into a record, in which the others stay."""
    merged = (read(path) if path.exists() else {}) | {case: found}
    write(path, {name: merged[name] for name in (*cases.CASES, *cases.VGG_CASES) if name in merged})


if __name__ == "__main__":
    main()
