"""`scones demo`: the whole workflow on this machine, from an archive to a picture of what the endpoint saw.

Nothing here is a short cut: each stage is what its own command does, over HTTP, against the local AWS.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localaws import control
from pipeline import (
    clients,
    console,
    demo_archive,
    demo_images,
    endpoints,
    inference,
    monitor,
    objects,
    predictions,
    progress,
    registry,
    runs,
)
from pipeline import settings as settings_module
from pipeline.revision import code_revision
from workflows import deploy as workflow_deploy
from workflows import run as workflow_run

if TYPE_CHECKING:
    from monitoring.report import Report
    from pipeline.clients import Clients
    from pipeline.registry import PackageDetails
    from pipeline.runs import StepState
    from pipeline.settings import Settings

STATE = "local-aws"
SUMMARY = "summary.json"
# What a run leaves in its folder; of an earlier run nothing is kept, so nothing old is taken for new.
RESULTS = (
    SUMMARY,
    "evaluation.json",
    "samples.png",
    "monitoring.png",
    "monitoring.json",
    "synthetic-cifar-100-python.tar.gz",
)


class DemoError(Exception):
    """The demo cannot run here."""


@dataclass
class Stages:
    """Names each stage when it begins and keeps how many seconds it took."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        console.console.print(f"[bold]{name}[/]")
        begin = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - begin, 3)


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
    demo_archive.kind_of(data)  # a slip is told before anything starts
    stages = Stages()
    settings = _settings(data, out)
    with _fresh_folder(out), _interrupted_by_sigterm():
        with _local_aws(settings, stages) as made:
            summary = _workflow(Demo(out, settings, made, stages), data)
        summary |= {
            "stages": stages.seconds,
            "total_seconds": round(time.monotonic() - begin, 3),
        }
        _write(out / SUMMARY, (json.dumps(summary, indent=2) + "\n").encode())
    return summary


def _settings(data: str, out: Path) -> Settings:
    """A person's own settings, in the demo's own local AWS. Drawn images need no more than a fast look."""
    settings = settings_module.load(target="local", state_dir=out / STATE)
    if data != demo_archive.SYNTHETIC or "preset" in settings.model_fields_set:
        return settings
    return settings_module.load(target="local", state_dir=out / STATE, preset="fast")


def _workflow(demo: Demo, data: str) -> dict[str, Any]:
    archive = _provide_data(demo, data)
    execution_arn, steps = _run_pipeline(demo, archive)
    package = _approve(demo, steps)
    evaluation = _fetch_results(demo, package, steps)
    endpoint = _deploy(demo, package)
    results = _send_images(demo, endpoint, steps)
    report = _monitor(demo, endpoint, len(results))
    return {
        "data": {
            "kind": archive.kind,
            "source": archive.source,
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
        "capture_records": report.records,
        "monitoring_report": report.picture,
    }


def _provide_data(demo: Demo, data: str) -> demo_archive.Archive:
    with demo.stages("data"):
        s3 = demo.clients("s3")
        runs.ensure_bucket(s3, demo.settings)
        return demo_archive.provide(s3, demo.settings, data, demo.out)


def _run_pipeline(demo: Demo, archive: demo_archive.Archive) -> tuple[str, list[StepState]]:
    with demo.stages("upsert"):
        runs.upsert(demo.clients, demo.settings)
    with demo.stages("pipeline"):
        parameters = {"DataSource": archive.source}
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
    """evaluation.json and the contact sheet of the data, as files; returns the evaluation."""
    s3 = demo.clients("s3")
    statistics = runs.outputs(demo.clients("sagemaker"), _made(steps, "PrepareData"))["statistics"]
    if package.evaluation_uri is None:
        raise DemoError(f"the package {package.arn} has no evaluation")
    evaluation = objects.read(s3, package.evaluation_uri)
    _write(demo.out / "evaluation.json", evaluation)
    _write(demo.out / "samples.png", objects.read(s3, f"{statistics}/samples.png"))
    return dict(json.loads(evaluation))


def _deploy(demo: Demo, package: PackageDetails) -> str:
    with demo.stages("deploy"):
        name = endpoints.deploy(demo.clients, demo.settings, package)
        statuses = endpoints.wait(demo.clients("sagemaker"), name, demo.settings.poll_seconds)
        progress.show_waiting(f"endpoint {name}", statuses)
        predictions.smoke_test(demo.clients, demo.settings, name)
    return name


def _send_images(demo: Demo, endpoint: str, steps: list[StepState]) -> list[dict[str, Any]]:
    settings = demo.settings
    with demo.stages("workflow"):
        plan = inference.workflow_plan(settings, endpoint)
        deployment = workflow_deploy.deploy(demo.clients, plan)
        keys = _choose_images(demo, endpoint, steps, f"{plan.images_prefix}demo/")
        results = workflow_run.run(
            demo.clients, deployment.state_machine_arn, settings.bucket, keys, settings.classes
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
    images = demo_images.validation_images(s3, uri)
    classes = demo.settings.classes
    named = [(f"{classes[image.label]}-{image.name}", image.png) for image in images]
    undecided = demo_images.undecided_images(images, ask)
    named += [(f"blend-{number}.png", png) for number, png in enumerate(undecided, start=1)]
    return demo_images.upload(s3, demo.settings, prefix, named)


def _monitor(demo: Demo, endpoint: str, records: int) -> Report:
    with demo.stages("monitor"):
        found = monitor.wait_for_captures(demo.clients, demo.settings, endpoint, records)
        return monitor.report(demo.clients, demo.settings, endpoint, found, demo.out / "monitoring.png")


@contextmanager
def _local_aws(settings: Settings, stages: Stages) -> Iterator[Clients]:
    """A local AWS of the demo's own, and an environment in which every client talks to it."""
    environment = dict(os.environ)
    try:
        with stages("start the local AWS"):
            running = control.up(settings.state_dir)
        os.environ.update(running.environment())
        os.environ.pop("AWS_PROFILE", None)
        yield clients.connect(settings)
    finally:
        os.environ.clear()
        os.environ.update(environment)
        with _uninterrupted(), stages("stop the local AWS"):
            control.down(settings.state_dir)


@contextmanager
def _fresh_folder(out: Path) -> Iterator[None]:
    """The folder without what an earlier run left in it, or this one unless it succeeds."""
    if out.exists() and not out.is_dir():
        raise DemoError(f"{out} is a file; --out takes a folder")
    if control.status(out / STATE):
        raise DemoError(
            f"another demo runs in {out}, or left its local AWS behind when it was killed: "
            f"`SCONES_STATE_DIR={out / STATE} scones local down` stops that"
        )
    made = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(out / STATE, ignore_errors=True)
    _remove_results(out)
    try:
        yield
    except Exception:
        _remove_results(out)
        raise
    except KeyboardInterrupt:
        _remove_results(out)
        shutil.rmtree(out / STATE, ignore_errors=True)
        if made:
            out.rmdir()
        print("interrupted: what the demo started and wrote is gone", file=sys.stderr)
        raise


def _remove_results(out: Path) -> None:
    for name in RESULTS:
        (out / name).unlink(missing_ok=True)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A second Ctrl-C must not keep the first from its work."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does: with everything that it started."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _made(steps: list[StepState], name: str) -> str:
    """The ARN of what the step made."""
    for step in steps:
        if step.name == name and step.made:
            return step.made
    raise DemoError(f"the execution has no step {name} that made anything")


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(content)
    temporary.replace(path)
