"""EvaluateModel with a tiny model package: numpy only, its answers known beforehand."""

import codecs
import gzip
import io
import json
import math
import resource
import subprocess
import sys
import tarfile
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from processing import comparison, metrics, model_archive, model_quality
from processing.evaluate import main, mistakes_title
from processing.job import JobError
from processing.model_package import open_model

ROOT = Path(__file__).parents[3]
CLASSES = ("bicycle", "motorcycle")

# The probability of the second class is the image's first red value / 255.
INFERENCE = """
import io, json
import numpy as np
from PIL import Image
import helper

def model_fn(model_dir):
    return json.loads(open(model_dir + "/model.json").read())

def input_fn(body, content_type):
    assert content_type == "image/png"
    return np.asarray(Image.open(io.BytesIO(body)))

def predict_fn(data, model):
    share = helper.share(data)
    return [1 - share, share]

def output_fn(prediction, accept):
    assert accept == "application/json"
    return json.dumps(prediction)
"""
HELPER = "def share(data):\n    return float(data[0, 0, 0]) / 255\n"


def make_model(folder: Path, inference=INFERENCE, classes=CLASSES, helper=HELPER) -> Path:
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "inference.py").write_text(inference)
    (folder / "code" / "helper.py").write_text(helper)
    if classes is not None:
        (folder / "model.json").write_text(json.dumps({"classes": classes}))
    return folder


def pack_model(folder: Path, path: Path) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for member in sorted(folder.iterdir()):
            tar.add(member, member.name)
    return path


def make_channel(folder: Path, answers) -> Path:
    """Images that make the model say `second class with this share`: pairs of label and share * 255."""
    folder.mkdir(parents=True)
    lines = []
    for number, (label, red) in enumerate(answers):
        pixels = np.full((32, 32, 3), red, np.uint8)
        Image.fromarray(pixels).save(folder / f"image_{number}.png")
        lines.append(f"{number}\t{label}\timage_{number}.png\n")
    (folder / "validation.lst").write_text("".join(lines))
    return folder


# Five bicycles, one taken for a motorcycle; three motorcycles, one taken for a bicycle with more confidence.
ANSWERS = [(0, 10), (0, 0), (0, 51), (0, 100), (0, 153), (1, 255), (1, 204), (1, 5)]


@pytest.fixture
def model(tmp_path):
    return make_model(tmp_path / "model")


@pytest.fixture
def data(tmp_path):
    return make_channel(tmp_path / "validation", ANSWERS)


def evaluate(model, data, output, *more) -> dict:
    main(["--model", str(model), "--data", str(data), "--output-dir", str(output), *more])
    return json.loads((output / "evaluation.json").read_text())


@pytest.mark.parametrize("packed", ["folder", "archive", "folder with the archive"])
def test_evaluation(tmp_path, model, data, packed):
    if packed != "folder":
        (tmp_path / "mounted").mkdir()
        archive = pack_model(model, tmp_path / "mounted" / "model.tar.gz")
        model = archive if packed == "archive" else archive.parent
    result = evaluate(model, data, tmp_path / "out", "--classes", "bicycle, motorcycle")
    multiclass = result["multiclass_classification_metrics"]
    assert multiclass["accuracy"]["value"] == 6 / 8
    assert 0.05 < multiclass["accuracy"]["standard_deviation"] < 0.25
    assert multiclass["confusion_matrix"] == {
        "bicycle": {"bicycle": 4, "motorcycle": 1},
        "motorcycle": {"bicycle": 1, "motorcycle": 2},
    }
    assert result["confusion_matrix"] == [[4, 1], [1, 2]]
    assert result["classes"] == list(CLASSES)
    assert result["images"] == 8
    assert result["per_class"]["bicycle"] == {"images": 5, "precision": 4 / 5, "recall": 4 / 5}
    assert result["per_class"]["motorcycle"] == {"images": 3, "precision": 2 / 3, "recall": 2 / 3}
    assert result["accuracy_interval"]["low"] == pytest.approx(0.4093, abs=1e-4)
    assert result["accuracy_interval"]["high"] == pytest.approx(0.9285, abs=1e-4)
    binary = result["binary_classification_metrics"]
    assert binary["confusion_matrix"] == {"0": {"0": 4, "1": 1}, "1": {"0": 1, "1": 2}}
    assert binary["recall"]["value"] == 2 / 3
    assert binary["false_positive_rate"]["value"] == pytest.approx(1 / 5)
    assert binary["auc"]["value"] == pytest.approx(11 / 15)


