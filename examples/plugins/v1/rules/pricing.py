"""What a customer pays."""

from rules.discount import RATE


def price(amount: float) -> float:
    """Give the price after the discount."""
    return amount * (1 - RATE)
