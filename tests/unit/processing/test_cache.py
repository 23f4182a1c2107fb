"""What a cache's folder may hold that nobody of ours wrote."""

import json
from pathlib import Path

import pytest

from processing.cache import ArchiveCache

URI = "https://example.org/a.tar.gz"


@pytest.mark.parametrize("digest", ["{victim}", "../../victim", 5, None, "md5-0", "sha256-" + "0" * 63])
def test_a_record_names_nothing_but_a_digest(tmp_path: Path, digest):
    victim = tmp_path / "victim"
    victim.write_text("a person's")
    cache = ArchiveCache(tmp_path / "cache")
    path = cache._place("uris", URI, ".json")
    path.parent.mkdir(parents=True)
    (tmp_path / "cache" / "archives").mkdir()
    digest = digest.format(victim=victim) if isinstance(digest, str) else digest
    path.write_text(json.dumps({"uri": URI, "digest": digest, "version": None}))
    assert cache.known(URI) is None


def test_a_record_nested_without_end_is_none(tmp_path: Path):
    cache = ArchiveCache(tmp_path)
    path = cache._place("uris", URI, ".json")
    path.parent.mkdir(parents=True)
    path.write_text("[" * 100_000)
    assert cache.known(URI) is None
