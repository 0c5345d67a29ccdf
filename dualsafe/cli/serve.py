"""`dualsafe serve`: the pipeline behind OpenAI's images API."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from ..serve import ServeSettings
from ..serve.settings import find_keys
from .failure import one_line_errors
from .load import is_picto, load_pipeline

DEFAULTS = ServeSettings()


def serve(
    model: Annotated[str | None, typer.Option(help="Checkpoint in the diffusers layout; the bundled picto.")] = None,
    name: Annotated[str | None, typer.Option(help="What clients call it; picto, or the checkpoint's folder.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = DEFAULTS.host,
    port: Annotated[int, typer.Option(min=0, max=65535)] = DEFAULTS.port,
    policy: Annotated[
        list[str] | None,
        typer.Option(help="A policy that clients may ask for, once for each; the first is the default."),
    ] = None,
    default_level: Annotated[str, typer.Option(help="Safety level of a request that names none.")] = "max",
    min_level: Annotated[str, typer.Option(help="Lowest safety level that is accepted; 0 lets originals out.")] = "max",
    allow_pairs: Annotated[bool, typer.Option("--allow-pairs", help="Let requests have the unsafe original.")] = False,
    preview: Annotated[str | None, typer.Option(help="A judge of half-made pictures.")] = None,
    verify: Annotated[str | None, typer.Option(help="A judge of finished pictures; withholds.")] = None,
    size: Annotated[list[str] | None, typer.Option(help="WIDTHxHEIGHT, once for each; the model's own.")] = None,
    steps: Annotated[int, typer.Option(help="Denoising steps of a request that names none.")] = DEFAULTS.steps,
    max_steps: Annotated[int, typer.Option()] = DEFAULTS.max_steps,
    guidance_scale: Annotated[float, typer.Option(help="Likewise.")] = DEFAULTS.guidance_scale,
    max_guidance_scale: Annotated[float, typer.Option()] = DEFAULTS.max_guidance_scale,
    max_n: Annotated[int, typer.Option(help="Pictures of a request.")] = DEFAULTS.max_n,
    max_prompt: Annotated[int, typer.Option(help="Characters of a prompt.")] = DEFAULTS.max_prompt,
    max_batch: Annotated[int, typer.Option(help="Pictures drawn together.")] = DEFAULTS.max_batch,
    max_wait: Annotated[float, typer.Option(help="Seconds that a first waits for others.")] = DEFAULTS.max_wait,
    max_queue: Annotated[int, typer.Option(help="Pictures that may wait.")] = DEFAULTS.max_queue,
    timeout: Annotated[float, typer.Option(help="Seconds for a request.")] = DEFAULTS.timeout,
    drain: Annotated[float, typer.Option(help="Seconds for running requests when stopped.")] = DEFAULTS.drain,
    api_key_file: Annotated[
        Path | None, typer.Option(help="Accepted keys, one a line; else DUALSAFE_API_KEY; else everybody may ask.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="Torch device; the GPU if there is one.")] = None,
) -> None:
    """Serves POST /v1/images/generations until it is told to stop; see docs/serve.md."""
    with one_line_errors():
        own = "picto" if is_picto(model) else Path(str(model)).name
        settings = _settings(
            name=name or own,
            host=host,
            port=port,
            policies=policy or ["picto" if is_picto(model) else "i2p"],
            default_level=default_level,
            min_level=min_level,
            allow_pairs=allow_pairs,
            sizes=size or (),
            steps=steps,
            max_steps=max_steps,
            guidance_scale=guidance_scale,
            max_guidance_scale=max_guidance_scale,
            max_n=max_n,
            max_prompt=max_prompt,
            max_batch=max_batch,
            max_wait=max_wait,
            max_queue=max_queue,
            timeout=timeout,
            drain=drain,
            api_keys=find_keys(api_key_file),
        )
        _run(settings, model, device, {"preview": preview, "verify": verify})


def _settings(**given: Any) -> ServeSettings:
    try:
        return ServeSettings(**given)
    except ValidationError as error:
        raise ValueError("; ".join(map(_sentence, error.errors()))) from error


def _sentence(error: Any) -> str:
    said = error["msg"].removeprefix("Value error, ")
    return f"{error['loc'][0]}={error['input']!r}: {said}" if error["loc"] else said


def _run(settings: ServeSettings, model: str | None, device: str | None, judges: dict[str, str | None]) -> None:
    try:
        import uvicorn

        from ..serve.app import create_app
    except ImportError as error:
        raise ImportError("the service's packages aren't installed: pip install 'dualsafe[serve]'") from error
    from ..judges import load_judge

    if not settings.api_keys and settings.host not in ("127.0.0.1", "::1", "localhost"):
        typer.echo(f"dualsafe: --host {settings.host} without an API key: whoever reaches it may ask", err=True)
    pipe = load_pipeline(model, device)
    loop = {key: load_judge(spec, str(pipe.device)) for key, spec in judges.items() if spec}
    app = create_app(pipe, settings, **loop)
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        access_log=False,
        timeout_graceful_shutdown=max(1, round(settings.drain)),
    )
