"""Rows picked from a stream are the rows of the table, wherever the pieces are cut."""

import io
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processing import pack, plain_pickle, rows
from processing.plain_pickle import PickleContentError
from processing.rows import RowChoice, pick_from_bytes, pick_from_latin1


@st.composite
def tables(draw):
    count, width = draw(st.integers(0, 12)), draw(st.integers(1, 9))
    content = draw(st.binary(min_size=count * width, max_size=count * width))
    numbers = sorted(draw(st.sets(st.integers(0, count - 1)))) if count else []
    table = np.frombuffer(content, np.uint8).reshape(count, width)
    taken: list[np.ndarray] = []

    def take(before: int, content: np.ndarray) -> None:
        assert before == sum(map(len, taken))
        taken.append(content.copy())

    return table, RowChoice(np.array(numbers, np.int64), count, width, take), taken


def cut(data, content: bytes) -> list[bytes]:
    places = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=6)))
    return [content[a:b] for a, b in zip([0, *places], [*places, len(content)], strict=True)]


@given(tables(), st.data())
def test_picks_from_bytes(case, data):
    table, choice, taken = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "ROWS_AT_ONCE", 3)
        picked = pick_from_bytes(cut(data, table.tobytes()), choice)
    assert np.array_equal(picked.content, table[choice.numbers])
    assert np.array_equal(np.concatenate(taken), picked.content)


@given(tables(), st.data(), st.integers(1, 20))
@settings(max_examples=400)
def test_picks_from_latin1(case, data, segment):
    table, choice, taken = case
    text = table.tobytes().decode("latin-1").encode("utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "SEGMENT", segment)
        patch.setattr(rows, "ROWS_AT_ONCE", 3)
        picked = pick_from_latin1(cut(data, text), choice)
    assert np.array_equal(picked.content, table[choice.numbers])
    assert np.array_equal(np.concatenate(taken), picked.content)


@pytest.mark.parametrize(
    "text", [b"", b"abc", b"abcdefghi", b"\xc3\xc3\xc3\xc3\xc3\xc3", b"\xe2\x82\xacbcdef"]
)
def test_refuses_what_is_not_the_table(text):
    with pytest.raises(ValueError, match=r"its labels ask for 6|codec|decode|encode"):
        pick_from_latin1([text], RowChoice(np.array([0, 1]), 2, 3))


LABELS = [n % 7 for n in range(600)]
DATA = np.random.default_rng(5).integers(0, 256, (600, 3072), dtype=np.uint8)


def choose(known):
    labels = np.array(known.get(b"fine_labels", known.get("fine_labels", [])))
    return RowChoice(np.flatnonzero(labels == 3), len(labels), 3072) if len(labels) else None


def dumped(table, protocol):
    return pack.dump(table) if protocol == "Python 2" else pickle.dumps(table, protocol)


@pytest.mark.parametrize("protocol", ["Python 2", 2, 3, 4, 5])
@pytest.mark.parametrize("labels_first", [True, False])
def test_an_array_is_picked_from_when_its_labels_came_before(protocol, labels_first):
    table = {"fine_labels": LABELS, "data": DATA} if labels_first else {"data": DATA, "fine_labels": LABELS}
    content = dumped(table, protocol)
    loaded = plain_pickle.load(io.BytesIO(content), len(content), "x", choose)
    data = loaded.get("data", loaded.get(b"data"))
    if labels_first:
        assert isinstance(data, rows.PickedRows)
        assert np.array_equal(data.content, DATA[3::7])
    else:
        assert np.array_equal(data, DATA)


@pytest.mark.parametrize("protocol", ["Python 2", 2, 5])
@pytest.mark.parametrize(
    "data", [DATA.reshape(300, 6144), DATA[:, :3000], DATA.T], ids=["shape", "size", "order"]
)
def test_another_shape_is_refused_or_kept_whole(protocol, data):
    content = dumped({"fine_labels": LABELS, "data": data}, protocol)
    try:
        loaded = plain_pickle.load(io.BytesIO(content), len(content), "x", choose)
    except PickleContentError:
        return
    assert np.array_equal(loaded.get("data", loaded.get(b"data")), data)


@pytest.mark.parametrize("there", [599, 601])
def test_a_table_that_its_labels_do_not_go_with_is_told_as_that(there):
    """Not as a damaged pickle: the bytes are as they were written."""
    table = np.zeros((there, 3072), np.uint8)
    content = pickle.dumps({"fine_labels": LABELS, "data": table}, 2)
    choice = RowChoice(np.array([0, 1]), len(LABELS), 3072)
    with pytest.raises(PickleContentError, match="its labels ask for 1,843,200"):
        plain_pickle.load(io.BytesIO(content), len(content), "train", lambda _: choice)
