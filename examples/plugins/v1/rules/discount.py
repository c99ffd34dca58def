"""The discount of the day."""

RATE = 0.10
