"""Executions from start to end: values, order, branches, failures."""

from __future__ import annotations

import json

import pytest

from localaws.sagemaker.errors import ResourceLimitExceededError, SageMakerError, ValidationError


def test_a_training_step_makes_its_job(sagemaker, make):
    step = make.training(
        "Train_Model", hyperparameters={"epochs": make.join("", make.get("Parameters.Epochs"))}
    )
    definition = make.pipeline(step, parameters=[make.parameter("Epochs", "Integer", 24)])
    execution = sagemaker.run(definition, parameters={"Epochs": "3"})

    (request,) = sagemaker.made("CreateTrainingJob")
    identity = execution.arn.rpartition("/")[2]
    assert request["TrainingJobName"].startswith(f"pipelines-{identity}-Train-Model-")
    assert request["HyperParameters"] == {"epochs": "3"}
    assert {"Key": "sagemaker:pipeline-execution-arn", "Value": execution.arn} in request["Tags"]
    assert execution.status == "Succeeded"
    step = execution.steps["Train_Model"]
    assert step["Metadata"]["TrainingJob"]["Arn"].endswith(request["TrainingJobName"])
    assert step["AttemptCount"] == 1
    assert step["StartTime"] <= step["EndTime"]


def test_a_long_step_name_is_cut_in_the_job_name(sagemaker, make):
    sagemaker.run(make.pipeline(make.processing("x" * 64)))
    assert len(sagemaker.made("CreateProcessingJob")[0]["ProcessingJobName"]) == 63


def test_references_carry_values_from_step_to_step(sagemaker, make):
    prepare = make.processing("Prepare")
    out = make.get("Steps.Prepare.ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri")
    train = make.training("Train", data=out)
    register = make.register("Register", make.get("Steps.Train.ModelArtifacts.S3ModelArtifacts"))
    execution = sagemaker.run(make.pipeline(register, train, prepare))  # the order in the file means nothing

    (training,) = sagemaker.made("CreateTrainingJob")
    identity = execution.arn.rpartition("/")[2]
    source = training["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"]
    assert source == f"s3://bucket/{identity}/Prepare"
    (package,) = sagemaker.made("CreateModelPackage")
    model = package["InferenceSpecification"]["Containers"][0]["ModelDataUrl"]
    assert model == f"s3://bucket/models/{training['TrainingJobName']}/output/model.tar.gz"
    assert list(execution.steps) == ["Prepare", "Train", "Register"]
    assert execution.steps["Register"]["Metadata"]["RegisterModel"]["Arn"].endswith("model-package/models/1")


def test_a_missing_model_package_group_is_made_once(sagemaker, make):
    sagemaker.create_pipeline(make.pipeline(make.register("Register", "s3://bucket/model.tar.gz")))
    sagemaker.run()
    sagemaker.run()
    assert len(sagemaker.made("CreateModelPackageGroup")) == 1
    assert len(sagemaker.made("CreateModelPackage")) == 2


def _gate(make):
    report = {"PropertyFileName": "Report", "OutputName": "out", "FilePath": "report.json"}
    accuracy = make.json_get("Evaluate", "Report", "metrics[0].value")
    return make.pipeline(
        make.processing("Evaluate", PropertyFiles=[report]),
        make.condition(
            "Gate",
            [make.compare("GreaterThanOrEqualTo", accuracy, make.get("Parameters.Threshold"))],
            [make.register("Register", "s3://bucket/model.tar.gz")],
            [make.fail("TooLow", make.join(" ", accuracy, "is under", make.get("Parameters.Threshold")))],
        ),
        parameters=[make.parameter("Threshold", "Float", 0.85)],
    )


def _write_report(sagemaker, execution, report):
    identity = execution.arn.rpartition("/")[2]
    sagemaker.s3.objects[f"s3://bucket/{identity}/Evaluate/report.json"] = json.dumps(report).encode()


