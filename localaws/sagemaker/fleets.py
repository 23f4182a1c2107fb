"""The model servers behind an endpoint config: a fleet of production variants, each with its instances."""

from __future__ import annotations

import os
import random
import shutil
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import urllib3

from localaws.sagemaker.artifacts import ArtifactError, fetch_model
from localaws.sagemaker.containers import ContainerError, check_host
from localaws.sagemaker.images import ImageRegistryError, UnknownImageError, find_image
from localaws.sagemaker.job_logs import JobLog
from localaws.sagemaker.jobs import container_environment
from localaws.sagemaker.model_servers import ModelServer, NotReadyError, ServerSpec, State, instance_id
from localaws.stack import Stack

LOG_GROUP = "/aws/sagemaker/Endpoints"
# One process serves as many requests at once as there are cores, so more of them rarely pay on one machine.
SERVERS_VARIABLE = "SCONES_MODEL_SERVERS"
_STARTING_SECONDS = 30.0  # how long a request waits for a server that is on its way
_DRAIN_SECONDS = 60.0


class FleetError(Exception):
    """A variant's servers could not be brought up; the message is the endpoint's FailureReason."""


class VariantNotFoundError(Exception):
    """The request names a variant that the endpoint does not have."""


@dataclass(frozen=True)
class VariantPlan:
    """A production variant with its model resolved: enough to serve it, whatever is deleted since.

    Attributes:
        weight: its share of the traffic, relative to the other variants'.
        instances: how many the user asked for; at most `SCONES_MODEL_SERVERS` (1) processes are run.
        startup_seconds: how long a server may take until it answers /ping.
        serverless: the ServerlessConfig of a variant without instances.
        role: what the model runs as.
    """

    name: str
    model: str
    image: str
    model_data: str | None
    environment: dict[str, str]
    weight: float
    instances: int
    startup_seconds: float
    serverless: dict[str, int] | None = None
    role: str | None = None


