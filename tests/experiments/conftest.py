"""What tests of the scripts share: pictures, a disk that is full, an engine."""

import contextlib
import sys
import types

import numpy as np
import pytest
from PIL import Image

from experiments.engines import tasks
from experiments.engines.tasks import Ended, Work
from nst_jax.io import files


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Two photographs and two paintings, all of noise."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for name, shape in (("photo", (60, 80)), ("wide", (56, 80)), ("first", (70, 50)), ("second", (50, 50))):
        Image.fromarray(random.integers(0, 256, (*shape, 3), np.uint8)).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def full_disk():
    """A context in which nothing can be written to the disk."""

    def full(_):
        raise OSError(28, "No space left on device")

    @contextlib.contextmanager
    def context():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(files.os, "fsync", full)
            yield

    return context


@pytest.fixture
def engine(monkeypatch):
    """An engine that runs its tasks in this process, one each time that it is asked."""
    module = types.ModuleType("experiments.engines.here")
    module.given, module.fails = [], set()

    class Running:
        def __init__(self, work):
            self.work, self.left = work, list(work.tasks)

        def ended(self):
            task = self.left.pop(0)
            if task in module.fails:
                return [Ended(task, "its worker died")]
            tasks.run(self.work, task)
            return [Ended(task, None)]

        def say(self):
            return "here"

    @contextlib.contextmanager
    def start(work: Work):
        module.given.append(work)
        yield Running(work)

    module.start = start
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module
