"""Both versions give the same records; whatever is not CIFAR-100 is refused by name."""

import gzip
import io
import pickle
import tarfile
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processing import pack, stream, tar_stream
from processing.archive import BINARY_RECORD_BYTES, ArchiveContentError, read_records
from processing.job import JobError
from processing.plain_pickle import PickleContentError
from processing.stream import Background, CompressedDataError, ForwardFile, gunzip
from processing.tar_stream import TarError

WANTED = (8, 48)


def pieces(content: bytes, size: int):
    for start in range(0, len(content), size):
        yield content[start : start + size]


def read(path, wanted=WANTED, size=1 << 16):
    """All records of each split, batches joined."""
    found = {}
    with Background(gunzip(pieces(path.read_bytes(), size), path.name)) as unpacked:
        read_records(
            ForwardFile(unpacked),
            path.name,
            wanted,
            lambda records: found.setdefault(records.split, []).append(records),
        )
    return {
        split: (
            np.concatenate([batch.numbers for batch in batches]),
            np.concatenate([batch.labels for batch in batches]),
            np.concatenate([batch.pixels for batch in batches]),
        )
        for split, batches in found.items()
    }


@pytest.mark.parametrize("version", pack.VERSIONS)
@pytest.mark.parametrize("size", [100, 1 << 20])
def test_gives_the_wanted_records(archives, train, test, version, size):
    found = read(archives[version], size=size)
    for name, split in (("train", train), ("test", test)):
        rows = np.flatnonzero(np.isin(split.labels, WANTED))
        numbers, labels, pixels = found[name]
        assert numbers.tolist() == rows.tolist()
        assert labels.tolist() == split.labels[rows].tolist()
        assert np.array_equal(pixels, split.pixels[rows])


def test_the_python_version_has_names(archives, train):
    file = ForwardFile(gunzip(pieces(archives["python"].read_bytes(), 999), "x"))
    read = []
    read_records(file, "x", [99], read.append)
    first = read[0]
    assert first.names == [train.names[row] for row in first.numbers]


def big_table(**entries):
    """A split's pickle with enough images for its data to stream by."""
    labels = [n % 100 for n in range(600)]
    names = [f"{n}.png".encode() for n in range(600)]
    return pack.dump({"filenames": names, "fine_labels": labels, **entries})


TABLE = np.random.default_rng(3).integers(0, 256, (600, 3072), dtype=np.uint8)


def test_rows_are_handed_over_before_the_data_ends(make_archive):
    """The tar is cut in the middle of the data: what stood before the cut has come by then."""
    content = make_archive(("train", big_table(data=TABLE))).read_bytes()
    taken = []
    file = ForwardFile(iter([gzip.decompress(content)[:1_500_000]]))
    with pytest.raises(TarError, match="ends"):
        read_records(file, "x", range(100), taken.append)
    numbers = np.concatenate([records.numbers for records in taken])
    assert numbers.tolist() == list(range(len(numbers)))
    assert all(records.names == [f"{n}.png" for n in records.numbers] for records in taken)


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ({"other": TABLE, "data": TABLE}, "more than one table of 600 images"),
        ({"other": TABLE, "data": TABLE[:300]}, "300 images and 600 labels"),
        ({"data": TABLE[:599]}, "599 images and 600 labels"),
    ],
)
def test_a_second_table_is_not_taken_for_the_images(make_archive, entries, sentence):
    content = big_table(**entries)
    with pytest.raises(ArchiveContentError, match=sentence):
        read(make_archive(("train", content), ("test", content)))


def test_labels_that_change_after_the_data_are_refused(make_archive):
    """A key given twice counts as it stands last; by then the rows went out under the first."""
    before = {"filenames": [b""] * 600, "fine_labels": [8, 48] * 300, "data": TABLE}
    again = pack.dump({"fine_labels": [48, 8] * 300})
    entries = again[again.index(b"}(") + 2 : again.rindex(b"u.")]
    content = pack.dump(before).removesuffix(b"u.") + entries + b"u."
    with pytest.raises(ArchiveContentError, match="other labels after its data"):
        read(make_archive(("train", content), ("test", content)))


