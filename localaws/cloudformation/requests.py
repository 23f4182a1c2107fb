"""What requests about templates carry: the template's text, its parameters' values, capabilities."""

from __future__ import annotations

from localaws.cloudformation import resource_types, templates
from localaws.cloudformation.errors import InsufficientCapabilitiesError, ValidationError
from localaws.cloudformation.templates import Document, Template

# What would change what an operation does, and is refused rather than ignored.
_MEMBERS = (
    "DisableRollback",
    "EnableTerminationProtection",
    "OnFailure",
    "OnStackFailure",
    "RetainResources",
    "TemplateURL",
    "UsePreviousTemplate",
)


def refuse_members(operation: str, request: Document) -> None:
    """Raises ValidationError for a member that the local AWS does not have, unless it turns nothing on."""
    for name in _MEMBERS:
        if request.get(name):
            raise ValidationError(f"The local AWS does not have {name} of {operation}")


def template_and_values(request: Document) -> tuple[Template, dict[str, str]]:
    """The template that a request carries, and every parameter's value. Raises ValidationError."""
    template = templates.parse(_text(request))
    for part in template.resources.values():
        resource_types.find(part["Type"])
    given = {}
    for parameter in request.get("Parameters", []):
        if parameter.get("UsePreviousValue"):
            raise ValidationError("The local AWS does not have UsePreviousValue of Parameters")
        given[parameter["ParameterKey"]] = parameter.get("ParameterValue", "")
    return template, templates.fill_in(template, given)


def _text(request: Document) -> str:
    text: str = request.get("TemplateBody") or ""
    if not text:
        raise ValidationError("Either Template URL or Template Body must be specified.")
    if len(text.encode()) > templates.BODY_BYTES:
        raise ValidationError(
            "1 validation error detected: Value at 'templateBody' failed to satisfy constraint: Member "
            f"must have length less than or equal to {templates.BODY_BYTES}"
        )
    return text


def require_capabilities(template: Template, request: Document) -> None:
    """Raises InsufficientCapabilitiesError."""
    wanted = _capability(template)
    given = set(request.get("Capabilities") or [])
    if (
        wanted
        and wanted not in given
        and not (wanted == "CAPABILITY_IAM" and "CAPABILITY_NAMED_IAM" in given)
    ):
        raise InsufficientCapabilitiesError(wanted)


def _capability(template: Template) -> str | None:
    """What the caller has to acknowledge: that roles are made, and under which names."""
    types = {name: part for name, part in template.resources.items() if part["Type"].startswith("AWS::IAM::")}
    if not types:
        return None
    named = any(
        resource_types.find(part["Type"]).name_property in (part.get("Properties") or {})
        for part in types.values()
    )
    return "CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM"
