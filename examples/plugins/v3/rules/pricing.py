"""What a customer pays."""

from rules.discount import RATES


def price(amount: float) -> float:
    """Give the price after the discount."""
    return amount * (1 - RATES)
