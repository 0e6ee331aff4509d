r"""The door of the studio: which requests come in at all.

address     only this machine is listened to
host        only its names are answered to, so that no foreign page can borrow one (DNS rebinding), and a page from
            elsewhere may not ask for anything (Origin)
paths       Gradio can do much that this page does not need: files, uploads, proxies, an API. What is not needed is
            not there
size        of what is sent: a picture of 1024 x 1024, and not more
answers     a browser loads nothing from anywhere else (Content-Security-Policy)
"""

import re
import socket
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import gradio as gr
import uvicorn
from fastapi import FastAPI
from fastapi.responses import FileResponse, PlainTextResponse
from gradio.themes import Base
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.pipelines.token_to_image import TokenPipeline

from minidiffusion.app.handlers import Handlers
from minidiffusion.app.job_queue import JobQueue
from minidiffusion.app.history import History
from minidiffusion.app.page import build

HOSTS = ("127.0.0.1", "localhost")
MOST_BYTES = 6 * 2**20
PATHS = {
    "GET": r"/|/config|/theme\.css|/favicon\.ico|/manifest\.json|/(assets|static|pictures)/[^/].*"
    r"|/gradio_api/(startup-events|queue/data|heartbeat/\w+)",
    "POST": r"/gradio_api/(queue/join|cancel|reset)",
}
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "object-src 'none'; frame-ancestors 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class RequestFilter:
    r"""Lets a request in, or answers with one sentence why not."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *((k.encode(), v.encode()) for k, v in HEADERS.items())]
            await send(message)

        body = b""
        refusal = refuse(scope)
        while refusal is None:
            message = await receive()
            body += message.get("body", b"")
            if len(body) > MOST_BYTES:
                refusal = 413, f"At most {MOST_BYTES >> 20} MB can be sent."
            if not message.get("more_body"):
                break
        if refusal is not None:
            status, sentence = refusal
            await PlainTextResponse(sentence + "\n", status)(scope, receive, answer)
            return
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return whole.pop() if whole else await receive()

        await self.app(scope, again, answer)


def refuse(scope: Scope) -> tuple[int, str] | None:
    r"""Why a request is not let in, as a status and a sentence."""
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    if name_of("//" + headers.get("host", "")) not in HOSTS:
        return 421, f"This studio answers to {' and '.join(HOSTS)} only."
    if "origin" in headers and name_of(headers["origin"]) not in HOSTS:
        return 403, "Other pages cannot use this studio."
    if not re.fullmatch(PATHS.get(scope["method"], "(?!)"), scope["path"]):
        return 404, "There is nothing here."
    if int(headers.get("content-length", "0") or 0) > MOST_BYTES:
        return 413, f"At most {MOST_BYTES >> 20} MB can be sent."
    return None


def name_of(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def studio(model: TextToImage, writer: TokenPipeline | None, weights: str, folder: str | Path, random: Random) -> ASGIApp:
    r"""The whole studio: the page, and the pictures that it shows. writer: None if the weights have no tokens."""
    history = History(folder)
    app = FastAPI(openapi_url=None)

    @app.get("/pictures/{name}")
    def picture(name: str):
        try:
            return FileResponse(history.path(name), media_type="image/png")
        except ValueError as error:
            return PlainTextResponse(f"{error}\n", 404)

    gr.mount_gradio_app(
        app,
        build(Handlers(model, writer, weights, history, JobQueue(), random)),
        path="/",
        theme=Base(primary_hue="orange", font="system-ui", font_mono="ui-monospace"),
        css_paths=Path(__file__).with_name("page.css"),
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        enable_monitoring=False,
        max_file_size=0,
    )
    return RequestFilter(app)


def serve(app: ASGIApp, listening: socket.socket) -> None:
    r"""Answer until Ctrl-C."""
    config = uvicorn.Config(app, log_level="warning", server_header=False, timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listening])
