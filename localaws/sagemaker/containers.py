"""A container without Docker: a process in namespaces of its own, in which /opt/ml is its own folder.

`unshare` (util-linux) makes a user, mount, host-name and process namespace; `container.sh` mounts what is
needed inside them. Nothing of that is seen on the host. The network is the host's, or none.

When `unshare` ends, `--kill-child` has the kernel kill process 1 of the namespace, and with it all others in
there. That it ends with the server is what `localaws.processes` sees to.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from localaws import processes

LONGEST_LINE = 262_118  # what one event of CloudWatch Logs takes, in bytes
_NAMESPACES = (
    "unshare",
    "--user",
    "--map-root-user",
    "--mount",
    "--uts",
    "--pid",
    "--fork",
    "--kill-child=KILL",
)
_FAILURE = "setup-failed"
_RUNNING = "running"
_SCRIPT = Path(__file__).with_name("container.sh")


class ContainerError(Exception):
    """A container cannot be started on this machine."""


@dataclass(frozen=True)
class ContainerSpec:
    """What to run, and where.

    Attributes:
        command: the entry point and its arguments.
        environment: all the variables that the process sees.
        folder: the container's own on the host; `folder/ml` is what it sees as /opt/ml.
        host: its name, such as `algo-1`.
        hosts: all the names of the job's containers, which resolve to the loopback interface.
        network: whether it has the host's network; without it only a loopback interface of its own.
        image: a folder with the image's software; what the container writes there is gone afterwards.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    host: str = "algo-1"
    hosts: Sequence[str] = ("algo-1",)
    image: Path | None = None
    network: bool = True


@dataclass
class Container:
    """One run of a spec. `run()` blocks its thread; the others may be called from any thread."""

    spec: ContainerSpec
    on_line: Callable[[str], None]
    exit_code: int | None = None
    _process: subprocess.Popen[bytes] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _refused: bool = False

    def run(self) -> int:
        """Starts the process, hands on each line that it writes, and answers its exit code.

        128 + n stands for a death by signal n, as in a shell. Raises ContainerError.
        """
        check_host()
        with self._lock:
            if self._refused:
                self.exit_code = 128 + signal.SIGKILL
                return self.exit_code
            self._process = _start(self.spec)
        with self._process as process:
            assert process.stdout is not None
            _read_lines(process.stdout.fileno(), self.on_line)
        code = process.returncode
        self.exit_code = 128 - code if code < 0 else code
        failure = self.spec.folder / _FAILURE
        if failure.exists() and not self._refused:
            raise ContainerError(f"The container could not be set up: {failure.read_text().strip()}.")
        return self.exit_code

    def terminate(self) -> None:
        """Asks the command and its children to end (SIGTERM); before it runs there is nobody to ask."""
        runs = (self.spec.folder / _RUNNING).exists()
        self._signal(signal.SIGTERM if runs else signal.SIGKILL)

    def kill(self) -> None:
        """Ends everything in the container at once."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        with self._lock:
            self._refused = True
            if self._process is not None and self._process.returncode is None:
                # `unshare` ignores SIGTERM and the kernel shields process 1: it reaches the command.
                processes.signal_group(self._process, number)


def _start(spec: ContainerSpec) -> subprocess.Popen[bytes]:
    folder = spec.folder.absolute()
    for name in ("ml", "work", "tmp", "stash", "layer/upper", "layer/work"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name in (_FAILURE, _RUNNING):  # of an earlier run in the same folder
        (folder / name).unlink(missing_ok=True)
    names = " ".join(spec.hosts)
    (folder / "hosts").write_text(f"127.0.0.1 localhost {names}\n::1 localhost\n", encoding="ascii")
    setup = ["sh", str(_SCRIPT), str(folder), spec.host, str(spec.image or "")]
    return processes.popen(
        [*_NAMESPACES, *([] if spec.network else ["--net"]), *setup, *spec.command],
        env={**spec.environment, "TMPDIR": str(folder / "tmp"), "HOME": str(folder / "work")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=folder,
    )


def remove_folder(folder: Path) -> None:
    """Removes a container's folder. An overlay leaves a folder in it that nobody may enter."""
    for locked in folder.rglob("layer/work/work"):
        locked.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def _read_lines(descriptor: int, on_line: Callable[[str], None]) -> None:
    """Hands on each line as soon as it is whole; a very long one in pieces."""
    rest = b""
    while chunk := os.read(descriptor, 65536):
        *lines, rest = (rest + chunk).split(b"\n")
        while len(rest) > LONGEST_LINE:
            lines.append(rest[:LONGEST_LINE])
            rest = rest[LONGEST_LINE:]
        for line in lines:
            on_line(line.decode("utf-8", "replace").rstrip("\r"))
    if rest:
        on_line(rest.decode("utf-8", "replace").rstrip("\r"))


@cache
def check_host() -> None:
    """Raises ContainerError, saying what to set, when this machine cannot make the namespaces."""
    missing = [tool for tool in ("unshare", "mount", "sh") if shutil.which(tool) is None]
    if missing:
        raise ContainerError(f"{' and '.join(missing)} not found: install the package util-linux.")
    if not Path("/opt").is_dir():
        raise ContainerError("This machine has no folder /opt, under which a container sees its /opt/ml.")
    probe = subprocess.run(
        [*_NAMESPACES, "mount", "-t", "tmpfs", "probe", "/opt"], capture_output=True, text=True, check=False
    )
    if probe.returncode:
        raise ContainerError(
            "Jobs run in Linux namespaces of their own, which this machine does not allow "
            f"({probe.stderr.strip()}). Allow user namespaces: `sysctl -w kernel.unprivileged_userns_clone=1 "
            "user.max_user_namespaces=10000`, on Ubuntu 24.04 also "
            "`sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, in Docker `--security-opt "
            "seccomp=unconfined`."
        )
