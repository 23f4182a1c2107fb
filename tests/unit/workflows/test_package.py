from __future__ import annotations

import io
import zipfile

from workflows.package import function_zip


def test_a_package_is_the_same_to_the_byte(monkeypatch):
    first = function_zip("serializer")
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    assert function_zip("serializer") == first


def test_a_package_says_no_time_and_a_mode_that_lambda_can_read():
    (entry,) = zipfile.ZipFile(io.BytesIO(function_zip("classifier"))).infolist()
    assert entry.date_time == (1980, 1, 1, 0, 0, 0)
    assert entry.external_attr >> 16 == 0o644
