r"""A request filter in front of the web server (ASGI middleware): which HTTP requests are answered at all.

host        only the names of this machine, so that no foreign page can borrow one (DNS rebinding)
origin      no page from another server may send requests (cross-site request forgery)
path        Gradio can do much that this page does not need: files, uploads, proxies, an API. All that is 404
size        of a body: what a picture of 1024 x 1024 needs, and not more
answers     a browser loads nothing from another server (Content-Security-Policy)
"""

import re
from urllib.parse import urlsplit

from fastapi.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOSTS = ("127.0.0.1", "localhost")
MAX_BYTES = 6 * 2**20
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
TOO_LARGE = PlainTextResponse(f"The body of a request must have at most {MAX_BYTES >> 20} MB.\n", 413)


class RequestFilter:
    r"""Passes a request on to the app, or answers with a status and a sentence."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *((k.encode(), v.encode()) for k, v in HEADERS.items())]
            await send(message)

        body = b""
        refusal = refuse(scope)
        while refusal is None:
            message = await receive()
            body += message.get("body", b"")
            if len(body) > MAX_BYTES:
                refusal = TOO_LARGE
            if not message.get("more_body"):
                break
        if refusal is not None:
            return await refusal(scope, receive, send_with_headers)
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_again() -> Message:
            return whole.pop() if whole else await receive()

        await self.app(scope, receive_again, send_with_headers)


def refuse(scope: Scope) -> PlainTextResponse | None:
    r"""The answer to a request that is refused because of its head; None if it is not."""
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    if hostname("//" + headers.get("host", "")) not in HOSTS:
        return PlainTextResponse(f"Host must be {' or '.join(HOSTS)}.\n", 421)
    if "origin" in headers and hostname(headers["origin"]) not in HOSTS:
        return PlainTextResponse(f"Origin must be {' or '.join(HOSTS)}; other pages cannot use the studio.\n", 403)
    if not re.fullmatch(PATHS.get(scope["method"], "(?!)"), scope["path"]):
        return PlainTextResponse("Not found.\n", 404)
    if int(headers.get("content-length", "0") or 0) > MAX_BYTES:
        return TOO_LARGE
    return None


def hostname(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
