"""Installs the `scones` command and the packages behind it.

The base is what `scones --help` and the commands against AWS's plain APIs need;
the extras say what else a person's role needs.
"""

from pathlib import Path

from setuptools import find_packages, setup

PACKAGES = ["pipeline", "processing", "training", "lambdas", "workflows", "monitoring", "localaws"]

# What an operator of AWS needs. The SDK is pinned: v3 still moves its modules between minor releases.
AWS = [
    "sagemaker==3.27.0",
    "pillow>=11",
    "numpy>=2",
    "pandas>=2.2",
    "seaborn>=0.13",
    # Tests of drift; the SDK brings it in any case.
    "scipy>=1.13",
    # Asked for by the SDK, in any version; we use none. Later ones need an older botocore, which pip found
    # out anew at each installation, in a minute of trying.
    "s3fs<0.5",
]

# Pinned: a looser pin pulls a newer CUDA build of several gigabytes.
TORCH = "torch==2.13.0"

# What a picture of a model's reasons needs. captum is PyTorch's own library of attributions and asks for
# nothing more than is here anyway; below 1 its interfaces may still move.
EXPLAIN = [TORCH, "captum>=0.9,<1", "pillow>=11", "numpy>=2", "seaborn>=0.13"]

# What AWS on this machine needs on top.
LOCAL = [
    # Pinned: the gateway reaches into moto's backends, whose inner names change between releases.
    "moto[server]==5.2.5",
    # AWS's own Lambda runtime interface client: handlers run exactly as Lambda runs them.
    "awslambdaric>=4,<5",
    TORCH,
    # Bayesian search for tuning jobs: Parzen estimators on numpy alone, 47 MB in the process. Its Gaussian
    # process found as much in a test, for 300 MB more and five hundred times the time.
    "optuna>=4.5",
    # Gunzip at twice zlib's speed; `processing` falls back to zlib where it is missing.
    "isal>=1.7",
    "psutil>=6",
]

DEV = [
    "pytest>=8",
    "pytest-timeout>=2.3",
    # Much of the suite waits for processes; two workers take little more than half of its time.
    "pytest-xdist>=3.6",
    "hypothesis>=6.100",
    "ruff>=0.12",
    "mypy>=1.15",
    "pandas-stubs",
    "types-PyYAML",
    "nbclient>=0.10",
    "ipykernel>=6",
    "nbformat>=5.10",
    "pre-commit>=4",
    # What the templates are held to: the rules of CloudFormation and the States Language, IAM's actions.
    "cfn-lint>=1.40",
    "parliament>=1.6.4,<2",
    # parliament imports pkg_resources, which setuptools has dropped since.
    "setuptools>=77,<81",
    # The published JSON schema of GitHub's workflow files.
    "check-jsonschema>=0.33",
]

setup(
    name="scones",
    version="0.1.0",
    description="Train, gate, deploy and watch an image classifier on Amazon SageMaker, or on one machine.",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=[name + suffix for name in PACKAGES for suffix in ("", ".*")]),
    package_data={
        "workflows": ["*.json", "*.yaml"],
        "pipeline": ["*.json", "*.toml"],
        "localaws": ["sagemaker/*.sh"],
    },
    install_requires=[
        "boto3>=1.40",
        "pydantic>=2.10",
        "pydantic-settings>=2.7",
        "typer>=0.15",
        "rich>=13.9",
    ],
    extras_require={
        "aws": AWS,
        "explain": EXPLAIN,
        "local": AWS + LOCAL,
        "dev": AWS + EXPLAIN + LOCAL + DEV,
    },
    entry_points={"console_scripts": ["scones=pipeline.cli:main"]},
)
