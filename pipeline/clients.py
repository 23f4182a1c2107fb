"""Clients of the place that the settings name: AWS, or the AWS on this machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import boto3

if TYPE_CHECKING:
    from pipeline.settings import Settings


class NoStackError(Exception):
    """Target local, and no local AWS to talk to."""


class EndpointUrlError(Exception):
    """AWS_ENDPOINT_URL is no URL, or not one of the place that was chosen."""


class Clients:
    """boto3 clients by service name, each made once."""

    def __init__(self, session: boto3.Session) -> None:
        self.session = session
        self._clients: dict[str, Any] = {}

    def __call__(self, service: str) -> Any:
        if service not in self._clients:
            try:
                self._clients[service] = self.session.client(service)
            except ValueError as error:  # botocore has no class of its own for it
                if not str(error).startswith("Invalid endpoint"):
                    raise
                raise EndpointUrlError(
                    f"AWS_ENDPOINT_URL is no URL, such as http://127.0.0.1:4566: {error}"
                ) from None
        return self._clients[service]


def connect(settings: Settings) -> Clients:
    """Clients in the settings' region.

    For target local, and unless AWS_ENDPOINT_URL says where, the stack that runs in the state folder is
    taken: its variables go into this process's environment, which is all that any AWS client needs.

    Raises:
        NoStackError: none runs there.
        EndpointUrlError: target is aws, and the environment is that of the local AWS.
    """
    if settings.target == "aws":
        _refuse_this_machine()
        return Clients(boto3.Session(region_name=settings.region))
    for name in list(os.environ):  # they stand above AWS_ENDPOINT_URL, and would send requests elsewhere
        if name.startswith("AWS_ENDPOINT_URL_") or name == "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS":
            del os.environ[name]
    if not os.environ.get("AWS_ENDPOINT_URL"):
        os.environ.update(_running_environment(settings))
        os.environ.pop("AWS_PROFILE", None)
    return Clients(boto3.Session(region_name=settings.region))


def _refuse_this_machine() -> None:
    """What `scones local up` exports must not make a deployment to the account one to this machine."""
    url = os.environ.get("AWS_ENDPOINT_URL")
    if url:
        from localaws.stack import client_environment

        if os.environ.get("AWS_ACCESS_KEY_ID") == client_environment(url)["AWS_ACCESS_KEY_ID"]:
            raise EndpointUrlError(
                f"the target is aws, but AWS_ENDPOINT_URL and the credentials are the local AWS's ({url}): "
                "use a shell without its exports, or choose --target local"
            )


def _running_environment(settings: Settings) -> dict[str, str]:
    from localaws import control

    running = control.status(settings.state_dir)
    if running is None:
        raise NoStackError(
            f"no local AWS runs in {settings.state_dir}: run `scones local up`, or choose --target aws"
        )
    return dict(running.environment())
