"""Reads a pickle that holds plain data, without unpickling it.

A pickle is a program for a small stack machine, and Python's own machine may call whatever the
program names. This machine has no calls: the few constructors that arrays and Python 2's strings need
are written out here, any other name is an error, and so is every opcode that has no use in plain data.
https://github.com/python/cpython/blob/main/Lib/pickletools.py documents the opcodes.

A table of bytes need not be held whole: as it streams by, rows of it are picked that were chosen by what
stood before it. Where none were chosen it is read straight into its place; Python's `pickle` holds it twice.

Some MB of gzip hold any number of zeros: all but the table is bounded, to more than 50,000 records need.
"""

from __future__ import annotations

import codecs
import re
import struct
from collections.abc import Callable
from itertools import takewhile
from typing import Any

import numpy as np

from processing.pickle_input import PickleContentError, PickleInput, Reader
from processing.rows import PickedRows, RowChoice, TableSizeError, pick_from_bytes, pick_from_latin1

# 50,000 records need some twelve operations each in the most verbose form; each may allocate an object.
MAX_OPERATIONS = 1_000_000
# Only a table has more bytes, under the key "data". What is wrong with a second one, its reader says; there
# is no third, since all that stands before is looked through for each.
LARGE = 1 << 20
MAX_LARGE = 2
TABLE = ("data", b"data")
# What constructors may make in all: one text, called for again and again, would fill any memory.
MAX_BUILT_BYTES = 16 << 20
# Operations that come by the hundred thousand, at once: BININT1 after BININT1, and what Python 3 writes for a
# string of bytes in protocol 2, after the name `_codecs.encode` and the text: the text's place in the memo,
# "latin1" from the memo, both as a tuple, its place, the call, and the place of what it makes.
_SMALL_INTEGERS = re.compile(rb"(?:K.)+", re.DOTALL)
_CALL = struct.Struct("<cIcBccIccI")
_CALL_CODES = (b"r", b"h", b"\x86", b"r", b"R", b"r")
_BINPUT, _LONG_BINPUT = ord("q"), ord("r")
_LONGEST_NAME = 2 + 255 + 5  # with its code, length and place in the memo
_ENCODE = "_codecs.encode"
_LATIN1 = ("latin1", "latin-1")
_DTYPE = re.compile(r"[<>|=]?[biuf][1248]")
_MARK = object()
_STOP = ord(".")


# Which rows to keep of a large string, from what is known of the dictionary around it; None keeps it whole.
Choose = Callable[[dict[Any, Any]], RowChoice | None]


def load(stream: Reader, size: int, name: str, choose: Choose = lambda _: None) -> Any:
    """The value in the pickle of `size` bytes on `stream`: containers of numbers, text, bytes and arrays.

    Python 2's strings come as `bytes`, large ones as `memoryview`; an array of which rows were chosen comes
    as `PickedRows`. `name` is for messages.
    Raises `PickleContentError`.
    """
    machine = _Machine(PickleInput(stream, size), choose)
    try:
        return machine.run()
    except PickleContentError as error:
        raise PickleContentError(f"{name}: {error}") from None
    except (IndexError, KeyError, TypeError, ValueError, AttributeError, OverflowError, struct.error):
        # What a program that does not add up runs into: an empty stack, an unknown memo, a wrong operand.
        raise PickleContentError(
            f"{name}: damaged pickle near byte {machine.input.position:,} of {size:,}"
        ) from None


class _Name:
    """A global the pickle names; it is looked up nowhere."""

    def __init__(self, text: str) -> None:
        self.text = text


class _Pending:
    """An array or a type of element between its construction and its `BUILD`."""

    def __init__(self, value: Any) -> None:
        self.value = value


_UNSETTLED = {_Pending, type(_MARK)}


class _Latin1Text:
    """A large text that is known to be bytes in disguise: Python 3 writes them so in protocol 2."""

    def __init__(self, content: bytearray | PickedRows) -> None:
        self.content = content


