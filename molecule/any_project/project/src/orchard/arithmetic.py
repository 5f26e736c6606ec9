"""Arithmetic, by a program of the host's."""

import subprocess


def factors(number: int) -> list[int]:
    """Return the prime factors of a number.

    Raises:
        PermissionError: this process may not start the program.
    """
    said = subprocess.run(["/usr/bin/factor", str(number)], capture_output=True, text=True, check=True).stdout
    return [int(word) for word in said.partition(":")[2].split()]
