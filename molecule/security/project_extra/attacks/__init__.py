"""Tasks that try to do what the sandbox of a worker forbids. For the scenario security alone."""
