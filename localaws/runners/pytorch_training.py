"""Stands in for a framework's training image (`train`): script mode, as SageMaker's training toolkit runs it.

Runs inside the job's container, started as a file: standard library and boto3 only, never `localaws`.

The contract is that of https://github.com/aws/sagemaker-training-toolkit (ENVIRONMENT_VARIABLES.md): the
hyperparameters `sagemaker_program` and `sagemaker_submit_directory` name a script and an archive of code,
other hyperparameters become `--name value`, everything else is told in `SM_*` variables.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ML = Path("/opt/ml")
CODE = ML / "code"
_TAIL_LINES = 60
_MESSAGE_CHARACTERS = (
    600  # SageMaker shows 1,024 of the failure file; the exit code and command need the rest
)


class ScriptModeError(Exception):
    """A user's mistake. The message is the job's failure reason."""

    exit_code = 1


class CalledProcessError(ScriptModeError):
    """A process ended with an exit code other than 0; `name` is the toolkit's own for what it was doing."""

    def __init__(self, name: str, exit_code: int, tail: str, command: list[str]) -> None:
        self.exit_code = exit_code
        super().__init__(
            f'{name}:\nExitCode {exit_code}\nErrorMessage "{tail}"\nCommand "{shlex.join(command)}"'
        )


def main() -> int:
    try:
        run()
    except ScriptModeError as error:
        failure = ML / "output" / "failure"
        failure.parent.mkdir(parents=True, exist_ok=True)
        if not failure.exists():  # the script's own words come first
            failure.write_text(str(error), encoding="utf-8")
        print(error, file=sys.stderr, flush=True)
        return error.exit_code
    print("Reporting training SUCCESS", flush=True)
    return 0


def run() -> None:
    hyperparameters = read_hyperparameters()
    own = {name: value for name, value in hyperparameters.items() if is_own(name)}
    user = {name: value for name, value in hyperparameters.items() if name not in own}
    program = os.environ.get("SAGEMAKER_PROGRAM") or own.get("sagemaker_program")
    source = os.environ.get("SAGEMAKER_SUBMIT_DIRECTORY") or own.get("sagemaker_submit_directory")
    if not program:
        raise ScriptModeError(
            "The hyperparameter sagemaker_program is missing: it names the script to run, and "
            "sagemaker_submit_directory the S3 archive that holds it."
        )
    if source:
        fetch_code(str(source))
    if not (CODE / program).is_file():
        held = ", ".join(sorted(path.name for path in CODE.iterdir())) or "nothing"
        raise ScriptModeError(f"The script {program} is not in {source or CODE}, which holds {held}.")
    install_requirements(CODE / "requirements.txt")
    arguments = to_arguments(user)
    environment = to_environment(user, own, str(program), arguments)
    execute(to_command(str(program), arguments), environment)


def read_json(name: str) -> dict[str, Any]:
    return json.loads((ML / "input" / "config" / name).read_text(encoding="utf-8"))


def read_hyperparameters() -> dict[str, Any]:
    """Each value as JSON where it is JSON, else as text."""
    return {name: _decoded(value) for name, value in read_json("hyperparameters.json").items()}


