"""Starting, finding and stopping the local AWS."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import pytest
from botocore.exceptions import ClientError, HTTPClientError

from localaws import control
from localaws.control import ControlError
from tests.functional.conftest import make_client


@pytest.fixture
def state_dir(tmp_path):
    folder = tmp_path / "state"
    yield folder
    control.down(folder)


def serve(state_dir, *arguments, **options):
    command = [sys.executable, "-m", "localaws", "--state-dir", str(state_dir), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def test_up_status_down(state_dir):
    assert control.status(state_dir) is None
    running = control.up(state_dir)
    assert control.status(state_dir) == running
    assert control.up(state_dir) == running, "a second up finds the first"
    note = json.loads((state_dir / "server.json").read_text())
    assert note["pid"] == running.pid
    assert (note["port"], note["endpoint_url"]) == (running.port, running.endpoint_url)
    assert note["started"] == pytest.approx(time.time(), abs=120)
    assert control.down(state_dir)
    assert control.status(state_dir) is None
    assert not (state_dir / "server.json").exists()
    assert not control.down(state_dir)
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(running.endpoint_url, timeout=2)


def test_the_environment_keeps_clients_here_and_the_sdk_quiet(state_dir):
    running = control.up(state_dir)
    environment = running.environment()
    assert environment["AWS_ENDPOINT_URL"] == running.endpoint_url
    assert environment["SAGEMAKER_VALIDATE_ROLE"] == "false"
    assert "127.0.0.1" in environment["NO_PROXY"].split(",")
    with open(environment["SAGEMAKER_USER_CONFIG_OVERRIDE"]) as file:
        assert "TelemetryOptOut: true" in file.read()
    code = "import boto3; boto3.client('s3').create_bucket(Bucket='by-env'); print(boto3.client('sts')"
    code += ".get_caller_identity()['Account'])"
    base = {
        "PATH": os.environ["PATH"],
        "HTTP_PROXY": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
    }
    command = [sys.executable, "-c", code]
    out = subprocess.run(command, env=base | environment, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "123456789012"


def test_several_ups_at_once_start_one_server(state_dir):
    found, threads = [], []
    for _ in range(4):
        threads.append(threading.Thread(target=lambda: found.append(control.up(state_dir))))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1


def test_two_servers_never_share_a_folder(state_dir):
    running = control.up(state_dir)
    second = serve(state_dir)
    _, error = second.communicate(timeout=60)
    assert second.returncode == 1
    assert error.strip().splitlines() == [
        f"error: The state folder {state_dir.resolve()} is in use by a local AWS "
        f"with process id {running.pid}."
    ]
    assert control.status(state_dir) == running


def test_a_port_that_is_taken_is_said_so(state_dir):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = serve(state_dir, "--port", str(port))
        _, error = server.communicate(timeout=60)
        assert server.returncode == 1
        assert error.startswith(f"error: Port {port} of 127.0.0.1 cannot be had")
        with pytest.raises(ControlError, match=f"Port {port} of 127.0.0.1 cannot be had"):
            control.up(state_dir, port)


def test_a_running_server_does_not_move_to_another_port(state_dir):
    running = control.up(state_dir)
    with pytest.raises(ControlError, match="stop it first"):
        control.up(state_dir, 1 if running.port != 1 else 2)


@pytest.mark.parametrize("moment", ["while it is started", "before it answers"])
def test_an_interrupted_start_leaves_no_server(state_dir, monkeypatch, moment):
    """It holds no lock yet by which anybody would find it."""
    started = []
    popen = subprocess.Popen

    def interrupted(*arguments, **options):
        started.append(popen(*arguments, **options))
        if moment == "while it is started":
            signal.raise_signal(signal.SIGINT)
        return started[0]

    def wait(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(control.subprocess, "Popen", interrupted)
    monkeypatch.setattr(control, "_until", wait)
    with pytest.raises(KeyboardInterrupt):
        control.up(state_dir)
    assert started[0].returncode is not None


def test_a_killed_server_counts_as_none_and_the_next_keeps_its_port(state_dir):
    running = control.up(state_dir)
    os.kill(running.pid, signal.SIGKILL)
    again = control.up(state_dir)
    assert again.pid != running.pid
    assert again.port == running.port


def test_a_free_port_when_the_last_one_is_taken(state_dir):
    port = control.up(state_dir).port
    control.down(state_dir)
    with socket.create_server(("127.0.0.1", port)):
        assert control.up(state_dir).port != port


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly_within_seconds(state_dir, number):
    server = serve(state_dir, start_new_session=True)
    assert server.stdout.readline().startswith("Local AWS at http://127.0.0.1:")
    start = time.monotonic()
    os.killpg(server.pid, number)  # as a terminal does
    _, error = server.communicate(timeout=30)
    assert (server.returncode, error) == (0, "")
    assert time.monotonic() - start < 15
    assert (state_dir / "server.log").read_text().rstrip().endswith("stopped")
    assert not (state_dir / "server.json").exists()


@pytest.mark.parametrize("how", ["down", "kill"])
def test_a_call_in_flight_does_not_hold_it_up(state_dir, how, tmp_path):
    running = control.up(state_dir)
    sqs = make_client(running.endpoint_url, "sqs", retries={"total_max_attempts": 1})
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    errors = []

    def wait():
        try:
            sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)
        except (HTTPClientError, ClientError) as error:
            errors.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.5)
    start = time.monotonic()
    if how == "down":
        control.down(state_dir)
    else:
        os.kill(running.pid, signal.SIGKILL)
    waiting.join(10)
    assert not waiting.is_alive()
    assert time.monotonic() - start < 10
    assert errors


def test_the_folder_is_for_its_owner_only(state_dir):
    control.up(state_dir)
    assert state_dir.stat().st_mode & 0o077 == 0


def test_a_damaged_database_is_said_so(state_dir):
    control.up(state_dir)
    control.down(state_dir)
    (state_dir / "journal" / "journal.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(ControlError, match="cannot be read"):
        control.up(state_dir)
