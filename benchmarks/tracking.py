"""Measure what MLflow costs: processor time of its writer, from its start to the last run.

    python -m benchmarks.tracking [--results results]

writes every record below the results folder into a new SQLite store, as `sweeps sync` does and as the writer beside a
running sweep does, and prints the processor time of importing, of making the database and of each run. Wall-clock time
is left out: the writer is a process of its own and trials do not wait for it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path


def main() -> int:
    """Write the runs, print the costs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"), help="default: results")
    arguments = parser.parse_args()
    if not any(arguments.results.glob("*/*/log.jsonl")):
        parser.error(f"--results {arguments.results}: no <sweep>/<dataset>/log.jsonl below it; run a sweep first")
    begin = time.process_time()
    from sweeps.tracking.database import open_client, prepare_environment, sqlite_uri
    from sweeps.tracking.projection import sync

    prepare_environment()
    import mlflow  # noqa: F401 (its import is what is measured)

    imported = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        uri = sqlite_uri(Path(folder) / "mlflow.db")
        open_client(uri)
        made = time.process_time()
        report = sync(arguments.results, uri)
        written = time.process_time()
        sync(arguments.results, uri)
        looked = time.process_time()
    print(f"importing          {imported - begin:8.2f} s")
    print(f"a new database     {made - imported:8.2f} s")
    a_run_ms = 1e3 * (written - made) / report.n_written
    print(f"{report.n_written:5d} runs         {written - made:8.2f} s, {a_run_ms:.1f} ms a run")
    print(f"nothing to do      {looked - written:8.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
