"""EvaluateModel: asks a trained model for each image of a channel, and says how good its answers are.

    python -m processing.evaluate --model model.tar.gz --data out/validation --output-dir out/evaluation

Or, with --predictions, scores what a batch transform of these images has already answered. Otherwise
the model answers through the code that the endpoint will run, one image a call. Nothing is chosen here.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from processing import comparison, metrics, model_quality
from processing import threshold as thresholds
from processing.approved import NO_NOTE
from processing.calibration_picture import calibration_png
from processing.confusion_picture import confusion_png
from processing.contact_sheet import Row, Tile, sheet_png
from processing.job import JobError, end, run
from processing.model_package import Answering, ModelError, open_model
from processing.outputs import write_files
from processing.transform_output import open_predictions

LABELS = 10**9  # more than any model has classes: what is above it is not a label
MISTAKES_SHOWN = 24
MISTAKES_A_ROW = 6
MISTAKE_WIDTH = 196


class ChannelError(JobError):
    """The folder of images is not one that PrepareData writes, or does not fit the model."""


@dataclass(frozen=True)
class Example:
    """A line of a channel's `.lst` file, and the image."""

    file: str
    label: int
    png: bytes


@dataclass(frozen=True)
class Answers:
    """What the model said. `labels` int [n], `probabilities` float [n, classes], in the examples' order."""

    classes: tuple[str, ...]
    examples: list[Example]
    labels: np.ndarray
    probabilities: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        return self.probabilities.argmax(axis=1)


def read_channel(folder: Path) -> list[Example]:
    """The images that the folder's only `.lst` file lists. Raises `ChannelError`."""
    lists = sorted(folder.glob("*.lst"))
    if len(lists) != 1:
        raise ChannelError(f'"{folder}" must hold one .lst file and holds {len(lists)}')
    try:
        lines = lists[0].read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ChannelError(f"{lists[0]} is no text in UTF-8") from None
    examples = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where, fields = f"{lists[0]}, line {number}", line.split("\t")
        label = _label(fields[1]) if len(fields) == 3 and _is_index(fields[0]) else None
        if label is None:
            raise ChannelError(f"{where} is not index, label and file name")
        path = folder / fields[2]
        if "\0" in fields[2] or _is_outside(path, folder):
            raise ChannelError(f'{where} names "{fields[2]}", which is outside its folder')
        if not path.is_file():
            raise ChannelError(f'{where} names "{fields[2]}", which is not there, or a link to nothing')
        examples.append(Example(fields[2], label, path.read_bytes()))
    if not examples:
        raise ChannelError(f"{lists[0]} lists no image")
    return examples


def _is_index(text: str) -> bool:
    try:
        int(text)
    except ValueError:
        return False
    return True


def _label(text: str) -> int | None:
    """A label, also as MXNet's tools write it, 1.000000, since training takes it; None where it is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value) if value.is_integer() and 0 <= value < LABELS else None


def _is_outside(path: Path, folder: Path) -> bool:
    try:
        return not path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a link to itself, before Python 3.13: it is nowhere
        return False


def ask(model: Answering, examples: list[Example], classes: tuple[str, ...] | None) -> Answers:
    """The model's probabilities for each example. Raises `ModelError` or `ChannelError`."""
    if classes and model.classes and classes != model.classes:
        raise ModelError(f"the model's classes are {','.join(model.classes)}, not {','.join(classes)}")
    names = classes or model.classes
    if not names:
        raise ModelError("no model.json names the model's classes: give --classes")
    _check_names(names)
    labels = np.array([example.label for example in examples])
    if labels.max() >= len(names):
        raise ChannelError(
            f"an image has label {labels.max()}, and the model's {len(names)} classes are {','.join(names)}: "
            "give it a channel of these classes"
        )
    rows = []
    for example in examples:
        try:
            rows.append(model.probabilities(example.png, len(names)))
        except ModelError as error:
            raise ModelError(f"{example.file}: {error}") from error
    return Answers(names, examples, labels, np.array(rows))


