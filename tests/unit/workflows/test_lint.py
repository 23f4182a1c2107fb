"""Templates, state machines and the GitHub workflow, held to what their makers publish of them."""

from __future__ import annotations

import json
import os
import re
import subprocess
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
import yaml
from cfnlint.api import lint
from cfnlint.config import ManualArgs

from localaws.step_functions import requests as step_functions
from tests import roles
from workflows import package, plan

ROOT = Path(__file__).parents[3]
GITHUB = ROOT / ".github" / "workflows"
DEFINITIONS = plan.WorkflowPlan("b", "p", "e", 0.8, roles.ACCOUNT, roles.REGION).definitions
_IN_S3 = re.compile(r"DefinitionS3Location:\n\s+Bucket: .*\n\s+Key: !Ref (\w+)\n")


def findings(template: str) -> list[str]:
    """What cfn-lint says, hints included; state machines it checks by their language's schema."""
    return [
        f"{match.rule.id}, line {match.linenumber}: {match.message}"
        for match in lint(template, config=ManualArgs(regions=[roles.REGION], include_checks=["I"]))
    ]


def with_definitions(name: str) -> str:
    """The template with its state machines inside, where cfn-lint sees them."""
    return _IN_S3.sub(
        lambda match: f"Definition: {json.dumps(json.loads(package.text(DEFINITIONS[match[1]])))}\n",
        package.text(name),
    )


@pytest.mark.parametrize("name", roles.TEMPLATES)
def test_cfn_lint_is_clean(name):
    assert findings(package.text(name)) == []


def test_the_state_machines_follow_their_languages_schema():
    template = with_definitions(plan.INFERENCE)
    assert template.count("Definition: {") == len(DEFINITIONS)
    unused = {f"Parameter {parameter} not used." for parameter in DEFINITIONS}
    assert [found for found in findings(template) if found.partition(": ")[2] not in unused] == []


def test_every_definition_is_deployed():
    on_disk = {path.name for path in (ROOT / "workflows").glob("*.asl.json")}
    assert set(DEFINITIONS.values()) == on_disk


@pytest.mark.parametrize(
    ("right", "wrong"),
    [('"Type": "Succeed"', '"Type": "Success"'), ('"MaxAttempts": 4', '"MaxAttempts": "four"')],
)
def test_cfn_lint_does_look_into_the_state_machines(right, wrong):
    template = with_definitions(plan.INFERENCE)
    found = findings(template.replace(right, wrong, 1))
    assert any(each.startswith("E3601") for each in found)


@pytest.mark.parametrize("name", DEFINITIONS.values())
def test_every_transition_of_a_definition_leads_to_a_state(name):
    machine = json.loads(package.text(name))
    assert list(step_functions.dangling(machine)) == []
    machine["StartAt"] = "Nowhere"
    assert len(list(step_functions.dangling(machine))) == 1


@pytest.mark.parametrize("path", sorted(GITHUB.glob("*.yml")), ids=lambda path: path.stem)
def test_a_github_workflow_follows_its_schema(path):
    published = files("check_jsonschema").joinpath("builtin_schemas/vendor/github-workflows.json")
    validator = jsonschema.Draft7Validator(json.loads(published.read_text(encoding="utf-8")))
    workflow = yaml.safe_load(path.read_text())
    workflow["on"] = workflow.pop(True)  # which YAML 1.1 takes `on` for
    assert [error.message for error in validator.iter_errors(workflow)] == []


@pytest.mark.parametrize("path", sorted(GITHUB.glob("*.yml")), ids=lambda path: path.stem)
def test_a_github_workflow_stores_no_key(path):
    text = path.read_text()
    assert not re.search(r"secrets\.|AKIA|aws-secret-access-key|aws-access-key-id", text)
    assert yaml.safe_load(text)["permissions"] == {"contents": "read"}


def test_no_job_on_github_has_more_than_it_needs():
    workflow = yaml.safe_load((GITHUB / "test.yml").read_text())
    wanting_tokens = {
        name
        for name, job in workflow["jobs"].items()
        if (job.get("permissions") or {}).get("id-token") == "write"
    }
    assert wanting_tokens == {"upsert"}
    upsert = workflow["jobs"]["upsert"]
    assert "refs/heads/main" in upsert["if"]
    assert "github.event_name == 'push'" in upsert["if"]
    commands = [step.get("run", "") for step in upsert["steps"]]
    assert commands[-1] == "scones pipeline upsert"
    steps = {step.get("run") for step in workflow["jobs"]["test"]["steps"]}
    assert {"make lint", "make test"} <= steps
    assert "cfn-lint" in (ROOT / "Makefile").read_text()


@pytest.mark.parametrize(("code", "fails"), [(0, False), (1, True), (3, True), (4, False)])
def test_the_daily_check_fails_on_drift_and_not_on_a_quiet_day(tmp_path, code, fails):
    scones = tmp_path / "scones"
    scones.write_text(f'#!/bin/sh\necho "$@"\nexit {code}\n')
    scones.chmod(0o755)
    job = yaml.safe_load((GITHUB / "drift.yml").read_text())["jobs"]["check"]
    (command,) = (step["run"] for step in job["steps"] if "scones" in step.get("run", ""))
    ended = subprocess.run(
        ["bash", "-e", "-c", command],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "ENVIRONMENT": "prod"},
        capture_output=True,
        text=True,
    )
    assert ended.stdout == "monitor check --environment prod --publish --out drift/drift.png\n"
    assert (ended.returncode != 0) == fails
