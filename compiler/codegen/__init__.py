"""From a kernel to what a machine runs: a primitive with its attributes, or one readable source."""
