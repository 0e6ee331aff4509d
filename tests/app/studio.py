r"""The studio as its users meet it: a process of its own, with tiny weights, and a browser that only speaks HTTP."""

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
TIMEOUT = 170.0
"""Seconds for anything: the machine may be busy."""


@contextmanager
def running(folder: Path, weights: Path | str, log: Path) -> Iterator["Studio"]:
    r"""`minidiffusion app` on a free port; what it writes and where it connects is logged (`watched.py`)."""
    command = [sys.executable, "-m", "tests.app.watched", str(log), "app", "--port", "0", "--threads", "1"]
    command += ["--folder", str(folder), "--weights", str(weights)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    printed: list[str] = []
    ready = threading.Event()

    def listen() -> None:
        for line in process.stdout:
            printed.append(line)
            if "http://" in line:
                ready.set()
        ready.set()  # it ended, too early

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        ready.wait(TIMEOUT)
        address = re.search(r"http://127\.0\.0\.1:\d+", "".join(printed))
        assert address, "".join(printed)
        with log.open("a") as file:
            file.write("ready\n")
        yield Studio(address[0], process.pid, folder, printed)
    finally:
        process.terminate()
        process.wait(TIMEOUT)
        listener.join()
        process.stdout.close()


class Studio:
    r"""printed: the lines in its terminal."""

    def __init__(self, address: str, pid: int, folder: Path, printed: list[str]):
        self.address, self.pid, self.folder, self.printed = address, pid, folder, printed
        config = httpx.get(f"{address}/config", timeout=TIMEOUT).json()
        self.ids = {each["props"].get("elem_id"): each["id"] for each in config["components"]}
        self.labels = {each["props"].get("elem_id"): each["props"].get("value") for each in config["components"]}
        self.names = {number: name for name, number in self.ids.items() if name}
        self.listeners = {(target, event): each for each in config["dependencies"] for target, event in each["targets"]}

    def memory(self) -> float:
        r"""In MB: what the process has in memory now (Linux)."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def pictures(self) -> set[str]:
        return {path.name for path in self.folder.glob("*.png")}


class Session:
    r"""One tab of a browser: it sends events, and collects what the components of the page show then."""

    def __init__(self, studio: Studio):
        self.studio, self.session = studio, uuid.uuid4().hex[:12]
        self.http = httpx.Client(base_url=studio.address, timeout=TIMEOUT)
        self.page: dict[str, Any] = {}

    def send(self, component: str, event: str, *values: Any, **data: Any) -> httpx.Response:
        r"""Send an event and wait for nothing; None stands for values that the server has itself."""
        listener = self.studio.listeners[self.studio.ids[component], event]
        body = {"fn_index": listener["id"], "data": [*values], "event_data": data, "session_hash": self.session}
        return self.http.post("/gradio_api/queue/join", json=body)

    def click(self, component: str, event: str, *values: Any, **data: Any) -> dict[str, Any]:
        r"""Send an event, and wait for the last update. Returns what the page shows then."""
        assert self.send(component, event, *values, **data).status_code == 200
        for message in self.messages():
            if message["msg"] == "process_completed":
                break
        return self.page

    def messages(self) -> Iterator[dict[str, Any]]:
        with self.http.stream("GET", "/gradio_api/queue/data", params={"session_hash": self.session}) as lines:
            for line in lines.iter_lines():
                if line.startswith("data: "):
                    message = json.loads(line.removeprefix("data: "))
                    self.update(message.get("output", {}).get("data") or [])
                    yield message
                    if message["msg"] == "close_stream":  # there is nothing left to wait for
                        return

    def update(self, data: list[Any]) -> None:
        r"""A component is sent whole, or as its changes since the last time: [["replace" or "append", where, text]]."""
        outputs = next(iter(self.studio.listeners.values()))["outputs"]
        for component, sent in zip(outputs, data, strict=False):
            name = self.studio.names.get(component, "")
            match sent:
                case str() | [["replace", [], str()]]:
                    self.page[name] = sent if isinstance(sent, str) else sent[0][2]
                case [["append", [], str(more)]]:
                    self.page[name] += more

    def imagine(self, prompt: str, model: str = "diffusion") -> dict[str, Any]:
        return self.click("imagine", "click", prompt, model)
