"""`make bench`: every subject in turn, or those that are named (`python -m tests.bench etl gateway`).

Each subject runs in a process of its own, so that one's memory and environment are not the next one's. The
ablation of the training recipe takes hours and is started by itself: `python -m tests.bench.ablation`.
"""

import subprocess
import sys

SUBJECTS = (
    "etl",
    "photographs",
    "jobs",
    "gateway",
    "endpoints",
    "workflow",
    "map",
    "drift",
    "training",
    "serving",
)


def main(names: list[str]) -> int:
    """0 when every subject ended well; what failed is named last, after all have run."""
    unknown = sorted(set(names) - set(SUBJECTS))
    if unknown:
        print(f"no such bench: {', '.join(unknown)}; there are {', '.join(SUBJECTS)}", file=sys.stderr)
        return 2
    failed = [
        name
        for name in names or SUBJECTS
        if subprocess.run([sys.executable, "-m", f"tests.bench.{name}"], check=False).returncode
    ]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
