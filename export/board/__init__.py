"""The board pack: the programs and facts beside an exported file that a device needs."""
