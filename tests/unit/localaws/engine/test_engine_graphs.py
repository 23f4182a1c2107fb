"""Any graph, any failures, killed at any write: what runs is what should."""

from __future__ import annotations

import threading
import uuid

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

STARTING = 2  # the writes of StartPipelineExecution itself


@st.composite
def graphs(draw):
    """For each step the steps before it that it needs, and whether its job fails."""
    size = draw(st.integers(1, 7))
    needs = {n: draw(st.sets(st.integers(0, n - 1), max_size=3)) if n else set() for n in range(size)}
    return needs, draw(st.sets(st.integers(0, size - 1), max_size=2))


def _expected(needs, failing):
    statuses = {}
    for step, before in needs.items():
        if all(statuses.get(other) == "Succeeded" for other in before):
            statuses[step] = "Failed" if step in failing else "Succeeded"
    return {f"S{step}": status for step, status in statuses.items()}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(graph=graphs(), writes=st.integers(0, 40), parallel=st.integers(1, 3))
def test_any_graph_killed_at_any_write(sagemaker, make, monkeypatch, graph, writes, parallel):
    needs, failing = graph
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    name = f"p{uuid.uuid4().hex[:8]}"
    sagemaker.scripts.clear()
    steps = []
    for step, before in reversed(needs.items()):  # the order in the definition means nothing
        inputs = [
            make.get(f"Steps.S{n}.ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri") for n in before
        ]
        steps.append(make.processing(f"S{step}", inputs=inputs))
        if step in failing:
            sagemaker.script(f"S{step}", ("Failed", "AlgorithmError: no"))
    sagemaker.create_pipeline(make.pipeline(*steps), name)
    jobs = len(sagemaker.store.list("ProcessingJob"))

    sagemaker.store.writes_left = STARTING + writes
    execution = sagemaker.start(name, ParallelismConfiguration={"MaxParallelExecutionSteps": parallel})
    for thread in threading.enumerate():
        if thread.name.startswith("execution-"):
            thread.join()
    sagemaker.store.writes_left = None
    sagemaker.restart()
    execution.wait()

    expected = _expected(needs, failing)
    assert execution.statuses == expected
    assert execution.status == ("Failed" if "Failed" in expected.values() else "Succeeded")
    assert len(sagemaker.store.list("ProcessingJob")) - jobs == len(expected)
    ended = {name: step["EndTime"] for name, step in execution.steps.items()}
    for step, before in needs.items():
        if f"S{step}" in expected:
            assert all(ended[f"S{n}"] <= execution.steps[f"S{step}"]["StartTime"] for n in before)
