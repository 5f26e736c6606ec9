"""The test bench: systemd hosts under Podman, a mail sink, the demo, the test runner. No role knows of it."""
