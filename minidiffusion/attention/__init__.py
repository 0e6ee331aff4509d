r"""Attention: queries ask, keys answer, values are passed on (article 2.3, 3.3, 4.2)."""
