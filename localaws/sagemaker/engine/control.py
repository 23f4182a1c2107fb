"""Steps that only steer the execution: conditions and failures."""

from __future__ import annotations

from localaws.documents import Document
from localaws.sagemaker.engine import conditions
from localaws.sagemaker.engine.expressions import evaluate
from localaws.sagemaker.engine.kinds import Kind, Result, Work
from localaws.sagemaker.engine.parameters import to_text


class Condition(Kind):
    """Decides which of its branches runs."""

    def look(self, work: Work) -> Result:
        outcome = str(conditions.all_hold(work.step.arguments["Conditions"], work.context.scope()))
        metadata = {"Condition": {"Outcome": outcome}}
        return Result("Succeeded", properties={"Outcome": outcome}, metadata=metadata)


class Fail(Kind):
    """Ends the execution as Failed, with its own message."""

    def prepare(self, work: Work) -> Document:
        message = evaluate(work.step.arguments.get("ErrorMessage", ""), work.context.scope())
        return {"Metadata": {"Fail": {"ErrorMessage": to_text(message)[:3072]}}}

    def look(self, work: Work) -> Result:
        return Result("Failed", work.record["Metadata"]["Fail"]["ErrorMessage"])
