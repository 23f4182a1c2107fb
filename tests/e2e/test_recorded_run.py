"""The recording that the templates' roles are held to is of today's code."""

import json

import pytest

from tests.recorded_run import RECORDING, Run


@pytest.mark.timeout(1200)
def test_nobody_asks_for_anything_that_the_recording_lacks(tmp_path):
    recorded = json.loads(RECORDING.read_text())
    assert [call for call in Run(tmp_path).go() if call not in recorded] == []
