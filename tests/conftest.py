"""What every tier shares."""

import gc
import signal

from hypothesis import settings

# No test is timed: a busy machine would fail it for nothing. `make bench` measures.
settings.register_profile("scones", deadline=None)
settings.load_profile("scones")

# Clients are made of thousands of objects, and tests make hundreds of them: each time, Python would look for
# cycles in all that the SageMaker SDK has loaded, for seconds.
gc.set_threshold(50_000, 20, 50)

# A shell has what it starts in the background ignore Ctrl-C, nohup has it ignore a hang-up, and children
# inherit that: tests that send them would wait for nothing.
for _number, _handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, _handler)
