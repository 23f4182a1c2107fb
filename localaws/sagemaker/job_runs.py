"""The course of one job, from its document to its end: processing, training and transform jobs alike."""

from __future__ import annotations

import json
import logging
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from localaws.documents import Document
from localaws.sagemaker.channels import NoDataError
from localaws.sagemaker.containers import ContainerError, ContainerSpec, remove_folder
from localaws.sagemaker.failures import LastError, algorithm_error
from localaws.sagemaker.images import Image, ImageRegistryError, UnknownImageError, find_image
from localaws.sagemaker.job_documents import ACTIVE, announce
from localaws.sagemaker.job_logs import JobLog
from localaws.sagemaker.jobs import (
    INTERRUPTED,
    Job,
    JobStoppedError,
    Stop,
    container_environment,
    run_containers,
    software,
)
from localaws.sagemaker.operations import now
from localaws.sagemaker.service import SageMakerService
from localaws.sagemaker.signed_http import signed_http
from localaws.sagemaker.transfers import TransferError, Transfers

log = logging.getLogger(__name__)


class NoEntryPointError(Exception):
    """Neither the request nor the image says what to run."""


class AlgorithmError(Exception):
    """The job's own code failed; the message is the whole FailureReason."""


CLIENT_ERRORS = (NoDataError, TransferError, UnknownImageError, ImageRegistryError, NoEntryPointError)


