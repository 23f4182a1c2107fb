"""Serving: the handlers of the model container, from bytes to probabilities."""

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile
from PIL.PngImagePlugin import PngInfo

from training import inference
from training.fit import predict
from training.model import ModelCard, ModelError, Network, load_model, save_model

CLASSES = ("bicycle", "motorcycle", "unicycle")
CHANNELS = (4, 16, 16)


def make_model(folder: Path, **more) -> Path:
    torch.manual_seed(0)
    network = Network(len(CLASSES), CHANNELS)
    network.fit_to(torch.randint(0, 256, (20, 3, 32, 32), dtype=torch.uint8))
    network.train()
    network(torch.rand(20, 3, 32, 32))  # gives the norms statistics of their own
    save_model(folder, network, ModelCard(classes=CLASSES, channels=CHANNELS, **more))
    return folder


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"), temperature=0.7)


@pytest.fixture(scope="module")
def model(model_dir: Path) -> inference.Classifier:
    return inference.model_fn(str(model_dir))


def pixels(count: int, height: int = 32, width: int = 32) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def encoded(image: Image.Image, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npy_of_dimensions(number: int) -> bytes:
    """One byte of data, in a shape that NumPy itself cannot make from 65 dimensions on."""
    file = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": (1,) * number}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + b"\1"


def ask(model: inference.Classifier, body: bytes, content_type: str):
    return json.loads(
        inference.output_fn(inference.predict_fn(inference.input_fn(body, content_type), model))
    )


@pytest.mark.parametrize("content_type", ["image/png", "application/x-image", "IMAGE/PNG; charset=binary"])
def test_answers_probabilities_in_the_order_of_the_classes(model, content_type: str):
    answer = ask(model, encoded(Image.fromarray(pixels(1)[0])), content_type)
    assert len(answer) == len(CLASSES)
    assert all(type(value) is float and 0 <= value <= 1 for value in answer)
    assert sum(answer) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("flip_average", [True, False])
def test_is_the_forward_pass_of_the_training(tmp_path: Path, flip_average: bool):
    folder = make_model(tmp_path, temperature=0.7, flip_average=flip_average)
    images = pixels(5)
    network, _ = load_model(folder)
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2)
    expected = torch.softmax(predict(network, tensor, flip_average=flip_average) / 0.7, dim=1).numpy()
    answer = ask(inference.model_fn(str(folder)), npy(images), "application/x-npy")
    np.testing.assert_allclose(answer, expected, rtol=1e-5, atol=1e-6)


def test_mirrored_image_gets_the_same_answer(model):
    image = pixels(1)
    answers = [ask(model, npy(array), "application/x-npy")[0] for array in (image, image[:, :, ::-1])]
    np.testing.assert_allclose(*answers, rtol=1e-5)


def test_many_images_are_answered_as_each_alone(model):
    images = pixels(7)
    together = ask(model, npy(images), "application/x-npy")
    alone = [ask(model, encoded(Image.fromarray(image)), "image/png") for image in images]
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)
    assert np.shape(ask(model, npy(images[:1]), "application/x-npy")) == (1, 3)
    assert np.shape(ask(model, npy(images[0]), "application/x-npy")) == (3,)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("size", [(1, 1), (32, 32), (75, 20), (640, 480)])
def test_every_mode_and_size(model, mode: str, size: tuple[int, int]):
    image = (
        Image.new(mode, size) if mode == "I;16" else Image.fromarray(pixels(1, *size[::-1])[0]).convert(mode)
    )
    assert sum(ask(model, encoded(image), "image/png")) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg(model, mode: str):
    body = encoded(Image.fromarray(pixels(1, 48, 64)[0]).convert(mode), "JPEG")
    assert sum(ask(model, body, "image/jpeg")) == pytest.approx(1, abs=1e-6)


