"""Makes a request to moto reproducible: the same seed and moment give the same ids and dates.

moto draws ids and looks at the clock while it answers. The journal keeps a seed and a moment with each
request; inside `reproducible(seed, moment)` everything that moto draws in this thread comes from them, live
and at the replay alike. Other threads, such as a running state machine's, keep real chance and real time.

moto has one random generator (`moto.moto_api._internal.mock_random`), whose source is replaced; some of its
modules use `os.urandom`, `uuid4` and the clocks directly, and get stand-ins for them (`patch_modules`).
"""

from __future__ import annotations

import datetime
import os
import random
import sys
import threading
import time
import types
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_SERVICES = "moto."
_local = threading.local()
_system = random.SystemRandom()


@contextmanager
def reproducible(seed: int, moment: float) -> Iterator[None]:
    """Chance comes from `seed`, and the time stands at `moment` (epoch seconds), in this thread."""
    previous = getattr(_local, "source", None), getattr(_local, "moment", None)
    _local.source, _local.moment = random.Random(seed), moment  # noqa: S311 - ids, not secrets
    try:
        yield
    finally:
        _local.source, _local.moment = previous


def draw_seed() -> int:
    """A seed that fits SQLite's integers."""
    return _system.getrandbits(63)


def _source() -> random.Random:
    return getattr(_local, "source", None) or _system


def _time() -> float:
    moment = getattr(_local, "moment", None)
    return time.time() if moment is None else moment


def _urandom(size: int) -> bytes:
    return _source().randbytes(size)


def _uuid4() -> uuid.UUID:
    return uuid.UUID(int=_source().getrandbits(128), version=4)


class _DatetimeType(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, datetime.datetime)


class _Datetime(datetime.datetime, metaclass=_DatetimeType):
    """`datetime` whose now is the request's; what it makes are plain datetimes."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return datetime.datetime(*args, **kwargs)

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Any:
        return datetime.datetime.fromtimestamp(_time(), tz)

    @classmethod
    def utcnow(cls) -> Any:
        return datetime.datetime.fromtimestamp(_time(), datetime.UTC).replace(tzinfo=None)

    @classmethod
    def today(cls) -> Any:
        return cls.now()


class _Module(types.ModuleType):
    """A module with some names replaced."""

    def __init__(self, real: types.ModuleType, **replaced: Any) -> None:
        super().__init__(real.__name__, real.__doc__)
        self.__dict__.update(replaced)
        self.__dict__["_real"] = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_real"], name)


# What a moto module may have in its globals (by identity) → what it gets instead.
_STAND_INS: dict[int, Any] = {
    id(datetime): _Module(datetime, datetime=_Datetime),
    id(datetime.datetime): _Datetime,
    id(time): _Module(time, time=_time),
    id(time.time): _time,
    id(os): _Module(os, urandom=_urandom),
    id(os.urandom): _urandom,
    id(uuid): _Module(uuid, uuid4=_uuid4),
    id(uuid.uuid4): _uuid4,
}
_patched: set[str] = set()


def patch_random() -> None:
    """Lets moto's generator draw from the request's source. Random's other methods rest on these two."""
    from moto.moto_api._internal.moto_random import MotoRandom

    MotoRandom.random = lambda _: _source().random()
    MotoRandom.getrandbits = lambda _, bits: _source().getrandbits(bits)


def patch_modules() -> None:
    """Gives every moto module imported since the last call its stand-ins for clocks and chance."""
    for name, module in list(sys.modules.items()):
        if name in _patched or not name.startswith(_SERVICES) or module is None:
            continue
        _patched.add(name)
        names = vars(module)
        for key, value in list(names.items()):
            stand_in = _STAND_INS.get(id(value))
            if stand_in is not None:
                names[key] = stand_in
