"""CloudFormation over HTTP, as a person would try it first; what it has not, it refuses by name."""

import io
import json
import uuid
import zipfile

import pytest
from botocore.exceptions import ClientError

from tests.waiting import wait_for

QUEUE = json.dumps({"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}})


@pytest.fixture
def cloudformation(client):
    return client("cloudformation")


def settled(cloudformation, stack_id):
    """The stack's status once nothing is in progress."""

    def status():
        (stack,) = cloudformation.describe_stacks(StackName=stack_id)["Stacks"]
        return None if stack["StackStatus"].endswith("_IN_PROGRESS") else stack["StackStatus"]

    return wait_for(status, "a settled stack")


def change(cloudformation, name, template):
    """Brings a stack that is there to the template."""
    change_set = cloudformation.create_change_set(
        StackName=name, ChangeSetName=f"c-{uuid.uuid4().hex}", TemplateBody=template
    )
    cloudformation.execute_change_set(ChangeSetName=change_set["Id"])
    assert settled(cloudformation, name) == "UPDATE_COMPLETE"


def test_stacks_are_listed_by_their_status_those_that_are_gone_too(cloudformation):
    made = cloudformation.create_stack(StackName="listed", TemplateBody=QUEUE)["StackId"]
    assert settled(cloudformation, made) == "CREATE_COMPLETE"

    def listed(*statuses):
        found = cloudformation.list_stacks(StackStatusFilter=statuses)["StackSummaries"]
        return {stack["StackId"]: stack["StackName"] for stack in found}

    assert listed("CREATE_COMPLETE")[made] == listed()[made] == "listed"
    assert made not in listed("DELETE_COMPLETE")
    cloudformation.delete_stack(StackName="listed")
    assert settled(cloudformation, made) == "DELETE_COMPLETE"
    assert made in listed("DELETE_COMPLETE")
    assert made not in listed("CREATE_COMPLETE")


def test_change_sets_of_a_stack_are_listed(cloudformation):
    cloudformation.create_change_set(
        StackName="proposed", ChangeSetName="first", ChangeSetType="CREATE", TemplateBody=QUEUE
    )
    (summary,) = cloudformation.list_change_sets(StackName="proposed")["Summaries"]
    assert (summary["ChangeSetName"], summary["ExecutionStatus"]) == ("first", "AVAILABLE")
    cloudformation.delete_stack(StackName="proposed")


@pytest.mark.parametrize(
    ("operation", "request_", "named"),
    [
        ("update_stack", {"StackName": "s", "TemplateBody": QUEUE}, "UpdateStack of CloudFormation"),
        ("delete_stack", {"StackName": "s", "RetainResources": ["Queue"]}, "RetainResources of DeleteStack"),
        (
            "create_stack",
            {"StackName": "s", "TemplateURL": "https://s3.amazonaws.com/b/k"},
            "TemplateURL of CreateStack",
        ),
        (
            "create_stack",
            {"StackName": "s", "TemplateBody": QUEUE, "DisableRollback": True},
            "DisableRollback of CreateStack",
        ),
        (
            "create_change_set",
            {
                "StackName": "s",
                "ChangeSetName": "c",
                "ChangeSetType": "CREATE",
                "TemplateBody": QUEUE,
                "Parameters": [{"ParameterKey": "P", "UsePreviousValue": True}],
            },
            "UsePreviousValue of Parameters",
        ),
        (
            "create_stack",
            {
                "StackName": "s",
                "TemplateBody": json.dumps(
                    json.loads(QUEUE) | {"Outputs": {"O": {"Value": "v", "Export": {"Name": "n"}}}}
                ),
            },
            "Export in templates",
        ),
    ],
)
def test_what_it_does_not_have_is_refused_by_name(cloudformation, operation, request_, named):
    with pytest.raises(ClientError, match=f"The local AWS does not have {named}"):
        getattr(cloudformation, operation)(**request_)


def test_a_member_that_turns_nothing_on_is_not_refused(cloudformation):
    made = cloudformation.create_stack(StackName="plain", TemplateBody=QUEUE, DisableRollback=False)
    assert settled(cloudformation, made["StackId"]) == "CREATE_COMPLETE"
    cloudformation.delete_stack(StackName="plain")


def test_what_an_update_of_a_bucket_does_not_name_stays_as_it_was(client, cloudformation):
    def bucket(**changed):
        kept = {
            "PublicAccessBlockConfiguration": {
                "BlockPublicAcls": True,
                "BlockPublicPolicy": True,
                "IgnorePublicAcls": True,
                "RestrictPublicBuckets": True,
            },
            "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
            "BucketEncryption": {
                "ServerSideEncryptionConfiguration": [
                    {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
                ]
            },
        }
        properties = {"BucketName": "updated-bucket"} | kept | changed
        return json.dumps({"Resources": {"B": {"Type": "AWS::S3::Bucket", "Properties": properties}}})

    def settings():
        s3, place = client("s3"), {"Bucket": "updated-bucket"}
        return (
            s3.get_public_access_block(**place)["PublicAccessBlockConfiguration"],
            s3.get_bucket_ownership_controls(**place)["OwnershipControls"],
            s3.get_bucket_encryption(**place)["ServerSideEncryptionConfiguration"],
        )

    rule = {"Id": "old", "Status": "Enabled", "ExpirationInDays": 9}
    made = cloudformation.create_stack(StackName="bucket", TemplateBody=bucket())["StackId"]
    assert settled(cloudformation, made) == "CREATE_COMPLETE"
    before = settings()
    change(cloudformation, "bucket", bucket(LifecycleConfiguration={"Rules": [rule]}))
    assert settings() == before
    lifecycle = client("s3").get_bucket_lifecycle_configuration
    assert lifecycle(Bucket="updated-bucket")["Rules"][0]["Expiration"] == {"Days": 9}

    change(cloudformation, "bucket", bucket())
    assert settings() == before
    with pytest.raises(ClientError, match="NoSuchLifecycleConfiguration"):
        lifecycle(Bucket="updated-bucket")
    cloudformation.delete_stack(StackName="bucket")


ACCOUNT = "123456789012"
KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
DEAD = f"arn:aws:sqs:us-east-1:{ACCOUNT}:dead"
MANAGED = f"arn:aws:iam::{ACCOUNT}:policy/hardened"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/hardened"
PASS = json.dumps({"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}})
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}


def function_setting(client, name):
    return client("lambda").get_function_configuration(FunctionName=name)


def concurrency(client, name):
    return client("lambda").get_function_concurrency(FunctionName=name)


def machine(client, arn):
    return client("stepfunctions").describe_state_machine(stateMachineArn=arn)


def role(client, name):
    return client("iam").get_role(RoleName=name)["Role"]


def attached(client, name):
    return {
        "arns": [
            policy["PolicyArn"]
            for policy in client("iam").list_attached_role_policies(RoleName=name)["AttachedPolicies"]
        ]
    }


def queue(client, url):
    found = client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return {name: json.loads(value) if value.startswith("{") else value for name, value in found.items()}


def topic(client, arn):
    return client("sns").get_topic_attributes(TopicArn=arn)["Attributes"]


def log_group(client, name):
    return client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"][0]


NEEDED = {
    "AWS::Lambda::Function": {
        "Code": {"S3Bucket": "hardened-code", "S3Key": "function.zip"},
        "Handler": "handler.lambda_handler",
        "Role": ROLE,
        "Runtime": "python3.13",
    },
    "AWS::StepFunctions::StateMachine": {"RoleArn": ROLE, "DefinitionString": PASS},
    "AWS::IAM::Role": {"AssumeRolePolicyDocument": TRUST},
}
REDRIVE = {"deadLetterTargetArn": DEAD, "maxReceiveCount": 3}


@pytest.mark.parametrize(
    ("kind", "properties", "read", "expected"),
    [
        ("Lambda::Function", {"KmsKeyArn": KEY}, function_setting, {"KMSKeyArn": KEY}),
        (
            "Lambda::Function",
            {"TracingConfig": {"Mode": "Active"}},
            function_setting,
            {"TracingConfig": {"Mode": "Active"}},
        ),
        (
            "Lambda::Function",
            {"ReservedConcurrentExecutions": "3"},
            concurrency,
            {"ReservedConcurrentExecutions": 3},
        ),
        ("StepFunctions::StateMachine", {"DefinitionString": PASS}, machine, {"definition": PASS}),
        (
            "StepFunctions::StateMachine",
            {"TracingConfiguration": {"Enabled": True}},
            machine,
            {"tracingConfiguration": {"enabled": True}},
        ),
        ("IAM::Role", {"ManagedPolicyArns": [MANAGED]}, attached, {"arns": [MANAGED]}),
        ("IAM::Role", {"MaxSessionDuration": "7200"}, role, {"MaxSessionDuration": 7200}),
        (
            "SQS::Queue",
            {"KmsMasterKeyId": KEY, "KmsDataKeyReusePeriodSeconds": 600},
            queue,
            {"KmsMasterKeyId": KEY, "KmsDataKeyReusePeriodSeconds": "600"},
        ),
        ("SQS::Queue", {"RedrivePolicy": REDRIVE}, queue, {"RedrivePolicy": REDRIVE}),
        ("SNS::Topic", {"KmsMasterKeyId": KEY}, topic, {"KmsMasterKeyId": KEY}),
        ("Logs::LogGroup", {"KmsKeyId": KEY}, log_group, {"kmsKeyId": KEY}),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_what_hardens_a_template_arrives(hardened, cloudformation, kind, properties, read, expected):
    name = f"hardened-{uuid.uuid4().hex[:12]}"
    needed = NEEDED.get(f"AWS::{kind}", {})
    resource = {"Type": f"AWS::{kind}", "Properties": needed | properties}
    template = json.dumps({"Resources": {"It": resource}})
    cloudformation.create_stack(StackName=name, TemplateBody=template, Capabilities=["CAPABILITY_NAMED_IAM"])
    assert settled(cloudformation, name) == "CREATE_COMPLETE"
    (made,) = cloudformation.list_stack_resources(StackName=name)["StackResourceSummaries"]
    found = read(hardened, made["PhysicalResourceId"])
    assert {key: found.get(key) for key in expected} == expected
    cloudformation.delete_stack(StackName=name)


@pytest.fixture(scope="module")
def hardened(client):
    """What the templates refer to: a function's zip and role, a policy, a queue for what fails."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("handler.py", "def lambda_handler(event, context): return event")
    client("s3").create_bucket(Bucket="hardened-code")
    client("s3").put_object(Bucket="hardened-code", Key="function.zip", Body=body.getvalue())
    client("sqs").create_queue(QueueName="dead")
    client("iam").create_role(RoleName="hardened", AssumeRolePolicyDocument=json.dumps(TRUST))
    document = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"}],
    }
    client("iam").create_policy(PolicyName="hardened", PolicyDocument=json.dumps(document))
    return client
