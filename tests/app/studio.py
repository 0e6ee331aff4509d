r"""The studio as its users meet it: a process of its own, with tiny weights, and somebody who speaks HTTP to it."""

import json
import os
import re
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]
PATIENCE = 170.0
"""Seconds for anything: the machine may be busy."""


@contextmanager
def running(folder: Path, weights: Path | str, notes: Path) -> Iterator["Studio"]:
    r"""`minidiffusion app` on a free port, watched (`watched.py`)."""
    command = [sys.executable, "-m", "tests.app.watched", str(notes), "app", "--port", "0", "--threads", "1"]
    command += ["--folder", str(folder), "--weights", str(weights)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    said: list[str] = []
    ready = threading.Event()

    def listen() -> None:
        for line in process.stdout:
            said.append(line)
            if "http://" in line:
                ready.set()
        ready.set()  # it ended, too early

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        ready.wait(PATIENCE)
        address = re.search(r"http://127\.0\.0\.1:\d+", "".join(said))
        assert address, "".join(said)
        with notes.open("a") as file:
            file.write("ready\n")
        yield Studio(address[0], process.pid, folder, said)
    finally:
        process.terminate()
        process.wait(PATIENCE)
        listener.join()
        process.stdout.close()


class Studio:
    r"""said: the lines on its terminal."""

    def __init__(self, address: str, pid: int, folder: Path, said: list[str]):
        self.address, self.pid, self.folder, self.said = address, pid, folder, said
        config = httpx.get(f"{address}/config", timeout=PATIENCE).json()
        self.ids = {each["props"].get("elem_id"): each["id"] for each in config["components"]}
        self.names = {number: name for name, number in self.ids.items() if name}
        self.clicks = {(target, event): each for each in config["dependencies"] for target, event in each["targets"]}

    def visit(self) -> "Visit":
        return Visit(self)

    def memory(self) -> float:
        r"""In MB: what the process has in memory now (Linux)."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def pictures(self) -> set[str]:
        return {path.name for path in self.folder.glob("*.png")}


class Visit:
    r"""One browser: it clicks, and collects what the parts of the page show then."""

    def __init__(self, studio: Studio):
        self.studio, self.session = studio, uuid.uuid4().hex[:12]
        self.http = httpx.Client(base_url=studio.address, timeout=PATIENCE)
        self.page: dict[str, Any] = {}

    def ask(self, part: str, event: str, *values: Any, **told: Any) -> httpx.Response:
        r"""Only ask; None stands for what the server knows itself."""
        click = self.studio.clicks[self.studio.ids[part], event]
        body = {"fn_index": click["id"], "data": [*values], "event_data": told, "session_hash": self.session}
        return self.http.post("/gradio_api/queue/join", json=body)

    def click(self, part: str, event: str, *values: Any, **told: Any) -> dict[str, Any]:
        r"""Ask, and wait for the end of the answer. Returns what the page shows then."""
        assert self.ask(part, event, *values, **told).status_code == 200
        for message in self.messages():
            if message["msg"] == "process_completed":
                break
        return self.page

    def messages(self) -> Iterator[dict[str, Any]]:
        with self.http.stream("GET", "/gradio_api/queue/data", params={"session_hash": self.session}) as lines:
            for line in lines.iter_lines():
                if line.startswith("data: "):
                    message = json.loads(line.removeprefix("data: "))
                    self.show(message.get("output", {}).get("data") or [])
                    yield message
                    if message["msg"] == "close_stream":  # nothing that was asked for is left
                        return

    def show(self, data: list[Any]) -> None:
        r"""A part is sent whole, or as what changed since the last time: [["replace" or "append", where, text]]."""
        outputs = next(iter(self.studio.clicks.values()))["outputs"]
        for part, sent in zip(outputs, data, strict=False):
            name = self.studio.names.get(part, "")
            match sent:
                case str() | [["replace", [], str()]]:
                    self.page[name] = sent if isinstance(sent, str) else sent[0][2]
                case [["append", [], str(more)]]:
                    self.page[name] += more

    def imagine(self, prompt: str, road: str = "diffusion") -> dict[str, Any]:
        return self.click("go", "click", prompt, road)
