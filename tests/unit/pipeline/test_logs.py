"""A step's job and its log, over stubbed clients."""

from datetime import timedelta

import pytest

from pipeline import logs
from pipeline.logs import JobLog, NoLogError
from pipeline.runs import StepState

ARN = "arn:aws:sagemaker:us-east-1:123456789012"
LOG = JobLog("TrainModel", "pipelines-abc-TrainModel-x", "/aws/sagemaker/TrainingJobs")


def state(now, name, status, kind="processing-job"):
    ended = None if status == "Executing" else now + timedelta(seconds=9)
    return StepState(name, status, now, ended, made=f"{ARN}:{kind}/job-{name}" if kind else None)


@pytest.mark.parametrize(
    ("statuses", "chosen"),
    [
        (("Succeeded", "Failed", "Executing"), "B"),
        (("Succeeded", "Executing", "Executing"), "C"),
        (("Succeeded", "Succeeded", "Stopped"), "C"),
    ],
)
def test_the_step_that_is_most_likely_asked_about(now, statuses, chosen):
    steps = [state(now, name, status) for name, status in zip("ABC", statuses, strict=True)]
    steps.append(state(now, "Condition", "Failed", kind=None))
    assert logs.of_step(steps) == JobLog(chosen, f"job-{chosen}", "/aws/sagemaker/ProcessingJobs")


@pytest.mark.parametrize(
    ("kind", "group"),
    [
        ("training-job", "/aws/sagemaker/TrainingJobs"),
        ("transform-job", "/aws/sagemaker/TransformJobs"),
    ],
)
def test_each_kind_of_job_has_its_group(now, kind, group):
    assert logs.of_step([state(now, "A", "Executing", kind)], "A").group == group


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("Nowhere", "has not reached a step Nowhere; it has reached Tune, Register"),
        ("Tune", "Tune ran many training jobs: `scones pipeline tuning`"),
        ("Register", r"Register \(Succeeded\) has no job"),
        (None, "no step of the execution has run a job yet"),
    ],
)
def test_a_step_without_a_log_is_told(now, step, said):
    steps = [
        state(now, "Tune", "Succeeded", "hyper-parameter-tuning-job"),
        state(now, "Register", "Succeeded", "model-package"),
    ]
    with pytest.raises(NoLogError, match=said):
        logs.of_step(steps, step)


def test_waits_for_a_step_while_the_execution_runs(clients, now):
    execution = f"{ARN}:pipeline/scones/execution/abcdefghijkl"

    def expect_execution(status, *steps):
        times = {"CreationTime": now, "LastModifiedTime": now}
        described = {"PipelineExecutionArn": execution, "PipelineExecutionStatus": status} | times
        clients.expect("sagemaker", "describe_pipeline_execution", described)
        clients.expect("sagemaker", "list_pipeline_execution_steps", {"PipelineExecutionSteps": list(steps)})

    job = {"ProcessingJob": {"Arn": f"{ARN}:processing-job/x"}}
    prepare = {"StepName": "PrepareData", "StepStatus": "Executing", "StartTime": now, "Metadata": job}
    sagemaker, slept = clients("sagemaker"), []
    expect_execution("Executing")
    expect_execution("Executing", prepare)
    assert logs.find(sagemaker, execution, wait=True, sleep=slept.append).job == "x"
    assert slept == [logs.FOLLOW_SECONDS]
    for status, wait in (("Executing", False), ("Failed", True)):
        expect_execution(status, prepare)
        with pytest.raises(NoLogError, match="has not reached a step TrainModel"):
            logs.find(sagemaker, execution, "TrainModel", wait=wait, sleep=slept.append)


def expect_streams(clients, *hosts):
    streams = [{"logStreamName": f"{LOG.job}/{host}"} for host in hosts]
    request = {"logGroupName": LOG.group, "logStreamNamePrefix": f"{LOG.job}/"}
    clients.expect("logs", "describe_log_streams", {"logStreams": streams}, request)


def expect_events(clients, request, token, *messages, host="algo-1-7"):
    events = [{"message": message, "timestamp": 1, "ingestionTime": 1} for message in messages]
    clients.expect(
        "logs",
        "get_log_events",
        {"events": events, "nextForwardToken": token},
        {"logGroupName": LOG.group, "logStreamName": f"{LOG.job}/{host}"} | request,
    )


def test_follows_to_the_last_line_of_a_job_that_ends(clients):
    expect_streams(clients)  # it has not written yet
    expect_streams(clients, "algo-1-7")
    expect_events(clients, {"startFromHead": True}, "f/1", "epoch 1")
    expect_events(clients, {"nextToken": "f/1"}, "f/1")
    expect_streams(clients, "algo-1-7")
    expect_events(clients, {"nextToken": "f/1"}, "f/2")  # AWS may give a page of nothing before the next
    expect_events(clients, {"nextToken": "f/2"}, "f/3", "epoch 2", "done")
    expect_events(clients, {"nextToken": "f/3"}, "f/3")
    going, slept = iter([True, True, False]), []
    found = list(logs.lines(clients("logs"), LOG, lambda: next(going), slept.append))
    assert found == ["epoch 1", "epoch 2", "done"]
    assert slept == [logs.FOLLOW_SECONDS] * 2


def test_instances_are_told_apart(clients):
    expect_streams(clients, "algo-1-7", "algo-2-7")
    for host in ("algo-1-7", "algo-2-7"):
        expect_events(clients, {"startFromHead": True}, "f/1", "ready", host=host)
        expect_events(clients, {"nextToken": "f/1"}, "f/1", host=host)
    found = list(logs.lines(clients("logs"), LOG, lambda: False))
    assert found == ["algo-1-7: ready", "algo-2-7: ready"]


def test_no_group_is_no_line(clients):
    clients.refuse("logs", "describe_log_streams", "ResourceNotFoundException")
    assert list(logs.lines(clients("logs"), LOG, lambda: False)) == []
