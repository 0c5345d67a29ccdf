"""What a pair run is, and the folder's `run.json` that holds it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_args

from ..checks import check_number
from ..errors import PairsError
from .pair import Kind, Scope

RUN, STATS = "run.json", "stats.json"
DAMAGED = "the run's own command with --resume writes it again, if the run is the same"


@dataclass(frozen=True)
class PairSpec:
    """A pair run. Everything here is part of the run's hash, but for what it runs on.

    Attributes:
        prompts: a CSV, TSV, JSONL or parquet file, or "picto:SET" ("picto:explicit") for picto's own grammar.
        kind: what the pairs are: see `dualsafe.pairs.pair.LABELS`.
        editor: what makes them, as `dualsafe.pairs.editors.create_editor` names it.
        policy: None is picto's for picto, else i2p's.
        run_id: names the draw: a pair's seed comes from it, the prompt's id and the pair's number alone.
        limit: prompts; None takes all.
        guidance_scale: None is the pipeline's own.
        strength: how much of an existing picture is drawn anew, in (0, 1].
        captioner: says what pictures without a caption show, and what to change in them; see `dualsafe.pairs.caption`.
        scope: "all" draws every prompt, and makes pairs of those too whose words are innocent and in whose picture the
            guard, or without one the watch, finds something; "words" takes the policy's word for it, and costs less.
        guard: spec of a judge that looks at half-made pictures of prompts with innocent words; never one that verifies.
        judges: specs of the judges that verify.
        thresholds: fields of `dualsafe.pairs.verify.Thresholds` that differ from their defaults.
        batch_size: pairs of one call; on some hardware a picture's last bits hang on it.
        keep_unverified: write pairs that fail verification too, marked so.

    Raises:
        PairsError, ArgumentError: a value out of its range.
    """

    prompts: str
    kind: Kind = "counterfactual"
    editor: str = "dual"
    model: str = "picto"
    policy: str | None = None
    run_id: str = "0"
    pairs_per_prompt: int = 1
    limit: int | None = None
    shard_size: int = 1000
    steps: int = 25
    guidance_scale: float | None = None
    strength: float = 0.6
    captioner: str | None = None
    scope: Scope = "all"
    guard: str | None = None
    judges: tuple[str, ...] = ("picto-guard", "picto-examiner")
    thresholds: dict[str, float] = field(default_factory=dict)
    batch_size: int = 16
    keep_unverified: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "judges", tuple(self.judges))
        for name in ("pairs_per_prompt", "shard_size", "steps", "batch_size", "limit"):
            value = getattr(self, name)
            if (value is None and name != "limit") or (value is not None and value < 1):
                raise PairsError(f"{name}={value} must be at least 1")
        if self.kind not in get_args(Kind):
            raise PairsError(f"kind={self.kind!r} is not one of {', '.join(get_args(Kind))}")
        if self.guidance_scale is not None:
            check_number("guidance_scale", self.guidance_scale, 0)
        if self.scope not in get_args(Scope):
            raise PairsError(f"scope={self.scope!r} is not one of {', '.join(get_args(Scope))}")
        if self.scope == "words" and self.guard is not None:
            raise PairsError(f"guard={self.guard!r} looks at pictures: scope='words' leaves it none")
        if not 0 < self.strength <= 1:
            raise PairsError(f"strength={self.strength} must be in (0, 1]")
        if not self.judges or len(set(self.judges)) < len(self.judges):
            raise PairsError(f"judges={list(self.judges)} must be one or several different judges")
        if self.guard in self.judges:
            raise PairsError(f"guard={self.guard!r} verifies too: a judge cannot verify what it has steered")

    def hash(self, data_hash: str) -> str:
        """16 hex digits of everything that decides which pairs are made: `data_hash` stands for the prompts file."""
        said = asdict(self) | {"prompts": data_hash}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def seed_of(run_id: str, prompt_id: str, k: int) -> int:
    """The seed of a prompt's k-th pair, in [0, 2^63): it hangs on no rank, batch or order."""
    digest = hashlib.sha256(json.dumps([run_id, prompt_id, k]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def read_run(folder: Path) -> dict[str, Any]:
    """What a run's `run.json` holds, and the fields of its spec where it has none of the name.

    Raises:
        PairsError: there is none, or it cannot be read.
    """
    path = folder / RUN
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PairsError(f"{folder} holds no pair run: it has no {RUN}") from error
    except (OSError, ValueError) as error:
        raise PairsError(f"{path} cannot be read: {DAMAGED}") from error
    if not (isinstance(held, dict) and {"spec_hash", "shards"} <= held.keys() and isinstance(held.get("spec"), dict)):
        raise PairsError(f"{path} is not a pair run's: {DAMAGED}")
    return held["spec"] | held


def read_spec(folder: Path) -> PairSpec:
    """The spec of a planned run.

    Raises:
        PairsError: no run, or one of another version.
    """
    said = read_run(folder)["spec"]
    if unknown := said.keys() - {each.name for each in fields(PairSpec)}:
        raise PairsError(f"{folder / RUN} has {', '.join(sorted(unknown))}, which this version does not know")
    return PairSpec(**said)
