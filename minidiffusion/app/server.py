r"""The web server of the studio: the page, and the pictures of the history, behind the request filter."""

import socket
from pathlib import Path
from random import Random

import gradio as gr
import uvicorn
from fastapi import FastAPI
from fastapi.responses import FileResponse, PlainTextResponse
from gradio.themes import Base
from starlette.types import ASGIApp

from minidiffusion.errors import UserError
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.pipelines.token_to_image import TokenPipeline

from .handlers import Handlers
from .history import History
from .job_queue import JobQueue
from .page import build
from .request_filter import RequestFilter


def studio(
    model: TextToImage, token_pipeline: TokenPipeline | None, weights: str, folder: str | Path, random: Random
) -> ASGIApp:
    r"""The web application. Arguments as of `Handlers`; folder: where the pictures are saved."""
    history = History(folder)
    app = FastAPI(openapi_url=None)

    @app.get("/pictures/{name}")
    def picture(name: str):
        try:
            return FileResponse(history.path(name), media_type="image/png")
        except UserError as error:
            return PlainTextResponse(f"{error}\n", 404)

    gr.mount_gradio_app(
        app,
        build(Handlers(model, token_pipeline, weights, history, JobQueue(), random)),
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
    r"""Answer requests on that socket until Ctrl-C."""
    config = uvicorn.Config(app, log_level="warning", server_header=False, timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listening])
