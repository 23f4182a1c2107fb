"""Lets moto's state machine interpreter keep what it would otherwise make again at every step, and read what
its grammar of distributed maps does not know.

For each execution it parses the whole definition; for each task it makes a boto3 client and, several times,
a parser of JSONPath: together over half of what an execution of the inference workflow costs here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from botocore.credentials import Credentials

from localaws import identities

_DEFINITIONS = 64
_PATHS = 1024
_CLIENTS = 128
_INTERPRETER = "moto.stepfunctions.parser."


def keep_what_is_made() -> None:
    """Puts caches into moto's interpreter. Once, after its modules were imported and before it runs."""
    from moto.stepfunctions.parser.asl.parse import asl_parser
    from moto.stepfunctions.parser.asl.utils import boto_client, json_path

    json_path.parse = lru_cache(_PATHS)(json_path.parse)
    asl_parser.ASLParser = _keeping_trees(asl_parser.ASLParser)
    make = boto_client.boto_client_for

    @lru_cache(_CLIENTS)
    def made(region: str, service: str, role: str | None) -> Any:
        client = make(region, service)
        # moto signs everything with one key of its own; here what a machine calls is signed by its role.
        credentials = Credentials(identities.access_key(role), identities.ADMINISTRATOR)
        client._request_signer._credentials = credentials
        return client

    # The state's credentials cannot be hashed, but the role that is in them can.
    def boto_client_for(region: str, service: str, state_credentials: Any = None) -> Any:
        return made(region, service, getattr(state_credentials, "role_arn", None))

    for module in _importers(make):
        module.boto_client_for = boto_client_for


def read_distributed_maps() -> None:
    """Lets the interpreter run definitions with EXPRESS children and whole percentages, which it refuses.

    Children of either kind are executions of the same states; the definition that is kept is the one that was
    given. Before any definition is parsed, those of the journal included.
    """
    from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser

    parse = AmazonStateLanguageParser.parse
    AmazonStateLanguageParser.parse = staticmethod(lambda definition: parse(readable(definition)))


@lru_cache(_DEFINITIONS)
def readable(definition: str) -> str:
    """The definition with what the interpreter's grammar lacks put in its words."""
    if '"DISTRIBUTED"' not in definition:
        return definition
    try:
        machine = json.loads(definition)
    except ValueError:
        return definition  # for the interpreter to refuse
    for state in _objects(machine):
        config = state.get("ProcessorConfig")
        if isinstance(config, dict) and config.get("ExecutionType") == "EXPRESS":
            config["ExecutionType"] = "STANDARD"
        percentage = state.get("ToleratedFailurePercentage")
        if type(percentage) is int:
            state["ToleratedFailurePercentage"] = float(percentage)
    return json.dumps(machine)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _objects(child)


def _keeping_trees(parser: Any) -> Any:
    """The parser, keeping its trees by their text: what walks a tree does not change it."""
    trees: dict[str, Any] = {}

    class KeepingParser(parser):
        def state_machine(self) -> Any:
            text = self.getTokenStream().tokenSource.inputStream.strdata
            tree = trees.get(text)
            if tree is None:
                tree = super().state_machine()
                if self.getNumberOfSyntaxErrors() == 0:
                    while len(trees) >= _DEFINITIONS:
                        trees.pop(next(iter(trees)), None)
                    trees[text] = tree
            return tree

    return KeepingParser


def _importers(function: Any) -> list[Any]:
    """The interpreter's modules that imported the function by its name."""
    modules = [module for name, module in list(sys.modules.items()) if name.startswith(_INTERPRETER)]
    return [module for module in modules if getattr(module, function.__name__, None) is function]
