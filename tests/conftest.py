"""What every tier shares."""

from hypothesis import settings

# No test is timed: a busy machine would fail it for nothing. `make bench` measures.
settings.register_profile("scones", deadline=None)
settings.load_profile("scones")
