import collections
import io
import pickle
import struct
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.containers import pickles
from converters.containers.pickles import Vocabulary
from nst_jax.errors import UserError

pytestmark = pytest.mark.quick

PATH = Path("a.pkl")
STOP = b"."


class Kept:
    """What a pickle made, and with which state."""

    def __init__(self, *arguments):
        self.arguments = arguments

    def __setstate__(self, state):
        self.state = state


def function(argument):
    return argument


VOCABULARY = Vocabulary({("a", "Kept"): Kept, ("a", "function"): function}, "numbers", "go away")


def load(data, persistent_load=None):
    value, length = pickles.load(PATH, data, VOCABULARY, persistent_load)
    assert length == len(data)
    return value


def refused(data, message):
    with pytest.raises(UserError, match=message) as raised:
        pickles.load(PATH, data, VOCABULARY)
    assert str(raised.value).isprintable()


VALUE = {
    "text": ["a", "ä" * 300, "\ud800", b"bytes", b"\xff" * 300],
    "numbers": [0, -1, 255, 256, 65536, 1 << 40, -(1 << 70), 1.5, float("inf")],
    "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
    "constants": (None, True, False, [], {}, {1: {2: [3]}}),
}


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_reads_what_python_writes(protocol):
    shared = ["shared"]
    data = pickle.dumps([VALUE, shared, shared], protocol)
    value = load(data)
    assert value == [VALUE, shared, shared]
    assert value[1] is value[2]


def test_text_of_python_2():
    assert load(b"\x80\x02]q\x01(U\x03abcT\x03\x00\x00\x00de\xe9e.") == ["abc", "deé"]


def test_objects_are_what_the_caller_gives():
    kept = load(b"\x80\x02ca\nKept\n(K\x01K\x02tRK\x03b.")
    assert (kept.arguments, kept.state) == ((1, 2), 3)
    assert load(b"\x80\x04\x8c\x01a\x8c\x04Kept\x93K\x01\x85R.").arguments == (1,)
    assert load(b"\x80\x02(K\x01K\x02tQ.", list) == [1, 2]


def test_one_pickle_behind_the_other():
    first, second = pickle.dumps([1]), pickle.dumps([2])
    assert pickles.load(PATH, first + second, VOCABULARY) == ([1], len(first))


# --- pickles that must not be used ---


class Calls:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("harmful", [open, eval, print, collections.OrderedDict, Path], ids=str)
def test_anything_else_is_refused_by_name(tmp_path, harmful, protocol):
    name = f"{harmful.__module__}.{harmful.__name__}"
    data = pickle.dumps(Calls(harmful, str(tmp_path / "a"), "w"), protocol)
    if protocol == 2:
        name = name.replace("builtins", "__builtin__")
    refused(data, rf"^a.pkl: expected numbers only, found {name}; nothing was")
    assert not (tmp_path / "a").exists()


def test_a_name_cannot_spoil_the_message():
    refused(b"\x80\x02cposix\nsys\x1b[2Jtem\n.", r"found posix.sys\\x1b\[2Jtem; nothing was executed; go away")
    refused(b"\x80\x02c" + b"a" * 100_000 + b"\nb\n.", "found a{200}…; nothing")
    refused(b"\x80\x02ca\\d\\777\nb\n.", "damaged|found a")


def test_attributes_of_what_is_allowed_cannot_be_set():
    refused(b"\x80\x02ca\nfunction\nN}X\x0c\x00\x00\x00__defaults__K\x01\x85s\x86b.", "damaged")
    refused(b"\x80\x02ca\nKept\n}X\x01\x00\x00\x00aK\x01sb.", "damaged")
    assert function.__defaults__ is None
    assert not hasattr(Kept, "a")


INSTRUCTIONS = {
    "INST": b"(ia\nKept\n.",
    "OBJ": b"(ca\nKept\no.",
    "NEWOBJ": b"ca\nKept\n)\x81.",
    "NEWOBJ_EX": b"ca\nKept\n)}\x92.",
    "EXT1": b"\x82\x01.",
    "EXT4": b"\x84\x01\x00\x00\x00.",
    "PERSID": b"Pa\n.",
    "BINPERSID": b"K\x01Q.",
    "DUP": b"K\x012.",
    "POP": b"K\x010.",
    "INT": b"I5\n.",
    "LONG": b"L" + b"9" * 4000 + b"L\n.",
    "EMPTY_SET": b"\x8f.",
    "NEXT_BUFFER": b"\x97.",
    "DICT": b"(d.",
    "PUT": b"K\x01p5\n.",
}


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_instructions_that_no_weights_need(name):
    refused(b"\x80\x02" + INSTRUCTIONS[name], rf"expected numbers only, found the instruction {name}; nothing was exec")


