"""Step 1 of an export: the network is rewritten for a device."""
