"""Untrusted pickles: read by a machine that knows only the few instructions that weights need, and calls nothing else.

Python's own unpickler runs whatever a pickle requests. Even restricted to certain functions, it sets attributes of
these, and it reserves memory for any index in a pickle. This one makes numbers, text, bytes, tuples, lists and
dictionaries, and the caller's stand-ins for what PyTorch or NumPy would make.
"""

import io
import pickletools
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

from nst_jax.errors import one_line
from nst_jax.io.files import file_error

from ..regions import Region, unreadable

LARGEST = 8 << 20
"""Maximal size of a pickle in bytes; the values of the weights are elsewhere."""

_FAR = 1 << 16  # bytes in one piece that are left where they are

_MOST_INSTRUCTIONS = 1_000_000
_LARGEST_INTEGER = 128  # bits; the magic number of PyTorch has 77
_LARGEST_KEY = 64  # bits; it takes longer integers to make a dictionary slow

_CODES = {code.code: code for code in pickletools.opcodes}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_NUMBERS = {"BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"}
_TEXTS = {
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("BINSTRING", "SHORT_BINSTRING"),  # of Python 2; `pickletools` makes text of them
}
_UNICODE = {"BINUNICODE", "BINUNICODE8"}
_LENGTHS = {"BINUNICODE": 4, "BINUNICODE8": 8, "BINBYTES": 4, "BINBYTES8": 8, "BINSTRING": 4}  # bytes of a length
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class Vocabulary(NamedTuple):
    """The allowed content of a kind of pickle.

    Attributes:
        globals: module and name → a stand-in. A pickle may call it with any arguments, any number of times, so it must
            take no longer than reading its arguments. Only stand-ins with `__setstate__` get a state.
        what: the content in words, for messages.
        advice: what to do with other pickles.
    """

    globals: Mapping[tuple[str, str], Any]
    what: str
    advice: str


def load(
    path: Path, data: bytes, vocabulary: Vocabulary, persistent_load: Callable[[Any], Any] | None = None
) -> tuple[Any, int]:
    """Reads the pickle at the beginning of `data`.

    Args:
        path: its file, for messages.
        data: the pickle, and possibly more bytes after it.
        vocabulary: its allowed content.
        persistent_load: makes an object from a reference to one outside the pickle; must be quick, too.

    Returns:
        The object, which may be nested very deeply and must not be printed, and the length of the pickle.

    Raises:
        UserError: the pickle is damaged, or requests anything else.
    """
    return _load(path, io.BytesIO(data[:LARGEST]), vocabulary, persistent_load)


class Far(NamedTuple):
    """Bytes that were not read, as they are many.

    Attributes:
        region: their place.
        is_text: whether they are text in UTF-8.
    """

    region: Region
    is_text: bool


def load_far(region: Region, vocabulary: Vocabulary) -> tuple[Any, int]:
    """Reads the pickle at the beginning of a region, with long bytes left where they are, as `Far`; else as `load`."""
    try:
        with region.path.open("rb") as file:
            return _load(region.path, _Reader(region, file), vocabulary, None)
    except OSError as error:
        raise unreadable(region.path, error) from error


class _Reader:
    """What `pickletools` reads a pickle from."""

    def __init__(self, region: Region, file: IO[bytes]) -> None:
        self._region = region
        self._file = file
        self._position = 0
        self._read = 0  # bytes that are in memory
        file.seek(region.start)

    def tell(self) -> int:
        return self._position

    def read(self, count: int) -> bytes:
        return self._counted(self._file.read(min(count, _FAR)))

    def readline(self) -> bytes:
        return self._counted(self._file.readline(_FAR))

    def far(self, length_size: int, is_text: bool) -> Far | None:
        """Returns what follows, with its length before it, if that is too long to be read; else leaves both."""
        length = int.from_bytes(self._file.read(length_size), "little")
        start = self._position + length_size
        if not _FAR <= length <= self._region.length - start:
            self._file.seek(self._region.start + self._position)
            return None
        self._position = start + length
        self._file.seek(self._region.start + self._position)
        return Far(self._region.part(start, length), is_text)

    def _counted(self, data: bytes) -> bytes:
        self._position += len(data)
        self._read += len(data)
        if self._read > LARGEST:
            raise ValueError
        return data


def _instructions(stream: Any) -> Iterator[tuple[str, Any, int]]:
    """Yields the name, the argument and the place of each instruction: `pickletools.genops`, but for what is `Far`."""
    name = ""
    while name != "STOP":
        start = stream.tell()
        code = _CODES[stream.read(1).decode("latin-1")]
        name = code.name
        far = stream.far(_LENGTHS[name], name in _UNICODE) if isinstance(stream, _Reader) and name in _LENGTHS else None
        yield name, far or (code.arg and code.arg.reader(stream)), start


