"""`scones monitor check` on the records of a real endpoint, as a package's own baseline judges them."""

from __future__ import annotations

import io
import json
import re
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from PIL import Image

from pipeline import cli, deployment, endpoints, environments, monitor, predictions, registry
from pipeline import clients as clients_module
from pipeline import settings as settings_module
from tests.functional.endpoints import IMAGE, archive

NAME = "drift-tests"
# What the model was made with: images of 100 to 155, and an answer that is always as sure as the endpoint's.
BRIGHTNESS = [0] * 12 + [40] * 8 + [0] * 12

INFERENCE = """
import io, json
from PIL import Image

def model_fn(model_dir):
    return None

def input_fn(body, content_type):
    return Image.open(io.BytesIO(body))

def predict_fn(image, model):
    return [0.9, 0.1] if image.getpixel((0, 0))[0] % 2 else [0.1, 0.9]

def output_fn(prediction, accept):
    return json.dumps(prediction)
"""


def png(brightness: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (brightness,) * 3).save(buffer, "PNG")
    return buffer.getvalue()


class World:
    def __init__(self) -> None:
        self.settings = settings_module.load(
            bucket=NAME,
            model_package_group=NAME,
            endpoint_name_prefix=NAME,
            role_arn="arn:aws:iam::123456789012:role/scones-execution",
        )
        self.clients = clients_module.connect(self.settings)
        self.clients("s3").create_bucket(Bucket=NAME)
        self.clients("sagemaker").create_model_package_group(ModelPackageGroupName=NAME)
        train = {"per_class": {"bicycle": 160, "motorcycle": 160}, "brightness_histogram": BRIGHTNESS}
        named = {"file": "gone.png", "class": "bicycle", "predicted": "bicycle"}
        answers = [named | {"probabilities": values} for values in ([0.9, 0.1], [0.1, 0.9])] * 50
        files = {
            "statistics/statistics.json": json.dumps({"splits": {"train": train}}).encode(),
            "evaluation/evaluation.json": b"{}",
            "evaluation/predictions.jsonl": "\n".join(map(json.dumps, answers)).encode(),
            "model.tar.gz": archive({"code/inference.py": INFERENCE}),
        }
        for key, body in files.items():
            self.clients("s3").put_object(Bucket=NAME, Key=key, Body=body)
        self.endpoint = ""

    def deploy(self) -> None:
        def metric(key: str) -> dict:
            return {"Statistics": {"ContentType": "application/json", "S3Uri": f"s3://{NAME}/{key}"}}

        sagemaker = self.clients("sagemaker")
        arn = sagemaker.create_model_package(
            ModelPackageGroupName=NAME,
            ModelApprovalStatus="Approved",
            InferenceSpecification={
                "Containers": [{"Image": IMAGE, "ModelDataUrl": f"s3://{NAME}/model.tar.gz"}],
                "SupportedContentTypes": ["image/png"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
            ModelMetrics={
                "ModelQuality": metric("evaluation/evaluation.json"),
                "ModelDataQuality": metric("statistics/statistics.json"),
            },
            CustomerMetadataProperties={"classes": "bicycle motorcycle"},
        )["ModelPackageArn"]
        package = registry.find(sagemaker, NAME, arn)
        # The image that its evaluation names is gone, so that the smoke test asks about noise.
        self.endpoint = deployment.deploy(self.clients, self.settings, package).endpoint

    def ask(self, brightness: range) -> None:
        """So often as there are values, and waits until all is captured."""
        before = self.captured()
        for value in brightness:
            predictions.invoke(self.clients("sagemaker-runtime"), self.endpoint, png(value), "image/png")
        expected = before + len(brightness)
        found = monitor.wait_for_captures(self.clients, self.settings, self.served(), expected)
        assert len(found.table) == expected

    def served(self) -> predictions.Deployed:
        return predictions.deployed(self.clients("sagemaker"), self.endpoint)

    def captured(self) -> int:
        try:
            return len(monitor.captures(self.clients, self.settings, self.served()).table)
        except monitor.CaptureError:
            return 0

    def metric(self, name: str, **dimensions: str) -> list[float]:
        now = datetime.now(UTC)
        of = {"EndpointName": self.endpoint} | dimensions
        found = self.clients("cloudwatch").get_metric_statistics(
            Namespace="Scones/Monitoring",
            MetricName=name,
            Dimensions=[{"Name": key, "Value": value} for key, value in of.items()],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(hours=1),
            Period=7200,
            Statistics=["Maximum"],
        )
        return [each["Maximum"] for each in found["Datapoints"]]


@pytest.fixture(scope="module")
def world(local_aws):
    made = World()
    made.deploy()
    yield made
    endpoints.delete_all(made.clients, made.settings, made.endpoint)


@dataclass(frozen=True)
class Ended:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def check(world, tmp_path, monkeypatch, capsys):
    """Runs `scones monitor check` as its entry point does, and returns what came of it."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, **environment: str) -> Ended:
        names = dict.fromkeys(("BUCKET", "MODEL_PACKAGE_GROUP", "ENDPOINT_NAME_PREFIX"), NAME)
        code = 0
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["scones", "monitor", "check", *arguments])
            for key, value in ({f"SCONES_{key}": name for key, name in names.items()} | environment).items():
                patch.setenv(key, value)
            try:
                cli.main()
            except SystemExit as end:
                code = int(end.code or 0)
        told = capsys.readouterr()
        return Ended(code, told.out, told.err)

    return run


def test_drift_from_the_first_request_to_the_alarm(world, check, tmp_path):
    nothing = check()
    assert nothing.returncode == 4, nothing.stdout
    assert nothing.stderr.startswith("error: ")
    assert nothing.stderr.count("\n") == 1

    world.ask(range(100, 110))
    few = check("--publish")
    assert few.returncode == 0, few.stderr
    assert "brightness: too few to compare, 10 of 30" in few.stdout
    assert "nothing was published" in few.stdout
    assert world.metric("DriftedFeatures") == []

    world.ask(range(100, 156))
    steady = check("--publish", "--json", "--environment", "dev")
    assert steady.returncode == 0, steady.stderr
    told = json.loads(steady.stdout)
    assert [each["verdict"] for each in told["drift"]] == ["steady", "steady", "not judged"]
    assert (told["drifted"], told["published"]) == ([], True)
    assert told["subject"]["endpoint"] == world.endpoint
    assert world.metric("DriftedFeatures") == [0]

    world.ask(range(200, 256))
    drifted = check("--publish", "--hours", "1", "--out", "seen.png")
    assert drifted.returncode == 3, drifted.stderr
    assert "brightness: drift, PSI" in drifted.stdout
    assert (tmp_path / "seen.png").stat().st_size > 10_000
    assert world.metric("DriftedFeatures") == [1]
    (index,) = world.metric("PopulationStabilityIndex", Feature="brightness")
    assert index > 0.2

    # The limit is a setting, and so is what is judged.
    assert check(SCONES_DRIFT_PSI="99").returncode == 0
    assert check(SCONES_DRIFT_FEATURES="confidence,predicted_class").returncode == 0


def test_the_alarm_looks_where_the_check_publishes(world):
    (alarm,) = world.clients("cloudwatch").describe_alarms(AlarmNames=[f"{world.endpoint}-drift"])[
        "MetricAlarms"
    ]
    assert (alarm["Namespace"], alarm["MetricName"]) == ("Scones/Monitoring", "DriftedFeatures")
    assert alarm["Dimensions"] == [{"Name": "EndpointName", "Value": world.endpoint}]
    assert alarm["TreatMissingData"] == "notBreaching"


def test_a_later_package_is_not_judged_by_what_an_earlier_one_answered(world, check):
    world.ask(range(200, 256))
    time.sleep(1)  # a record's time is in whole seconds
    world.deploy()
    found = check("--hours", "24")
    assert found.returncode == 4
    # Whether the smoke test's record has arrived yet or not.
    assert re.match(r"error: (nobody has asked|.* holds no record since)", found.stderr), found.stderr
    earlier = check("--since", "2026-01-01")
    assert earlier.returncode == 3
    assert re.match(r"\d+ of the records are older than the package that serves now", earlier.stderr)


def test_the_list_says_what_serves_where(world):
    (found,) = (each for each in environments.serving(world.clients("sagemaker"), world.settings))
    assert (found.name, found.environment) == (world.endpoint, "dev")
    assert re.fullmatch(rf"{NAME}/\d+", found.package)


def test_an_environment_without_endpoint_is_told(check):
    found = check("--environment", "prod")
    assert found.returncode == 1
    assert found.stderr.startswith("error: the environment prod has no endpoint in service")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--since", "2026-01-01", "--hours", "2"], "not both"),
        (["--endpoint", "a", "--environment", "dev"], "not both"),
        (["--publish", "--since", "2026-01-01"], "--hours"),
        (["--hours", "0"], "--hours"),
        (["--since", "yesterday"], "--since"),
    ],
)
def test_wrong_usage(check, arguments, says):
    found = check(*arguments)
    assert found.returncode == 2
    assert says in found.stderr


@pytest.mark.parametrize(
    "environment",
    [{"SCONES_DRIFT_PSI": "0"}, {"SCONES_DRIFT_PSI": "much"}, {"SCONES_DRIFT_FEATURES": "brightness,colour"}],
)
def test_limits_that_are_none(check, environment):
    found = check(**environment)
    assert found.returncode == 1
    assert found.stderr.startswith(f"error: {next(iter(environment))}: ")