DAMAGED = {
    "empty": b"",
    "cut short": b"\x80\x02]",
    "nothing on the stack": b"\x80\x02.",
    "unknown instruction": b"\xff.",
    "bytes of 2^60": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b"a.",
    "text of 2^31": b"\x80\x02X\xff\xff\xff\x7fa.",
    "negative text": b"\x80\x02T\xff\xff\xff\xffa.",
    "frame of 2^63": b"\x80\x04\x95" + b"\xff" * 8 + b"(.",
    "no mark": b"\x80\x02K\x01t.",
    "an item too few": b"\x80\x02}(K\x01u.",
    "items for a number": b"\x80\x02K\x01(K\x01K\x02u.",
    "list of a number": b"\x80\x02K\x01K\x01a.",
    "tuple below the stack": b"\x80\x02K\x01\x87.",
    "unknown in memory": b"\x80\x02j\xff\xff\xff\x7f.",
    "put nothing": b"\x80\x02q\x01.",
    "memoize nothing": b"\x80\x04\x94.",
    "call of a number": b"\x80\x02K\x01)R.",
    "call with a number": b"\x80\x02ca\nKept\nK\x01R.",
    "call with too much": b"\x80\x02ca\nfunction\n(K\x01K\x01tR.",
    "state of a list": b"\x80\x02]K\x01b.",
    "name that is no text": b"\x80\x04K\x01K\x02\x93.",
    "text that is none": b"\x80\x02X\x01\x00\x00\x00\xff.",
    "name that is none": b"\x80\x02c\xff\xff\n\xff\n.",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged(name):
    refused(
        DAMAGED[name], "expected an intact pickle of at most 8388608 bytes, found it damaged or cut short after byte"
    )


def test_no_memory_is_reserved_for_an_index():
    # The unpickler of Python reserves 16 GB here.
    assert load(b"\x80\x02]r\xff\xff\xff\x7f.") == []


def test_integers_have_bounds():
    refused(b"\x80\x02\x8b" + struct.pack("<i", 100_000) + b"\x7f" * 100_000 + STOP, "an integer of 799999 bits")


@pytest.mark.parametrize(
    ("key", "what"),
    [(b")", "tuple"), (b"N", "NoneType"), (b"\x88", "bool"), (b"\x8a\x09" + b"\x7f" * 9, "int"), (b"]", "list")],
)
def test_keys_are_text_or_small_integers(key, what):
    refused(b"\x80\x02}" + key + b"K\x01s.", f"found a {what} as key")


def test_keys_whose_hash_takes_for_ever():
    data = io.BytesIO(b"\x80\x02}K\x01\x85")
    data.seek(0, io.SEEK_END)
    for index in range(200):
        data.write(b"q%ch%c\x86" % (index, index))
    refused(data.getvalue() + b"K\x01s.", "found a tuple as key")


@pytest.mark.parametrize("nest", [b"\x85", b"a"])
def test_deep_nesting(nest):
    depth = 300_000
    value = load(b"\x80\x02" + b"]" * (depth if nest == b"a" else 1) + nest * (depth - 1) + STOP)
    count = 1
    while value:
        count, value = count + 1, value[0]
    assert count == depth


def test_time_and_memory_are_bounded():
    start = time.process_time()
    refused(
        b"\x80\x02" + b"]" * pickles.LARGEST + STOP, "expected a pickle of at most 1000000 instructions, found more"
    )
    refused(b"\x80\x02B" + struct.pack("<I", pickles.LARGEST) + bytes(pickles.LARGEST) + STOP, "at most 8388608 bytes")
    assert time.process_time() - start < 20


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_damaged_pickles_are_read_or_refused(mutations, data):
    intact = pickle.dumps(VALUE, data.draw(st.sampled_from([3, 4, 5]))) + b"\x80\x02ca\nKept\n(K\x01K\x02tRK\x03b."
    try:
        pickles.load(PATH, data.draw(mutations(intact)), VOCABULARY, list)
    except UserError as error:
        message = str(error)
    else:
        message = ""
    assert message.isprintable()
