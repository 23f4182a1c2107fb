"""Steps that make a SageMaker resource: jobs, models, endpoints, model packages."""

from __future__ import annotations

import re
from dataclasses import dataclass

from localaws.documents import Document
from localaws.sagemaker.engine import retries
from localaws.sagemaker.engine.context import Context
from localaws.sagemaker.engine.expressions import evaluate
from localaws.sagemaker.engine.kinds import Kind, Result, Work, call, random_text
from localaws.sagemaker.errors import SageMakerError


@dataclass(frozen=True)
class Resource(Kind):
    """A step that makes one SageMaker resource, and waits for it where it has a status.

    Attributes:
        noun: the resource as its operations call it: `Create<noun>`, `Describe<noun>`, `Stop<noun>`.
        metadata: the member of the step's metadata that holds the ARN.
        done: the status in which it has succeeded; None: it is there as soon as it is made.
    """

    noun: str
    metadata: str
    done: str | None = "Completed"

    def operation(self) -> str:
        return f"Create{self.noun}"

    def prepare(self, work: Work) -> Document:
        member = f"{self.noun}Name"
        name = self.name(work.context, work.step.name, work.step.arguments.get(member))
        request = evaluate(work.step.arguments, work.context.scope(name))
        tags = [*request.get("Tags", []), *work.context.tags(work.step.name)]
        return {"_Name": name, "_Request": request | {member: name, "Tags": tags}}

    def start(self, work: Work) -> Document:
        if self._describe(work) is None:
            call(work.context, f"Create{self.noun}", work.record["_Request"])
        described = self._describe(work) or {}
        return {"Metadata": {self.metadata: {"Arn": described.get(f"{self.noun}Arn")}}}

    def look(self, work: Work) -> Result | None:
        described, name = self._describe(work), work.record["_Name"]
        if described is None:
            reason = f"InternalServerError: {self.noun} {name} is not there any more."
            return Result("Failed", reason, retries.of_failure_reason(reason))
        status = described.get(f"{self.noun}Status")
        if status == self.done:
            return Result("Succeeded", properties=self.properties(work.context, described))
        if status == "Failed":
            reason = described.get("FailureReason") or described.get("ExitMessage") or "The job failed."
            return Result("Failed", reason, retries.of_failure_reason(reason))
        if status == "Stopped":
            why = described.get("SecondaryStatus") or "Stopped"
            return Result("Stopped", f"ClientError: {self.noun} {name} was stopped ({why}).")
        return None

    def stop(self, work: Work) -> None:
        if self.noun.endswith("Job"):
            call(work.context, f"Stop{self.noun}", {f"{self.noun}Name": work.record["_Name"]})

    def name(self, context: Context, step: str, prefix: str | None) -> str:
        """The resource's name. Definitions made with `use_custom_job_prefix` bring a prefix."""
        return _name(f"{prefix}-{context.id}" if prefix else f"pipelines-{context.id}-{step}", 63)

    def properties(self, _context: Context, described: Document) -> Document:
        """What later steps may refer to."""
        return described

    def _describe(self, work: Work) -> Document | None:
        try:
            request = {f"{self.noun}Name": work.record["_Name"]}
            return work.context.call(f"Describe{self.noun}", request)
        except SageMakerError:
            return None


@dataclass(frozen=True)
class Tuning(Resource):
    """A tuning job; its properties also have `TrainingJobSummaries`, the best first."""

    def name(self, context: Context, step: str, prefix: str | None) -> str:
        return _name(f"{prefix or context.id}-{step}", 32)  # the shortest of SageMaker's names

    def properties(self, context: Context, described: Document) -> Document:
        config = described.get("HyperParameterTuningJobConfig") or {}
        minimize = (config.get("HyperParameterTuningJobObjective") or {}).get("Type") == "Minimize"
        request = {
            "HyperParameterTuningJobName": described["HyperParameterTuningJobName"],
            "SortBy": "FinalObjectiveMetricValue",
            "SortOrder": "Ascending" if minimize else "Descending",
            "StatusEquals": "Completed",
            "MaxResults": 50,
        }
        listed = call(context, "ListTrainingJobsForHyperParameterTuningJob", request)
        return described | {"TrainingJobSummaries": listed["TrainingJobSummaries"]}


class RegisterModel(Kind):
    """A new version in a model package group, which is made where it is not there."""

    def operation(self) -> str:
        return "CreateModelPackage"

    def prepare(self, work: Work) -> Document:
        request = evaluate(work.step.arguments, work.context.scope())
        # The token makes a second call with the same record answer the first one's version.
        return {"_Request": request | {"ClientToken": random_text(36)}}

    def start(self, work: Work) -> Document:
        request = dict(work.record["_Request"])
        group = request.get("ModelPackageGroupName")
        if group:
            # A version has no tags of its own; SageMaker takes them for the group.
            tags = [*request.pop("Tags", []), *work.context.tags(work.step.name)]
            _ensure_group(work.context, group, tags)
        arn = call(work.context, "CreateModelPackage", request)["ModelPackageArn"]
        return {"Metadata": {"RegisterModel": {"Arn": arn}}}

    def look(self, work: Work) -> Result | None:
        arn = work.record["Metadata"]["RegisterModel"]["Arn"]
        package = call(work.context, "DescribeModelPackage", {"ModelPackageName": arn})
        if package["ModelPackageStatus"] == "Completed":
            return Result("Succeeded", properties=package)
        if package["ModelPackageStatus"] == "Failed":
            return Result("Failed", f"ClientError: model package {arn} failed its validation.")
        return None


def _ensure_group(context: Context, group: str, tags: list[Document]) -> None:
    name = {"ModelPackageGroupName": group}
    try:
        context.call("DescribeModelPackageGroup", name)
    except SageMakerError:
        call(context, "CreateModelPackageGroup", name | {"Tags": tags})


def _name(start: str, longest: int) -> str:
    """The start, cut where it is too long, and ten random characters, as pipelines name what they make."""
    suffix = f"-{random_text(10)}"
    start = re.sub(r"[^A-Za-z0-9]+", "-", start).strip("-")
    return start[: longest - len(suffix)].rstrip("-") + suffix
