"""How an object becomes the requests of a transform job."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localaws.sagemaker.transform_records import RecordError, decompressed, payloads


@given(st.lists(st.binary(min_size=1, max_size=20).filter(lambda b: b.strip() and not set(b) & {10, 13})))
def test_lines_arrive_once_and_in_order(lines):
    content = b"\r\n".join(lines)
    single = list(payloads(content, lines=True, many=False, limit_mb=1))
    many = list(payloads(content, lines=True, many=True, limit_mb=1))
    assert single == lines
    assert many == ([b"\n".join(lines)] if lines else [])


def test_batches_stay_under_the_limit():
    content = b"\n".join([b"x" * 400_000] * 5)
    batches = list(payloads(content, lines=True, many=True, limit_mb=1))
    assert [len(batch) for batch in batches] == [800_001, 800_001, 400_000]


def test_an_object_that_is_not_split_is_one_request():
    assert list(payloads(b"a\nb", lines=False, many=True, limit_mb=0)) == [b"a\nb"]


def test_what_is_too_large_is_refused():
    with pytest.raises(RecordError, match="2,000,000 bytes is over the maximum payload of 1 MB"):
        list(payloads(b"x" * 2_000_000, lines=False, many=False, limit_mb=1))


def test_gzip():
    assert decompressed(gzip.compress(b"x"), "Gzip") == b"x"
    assert decompressed(b"x", None) == b"x"
    with pytest.raises(RecordError, match="not gzip"):
        decompressed(b"x", "Gzip")
