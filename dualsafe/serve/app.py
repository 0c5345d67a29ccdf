"""The routes."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from fastapi.security import HTTPBearer
from PIL import Image
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException as StarletteHTTPException

from .. import __version__
from ..files import png_of
from ..judges import Judge
from ..pipelines.steps import check_steps
from . import a1111
from .access import Access
from .admit import Admission
from .batching import Batcher, Closed
from .draw import Kind, Order, Outcome, Renderer
from .edits import FORM, read_form, read_pictures
from .errors import CLIENT_GONE, CLOSE, FAULTS, OF_STATUS, ApiError, as_answer, not_valid, shown
from .metrics import Counted, Metrics
from .page import NO_SCRIPTS, page_of
from .schema import (
    EDITS,
    ERRORS,
    GENERATIONS,
    Asked,
    EditRequest,
    Health,
    ImageRequest,
    ImagesResponse,
    Model,
    Models,
    Picture,
)
from .settings import ServeSettings

if TYPE_CHECKING:
    from ..pipelines import DualLatentPipeline

IGNORED = "Dualsafe-Ignored"
"""Header that names the arguments of a request that changed nothing."""
FIELDS = {
    GENERATIONS: ImageRequest.model_fields,
    EDITS: EditRequest.model_fields,
    a1111.TXT2IMG: a1111.Txt2Img.model_fields,
}
BEARER = HTTPBearer(auto_error=False, description="One of the operator's API keys, where there are any.")
"""For the document; `Access` has checked it before."""
logger = logging.getLogger(__name__)


def create_app(
    pipe: DualLatentPipeline,
    settings: ServeSettings,
    preview: Judge | Literal["auto"] | None = "auto",
    verify: Judge | Literal["auto"] | None = None,
) -> FastAPI:
    """The service as an ASGI application. It owns `pipe`, in a thread that runs from its start-up to its shutdown.

    Args:
        pipe: draws; nothing else may call it meanwhile.
        settings: the operator's.
        preview, verify: judges in the loop, as the pipeline takes them.

    Raises:
        ValueError: a size or a number of steps that the pipeline refuses.
    """
    check_steps(pipe.scheduler, settings.max_steps, "max_steps")
    metrics = Metrics()
    renderer = Renderer(pipe, settings.resolved(), metrics, preview, verify)
    admission = Admission(settings, renderer.sizes(settings.sizes), renderer.tasks)
    model = Model(id=settings.name, created=int(time.time()), limits=admission.limits)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        batcher = Batcher(
            renderer.draw,
            settings.max_batch,
            settings.max_queue,
            settings.max_wait,
            lambda kind: kind.steps_run,
            renderer.pace,
        )
        renderer.on_step = batcher.step
        metrics.watch_queue(lambda: batcher.waiting)
        app.state.batcher = batcher
        yield
        await asyncio.to_thread(batcher.close)

    app = FastAPI(
        title="dualsafe", version=__version__, lifespan=lifespan, responses=ERRORS, docs_url=None, redoc_url=None
    )
    app.state.reading = set()
    app.add_middleware(
        Access, settings=settings, is_serving=lambda: app.state.batcher.is_serving, reading=app.state.reading
    )
    app.add_middleware(Counted, metrics=metrics, paths=(GENERATIONS, EDITS, a1111.TXT2IMG, "/v1/models", "/metrics"))
    _answer_errors(app)
    keyed: dict[str, Any] = {"dependencies": [Depends(BEARER)]}

    async def drawn(request: Request, kind: Kind, orders: list[Order]) -> ImagesResponse:
        outcomes = await _finished(app.state.batcher.submit(kind, orders), request, settings.timeout)
        return await asyncio.to_thread(_response, orders, outcomes)

    async def answer(
        request: Request, response: Response, asked: Asked, kind: Kind, orders: list[Order]
    ) -> ImagesResponse:
        made = await drawn(request, kind, orders)
        if not app.state.batcher.is_serving:
            response.headers.update(CLOSE)
        if asked.ignored:
            response.headers[IGNORED] = ", ".join(asked.ignored)
        return made

    app.include_router(a1111.routes(admission, drawn, **keyed))

    @app.post(GENERATIONS, **keyed, tags=["images"])
    async def generate(body: ImageRequest, request: Request, response: Response) -> ImagesResponse:
        """Draws safe pictures of a prompt."""
        return await answer(request, response, body, *await asyncio.to_thread(admission.admit, body))

    @app.post(EDITS, **keyed, tags=["images"], openapi_extra=FORM)
    async def edit(request: Request, response: Response) -> ImagesResponse:
        """Draws safe pictures of a prompt over a picture, or over what a mask leaves open of it."""
        body, files = await read_form(request)
        admitted = await asyncio.to_thread(lambda: admission.admit_edit(body, *read_pictures(files)))
        return await answer(request, response, body, *admitted)

    @app.get("/v1/models", **keyed, tags=["models"])
    async def models() -> Models:
        """The model that is served, and what a request may ask of it."""
        return Models(data=[model])

    @app.get("/v1/models/{name:path}", **keyed, tags=["models"])
    async def one_model(name: str) -> Model:
        """The same of one model."""
        if name != model.id:
            message = f"model={shown(name)} is not served here: {model.id!r} is"
            raise ApiError(404, message, "model_not_found", "model")
        return model

    @app.get("/health", tags=["operation"], response_model=Health)
    async def health() -> Any:
        """Whether pictures are drawn: 200, else 503."""
        batcher: Batcher[Kind, Order, Outcome] = app.state.batcher
        body = Health(status="ok" if batcher.is_serving else "stopping", waiting=batcher.waiting)
        return JSONResponse(body.model_dump(), 200 if batcher.is_serving else 503)

    @app.get("/metrics", **keyed, tags=["operation"], response_class=PlainTextResponse)
    async def prometheus() -> PlainTextResponse:
        """Prometheus metrics."""
        return PlainTextResponse(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        """This document as a page."""
        return HTMLResponse(page_of(app.openapi()), headers={"Content-Security-Policy": NO_SCRIPTS})

    return app


def _answer_errors(app: FastAPI) -> None:
    async def respond(request: Request, error: Exception) -> JSONResponse:
        if isinstance(error, RequestValidationError):
            error = not_valid(error.errors(), FIELDS.get(request.url.path, ()))
        elif isinstance(error, StarletteHTTPException) and not isinstance(error, ApiError):
            message = f"{request.method} {request.url.path}: {error.detail}"
            code = OF_STATUS.get(error.status_code, "http_error")
            error = ApiError(error.status_code, message, code, headers=error.headers)
        answer = as_answer(error)
        if answer.status_code >= 500 and not isinstance(error, Closed):
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
    drawing.add_done_callback(lambda done: done.cancelled() or done.exception())  # else it is logged once nobody waits
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
