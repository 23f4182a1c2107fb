"""Definitions as the interpreter reads them."""

import json

from localaws.step_functions.interpreter import readable

MAP = {
    "Type": "Map",
    "ToleratedFailurePercentage": 5,
    "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"}, "States": {}},
}


def test_express_children_and_whole_percentages_are_put_in_the_interpreters_words():
    nested = {"States": {"P": {"Branches": [{"States": {"M": MAP}}]}}}
    read = json.loads(readable(json.dumps(nested)))["States"]["P"]["Branches"][0]["States"]["M"]
    assert read["ItemProcessor"]["ProcessorConfig"] == {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    assert json.dumps(read["ToleratedFailurePercentage"]) == "5.0"


def test_what_has_no_distributed_map_is_left_as_it_is():
    for text in ('{"States":  {}}', "no json", '{"Comment": "\\"DISTRIBUTED\\""', '{"a": "DISTRIBUTED"'):
        assert readable(text) == text
