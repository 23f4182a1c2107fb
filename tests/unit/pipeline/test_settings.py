"""One settings object: from variables over a file over defaults, and what it refuses."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline import foundation
from pipeline.settings import LOCAL_BUCKET, SettingsError, load
from training.recipe import PRESETS

ROLE = "arn:aws:iam::210987654321:role/pipeline"


def write(tmp_path, text):
    (tmp_path / "scones.toml").write_text(text)


def test_local_needs_no_setup():
    settings = load()
    assert (settings.target, settings.bucket) == ("local", LOCAL_BUCKET)
    assert settings.role_arn.startswith("arn:aws:iam::123456789012:role/")
    assert settings.classes == ("bicycle", "motorcycle")


def test_is_frozen(settings):
    with pytest.raises(ValidationError, match="frozen"):
        settings.epochs = 3


def test_variable_over_file_over_default(monkeypatch, tmp_path):
    write(tmp_path, 'epochs = 7\nbatch_size = 20\nclasses = ["bus", "train"]\n')
    monkeypatch.setenv("SCONES_EPOCHS", "9")
    settings = load()
    assert (settings.epochs, settings.batch_size, settings.classes) == (9, 20, ("bus", "train"))
    assert settings.learning_rate == load().learning_rate


def test_option_over_variable(monkeypatch):
    monkeypatch.setenv("SCONES_EPOCHS", "9")
    assert load(epochs=3, target=None).epochs == 3


def test_file_by_name(monkeypatch, tmp_path):
    (tmp_path / "other.toml").write_text('pipeline_name = "mine"')
    monkeypatch.setenv("SCONES_CONFIG", str(tmp_path / "other.toml"))
    assert load().pipeline_name == "mine"


def test_file_by_name_must_exist(monkeypatch):
    monkeypatch.setenv("SCONES_CONFIG", "nowhere.toml")
    with pytest.raises(SettingsError, match=r"SCONES_CONFIG names nowhere\.toml"):
        load()


def test_classes_from_a_variable(monkeypatch):
    monkeypatch.setenv("SCONES_CLASSES", "pickup_truck, bus")
    assert load().classes == ("pickup_truck", "bus")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SCONES_EPOCHS", "ten"),
        ("SCONES_EPOCHS", "1.5"),
        ("SCONES_EPOCHS", "0"),
        ("SCONES_TARGET", "gcp"),
        ("SCONES_BUCKET", "Not_A_Bucket"),
        ("SCONES_ROLE_ARN", "role"),
        ("SCONES_CLASSES", "bicycle"),
        ("SCONES_CONFIDENCE_THRESHOLD", "1.1"),
        ("SCONES_DATA_SOURCE", "/etc/passwd"),
        ("SCONES_TRAINING_INSTANCE_TYPE", "m5.large"),
        ("SCONES_ENDPOINT_NAME_PREFIX", "x" * 43),
        ("SCONES_CACHE_EXPIRE_AFTER", "a month"),
        ("SCONES_REGION", "here"),
    ],
)
def test_wrong_variable_is_named(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=f"^{variable}: "):
        load()


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("epochs = true", "epochs"),
        ('epochs = "ten"', "epochs"),
        ("learning_rate = false", "learning_rate"),
        ("bucket = 5", "bucket"),
        ("classes = 3", "classes"),
        ("[epochs]\nvalue = 3", "epochs"),
    ],
)
def test_wrong_type_in_file_is_named(tmp_path, text, key):
    write(tmp_path, text)
    with pytest.raises(SettingsError, match=rf"^{key} in scones\.toml: "):
        load()


def test_unknown_variable_is_named_with_its_likeness(monkeypatch):
    monkeypatch.setenv("SCONES_EPOHCS", "3")
    with pytest.raises(SettingsError, match=r"^SCONES_EPOHCS is no setting; did you mean SCONES_EPOCHS\?$"):
        load()


def test_unknown_key_in_file_is_named(tmp_path):
    write(tmp_path, "colour = 1")
    with pytest.raises(SettingsError, match=r"^colour in scones\.toml is no setting; known are "):
        load()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[environments.prod]\nkms_kye = "x"', r"^environments\.prod\.kms_kye in .*did you mean kms_key\?$"),
        (
            '[[environments.prod.schedule]]\nat = "cron(a)"\nmin_instance = 2\nmax_instances = 2',
            r"^environments\.prod\.schedule\.0\.min_instances in scones\.toml: field required",
        ),
        ("[tuning]\nmax_jobs = true", r"^tuning\.max_jobs in scones\.toml: a number is wanted, not true"),
        ("[tuning.ranges]\nwidth = [true, 48]", r"^tuning\.ranges\.width in .* a number is wanted, not true"),
        ("[environments.prod]\nmax_instances = true", r"^environments\.prod\.max_instances in .* a number"),
        ("[tuning]\nmax_job = 3", r"^tuning\.max_job in scones\.toml is no .*did you mean max_jobs\?$"),
    ],
)
def test_a_key_of_a_table_is_named_whole(tmp_path, text, said):
    write(tmp_path, text)
    with pytest.raises(SettingsError, match=said):
        load()


def test_a_key_within_a_variable_is_named_with_it(monkeypatch):
    monkeypatch.setenv("SCONES_ENVIRONMENTS", '{"prod": {"traffic": "fast"}}')
    with pytest.raises(SettingsError, match=r"^prod\.traffic in SCONES_ENVIRONMENTS: "):
        load()


def test_a_key_that_is_none_is_named_plainly(monkeypatch):
    monkeypatch.setenv("SCONES_KMS_KEY_ARN", "alias/mine")
    with pytest.raises(SettingsError, match=r"^SCONES_KMS_KEY_ARN: "):
        load()
    monkeypatch.delenv("SCONES_KMS_KEY_ARN")
    assert load(environments={"dev": {"kms_key": ""}}).endpoint_key_arn == ""


def test_classes_may_be_written_as_their_folders():
    assert load(classes=["Cargo Bike", "delivery-van"]).classes == ("cargo_bike", "delivery_van")


def test_classes_that_no_job_could_be_told_are_an_error():
    with pytest.raises(SettingsError, match="classes: their names have 259 characters"):
        load(classes=[letter * 64 for letter in "abcd"])


def test_broken_file_is_named(tmp_path):
    write(tmp_path, "epochs = ")
    with pytest.raises(SettingsError, match=r"^scones\.toml is not TOML: "):
        load()


def test_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "scones.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"^scones\.toml is not TOML: it is no UTF-8 text$"):
        load()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('preset = ["fast"]', r"preset in scones\.toml: input should be 'default' or 'fast'"),
        ("[preset]", r"preset in scones\.toml: input should be 'default' or 'fast'"),
        (f"epochs = {'9' * 5000}", r"scones\.toml is not TOML: "),
        (f"classes = {'[' * 3000}", "nested too deeply"),
    ],
    ids=["a list", "a table", "a long number", "a deep list"],
)
def test_whatever_the_file_holds_is_an_error_in_words(tmp_path, text, said):
    write(tmp_path, text)
    with pytest.raises(SettingsError, match=said):
        load()


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("SCONES_ENVIRONMENTS", "{bad", "SCONES_ENVIRONMENTS is a table, to be written as JSON: Expecting"),
        ("SCONES_HYPERPARAMETERS", "[" * 5000, "SCONES_HYPERPARAMETERS: a JSON object is wanted"),
        ("SCONES_EPOCHS", "9" * 5000, "SCONES_EPOCHS: "),
    ],
)
def test_whatever_a_variable_holds_is_an_error_in_words(monkeypatch, variable, value, said):
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=f"^{said}") as caught:
        load()
    assert len(str(caught.value)) < 500


def test_class_named_twice(monkeypatch):
    monkeypatch.setenv("SCONES_CLASSES", "bus,bus")
    with pytest.raises(SettingsError, match="named twice"):
        load()


@pytest.mark.parametrize(
    ("given", "missing"),
    [({}, "bucket"), ({"bucket": "my-bucket"}, "role_arn"), ({"role_arn": ROLE}, "bucket")],
)
def test_aws_says_what_to_set(given, missing):
    with pytest.raises(SettingsError, match=f"^{missing} is not set: .*SCONES_{missing.upper()}"):
        load(target="aws", **given)


def test_aws_is_complete_with_bucket_and_role(monkeypatch):
    monkeypatch.setenv("SCONES_TARGET", "aws")
    settings = load(bucket="my-bucket", role_arn=ROLE)
    assert settings.s3_uri("code", "x") == "s3://my-bucket/scones/code/x"


def test_fast_preset_has_its_own_epochs(monkeypatch):
    assert load(preset="fast").epochs == PRESETS["fast"]["epochs"]
    monkeypatch.setenv("SCONES_EPOCHS", "3")
    assert load(preset="fast").epochs == 3


def test_every_setting_is_documented(settings):
    document = (Path(__file__).parents[3] / "docs" / "commands.md").read_text()
    for name in type(settings).model_fields:
        assert f"`{name}`" in document, name


@pytest.mark.parametrize(
    ("registry", "image", "arn"),
    [
        ("us-east-1.amazonaws.com", "vehicles:1.2", "arn:aws:ecr:us-east-1:123456789012:repository/vehicles"),
        (
            "cn-north-1.amazonaws.com.cn",
            f"a/b_c/d-e@sha256:{'0' * 64}",
            "arn:aws-cn:ecr:cn-north-1:123456789012:repository/a/b_c/d-e",
        ),
        (
            "us-gov-west-1.amazonaws.com",
            "a/b:c",
            "arn:aws-us-gov:ecr:us-gov-west-1:123456789012:repository/a/b",
        ),
    ],
)
def test_an_image_has_the_arn_of_its_repository(registry, image, arn):
    uri = f"123456789012.dkr.ecr.{registry}/{image}"
    assert load(training_image_uri=uri).training_image_uri == uri
    assert foundation.repository_arn(uri) == arn


def test_an_image_in_no_region_of_aws_is_an_error():
    with pytest.raises(SettingsError, match="in the region moon-1, which AWS has not"):
        foundation.repository_arn("123456789012.dkr.ecr.moon-1.amazonaws.com/a:1")
    assert foundation.repository_arn("") == ""


@pytest.mark.parametrize("name", ["a//b", "../a", "*", "a/*", "-a", "a/", "A"])
def test_an_image_of_no_repository_name_is_an_error(name):
    with pytest.raises(SettingsError, match="--training-image-uri"):
        load(training_image_uri=f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{name}:1")


@pytest.mark.parametrize(
    ("hosting", "says"),
    [
        (
            {"traffic": "linear", "min_instances": 2, "max_instances": 2, "baking_seconds": 3600},
            "10 steps of 3600",
        ),
        (
            {"schedule": [{"at": "cron(0 8 * * ? *)", "min_instances": 6, "max_instances": 3}]},
            "less than min_inst",
        ),
        ({"kms_key": "alias/mine"}, "kms_key in --environments"),
    ],
)
def test_what_aws_would_refuse_of_an_environment(hosting, says):
    with pytest.raises(SettingsError, match=says):
        load(environments={"prod": hosting})


@pytest.mark.parametrize(("traffic", "seconds"), [("all_at_once", 1800 + 2 * 60), ("canary", 1800 + 3 * 60)])
def test_a_deployment_may_take_all_that_is_waited_for(traffic, seconds):
    hosting = {"traffic": traffic, "min_instances": 2, "max_instances": 2, "baking_seconds": 60}
    assert load(environments={"dev": hosting}).hosting.deployment_seconds == seconds


def test_a_review_is_looked_at_before_its_time_is_over():
    with pytest.raises(SettingsError, match=r"review_heartbeat_seconds \(86,400\) must be less than"):
        load(review=True, review_timeout_seconds=3600)
    load(review_timeout_seconds=3600)  # nobody reviews


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"seed": 2**64}, "seed must be between 0 and 9223372036854775807"),
        ({"learning_rate": 1e-9}, "learning-rate must be between 1e-08 and 10"),
    ],
)
def test_what_the_training_script_would_refuse_is_refused_before_an_instance_is_paid_for(given, said):
    with pytest.raises(SettingsError, match=said):
        load(**given)
