"""The registry of SageMaker operations, and what several of them share.

A handler is a function `(service, request) -> answer` with the request already checked against botocore's
service model. It is registered by its operation's name:

    @operation("DescribeModel")
    def describe_model(service: SageMakerService, request: Document) -> Document: ...
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from localaws.documents import Document
from localaws.sagemaker.errors import ValidationError

if TYPE_CHECKING:
    from localaws.sagemaker.service import SageMakerService

Handler = Callable[["SageMakerService", Document], Document]

HANDLERS: dict[str, Handler] = {}


def operation(name: str) -> Callable[[Handler], Handler]:
    """Registers the handler of a SageMaker operation."""

    def register(handler: Handler) -> Handler:
        HANDLERS[name] = handler
        return handler

    return register


def now() -> float:
    """The time as SageMaker's protocol carries it: epoch seconds, to the millisecond."""
    return round(time.time(), 3)


def public(document: Document) -> Document:
    """The document without its inner members, and without those that are None."""
    return {key: value for key, value in document.items() if not key.startswith("_") and value is not None}


def tags_of(request: Document) -> list[Document]:
    return list(request.get("Tags") or [])


def page(
    documents: list[Document],
    request: Document,
    *,
    member: str,
    summary: Callable[[Document], Document] = lambda document: document,
    members: Sequence[str] | None = None,
    sort: dict[str, str] | None = None,
    name: str | None = None,
    order: str | None = None,
    default_limit: int = 100,
) -> Document:
    """Answers a List operation: filters, sorts, cuts a page, and says how to get the next.

    Args:
        documents: oldest first.
        member: the answer's member, such as `TrainingJobSummaries`.
        summary: a document as it is listed; as it is, unless told.
        members: the only ones of it that are listed, where it has them.
        sort: what `SortBy` may say → the document's member; the first is the default.
        name: the member that `NameContains` looks into.
        order: the operation's own where no `SortOrder` is asked for; without it names ascend, others descend.
        default_limit: of a page where no `MaxResults` is asked for.

    Filters taken from the request where it has them: `NameContains`, `StatusEquals` (against the member
    that ends in `Status`), `CreationTimeAfter/Before`, `LastModifiedTimeAfter/Before`.
    """
    kept = [document for document in documents if _matches(document, request, name)]
    keys = sort or {"CreationTime": "CreationTime"}
    key = keys.get(request.get("SortBy", ""), next(iter(keys.values())))
    kept.sort(key=lambda document: document.get(key) or 0)
    own = order or ("Ascending" if key.endswith("Name") else "Descending")
    if request.get("SortOrder", own) == "Descending":
        kept.reverse()  # and not `reverse=True`, which leaves those of one millisecond oldest first
    start = _decode_token(request.get("NextToken"))
    limit = request.get("MaxResults", default_limit)
    shown = [public(summary(document)) for document in kept[start : start + limit]]
    if members is not None:
        shown = [{key: document[key] for key in members if key in document} for document in shown]
    answer: Document = {member: shown}
    if start + limit < len(kept):
        answer["NextToken"] = base64.urlsafe_b64encode(json.dumps(start + limit).encode()).decode()
    return answer


def _matches(document: Document, request: Document, name: str | None) -> bool:
    if name and request.get("NameContains") and request["NameContains"].lower() not in document[name].lower():
        return False
    wanted = request.get("StatusEquals")
    if wanted and wanted not in (value for key, value in document.items() if key.endswith("Status")):
        return False
    for moment in ("CreationTime", "LastModifiedTime"):
        value = document.get(moment, 0)
        if value < request.get(f"{moment}After", 0) or value > request.get(f"{moment}Before", float("inf")):
            return False
    return True


def _decode_token(token: str | None) -> int:
    if not token:
        return 0
    try:
        return int(json.loads(base64.urlsafe_b64decode(token)))
    except (ValueError, TypeError) as error:
        raise ValidationError(f"NextToken {token!r} was not given out by this service.") from error
