r"""What the kernels become on a GPU, read from the machine code. No GPU is needed, and nothing here is a time.

    python -m minidiffusion_kernels.codegen                       every shipped configuration on every generation: long
    python -m minidiffusion_kernels.codegen attention --cc 80 90  those with "attention" in their name, on A100 and H100
    python -m minidiffusion_kernels.codegen --csv build/codegen.csv

cases.py lists what is shipped, compile.py compiles it without a card, measure.py makes one row of figures of it, with
the help of sass.py (instructions and loops), widths.py (accesses to memory) and occupancy.py (what fits together).
"""

__all__: list[str] = []  # a command: what it is made of is imported module by module
