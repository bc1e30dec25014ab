"""One measurement per module, with its tables; `python -m benchmarks list` shows them."""
