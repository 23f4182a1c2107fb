"""Blobs in a state machine's calls of the AWS SDK: Step Functions sends their JSON, where boto3 wants bytes.

https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html
"""

from __future__ import annotations

import json
from typing import Any


def install() -> None:
    """Once, after moto's Step Functions were imported."""
    from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
        state_task_service_aws_sdk as module,
    )
    from moto.stepfunctions.parser.asl.utils.boto_client import boto_client_for

    cls = module.StateTaskServiceAwsSdk
    evaluate = cls._eval_service_task

    def with_blobs(
        self: Any,
        env: Any,
        resource_runtime_part: Any,
        normalised_parameters: dict[str, Any],
        state_credentials: Any,
    ) -> None:
        client = boto_client_for(
            resource_runtime_part.region, self._get_boto_service_name(), state_credentials
        )
        operation = client.meta.method_to_api_mapping[self._get_boto_service_action()]
        members = client.meta.service_model.operation_model(operation).input_shape.members
        filled = {
            name: json.dumps(value).encode() if members[name].type_name == "blob" else value
            for name, value in normalised_parameters.items()
        }
        evaluate(
            self,
            env=env,
            resource_runtime_part=resource_runtime_part,
            normalised_parameters=filled,
            state_credentials=state_credentials,
        )

    cls._eval_service_task = with_blobs
