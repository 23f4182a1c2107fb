"""How a job's work is shared when it has several instances.

https://docs.aws.amazon.com/sagemaker/latest/dg/build-your-own-processing-container.html
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path

from processing.job import JobError

RESOURCES = Path("/opt/ml/config/resourceconfig.json")


class ResourcesError(JobError):
    """The file in which SageMaker names the job's instances cannot be read."""


@dataclass(frozen=True)
class Share:
    """The part of the S3 keys that this instance writes: `number` of `count`, from 0."""

    number: int = 0
    count: int = 1

    def has(self, key: str) -> bool:
        """Whether this instance writes `key`. Every key belongs to exactly one instance."""
        return zlib.crc32(key.encode()) % self.count == self.number

    @property
    def leads(self) -> bool:
        """Whether this is the instance that writes what cannot be shared."""
        return self.number == 0


WHOLE = Share()


def this_instance(path: Path = RESOURCES) -> Share:
    """From SageMaker's resourceconfig.json; all of it where there is none. Raises `ResourcesError`."""
    try:
        resources = json.loads(path.read_text(encoding="utf-8"))
        hosts = sorted(resources["hosts"])
        return Share(hosts.index(resources["current_host"]), len(hosts))
    except FileNotFoundError:
        return WHOLE
    except (ValueError, KeyError, TypeError):
        raise ResourcesError(f"{path} does not name the job's hosts and the current one") from None