@pytest.mark.parametrize(
    ("accuracy", "status", "outcome", "last"),
    [
        (0.9, "Succeeded", "True", "Register"),
        (0.85, "Succeeded", "True", "Register"),
        (0.8, "Failed", "False", "TooLow"),
    ],
)
def test_a_gate_on_a_property_file(sagemaker, make, accuracy, status, outcome, last):
    sagemaker.hold("Evaluate")
    sagemaker.create_pipeline(_gate(make))
    execution = sagemaker.start()
    _write_report(sagemaker, execution, {"metrics": [{"value": accuracy}]})
    execution.until_step("Evaluate", "Executing")
    sagemaker.release("Evaluate")
    execution.wait()
    assert execution.status == status
    assert list(execution.steps) == ["Evaluate", "Gate", last]
    assert execution.steps["Gate"]["Metadata"] == {"Condition": {"Outcome": outcome}}
    if status == "Failed":
        message = "0.8 is under 0.85"
        assert execution.steps["TooLow"]["Metadata"] == {"Fail": {"ErrorMessage": message}}
        assert execution.steps["TooLow"]["FailureReason"] == message
        reason = execution.describe()["FailureReason"]
        assert reason == f"Step failure: One or multiple steps failed. TooLow: {message}"
        assert not sagemaker.made("CreateModelPackage")


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (b'{"metrics": []}', "There is nothing at 'metrics[0]'; there are 0 items."),
        (b"accuracy", "report.json is not valid JSON"),
        (None, "cannot be read"),
        (b'{"metrics": [{"value": "high"}]}', "compares two numbers or two texts"),
    ],
)
def test_a_gate_without_its_value_fails_and_says_why(sagemaker, make, report, words):
    sagemaker.hold("Evaluate")
    sagemaker.create_pipeline(_gate(make))
    execution = sagemaker.start()
    if report is not None:
        identity = execution.arn.rpartition("/")[2]
        sagemaker.s3.objects[f"s3://bucket/{identity}/Evaluate/report.json"] = report
    execution.until_step("Evaluate", "Executing")
    sagemaker.release("Evaluate")
    execution.wait()
    assert execution.statuses == {"Evaluate": "Succeeded", "Gate": "Failed"}
    assert words in execution.steps["Gate"]["FailureReason"]


def test_a_failed_job_shows_its_last_error_in_step_and_execution(sagemaker, make):
    sagemaker.script("Train", ("Failed", "AlgorithmError: ValueError: no images\nin train, exit code: 1"))
    execution = sagemaker.run(
        make.pipeline(make.training("Train"), make.processing("After", DependsOn=["Train"]))
    )
    assert execution.statuses == {"Train": "Failed"}
    assert execution.steps["Train"]["FailureReason"].startswith("AlgorithmError: ValueError: no images\n")
    reason = execution.describe()["FailureReason"]
    assert reason == (
        "Step failure: One or multiple steps failed. "
        "Train: AlgorithmError: ValueError: no images in train, exit code: 1"
    )


def test_a_failure_leaves_independent_branches_running(sagemaker, make):
    sagemaker.script("A", ("Failed", "AlgorithmError: no"))
    steps = (
        make.processing("A"),
        make.processing("B"),
        make.processing("AfterA", DependsOn=["A"]),
        make.processing("AfterB", DependsOn=["B"]),
        make.processing("AfterBoth", DependsOn=["AfterA", "AfterB"]),
    )
    execution = sagemaker.run(make.pipeline(*steps))
    assert execution.status == "Failed"
    assert execution.statuses == {"A": "Failed", "B": "Succeeded", "AfterB": "Succeeded"}


def test_a_fail_step_stops_what_runs_beside_it(sagemaker, make):
    sagemaker.hold("Slow")
    steps = (
        make.processing("Slow"),
        make.processing("Fast"),
        make.fail("Stop", "enough") | {"DependsOn": ["Fast"]},
    )
    sagemaker.create_pipeline(make.pipeline(*steps))
    sagemaker.hold("Fast")
    execution = sagemaker.start()
    execution.until_step("Slow", "Executing")
    sagemaker.release("Fast")
    execution.wait()
    assert execution.status == "Failed"
    assert execution.statuses == {"Slow": "Stopped", "Fast": "Succeeded", "Stop": "Failed"}
    assert len(sagemaker.made("StopProcessingJob")) == 1


def test_branches_inside_branches_and_steps_after_them(sagemaker, make):
    inner = make.condition(
        "Inner", [make.compare("Equals", make.get("Parameters.Mode"), "deep")], [make.processing("Deep")], []
    )
    outer = make.condition(
        "Outer", [make.compare("Equals", True, make.get("Parameters.On"))], [inner], [make.processing("Off")]
    )
    steps = (
        outer,
        make.processing("AfterOuter", DependsOn=["Outer"]),
        make.processing("AfterOff", DependsOn=["Off"]),
    )
    parameters = [make.parameter("Mode", default="deep"), make.parameter("On", "Boolean", True)]
    sagemaker.create_pipeline(make.pipeline(*steps, parameters=parameters))
    assert set(sagemaker.run().steps) == {"Outer", "Inner", "Deep", "AfterOuter"}
    assert set(sagemaker.run(parameters={"Mode": "flat"}).steps) == {"Outer", "Inner", "AfterOuter"}
    off = sagemaker.run(parameters={"On": "false"})
    assert set(off.steps) == {"Outer", "Off", "AfterOuter", "AfterOff"}
    assert off.status == "Succeeded"


