"""The journal keeps what was appended, in order, large bodies in files of their own."""

import threading

import pytest

from localaws.journal import Entry, Journal


def entry(body=b"", operation="PutObject", **labels):
    return Entry("s3", operation, 1700000000.25, 2**62 + 1, {"PATH_INFO": "/b/ü"}, body, labels)


@pytest.fixture
def journal(tmp_path):
    made = Journal(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("size", [0, 1, 16 << 10, (16 << 10) + 1, 1 << 20])
def test_an_entry_comes_back_as_it_was(journal, size):
    journal.append(entry(bytes(range(256)) * (size // 256 + 1), Bucket="b", Key="ü"))
    (found,) = journal.entries()
    assert found == Entry(**{**vars(entry(found.body, Bucket="b", Key="ü")), "number": 1})
    assert len(found.body) >= size


def test_order_is_the_order_of_appending(journal):
    for number in range(50):
        journal.append(entry(str(number).encode()))
    assert [int(found.body) for found in journal.entries()] == list(range(50))


def test_entries_survive_a_process_that_never_closes(tmp_path):
    first = Journal(tmp_path)
    first.append(entry(b"x" * 100_000))
    second = Journal(tmp_path)  # the first still has its connection, as after a kill
    assert [found.body for found in second.entries()] == [b"x" * 100_000]
    first.close()
    second.close()


def test_equal_large_bodies_share_a_file_until_the_last_entry_goes(journal, tmp_path):
    for _ in range(2):
        journal.append(entry(b"x" * 100_000))
    files = list((tmp_path / "bodies").glob("*/*"))
    assert len(files) == 1
    journal.remove([1])
    assert files[0].exists()
    assert [found.number for found in journal.entries()] == [2]
    journal.remove([2])
    assert not files[0].exists()
    assert journal.count() == 0


def test_a_body_half_written_by_a_killed_process_is_swept(journal, tmp_path):
    half = tmp_path / "bodies" / "ab" / "abcdef.123.new"
    half.parent.mkdir()
    half.write_bytes(b"half")
    journal.remove([])
    assert not half.exists()


def test_many_threads_append_without_losing_any(journal):
    def append(thread: int) -> None:
        for number in range(25):
            journal.append(entry(f"{thread} {number}".encode()))

    threads = [threading.Thread(target=append, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({found.body for found in journal.entries()}) == 200
