"""Tools for developers of the project; none runs on a host."""
