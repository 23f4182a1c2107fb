"""Clients of AWS come through; web pages of other sites do not."""

import pytest

from localaws.browsers import is_foreign


def environ(**headers):
    return {f"HTTP_{name}": value for name, value in headers.items()}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"HOST": "127.0.0.1:4566"},
        {"HOST": "localhost:4566"},
        {"HOST": "[::1]:4566"},
        {"HOST": "bucket.localhost:4566"},
        {"HOST": "bucket.s3.us-east-1.amazonaws.com"},
        {"HOST": "127.0.0.1:4566", "ORIGIN": "http://localhost:8888"},
        {"HOST": "127.0.0.1:4566", "SEC_FETCH_SITE": "none"},
        {"HOST": "127.0.0.1:4566", "SEC_FETCH_SITE": "same-site", "ORIGIN": "http://127.0.0.1:8888"},
    ],
)
def test_ours(headers):
    assert not is_foreign(environ(**headers))


@pytest.mark.parametrize(
    "headers",
    [
        {"HOST": "127.0.0.1:4566", "ORIGIN": "https://evil.example"},
        {"HOST": "127.0.0.1:4566", "ORIGIN": "null"},
        {"HOST": "127.0.0.1:4566", "ORIGIN": "http://localhost.evil.example"},
        {"HOST": "127.0.0.1:4566", "SEC_FETCH_SITE": "cross-site"},
        {"HOST": "evil.example:4566"},
        {"HOST": "127.0.0.1.evil.example:4566"},
        {"HOST": "notamazonaws.com"},
        {"HOST": ""},
    ],
)
def test_foreign(headers):
    assert is_foreign(environ(**headers))
