"""SageMaker Runtime: InvokeEndpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from werkzeug import Request, Response

if TYPE_CHECKING:
    from localaws.sagemaker.service import SageMakerService


def handle(service: SageMakerService, request: Request) -> Response:
    raise NotImplementedError(request.path)
