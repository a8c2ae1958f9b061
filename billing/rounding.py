"""The only place where money is rounded (RULES B.2)."""


def R(quantity: int, price_e8: int, per: int) -> int:
    """`quantity × price_e8 / per`, rounded half up to a whole e8. All three are non-negative, `per` > 0.

    Totals are rounded and bills are differences of rounded totals: so the lines of a month add up to the
    rounded month however the usage fell into hours (G9). Python's integers do not overflow; the product must
    never be left to the database (2 × bytes × price leaves 64 bits from about 0.3 TB).
    """
    assert quantity >= 0 and price_e8 >= 0 and per > 0
    return (2 * quantity * price_e8 + per) // (2 * per)
