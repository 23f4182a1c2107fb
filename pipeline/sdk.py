"""The SageMaker SDK, made to build a definition and do nothing else.

Left to itself the SDK reads configuration files of the machine, makes a boto3 client while it is imported,
asks IAM whether the role is fit, asks STS for the account and reports its use. A definition that is the same
everywhere can have none of it.
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]
from botocore.loaders import JSONFileLoader

if TYPE_CHECKING:
    from sagemaker.core.workflow.pipeline_context import PipelineSession

    from pipeline.settings import Settings

# The SDK reads it in place of the machine's own files.
SDK_CONFIG = Path(__file__).with_name("sagemaker-sdk.json")
# Placeholders: a client may be made with them, and nothing is ever signed with them.
PLACEHOLDER = {"AWS_ACCESS_KEY_ID": "unused", "AWS_SECRET_ACCESS_KEY": "unused"}
ENVIRONMENT = PLACEHOLDER | {
    "SAGEMAKER_USER_CONFIG_OVERRIDE": str(SDK_CONFIG),
    "SAGEMAKER_ADMIN_CONFIG_OVERRIDE": str(SDK_CONFIG),
    "SAGEMAKER_VALIDATE_ROLE": "false",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_DEFAULT_REGION": "us-east-1",
}
UNSET = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN")


@contextmanager
def offline() -> Iterator[None]:
    """Inside, the SDK calls nothing and does not see the machine's own configuration and credentials."""
    before = {name: os.environ.get(name) for name in (*ENVIRONMENT, *UNSET)}
    os.environ.update(ENVIRONMENT)
    for name in UNSET:
        os.environ.pop(name, None)
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    validate = jsonschema.validate
    # The SDK validates its configuration anew for each value that it looks up: some 60 times, 4 seconds.
    # It is ours, constant, and a test validates it once.
    jsonschema.validate = _accept
    # It makes a botocore session for nearly every step, and each parses the same megabytes of service models.
    JSONFileLoader.load_file = _load_once
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        jsonschema.validate = validate
        JSONFileLoader.load_file = _load_file
        logging.disable(disabled)
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _accept(*_arguments: object) -> None:
    """In place of a validation."""


_load_file = JSONFileLoader.load_file
_FILES: dict[str, Any] = {}


def _load_once(self: JSONFileLoader, path: str) -> Any:
    """In place of botocore's own, of which each session keeps what it has read for itself."""
    if path not in _FILES:
        _FILES[path] = _load_file(self, path)
    return _FILES[path]


def import_sdk() -> None:
    """Imports the SDK and undoes what that leaves behind: boto3's default session, and log handlers."""
    import boto3

    session = boto3.DEFAULT_SESSION
    level, handlers = logging.root.level, list(logging.root.handlers)
    with offline():
        import sagemaker.mlops.workflow.pipeline  # noqa: F401
    boto3.DEFAULT_SESSION = session
    logging.root.setLevel(level)
    logging.root.handlers[:] = handlers


def pipeline_session(settings: Settings) -> PipelineSession:
    """A session that records requests instead of sending them."""
    import boto3
    from sagemaker.core.workflow.pipeline_context import PipelineSession

    return PipelineSession(
        boto_session=boto3.Session(
            aws_access_key_id=PLACEHOLDER["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=PLACEHOLDER["AWS_SECRET_ACCESS_KEY"],
            region_name=settings.region,
        ),
        default_bucket=settings.bucket,
        sagemaker_config=json.loads(SDK_CONFIG.read_text(encoding="utf-8")),
    )
