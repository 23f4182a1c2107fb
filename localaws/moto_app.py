"""moto as a WSGI application: every service that is not our own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

# Above this size an object's bytes are in an unnamed temporary file, not in memory.
_S3_MEMORY_BYTES = 1 << 20


def configure(port: int) -> None:
    """Sets what moto reads from the environment, before moto's services are imported."""
    os.environ["MOTO_PORT"] = str(port)  # where the state machine interpreter calls other services
    os.environ["MOTO_S3_DEFAULT_KEY_BUFFER_SIZE"] = str(_S3_MEMORY_BYTES)
    os.environ["MOTO_EVENTS_INVOKE_HTTP"] = "false"
    os.environ.pop("INITIAL_NO_AUTH_ACTION_COUNT", None)  # requests are never refused for want of a policy


def create(port: int) -> WSGIApplication:
    """moto's application for a gateway on this port, with state machines that really execute."""
    configure(port)
    from moto.core.config import default_user_config
    from moto.server import DomainDispatcherApplication, create_backend_app

    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    return DomainDispatcherApplication(create_backend_app)