def test_members_in_any_order_and_without_folder(make_archive, members, archives):
    shuffled = [(name.rpartition("/")[2], content) for name, content in members("python")][::-1]
    found, expected = read(make_archive(*shuffled)), read(archives["python"])
    assert all(np.array_equal(found["train"][n], expected["train"][n]) for n in range(3))


def test_other_files_are_passed_over(make_archive, members):
    extra = [("cifar-100-python/file.txt~", b"x" * 5000), ("cifar-100-python/._train", b"resource fork")]
    assert len(read(make_archive(*extra, *members("python")))["test"][0]) == 16


def link(name, kind):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/passwd"
    return member


@pytest.mark.parametrize(
    "bad",
    [
        ("../../etc/cron.d/train", b"x"),
        ("/etc/passwd", b"x"),
        link("cifar-100-python/train", tarfile.SYMTYPE),
        link("cifar-100-python/test", tarfile.LNKTYPE),
        link("cifar-100-python/zero", tarfile.CHRTYPE),
        link("cifar-100-python/pipe", tarfile.FIFOTYPE),
    ],
    ids=["traversal", "absolute", "symlink", "hard link", "device", "fifo"],
)
@pytest.mark.parametrize("first", [True, False])
def test_refuses_members_that_reach_out(make_archive, members, bad, first):
    good = members("python")
    name = bad.name if isinstance(bad, tarfile.TarInfo) else bad[0]
    with pytest.raises(TarError, match=f'made.tar.gz: member "{name}"'):
        read(make_archive(*((bad, *good) if first else (*good, bad))))


@pytest.mark.parametrize(
    ("version", "repeated"), [("python", "train"), ("binary", "test.bin"), ("python", "meta")]
)
def test_refuses_a_member_twice(make_archive, members, version, repeated):
    good = members(version)
    second = next(content for name, content in good if name.endswith(f"/{repeated}"))
    with pytest.raises(ArchiveContentError, match=f'"{repeated}" twice, the second as elsewhere/{repeated}'):
        read(make_archive(*good, (f"elsewhere/{repeated}", second)))


@pytest.mark.parametrize(
    ("version", "gone", "said"),
    [("python", "test", 'holds "train" but no "test"'), ("binary", "train.bin", 'but no "train.bin"')],
)
def test_refuses_half_an_archive(make_archive, members, version, gone, said):
    with pytest.raises(ArchiveContentError, match=said):
        read(make_archive(*(m for m in members(version) if not m[0].endswith(f"/{gone}"))))


def test_refuses_another_data_set(make_archive):
    with pytest.raises(ArchiveContentError, match="is not a CIFAR-100 archive"):
        read(make_archive(("cifar-10-batches-py/data_batch_1", b"x" * 100)))


def test_refuses_both_versions_in_one(make_archive, members):
    with pytest.raises(ArchiveContentError, match="both versions"):
        read(make_archive(*members("python"), *members("binary")))


def spoiled(members, version, name, change):
    return [(n, change(content) if n.endswith(f"/{name}") else content) for n, content in members(version)]


@pytest.mark.parametrize("cut", [1, BINARY_RECORD_BYTES - 1])
def test_refuses_a_record_of_another_length(make_archive, members, cut):
    with pytest.raises(ArchiveContentError, match=r"cifar-100-binary/train\.bin has .* no whole number"):
        read(make_archive(*spoiled(members, "binary", "train.bin", lambda content: content[:-cut])))


def test_refuses_a_label_out_of_range_in_the_binary_version(make_archive, members):
    def change(content):
        at = 700 * BINARY_RECORD_BYTES + 1
        return content[:at] + b"\x64" + content[at + 1 :]

    with pytest.raises(ArchiveContentError, match=r"train\.bin: record 700 has the label 100"):
        read(make_archive(*spoiled(members, "binary", "train.bin", change)))


