"""Speed and memory, each beside what a user would do otherwise. Run by `make bench`."""

import os
import sys

if not sys.stdout.isatty():  # a file has no width, and Rich would fold its tables at 80 columns
    os.environ.setdefault("COLUMNS", "120")