def test_a_photograph_lies_as_it_was_taken(model):
    """A camera's orientation tag is obeyed, as every viewer of the picture obeys it."""
    upright = Image.fromarray(pixels(1)[0])
    tag = Image.Exif()
    tag[0x0112] = 3
    file = io.BytesIO()
    upright.rotate(180).save(file, "PNG", exif=tag)
    np.testing.assert_allclose(
        ask(model, file.getvalue(), "image/png"), ask(model, encoded(upright), "image/png"), rtol=1e-5
    )


def test_grey_of_sixteen_bits_is_scaled(model):
    grey = pixels(1)[0, :, :, 0]
    deep = Image.fromarray(grey.astype(np.uint16) << 8)
    assert deep.mode.startswith("I")
    (seen,) = inference.input_fn(encoded(deep), "image/png").pixels
    np.testing.assert_array_equal(seen, np.repeat(grey[:, :, None], 3, axis=2))


def test_orientation_that_cannot_be_read_is_none(model):
    """Text where a number is due, of which Pillow makes a TypeError."""
    tag = Image.Exif()
    tag[0x0112] = 3
    spoilt = tag.tobytes().replace(struct.pack("<HHI", 0x0112, 3, 1), struct.pack("<HHI", 0x0112, 2, 1))
    file = io.BytesIO()
    Image.fromarray(pixels(1)[0]).save(file, "JPEG", exif=spoilt)
    assert sum(ask(model, file.getvalue(), "image/jpeg")) == pytest.approx(1, abs=1e-6)


def test_many_small_images_for_a_large_network_are_asked_in_parts(tmp_path: Path, monkeypatch):
    """An array of a few KB is gigabytes of the network's own numbers otherwise."""
    model = inference.model_fn(str(make_model(tmp_path, image_size=(64, 64))))
    images, sizes = pixels(150, 2, 2), []
    whole = ask(model, npy(images), "application/x-npy")
    to_tensor = inference.to_tensor

    def noted(part, size):
        sizes.append(len(part))
        return to_tensor(part, size)

    monkeypatch.setattr(inference, "to_tensor", noted)
    assert ask(model, npy(images), "application/x-npy") == whole
    assert sizes == [64, 64, 22]
    alone = [ask(model, npy(image), "application/x-npy") for image in images[[0, 63, 64, 149]]]
    np.testing.assert_allclose([whole[index] for index in (0, 63, 64, 149)], alone, rtol=1e-5, atol=1e-6)


PNG = encoded(Image.fromarray(pixels(1)[0]))


