"""Pipe input mode: a channel as a named pipe an epoch, `<channel>_<epoch>`, instead of files.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
("Pipe mode"): the container opens the pipe of an epoch, reads the objects one after the other to its end,
and opens the next one for the next epoch. RecordIO wraps each object in a record.
"""

from __future__ import annotations

import errno
import gzip
import logging
import os
import random
import select
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from localaws.sagemaker.jobs import JobStoppedError
from localaws.sagemaker.transfers import Location, TransferError

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.05
_PIECE_BYTES = 1 << 20
# https://mxnet.apache.org/versions/1.9.1/architecture/note_data_loading: magic, length, data, padding to 4.
_MAGIC = 0xCED7230A


@dataclass(frozen=True)
class PipeChannel:
    """One channel on one host.

    Attributes:
        folder: /opt/ml/input/data of the host.
        read: an object's bytes in pieces.
        seed: shuffles the objects before each epoch, when it is given.
    """

    folder: Path
    name: str
    objects: list[Location]
    read: Callable[[Location], Iterator[bytes]]
    gzip: bool = False
    record_io: bool = False
    seed: int | None = None


@contextmanager
def feeding(channels: list[PipeChannel], stop: Callable[[], None]) -> Iterator[None]:
    """Feeds the channels from threads while the block runs. Raises TransferError after it, if one failed.

    `stop` is to end the block then: its containers would wait for data that does not come.
    """
    over = threading.Event()
    problems: list[str] = []

    def feed(channel: PipeChannel) -> None:
        try:
            _feed(channel, over)
        except Exception as error:  # whatever it is, nothing more comes
            log.exception("channel %s", channel.name)
            problems.append(f"channel {channel.name}: {error}")
            stop()

    for channel in channels:
        channel.folder.mkdir(parents=True, exist_ok=True)
        _pipe(channel, 0)
    threads = [
        threading.Thread(target=feed, args=(channel,), name=f"pipe {channel.name}", daemon=True)
        for channel in channels
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    except JobStoppedError:
        if not problems:
            raise
    finally:
        over.set()
        for thread in threads:
            thread.join()
    if problems:
        raise TransferError("; ".join(problems))


def _pipe(channel: PipeChannel, epoch: int) -> Path:
    path = channel.folder / f"{channel.name}_{epoch}"
    if not path.exists():
        os.mkfifo(path)
    return path


def _feed(channel: PipeChannel, over: threading.Event) -> None:
    epoch = 0
    while (descriptor := _open(_pipe(channel, epoch), over)) is not None:
        # The next one is there before this one ends: a reader may open it at once.
        _pipe(channel, epoch + 1)
        objects = list(channel.objects)
        if channel.seed is not None:
            random.Random(channel.seed + epoch).shuffle(objects)  # noqa: S311 - the user's seed, not a secret
        try:
            for location in objects:
                for chunk in _content(channel, location):
                    _write(descriptor, chunk, over)
        except BrokenPipeError:
            pass  # the reader has had enough of this epoch
        finally:
            os.close(descriptor)
        epoch += 1


def _open(path: Path, over: threading.Event) -> int | None:
    """Waits until somebody reads the pipe; None when the job ends before."""
    while not over.is_set():
        try:
            return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
        over.wait(_POLL_SECONDS)
    return None


def _content(channel: PipeChannel, location: Location) -> Iterator[bytes]:
    chunks = channel.read(location)
    if channel.gzip:
        chunks = _gunzipped(chunks, location)
    if channel.record_io:
        data = b"".join(chunks)
        return iter((struct.pack("<II", _MAGIC, len(data)), data, b"\0" * (-len(data) % 4)))
    return chunks


class _Chunks:
    """Chunks as the file that gzip reads from."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = filter(None, chunks)
        self._rest = memoryview(b"")

    def read(self, size: int) -> bytes:
        self._rest = self._rest or memoryview(next(self._chunks, b""))
        part, self._rest = self._rest[:size], self._rest[size:]
        return bytes(part)


def _gunzipped(chunks: Iterator[bytes], location: Location) -> Iterator[bytes]:
    """The content of one gzip member or several. Raises TransferError."""
    try:
        with gzip.GzipFile(fileobj=_Chunks(chunks)) as file:  # type: ignore[call-overload]
            while piece := file.read(_PIECE_BYTES):
                yield piece
    except EOFError as error:
        raise TransferError(f"{location} ends within its compressed data") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise TransferError(f"{location} is not gzip: {error}") from error


def _write(descriptor: int, data: bytes, over: threading.Event) -> None:
    """Writes all of it. Raises BrokenPipeError when the reader closes, or the job ends."""
    view = memoryview(data)
    while view:
        if over.is_set():
            raise BrokenPipeError
        if select.select([], [descriptor], [], _POLL_SECONDS)[1]:
            view = view[os.write(descriptor, view) :]
