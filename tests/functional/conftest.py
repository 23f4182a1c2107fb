"""A real local AWS for the whole session: its own process, its own port, a temporary state folder.

def test_something(client):
    client("s3").create_bucket(Bucket="...")
"""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from localaws import control
from localaws.control import Running


@pytest.fixture(scope="session")
def local_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The session's local AWS. Everybody shares it: name what you make so that it cannot collide."""
    state_dir = tmp_path_factory.mktemp("local-aws")
    running = control.up(state_dir)
    previous = dict(os.environ)
    os.environ.update(running.environment())
    yield running
    os.environ.clear()
    os.environ.update(previous)
    control.down(state_dir)


@pytest.fixture(scope="session")
def endpoint_url(local_aws: Running) -> str:
    return local_aws.endpoint_url


@pytest.fixture(scope="session")
def client(local_aws: Running) -> Callable[..., Any]:
    """`client("s3")`: a boto3 client that talks to it; keywords go to botocore's Config."""
    made: dict[str, Any] = {}

    def make(service: str, **config: Any) -> Any:
        key = f"{service} {sorted(config.items())}"
        if key not in made:
            made[key] = make_client(local_aws.endpoint_url, service, **config)
        return made[key]

    return make


@pytest.fixture
def bucket(client: Callable[..., Any]) -> str:
    """A bucket of the test's own."""
    name = f"jobs-{uuid.uuid4().hex[:8]}"
    client("s3").create_bucket(Bucket=name)
    return name


def make_client(endpoint_url: str, service: str, **config: Any) -> Any:
    session = boto3.session.Session(
        aws_access_key_id="local", aws_secret_access_key="local", region_name="us-east-1"
    )
    return session.client(service, endpoint_url=endpoint_url, config=Config(**config))


class OwnAws:
    """A local AWS of a test's own, which it may kill and start again."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.start()

    def client(self, service: str, **config: Any) -> Any:
        return make_client(self.running.endpoint_url, service, **config)

    def start(self) -> None:
        self.running = control.up(self.state_dir)

    def kill(self) -> None:
        os.kill(self.running.pid, signal.SIGKILL)

    def restart(self) -> None:
        """Killed, not stopped."""
        self.kill()
        self.start()


@pytest.fixture
def own_aws(tmp_path: Path) -> Iterator[OwnAws]:
    made = OwnAws(tmp_path / "state")
    yield made
    control.down(made.state_dir)