DATA = np.zeros((2, 3072), np.uint8)
GOOD = {"data": DATA, "fine_labels": [1, 2], "filenames": [b"a", b"b"]}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({**GOOD, "fine_labels": [1, 100]}, "record 1 has the label 100"),
        ({**GOOD, "fine_labels": [256, 1]}, "record 0 has the label 256"),
        ({**GOOD, "fine_labels": [1, -1]}, "record 1 has the label -1"),
        ({**GOOD, "fine_labels": [1, True]}, "record 1 has the label True"),
        ({**GOOD, "fine_labels": [1]}, "2 images and 1 labels"),
        ({**GOOD, "fine_labels": b"ab"}, "fine_labels is not a list"),
        ({**GOOD, "filenames": [b"a"]}, "2 images and 1 file names"),
        ({**GOOD, "filenames": [1, 2]}, "filenames is not a list of names"),
        ({**GOOD, "data": DATA[:, 1:]}, "not rows of 3,072"),
        ({**GOOD, "data": DATA.astype(np.int32)}, "not rows of 3,072"),
        ({**GOOD, "data": b"\0" * 6144}, "not rows of 3,072"),
        ({"data": DATA, "labels": [1, 2]}, 'no "fine_labels"'),
        ([1, 2], "does not hold a dictionary"),
    ],
)
def test_refuses_a_split_that_does_not_fit(make_archive, members, table, said):
    changed = spoiled(members, "python", "train", lambda _: pickle.dumps(table, 2))
    with pytest.raises(ArchiveContentError, match=f"cifar-100-python/train.*{said}"):
        read(make_archive(*changed))


@pytest.mark.parametrize(
    ("version", "name", "content"),
    [
        ("python", "meta", pack.dump({"fine_label_names": [b"airplane"]})),
        ("python", "meta", pack.dump({})),
        ("binary", "fine_label_names.txt", b"airplane\n"),
        ("binary", "fine_label_names.txt", b"\xff" * (2 << 20)),
    ],
)
def test_refuses_other_label_names(make_archive, members, version, name, content):
    with pytest.raises(ArchiveContentError, match=name):
        read(make_archive(*spoiled(members, version, name, lambda _: content)))


def test_refuses_a_pickle_that_calls(make_archive, members):
    content = b"cposix\nsystem\n(U\x04truetR."
    with pytest.raises(PickleContentError, match=r"cifar-100-python/test: asks for posix\.system"):
        read(make_archive(*spoiled(members, "python", "test", lambda _: content)))


def test_refuses_a_bomb_of_zeros(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "MAX_ARCHIVE_BYTES", 4 << 20)
    bomb = tmp_path / "bomb.tar.gz"
    bomb.write_bytes(gzip.compress(bytes(64 << 20)))
    with pytest.raises(CompressedDataError, match="unpacks to more than"):
        for _ in gunzip(pieces(bomb.read_bytes(), 1 << 16), "bomb.tar.gz"):
            pass


def test_refuses_a_member_of_absurd_size(make_archive):
    member = tarfile.TarInfo("cifar-100-python/train")
    member.size = 1 << 40
    with pytest.raises(TarError, match='"cifar-100-python/train" claims 1,099,511,627,776 bytes'):
        read(make_archive(member))


