"""`./run bench [--only NAME] [--json FILE]`: how fast we are, as ratios; docs/performance.md explains each figure.

Exit code 1 when a goal is missed. `--small` runs everything on tiny amounts, where the figures say nothing.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from app.core.log import configure_logging
from benchmarks import acknowledging, approving, files, ibans, pages, receiving
from benchmarks.measuring import Figure, Scale, all_hold

BENCHMARKS: Mapping[str, Callable[[Scale], list[Figure]]] = {
    "acknowledging": acknowledging.measure,
    "approving": approving.measure,
    "files": files.measure,
    "ibans": ibans.measure,
    "pages": pages.measure,
    "receiving": receiving.measure,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks that were asked for and print their figures."""
    parser = argparse.ArgumentParser(prog="./run bench", description="How fast we are, as ratios.")
    parser.add_argument("--only", action="append", choices=sorted(BENCHMARKS), help="may be given more than once")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--small", action="store_true", help="tiny amounts: shows that it works, not how fast")
    options = parser.parse_args(arguments)
    return report(run(options.only or list(BENCHMARKS), Scale(small=options.small)), options.json)


def run(names: Sequence[str], scale: Scale) -> list[Figure]:
    """Run these benchmarks one after the other."""
    figures: list[Figure] = []
    for name in names:
        print(f"{name} ...", flush=True)
        begun = time.monotonic()
        figures += BENCHMARKS[name](scale)
        print(f"    {time.monotonic() - begun:.0f} s", flush=True)
    return figures


def report(figures: Sequence[Figure], file: Path | None) -> int:
    """Print the figures, write them to the file when there is one, and return the exit code: 1 for a missed goal."""
    print()
    for figure in figures:
        print(figure)
    if file is not None:
        file.write_text(json.dumps([figure.as_json() for figure in figures], indent=2) + "\n", encoding="utf-8")
    return 0 if all_hold(figures) else 1


if __name__ == "__main__":
    configure_logging("ERROR")  # the service's own lines would bury the figures
    sys.exit(main())
