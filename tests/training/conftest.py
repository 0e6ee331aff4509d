"""Lets the tests of this folder import `tiny_task`, and gives them a process that trains it in children."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


class Nursery:
    """Starts trainings in processes of their own, which may be killed. See `tiny_task.main`."""

    def __init__(self, process: subprocess.Popen):
        self.process = process
        self._read("ready")

    def start(self, **job) -> int:
        self._write(job)
        return self._read("child")

    def next_step(self) -> int:
        return self._read("step")

    def wait(self, child: int) -> int:
        self._write({"wait": child})
        return self._read("ended")

    def free_port(self) -> int:
        """Free a moment ago: ask for it just before it is used, or another process may have taken it."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return free.getsockname()[1]

    def _write(self, message: dict) -> None:
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def _read(self, key: str) -> int:
        """The next message of this kind; the others are passed over."""
        for line in self.process.stdout:
            try:
                message = json.loads(line)
            except ValueError:
                continue
            if isinstance(message, dict) and key in message:
                return message[key]
        raise AssertionError("the nursery has died; its complaint stands above")


@pytest.fixture(scope="session")
def nursery():
    if os.name != "posix":
        pytest.skip("needs fork and SIGKILL")
    path = os.pathsep.join([str(HERE.parents[1]), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": path}
    command = [sys.executable, str(HERE / "tiny_task.py")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        yield Nursery(process)
        process.kill()  # it has nothing to put in order, and its interpreter has been seen to hang when it ends
