"""What the API's requests and answers are, and what the stores keep."""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]
"""A JSON object."""
