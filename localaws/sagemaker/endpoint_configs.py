"""Endpoint configs: which models to serve, on what, with which share of the traffic, and what to capture."""

from __future__ import annotations

import uuid

from localaws.documents import Document
from localaws.sagemaker.errors import ValidationError
from localaws.sagemaker.fleets import FleetPlan, VariantPlan
from localaws.sagemaker.models import find_model
from localaws.sagemaker.operations import now, operation, page, public, tags_of
from localaws.sagemaker.service import SageMakerService
from localaws.sagemaker.tags import drop_tags, set_tags
from localaws.sagemaker.transfers import TransferError, parse_uri

KIND = "EndpointConfig"

_KEPT = (
    "ProductionVariants",
    "DataCaptureConfig",
    "KmsKeyId",
    "ExecutionRoleArn",
    "VpcConfig",
    "MetricsConfig",
)
_NOT_HERE = (
    "AsyncInferenceConfig",
    "ExplainerConfig",
    "ShadowProductionVariants",
    "CrossRegionTrafficConfig",
)
# How long a container may take to answer /ping when the variant does not say; SageMaker gives it minutes.
STARTUP_SECONDS = 240


@operation("CreateEndpointConfig")
def create_endpoint_config(service: SageMakerService, request: Document) -> Document:
    name = request["EndpointConfigName"]
    arn = service.stack.arn(f"endpoint-config/{name}")
    _check(service, request)
    document = {
        "EndpointConfigName": name,
        "EndpointConfigArn": arn,
        "CreationTime": now(),
        "EnableNetworkIsolation": request.get("EnableNetworkIsolation", False),
        **{key: request[key] for key in _KEPT if request.get(key)},
    }
    document["ProductionVariants"] = [
        {"InitialVariantWeight": 1.0, **variant} for variant in request["ProductionVariants"]
    ]
    with service.store.transaction():
        if service.store.get(KIND, name):
            raise ValidationError(f'Cannot create already existing endpoint configuration "{arn}".')
        service.store.put(KIND, name, document)
        set_tags(service, arn, tags_of(request))
    return {"EndpointConfigArn": arn}


@operation("DescribeEndpointConfig")
def describe_endpoint_config(service: SageMakerService, request: Document) -> Document:
    return public(find_config(service, request["EndpointConfigName"]))


@operation("ListEndpointConfigs")
def list_endpoint_configs(service: SageMakerService, request: Document) -> Document:
    return page(
        service.store.list(KIND),
        request,
        member="EndpointConfigs",
        members=("EndpointConfigName", "EndpointConfigArn", "CreationTime"),
        sort={"CreationTime": "CreationTime", "Name": "EndpointConfigName"},
        name="EndpointConfigName",
    )


@operation("DeleteEndpointConfig")
def delete_endpoint_config(service: SageMakerService, request: Document) -> Document:
    """Forgets the config; an endpoint that was made from it goes on serving."""
    with service.store.transaction():
        config = find_config(service, request["EndpointConfigName"])
        service.store.delete(KIND, config["EndpointConfigName"])
        drop_tags(service, config["EndpointConfigArn"])
    return {}


def find_config(service: SageMakerService, name: str) -> Document:
    document = service.store.get(KIND, name)
    if document is None:
        arn = service.stack.arn(f"endpoint-config/{name}")
        raise ValidationError(f'Could not find endpoint configuration "{arn}".')
    return document


def plan_fleet(service: SageMakerService, config: Document) -> FleetPlan:
    """The config with its models resolved. Raises ValidationError when a model is gone."""
    variants = tuple(_plan_variant(service, variant) for variant in config["ProductionVariants"])
    return FleetPlan(uuid.uuid4().hex[:12], config["EndpointConfigName"], variants)


def _plan_variant(service: SageMakerService, variant: Document) -> VariantPlan:
    model = find_model(service, variant["ModelName"])
    container = model["_Resolved"][0]
    return VariantPlan(
        name=variant["VariantName"],
        model=model["ModelName"],
        image=container["Image"],
        model_data=container["ModelDataUrl"],
        environment=container["Environment"],
        weight=variant["InitialVariantWeight"],
        instances=variant.get("InitialInstanceCount", 1),
        startup_seconds=variant.get("ContainerStartupHealthCheckTimeoutInSeconds", STARTUP_SECONDS),
        serverless=variant.get("ServerlessConfig"),
        role=model.get("ExecutionRoleArn"),
    )


def _check(service: SageMakerService, request: Document) -> None:
    for member in _NOT_HERE:
        if request.get(member):
            raise ValidationError(f"{member} is not one of the things that the local SageMaker does.")
    variants = request["ProductionVariants"]
    names = [variant["VariantName"] for variant in variants]
    if len(set(names)) < len(names):
        raise ValidationError(f"Production variant names must be unique: {', '.join(names)}.")
    for variant in variants:
        _check_variant(service, variant)
    capture = request.get("DataCaptureConfig")
    if capture:
        if any(variant.get("ServerlessConfig") for variant in variants):
            raise ValidationError("Data capture is not supported for serverless endpoints.")
        try:
            parse_uri(capture["DestinationS3Uri"])
        except TransferError as error:
            raise ValidationError(f"DataCaptureConfig: DestinationS3Uri {error}") from error


def _check_variant(service: SageMakerService, variant: Document) -> None:
    name = variant["VariantName"]
    if not variant.get("ModelName"):
        raise ValidationError(
            f"Production variant {name} names no model: inference components do not run here."
        )
    model = find_model(service, variant["ModelName"])
    if len(model["_Resolved"]) != 1:
        raise ValidationError(
            f"Model {variant['ModelName']} has {len(model['_Resolved'])} containers; "
            "the local SageMaker serves models of one."
        )
    serverless = variant.get("ServerlessConfig")
    if bool(serverless) == bool(variant.get("InstanceType")):
        raise ValidationError(
            f"Production variant {name} needs either an InstanceType or a ServerlessConfig."
        )
    if not serverless and not variant.get("InitialInstanceCount"):
        raise ValidationError(f"Production variant {name} needs an InitialInstanceCount of at least 1.")
