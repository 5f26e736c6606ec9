"""Stands for python-systemd in modules under test: with it a module writes to the journal, without it to syslog. Here it is a file."""
