"""One's own images, a folder a class: what is taken, how it is split, and what is refused by name."""

import io
import json
import tarfile
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from processing.job import JobError
from processing.prepare import Options, prepare
from training.images import fitted, rgb

CLASSES = ("van", "cargo_bike")


def encoded(image: Image.Image, kind: str = "PNG", **how) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **how)
    return buffer.getvalue()


def picture(seed: int, size=(40, 30)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def many(count=40, folder="photos/", seed=0):
    """Members of two classes in turn."""
    names = ("Cargo Bike", "van")
    return [(f"{folder}{names[n % 2]}/{n}.png", encoded(picture(seed + n, (12, 10)))) for n in range(count)]


def prepared(archive, folder, **options):
    statistics = prepare(Options(str(archive), CLASSES, folder, **{"image_size": (16, 16)} | options))
    lines = {
        channel: [json.loads(line) for line in (folder / channel / "manifest.jsonl").open()]
        for channel in ("train", "validation")
    }
    return statistics, lines


def sources(lines) -> dict[str, str]:
    """Member → channel."""
    return {line["source_name"]: channel for channel, some in lines.items() for line in some}


def test_each_image_is_in_one_channel_under_its_class(make_archive, tmp_path):
    members = many()
    statistics, lines = prepared(make_archive(*members), tmp_path / "out")
    assert set(sources(lines)) == {name for name, _ in members}
    assert statistics["splits"]["train"]["images"] + statistics["splits"]["validation"]["images"] == 40
    for channel, some in lines.items():
        for line in some:
            image = Image.open(tmp_path / "out" / channel / line["file"])
            assert (image.size, image.mode) == ((16, 16), "RGB")
            assert (line["class"] == "van") == ("/van/" in line["source_name"])
            assert line["label"] == CLASSES.index(line["class"])
        assert len({line["file"] for line in some}) == len(some)


def test_an_image_stays_in_its_split_whatever_comes_beside_it(make_archive, tmp_path):
    few, more = many(30), many(200, seed=0)
    before = sources(prepared(make_archive(*few), tmp_path / "few")[1])
    statistics, lines = prepared(make_archive(*more[::-1]), tmp_path / "more")
    after = sources(lines)
    assert before.items() <= after.items()
    assert 20 <= statistics["splits"]["validation"]["images"] <= 60  # a fifth of 200


def test_a_file_may_be_called_as_macos_calls_a_screenshot(make_archive, tmp_path):
    name = "photos/van/Screenshot 2026-11-29 at 9.41.00\u202fAM.png"
    _, lines = prepared(make_archive(*many(), (name, VAN)), tmp_path / "out")
    assert name in sources(lines)


@pytest.mark.parametrize("held_back", ["val", "validation", "test", "Test"])
def test_folders_may_name_the_split(make_archive, tmp_path, held_back):
    members = many(6, "x/train/") + many(4, f"x/{held_back}/", seed=100)
    _, lines = prepared(make_archive(*members), tmp_path / "out")
    assert sources(lines) == {
        name: "train" if name.startswith("x/train/") else "validation" for name, _ in members
    }


def test_a_class_may_be_called_as_a_split_is(make_archive, tmp_path):
    """CIFAR-100 has a class train."""
    members = [(name.replace("van", "train"), content) for name, content in many()]
    statistics = prepare(Options(str(make_archive(*members)), ("train", "cargo_bike"), tmp_path / "out"))
    assert sum(split["per_class"]["train"] for split in statistics["splits"].values()) == 20


def test_other_classes_and_hidden_files_are_passed_over(make_archive, tmp_path, capsys):
    members = many()
    beside = [
        ("photos/boat/1.png", b"not looked at"),
        ("photos/van/2024/1.png", b"not looked at"),
        ("photos/van/._1.png", b"what macOS leaves"),
        ("photos/.trash/van/1.png", b"what somebody threw away"),
        ("photos/README", b"text"),
        ("photos/van/1.heic", b"another format"),
        ("photos/van/again.png", members[1][1]),
    ]
    _, lines = prepared(make_archive(*members, *beside), tmp_path / "out")
    assert set(sources(lines)) == {name for name, _ in members}
    said = capsys.readouterr().err
    assert "left out, no .png, .jpg or .jpeg: 1 .heic\n" in said
    assert "left out, in folders of no chosen class: 1 photos/boat, 1 photos/van/2024\n" in said
    assert "left out, being the same as others: 1" in said


def tagged(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


HARD = {
    "upright": lambda: encoded(picture(1)),
    "turned": lambda: encoded(picture(2), "JPEG", exif=tagged(6)),
    "mirrored": lambda: encoded(picture(3), exif=tagged(2)),
    "16 bits": lambda: encoded(
        Image.fromarray(np.random.default_rng(4).integers(0, 65536, (30, 40), dtype=np.uint16))
    ),
    "grey": lambda: encoded(picture(5).convert("L"), "JPEG"),
    "palette": lambda: encoded(picture(6).quantize(16)),
    "transparent": lambda: encoded(picture(7).convert("RGBA")),
    "CMYK": lambda: encoded(picture(8).convert("CMYK"), "JPEG"),
    "bits": lambda: encoded(picture(9).convert("1")),
    "large": lambda: encoded(picture(10, (900, 700)), "JPEG"),
    "damaged tags": lambda: encoded(picture(11), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12"),
}


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("kind", HARD)
def test_pixels_are_those_that_the_server_would_see(make_archive, tmp_path, kind):
    content = HARD[kind]()
    hard = ("photos/van/hard.jpg", content)  # what it is called says nothing of what it is
    _, lines = prepared(make_archive(*many(), hard), tmp_path / "out", image_size=(24, 20))
    channel = sources(lines)[hard[0]]
    file = next(line["file"] for line in lines[channel] if line["source_name"] == hard[0])
    with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(content)) as image:
        expected = fitted(np.asarray(rgb(image)), (24, 20))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / channel / file)), expected)


