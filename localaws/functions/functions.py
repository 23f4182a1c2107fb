"""Deployed functions as Invoke needs them, read from moto's Lambda, which keeps their code and settings."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from moto.awslambda.exceptions import UnknownFunctionException
from moto.awslambda.utils import get_backend

from localaws.functions.errors import FunctionNotFoundError, InvalidParameterValueError, InvalidRuntimeError
from localaws.stack import Stack

# A function's name, `name:qualifier`, a partial ARN (`account:function:name`) or an ARN.
_REFERENCE = re.compile(
    r"(arn:aws[a-z-]*:lambda:[a-z0-9-]+:)?(\d{12}:)?(function:)?"
    r"(?P<name>[A-Za-z0-9_-]{1,140})(:(?P<qualifier>\$LATEST|[A-Za-z0-9_-]+))?"
)


@dataclass(frozen=True)
class Function:
    """One version of a function. Two that are equal may share workers: code and configuration are the same.

    Attributes:
        arn: as the caller named it, with the qualifier if there was one.
        role: the ARN of what it runs as.
        timeout: seconds for one event.
        memory: MiB that a worker may hold.
        concurrency: reserved concurrent executions; None: as many as this machine runs.
        async_retries: how often a failed asynchronous event is tried again.
        on_failure: the ARN of what hears of an event that failed each time.
    """

    name: str
    version: str
    handler: str
    runtime: str
    role: str
    environment: tuple[tuple[str, str], ...]
    timeout: int
    memory: int
    code_sha256: str
    concurrency: int | None = field(compare=False)
    async_retries: int = field(compare=False)
    on_failure: str | None = field(compare=False)
    arn: str = field(compare=False)
    code: bytes = field(repr=False, compare=False)


def find(stack: Stack, reference: str, qualifier: str | None = None) -> Function:
    """The function that an Invoke request means. Raises InvokeError when there is none that can run here."""
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise InvalidParameterValueError(f"{reference!r} is no function name and no function ARN.")
    name, qualifier = match["name"], match["qualifier"] or qualifier
    try:
        found = get_backend(stack.account, stack.region).get_function(name, qualifier)
    except UnknownFunctionException as error:
        raise FunctionNotFoundError(error.message) from error
    _check_can_run(found)
    config = found.event_invoke_config[-1].config if found.event_invoke_config else {}
    return Function(
        name=name,
        version=str(found.version),
        handler=found.handler,
        runtime=found.run_time,
        role=found.role,
        environment=tuple(sorted((key, str(value)) for key, value in found.environment_vars.items())),
        timeout=int(found.timeout),
        memory=int(found.memory_size),
        code_sha256=found.code_sha_256,
        concurrency=None if found.reserved_concurrency is None else int(found.reserved_concurrency),
        async_retries=int(config.get("MaximumRetryAttempts", 2)),
        on_failure=config.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination"),
        arn=stack.arn(f"function:{name}" + (f":{qualifier}" if qualifier else ""), "lambda"),
        code=found.code_bytes,
    )


def _check_can_run(found: Any) -> None:
    what = None
    if found.package_type != "Zip":
        what = "is a container image; functions run here from zip archives only"
    elif not (found.run_time or "").startswith("python3"):
        what = f"wants the runtime {found.run_time}; functions run here in Python 3 only"
    elif found.layers:
        what = "has layers, which functions cannot use here: put what they hold into its zip"
    if what:
        raise InvalidRuntimeError(f"Function {found.function_name} {what}.")
