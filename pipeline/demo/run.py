"""`scones demo`: the whole workflow on this machine, from an archive to a picture of what the endpoint saw.

Nothing here is a short cut: each stage is what its own command does, over HTTP, against the local AWS.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import (
    archives,
    console,
    deployment,
    files,
    inference,
    monitor,
    objects,
    pictures,
    predictions,
    progress,
    registry,
    runs,
    thresholds,
)
from pipeline import settings as settings_module
from pipeline.demo import images
from pipeline.demo.place import (
    STATE,
    SUMMARY,
    DemoError,
    Stages,
    fresh_folder,
    interrupted_by_signals,
    local_aws,
)
from pipeline.revision import code_revision
from workflows import deploy as workflow_deploy
from workflows import run as workflow_run

if TYPE_CHECKING:
    from monitoring.report import Report
    from pipeline.clients import Clients
    from pipeline.registry import PackageDetails
    from pipeline.runs import StepState
    from pipeline.settings import Settings
    from pipeline.thresholds import Threshold


@dataclass(frozen=True)
class Demo:
    """One run of the demo: where it writes, what it talks to."""

    out: Path
    settings: Settings
    clients: Clients
    stages: Stages


def run(data: str, out: Path) -> dict[str, Any]:
    """Runs everything and returns what `out/summary.json` then holds.

    Whatever ends it, Ctrl-C included, the local AWS and all that it started are gone then. An interrupted run
    leaves no files either; one that failed leaves the state of the local AWS with its logs.
    """
    begin = time.monotonic()
    stages = Stages()
    settings = _settings(data, out)
    archives.check(data, settings.classes)  # a slip is told before anything starts
    with interrupted_by_signals(), fresh_folder(out):
        with local_aws(settings, stages) as made:
            summary = _workflow(Demo(out, settings, made, stages), data)
        summary |= {
            "stages": stages.seconds,
            "total_seconds": round(time.monotonic() - begin, 3),
        }
        files.write(out / SUMMARY, json.dumps(summary, indent=2) + "\n")
    return summary


def _settings(data: str, out: Path) -> Settings:
    """A person's own settings, in the demo's own local AWS. Drawn images need no more than a fast look.

    Not their environments: one without capture, or of few requests, leaves nothing to monitor.
    """
    own: dict[str, Any] = {
        "target": "local",
        "state_dir": out / STATE,
        "environment": "demo",
        "environments": {},
    }
    settings = settings_module.load(**own)
    if data != archives.SYNTHETIC or "preset" in settings.model_fields_set:
        return settings
    return settings_module.load(**own, preset="fast")


def _workflow(demo: Demo, data: str) -> dict[str, Any]:
    provided = _provide_data(demo, data)
    execution_arn, steps = _run_pipeline(demo, provided.source)
    package = _approve(demo, steps)
    evaluation = _fetch_results(demo, package, steps)
    endpoint = _deploy(demo, package)
    threshold = thresholds.of_endpoint(demo.clients("sagemaker"), demo.settings, endpoint)
    results = _send_images(demo, endpoint, threshold, steps)
    report = _monitor(demo, endpoint, len(results))
    return {
        "data": {
            "kind": provided.kind,
            "source": provided.source,
            "sha256": package.metadata["data_sha256"],
            "classes": list(demo.settings.classes),
        },
        "evaluation": {key: evaluation[key] for key in ("images", "confusion_matrix")}
        | {"accuracy": package.accuracy},
        "pipeline_execution_arn": execution_arn,
        "steps": [
            {"name": step.name, "status": step.status, "seconds": round(step.seconds or 0.0, 3)}
            for step in steps
        ],
        "model_package_arn": package.arn,
        "approval_status": package.status,
        "endpoint_name": endpoint,
        "inference_executions": results,
        "threshold": asdict(threshold),
        "capture_records": report.records,
        "monitoring_report": report.picture,
    }


def _provide_data(demo: Demo, data: str) -> archives.Archive:
    with demo.stages("data"):
        s3 = demo.clients("s3")
        runs.ensure_bucket(s3, demo.settings)
        return archives.provide(s3, demo.settings, data, demo.out)


def _run_pipeline(demo: Demo, source: str) -> tuple[str, list[StepState]]:
    with demo.stages("upsert"):
        runs.upsert(demo.clients, demo.settings)
    with demo.stages("pipeline"):
        parameters = {"DataSource": source}
        if revision := code_revision():
            parameters["CodeRevision"] = revision
        arn = runs.start(demo.clients, demo.settings, parameters, display_name="demo")
        changes = runs.watch(demo.clients("sagemaker"), arn, demo.settings.poll_seconds)
        execution, steps = progress.show_execution(changes)
        runs.require_success(execution, steps)
    return arn, steps


def _approve(demo: Demo, steps: list[StepState]) -> PackageDetails:
    with demo.stages("approve"):
        sagemaker = demo.clients("sagemaker")
        package = registry.find(sagemaker, demo.settings.model_package_group, _made(steps, "RegisterModel"))
        registry.decide(sagemaker, package, "Approved", "approved by the demo")
        return registry.describe(demo.clients, package)


def _fetch_results(demo: Demo, package: PackageDetails, steps: list[StepState]) -> dict[str, Any]:
    """evaluation.json and what data, training and evaluation drew, as files; returns the evaluation."""
    s3 = demo.clients("s3")
    statistics = runs.outputs(demo.clients("sagemaker"), _made(steps, "PrepareData"))["statistics"]
    if package.evaluation_uri is None:
        raise DemoError(f"the package {package.arn} has no evaluation")
    evaluation = objects.read(s3, package.evaluation_uri)
    files.write(demo.out / "evaluation.json", evaluation)
    files.write(demo.out / "samples.png", objects.read(s3, f"{statistics}/samples.png"))
    for name, picture in pictures.of_package(demo.clients, package).items():
        files.write(demo.out / name, picture)
    return dict(json.loads(evaluation))


def _deploy(demo: Demo, package: PackageDetails) -> str:
    with demo.stages("deploy"), progress.waiting("endpoint") as status:
        record = deployment.deploy(demo.clients, demo.settings, package, on_status=status)
    return record.endpoint


def _send_images(
    demo: Demo, endpoint: str, threshold: Threshold, steps: list[StepState]
) -> list[dict[str, Any]]:
    settings = demo.settings
    with demo.stages("workflow"):
        console.console.print(str(threshold))
        plan = inference.workflow_plan(settings, endpoint, threshold.value)
        deployed = workflow_deploy.deploy(demo.clients, plan)
        keys = _choose_images(demo, endpoint, steps, f"{plan.images_prefix}demo/")
        results = workflow_run.run(
            demo.clients, deployed.state_machine_arn, settings.bucket, keys, settings.classes
        )
    rows = [result.as_dict() for result in results]
    console.print_rows(rows, ("s3_key", "status", "predicted", "confidence", "outcome"), "")
    return rows


def _choose_images(demo: Demo, endpoint: str, steps: list[StepState], prefix: str) -> list[str]:
    """Uploads validation images, and blends of them that the model cannot decide on; returns their keys."""
    s3, runtime = demo.clients("s3"), demo.clients("sagemaker-runtime")

    def ask(png: bytes) -> list[float]:
        return predictions.invoke(runtime, endpoint, png, "image/png", inference_id=predictions.PROBE)

    uri = runs.outputs(demo.clients("sagemaker"), _made(steps, "PrepareData"))["validation"]
    known = images.validation_images(s3, uri)
    classes = demo.settings.classes
    named = [(f"{classes[image.label]}-{image.name}", image.png) for image in known]
    undecided = images.undecided_images(known, ask)
    named += [(f"blend-{number}.png", png) for number, png in enumerate(undecided, start=1)]
    return images.upload(s3, demo.settings, prefix, named)


def _monitor(demo: Demo, endpoint: str, records: int) -> Report:
    with demo.stages("monitor"):
        served = predictions.deployed(demo.clients("sagemaker"), endpoint)
        found = monitor.wait_for_captures(demo.clients, demo.settings, served, records)
        return monitor.report(demo.clients, demo.settings, served, found, demo.out / "monitoring.png")


def _made(steps: list[StepState], name: str) -> str:
    """The ARN of what the step made."""
    for step in steps:
        if step.name == name and step.made:
            return step.made
    raise DemoError(f"the execution has no step {name} that made anything")
