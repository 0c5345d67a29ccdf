"""`dualsafe serve`: the pipeline behind OpenAI's images API."""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from ..checks import MAX_PROMPT
from ..serve import defaults
from .failure import INTERRUPTED, one_line_errors
from .load import is_picto, load_pipeline
from .port import bound

if TYPE_CHECKING:
    from ..serve import ServeSettings


def serve(
    model: Annotated[str | None, typer.Option(help="Checkpoint in the diffusers layout; the bundled picto.")] = None,
    name: Annotated[str | None, typer.Option(help="What clients call it; picto, or the checkpoint's folder.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = defaults.HOST,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: a free one.")] = defaults.PORT,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            help="A name by which clients may call this service, once for each; any with keys, else local ones."
        ),
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(help="A policy that clients may ask for, once for each; the first is the default."),
    ] = None,
    default_level: Annotated[str, typer.Option(help="Safety level of a request that names none.")] = "max",
    min_level: Annotated[str, typer.Option(help="Lowest safety level that is accepted; 0 lets originals out.")] = "max",
    allow_pairs: Annotated[bool, typer.Option("--allow-pairs", help="Let requests have the unsafe original.")] = False,
    edits: Annotated[
        bool, typer.Option("--edits/--no-edits", help="Draw over clients' pictures, where the model can.")
    ] = True,
    preview: Annotated[
        str, typer.Option(help="A judge of half-made pictures; the checkpoint's own, or none.")
    ] = "auto",
    verify: Annotated[
        str, typer.Option(help="A judge of finished pictures, which withholds; the checkpoint's own, or none.")
    ] = "auto",
    size: Annotated[list[str] | None, typer.Option(help="WIDTHxHEIGHT, once for each; the model's own.")] = None,
    steps: Annotated[int, typer.Option(help="Denoising steps of a request that names none.")] = defaults.STEPS,
    min_steps: Annotated[
        int, typer.Option(help="Fewest steps; with fewer the safe branch doesn't get far enough.")
    ] = defaults.MIN_STEPS,
    max_steps: Annotated[int, typer.Option(help="Most steps that a request may ask for.")] = defaults.MAX_STEPS,
    guidance_scale: Annotated[
        float, typer.Option(help="Guidance of a request that names none.")
    ] = defaults.GUIDANCE_SCALE,
    max_guidance_scale: Annotated[
        float, typer.Option(help="Highest guidance that a request may ask for.")
    ] = defaults.MAX_GUIDANCE_SCALE,
    max_n: Annotated[int, typer.Option(help="Pictures of a request.")] = defaults.MAX_N,
    max_prompt: Annotated[int, typer.Option(help="Characters of a prompt.")] = MAX_PROMPT,
    max_batch: Annotated[int, typer.Option(help="Pictures drawn together.")] = defaults.MAX_BATCH,
    max_wait: Annotated[float, typer.Option(help="Seconds that a first waits for others.")] = defaults.MAX_WAIT,
    max_queue: Annotated[int, typer.Option(help="Pictures that may wait.")] = defaults.MAX_QUEUE,
    max_connections: Annotated[int, typer.Option(help="Connections that are served.")] = defaults.MAX_CONNECTIONS,
    max_upload: Annotated[int, typer.Option(help="Bytes of an edit, with its pictures.")] = defaults.MAX_UPLOAD,
    timeout: Annotated[float, typer.Option(help="Seconds for a request to be drawn.")] = defaults.TIMEOUT,
    read_timeout: Annotated[
        float, typer.Option(help="Seconds for a request's head, and for its body, to come.")
    ] = defaults.READ_TIMEOUT,
    drain: Annotated[float, typer.Option(help="Seconds for running requests when stopped.")] = defaults.DRAIN,
    api_key_file: Annotated[
        Path | None, typer.Option(help="Accepted keys, one a line; else DUALSAFE_API_KEY; else everybody may ask.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="Torch device; the GPU if there is one.")] = None,
) -> None:
    """Serves POST /v1/images/generations and /v1/images/edits until it is told to stop; see docs/serve.md."""
    signal.signal(signal.SIGTERM, _stop_loading)
    with one_line_errors():
        from ..serve.settings import find_keys

        own = "picto" if is_picto(model) else Path(str(model)).name
        settings = _settings(
            name=name or own,
            host=host,
            port=port,
            allowed_hosts=allowed_host or (),
            policies=policy or ["picto" if is_picto(model) else "i2p"],
            default_level=default_level,
            min_level=min_level,
            allow_pairs=allow_pairs,
            edits=edits,
            sizes=size or (),
            steps=steps,
            min_steps=min_steps,
            max_steps=max_steps,
            guidance_scale=guidance_scale,
            max_guidance_scale=max_guidance_scale,
            max_n=max_n,
            max_prompt=max_prompt,
            max_batch=max_batch,
            max_wait=max_wait,
            max_queue=max_queue,
            max_connections=max_connections,
            max_upload=max_upload,
            timeout=timeout,
            read_timeout=read_timeout,
            drain=drain,
            api_keys=find_keys(api_key_file),
        )
        _run(settings, model, device, {"preview": preview, "verify": verify})


def _settings(**given: Any) -> ServeSettings:
    from pydantic import ValidationError

    from ..serve import ServeSettings

    try:
        return ServeSettings(**given)
    except ValidationError as error:
        raise ValueError("; ".join(map(_sentence, error.errors()))) from error


def _sentence(error: Any) -> str:
    said = error["msg"].removeprefix("Value error, ")
    return f"{error['loc'][0]}={error['input']!r}: {said}" if error["loc"] else said


def _run(settings: ServeSettings, model: str | None, device: str | None, judges: dict[str, str]) -> None:
    try:
        from ..serve.app import create_app
        from ..serve.server import Server
    except ImportError as error:
        raise ImportError("the service's packages aren't installed: pip install 'dualsafe[serve]'") from error
    from ..judges import load_judge

    if not settings.api_keys and settings.host not in ("127.0.0.1", "::1", "localhost"):
        typer.echo(f"dualsafe: --host {settings.host} without an API key: whoever reaches it may ask", err=True)
    with bound(settings.host, settings.port) as socket:
        pipe = load_pipeline(model, device)
        own: dict[str, Any] = {"auto": "auto", "none": None}
        loop = {key: own[said] if said in own else load_judge(said, str(pipe.device)) for key, said in judges.items()}
        app = create_app(pipe, settings, **loop)
        server = Server(app, settings)
        host, port = socket.getsockname()[:2]
        typer.echo(f"http://{f'[{host}]' if ':' in host else host}:{port}   Ctrl-C ends it", err=True)
        server.run([socket])
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED if server.told > 1 else 0)  # Python's own end waits for a step that runs, and takes long


def _stop_loading(sig: int, frame: Any) -> NoReturn:
    raise SystemExit(0)