def test_refuses_a_header_of_absurd_size(make_archive):
    """tarfile would read such a header into memory before it says anything."""
    member = tarfile.TarInfo("././@LongLink")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 1 << 32
    with pytest.raises(TarError, match="claims 4,294,967,296 bytes"):
        read(make_archive(member, ("train", b"x" * 1000)))


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("name", ["\x1b[31mred", "two\nlines", "latin-\udce9", "\x1b[2J" + "d" * 200])
def test_names_that_a_terminal_would_obey(tmp_path, form, name):
    path = tmp_path / "names.tar.gz"
    with tarfile.open(path, "w:gz", format=form, errors="surrogateescape") as tar:
        tar.addfile(tarfile.TarInfo(name))
    with pytest.raises(TarError, match="control characters") as caught:
        read(path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("folder", ["d" * 200, "ordner-für-daten", "../" + "d" * 200])
def test_names_in_headers_of_their_own(tmp_path, members, form, folder):
    path = tmp_path / "long.tar.gz"
    with tarfile.open(path, "w:gz", format=form) as tar:
        for name, content in members("python"):
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size, member.mtime = len(content), 0.5  # a fraction needs a PAX record
            tar.addfile(member, io.BytesIO(content))
    if folder.startswith(".."):
        with pytest.raises(TarError, match=f'member "{folder}/cifar-100-python/train" points outside'):
            read(path)
    else:
        assert len(read(path)["test"][0]) == 16


def test_refuses_sparse_files(make_archive, members):
    member = tarfile.TarInfo("cifar-100-python/train")
    member.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "99"}
    with pytest.raises(TarError, match=r"made\.tar\.gz"):
        read(make_archive(member, *members("python")))


def test_refuses_members_without_end(make_archive, members, monkeypatch):
    monkeypatch.setattr(tar_stream, "MAX_MEMBERS", 1000)
    real = members("binary")
    more = [(f"f{n}", b"") for n in range(1000 - len(real))]
    assert read(make_archive(*real, *more))["test"]
    with pytest.raises(TarError, match="more than 1,000 members"):
        read(make_archive(*real, *more, ("one more", b"")))


@pytest.fixture(params=["ISA-L", "zlib"])
def library(request, monkeypatch):
    """What unpacks, with and without the `isal` package: each has its own steps and its own errors."""
    if request.param == "zlib":
        monkeypatch.setattr(stream, "GzipFile", gzip.GzipFile)
        monkeypatch.setattr(stream, "deflate", zlib)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("version", pack.VERSIONS)
@pytest.mark.parametrize("share", [0.001, 0.3, 0.9, 0.99999])
def test_says_that_an_archive_is_cut(archives, tmp_path, version, share):
    content = archives[version].read_bytes()
    path = tmp_path / "cut.tar.gz"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CompressedDataError, match=r"cut.tar.gz is cut short: .* after [\d,]+ bytes"):
        read(path)


def test_says_that_a_tar_is_cut_inside_a_whole_gzip(archives, tmp_path):
    path = tmp_path / "cut.tar.gz"
    path.write_bytes(gzip.compress(gzip.decompress(archives["binary"].read_bytes())[:1_000_000], 1))
    with pytest.raises(
        TarError, match=r"cut.tar.gz: the tar ends inside its member .cifar-100-binary/train.bin"
    ):
        read(path)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html>", "is not a gzip file: it starts with b'<!DOCTYPE"),
        (b"PK\3\4", "is not a gzip file"),
    ],
)
def test_says_that_it_is_no_gzip(tmp_path, content, said):
    path = tmp_path / "wrong.tar.gz"
    path.write_bytes(content)
    with pytest.raises(CompressedDataError, match=rf"wrong\.tar\.gz {said}"):
        read(path)


def test_says_that_it_is_no_tar(tmp_path):
    path = tmp_path / "wrong.tar.gz"
    path.write_bytes(gzip.compress(b"no tar" * 1000))
    with pytest.raises(TarError, match=r"wrong.tar.gz is not a readable tar"):
        read(path)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content[:-5] + b"\0" + content[-4:],  # the checksum
        lambda content: content + b"more" * 10,
        lambda content: b"\x1f\x8b\x07" + content[3:],  # another compression
        lambda content: content[:-5000] + b"\x1f\x8b\x08\x08" + content[:60] * 10_000,  # a name without end
    ],
)
def test_says_that_an_archive_is_damaged(archives, tmp_path, spoil):
    path = tmp_path / "wrong.tar.gz"
    path.write_bytes(spoil(archives["binary"].read_bytes()))
    with pytest.raises(CompressedDataError, match=r"wrong\.tar\.gz is damaged near its byte [\d,]+$"):
        read(path)


