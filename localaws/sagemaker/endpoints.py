"""The operations on endpoints: what is asked is written down here, and made so by `hosting`."""

from __future__ import annotations

from dataclasses import replace

from localaws.documents import Document
from localaws.sagemaker import endpoint_configs  # noqa: F401 - registers its operations
from localaws.sagemaker.alarm_watch import missing
from localaws.sagemaker.endpoint_configs import find_config, plan_fleet
from localaws.sagemaker.errors import ValidationError
from localaws.sagemaker.fleets import FleetPlan, VariantPlan
from localaws.sagemaker.hosting import KIND, announce, hosting_of
from localaws.sagemaker.operations import now, operation, page, public, tags_of
from localaws.sagemaker.service import SageMakerService
from localaws.sagemaker.tags import set_tags
from localaws.sagemaker.traffic import TrafficError, traffic_plan

_IN_PROGRESS = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")


def start(service: SageMakerService) -> None:
    hosting_of(service).resume()


def close(service: SageMakerService) -> None:
    hosting_of(service).close()


@operation("CreateEndpoint")
def create_endpoint(service: SageMakerService, request: Document) -> Document:
    name, arn = request["EndpointName"], service.stack.arn(f"endpoint/{request['EndpointName']}")
    config = find_config(service, request["EndpointConfigName"])
    document = {
        "EndpointName": name,
        "EndpointArn": arn,
        "EndpointConfigName": config["EndpointConfigName"],
        "EndpointStatus": "Creating",
        "CreationTime": now(),
        "LastModifiedTime": now(),
        "_Pending": _deployment(plan_fleet(service, config), config, request.get("DeploymentConfig")),
    }
    with service.store.transaction():
        if service.store.get(KIND, name):
            raise ValidationError(f'Cannot create already existing endpoint "{arn}".')
        service.store.put(KIND, name, document)
        set_tags(service, arn, tags_of(request))
    announce(service, document)
    hosting_of(service).create(name)
    return {"EndpointArn": arn}


@operation("DescribeEndpoint")
def describe_endpoint(service: SageMakerService, request: Document) -> Document:
    document = _find(service, request["EndpointName"])
    live, pending = document.get("_Live"), document.get("_Pending")
    answer = dict(document)
    if live:
        answer["ProductionVariants"] = [_variant(each) for each in live["plan"]["variants"]]
        answer["DataCaptureConfig"] = _capture(live["capture"])
        if pending:
            answer["PendingDeploymentSummary"] = {
                "EndpointConfigName": pending["plan"]["config"],
                "ProductionVariants": [_variant(each, pending=True) for each in pending["plan"]["variants"]],
                "StartTime": document["LastModifiedTime"],
            }
    return public(answer)


@operation("ListEndpoints")
def list_endpoints(service: SageMakerService, request: Document) -> Document:
    return page(
        service.store.list(KIND),
        request,
        member="Endpoints",
        members=("EndpointName", "EndpointArn", "CreationTime", "LastModifiedTime", "EndpointStatus"),
        sort={"CreationTime": "CreationTime", "Name": "EndpointName", "Status": "EndpointStatus"},
        name="EndpointName",
        default_limit=10,
    )


@operation("UpdateEndpoint")
def update_endpoint(service: SageMakerService, request: Document) -> Document:
    name = request["EndpointName"]
    config = find_config(service, request["EndpointConfigName"])
    plan = plan_fleet(service, config)
    with service.store.transaction():
        document = _idle(service, name)
        if not document.get("_Live"):
            raise ValidationError(
                f'Endpoint "{document["EndpointArn"]}" is {document["EndpointStatus"]}: it cannot be updated.'
            )
        live, options = document["_Live"], request.get("DeploymentConfig")
        if request.get("RetainAllVariantProperties"):
            excluded = {
                each["VariantPropertyType"] for each in request.get("ExcludeRetainedVariantProperties", [])
            }
            plan = _retain(FleetPlan.from_document(live["plan"]), plan, excluded)
        if request.get("RetainDeploymentConfig"):
            options = live["deployment_config"]
        _check_deployment(service, options, plan)
        document |= {
            "_Pending": _deployment(plan, config, options),
            "EndpointStatus": "Updating",
            "LastModifiedTime": now(),
            "FailureReason": None,
        }
        service.store.put(KIND, name, document)
    announce(service, document)
    hosting_of(service).update(name)
    return {"EndpointArn": document["EndpointArn"]}


