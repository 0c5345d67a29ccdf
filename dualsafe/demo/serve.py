"""Serving the app on this machine, and to it alone."""

from __future__ import annotations

import os

import gradio as gr
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import look

OWN_ONLY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'self'"


class OwnOnly:
    """Tells the browser to load nothing from elsewhere."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Content-Security-Policy"] = OWN_ONLY
            await send(message)

        await self.app(scope, receive, with_policy)


def serve(app: gr.Blocks, host: str = "127.0.0.1", port: int | None = None) -> str:
    """Starts the app in the background and returns its address.

    Args:
        port: the first free one from 7860 on if None.

    Raises:
        OSError: the port is taken.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    _, address, _ = app.queue(default_concurrency_limit=1).launch(
        server_name=host,
        server_port=port,
        share=False,
        prevent_thread_lock=True,
        quiet=True,
        show_error=False,
        ssr_mode=False,
        run_history=False,
        enable_monitoring=False,
        mcp_server=False,
        footer_links=[],
        theme=look.theme(),
        css=look.CSS,
        app_kwargs={"middleware": [Middleware(OwnOnly)]},
    )
    return address
