"""Which place requests go to, whatever the environment says beside the settings."""

from __future__ import annotations

import pytest

from localaws.stack import client_environment
from pipeline.clients import EndpointUrlError, connect
from pipeline.settings import load

HERE = "http://127.0.0.1:4566"


@pytest.fixture
def place(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"):
        monkeypatch.delenv(name, raising=False)

    def choose(target, **variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        settings = load(target=target, bucket="scones-test", role_arn="arn:aws:iam::123456789012:role/x")
        return connect(settings)("s3").meta.endpoint_url

    return choose


def test_the_exports_of_the_local_aws_are_not_taken_for_the_account(place):
    with pytest.raises(EndpointUrlError, match=f"the local AWS's .{HERE}.: use a shell without its exports"):
        place("aws", **client_environment(HERE))


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_the_account_may_be_reached_by_another_address(place, name):
    address = "https://bucket.vpce-1.s3.us-east-1.vpce.amazonaws.com"
    assert place("aws", **{name: address}) == address


@pytest.mark.parametrize(
    "variable",
    [{"AWS_ENDPOINT_URL_S3": "http://10.0.0.9:9000"}, {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}],
)
def test_nothing_of_the_local_aws_goes_elsewhere(place, variable):
    assert place("local", AWS_ENDPOINT_URL=HERE, **variable) == HERE
