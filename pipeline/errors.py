"""From an exception to the one sentence a person needs."""

from __future__ import annotations

import errno

# Our own errors live beside the code that raises them and end in `Error`; their message is that sentence.
OUR_PACKAGES = ("pipeline", "processing", "training", "workflows", "monitoring", "localaws")

ADVICE = {
    "NoCredentialsError": "no AWS credentials were found: run `aws configure`, or set AWS_PROFILE",
    "PartialCredentialsError": "the AWS credentials are incomplete: run `aws configure`, or set AWS_PROFILE",
    "TokenRetrievalError": "the AWS session has expired: run `aws sso login`",
    "UnauthorizedSSOTokenError": "the AWS session has expired: run `aws sso login`",
    "SSOTokenLoadError": "there is no AWS session: run `aws sso login`",
}
EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired")


def is_missing(error: BaseException) -> bool:
    """Whether AWS says that what was asked about is not there.

    SageMaker says so in a ValidationException's text, where other services have a code for it.
    """
    details = getattr(error, "response", {}).get("Error", {})
    text = details.get("Message", "").lower()
    return details.get("Code") in ("ResourceNotFound", "ResourceNotFoundException") or (
        details.get("Code") == "ValidationException"
        and ("could not find" in text or "does not exist" in text)
    )


def sentence(error: BaseException) -> str | None:
    """What to tell the person, or None if it is a fault of the program, whose traceback is wanted."""
    kind = type(error)
    if kind.__module__.split(".")[0] in OUR_PACKAGES and kind.__name__.endswith("Error"):
        return str(error)
    if isinstance(error, OSError) and error.filename is not None:  # not there, not permitted, disk full
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):  # a write names no file
        return f"nothing more can be written: {error.strerror}"
    if kind.__name__ in ADVICE:
        return ADVICE[kind.__name__]
    if kind.__module__.startswith(("botocore.", "boto3.", "s3transfer.")):
        return _botocore_sentence(error)
    return None


def _botocore_sentence(error: BaseException) -> str:
    response = getattr(error, "response", None)
    if not isinstance(response, dict):  # no answer at all: the message names the endpoint or the mistake
        return f"AWS was not reached: {error}"
    details = response.get("Error", {})
    if details.get("Code") in EXPIRED:
        return "the AWS credentials have expired: sign in again"
    operation = getattr(error, "operation_name", "the request")
    return f"AWS refused {operation}: {details.get('Message') or details.get('Code', 'no reason given')}"
