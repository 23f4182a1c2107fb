"""Job code under its content's name."""

import io
import tarfile

import pytest

from pipeline.code import Code, CodeError, processing_code, read_code, tar_gz, training_code


class Bucket:
    """S3 as far as uploads go: it holds objects and counts what was put."""

    def __init__(self, client):
        self.objects, self.exceptions, self._client = {}, client.exceptions, client

    def head_object(self, Bucket, Key):  # noqa: N803 - boto3's spelling
        if (Bucket, Key) not in self.objects:
            raise self.exceptions.ClientError(
                {"Error": {"Code": "404", "Message": "Not Found"}}, "HeadObject"
            )

    def put_object(self, Bucket, Key, Body):  # noqa: N803
        self.objects[Bucket, Key] = Body


@pytest.fixture
def bucket(clients):
    return Bucket(clients("s3"))


def tree(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def test_digest_depends_on_names_and_contents_only(tmp_path):
    one = read_code(tree(tmp_path / "one", {"b.py": "B", "a.py": "A"}), "x")
    two = read_code(tree(tmp_path / "two", {"a.py": "A", "b.py": "B"}), "x")
    renamed = read_code(tree(tmp_path / "three", {"a.py": "A", "c.py": "B"}), "x")
    edited = read_code(tree(tmp_path / "four", {"a.py": "A", "b.py": "C"}), "x")
    assert one.digest == two.digest
    assert len({one.digest, renamed.digest, edited.digest}) == 3


def test_border_between_files_counts():
    assert Code("x", {"a": b"12", "b": b""}).digest != Code("x", {"a": b"1", "b": b"2"}).digest


def test_leaves_out_what_is_no_source(tmp_path):
    files = {
        "a.py": "",
        "requirements.txt": "",
        "__pycache__/a.py": "",
        ".git/b.py": "",
        "notes.md": "",
        "sub/c.py": "",
    }
    assert list(read_code(tree(tmp_path, files), "x").files) == ["a.py", "requirements.txt", "sub/c.py"]


def test_empty_folder_is_refused(tmp_path):
    with pytest.raises(CodeError, match="holds no Python files"):
        read_code(tmp_path, "x")


def test_archive_is_the_same_twice_and_anonymous():
    archive = tar_gz({"b.py": b"B", "a.py": b"A"})
    assert archive == tar_gz({"a.py": b"A", "b.py": b"B"})
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        members = tar.getmembers()
        assert [(m.name, m.mtime, m.uid, m.uname, m.mode) for m in members] == [
            ("a.py", 0, 0, "", 0o644),
            ("b.py", 0, 0, "", 0o644),
        ]
        assert tar.extractfile("b.py").read() == b"B"


def test_real_code_is_shipped(settings):
    processing, training = processing_code(), training_code()
    assert "train.py" in training.files
    assert "inference.py" in training.files
    assert processing.uri(settings).endswith(f"/code/processing/{processing.digest}/")
    assert training.uri(settings).endswith(f"/code/training/{training.digest}/sourcedir.tar.gz")


@pytest.mark.parametrize(("archive", "names"), [(False, ["a.py", "b.py"]), (True, ["sourcedir.tar.gz"])])
def test_uploads_once(bucket, settings, archive, names):
    code = Code("x", {"a.py": b"A", "b.py": b"B"}, archive)
    uploaded = code.upload(bucket, settings)
    assert uploaded == [f"s3://{settings.bucket}/scones/code/x/{code.digest}/{name}" for name in names]
    assert code.upload(bucket, settings) == []


def test_finishes_an_upload_that_was_cut(bucket, settings):
    code = Code("x", {"a.py": b"A", "b.py": b"B"})
    code.upload(bucket, settings)
    key = (settings.bucket, f"scones/code/x/{code.digest}/b.py")
    del bucket.objects[key]
    assert len(code.upload(bucket, settings)) == 1
    assert bucket.objects[key] == b"B"
