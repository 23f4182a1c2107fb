"""`scones demo`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def demo(
    data: Annotated[
        str, typer.Option(help="synthetic, cifar100, a URL, or a path to a CIFAR-100 archive.")
    ] = "synthetic",
    out: Annotated[Path, typer.Option(file_okay=False, help="The folder for everything it makes.")] = Path(
        "out/demo"
    ),
) -> None:
    """Run the whole workflow on this machine: train, gate, approve, deploy, infer, watch."""
    from pipeline.demo.run import run

    _print_summary(run(data, out), out)


def _print_summary(summary: dict[str, Any], out: Path) -> None:
    from pipeline.console import console

    evaluation = summary["evaluation"]
    lines = {
        "accuracy": f"{evaluation['accuracy']:.3f} on {evaluation['images']} validation images",
        "model package": f"{summary['model_package_arn']} ({summary['approval_status']})",
        "endpoint": summary["endpoint_name"],
        "captured": f"{summary['capture_records']} records, drawn in {summary['monitoring_report']}",
        "summary": str(out / "summary.json"),
        "seconds": f"{summary['total_seconds']:.0f}, of which "
        + ", ".join(f"{name} {seconds:.0f}" for name, seconds in summary["stages"].items()),
    }
    console.print()
    for name, value in lines.items():
        console.print(f"[bold]{name:14}[/]{value}")
