"""The stand-in for the built-in image classification keeps the algorithm's contract."""

import io
import json
import logging
import threading

import numpy as np
import pytest
from PIL import Image

from localaws.runners.image_classification import serve, train
from localaws.runners.image_classification.channels import read_channel, read_records
from localaws.runners.image_classification.parameters import ClientError, parse
from localaws.runners.pytorch_handlers import RequestError
from processing.recordio import MAGIC, record

GIVEN = {"num_classes": "2", "num_training_samples": "32", "image_shape": "3,8,8", "mini_batch_size": "8"}
RECORDIO = {"ContentType": "application/x-recordio", "TrainingInputMode": "File"}
IMAGE = {"ContentType": "application/x-image", "TrainingInputMode": "File"}


def png(label: int, seed: int, size: int = 8) -> bytes:
    """Red where the label is 1, blue where it is 0, with noise."""
    pixels = np.random.default_rng(seed).integers(0, 80, (size, size, 3), np.uint8)
    pixels[..., 0 if label else 2] += 150
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


EXAMPLES = [(number % 2, png(number % 2, number)) for number in range(32)]
RECORDS = b"".join(record(number, label, image) for number, (label, image) in enumerate(EXAMPLES))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_training_samples": None}, "'num_training_samples' is a required property"),
        ({"num_training_samples": "7"}, "must be bigger or equal to the mini_batch_size"),
        ({"epoch": "3"}, r"Additional properties are not allowed \('epoch' was unexpected\)"),
        ({"learning_rate": "2"}, "'2' is not a valid value of learning_rate"),
        ({"num_layers": "21"}, "'21' is not a valid value of num_layers"),
        ({"num_layers": "20", "use_pretrained_model": "1"}, "use_pretrained_model=1 needs num_layers of"),
        ({"epochs": "2", "checkpoint_frequency": "3"}, "no greater than epochs"),
        ({"top_k": "1"}, "top_k must be greater than 1"),
    ],
)
def test_hyperparameters_that_are_refused(change, message):
    given = {name: text for name, text in (GIVEN | change).items() if text is not None}
    with pytest.raises(ClientError, match=f"^ClientError: .*{message}"):
        parse(given)


def test_hyperparameters_have_the_algorithms_defaults():
    values = parse(GIVEN | {"lr_scheduler_step": "10, 20", "_tuning_objective_metric": "validation:accuracy"})
    assert (values["epochs"], values["learning_rate"], values["num_layers"]) == (30, 0.1, 152)
    assert values["lr_scheduler_step"] == (10, 20)
    assert values["image_shape"] == (3, 8, 8)


@pytest.fixture
def data(tmp_path):
    (tmp_path / "train").mkdir()
    return tmp_path


def check(found):
    pixels, labels = found
    assert labels.tolist() == [label for label, _ in EXAMPLES]
    with Image.open(io.BytesIO(EXAMPLES[5][1])) as image:
        assert (pixels[5].transpose(1, 2, 0) == np.asarray(image)).all()


def test_recordio_file(data):
    (data / "train" / "train.rec").write_bytes(RECORDS)
    check(read_channel(data, "train", {"train": RECORDIO}, (3, 8, 8)))


def test_recordio_pipe(data):
    import os

    os.mkfifo(data / "train_0")
    writer = threading.Thread(target=lambda: (data / "train_0").write_bytes(RECORDS))
    writer.start()
    check(read_channel(data, "train", {"train": RECORDIO | {"TrainingInputMode": "Pipe"}}, (3, 8, 8)))
    writer.join()


def test_images_and_list(data):
    (data / "train_lst").mkdir()
    for number, (_, image) in enumerate(EXAMPLES):
        (data / "train" / f"{number}.png").write_bytes(image)
    lines = "".join(f"{n}\t{label}\t{n}.png\n" for n, (label, _) in enumerate(EXAMPLES))
    (data / "train_lst" / "train.lst").write_text(lines)
    check(read_channel(data, "train", {"train": IMAGE, "train_lst": IMAGE}, (3, 8, 8)))
    with pytest.raises(ClientError, match="the channel 'train_lst' is missing"):
        read_channel(data, "train", {"train": IMAGE}, (3, 8, 8))


