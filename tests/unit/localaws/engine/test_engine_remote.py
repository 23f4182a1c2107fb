"""Lambda and callback steps."""

from __future__ import annotations

import threading

import pytest

import localaws.sagemaker.pipeline_executions as executions
from localaws.sagemaker.errors import ConflictError, ResourceNotFoundError

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:decide"
QUEUE = "http://127.0.0.1/123456789012/callbacks"


def _function(outputs, arguments=None):
    declared = [{"OutputName": name, "OutputType": kind} for name, kind in outputs.items()]
    return {
        "Name": "Decide",
        "Type": "Lambda",
        "FunctionArn": FUNCTION,
        "Arguments": arguments or {},
        "OutputParameters": declared,
    }


def _callback():
    outputs = [{"OutputName": "score", "OutputType": "Float"}]
    step = {"Name": "Ask", "Type": "Callback", "SqsQueueUrl": QUEUE, "Arguments": {"n": 5}}
    return step | {"OutputParameters": outputs}


def test_a_function_decides(sagemaker, make):
    sagemaker.functions.functions[FUNCTION] = lambda event: {"go": event["n"] > 1, "count": event["n"]}
    gate = make.condition(
        "Gate",
        [make.compare("Equals", make.get("Steps.Decide.OutputParameters['go']"), True)],
        [make.fail("Went", make.join(" ", "count", make.get("Steps.Decide.OutputParameters['count']")))],
        [],
    )
    step = _function({"go": "Boolean", "count": "Integer"}, {"n": make.get("Parameters.N")})
    execution = sagemaker.run(make.pipeline(step, gate, parameters=[make.parameter("N", "Integer", 3)]))
    assert execution.describe()["FailureReason"].endswith("Went: count 3")
    metadata = execution.steps["Decide"]["Metadata"]["Lambda"]
    outputs = [{"Name": "go", "Value": "true"}, {"Name": "count", "Value": "3"}]
    assert metadata == {"Arn": FUNCTION, "OutputParameters": outputs}


def _raise(event):
    raise ValueError("no such class")


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (_raise, "failed with ValueError: no such class"),
        (lambda _: {}, "the output 'go' is missing"),
        (lambda _: {"go": "perhaps"}, "must be of type Boolean, not 'perhaps'"),
        (lambda _: "yes", "an object with the outputs was expected"),
    ],
)
def test_a_function_that_does_not_answer_as_declared(sagemaker, make, function, words):
    sagemaker.functions.functions[FUNCTION] = function
    execution = sagemaker.run(make.pipeline(_function({"go": "Boolean"})))
    assert execution.status == "Failed"
    assert words in execution.steps["Decide"]["FailureReason"]


def test_a_function_that_ran_when_the_process_died_is_not_invoked_again(sagemaker, make):
    started, may_end = threading.Event(), threading.Event()

    def slow(event):
        started.set()
        may_end.wait(10)
        return {}

    sagemaker.functions.functions[FUNCTION] = slow
    sagemaker.create_pipeline(make.pipeline(_function({})))
    execution = sagemaker.start()
    started.wait(10)
    execution.until_step("Decide", "Executing")
    sagemaker.restart()
    assert execution.wait().statuses == {"Decide": "Failed"}
    assert "stopped while the function ran" in execution.steps["Decide"]["FailureReason"]
    assert len(sagemaker.functions.invocations) == 1
    may_end.set()


def _asked(sagemaker, execution):
    execution.until_step("Ask", "Executing")
    return sagemaker.sqs.messages[-1]["token"]


def test_a_callback_is_answered(sagemaker, make):
    above = make.compare("GreaterThan", make.get("Steps.Ask.OutputParameters['score']"), 0.5)
    sagemaker.create_pipeline(make.pipeline(_callback(), make.condition("Gate", [above], [], [])))
    execution = sagemaker.start()
    token = _asked(sagemaker, execution)
    assert sagemaker.sqs.messages == [
        {
            "token": token,
            "pipelineExecutionArn": execution.arn,
            "arguments": {"n": 5},
            "status": "Executing",
            "queue": QUEUE,
        }
    ]
    answer = {"CallbackToken": token, "OutputParameters": [{"Name": "score", "Value": "0.75"}]}
    answered = sagemaker.call("SendPipelineExecutionStepSuccess", answer)
    assert answered == {"PipelineExecutionArn": execution.arn}
    execution.wait()
    assert execution.steps["Gate"]["Metadata"]["Condition"]["Outcome"] == "True"
    callback = execution.steps["Ask"]["Metadata"]["Callback"]
    assert callback["OutputParameters"] == [{"Name": "score", "Value": "0.75"}]
    with pytest.raises(ConflictError, match="no longer waits"):
        sagemaker.call("SendPipelineExecutionStepSuccess", answer)


def test_a_callback_is_answered_with_a_failure(sagemaker, make):
    sagemaker.create_pipeline(make.pipeline(_callback()))
    execution = sagemaker.start()
    answer = {"CallbackToken": _asked(sagemaker, execution), "FailureReason": "not today"}
    sagemaker.call("SendPipelineExecutionStepFailure", answer)
    assert execution.wait().steps["Ask"]["FailureReason"] == "not today"


def test_an_unknown_token(sagemaker):
    with pytest.raises(ResourceNotFoundError, match="abcdefghij"):
        sagemaker.call("SendPipelineExecutionStepSuccess", {"CallbackToken": "abcdefghij"})


def test_a_stopped_execution_still_waits_for_its_callback(sagemaker, make):
    sagemaker.create_pipeline(make.pipeline(_callback(), make.processing("After", DependsOn=["Ask"])))
    execution = sagemaker.start()
    token = _asked(sagemaker, execution)
    execution.send("StopPipelineExecution")
    execution.until_step("Ask", "Stopping")
    assert [message["status"] for message in sagemaker.sqs.messages] == ["Executing", "Stopping"]
    output = [{"Name": "score", "Value": "1"}]
    sagemaker.call("SendPipelineExecutionStepSuccess", {"CallbackToken": token, "OutputParameters": output})
    execution.wait()
    assert (execution.status, execution.statuses) == ("Stopped", {"Ask": "Succeeded"})


def test_an_answer_that_came_while_nobody_ran_is_taken_up(sagemaker, make):
    sagemaker.create_pipeline(make.pipeline(_callback()))
    execution = sagemaker.start()
    token = _asked(sagemaker, execution)
    executions.close(sagemaker)
    output = [{"Name": "score", "Value": "1"}]
    sagemaker.call("SendPipelineExecutionStepSuccess", {"CallbackToken": token, "OutputParameters": output})
    sagemaker.restart()
    assert execution.wait().status == "Succeeded"
