"""Deployment over HTTP: made, updated, refused by its test, rolled back, promoted, on approval, deleted."""

import io
import json

import pytest
from botocore.exceptions import ClientError
from PIL import Image
from typer.testing import CliRunner

from lambdas.deployer import handler as deployer
from pipeline import (
    approval,
    autoscaling,
    cli,
    deployment,
    endpoint_template,
    endpoints,
    environments,
    registry,
)
from pipeline import clients as clients_module
from pipeline import settings as settings_module
from pipeline.endpoints import DeployError, NoEndpointError
from pipeline.hosting import Hosting
from tests.functional.endpoints import IMAGE, archive
from tests.waiting import wait_for
from workflows import deploy as stack
from workflows import stacks

NAME = "deployment-tests"

# Calls a picture by its colour; `flip` makes a model that calls each by the other name.
INFERENCE = """
import io, json, pathlib
import numpy, PIL.Image

def model_fn(model_dir):
    return pathlib.Path(model_dir, "name.txt").read_text()

def input_fn(body, content_type):
    return numpy.asarray(PIL.Image.open(io.BytesIO(body)).convert("RGB"), dtype=float)

def predict_fn(data, model):
    red = bool(data[..., 0].mean() > data[..., 2].mean()) != (model == "flip")
    answer = [0.9, 0.1] if red else [0.1, 0.9]
    return {"probabilities": answer} if model == "wordy" else answer

def output_fn(prediction, accept):
    return json.dumps(prediction)
"""


def png(colour):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, "PNG")
    return buffer.getvalue()


