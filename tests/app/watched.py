r"""A command of `minidiffusion` that logs what it writes and where it connects, a line each.

python -m tests.app.watched LOG app --port 0 ...
"""

import os
import sys

from lessons.offline import CONNECTIONS, LOOK_UPS
from minidiffusion.cli.main import main

WRITES = {"os.mkdir", "os.rename", "os.remove", "os.symlink", "os.link"}


def watch(log: str) -> None:
    r"""From now on every file that is written, and every connection that is asked for, is a line in the log."""
    file = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def note(event: str, arguments: tuple) -> None:
        if event in WRITES or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            os.write(file, f"write {os.fsdecode(arguments[0])}\n".encode())
        elif event in LOOK_UPS | CONNECTIONS:
            os.write(file, f"connect {arguments}\n".encode())

    sys.addaudithook(note)


if __name__ == "__main__":
    watch(sys.argv[1])
    sys.exit(main(sys.argv[2:]))
