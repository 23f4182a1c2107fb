"""What requests about templates carry: the template's text, its parameters' values, capabilities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from localaws.cloudformation import resource_types, templates
from localaws.cloudformation.errors import InsufficientCapabilitiesError, ValidationError
from localaws.cloudformation.templates import Document, Template

ClientFactory = Callable[[str], Any]


def template_and_values(
    client: ClientFactory, request: Document, stack: Document | None
) -> tuple[Template, dict[str, str]]:
    """The template that a request means, and every parameter's value. Raises ValidationError."""
    if request.get("UsePreviousTemplate") and stack:
        text = stack["_state"]["template"]
    else:
        text = text_of(client, request)
    template = templates.parse(text)
    for part in template.resources.values():
        resource_types.find(part["Type"])
    previous = stack["_state"]["parameters"] if stack else {}
    given = {}
    for parameter in request.get("Parameters", []):
        key = parameter["ParameterKey"]
        if parameter.get("UsePreviousValue"):
            if key not in previous:
                raise ValidationError(f"Parameter '{key}' has no previous value")
            given[key] = previous[key]
        else:
            given[key] = parameter.get("ParameterValue", "")
    return template, templates.fill_in(template, given)


def text_of(client: ClientFactory, request: Document) -> str:
    """The template's text, out of the request or S3."""
    if request.get("TemplateBody"):
        text: str = request["TemplateBody"]
        if len(text.encode()) > templates.BODY_BYTES:
            raise ValidationError(
                "1 validation error detected: Value at 'templateBody' failed to satisfy constraint: Member "
                f"must have length less than or equal to {templates.BODY_BYTES}"
            )
        return text
    if not request.get("TemplateURL"):
        raise ValidationError("Either Template URL or Template Body must be specified.")
    parts = urlsplit(request["TemplateURL"])
    host, path = parts.netloc.split(".")[0], parts.path.lstrip("/")
    bucket, key = path.split("/", 1) if host == "s3" or parts.port else (host, path)
    body = client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    if len(body) > templates.URL_BYTES:
        raise ValidationError(f"Template may not exceed {templates.URL_BYTES} bytes in size.")
    return str(body.decode())


def capability(template: Template) -> str | None:
    """What the caller has to acknowledge: that roles are made, and under which names."""
    types = {name: part for name, part in template.resources.items() if part["Type"].startswith("AWS::IAM::")}
    if not types:
        return None
    named = any(
        resource_types.find(part["Type"]).name_property in (part.get("Properties") or {})
        for part in types.values()
    )
    return "CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM"


def require_capabilities(template: Template, request: Document) -> None:
    """Raises InsufficientCapabilitiesError."""
    wanted = capability(template)
    given = set(request.get("Capabilities") or [])
    if (
        wanted
        and wanted not in given
        and not (wanted == "CAPABILITY_IAM" and "CAPABILITY_NAMED_IAM" in given)
    ):
        raise InsufficientCapabilitiesError(wanted)
