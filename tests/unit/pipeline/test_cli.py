"""The command as a person meets it: quick help, one sentence for a mistake, exit codes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from pipeline.errors import sentence
from pipeline.runs import NoPipelineError

ROOT = Path(__file__).parents[3]
# What help must not import: each costs from a tenth of a second to several. (Typer itself takes pydantic.)
HEAVY = (
    "sagemaker",
    "torch",
    "moto",
    "pandas",
    "boto3",
    "botocore",
    "pydantic_settings",
    "PIL",
    "numpy",
    "localaws",
)


def scones(*arguments, **environment):
    command = [sys.executable, "-m", "pipeline.cli", *arguments]
    clean = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "HOME": "/nonexistent", **environment}
    return subprocess.run(command, env=clean, capture_output=True, text=True)


@pytest.mark.parametrize(
    "group", [[], ["pipeline"], ["model"], ["endpoint"], ["workflow"], ["local"], ["demo"]]
)
def test_help_imports_nothing_heavy(group):
    program = f"""
import sys
from pipeline.cli import app
try:
    app({[*group, "--help"]!r})
except SystemExit as error:
    assert not error.code
heavy = [name for name in {HEAVY!r} if name in sys.modules]
assert not heavy, heavy
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (
            ["pipeline", "list"],
            {"SCONES_EPOCHS": "ten"},
            "error: SCONES_EPOCHS: input should be a valid integer",
        ),
        (["pipeline", "list"], {}, "error: no local AWS runs in .scones: run `scones local up`"),
        (["--target", "aws", "pipeline", "definition"], {}, "error: bucket is not set: target aws needs"),
        (
            ["--target", "aws", "pipeline", "list"],
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
            "error: AWS was not reached: ",
        ),
        (["endpoint", "deploy"], {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "error: "),
        (["endpoint", "list"], {"AWS_ENDPOINT_URL": "banana"}, "error: AWS_ENDPOINT_URL is no URL"),
        (["demo", "--data", "x", "--out", __file__], {}, ""),
    ],
)
def test_mistake_is_one_sentence(tmp_path, monkeypatch, arguments, environment, said):
    monkeypatch.chdir(tmp_path)
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_MAX_ATTEMPTS": "1"}
    done = scones(*arguments, **(keys | environment))
    assert done.returncode in (1, 2)
    assert done.stderr.startswith(said)
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["--target", "moon", "pipeline", "list"],
        ["pipeline", "start", "--set", "Epochs"],
        ["endpoint", "predict", "gone.png"],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments):
    done = scones(*arguments)
    assert done.returncode == 2
    assert "Usage" in done.stderr


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (NoPipelineError("there is no pipeline x"), "there is no pipeline x"),
        (NoCredentialsError(), "no AWS credentials were found: run `aws configure`, or set AWS_PROFILE"),
        (
            EndpointConnectionError(endpoint_url="http://x"),
            "AWS was not reached: Could not connect to the endpoint",
        ),
        (
            ClientError({"Error": {"Code": "AccessDenied", "Message": "not you"}}, "GetObject"),
            "AWS refused GetObject: not you",
        ),
        (ClientError({"Error": {"Code": "ExpiredToken"}}, "GetObject"), "the AWS credentials have expired"),
        (PermissionError(13, "Permission denied", "a.toml"), "a.toml: Permission denied"),
        (OSError(28, "No space left on device"), "nothing more can be written: No space left on device"),
    ],
)
def test_sentences(error, said):
    assert sentence(error).startswith(said)


@pytest.mark.parametrize("error", [KeyError("x"), AssertionError(), OSError("no file")])
def test_bugs_keep_their_traceback(error):
    assert sentence(error) is None
