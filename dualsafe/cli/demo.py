"""`dualsafe demo`: the dial in a browser on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .load import is_picto, load_pipeline
from .options import Device, Model
from .port import bound

if TYPE_CHECKING:
    from ..policy import Policy

EXAMPLES = ("a man in blue with a knife in a park", "a cat holding a bomb on a street", "a woman in red with a book")


def demo(
    model: Model = None,
    policy: Annotated[
        str | None, typer.Option(help="Name of a shipped policy or a YAML file to start with; picto's for picto.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Let the checkpoint's own judge, if any, check and withhold.")
    ] = True,
    steps: Annotated[int, typer.Option(min=1, max=100, help="Denoising steps to start with.")] = 25,
    guidance_scale: Annotated[float, typer.Option(min=1, max=15, help="Guidance to start with.")] = 5.0,
    host: Annotated[str, typer.Option(help="Address to listen on; by default nobody else can reach it.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="The first free one from 7860 on.")] = None,
    device: Device = None,
) -> None:
    """Opens the app: a prompt, the dial, and original and safe picture side by side."""
    policies = _policies(policy, is_picto(model))
    if port is not None:
        bound(host, port).close()  # gradio finds out only once the model is loaded
    try:
        from ..demo.app import build
        from ..demo.serve import serve
    except ModuleNotFoundError as error:
        raise ImportError(f"{error.name} is not installed: pip install 'dualsafe[demo]'") from error
    from ..demo.session import Studio

    pipe = load_pipeline(model, device)
    pipe.set_progress_bar_config(disable=True)
    from ..judges import own_judge

    judge = own_judge(pipe) if verify else None
    studio = Studio(pipe, policies, judge, model or "picto")
    address = serve(build(studio, steps, guidance_scale, EXAMPLES if is_picto(model) else ()), host, port)
    typer.echo(f"{address.rstrip('/')}   Ctrl-C ends it")
    _until_stopped()


def _policies(first: str | None, picto: bool) -> dict[str, Policy]:
    """All shipped policies and the user's, by name, the one to start with in front."""
    from ..policy import SHIPPED, resolve

    policies = {name: resolve(name) for name in SHIPPED}
    asked = resolve(first or ("picto" if picto else "i2p"))
    return {asked.id: asked} | {name: policy for name, policy in policies.items() if name != asked.id}


def _until_stopped() -> None:
    from threading import Event

    try:
        Event().wait()
    except KeyboardInterrupt:
        typer.echo("")
