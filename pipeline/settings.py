"""What the workflow is called, where it runs and how strict it is: one frozen object, validated once."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic_settings
from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from monitoring.limits import Feature, Limits
from pipeline import algorithms
from pipeline.hosting import DEFAULTS, Hosting, KeyArn, ScheduledCapacity
from pipeline.numeric import Integer, Number
from pipeline.search import Tuning, switch
from processing.cifar100 import plain_name
from processing.layout import CLASS_NAME
from training.recipe import PRESETS, Recipe

PREFIX = "SCONES_"
CONFIG_VARIABLE = "SCONES_CONFIG"
CONFIG_FILE = "scones.toml"
LONGEST_SHOWN = 200  # of a wrong value, in the sentence about it

# The account that the local AWS plays, and names in it that need no set-up.
LOCAL_ACCOUNT = "123456789012"
LOCAL_BUCKET = "scones-local"
# Of the foundation stack's roles, by the settings' names.
ROLES = {
    "role_arn": "pipeline",
    "processing_role_arn": "processing",
    "training_role_arn": "training",
    "model_role_arn": "model",
}

# What training and monitoring do by default is written down once, with them.
RECIPE = Recipe()
LIMITS = Limits()

# Settings that are tables themselves, by their keys.
TABLES: dict[str, type[BaseModel]] = {
    "environments": Hosting,
    "schedule": ScheduledCapacity,
    "tuning": Tuning,
}

# Variables of other parts, which are no settings of the workflow.
OTHER_VARIABLES = {
    CONFIG_VARIABLE,
    "SCONES_CACHE_DIR",
    "SCONES_CALL_LOG",
    "SCONES_MIRROR",
    "SCONES_MODEL_SERVERS",
    "SCONES_STACK",
}


class SettingsError(Exception):
    """A setting that is missing, unknown or of the wrong type. The message names its key."""


def _comma_separated(value: Any) -> Any:
    """In variables a list is written with commas: SCONES_CLASSES=bicycle,motorcycle."""
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


def _class_names(value: Any) -> Any:
    """`Cargo Bike`, as a folder may be called, is the class cargo_bike."""
    names = _comma_separated(value)
    if not isinstance(names, (list, tuple)):
        return names
    return tuple(plain_name(name) if isinstance(name, str) else name for name in names)


# Patterns of SageMaker's EntityName and PipelineName, S3's bucket names, and CreateRole's ARN.
Name = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9])*$", max_length=63)]
# An endpoint's name has 63 characters at most, of which 21 are kept for what makes it unique.
EndpointPrefix = Annotated[Name, StringConstraints(max_length=42)]
Bucket = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
RoleArn = Annotated[str, StringConstraints(pattern=r"^arn:aws[a-z\-]*:iam::\d{12}:role/?[\w+=,.@\-/]+$")]
SubnetId = Annotated[str, StringConstraints(pattern=r"^subnet-[0-9a-f]+$")]
SecurityGroupId = Annotated[str, StringConstraints(pattern=r"^sg-[0-9a-f]+$")]
InstanceType = Annotated[str, StringConstraints(pattern=r"^ml\.[a-z0-9\-]+\.[a-z0-9]+$")]
# https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_Repository.html
_NAME = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"  # a part of a repository's name
ImageUri = Annotated[
    str,
    StringConstraints(
        pattern=rf"^\d{{12}}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/{_NAME}(/{_NAME})*(:[\w.-]+|@sha256:[0-9a-f]{{64}})$",
        max_length=255,
    ),
]
DataSource = Annotated[str, StringConstraints(pattern=r"^(cifar100|(https?|s3)://\S+)$", max_length=256)]
ClassName = Annotated[str, StringConstraints(pattern=f"^{CLASS_NAME}$")]


# Of a processing job's argument, and of a value of CustomerMetadataProperties.
LONGEST_CLASSES = 256


class Settings(BaseSettings):
    """Every knob of the workflow, from `SCONES_*` variables over `scones.toml` over the defaults here."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True, validate_default=False
    )

    target: Literal["local", "aws"] = "local"
    environment: Name = "dev"
    state_dir: Path = Path(".scones")

    region: Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")] = "us-east-1"
    bucket: Bucket = ""
    prefix: Annotated[str, StringConstraints(pattern=r"^[\w.-]+(/[\w.-]+)*$")] = "scones"
    role_arn: RoleArn = ""
    processing_role_arn: RoleArn = ""
    training_role_arn: RoleArn = ""
    model_role_arn: RoleArn = ""
    customer_key: bool = False
    kms_key_arn: KeyArn = ""
    subnet_ids: Annotated[tuple[SubnetId, ...], NoDecode, BeforeValidator(_comma_separated)] = ()
    security_group_ids: Annotated[
        tuple[SecurityGroupId, ...], NoDecode, BeforeValidator(_comma_separated), Field(max_length=5)
    ] = ()
    network_isolation: bool = False
    github_repository: Annotated[str, StringConstraints(pattern=r"^[\w.-]+/[\w.-]+$")] = ""
    github_provider_arn: Annotated[
        str, StringConstraints(pattern=r"^arn:aws[a-z\-]*:iam::\d{12}:oidc-provider/\S+$")
    ] = ""
    notification_email: Annotated[str, StringConstraints(pattern=r"^\S+@\S+$")] = ""
    approval_target_arn: Annotated[
        str, StringConstraints(pattern=r"^arn:aws[a-z\-]*:states:[a-z0-9-]+:\d{12}:stateMachine:\S+$")
    ] = ""
    log_retention_days: Annotated[Integer, Field(ge=1, le=3_653)] = 30

    pipeline_name: Name = "scones"
    model_package_group: Name = "scones"
    endpoint_name_prefix: EndpointPrefix = "scones"

    classes: Annotated[
        tuple[ClassName, ...], NoDecode, BeforeValidator(_class_names), Field(min_length=2)
    ] = ("bicycle", "motorcycle")
    data_source: DataSource = "cifar100"
    image_size: Annotated[Integer, Field(ge=9, le=512)] = 32  # from what the network's three stages can halve

    accuracy_threshold: Annotated[Number, Field(ge=0, le=1)] = 0.85
    # How much less accurate than the approved model, on the same images, a new one may be; 1 lets any pass.
    max_accuracy_drop: Annotated[Number, Field(ge=0, le=1)] = 1.0
    # Unset, it is the one that the deployed model's calibration recommends; see `thresholds`.
    confidence_threshold: Annotated[Number, Field(ge=0, le=1)] | None = None
    # What counts as drift of an endpoint's records from its model's baseline; see `monitoring.limits`.
    drift_psi: Annotated[Number, Field(gt=0, le=100)] = LIMITS.psi
    drift_features: Annotated[tuple[Feature, ...], NoDecode, BeforeValidator(_comma_separated)] = (
        LIMITS.features
    )
    # Whether an image under the threshold waits for a person. A queue keeps messages for 14 days at most.
    review: bool = False
    review_timeout_seconds: Annotated[Integer, Field(ge=1, le=1_209_600)] = 259_200
    review_heartbeat_seconds: Annotated[Integer, Field(ge=1, le=1_209_600)] = 86_400

    processing_instance_type: InstanceType = "ml.m5.large"
    training_instance_type: InstanceType = "ml.m5.xlarge"
    endpoint_instance_type: InstanceType = "ml.m5.large"
    # How each environment's endpoint is hosted; see `hosting`.
    environments: dict[Name, Hosting] = Field(default_factory=dict)
    volume_size_gb: Annotated[Integer, Field(ge=1, le=16_384)] = 30
    processing_timeout_seconds: Annotated[Integer, Field(ge=1, le=604_800)] = 3_600
    training_timeout_seconds: Annotated[Integer, Field(ge=1, le=2_419_200)] = 7_200
    # Whether training takes instances that AWS may take back, and how long beside its time it waits for them.
    spot: bool = False
    spot_wait_seconds: Annotated[Integer, Field(ge=0, le=604_800)] = 3_600
    # An ISO 8601 duration: how old a step's result may be to be used again.
    cache_expire_after: Annotated[str, StringConstraints(pattern=r"^P\d+D$|^PT\d+[HM]$")] = "P30D"

    algorithm: algorithms.Name = algorithms.PYTORCH
    # One's own images: by SageMaker's container contract with the algorithm custom, else for AWS's PyTorch.
    training_image_uri: ImageUri = ""
    inference_image_uri: ImageUri = ""
    # More of them, or others than those that the algorithm gets by default.
    hyperparameters: Annotated[dict[str, str], NoDecode, BeforeValidator(algorithms.texts)] = Field(
        default_factory=dict
    )
    preset: Literal[*PRESETS] = "default"  # type: ignore[valid-type]
    epochs: Annotated[Integer, Field(ge=1, le=10_000)] = RECIPE.epochs
    learning_rate: Annotated[Number, Field(gt=0, le=10)] = RECIPE.learning_rate
    batch_size: Annotated[Integer, Field(ge=2, le=65_536)] = RECIPE.batch_size
    weight_decay: Annotated[Number, Field(ge=0, le=10)] = RECIPE.weight_decay
    width: Annotated[Integer, Field(ge=1, le=1_024)] = RECIPE.width
    augmentation: Annotated[Number, Field(ge=0, le=4)] = RECIPE.augmentation
    seed: Annotated[Integer, Field(ge=0)] = RECIPE.seed
    # A tuning job in place of the one training job.
    tuning: Annotated[Tuning | None, BeforeValidator(switch)] = None
    # Whether the network learns the archive's other classes first.
    pretrain: bool = False

    @model_validator(mode="before")
    @classmethod
    def _dependent_defaults(cls, values: Any) -> Any:
        """The local AWS needs no set-up, so its bucket and roles have names; on AWS the foundation has them.

        An algorithm has its own instance type and hyperparameters. A preset's hyperparameters that are
        settings are theirs too: each reaches the job by its own name.
        """
        if not isinstance(values, dict):
            return values
        local = values.get("target", "local") == "local"
        names = _local_names(values) if local else {}
        preset = PRESETS.get(str(values.get("preset", "default")), {})
        names |= algorithms.DEFAULTS.get(str(values.get("algorithm")), {})
        return names | {key: preset[key] for key in preset.keys() & cls.model_fields.keys()} | values

    @classmethod
    def checked(cls, key: str, value: Any) -> Any:
        """The value as the setting would have it, whatever the others are; as it is where there is none.

        Raises ValueError, with what is wrong about it.
        """
        if key not in cls.model_fields:
            return value
        field = cls.model_fields[key]
        kind: Any = Annotated[field.annotation, *field.metadata]
        try:
            return TypeAdapter(kind).validate_python(value)
        except ValidationError as error:
            raise ValueError(_message(error.errors()[0])) from None

    @model_validator(mode="after")
    def _complete(self) -> Settings:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes: a class is named twice")
        if len(",".join(self.classes)) > LONGEST_CLASSES:
            raise ValueError(
                f"classes: their names have {len(','.join(self.classes))} characters with commas; a job's "
                f"argument and a package's metadata take {LONGEST_CLASSES}"
            )
        algorithms.check(self)
        if self.review and self.review_heartbeat_seconds >= self.review_timeout_seconds:
            raise ValueError(
                f"review_heartbeat_seconds ({self.review_heartbeat_seconds:,}) must be less than "
                f"review_timeout_seconds ({self.review_timeout_seconds:,})"
            )
        if bool(self.subnet_ids) != bool(self.security_group_ids):
            raise ValueError("subnet_ids and security_group_ids: a VPC needs both, or neither")
        return self

    def role(self, kind: Literal["processing", "training", "model"]) -> str:
        """The role that jobs, or models, of this kind take on; the one role where only one is set."""
        named: str = getattr(self, f"{kind}_role_arn")
        return named or self.role_arn

    def s3_uri(self, *parts: str) -> str:
        """`s3_uri("code", "x")` is `s3://<bucket>/<prefix>/code/x`."""
        return "s3://" + "/".join((self.bucket, self.prefix, *parts))

    @property
    def hosting(self) -> Hosting:
        """How the environment's endpoint is hosted."""
        return self.environments.get(self.environment) or DEFAULTS.get(self.environment) or Hosting()

    @property
    def endpoint_key_arn(self) -> str:
        """Of the KMS key for the environment's endpoints and captures; empty for none."""
        return self.hosting.kms_key or self.kms_key_arn

    @property
    def model_network(self) -> dict[str, Any]:
        """What CreateModel takes of the VPC and of isolation: no model package has them."""
        vpc = {"Subnets": list(self.subnet_ids), "SecurityGroupIds": list(self.security_group_ids)}
        return {"EnableNetworkIsolation": self.network_isolation} | (
            {"VpcConfig": vpc} if self.subnet_ids else {}
        )

    @property
    def poll_seconds(self) -> float:
        """How long to wait between looks at something that changes. AWS counts and limits requests."""
        return 0.5 if self.target == "local" else 5.0

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class calls it by this name
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """An option on the command line, then the environment, then the file."""
        path = config_file(os.environ)
        toml = (TomlConfigSettingsSource(settings_cls, path),) if path else ()
        return (init_settings, env_settings, *toml)


