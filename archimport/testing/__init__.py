"""Plugins for tools that look for tests and sources in files: pytest, coverage.py and debugpy."""
