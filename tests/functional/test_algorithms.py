"""The pipeline with the built-in algorithm's stand-in, and with one's own image, to a registered model."""

from __future__ import annotations

import io
import json
import sys
import uuid

import pytest
from botocore.exceptions import ClientError
from PIL import Image

from pipeline import clients as clients_module
from pipeline import deployment, endpoints, objects, predictions, registry, runs
from pipeline import settings as settings_module
from pipeline.archives import upload
from processing.synthetic import write_archive

OWN = "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/brightness:1"
# By SageMaker's container contract and nothing else: its "model" is the mean brightness of each class.
TRAIN = """
import json, pathlib
from PIL import Image, ImageStat

ml = pathlib.Path("/opt/ml")
given = json.loads((ml / "input/config/hyperparameters.json").read_text())
assert given["depth"] == "3", given
sums = [[] for _ in given["classes"].split(",")]
for line in (ml / "input/data/train/train.lst").read_text().splitlines():
    _, label, name = line.split("\\t")
    sums[int(label)].append(ImageStat.Stat(Image.open(ml / "input/data/train" / name).convert("L")).mean[0])
print("validation:accuracy=0.5;", flush=True)
(ml / "model" / "means.json").write_text(json.dumps([sum(each) / len(each) for each in sums]))
"""
SERVE = """
import http.server, io, json, os, pathlib
from PIL import Image, ImageStat

means = json.loads(pathlib.Path("/opt/ml/model/means.json").read_text())

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200 if self.path == "/ping" else 404, b"")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        brightness = ImageStat.Stat(Image.open(io.BytesIO(body)).convert("L")).mean[0]
        weights = [1 / (1 + abs(brightness - mean)) for mean in means]
        self.answer(200, json.dumps([weight / sum(weights) for weight in weights]).encode())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

http.server.ThreadingHTTPServer(("", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
"""


class Run:
    """A pipeline of its own with these settings, and its executions."""

    def __init__(self, **options):
        name = f"algorithms-{uuid.uuid4().hex[:8]}"
        self.settings = settings_module.load(
            bucket=name,
            pipeline_name=name,
            model_package_group=name,
            endpoint_name_prefix=name,
            accuracy_threshold=0.0,
            **options,
        )
        self.clients = clients_module.connect(self.settings)
        runs.upsert(self.clients, self.settings)

    def execute(self, archive, **parameters):
        source = upload(self.clients("s3"), self.settings, archive)
        arn = runs.start(self.clients, self.settings, {"DataSource": source} | parameters)
        *_, (execution, steps) = runs.watch(self.clients("sagemaker"), arn, 0.2)
        return execution, {step.name: step for step in steps}

    def succeed(self, archive, **parameters):
        execution, steps = self.execute(archive, **parameters)
        runs.require_success(execution, list(steps.values()))
        return steps

    def package(self, steps):
        sagemaker = self.clients("sagemaker")
        return registry.find(sagemaker, self.settings.model_package_group, steps["RegisterModel"].made)

    def training_job(self, steps):
        name = steps["TrainModel"].made.rsplit("/", 1)[-1]
        return self.clients("sagemaker").describe_training_job(TrainingJobName=name)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("archive") / "small.tar.gz"
    write_archive(path, seed=1, train_per_class=24, test_per_class=12)
    return path


@pytest.fixture(scope="module")
def built_in(local_aws):
    return Run(algorithm="image-classification", epochs=2, batch_size=16)


@pytest.fixture(scope="module")
def succeeded(built_in, archive):
    return built_in.succeed(archive)


def test_built_in_counts_its_samples_and_has_its_metrics(succeeded, built_in):
    job = built_in.training_job(succeeded)
    assert job["HyperParameters"]["num_training_samples"] == "48"
    assert {each["MetricName"] for each in job["FinalMetricDataList"]} == {
        "train:accuracy",
        "validation:accuracy",
    }