def config_file(environment: Mapping[str, str]) -> Path | None:
    """The file that SCONES_CONFIG names, which must exist, or `scones.toml` here if there is one."""
    named = environment.get(CONFIG_VARIABLE)
    if named:
        if not Path(named).is_file():
            raise SettingsError(f"{CONFIG_VARIABLE} names {named}, which is no file")
        return Path(named)
    return Path(CONFIG_FILE) if Path(CONFIG_FILE).is_file() else None


def load(*, complete: bool = True, **options: Any) -> Settings:
    """The settings, with `options` (those that are not None) over all else.

    Args:
        complete: whether bucket and role have to be set; those that are not can come from the foundation.

    Raises:
        SettingsError: naming the key and where it was set.
    """
    given = {key: value for key, value in options.items() if value is not None}
    _refuse_unknown_variables(os.environ)
    try:
        settings = Settings(**given)
    except ValidationError as error:
        raise SettingsError(_sentence(error, given)) from None
    except pydantic_settings.SettingsError as error:
        key = re.search(r'field "(\w+)"', str(error))
        variable = PREFIX + key[1].upper() if key else "a variable"
        raise SettingsError(f"{variable} is a table, to be written as JSON: {error.__cause__}") from None
    except UnicodeDecodeError:  # TOML 1.0: a file must be valid UTF-8
        raise SettingsError(f"{config_file(os.environ)} is not TOML: it is no UTF-8 text") from None
    except ValueError as error:  # TOMLDecodeError, or Python's own of a number that is too long
        raise SettingsError(f"{config_file(os.environ)} is not TOML: {error}") from None
    except RecursionError:
        raise SettingsError("the settings, in a variable or a file, are nested too deeply") from None
    if complete:
        require_complete(settings)
    return settings


