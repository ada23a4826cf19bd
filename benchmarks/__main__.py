"""`make bench [WHAT=receiving|reading|pages|percentiles]`: everything in one run, on PostgreSQL, as ratios."""

import argparse
import shutil
import sys

from benchmarks import pages, percentiles, reading, receiving
from benchmarks.place import place


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", help="receiving, reading, pages, percentiles (default: the first two)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=6)
    asked = parser.parse_args()
    what = asked.what or ["receiving", "reading"]
    needed = ("wrk", "pgbench") if "receiving" in what else ()
    if missing := [tool for tool in needed if not shutil.which(tool)]:
        print(f"Needed and not here: {', '.join(missing)} (Debian: apt-get install wrk postgresql)")
        return 1
    with place() as where:
        if "receiving" in what:
            receiving.run(where, rounds=asked.rounds, seconds=asked.seconds)
        if "reading" in what:
            reading.run(where)
        if "pages" in what:
            pages.run(where)
        if "percentiles" in what:
            percentiles.run(where)
    return 0


if __name__ == "__main__":
    sys.exit(main())