def test_records_that_hold_the_magic_number_are_put_together_again():
    image = b"1234" + MAGIC + b"5678" + MAGIC + b"9"
    (content,) = read_records(io.BytesIO(record(3, 1, image)))
    assert content.endswith(image)


@pytest.mark.parametrize(
    ("stream", "message"),
    [(RECORDS[:-3], "ends in the middle"), (b"\0" * 16, "no magic number"), (b"", "holds no image")],
)
def test_damaged_recordio(data, stream, message):
    (data / "train" / "train.rec").write_bytes(stream)
    with pytest.raises(ClientError, match=message):
        read_channel(data, "train", {"train": RECORDIO}, (3, 8, 8))


@pytest.mark.parametrize(
    ("config", "message"),
    [({}, "'train' is missing"), ({"train": {"ContentType": "text/csv"}}, "has the content type 'text/csv'")],
)
def test_channels_that_are_refused(data, config, message):
    with pytest.raises(ClientError, match=message):
        read_channel(data, "train", config, (3, 8, 8))


@pytest.fixture
def ml(tmp_path, monkeypatch):
    """An /opt/ml with both channels in it."""
    monkeypatch.setattr(train, "ML", tmp_path)
    (tmp_path / "input" / "config").mkdir(parents=True)
    config = {"train": RECORDIO, "validation": RECORDIO}
    (tmp_path / "input" / "config" / "inputdataconfig.json").write_text(json.dumps(config))
    for channel in config:
        (tmp_path / "input" / "data" / channel).mkdir(parents=True)
        (tmp_path / "input" / "data" / channel / "images.rec").write_bytes(RECORDS)
    yield tmp_path
    logging.getLogger().handlers.clear()


def run(ml, **more):
    given = GIVEN | {"epochs": "6", "learning_rate": "0.05"} | more
    (ml / "input" / "config" / "hyperparameters.json").write_text(json.dumps(given))
    return train.main()


def test_trains_and_serves(ml, caplog):
    caplog.set_level(logging.INFO)
    assert run(ml, augmentation_type="crop", top_k="2") == 0
    assert "Epoch[0] Train-accuracy=" in caplog.text
    assert "Epoch[5] Validation-accuracy=1.000000" in caplog.text
    assert "Epoch[5] Validation-top_k_accuracy_2=1.000000" in caplog.text
    answers = serve.answers_of(ml / "model")
    for label, image in ((0, png(0, 99, 20)), (1, png(1, 98))):
        body, kind = answers.answer(image, "application/x-image", "*/*")
        assert kind == "application/json"
        assert int(np.argmax(json.loads(body))) == label
        assert sum(json.loads(body)) == pytest.approx(1)
    body, kind = answers.answer(image, "image/png", "application/jsonlines")
    assert (kind, list(json.loads(body))) == ("application/jsonlines", ["prediction"])
    for content, content_type, status in ((b"no image", "image/png", 400), (image, "text/csv", 415)):
        with pytest.raises(RequestError) as caught:
            answers.answer(content, content_type, "*/*")
        assert caught.value.status == status


def test_checkpoint_frequency_keeps_the_last_and_not_the_best(ml, caplog):
    caplog.set_level(logging.INFO)
    assert run(ml, checkpoint_frequency="6", optimizer="adam", learning_rate="0.01") == 0
    saved = [line for line in caplog.messages if line.startswith("Saved checkpoint")]
    assert len(saved) == 1
    assert saved[0].startswith("Saved checkpoint of epoch 5 ")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"num_classes": "1"}, "ClientError: the channel 'train' has the label 1, num_classes is 1"),
        ({"mini_batch_size": "33", "num_training_samples": "40"}, "bigger or equal to the mini_batch_size"),
    ],
)
def test_failure_is_told(ml, more, message):
    assert run(ml, **more) == 1
    assert message in (ml / "output" / "failure").read_text()
