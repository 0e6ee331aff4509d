r"""Figures for the lessons. The only package that imports matplotlib.

Every function returns a matplotlib Figure that pyplot has already forgotten: a notebook shows it once, as the value of
the cell, and nothing piles up in memory. Colour-blind eyes tell the colours apart as well (Okabe & Ito 2008, viridis).
"""

from .base import pixels
from .mcmc import chains
from .pictures import compare, denoising_steps, grid, strip
from .plots import bits_per_step, densities, forward_process, lines, panels, scatter, vector_fields
from .samplers import convergence, trajectories
from .source import show_source

__all__ = [
    "bits_per_step",
    "chains",
    "compare",
    "convergence",
    "denoising_steps",
    "densities",
    "forward_process",
    "grid",
    "lines",
    "panels",
    "pixels",
    "scatter",
    "show_source",
    "strip",
    "trajectories",
    "vector_fields",
]
