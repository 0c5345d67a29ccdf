"""Stage "clip": the tokenizer, and text and vision towers trained contrastively on captions and pictures."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPModel, CLIPTextModel, CLIPTokenizer

from ..captions import TRAINING, caption
from ..world import SIZE
from .data import Dataset, to_model
from .loop import Run, train

BATCH = 128
ALIKE = 16
CONTEXT = 77
_BOS, _EOS = "<|startoftext|>", "<|endoftext|>"
_WORDS = r"""<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""


def build_tokenizer(texts: list[str], folder: Path, merges: int = 700) -> CLIPTokenizer:
    """A byte-level BPE in CLIP's format, so that any text has tokens; written to `folder`."""
    backend = Tokenizer(models.BPE(end_of_word_suffix="</w>", continuing_subword_prefix=""))
    backend.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=512 + merges, end_of_word_suffix="</w>", initial_alphabet=alphabet)
    backend.train_from_iterator(texts, trainer)
    learned = json.loads(backend.to_str())["model"]["merges"]
    pairs = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in learned]
    words = [*alphabet, *(c + "</w>" for c in alphabet), *(a + b for a, b in pairs), _BOS, _EOS]
    vocab = {word: i for i, word in enumerate(dict.fromkeys(words))}
    tokenizer = CLIPTokenizer(vocab=vocab, merges=pairs, model_max_length=CONTEXT)
    tokenizer.save_pretrained(folder)
    return tokenizer


def build(tokenizer: CLIPTokenizer) -> CLIPModel:
    tower = {
        "hidden_size": 128,
        "intermediate_size": 512,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "projection_dim": 128,
    }
    text = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": CONTEXT,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {"image_size": SIZE, "patch_size": 8}
    return CLIPModel(CLIPConfig(text_config=tower | text, vision_config=tower | vision, projection_dim=128))


def tokens(
    tokenizer: CLIPTokenizer, texts: list[str], device: torch.device, padding: str = "max_length"
) -> torch.Tensor:
    """Token ids (N, 77), padded and cut as the pipeline does."""
    padded = tokenizer(texts, padding=padding, max_length=CONTEXT, truncation=True, return_tensors="pt")
    return padded.input_ids.to(device)


def fit(run: Run, data: Dataset, tokenizer: CLIPTokenizer, start: CLIPModel | None = None) -> CLIPModel:
    """Trains from `start`, or from nothing, where there is no checkpoint.

    A batch is made of groups of ALIKE scenes of one setting and subject: among random scenes those two alone tell a
    picture from nearly all others, and the item, which matters most here, is hardly learned.
    """
    clip = (start or build(tokenizer)).to(run.device)
    rng = random.Random(run.seed)
    groups: dict[tuple[str, str], list[int]] = {}
    for i, scene in enumerate(data.scenes):
        groups.setdefault((scene.setting, scene.subject), []).append(i)

    def step_loss(step: int) -> torch.Tensor:
        chosen = rng.sample(list(groups.values()), BATCH // ALIKE)
        rows = torch.tensor([i for group in chosen for i in rng.choices(group, k=ALIKE)])
        texts = [caption(data.scenes[i], rng, TRAINING) for i in rows.tolist()]
        ids = tokens(
            tokenizer, texts, run.device, "longest"
        )  # no later token reaches the end token, so padding is waste
        out = clip(input_ids=ids, pixel_values=to_model(data.images[rows], run.device))
        target = torch.arange(BATCH, device=run.device)
        return (F.cross_entropy(out.logits_per_text, target) + F.cross_entropy(out.logits_per_image, target)) / 2

    return train(run, "clip", clip, step_loss, rate=1e-3, ema_decay=0.99)


def _embedded(output: Any) -> torch.Tensor:
    """A tower's projection, (N, width), of length 1."""
    return F.normalize(output if isinstance(output, torch.Tensor) else output.pooler_output, dim=-1)


def text_encoder(clip: CLIPModel) -> CLIPTextModel:
    """CLIP's text tower as the pipeline's text encoder."""
    model = CLIPTextModel(clip.config.text_config)
    tower = {k.removeprefix("text_model."): v for k, v in clip.state_dict().items() if k.startswith("text_model.")}
    inner = model.text_model if hasattr(model, "text_model") else model
    inner.load_state_dict(tower)
    return model.eval()


@torch.no_grad()
def measure(clip: CLIPModel, data: Dataset, tokenizer: CLIPTokenizer, device: torch.device) -> dict[str, float]:
    """Share of held-out captions whose own picture is the nearest of 128."""
    rng, hits, count = random.Random(1), 0, 0
    for rows in torch.arange(len(data.images)).split(BATCH)[:-1]:
        ids = tokens(tokenizer, [caption(data.scenes[i], rng) for i in rows.tolist()], device)
        logits = clip(input_ids=ids, pixel_values=to_model(data.images[rows], device)).logits_per_text
        hits, count = hits + int((logits.argmax(-1).cpu() == torch.arange(len(rows))).sum()), count + len(rows)
    return {"retrieval_of_128": hits / count}
