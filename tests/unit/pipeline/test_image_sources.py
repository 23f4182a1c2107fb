"""Which images a source names, and the sentence for one that names none."""

import hashlib
import json

import pytest

from pipeline import image_sources
from pipeline.image_sources import SourceError

PLACE = "scones/inference/"


class Bucket:
    """S3 with one bucket, as far as sources ask it."""

    def __init__(self, objects=()):
        self.objects = dict.fromkeys(objects, b"")
        self.puts = []

    def get_paginator(self, _):
        return self

    def paginate(self, Bucket, Prefix):  # noqa: N803, ARG002 - boto3's names
        names = sorted(key for key in self.objects if key.startswith(Prefix))
        return [{"Contents": [{"Key": key, "Size": len(self.objects[key])} for key in names]}, {}]

    def put_object(self, Bucket, Key, Body):  # noqa: N803, ARG002
        self.objects[Key] = Body
        self.puts.append(Key)


def find(settings, source, bucket=None):
    return image_sources.find(bucket or Bucket(), settings, str(source)).keys


def test_a_prefix_is_listed_without_folders_and_labels(settings):
    bucket = Bucket([f"{PLACE}a/", f"{PLACE}a/1.png", f"{PLACE}a/1.png.label.json", f"{PLACE}a/2", "b/3"])
    assert find(settings, f"s3://{settings.bucket}/{PLACE}a", bucket) == [f"{PLACE}a/1.png", f"{PLACE}a/2"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m.txt", f"{PLACE}1\n\ns3://scones-local/{PLACE}ü 2\n"),
        ("m.jsonl", f'"{PLACE}1"\n{{"s3_key": "{PLACE}ü 2", "outcome": "ThresholdNotMet"}}\n'),
        ("m.jsonl", f'{{"source-ref": "s3://scones-local/{PLACE}1"}}\n{{"key": "{PLACE}ü 2"}}'),
        ("m.jsonl", f'{{"s3_bucket": "scones-local", "s3_key": "{PLACE}1"}}\n"{PLACE}ü 2"'),
        ("m.csv", f'label,s3_key\ncat,{PLACE}1\n\ndog,"{PLACE}ü 2"\n'),
        ("m.csv", f"scones-local,{PLACE}1\nscones-local,{PLACE}%C3%BC+2\n"),
        ("m.csv", f"\ufeff{PLACE}1\r\n{PLACE}ü 2\r\n"),
    ],
)
def test_manifests_in_the_forms_that_there_are(settings, tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert find(settings, tmp_path / name) == [f"{PLACE}1", f"{PLACE}ü 2"]


def test_an_image_that_is_named_twice_is_classified_once(settings, tmp_path):
    (tmp_path / "m.txt").write_text(f"{PLACE}1\n{PLACE}2\n{PLACE}1\n")
    images = image_sources.find(Bucket(), settings, str(tmp_path / "m.txt"))
    assert (images.keys, images.repeated) == ([f"{PLACE}1", f"{PLACE}2"], 1)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("m.txt", "\n", "names no image"),
        ("m.txt", "\ns3://other/scones/inference/1\n", r"s3://other/.* in line 2 of .*m.txt is not under"),
        ("m.txt", "secrets/1\n", "s3://scones-local/secrets/1 in line 1 of"),
        ("m.jsonl", "{nonsense\n", "line 1 of .*m.jsonl is no JSON"),
        ("m.jsonl", '{"a":' * 100_000, "line 1 of .*m.jsonl is no JSON"),
        ("m.csv", '"' + "x" * 200_000, "m.csv is no CSV: field larger"),
        ("m.jsonl", '{"image": "x"}\n', "line 1 of .*m.jsonl has none of s3_key, key, source-ref"),
        ("m.jsonl", '{"s3_key": 7}\n', "has none of"),
        ("m.csv", "a,s3_key\nx\n", "in line 2 of"),
        ("m.parquet", "x", "no manifest: its name must end in .jsonl, .csv, .txt"),
        ("m.png", "x", "is one image: run `scones workflow run"),
    ],
)
def test_what_is_wrong_with_a_manifest_is_a_sentence(settings, tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(SourceError, match=said):
        find(settings, tmp_path / name)


def test_bytes_that_are_no_text(settings, tmp_path):
    (tmp_path / "m.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(SourceError, match="no text in UTF-8"):
        find(settings, tmp_path / "m.txt")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (f"s3://scones-local/{PLACE}none/", "names no image"),
        ("s3://scones-local/secrets/", "not under s3://scones-local/scones/inference/"),
        ("s3://scones-local", "not under"),
        (f"s3://other/{PLACE}", "not under"),
        ("nowhere", "nowhere is no folder, no manifest and no s3:// address"),
    ],
)
def test_what_is_not_there_is_a_sentence(settings, source, said):
    with pytest.raises(SourceError, match=said):
        find(settings, source)


def test_more_than_a_run_takes(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(image_sources, "MAX_IMAGES", 2)
    (tmp_path / "m.txt").write_text("".join(f"{PLACE}{number}\n" for number in range(3)))
    with pytest.raises(SourceError, match="more than 2 images, which is what a run takes"):
        find(settings, tmp_path / "m.txt")


def test_a_manifest_in_s3(settings, clients):
    clients.refuse("s3", "get_object", "NoSuchKey")
    with pytest.raises(SourceError, match=r"there is no manifest s3://scones-local/m\.jsonl"):
        image_sources.find(clients("s3"), settings, "s3://scones-local/m.jsonl")


def test_a_folder_is_uploaded_once(settings, tmp_path):
    folder = tmp_path / "holiday"
    (folder / "sea").mkdir(parents=True)
    for name in ("b.PNG", "sea/a.jpg", "notes.txt", ".hidden.png"):
        (folder / name).write_bytes(name.encode())
    bucket, told = Bucket(), []
    images = image_sources.find(bucket, settings, str(folder), lambda *progress: told.append(progress))
    assert images.keys == [key(b"b.PNG", "b.PNG"), key(b"sea/a.jpg", "sea/a.jpg")]
    assert told == [(1, 2), (2, 2)]
    bucket.puts.clear()
    assert find(settings, folder, bucket) == images.keys
    assert bucket.puts == []
    (folder / "b.PNG").write_bytes(b"changed")
    assert find(settings, folder, bucket) == [key(b"changed", "b.PNG"), images.keys[1]]
    assert bucket.puts == [key(b"changed", "b.PNG")]


def key(content, name):
    return f"{PLACE}holiday/{hashlib.sha256(content).hexdigest()[:16]}/{name}"


def test_two_folders_of_one_name_do_not_meet(settings, tmp_path):
    bucket = Bucket()
    for parent in ("a", "b"):
        (tmp_path / parent / "holiday").mkdir(parents=True)
        (tmp_path / parent / "holiday" / "1.png").write_bytes(parent.encode())
    first, second = (find(settings, tmp_path / parent / "holiday", bucket) for parent in ("a", "b"))
    assert (first, second) == ([key(b"a", "1.png")], [key(b"b", "1.png")])


def test_an_empty_folder(settings, tmp_path):
    with pytest.raises(SourceError, match="names no image"):
        find(settings, tmp_path)


def test_results_are_a_manifest(settings, tmp_path):
    line = {"s3_key": f"{PLACE}1", "predicted": None, "confidence": None, "outcome": "ServiceUnavailable"}
    (tmp_path / "results.jsonl").write_text(json.dumps(line))
    assert find(settings, tmp_path / "results.jsonl") == [f"{PLACE}1"]
