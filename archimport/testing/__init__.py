"""Plugins for tools that look for tests and sources in files: pytest and coverage.py."""
