"""Rules that people change while programs run."""
