"""What tests of the library and of the converters share: networks as Keras itself makes and saves them."""

import atexit
import contextlib
import functools
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ["KERAS_BACKEND"] = "jax"
os.environ["NST_JAX_WEIGHTS"] = os.devnull  # the embedded network, whatever is installed

_PREFIX = "nst_jax-programs-"

if _PREFIX in os.environ.get("JAX_COMPILATION_CACHE_DIR", _PREFIX):
    # Programs that this process and the scripts that it starts would compile again, kept for this run: a folder for
    # each of the processes that share the tests, as JAX writes an entry where another may read it.
    _PROGRAMS = tempfile.mkdtemp(prefix=_PREFIX)
    atexit.register(shutil.rmtree, _PROGRAMS, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _PROGRAMS
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"


@pytest.fixture(scope="session")
def quiet_keras() -> Callable[[], warnings.catch_warnings]:
    """A context for saving and reading Keras models: Keras 3.15 has not adapted its variables to NumPy 2 and warns."""
    return _quiet_keras


@pytest.fixture(scope="session")
def keras_vgg() -> Callable[[str], Any]:
    """The convolutional part of a VGG network, `vgg16` or `vgg19`, as a Keras model with random weights and biases."""
    return functools.cache(_keras_vgg)


@pytest.fixture(scope="session")
def keras_vgg_file(keras_vgg, tmp_path_factory) -> Callable[[str, str], Path]:
    """The file that Keras saves of `keras_vgg(name)`, for a suffix `.weights.h5` (Keras 3) or `.h5` (legacy)."""

    @functools.cache
    def save(name: str, suffix: str) -> Path:
        path = tmp_path_factory.mktemp("keras") / f"{name}{suffix}"
        with _quiet_keras():
            model = keras_vgg(name)
            (model.save_weights if suffix == ".weights.h5" else model.save)(path)
        return path

    return save


def _quiet_keras() -> warnings.catch_warnings:
    return warnings.catch_warnings(action="ignore", category=DeprecationWarning)


def _keras_vgg(name: str) -> Any:
    import keras

    model = {"vgg16": keras.applications.VGG16, "vgg19": keras.applications.VGG19}[name](
        weights=None, include_top=False
    )
    random = np.random.default_rng(0)
    # He et al. 2015: activations keep their size from layer to layer.
    scales = [
        np.sqrt(2 / np.prod(shape[:-1])) if len(shape) == 4 else 0.1 for shape in (w.shape for w in model.weights)
    ]
    with _quiet_keras():
        model.set_weights(
            [
                random.standard_normal(weight.shape, np.float32) * np.float32(scale)
                for weight, scale in zip(model.weights, scales, strict=True)
            ]
        )
    return model


@pytest.fixture
def count_compilations() -> Callable[[], contextlib.AbstractContextManager[list[str]]]:
    """A context that yields a list which grows by one for every program that XLA compiles."""

    @contextlib.contextmanager
    def count():
        import jax

        compiled = []

        def listen(event: str, _: float, **kwargs: Any) -> None:
            if event == "/jax/core/compile/backend_compile_duration":
                compiled.append(kwargs.get("fun_name", event))

        jax.monitoring.register_event_duration_secs_listener(listen)
        try:
            yield compiled
        finally:
            jax.monitoring.unregister_event_duration_listener(listen)

    return count


@pytest.fixture
def memory(monkeypatch) -> Iterator[Any]:
    """A store in memory, empty, at addresses such as `memory://bucket/folder`."""
    fsspec = pytest.importorskip("fsspec", reason="comes with orbax, but is no dependency of its own")
    from nst_jax.io import stores

    monkeypatch.setitem(stores._STORES, "memory", ("fsspec", {}))
    store = fsspec.filesystem("memory")
    store.store.clear()
    yield store
    store.store.clear()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real weights and pictures beside a developer's checkout; a user has none."""
    folder = Path(__file__).parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("needs the real weights and pictures of ../shared, which only developers have")
    return folder
