"""One measurement a module, with its tables: `python -m benchmarks list`."""