def _decoded(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def is_own(name: str) -> bool:
    """Is the hyperparameter the toolkit's, not the script's? A tuning job adds one: its objective."""
    return name.startswith("sagemaker_") or name == "_tuning_objective_metric"


def fetch_code(source: str) -> None:
    """Unpacks the archive, from S3 or from a channel, into /opt/ml/code. A folder must be there already."""
    if not source.startswith("s3://"):
        if not Path(source).is_dir():
            unpack_code(source, Path(source))
        return
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, key = source.removeprefix("s3://").partition("/")
    with tempfile.NamedTemporaryFile(suffix=".tar.gz") as file:
        try:
            boto3.client("s3").download_fileobj(bucket, key, file)
        except (ClientError, BotoCoreError) as error:
            raise ScriptModeError(f"The code {source} cannot be fetched: {error}") from error
        file.flush()
        unpack_code(source, Path(file.name))


def unpack_code(source: str, archive: Path) -> None:
    CODE.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(CODE, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ScriptModeError(f"The code {source} is not a tar.gz that can be unpacked: {error}") from error


def install_requirements(path: Path) -> None:
    """As the image does, with pip; what it installs goes into the container's own layer."""
    if not path.is_file():
        return
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "-r", path.name]
    code, tail = follow(command, os.environ)
    if code:
        raise CalledProcessError("InstallRequirementsError", code, tail, command)


def to_arguments(hyperparameters: Mapping[str, Any]) -> list[str]:
    """`{"epochs": 3, "a": True}` → `["-a", "True", "--epochs", "3"]`: sorted by name, as the toolkit does."""
    arguments = []
    for name in sorted(hyperparameters):
        value = hyperparameters[name]
        if isinstance(value, dict):
            value = ",".join(f"{key}={item}" for key, item in sorted(value.items()))
        arguments += [f"--{name}" if len(name) > 1 else f"-{name}", "" if value is None else str(value)]
    return arguments


def to_command(program: str, arguments: list[str]) -> list[str]:
    if not program.endswith(".py"):
        (CODE / program).chmod(0o755)
        return ["/bin/sh", "-c", f"./{shlex.quote(program)} {shlex.join(arguments)}"]
    if (CODE / "setup.py").is_file():  # a package: run as a module, from its folder
        return [sys.executable, "-m", program.removesuffix(".py").replace("/", "."), *arguments]
    return [sys.executable, program, *arguments]


def to_environment(
    user: Mapping[str, Any], own: Mapping[str, Any], program: str, arguments: list[str]
) -> dict[str, str]:
    """The toolkit's `SM_*` variables."""
    resources = read_json("resourceconfig.json")
    channels = read_json("inputdataconfig.json")
    folders = {channel: str(ML / "input" / "data" / channel) for channel in sorted(channels)}
    values: dict[str, Any] = {
        "channel_input_dirs": folders,
        "channels": sorted(channels),
        "current_host": resources["current_host"],
        "current_instance_group": resources.get("current_group_name", "homogeneousCluster"),
        "current_instance_type": resources.get("current_instance_type", "local"),
        "framework_module": "sagemaker_pytorch_container.training:main",
        "hosts": resources["hosts"],
        "hps": user,
        "input_config_dir": str(ML / "input" / "config"),
        "input_data_config": channels,
        "input_dir": str(ML / "input"),
        "is_master": resources["current_host"] == sorted(resources["hosts"])[0],
        "job_name": os.environ.get("TRAINING_JOB_NAME", ""),
        "log_level": own.get("sagemaker_container_log_level", 20),
        "master_hostname": sorted(resources["hosts"])[0],
        "model_dir": str(ML / "model"),
        "module_dir": own.get("sagemaker_submit_directory", str(CODE)),
        "module_name": program.removesuffix(".py"),
        "network_interface_name": resources.get("network_interface_name", "lo"),
        "num_cpus": os.cpu_count() or 1,
        "num_gpus": count_gpus(),
        "num_neurons": 0,
        "output_data_dir": str(ML / "output" / "data"),
        "output_dir": str(ML / "output"),
        "output_intermediate_dir": str(ML / "output" / "intermediate"),
        "resource_config": resources,
        "user_entry_point": program,
    }
    training_env = {**values, "hyperparameters": user}
    values |= {f"channel_{name}": folder for name, folder in folders.items()}
    values |= {f"hp_{name}": value for name, value in user.items()}
    values |= {"user_args": arguments, "framework_params": dict(own), "training_env": training_env}
    paths = [str(CODE), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {f"SM_{name.upper()}": _encoded(value) for name, value in values.items()} | {
        "PYTHONPATH": os.pathsep.join(paths)
    }


def _encoded(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"))


def count_gpus() -> int:
    try:
        listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


def execute(command: list[str], environment: Mapping[str, str]) -> None:
    print("Invoking script with the following command:\n", shlex.join(command), flush=True)
    code, tail = follow(command, {**os.environ, **environment})
    if code:
        raise CalledProcessError("ExecuteUserScriptError", code, tail, command)


def follow(command: list[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """Runs a command in /opt/ml/code, its output going on as it comes.

    Returns its exit code (128 + n after signal n) and the end of what it wrote to stderr, where an
    exception is named.
    """
    terminated: list[int] = []
    # SIGTERM reaches the command too; it decides what to do, and we wait for it.
    before = signal.signal(signal.SIGTERM, lambda number, _: terminated.append(number))
    try:
        process = subprocess.Popen(
            command,
            cwd=CODE,
            env=environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        if terminated:  # perhaps before there was a command to be reached
            process.terminate()
        assert process.stderr is not None
        tail: deque[str] = deque(maxlen=_TAIL_LINES)
        for line in process.stderr:
            sys.stderr.write(line)
            sys.stderr.flush()
            tail.append(line)
        code = process.wait()
    finally:
        signal.signal(signal.SIGTERM, before)
    return (128 - code if code < 0 else code), "".join(tail).strip()[-_MESSAGE_CHARACTERS:]


if __name__ == "__main__":
    sys.exit(main())
