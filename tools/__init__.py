"""Programs that write documents: tables, counts, pictures and notebooks."""
