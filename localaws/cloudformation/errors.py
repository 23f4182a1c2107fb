"""What CloudFormation refuses, with its own codes."""

from __future__ import annotations

from localaws.errors import AwsError


class ValidationError(AwsError):
    """A request or a template that CloudFormation does not take."""

    def __init__(self, message: str) -> None:
        super().__init__("ValidationError", message)


class AlreadyExistsError(AwsError):
    """A stack or a change set of that name is there."""

    def __init__(self, message: str) -> None:
        super().__init__("AlreadyExistsException", message)


class ChangeSetNotFoundError(AwsError):
    def __init__(self, name: str) -> None:
        super().__init__("ChangeSetNotFound", f"ChangeSet [{name}] does not exist", 404)


class InsufficientCapabilitiesError(AwsError):
    def __init__(self, wanted: str) -> None:
        super().__init__("InsufficientCapabilitiesException", f"Requires capabilities : [{wanted}]")


class ResourceError(Exception):
    """A resource that could not be created, updated or deleted. The message is the event's reason."""