@operation("UpdateEndpointWeightsAndCapacities")
def update_endpoint_weights_and_capacities(service: SageMakerService, request: Document) -> Document:
    name = request["EndpointName"]
    weights: dict[str, float] = {}
    counts: dict[str, int] = {}
    for desired in request["DesiredWeightsAndCapacities"]:
        if "DesiredWeight" in desired:
            weights[desired["VariantName"]] = desired["DesiredWeight"]
        if "DesiredInstanceCount" in desired:
            counts[desired["VariantName"]] = desired["DesiredInstanceCount"]
    hosting = hosting_of(service)
    with service.store.transaction():
        document = _idle(service, name)
        hosted = hosting.get(name)
        if not document.get("_Live") or hosted is None:
            raise ValidationError(f'Endpoint "{document["EndpointArn"]}" is {document["EndpointStatus"]}.')
        variants = {variant["name"]: variant for variant in document["_Live"]["plan"]["variants"]}
        for wanted in {**weights, **counts}:
            if wanted not in variants:
                raise ValidationError(f'Variant "{wanted}" does not exist in endpoint "{name}".')
        for variant, weight in weights.items():
            variants[variant]["weight"] = weight
        for variant, count in counts.items():
            variants[variant]["instances"] = count
        document |= {"EndpointStatus": "Updating", "LastModifiedTime": now()}
        service.store.put(KIND, name, document)
    announce(service, document)
    for fleet, _ in hosted.routes:
        fleet.set_weights(weights)
    hosting.rescale(name, counts)
    return {"EndpointArn": document["EndpointArn"]}


@operation("DeleteEndpoint")
def delete_endpoint(service: SageMakerService, request: Document) -> Document:
    name = request["EndpointName"]
    with service.store.transaction():
        document = _idle(service, name) | {"EndpointStatus": "Deleting", "LastModifiedTime": now()}
        service.store.put(KIND, name, document)
    announce(service, document)
    hosting_of(service).delete(name)
    return {}


def _find(service: SageMakerService, name: str) -> Document:
    document = service.store.get(KIND, name)
    if document is None:
        raise ValidationError(f'Could not find endpoint "{service.stack.arn(f"endpoint/{name}")}".')
    return document


def _idle(service: SageMakerService, name: str) -> Document:
    """The endpoint, when nothing is being done to it."""
    document = _find(service, name)
    if document["EndpointStatus"] in _IN_PROGRESS:
        raise ValidationError(f'Cannot update in-progress endpoint "{document["EndpointArn"]}".')
    return document


def _deployment(plan: FleetPlan, config: Document, deployment_config: Document | None) -> Document:
    """What an endpoint's document keeps of a deployment, so that a later process can take it up."""
    return {
        "plan": plan.as_document(),
        "capture": config.get("DataCaptureConfig"),
        "deployment_config": deployment_config,
    }


def _check_deployment(service: SageMakerService, options: Document | None, plan: FleetPlan) -> None:
    try:
        traffic = traffic_plan(options, min(variant.instances for variant in plan.variants))
    except TrafficError as error:
        raise ValidationError(str(error)) from error
    absent = missing(service.stack.client("cloudwatch"), list(traffic.alarms))
    if absent:
        raise ValidationError(f"AutoRollbackConfiguration: there is no alarm {', '.join(absent)}.")


def _retain(live: FleetPlan, plan: FleetPlan, excluded: set[str]) -> FleetPlan:
    """The new plan with the weights and instance counts that the variants of the same name have now."""
    now_there = {variant.name: variant for variant in live.variants}

    def retained(variant: VariantPlan) -> VariantPlan:
        if variant.name not in now_there:
            return variant
        current = now_there[variant.name]
        return replace(
            variant,
            weight=variant.weight if "DesiredWeight" in excluded else current.weight,
            instances=variant.instances if "DesiredInstanceCount" in excluded else current.instances,
        )

    return replace(plan, variants=tuple(map(retained, plan.variants)))


def _variant(plan: Document, *, pending: bool = False) -> Document:
    summary = {
        "VariantName": plan["name"],
        "DeployedImages": [{"SpecifiedImage": plan["image"], "ResolvedImage": plan["image"]}],
        "CurrentWeight": 0.0 if pending else plan["weight"],
        "DesiredWeight": plan["weight"],
    }
    if plan.get("serverless"):
        summary |= {"DesiredServerlessConfig": plan["serverless"]}
        return summary if pending else summary | {"CurrentServerlessConfig": plan["serverless"]}
    summary["CurrentInstanceCount"] = 0 if pending else plan["instances"]
    summary["DesiredInstanceCount"] = plan["instances"]
    if pending:
        message = f"Launching {plan['instances']} instance(s)."
        summary["VariantStatus"] = [{"Status": "Creating", "StatusMessage": message}]
    return summary


def _capture(config: Document | None) -> Document | None:
    if not config:
        return None
    enabled = config.get("EnableCapture", False)
    return {
        "EnableCapture": enabled,
        "CaptureStatus": "Started" if enabled else "Stopped",
        "CurrentSamplingPercentage": config["InitialSamplingPercentage"],
        "DestinationS3Uri": config["DestinationS3Uri"],
        "KmsKeyId": config.get("KmsKeyId", ""),  # required in the answer; SageMaker leaves it empty
    }
