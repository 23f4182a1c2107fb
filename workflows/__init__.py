"""The inference workflow: its state machine, deploying it with its functions, and running it.

What calls AWS takes `client`, which makes a boto3 client of a service's name: a session's `client` method.
"""

from collections.abc import Callable
from typing import Any

ClientFactory = Callable[[str], Any]
