"""The routes."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from PIL import Image
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException as StarletteHTTPException

from .. import __version__
from ..files import png_of
from ..judges import Judge
from .access import BodyLimit, key_check
from .admit import Admission
from .batching import Batcher
from .draw import Kind, Order, Outcome, Renderer
from .errors import FAULTS, ApiError, as_answer, not_valid
from .metrics import Counted, Metrics
from .schema import ERRORS, Health, ImageRequest, ImagesResponse, Model, Models, Picture
from .settings import ServeSettings

if TYPE_CHECKING:
    from ..pipelines import DualLatentPipeline

CLIENT_GONE = 499
logger = logging.getLogger(__name__)


def create_app(
    pipe: DualLatentPipeline, settings: ServeSettings, preview: Judge | None = None, verify: Judge | None = None
) -> FastAPI:
    """The service as an ASGI application. It owns `pipe`, in a thread that runs from its start-up to its shutdown.

    Args:
        pipe: draws; nothing else may call it meanwhile.
        settings: the operator's.
        preview, verify: judges in the loop, as the pipeline takes them.

    Raises:
        ValueError: a size that the pipeline refuses.
    """
    metrics = Metrics()
    renderer = Renderer(pipe, settings.resolved(), metrics, preview, verify)
    admission = Admission(settings, renderer.sizes(settings.sizes))
    started = int(time.time())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        batcher = Batcher(renderer.draw, settings.max_batch, settings.max_queue, settings.max_wait)
        metrics.watch_queue(lambda: batcher.waiting)
        app.state.batcher = batcher
        yield
        await asyncio.to_thread(batcher.close)

    app = FastAPI(title="dualsafe", version=__version__, lifespan=lifespan, responses=ERRORS)
    app.add_middleware(BodyLimit, limit=16_384 + 12 * settings.max_prompt)  # JSON may write a character in 12 bytes
    app.add_middleware(Counted, metrics=metrics)
    _answer_errors(app)
    keyed = [Depends(key_check(settings.api_keys))]

    @app.post("/v1/images/generations", dependencies=keyed, tags=["images"])
    async def generate(body: ImageRequest, request: Request) -> ImagesResponse:
        """Draws safe pictures of a prompt."""
        kind, orders = admission.admit(body)
        drawn = await _finished(app.state.batcher.submit(kind, orders), request, settings.timeout)
        return await asyncio.to_thread(_response, orders, drawn)

    @app.get("/v1/models", dependencies=keyed, tags=["models"])
    async def models() -> Models:
        """The model that is served, and what a request may ask of it."""
        return Models(data=[Model(id=settings.name, created=started, limits=admission.limits)])

    @app.get("/health", tags=["operation"], response_model=Health)
    async def health() -> Any:
        """Whether pictures are drawn: 200, else 503."""
        batcher: Batcher[Kind, Order, Outcome] = app.state.batcher
        body = Health(status="ok" if batcher.is_serving else "stopping", waiting=batcher.waiting)
        return JSONResponse(body.model_dump(), 200 if batcher.is_serving else 503)

    @app.get("/metrics", dependencies=keyed, tags=["operation"], response_class=PlainTextResponse)
    async def prometheus() -> PlainTextResponse:
        """Prometheus metrics."""
        return PlainTextResponse(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return app


def _answer_errors(app: FastAPI) -> None:
    async def respond(request: Request, error: Exception) -> JSONResponse:
        if isinstance(error, RequestValidationError):
            error = not_valid(error.errors(), ImageRequest.model_fields)
        elif isinstance(error, StarletteHTTPException) and not isinstance(error, ApiError):
            message = f"{request.method} {request.url.path}: {error.detail}"
            error = ApiError(error.status_code, message, headers=error.headers)
        answer = as_answer(error)
        if answer.status_code >= 500:
            logger.error("%s: %s", type(error).__name__, error)
        return answer

    for kind in (RequestValidationError, StarletteHTTPException, *FAULTS, Exception):
        app.add_exception_handler(kind, respond)


async def _finished(futures: Sequence[Future[Outcome]], request: Request, timeout: float) -> list[Outcome]:
    """The results, unless the client leaves or the time is over before: then what still waits is dropped.

    Raises:
        ApiError: one of the two.
        Exception: what drawing raised.
    """
    drawing = asyncio.gather(*map(asyncio.wrap_future, futures))
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait((drawing, leaving), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if drawing.done():
            return drawing.result()
        if leaving.done():
            raise ApiError(CLIENT_GONE, "the client has left", "client_gone")
        raise ApiError(504, f"nothing was drawn within {timeout:g} s: try again later", "timeout")
    finally:
        leaving.cancel()
        for future in futures:
            future.cancel()
        drawing.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _response(orders: list[Order], drawn: list[Outcome]) -> ImagesResponse:
    """The answer's body.

    Raises:
        ApiError: no picture may leave.
    """
    if all(picture.image is None for picture in drawn):
        message = f"all pictures of the prompt (n={len(drawn)}) were found unsafe and are withheld"
        raise ApiError(400, message, "moderation_blocked", "prompt")
    data = [_picture(order, picture) for order, picture in zip(orders, drawn)]
    return ImagesResponse(created=int(time.time()), data=data)


def _picture(order: Order, drawn: Outcome) -> Picture:
    report = drawn.report
    return Picture(
        b64_json=_encoded(drawn.image, "safe", order.seed),
        revised_prompt=report.safe_prompt if report.decision == "dual" else None,
        withheld=drawn.image is None,
        unsafe_b64_json=_encoded(drawn.unsafe, "unsafe", order.seed),
        seed=order.seed,
        decision=report.decision,
        safety_level=report.level,
        policy=report.policy,
        categories=report.categories,
    )


def _encoded(image: Image.Image | None, side: str, seed: int) -> str | None:
    """A PNG in base64 that says under the key "dualsafe" which side of a pair it is."""
    if image is None:
        return None
    return base64.b64encode(png_of(image, {"side": side, "seed": seed})).decode()
