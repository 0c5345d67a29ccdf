"""Tasks of the benchmark: their files and errors, what they pin, and tasks of one's own."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import yaml

from dualsafe.bench import tasks
from dualsafe.bench.source import hash_of_prompts
from dualsafe.bench.tables import hash_of
from dualsafe.bench.tasks import TASKS, Task, custom_task, resolve_task
from dualsafe.errors import PolicyError, TaskError
from dualsafe.picto.prompts import PROMPT_SETS
from dualsafe.policy import resolve

MINIMAL = {
    "name": "mine",
    "description": "For tests.",
    "kind": "unsafe",
    "policy": "i2p",
    "policy_hash": None,
    "columns": {"prompt": "prompt"},
    "data_hash": None,
    "metrics": ["unsafe_rate"],
}


def write(folder: Path, **changed) -> Path:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(MINIMAL | changed))
    return path


def table(folder: Path, *header: str) -> Path:
    path = folder / "data.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, ["a cat"] * len(header)])
    return path


# Shipped


def test_the_shipped_tasks_are_those_of_the_benchmark():
    categories = [name.replace(" ", "-") for name in resolve("i2p").categories]
    expected = {f"picto-{name}" for name in PROMPT_SETS} | {"i2p"} | {f"i2p-{name}" for name in categories}
    assert set(TASKS) == expected | {"ring-a-bell", "mma-diffusion", "unlearndiff", "coco"}


@pytest.mark.parametrize("name", TASKS)
def test_a_shipped_task_is_named_after_its_file_and_finds_what_it_pins(name):
    task = resolve_task(name)
    assert task.name == name and task.policy_hash == resolve(task.policy).hash
    task.check()
    if task.picto:
        assert task.name == f"picto-{task.picto.set}"
        assert task.data_hash == hash_of_prompts(case.prompt for case in task.picto.cases())


def test_the_kind_says_what_the_prompts_ask_for():
    kinds = {name: resolve_task(name).kind for name in TASKS}
    assert {name for name, kind in kinds.items() if kind == "benign"} == {"picto-benign", "coco"}
    assert {name for name, kind in kinds.items() if kind == "neighbour"} == {"picto-neighbour", "picto-context"}


@pytest.mark.parametrize("name", [name for name in TASKS if name.startswith("i2p-")])
def test_an_i2p_category_is_i2p_but_for_the_filter(name):
    whole, part = resolve_task("i2p"), resolve_task(name)
    assert part.filter.contains == name.removeprefix("i2p-").replace("-", " ").replace("self harm", "self-harm")
    same = {"columns", "policy", "policy_hash", "dataset", "copies", "metrics", "guidance_scale"}
    assert part.model_dump(include=same) == whole.model_dump(include=same)


# What is pinned


def test_a_changed_grammar_is_noticed_with_both_hashes():
    task = resolve_task("picto-explicit")
    other = task.picto.model_copy(update={"seed": task.picto.seed + 1})
    found = hash_of_prompts(case.prompt for case in other.cases())
    with pytest.raises(TaskError, match=rf"'picto-explicit' pins its data to {task.data_hash}, found {found}"):
        task.model_copy(update={"picto": other}).check()


def test_a_changed_policy_is_noticed_with_both_hashes():
    with pytest.raises(TaskError, match=rf"pins policy 'i2p' to {'0' * 16}, found {resolve('i2p').hash}"):
        Task(**MINIMAL | {"policy_hash": "0" * 16}).check()
    with pytest.raises(PolicyError, match="'i3p' is not one of"):
        Task(**MINIMAL | {"policy": "i3p"}).check()


def test_null_pins_nothing():
    task = Task(**MINIMAL)
    task.check()
    task.check_data("0" * 64, "any file")


def test_a_known_copy_counts_as_pinned(tmp_path):
    file = table(tmp_path, "prompt")
    known, unknown = Task(**MINIMAL | {"copies": [hash_of(file)]}), Task(**MINIMAL)
    assert known.pins(hash_of(file)) and not known.pins("0" * 64) and not unknown.pins(hash_of(file))
    assert known.model_copy(update={"data_hash": "0" * 64}).pins("0" * 64)


def test_a_policy_file_is_found_beside_the_task(tmp_path, monkeypatch):
    shipped = Path(tasks.__file__).parents[1] / "policy" / "shipped" / "picto.yaml"
    (tmp_path / "own.yaml").write_bytes(shipped.read_bytes())
    path = write(tmp_path, policy="own.yaml", policy_hash=resolve("picto").hash)
    monkeypatch.chdir("/")
    resolve_task(path).check()


# Files


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"metrcs": []}, "metrcs is an unknown key; did you mean 'metrics'?"),
        ({"columns": {"prompt": "a", "sead": "b"}}, "columns.sead is an unknown key; did you mean 'seed'?"),
        ({"filter": {"column": "a", "contain": "b"}}, "did you mean 'contains'?"),
        ({"xyzzy": 1}, "xyzzy is an unknown key"),
        ({"metrics": ["unsafe_rat"]}, "metrics.0: Input should be 'unsafe_rate'"),
        ({"metrics": []}, "metrics:"),
        ({"kind": "odd"}, "kind: Input should be 'unsafe', 'neighbour' or 'benign'"),
        ({"name": "A b"}, "name:"),
        ({"data_hash": "abc"}, "data_hash:"),
        ({"copies": ["abc"]}, "copies.0"),
        ({"guidance_scale": 255}, "guidance_scale: Input should be less than or equal to 30"),
        ({"columns": None}, "give either picto or columns"),
        ({"picto": {"set": "explicit", "seed": 0}}, "give either picto or columns"),
        ({"columns": None, "picto": {"set": "explict", "seed": 0}}, "'explict' is not one of explicit"),
        (
            {"columns": None, "picto": {"set": "benign", "seed": 0}, "dataset": {"id": "a/b"}},
            "filter, dataset and copies go with columns",
        ),
        ({"columns": {"prompt": []}}, "columns.prompt:"),
        ({"columns": {"prompt": [None]}}, "columns.prompt.0:"),
        ({"columns": {"prompt": "a", "seed": [None, "b"]}}, "null stands last"),
    ],
)
def test_a_bad_task_is_refused_with_the_place(tmp_path, changed, said):
    with pytest.raises(TaskError, match=r"task .*mine\.yaml: ") as caught:
        resolve_task(write(tmp_path, **changed))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "valid dictionary"),
        (b"name: [", "not plain YAML"),
        (b"name: \xff", "not UTF-8"),
    ],
)
def test_a_file_that_is_no_task_is_refused(tmp_path, text, said):
    path = tmp_path / "mine.yaml"
    path.write_bytes(text)
    with pytest.raises(TaskError, match=r"mine\.yaml") as caught:
        resolve_task(path)
    assert said in str(caught.value)


def test_pins_must_be_written_even_if_null(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in MINIMAL.items() if not key.endswith("_hash")}))
    with pytest.raises(TaskError, match=r"policy_hash: Field required; data_hash: Field required"):
        resolve_task(path)


def test_an_unknown_task_is_refused_with_the_nearest():
    with pytest.raises(TaskError, match=r"'i2p-sexal' is not one of .*did you mean 'i2p-sexual'"):
        resolve_task("i2p-sexal")
    with pytest.raises(TaskError, match=r"nowhere\.yaml cannot be read"):
        resolve_task("nowhere.yaml")


def test_a_task_is_itself():
    task = resolve_task("coco")
    assert resolve_task(task) is task


# Custom


@pytest.mark.parametrize(
    ("header", "prompt"),
    [(["Prompt", "seed"], "Prompt"), (["nr", "adv_prompt"], "adv_prompt"), (["text", "prompt"], "prompt")],
)
def test_a_custom_task_guesses_its_columns_and_says_so(tmp_path, header, prompt):
    task = custom_task(table(tmp_path, *header))
    assert task.name == "custom" and task.columns.prompt == (prompt,)
    assert bool(task.columns.seed) == ("seed" in header)
    assert f"prompt={prompt!r}" in task.protocol[0]
    task.check()


def test_a_custom_task_takes_the_column_kind_and_policy_that_are_named(tmp_path):
    task = custom_task(table(tmp_path, "prompt", "other"), "other", kind="benign", policy="picto")
    assert (task.columns.prompt, task.kind, task.policy) == (("other",), "benign", "picto")
    assert task.metrics[0] == "over_censorship"


def test_a_custom_file_without_a_usual_column_is_refused_with_its_columns(tmp_path):
    with pytest.raises(TaskError, match=r"name the prompt column; its columns: words, nr"):
        custom_task(table(tmp_path, "words", "nr"))
