"""What is kept of an execution: its own document, and a record for each step that it has come to.

A record is what ListPipelineExecutionSteps answers, and in inner members what a later process needs to go on:

- `_Sequence`: the order in which steps began.
- `_Request`, `_Name`, …: what the step's kind prepared, written before it is done.
- `_Began`: when the first attempt began; `_RetryAt`: not before then, the next.
- `_Properties`: of a step that succeeded, what references to it are answered from.
- `_CacheKey`, `_Answer`: see `caching` and `kinds`.
"""

from __future__ import annotations

from collections.abc import Callable

from localaws.documents import Document
from localaws.sagemaker.engine.definition import Definition, read_definition
from localaws.sagemaker.errors import ResourceNotFoundError
from localaws.sagemaker.store import Store

Records = dict[str, Document]

PIPELINE = "Pipeline"
VERSION = "PipelineVersion"
EXECUTION = "PipelineExecution"
STEP = "PipelineExecutionStep"

STEP_CACHE = "PipelineStepCache"
ISSUED = "PipelineToken"  # tokens of requests and of callbacks: what each of them stands for

ACTIVE = ("Executing", "Stopping")  # of executions
RUNNING = ("Starting", "Executing", "Stopping")  # of steps


def version_key(pipeline_arn: str, version: int) -> str:
    return f"{pipeline_arn}/{version}"


def step_key(execution_arn: str, step: str) -> str:
    return f"{execution_arn}/{step}"


def execution(store: Store, arn: str) -> Document:
    """Raises ResourceNotFoundError."""
    document = store.get(EXECUTION, arn)
    if document is None:
        raise ResourceNotFoundError(f"Pipeline execution {arn} does not exist.")
    return document


def definition_text(store: Store, execution_document: Document) -> str:
    """The definition that the execution was started with, as it was given."""
    key = version_key(execution_document["PipelineArn"], execution_document["PipelineVersionId"])
    version = store.get(VERSION, key)
    if version is None:
        raise ResourceNotFoundError(f"Pipeline version {key} does not exist.")
    return version["_Definition"]


def definition(store: Store, execution_document: Document) -> Definition:
    return read_definition(definition_text(store, execution_document))


def steps(store: Store, execution_arn: str) -> Records:
    """The records of an execution's steps by name, in the order in which they began."""
    found = store.list(STEP, parent=execution_arn)
    found.sort(key=lambda record: record["_Sequence"])
    return {record["StepName"]: record for record in found}


def put_step(store: Store, execution_arn: str, record: Document) -> None:
    store.put(STEP, step_key(execution_arn, record["StepName"]), record, parent=execution_arn)


def update_step(store: Store, execution_arn: str, step: str, change: Callable[[Document], None]) -> Document:
    return store.update(STEP, step_key(execution_arn, step), change)


def put_token(store: Store, token: str, meaning: Document, pipeline_arn: str) -> None:
    store.put(ISSUED, token, meaning | {"_Name": token}, parent=pipeline_arn)


def delete_step(store: Store, execution_arn: str, step: str) -> None:
    store.delete(STEP, step_key(execution_arn, step))


def delete_pipeline(store: Store, pipeline: Document) -> None:
    """Deletes a pipeline and all that hangs on it."""
    arn = pipeline["PipelineArn"]
    for execution_document in store.list(EXECUTION, parent=arn):
        execution_arn = execution_document["PipelineExecutionArn"]
        for step in steps(store, execution_arn):
            delete_step(store, execution_arn, step)
        store.delete(EXECUTION, execution_arn)
    for version in store.list(VERSION, parent=arn):
        store.delete(VERSION, version_key(arn, version["PipelineVersionId"]))
    for kind in (ISSUED, STEP_CACHE):
        for document in store.list(kind, parent=arn):
            store.delete(kind, document["_Name"])
    store.delete(PIPELINE, pipeline["PipelineName"])
