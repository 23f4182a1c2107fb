"""What every tier shares."""

import signal

from hypothesis import settings

# No test is timed: a busy machine would fail it for nothing. `make bench` measures.
settings.register_profile("scones", deadline=None)
settings.load_profile("scones")

# A shell has what it starts in the background ignore Ctrl-C, nohup has it ignore a hang-up, and children
# inherit that: tests that send them would wait for nothing.
for _number, _handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, _handler)