VAN = encoded(picture(77))
BOMB = encoded(Image.new("1", (16_000, 16_000)))
HUGE = encoded(Image.new("1", (40_000, 2)))
REFUSED = {
    "no image": ([("photos/van/x.jpg", b"text")], "photos/van/x.jpg is no readable PNG or JPEG image"),
    "a GIF by another name": (
        [("photos/van/x.png", encoded(picture(1), "GIF"))],
        "photos/van/x.png is no readable PNG or JPEG image",
    ),
    "cut": ([("photos/van/x.png", VAN[:200])], "photos/van/x.png is no readable PNG or JPEG image: "),
    "too wide": ([("photos/van/x.png", HUGE)], "photos/van/x.png has 40000 x 2 pixels"),
    "in two classes": (
        [("photos/van/x.png", VAN), ("photos/cargo_bike/y.png", VAN)],
        "photos/cargo_bike/y.png and photos/van/x.png are the same image in two classes",
    ),
    "twice": (
        [("photos/van/x.png", VAN), ("photos/van/x.png", encoded(picture(78)))],
        "holds photos/van/x.png twice",
    ),
    "some by split": (
        [("photos/train/van/x.png", VAN)],
        "photos/train/van/x.png is in a folder for its split and photos/Cargo Bike/0.png is not",
    ),
    "both kinds": ([("photos/train", b"x")], 'holds CIFAR-100.s "train" and photos/van/39.png'),
    "a name without end": ([(f"photos/van/{'x' * 1000}.png", VAN)], "a name has 1,000 characters at most"),
    "twice by another name": (
        [("photos/van/x.png", VAN), ("./photos/van/x.png", encoded(picture(78)))],
        "holds photos/van/x.png twice",
    ),
    "a bomb": ([("photos/van/x.png", BOMB)], "photos/van/x.png has more than 50,000,000 pixels"),
    "a path that leaves": ([("photos/../../van/x.png", VAN)], "points outside the archive"),
}


@pytest.mark.parametrize(
    ("classes", "said"),
    [("bicycle,motorcycle", "photos/meta: "), ("van,cargo_bike", "CIFAR-100 has no class")],
)
def test_a_file_that_is_called_as_one_of_cifar_100s_is_told_so(make_archive, tmp_path, classes, said):
    archive = make_archive(("photos/meta", b"taken in May"), *many())
    with pytest.raises(JobError, match=rf'^{said}.*; a file called "meta" is read as CIFAR-100.s'):
        prepare(Options(str(archive), tuple(classes.split(",")), tmp_path / "out"))


