"""The gateway: small calls a second beside moto's own server, large objects, and what a restart takes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from rich.console import Console
from rich.table import Table

from localaws import control

SMALL = 2_000
SMALL_BYTES = 3_000
LARGE_BYTES = 64 << 20
THREADS = 4
BUCKET = "bench-gateway"


def main() -> None:
    """Measures ours and moto's server one after the other, on the same machine in the same run."""
    table = Table(title="Gateway")
    table.add_column("what")
    table.add_column("here", justify="right")
    table.add_column("moto_server", justify="right")
    with tempfile.TemporaryDirectory() as folder:
        state_dir = Path(folder) / "state"
        running = control.up(state_dir)
        try:
            ours = measure(running.endpoint_url)
            restart = restart_seconds(state_dir, running.pid)
        finally:
            control.down(state_dir)
        with moto_server(Path(folder)) as endpoint_url:
            theirs = measure(endpoint_url)
    for what, value in ours.items():
        table.add_row(what, value, theirs[what])
    table.add_row(f"restart after kill -9, with {SMALL} objects", f"{restart:.1f} s", "everything is lost")
    Console().print(table)


def measure(endpoint_url: str) -> dict[str, str]:
    """Rates of small and large objects by boto3, over HTTP."""
    s3 = client(endpoint_url)
    s3.create_bucket(Bucket=BUCKET)
    body, large = os.urandom(SMALL_BYTES), os.urandom(LARGE_BYTES)

    def put(number: int) -> None:
        s3.put_object(Bucket=BUCKET, Key=f"small/{number}", Body=body)

    def get(number: int) -> None:
        s3.get_object(Bucket=BUCKET, Key=f"small/{number}")["Body"].read()

    megabytes = LARGE_BYTES / 1e6
    seconds_put = timed(lambda: s3.put_object(Bucket=BUCKET, Key="large", Body=large))
    seconds_get = timed(lambda: s3.get_object(Bucket=BUCKET, Key="large")["Body"].read())
    return {
        f"PUT of {SMALL_BYTES} bytes, {THREADS} threads": f"{SMALL / in_threads(put):.0f}/s",
        f"GET of {SMALL_BYTES} bytes, {THREADS} threads": f"{SMALL / in_threads(get):.0f}/s",
        f"PUT of {megabytes:.0f} MB": f"{megabytes / seconds_put:.0f} MB/s",
        f"GET of {megabytes:.0f} MB": f"{megabytes / seconds_get:.0f} MB/s",
    }


def in_threads(call: Callable[[int], None]) -> float:
    def run() -> None:
        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(call, range(SMALL)))

    return timed(run)


def timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def restart_seconds(state_dir: Path, pid: int) -> float:
    """From the kill to the first answer."""
    os.kill(pid, signal.SIGKILL)
    return timed(lambda: control.up(state_dir))


def client(endpoint_url: str) -> Any:
    session = boto3.session.Session(
        aws_access_key_id="local", aws_secret_access_key="local", region_name="us-east-1"
    )
    return session.client("s3", endpoint_url=endpoint_url, config=Config(max_pool_connections=THREADS))


@contextmanager
def moto_server(folder: Path) -> Iterator[str]:
    """moto's own server, in a process of its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (folder / "moto.log").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    endpoint_url = f"http://127.0.0.1:{port}"
    try:
        while not answers(endpoint_url):
            time.sleep(0.05)
        yield endpoint_url
    finally:
        process.terminate()
        process.wait()


def answers(endpoint_url: str) -> bool:
    try:
        urllib.request.urlopen(endpoint_url + "/moto-api/", timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
