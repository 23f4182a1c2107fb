"""What every tier shares."""

import signal

import pytest
from hypothesis import settings

# No test is timed: a busy machine would fail it for nothing. `make bench` measures.
settings.register_profile("scones", deadline=None)
settings.load_profile("scones")

# Of the functional tests, the modules that take longest. They are begun before the others of their tier, so
# that no worker of `make test` is left with one of them when the rest is done.
LONGEST = {"test_pipeline_commands.py", "test_pipeline.py", "test_persistence.py", "test_review.py"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Functional tests come last: once one has run, the worker's environment points at their local AWS, of
    which unit tests must know nothing.
    """

    def place(item: pytest.Item) -> int:
        if item.path.parent.name != "functional":
            return 0
        return 1 if item.path.name in LONGEST else 2

    items.sort(key=place)


# A shell has what it starts in the background ignore Ctrl-C, nohup has it ignore a hang-up, and children
# inherit that: tests that send them would wait for nothing.
for _number, _handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, _handler)
