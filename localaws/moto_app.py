"""moto as a WSGI application: every service that is not our own."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from localaws import bucket_policies, determinism
from localaws.step_functions import interpreter

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

# Above this size an object's bytes are in an unnamed temporary file, not in memory.
_S3_MEMORY_BYTES = 1 << 20


def create(port: int, account: str, on_step_functions: Callable[[], None]) -> WSGIApplication:
    """moto's application for a gateway on this port, with state machines that really execute.

    moto imports a service at its first request; `on_step_functions` is called once it has Step Functions.
    """
    # Read by moto at its import, or later: before anything else here.
    os.environ["MOTO_PORT"] = str(port)  # where the state machine interpreter calls other services
    os.environ["MOTO_ACCOUNT_ID"] = account
    os.environ["MOTO_S3_DEFAULT_KEY_BUFFER_SIZE"] = str(_S3_MEMORY_BYTES)
    os.environ["MOTO_DISABLE_GLOBAL_CORS"] = "true"  # web pages of other sites have no business here
    os.environ.pop("INITIAL_NO_AUTH_ACTION_COUNT", None)  # no request is refused for want of a policy
    from moto.core.config import default_user_config
    from moto.server import DomainDispatcherApplication

    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    determinism.patch_random()

    def create_backend(service: str | None) -> Any:
        backend = _create_backend(service)
        if service == "stepfunctions":
            on_step_functions()
        return backend

    app = DomainDispatcherApplication(create_backend)
    # It looks through moto's folders at each request, which takes half of the request's time.
    app.get_backend_for_host = lru_cache(app.get_backend_for_host)
    return app


def _create_backend(service: str | None) -> Any:
    """Imports a service; its clocks and chance are replaced there and then."""
    from moto.server import create_backend_app

    if service is None:
        raise NotImplementedError("moto has no such service")
    app = create_backend_app(service)
    app.debug = False  # it costs a tenth of each request, and shows nothing that our log does not
    app.config["PROPAGATE_EXCEPTIONS"] = True  # the gateway answers what moto cannot
    if service == "stepfunctions":
        _import_interpreter()
    elif service == "s3":
        bucket_policies.install()
    determinism.patch_modules()
    return app


def _import_interpreter() -> None:
    """Whole, since what is put into it goes to the modules that are there; not in the middle of a request."""
    import moto.stepfunctions.parser.models  # noqa: F401

    interpreter.keep_what_is_made()
    interpreter.read_distributed_maps()
