"""Unpacking a model.tar.gz that somebody else made."""

import io
import tarfile

import pytest

from localaws.sagemaker.artifacts import ArtifactError, unpack


def archive(*members: tarfile.TarInfo | tuple[str, bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    buffer.seek(0)
    return buffer


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_a_model_is_unpacked_with_its_folders(tmp_path):
    unpack(archive(("model.pt", b"weights"), ("code/inference.py", b"pass")), tmp_path / "m", source="x")

    assert (tmp_path / "m" / "code" / "inference.py").read_bytes() == b"pass"


@pytest.mark.parametrize(
    ("member", "named"),
    [
        (("../escaped", b"x"), "escaped"),
        (("a/../../escaped", b"x"), "escaped"),
        (special("out", tarfile.SYMTYPE, "/etc"), "out"),
        (special("out", tarfile.SYMTYPE, "../../elsewhere"), "out"),
        (special("out", tarfile.LNKTYPE, "../elsewhere"), "out"),
        (special("device", tarfile.CHRTYPE), "device"),
        (special("pipe", tarfile.FIFOTYPE), "pipe"),
    ],
)
def test_a_member_that_leads_out_is_refused_and_named(tmp_path, member, named):
    with pytest.raises(ArtifactError, match=named):
        unpack(archive(member), tmp_path / "in" / "m", source="s3://b/model.tar.gz")

    assert not (tmp_path / "in" / "escaped").exists()
    assert not (tmp_path / "escaped").exists()


def flipped(content: bytes, place: int) -> bytes:
    spoilt = bytearray(content)
    spoilt[place] ^= 1
    return bytes(spoilt)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"no gzip", id="no-gzip"),
        pytest.param(archive(("a", bytes(100_000))).getvalue()[:60], id="half-an-archive"),
        pytest.param(flipped(archive(("a", bytes(1000))).getvalue(), -6), id="wrong-checksum"),
        pytest.param(flipped(archive(("a", b"weights")).getvalue(), 20), id="damaged-content"),
    ],
)
def test_what_is_no_archive_is_refused(tmp_path, content):
    with pytest.raises(ArtifactError, match=r"s3://b/m is not a model\.tar\.gz"):
        unpack(io.BytesIO(content), tmp_path / "m", source="s3://b/m")
