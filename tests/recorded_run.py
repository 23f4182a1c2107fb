"""The whole workflow as its roles live it, on a local AWS that notes what each of them asks for.

`python -m tests.recorded_run` writes the recording that the unit tests hold the templates to. People work as
the operator, whose credentials STS gives them; stacks are deployed by the account's owner.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from PIL import Image
from typer.testing import CliRunner

from localaws import control
from monitoring.drift import FEWEST
from pipeline import archives, clients, endpoints, environments, runs
from pipeline.cli import app
from pipeline.commands.monitor import DRIFTED
from pipeline.settings import load
from processing.synthetic import write_archive
from tests.waiting import wait_for

RECORDING = Path(__file__).parent / "recordings" / "calls.json"
ACCOUNT = "123456789012"
TOML = """
[environments.staging]
baking_seconds = 0

[environments.prod]
min_instances = 2
max_instances = 3
traffic = "canary"
step_percent = 50
baking_seconds = 0
schedule = [{at = "cron(0 8 ? * MON-FRI *)", min_instances = 2, max_instances = 3}]
"""
ENVIRONMENT = {
    "SCONES_EPOCHS": "1",
    "SCONES_PRESET": "fast",
    "SCONES_ACCURACY_THRESHOLD": "0",
    "SCONES_CONFIDENCE_THRESHOLD": "1",  # nothing reaches it, so that a person is asked
    "SCONES_REVIEW": "true",
    "SCONES_GITHUB_REPOSITORY": "owner/name",
}


class Run:
    """One run, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "calls.jsonl"

    def go(self) -> list[dict[str, Any]]:
        """Everything; answers what was asked for, each once."""
        with self._place():
            self._foundation()
            self._pipeline()
            self._tuning()
            self._models_and_endpoints()
            self._workflow()
            self._end()
        return normalised(json.loads(line) for line in self.log.read_text().splitlines())

    def scones(self, *arguments: str) -> str:
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert result.exit_code == 0, f"scones {' '.join(arguments)}: {result.output}"
        return result.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.scones(*arguments, "--json"))

    @contextmanager
    def _place(self) -> Iterator[None]:
        environment, here = dict(os.environ), Path.cwd()
        for name in list(os.environ):
            if name.startswith(("SCONES_", "AWS_", "SAGEMAKER_")):
                del os.environ[name]
        os.chdir(self.folder)
        (self.folder / "scones.toml").write_text(TOML)
        os.environ.update(
            ENVIRONMENT, SCONES_STATE_DIR=str(self.folder / "state"), SCONES_CALL_LOG=str(self.log)
        )
        try:
            running = control.up(self.folder / "state")
            os.environ.update(running.environment())
            yield
        finally:
            os.environ.clear()
            os.environ.update(environment)
            os.chdir(here)
            control.down(self.folder / "state")

    @contextmanager
    def as_role(self, name: str) -> Iterator[None]:
        """Inside, every client has the role's temporary credentials."""
        kept = dict(os.environ)
        arn = f"arn:aws:iam::{ACCOUNT}:role/{name}"
        answer = boto3.client("sts").assume_role(RoleArn=arn, RoleSessionName="run")
        given = answer["Credentials"]
        os.environ.update(
            AWS_ACCESS_KEY_ID=given["AccessKeyId"],
            AWS_SECRET_ACCESS_KEY=given["SecretAccessKey"],
            AWS_SESSION_TOKEN=given["SessionToken"],
        )
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(kept)

    def _foundation(self) -> None:
        self.scones("foundation", "deploy", "--yes")
        self.settings = load()
        with self.as_role("scones-operator"):
            s3 = clients.connect(self.settings)("s3")
            drawn = self.folder / "synthetic-cifar-100-python.tar.gz"
            # Few images: nobody asks for anything else where there are more.
            write_archive(drawn, seed=0, train_per_class=60, test_per_class=20)
            provided = archives.provide(s3, self.settings, str(drawn), self.folder)
        os.environ["SCONES_DATA_SOURCE"] = provided.source

    def _pipeline(self) -> None:
        self._upsert("scones-github", "P29D")
        self._forget_pipeline()
        self._upsert("scones-operator", "P29D")
        self._upsert("scones-github", "P28D")
        self._upsert("scones-operator", "P30D")
        with self.as_role("scones-operator"):
            self._stop_in("PrepareData")
            self.scones("pipeline", "start", "--watch")
            self._stop_in("TrainModel", "Epochs=500")
            self.scones("pipeline", "start", "--watch")  # the same again, from the cache: a second version
            self.scones("pipeline", "watch")
            self.scones("pipeline", "logs", "--follow")
            self.scones("pipeline", "logs", "--step", "TrainModel")
            newest = self.json("pipeline", "list")[0]["arn"]
            made = clients.connect(self.settings)("sagemaker")
            (prepared,) = (s.made for s in runs.steps(made, newest) if s.name == "PrepareData")
            assert "train" in runs.outputs(made, prepared)  # as the notebook does
            self.scones("pipeline", "graph", "newest", "--out", str(self.folder / "pipeline.svg"))

    def _tuning(self) -> None:
        os.environ["SCONES_TUNING"] = json.dumps({"max_jobs": 2, "ranges": {"learning_rate": [0.01, 0.3]}})
        self._upsert("scones-operator", "P30D")
        with self.as_role("scones-operator"):
            self._stop_in("TuneModel", "Epochs=500")
            self.scones("pipeline", "start", "--watch")
            self.scones("pipeline", "tuning")
        del os.environ["SCONES_TUNING"]
        self._upsert("scones-operator", "P30D")

    def _forget_pipeline(self) -> None:
        """As if nobody had upserted it yet."""
        self._owner("sagemaker").delete_pipeline(PipelineName="scones", ClientRequestToken="x" * 32)
        s3 = self._owner("s3")
        for item in s3.list_objects_v2(Bucket=self.settings.bucket, Prefix="scones/code/")["Contents"]:
            s3.delete_object(Bucket=self.settings.bucket, Key=item["Key"])

    def _upsert(self, role: str, expire_after: str) -> None:
        """Makes or changes the pipeline as on AWS: bucket and roles are the stack's outputs."""
        os.environ["SCONES_CACHE_EXPIRE_AFTER"] = expire_after
        with self.as_role(role):
            self.scones("--target", "aws", "pipeline", "upsert")

    def _stop_in(self, step: str, *parameters: str) -> None:
        options = [part for parameter in parameters for part in ("--set", parameter)]
        arn = self.json("pipeline", "start", *options)["arn"]
        sagemaker = self._owner("sagemaker")

        def runs() -> bool:
            listed = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn)[
                "PipelineExecutionSteps"
            ]
            return any(each["StepName"] == step and each.get("Metadata") for each in listed)

        wait_for(runs, f"{step} running")
        self.scones("pipeline", "stop", arn)
        describe = sagemaker.describe_pipeline_execution
        wait_for(lambda: describe(PipelineExecutionArn=arn)["PipelineExecutionStatus"] == "Stopped", "a stop")

    def _models_and_endpoints(self) -> None:
        self.scones("endpoint", "on-approval", "--yes")
        with self.as_role("scones-operator"):
            self.scones("model", "list")
            self.scones("model", "show")
            self.scones("model", "pictures", "--out", str(self.folder / "pictures"))
            self.scones("model", "approve", "1", "--note", "looked at it")
            wait_for(lambda: self._staged() == 1, "version 1 in staging")
            self.scones("pipeline", "start", "--watch")  # compares its model with the approved one
            self.scones("endpoint", "deploy", "--package", "1")
            self.scones("endpoint", "promote", "--yes")
            self.scones("model", "approve", "2")
            wait_for(lambda: self._staged() == 2, "version 2 in staging")
            self.scones("endpoint", "deploy", "--package", "2")
            self.scones("endpoint", "promote", "--yes")
            self.scones("endpoint", "rollback")
            self.scones("endpoint", "list")
            image = self.folder / "bicycle.png"
            image.write_bytes(picture())
            self.scones("endpoint", "predict", str(image))

    def _staged(self) -> int | None:
        """The version that staging serves, as the owner sees it."""
        try:
            return environments.staged_package(self._owner, self.settings, "staging").version
        except endpoints.NoEndpointError:
            return None

    def _workflow(self) -> None:
        target = self._approval_target()
        os.environ["SCONES_APPROVAL_TARGET_ARN"] = target
        self.scones("workflow", "deploy", "--yes")
        with self.as_role("scones-operator"):
            small, large = self.folder / "small.png", self.folder / "large.png"
            small.write_bytes(picture())
            large.write_bytes(picture() + bytes(300_000))  # decoders stop at the image's end
            rows = self.json("workflow", "run", str(small), str(large))
            assert {row["outcome"] for row in rows} == {"WaitForReview"}, rows
            first, second = (item["id"] for item in self.json("review", "list"))
            self.scones("review", "show", first)
            self.scones("review", "answer", first, "bicycle")
            self.scones("review", "answer", second, "--reject")
            wait_for(lambda: self.json("review", "list") == [], "both reviews closed")
            self.scones("review", "list", "--all")
            self.scones("review", "export", "--out", str(self.folder / "reviewed"))
            assert len(list((self.folder / "reviewed" / "bicycle").iterdir())) == 1
            rows = self.json("workflow", "run", str(small), "--threshold", "0")
            assert rows[0]["outcome"] == "ImageClassified", rows
            self.scones("workflow", "list")
            self.scones("workflow", "history")
            self.scones("workflow", "graph", "newest", "--out", str(self.folder / "workflow.svg"))
            self._batch(small)
            wait_for(self._captured, "captured requests")
            self.scones("monitor", "report")
            self._ask_until_judged()
            assert self.json("endpoint", "list")
            self._check_drift("monitor", "check", "--publish")
        with self.as_role("scones-monitor"):  # as a scheduler does, with what the stack's outputs say
            where = ("--target", "aws", "monitor", "check", "--environment", self.settings.environment)
            self._check_drift(*where, "--publish")
        with self.as_role("scones-operator"):
            self.scones("model", "reject", "2")  # it serves in staging: the deployer tells of it
            wait_for(lambda: self._executions(target), "an execution of the approval target")

    def _ask_until_judged(self) -> None:
        """The same white picture, often enough."""
        white = self.folder / "white.png"
        Image.new("L", (32, 32), 255).save(white)
        for _ in range(FEWEST + 1):
            self.scones("endpoint", "predict", str(white))

        def judged() -> bool:
            """Records arrive some seconds after the requests."""
            return "too few" not in self.scones("monitor", "report")

        wait_for(judged, "records enough")

    def _check_drift(self, *arguments: str) -> None:
        result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
        assert result.exit_code == DRIFTED, result.output

    def _batch(self, image: Path) -> None:
        folder = self.folder / "images"
        folder.mkdir()
        shutil.copy(image, folder / "first.png")
        shutil.copy(image, folder / "second.png")
        self.scones("workflow", "batch", str(folder), "--batch-size", "1")
        self.scones("workflow", "history", "--machine", "batch")

    def _captured(self) -> bool:
        found = self._owner("s3").list_objects_v2(Bucket=self.settings.bucket, Prefix="scones/capture/")
        return found["KeyCount"] > 0

    def _executions(self, arn: str) -> bool:
        return bool(self._owner("stepfunctions").list_executions(stateMachineArn=arn)["executions"])

    def _approval_target(self) -> str:
        role = f"arn:aws:iam::{ACCOUNT}:role/scones-inference"
        definition = {"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}
        return str(
            boto3.client("stepfunctions").create_state_machine(
                name="after-approval", definition=json.dumps(definition), roleArn=role
            )["stateMachineArn"]
        )

    def _end(self) -> None:
        with self.as_role("scones-operator"):
            listed = self.json("endpoint", "list")
            for endpoint in listed:
                self.scones("endpoint", "delete", endpoint["name"])
        self.scones("destroy", "--yes")  # the owner's
        assert self._owner("s3").list_buckets()["Buckets"] == []

    def _owner(self, service: str) -> Any:
        """A client of the account's owner, of whom nothing is noted."""
        return boto3.client(service, aws_access_key_id="local", aws_secret_access_key="local")


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((32, 32), 80).convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


# What is another one in each run: ids, digests, moments, the pictures' names.
_CHANGES = (
    (re.compile(r"(?<![^/])(?!results\.)[^/]+\.(png|py|jsonl)(?=$|\.label)"), r"<file>.\1"),
    (re.compile(r"\b\d{4}/\d\d/\d\d(/\d\d)?"), "<day>"),
    (re.compile(r"algo-1-\d+"), "algo-1-<moment>"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "<uuid>"),
    (re.compile(r"pipelines-[A-Za-z0-9]{12}-(\w+)-[A-Za-z0-9]{10}"), r"pipelines-<execution>-\1-<random>"),
    (re.compile(r"[A-Za-z0-9]{12}-(TuneMode|tunemode)-[A-Za-z0-9]{10}"), r"<execution>-\1-<random>"),
    (re.compile(r"(<random>)-\d{3}-[0-9a-f]{8}"), r"\1-<job>"),
    (re.compile(r"(/executions?)/[a-z0-9]{12}(?=/|$)"), r"\1/<execution>"),
    (re.compile(r"\b[0-9a-f]{16,64}\b"), "<digest>"),
    (re.compile(r"\d{8}-?\d{6}(-[0-9a-z]+)?"), "<moment>"),
)


def normalised(calls: Any) -> list[dict[str, Any]]:
    """The calls without what differs from run to run, each once, in order."""
    found = {json.dumps(_normalise(call), sort_keys=True) for call in calls}
    return [json.loads(text) for text in sorted(found)]


def _normalise(call: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _text(value) if isinstance(value, str) else {k: _text(v) for k, v in value.items()}
        for key, value in call.items()
    }


def _text(value: str) -> str:
    for pattern, replacement in _CHANGES:
        value = pattern.sub(replacement, value)
    return value


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as temporary:
        recorded = Run(Path(temporary)).go()
    RECORDING.parent.mkdir(exist_ok=True)
    RECORDING.write_text(json.dumps(recorded, indent=1) + "\n")
