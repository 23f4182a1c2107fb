"""The Clarify job as it would be sent: valid to the service model and to Clarify's own schema."""

import json

import botocore.session
import pytest
from schema import SchemaError

from localaws.sagemaker import checks
from localaws.sagemaker.errors import ValidationError
from pipeline import clarify
from pipeline.clarify import ClarifyError, Images, ModelToAsk

ARN = "arn:aws:sagemaker:us-east-1:123456789012:model-package/scones/3"
IMAGES = Images("s3://bucket/images/", "image/png", 12)
MODEL = ModelToAsk("scones-clarify-1", ("bicycle", "motorcycle"), ARN)


def valid(operation: str, request: dict) -> None:
    """By required members, types, patterns, lengths and enumerations of AWS's own description."""
    shape = botocore.session.get_session().get_service_model("sagemaker").operation_model(operation)
    checks.check_request(shape, json.loads(json.dumps(request)))


def test_the_analysis_is_what_clarify_documents_for_image_classification(settings):
    made = clarify.job(settings, IMAGES, MODEL, segments=30, samples=200)
    assert made.analysis == {
        "version": "1.0",
        "dataset_type": "application/x-image",
        "predictor": {
            "model_name": "scones-clarify-1",
            "instance_type": "ml.m5.large",
            "initial_instance_count": 1,
            "endpoint_name_prefix": "scones-clarify",
            "content_type": "image/png",
            "accept_type": "application/json",
            "label_headers": ["bicycle", "motorcycle"],
        },
        "methods": {
            "report": {"name": "report", "title": "Which parts of an image an answer stands on"},
            "shap": {
                "use_logit": False,
                "save_local_shap_values": True,
                "num_samples": 200,
                "seed": 0,
                "image_config": {
                    "model_type": "IMAGE_CLASSIFICATION",
                    "feature_extraction_method": "segmentation",
                    "num_segments": 30,
                    "segment_compactness": 5,
                },
            },
        },
    }


def test_clarifys_own_schema_has_looked_at_it(settings):
    """What Clarify would not take is refused here, not by a job that has cost money."""
    with pytest.raises(SchemaError, match="num_segments"):
        clarify.job(settings, IMAGES, MODEL, segments="many")


def test_names_keep_within_sagemakers_limit(settings):
    settings = settings.model_copy(update={"endpoint_name_prefix": "a" * 42})
    made = clarify.job(settings, IMAGES, MODEL)
    valid("CreateProcessingJob", made.request)
    assert made.name.startswith(made.analysis["predictor"]["endpoint_name_prefix"])


@pytest.mark.parametrize(
    ("region", "image"),
    [
        ("us-east-1", "205585389593.dkr.ecr.us-east-1.amazonaws.com/sagemaker-clarify-processing:1.0"),
        ("eu-central-1", "017069133835.dkr.ecr.eu-central-1.amazonaws.com/sagemaker-clarify-processing:1.0"),
    ],
)
@pytest.mark.parametrize("vpc", [False, True])
def test_the_requests_are_valid(settings, region, image, vpc):
    more = {
        "subnet_ids": ("subnet-0123456789abcdef0",),
        "security_group_ids": ("sg-0123456789abcdef0",),
        "network_isolation": True,
        "kms_key_arn": f"arn:aws:kms:{region}:123456789012:key/1",
    }
    settings = settings.model_copy(update={"region": region} | (more if vpc else {}))
    made = clarify.job(settings, IMAGES, MODEL)
    valid("CreateProcessingJob", made.request)
    valid("CreateModel", made.model)
    assert made.request["AppSpecification"] == {"ImageUri": image}  # Clarify takes no entry point
    inputs = {each["InputName"]: each["S3Input"]["S3Uri"] for each in made.request["ProcessingInputs"]}
    assert inputs == {"dataset": "s3://bucket/images/", "analysis_config": made.analysis_uri}
    output = made.request["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]
    assert not made.analysis_uri.startswith(output["S3Uri"])
    if vpc:
        assert made.request["NetworkConfig"]["EnableNetworkIsolation"] is False  # it asks an endpoint


def test_a_wrong_request_is_noticed(settings):
    """The check above can fail."""
    request = clarify.job(settings, IMAGES, MODEL).request
    with pytest.raises(ValidationError, match=r"[rR]oleArn"):
        valid("CreateProcessingJob", {key: value for key, value in request.items() if key != "RoleArn"})


def test_the_model_behind_an_endpoint_is_not_made_again(settings, tmp_path):
    made = clarify.job(
        settings, IMAGES, ModelToAsk("scones-1", ("a", "b")), role="arn:aws:iam::123456789012:role/clarify"
    )
    assert made.model is None
    assert made.request["RoleArn"] == "arn:aws:iam::123456789012:role/clarify"
    written = clarify.write(made, tmp_path / "new")
    assert {path.name: json.loads(path.read_text()) for path in written} == {
        "analysis_config.json": made.analysis,
        "create-processing-job.json": made.request,
    }


class Listing:
    """S3's listing of these keys, a page each."""

    def __init__(self, *keys: str) -> None:
        self.keys = keys

    def get_paginator(self, operation: str):
        assert operation == "list_objects_v2"
        return self

    def paginate(self, **request: str):
        found = [key for key in self.keys if key.startswith(request["Prefix"])]
        return [{"Contents": [{"Key": key}]} for key in found] or [{}]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["x/a.png", "x/validation.lst", "x/manifest.jsonl", "x/B.PNG", "y/c.jpg"], ("image/png", 2)),
        (["x/a.jpg", "x/deep/b.jpeg"], ("image/jpeg", 2)),
    ],
)
def test_images_are_found_and_counted(keys, expected):
    found = clarify.find_images(Listing(*keys), "s3://bucket/x/")
    assert (found.content_type, found.count) == expected


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("s3://bucket/mixed/", "PNG and JPEG, and a job takes one of them"),
        ("s3://bucket/nothing/", "no PNG or JPEG by its name"),
        ("images/", "images/ is no S3 prefix"),
    ],
)
def test_images_that_clarify_could_not_take_are_refused(uri, said):
    with pytest.raises(ClarifyError, match=said):
        clarify.find_images(Listing("mixed/a.png", "mixed/b.jpg", "nothing/c.txt"), uri)
