"""The side-by-side benchmark: `make bench`, docs/performance.md."""