def test_calibration(tmp_path, model, data):
    calibration = evaluate(model, data, tmp_path / "out")["calibration"]
    shares = np.array([red for _, red in ANSWERS]) / 255
    confidence = np.maximum(shares, 1 - shares)
    right = (shares >= 0.5) == np.array([label == 1 for label, _ in ANSWERS])
    expected = 0.0
    for part in calibration["bins"]:
        inside = (confidence >= part["low"]) & ((confidence < part["high"]) | (part["high"] == 1))
        assert part["images"] == inside.sum()
        if part["images"]:
            assert part["accuracy"] == pytest.approx(right[inside].mean())
            assert part["confidence"] == pytest.approx(confidence[inside].mean())
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
        else:
            assert part["accuracy"] is part["confidence"] is None
    assert sum(part["images"] for part in calibration["bins"]) == len(ANSWERS)
    assert calibration["expected_calibration_error"] == pytest.approx(expected)


def test_accuracy_by_coverage(tmp_path, model, data):
    table = evaluate(model, data, tmp_path / "out")["accuracy_by_coverage"]
    found = {row["threshold"]: (row["coverage"], row["accuracy"]) for row in table}
    assert found[0.5] == (1.0, 6 / 8)
    assert found[0.95] == (4 / 8, 3 / 4)


def test_predictions_and_picture(tmp_path, model, data):
    evaluate(model, data, tmp_path / "out")
    predictions = [
        json.loads(line) for line in (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()
    ]
    assert [line["predicted"] for line in predictions[:2]] == ["bicycle", "bicycle"]
    assert predictions[7] == {
        "file": "image_7.png",
        "label": 1,
        "class": "motorcycle",
        "predicted": "bicycle",
        "probabilities": [1 - 5 / 255, 5 / 255],
    }
    with Image.open(tmp_path / "out" / "worst_mistakes.png") as picture:
        colours = {picture.getpixel((4 + 30 + n * 200, 4 + 17 + 30))[0] for n in range(2)}
    assert colours == {5, 153}  # the two that are wrong
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "calibration.png",
        "confusion_matrix.png",
        "evaluation.json",
        "predictions.jsonl",
        "worst_mistakes.png",
    ]


@pytest.mark.parametrize(
    ("wrong", "title"),
    [
        (0, "no mistakes; the least sure"),
        (24, "24 of 100 wrong, the surest first"),
        (29, "29 of 100 wrong, the 24 surest"),
    ],
)
def test_the_picture_of_mistakes_says_whether_it_has_them_all(wrong, title):
    assert mistakes_title(wrong, 100) == title


def test_without_mistakes(tmp_path, model):
    data = make_channel(tmp_path / "right", [(0, 10), (1, 250)])
    result = evaluate(model, data, tmp_path / "out")
    assert result["multiclass_classification_metrics"]["accuracy"] == {
        "value": 1.0,
        "standard_deviation": 0.0,
    }
    assert (tmp_path / "out" / "worst_mistakes.png").is_file()


def test_three_classes(tmp_path):
    inference = INFERENCE.replace("return [1 - share, share]", "return [1 - share, share / 2, share / 2]")
    model = make_model(tmp_path / "three", inference, classes=("worm", "apple", "tank"))
    result = evaluate(model, make_channel(tmp_path / "data", [(0, 0), (1, 255), (2, 255)]), tmp_path / "out")
    assert result["confusion_matrix"] == [[1, 0, 0], [0, 1, 0], [0, 1, 0]]
    assert "binary_classification_metrics" not in result
    assert result["multiclass_classification_metrics"]["weighted_precision"]["value"] == pytest.approx(0.5)


