"""The command line: running the service, setting it up without pages, looking after it, and the demo."""
