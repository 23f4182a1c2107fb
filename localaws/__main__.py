"""`python -m localaws --state-dir DIR --port N`: AWS on this machine, in the foreground."""

from __future__ import annotations

import argparse
import gc
import sys
from pathlib import Path

from localaws.server import ServerError, serve


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m localaws", description=__doc__)
    parser.add_argument("--state-dir", type=Path, default=Path(".scones"), help="where everything is kept")
    parser.add_argument(
        "--port", type=int, default=0, help="loopback port; 0 takes the last one, or a free one"
    )
    arguments = parser.parse_args()
    try:
        serve(arguments.state_dir, arguments.port)
    except ServerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    # Python would look through all of moto's objects once more before it ends: seconds, after a demo.
    gc.freeze()
    return 0


if __name__ == "__main__":
    sys.exit(main())
