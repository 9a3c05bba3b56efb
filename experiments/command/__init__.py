"""What makes a command of an experiment, and of a benchmark: flags, and the process."""
