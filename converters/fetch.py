"""Downloads the published weights of a backbone, checks, converts and installs them.

    python -m converters.fetch NAME [--source=keras|caffe|torchvision|matconvnet] [--url=ADDRESS] [--classifier]

NAME is a backbone. Without `--source`, the weights of vgg19, vgg16 and squeezenet1_1 come from Keras, those of
vgg19_normalized from Caffe, and those of the torchvision backbones from torchvision. `--url` gives another address of
the same file, whose size and hashes are checked all the same. `--classifier` keeps the classifier, which style transfer
does not need.

Downloads 5 to 575 MB. The same command resumes a download that broke off or was stopped.
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
except ImportError:  # not on Windows; there only the hash shows that two downloads were mixed up
    fcntl = None  # type: ignore[assignment]  # a module that may be missing has no type

_FOLDER = "downloads"


def published_file(name: str, framework: str | None = None, *, classifier: bool = False) -> published.Published:
    """Returns the published file to fetch, without the classifier if there is a choice.

    Args:
        name: the backbone.
        framework: the framework that the file was made for; by default the first one in `published.FILES`.
        classifier: whether the file must have the classifier.

    Raises:
        UserError: there is no such file; the message lists the choices.
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
    """Downloads, checks, converts and installs a published file; returns a report.

    Args:
        file: the file to fetch.
        url: another address of it.
        classifier: whether to keep the classifier.

    Raises:
        UserError: it cannot be downloaded, is another file, or cannot be installed; installed weights are kept.
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
                path.unlink()  # it may be anything; a file with the right hash is kept for the next try
            raise
        path.unlink()
    return lines if file.hashes else f"no hash of this file is published; its sha256 is {sha256}\n{lines}"


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Keeps other processes from downloading to `path` while the block runs.

    A lock of the system ends with its process, however that ends. A file that locks by its existence would outlive a
    crash and lock out all later processes.
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
        # A lock file without a name was just removed by another process, and locks nothing.
        if not _lock(file.fileno()) or os.fstat(file.fileno()).st_nlink == 0:
            raise file_error(path, "expected one download at a time, found another; try again when it is done")
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network file systems have no locks; then as on Windows
        return True
    return True


@contextmanager
def _bar(title: str) -> Iterator[Show]:
    """Shows the progress of a download on a terminal, and nothing elsewhere."""
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
    """Returns the `convention` that `convert` needs: networks from Caffe can have the names of torchvision, too."""
    known = published.convention(file.hashes.get("sha256", ""))
    return "torchvision" if file.source == "torchvision" and known is None else None


def _by_hand(file: published.Published, *, classifier: bool) -> str:
    """Returns instructions for a manual download."""
    hashes = " or ".join(f"{name} {digits}" for name, digits in file.hashes.items())
    check = f", check {hashes}," if hashes else " (no hash of it is published)"
    flags_given = [f"--convention={_convention(file)}"] if _convention(file) else []
    flags_given += ["--classifier"] if classifier else []
    words = [commands.command("converters.convert"), _file_name(file), f"--backbone={file.backbone}", *flags_given]
    return f"download it by hand{check} and run: {' '.join(words)}"


def _define_flags() -> None:
    flags.DEFINE_string(
        "source",
        None,
        f"Framework whose file is fetched: {', '.join(dict.fromkeys(f.source for f in published.FILES))}.",
    )
    flags.DEFINE_string("url", None, "Another address of the same file.")
    flags.DEFINE_bool("classifier", False, "Keep the classifier.")


def _command(name: str) -> None:
    given = flags.FLAGS
    file = published_file(name, given.source, classifier=given.classifier)
    print(fetch(file, given.url, classifier=given.classifier))


if __name__ == "__main__":
    _define_flags()
    command.run(_command, arguments=["NAME"])