def transform(data, folder, shape):
    """What a batch transform with the same answers would have left."""
    folder.mkdir()
    for number, (_, red) in enumerate(ANSWERS):
        answer = [1 - red / 255, red / 255]
        (folder / f"image_{number}.png.out").write_text(json.dumps(shape(answer)) + "\n")
    return folder


@pytest.mark.parametrize("shape", [list, lambda answer: {"prediction": answer}], ids=["list", "JSON lines"])
def test_a_transforms_answers_are_scored_as_the_models_own(tmp_path, model, data, shape):
    asked = evaluate(model, data, tmp_path / "asked")
    folder, out = transform(data, tmp_path / "transformed", shape), tmp_path / "out"
    given = ["--predictions", folder, "--data", data, "--output-dir", out, "--classes", ",".join(CLASSES)]
    main([str(word) for word in given])
    assert json.loads((out / "evaluation.json").read_text()) == asked
    for name in ("predictions.jsonl", "worst_mistakes.png"):
        assert (out / name).read_bytes() == (tmp_path / "asked" / name).read_bytes()


@pytest.mark.parametrize(
    ("spoil", "more", "said"),
    [
        (lambda path: path.unlink(), ["--classes", "a,b"], "has no answer to image_3.png"),
        (
            lambda path: path.write_text("ERROR"),
            ["--classes", "a,b"],
            r"image_3.png: the model answered b'ERROR'",
        ),
        (
            lambda path: path.write_text("[0.5]"),
            ["--classes", "a,b"],
            "image_3.png: .* 1 probabilities for 2",
        ),
        (lambda path: path, [], "give --classes"),
        (lambda path: path, ["--classes", "a,a"], '"a" names no class or several'),
        (lambda path: path, ["--classes", ","], '"" names no class or several'),
        (lambda path: path, ["--classes", "a, "], '"" names no class or several'),
    ],
)
def test_a_transform_that_does_not_fit(tmp_path, data, spoil, more, said):
    folder = transform(data, tmp_path / "transformed", list)
    spoil(folder / "image_3.png.out")
    given = ["--predictions", folder, "--data", data, "--output-dir", tmp_path / "out", *more]
    with pytest.raises(JobError, match=said):
        main([str(word) for word in given])
    assert not (tmp_path / "out").exists()


def test_two_models_one_after_the_other(tmp_path, data):
    """Their modules have the same names, and each is to see its own."""
    png = (data / "image_0.png").read_bytes()
    right = make_model(tmp_path / "right")
    wrong = make_model(tmp_path / "wrong", helper="def share(data):\n    return 0.25\n")
    for folder, expected in ((right, 10 / 255), (wrong, 0.25), (right, 10 / 255)):
        with open_model(folder) as opened:
            assert opened.probabilities(png, 2)[1] == pytest.approx(expected)
    assert not {"inference", "helper"} & set(sys.modules)
    assert not list(tmp_path.rglob("__pycache__"))


def broken(old, new):
    return lambda folder: make_model(folder, INFERENCE.replace(old, new))


@pytest.mark.parametrize("compared", [False, True])
@pytest.mark.parametrize("handler", ["predict_fn(data, model):", "model_fn(model_dir):"])
def test_a_signal_is_not_the_models_failure(tmp_path, data, handler, compared):
    """SageMaker stops a job by SIGTERM, which most of the time finds it in the model's code."""
    stop = "\n    import os, signal, time\n    os.kill(os.getpid(), signal.SIGTERM); time.sleep(5)"
    stopped = make_model(tmp_path / "stopped", INFERENCE.replace(handler, handler + stop))
    asked = ["--model", make_model(tmp_path / "new") if compared else stopped, "--data", data]
    package = ["--approved-model", stopped, "--approved-package", "arn:scones/1"] if compared else []
    command = [sys.executable, "-m", "processing.evaluate", *asked, *package]
    ended = subprocess.run(
        [*command, "--output-dir", tmp_path / "out"], cwd=ROOT, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stderr) == (143, "")
    assert not (tmp_path / "out").exists()