def require_complete(settings: Settings) -> None:
    """Raises SettingsError when the bucket or the role is not known."""
    hints = {"bucket": "the bucket for data and models", "role_arn": "the execution role's ARN"}
    for key, meaning in hints.items():
        if not getattr(settings, key):
            raise SettingsError(
                f"{key} is not set: target {settings.target} needs {meaning}. Run `scones foundation "
                f"deploy`, which makes it, or set {PREFIX}{key.upper()} or {key} in {CONFIG_FILE}"
            )


def _local_names(values: Mapping[str, Any]) -> dict[str, str]:
    """What the foundation stack calls the bucket and the roles of the local AWS."""
    if "role_arn" in values:
        return {"bucket": LOCAL_BUCKET}
    prefix = values.get("endpoint_name_prefix", "scones")
    return {"bucket": LOCAL_BUCKET} | {
        key: f"arn:aws:iam::{LOCAL_ACCOUNT}:role/{prefix}-{name}" for key, name in ROLES.items()
    }


def _refuse_unknown_variables(environment: Mapping[str, str]) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for variable in sorted(environment):
        if variable.upper().startswith(PREFIX) and variable.upper() not in known | OTHER_VARIABLES:
            raise SettingsError(f"{variable} is no setting; {_known(variable, known)}")


def _known(key: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(known))}"