class _Machine:
    def __init__(self, source: PickleInput, choose: Choose) -> None:
        self.input = source
        self.choose = choose
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.built = self.counted = self.large = 0

    def run(self) -> Any:
        next_operation, operations = self.input.operation, _OPERATIONS
        for _ in range(MAX_OPERATIONS):
            code = next_operation()
            operation = operations[code]
            if operation is None:
                if code == _STOP:
                    return self._finish()
                raise PickleContentError(
                    f"opcode {code:#04x} at byte {self.input.position - 1:,} is not for plain data in "
                    "protocol 2 or later"
                )
            operation(self)
        raise self._endless()

    def _endless(self) -> PickleContentError:
        return PickleContentError(f"more than {MAX_OPERATIONS:,} operations")

    def _finish(self) -> Any:
        (value,) = self.stack
        return _settled(value)

    # -- what the operations are made of ---------------------------------------------------------------

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop_to_mark(self) -> list[Any]:
        stack = self.stack
        at = len(stack) - 1
        while stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise PickleContentError("items without a mark")
        items = stack[at + 1 :]
        del stack[at:]
        return items

    def push_built(self, value: Any) -> None:
        """What a constructor made."""
        self.count_built(len(value) if isinstance(value, bytes) else 0)  # a large text's bytes are its own
        self.push(value)

    def count_built(self, size: int) -> None:
        self.built += size
        if self.built > MAX_BUILT_BYTES:
            raise PickleContentError(f"builds more than {MAX_BUILT_BYTES >> 20} MiB")

    def count(self, operations: int) -> None:
        """Of those done at once, which `run` does not see."""
        self.counted += operations
        if self.counted > MAX_OPERATIONS:
            raise self._endless()

    def pop(self) -> Any:
        return _settled(self.stack.pop())

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    def unsigned(self, width: int) -> int:
        return int.from_bytes(self.input.take(width), "little")

    def bytes_of(self, count: int) -> bytes | memoryview | PickedRows:
        if count < LARGE:
            return self.input.take(count)
        key, choice = self._chosen(count)
        if choice and choice.size == count:
            return pick_from_bytes(self.input.pieces(count), choice)
        self._check_table(key, count)
        return self.input.take_large(count)

    def text_of(self, count: int) -> str | _Latin1Text:
        if count < LARGE:
            return self.input.take(count).decode("utf-8", "surrogatepass")
        key, choice = self._chosen(count)
        if choice:
            try:
                return _Latin1Text(pick_from_latin1(self.input.pieces(count), choice))
            except TableSizeError as error:
                raise PickleContentError(str(error)) from None
        self._check_table(key, count)
        return _Latin1Text(self._large_text(count))

    def _chosen(self, count: int) -> tuple[Any, RowChoice | None]:
        """The key of the large value that comes, and which of its rows to keep."""
        self.input.check(count)
        self.large += 1
        if self.large > MAX_LARGE:
            raise PickleContentError(f"more than {MAX_LARGE} values of over {LARGE:,} bytes")
        key, known = self._siblings()
        return key, self.choose(known)

    def _check_table(self, key: Any, count: int) -> None:
        if key not in TABLE:
            raise PickleContentError(f'a value of {count:,} bytes that is not the table "data"')

    def _siblings(self) -> tuple[Any, dict[Any, Any]]:
        """The key in the innermost dictionary whose value is coming, and what is known of this dictionary."""
        stack = self.stack
        for at in range(len(stack) - 2, -1, -1):
            if isinstance(stack[at], dict) and stack[at + 1] is _MARK:
                # Behind another mark are the parts of the value that is coming.
                items = list(map(_settled, takewhile(lambda item: item is not _MARK, stack[at + 2 :])))
                pairs = zip(items[::2], items[1::2], strict=False)
                known = stack[at] | {key: value for key, value in pairs if isinstance(key, (bytes, str))}
                return (items[::2] or [None])[-1], known
        return None, {}

    def _large_text(self, count: int) -> bytearray:
        decoder = codecs.getincrementaldecoder("utf-8")()
        content = bytearray()
        for piece in self.input.pieces(count):
            content += decoder.decode(piece).encode("latin-1")
        decoder.decode(b"", final=True)
        return content

    # -- containers ------------------------------------------------------------------------------------

    def append(self) -> None:
        value = self.pop()
        _expect(self.stack[-1], list).append(value)

    def appends(self) -> None:
        items = self.pop_to_mark()
        _expect(self.stack[-1], list).extend(_all_settled(items))

    def set_item(self) -> None:
        value, key = self.pop(), self.pop()
        _expect(self.stack[-1], dict)[_key(key)] = value

    def set_items(self) -> None:
        items = self.pop_to_mark()
        target = _expect(self.stack[-1], dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[_key(_settled(key))] = _settled(value)

    def tuple_of(self, count: int) -> None:
        stack = self.stack
        if len(stack) < count:
            raise PickleContentError("a tuple of too few items")
        stack[-count:] = [tuple(map(_settled, stack[-count:]))]

    def tuple_to_mark(self) -> None:
        self.push(tuple(map(_settled, self.pop_to_mark())))

    # -- names and what stands for calls ---------------------------------------------------------------

    def name(self) -> None:
        module = self.input.line()
        self.push(_permitted(module, self.input.line()))

    def name_from_stack(self) -> None:
        name, module = self.pop(), self.pop()
        self.push(_permitted(str(module), str(name)))

    def reduce(self) -> None:
        arguments, name = self.pop(), self.stack.pop()
        constructor = _CONSTRUCTORS.get(_expect(name, _Name).text)
        if constructor is None:
            raise PickleContentError(f"calls {name.text}, which plain data does not need")
        value = constructor(*_expect(arguments, tuple))
        self.push_built(value)

    def build(self) -> None:
        state = _expect(self.pop(), tuple)
        pending = _expect(self.stack[-1], _Pending)
        if isinstance(pending.value, np.dtype):
            # (version, byte order, …): the rest describes structured types, which are refused here.
            if any(part is not None for part in state[2:5]):
                raise PickleContentError("an array of structures")
            pending.value = pending.value.newbyteorder(_expect(state[1], (str, bytes)))
        else:
            _version, shape, dtype, fortran_order, content = state
            pending.value = _array(content, dtype, shape, "F" if fortran_order else "C")


def _expect(value: Any, kind: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError
    return value


def _settled(value: Any) -> Any:
    kind = type(value)
    if kind is _Pending:
        return value.value
    if value is _MARK:
        raise PickleContentError("a mark where a value belongs")
    return value


def _all_settled(values: list[Any]) -> list[Any]:
    """The same, for lists of 50,000 values of which none needs it."""
    return values if _UNSETTLED.isdisjoint(map(type, values)) else list(map(_settled, values))


def _key(value: Any) -> Any:
    return _expect(value, (bytes, str, int))


def _permitted(module: str, name: str) -> _Name:
    # numpy 2 renamed the module; archives of both ages are about.
    text = f"{module}.{name}".replace("numpy._core.", "numpy.core.", 1)
    if text not in _CONSTRUCTORS and text not in _MENTIONED:
        raise PickleContentError(f"asks for {text}, which plain data does not need")
    return _Name(text)


def _encode(text: Any, encoding: Any) -> bytes | bytearray | PickedRows:
    if encoding not in _LATIN1:
        raise PickleContentError("a text in an encoding other than latin1")
    return text.content if isinstance(text, _Latin1Text) else _expect(text, str).encode("latin-1")


def _dtype(description: Any, *_flags: Any) -> _Pending:
    text = description.decode("ascii") if isinstance(description, bytes) else _expect(description, str)
    if not _DTYPE.fullmatch(text):
        raise PickleContentError(f'an array of "{text[:40]}", which is no plain number')
    return _Pending(np.dtype(text))


def _new_array(_type: Any, _shape: Any, _typecode: Any) -> _Pending:
    return _Pending(np.empty(0, np.uint8))


def _array(content: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray | PickedRows:
    """An array over `content`, not a copy of it; shape and length must agree."""
    sides = [_expect(side, int) for side in _expect(shape, tuple)]
    if any(side < 0 for side in sides) or order not in ("C", "F"):
        raise ValueError
    if isinstance(content, PickedRows):
        if (sides, order, dtype) != ([content.choice.count, content.choice.width], "C", np.uint8):
            raise PickleContentError("an array of another shape than its labels say")
        return content
    buffer = _expect(content, (bytes, bytearray, memoryview))
    return np.frombuffer(buffer, _expect(dtype, np.dtype)).reshape(sides, order=order)


def _scalar(dtype: Any, content: Any) -> int | float:
    return _expect(_expect(_array(content, dtype, (), "C"), np.ndarray).item(), (int, float))


_CONSTRUCTORS: dict[str, Callable[..., Any]] = {
    _ENCODE: _encode,
    "__builtin__.bytes": lambda: b"",  # how Python 3 writes the empty one in protocol 2
    "numpy.dtype": _dtype,
    "numpy.core.multiarray._reconstruct": _new_array,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _array,
}
_MENTIONED = frozenset({"numpy.ndarray"})  # named as an argument, never called

# The operations that come by the hundred thousand take their operands from the buffer themselves.


def _small_integers(machine: _Machine) -> None:
    """BININT1, and all that follow it without another operation between: a list of labels."""
    source, at = machine.input, machine.input.at
    run = _SMALL_INTEGERS.match(source.buffer, at - 1)
    if run is None:  # the pickle ends here
        raise IndexError
    values = source.buffer[at : run.end() : 2]
    machine.count(len(values))
    machine.stack.extend(values)
    source.at = run.end()


def _short_bytes(machine: _Machine) -> None:
    """SHORT_BINSTRING or SHORT_BINBYTES, and all that follow with at most a place in the memo between."""
    source, memo = machine.input, machine.memo
    buffer, at = source.buffer, source.at - 1
    code, last = buffer[at], len(buffer) - _LONGEST_NAME
    values = []
    while at < last and buffer[at] == code:
        start = at + 2
        at = start + buffer[at + 1]
        value = buffer[start:at]
        values.append(value)
        if buffer[at] == _LONG_BINPUT:
            memo[int.from_bytes(buffer[at + 1 : at + 5], "little")] = value
            at += 5
        elif buffer[at] == _BINPUT:
            memo[buffer[at + 1]] = value
            at += 2
    if values:
        machine.count(len(values))
        machine.stack.extend(values)
        source.at = at
    else:
        machine.stack.append(source.take(source.byte()))


def _put(machine: _Machine) -> None:
    source = machine.input
    machine.memo[source.buffer[source.at]] = machine.stack[-1]
    source.at += 1


def _put_long(machine: _Machine) -> None:
    source, at = machine.input, machine.input.at
    machine.memo[int.from_bytes(source.buffer[at : at + 4], "little")] = machine.stack[-1]
    source.at = at + 4


def _get(machine: _Machine) -> None:
    source = machine.input
    value = machine.memo[source.buffer[source.at]]
    source.at += 1
    if not (isinstance(value, _Name) and value.text == _ENCODE and _encoded(machine)):
        machine.stack.append(value)


def _encoded(machine: _Machine) -> bool:
    """The calls of `_codecs.encode` that follow its name, one after the other; False if there is none."""
    source, memo = machine.input, machine.memo
    buffer, get_name = source.buffer, source.buffer[source.at - 2 : source.at]
    at = source.at - 2
    contents = []
    while buffer[at : at + 3] == get_name + b"X" and buffer[at + 4 : at + 7] == b"\0\0\0":
        start = at + 7
        end = start + buffer[at + 3]
        if end + _CALL.size > len(buffer):
            break
        put, text_at, get, encoding_at, pair, put_too, pair_at, call, put_three, content_at = (
            _CALL.unpack_from(buffer, end)
        )
        encoding = memo.get(encoding_at)
        if (put, get, pair, put_too, call, put_three) != _CALL_CODES or encoding not in _LATIN1:
            break
        text = buffer[start:end].decode("utf-8", "surrogatepass")
        memo[text_at], memo[pair_at] = text, (text, encoding)
        memo[content_at] = content = text.encode("latin-1")
        contents.append(content)
        at = end + _CALL.size
    if contents:
        machine.count_built(sum(map(len, contents)))
        machine.stack.extend(contents)
        source.at = at
    return bool(contents)


def _pair(machine: _Machine) -> None:
    second = machine.pop()
    first = machine.pop()
    machine.stack.append((first, second))


_CODES: dict[int, Callable[[_Machine], object]] = {
    0x80: lambda m: m.input.take(1),  # PROTO
    0x95: lambda m: m.input.take(8),  # FRAME
    ord("("): lambda m: m.push(_MARK),
    ord("}"): lambda m: m.push({}),
    ord("]"): lambda m: m.push([]),
    ord(")"): lambda m: m.push(()),
    ord("t"): _Machine.tuple_to_mark,
    0x85: lambda m: m.tuple_of(1),
    0x86: _pair,
    0x87: lambda m: m.tuple_of(3),
    ord("a"): _Machine.append,
    ord("e"): _Machine.appends,
    ord("s"): _Machine.set_item,
    ord("u"): _Machine.set_items,
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    ord("J"): lambda m: m.push(int.from_bytes(m.input.take(4), "little", signed=True)),
    ord("K"): _small_integers,
    ord("M"): lambda m: m.push(m.unsigned(2)),
    0x8A: lambda m: m.push(int.from_bytes(m.input.take(m.input.byte()), "little", signed=True)),  # LONG1
    ord("G"): lambda m: m.push(struct.unpack(">d", m.input.take(8))[0]),
    ord("U"): _short_bytes,  # SHORT_BINSTRING
    ord("T"): lambda m: m.push(m.bytes_of(m.unsigned(4))),  # BINSTRING
    ord("C"): _short_bytes,  # SHORT_BINBYTES
    ord("B"): lambda m: m.push(m.bytes_of(m.unsigned(4))),  # BINBYTES
    0x8E: lambda m: m.push(m.bytes_of(m.unsigned(8))),  # BINBYTES8
    0x96: lambda m: m.push(m.bytes_of(m.unsigned(8))),  # BYTEARRAY8
    0x8C: lambda m: m.push(m.text_of(m.input.byte())),  # SHORT_BINUNICODE
    ord("X"): lambda m: m.push(m.text_of(m.unsigned(4))),  # BINUNICODE
    0x8D: lambda m: m.push(m.text_of(m.unsigned(8))),  # BINUNICODE8
    ord("q"): _put,
    ord("r"): _put_long,
    0x94: lambda m: m.put(len(m.memo)),  # MEMOIZE
    ord("h"): _get,
    ord("j"): lambda m: m.get(m.unsigned(4)),
    ord("c"): _Machine.name,
    0x93: _Machine.name_from_stack,  # STACK_GLOBAL
    ord("R"): _Machine.reduce,
    ord("b"): _Machine.build,
}
_OPERATIONS = [_CODES.get(code) for code in range(256)]
