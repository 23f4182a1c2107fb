"""Step Functions executions outlive the process that ran them."""

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localaws import control
from tests.waiting import wait_for

ROLE = "arn:aws:iam::123456789012:role/r"
WAIT = {"StartAt": "A", "States": {"A": {"Type": "Wait", "Seconds": 600, "End": True}}}
MACHINES: dict[str, Any] = {
    "good": {"StartAt": "A", "States": {"A": {"Type": "Pass", "Result": {"x": [1, "ü"]}, "End": True}}},
    "bad": {"StartAt": "A", "States": {"A": {"Type": "Fail", "Error": "E", "Cause": "C"}}},
    "stopped": WAIT,
    "late": {**WAIT, "TimeoutSeconds": 1},
    "map": {
        "StartAt": "M",
        "States": {
            "M": {
                "Type": "Map",
                "End": True,
                "ItemReader": {
                    "Resource": "arn:aws:states:::s3:getObject",
                    "ReaderConfig": {"InputType": "JSON"},
                    "Parameters": {"Bucket": "bucket", "Key": "items.json"},
                },
                "ItemProcessor": {
                    "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                    "StartAt": "P",
                    "States": {"P": {"Type": "Pass", "End": True}},
                },
            }
        },
    },
}
ENDS = {"good": "SUCCEEDED", "bad": "FAILED", "stopped": "ABORTED", "late": "TIMED_OUT", "map": "SUCCEEDED"}


def create(states, name, definition):
    made = states.create_state_machine(name=name, roleArn=ROLE, definition=json.dumps(definition))
    return made["stateMachineArn"]


def await_end(states, arn):
    def status():
        return states.describe_execution(executionArn=arn)["status"]

    return wait_for(status, f"the end of {arn}", 30, until=lambda status: status != "RUNNING")


def await_events(states, arn, number):
    def events():
        return states.get_execution_history(executionArn=arn)["events"]

    wait_for(events, f"{number} events", 30, until=lambda events: len(events) >= number)


def seen(states, arns):
    calls = {}
    for name, arn in arns.items():
        machine = arn.replace(":execution:", ":stateMachine:").rpartition(":")[0]
        calls[name] = states.describe_execution(executionArn=arn)
        calls[name, "history"] = states.get_execution_history(executionArn=arn)
        calls[name, "listed"] = states.list_executions(stateMachineArn=machine)
    runs = states.list_map_runs(executionArn=arns["map"])
    calls["runs"] = runs
    calls["run"] = states.describe_map_run(mapRunArn=runs["mapRuns"][0]["mapRunArn"])
    for answer in calls.values():
        del answer["ResponseMetadata"]
    return calls


def test_ended_executions_are_described_listed_and_told_as_before(own_aws):
    s3, states = own_aws.client("s3"), own_aws.client("stepfunctions")
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="items.json", Body=b"[1, 2, 3]")
    arns = {}
    for name, definition in MACHINES.items():
        machine = create(states, name, definition)
        started = states.start_execution(stateMachineArn=machine, input='{"i": 1}')
        arns[name] = started["executionArn"]
    states.stop_execution(executionArn=arns["stopped"], error="Er", cause="Ca")
    assert {name: await_end(states, arn) for name, arn in arns.items()} == ENDS
    before = seen(states, arns)
    assert (before["stopped"]["error"], before["stopped"]["cause"]) == ("Er", "Ca")
    assert before["late"]["stopDate"] > before["late"]["startDate"]
    assert before["late", "history"]["events"][-1]["type"] == "ExecutionTimedOut"
    assert json.loads(before["good"]["output"]) == {"x": [1, "ü"]}
    assert before["run"]["itemCounts"]["succeeded"] == 3
    own_aws.restart()
    after = seen(states, arns)
    for name, answer in before.items():
        assert after[name] == answer, name
    machine, name = before["good"]["stateMachineArn"], before["good"]["name"]
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        states.start_execution(stateMachineArn=machine, name=name, input='{"i": 1}')


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_what_ran_when_the_server_ended_is_aborted_and_says_so(own_aws, how):
    states = own_aws.client("stepfunctions")
    machine = create(states, "wait", WAIT)
    arn = states.start_execution(stateMachineArn=machine)["executionArn"]
    await_events(states, arn, 2)
    if how == "killed":
        own_aws.kill()
    else:
        control.down(own_aws.state_dir)
    own_aws.start()
    answer = states.describe_execution(executionArn=arn)
    assert answer["status"] == "ABORTED"
    assert answer["error"] == "LocalAws.Stopped"
    assert "while this execution was running" in answer["cause"]
    types = [event["type"] for event in states.get_execution_history(executionArn=arn)["events"]]
    assert types[0] == "ExecutionStarted"
    assert types[-1] == "ExecutionAborted"
    if how == "stopped":
        assert "WaitStateEntered" in types, "a clean stop keeps what had happened"
    (listed,) = states.list_executions(stateMachineArn=machine, statusFilter="ABORTED")["executions"]
    assert listed["executionArn"] == arn


