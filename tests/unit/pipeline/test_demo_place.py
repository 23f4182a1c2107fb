"""The demo's folder: one demo in it, whatever the moment."""

import pytest

from pipeline.demo.place import DemoError, fresh_folder


def test_two_demos_do_not_share_a_folder(tmp_path):
    out = tmp_path / "out"
    with fresh_folder(out):
        (out / "summary.json").write_text("{}")
        with pytest.raises(DemoError, match="another demo runs in"), fresh_folder(out):
            pass
        assert (out / "summary.json").exists()
    with fresh_folder(out):
        assert not (out / "summary.json").exists()


def test_an_interrupted_demo_lets_go_of_its_folder(tmp_path, capsys):
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt), fresh_folder(out):
        raise KeyboardInterrupt
    assert not out.exists()
    out.mkdir()
    (out / "mine.txt").write_text("x")
    with pytest.raises(KeyboardInterrupt), fresh_folder(out):
        raise KeyboardInterrupt
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
