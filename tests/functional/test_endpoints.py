"""Endpoints on the local AWS, over HTTP: model servers are real processes, models real archives on S3."""

import concurrent.futures
import json
import time
import uuid

import pytest
from botocore.exceptions import ClientError

from tests.functional.endpoints import BUCKET, IMAGE, Endpoints, archive
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def aws(client):
    client("s3").create_bucket(Bucket=BUCKET)
    return client


@pytest.fixture
def endpoint(aws):
    """Makes endpoints and their models by one call, and deletes the endpoints in the end."""
    made = Endpoints(aws)
    yield made
    for name in made.names:
        made.delete(name)


def test_an_endpoint_answers_with_its_model(endpoint):
    name, description = endpoint.create(endpoint.config(endpoint.model(environment={"COLOUR": "red"})))

    assert description["ProductionVariants"] == [
        {
            "VariantName": "AllTraffic",
            "DeployedImages": [{"SpecifiedImage": IMAGE, "ResolvedImage": IMAGE}],
            "CurrentWeight": 1.0,
            "DesiredWeight": 1.0,
            "CurrentInstanceCount": 1,
            "DesiredInstanceCount": 1,
        }
    ]
    assert "DataCaptureConfig" not in description
    answer = endpoint.invoke(name, Accept="application/json")
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert answer["ContentType"] == "application/json"
    said = json.loads(answer["Body"].read())
    assert (said["model"], said["bytes"], said["colour"]) == ("one", 5, "red")


@pytest.mark.parametrize(
    ("body", "content_type", "status", "whose", "says"),
    [
        (b"x", "image/broken", 400, "client", "the body is no image"),
        (b"bug", "image/png", 500, "server", "a bug in the model"),
    ],
)
def test_a_models_error_is_told_as_sagemaker_tells_it(endpoint, body, content_type, status, whose, says):
    name, _ = endpoint.create(endpoint.config(endpoint.model()))

    with pytest.raises(ClientError) as failure:
        endpoint.invoke(name, body, content_type)

    answer = failure.value.response
    assert answer["Error"]["Code"] == "ModelError"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert answer["OriginalStatusCode"] == status
    assert answer["OriginalMessage"] == says
    assert answer["LogStreamArn"].endswith(f"log-group:/aws/sagemaker/Endpoints/{name}")
    assert answer["Error"]["Message"].startswith(
        f'Received {whose} error ({status}) from primary with message "{says}". See https://'
    )


def test_an_endpoint_that_is_not_there(endpoint):
    with pytest.raises(ClientError) as failure:
        endpoint.invoke("nobody")
    assert failure.value.response["Error"] == {
        "Code": "ValidationError",
        "Message": "Endpoint nobody of account 123456789012 not found.",
    }
    with pytest.raises(ClientError, match=r'Could not find endpoint "arn:aws:.*endpoint/nobody"'):
        endpoint.describe("nobody")


def test_a_body_that_is_too_large(endpoint):
    name, _ = endpoint.create(endpoint.config(endpoint.model()))

    assert endpoint.ask(name, bytes(6 * 1024 * 1024))["bytes"] == 6 * 1024 * 1024
    with pytest.raises(ClientError) as failure:
        endpoint.invoke(name, bytes(6 * 1024 * 1024 + 1))
    assert failure.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413


def test_a_model_that_cannot_be_loaded_fails_the_endpoint(endpoint, aws):
    broken = endpoint.model(code="def model_fn(model_dir):\n    raise KeyError('weights')\n")

    name, description = endpoint.create(endpoint.config(broken), wait="Failed")

    assert description["FailureReason"] == (
        "The primary container for production variant AllTraffic did not pass the ping health check. "
        "Please check CloudWatch logs for this endpoint."
    )
    events = aws("logs").filter_log_events(logGroupName=f"/aws/sagemaker/Endpoints/{name}")["events"]
    assert any("KeyError: 'weights'" in event["message"] for event in events)
    assert events[0]["logStreamName"].startswith("AllTraffic/i-")
    with pytest.raises(ClientError, match="not found"):
        endpoint.invoke(name)


def test_an_archive_that_leads_out_of_its_folder_is_refused(endpoint):
    model = endpoint.model()
    endpoint.s3.put_object(
        Bucket=BUCKET, Key=f"{model}/model.tar.gz", Body=archive({"../../escaped.txt": "boo"})
    )

    _, description = endpoint.create(endpoint.config(model), wait="Failed")

    assert "escaped.txt" in description["FailureReason"]


