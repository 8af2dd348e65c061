"""Values of networks' parameters: where they come from, and reading them without running anything in the file."""
