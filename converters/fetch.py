"""Downloads the published weights of a backbone, checks, converts and installs them.

    python -m converters.fetch NAME [--source=keras|caffe|torchvision|matconvnet] [--url=ADDRESS] [--classifier]

NAME is a backbone. Without `--source` its weights come from the framework that `published.py` names first for it: Keras
for vgg19, vgg16 and squeezenet1_1, Caffe for vgg19_normalized, torchvision for its own.
`--url` is another address of the same file; size and hashes are checked all the same. `--classifier` keeps the layers
that tell classes, which style transfer does without and which most files for it leave out.

Takes as long as 5 to 575 MB take. A download that was broken off or stopped goes on where it was with the same command.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from absl import flags
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from nst_jax import commands
from nst_jax.backbones import pretrained
from nst_jax.errors import UserError, choose
from nst_jax.io.files import file_error, make_folder

from . import command, published, regions
from .convert import convert, report
from .download import Show, UnreachableError, Wanted, download

try:
    import fcntl
except ImportError:  # Windows has no such locks; there it takes the hash to notice that two downloads were mixed up.
    fcntl = None  # type: ignore[assignment]  # there is no type of a module that may be missing

_FOLDER = "downloads"


def published_file(name: str, framework: str | None = None, *, classifier: bool = False) -> published.Published:
    """Returns the published file to fetch, the one without the classifier if there is a choice.

    Args:
        name: of the backbone.
        framework: that the file was made for; by default the first that there is.
        classifier: whether it must have the layers that tell classes.

    Raises:
        UserError: there is no such file; the message lists what there is.
    """
    choose(name, _backbones(), what="backbone with published weights")
    files = [file for file in published.FILES if file.backbone == name and file.classifier >= classifier]
    if not files:
        raise UserError(f"expected a file of {name} with the classifier, found none published; leave --classifier out")
    frameworks = list(dict.fromkeys(file.source for file in files))
    framework = framework or frameworks[0]
    try:
        choose(framework, frameworks, what=f"source of {name}")
    except UserError as error:
        others = _backbones(framework)
        other = next((other for other in others if other.startswith(f"{name}_") or name.startswith(f"{other}_")), None)
        if other is None:
            raise
        right = f"{commands.command('converters.fetch')} {other} --source={framework}"
        raise UserError(f"{error}; the weights for {framework} are those of the backbone {other}: {right}") from None
    return min((file for file in files if file.source == framework), key=lambda file: file.classifier)


def fetch(file: published.Published, url: str | None = None, *, classifier: bool = False) -> str:
    """Downloads, checks, converts and installs a published file; returns a report in lines of text.

    Args:
        file: what to fetch.
        url: another address of it.
        classifier: whether to keep the layers that tell classes.

    Raises:
        UserError: it cannot be had, is not what it should be, or cannot be installed. What was installed stays.
    """
    folder = pretrained.folder() / _FOLDER
    make_folder(folder)
    path = folder / _file_name(file)
    convention = _convention(file)
    wanted = Wanted(url or file.url, path, file.size, file.hashes, regions.LARGEST)
    with _exclusive(path):
        try:
            with _bar(file.backbone) as show:
                sha256 = download(wanted, show)
        except UnreachableError as error:
            raise UserError(f"{error}; {_by_hand(file, classifier=classifier)}") from error
        try:
            lines = report(convert(path, file.backbone, convention=convention, classifier=classifier))
        except UserError:
            if not file.hashes:
                path.unlink()  # It may be anything. What a hash vouches for is kept and not downloaded once more.
            raise
        path.unlink()
    return lines if file.hashes else f"no hash of this file is published; its sha256 is {sha256}\n{lines}"


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Keeps other processes from downloading to `path` as long as the block runs.

    A lock of the system ends with its process, however that ends. A file that locks by being there would outlive a
    crash and shut out everybody.
    """
    if fcntl is None:
        yield
        return
    lock = path.with_name(f"{path.name}.lock")
    try:
        file = lock.open("wb")
    except OSError as error:
        raise file_error(lock, f"cannot be written ({error.strerror}): choose another folder") from error
    with file:
        # A lock file without a name is one that another process has just removed: it keeps nobody out.
        if not _lock(file.fileno()) or os.fstat(file.fileno()).st_nlink == 0:
            raise file_error(path, "expected to be alone, found another process that fetches it; try again after it")
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # Some network file systems have no locks; then it is as on Windows.
        return True
    return True


@contextmanager
def _bar(title: str) -> Iterator[Show]:
    """Shows on a terminal how far a download is, and nothing elsewhere."""
    columns = (TextColumn(title), BarColumn(20), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _backbones(framework: str | None = None) -> list[str]:
    return list(dict.fromkeys(file.backbone for file in published.FILES if framework in (None, file.source)))


def _file_name(file: published.Published) -> str:
    return PurePosixPath(urlsplit(file.url).path).name


def _convention(file: published.Published) -> str | None:
    """Returns what `convert` must be told about the pixels: torchvision's names are those of Caffe's networks too."""
    known = published.convention(file.hashes.get("sha256", ""))
    return "torchvision" if file.source == "torchvision" and known is None else None


def _by_hand(file: published.Published, *, classifier: bool) -> str:
    """Returns what to do without a connection."""
    hashes = " or ".join(f"{name} {digits}" for name, digits in file.hashes.items())
    check = f", check {hashes}," if hashes else " (no hash of it is published)"
    flags_given = [f"--convention={_convention(file)}"] if _convention(file) else []
    flags_given += ["--classifier"] if classifier else []
    words = [commands.command("converters.convert"), _file_name(file), f"--backbone={file.backbone}", *flags_given]
    return f"download it by hand{check} and run: {' '.join(words)}"


def _define_flags() -> None:
    flags.DEFINE_string("source", None, f"whose file: {', '.join(dict.fromkeys(f.source for f in published.FILES))}")
    flags.DEFINE_string("url", None, "another address of the same file")
    flags.DEFINE_bool("classifier", False, "keep the layers that tell classes")


def _command(name: str) -> None:
    given = flags.FLAGS
    file = published_file(name, given.source, classifier=given.classifier)
    print(fetch(file, given.url, classifier=given.classifier))


if __name__ == "__main__":
    _define_flags()
    command.run(_command, arguments=["NAME"])
