"""Children and their children end with the process that started them, however it ends."""

import operator
import os
import signal
import subprocess
import sys

import pytest

from localaws import processes, reaper
from tests.waiting import wait_for

# A parent that starts, through `popen`, a shell that leaves a grandchild in a session of its own.
PARENT = """
import sys, time
from localaws import processes
script = "setsid sleep 1000 & env -i sleep 1000 & echo $!; exec sleep 1000"
child = processes.popen(["sh", "-c", script], stdout=sys.stdout)
print(child.pid, processes._mark, flush=True)
time.sleep(1000)
"""


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def parent():
    process = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_the_parent(parent, number):
    lines = [parent.stdout.readline().split() for _ in range(2)]
    child, mark = next((int(line[0]), line[1]) for line in lines if len(line) == 2)
    without_environment = next(int(line[0]) for line in lines if len(line) == 1)
    both = "the child and the one in a session of its own"
    wait_for(lambda: reaper.marked(mark), both, 10, until=lambda found: len(found) == 2)
    assert is_alive(without_environment)
    parent.send_signal(number)
    parent.wait()
    wait_for(lambda: reaper.marked(mark), "the end of both", 10, until=operator.not_)
    wait_for(lambda: not is_alive(child), "the end of the child", 10)
    wait_for(lambda: not is_alive(without_environment), "the end of the one without environment", 10)


def test_stop_ends_the_whole_group_politely_first():
    script = "trap 'echo bye; exit 3' TERM; sleep 1000 & echo $!; wait"
    process = processes.popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True)
    grandchild = int(process.stdout.readline())
    assert processes.stop(process) == 3
    assert process.stdout.read() == "bye\n"
    process.stdout.close()
    wait_for(lambda: not is_alive(grandchild), "the end of the grandchild", 10)


def test_stop_kills_what_does_not_listen():
    script = "trap '' TERM; echo ready; while :; do sleep 1; done"
    process = processes.popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    assert processes.stop(process, grace=0.2) == -signal.SIGKILL
    process.stdout.close()


def test_the_environment_is_what_was_given_and_the_mark():
    process = processes.popen(
        [sys.executable, "-c", "import os; print(sorted(os.environ))"],
        env={"ONLY": "this"},
        stdout=subprocess.PIPE,
        text=True,
    )
    out, _ = process.communicate()
    assert set(eval(out)) - {"LC_CTYPE"} == {"ONLY", reaper.VARIABLE}


def test_leftovers_are_found_by_their_mark_only():
    mark = f"test-{os.getpid()}"
    mine = subprocess.Popen(["sleep", "1000"], env={reaper.VARIABLE: mark})
    other = subprocess.Popen(["sleep", "1000"], env={reaper.VARIABLE: mark + "0"})
    try:
        assert reaper.sweep(mark) == 1
        assert mine.wait(5) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
