"""Programs that write documents and measure nothing."""
