"""Where a graph runs: device, precision, processes, and the configuration of its session."""
