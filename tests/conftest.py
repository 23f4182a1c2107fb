"""What every tier shares."""

import signal

from hypothesis import settings

# No test is timed: a busy machine would fail it for nothing. `make bench` measures.
settings.register_profile("scones", deadline=None)
settings.load_profile("scones")

# A shell has what it starts in the background ignore Ctrl-C, and children inherit that: tests that send it
# would wait for nothing.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
