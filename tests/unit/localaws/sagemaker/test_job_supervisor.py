import threading
import time

import pytest

from localaws.sagemaker.jobs import JobStoppedError, Stop, Supervisor
from tests.waiting import wait_for


@pytest.fixture
def supervisor():
    return Supervisor(slots=2)


def wait_until_logged(log, expected):
    wait_for(lambda: list(log), f"{expected}", 10, until=lambda found: found == expected)


def worker(supervisor, count, log, name, release):
    def work(job):
        try:
            with supervisor.slots(count, job):
                log.append(name)
                release.wait(10)
        except JobStoppedError:
            log.append(f"{name} stopped")

    return work


def test_no_more_containers_than_slots_in_the_order_they_came(supervisor):
    log, releases = [], [threading.Event() for _ in range(4)]
    for number, count in enumerate((1, 2, 1, 5)):
        supervisor.launch(str(number), worker(supervisor, count, log, number, releases[number]))
        time.sleep(0.02)
    wait_until_logged(log, [0])
    time.sleep(0.05)
    assert log == [0], "1 wants both slots; 2 would fit but is behind it"
    releases[0].set()
    wait_until_logged(log, [0, 1])
    releases[1].set()
    wait_until_logged(log, [0, 1, 2])
    time.sleep(0.05)
    assert log == [0, 1, 2], "3 is larger than all slots: it runs alone"
    releases[2].set()
    wait_until_logged(log, [0, 1, 2, 3])
    releases[3].set()
    supervisor.close()


def test_a_job_that_waits_in_line_can_be_stopped(supervisor):
    log, release = [], threading.Event()
    supervisor.launch("a", worker(supervisor, 2, log, "a", release))
    wait_until_logged(log, ["a"])
    supervisor.launch("b", worker(supervisor, 2, log, "b", release))
    assert supervisor.ask_to_stop("b", Stop.USER)
    wait_until_logged(log, ["a", "b stopped"])
    release.set()
    supervisor.close()
    assert not supervisor.ask_to_stop("b", Stop.USER)


def test_close_stops_what_its_prefix_names_and_waits(supervisor):
    def until_stopped(job):
        with job.changed:
            job.changed.wait_for(lambda: job.stop, 10)
        ended.append(job.stop)

    ended = []
    supervisor.launch("x/1", until_stopped)
    supervisor.launch("y/1", until_stopped)
    supervisor.close("x/")
    assert ended == [Stop.CLOSING]
    supervisor.close()
    assert ended == [Stop.CLOSING] * 2
