"""Endpoints and predictions over stubbed clients."""

import io
import json

import pytest
from botocore.exceptions import ClientError
from botocore.response import StreamingBody
from PIL import Image

from lambdas.deployer import handler as deployer
from pipeline import endpoints, environments, predictions, smoke
from pipeline.endpoints import NoEndpointError
from pipeline.predictions import PredictError, Prediction
from pipeline.registry import Package

ARN = "arn:aws:sagemaker:us-east-1:123456789012:"
PACKAGE = f"{ARN}model-package/scones/1"


@pytest.fixture
def package(now):
    return Package(PACKAGE, 1, "Approved", now)


def described(now, name, status="InService", **more):
    return {
        "EndpointName": name,
        "EndpointArn": f"{ARN}endpoint/{name}",
        "EndpointConfigName": f"{name}-config",
        "EndpointStatus": status,
        "CreationTime": now,
        "LastModifiedTime": now,
        **more,
    }


def config(now, name, model):
    return {
        "EndpointConfigName": name,
        "EndpointConfigArn": f"{ARN}endpoint-config/{name}",
        "ProductionVariants": [{"VariantName": "AllTraffic", "ModelName": model}],
        "CreationTime": now,
    }


def missing(clients, operation):
    clients.refuse("sagemaker", operation, "ValidationException", 'Could not find endpoint "arn:..."')


def test_names_are_unique_and_fit():
    names = {deployer.unique_name("x" * 42) for _ in range(50)}
    assert len(names) > 45  # 16 random bits within one second
    assert all(deployer.is_ours(name, "x" * 42) and len(name) <= 63 for name in names)


@pytest.mark.parametrize(
    "name", ["scones-eu-{}", "scones-clarify-{}", "xscones-{}", "scones-{}-x", "scones-mine"]
)
def test_another_installations_names_are_not_ours(name):
    own = deployer.unique_name("scones").removeprefix("scones-")
    assert not deployer.is_ours(name.format(own), "scones")


def test_delete_takes_exactly_what_belongs_to_it(clients, now):
    clients.expect("sagemaker", "describe_endpoint", described(now, "e"))
    clients.expect("sagemaker", "describe_endpoint_config", config(now, "e-config", "m"))
    clients.expect("sagemaker", "delete_endpoint", {}, {"EndpointName": "e"})
    clients.expect("sagemaker", "delete_endpoint_config", {}, {"EndpointConfigName": "e-config"})
    clients.expect("sagemaker", "delete_model", {}, {"ModelName": "m"})
    assert endpoints.delete(clients("sagemaker"), "e") == [
        "endpoint e",
        "endpoint config e-config",
        "model m",
    ]


def test_delete_finishes_what_was_cut_short(clients):
    missing(clients, "describe_endpoint")
    missing(clients, "describe_endpoint_config")
    missing(clients, "delete_endpoint")
    missing(clients, "delete_endpoint_config")
    clients.expect("sagemaker", "delete_model", {}, {"ModelName": "e"})
    assert endpoints.delete(clients("sagemaker"), "e") == ["model e"]


def test_delete_of_nothing(clients):
    for operation in (
        "describe_endpoint",
        "describe_endpoint_config",
        "delete_endpoint",
        "delete_endpoint_config",
        "delete_model",
    ):
        missing(clients, operation)
    with pytest.raises(NoEndpointError, match="there is no endpoint e: see `scones endpoint list`"):
        endpoints.delete(clients("sagemaker"), "e")


def test_list_is_by_prefix(clients, now):
    own, other = deployer.unique_name("scones"), deployer.unique_name("other-scones")
    found = [described(now, name) for name in (own, other)]
    keys = ("EndpointName", "EndpointArn", "CreationTime", "LastModifiedTime", "EndpointStatus")
    clients.expect(
        "sagemaker", "list_endpoints", {"Endpoints": [{key: e[key] for key in keys} for e in found]}
    )
    assert [e.name for e in endpoints.endpoints(clients("sagemaker"), "scones")] == [own]


def test_no_endpoint_in_service(clients, settings):
    clients.expect("sagemaker", "list_endpoints", {"Endpoints": []})
    with pytest.raises(NoEndpointError, match="the environment dev has no endpoint in service"):
        environments.chosen(clients, settings, None)


def expect_answer(clients, probabilities):
    content = json.dumps(probabilities).encode()
    answer = {"Body": StreamingBody(io.BytesIO(content), len(content)), "ContentType": "application/json"}
    clients.expect("sagemaker-runtime", "invoke_endpoint", answer)


def expect_classes(clients, now, classes):
    clients.expect("sagemaker", "describe_endpoint", described(now, "e"))
    clients.expect("sagemaker", "describe_endpoint_config", config(now, "e-config", "m"))
    model = {
        "ModelName": "m",
        "Containers": [{"ModelPackageName": PACKAGE}],
        "CreationTime": now,
        "ModelArn": f"{ARN}model/m",
    }
    clients.expect("sagemaker", "describe_model", model)
    package = {
        "ModelPackageName": "scones",
        "ModelPackageArn": PACKAGE,
        "CreationTime": now,
        "ModelPackageStatus": "Completed",
        "ModelPackageStatusDetails": {"ValidationStatuses": []},
        "CustomerMetadataProperties": {"classes": classes},
    }
    clients.expect("sagemaker", "describe_model_package", package)


def test_prediction_has_the_packages_classes(clients, settings, now):
    expect_classes(clients, now, "bus tank train")
    expect_answer(clients, [0.1, 0.7, 0.2])
    answer = predictions.predict(clients, settings, "e", b"png", "image/png")
    assert answer == Prediction(("bus", "tank", "train"), (0.1, 0.7, 0.2))
    assert (answer.predicted, answer.confidence) == ("tank", 0.7)


def test_prediction_of_another_model_is_refused(clients, settings, now):
    expect_classes(clients, now, "bus tank")
    expect_answer(clients, [0.1, 0.7, 0.2])
    with pytest.raises(PredictError, match="3 probabilities for the 2 classes bus, tank"):
        predictions.predict(clients, settings, "e", b"png", "image/png")


@pytest.mark.parametrize(
    ("code", "message", "error", "said"),
    [
        (
            "ValidationError",
            "Endpoint e of account 123456789012 not found.",
            NoEndpointError,
            "no endpoint e",
        ),
        ("ModelError", "Received client error (415)", PredictError, "the model at e refused the request"),
        ("ThrottlingException", "slow down", ClientError, "slow down"),
    ],
)
def test_refused_invocations(clients, code, message, error, said):
    clients.refuse("sagemaker-runtime", "invoke_endpoint", code, message)
    with pytest.raises(error, match=said):
        predictions.invoke(clients("sagemaker-runtime"), "e", b"", "image/png")


@pytest.mark.parametrize(
    ("answer", "good"), [([0.4, 0.6], True), ([0.4, 0.5], False), ([0.2, 0.3, 0.5], False)]
)
def test_smoke_test(clients, settings, now, answer, good):
    expect_classes(clients, now, "a b")
    expect_answer(clients, answer)
    if good:
        smoke.ask_about_noise(clients, settings, "e")
    else:
        with pytest.raises(PredictError, match="not 2 probabilities"):
            smoke.ask_about_noise(clients, settings, "e")


def test_noise_is_a_picture_and_repeatable():
    png = smoke.noise_png(16, seed=3)
    assert Image.open(io.BytesIO(png)).size == (16, 16)
    assert png == smoke.noise_png(16, seed=3) != smoke.noise_png(16, seed=4)
