"""Every resource type that the local AWS has; importing a module registers its types."""

from localaws.cloudformation.resources import (  # noqa: F401
    cloudwatch,
    events,
    functions,
    iam,
    kms,
    logs,
    messaging,
    s3,
    sagemaker,
    state_machines,
)
