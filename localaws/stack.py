"""What every part of the local AWS is handed: where the stack is, and how to reach its services."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localaws.identities import ADMINISTRATOR, access_key

if TYPE_CHECKING:
    from localaws.calls import CallLog
    from localaws.sagemaker.store import Store

ACCOUNT = "123456789012"
REGION = "us-east-1"


def client_environment(endpoint_url: str, region: str = REGION, role: str | None = None) -> dict[str, str]:
    """The variables that make any AWS client talk to this stack instead of AWS; under a role, if named."""
    return {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_ACCESS_KEY_ID": access_key(role),
        "AWS_SECRET_ACCESS_KEY": ADMINISTRATOR,  # nobody checks signatures here
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@dataclass(frozen=True)
class Stack:
    """One running local AWS.

    Attributes:
        root: the state folder; each service keeps what is its own in a folder below it.
        port: the gateway's port on 127.0.0.1.
        store: SageMaker's documents.
        calls: where what each role asks for is noted, if anywhere.
    """

    root: Path
    port: int
    store: Store
    region: str = REGION
    account: str = ACCOUNT
    calls: CallLog | None = None

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def folder(self, *names: str) -> Path:
        """A folder of the stack's own, made if it is not there."""
        path = self.root.joinpath(*names)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def arn(self, resource: str, service: str = "sagemaker") -> str:
        """`arn("pipeline/x")` is `arn:aws:sagemaker:<region>:<account>:pipeline/x`."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"

    def client(self, service: str, role: str | None = None) -> Any:
        """The boto3 client that talks to this stack over HTTP, as any other would, under the role.

        All who ask share it: clients are thread-safe, and slow to make.
        """
        return _client(self, service, role)

    def new_client(self, service: str, role: str | None = None, **config: Any) -> Any:
        """One that is nobody else's; `config` goes to botocore's Config."""
        import boto3
        from botocore.config import Config

        session = boto3.session.Session(
            aws_access_key_id=access_key(role),
            aws_secret_access_key=ADMINISTRATOR,
            region_name=self.region,
        )
        settings = {"retries": {"max_attempts": 3, "mode": "standard"}, "max_pool_connections": 32, **config}
        return session.client(service, endpoint_url=self.endpoint_url, config=Config(**settings))

    def client_environment(self, role: str | None = None) -> dict[str, str]:
        """What a child process needs to talk to this stack under the role."""
        return client_environment(self.endpoint_url, self.region, role)

    def child_environment(self, role: str | None = None) -> dict[str, str]:
        """A small clean environment for a child process: a path, a locale, and the way to this stack."""
        kept = {
            name: os.environ[name]
            for name in ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR")
            if name in os.environ
        }
        return kept | self.client_environment(role)


@lru_cache(maxsize=128)
def _client(stack: Stack, service: str, role: str | None) -> Any:
    return stack.new_client(service, role)
