"""Resource types: how each is created, updated and deleted, through its own service's API."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from localaws.cloudformation.errors import ResourceError, ValidationError
from localaws.stack import Stack

Properties = dict[str, Any]

_TYPES: dict[str, ResourceType] = {}
_MISSING = ("NotFound", "NoSuch", "NonExistent", "DoesNotExist")


@dataclass(frozen=True)
class Context:
    """Where a resource is made, and the way to the services.

    Attributes:
        tags: the stack's own, which its resources carry too.
    """

    stack: Stack
    stack_name: str
    tags: dict[str, str]
    client: Callable[[str], Any]

    def call(self, service: str, operation: str, **parameters: Any) -> Any:
        """A request, with texts made the numbers and truth values that the operation takes.

        Templates and their parameters are texts; CloudFormation converts them by the type's schema, and so
        does this by botocore's service model.
        """
        client = self.client(service)
        name = client.meta.method_to_api_mapping[operation]
        shape = client.meta.service_model.operation_model(name).input_shape
        return getattr(client, operation)(**_converted(parameters, shape))

    def arn(self, service: str, resource: str) -> str:
        return self.stack.arn(resource, service)


class ResourceType:
    """One type. Subclasses say what differs; an instance holds no state.

    Attributes:
        name: such as `AWS::S3::Bucket`.
        name_property: the property with the resource's own name; without it, a name is made up.
        properties: those that the local AWS has; any other is refused.
        replaced_by: properties whose change needs a new resource.
    """

    name: ClassVar[str]
    name_property: ClassVar[str | None] = None
    properties: ClassVar[frozenset[str]] = frozenset()
    replaced_by: ClassVar[frozenset[str]] = frozenset()
    name_length: ClassVar[int] = 64

    def __init_subclass__(cls) -> None:
        if "name" in vars(cls):
            _TYPES[cls.name] = cls()

    def physical_id(self, context: Context, name: str) -> str:  # noqa: ARG002
        """What `Ref` gives. Known before the resource is made, so that a kill in between loses nothing."""
        return name

    def attributes(self, context: Context, physical_id: str, properties: Properties) -> Properties:  # noqa: ARG002
        """What `Fn::GetAtt` gives."""
        return {}

    def create(self, context: Context, physical_id: str, properties: Properties) -> str | None:
        """Makes it; returns a physical id only where the service gives it out."""
        raise NotImplementedError

    def update(self, context: Context, physical_id: str, old: Properties, new: Properties) -> None:
        raise NotImplementedError

    def delete(self, context: Context, physical_id: str, properties: Properties) -> None:
        raise NotImplementedError

    def check(self, properties: Properties) -> None:
        """Raises ResourceError for a property that the local AWS would have to leave out in silence."""
        unknown = sorted(set(properties) - self.properties)
        if unknown:
            raise ResourceError(f"The local AWS does not have {', '.join(unknown)} of {self.name}")


class PutResource(ResourceType):
    """A type whose API has one operation to create and to update."""

    def put(self, context: Context, physical_id: str, properties: Properties) -> None:
        raise NotImplementedError

    def create(self, context: Context, physical_id: str, properties: Properties) -> str | None:
        self.put(context, physical_id, properties)
        return None

    def update(self, context: Context, physical_id: str, old: Properties, new: Properties) -> None:  # noqa: ARG002
        self.put(context, physical_id, new)


def find(name: str) -> ResourceType:
    """Raises ValidationError for a type that the local AWS does not have."""
    _import_types()
    try:
        return _TYPES[name]
    except KeyError:
        raise ValidationError(
            f"Template format error: Unrecognized resource types: [{name}] (the local AWS has "
            f"{', '.join(sorted(_TYPES))})"
        ) from None


@cache
def _import_types() -> None:
    from localaws.cloudformation import resources  # noqa: F401


def is_missing(error: ClientError) -> bool:
    """Whether a service says that what the request is about does not exist."""
    details = error.response["Error"]
    text = f"{details['Code']} {details.get('Message', '')}"
    return any(word in details["Code"] for word in _MISSING) or "does not exist" in text


def without_missing(call: Callable[..., Any], **parameters: Any) -> None:
    """A deletion, content with what is not there."""
    try:
        call(**parameters)
    except ClientError as error:
        if not is_missing(error):
            raise


def tag_list(context: Context, properties: Properties) -> list[dict[str, str]]:
    """The resource's own tags over the stack's."""
    tags = context.tags | {tag["Key"]: str(tag["Value"]) for tag in properties.get("Tags") or []}
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def chosen(properties: Properties, *names: str) -> Properties:
    """Those of the properties that are there."""
    return {name: properties[name] for name in names if name in properties}


def json_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _converted(value: Any, shape: Any) -> Any:
    kind = getattr(shape, "type_name", None)
    if kind == "structure" and isinstance(value, Mapping):
        return {
            key: _converted(item, shape.members.get(key)) for key, item in value.items() if item is not None
        }
    if kind == "list" and isinstance(value, list):
        return [_converted(item, shape.member) for item in value]
    if kind == "map" and isinstance(value, Mapping):
        return {str(key): _converted(item, shape.value) for key, item in value.items()}
    try:
        if kind in ("integer", "long") and not isinstance(value, bool):
            return int(value)
        if kind in ("float", "double"):
            return float(value)
    except (TypeError, ValueError):
        return value  # botocore says what is wrong with it
    if kind == "boolean" and isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if kind == "string" and not isinstance(value, str | None):
        return str(value).lower() if isinstance(value, bool) else str(value)
    return value
