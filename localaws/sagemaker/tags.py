"""AddTags, ListTags, DeleteTags for every SageMaker resource, by its ARN."""

from __future__ import annotations

from localaws.documents import Document
from localaws.sagemaker.operations import operation
from localaws.sagemaker.service import SageMakerService


def set_tags(service: SageMakerService, arn: str, tags: list[Document]) -> None:
    """Adds tags to a resource; a key that it has already gets the new value."""
    with service.store.transaction():
        document = service.store.get("Tags", arn) or {"Tags": {}}
        document["Tags"].update({tag["Key"]: tag["Value"] for tag in tags})
        if document["Tags"]:
            service.store.put("Tags", arn, document)


def get_tags(service: SageMakerService, arn: str) -> list[Document]:
    document = service.store.get("Tags", arn) or {"Tags": {}}
    return [{"Key": key, "Value": value} for key, value in sorted(document["Tags"].items())]


def drop_tags(service: SageMakerService, arn: str) -> None:
    """Forgets the tags of a resource that is deleted."""
    service.store.delete("Tags", arn)


@operation("AddTags")
def add_tags(service: SageMakerService, request: Document) -> Document:
    set_tags(service, request["ResourceArn"], request["Tags"])
    return {"Tags": get_tags(service, request["ResourceArn"])}


@operation("ListTags")
def list_tags(service: SageMakerService, request: Document) -> Document:
    return {"Tags": get_tags(service, request["ResourceArn"])}


@operation("DeleteTags")
def delete_tags(service: SageMakerService, request: Document) -> Document:
    with service.store.transaction():
        document = service.store.get("Tags", request["ResourceArn"])
        if document:
            for key in request["TagKeys"]:
                document["Tags"].pop(key, None)
            service.store.put("Tags", request["ResourceArn"], document)
    return {}
