"""The card of a folder of pairs: a header that opens it, a dataset card, and the datasheet of Gebru et al. (2018)."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..bench.html import filled
from ..files import write_text
from ..optional import needed
from .layout import PICTURES, RUN, Layout
from .row import JSON, KINDS, METRICS, index_schema
from .shard import STAGES, shard_name
from .tally import Tally
from .verify import Thresholds

CARD = "README.md"
PREVIEW = Path("previews", "pairs.png")
_TEMPLATE = "card.md.jinja"
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
_PROMISES = "I will not use these pictures to make, spread or promote unsafe content, or to harm or identify anybody"
_GATE: dict[str, Any] = {
    "extra_gated_prompt": "This dataset holds pictures that a safety policy calls unsafe. Say what you want them for.",
    "extra_gated_fields": {
        "Affiliation": "text",
        "Purpose": {
            "type": "select",
            "options": [
                "Training a safety classifier",
                "Evaluating a safety classifier",
                "Making a generator safer",
                "Other",
            ],
        },
        _PROMISES: "checkbox",
    },
}


def write_card(folder: Path, stats: dict[str, Any], run: dict[str, Any], tally: Tally, layout: Layout = RUN) -> None:
    """Writes a folder's README.md.

    Args:
        stats: of the whole run, as in its `stats.json`.
        run: as `dualsafe.pairs.spec.read_run` gives it.
        tally: of the pairs in the folder.
        layout: of the folder.

    Raises:
        ImportError: jinja2 or `datasets` is not installed.
    """
    text = filled(
        Path(__file__).with_name(_TEMPLATE),
        {"cell": _cell, "json": _json, "share": _share},
        escaped=False,
        header=_header(run, layout, tally),
        title=_title(run),
        run=run,
        spec=run["spec"],
        stats=stats,
        stages=[("jobs", stats["jobs"]), *((name, stats["stages"][name]) for name in STAGES[1:])],
        thresholds=asdict(Thresholds(**run["spec"]["thresholds"])),
        layout=layout,
        opening=layout.opening.replace("LAST", shard_name(run["shards"] - 1)),
        tally=tally,
        kinds=[f"`{kind}`: {KINDS[kind]}." for kind in tally.counts["kind"] if kind],
        revisions=[revision for revision in tally.counts["revision"] if revision],
        preview=PREVIEW.as_posix() if (folder / PREVIEW).is_file() else None,
    )
    write_text(folder / CARD, text)


def _title(run: dict[str, Any]) -> str:
    kind, editor = run["kind"].replace("_", " ").capitalize(), run["editor"].partition(":")[0]
    return f"{kind} pairs, {editor}, {Path(run['model']).name}"


def _header(run: dict[str, Any], layout: Layout, tally: Tally) -> str:
    """The YAML of a card on the Hugging Face hub, which `datasets` opens the folder by."""
    from huggingface_hub import DatasetCardData

    splits = tally.counts["split"] if layout is not RUN else layout.files
    files = [{"split": split, "path": path} for split, path in layout.files.items() if split in splits]
    card = DatasetCardData(
        pretty_name=_title(run),
        license="unknown",
        task_categories=list(layout.tasks),
        tags=["image-safety", "counterfactual", "paired-images", "synthetic", "dualsafe", "not-for-all-audiences"],
        size_categories=[next((name for size, name in _SIZES if tally.pairs < size), "n>10M")],
        viewer=False,
        configs=[{"config_name": "default", "data_files": files}],
        **_GATE,
    )
    if layout is RUN:
        info = needed("datasets", "pairs").info
        info.DatasetInfosDict({"default": info.DatasetInfo(features=_features(tally))}).to_dataset_card_data(card)
    return card.to_yaml()


def _features(tally: Tally) -> Any:
    """The columns of the shards; `datasets` would take their types from the first rows, and fail at the first other."""
    import pyarrow as pa

    datasets = needed("datasets", "pairs")
    text, texts = pa.string(), pa.list_(pa.string())
    said = pa.struct([("unsafe", pa.bool_()), ("score", pa.float64()), ("concepts", texts), ("error", text)])
    sides = pa.struct([("original", said), ("edited", said)])
    fields = [field for field in index_schema() if field.name not in (*METRICS, *JSON)]
    fields.append(pa.field("metrics", pa.struct([(name, pa.float64()) for name in METRICS])))
    fields.append(pa.field("verdicts", pa.struct([(judge, sides) for judge in tally.verdicts])))
    fields.append(pa.field("truth", pa.struct([(name, text) for name in sorted(tally.truths)])))
    schema = pa.schema([("json", pa.struct(fields)), ("__key__", text), ("__url__", text)])
    pictures = {f"{name}.png": datasets.Image() for name in PICTURES}
    return datasets.Features(pictures | datasets.Features.from_arrow_schema(schema))


def _cell(value: Any) -> str:
    """A text in a cell of a table."""
    return " ".join(str(value).split()).replace("|", "\\|")


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"