@dataclass(frozen=True)
class FleetPlan:
    """What an endpoint is to serve; kept in its document, so that the next process can bring it up again.

    Attributes:
        key: names the fleet's folder; a new one for each deployment.
        config: the endpoint config's name.
    """

    key: str
    config: str
    variants: tuple[VariantPlan, ...]

    def as_document(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> FleetPlan:
        variants = tuple(VariantPlan(**variant) for variant in document["variants"])
        return cls(document["key"], document["config"], variants)


@dataclass
class Variant:
    """A variant's servers."""

    plan: VariantPlan
    folder: Path
    servers: list[ModelServer] = field(default_factory=list)
    logs: list[JobLog] = field(default_factory=list)
    unpacked: threading.Event = field(default_factory=threading.Event)

    def post(self, body: bytes, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        """Asks a server of this variant; waits a while for one that is starting.

        Raises NotReadyError, ModelTimeoutError, ModelConnectionError.
        """
        deadline = time.monotonic() + _STARTING_SECONDS
        self.unpacked.wait(_STARTING_SECONDS)
        while True:
            server = self._pick(deadline)
            try:
                return server.post(body, headers)
            except NotReadyError:  # it ended a moment ago
                if time.monotonic() > deadline:
                    raise

    def _pick(self, deadline: float) -> ModelServer:
        """The least busy server that is ready, or the first that becomes it."""
        ready = [server for server in self.servers if server.state is State.READY]
        if ready:
            return min(ready, key=lambda server: server.in_flight)
        for server in self.servers:
            if server.wait_until_ready(deadline - time.monotonic()):
                return server
        raise NotReadyError(self.plan.name)


class Fleet:
    """All variants of one deployment of an endpoint.

    Attributes:
        plan: what it serves.
        folder: its own; each variant's /opt/ml is below it. Gone after `stop()`.
    """

    def __init__(self, stack: Stack, endpoint: str, plan: FleetPlan) -> None:
        self.plan = plan
        self._stack = stack
        self._endpoint = endpoint
        self.folder = stack.folder("endpoints", endpoint) / plan.key
        self.variants = {
            variant.name: Variant(variant, self.folder / variant.name) for variant in plan.variants
        }
        self._weights = {variant.name: variant.weight for variant in plan.variants}
        self._lock = threading.Lock()
        self._stopped = False

    def start(self) -> None:
        """Fetches the models and starts the servers. Raises FleetError."""
        for variant in self.variants.values():
            self._unpack(variant)
            try:
                check_host()
                self._scale(variant, variant.plan.instances)
            except (UnknownImageError, ImageRegistryError, ContainerError) as error:
                raise FleetError(str(error)) from error
            finally:
                variant.unpacked.set()

    def wait_until_ready(self) -> None:
        """Returns when every server answers /ping. Raises FleetError with SageMaker's own sentence."""
        for variant in self.variants.values():
            deadline = time.monotonic() + variant.plan.startup_seconds
            for server in variant.servers:
                if not server.wait_until_ready(deadline - time.monotonic(), first_start_only=True):
                    raise FleetError(
                        f"The primary container for production variant {variant.plan.name} did not pass the "
                        "ping health check. Please check CloudWatch logs for this endpoint."
                    )

    def choose(self, target: str | None = None) -> Variant:
        """The named variant, or one by weight. Raises VariantNotFoundError."""
        if target is not None:
            if target not in self.variants:
                raise VariantNotFoundError(target)
            return self.variants[target]
        names, weights = list(self._weights), list(self._weights.values())
        if len(names) == 1:
            return self.variants[names[0]]
        return self.variants[random.choices(names, weights if any(weights) else None)[0]]  # noqa: S311

    def set_weights(self, weights: dict[str, float]) -> None:
        self._weights = {**self._weights, **weights}

    def resize(self, counts: dict[str, int]) -> None:
        """Starts or stops servers until each variant has its number. Raises FleetError."""
        for name, count in counts.items():
            self._scale(self.variants[name], count)
        self.wait_until_ready()

    def stop(self, *, drain: bool = False, keep_folder: bool = False) -> None:
        """Ends all servers; with `drain`, after they have answered what they are at."""
        with self._lock:
            self._stopped = True
            servers = [server for variant in self.variants.values() for server in variant.servers]
        deadline = time.monotonic() + (_DRAIN_SECONDS if drain else 0)
        while any(server.in_flight for server in servers) and time.monotonic() < deadline:
            time.sleep(0.01)
        if servers:
            with ThreadPoolExecutor(len(servers)) as pool:
                list(pool.map(ModelServer.stop, servers))
        for variant in self.variants.values():
            variant.unpacked.set()
            for log in variant.logs:
                log.close()
        if not keep_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _unpack(self, variant: Variant) -> None:
        """The model in `ml/model`: there whole, or not at all."""
        target = variant.folder / "ml" / "model"
        if target.exists():  # an earlier process got so far
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        half = variant.folder / "unpacking"
        shutil.rmtree(half, ignore_errors=True)
        try:
            if variant.plan.model_data:
                fetch_model(self._stack, variant.plan.model_data, half, variant.plan.role)
            else:
                half.mkdir()
        except ArtifactError as error:
            raise FleetError(str(error)) from error
        half.replace(target)

    def _scale(self, variant: Variant, instances: int) -> None:
        wanted = min(instances, _servers_at_most())
        while len(variant.servers) > wanted:
            variant.servers.pop().stop()
            variant.logs.pop().close()
        while len(variant.servers) < wanted:
            name = f"{variant.plan.name}/{instance_id()}"
            spec = self._server_spec(variant, name)
            with self._lock:
                if self._stopped:
                    raise FleetError("The endpoint was put away while its servers were being started.")
                logs = self._stack.client("logs", variant.plan.role)
                log = JobLog(logs, f"{LOG_GROUP}/{self._endpoint}", name)
                server = ModelServer(spec, log.write)
                server.start()
                variant.logs.append(log)
                variant.servers.append(server)

    def _server_spec(self, variant: Variant, name: str) -> ServerSpec:
        image = find_image(self._stack, variant.plan.image)
        if not image.serve:
            raise FleetError(
                f"The image {variant.plan.image} does not serve models: it has no `serve` command."
            )
        environment = container_environment(self._stack, sys.executable, variant.plan.role)
        # One request, one core: the server answers as many requests at a time as there are cores.
        environment["OMP_NUM_THREADS"] = "1"
        environment |= {**image.environment, **variant.plan.environment}
        return ServerSpec(image.serve, environment, variant.folder, name)


def _servers_at_most() -> int:
    text = os.environ.get(SERVERS_VARIABLE) or "1"
    if not text.isdecimal() or int(text) < 1:
        raise FleetError(f"{SERVERS_VARIABLE} must be a whole number of at least 1, not {text!r}.")
    return int(text)
