"""The pipeline's parameters: what may change from execution to execution, without a new definition."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from sagemaker.core.workflow.parameters import Parameter, ParameterFloat, ParameterInteger, ParameterString

if TYPE_CHECKING:
    from pipeline.settings import Settings

# A customer metadata value has one character at least, so "not given" needs a word.
UNSPECIFIED = "unspecified"


@dataclass(frozen=True)
class Parameters:
    """Each field becomes a parameter of the definition, with its default from the settings."""

    data_source: ParameterString
    accuracy_threshold: ParameterFloat
    max_accuracy_drop: ParameterFloat
    processing_instance_type: ParameterString
    training_instance_type: ParameterString
    epochs: ParameterInteger
    learning_rate: ParameterFloat
    batch_size: ParameterInteger
    weight_decay: ParameterFloat
    model_approval_status: ParameterString
    code_revision: ParameterString

    def as_list(self, tuned: Collection[str] = ()) -> list[Parameter]:
        """All but the hyperparameters that a tuning job chooses."""
        return [getattr(self, field.name) for field in fields(self) if field.name not in tuned]


def get_parameters(settings: Settings) -> Parameters:
    return Parameters(
        data_source=ParameterString("DataSource", default_value=settings.data_source),
        accuracy_threshold=ParameterFloat("AccuracyThreshold", default_value=settings.accuracy_threshold),
        max_accuracy_drop=ParameterFloat("MaxAccuracyDrop", default_value=settings.max_accuracy_drop),
        processing_instance_type=ParameterString(
            "ProcessingInstanceType", default_value=settings.processing_instance_type
        ),
        training_instance_type=ParameterString(
            "TrainingInstanceType", default_value=settings.training_instance_type
        ),
        epochs=ParameterInteger("Epochs", default_value=settings.epochs),
        learning_rate=ParameterFloat("LearningRate", default_value=settings.learning_rate),
        batch_size=ParameterInteger("BatchSize", default_value=settings.batch_size),
        weight_decay=ParameterFloat("WeightDecay", default_value=settings.weight_decay),
        model_approval_status=ParameterString(
            "ModelApprovalStatus",
            default_value="PendingManualApproval",
            enum_values=["PendingManualApproval", "Approved", "Rejected"],
        ),
        # The git commit. It goes to the registered package only: a job that carried it would not be cached.
        code_revision=ParameterString("CodeRevision", default_value=UNSPECIFIED),
    )
