"""What a transform job does: a model server for as long as it takes, and a request for each record.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-batch-code.html and
https://docs.aws.amazon.com/sagemaker/latest/dg/batch-transform.html
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from localaws.documents import Document
from localaws.sagemaker.artifacts import ArtifactError, fetch_model
from localaws.sagemaker.channels import NoDataError, Source, list_objects
from localaws.sagemaker.containers import check_host
from localaws.sagemaker.job_logs import JobLog
from localaws.sagemaker.job_runs import AlgorithmError, JobRun, NoEntryPointError
from localaws.sagemaker.jobs import container_environment
from localaws.sagemaker.model_servers import (
    ModelConnectionError,
    ModelServer,
    ModelTimeoutError,
    NotReadyError,
    ServerSpec,
    instance_id,
)
from localaws.sagemaker.operations import now
from localaws.sagemaker.transfers import Location, TransferError, parse_uri
from localaws.sagemaker.transform_records import RecordError, decompressed, payloads

KIND = "TransformJob"
_STARTING_SECONDS = 600.0  # until the container answers /ping
_ANSWER_SECONDS = 600  # what a model has for a request, and how often it is asked again, unless the job says
_RETRIES = 3
_SEE_LOGS = "See job logs for more information"


class _RecordsError(Exception):
    """An object could not be transformed; `whose` says in SageMaker's words by whose mistake."""

    def __init__(self, whose: str, message: str) -> None:
        super().__init__(message)
        self.whose = whose


@dataclass(frozen=True)
class Limits:
    """How requests are made: what the job says, else what the container says, else SageMaker's defaults."""

    concurrent: int = 1
    payload_mb: int = 6
    many: bool = True

    def __str__(self) -> str:
        strategy = "MULTI_RECORD" if self.many else "SINGLE_RECORD"
        return (
            f"MaxConcurrentTransforms={self.concurrent}, MaxPayloadInMB={self.payload_mb}, "
            f"BatchStrategy={strategy}"
        )

    def overlaid(self, values: Document) -> Limits:
        """With `MaxConcurrentTransforms`, `MaxPayloadInMB` and `BatchStrategy` where they are given."""
        concurrent, payload = values.get("MaxConcurrentTransforms"), values.get("MaxPayloadInMB")
        strategy = str(values.get("BatchStrategy") or "").upper().replace("_", "")
        return replace(
            self,
            concurrent=int(concurrent) or self.concurrent if concurrent is not None else self.concurrent,
            payload_mb=int(payload) if payload is not None else self.payload_mb,
            many=strategy == "MULTIRECORD" if strategy else self.many,
        )


def end(document: Document) -> None:
    document["TransformEndTime"] = now()