def test_variants_share_the_traffic_by_weight_and_can_be_named(endpoint):
    name, _ = endpoint.create(
        endpoint.config(
            {"VariantName": "blue", "ModelName": endpoint.model("blue"), "InitialVariantWeight": 0.0},
            {"VariantName": "green", "ModelName": endpoint.model("green"), "InitialVariantWeight": 1.0},
        )
    )

    assert {endpoint.ask(name)["model"] for _ in range(10)} == {"green"}
    answer = endpoint.invoke(name, TargetVariant="blue")
    assert answer["InvokedProductionVariant"] == "blue"
    assert json.loads(answer["Body"].read())["model"] == "blue"
    with pytest.raises(ClientError, match="Variant red not found"):
        endpoint.invoke(name, TargetVariant="red")

    endpoint.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=name,
        DesiredWeightsAndCapacities=[
            {"VariantName": "blue", "DesiredWeight": 1.0, "DesiredInstanceCount": 2},
            {"VariantName": "green", "DesiredWeight": 0.0},
        ],
    )
    found = endpoint.wait(name, "InService")
    assert [variant["CurrentInstanceCount"] for variant in found["ProductionVariants"]] == [2, 1]
    assert {endpoint.ask(name)["model"] for _ in range(10)} == {"blue"}


def test_an_update_serves_without_a_gap(endpoint):
    name, _ = endpoint.create(endpoint.config(endpoint.model("old")))
    slow = "import time; time.sleep(2)\n" + endpoint.inference
    config = endpoint.config(endpoint.model("new", code=slow))
    endpoint.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=config)
    updating = endpoint.describe(name)

    seen = []
    while endpoint.describe(name)["EndpointStatus"] != "InService":
        seen.append(endpoint.ask(name)["model"])

    assert updating["EndpointStatus"] == "Updating"
    assert updating["PendingDeploymentSummary"]["EndpointConfigName"] == config
    assert "old" in seen
    assert endpoint.ask(name)["model"] == "new"
    assert endpoint.describe(name)["EndpointConfigName"] == config


def test_a_failing_update_leaves_the_old_model_serving(endpoint):
    config = endpoint.config(endpoint.model("old"))
    name, _ = endpoint.create(config)
    pid = endpoint.ask(name)["pid"]
    broken = endpoint.config(endpoint.model(code="raise SystemExit(1)"))

    endpoint.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=broken)
    found = endpoint.wait(name, "InService")

    assert found["EndpointConfigName"] == config
    assert "did not pass the ping health check" in found["FailureReason"]
    assert "PendingDeploymentSummary" not in found
    assert endpoint.ask(name)["pid"] == pid


def test_a_model_server_that_dies_is_started_again(endpoint):
    name, _ = endpoint.create(endpoint.config(endpoint.model()))
    before = endpoint.ask(name)["pid"]

    with pytest.raises(ClientError) as failure:
        endpoint.invoke(name, content_type="image/crash")

    assert failure.value.response["Error"]["Code"] == "ModelError"
    assert failure.value.response["OriginalStatusCode"] == 0
    assert endpoint.ask(name)["model"] == "one"  # waits for the new process
    assert endpoint.describe(name)["EndpointStatus"] == "InService"
    assert before


def test_requests_are_answered_at_the_same_time(endpoint):
    name, _ = endpoint.create(
        endpoint.config(endpoint.model(environment={"SAGEMAKER_MODEL_SERVER_WORKERS": "4"}))
    )
    started = time.monotonic()

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: endpoint.ask(name, b"0.5", "image/slow"), range(4)))

    assert time.monotonic() - started < 1.5


def test_a_busy_or_taken_name_is_refused(endpoint):
    config = endpoint.config(endpoint.model())
    name = f"endpoint-{uuid.uuid4().hex[:8]}"
    endpoint.names.append(name)
    endpoint.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)

    with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
        endpoint.sagemaker.delete_endpoint(EndpointName=name)
    endpoint.wait(name, "InService")
    with pytest.raises(ClientError, match="Cannot create already existing endpoint"):
        endpoint.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)


def test_deleting_an_endpoint_ends_its_processes_and_nothing_else(endpoint, local_aws):
    config = endpoint.config(endpoint.model())
    name, _ = endpoint.create(config)
    folder = local_aws.state_dir / "endpoints" / name
    assert folder.exists()

    endpoint.delete(name)

    assert not folder.exists()
    assert endpoint.sagemaker.describe_endpoint_config(EndpointConfigName=config)
    with pytest.raises(ClientError, match="not found"):
        endpoint.invoke(name)


