"""What a process finds that another one left: stopped, retried, killed."""

from __future__ import annotations

import threading

import pytest

import localaws.sagemaker.pipeline_executions as executions
from localaws.sagemaker.errors import ConflictError


def _definition(make):
    return make.pipeline(
        make.processing("Prepare"),
        make.training(
            "Train", data=make.get("Steps.Prepare.ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri")
        ),
        make.condition(
            "Gate",
            [make.compare("Equals", make.get("Steps.Train.TrainingJobStatus"), "Completed")],
            [make.register("Register", make.get("Steps.Train.ModelArtifacts.S3ModelArtifacts"))],
            [make.fail("Stop", "no")],
        ),
    )


STARTING = 2  # the writes of StartPipelineExecution itself


def test_killed_after_every_write_it_goes_on_and_does_nothing_twice(sagemaker, make, monkeypatch):
    died = []
    monkeypatch.setattr(threading, "excepthook", lambda args: died.append(args.exc_type))
    sagemaker.create_pipeline(_definition(make))
    for writes in range(100):
        sagemaker.store.writes_left = STARTING + writes
        execution = sagemaker.start()
        for thread in threading.enumerate():
            if thread.name.startswith("execution-"):
                thread.join()
        sagemaker.store.writes_left = None
        if len(died) <= writes:
            break  # it wrote less often than that: every write has been the last one by now
        assert execution.status == "Executing"
        sagemaker.restart()
        execution.wait()
        assert execution.status == "Succeeded", (writes, execution.describe())
        assert [*execution.statuses] == ["Prepare", "Train", "Gate", "Register"]
        for kind in ("ProcessingJob", "TrainingJob", "ModelPackage"):
            assert len(sagemaker.store.list(kind)) == writes + 1, (writes, kind)
    assert len(died) > 15


def test_a_running_job_is_waited_for_by_the_next_process(sagemaker, make):
    sagemaker.hold("Train")
    sagemaker.create_pipeline(_definition(make))
    execution = sagemaker.start()
    execution.until_step("Train", "Executing")
    sagemaker.restart()
    assert execution.status == "Executing"
    sagemaker.release("Train")
    assert execution.wait().status == "Succeeded"
    assert len(sagemaker.made("CreateTrainingJob")) == 1


def test_a_job_that_was_lost_fails_its_step_or_is_tried_again(sagemaker, make):
    reason = "InternalServerError: the local AWS was stopped while the job ran"
    policy = {"ExceptionType": ["SageMaker.JOB_INTERNAL_ERROR"], "IntervalSeconds": 0, "MaxAttempts": 1}
    sagemaker.script("Plain", ("Failed", reason))
    sagemaker.script("Careful", ("Failed", reason))
    sagemaker.hold("Plain", "Careful")
    steps = (make.training("Plain"), make.training("Careful", RetryPolicies=[policy]))
    sagemaker.create_pipeline(make.pipeline(*steps))
    execution = sagemaker.start()
    execution.until_step("Careful", "Executing")
    sagemaker.release("Plain")
    sagemaker.release("Careful")
    sagemaker.restart()
    execution.wait()
    assert execution.statuses == {"Plain": "Failed", "Careful": "Succeeded"}
    assert execution.steps["Plain"]["FailureReason"] == reason


def _waiting_for_a_retry(sagemaker, make, seconds):
    policy = {"ExceptionType": ["SageMaker.JOB_INTERNAL_ERROR"], "IntervalSeconds": seconds, "MaxAttempts": 1}
    sagemaker.script("Train", ("Failed", "InternalServerError: lost"))
    sagemaker.create_pipeline(make.pipeline(make.training("Train", RetryPolicies=[policy])))
    execution = sagemaker.start()
    execution.until(lambda: execution.steps.get("Train", {}).get("AttemptCount") == 2)
    return execution


def test_a_retry_that_waits_survives_a_restart(sagemaker, make):
    execution = _waiting_for_a_retry(sagemaker, make, seconds=1)
    assert execution.statuses == {"Train": "Starting"}
    sagemaker.restart()
    assert execution.wait().status == "Succeeded"


