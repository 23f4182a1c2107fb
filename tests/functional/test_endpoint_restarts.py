"""What becomes of endpoints when the local AWS is stopped, or killed, and started again."""

import contextlib
import os
import signal
from pathlib import Path

import pytest

from localaws import control
from tests.functional.conftest import make_client
from tests.functional.endpoints import BUCKET, Endpoints
from tests.waiting import wait_for


class Restartable:
    def __init__(self, state_dir):
        self.state_dir = state_dir
        self.running = control.up(state_dir)

    def endpoints(self):
        return Endpoints(lambda service, **config: make_client(self.running.endpoint_url, service, **config))

    def model_servers(self):
        """Process ids, as the host sees them, of everything that runs in one of the endpoints' folders."""
        mark = str(self.state_dir / "endpoints").encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if mark in path.read_bytes():
                    found.append(int(path.parent.name))
        return found

    def restart(self, how):
        if how == "killed":
            os.kill(self.running.pid, signal.SIGKILL)
            wait_for(lambda: not control.status(self.state_dir), "the end of the local AWS")
        else:
            control.down(self.state_dir)
        self.running = control.up(self.state_dir)
        return self.endpoints()


@pytest.fixture
def stack(tmp_path):
    stack = Restartable(tmp_path / "state")
    stack.endpoints().s3.create_bucket(Bucket=BUCKET)
    yield stack
    control.down(stack.state_dir)


def alive(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_an_endpoint_serves_again_with_its_weights(stack, how):
    before = stack.endpoints()
    name, _ = before.create(before.config(before.model("one", environment={"COLOUR": "red"})))
    before.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=name, DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredWeight": 3.0}]
    )
    before.wait(name, "InService")

    after = stack.restart(how)

    said = after.ask(name)  # waits for the model server
    assert (said["model"], said["colour"]) == ("one", "red")
    description = after.describe(name)
    assert description["EndpointStatus"] == "InService"
    assert description["ProductionVariants"][0]["CurrentWeight"] == 3.0


class Gate:
    """Code of a model server that says that it runs, and goes on when the gate is opened.

    Containers see the host's files.
    """

    def __init__(self, folder):
        self.reached, self.opened = folder / "reached", folder / "opened"
        self.code = (
            "import pathlib, time\n"
            f"pathlib.Path({str(self.reached)!r}).touch()\n"
            f"while not pathlib.Path({str(self.opened)!r}).exists():\n"
            "    time.sleep(0.02)\n"
        )

    def wait(self):
        wait_for(self.reached.exists, "a model server", 60)

    def open(self):
        self.opened.touch()


@pytest.fixture
def gate(tmp_path):
    return Gate(tmp_path)


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_an_endpoint_on_its_way_gets_there_after_all(stack, gate, how):
    before = stack.endpoints()
    slow = before.model("slow", code=gate.code + before.inference)
    name, _ = before.create(before.config(slow), wait="Creating")
    gate.wait()

    after = stack.restart(how)

    gate.open()
    assert after.wait(name, "InService")
    assert after.ask(name)["model"] == "slow"


def test_an_update_on_its_way_gets_there_after_all(stack, gate):
    before = stack.endpoints()
    name, _ = before.create(before.config(before.model("old")))
    slow = before.model("new", code=gate.code + before.inference)
    before.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=before.config(slow))
    gate.wait()

    after = stack.restart("killed")

    assert after.ask(name)["model"] == "old"  # serves while the update goes on
    gate.open()
    after.wait(name, "InService")
    assert after.ask(name)["model"] == "new"


def test_what_was_captured_is_on_s3_after_a_stop(stack):
    before = stack.endpoints()
    name, _ = before.create(
        before.config(
            before.model(),
            DataCaptureConfig={
                "EnableCapture": True,
                "InitialSamplingPercentage": 100,
                "DestinationS3Uri": f"s3://{BUCKET}/capture",
                "CaptureOptions": [{"CaptureMode": "InputAndOutput"}],
            },
        )
    )
    for _ in range(25):
        before.invoke(name)

    after = stack.restart("stopped")

    assert len(after.captured(name)) == 25


def test_a_deletion_on_its_way_gets_there_after_all(stack):
    before = stack.endpoints()
    name, _ = before.create(before.config(before.model()))
    before.sagemaker.delete_endpoint(EndpointName=name)

    after = stack.restart("killed")

    after.wait_until_gone(name, 10)
    assert stack.model_servers() == []
    assert not (stack.state_dir / "endpoints" / name).exists()


def test_no_model_server_outlives_a_kill(stack):
    before = stack.endpoints()
    name, _ = before.create(before.config(before.model()))
    before.ask(name)
    servers = stack.model_servers()
    assert servers

    os.kill(stack.running.pid, signal.SIGKILL)

    wait_for(lambda: not any(map(alive, servers)), f"the end of {servers}", 10)
