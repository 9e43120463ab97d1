"""What scripts/benchmark.py measures: each side of a comparison, the races between them, the machine and the report."""
