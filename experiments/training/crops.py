"""Random squares of pictures by their number, and batches of them, read ahead in threads.

What number n gives depends on the seed and n alone: a run that goes on from a step needs no state of its input, and
several processes read their own rows of a batch without a word between them.
"""

import collections
import concurrent.futures
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nst_jax.errors import UserError
from nst_jax.io import images

_AHEAD = 3
"""Batches that are read before they are asked for."""
_THREADS = 4
_LEAST_SHARE = 0.5
"""The smallest square, as a share of the short side of the picture."""
_STYLE = 2
_STREAMS = {"contents": (0, 1), "styles": (3, 4)}
"""Streams of random numbers: of the order of pictures, and of their squares."""


class Crops:
    """Random squares of pictures, by number.

    Each picture comes once in every round through the folder, in a new order. Its square has a side between half and
    all of the short side, but at least `size` pixels where it has them, and is mirrored half of the time; smaller
    pictures are enlarged. In the place of a picture that cannot be read comes the next one that can.

    Attributes:
        unreadable: name of a picture that could not be read → why.
    """

    def __init__(
        self, files: Sequence[Path], *, size: int, seed: int, of: Literal["contents", "styles"] = "contents"
    ) -> None:
        """Takes the pictures, the side of the squares in pixels, a seed, and what the pictures are."""
        self.unreadable: dict[str, str] = {}
        self._of_order, self._of_squares = _STREAMS[of]
        self._files = files
        self._size = size
        self._seed = seed
        self._lock = threading.Lock()
        self._orders: dict[int, np.ndarray] = {}

    def read(self, number: int) -> np.ndarray:
        """Returns a square, float32 `[size, size, 3]` in [0, 1]; transparent pixels are put on white.

        Raises:
            UserError: none of the pictures can be read.
        """
        around, place = divmod(number, len(self._files))
        order = self._order(around)
        for step in range(len(order)):
            file = self._files[order[(place + step) % len(order)]]
            if file.name in self.unreadable:
                continue
            try:
                pixels, alpha, *_ = images.read(file)
            except UserError as error:
                self.unreadable[file.name] = str(error)
                continue
            if alpha is not None:
                pixels = 1 - (1 - pixels) * alpha[..., None]
            return self._square(pixels, np.random.default_rng([self._seed, self._of_squares, number]))
        raise UserError(
            f"{self._files[0].parent}: expected pictures, found {len(self._files)} files of which none can be read, "
            f"the first as {next(iter(self.unreadable.values()))}"
        )

    def _square(self, pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
        height, width, _ = pixels.shape
        short = min(height, width)
        least = max(min(self._size, short), round(_LEAST_SHARE * short))
        side = int(random.integers(least, short + 1))
        top, left = int(random.integers(height - side + 1)), int(random.integers(width - side + 1))
        square = pixels[top : top + side, left : left + side]
        if random.random() < 0.5:
            square = square[:, ::-1]
        return np.clip(images.resize(np.ascontiguousarray(square), (self._size, self._size)), 0, 1)

    def _order(self, around: int) -> np.ndarray:
        with self._lock:
            if around not in self._orders:
                self._orders = {old: order for old, order in self._orders.items() if old == around - 1}
                random = np.random.default_rng([self._seed, self._of_order, around])
                self._orders[around] = random.permutation(len(self._files))
            return self._orders[around]


def style_of(number: int, count: int, seed: int) -> int:
    """Returns the number of the style of a picture: each of `count` styles once among as many pictures."""
    around, place = divmod(number, count)
    return int(np.random.default_rng([seed, _STYLE, around]).permutation(count)[place])


def ahead(make: Callable[[int], Any], batches: Iterator[range]) -> Iterator[list[Any]]:
    """Yields what a function makes of the numbers of each batch, made in threads before it is asked for."""
    with concurrent.futures.ThreadPoolExecutor(_THREADS, thread_name_prefix="crops") as pool:
        waiting: collections.deque[list[concurrent.futures.Future[Any]]] = collections.deque()
        try:
            for batch in itertools.chain(batches, itertools.repeat(None)):
                if batch is not None:
                    waiting.append([pool.submit(make, number) for number in batch])
                if batch is None and not waiting:
                    return
                if batch is None or len(waiting) > _AHEAD:
                    yield [future.result() for future in waiting.popleft()]
        finally:
            for futures in waiting:
                for future in futures:
                    future.cancel()