def interlaced(content: bytes) -> bytes:
    """A PNG of 32 x 32 pixels in Adam7's order, which Pillow does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 32, 32, 8, 2, 0, 0, 1)
    pixels = chunk(b"IDAT", zlib.compress(content))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("body", "content_type", "says"),
    [
        (b"", "image/png", "no readable PNG or JPEG"),
        (b"hello", "image/jpeg", "no readable PNG or JPEG"),
        (PNG[:100], "image/png", "no readable PNG or JPEG"),
        (interlaced(b""), "image/png", "no readable PNG or JPEG"),
        (PNG[:-20].replace(b"IDAT", b"IDAX"), "application/x-image", "no readable PNG or JPEG"),
        (encoded(Image.new("RGB", (8, 8)), "GIF"), "image/png", "no readable PNG or JPEG"),
        (PNG, "text/csv", "content type 'text/csv' is not taken"),
        (PNG, "application/x-npy", "no readable .npy"),
        (npy(np.zeros((4, 4, 3))), "application/x-npy", "uint8"),
        (npy(np.zeros((0, 4, 4, 3), np.uint8)), "application/x-npy", "not empty"),
        (npy(np.zeros((4, 4, 2), np.uint8)), "application/x-npy", "shape"),
        (npy(np.zeros((1, 1, 4, 4, 3), np.uint8)), "application/x-npy", "shape"),
        (npy(np.zeros((inference.MAX_IMAGES + 1, 1, 1, 3), np.uint8)), "application/x-npy", "at most 1024"),
        (npy_of_dimensions(70), "application/x-npy", "shape"),  # NumPy has no more than 64
    ],
)
def test_what_is_no_image_is_the_clients_mistake(body: bytes, content_type: str, says: str):
    with pytest.raises(ValueError, match=says) as caught:
        inference.input_fn(body, content_type)
    assert caught.value.status_code == 400
    assert "\n" not in str(caught.value)
    assert "0x" not in str(caught.value)


@pytest.mark.parametrize("shape", [(1, 40_000), (1, 40_000, 3), (2, 40_000, 1, 3)])
def test_an_array_with_too_long_a_side_is_refused_before_it_is_resized(shape: tuple[int, ...]):
    with pytest.raises(inference.ImageError, match="32768 a side"):
        inference.input_fn(npy(np.zeros(shape, np.uint8)), "application/x-npy")


def test_no_content_type_is_the_clients_mistake():
    with pytest.raises(inference.ImageError, match="content type None is not taken"):
        inference.input_fn(b"", None)


def test_pickled_array_is_refused():
    with pytest.raises(ValueError, match="uint8"):
        inference.input_fn(npy(np.array([object()], dtype=object)), "application/x-npy")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(10_000, 9_000), (16_000, 12_000), (1, 1_000_000)])
def test_too_large_is_refused_before_it_is_decoded(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch):
    """Small bodies that would need hundreds of megabytes and more; decoding is Pillow's `load`."""
    body = encoded(Image.new("1", size))
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda *_: pytest.fail("decoded"))
    with pytest.raises(ValueError, match=r"\d+ (x \d+ )?pixels"):
        inference.input_fn(body, "image/png")


def test_array_that_claims_to_be_huge_is_refused():
    header = npy(np.zeros((1, 8, 8, 3), np.uint8))[:128].replace(b"(1, 8, 8, 3)", b"(9, 90000, 90000, 3)")
    with pytest.raises(ValueError, match=r"\.npy"):
        inference.input_fn(header, "application/x-npy")


@given(st.binary(max_size=300), st.integers(0, len(PNG)), st.booleans())
def test_wild_bytes_never_do_worse_than_a_value_error(noise: bytes, cut: int, array: bool):
    body = (npy(pixels(1)) if array else PNG)[:cut] + noise
    try:
        images = inference.input_fn(body, "application/x-npy" if array else "application/x-image")
    except ValueError:
        return
    assert all(image.dtype == np.uint8 and image.shape[2] == 3 for image in images.pixels)


def test_answers_in_no_other_form():
    with pytest.raises(ValueError, match="text/csv"):
        inference.output_fn(np.array([0.5, 0.5], np.float32), "text/csv")


@pytest.mark.parametrize("accept", ["application/json", "*/*", "text/html, application/json;q=0.9", ""])
def test_accept_header_of_any_client(accept: str):
    assert json.loads(inference.output_fn(np.array([0.5, 0.5], np.float32), accept)) == [0.5, 0.5]


@pytest.mark.parametrize("missing", ["model.pt", "model.json"])
def test_half_a_model_is_named(tmp_path: Path, missing: str):
    folder = make_model(tmp_path)
    (folder / missing).unlink()
    with pytest.raises(ModelError, match=missing):
        inference.model_fn(str(folder))


def test_weights_that_do_not_fit_are_refused(tmp_path: Path):
    folder = make_model(tmp_path)
    card = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**card, "channels": [8, 8, 8]}))
    with pytest.raises(ModelError, match="no usable model"):
        inference.model_fn(str(folder))


def without_digest(folder: Path) -> None:
    """As older training jobs left the card."""
    card = json.loads((folder / "model.json").read_text())
    del card["sha256"]
    (folder / "model.json").write_text(json.dumps(card))


def test_flipped_bit_of_the_weights_is_noticed(tmp_path: Path):
    weights = make_model(tmp_path) / "model.pt"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.pt is not the one that model\.json was written for"):
        inference.model_fn(str(tmp_path))


