"""Data capture: requests and answers of an endpoint, as JSON lines on S3, in SageMaker's layout and format.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html
"""

from __future__ import annotations

import base64
import json
import logging
import random
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localaws.sagemaker.transfers import parse_uri

log = logging.getLogger(__name__)

FLUSH_SECONDS = 2.0
_FLUSH_BYTES = 8 << 20  # this much waiting is written at once, without waiting for its time
_KEPT_BYTES = 64 << 20  # this much waits while it cannot be written
_CONTENT_TYPE = "application/jsonlines"


@dataclass(frozen=True)
class CaptureOptions:
    """An endpoint config's DataCaptureConfig.

    Attributes:
        percentage: of the requests, 0 to 100.
        modes: "Input", "Output" or both.
        csv_types, json_types: content types whose text is kept as it is; all else is kept as base64.
    """

    destination: str
    percentage: int
    modes: frozenset[str]
    csv_types: frozenset[str] = frozenset()
    json_types: frozenset[str] = frozenset()
    kms_key: str | None = None

    @classmethod
    def from_config(cls, config: dict[str, Any] | None) -> CaptureOptions | None:
        """None when nothing is to be captured. A missing `EnableCapture` means that it is not."""
        if not config or not config.get("EnableCapture"):
            return None
        modes: set[str] = set()
        for option in config["CaptureOptions"]:
            mode = option["CaptureMode"]
            modes |= {"Input", "Output"} if mode == "InputAndOutput" else {mode}
        types = config.get("CaptureContentTypeHeader") or {}
        return cls(
            destination=config["DestinationS3Uri"],
            percentage=config["InitialSamplingPercentage"],
            modes=frozenset(modes),
            csv_types=frozenset(map(_bare, types.get("CsvContentTypes", []))),
            json_types=frozenset(map(_bare, types.get("JsonContentTypes", []))),
            kms_key=config.get("KmsKeyId"),
        )

    def encoding(self, content_type: str) -> str:
        bare = _bare(content_type)
        if bare in self.csv_types:
            return "CSV"
        return "JSON" if bare in self.json_types else "BASE64"


@dataclass(frozen=True)
class Exchange:
    """One request that a model answered."""

    variant: str
    moment: datetime
    body: bytes
    content_type: str
    answer: bytes
    answer_type: str
    inference_id: str | None = None
    custom_attributes: str | None = None


def record(exchange: Exchange, options: CaptureOptions) -> dict[str, Any]:
    """The exchange in the shape of one captured line."""
    sides: dict[str, Any] = {}
    if "Input" in options.modes:
        sides["endpointInput"] = _side("INPUT", exchange.body, exchange.content_type, options)
    if "Output" in options.modes:
        sides["endpointOutput"] = _side("OUTPUT", exchange.answer, exchange.answer_type, options)
    metadata: dict[str, Any] = {"eventId": str(uuid.uuid4())}
    if exchange.custom_attributes:
        metadata["customAttributes"] = [exchange.custom_attributes]
    if exchange.inference_id:
        metadata["inferenceId"] = exchange.inference_id
    metadata["inferenceTime"] = exchange.moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"captureData": sides, "eventMetadata": metadata, "eventVersion": "0"}