class World:
    def __init__(self):
        self.settings = self.of("dev")
        self.clients = clients_module.connect(self.settings)
        self.sagemaker, self.s3 = self.clients("sagemaker"), self.clients("s3")
        self.s3.create_bucket(Bucket=NAME)
        self.sagemaker.create_model_package_group(ModelPackageGroupName=NAME)
        lines = []
        for colour, label in (("red", "bicycle"), ("blue", "motorcycle")):
            self.put(f"run/validation/{colour}.png", png(colour))
            lines.append(json.dumps({"file": f"{colour}.png", "class": label, "predicted": label}))
        self.put("run/evaluation/predictions.jsonl", "\n".join(lines).encode())
        self.put("run/evaluation/evaluation.json", b"{}")
        self.put("run/statistics/statistics.json", b"{}")

    def of(self, environment, network=None, **hosting):
        given = {"environments": {environment: Hosting(**hosting)}} if hosting else {}
        return settings_module.load(
            bucket=NAME,
            model_package_group=NAME,
            endpoint_name_prefix=NAME,
            role_arn="arn:aws:iam::123456789012:role/scones-execution",
            environment=environment,
            **({"environments": {environment: Hosting()}} | given | (network or {})),
        )

    def put(self, key, body):
        self.s3.put_object(Bucket=NAME, Key=key, Body=body)

    def package(self, name, status="Approved"):
        self.put(f"{name}/model.tar.gz", archive({"code/inference.py": INFERENCE, "name.txt": name}))
        source = {"ContentType": "application/json"}
        made = self.sagemaker.create_model_package(
            ModelPackageGroupName=NAME,
            ModelApprovalStatus=status,
            InferenceSpecification={
                "Containers": [{"Image": IMAGE, "ModelDataUrl": f"s3://{NAME}/{name}/model.tar.gz"}],
                "SupportedContentTypes": ["image/png"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
            ModelMetrics={
                "ModelQuality": {
                    "Statistics": {**source, "S3Uri": f"s3://{NAME}/run/evaluation/evaluation.json"}
                },
                "ModelDataQuality": {
                    "Statistics": {**source, "S3Uri": f"s3://{NAME}/run/statistics/statistics.json"}
                },
            },
            CustomerMetadataProperties={
                "classes": "bicycle motorcycle",
                "code_revision": "abc123",
                "data_sha256": "d" * 64,
            },
        )["ModelPackageArn"]
        return registry.find(self.sagemaker, NAME, made)

    def serving(self, endpoint):
        config = self.sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"]
        return deployment.deployer.deployed_package(self.sagemaker, config)

    def tags(self, arn):
        return {tag["Key"]: tag["Value"] for tag in self.sagemaker.list_tags(ResourceArn=arn)["Tags"]}

    def left(self):
        """All configs and models of these tests; an endpoint takes its time to go."""
        calls = (("endpoint_configs", "EndpointConfig"), ("models", "Model"))
        return {
            item[f"{member}Name"]
            for call, member in calls
            for item in getattr(self.sagemaker, f"list_{call}")(NameContains=NAME)[f"{member}s"]
        }


@pytest.fixture(scope="module")
def world(local_aws):
    made = World()
    yield made
    for endpoint in endpoints.endpoints(made.sagemaker, NAME):
        if endpoint.status in ("InService", "Failed"):
            endpoints.delete_all(made.clients, made.settings, endpoint.name)


def test_an_endpoint_from_its_making_to_its_deletion(world):
    first, second, flipped, wordy = (world.package(name) for name in ("one", "two", "flip", "wordy"))
    settings = world.of("life", min_instances=2, max_instances=3, traffic="canary", step_percent=50)
    made = deployment.deploy(world.clients, settings, first)
    assert (made.outcome, made.action, made.smoke_test["correct"]) == ("InService", "create", 2)
    config = world.sagemaker.describe_endpoint_config(EndpointConfigName=made.config)
    assert config["DataCaptureConfig"]["EnableCapture"]
    assert world.tags(config["EndpointConfigArn"]) == {
        "scones:environment": "life",
        "scones:model-package-arn": first.arn,
        "scones:git-commit": "abc123",
        "scones:data-sha256": "d" * 64,
        "scones:endpoint": made.endpoint,
    }
    assert made.scaling["MaxCapacity"] == 3
    assert len(world.clients("cloudwatch").describe_alarms(AlarmNames=made.alarms)["MetricAlarms"]) == 5

    updated = deployment.deploy(world.clients, settings, second)
    assert (updated.endpoint, updated.action, updated.previous_package) == (
        made.endpoint,
        "update",
        first.arn,
    )
    assert world.serving(made.endpoint) == second.arn

    with pytest.raises(DeployError, match=r"goes on with .*smoke test failed: 2 of 2 images") as refused:
        deployment.deploy(world.clients, settings, flipped)
    assert refused.value.record.outcome == "Failed"
    assert world.serving(made.endpoint) == second.arn
    assert refused.value.record.config not in world.left()

    with pytest.raises(DeployError, match=r"goes on with .*answered b'\{\"probabilities\".* not a list of"):
        deployment.deploy(world.clients, settings, wordy)
    assert world.serving(made.endpoint) == second.arn

    back = deployment.rollback(world.clients, settings)
    assert (back.package, world.serving(made.endpoint)) == (first.arn, first.arn)
    with pytest.raises(NoEndpointError, match="no earlier package"):
        deployment.rollback(world.clients, settings)

    removed = endpoints.delete_all(world.clients, settings, made.endpoint)
    assert f"endpoint {made.endpoint}" in removed
    assert sum(what.startswith(("alarm", "scal")) for what in removed) == 7
    assert not {made.config, updated.config} & world.left()


def test_a_model_joins_the_vpc_without_a_network_of_its_own(world):
    network = {
        "subnet_ids": "subnet-0abc1234",
        "security_group_ids": "sg-0abc1234",
        "network_isolation": True,
    }
    made = deployment.deploy(world.clients, world.of("closed", network), world.package("closed"))
    model = world.sagemaker.describe_model(ModelName=made.config)
    assert model["EnableNetworkIsolation"]
    assert model["VpcConfig"] == {"Subnets": ["subnet-0abc1234"], "SecurityGroupIds": ["sg-0abc1234"]}


def test_what_may_serve_is_not_deleted_where_the_way_back_failed(world, monkeypatch):
    settings = world.of("stuck")
    made = deployment.deploy(world.clients, settings, world.package("before"))
    waited, answers = deployment._wait, []

    def failing(*arguments):
        answer = waited(*arguments)
        answers.append(answer)
        failed = {"EndpointStatus": "UpdateRollbackFailed"}
        return answer if len(answers) == 1 else answer | failed

    monkeypatch.setattr(deployment, "_wait", failing)
    with pytest.raises(
        DeployError, match=r"did not go back .* is UpdateRollbackFailed; nothing was"
    ) as refused:
        deployment.deploy(world.clients, settings, world.package("flip"))
    record = refused.value.record
    assert (record.outcome, record.config in world.left(), made.config in world.left()) == (
        "Failed",
        True,
        True,
    )
    assert "2 of 2 images" in record.reason


def test_a_way_back_that_is_refused_is_told_with_what_was_wrong(world, monkeypatch):
    settings = world.of("refused")
    made = deployment.deploy(world.clients, settings, world.package("served"))

    def refused(*_arguments):
        raise ClientError(
            {"Error": {"Code": "ThrottlingException", "Message": "slow down"}}, "UpdateEndpoint"
        )

    monkeypatch.setattr(deployment, "_go_back", refused)
    with pytest.raises(
        DeployError, match=r"is InService; nothing .* 2 of 2 .*; and then .*slow down"
    ) as told:
        deployment.deploy(world.clients, settings, world.package("flip"))
    assert told.value.record.outcome == "Failed"
    assert {told.value.record.config, made.config} <= world.left()


def test_what_could_not_be_deleted_is_told_with_what_was_wrong(world, monkeypatch):
    def refused(*_arguments):
        raise ClientError({"Error": {"Code": "ExpiredToken", "Message": "sign in"}}, "DeleteEndpoint")

    monkeypatch.setattr(deployment.endpoints, "delete_all", refused)
    with pytest.raises(
        DeployError, match=r"could not be deleted \(the AWS cred.* sign in again\): .*2 of 2"
    ) as told:
        deployment.deploy(world.clients, world.of("undeleted"), world.package("flip"))
    assert told.value.record.outcome == "Failed"


def test_somebody_elses_deployment_meanwhile_is_named(world, monkeypatch):
    settings = world.of("crowded")
    made = deployment.deploy(world.clients, settings, world.package("mine"))
    waited = deployment._wait
    monkeypatch.setattr(deployment, "_wait", lambda *a: waited(*a) | {"EndpointConfigName": "theirs"})
    with pytest.raises(
        DeployError, match=rf"{made.endpoint} serves theirs, which somebody else deployed; nothing"
    ):
        deployment.deploy(world.clients, settings, world.package("also-mine"))


def test_the_way_back_stays_when_a_package_is_deployed_once_more(world):
    settings = world.of("twice")
    first, second = world.package("earlier"), world.package("later")
    for package in (first, second, second):
        made = deployment.deploy(world.clients, settings, package)
    back = deployment.rollback(world.clients, settings)
    assert (back.package, back.endpoint) == (first.arn, made.endpoint)
    with pytest.raises(NoEndpointError, match="no earlier package"):  # not forward to what was left
        deployment.rollback(world.clients, settings)


def test_the_way_back_is_never_a_config_that_did_not_serve(world):
    """An update that somebody else began and an alarm undid leaves its config, the newest of all."""
    settings = world.of("leftover")
    sagemaker = world.clients("sagemaker")
    good, newer, failed = (world.package(name) for name in ("good", "newer", "failed"))
    made = deployment.deploy(world.clients, settings, good)

    def leave() -> str:
        name = deployer.unique_name(settings.endpoint_name_prefix)
        container = {"ModelPackageName": failed.arn}
        sagemaker.create_model(
            ModelName=name, PrimaryContainer=container, ExecutionRoleArn=settings.role("model")
        )
        (variant,) = sagemaker.describe_endpoint_config(EndpointConfigName=made.config)["ProductionVariants"]
        sagemaker.create_endpoint_config(
            EndpointConfigName=name,
            ProductionVariants=[variant | {"ModelName": name}],
            Tags=[{"Key": "scones:endpoint", "Value": made.endpoint}],
        )
        return name

    leave()
    with pytest.raises(NoEndpointError, match="no earlier package"):
        deployment.rollback(world.clients, settings)
    deployment.deploy(world.clients, settings, newer)
    left = leave()
    back = deployment.rollback(world.clients, settings)
    assert back.package == good.arn
    assert left in world.left()  # newer than what was rolled back from: somebody's, perhaps on its way


def test_an_endpoint_that_serves_somebody_elses_package_is_not_deleted(world, monkeypatch):
    waited = deployment._wait
    monkeypatch.setattr(deployment, "_wait", lambda *a: waited(*a) | {"EndpointConfigName": "theirs"})
    with pytest.raises(DeployError, match="serves theirs, which somebody else deployed; nothing") as told:
        deployment.deploy(world.clients, world.of("taken-over"), world.package("made"))
    assert told.value.record.action == "create"
    assert told.value.record.endpoint in world.left()


def test_what_serves_without_its_alarms_is_told(world, monkeypatch):
    refusal = {"Error": {"Code": "AccessDenied", "Message": "not you"}}

    def refused(*_arguments, **_options):
        raise ClientError(refusal, "PutMetricAlarm")

    monkeypatch.setattr(deployment.alarms, "ensure", refused)
    package = world.package("unwatched")
    with pytest.raises(
        DeployError, match=r"is in service at .*: alarms \(AWS refused PutMetricAlarm: not you\); when"
    ) as told:
        deployment.deploy(world.clients, world.of("unwatched"), package)
    record = told.value.record
    assert (record.outcome, record.ended is not None) == ("InService", True)
    assert world.serving(record.endpoint) == package.arn


def test_an_alarm_keeps_the_old_model(world):
    settings = world.of("alarming")
    old, new = world.package("old"), world.package("new")
    made = deployment.deploy(world.clients, settings, old)
    alarm = {"AlarmName": f"{made.endpoint}-5xx", "StateReason": "a test"}

    def rings(_record):  # once the update has begun
        world.clients("cloudwatch").set_alarm_state(StateValue="ALARM", **alarm)

    with pytest.raises(DeployError, match=rf"goes on with {old.arn}: .*{made.endpoint}-5xx is in ALARM"):
        deployment.deploy(world.clients, settings, new, rings)
    assert world.serving(made.endpoint) == old.arn

    mended = deployment.deploy(world.clients, settings, new)  # the alarm is of the old model's errors
    assert mended.raised_alarms == [alarm["AlarmName"]]
    assert world.serving(made.endpoint) == new.arn


def test_prod_takes_what_staging_serves(world):
    staging, prod = world.of("staging"), world.of("prod")
    first, other = world.package("staged"), world.package("other")
    with pytest.raises(NoEndpointError, match="staging has no endpoint in service"):
        environments.require_staged(world.clients, prod, first)
    deployment.deploy(world.clients, staging, first)
    with pytest.raises(DeployError, match="prod takes what staging serves"):
        environments.require_staged(world.clients, prod, other)
    deployment.deploy(world.clients, world.of("trial"), other)
    asked = CliRunner().invoke(
        cli.app,
        ["endpoint", "promote", "--from", "trial", "--yes"],
        env={f"SCONES_{name}": NAME for name in ("BUCKET", "MODEL_PACKAGE_GROUP", "ENDPOINT_NAME_PREFIX")},
    )
    assert isinstance(asked.exception, DeployError)
    assert "prod takes what staging serves" in str(asked.exception)
    package = environments.staged_package(world.clients, prod, "staging")
    made = deployment.deploy(world.clients, prod, package)
    assert (made.package, made.environment) == (first.arn, "prod")
    assert environments.chosen(world.clients, prod, None) == made.endpoint
    assert environments.chosen(world.clients, staging, None) not in (None, made.endpoint)


def test_approval_deploys_and_rejection_tells(world):
    settings = world.of("approved")
    plan = approval.plan(settings)
    outputs = stack.deploy(world.clients, plan).outputs
    again = stack.deploy(world.clients, plan)
    assert (again.outputs, again.changes) == (outputs, ())
    sqs = world.clients("sqs")
    queue = sqs.create_queue(QueueName=f"{NAME}-alarms")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    world.clients("sns").subscribe(TopicArn=outputs["TopicArn"], Protocol="sqs", Endpoint=arn)

    package = world.package("waiting", status="PendingManualApproval")
    registry.decide(world.sagemaker, package, "Approved")
    endpoint = wait_for(lambda: in_service(world, "approved"), "an endpoint in service")
    assert world.serving(endpoint) == package.arn

    registry.decide(world.sagemaker, package, "Rejected")
    message = wait_for(
        lambda: sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages"), "a message"
    )[0]
    assert f"{package.arn} was rejected and still serves at {endpoint}" in message["Body"]
    stacks.delete(world.clients("cloudformation"), plan.stack_name)


@pytest.fixture
def approve(world, monkeypatch):
    """Gives the function the event of a package's approval, in this process."""

    def call(environment, package, **detail):
        template = json.dumps(endpoint_template.template(world.of(environment)))
        monkeypatch.setenv("TEMPLATE", template)
        about = {"ModelPackageArn": package.arn, "ModelApprovalStatus": "Approved"}
        return deployer.lambda_handler({"detail": about | detail}, None)

    return call


def test_an_event_that_comes_late_or_twice_changes_nothing(world, approve):
    old, new = world.package("late-old"), world.package("late-new")
    made = deployment.deploy(world.clients, world.of("late"), old)
    assert approve("late", old)["reason"].startswith(new.arn)
    assert approve("late", new)["action"] == "updated"
    assert approve("late", new)["action"] == "none"  # while it goes on, and then
    wait_for(lambda: world.serving(made.endpoint) == new.arn, "the update")
    assert approve("late", new) == {"action": "none", "endpoint": made.endpoint}
    assert approve("late", old, UpdatedModelPackageFields=["ApprovalDescription"])["action"] == "none"
    world.sagemaker.update_model_package(ModelPackageArn=new.arn, ModelApprovalStatus="Rejected")
    assert approve("late", new)["reason"] == "it is not approved any more"
    world.sagemaker.update_model_package(ModelPackageArn=new.arn, ModelApprovalStatus="Approved")


def test_a_deployment_leaves_the_limits_that_the_schedule_has_set(world):
    schedule = [{"at": "cron(0 8 ? * MON-FRI *)", "min_instances": 2, "max_instances": 5}]
    settings = world.of("noon", min_instances=1, max_instances=3, schedule=schedule)
    made = deployment.deploy(world.clients, settings, world.package("noon-first"))
    scaling, ids = world.clients("application-autoscaling"), autoscaling.target(made.endpoint)

    def limits():
        (found,) = scaling.describe_scalable_targets(
            ServiceNamespace="sagemaker", ResourceIds=[ids["ResourceId"]]
        )["ScalableTargets"]
        return found["MinCapacity"], found["MaxCapacity"]

    assert limits() == (1, 3)
    scaling.register_scalable_target(**ids, MinCapacity=2, MaxCapacity=5)  # as at eight
    deployment.deploy(world.clients, settings, world.package("noon-second"))
    assert limits() == (2, 5)
    scaling.register_scalable_target(**ids, MinCapacity=1, MaxCapacity=9)  # by hand
    deployment.deploy(world.clients, settings, world.package("noon-third"))
    assert limits() == (1, 3)


def test_an_endpoint_that_is_changed_is_not_deleted_and_keeps_what_it_has(world, approve):
    settings = world.of("busy", min_instances=1, max_instances=3)
    made = deployment.deploy(world.clients, settings, world.package("busy-first"))
    second = world.package("busy-second")
    assert approve("busy", second)["action"] == "updated"
    with pytest.raises(DeployError, match=f"the endpoint {made.endpoint} is Updating: wait"):
        endpoints.delete_all(world.clients, settings, made.endpoint)
    scaling = world.clients("application-autoscaling")
    ids = [f"endpoint/{made.endpoint}/variant/AllTraffic"]
    assert scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=ids)["ScalableTargets"]
    wait_for(lambda: world.serving(made.endpoint) == second.arn, "the update")


def test_what_an_alarm_undid_is_no_way_back(world, approve):
    """The function does not wait for its update, so its config stays when an alarm undoes it."""
    settings = world.of("undone")
    first = world.package("undone-first")
    made = deployment.deploy(world.clients, settings, first)
    undone = world.package("undone-second")
    alarm = {"AlarmName": f"{made.endpoint}-5xx", "StateReason": "a test"}
    assert approve("undone", undone)["action"] == "updated"
    world.clients("cloudwatch").set_alarm_state(StateValue="ALARM", **alarm)
    wait_for(lambda: in_service(world, "undone"), "the end of the update")
    assert world.serving(made.endpoint) == first.arn
    world.clients("cloudwatch").set_alarm_state(StateValue="OK", **alarm)
    third = world.package("undone-third")
    deployment.deploy(world.clients, settings, third)
    assert deployment.rollback(world.clients, settings).package == first.arn


def in_service(world, environment):
    try:
        return environments.endpoint_of(world.clients, world.settings, environment)
    except NoEndpointError:
        return None