@pytest.mark.parametrize(("more", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_named(make_archive, tmp_path, more, said):
    with pytest.raises(JobError, match=said):
        prepared(make_archive(*many(), *more), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_image_of_absurd_size_is_not_read(make_archive, tmp_path):
    member = tarfile.TarInfo("photos/van/x.png")
    member.size = 1 << 27
    with pytest.raises(JobError, match=r"photos/van/x\.png has 134,217,728 bytes"):
        prepared(make_archive(*many(), member), tmp_path / "out")


def test_the_same_image_for_training_and_for_validation_is_refused(make_archive, tmp_path):
    members = [("train/van/a.png", VAN), ("val/van/b.png", VAN)]
    with pytest.raises(JobError, match=r"^val/van/b\.png and train/van/a\.png are the same image, for tr"):
        prepared(make_archive(*members), tmp_path / "out")


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([m for m in many() if "van" in m[0]], "has no image in a folder cargo_bike"),
        (
            [("p/bike/1.png", VAN), ("p/lorry/1.png", VAN)],
            "nor images in folders van or cargo_bike; left out, in folders of no chosen class: 1 p/bike",
        ),
        (
            [*many(40, "train/"), *(m for m in many(40, "val/", seed=100) if "van" in m[0])],
            "has no image of cargo_bike for validation",
        ),
        ([*many(), ("photos/van", b"x")], ""),
        (
            [m for m in many() if "Cargo" in m[0]] + [("photos/van/1.png", encoded(picture(0)))],
            "has too few images of van, 1: none falls to",
        ),
    ],
)
def test_a_class_that_is_not_there_is_named_with_what_is(make_archive, tmp_path, members, said):
    archive = make_archive(*members)
    if not said:  # a file is no folder
        prepared(archive, tmp_path / "out")
        return
    with pytest.raises(JobError, match=said):
        prepared(archive, tmp_path / "out")


def test_the_next_run_takes_the_place_of_the_last(make_archive, tmp_path):
    prepared(make_archive(*many()), tmp_path / "out")
    _, lines = prepared(make_archive(*many(30)), tmp_path / "out")
    assert len(sources(lines)) == 30
    others = [(name.replace("van", "lorry"), content) for name, content in many()]
    prepare(Options(str(make_archive(*others)), ("cargo_bike", "lorry"), tmp_path / "out"))


@pytest.mark.parametrize(
    ("place", "earlier"),
    [
        ("validation_images/van_00001.png", False),
        ("train/van_00001.png", False),
        ("train/van_20261129.png", True),
        ("train_recordio/train.rec", False),  # beside a whole run's statistics it would be that run's
    ],
)
def test_what_a_person_put_there_is_refused_and_stays(make_archive, tmp_path, place, earlier):
    archive, out = make_archive(*many()), tmp_path / "out"
    if earlier:
        prepared(archive, out)
    (out / place).parent.mkdir(parents=True, exist_ok=True)
    (out / place).write_bytes(b"a person's")
    with pytest.raises(JobError, match="holds files that are not from an earlier run"):
        prepared(archive, out)
    assert (out / place).read_bytes() == b"a person's"


NAMES = st.sampled_from(
    [
        "train/van",
        "val/van",
        "van",
        "cargo_bike",
        "a/b/van",
        "boat",
        "",
        "train",
        "van/deeper",
        "VAN",
        "./van",
    ]
)
FILES = st.sampled_from(["1.png", "2.JPG", ".hidden.png", "3.txt", "png", "train", "4.png"])
CONTENTS = st.sampled_from(
    [VAN, VAN[:60], b"", b"\x89PNG\r\n\x1a\n", encoded(picture(3), "JPEG")]
) | st.binary(max_size=40)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(NAMES, FILES, CONTENTS), max_size=8))
def test_any_archive_is_taken_whole_or_refused_in_a_sentence(make_archive, tmp_path_factory, wild):
    folder = tmp_path_factory.mktemp("wild") / "out"
    members = [(f"{name}/{file}".lstrip("/"), content) for name, file, content in wild]
    try:
        statistics, lines = prepared(make_archive(*many(20), *members), folder)
    except JobError:
        assert not folder.exists()
        return
    written = sum(split["images"] for split in statistics["splits"].values())
    assert written == len(sources(lines)) == len(list(folder.glob("*/*_*.png")))
