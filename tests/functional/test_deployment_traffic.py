"""Updates of an endpoint by DeploymentConfig: shares, baking, alarms, and what serves meanwhile."""

import threading
import time

import pytest
from botocore.exceptions import ClientError

from tests.functional.endpoints import BUCKET, Endpoints

BROKEN = Endpoints.inference.replace("return {", "raise RuntimeError('worse than before')\n    return {")


@pytest.fixture(scope="module")
def hosting(client):
    made = Endpoints(client)
    made.s3.create_bucket(Bucket=BUCKET) if BUCKET not in _buckets(made.s3) else None
    yield made
    for name in made.names:
        made.delete(name)


def _buckets(s3):
    return {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}


def two(model):
    return {"ModelName": model, "InitialInstanceCount": 2}


def blue_green(kind, wait=0, alarms=(), **sizes):
    routing = {"Type": kind, "WaitIntervalInSeconds": wait, **sizes}
    policy = {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": 0}
    rollback = {"Alarms": [{"AlarmName": name} for name in alarms]}
    return {
        "BlueGreenUpdatePolicy": policy,
        **({"AutoRollbackConfiguration": rollback} if alarms else {}),
    }


HALF = {"Type": "CAPACITY_PERCENT", "Value": 50}


def alarm(client, name, endpoint, metric="Invocation5XXErrors"):
    client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        Namespace="AWS/SageMaker",
        MetricName=metric,
        Dimensions=[
            {"Name": "EndpointName", "Value": endpoint},
            {"Name": "VariantName", "Value": "AllTraffic"},
        ],
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=0,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
    )


def models_that_answer(hosting, name, calls):
    return {hosting.ask(name)["model"] for _ in range(calls)}


def test_canary_serves_both_models_then_the_new_one(hosting):
    name, _ = hosting.create(hosting.config(two(hosting.model("old"))))
    update = hosting.config(two(hosting.model("new")))
    hosting.sagemaker.update_endpoint(
        EndpointName=name,
        EndpointConfigName=update,
        DeploymentConfig=blue_green("CANARY", wait=3, CanarySize=HALF),
    )
    seen, deadline = set(), time.monotonic() + 20
    while seen != {"old", "new"}:
        seen |= models_that_answer(hosting, name, 5)
        assert time.monotonic() < deadline
    assert hosting.describe(name)["EndpointStatus"] == "Updating"
    found = hosting.wait_until(name, lambda found: found["EndpointStatus"] == "InService")
    assert found["EndpointConfigName"] == update
    assert models_that_answer(hosting, name, 10) == {"new"}


def test_errors_of_the_new_model_raise_the_alarm_and_roll_back(hosting, client):
    first = hosting.config(two(hosting.model("good")))
    name, _ = hosting.create(first)
    alarm(client, f"{name}-5xx", name)
    hosting.sagemaker.update_endpoint(
        EndpointName=name,
        EndpointConfigName=hosting.config(two(hosting.model("bad", BROKEN))),
        DeploymentConfig=blue_green("LINEAR", wait=60, alarms=[f"{name}-5xx"], LinearStepSize=HALF),
    )
    stop = threading.Event()
    asking = threading.Thread(target=keep_asking, args=(hosting, name, stop))
    asking.start()
    try:
        found = hosting.wait_until(name, lambda found: found["EndpointStatus"] == "InService", 30)
    finally:
        stop.set()
        asking.join()
    assert found["EndpointConfigName"] == first
    assert f"{name}-5xx" in found["FailureReason"]
    assert models_that_answer(hosting, name, 10) == {"good"}


def keep_asking(hosting, name, stop):
    while not stop.wait(0.1):
        try:
            hosting.ask(name)
        except ClientError as error:
            assert error.response["Error"]["Code"] == "ModelError"  # noqa: PT017


def test_a_raised_alarm_lets_nothing_through(hosting, client):
    first = hosting.config(two(hosting.model("steady")))
    name, _ = hosting.create(first)
    alarm(client, f"{name}-any", name)
    client("cloudwatch").set_alarm_state(AlarmName=f"{name}-any", StateValue="ALARM", StateReason="a test")
    hosting.sagemaker.update_endpoint(
        EndpointName=name,
        EndpointConfigName=hosting.config(two(hosting.model("never"))),
        DeploymentConfig=blue_green("ALL_AT_ONCE", alarms=[f"{name}-any"]),
    )
    found = hosting.wait_until(name, lambda found: found["EndpointStatus"] == "InService")
    assert (found["EndpointConfigName"], "never" in models_that_answer(hosting, name, 5)) == (first, False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (blue_green("CANARY", CanarySize={"Type": "CAPACITY_PERCENT", "Value": 80}), "at most half"),
        (blue_green("CANARY"), "needs a CanarySize"),
        (blue_green("ALL_AT_ONCE", alarms=["nowhere"]), "there is no alarm nowhere"),
    ],
)
def test_refused_deployment_configs(hosting, options, message):
    if not hosting.names:
        hosting.create(hosting.config(two(hosting.model("any"))))
    name = hosting.names[0]
    config = hosting.describe(name)["EndpointConfigName"]
    with pytest.raises(ClientError, match=message):
        hosting.sagemaker.update_endpoint(
            EndpointName=name, EndpointConfigName=config, DeploymentConfig=options
        )
