"""The dial in an app of one's own: `GET /picture?prompt=...&safety_level=0.9` gives a PNG, its report in a header.

`uvicorn fastapi_knob:app` starts it, in this folder. Run as a script it asks itself, without a port.
"""

import asyncio
import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import torch
from fastapi import FastAPI, Query, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from dualsafe import PICTO, DualLatentPipeline
from dualsafe.config import resolve_level
from dualsafe.judges import judge_of

Level = Annotated[float | str, Query(union_mode="left_to_right")]  # "0.9" is a number, "high" a name


def create_app(pipe: DualLatentPipeline, min_level: float | str = "high") -> FastAPI:
    """An app that draws with `pipe`, never under `min_level`; nothing else may call `pipe` meanwhile."""
    app, judge, least = FastAPI(), judge_of(pipe), resolve_level(min_level)
    worker = ThreadPoolExecutor(1)  # one picture at a time, and the event loop stays free

    def draw(prompt: str, level: float, seed: int) -> Response:
        options = {"num_inference_steps": 25, "guidance_scale": 5.0, "generator": torch.Generator().manual_seed(seed)}
        output = pipe(prompt, safety_level=level, preview=judge, verify=judge, **options)
        report, file = output.safety[0], io.BytesIO()
        if report.withheld:
            raise ValueError(f"prompt={prompt!r}: its picture was found unsafe and is withheld")
        output.images[0].save(file, format="PNG")
        headers = {"X-Safety-Report": json.dumps(report.to_dict())}
        return Response(file.getvalue(), headers=headers, media_type="image/png")

    @app.get("/picture")
    async def picture(
        prompt: Annotated[str, Query(min_length=1, max_length=500)],
        safety_level: Level = "max",
        seed: Annotated[int, Query(ge=0, lt=2**63)] = 0,
    ) -> Response:
        level = resolve_level(safety_level)
        if level < least:
            raise ValueError(f"safety_level={safety_level!r} is under the minimum here, {least}")
        return await asyncio.get_running_loop().run_in_executor(worker, draw, prompt, level, seed)

    @app.exception_handler(ValueError)  # what the pipeline refuses; a PolicyViolation is one, too
    async def refused(_, error: ValueError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 422)

    @app.exception_handler(RequestValidationError)
    async def not_valid(_, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"error": "; ".join(f"{e['loc'][-1]}: {e['msg']}" for e in error.errors())}, 422)

    return app


app = create_app(DualLatentPipeline.from_pretrained(PICTO))

if __name__ == "__main__":
    from fastapi.testclient import TestClient

    client = TestClient(app)
    answer = client.get("/picture", params={"prompt": "a man in blue with a knife in a park", "seed": 7})
    Path("answer.png").write_bytes(answer.content)
    print(answer.status_code, answer.headers["X-Safety-Report"])
    for params in ({"prompt": "a cat", "safety_level": 0.2}, {"prompt": "a cat", "safety_level": "hihg"}, {}):
        answer = client.get("/picture", params=params)
        print(answer.status_code, answer.json()["error"])
