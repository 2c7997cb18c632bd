"""Who asks: HTTP and the command line; knows all floors below."""