class TransformRun(JobRun):
    kind = KIND
    log_group = "/aws/sagemaker/TransformJobs"

    def hosts(self) -> list[str]:
        """One, whatever InstanceCount says: more processes would only share the same cores."""
        return ["model"]

    def isolated(self) -> bool:
        return False

    def end(self, document: Document) -> None:
        end(document)

    def execute(self) -> None:
        given = self.document["TransformInput"]["DataSource"]["S3DataSource"]
        source = Source(given["S3Uri"], given["S3DataType"])
        places = list_objects(self.transfers, source)
        if not places:
            raise NoDataError(f"No S3 objects found under S3 URL {source.uri!r} of the transform input.")
        check_host()
        with self.service.jobs.slots(1, self.job):
            self._fetch_model()
            self.update(lambda document: document.update(TransformStartTime=now()))
            with self._logs_of_instance() as (log, data_log):
                server = ModelServer(self._server_spec(), self._hearing(log))
                server.start()
                try:
                    self._wait_until_ready(server)
                    limits = Limits().overlaid(_execution_parameters(server)).overlaid(self.document)
                    data_log.write(f"[sagemaker logs]: {limits}")
                    self._transform(server, places, limits, data_log)
                finally:
                    server.stop()

    def _fetch_model(self) -> None:
        folder, url = self._folder() / "ml" / "model", self.document["_Container"]["ModelDataUrl"]
        try:
            if url:
                fetch_model(self.service.stack, url, folder, self.role)
            folder.mkdir(parents=True, exist_ok=True)
        except ArtifactError as error:
            raise TransferError(str(error)) from error

    def _folder(self) -> Path:
        return self.host_folder(self.hosts()[0])

    def _server_spec(self) -> ServerSpec:
        container = self.document["_Container"]
        image = self.image(container["Image"])
        if not image.serve:
            raise NoEntryPointError(
                f"The image {container['Image']} does not serve models: it has no `serve` command."
            )
        environment = container_environment(self.service.stack, sys.executable, self.role)
        environment |= {**image.environment, **container["Environment"]}
        environment |= {**(self.document.get("Environment") or {}), **self._batch_variables()}
        client = self.document.get("ModelClientConfig") or {}
        seconds = client.get("InvocationsTimeoutInSeconds", _ANSWER_SECONDS)
        return ServerSpec(image.serve, environment, self._folder(), self.name, seconds)

    def _batch_variables(self) -> dict[str, str]:
        """Those that the job does not say are not passed."""
        values = {
            "SAGEMAKER_MAX_PAYLOAD_IN_MB": self.document.get("MaxPayloadInMB"),
            "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": self.document.get("MaxConcurrentTransforms"),
            "SAGEMAKER_BATCH_STRATEGY": {"SingleRecord": "SINGLE_RECORD", "MultiRecord": "MULTI_RECORD"}.get(
                self.document.get("BatchStrategy", "")
            ),
        }
        return {"SAGEMAKER_BATCH": "true"} | {k: str(v) for k, v in values.items() if v is not None}

    @contextmanager
    def _logs_of_instance(self) -> Iterator[tuple[JobLog, JobLog]]:
        """The container's log stream, and the one of what became of the data."""
        stream = f"{self.name}/{instance_id()}-{int(now() * 1000)}"
        client = self.service.stack.client("logs", self.role)
        logs = [JobLog(client, self.log_group, name) for name in (stream, f"{stream}/data-log")]
        try:
            yield logs[0], logs[1]
        finally:
            for log in logs:
                log.close()

    def _hearing(self, log: JobLog) -> Callable[[str], None]:
        def hear(line: str) -> None:
            log.write(line)
            self.last_error.read(line)

        return hear

    def _wait_until_ready(self, server: ModelServer) -> None:
        deadline = time.monotonic() + _STARTING_SECONDS
        while not server.wait_until_ready(0.2, first_start_only=True):
            self.job.check()
            if server.restarted or time.monotonic() > deadline:
                why = self.last_error.line() or "it wrote nothing"
                raise AlgorithmError(
                    f"AlgorithmError: The container did not pass the ping health check ({why}). {_SEE_LOGS}"
                )

    def _transform(
        self, server: ModelServer, places: list[tuple[Location, str]], limits: Limits, data_log: JobLog
    ) -> None:
        """Transforms each object by itself: what fails leaves the others' results alone."""
        target = parse_uri(self.document["TransformOutput"]["S3OutputPath"])

        def one(place: tuple[Location, str]) -> None:
            location, name = place
            try:
                self.uploads.write(target.join(f"{name}.out"), self._answers(server, location, limits))
            except _RecordsError as error:
                data_log.write(f"[sagemaker logs]: {location.bucket}/{location.key}: {error}")
                raise _RecordsError(error.whose, f"{location.bucket}/{location.key}: {error}") from error

        with ThreadPoolExecutor(limits.concurrent, thread_name_prefix="transform") as pool:
            futures = [pool.submit(one, place) for place in places]
            self._wait_for(futures)
            if self.job.stop is not None:
                pool.shutdown(wait=False, cancel_futures=True)
                server.stop()  # which ends the requests under way
        self.job.check()
        failures = [error for future in futures if (error := future.exception())]
        for failure in failures:
            if not isinstance(failure, _RecordsError):
                raise failure
            more = f"; {len(failures)} of {len(places)} objects failed" if len(places) > 1 else ""
            raise AlgorithmError(f"{failure.whose}: {_SEE_LOGS} ({failure}{more})")

    def _wait_for(self, futures: list[Future[None]]) -> None:
        """Returns when all are done, or the job is to stop."""

        def notify(_future: Future[None]) -> None:
            with self.job.changed:
                self.job.changed.notify_all()

        for future in futures:
            future.add_done_callback(notify)
        with self.job.changed:
            self.job.changed.wait_for(
                lambda: self.job.stop is not None or all(future.done() for future in futures)
            )

    def _answers(self, server: ModelServer, location: Location, limits: Limits) -> bytes:
        """The answers to an object's records, assembled. Raises _RecordsError."""
        given, output = self.document["TransformInput"], self.document["TransformOutput"]
        headers = {"Content-Type": given.get("ContentType") or "application/octet-stream"}
        if output.get("Accept"):
            headers["Accept"] = output["Accept"]
        newline = b"\n" if output.get("AssembleWith") == "Line" else b""
        try:
            content = decompressed(self.transfers.read(location), given.get("CompressionType"))
            lines = given.get("SplitType") == "Line"
            bodies = payloads(content, lines=lines, many=limits.many, limit_mb=limits.payload_mb)
            return b"".join(self._ask(server, body, headers) + newline for body in bodies)
        except RecordError as error:
            raise _RecordsError("ClientError", str(error)) from error

    def _ask(self, server: ModelServer, body: bytes, headers: dict[str, str]) -> bytes:
        client = self.document.get("ModelClientConfig") or {}
        problem = "no answer"
        for _ in range(1 + client.get("InvocationsMaxRetries", _RETRIES)):
            self.job.check()
            try:
                answer = server.post(body, headers)
            except ModelTimeoutError:
                problem = "the model did not answer in time"
            except (ModelConnectionError, NotReadyError) as error:
                problem = f"the container closed the connection ({error})"
                server.wait_until_ready(_STARTING_SECONDS)
            else:
                if 200 <= answer.status < 300:
                    return bytes(answer.data)
                said = answer.data.decode("utf-8", "replace").strip()[:300]
                problem = f"Bad HTTP status received from algorithm: {answer.status}: {said}"
                if answer.status < 500:
                    raise _RecordsError("ClientError", problem)
        raise _RecordsError("AlgorithmError", problem)


def _execution_parameters(server: ModelServer) -> Document:
    """What the container answers to GET /execution-parameters; a container need not know it."""
    try:
        answer = server.get("/execution-parameters")
        values = json.loads(answer.data) if answer.status == 200 else {}
    except (NotReadyError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
