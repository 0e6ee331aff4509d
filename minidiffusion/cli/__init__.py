r"""The command line: `minidiffusion COMMAND ...`.

    main          which command is meant, help, and what becomes of errors
    options       what all commands share: parsing, threads, weights, --out
    draw          what the commands that draw share: from prompts to files
    imagine       imagine, by diffusion or by tokens; flags
    action        a command for every file of actions/
    again         a picture, made again from its record
    look          cross-attention maps: where it looked for each word
    describe      from a picture to a prompt: describe, shorten
    applications  book, icons, pattern
    clip          clip (which sentence fits a picture?), search
    train         train a network
    evaluate      evaluate a model
    studio        app, the studio in a browser

PyTorch alone takes a second or more to import. So commands import what they need when their options are parsed.
"""

from .main import main

__all__ = ["main"]
