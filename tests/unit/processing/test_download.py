"""Downloads over real HTTP from a server that cuts, stalls, lies and forgets."""

import hashlib
import json
import re
import signal
import threading
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from processing import download, fetch, job
from processing.cache import ArchiveCache
from processing.download import Download, read_through_cuts
from processing.fetch import ChecksumError, Fetch
from processing.http_source import HttpSource
from processing.job import JobError
from processing.prepare import Options, prepare
from processing.sources import SourceError, resolve

CONTENT = bytes(range(256)) * 4000


@dataclass
class Behaviour:
    """What the server does; `cuts` and `failures` are used up one a request."""

    content: bytes = CONTENT
    etag: str | None = '"v1"'
    ranges: bool = True
    sends_size: bool = True
    conditional: bool = True  # answers 304 where nothing has changed
    chunked: bool = False  # in chunks of 100,000 bytes, whose last ends the body
    cuts: list[int] = field(default_factory=list)  # bytes of an answer's body before it breaks off
    failures: list[int] = field(default_factory=list)  # statuses
    requests: list[dict] = field(default_factory=list)
    location: str = ""  # redirects to there
    then: "Behaviour | None" = None  # takes its place after the first answer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        behaviour = self.server.behaviour
        behaviour.requests.append({"path": self.path, **{k.lower(): v for k, v in self.headers.items()}})
        if behaviour.failures:
            self.send_error(behaviour.failures.pop(0))
            return
        if behaviour.location:
            self.send_response(302)
            self.send_header("Location", behaviour.location)
            self.end_headers()
            return
        if behaviour.etag and behaviour.conditional and self.headers.get("If-None-Match") == behaviour.etag:
            self.send_response(304)
            self.end_headers()
            return
        start = self.start(behaviour)
        body = behaviour.content[start:]
        self.send_response(206 if start else 200)
        if behaviour.chunked:
            self.send_header("Transfer-Encoding", "chunked")
            parts = [body[at : at + 100_000] for at in range(0, len(body), 100_000)]
            body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in [*parts, b""])
        elif behaviour.sends_size:
            self.send_header("Content-Length", str(len(body)))
        if start:
            size = len(behaviour.content)
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        if behaviour.etag:
            self.send_header("ETag", behaviour.etag)
        self.end_headers()
        with suppress(BrokenPipeError, ConnectionResetError):  # who has seen enough goes
            self.wfile.write(body[: behaviour.cuts.pop(0)] if behaviour.cuts else body)
        if behaviour.then:
            self.server.behaviour = behaviour.then

    def start(self, behaviour):
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        fresh = self.headers.get("If-Range") in (None, behaviour.etag)
        return int(match.group(1)) if match and behaviour.ranges and fresh else 0

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.behaviour = Behaviour()
    threading.Thread(target=http.serve_forever, daemon=True).start()
    http.url = f"http://127.0.0.1:{http.server_port}/data/archive.tar.gz?x=1"
    yield http
    http.shutdown()
    http.server_close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Hardly a pause, and many pieces."""
    monkeypatch.setattr(download, "FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setattr(download, "CHUNK_BYTES", 10_000)
    monkeypatch.setattr(fetch, "CHUNK_BYTES", 10_000)


def receive(server, **options) -> bytes:
    return b"".join(read_through_cuts(HttpSource(server.url), Download(), **options))


def test_receives_whole(server):
    assert receive(server) == CONTENT
    assert server.behaviour.requests[0]["accept-encoding"] == "identity"
    assert HttpSource(server.url).name == "archive.tar.gz"


def test_goes_on_where_it_was_cut(server, capsys):
    server.behaviour.cuts = [300_000, 50_000, 1]
    assert receive(server) == CONTENT
    asked = [request.get("range") for request in server.behaviour.requests]
    assert asked == [None, "bytes=300000-", "bytes=350000-", "bytes=350001-"]
    assert {request.get("if-range") for request in server.behaviour.requests[1:]} == {'"v1"'}
    assert "the connection ended after 300,000 of 1,024,000 bytes" in capsys.readouterr().err


def test_what_came_of_a_body_in_chunks_is_kept_and_its_end_is_not_taken_for_the_archives(server, monkeypatch):
    monkeypatch.setattr(download, "CHUNK_BYTES", 1 << 20)  # so that it is cut within what is read at once
    server.behaviour.chunked = True
    server.behaviour.cuts = [250_000]
    assert receive(server) == CONTENT
    first, second = (request.get("range") for request in server.behaviour.requests)
    assert first is None
    assert 200_000 <= int(second.removeprefix("bytes=").rstrip("-")) < 250_000


def test_skips_what_a_server_without_ranges_sends_again(server):
    server.behaviour.ranges = False
    server.behaviour.cuts = [300_000, 305_001]
    assert receive(server) == CONTENT


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_tries_again_after_a_failure_that_passes(server, status):
    server.behaviour.failures = [status] * (download.ATTEMPTS - 1)
    assert receive(server) == CONTENT


@pytest.mark.parametrize("status", [404, 503])
def test_what_a_server_says_does_not_reach_the_terminal_raw(server, monkeypatch, capsys, status):
    monkeypatch.setitem(Handler.responses, status, ("No\x1b[31m\x07\x9bSuch" + "h" * 2000, ""))
    monkeypatch.setattr(job, "EXIT_MESSAGE", Path("/nowhere/message"))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    server.behaviour.failures = [status] * download.ATTEMPTS
    assert job.run(lambda: print(receive(server))) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == (download.ATTEMPTS if status == 503 else 1)
    for line in said:
        assert rf"answered {status} No\x1b[31m\x07\x9bSuchhh" in line
        assert line.isprintable()
        assert len(line) < 1100


def test_waits_longer_each_time(server):
    waits = []
    server.behaviour.failures = [503] * (download.ATTEMPTS - 1)
    assert b"".join(read_through_cuts(HttpSource(server.url), Download(), wait=waits.append)) == CONTENT
    bounds = [(0.0005 * 2**n, 0.0015 * 2**n) for n in range(len(waits))]
    assert len(waits) == download.ATTEMPTS - 1
    assert all(low <= pause <= high for pause, (low, high) in zip(waits, bounds, strict=True))


def test_gives_up_after_some_tries(server):
    server.behaviour.failures = [503] * download.ATTEMPTS
    with pytest.raises(SourceError, match=r"gave up at byte 0 after 6 tries: http://.* answered 503"):
        receive(server)


def test_a_byte_of_progress_renews_the_patience(server):
    server.behaviour.cuts = [1] * 20
    assert receive(server) == CONTENT


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_does_not_try_again_what_will_not_pass(server, status):
    server.behaviour.failures = [status]
    with pytest.raises(SourceError, match=f"answered {status}"):
        receive(server)
    assert len(server.behaviour.requests) == 1


@pytest.mark.parametrize("tag", ['"a"\r\n b', '"\x1b[31m"'])
def test_an_entity_tag_that_cannot_be_sent_back_is_none(server, tag):
    server.behaviour.etag = tag
    assert HttpSource(server.url).open().version is None


@pytest.mark.parametrize("location", ["/data/archive.tar.gz", "file:///etc/hostname"])
def test_a_redirect_that_leads_nowhere_is_one_line(server, location):
    server.behaviour.location = location
    with pytest.raises(SourceError, match=r"(?i)^http://.* answered 302 .*redirect") as caught:
        receive(server)
    assert "\n" not in str(caught.value)


def test_reads_from_the_front_where_a_range_is_refused(server):
    refusing = Behaviour(failures=[416])
    server.behaviour = Behaviour(cuts=[300_000], then=refusing)
    assert receive(server) == CONTENT
    assert [request.get("range") for request in refusing.requests] == ["bytes=300000-", None]
    server.behaviour = Behaviour(failures=[416])
    with pytest.raises(SourceError, match="answered 416"):
        receive(server)


@pytest.mark.parametrize("ranges", [True, False])
def test_notices_that_the_archive_was_replaced(server, ranges):
    other = Behaviour(content=CONTENT[::-1], etag='"v2"', ranges=ranges)
    server.behaviour = Behaviour(cuts=[300_000], then=other)
    with pytest.raises(SourceError, match="was replaced while it was being read"):
        receive(server)


def test_nobody_there():
    source = HttpSource("http://127.0.0.1:9/archive.tar.gz")
    with pytest.raises(SourceError, match=r"cannot be reached: .*refused"):
        b"".join(read_through_cuts(source, Download()))


def test_a_server_that_stalls_is_left(server):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = HttpSource(f"http://127.0.0.1:{silent.getsockname()[1]}/a.tar.gz", timeout=0.05)
        with pytest.raises(SourceError, match="timed out"):
            b"".join(read_through_cuts(source, Download()))


def test_uses_the_proxy_of_the_environment(server, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("no_proxy", "")
    source = HttpSource("http://data.example/archive.tar.gz")
    assert b"".join(read_through_cuts(source, Download())) == CONTENT
    assert server.behaviour.requests[0]["path"] == "http://data.example/archive.tar.gz"


# -- the cache ---------------------------------------------------------------------------------------------


def fetched(server, cache, md5=None) -> bytes:
    return b"".join(Fetch(HttpSource(server.url), md5, cache).chunks())


@pytest.fixture
def cache(tmp_path):
    return ArchiveCache(tmp_path / "cache")


MD5 = hashlib.md5(CONTENT).hexdigest()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def test_keeps_by_digest_and_uses_again(server, cache):
    assert fetched(server, cache, MD5) == CONTENT
    assert (cache.folder / "archives" / f"md5-{MD5}").read_bytes() == CONTENT
    assert not any((cache.folder / "partial").iterdir())
    server.shutdown()
    assert fetched(server, cache, MD5) == CONTENT


def test_asks_whether_it_is_still_current_when_the_digest_is_not_known(server, cache):
    assert fetched(server, cache) == CONTENT
    assert fetched(server, cache) == CONTENT
    assert [request.get("if-none-match") for request in server.behaviour.requests] == [None, '"v1"']
    server.behaviour = Behaviour(content=b"new" * 1000, etag='"v2"')
    assert fetched(server, cache) == b"new" * 1000


def test_a_server_that_sends_everything_all_the_same_is_not_read_again(server, cache):
    server.behaviour.conditional = False
    assert fetched(server, cache) == CONTENT
    assert fetched(server, cache) == CONTENT
    assert len(server.behaviour.requests) == 2  # the second one's body is left
    server.behaviour.content, server.behaviour.etag = b"new" * 1000, '"v2"'
    assert fetched(server, cache) == b"new" * 1000


def test_without_a_version_nothing_is_trusted(server, cache):
    server.behaviour.etag = None
    assert fetched(server, cache) == CONTENT
    server.behaviour.content = b"new" * 1000
    assert fetched(server, cache) == b"new" * 1000


def cut_short(server, cache, after=500_000):
    """What a killed process leaves: a partial file, and no more."""
    chunks = Fetch(HttpSource(server.url), None, cache).chunks()
    received = 0
    while received < after:
        received += len(next(chunks))
    chunks.close()
    return received


def test_a_later_process_goes_on(server, cache):
    received = cut_short(server, cache)
    assert fetched(server, cache, MD5) == CONTENT
    assert server.behaviour.requests[-1]["range"] == f"bytes={received}-"
    assert (cache.folder / "archives" / f"md5-{MD5}").read_bytes() == CONTENT


def test_a_later_process_starts_again_when_the_archive_changed(server, cache):
    cut_short(server, cache)
    server.behaviour = Behaviour(content=CONTENT[::-1], etag='"v2"')
    assert fetched(server, cache) == CONTENT[::-1]


def test_a_later_process_starts_again_when_nothing_is_known_of_the_rest(server, cache):
    server.behaviour.etag = None
    cut_short(server, cache)
    assert fetched(server, cache) == CONTENT
    assert "range" not in server.behaviour.requests[-1]


@pytest.mark.parametrize("sends_size", [True, False])
@pytest.mark.parametrize("refuses", [True, False])
def test_more_was_left_than_the_archive_has(server, cache, sends_size, refuses):
    """Under the same entity tag: that server, or what was left, is wrong; only what it sends now counts."""
    cut_short(server, cache)
    short = CONTENT[:1000]
    server.behaviour = Behaviour(short, ranges=False, sends_size=sends_size, failures=[416] * refuses)
    assert fetched(server, cache) == short
    assert (cache.folder / "archives" / f"sha256-{hashlib.sha256(short).hexdigest()}").read_bytes() == short


def test_a_body_without_an_end_does_not_fill_the_disk(server, tmp_path, archives, monkeypatch):
    content = archives["binary"].read_bytes()
    server.behaviour = Behaviour(content + bytes(len(content)), sends_size=False)
    monkeypatch.setattr(download, "MAX_ARCHIVE_BYTES", len(content) + 10_000)
    with pytest.raises(JobError, match="has more than 0 GiB"):
        prepare(options(server, tmp_path))
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_body_that_claims_too_much_is_refused_at_once(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "MAX_ARCHIVE_BYTES", len(CONTENT) - 1)
    with pytest.raises(JobError, match="has more than 0 GiB"):
        next(read_through_cuts(HttpSource(server.url), Download()))


def test_two_at_once_do_not_disturb_each_other(server, cache):
    first, second = (Fetch(HttpSource(server.url), MD5, cache).chunks() for _ in range(2))
    received = [b"", b""]
    received[0] += next(first) + next(first)
    received[1] += b"".join(second)
    received[0] += b"".join(first)
    assert received == [CONTENT, CONTENT]
    assert not any((cache.folder / "partial").iterdir())


def test_a_wrong_checksum_is_not_kept(server, cache):
    with pytest.raises(ChecksumError, match=f"has the md5 {MD5}, not {'0' * 32}"):
        fetched(server, cache, "0" * 32)
    assert not (cache.folder / "archives").exists()


def test_a_server_that_tells_no_size(server, cache):
    server.behaviour.sends_size = False
    assert fetched(server, cache, MD5) == CONTENT


# -- through PrepareData -----------------------------------------------------------------------------------


def options(server, tmp_path, **more):
    return Options(server.url, ("apple",), tmp_path / "out", cache_dir=tmp_path / "cache", **more)


def test_prepares_from_a_server_that_cuts(server, archives, tmp_path):
    content = archives["python"].read_bytes()
    server.behaviour = Behaviour(content=content, cuts=[100_000] * 5)
    statistics = prepare(options(server, tmp_path))
    assert statistics["source"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert statistics["source"]["uri"] == server.url
    assert statistics["splits"]["validation"]["images"] == 8


def test_a_damaged_copy_is_fetched_again(server, archives, tmp_path, capsys):
    content = archives["binary"].read_bytes()
    server.behaviour = Behaviour(content=content)
    md5 = hashlib.md5(content).hexdigest()
    prepare(options(server, tmp_path, md5=md5))
    kept = tmp_path / "cache" / "archives" / f"md5-{md5}"
    kept.write_bytes(content[:50_000] + b"damage" + content[50_006:])
    prepare(options(server, tmp_path, md5=md5))
    assert "cannot be read; fetching it again" in capsys.readouterr().err
    assert kept.read_bytes() == content
    assert len(server.behaviour.requests) == 2


@pytest.mark.parametrize("by", ["sha256", "md5"])
def test_a_kept_copy_of_another_archive_is_fetched_again(server, archives, tmp_path, by, capsys):
    """It can be read; only its digest shows that it is not what the URI gave."""
    content = archives["binary"].read_bytes()
    server.behaviour = Behaviour(content=content)
    digest = hashlib.new(by, content).hexdigest()
    expected = {"md5": digest} if by == "md5" else {}
    prepare(options(server, tmp_path, **expected))
    (tmp_path / "cache" / "archives" / f"{by}-{digest}").write_bytes(archives["python"].read_bytes())
    statistics = prepare(options(server, tmp_path))
    assert statistics["source"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert statistics["source"]["md5"] is None
    assert "the kept copy of archive.tar.gz cannot be read; fetching it again" in capsys.readouterr().err


def test_what_was_cut_short_without_notice_does_not_stay(server, archives, tmp_path):
    """A server that names no lesser length than it sends: only reading shows that the end is missing."""
    content = archives["binary"].read_bytes()
    server.behaviour = Behaviour(content=content[:100_000])
    with pytest.raises(JobError, match="cut short"):
        prepare(options(server, tmp_path))
    assert list((tmp_path / "cache" / "archives").iterdir()) == []
    server.behaviour = Behaviour(content=content)
    assert prepare(options(server, tmp_path))["splits"]["validation"]["images"] == 8


def test_an_empty_answer_is_called_empty(server, tmp_path):
    server.behaviour = Behaviour(content=b"")
    with pytest.raises(JobError, match="is empty"):
        prepare(options(server, tmp_path))


@pytest.mark.parametrize(
    "source", ["", "http://[::1", "http://a:b:c/x", "http://exa mple/x", "http://example.org/ü", "https://"]
)
def test_what_is_no_url_is_not_tried(source, tmp_path):
    with pytest.raises(SourceError):
        prepare(Options(source, ("apple",), tmp_path / "out"))


def test_a_good_copy_outlives_a_mistake(server, archives, tmp_path, capsys):
    content = archives["binary"].read_bytes()
    server.behaviour = Behaviour(content=content)
    for _ in range(2):
        with pytest.raises(JobError, match="has no image of wolf"):
            prepare(replace(options(server, tmp_path), classes=("wolf",)))
    assert len(list((tmp_path / "cache" / "archives").iterdir())) == 1
    assert "fetching it again" not in capsys.readouterr().err
    assert [request.get("if-none-match") for request in server.behaviour.requests] == [None, '"v1"']


def test_bad_content_is_not_gone_on_with(server, archives, tmp_path):
    """A broken proxy sends garbage under the right entity tag: the next try must not build on it."""
    content = archives["binary"].read_bytes()
    server.behaviour = Behaviour(content=content[:100_000] + bytes(len(content) - 100_000))
    with pytest.raises(JobError, match="damaged"):
        prepare(options(server, tmp_path))
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    server.behaviour = Behaviour(content=content)
    prepare(options(server, tmp_path))


def test_a_page_instead_of_the_archive(server, tmp_path):
    server.behaviour = Behaviour(content=b"<!DOCTYPE html><title>Sign in</title>")
    with pytest.raises(JobError, match="is not a gzip file: it starts with b'<!DOCTYPE"):
        prepare(options(server, tmp_path))


def test_the_official_archive_from_a_mirror(server, archives, tmp_path, monkeypatch):
    server.behaviour.content = archives["python"].read_bytes()
    monkeypatch.setenv("SCONES_MIRROR", f"http://127.0.0.1:{server.server_port}/mirror/")
    with pytest.raises(ChecksumError, match="not eb9058c3a382ffc7106e4002c42a8d85"):
        prepare(Options("cifar100", ("apple",), tmp_path / "out"))
    assert [request["path"] for request in server.behaviour.requests] == ["/mirror/cifar-100-python.tar.gz"]


@pytest.mark.parametrize(
    ("text", "mirror", "uri"),
    [
        ("cifar100", None, "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"),
        ("cifar100", "s3://bucket/data", "s3://bucket/data/cifar-100-python.tar.gz"),
        ("https://host/a.tar.gz", "s3://bucket", "https://host/a.tar.gz"),
        ("s3://bucket/some/key.tar.gz", None, "s3://bucket/some/key.tar.gz"),
    ],
)
def test_what_a_source_means(text, mirror, uri):
    source, md5 = resolve(text, mirror)
    assert source.uri == uri
    assert bool(md5) == (text == "cifar100")


def test_file_uri(archives):
    source, _ = resolve(archives["python"].as_uri())
    assert source.path == archives["python"]


def test_notes_of_the_cache_survive_nonsense(server, cache):
    fetched(server, cache)
    for path in (cache.folder / "uris").iterdir():
        path.write_text(json.dumps(["nonsense"]))
    assert fetched(server, cache) == CONTENT
    assert [path.name for path in (cache.folder / "archives").iterdir()] == [f"sha256-{SHA256}"]


def test_a_download_of_which_nothing_came_leaves_nothing(server, tmp_path):
    server.behaviour.failures = [404]
    with pytest.raises(SourceError, match="answered 404"):
        list(Fetch(HttpSource(server.url), None, ArchiveCache(tmp_path)).chunks())
    assert list(tmp_path.rglob("partial/*")) == []