class CaptureWriter:
    """Writes an endpoint's captured exchanges in the background.

    What is added is on S3 after at most `FLUSH_SECONDS`, or when `close()` returns. A write that fails is
    tried again with the next.
    """

    def __init__(self, s3: Any, endpoint: str, options: CaptureOptions) -> None:
        self.options = options
        self._s3 = s3
        self._endpoint = endpoint
        self._waiting: list[Exchange] = []
        self._bytes = 0
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(
            target=self._write_until_closed, name=f"capture {endpoint}", daemon=True
        )
        self._thread.start()

    def wanted(self) -> bool:
        """Whether this request is one of the sample."""
        return random.random() * 100 < self.options.percentage  # noqa: S311 - a sample, not a secret

    def add(self, exchange: Exchange) -> None:
        with self._wake:
            late = self._closed
            if not late:
                self._waiting.append(exchange)
                self._bytes += _size(exchange)
                if self._bytes > _FLUSH_BYTES:
                    self._wake.notify()
        if late:  # the answer to a request that was under way when the endpoint was put away
            self._write_all([exchange])

    def close(self) -> None:
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    def _write_until_closed(self) -> None:
        closed = False
        while not closed:
            with self._wake:
                closed = (
                    self._wake.wait_for(lambda: self._closed or self._bytes > _FLUSH_BYTES, FLUSH_SECONDS)
                    and self._closed
                )
                waiting, self._waiting, self._bytes = self._waiting, [], 0
            failed = self._write_all(waiting)
            if failed and closed:
                log.error("Endpoint %s: %d captured records are lost", self._endpoint, len(failed))
            with self._wake:
                self._keep(failed)

    def _keep(self, failed: list[Exchange]) -> None:
        """For the next attempt, before what came since, as far as there is room; the oldest go first."""
        self._waiting[:0] = failed
        kept = sum(map(_size, self._waiting))
        lost = 0
        while kept > _KEPT_BYTES:
            kept -= _size(self._waiting[lost])
            lost += 1
        if lost:
            del self._waiting[:lost]
            log.error("Endpoint %s: %d captured records are lost: there is no room", self._endpoint, lost)

    def _write_all(self, exchanges: list[Exchange]) -> list[Exchange]:
        """Writes them to their files; answers what is to be tried again."""
        files = _files(exchanges, self._endpoint)
        return [exchange for key, members in files for exchange in self._write(key, members)]

    def _write(self, key: str, exchanges: list[Exchange]) -> list[Exchange]:
        lines = [json.dumps(record(each, self.options), separators=(",", ":")) for each in exchanges]
        target = parse_uri(self.options.destination).join(key)
        extra = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.options.kms_key}
        try:
            self._s3.put_object(
                Bucket=target.bucket,
                Key=target.key,
                Body="".join(f"{line}\n" for line in lines).encode(),
                ContentType=_CONTENT_TYPE,
                **(extra if self.options.kms_key else {}),
            )
        except (ClientError, BotoCoreError) as error:
            log.warning("Endpoint %s: data capture to %s failed: %s", self._endpoint, target, error)
            return exchanges
        return []


def _size(exchange: Exchange) -> int:
    return len(exchange.body) + len(exchange.answer)


def _files(exchanges: list[Exchange], endpoint: str) -> Iterator[tuple[str, list[Exchange]]]:
    """The exchanges by the file they go to: one a variant and hour, named after its first record."""

    def place(exchange: Exchange) -> tuple[str, str]:
        return exchange.variant, f"{exchange.moment:%Y/%m/%d/%H}"

    for (variant, hour), group in groupby(sorted(exchanges, key=place), place):
        members = sorted(group, key=lambda exchange: exchange.moment)
        first = members[0].moment
        name = f"{first:%M-%S}-{first.microsecond // 1000:03d}-{uuid.uuid4()}.jsonl"
        yield f"{endpoint}/{variant}/{hour}/{name}", members


def utc_now() -> datetime:
    return datetime.now(UTC)


def _side(mode: str, data: bytes, content_type: str, options: CaptureOptions) -> dict[str, str]:
    encoding = options.encoding(content_type)
    try:
        text = data.decode() if encoding != "BASE64" else base64.b64encode(data).decode()
    except UnicodeDecodeError:
        encoding, text = "BASE64", base64.b64encode(data).decode()
    return {"observedContentType": content_type, "mode": mode, "data": text, "encoding": encoding}


def _bare(content_type: str) -> str:
    """Without parameters: `text/csv; charset=utf-8` is `text/csv`."""
    return content_type.partition(";")[0].strip().lower()
