"""How a processing job ends: quietly, or with one sentence for a person and for SageMaker.

SageMaker shows the first KiB of `/opt/ml/output/message` as the job's `ExitMessage`:
https://docs.aws.amazon.com/sagemaker/latest/dg/byoc-metadata.html
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

EXIT_MESSAGE = Path("/opt/ml/output/message")
EXIT_MESSAGE_BYTES = 1024
SHOWN_CHARACTERS = 1000
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class JobError(Exception):
    """Something the job was given is wrong; the message is one sentence that says what and where."""


class UnreadableError(JobError):
    """An archive is not what it should be; another copy of it may be."""


class Stopped(BaseException):
    """SIGTERM. No `SystemExit`: that may come from a model's code too, and there is the model's failure."""


def end(status: int) -> NoReturn:
    """End the process at once: all is written, and numpy and torch take time to take themselves apart."""
    with suppress(OSError):  # `run` has said so
        sys.stdout.flush()
    os._exit(status)


def run(main: Callable[[], None]) -> int:
    """Run a job's `main` and return the process's exit status.

    A `JobError` or an error of the operating system (no space, no permission) becomes one sentence
    and 1. Anything else is a fault of ours: its traceback is kept, and SageMaker gets its last line.
    SIGTERM, which SageMaker sends to stop a job, unwinds like Ctrl-C, so that temporary files go.
    """
    signal.signal(signal.SIGTERM, _unwind)
    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:  # closed by who started the job
            setattr(sys, stream, open(os.devnull, "w"))  # noqa: SIM115 - for as long as the process
    try:
        main()
        _flush()
    except JobError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(describe_os_error(error))
    except KeyboardInterrupt:
        return 130
    except Stopped:
        return 128 + signal.SIGTERM
    except Exception as error:
        _leave_exit_message(shown(f"{type(error).__name__}: {error}"))
        raise
    return 0


def _flush() -> None:
    try:
        sys.stdout.flush()
    except OSError as error:
        error.filename = "standard output"
        raise


def describe_os_error(error: OSError) -> str:
    """What the operating system refused, and for which file."""
    what = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {what}" if error.filename else what


def shown(text: str, characters: int = SHOWN_CHARACTERS) -> str:
    """Text that may hold anything, for a terminal: what would steer it is spelled out, much is shortened.

    It is shortened in the middle: a sentence says what and where at its front, what to do at its end.
    """
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    if len(plain) <= characters:
        return plain
    end = characters // 3
    return f"{plain[: characters - end - 5]} ... {plain[-end:]}"


def name_full(error: BaseException, place: Path) -> None:
    """Have an error of a place that takes no more say where it is: a failed write knows no file's name."""
    if isinstance(error, OSError) and error.errno in FULL and error.filename is None:
        error.filename = str(place)


def _unwind(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise Stopped


def _fail(sentence: str) -> int:
    sentence = shown(sentence)
    print(f"error: {sentence}", file=sys.stderr, flush=True)
    _leave_exit_message(sentence)
    return 1


def _leave_exit_message(text: str) -> None:
    if not EXIT_MESSAGE.parent.is_dir():
        return
    # Cut on a character's boundary: SageMaker fails a job whose message is no UTF-8.
    message = text.encode()[:EXIT_MESSAGE_BYTES].decode(errors="ignore")
    try:
        EXIT_MESSAGE.write_text(message, encoding="utf-8")
    except OSError as error:
        print(f"warning: the exit message was not written: {describe_os_error(error)}", file=sys.stderr)