def nameless(folder):
    make_model(folder, inference=INFERENCE.replace("model.json", "code/names"))
    (folder / "code" / "names").write_text("[]")
    (folder / "model.json").unlink()
    return folder


MISTAKES = {
    "another order of classes": (
        make_model,
        ["--classes", "motorcycle,bicycle"],
        "are bicycle,motorcycle, not",
    ),
    "crash": (
        broken("share = helper", "1 / 0; share = helper"),
        [],
        "image_0.png: the model failed: ZeroDiv",
    ),
    "no list": (broken("json.dumps(prediction)", "'bicycle'"), [], "answered 'bicycle', not a list"),
    "too many": (broken("return [1", "return [0, 1"), [], "answered 3 probabilities for 2 classes"),
    "no distribution": (broken("[1 - share", "[1 + share"), [], "is not a distribution"),
    "not a number": (broken("1 - share", "float('nan')"), [], "is not a distribution"),
    "no output_fn": (broken("def output_fn", "def output"), [], "has no output_fn"),
    "no import": (broken("import helper", "import nowhere"), [], "cannot be imported: ModuleNotFoundError"),
    "no load": (
        broken("return json.loads", "1 / 0; return json.loads"),
        [],
        "model_fn failed: ZeroDivisionError",
    ),
    "exit": (
        broken("return json.loads", "raise SystemExit(0); return json.loads"),
        [],
        "model_fn failed: SystemExit",
    ),
    "no classes": (nameless, [], "give --classes"),
    "a class twice": (
        lambda folder: make_model(folder, classes=("bicycle", "bicycle")),
        [],
        '"bicycle" names no class or several: .* model.json',
    ),
    "nowhere": (lambda folder: folder, [], "there is no model at"),
}


@pytest.mark.parametrize(("make", "more", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_sentence_and_nothing_is_written(tmp_path, data, make, more, said):
    folder = make(tmp_path / "model")
    with pytest.raises(JobError, match=said):
        evaluate(folder, data, tmp_path / "out", *more)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("", "lists no image"),
        ("0\t0\n", "line 1 is not index, label and file name"),
        ("0\tbicycle\timage_0.png\n", "line 1 is not"),
        ("0\t0\tgone.png\n", 'names "gone.png", which is not there'),
        ("0\t" + "1" * 5000 + "\timage_0.png\n", "line 1 is not"),
        ("0\t0.5\timage_0.png\n", "line 1 is not"),
        ("0\t-1\timage_0.png\n", "line 1 is not"),
        ("0\tnan\timage_0.png\n", "line 1 is not"),
        ("0\t1e300\timage_0.png\n", "line 1 is not"),
        ("0\t0\timage_0.png\tmore\n", "line 1 is not"),
        ("x\t0\timage_0.png\n", "line 1 is not"),
        ("0\t0\t../model/model.json\n", "outside its folder"),
        ("0\t0\ta\0b.png\n", "outside its folder"),
        ("0\t2\timage_0.png\n", "an image has label 2, and the model's 2 classes are"),
    ],
)
def test_a_channel_that_does_not_fit(tmp_path, model, data, lines, said):
    (data / "validation.lst").write_text(lines)
    with pytest.raises(JobError, match=said):
        evaluate(model, data, tmp_path / "out")


def test_an_image_that_is_a_link_to_itself(tmp_path, model, data):
    (data / "image_0.png").unlink()
    (data / "image_0.png").symlink_to("image_0.png")
    with pytest.raises(JobError, match=r'line 1 names "image_0.png", .* a link to nothing'):
        evaluate(model, data, tmp_path / "out")


