"""One module per command: ``run(config) -> summary`` reads files and writes files; nothing here parses arguments."""
