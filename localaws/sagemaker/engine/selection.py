"""Selective execution: some steps run, and what they need from others comes from an earlier execution.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-selective-ex.html
"""

from __future__ import annotations

from localaws.documents import Document
from localaws.sagemaker.engine.definition import Definition
from localaws.sagemaker.engine.records import Records
from localaws.sagemaker.errors import ValidationError


def selected_steps(config: Document, definition: Definition) -> set[str]:
    """The selected steps' names. Raises ValidationError: one is unknown, or one between them left out."""
    selected = {each["StepName"] for each in config["SelectedSteps"]}
    unknown = sorted(selected - set(definition.steps))
    if unknown:
        raise ValidationError(f"SelectiveExecutionConfig: the pipeline has no step {', '.join(unknown)}.")
    for name in sorted(set(definition.steps) - selected):
        before = _ancestors(definition, name) & selected
        after = definition.descendants(name) & selected
        if before and after:
            raise ValidationError(
                f"SelectiveExecutionConfig: step {name} lies between the selected steps {min(before)} and "
                f"{min(after)}, so it must be selected too."
            )
    return selected


def needed_steps(selected: set[str], definition: Definition) -> set[str]:
    """The steps that are not selected, but whose results the selected ones need."""
    return {before for name in selected for before in definition.steps[name].depends_on} - selected


def reused_records(
    selected: set[str], definition: Definition, source_arn: str, source: Records
) -> list[Document]:
    """The records of the needed steps as they stand in the new execution. Raises ValidationError."""
    reused = []
    for name in sorted(needed_steps(selected, definition)):
        record = source.get(name)
        if record is None or record["StepStatus"] != "Succeeded":
            raise ValidationError(
                f"SelectiveExecutionConfig: the selected steps need the result of step {name}, "
                f"which did not succeed in {source_arn}."
            )
        result = {"SourcePipelineExecutionArn": source_arn}
        dropped = ("CacheHitResult", "_CacheKey")
        kept = {key: value for key, value in record.items() if key not in dropped}
        reused.append(kept | {"SelectiveExecutionResult": result})
    for name in sorted(selected):
        branch = definition.steps[name].branch
        taken = {each["StepName"]: each.get("Metadata", {}).get("Condition") for each in reused}
        if branch and taken.get(branch[0]) and taken[branch[0]]["Outcome"] != branch[1]:
            raise ValidationError(
                f"SelectiveExecutionConfig: step {name} is in the branch of {branch[0]} that {source_arn} "
                f"did not take; select {branch[0]} too."
            )
    return reused


def _ancestors(definition: Definition, name: str) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        following = definition.steps[waiting.pop()].depends_on - found
        found |= following
        waiting.extend(following)
    return found
