"""`scones local …`: what it prints is for a shell."""

import subprocess

import pytest

from localaws.control import Running
from pipeline.commands.local import _print_exports


@pytest.mark.parametrize("name", ["plain", "two words", "it's", "$(false)", "ñ 中"])
def test_exports_survive_a_shell(tmp_path, capsys, name):
    folder = tmp_path / name
    folder.mkdir()
    _print_exports(Running(folder, 1, 1234, "http://127.0.0.1:1234"))
    script = capsys.readouterr().out + 'printf %s "$SAGEMAKER_USER_CONFIG_OVERRIDE"'
    done = subprocess.run(["sh", "-eu", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == str(folder / "sagemaker-sdk.yaml")
