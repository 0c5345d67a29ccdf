"""The cross-attention term of the mask: seen from outside, on the words in which two prompts differ."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dualsafe import MethodSettings, method
from dualsafe.attention import CrossAttention
from dualsafe.conditions import differing_tokens

FAST = {"num_inference_steps": 4, "output_type": "np", "policy": "picto"}
UNSAFE, SAFE = "a man with a knife", "a man with a flower"


def count(text: str) -> int:
    """A token a letter, and those of start and end."""
    return len(text.replace(" ", "")) + 2


def test_tokens_of_the_words_that_differ():
    marked = differing_tokens(["a man with a knife", "a cat"], ["a man with a pen", None], count, 20)
    assert marked[0, 0].nonzero().flatten().tolist() == list(range(10, 15))
    assert marked[1, 0].nonzero().flatten().tolist() == list(range(10, 13))
    assert not marked[:, 1].any()


def test_a_removed_word_marks_the_prompt_only_and_long_prompts_are_cut():
    marked = differing_tokens(["a man covered in blood", "x " * 30 + "gun"], ["a man", "x " * 30], count, 20)
    assert marked[0, 0].sum() == len("coveredinblood") and not marked[1].any() and not marked[0, 1].any()


def test_the_map_is_the_attention_to_the_tokens():
    torch.manual_seed(0)
    query, key = torch.randn(4, 2, 16, 8), torch.randn(4, 2, 5, 8)
    tokens = torch.zeros(2, 5, dtype=torch.bool)
    tokens[0, 1:3] = True
    with CrossAttention(tokens, (8, 8)) as seen:
        F.scaled_dot_product_attention(query, key, key)
        F.scaled_dot_product_attention(query, query, query)
    weights = (query[2] @ key[2].transpose(-1, -2) / 8**0.5).softmax(-1).mean(0)[:, 1:3].sum(-1)
    wanted = F.interpolate(weights.view(1, 1, 4, 4), (8, 8), mode="bilinear")
    assert torch.allclose(seen.map[:1], wanted / wanted.max(), atol=1e-6)
    assert bool((seen.map[1] == 1).all())


def test_a_narrowed_mask_lies_inside_and_the_original_stays_stock(dual, stock, seeds):
    wide = MethodSettings(mask_floor=1e-6, tau=0.0, mask_freeze=0.0)
    narrow = MethodSettings(mask_floor=1e-6, tau=0.0, mask_freeze=0.0, mask_attention=1.0)
    options = {"safe_prompt": SAFE, "return_pair": True, **FAST}
    outputs = [dual(UNSAFE, settings=s, generator=seeds(3), **options) for s in (wide, narrow)]
    inside, outside = outputs[1].masks > 0, outputs[0].masks == 0
    assert inside.any() and inside.sum() < (~outside).sum() and not (inside & outside).any()
    same = stock(UNSAFE, num_inference_steps=4, output_type="np", generator=seeds(3)[0]).images
    assert np.array_equal(outputs[1].unsafe_images, same)


def test_one_call_for_both_branches_sees_the_same(tiny_dual, seeds):
    prompts, safe = [UNSAFE, "a cat"], [SAFE, None]
    settings = [MethodSettings(mask_attention=0.5, mask_floor=1e-6, stacked=stacked) for stacked in (False, True)]
    apart, together = (
        tiny_dual(prompts, safe_prompt=safe, settings=s, generator=seeds(1, 2), **FAST) for s in settings
    )
    assert np.array_equal(apart.masks, together.masks)


def test_without_cross_attention_or_words_it_says_so(tiny_dual):
    from families import FAMILIES, dual_of

    settings = MethodSettings(mask_attention=0.5)
    with pytest.raises(ValueError, match="needs a UNet"):
        FAMILIES["sd3"].images(dual_of(FAMILIES["sd3"].make()), [UNSAFE], safe_prompt=SAFE, settings=settings)
    embeds, negative = tiny_dual.encode_prompt([UNSAFE], "cpu", 1, True)
    given = {"prompt_embeds": embeds, "negative_prompt_embeds": negative, "safe_prompt_embeds": embeds}
    with pytest.raises(ValueError, match="give prompt as text"):
        tiny_dual(settings=settings, **given, **FAST)


def test_attended_is_dilated_by_one():
    attention = torch.zeros(1, 1, 5, 5)
    attention[0, 0, 2, 2] = 1.0
    assert method.attended(attention, 0.5).sum() == 9