def test_labels_as_mxnets_tools_write_them(tmp_path, model, data):
    """Training takes them too."""
    expected = evaluate(model, data, tmp_path / "whole")
    path = data / "validation.lst"
    path.write_text(path.read_text().replace("\t0\t", "\t0.000000\t").replace("\t1\t", "\t1.000000\t"))
    assert "\t1.000000\timage_7.png" in path.read_text()
    assert evaluate(model, data, tmp_path / "mxnet") == expected


def test_a_list_that_begins_with_a_byte_order_mark(tmp_path, model, data):
    """As some editors save it. Training takes it too."""
    expected = evaluate(model, data, tmp_path / "whole")
    path = data / "validation.lst"
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    assert evaluate(model, data, tmp_path / "marked") == expected


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, None])
def test_a_model_that_reaches_out_is_refused(tmp_path, data, kind):
    archive = tmp_path / "model.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        member = tarfile.TarInfo("link" if kind else "../escaped")
        if kind:
            member.type, member.linkname = kind, "/etc"
        tar.addfile(member, io.BytesIO(b""))
    with pytest.raises(JobError, match=r"model.tar.gz is refused: .*(link|escaped)"):
        evaluate(archive, data, tmp_path / "out")
    assert not (tmp_path / "escaped").exists()


def test_a_cut_model(tmp_path, model, data):
    archive = pack_model(model, tmp_path / "model.tar.gz")
    archive.write_bytes(archive.read_bytes()[:-100])
    with pytest.raises(JobError, match="cannot be unpacked"):
        evaluate(archive, data, tmp_path / "out")


@pytest.mark.parametrize("place", [0.3, 0.5, 0.7, 1])
def test_a_flipped_bit_is_noticed_though_every_file_can_be_read(tmp_path, model, data, place):
    (model / "weights").write_bytes(bytes(range(256)) * 64)
    archive = pack_model(model, tmp_path / "model.tar.gz")
    content = bytearray(gzip.compress(gzip.decompress(archive.read_bytes()), 0))
    # In gzip's own CRC, or in the weights: as they stand, since nothing is compressed.
    content[-8 if place == 1 else content.index(bytes(range(256))) + int(place * (256 * 64))] ^= 1
    archive.write_bytes(content)
    with pytest.raises(JobError, match=r"model.tar.gz cannot be unpacked: it is damaged, take another copy"):
        evaluate(archive, data, tmp_path / "out")


def test_a_model_that_unpacks_without_end_is_refused(tmp_path, model, data, monkeypatch):
    archive = pack_model(model, tmp_path / "model.tar.gz")
    monkeypatch.setattr(model_archive, "MAX_UNPACKED_BYTES", 10_000)
    with pytest.raises(JobError, match=r"model.tar.gz is refused: it holds more than"):
        evaluate(archive, data, tmp_path / "out")


def test_a_file_that_claims_any_size_is_refused(tmp_path, model, data):
    """As GNU tar writes a file with holes: four TiB of them take no room in the archive."""
    archive = tmp_path / "model.tar.gz"
    with tarfile.open(archive, "w:gz", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("model.json")
        member.pax_headers = {"GNU.sparse.map": "0,0", "GNU.sparse.size": str(4 << 40)}
        tar.addfile(member, io.BytesIO(b""))
    with pytest.raises(JobError, match=r"model.tar.gz is refused: model.json is a sparse file"):
        evaluate(archive, data, tmp_path / "out")


@pytest.mark.parametrize("place", range(20))
def test_a_damaged_model_ends_in_a_sentence(tmp_path, model, data, place):
    archive = pack_model(model, tmp_path / "model.tar.gz")
    content = bytearray(archive.read_bytes())
    content[len(content) * place // 20] ^= 0x5A
    archive.write_bytes(content)
    try:
        evaluate(archive, data, tmp_path / "out")
    except JobError:
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"trained": "x"},
        {"trained": {"calibration": [1]}},
        {"threshold": "x", "trained": {"calibration": {"target": 0.99, "coverage": 0.5}}},
        {"threshold": 0.9, "trained": {"calibration": {"target": "x", "coverage": 0.5}}},
        {"threshold": 0.9, "trained": {"calibration": {"target": 0.99}}},
    ],
)
def test_a_card_that_makes_no_sense_recommends_nothing(tmp_path, model, data, change):
    path = model / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert evaluate(model, data, tmp_path / "out")["recommended_threshold"]["value"] is None