def _check_names(names: tuple[str, ...]) -> None:
    """evaluation.json has numbers by name, of which one would take another's place."""
    wrong = [name for name in names if not name.strip() or names.count(name) > 1]
    if wrong:
        raise ModelError(
            f'"{wrong[0]}" names no class or several: give each a name of its own in --classes or model.json'
        )


def compare(answers: Answers, package: str | None, place: Path | None, note: str = NO_NOTE) -> dict[str, Any]:
    """evaluation.json's `comparison`: the approved model, which lies at `place`, asked about the same images.

    That it cannot be asked is no error of the new model: it is told, as `note` is, in place of numbers.
    """
    if package is None:
        return comparison.nothing_given()
    if package == comparison.NO_PACKAGE:
        return comparison.nothing_approved()
    if note != NO_NOTE or place is None:
        return comparison.not_compared(package, note)
    try:
        with open_model(place) as model:
            classes = model.classes or answers.classes
            if set(classes) != set(answers.classes):
                raise ModelError(f"its classes are {','.join(classes)}, not {','.join(answers.classes)}")
            said = ask(model, answers.examples, classes).predicted
    except ModelError as error:
        return comparison.not_compared(package, str(error))
    # By name: the same classes in another order are other labels.
    labels = np.array([answers.classes.index(name) for name in classes])[said]
    return comparison.paired(answers.predicted == answers.labels, labels == answers.labels, package)


def evaluation(answers: Answers, card: Mapping[str, Any], compared: dict[str, Any]) -> dict[str, Any]:
    """The content of evaluation.json; `card` is that of the model's model.json."""
    labels, probabilities, classes = answers.labels, answers.probabilities, answers.classes
    matrix = metrics.confusion_matrix(labels, answers.predicted, len(classes))
    low, high = metrics.wilson_interval(int(np.trace(matrix)), len(labels))
    precision, recall = metrics.rates(matrix)
    result: dict[str, Any] = {
        "multiclass_classification_metrics": model_quality.multiclass(labels, probabilities, classes),
        "images": len(labels),
        "classes": list(classes),
        "accuracy_interval": {
            "low": low,
            "high": high,
            "confidence": metrics.CONFIDENCE,
            "method": "wilson",
        },
        "confusion_matrix": matrix.tolist(),
        "per_class": {
            name: {"images": int(row.sum()), "precision": float(p), "recall": float(r)}
            for name, row, p, r in zip(classes, matrix, precision, recall, strict=True)
        },
        "calibration": metrics.calibration(labels, probabilities),
        "accuracy_by_coverage": metrics.accuracy_by_coverage(labels, probabilities),
        "recommended_threshold": thresholds.recommended(card, labels, probabilities),
        "comparison": compared,
        "hyperparameters": hyperparameters(card),
    }
    if len(classes) == 2:
        result["binary_classification_metrics"] = model_quality.binary(labels, probabilities)
    return result


def hyperparameters(card: Mapping[str, Any]) -> dict[str, Any] | None:
    """Of the training that made the model, where its card tells them."""
    trained = card.get("trained")
    found = trained.get("hyperparameters") if isinstance(trained, dict) else None
    return found if isinstance(found, dict) else None


def predictions_jsonl(answers: Answers) -> str:
    """A line an image: file, true and predicted class, probabilities."""
    return "".join(
        json.dumps(
            {
                "file": example.file,
                "label": example.label,
                "class": answers.classes[example.label],
                "predicted": answers.classes[predicted],
                "probabilities": probabilities.tolist(),
            }
        )
        + "\n"
        for example, predicted, probabilities in zip(
            answers.examples, answers.predicted, answers.probabilities, strict=True
        )
    )


def worst_mistakes_png(answers: Answers) -> bytes:
    """The wrong answers, the surest first; where there are none, the least sure of the right ones."""
    confidence = answers.probabilities.max(axis=1)
    wrong = np.flatnonzero(answers.predicted != answers.labels)
    chosen = wrong[np.argsort(-confidence[wrong], kind="stable")]
    if not len(wrong):
        chosen = np.argsort(confidence, kind="stable")
    title = mistakes_title(len(wrong), len(answers.labels))
    tiles = [_tile(answers, int(row)) for row in chosen[:MISTAKES_SHOWN]]
    starts = range(0, len(tiles), MISTAKES_A_ROW)
    rows = [Row("" if start else title, tiles[start : start + MISTAKES_A_ROW]) for start in starts]
    return sheet_png(rows, cell_width=MISTAKE_WIDTH)


