"""What a cache's folder may hold that nobody of ours wrote."""

import json
from pathlib import Path

import pytest

from processing.cache import ArchiveCache, Known
from processing.download import Download

URI = "https://example.org/a.tar.gz"


GOOD = {"uri": URI, "digest": "sha256-" + "0" * 64, "version": '"v1"'}


def record(cache: ArchiveCache, **changes) -> None:
    path = cache._place("uris", URI, ".json")
    for folder in (path.parent, cache.folder / "archives"):
        folder.mkdir(parents=True, exist_ok=True)
    (cache.folder / "archives" / GOOD["digest"]).write_bytes(b"archive")
    path.write_text(json.dumps(GOOD | changes))


@pytest.mark.parametrize("digest", ["{victim}", "../../victim", 5, None, "md5-0", "sha256-" + "0" * 63])
def test_a_record_names_nothing_but_a_digest(tmp_path: Path, digest):
    victim = tmp_path / "victim"
    victim.write_text("a person's")
    cache = ArchiveCache(tmp_path / "cache")
    digest = digest.format(victim=victim) if isinstance(digest, str) else digest
    record(cache, digest=digest)
    if isinstance(digest, str):
        assert (cache.folder / "archives" / digest).parent.is_dir()
        (cache.folder / "archives" / digest).touch()
    assert cache.known(URI) is None


def test_a_record_nested_without_end_is_none(tmp_path: Path):
    cache = ArchiveCache(tmp_path)
    path = cache._place("uris", URI, ".json")
    path.parent.mkdir(parents=True)
    path.write_text("[" * 100_000)
    assert cache.known(URI) is None


# None of these could be sent back in a header, and some would have been headers of their own.
VERSIONS = [5, None, "", ["v"], '"v"\r\nEvil: 1', '"v"\n 1', '"€"', "\ud800", "\x1b[31m"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_record_without_a_version_to_ask_by_is_none(tmp_path: Path, version):
    cache = ArchiveCache(tmp_path)
    record(cache)
    assert cache.known(URI) == Known(GOOD["digest"], GOOD["version"])
    record(cache, version=version)
    assert cache.known(URI) is None


@pytest.mark.parametrize(
    "note",
    [
        *(json.dumps({"size": 1000, "version": version}) for version in VERSIONS),
        *(json.dumps({"size": size, "version": '"v1"'}) for size in ("abc", None, 1e30, [1], True, -5)),
        '{"size": 1' + "0" * 5000 + ', "version": "v"}',
        "[" * 100_000,
        "[]",
        "",
    ],
)
def test_a_damaged_note_counts_as_none(tmp_path: Path, note):
    cache = ArchiveCache(tmp_path)
    path = cache._place("partial", URI, "")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x" * 10)
    path.with_name(path.name + ".json").write_text(note)
    with cache.partial(URI) as partial:
        assert partial.download == Download()
        assert partial.length == path.stat().st_size == 0
