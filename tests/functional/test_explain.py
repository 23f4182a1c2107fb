"""`scones model explain` against the local AWS: a registered package's network, and any endpoint."""

import contextlib
import io
import json
import re
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from pipeline import clients as clients_module
from pipeline import monitor
from pipeline import settings as settings_module
from pipeline.cli import app
from pipeline.errors import sentence
from tests.functional.endpoints import BUCKET, IMAGE, Endpoints, archive
from tests.waiting import wait_for
from training.model import ModelCard, Network, save_model

NAME = "explain-tests"
CLASSES = ("bicycle", "motorcycle")

# Not ours: looks at the left upper quarter of the picture and at nothing else.
OTHER = """
import io, json, math
import numpy, PIL.Image

def model_fn(model_dir):
    return None

def input_fn(body, content_type):
    return numpy.asarray(PIL.Image.open(io.BytesIO(body)).convert("RGB"), dtype=float)

def predict_fn(data, model):
    height, width = data.shape[:2]
    light = 1 / (1 + math.exp(-(data[: height // 2, : width // 2].mean() - 100) / 10))
    return [light, 1 - light]

def output_fn(prediction, accept):
    return json.dumps(prediction)
"""


def png(size=(32, 32)) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 90, (*size, 3), dtype=np.uint8)
    pixels[: size[0] // 3, : size[1] // 3] += 150
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def registered(sagemaker, s3, key: str, model: bytes) -> str:
    s3.put_object(Bucket=BUCKET, Key=key, Body=model)
    made = sagemaker.create_model_package(
        ModelPackageGroupName=NAME,
        InferenceSpecification={
            "Containers": [{"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/{key}"}],
            "SupportedContentTypes": ["image/png"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
        CustomerMetadataProperties={"classes": " ".join(CLASSES)},
    )
    return made["ModelPackageArn"].rpartition("/")[2]


@pytest.fixture(scope="module")
def packages(client, tmp_path_factory):
    """Versions by name: `ours` has a network, `other` only code, `gone` lost its archive."""
    s3, sagemaker = client("s3"), client("sagemaker")
    with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="explain/image.png", Body=png())
    sagemaker.create_model_package_group(ModelPackageGroupName=NAME)
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    save_model(folder, Network(2, (4, 8, 8)), ModelCard(classes=CLASSES, channels=(4, 8, 8)))
    with tarfile.open(folder / "model.tar.gz", "w:gz") as tar:
        tar.add(folder / "model.pt", "model.pt")
        tar.add(folder / "model.json", "model.json")
    found = {
        "other": registered(sagemaker, s3, "explain/other.tar.gz", archive({"code/inference.py": OTHER})),
        "gone": registered(sagemaker, s3, "explain/gone.tar.gz", b""),
        "ours": registered(sagemaker, s3, "explain/ours.tar.gz", (folder / "model.tar.gz").read_bytes()),
    }
    s3.delete_object(Bucket=BUCKET, Key="explain/gone.tar.gz")
    for package in sagemaker.list_model_packages(ModelPackageGroupName=NAME)["ModelPackageSummaryList"]:
        if str(package["ModelPackageVersion"]) == found["ours"]:
            sagemaker.update_model_package(
                ModelPackageArn=package["ModelPackageArn"], ModelApprovalStatus="Approved"
            )
    return found


@pytest.fixture
def scones(local_aws, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCONES_MODEL_PACKAGE_GROUP", NAME)
    monkeypatch.setenv("SCONES_BUCKET", BUCKET)
    monkeypatch.setenv("SCONES_PREFIX", "explain")
    return lambda *words: CliRunner().invoke(app, ["model", *words])


def test_the_newest_package_is_explained_from_a_file_and_an_object(scones, packages, tmp_path):
    (tmp_path / "mine.png").write_bytes(png((64, 48)))
    place = tmp_path / "new" / "picture.png"
    words = ["explain", "mine.png", f"s3://{BUCKET}/explain/image.png", "--out", str(place), "--json"]
    done = scones(*words)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["model"] == f"package {packages['ours']}"
    assert [each["image"] for each in told["explanations"]] == ["mine.png", "image.png"]
    for each in told["explanations"]:
        assert each["size"] == [32, 32]  # as the network sees it
        assert [one["method"] for one in each["maps"]] == ["occlusion", "integrated-gradients"]
        gradients = each["maps"][1]
        assert np.shape(gradients["bits"]) == (32, 32)
        assert gradients["sum"] == pytest.approx(gradients["difference_from_blurred"], abs=0.02)
        assert sum(each["probabilities"].values()) == pytest.approx(1)
    assert Image.open(place).width > 1000
    assert [path.name for path in place.parent.iterdir()] == ["picture.png"]


def test_an_endpoint_with_a_model_of_any_kind_is_explained(scones, client, packages, tmp_path):
    endpoints = Endpoints(client)
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{BUCKET}/explain/capture",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
    }
    name, _ = endpoints.create(
        endpoints.config(endpoints.model("quarter", code=OTHER), DataCaptureConfig=capture)
    )
    endpoints.invoke(name, png())
    done = scones("explain", f"s3://{BUCKET}/explain/image.png", "--endpoint", name, "--json")
    endpoints.delete(name)  # returns when all is captured

    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout)["explanations"]
    values = np.array(found["maps"][0]["bits"])
    assert found["explained"] == "bicycle"
    assert values[:10, :10].mean() > 5 * np.abs(values).mean()  # the light part of the quarter
    assert np.abs(values[23:]).max() == np.abs(values[:, 23:]).max() == 0  # no square reaches so far
    seen = [path.name for path in tmp_path.joinpath("out").iterdir()]
    assert seen == ["explanation.png"]
    # Monitoring tells a person's request from the hundreds that explained one.
    settings = settings_module.load(bucket=BUCKET, prefix="explain")
    records = [
        json.loads(line)["captureData"]
        for item in client("s3").list_objects_v2(Bucket=BUCKET, Prefix=f"explain/capture/{name}/")["Contents"]
        for line in client("s3").get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read().splitlines()
    ]
    assert len(records) > 170
    everything = monitor.read_captures(
        f"s3://{BUCKET}/explain/capture/{name}/",
        s3=clients_module.connect(settings)("s3"),
        classes=CLASSES,
    )
    assert len(everything.without(monitor.OUR_REQUESTS).table) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["image.png", "--package", "77"], "has no package 77: see `scones model list`"),
        (["image.png", "--package", "other"], r"has no gradients to look at: .*--endpoint NAME"),
        (["image.png", "--package", "gone"], "is gone: there is no s3://"),
        (["image.png", "--class", "boat"], "the model knows no class boat: it knows bicycle, motorcycle"),
        (["image.png", "--endpoint", "nowhere"], "there is no endpoint nowhere: see `scones endpoint list`"),
        (["nowhere.png"], "nowhere.png: No such file or directory"),
        ([f"s3://{BUCKET}/nowhere.png"], "nowhere.png: there is no such object"),
        (["s3://no-such-bucket-here/image.png"], "there is no such object"),
        (["text.png"], "no readable PNG or JPEG image"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_sentence_and_leaves_nothing(scones, packages, tmp_path, words, said):
    (tmp_path / "image.png").write_bytes(png())
    (tmp_path / "text.png").write_text("no image")
    done = scones("explain", *[packages.get(word, word) for word in words])
    assert done.exit_code == 1
    message = sentence(done.exception)
    assert message is not None, done.exception
    assert "\n" not in message
    assert re.search(said, message), message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--package", "1", "--endpoint", "x"], "not both"),
        (["--endpoint", "x", "--method", "integrated-gradients"], "no gradients"),
        (["--method", "guesswork"], "guesswork"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_told_before_anything_is_asked(scones, words, said):
    done = scones("explain", "image.png", *words)
    assert done.exit_code == 2
    assert said in done.output


def test_a_clarify_job_is_written_and_sent(scones, client, packages, tmp_path):
    """Clarify's container is AWS's own: the job is taken here, and says why it does not run."""
    s3, sagemaker = client("s3"), client("sagemaker")
    for number in range(3):
        s3.put_object(Bucket=BUCKET, Key=f"explain/clarify/{number}.png", Body=png())
    place = f"s3://{BUCKET}/explain/clarify/"
    done = scones("clarify", place, "--package", packages["ours"], "--write", "job", "--submit")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("3 images, about 1,500 requests to an endpoint of the job's own\n")
    arn = done.stdout.splitlines()[-1]
    name = arn.rpartition("/")[2]

    request = json.loads((tmp_path / "job" / "create-processing-job.json").read_text())
    analysis = json.loads((tmp_path / "job" / "analysis_config.json").read_text())
    described = sagemaker.describe_processing_job(ProcessingJobName=name)
    assert {key: described[key] for key in request if key != "Tags"} == {
        key: value for key, value in request.items() if key != "Tags"
    }
    sent = {each["InputName"]: each["S3Input"]["S3Uri"] for each in described["ProcessingInputs"]}
    bucket, _, key = sent["analysis_config"].removeprefix("s3://").partition("/")
    assert json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read()) == analysis
    model = sagemaker.describe_model(ModelName=analysis["predictor"]["model_name"])
    assert model["Containers"][0]["ModelPackageName"].endswith(f"/{packages['ours']}")
    job = wait_for(
        lambda: sagemaker.describe_processing_job(ProcessingJobName=name),
        "the end",
        60,
        until=lambda job: job["ProcessingJobStatus"] != "InProgress",
    )
    assert job["ProcessingJobStatus"] == "Failed"
    assert "sagemaker-clarify-processing" in job["FailureReason"]
    removed = CliRunner().invoke(app, ["endpoint", "delete", name])  # as the documentation says
    assert removed.stdout == f"deleted model {name}\n", removed.exception


def test_a_refused_clarify_job_leaves_nothing(scones, client, packages, monkeypatch):
    monkeypatch.setenv("SCONES_PROCESSING_INSTANCE_TYPE", "ml.nonsense.large")
    s3, sagemaker = client("s3"), client("sagemaker")
    s3.put_object(Bucket=BUCKET, Key="explain/refused/1.png", Body=png())
    before = {each["ModelName"] for each in sagemaker.list_models(MaxResults=100)["Models"]}
    done = scones("clarify", f"s3://{BUCKET}/explain/refused/", "--submit")
    assert done.exit_code == 1
    assert "ml.nonsense.large" in (sentence(done.exception) or "")
    assert {each["ModelName"] for each in sagemaker.list_models(MaxResults=100)["Models"]} == before
    sent = s3.list_objects_v2(Bucket=BUCKET, Prefix="explain/explanations/").get("Contents", [])
    assert len(sent) <= 1  # that of the other test


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([f"s3://{BUCKET}/explain/nothing/", "--submit"], 1, "no PNG or JPEG by its name"),
        ([f"s3://{BUCKET}/explain/", "--submit", "--endpoint", "nowhere"], 1, "there is no endpoint nowhere"),
        ([f"s3://{BUCKET}/explain/", "--submit", "--package", "1"], 1, "is PendingManualApproval: approve"),
        ([f"s3://{BUCKET}/explain/", "--submit", "--role", "nobody"], 1, "nobody is no role's ARN"),
        ([f"s3://{BUCKET}/explain/"], 2, "say --write DIR to look at the job first"),
    ],
    ids=str,
)
def test_a_mistake_about_clarify_is_told(scones, packages, words, code, said):
    done = scones("clarify", *words)
    assert done.exit_code == code
    assert said in (done.output if code == 2 else sentence(done.exception))
