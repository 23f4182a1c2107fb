"""What a tuning job's document says of its search, and of the training jobs that it is to run."""

from __future__ import annotations

from localaws.documents import Document
from localaws.sagemaker.transfers import parse_uri
from localaws.sagemaker.tuning import trials
from localaws.sagemaker.tuning.search import Search, grid_size, read_space

KIND = "HyperParameterTuningJob"
# SageMaker tells each training job by this hyperparameter what is tuned.
OBJECTIVE = "_tuning_objective_metric"
_SAME = (
    "AlgorithmSpecification",
    "RoleArn",
    "InputDataConfig",
    "VpcConfig",
    "OutputDataConfig",
    "StoppingCondition",
    "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
    "RetryStrategy",
    "Environment",
)


def budget(config: Document) -> int:
    """How many training jobs it may run."""
    limit = config["ResourceLimits"].get("MaxNumberOfTrainingJobs")
    return limit or grid_size(read_space(config["ParameterRanges"]))


def search_of(document: Document) -> Search:
    config = document["HyperParameterTuningJobConfig"]
    return Search(
        strategy=config["Strategy"],
        space=read_space(config["ParameterRanges"]),
        seed=document["_Seed"],
        maximize=trials.maximizes(document),
        budget=document["_Budget"],
    )


def training_request(document: Document, name: str, tuned: dict[str, str]) -> Document:
    """The CreateTrainingJob request with these hyperparameters beside the static ones."""
    definition = document["TrainingJobDefinition"]
    request = {member: definition[member] for member in _SAME if definition.get(member) is not None}
    static = definition.get("StaticHyperParameters") or {}
    request["TrainingJobName"] = name
    request["HyperParameters"] = {**static, **tuned}
    request["ResourceConfig"] = definition.get("ResourceConfig") or _resources(
        definition["HyperParameterTuningResourceConfig"]
    )
    checkpoints = definition.get("CheckpointConfig")
    if checkpoints:  # each job keeps its own: one must not go on from another's
        place = parse_uri(checkpoints["S3Uri"]).join(name)
        request["CheckpointConfig"] = checkpoints | {"S3Uri": str(place)}
    return request


def _resources(given: Document) -> Document:
    """The instances to run on; of several configurations, the first."""
    instances = (given.get("InstanceConfigs") or [given])[0]
    members = ("InstanceType", "InstanceCount", "VolumeSizeInGB")
    key = {"VolumeKmsKeyId": given["VolumeKmsKeyId"]} if given.get("VolumeKmsKeyId") else {}
    return {member: instances[member] for member in members if member in instances} | key