def test_transform_answers_are_scored(succeeded, built_in):
    details = registry.describe(built_in.clients, built_in.package(succeeded))
    assert details.images == 24
    assert details.metadata["algorithm"] == "image-classification"
    # The last epoch's model is kept: both count the same answers to the same images.
    (said,) = [
        each["Value"]
        for each in built_in.training_job(succeeded)["FinalMetricDataList"]
        if each["MetricName"] == "validation:accuracy"
    ]
    assert details.accuracy == pytest.approx(said, abs=1e-6)
    job = succeeded["PredictValidation"].made.rsplit("/", 1)[-1]
    found = built_in.clients("sagemaker").describe_transform_job(TransformJobName=job)
    bucket, prefix = objects.split(found["TransformOutput"]["S3OutputPath"])
    listed = built_in.clients("s3").list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
    assert len(listed) == 24
    assert all(each["Key"].endswith(".png.out") for each in listed)


def test_built_in_serves(succeeded, built_in):
    sagemaker, package = built_in.clients("sagemaker"), built_in.package(succeeded)
    registry.decide(sagemaker, package, "Approved", "for the tests")
    approved = registry.approved(sagemaker, built_in.settings.model_package_group, str(package.version))
    name = deployment.deploy(built_in.clients, built_in.settings, approved).endpoint
    buffer = io.BytesIO()
    Image.new("RGB", (48, 40), (200, 30, 30)).save(buffer, "JPEG")
    for kind in ("image/jpeg", "application/x-image"):
        answer = predictions.predict(built_in.clients, built_in.settings, name, buffer.getvalue(), kind)
        assert sum(answer.probabilities) == pytest.approx(1, abs=1e-4)
    with pytest.raises(predictions.PredictError, match="refused the request"):
        predictions.invoke(built_in.clients("sagemaker-runtime"), name, b"no image", "image/png")
    endpoints.delete(sagemaker, name)


def test_built_in_failure_is_told_in_its_own_words(succeeded, built_in, archive):
    execution, steps = built_in.execute(archive, BatchSize="64")
    with pytest.raises(
        runs.ExecutionFailedError,
        match=r"TrainModel: ClientError: The number of input images must be bigger or equal to the mini_b",
    ):
        runs.require_success(execution, list(steps.values()))


def test_metric_definitions_of_a_built_in_algorithm_are_refused(succeeded, built_in):
    job = built_in.training_job(succeeded)
    specification = job["AlgorithmSpecification"] | {"MetricDefinitions": [{"Name": "a", "Regex": "a=(.*)"}]}
    keys = ("RoleArn", "OutputDataConfig", "ResourceConfig", "StoppingCondition")
    with pytest.raises(ClientError, match="You can't override the metric definitions for Amazon SageMaker"):
        built_in.clients("sagemaker").create_training_job(
            TrainingJobName="refused", AlgorithmSpecification=specification, **{key: job[key] for key in keys}
        )


def test_own_image(local_aws, archive, tmp_path, request):
    for name, code in (("train.py", TRAIN), ("serve.py", SERVE)):
        (tmp_path / name).write_text(code)
    commands = {
        name: json.dumps([sys.executable, str(tmp_path / f"{name}.py")]) for name in ("train", "serve")
    }
    table = f'["team/brightness"]\ntrain = {commands["train"]}\nserve = {commands["serve"]}\n'
    (local_aws.state_dir / "images.toml").write_text(table)
    request.addfinalizer((local_aws.state_dir / "images.toml").unlink)
    own = Run(algorithm="custom", training_image_uri=OWN, hyperparameters={"depth": 3})
    steps = own.succeed(archive)
    assert own.training_job(steps)["FinalMetricDataList"][0]["Value"] == 0.5
    details = registry.describe(own.clients, own.package(steps))
    assert (details.images, details.metadata["training_code"]) == (24, OWN)
    assert 0 <= details.accuracy <= 1