def test_model_file_cannot_run_code(tmp_path: Path):
    class Evil:
        def __reduce__(self):
            return (Path(tmp_path / "run").touch, ())

    folder = make_model(tmp_path)
    torch.save({"weights": Evil()}, folder / "model.pt")
    without_digest(folder)
    with pytest.raises(ModelError):
        inference.model_fn(str(folder))
    assert not (tmp_path / "run").exists()


def test_card_with_keys_of_a_newer_release_is_read(tmp_path: Path):
    folder = make_model(tmp_path)
    card = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**card, "new": 1}))
    assert inference.model_fn(str(folder)).card.classes == CLASSES


def test_a_model_of_the_time_before_channels_is_read(tmp_path: Path):
    network = Network(len(CLASSES), (4, 16, 16))
    save_model(tmp_path, network, ModelCard(CLASSES))
    card = json.loads((tmp_path / "model.json").read_text())
    del card["channels"]
    (tmp_path / "model.json").write_text(json.dumps({**card, "width": 4}))
    assert load_model(tmp_path)[1].channels == (4, 16, 16)


@pytest.mark.parametrize(
    "change",
    [
        {"image_size": [0, 0]},
        {"image_size": [10_000_000, 9]},
        {"image_size": [float("inf"), 9]},
        {"channels": [4, 12]},
        {"channels": [4, 12, 10_000_000]},
        {"channels": "4"},
        {"temperature": 0},
        {"temperature": "x"},
        {"temperature": float("nan")},
        {"classes": "ab"},
    ],
)
def test_a_card_that_makes_no_sense_is_refused(tmp_path: Path, change: dict):
    make_model(tmp_path)
    path = tmp_path / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ModelError):
        load_model(tmp_path)


@pytest.mark.parametrize("content", ["[]", "null", "{}", "7"])
def test_a_card_that_is_none_is_refused(tmp_path: Path, content: str):
    make_model(tmp_path)
    (tmp_path / "model.json").write_text(content)
    with pytest.raises(ModelError):
        load_model(tmp_path)


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path):
    card = ModelCard(CLASSES, channels=CHANNELS)
    network = Network(len(CLASSES), CHANNELS)
    torch.nn.init.constant_(network.head.weight, float("nan"))
    save_model(tmp_path, network, card)
    with pytest.raises(ModelError, match="not all weights are numbers"):
        load_model(tmp_path)


def test_cut_weights_are_refused(tmp_path: Path):
    make_model(tmp_path)
    content = (tmp_path / "model.pt").read_bytes()
    for size in range(0, len(content), len(content) // 40):
        (tmp_path / "model.pt").write_bytes(content[:size])
        with pytest.raises(ModelError):
            load_model(tmp_path)


def raw_npy(header: bytes, content: bytes = b"") -> bytes:
    padded = header + b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded + content


@pytest.mark.parametrize(
    "body",
    [
        raw_npy(b"{'descr': (("),
        raw_npy(b"-" * 9000),
        raw_npy(b"{'descr': '|u1', 'fortran_order': False, 'shape': (-4, -4, 3), }", bytes(48)),
        raw_npy(b"{'descr': '|u1', 'fortran_order': False, 'shape': (True, 4, 3), }", bytes(12)),
    ],
)
def test_a_wild_array_header_is_the_clients_mistake(body: bytes):
    with pytest.raises(inference.ImageError):
        inference.input_fn(body, "application/x-npy")


def test_a_text_that_unpacks_to_megabytes_is_the_clients_mistake():
    content = io.BytesIO()
    text = PngInfo()
    text.add_text("comment", "x" * 5_000_000, zip=True)
    Image.new("RGB", (8, 8)).save(content, "PNG", pnginfo=text)
    with pytest.raises(inference.ImageError):
        inference.input_fn(content.getvalue(), "image/png")
