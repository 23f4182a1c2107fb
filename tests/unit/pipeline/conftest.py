"""Settings that no variable of this machine reaches, and clients that answer as the service model says."""

import os
from datetime import UTC, datetime

import boto3
import pytest
from botocore.stub import Stubber

from pipeline import settings as settings_module

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture(scope="package", autouse=True)
def no_variables_of_this_machine():
    """No settings, no credentials and no endpoint but what a test sets itself."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("SCONES_", "AWS_", "SAGEMAKER_")):
                patch.delenv(name)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield


@pytest.fixture(autouse=True)
def empty_folder(monkeypatch, tmp_path):
    """As working directory: no settings file."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def settings():
    return settings_module.load()


@pytest.fixture
def now():
    return NOW


class StubbedClients:
    """Real boto3 clients whose requests and answers are checked against the service model, and never sent."""

    def __init__(self):
        self.session = boto3.Session(
            aws_access_key_id="x", aws_secret_access_key="x", region_name="us-east-1"
        )
        self.clients, self.stubs = {}, {}

    def __call__(self, service):
        if service not in self.clients:
            self.clients[service] = self.session.client(service)
            self.stubs[service] = Stubber(self.clients[service])
            self.stubs[service].activate()
        return self.clients[service]

    def expect(self, service, operation, answer, request=None):
        self(service)
        self.stubs[service].add_response(operation, answer, request)

    def refuse(self, service, operation, code, message=""):
        self(service)
        self.stubs[service].add_client_error(operation, code, message)

    def done(self):
        for stub in self.stubs.values():
            stub.assert_no_pending_responses()


@pytest.fixture
def clients():
    made = StubbedClients()
    yield made
    made.done()
