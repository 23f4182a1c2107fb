"""The restricted reader agrees with `pickle` on plain data and refuses everything else."""

import io
import os
import pickle
import pickletools
import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from processing import pack, pickle_input, plain_pickle
from processing.plain_pickle import PickleContentError


def load(content: bytes):
    return plain_pickle.load(io.BytesIO(content), len(content), "data")


def same(left, right) -> bool:
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)):
        return type(left) is type(right) and len(left) == len(right) and all(map(same, left, right))
    return left == right and isinstance(left, bool) == isinstance(right, bool)


arrays = hnp.arrays(
    st.sampled_from(["u1", "<i4", ">i8", "<f4", "?"]),
    hnp.array_shapes(min_dims=0, max_dims=3, max_side=5),
    elements={"allow_nan": False},
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(max_size=600)
)
plain = st.recursive(
    scalars | arrays,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.tuples(inner, inner)
        | st.tuples(inner, inner, inner, inner)
        | st.dictionaries(st.text(max_size=5) | st.binary(max_size=5) | st.integers(), inner, max_size=5)
    ),
    max_leaves=12,
)


@given(plain, st.sampled_from([2, 3, 4, 5]))
def test_agrees_with_pickle(value, protocol):
    assert same(load(pickle.dumps(value, protocol)), value)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**31), 2**31 - 1)
        | st.binary(max_size=600)
        | hnp.arrays("u1", hnp.array_shapes(min_dims=0, max_dims=3, max_side=5)),
        lambda inner: st.lists(inner, max_size=5) | st.tuples(inner, inner),
        max_leaves=8,
    )
)
def test_packed_as_python_2_does(value):
    content = pack.dump(value)
    assert same(pickle.loads(content, encoding="bytes"), value)
    assert same(load(content), value)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_large_data_in_every_protocol(protocol):
    table = {"data": np.random.default_rng(0).integers(0, 256, (700, 3072), dtype=np.uint8), "text": "ü" * 9}
    assert same(load(pickle.dumps(table, protocol)), table)


def test_the_same_object_twice_is_read_twice():
    inner = [1, 2]
    array = np.arange(6, dtype=np.uint8).reshape(2, 3, order="F")
    value = load(pickle.dumps([inner, inner, array, array], 2))
    assert value[0] is value[1]
    assert value[2] is value[3]
    assert same(value[2], array)


@given(st.lists(st.binary(max_size=300), max_size=40), st.integers(0, 100_000), st.randoms())
@settings(max_examples=50)
def test_long_lists_of_labels_and_names_in_every_protocol(names, labels, random):
    # Enough objects before them that their places in the memo take four bytes, where they are read at once.
    table = {"before": [[] for _ in range(300)], "names": names, "labels": list(random.randbytes(labels))}
    for protocol in (2, 3, 4, 5):
        assert same(load(pickle.dumps(table, protocol)), table)


def _encoded(text: bytes, length: int, encoding: bytes = b"latin1") -> bytes:
    """A tuple of `a`, and twice `text`, as Python 3 writes its second string of bytes in protocol 2."""
    first = (
        b"c_codecs\nencode\nq\x00X\x01\x00\x00\x00aX"
        + struct.pack("<I", len(encoding))
        + encoding
        + b"q\x01\x86R"
    )
    place = [struct.pack("<I", number) for number in (300, 301, 302)]
    second = b"h\x00X%b%br%bh\x01\x86r%bRr%b" % (struct.pack("<I", length), text, *place)
    return b"\x80\x02(" + first + second + b"j" + place[2] + b"t."


def test_an_encoded_name_goes_where_the_memo_says():
    content = _encoded(b"caf\xc3\xa9.png", 9)
    assert load(content) == pickle.loads(content) == (b"a", b"caf\xe9.png", b"caf\xe9.png")


def test_refuses_integers_without_end(monkeypatch):
    monkeypatch.setattr(plain_pickle, "MAX_OPERATIONS", 1000)
    assert len(load(b"](" + b"K\x01" * 1000 + b"e.")) == 1000
    with pytest.raises(PickleContentError, match="operations"):
        load(b"](" + b"K\x01" * 1001 + b"e.")


class Calls:
    def __init__(self, function, *arguments):
        self._reduced = (function, arguments)

    def __reduce__(self):
        return self._reduced


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Calls(os.system, "touch /nonexistent"), "system"),
        (Calls(eval, "1"), "eval"),
        (Calls(getattr, "", "format"), "getattr"),
        (Calls(np.load, "x"), "load"),
        (Calls(np.ndarray, (10**12,)), "numpy.ndarray"),
        (os.system, "system"),
        (PickleContentError, "PickleContentError"),
        ({1, 2}, r"opcode|set"),
        (1 << 3000, "opcode"),
        (np.array([object()]), '"O8"'),
        (np.zeros(2, [("a", "u1")]), '"V1"'),
        (np.array(["text"]), '"U4"'),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_refuses_what_is_not_plain(value, named, protocol):
    with pytest.raises(PickleContentError, match=named):
        load(pickle.dumps(value, protocol))


