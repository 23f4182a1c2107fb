import json
import shlex
import signal
import subprocess

import pytest

from localaws.runners import pytorch_training as runner


@pytest.fixture
def opt_ml(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "ML", tmp_path)
    monkeypatch.setattr(runner, "CODE", tmp_path / "code")
    (tmp_path / "code").mkdir()
    config = tmp_path / "input" / "config"
    config.mkdir(parents=True)
    resources = {"current_host": "algo-2", "hosts": ["algo-1", "algo-2"]}
    (config / "resourceconfig.json").write_text(json.dumps(resources))
    (config / "inputdataconfig.json").write_text(json.dumps({"validation": {}, "train": {}}))
    return tmp_path


@pytest.mark.parametrize(
    ("value", "decoded"),
    [('"text"', "text"), ("text", "text"), ("3", 3), ("0.1", 0.1), ("true", True), ("a,b", "a,b"), ("", "")],
)
def test_hyperparameters_are_json_where_they_can_be(opt_ml, value, decoded):
    (opt_ml / "input" / "config" / "hyperparameters.json").write_text(json.dumps({"name": value}))
    assert runner.read_hyperparameters() == {"name": decoded}


@pytest.mark.parametrize(
    ("hyperparameters", "arguments"),
    [
        ({}, []),
        ({"b": 1, "a-name": 2}, ["--a-name", "2", "-b", "1"]),
        ({"flag": True, "nothing": None}, ["--flag", "True", "--nothing", ""]),
        ({"map": {"y": 2, "x": 1}, "list": [1, 2]}, ["--list", "[1, 2]", "--map", "x=1,y=2"]),
    ],
)
def test_arguments_as_the_toolkit_makes_them(hyperparameters, arguments):
    assert runner.to_arguments(hyperparameters) == arguments


def test_the_environment_of_a_script(opt_ml):
    environment = runner.to_environment({"learning-rate": 0.1}, {}, "train.py", ["--learning-rate", "0.1"])
    assert environment["SM_CHANNELS"] == '["train","validation"]'
    assert environment["SM_CHANNEL_TRAIN"] == str(opt_ml / "input" / "data" / "train")
    assert environment["SM_HP_LEARNING-RATE"] == "0.1"
    assert environment["SM_IS_MASTER"] == "false"
    assert environment["SM_MASTER_HOSTNAME"] == "algo-1"
    assert environment["SM_MODULE_NAME"] == "train"
    assert environment["SM_USER_ARGS"] == '["--learning-rate","0.1"]'
    assert json.loads(environment["SM_TRAINING_ENV"])["hyperparameters"] == {"learning-rate": 0.1}
    assert environment["PYTHONPATH"].split(":")[0] == str(opt_ml / "code")


def test_a_shell_script_is_run_by_the_shell_with_quoted_arguments(opt_ml):
    (opt_ml / "code" / "run it.sh").write_text("echo $1")
    command = runner.to_command("run it.sh", ["--name", "a; rm -rf /"])
    assert command[:2] == ["/bin/sh", "-c"]
    assert shlex.split(command[2]) == ["./run it.sh", "--name", "a; rm -rf /"]


def test_a_package_is_run_as_a_module(opt_ml):
    (opt_ml / "code" / "setup.py").touch()
    assert runner.to_command("package/main.py", ["-a", "1"])[1:] == ["-m", "package.main", "-a", "1"]


@pytest.mark.parametrize(
    ("script", "code", "tail"),
    [("import sys; sys.exit(0)", 0, ""), ("raise ValueError('no')", 1, "ValueError: no")],
)
def test_following_a_process(opt_ml, capfd, script, code, tail):
    seen, end = runner.follow(["python3", "-c", script], {"PATH": "/usr/bin:/bin"})
    assert seen == code
    assert end.endswith(tail)
    assert capfd.readouterr().err.strip().endswith(tail)


def test_a_signal_counts_as_in_a_shell(opt_ml):
    assert runner.follow(["sh", "-c", "kill -9 $$"], {"PATH": "/usr/bin:/bin"}) == (137, "")


def test_a_signal_that_comes_before_the_command_reaches_it_too(opt_ml, monkeypatch):
    start = subprocess.Popen

    def late(*arguments, **options):
        signal.raise_signal(signal.SIGTERM)
        return start(*arguments, **options)

    monkeypatch.setattr(runner.subprocess, "Popen", late)
    assert runner.follow(["sleep", "30"], {"PATH": "/usr/bin:/bin"}) == (128 + signal.SIGTERM, "")
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
