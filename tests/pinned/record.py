"""The record of what the scripts compute, and how near to it another run has to be.

python tests/pinned/record.py            writes the record of this kind of machine, in records/
python tests/pinned/record.py --compare  writes nothing and prints how far this code is from it, case by case
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
from nst_jax.backbones.weights import FOLDER_VARIABLE, file_name

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


def worst(away: Mapping[str, np.ndarray], kind: str) -> tuple[float, str]:
    """Returns the largest deviation of a kind, and whose it is."""
    return max(
        ((float(of.max()), f"{name}[{int(of.argmax())}]") for name, of in away.items() if name.startswith(kind)),
        default=(0.0, ""),
    )


HERE = {cases.LOSS: 1e-5, cases.PIXELS: 0.05}
"""Allowed on a machine of the record's kind, where the same program gives the same bits."""
ELSEWHERE = {cases.LOSS: 1e-3, cases.PIXELS: 0.05}
"""Allowed on another kind of machine."""


def check(case: str, found: Numbers) -> None:
    """Checks that a case computes what the record says; that of another kind of machine where there is none of this.

    Raises:
        AssertionError: it does not; the message names the worst number of all.
    """
    own = path_of(fingerprint())
    expected = read(own if own.exists() else _nearest())[case]
    away = deviations(found, expected)
    allowed = HERE if own.exists() else ELSEWHERE
    for kind, most in allowed.items():
        amount, where = worst(away, kind)
        assert amount <= most, f"{case}: {where} is {amount:.2g} away from the record, allowed are {most:g}"


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
            for kind in (cases.LOSS, cases.PIXELS) if name in known else ():
                amount, where = worst(deviations(found, known[name]), kind)
                line += f"  {kind} {amount:.1e} {where}"
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
