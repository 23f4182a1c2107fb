"""The SageMaker SDK's own training request, with its driver scripts, runs as it is."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.functional.jobs import IMAGE, ROLE
from tests.functional.test_training_jobs import log_text, members

SCRIPT = """
import argparse, os
parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int)
epochs = parser.parse_args().epochs
print("channel:", os.listdir(os.environ["SM_CHANNEL_TRAIN"]))
if epochs < 1:
    raise ValueError(f"epochs must be at least 1, not {epochs}")
print(f"score={epochs};")
open(os.path.join(os.environ["SM_MODEL_DIR"], "model.txt"), "w").write(str(epochs))
"""


@pytest.fixture
def trainer(client: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    from sagemaker.core.helper.session_helper import Session
    from sagemaker.core.training.configs import Compute, OutputDataConfig, SourceCode
    from sagemaker.train import ModelTrainer

    bucket = f"sdk-{uuid.uuid4().hex[:8]}"
    client("s3").create_bucket(Bucket=bucket)
    client("s3").put_object(Bucket=bucket, Key="data/train/1.png", Body=b"pixels")
    (tmp_path / "train.py").write_text(SCRIPT)

    def trainer(epochs: int) -> tuple[Any, str]:
        made = ModelTrainer(
            training_image=IMAGE,
            role=ROLE,
            sagemaker_session=Session(default_bucket=bucket),
            base_job_name=f"sdk-{uuid.uuid4().hex[:6]}",
            source_code=SourceCode(source_dir=str(tmp_path), entry_script="train.py"),
            compute=Compute(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=1),
            hyperparameters={"epochs": epochs},
            output_data_config=OutputDataConfig(s3_output_path=f"s3://{bucket}/out"),
        )
        return made, f"s3://{bucket}/data/train/"

    return trainer


def fit(trainer: Any, data: str) -> None:
    from sagemaker.core.training.configs import InputData

    trainer.train(
        input_data_config=[InputData(channel_name="train", data_source=data)], wait=True, logs=False
    )


def test_a_model_trainer_trains(client: Callable[..., Any], trainer: Callable[..., Any]) -> None:
    made, data = trainer(2)
    fit(made, data)
    job = made._latest_training_job.refresh()
    assert job.training_job_status == "Completed"
    assert members(client, job.model_artifacts.s3_model_artifacts) == {"model.txt": b"2"}
    assert "channel: ['1.png']" in log_text(client, job.training_job_name)


def test_a_model_trainer_shows_the_scripts_own_error(trainer: Callable[..., Any]) -> None:
    from sagemaker.core.utils.exceptions import FailedStatusError

    made, data = trainer(0)
    with pytest.raises(FailedStatusError, match="ValueError: epochs must be at least 1, not 0"):
        fit(made, data)


def test_a_tuner_finds_the_best_job(client: Callable[..., Any], trainer: Callable[..., Any]) -> None:
    from sagemaker.core.parameter import IntegerParameter
    from sagemaker.train.tuner import HyperparameterTuner

    made, data = trainer(1)
    tuner = HyperparameterTuner(
        made,
        objective_metric_name="score",
        hyperparameter_ranges={"epochs": IntegerParameter(1, 50)},
        metric_definitions=[{"Name": "score", "Regex": "score=([0-9.]+);"}],
        max_jobs=2,
        max_parallel_jobs=2,
    )
    tuner.tune(inputs={"train": data}, wait=True)
    best = client("sagemaker").describe_training_job(TrainingJobName=tuner.best_training_job())
    epochs = best["HyperParameters"]["epochs"]
    assert members(client, best["ModelArtifacts"]["S3ModelArtifacts"]) == {"model.txt": epochs.encode()}
    tried = client("sagemaker").list_training_jobs_for_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=best["TuningJobArn"].rpartition("/")[2]
    )["TrainingJobSummaries"]
    assert int(epochs) == max(int(each["TunedHyperParameters"]["epochs"]) for each in tried)
