"""SageMaker models: what to serve, from an image and its data or from an approved model package."""

from __future__ import annotations

from localaws.documents import Document
from localaws.sagemaker.artifacts import require_model_data
from localaws.sagemaker.errors import ValidationError
from localaws.sagemaker.images import ImageRegistryError, UnknownImageError, find_image
from localaws.sagemaker.operations import now, operation, page, public, tags_of
from localaws.sagemaker.registry import find_package
from localaws.sagemaker.service import SageMakerService
from localaws.sagemaker.tags import drop_tags, set_tags

KIND = "Model"

_KEPT = ("PrimaryContainer", "Containers", "InferenceExecutionConfig", "ExecutionRoleArn", "VpcConfig")


@operation("CreateModel")
def create_model(service: SageMakerService, request: Document) -> Document:
    """Makes a model. A model package is resolved now, so the model outlives the package.

    SageMaker's reference says of a versioned package's approval status that it "must be set to Approved to
    deploy the model"; a package that is not is refused here, before anything is made.
    """
    name = request["ModelName"]
    arn = service.stack.arn(f"model/{name}")
    containers = _containers_of(request)
    resolved = [container for each in containers for container in _resolve(service, each)]
    document = {
        "ModelName": name,
        "ModelArn": arn,
        "CreationTime": now(),
        "EnableNetworkIsolation": request.get("EnableNetworkIsolation", False),
        **{key: request[key] for key in _KEPT if request.get(key)},
        "_Resolved": resolved,
    }
    with service.store.transaction():
        if service.store.get(KIND, name):
            raise ValidationError(f'Cannot create already existing model "{arn}".')
        service.store.put(KIND, name, document)
        set_tags(service, arn, tags_of(request))
    service.emit("SageMaker Model State Change", [arn], public(document))
    return {"ModelArn": arn}


@operation("DescribeModel")
def describe_model(service: SageMakerService, request: Document) -> Document:
    return public(find_model(service, request["ModelName"]))


@operation("ListModels")
def list_models(service: SageMakerService, request: Document) -> Document:
    return page(
        service.store.list(KIND),
        request,
        member="Models",
        members=("ModelName", "ModelArn", "CreationTime"),
        sort={"CreationTime": "CreationTime", "Name": "ModelName"},
        name="ModelName",
    )


@operation("DeleteModel")
def delete_model(service: SageMakerService, request: Document) -> Document:
    """Forgets the model; endpoints that serve it go on serving."""
    with service.store.transaction():
        model = find_model(service, request["ModelName"])
        service.store.delete(KIND, model["ModelName"])
        drop_tags(service, model["ModelArn"])
    service.emit("SageMaker Model State Change", [model["ModelArn"]], public(model))
    return {}


def find_model(service: SageMakerService, name: str) -> Document:
    document = service.store.get(KIND, name)
    if document is None:
        raise ValidationError(f'Could not find model "{service.stack.arn(f"model/{name}")}".')
    return document


def _containers_of(request: Document) -> list[Document]:
    primary, several = request.get("PrimaryContainer"), request.get("Containers")
    if bool(primary) == bool(several):
        raise ValidationError("CreateModel takes either PrimaryContainer or Containers.")
    return [primary] if primary else list(several or [])


def _resolve(service: SageMakerService, container: Document) -> list[Document]:
    """The containers with image, model data and environment that a container definition stands for."""
    if container.get("ModelPackageName"):
        return _containers_of_package(service, container)
    if not container.get("Image"):
        raise ValidationError("A container definition needs an Image or a ModelPackageName.")
    return [_container(service, container, container.get("Environment"))]


def _containers_of_package(service: SageMakerService, container: Document) -> list[Document]:
    package = find_package(service, container["ModelPackageName"])
    arn, approval = package["ModelPackageArn"], package.get("ModelApprovalStatus", "Approved")
    if approval != "Approved":
        raise ValidationError(
            f"Cannot create a model from model package {arn}: its approval status is {approval}, "
            "and only an Approved package can be deployed."
        )
    specification = _specification(package, container.get("InferenceSpecificationName"))
    overrides = container.get("Environment") or {}
    return [
        _container(service, inner, (inner.get("Environment") or {}) | overrides)
        for inner in specification["Containers"]
    ]


def _specification(package: Document, name: str | None) -> Document:
    if name:
        for additional in package.get("AdditionalInferenceSpecifications") or []:
            if additional["Name"] == name:
                return additional
        raise ValidationError(
            f"Model package {package['ModelPackageArn']} has no inference specification named {name}."
        )
    if not package.get("InferenceSpecification"):
        raise ValidationError(f"Model package {package['ModelPackageArn']} has no InferenceSpecification.")
    return package["InferenceSpecification"]


def _container(service: SageMakerService, container: Document, environment: Document | None) -> Document:
    try:
        find_image(service.stack, container["Image"])
    except (UnknownImageError, ImageRegistryError) as error:
        raise ValidationError(str(error)) from error
    url = container.get("ModelDataUrl") or _model_data_source(container)
    if url:
        require_model_data(service.stack, url)
    return {"Image": container["Image"], "ModelDataUrl": url, "Environment": environment or {}}


def _model_data_source(container: Document) -> str | None:
    source = (container.get("ModelDataSource") or {}).get("S3DataSource")
    if not source:
        return None
    if source.get("S3DataType") != "S3Object" or source.get("CompressionType") != "Gzip":
        raise ValidationError(
            "ModelDataSource: the local SageMaker takes one gzipped archive "
            "(S3DataType S3Object, CompressionType Gzip)."
        )
    return source["S3Uri"]
