"""One module a step. They are built with the SageMaker SDK, which is let in here, before any of them."""

from pipeline.sdk import import_sdk

import_sdk()
