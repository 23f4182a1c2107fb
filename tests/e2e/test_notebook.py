"""The notebook from its first cell to its last, in a kernel of its own, against a local AWS of its own."""

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from localaws import control
from pipeline import archives, clients, runs
from pipeline.settings import load
from processing.synthetic import write_archive

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "notebooks" / "scones_unlimited.ipynb"


@pytest.fixture
def aws(tmp_path, monkeypatch):
    """A local AWS with drawn data, and an environment in which settings and kernel find both.

    Few images and a short training: this is about the way through, so the gate is low as well.
    """
    for name in list(os.environ):
        if name.startswith(("SCONES_", "AWS_", "SAGEMAKER_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("SCONES_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("SCONES_PRESET", "fast")
    monkeypatch.setenv("SCONES_EPOCHS", "3")
    monkeypatch.setenv("SCONES_REVIEW", "true")
    monkeypatch.setenv("SCONES_ACCURACY_THRESHOLD", "0.5")
    running = control.up(tmp_path / "state")
    for name, value in running.environment().items():
        monkeypatch.setenv(name, value)
    settings = load()
    made = clients.connect(settings)
    runs.ensure_bucket(made("s3"), settings)
    drawn = tmp_path / "drawn.tar.gz"
    write_archive(drawn, seed=0, train_per_class=150, test_per_class=30)
    archive = archives.provide(made("s3"), settings, str(drawn), tmp_path)
    monkeypatch.setenv("SCONES_DATA_SOURCE", archive.source)
    yield made
    control.down(tmp_path / "state")


@pytest.mark.timeout(900)
def test_the_notebook_runs_to_its_end(aws, tmp_path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)

    NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()

    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    (looked_at,) = (cell for cell in notebook.cells if "reviews.open()" in cell.source)
    waited = sum("image/png" in output.get("data", {}) for output in looked_at.outputs)
    assert waited >= 1
    # samples, four of the model, one image, its explanation, monitoring
    assert len(pictures) == 8 + waited
    assert "ReviewRejected" in str(notebook)
    table = next(output["data"]["text/plain"] for output in outputs if "outcome" in str(output.get("data")))
    assert table.count("blend-") >= 1
    assert (tmp_path / "out" / "notebook" / "monitoring.json").exists()
    statuses = {each["EndpointStatus"] for each in aws("sagemaker").list_endpoints()["Endpoints"]}
    assert statuses <= {"Deleting"}