def mistakes_title(wrong: int, images: int) -> str:
    if not wrong:
        return "no mistakes; the least sure"
    which = "the surest first" if wrong <= MISTAKES_SHOWN else f"the {MISTAKES_SHOWN} surest"
    return f"{wrong} of {images} wrong, {which}"


def _tile(answers: Answers, row: int) -> Tile:
    example, predicted = answers.examples[row], int(answers.predicted[row])
    with Image.open(io.BytesIO(example.png)) as image:
        pixels = np.asarray(image.convert("RGB"))
    said = f"said {answers.classes[predicted]} {answers.probabilities[row, predicted]:.2f}"
    return Tile(pixels, (f"is {answers.classes[example.label]}", said, example.file))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m processing.evaluate", description=__doc__.splitlines()[0]
    )
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--model", type=Path, help="model.tar.gz, or a folder with its content")
    asked.add_argument(
        "--predictions", type=Path, help="a batch transform's output for the images, in place of the model"
    )
    parser.add_argument("--data", required=True, type=Path, help="a channel: images and their .lst file")
    parser.add_argument("--output-dir", required=True, type=Path)
    parser.add_argument("--classes", help="comma-separated; must be the model's own, in its order")
    parser.add_argument("--approved-model", type=Path, help="the approved model, to compare with; as --model")
    parser.add_argument(
        "--approved-package", help=f"its package's ARN; {comparison.NO_PACKAGE} if there is none"
    )
    parser.add_argument("--approved-note", default=NO_NOTE, help="why it is not at --approved-model")
    given = parser.parse_args(arguments)
    if given.approved_model and not given.approved_package:
        parser.error("--approved-model: name its package too, with --approved-package")
    classes = tuple(name.strip() for name in given.classes.split(",")) if given.classes else None
    examples = read_channel(given.data)
    images = ((example.file, example.png) for example in examples)
    with open_model(given.model) if given.model else open_predictions(given.predictions, images) as model:
        answers, card = ask(model, examples, classes), model.card
    compared = compare(answers, given.approved_package, given.approved_model, given.approved_note)
    result = evaluation(answers, card, compared)
    files = {
        "predictions.jsonl": predictions_jsonl(answers).encode(),
        "worst_mistakes.png": worst_mistakes_png(answers),
        "evaluation.json": (json.dumps(result, indent=2) + "\n").encode(),
    }
    drawn = {
        "calibration.png": calibration_png(answers.labels, answers.probabilities, result),
        "confusion_matrix.png": confusion_png(np.array(result["confusion_matrix"]), answers.classes),
    }
    pictures = {name: picture for name, picture in drawn.items() if picture}
    write_files(given.output_dir, pictures | files)
    for line in summary(result):
        print(line)
    if not pictures:
        print(f"{' and '.join(drawn)} were not drawn: matplotlib is not installed here")


def summary(result: Mapping[str, Any]) -> list[str]:
    """What evaluation.json says, in lines for the log."""
    accuracy = result["multiclass_classification_metrics"]["accuracy"]["value"]
    interval, error = result["accuracy_interval"], result["calibration"]["expected_calibration_error"]
    return [
        f"accuracy {accuracy:.4f} on {result['images']:,} images "
        f"(95 % interval {interval['low']:.4f} to {interval['high']:.4f}), calibration error {error:.4f}",
        *(
            f"{name}: {one['images']:,} images, precision {one['precision']:.4f}, recall {one['recall']:.4f}"
            for name, one in result["per_class"].items()
        ),
        thresholds.sentence(result["recommended_threshold"]),
        result["comparison"]["summary"],
    ]


if __name__ == "__main__":
    end(run(main))