@pytest.mark.usefixtures("library")
def test_reads_a_gzip_of_several_members_with_padding(archives, tmp_path):
    content = gzip.decompress(archives["binary"].read_bytes())
    half = len(content) // 2
    path = tmp_path / "two.tar.gz"
    path.write_bytes(gzip.compress(content[:half], 1) + gzip.compress(content[half:], 1) + bytes(700))
    assert len(read(path)["train"][0]) == len(read(archives["binary"])["train"][0])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), version=st.sampled_from(pack.VERSIONS))
def test_a_damaged_archive_gives_one_error_or_the_same_records(archives, tmp_path, data, version):
    """Only our own errors come out, and gzip's checksum lets no wrong pixel pass."""
    content = bytearray(archives[version].read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.tar.gz"
    path.write_bytes(content)
    try:
        found = read(path)
    except JobError:
        return
    expected = read(archives[version])
    assert all(np.array_equal(found[s][n], expected[s][n]) for s in expected for n in range(3))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), version=st.sampled_from(pack.VERSIONS))
def test_a_damaged_tar_gives_one_error_or_records_in_range(tmp_path, small_split, data, version):
    """The same below gzip, whose checksum would catch it first."""
    path = tmp_path / "small.tar.gz"
    pack.write(path, small_split(20, 3, "train"), small_split(6, 4, "test"), version, level=1)
    content = bytearray(gzip.decompress(path.read_bytes()))
    headers = [n for n in range(0, len(content), 512) if content[n + 257 : n + 262] == b"ustar"]
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.sampled_from(headers)) + data.draw(st.integers(0, 700))
        content[min(at, len(content) - 1)] = data.draw(st.integers(0, 255))
    path.write_bytes(gzip.compress(bytes(content), 1))
    try:
        found = read(path)
    except JobError:
        return
    assert all(set(labels.tolist()) <= set(WANTED) for _, labels, _ in found.values())


def test_closing_early_stops_the_threads(archives):
    closed = []

    def chunks():
        try:
            yield from pieces(archives["binary"].read_bytes(), 1000)
        finally:
            closed.append(True)

    with Background(chunks()) as compressed, Background(gunzip(compressed, "x")) as content:
        next(content)
    assert closed == [True]
    with pytest.raises(StopIteration):
        next(content)


def test_a_label_without_a_repr_is_told(make_archive):
    nest = b"]" * 100_000 + b"a" * 99_999
    content = b"\x80\x02}X\x0b\x00\x00\x00fine_labels]" + nest + b"asX\x04\x00\x00\x00dataNs."
    with pytest.raises(JobError, match="has the label a list"):
        read(make_archive(("train", content), ("test", content)))


@pytest.mark.parametrize("shape", [(2000, 3072), (10**6, 0), ()], ids=str)
def test_an_array_of_labels_has_one_side_and_no_more_than_labels_need(make_archive, shape):
    """The same array as data and as labels costs nothing; as a list of lists it took gigabytes."""
    table = np.zeros(shape, np.uint8)
    content = pickle.dumps({"data": table, "fine_labels": table}, 2)
    with pytest.raises(ArchiveContentError, match="train: fine_labels is not a list"):
        read(make_archive(("train", content), ("test", content)))


def test_an_array_of_labels_is_read_as_a_list_of_them(make_archive):
    content = pickle.dumps({"data": DATA, "fine_labels": np.array([8, 0])}, 2)
    _, labels, _ = read(make_archive(("train", content), ("test", content)))["train"]
    assert labels.tolist() == [8]


def test_one_long_name_for_every_record_is_refused(make_archive):
    """The pickle holds it once, and each record would have had a copy."""
    content = pickle.dumps({**GOOD, "filenames": [b"a" * 1001] * 2}, 2)
    with pytest.raises(ArchiveContentError, match="train has a file name of more than 1,000 characters"):
        read(make_archive(("train", content), ("test", content)))
