"""`docker run IMAGE serve` of the built-in image classification: an image in, the classes' probabilities out.

The answer is a JSON list; in a batch transform, and where JSON lines are asked for, `{"prediction": [...]}`.
Source: https://docs.aws.amazon.com/sagemaker/latest/dg/image-classification.html
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from localaws.runners.image_classification.channels import IMAGES, decode
from localaws.runners.image_classification.network import load, normalized
from localaws.runners.image_classification.parameters import ClientError
from localaws.runners.pytorch_handlers import JSON, RequestError
from localaws.runners.pytorch_inference import serve

JSON_LINES = "application/jsonlines"


@dataclass(frozen=True)
class Answers:
    network: nn.Module
    shape: tuple[int, int, int]
    batch: bool

    def answer(self, body: bytes, content_type: str, accept: str) -> tuple[bytes, str]:
        """Answers one request: body and content type. Raises RequestError."""
        if content_type.partition(";")[0].strip() not in IMAGES:
            raise RequestError(415, f"Content type {content_type} is not supported: {', '.join(IMAGES)}.")
        try:
            pixels = decode(body, self.shape)
        except ClientError as error:
            raise RequestError(400, str(error)) from error
        with torch.inference_mode():
            logits = self.network(normalized(torch.from_numpy(pixels.copy())[None]))
            probabilities = logits.double().softmax(1)[0].tolist()
        if accept == JSON_LINES:
            return json.dumps({"prediction": probabilities}).encode() + b"\n", JSON_LINES
        return json.dumps({"prediction": probabilities} if self.batch else probabilities).encode(), JSON


def answers_of(model_dir: Path) -> Answers:
    network, shape = load(model_dir)
    return Answers(network, shape, os.environ.get("SAGEMAKER_BATCH") == "true")


if __name__ == "__main__":
    sys.exit(serve(answers_of))
