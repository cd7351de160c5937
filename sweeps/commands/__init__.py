"""One module a group of commands: each adds its parsers, and does its heavy imports only when called."""