def test_parallelism_is_limited(sagemaker, make):
    names = [f"S{number}" for number in range(5)]
    sagemaker.hold(*names)
    sagemaker.create_pipeline(make.pipeline(*map(make.processing, names)))
    execution = sagemaker.start(ParallelismConfiguration={"MaxParallelExecutionSteps": 2})
    execution.until_step("S1", "Executing")
    assert execution.statuses == {"S0": "Executing", "S1": "Executing"}
    sagemaker.release("S1")
    execution.until_step("S2", "Executing")
    more = {
        "PipelineExecutionArn": execution.arn,
        "ParallelismConfiguration": {"MaxParallelExecutionSteps": 4},
    }
    sagemaker.call("UpdatePipelineExecution", more)
    execution.until_step("S4", "Executing")
    for name in names:
        sagemaker.release(name)
    assert execution.wait().status == "Succeeded"


@pytest.mark.parametrize(
    ("reason", "types", "made"),
    [
        ("InternalServerError: lost", ["SageMaker.JOB_INTERNAL_ERROR"], 3),
        ("CapacityError: none left", ["SageMaker.CAPACITY_ERROR"], 3),
        ("InternalServerError: lost", ["SageMaker.CAPACITY_ERROR"], 1),
        ("AlgorithmError: mine", ["SageMaker.JOB_INTERNAL_ERROR", "SageMaker.CAPACITY_ERROR"], 1),
    ],
)
def test_jobs_are_tried_again_by_their_policy(sagemaker, make, reason, types, made):
    policy = {"ExceptionType": types, "IntervalSeconds": 0, "BackoffRate": 1.0, "MaxAttempts": 2}
    sagemaker.script("Train", *[("Failed", reason)] * 5)
    execution = sagemaker.run(make.pipeline(make.training("Train", RetryPolicies=[policy])))
    assert execution.status == "Failed"
    assert len({each["TrainingJobName"] for each in sagemaker.made("CreateTrainingJob")}) == made
    assert execution.steps["Train"]["AttemptCount"] == made
    assert execution.steps["Train"]["FailureReason"] == reason


def test_a_refused_call_is_tried_again(sagemaker, make):
    policy = {"ExceptionType": ["SageMaker.RESOURCE_LIMIT"], "IntervalSeconds": 0, "MaxAttempts": 1}
    sagemaker.refuse("Train", ResourceLimitExceededError("too many"))
    execution = sagemaker.run(make.pipeline(make.training("Train", RetryPolicies=[policy])))
    assert execution.status == "Succeeded"
    assert execution.steps["Train"]["AttemptCount"] == 2


def test_a_refused_call_that_no_policy_knows_is_final(sagemaker, make):
    sagemaker.refuse("Train", ValidationError("No such bucket."))
    execution = sagemaker.run(make.pipeline(make.training("Train")))
    expected = "ClientError: Failed to invoke sagemaker:CreateTrainingJob. Error Details: No such bucket."
    assert execution.steps["Train"]["FailureReason"] == expected


def test_throttling_is_tried_again_without_a_policy(sagemaker, make):
    class ThrottledError(SageMakerError):
        code = "ThrottlingException"

    sagemaker.refuse("Train", ThrottledError("slow down"))
    execution = sagemaker.run(make.pipeline(make.training("Train")))
    assert (execution.status, execution.steps["Train"]["AttemptCount"]) == ("Succeeded", 2)


def test_a_value_of_the_wrong_type_fails_the_step(sagemaker, make):
    step = make.training("Train", hyperparameters={"epochs": make.get("Parameters.Epochs")})
    execution = sagemaker.run(make.pipeline(step, parameters=[make.parameter("Epochs", "Integer", 3)]))
    assert "hyperParameters" in execution.steps["Train"]["FailureReason"]


def test_execution_variables(sagemaker, make):
    environment = {
        name: make.get(f"Execution.{name}")
        for name in (
            "PipelineName",
            "PipelineArn",
            "PipelineExecutionArn",
            "StartDateTime",
            "ProcessingJobName",
        )
    }
    execution = sagemaker.run(make.pipeline(make.processing("Step", environment=environment)))
    (request,) = sagemaker.made("CreateProcessingJob")
    seen = request["Environment"]
    assert seen["PipelineName"] == "p"
    assert seen["PipelineExecutionArn"] == execution.arn
    assert seen["PipelineExecutionArn"].startswith(seen["PipelineArn"])
    assert seen["ProcessingJobName"] == request["ProcessingJobName"]
    assert seen["StartDateTime"].endswith("Z")


def test_a_custom_job_prefix_leads_the_name(sagemaker, make):
    step = make.training("Train")
    step["Arguments"]["TrainingJobName"] = "mine"
    sagemaker.run(make.pipeline(step))
    assert sagemaker.made("CreateTrainingJob")[0]["TrainingJobName"].startswith("mine-")


