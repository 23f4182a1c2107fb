"""What is to become of each step, by what has become of those before it."""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum
from graphlib import TopologicalSorter

from localaws.sagemaker.engine.definition import Definition, Step
from localaws.sagemaker.engine.records import RUNNING, Records


class Fate(Enum):
    """Where a step stands in an execution."""

    READY = "ready"
    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # or stopped
    BLOCKED = "blocked"  # a step before it failed
    SKIPPED = "skipped"  # in a branch that was not taken, or after such a step, or not selected


def fates(
    definition: Definition, records: Records, selected: Collection[str] | None = None
) -> dict[str, Fate]:
    """Every step's fate, in the order in which they are written.

    Args:
        records: of the steps that have begun.
        selected: in a selective execution, the only steps that may run.
    """
    found: dict[str, Fate] = {}
    graph = {step.name: step.depends_on for step in definition.steps.values()}
    for name in TopologicalSorter(graph).static_order():
        found[name] = _fate(definition.steps[name], records, selected, found)
    return {name: found[name] for name in definition.steps}


def _fate(step: Step, records: Records, selected: Collection[str] | None, found: dict[str, Fate]) -> Fate:
    record = records.get(step.name)
    if record is not None:
        status = record["StepStatus"]
        return Fate.RUNNING if status in RUNNING else Fate.SUCCEEDED if status == "Succeeded" else Fate.FAILED
    if selected is not None and step.name not in selected:
        return Fate.SKIPPED
    before = {found[name] for name in step.depends_on}
    if Fate.SKIPPED in before or _in_other_branch(step, records):
        return Fate.SKIPPED
    if before & {Fate.FAILED, Fate.BLOCKED}:
        return Fate.BLOCKED
    return Fate.READY if before <= {Fate.SUCCEEDED} else Fate.WAITING


def _in_other_branch(step: Step, records: Records) -> bool:
    if step.branch is None:
        return False
    condition, outcome = step.branch
    taken = records.get(condition, {}).get("Metadata", {}).get("Condition", {}).get("Outcome")
    return taken is not None and taken != outcome
