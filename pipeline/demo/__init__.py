"""`scones demo`: the whole workflow on this machine."""
