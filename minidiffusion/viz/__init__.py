r"""Figures for the lessons. The only room that imports matplotlib.

Every function returns a matplotlib Figure that pyplot has already forgotten: a notebook shows it once, as the value of
the cell, and nothing piles up in memory. Colour-blind eyes tell the colours apart as well (Okabe & Ito 2008, viridis).
"""

from .base import pixels
from .mcmc import chains
from .pictures import compare, grid, prompt_path, strip
from .plots import arrows, budget, destruction, hills, lines, panels, scatter
from .samplers import orders, ways
from .source import show_source

__all__ = [
    "arrows",
    "budget",
    "chains",
    "compare",
    "destruction",
    "grid",
    "hills",
    "lines",
    "orders",
    "panels",
    "pixels",
    "prompt_path",
    "scatter",
    "show_source",
    "strip",
    "ways",
]
