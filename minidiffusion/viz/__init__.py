r"""Figures for the lessons. The only room that imports matplotlib.

Every function returns a matplotlib Figure that pyplot has already forgotten: a notebook shows it once, as the value of
the cell, and nothing piles up in memory. Colour-blind eyes tell the colours apart as well (Okabe & Ito 2008, viridis).
"""

from minidiffusion.viz.base import pixels
from minidiffusion.viz.mcmc import chains
from minidiffusion.viz.pictures import compare, grid, prompt_path, strip
from minidiffusion.viz.plots import arrows, budget, destruction, hills, lines, panels, scatter
from minidiffusion.viz.samplers import orders, ways
from minidiffusion.viz.source import show_source

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
