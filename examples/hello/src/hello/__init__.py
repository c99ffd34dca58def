"""An example app for archimport."""