def test_as_a_job(tmp_path, model, data):
    command = [sys.executable, "-m", "processing.evaluate", "--model", model, "--data", data]
    completed = subprocess.run(
        [*command, "--output-dir", tmp_path / "out"], cwd=ROOT, capture_output=True, text=True
    )
    assert completed.stdout.startswith("accuracy 0.7500 on 8 images (95 % interval 0.4093 to 0.9285)")
    completed = subprocess.run(
        [*command, "--output-dir", tmp_path / "no", "--classes", "worm"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert completed.returncode == 1
    assert completed.stderr == "error: the model's classes are bicycle,motorcycle, not worm\n"


# -- the numbers themselves --------------------------------------------------------------------------------


@given(st.integers(1, 2000).flatmap(lambda images: st.tuples(st.integers(0, images), st.just(images))))
def test_wilson_interval(case):
    """Its ends are where the share that was seen is as far off as the normal distribution allows at 95 %."""
    right, images = case
    share, quantile = right / images, NormalDist().inv_cdf(0.975)
    low, high = metrics.wilson_interval(right, images)
    assert 0 <= low <= share <= high <= 1
    for end in (low, high):
        assert abs(share - end) == pytest.approx(quantile * math.sqrt(end * (1 - end) / images), abs=1e-7)


@st.composite
def answers(draw):
    images, classes = draw(st.integers(2, 30)), draw(st.integers(2, 4))
    labels = np.array(draw(st.lists(st.integers(0, classes - 1), min_size=images, max_size=images)))
    weights = draw(st.lists(st.integers(1, 9), min_size=images * classes, max_size=images * classes))
    table = np.array(weights, float).reshape(images, classes)
    return labels, table / table.sum(axis=1, keepdims=True)


@settings(deadline=None, max_examples=50)
@given(answers())
def test_agrees_with_scikit_learn(case):
    sklearn = pytest.importorskip("sklearn.metrics")
    labels, probabilities = case
    classes = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    names = [str(n) for n in range(classes)]
    found = model_quality.multiclass(labels, probabilities, names)
    kwargs = {"average": "weighted", "zero_division": 0, "labels": range(classes)}
    assert found["accuracy"]["value"] == pytest.approx(sklearn.accuracy_score(labels, predicted))
    assert found["weighted_recall"]["value"] == pytest.approx(
        sklearn.recall_score(labels, predicted, **kwargs)
    )
    precision = sklearn.precision_score(labels, predicted, **kwargs)
    assert found["weighted_precision"]["value"] == pytest.approx(precision)
    for name, beta in model_quality.BETAS.items():
        expected = sklearn.fbeta_score(labels, predicted, beta=beta, **kwargs)
        assert found[f"weighted_{name}"]["value"] == pytest.approx(expected)
    if classes == 2 and len(set(labels)) == 2:
        binary = model_quality.binary(labels, probabilities)
        assert binary["auc"]["value"] == pytest.approx(sklearn.roc_auc_score(labels, probabilities[:, 1]))
        assert binary["recall"]["value"] == pytest.approx(
            sklearn.recall_score(labels, predicted, zero_division=0)
        )
        curve = binary["receiver_operating_characteristic_curve"]
        fpr, tpr, _ = sklearn.roc_curve(labels, probabilities[:, 1], drop_intermediate=False)
        assert curve["false_positive_rates"] == pytest.approx(fpr.tolist())
        assert curve["true_positive_rates"] == pytest.approx(tpr.tolist())


def test_the_deviation_of_accuracy_is_the_binomial_one():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 400)
    share = np.where(rng.random(400) < 0.9, labels, 1 - labels) * 0.8 + 0.1
    found = model_quality.multiclass(labels, np.stack([1 - share, share], axis=1), CLASSES)["accuracy"]
    expected = math.sqrt(found["value"] * (1 - found["value"]) / 400)
    assert found["standard_deviation"] == pytest.approx(expected, rel=0.15)


# -- beside the approved model -----------------------------------------------------------------------------

PACKAGE = "arn:aws:sagemaker:us-east-1:123456789012:model-package/scones/3"
FLIPPED = "def share(data):\n    return 1 - float(data[0, 0, 0]) / 255\n"


def compared(tmp_path, model, data, approved, *more) -> dict:
    given = ("--approved-model", str(approved), "--approved-package", PACKAGE, *more)
    return evaluate(model, data, tmp_path / "out", *given)["comparison"]


def test_comparison_on_the_same_images(tmp_path, model, data):
    """The approved one says motorcycle from another brightness on: wrong on one more bicycle."""
    helper = "def share(data):\n    return min(1.0, float(data[0, 0, 0]) / 190)\n"
    approved = make_model(tmp_path / "approved", helper=helper)
    found = compared(tmp_path, model, data, approved)
    assert found["compared"]
    assert found["model_package_arn"] == PACKAGE
    assert (found["images"], found["accuracy"], found["accuracy_drop"]) == (8, 5 / 8, -1 / 8)
    assert found["discordant"] == {"only_new_right": 1, "only_approved_right": 0}
    assert found["p_value"] == 1
    assert found["summary"].startswith("the approved model scones/3 has 0.6250 on the same 8 images; 1 only")


def test_a_worse_model_drops(tmp_path, model, data):
    worse = make_model(tmp_path / "worse", helper=FLIPPED)
    found = compared(tmp_path, worse, data, model)
    assert found["accuracy_drop"] == 6 / 8 - 2 / 8
    assert found["discordant"] == {"only_new_right": 2, "only_approved_right": 6}
    assert found["p_value"] == pytest.approx(2 * (1 + 8 + 28) / 2**8)


def test_the_same_model_does_not_drop(tmp_path, model, data):
    archive = pack_model(model, tmp_path / "model.tar.gz")
    assert compared(tmp_path, model, data, archive)["accuracy_drop"] == 0


def test_the_same_classes_in_another_order_are_compared_by_name(tmp_path, model, data):
    approved = make_model(tmp_path / "other", classes=CLASSES[::-1], helper=FLIPPED)
    found = compared(tmp_path, model, data, approved)
    assert (found["accuracy"], found["accuracy_drop"]) == (6 / 8, 0)


def test_without_an_approved_model_there_is_nothing_to_be_worse_than(tmp_path, model, data):
    none = ("--approved-model", str(tmp_path), "--approved-package", "none")
    found = evaluate(model, data, tmp_path / "out", *none)["comparison"]
    assert (found["compared"], found["accuracy_drop"]) == (False, 0)
    assert found["summary"] == "no model is approved yet"


def test_a_person_who_gives_nothing_to_compare_with_is_not_told_of_the_registry(tmp_path, model, data):
    found = evaluate(model, data, tmp_path / "out")["comparison"]
    assert (found["compared"], found["accuracy_drop"]) == (False, 0)
    assert found["summary"] == "no approved model was given to compare with"


def test_an_approved_model_without_its_package_is_not_passed_over(tmp_path, model, data, capsys):
    with pytest.raises(SystemExit):
        evaluate(model, data, tmp_path / "out", "--approved-model", str(model))
    assert "name its package too, with --approved-package" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make", "more", "said"),
    [
        (
            lambda folder: make_model(folder, classes=("bus", "train")),
            (),
            "classes are bus,train, not bi",
        ),
        (lambda folder: folder, (), "there is no model at"),
        (broken("def output_fn", "def output"), (), "has no output_fn"),
        (broken("share = helper", "1 / 0; share = helper"), (), "image_0.png: the model failed: ZeroDiv"),
        (make_model, ("--approved-note", "nothing is at s3://b/model.tar.gz"), "nothing is at s3://b/"),
    ],
)
def test_an_approved_model_that_cannot_be_asked_is_told_and_counts_as_the_largest_drop(
    tmp_path, model, data, make, more, said
):
    found = compared(tmp_path, model, data, make(tmp_path / "approved"), *more)
    assert (found["compared"], found["accuracy_drop"], found["accuracy"]) == (False, 1, None)
    assert said in found["reason"]
    assert found["summary"].startswith(
        "the approved model scones/3 cannot be compared, which counts as a drop of 1: "
    )


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_agrees_with_scipy(one, other):
    stats = pytest.importorskip("scipy.stats")
    expected = stats.binomtest(one, one + other).pvalue if one + other else 1.0
    assert comparison.mcnemar_exact(one, other) == pytest.approx(expected, rel=1e-9)