def test_nothing_runs_again_at_a_restart(own_aws):
    sqs, states = own_aws.client("sqs"), own_aws.client("stepfunctions")
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    parameters = {"QueueUrl": url, "MessageBody": "ran"}
    send = {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "Parameters": parameters}
    machine = create(states, "send", {"StartAt": "S", "States": {"S": {**send, "End": True}}})
    arn = states.start_execution(stateMachineArn=machine)["executionArn"]
    assert await_end(states, arn) == "SUCCEEDED"
    own_aws.restart()
    bodies = [m["Body"] for m in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]]
    assert bodies == ["ran"]


def test_a_machine_made_again_under_its_name_does_not_inherit_executions(own_aws):
    states = own_aws.client("stepfunctions")
    machine = create(states, "m", MACHINES["good"])
    first = states.start_execution(stateMachineArn=machine, name="e")["executionArn"]
    await_end(states, first)
    states.delete_state_machine(stateMachineArn=machine)
    create(states, "m", MACHINES["bad"])
    second = states.start_execution(stateMachineArn=machine, name="e")["executionArn"]
    assert await_end(states, second) == "FAILED"
    own_aws.restart()
    (listed,) = states.list_executions(stateMachineArn=machine)["executions"]
    assert listed["status"] == "FAILED"


def test_a_token_of_a_dead_execution_is_refused(own_aws):
    sqs, states = own_aws.client("sqs"), own_aws.client("stepfunctions")
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    resource = "arn:aws:states:::sqs:sendMessage.waitForTaskToken"
    parameters = {"QueueUrl": url, "MessageBody": {"token.$": "$$.Task.Token"}}
    task = {"Type": "Task", "Resource": resource, "Parameters": parameters, "End": True}
    machine = create(states, "ask", {"StartAt": "T", "States": {"T": task}})
    states.start_execution(stateMachineArn=machine)
    (message,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10)["Messages"]
    own_aws.restart()
    with pytest.raises(ClientError, match=r"InvalidToken|TaskDoesNotExist|TaskTimedOut"):
        states.send_task_success(taskToken=json.loads(message["Body"])["token"], output="1")
    arn = states.start_execution(stateMachineArn=machine)["executionArn"]
    messages = []
    while not messages:
        messages = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10).get("Messages", [])
    token = json.loads(messages[0]["Body"])["token"]
    states.send_task_failure(taskToken=token, error="No", cause="because")
    assert await_end(states, arn) == "FAILED"
    answer = states.describe_execution(executionArn=arn)
    assert (answer["error"], answer["cause"]) == ("No", "because")


def test_a_history_in_pages_and_backwards(client):
    states = client("stepfunctions")
    machine = create(states, f"pages-{time.time_ns()}", MACHINES["good"])
    arn = states.start_execution(stateMachineArn=machine, input='{"secret": 1}')["executionArn"]
    await_end(states, arn)
    whole = states.get_execution_history(executionArn=arn)["events"]
    pages = states.get_paginator("get_execution_history").paginate(
        executionArn=arn, PaginationConfig={"PageSize": 3}
    )
    assert [event for page in pages for event in page["events"]] == whole
    backwards = states.get_execution_history(executionArn=arn, reverseOrder=True)["events"]
    assert backwards == whole[::-1]
    bare = states.get_execution_history(executionArn=arn, includeExecutionData=False)["events"]
    assert "secret" not in json.dumps(bare, default=str)
    assert "secret" in json.dumps(whole, default=str)


def test_two_nameless_executions_and_a_definition_that_leads_nowhere(client):
    states = client("stepfunctions")
    machine = create(states, f"nameless-{time.time_ns()}", MACHINES["good"])
    arns = {states.start_execution(stateMachineArn=machine)["executionArn"] for _ in range(3)}
    assert len(arns) == 3
    nowhere = {"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}}}
    with pytest.raises(ClientError, match="InvalidDefinition") as caught:
        create(states, "nowhere", nowhere)
    assert "Missing 'Next' target: B at /States/A/Next" in str(caught.value)
    with pytest.raises(ClientError, match="InvalidDefinition"):
        states.update_state_machine(stateMachineArn=machine, definition=json.dumps(nowhere))


def test_a_stop_does_not_wait_for_the_task_that_runs(client):
    sqs, states = client("sqs"), client("stepfunctions")
    url = sqs.create_queue(QueueName=f"stop-{time.time_ns()}")["QueueUrl"]
    resource = "arn:aws:states:::aws-sdk:sqs:receiveMessage"
    task = {"Type": "Task", "Resource": resource, "Parameters": {"QueueUrl": url, "WaitTimeSeconds": 20}}
    machine = create(
        states, f"stop-{time.time_ns()}", {"StartAt": "T", "States": {"T": {**task, "End": True}}}
    )
    arn = states.start_execution(stateMachineArn=machine)["executionArn"]
    await_events(states, arn, 4)
    started = time.monotonic()
    states.stop_execution(executionArn=arn, error="Er", cause="Ca")
    answer = states.describe_execution(executionArn=arn)
    assert (answer["status"], answer["error"], answer["cause"]) == ("ABORTED", "Er", "Ca")
    last = states.get_execution_history(executionArn=arn)["events"][-1]
    assert last["type"] == "ExecutionAborted"
    assert last["executionAbortedEventDetails"] == {"error": "Er", "cause": "Ca"}
    again = states.stop_execution(executionArn=arn, error="other")
    assert again["stopDate"] == answer["stopDate"]
    assert time.monotonic() - started < 10
