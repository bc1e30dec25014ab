"""Programs that write documents: tables, counts and pictures of README and docs."""
