r"""What can be done with prompts and pictures (article 1.2 and 5). Each file of this folder is one action.

    imagine    pictures of a prompt
    vary       pictures like this one (SDEdit)
    repaint    a region is drawn anew
    zoom       the picture shrinks, and its surroundings are drawn
    pan        the canvas grows to one side
    blend      a blend of two to five pictures
    upscale    twice the pixels
    write      pictures of a prompt, by the token pipeline

An action is a function under the decorator `@action` (`action.py`), in a file that bears its name. That file is all
there is to add: the command line, the studio and `again` find it by its name (`registry.py`).
"""

import pkgutil

NO_ACTIONS = ("action", "registry")
"""The files of this folder that hold no action."""


def names() -> list[str]:
    r"""Every other file of this folder is an action and bears its name. Does not import PyTorch."""
    return [each.name for each in pkgutil.iter_modules(__path__) if each.name not in NO_ACTIONS]
