"""`dualsafe serve`: the pipeline behind OpenAI's images API."""

from __future__ import annotations

import signal
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from ..serve.settings import OPTIONS, ServeSettings, find_keys
from .load import is_picto, load_pipeline
from .options import Device, Model
from .port import bound

TAKEN: dict[Any, Any] = {float | str: str, tuple[str, ...]: list[str]}
"""Types of settings that an option takes as another."""


def serve(
    model: Model = None,
    preview: Annotated[
        str, typer.Option(help="A judge of half-made pictures; the checkpoint's own, or none.")
    ] = "auto",
    verify: Annotated[
        str, typer.Option(help="A judge of finished pictures, which withholds; the checkpoint's own, or none.")
    ] = "auto",
    api_key_file: Annotated[
        Path | None, typer.Option(help="Accepted keys, one a line; else DUALSAFE_API_KEY; else everybody may ask.")
    ] = None,
    device: Device = None,
    **given: Any,
) -> None:
    """Serves POST /v1/images/generations and /v1/images/edits until it is told to stop; see docs/serve.md."""
    signal.signal(signal.SIGTERM, _stop_loading)
    picto = is_picto(model)
    given["name"] = given["name"] or ("picto" if picto else Path(str(model)).name)
    given["policies"] = given["policies"] or ["picto" if picto else "i2p"]
    settings = ServeSettings(**given, api_keys=find_keys(api_key_file))
    try:
        from ..serve.app import create_app
        from ..serve.server import Server
    except ImportError as error:
        raise ImportError("the service's packages are not installed: pip install 'dualsafe[serve]'") from error
    from ..judges import load_judge

    if not settings.api_keys and settings.host not in ("127.0.0.1", "::1", "localhost"):
        typer.echo(f"dualsafe: --host {settings.host} without an API key: whoever reaches it may ask", err=True)
    with bound(settings.host, settings.port) as socket:
        pipe = load_pipeline(model, device)
        own: dict[str, Any] = {"auto": "auto", "none": None}
        judges = (own[said] if said in own else load_judge(said, str(pipe.device)) for said in (preview, verify))
        server = Server(create_app(pipe, settings, *judges), settings)
        host, port = socket.getsockname()[:2]
        typer.echo(f"http://{f'[{host}]' if ':' in host else host}:{port}   Ctrl-C ends it", err=True)
        server.run_to_the_end(socket)


def _with_settings(command: Any) -> None:
    """Gives the command an option for each setting, in the place of `**given`."""
    *parameters, _ = signature(command, eval_str=True).parameters.values()
    for name, (kind, option) in OPTIONS.items():
        taken = TAKEN.get(kind, kind)
        default = getattr(ServeSettings, name)
        if name in ("name", "policies"):  # which follow the model
            taken, default = taken | None, None
        parameters.append(Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[taken, option]))
    command.__signature__ = Signature(parameters)


def _stop_loading(sig: int, frame: Any) -> NoReturn:
    raise SystemExit(0)


_with_settings(serve)
