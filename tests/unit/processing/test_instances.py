"""Several instances write together what one would write alone; RecordIO holds the same images."""

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing import recordio
from processing.instances import ResourcesError, Share, this_instance
from processing.prepare import Options, prepare


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def read_records(content: bytes):
    """By the format's description, independently of the writer."""
    at, whole = 0, None
    while at < len(content):
        magic, word = struct.unpack_from("<II", content, at)
        assert magic == 0xCED7230A
        flag, length = word >> 29, word & (1 << 29) - 1
        part = content[at + 8 : at + 8 + length]
        at += 8 + length + -length % 4
        assert (flag in (0, 1)) == (whole is None)
        whole = part if whole is None else whole + struct.pack("<I", magic) + part
        if flag in (0, 3):
            _, label, number, _ = struct.unpack_from("<IfQQ", whole)
            yield number, label, whole[24:]
            whole = None
    assert whole is None


@pytest.mark.parametrize("count", [2, 3])
def test_instances_write_together_what_one_writes_alone(archives, tmp_path, count):
    def made(name, share):
        options = Options(
            str(archives["binary"]),
            ("worm", "apple"),
            tmp_path / name,
            recordio=True,
            pretrain=True,
            share=share,
        )
        prepare(options)
        return tree(tmp_path / name)

    alone = made("alone", Share())
    shares = [made(f"part{number}", Share(number, count)) for number in range(count)]
    together = {}
    for share in shares:
        for name, content in share.items():
            assert together.setdefault(name, content) == content  # one S3 key, one content
    assert together == alone
    images = [{name for name in share if "_0" in name} for share in shares]
    assert all(len(names) > 40 for names in images)
    assert sum(map(len, images)) == len({name for name in alone if "_0" in name})
    assert [sum(name.endswith(".rec") for name in share) for share in shares] == [2] + [0] * (count - 1)


def test_recordio_holds_the_images_in_the_order_of_the_list(archives, tmp_path):
    prepare(Options(str(archives["python"]), ("worm", "apple"), tmp_path, recordio=True))
    for channel in ("train", "validation"):
        records = list(read_records((tmp_path / f"{channel}_recordio" / f"{channel}.rec").read_bytes()))
        listed = (tmp_path / channel / f"{channel}.lst").read_text().splitlines()
        assert len(records) == len(listed) > 0
        for (number, label, image), line in zip(records, listed, strict=True):
            index, of_list, file = line.split("\t")
            assert (number, label) == (int(index), float(of_list))
            assert image == (tmp_path / channel / file).read_bytes()


def test_recordio_is_replaced_as_the_rest(archives, tmp_path):
    for name in ("worm", "apple"):
        prepare(Options(str(archives["python"]), (name,), tmp_path, recordio=True))
    assert next(read_records((tmp_path / "train_recordio" / "train.rec").read_bytes()))[2]


@given(st.lists(st.sampled_from([recordio.MAGIC, b"\x0a\x23", b"\xd7\xce", b"x", b"four"]), max_size=20))
def test_a_record_may_hold_the_magic_number(parts):
    content = b"".join(parts)
    assert list(read_records(recordio.record(7, 1, content))) == [(7, 1.0, content)]


@pytest.mark.parametrize(("host", "share"), [("algo-1", Share(0, 3)), ("algo-3", Share(2, 3))])
def test_the_share_is_read_from_sagemakers_file(tmp_path, host, share):
    path = tmp_path / "resourceconfig.json"
    path.write_text(json.dumps({"current_host": host, "hosts": ["algo-2", "algo-3", "algo-1"]}))
    assert this_instance(path) == share


def test_without_the_file_there_is_one_instance(tmp_path):
    assert this_instance(tmp_path / "resourceconfig.json") == Share(0, 1)


@pytest.mark.parametrize(
    "content", ["", "[]", '{"hosts": ["algo-1"]}', '{"hosts": [], "current_host": "algo-1"}']
)
def test_a_file_that_names_no_hosts(tmp_path, content):
    path = tmp_path / "resourceconfig.json"
    path.write_text(content)
    with pytest.raises(ResourcesError, match="does not name the job's hosts"):
        this_instance(path)
