"""A SageMaker Clarify processing job that explains images: Kernel SHAP over the parts of each image.

Clarify starts an endpoint of its own from the model, asks it about images whose parts are hidden in many
combinations, and deletes it, so the endpoint that serves people is never asked. Its online explainability
(`ClarifyExplainerConfig` of an endpoint config) takes tabular data and text, no images.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lambdas.deployer import handler as deployer
from pipeline import files, objects, sdk

if TYPE_CHECKING:
    from pipeline.clients import Clients
    from pipeline.settings import Settings

INPUT = "/opt/ml/processing/input"
OUTPUT = "/opt/ml/processing/output"
# AWS's own example for images: some twenty parts of an image, and 500 of their combinations.
SEGMENTS, COMPACTNESS, SAMPLES = 20, 5, 500
CONTENT_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
SEED = 0
ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/.+")


class ClarifyError(Exception):
    """Images that Clarify could not take, or a role that is none."""


@dataclass(frozen=True)
class Images:
    """An S3 prefix with images of one content type; Clarify finds them by their file names' ends."""

    uri: str
    content_type: str
    count: int


@dataclass(frozen=True)
class ModelToAsk:
    """A SageMaker model by name; `package` is the ARN of what to make it of, where it is not there yet."""

    name: str
    classes: tuple[str, ...]
    package: str | None = None


@dataclass(frozen=True)
class Job:
    """What is sent: `analysis` as an S3 object at `analysis_uri`, `request` to CreateProcessingJob, and
    before it `model` to CreateModel, where one has to be made."""

    name: str
    analysis_uri: str
    analysis: dict[str, Any]
    request: dict[str, Any]
    model: dict[str, Any] | None

    def files(self) -> dict[str, Any]:
        """File name → what to write: `aws sagemaker create-… --cli-input-json` takes the requests."""
        found = {"analysis_config.json": self.analysis, "create-processing-job.json": self.request}
        return found | ({"create-model.json": self.model} if self.model else {})


def find_images(s3: Any, uri: str) -> Images:
    """Counts the images under the prefix.

    Raises:
        ClarifyError: there are none, or of both kinds.
    """
    if not uri.startswith("s3://"):
        raise ClarifyError(f"{uri} is no S3 prefix: Clarify reads images from s3://bucket/prefix/")
    bucket, key = objects.split(uri)
    kinds: dict[str, int] = {}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key):
        for item in page.get("Contents", []):
            kind = CONTENT_TYPES.get(Path(item["Key"]).suffix.lower())
            if kind:
                kinds[kind] = kinds.get(kind, 0) + 1
    if len(kinds) != 1:
        wrong = "no PNG or JPEG by its name" if not kinds else "PNG and JPEG, and a job takes one of them"
        raise ClarifyError(f"under {uri} there is {wrong}")
    ((kind, count),) = kinds.items()
    return Images(uri, kind, count)


def model_behind(sagemaker: Any, endpoint: str, classes: tuple[str, ...]) -> ModelToAsk:
    """The model of the endpoint's first variant. Raises NoEndpointError."""
    from pipeline.endpoints import describe

    config = sagemaker.describe_endpoint_config(
        EndpointConfigName=describe(sagemaker, endpoint)["EndpointConfigName"]
    )
    return ModelToAsk(config["ProductionVariants"][0]["ModelName"], classes)


def job(
    settings: Settings,
    images: Images,
    model: ModelToAsk,
    *,
    name: str | None = None,
    role: str | None = None,
    segments: int = SEGMENTS,
    samples: int = SAMPLES,
) -> Job:
    """The whole job, built without a network; the SDK's schema has validated the analysis.

    `role` is what the job runs as: it has to make and delete the endpoint, which the foundation's role for
    processing jobs may not (docs/explanations.md).

    Raises:
        ClarifyError: `role` is no role's ARN.
    """
    if role and not ROLE.fullmatch(role):
        raise ClarifyError(f"{role} is no role's ARN, such as arn:aws:iam::123456789012:role/clarify")
    name = name or deployer.unique_name(prefix(settings))
    place = settings.s3_uri("explanations", name)
    analysis, image = _analysis(settings, images, model, segments, samples)
    analysis_uri = f"{place}/analysis_config.json"
    cluster = {
        "InstanceCount": 1,
        "InstanceType": settings.processing_instance_type,
        "VolumeSizeInGB": settings.volume_size_gb,
    }
    key = settings.kms_key_arn
    result = {"S3Uri": f"{place}/result", "LocalPath": OUTPUT, "S3UploadMode": "Continuous"}
    request: dict[str, Any] = {
        "ProcessingJobName": name,
        "AppSpecification": {"ImageUri": image},
        "RoleArn": role or settings.role("processing"),
        "ProcessingInputs": [
            _input("dataset", images.uri, f"{INPUT}/data"),
            _input("analysis_config", analysis_uri, f"{INPUT}/config"),
        ],
        "ProcessingOutputConfig": {
            "Outputs": [{"OutputName": "analysis_result", "S3Output": result}],
            **({"KmsKeyId": key} if key else {}),
        },
        "ProcessingResources": {"ClusterConfig": cluster | ({"VolumeKmsKeyId": key} if key else {})},
        "StoppingCondition": {"MaxRuntimeInSeconds": settings.processing_timeout_seconds},
        "Tags": _tags(settings),
    }
    if settings.subnet_ids:  # never isolated: the job has to reach its endpoint
        request["NetworkConfig"] = settings.model_network | {"EnableNetworkIsolation": False}
    return Job(name, analysis_uri, analysis, request, _model_request(settings, model))