class JobRun(ABC):
    """One job while it runs. Subclasses say what it does in `execute`."""

    kind: ClassVar[str]
    log_group: ClassVar[str]

    def __init__(self, service: SageMakerService, name: str, job: Job) -> None:
        self.service = service
        self.name = name
        self.job = job
        self.document = service.store.get(self.kind, name) or {}
        self.arn: str = self.document[f"{self.kind}Arn"]
        # A transform job has none of its own: it works under its model's.
        self.role: str | None = self.document.get("RoleArn") or self.document.get("_Role")
        clients = service.stack.client("s3", self.role), signed_http(service.stack, self.role)
        self.transfers = Transfers(*clients, check=job.check)
        # Uploads at the end of a job that was stopped go on, so this one does not look at `job`.
        self.uploads = Transfers(*clients)
        self.folder = service.stack.root / "jobs" / self.kind / name
        self.last_error = LastError()

    @abstractmethod
    def execute(self) -> None:
        """Runs the job to its end. Raises AlgorithmError, JobStoppedError, or one of CLIENT_ERRORS."""

    @abstractmethod
    def hosts(self) -> list[str]:
        """`algo-1`, `algo-2`, …"""

    @abstractmethod
    def isolated(self) -> bool:
        """Whether the containers have no network (EnableNetworkIsolation)."""

    def run(self) -> None:
        """Runs the job and, whatever happens, removes its folder and writes its last state."""
        try:
            status, reason = self._outcome()
        finally:
            remove_folder(self.folder)
        if self.job.stop is Stop.CLOSING:
            status, reason = "Failed", INTERRUPTED
        self.finish(status, reason)

    def _outcome(self) -> tuple[str, str]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.execute()
        except JobStoppedError:
            return "Stopped", ""
        except AlgorithmError as error:
            return "Failed", str(error)
        except CLIENT_ERRORS as error:
            return "Failed", f"ClientError: {error}"
        except ContainerError as error:
            return "Failed", f"InternalServerError: {error}"
        except Exception as error:
            log.exception("%s failed inside the local SageMaker", self.arn)
            return "Failed", f"InternalServerError: {type(error).__name__}: {error}"
        return "Completed", ""

    def finish(self, status: str, reason: str) -> None:
        """Writes the last state; a job that was told to stop is Stopped, however far it came."""

        def change(document: Document) -> None:
            stopping = document[f"{self.kind}Status"] == "Stopping"
            document[f"{self.kind}Status"] = "Stopped" if stopping else status
            if reason and not stopping:
                document["FailureReason"] = reason[:1024]
            self.end(document)

        self.update(change)

    @abstractmethod
    def end(self, document: Document) -> None:
        """Adds the last times and statuses to the document."""

    def update(self, change: Callable[[Document], None]) -> None:
        """Alters the document, and tells of a new state."""
        before = _state(self.document)

        def stamped(document: Document) -> None:
            change(document)
            document["LastModifiedTime"] = now()

        self.document = self.service.store.update(self.kind, self.name, stamped)
        if _state(self.document) != before:
            announce(self.service, self.kind, self.document)

    def image(self, uri: str) -> Image:
        return find_image(self.service.stack, uri)

    def host_folder(self, host: str) -> Path:
        return self.folder / host

    def write_config(self, host: str, name: str, content: Any) -> None:
        """A JSON file below the host's /opt/ml."""
        path = self.host_folder(host) / "ml" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")

    def run_on_hosts(
        self, command: Sequence[str], environment: dict[str, str], on_line: Callable[[str, str], None]
    ) -> int:
        """Runs the command in a container a host; answers the first exit code that is not 0, or 0.

        Raises JobStoppedError when the job was stopped meanwhile; then the containers have ended too.
        """
        hosts = self.hosts()
        variables = container_environment(self.service.stack, sys.executable, self.role, len(hosts))
        variables |= environment
        specs = [
            ContainerSpec(
                command, variables, self.host_folder(host), host, hosts, software(), not self.isolated()
            )
            for host in hosts
        ]
        with self._logs(hosts) as logs:

            def hear(host: str, line: str) -> None:
                logs[host].write(line)
                self.last_error.read(line)
                on_line(host, line)

            limit = self.document["StoppingCondition"]["MaxRuntimeInSeconds"]
            codes = run_containers(self.job, specs, hear, limit)
        self.job.check()
        # A host that was ended because another failed shows a signal's code: the other's says more.
        failed = [code for code in codes if code]
        return next((code for code in failed if code not in (137, 143)), next(iter(failed), 0))

    def algorithm_error(self, message: str, exit_code: int) -> AlgorithmError:
        return AlgorithmError(algorithm_error(message, exit_code, self.last_error))

    @contextmanager
    def _logs(self, hosts: list[str]) -> Iterator[dict[str, JobLog]]:
        started = int(now() * 1000)
        client = self.service.stack.client("logs", self.role)
        logs = {host: JobLog(client, self.log_group, f"{self.name}/{host}-{started}") for host in hosts}
        try:
            yield logs
        finally:
            for stream in logs.values():
                stream.close()


def own_entry_point(specification: Document, image: Image, use: str) -> list[str]:
    """The request's ContainerEntrypoint, else the image's own command for this use (`train`, `process`).

    Raises NoEntryPointError.
    """
    command = list(specification.get("ContainerEntrypoint") or getattr(image, use))
    if not command:
        raise NoEntryPointError(
            f"The image {image.repository!r} has no entry point of its own ({use}): "
            "name one in ContainerEntrypoint."
        )
    return command


def _state(document: Document) -> list[str]:
    return [value for key, value in sorted(document.items()) if key.endswith("Status")]


def recover(service: SageMakerService, kind: str, end: Callable[[Document], None]) -> None:
    """Gives the jobs that an earlier process left unfinished their last state, and removes their folders."""

    def change(document: Document) -> None:
        if document[f"{kind}Status"] == "Stopping":
            document[f"{kind}Status"] = "Stopped"
        else:
            document[f"{kind}Status"] = "Failed"
            document["FailureReason"] = INTERRUPTED
        document["LastModifiedTime"] = now()
        end(document)

    for document in service.store.list(kind):
        if document[f"{kind}Status"] in ACTIVE:
            announce(service, kind, service.store.update(kind, document[f"{kind}Name"], change))
    remove_folder(service.stack.root / "jobs" / kind)