def test_a_serverless_variant_is_served_and_has_no_instances(endpoint):
    serverless = {"MemorySizeInMB": 2048, "MaxConcurrency": 5}
    variant = {"ModelName": endpoint.model(), "ServerlessConfig": serverless}

    name, description = endpoint.create(endpoint.config(variant))

    (summary,) = description["ProductionVariants"]
    assert summary["CurrentServerlessConfig"] == serverless
    assert "CurrentInstanceCount" not in summary
    assert endpoint.ask(name)["model"] == "one"


CAPTURE = {
    "EnableCapture": True,
    "InitialSamplingPercentage": 100,
    "DestinationS3Uri": f"s3://{BUCKET}/capture",
    "CaptureOptions": [{"CaptureMode": "Input"}],
}
SERVERLESS = {"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}


@pytest.mark.parametrize(
    ("variants", "members", "says"),
    [
        ([{"ModelName": "nobody"}], {}, "Could not find model"),
        ([{}], {}, "names no model"),
        ([{"VariantName": "a"}, {"VariantName": "a"}], {}, "must be unique: a, a"),
        ([{**SERVERLESS, "InstanceType": "ml.m5.large"}], {}, "either an InstanceType or a ServerlessConfig"),
        ([SERVERLESS], {"DataCaptureConfig": CAPTURE}, "not supported for serverless"),
        (
            [{}],
            {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://b/out"}}},
            "AsyncInferenceConfig is not one of",
        ),
    ],
)
def test_a_config_that_cannot_be_served_is_refused(endpoint, variants, members, says):
    model = {} if says == "names no model" else {"ModelName": endpoint.model()}

    with pytest.raises(ClientError, match=says):
        endpoint.config(*({**model, **variant} for variant in variants), **members)


def test_captured_records_are_complete_and_in_sagemakers_layout(endpoint):
    config = endpoint.config(
        endpoint.model(),
        DataCaptureConfig={
            **CAPTURE,
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
            "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
        },
    )
    name, description = endpoint.create(config)
    assert description["DataCaptureConfig"] == {
        "EnableCapture": True,
        "CaptureStatus": "Started",
        "CurrentSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{BUCKET}/capture",
        "KmsKeyId": "",
    }

    answers = [endpoint.invoke(name, f"image {n}".encode(), InferenceId=f"id-{n}") for n in range(20)]
    bodies = [answer["Body"].read().decode() for answer in answers]
    with pytest.raises(ClientError, match="the body is no image"):
        endpoint.invoke(name, content_type="image/broken")  # what the model refused is not captured
    endpoint.delete(name)  # writes what is left

    lines = endpoint.captured(name)
    assert len(lines) == 20
    assert {line["eventMetadata"]["inferenceId"] for line in lines} == {f"id-{n}" for n in range(20)}
    by_id = {line["eventMetadata"]["inferenceId"]: line["captureData"] for line in lines}
    assert by_id["id-3"]["endpointInput"] == {
        "observedContentType": "image/png",
        "mode": "INPUT",
        "data": "aW1hZ2UgMw==",
        "encoding": "BASE64",
    }
    assert by_id["id-3"]["endpointOutput"] == {
        "observedContentType": "application/json",
        "mode": "OUTPUT",
        "data": bodies[3],
        "encoding": "JSON",
    }


def test_invocations_are_counted_in_cloudwatch(endpoint, aws):
    name, _ = endpoint.create(endpoint.config(endpoint.model()))
    for _ in range(3):
        endpoint.invoke(name)
    with pytest.raises(ClientError, match="the body is no image"):
        endpoint.invoke(name, content_type="image/broken")

    def total(metric):
        now = time.time()
        points = aws("cloudwatch").get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName=metric,
            Dimensions=[
                {"Name": "EndpointName", "Value": name},
                {"Name": "VariantName", "Value": "AllTraffic"},
            ],
            StartTime=now - 600,
            EndTime=now + 60,
            Period=3600,
            Statistics=["Sum"],
        )["Datapoints"]
        return sum(point["Sum"] for point in points)

    assert wait_for(lambda: total("Invocations"), "four", 10, until=lambda number: number >= 4) == 4
    assert total("Invocation4XXErrors") == 1
    assert total("Invocation5XXErrors") == 0
    assert 0 < total("ModelLatency") < 60e6
