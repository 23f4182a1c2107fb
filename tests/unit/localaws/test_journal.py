"""The journal keeps what was appended, in order, large bodies in files of their own."""

import threading

import pytest

from localaws.journal import Entry, Journal


def append(journal, body=b"", **labels):
    number = journal.next_number()
    entry = Entry(number, "s3", "PutObject", 1.25e9, 2**62 + 1, {"PATH_INFO": "/b/ü"}, body, labels)
    journal.append(entry)
    return entry


@pytest.fixture
def journal(tmp_path):
    made = Journal(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("size", [0, 1, 16 << 10, (16 << 10) + 1, 1 << 20])
def test_an_entry_comes_back_as_it_was(journal, size):
    entry = append(journal, bytes(size), Bucket="b", Key="ü")
    assert list(journal.entries()) == [entry]


def test_order_is_the_order_of_beginning(journal, tmp_path):
    first, second = journal.next_number(), journal.next_number()
    for number in (second, first):
        journal.append(Entry(number, "s3", "PutObject", 1.0, 1, {}, str(number).encode(), {}))
    assert [found.number for found in journal.entries()] == [first, second]
    again = Journal(tmp_path)
    assert again.next_number() == second + 1
    again.close()


def test_entries_survive_a_process_that_never_closes(tmp_path):
    first = Journal(tmp_path)
    append(first, b"x" * 100_000)
    second = Journal(tmp_path)  # the first still has its connection, as after a kill
    assert [found.body for found in second.entries()] == [b"x" * 100_000]
    first.close()
    second.close()


def test_equal_large_bodies_share_a_file_until_the_last_entry_goes(journal, tmp_path):
    for _ in range(2):
        append(journal, b"x" * 100_000)
    files = list((tmp_path / "bodies").glob("*/*"))
    assert len(files) == 1
    journal.remove([1])
    assert files[0].exists()
    assert [found.number for found in journal.entries()] == [2]
    journal.remove([2])
    assert not files[0].exists()
    assert not list(journal.headings())


def test_an_entry_whose_body_somebody_removed_does_not_take_the_others_along(journal, tmp_path):
    append(journal, b"small")
    append(journal, b"x" * 100_000)
    for file in (tmp_path / "bodies").glob("*/*"):
        file.unlink()
    assert [found.body for found in journal.entries()] == [b"small"]


def test_a_body_half_written_by_a_killed_process_is_swept(journal, tmp_path):
    half = tmp_path / "bodies" / "ab" / "abcdef.123.new"
    half.parent.mkdir()
    half.write_bytes(b"half")
    journal.remove([])
    assert not half.exists()


def test_many_threads_append_without_losing_any(journal):
    def append_many(thread: int) -> None:
        for number in range(25):
            append(journal, f"{thread} {number}".encode())

    threads = [threading.Thread(target=append_many, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({found.body for found in journal.entries()}) == 200
