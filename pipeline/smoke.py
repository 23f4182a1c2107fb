"""The smoke test: images whose labels are known, before anybody says that an endpoint works.

The images are those of the package's own validation split that its evaluation got right, so the endpoint must
give each the very same label: another one means that what serves is not what was evaluated.
"""

from __future__ import annotations

import io
import json
import random
from typing import TYPE_CHECKING, Any

from pipeline import objects, predictions
from pipeline.predictions import PredictError

if TYPE_CHECKING:
    from pipeline.clients import Clients
    from pipeline.settings import Settings

PER_CLASS = 3


class SmokeTestError(Exception):
    """The endpoint does not answer as its package's evaluation did."""


def test(clients: Clients, settings: Settings, endpoint: str, package: str) -> dict[str, Any]:
    """Asks about known images, or about noise where the package has none; returns the counts and the answers.

    Raises:
        SmokeTestError: a wrong label, a refusal, or no probabilities.
    """
    described = clients("sagemaker").describe_model_package(ModelPackageName=package)
    classes = described.get("CustomerMetadataProperties", {}).get("classes", "").split() or settings.classes
    try:
        images = known_images(clients("s3"), described)
        if not images:
            ask_about_noise(clients, settings, endpoint)
            return {"images": 0, "correct": 0, "note": "no evaluated images are there: asked about noise"}
        answers = []
        for name, label, png in images:
            runtime = clients("sagemaker-runtime")
            answer = predictions.invoke(runtime, endpoint, png, "image/png", predictions.SMOKE_TEST)
            if len(answer) != len(classes):
                raise SmokeTestError(f"{len(answer)} probabilities for the {len(classes)} classes")
            predicted = classes[max(range(len(answer)), key=answer.__getitem__)]
            answers.append({"image": name, "label": label, "predicted": predicted})
    except PredictError as error:
        raise SmokeTestError(f"the smoke test failed: {error}") from None
    wrong = [each for each in answers if each["label"] != each["predicted"]]
    if wrong:
        first = wrong[0]
        raise SmokeTestError(
            f"the smoke test failed: {len(wrong)} of {len(answers)} images have another label than in the "
            f"evaluation, the first {first['image']}: {first['predicted']} and not {first['label']}"
        )
    return {"images": len(answers), "correct": len(answers), "answers": answers}


def known_images(s3: Any, described: dict[str, Any]) -> list[tuple[str, str, bytes]]:
    """Name, class and PNG of the first images of each class that the evaluation got right."""
    metrics = described.get("ModelMetrics", {})
    evaluation = metrics.get("ModelQuality", {}).get("Statistics", {}).get("S3Uri")
    statistics = metrics.get("ModelDataQuality", {}).get("Statistics", {}).get("S3Uri")
    if not evaluation or not statistics:
        return []
    predictions_file = objects.read_if_there(s3, f"{evaluation.rpartition('/')[0]}/predictions.jsonl")
    validation = f"{statistics.rsplit('/', 2)[0]}/validation"
    chosen: dict[str, list[str]] = {}
    for line in (predictions_file or b"").decode().splitlines():
        record = json.loads(line)
        label, predicted = record["class"], record["predicted"]
        if label == predicted and len(chosen.setdefault(label, [])) < PER_CLASS:
            chosen[label].append(record["file"])
    images = []
    for label, names in chosen.items():
        for name in names:
            png = objects.read_if_there(s3, f"{validation}/{name}")
            if png is not None:
                images.append((name, label, png))
    return images


def ask_about_noise(clients: Clients, settings: Settings, name: str) -> None:
    """Asks about one picture of noise and wants a probability for each class, which sum to 1.

    Raises:
        PredictError: the answer is something else.
    """
    expected = len(predictions.deployed_classes(clients("sagemaker"), name) or settings.classes)
    answer = predictions.invoke(
        clients("sagemaker-runtime"), name, noise_png(), "image/png", predictions.SMOKE_TEST
    )
    if len(answer) != expected or abs(sum(answer) - 1) > 1e-3:
        raise PredictError(
            f"the endpoint {name} answered {answer} to a test image, not {expected} probabilities: "
            f"delete it with `scones endpoint delete {name}`"
        )


def noise_png(size: int = 32, seed: int = 0) -> bytes:
    """A PNG of `size`x`size` random pixels, the same for the same seed."""
    from PIL import Image

    pixels = random.Random(seed).randbytes(size * size * 3)  # noqa: S311 - a picture, not a secret
    buffer = io.BytesIO()
    Image.frombytes("RGB", (size, size), pixels).save(buffer, "PNG")
    return buffer.getvalue()
