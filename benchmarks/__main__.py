"""`python -m benchmarks [--quick]`: every benchmark, one after the other, each in a process of its own."""

import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Run all benchmarks with the arguments given and return the worst exit code."""
    worst = 0
    for path in sorted(Path(__file__).parent.glob("bench_*.py")):
        print(f"\n=== {path.stem} ===", flush=True)
        worst = max(worst, subprocess.run([sys.executable, "-m", f"benchmarks.{path.stem}", *sys.argv[1:]]).returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main())