# -- the threshold -----------------------------------------------------------------------------------------


def with_card(model, **card):
    (model / "model.json").write_text(json.dumps({"classes": CLASSES, **card}))
    return model


def test_the_recommended_threshold_comes_from_the_models_card(tmp_path, model, data):
    calibration = {"target": 0.99, "coverage": 0.91}
    with_card(model, threshold=0.75, trained={"calibration": calibration})
    found = evaluate(model, data, tmp_path / "out")["recommended_threshold"]
    assert (found["value"], found["target_accuracy"], found["coverage"]) == (0.75, 0.99, 0.91)
    assert found["here"] == {"coverage": 6 / 8, "accuracy": 5 / 6}
    assert found["metadata"] == {
        "confidence_threshold": "0.75",
        "threshold_accuracy": "0.99",
        "threshold_coverage": "0.91",
    }


@pytest.mark.parametrize(
    ("card", "accuracy"),
    [
        ({}, "none"),
        ({"threshold": None, "trained": {"calibration": None}}, "none"),
        ({"threshold": None, "trained": {"calibration": {"target": 0.99, "coverage": 0.0}}}, "0.99"),
    ],
)
def test_no_threshold_is_said_in_words_for_the_registry(tmp_path, model, data, card, accuracy):
    found = evaluate(with_card(model, **card), data, tmp_path / "out")["recommended_threshold"]
    assert found["value"] is None
    assert found["metadata"]["confidence_threshold"] == found["metadata"]["threshold_coverage"] == "none"
    assert found["metadata"]["threshold_accuracy"] == accuracy