def test_stop(sagemaker, make):
    sagemaker.hold("Train")
    sagemaker.create_pipeline(_definition(make))
    execution = sagemaker.start()
    execution.until_step("Train", "Executing")
    execution.send("StopPipelineExecution")
    execution.wait()
    assert execution.status == "Stopped"
    assert execution.statuses == {"Prepare": "Succeeded", "Train": "Stopped"}
    assert "FailureReason" not in execution.describe()
    with pytest.raises(ConflictError, match="it is Stopped"):
        execution.send("StopPipelineExecution")


def test_stop_ends_the_wait_for_a_retry(sagemaker, make):
    execution = _waiting_for_a_retry(sagemaker, make, seconds=3600)
    execution.send("StopPipelineExecution")
    assert execution.wait().statuses == {"Train": "Stopped"}


def test_a_stop_is_carried_out_by_the_next_process(sagemaker, make):
    sagemaker.hold("Train")
    sagemaker.create_pipeline(make.pipeline(make.training("Train")))
    execution = sagemaker.start()
    execution.until_step("Train", "Executing")
    executions.close(sagemaker)
    execution.send("StopPipelineExecution")
    sagemaker.restart()
    assert execution.wait().statuses == {"Train": "Stopped"}


def test_retry_keeps_what_succeeded(sagemaker, make):
    sagemaker.script("Train", ("Failed", "AlgorithmError: first"), ("Failed", "AlgorithmError: second"))
    execution = sagemaker.run(_definition(make))
    assert "first" in execution.describe()["FailureReason"]
    execution.send("RetryPipelineExecution")
    assert "second" in execution.wait().describe()["FailureReason"]
    execution.send("RetryPipelineExecution")
    execution.wait()
    assert execution.status == "Succeeded"
    assert "FailureReason" not in execution.describe()
    assert len(sagemaker.made("CreateProcessingJob")) == 1
    assert len(sagemaker.made("CreateTrainingJob")) == 3
    with pytest.raises(ConflictError, match="it is Succeeded"):
        execution.send("RetryPipelineExecution")


def test_a_start_token_starts_one_execution(sagemaker, make):
    sagemaker.create_pipeline(make.pipeline(make.processing("Step")))
    first = sagemaker.start(ClientRequestToken="t" * 32)
    assert sagemaker.start(ClientRequestToken="t" * 32).arn == first.arn
    assert sagemaker.start().arn != first.arn


def test_an_execution_keeps_the_version_that_it_was_started_with(sagemaker, make):
    sagemaker.hold("Slow")
    sagemaker.create_pipeline(
        make.pipeline(make.processing("Slow"), make.processing("Old", DependsOn=["Slow"]))
    )
    execution = sagemaker.start()
    sagemaker.update_pipeline(make.pipeline(make.processing("New")))
    execution.until_step("Slow", "Executing")
    sagemaker.restart()
    sagemaker.release("Slow")
    assert set(execution.wait().steps) == {"Slow", "Old"}
    text = sagemaker.call("DescribePipelineDefinitionForExecution", {"PipelineExecutionArn": execution.arn})
    assert "Old" in text["PipelineDefinition"]
    assert set(sagemaker.run().steps) == {"New"}
    assert set(sagemaker.run(PipelineVersionId=1).steps) == {"Slow", "Old"}


def test_a_running_pipeline_is_not_deleted(sagemaker, make):
    sagemaker.hold("Slow")
    sagemaker.create_pipeline(make.pipeline(make.processing("Slow")))
    execution = sagemaker.start()
    request = {"PipelineName": "p", "ClientRequestToken": "t" * 32}
    with pytest.raises(ConflictError, match="while it is executing"):
        sagemaker.call("DeletePipeline", request)
    sagemaker.release("Slow")
    execution.wait()
    sagemaker.call("DeletePipeline", request)
    for kind in (
        "PipelineToken",
        "Pipeline",
        "PipelineVersion",
        "PipelineExecution",
        "PipelineExecutionStep",
        "PipelineStepCache",
    ):
        assert sagemaker.store.list(kind) == []