def test_state_changes_are_told(sagemaker, make):
    execution = sagemaker.run(make.pipeline(make.processing("Step")))
    sagemaker.restart()  # waits for the execution's thread, which tells last of all
    kind = "SageMaker Model Building Pipeline Execution Step Status Change"
    changes = [detail for name, detail in sagemaker.events if name == kind]
    assert [each["currentStepStatus"] for each in changes] == ["Starting", "Executing", "Succeeded"]
    assert changes[-1]["metadata"]["processingJob"]["arn"].startswith("arn:aws:sagemaker")
    kind = "SageMaker Model Building Pipeline Execution Status Change"
    ends = [detail for name, detail in sagemaker.events if name == kind]
    assert [each["currentPipelineExecutionStatus"] for each in ends] == ["Executing", "Succeeded"]
    assert ends[-1]["pipelineExecutionArn"] == execution.arn


def test_a_model_is_made_and_named_in_later_steps(sagemaker, make):
    container = {"Image": "image", "ModelDataUrl": "s3://bucket/model.tar.gz"}
    arguments = {"PrimaryContainer": container, "ExecutionRoleArn": "arn:aws:iam::123456789012:role/models"}
    model = {"Name": "Create", "Type": "Model", "Arguments": arguments}
    use = make.processing("Use", environment={"MODEL": make.get("Steps.Create.ModelName")})
    execution = sagemaker.run(make.pipeline(model, use))
    name = sagemaker.made("CreateModel")[0]["ModelName"]
    assert name.startswith("pipelines-")
    assert sagemaker.made("CreateProcessingJob")[0]["Environment"]["MODEL"] == name
    assert execution.steps["Create"]["Metadata"]["Model"]["Arn"].endswith(f"model/{name}")


def test_a_tuning_step_names_its_best_job(sagemaker, make):
    objective = {"Type": "Maximize", "MetricName": "validation:accuracy"}
    limits = {"MaxNumberOfTrainingJobs": 4, "MaxParallelTrainingJobs": 2}
    config = {"Strategy": "Random", "HyperParameterTuningJobObjective": objective, "ResourceLimits": limits}
    tuning = {"Name": "Tune_it", "Type": "Tuning", "Arguments": {"HyperParameterTuningJobConfig": config}}
    best = make.join("/", "s3://bucket", make.get("Steps.Tune_it.TrainingJobSummaries[0].TrainingJobName"))
    execution = sagemaker.run(make.pipeline(tuning, make.processing("Use", inputs=[best])))
    name = sagemaker.made("CreateHyperParameterTuningJob")[0]["HyperParameterTuningJobName"]
    assert name.startswith(f"{execution.arn.rpartition('/')[2]}-Tune-it-")
    assert len(name) <= 32
    assert execution.steps["Tune_it"]["Metadata"]["TuningJob"]["Arn"].endswith(name)
    (request,) = sagemaker.made("CreateProcessingJob")
    assert request["ProcessingInputs"][0]["S3Input"]["S3Uri"] == "s3://bucket/best"


def test_a_job_that_somebody_stops_fails_its_step(sagemaker, make):
    sagemaker.hold("Train")
    sagemaker.create_pipeline(make.pipeline(make.training("Train")))
    execution = sagemaker.start()
    execution.until_step("Train", "Executing")
    (request,) = sagemaker.made("CreateTrainingJob")
    sagemaker.call("StopTrainingJob", {"TrainingJobName": request["TrainingJobName"]})
    execution.wait()
    assert execution.status == "Failed"
    assert (
        f"TrainingJob {request['TrainingJobName']} was stopped" in execution.steps["Train"]["FailureReason"]
    )


def test_steps_are_listed_in_pages_the_last_first(sagemaker, make):
    names = [f"S{number}" for number in range(5)]
    steps = [
        make.processing(name, DependsOn=[names[number - 1]] if number else [])
        for number, name in enumerate(names)
    ]
    execution = sagemaker.run(make.pipeline(*steps))
    request = {"PipelineExecutionArn": execution.arn, "MaxResults": 2}
    seen, token = [], {}
    while token is not None:
        answer = sagemaker.call("ListPipelineExecutionSteps", request | token)
        seen.append([step["StepName"] for step in answer["PipelineExecutionSteps"]])
        token = {"NextToken": answer["NextToken"]} if "NextToken" in answer else None
    assert seen == [["S4", "S3"], ["S2", "S1"], ["S0"]]


def test_a_fault_of_the_engine_ends_the_execution(sagemaker, make, monkeypatch, caplog):
    def broken(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr("localaws.sagemaker.engine.runner.fates", broken)
    execution = sagemaker.run(make.pipeline(make.processing("Step")))
    assert execution.describe()["FailureReason"] == "InternalServerError: RuntimeError: a bug"
    assert "a bug" in caplog.text