def test_without_matplotlib_no_picture(tmp_path, model, data, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    evaluate(model, data, tmp_path / "out")
    assert "matplotlib is not installed here" in capsys.readouterr().out
    assert not (tmp_path / "out" / "calibration.png").exists()


def test_a_card_with_a_nan_leaves_an_evaluation_that_is_json(tmp_path, model, data):
    """Python's own reader takes a NaN, and its writer gives one; nobody else's does."""
    card = json.loads((model / "model.json").read_text())
    card["trained"] = {"hyperparameters": {"epochs": 3, "momentum": math.nan}}
    (model / "model.json").write_text(json.dumps(card))
    evaluate(model, data, tmp_path / "out")
    text = (tmp_path / "out" / "evaluation.json").read_text()
    result = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert result["hyperparameters"] == {"epochs": 3, "momentum": None}


def test_a_disk_that_is_full_is_named_by_the_file(tmp_path, model, data):
    command = [sys.executable, "-m", "processing.evaluate", "--model", model, "--data", data]
    completed = subprocess.run(
        [*command, "--output-dir", tmp_path / "out"],
        cwd=ROOT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500)),
        capture_output=True,
        text=True,
    )
    assert completed.returncode == 1
    assert (
        completed.stderr.splitlines()[-1] == f"error: {tmp_path / 'out' / 'calibration.png'}: File too large"
    )
    assert list((tmp_path / "out").iterdir()) == []