# What makes it wrong: a program.
PROGRAMS_THAT_DO_NOT_ADD_UP = {
    "empty": b"",
    "nothing to return": b".",
    "nothing but a protocol": b"\x80\x02.",
    "two values to return": b"K\x01K\x02.",
    "a mark to return": b"(.",
    "appends to nothing": b"e.",
    "a key without its value": b"}(K\x01u.",
    "a list as a key": b"}]K\x01s.",
    "nothing in the memo": b"h\x07.",
    "a pair of one": b"K\x01\x86.",
    "bytes beyond the end": b"B\xff\xff\xff\x7fabc.",
    "bytes of 64 bits beyond the end": b"\x8e" + b"\xff" * 8 + b".",
    "text that is not UTF-8": b"X\x02\x00\x00\x00\xff\xff.",
    "a mark left over": b"(K\x01\x85.",
    "a name without end": b"c" + b"a" * 5000,
    "a dtype of a dtype": (
        b"cnumpy\ndtype\n(U\x03|u1K\x00K\x01tR(K\x03U\x01|U\x01aNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb."
    ),
    "an encoded name cut short": _encoded(b"name", 3),
    "an encoded name beyond its end": _encoded(b"name", 5),
    "an encoded name in another encoding": _encoded(b"name", 4, b"utf-8"),
    "an encoded name that is not UTF-8": _encoded(b"n\xff", 2),
    "an encoded name beyond Latin-1": _encoded("€".encode(), 3),
}


@pytest.mark.parametrize("content", PROGRAMS_THAT_DO_NOT_ADD_UP.values(), ids=PROGRAMS_THAT_DO_NOT_ADD_UP)
def test_refuses_programs_that_do_not_add_up(content):
    with pytest.raises(PickleContentError, match=r"^data: "):
        load(content)


def test_refuses_an_array_of_another_size_than_its_content():
    content = pack.dump(np.zeros((4, 3), np.uint8))
    at = content.index(b"(K\x04K\x03t")
    with pytest.raises(PickleContentError):
        load(content[: at + 2] + b"\x05" + content[at + 3 :])


def test_refuses_a_program_without_end(monkeypatch):
    monkeypatch.setattr(plain_pickle, "MAX_OPERATIONS", 10_000)
    with pytest.raises(PickleContentError, match="operations"):
        load(b"]" * (plain_pickle.MAX_OPERATIONS + 1))


def test_does_not_believe_a_length_beyond_the_member():
    with pytest.raises(PickleContentError, match=r"4,294,967,295 bytes where 3 are left"):
        load(b"\x80\x02T\xff\xff\xff\xffabc")


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_or_one_error(content):
    with suppress(PickleContentError):
        load(content)


CODES = [code.code.encode("latin-1") for code in pickletools.opcodes]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(CODES) | st.binary(min_size=1, max_size=3), max_size=40))
def test_any_operations_give_a_value_or_one_error(parts):
    test_any_bytes_give_a_value_or_one_error.hypothesis.inner_test(b"\x80\x02" + b"".join(parts) + b".")


@settings(max_examples=200)
@given(st.data())
def test_a_damaged_pickle_gives_a_value_or_one_error(data):
    content = bytearray(
        pack.dump({"data": np.zeros((2, 3072), np.uint8), "fine_labels": [1, 2], "filenames": [b"a", b"b"]})
    )
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with suppress(PickleContentError):
        load(bytes(content))


def test_one_text_called_for_again_and_again_does_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(plain_pickle, "MAX_BUILT_BYTES", 100_000)
    text = b"X" + struct.pack("<I", 10_000) + b"x" * 10_000 + b"q\x00"
    again = b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R"
    content = b"\x80\x02(" + text + again * 11 + b"t."
    with pytest.raises(PickleContentError, match="builds more than"):
        plain_pickle.load(io.BytesIO(content), len(content), "x")
    fewer = b"\x80\x02(" + text + again * 9 + b"t."
    assert len(plain_pickle.load(io.BytesIO(fewer), len(fewer), "x")) == 10


LARGE = b"T" + struct.pack("<I", plain_pickle.LARGE) + bytes(plain_pickle.LARGE)


@pytest.mark.parametrize(
    "content",
    [
        b"}(U\x06labels" + LARGE + b"U\x04dataNu.",
        b"}(U\x04data]U\x06labels" + pickle.dumps(np.zeros(plain_pickle.LARGE, np.uint8), 2)[2:-1] + b"u.",
        b"](" + LARGE + b"e.",
        b"X" + struct.pack("<I", plain_pickle.LARGE) + b"a" * plain_pickle.LARGE + b".",
    ],
    ids=["string", "array", "in a list", "text"],
)
def test_only_the_table_is_large(content):
    with pytest.raises(PickleContentError, match=r'data: a value of 1,048,576 bytes .* not the table "data"'):
        load(b"\x80\x02" + content)


def test_what_is_not_the_table_is_bounded_in_all(monkeypatch):
    """A text with one emoji takes four times its bytes."""
    monkeypatch.setattr(pickle_input, "MAX_BUFFERED_BYTES", 1 << 20)
    text = "\U0001f600".encode() + b"a" * 50_000
    again = b"X" + struct.pack("<I", len(text)) + text
    assert len(load(b"\x80\x02(" + again * 15 + b"t.")) == 15
    with pytest.raises(PickleContentError, match="data: holds more than 1 MiB beside its table"):
        load(b"\x80\x02(" + again * 30 + b"t.")


def test_the_table_is_not_counted_with_the_rest(monkeypatch):
    monkeypatch.setattr(pickle_input, "MAX_BUFFERED_BYTES", 300_000)
    table = {"data": np.zeros((700, 3072), np.uint8), "labels": [1, 2]}
    assert same(load(pickle.dumps(table, 4)), table)


def test_the_dictionary_is_looked_through_for_few_large_values():
    """For each of hundreds, after a million small ones, it took minutes."""
    content = b"\x80\x02}(" + (b"U\x04data" + LARGE) * 3 + b"u."
    with pytest.raises(PickleContentError, match="data: more than 2 values of over 1,048,576 bytes"):
        load(content)
