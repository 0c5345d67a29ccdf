"""A tiny Llava of random weights, whose tokens are printable characters."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import (
    CLIPImageProcessor,
    GemmaTokenizer,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

TOWER = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 4}
CHAT = (
    "{% for message in messages %}{% for part in message['content'] %}{% if part['type'] == 'image' %}IMAGE"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}"
)


def tokenizer(**special: str) -> GemmaTokenizer:
    """One token a printable character."""
    words = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *special.values(), "▁", *map(chr, range(32, 127))]
    return GemmaTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], extra_special_tokens=special)


def save_llava(folder: Path) -> Path:
    """The folder, with model and processor; it answers otherwise to another request or picture."""
    torch.manual_seed(0)
    words = tokenizer(image_token="<image>")
    processor = LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": 30}, crop_size=30),
        words,
        patch_size=15,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT.replace("IMAGE", "<image>"),
    )
    text = {"model_type": "llama", "vocab_size": len(words), "pad_token_id": 0, "eos_token_id": 1}
    config = LlavaConfig(
        vision_config=TOWER | {"model_type": "clip_vision_model", "image_size": 30, "patch_size": 15},
        text_config=TOWER | text | {"initializer_range": 1.0},
        image_token_index=words.image_token_id,
    )
    for part in (LlavaForConditionalGeneration(config), processor):
        part.save_pretrained(folder)
    return folder
