"""The command line: parses, builds the frozen config, calls the stage, prints its summary, picks the exit code."""
