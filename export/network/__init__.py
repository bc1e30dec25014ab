"""Step 1 of an export: the network rewritten for a device."""
