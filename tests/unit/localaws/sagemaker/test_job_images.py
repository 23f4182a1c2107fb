import sys

import pytest

from localaws.sagemaker.images import (
    REGISTRY,
    ImageRegistryError,
    UnknownImageError,
    find_image,
    repository,
)
from localaws.stack import Stack

AWS = "763104351884.dkr.ecr.us-east-1.amazonaws.com"


@pytest.fixture
def stack(tmp_path):
    return Stack(tmp_path, 1, None)


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        (f"{AWS}/pytorch-training:2.6.0-cpu-py312", "pytorch-training"),
        (f"{AWS}/team/own@sha256:{'0' * 64}", "team/own"),
        (f"{AWS}/own:1@sha256:{'0' * 64}", "own"),
        ("localhost:5000/own", "own"),
        ("team/own:latest", "team/own"),
        ("own", "own"),
    ],
)
def test_the_repository_of_a_uri(uri, name):
    assert repository(uri) == name


@pytest.mark.parametrize("name", ["pytorch-training", "sagemaker-scikit-learn"])
def test_training_images_run_script_mode(stack, name):
    image = find_image(stack, f"{AWS}/{name}:1")
    assert image.train[0] == sys.executable
    assert image.serve == ()


def test_a_users_own_image(stack):
    text = '["team/own"]\ntrain = ["python3", "t.py"]\nenvironment = { MODE = "small" }\n'
    (stack.root / REGISTRY).write_text(text)
    image = find_image(stack, f"{AWS}/team/own:3")
    assert (image.train, image.serve, image.environment) == (("python3", "t.py"), (), {"MODE": "small"})
    assert find_image(stack, f"{AWS}/pytorch-training:1").train


def test_an_unknown_image_is_named_with_what_is_known(stack):
    with pytest.raises(UnknownImageError, match=r"xgboost:1: .*'xgboost'.*pytorch-training.*images\.toml"):
        find_image(stack, f"{AWS}/xgboost:1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a", "is not TOML"),
        ("a = 1", r'\["a"\] may have train, serve, process and environment'),
        ("[a]\ntran = []", "may have"),
        ('[a]\ntrain = "python3 t.py"', "train of .* must be a list of strings"),
        ("[a.environment]\nN = 1", "environment of .* must be a table of strings"),
    ],
)
def test_a_wrong_registry_says_where(stack, text, message):
    (stack.root / REGISTRY).write_text(text)
    with pytest.raises(ImageRegistryError, match=message):
        find_image(stack, f"{AWS}/a:1")
