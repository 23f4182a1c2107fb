import threading

import pytest

from localaws.sagemaker.store import Store


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "documents.sqlite")
    yield store
    store.close()


def test_documents_outlive_the_process(tmp_path):
    first = Store(tmp_path / "documents.sqlite")
    first.put("Model", "a", {"n": 1}, parent="p")
    first.put("Model", "b", {"n": 2}, parent="q")
    first.put("Model", "a", {"n": 3})
    first.close()
    second = Store(tmp_path / "documents.sqlite")
    assert second.list("Model") == [{"n": 3}, {"n": 2}]
    assert second.list("Model", parent="p") == [{"n": 3}]
    second.close()


def test_a_transaction_is_seen_whole_or_not_at_all(store):
    def write_and_fail():
        with store.transaction():
            store.put("Model", "a", {})
            with store.transaction():
                store.put("Model", "b", {})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()
    assert store.list("Model") == []
    with store.transaction():
        store.put("Model", "c", {})
    assert store.list("Model") == [{}]


def test_updates_of_many_threads_are_all_kept(store):
    store.put("Counter", "n", {"n": 0})

    def count():
        for _ in range(50):
            store.update("Counter", "n", lambda document: document.update(n=document["n"] + 1))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.get("Counter", "n") == {"n": 200}


def test_updating_what_is_not_there(store):
    with pytest.raises(KeyError, match="nobody"):
        store.update("Model", "nobody", dict.clear)


def test_waiting_for_a_write_of_another_thread(store):
    timer = threading.Timer(0.05, lambda: store.put("Model", "a", {"Status": "Ready"}))
    timer.start()
    assert store.wait_for(lambda: store.get("Model", "a"), timeout=10) == {"Status": "Ready"}
    assert store.wait_for(lambda: store.get("Model", "b"), timeout=0.01) is None