def write(made: Job, folder: Path) -> list[Path]:
    """Writes the job's files and returns their paths."""
    for file, content in made.files().items():
        files.write(folder / file, json.dumps(content, indent=2) + "\n")
    return [folder / file for file in made.files()]


def submit(clients: Clients, settings: Settings, made: Job) -> str:
    """Starts the job and returns its ARN. What was made for it is removed if SageMaker refuses it."""
    sagemaker, s3 = clients("sagemaker"), clients("s3")
    bucket, key = objects.split(made.analysis_uri)
    encryption = (
        {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": settings.kms_key_arn}
        if settings.kms_key_arn
        else {}
    )
    if made.model:
        sagemaker.create_model(**made.model)
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(made.analysis).encode(), **encryption)
        return str(sagemaker.create_processing_job(**made.request)["ProcessingJobArn"])
    except BaseException:
        s3.delete_object(Bucket=bucket, Key=key)
        if made.model:
            sagemaker.delete_model(ModelName=made.model["ModelName"])
        raise


def prefix(settings: Settings) -> str:
    """Of jobs, the models that are made for them, and Clarify's endpoints; a name has 63 characters."""
    return f"{settings.endpoint_name_prefix[:34].rstrip('-')}-clarify"


def _analysis(
    settings: Settings, images: Images, model: ModelToAsk, segments: int, samples: int
) -> tuple[dict[str, Any], str]:
    """analysis_config.json and the URI of Clarify's image, by the SDK's own classes."""
    sdk.import_sdk()
    with sdk.offline():
        from sagemaker.core import clarify, image_uris

        asked = clarify.ModelConfig(
            model_name=model.name,
            instance_type=settings.endpoint_instance_type,
            instance_count=1,
            content_type=images.content_type,
            accept_type="application/json",
            endpoint_name_prefix=prefix(settings),
        )
        _, labels = clarify.ModelPredictedLabelConfig(
            label_headers=list(model.classes)
        ).get_predictor_config()
        parts = clarify.ImageConfig(
            model_type="IMAGE_CLASSIFICATION",
            feature_extraction_method="segmentation",
            num_segments=segments,
            segment_compactness=COMPACTNESS,
        )
        shap = clarify.SHAPConfig(num_samples=samples, seed=SEED, image_config=parts)
        analysis = {
            "version": "1.0",
            "dataset_type": "application/x-image",
            "predictor": asked.get_predictor_config() | labels,
            "methods": {
                "report": {"name": "report", "title": "Which parts of an image an answer stands on"},
                **shap.get_explainability_config(),
            },
        }
        clarify.ANALYSIS_CONFIG_SCHEMA_V1_0.validate(analysis)
        return analysis, str(image_uris.retrieve("clarify", region=settings.region, version="1.0"))


def _input(name: str, uri: str, path: str) -> dict[str, Any]:
    return {
        "InputName": name,
        "S3Input": {
            "S3Uri": uri,
            "LocalPath": path,
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
            "S3DataDistributionType": "FullyReplicated",
            "S3CompressionType": "None",
        },
    }


def _model_request(settings: Settings, model: ModelToAsk) -> dict[str, Any] | None:
    if model.package is None:
        return None
    return {
        "ModelName": model.name,
        "ExecutionRoleArn": settings.role("model"),
        "Containers": [{"ModelPackageName": model.package}],
        "Tags": _tags(settings),
    }


def _tags(settings: Settings) -> Sequence[dict[str, str]]:
    return [{"Key": "scones:environment", "Value": settings.environment}]
