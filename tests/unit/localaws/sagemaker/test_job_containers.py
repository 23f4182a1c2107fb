import os
import subprocess
import threading
import time
from pathlib import Path

import psutil
import pytest

from localaws.sagemaker.containers import Container, ContainerError, ContainerSpec, remove_folder
from localaws.sagemaker.jobs import Job, Stop, run_containers
from tests.waiting import wait_for

PATH = {"PATH": os.environ["PATH"]}


@pytest.fixture
def make(tmp_path):
    def make(*command, host="algo-1", hosts=("algo-1",), **environment):
        lines = []
        spec = ContainerSpec(command, PATH | environment, tmp_path / host, host, hosts)
        return Container(spec, lines.append), lines

    return make


def test_a_container_sees_its_own_opt_ml_and_leaves_nothing_on_the_host(make):
    before = sorted(Path("/opt").iterdir())
    mounts = Path("/proc/self/mounts").read_text()
    container, lines = make("sh", "-c", "echo there > /opt/ml/file; ls /opt; echo $COLOUR", COLOUR="red")
    assert container.run() == 0
    assert (container.spec.folder / "ml" / "file").read_text() == "there\n"
    assert set(lines) == {path.name for path in before} | {"ml", "red"}
    assert sorted(Path("/opt").iterdir()) == before
    assert Path("/proc/self/mounts").read_text() == mounts


def test_what_is_installed_goes_with_the_container(tmp_path):
    image = tmp_path / "image"
    (image / "lib").mkdir(parents=True)
    (image / "lib" / "old").write_text("old\n")
    script = f"cd {image}/lib; cat old; echo new > new && rm old; ls"
    spec = ContainerSpec(("sh", "-c", script), PATH, tmp_path / "run", image=image)
    lines = []
    assert Container(spec, lines.append).run() == 0
    # Without overlays the folder is read-only in there, and `ls` still shows what it was.
    assert lines[0] == "old"
    assert lines[-1] in ("new", "old")
    assert [path.name for path in (image / "lib").iterdir()] == ["old"]
    remove_folder(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_lives_under_opt_still_runs(make):
    """Interpreters may be installed there."""
    if not any(Path("/opt").iterdir()):
        pytest.skip("nothing under /opt on this machine")
    entry = next(Path("/opt").iterdir())
    container, lines = make("stat", "-c", "%i", str(entry))
    container.run()
    assert lines == [str(entry.stat().st_ino)]


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137), ("kill -TERM $$", 143), ("no-such-command", 127)],
)
def test_exit_codes(make, script, code):
    assert make("sh", "-c", script)[0].run() == code


def test_a_missing_entry_point_is_told_as_docker_tells_it(make):
    container, lines = make("/no/such/program")
    assert container.run() == 127
    assert lines == ['exec: "/no/such/program": executable file not found in $PATH']


def test_lines_come_as_they_are_written(make):
    heard = []
    container, _ = make("sh", "-c", "echo one; sleep 0.4; printf 'two\\r\\nthr\\377ee'; echo err >&2")
    container.on_line = lambda line: heard.append((time.monotonic(), line))
    container.run()
    assert [line for _, line in heard] == ["one", "two", "thr\ufffdeeerr"]
    assert heard[1][0] - heard[0][0] > 0.3


def test_a_very_long_line_comes_in_pieces(make):
    container, lines = make("sh", "-c", "head -c 600000 /dev/zero | tr '\\0' x; echo; echo end")
    container.run()
    assert "".join(lines) == "x" * 600_000 + "end"
    assert max(map(len, lines)) <= 262_144


def test_what_the_command_leaves_behind_ends_with_it(make):
    container, _ = make("sh", "-c", "sleep 987 & echo $!")
    started = time.monotonic()
    assert container.run() == 0
    assert time.monotonic() - started < 5
    assert not any("987" in (process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"]))


def start(container):
    thread = threading.Thread(target=container.run)
    thread.start()
    return thread


def test_terminate_reaches_the_command_and_its_children(make):
    child = "trap 'echo child asked; exit' TERM; echo up; sleep 60 & wait"
    script = "trap 'wait; echo asked; exit 5' TERM; sh -c \"$CHILD\" & wait"
    container, lines = make("sh", "-c", script, CHILD=child)
    thread = start(container)
    wait_for(lambda: "up" in lines, "the line")
    container.terminate()
    thread.join(10)
    assert container.exit_code == 5
    assert lines == ["up", "child asked", "asked"]


def test_kill_needs_no_consent(make):
    container, lines = make("sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done")
    thread = start(container)
    wait_for(lambda: lines, "a line")
    container.terminate()
    thread.join(0.3)
    assert thread.is_alive()
    container.kill()
    thread.join(10)
    assert container.exit_code == 137


def test_a_container_that_was_ended_before_it_began_does_not_begin(make):
    container, lines = make("echo", "never")
    container.terminate()
    assert container.run() == 137
    assert lines == []


@pytest.mark.parametrize("seconds", [0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1])
def test_a_container_can_be_ended_at_every_moment(make, seconds):
    container, _ = make("sleep", "60")
    thread = start(container)
    time.sleep(seconds)
    container.terminate()
    thread.join(5)
    assert container.exit_code in (137, 143)


def specs(make, *scripts):
    hosts = [f"algo-{number}" for number in range(1, len(scripts) + 1)]
    return [
        make("sh", "-c", script, host=host, hosts=hosts)[0].spec
        for script, host in zip(scripts, hosts, strict=True)
    ]


def test_one_container_that_fails_ends_the_others(make):
    started = time.monotonic()
    codes = run_containers(Job(), specs(make, "sleep 60", "exit 4"), lambda *_: None, 60)
    assert codes[1] == 4
    assert time.monotonic() - started < 10


def test_the_time_limit(make):
    job = Job()
    assert run_containers(job, specs(make, "sleep 60"), lambda *_: None, 1.0) == [143]
    assert job.stop is Stop.TIMEOUT


def test_closing_waits_for_nobody(make):
    job, up = Job(), threading.Event()
    spec = specs(make, "trap '' TERM; echo up; while :; do sleep 1; done")
    timer = threading.Thread(
        target=lambda: (up.wait(10), job.ask_to_stop(Stop.USER), job.ask_to_stop(Stop.CLOSING))
    )
    timer.start()
    started = time.monotonic()
    assert run_containers(job, spec, lambda *_: up.set(), 60) == [137]
    assert time.monotonic() - started < 10
    timer.join()


def test_a_machine_without_namespaces_says_what_to_set():
    """A real `unshare` that is refused: by a limit of no user namespaces at all, set in one of our own."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from localaws.sagemaker.containers import check_host, ContainerError\n"
        "try: check_host()\n"
        "except ContainerError as error: print(error)\n"
    )
    limit = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    root = Path(__file__).parents[4]
    done = subprocess.run(
        [
            "unshare",
            "--user",
            "--map-root-user",
            "sh",
            "-c",
            limit,
            "sh",
            os.sys.executable,
            "-c",
            script,
            root,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if not done.stdout:
        pytest.skip(f"the limit could not be set here: {done.stderr}")
    assert "which this machine does not allow" in done.stdout
    assert "kernel.unprivileged_userns_clone=1" in done.stdout


def test_missing_tools_are_named(monkeypatch):
    from localaws.sagemaker import containers

    monkeypatch.setenv("PATH", "/nowhere")
    containers.check_host.cache_clear()
    try:
        with pytest.raises(ContainerError, match=r"unshare and mount and sh not found: install .*util-linux"):
            containers.check_host()
    finally:
        containers.check_host.cache_clear()
