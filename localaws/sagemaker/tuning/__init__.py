"""Hyperparameter tuning jobs: searches that run training jobs, as SageMaker's automatic model tuning does."""
