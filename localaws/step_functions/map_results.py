"""What a distributed map's ResultWriter writes: moto writes a manifest, but not the files it speaks of.

https://docs.aws.amazon.com/step-functions/latest/dg/input-output-resultwriter.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from localaws.timestamps import iso_milliseconds

if TYPE_CHECKING:
    from localaws.step_functions.map_runs import Child

# Step Functions puts what timed out or was aborted with what failed.
_FILES = {"SUCCEEDED": "SUCCEEDED", "PENDING": "PENDING"}


def install() -> None:
    """Once, after moto's Step Functions were imported."""
    from moto.stepfunctions.parser.asl.component.state.exec.state_map.result_writer import result_writer_decl
    from moto.stepfunctions.parser.asl.component.state.exec.state_map.result_writer.resource_eval import (
        resource_eval_s3 as module,
    )

    result_writer_decl.ResultWriter._eval_body = _with_the_states_input
    module.ResourceEvalS3._handle_put_object = staticmethod(_put_results)


def _with_the_states_input(self: Any, env: Any) -> None:
    """Paths in the writer's parameters are the state's input's; moto looks into the children's outputs."""
    env.stack.append(env.states.get_input())
    self.parargs.eval(env=env)
    self.resource_eval.eval_resource(env=env)


def _put_results(env: Any, resource_runtime_part: Any, state_credentials: Any) -> None:
    from moto.stepfunctions.parser.asl.utils.boto_client import boto_client_for

    parameters, _input, _outputs = (env.stack.pop() for _ in range(3))
    s3 = boto_client_for(
        service="s3", region=resource_runtime_part.region, state_credentials=state_credentials
    )
    run = env.map_run_record_pool_manager.get_all()[-1]
    bucket, prefix = parameters["Bucket"], parameters.get("Prefix", "").rstrip("/")
    folder = f"{prefix}/" * bool(prefix) + run.map_run_arn.rpartition(":")[2]
    written: dict[str, list[dict[str, Any]]] = {"FAILED": [], "PENDING": [], "SUCCEEDED": []}
    for status, files in written.items():
        children = [child for child in run.children if _FILES.get(child.status, "FAILED") == status]
        if children:
            key = f"{folder}/{status}_0.json"
            body = json.dumps([_entry(run, child) for child in children], ensure_ascii=False).encode()
            s3.put_object(Bucket=bucket, Key=key, Body=body)
            files.append({"Key": key, "Size": len(body)})
    manifest = {"DestinationBucket": bucket, "MapRunArn": run.map_run_arn, "ResultFiles": written}
    key = f"{folder}/manifest.json"
    s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(manifest).encode())
    env.stack.append({"MapRunArn": run.map_run_arn, "ResultWriterDetails": {"Bucket": bucket, "Key": key}})


def _entry(run: Any, child: Child) -> dict[str, Any]:
    if child.status == "PENDING":
        return {"Input": _text(child.item), "Name": child.name, "Status": child.status}
    machine: str = run.map_state_machine_arn
    entry = {
        "ExecutionArn": f"{machine.replace(':stateMachine:', ':execution:')}:{child.name}",
        "Input": _text(child.input),
        "InputDetails": {"Included": True},
        "Name": child.name,
        "StartDate": child.started and iso_milliseconds(child.started),
        "StateMachineArn": machine,
        "Status": child.status,
        "StopDate": child.stopped and iso_milliseconds(child.stopped),
    }
    if child.status == "SUCCEEDED":
        return entry | {"Output": _text(child.output), "OutputDetails": {"Included": True}}
    told = {"Error": child.error, "Cause": child.cause}
    return entry | {name: value for name, value in told.items() if value is not None}


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