def _message(first: Mapping[str, Any]) -> str:
    """What pydantic says of a problem, to go on in a sentence with."""
    text = re.sub(r"^Value error, ", "", first["msg"])
    return text[:1].lower() + text[1:]


def _sentence(error: ValidationError, given: Mapping[str, Any]) -> str:
    """The first problem in one sentence: which key, where it was set, what is wrong with it."""
    first = error.errors()[0]
    message = _message(first)
    if not first["loc"]:
        return message
    # Of a list of plain values the value is shown, which says more than its place.
    loc = first["loc"][:-1] if isinstance(first["loc"][-1], int) else first["loc"]
    keys = [str(part) for part in loc]
    path, within = ".".join(keys), ".".join(keys[1:])  # environments.prod.kms_key, prod.kms_key
    variable = PREFIX + keys[0].upper()
    if keys[0] in given:
        where = f"--{keys[0].replace('_', '-')}"
    elif os.environ.get(variable):
        where = variable
    else:
        where, within = f"{path} in {config_file(os.environ)}", ""
    where = f"{within} in {where}" if within else where
    if first["type"] == "extra_forbidden":
        table = next((TABLES[part] for part in reversed(keys[:-1]) if part in TABLES), Settings)
        return f"{where} is no setting; {_known(keys[-1], table.model_fields)}"
    given_as = repr(first["input"])
    shown = given_as if len(given_as) <= LONGEST_SHOWN else f"{given_as[:LONGEST_SHOWN]}…"
    return f"{where}: {message} (it is {shown})"