def _load(
    path: Path,
    stream: io.BytesIO | _Reader,
    vocabulary: Vocabulary,
    persistent_load: Callable[[Any], Any] | None,
) -> tuple[Any, int]:
    machine = _Machine(path, vocabulary, persistent_load)
    name, position = "nothing", 0
    with warnings.catch_warnings(action="ignore"):  # of escapes in names, which are not in the vocabulary anyway
        try:
            for count, instruction in enumerate(_instructions(stream)):
                name, argument, position = instruction
                if count == _MOST_INSTRUCTIONS:
                    raise file_error(path, f"expected a pickle of at most {count} instructions, found more")
                machine.run(name, argument)
            return machine.pop(), position + 1
        # A pickle without sense ends here: an empty stack, an impossible key, ...
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise file_error(
                path,
                f"expected an intact pickle of at most {LARGEST} bytes, found it damaged or cut short after byte "
                f"{position} ({name}); fetch or make it again",
            ) from error


class _Machine:
    """The stack and the memory of an unpickler."""

    def __init__(self, path: Path, vocabulary: Vocabulary, persistent_load: Callable[[Any], Any] | None) -> None:
        self._path = path
        self._vocabulary = vocabulary
        self._persistent_load = persistent_load
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []  # the stacks under each mark
        self._memory: dict[int, Any] = {}

    def pop(self) -> Any:
        return self._stack.pop()

    def run(self, name: str, argument: Any) -> None:
        """Runs an instruction; raises `UserError` if it is not allowed, and other errors if it makes no sense."""
        match name:
            case "BINGET" | "LONG_BINGET":
                self._push(self._memory[argument])
            case "BINPUT" | "LONG_BINPUT":
                self._memory[argument] = self._stack[-1]
            case "MEMOIZE":
                self._memory[len(self._memory)] = self._stack[-1]
            case "MARK":
                self._below.append(self._stack)
                self._stack = []
            case "TUPLE":
                self._push(tuple(self._pop_to_mark()))
            case "EMPTY_LIST":
                self._push([])
            case "EMPTY_DICT":
                self._push({})
            case "APPEND":
                self._extend(self._pop_many(1))
            case "APPENDS":
                self._extend(self._pop_to_mark())
            case "SETITEM":
                self._update(self._pop_many(2))
            case "SETITEMS":
                self._update(self._pop_to_mark())
            case "GLOBAL":
                self._push(self._global(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                self._push(self._global(*self._pop_many(2)))
            case "REDUCE":
                function, arguments = self._pop_many(2)
                self._push(function(*arguments))
            case "BUILD":
                state = self.pop()
                type(self._stack[-1]).__setstate__(self._stack[-1], state)
            case "BINPERSID" if self._persistent_load:
                self._push(self._persistent_load(self.pop()))
            case "PROTO" | "FRAME" | "STOP":
                pass  # The first two change nothing, and `pickletools` stops by itself.
            case _ if name in _TEXTS:
                self._push(argument)
            case _ if name in _NUMBERS:
                self._push(self._number(argument))
            case _ if name in _CONSTANTS:
                self._push(_CONSTANTS[name])
            case _ if name in _TUPLES:
                self._push(tuple(self._pop_many(_TUPLES[name])))
            case _:
                self._refuse(f"the instruction {name}")

    def _push(self, value: Any) -> None:
        # A method, so that the stack is looked up after the value is made, which may restore the stack below.
        self._stack.append(value)

    def _pop_many(self, count: int) -> list[Any]:
        if len(self._stack) < count:
            raise IndexError
        popped = self._stack[-count:]
        del self._stack[-count:]
        return popped

    def _pop_to_mark(self) -> list[Any]:
        popped, self._stack = self._stack, self._below.pop()
        return popped

    def _extend(self, items: list[Any]) -> None:
        if not isinstance(self._stack[-1], list):
            raise TypeError
        self._stack[-1].extend(items)

    def _update(self, items: list[Any]) -> None:
        if not isinstance(self._stack[-1], dict):
            raise TypeError
        for key, value in zip(items[::2], items[1::2], strict=True):
            # The hash of a tuple can take forever: each item may be there twice and be such a tuple itself.
            if type(key) is not str and not (type(key) is int and key.bit_length() <= _LARGEST_KEY):
                self._refuse(f"a {one_line(type(key).__name__)} as key")
            self._stack[-1][key] = value

    def _global(self, module: Any, name: Any) -> Any:
        if type(module) is not str or type(name) is not str:
            raise TypeError
        if (module, name) not in self._vocabulary.globals:
            self._refuse(one_line(f"{module}.{name}"))
        return self._vocabulary.globals[module, name]

    def _number(self, number: float) -> float:
        if type(number) is int and number.bit_length() > _LARGEST_INTEGER:
            self._refuse(f"an integer of {number.bit_length()} bits")
        return number

    def _refuse(self, found: str) -> None:
        raise file_error(
            self._path,
            f"expected {self._vocabulary.what} only, found {found}; nothing was executed; {self._vocabulary.advice}",
        )
