"""A caller's own rewriter of prompts, a language model say: bounded in time, and never trusted to answer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread

logger = logging.getLogger(__name__)

Rewriter = Callable[[str], str]
MAX_CHARACTERS = 10_000


def rewritten_by(rewriter: Rewriter, prompt: str, timeout: float) -> str | None:
    """What `rewriter` makes of a prompt; None where it fails, takes over `timeout` seconds or gives no usable text.

    A rewriter that hangs goes on in a daemon thread, so that it cannot hold up the end of the program.
    """
    answer: Future[str] = Future()

    def run() -> None:
        try:
            answer.set_result(rewriter(prompt))
        except BaseException as error:
            answer.set_exception(error)

    Thread(target=run, daemon=True, name="dualsafe-rewriter").start()
    try:
        text = answer.result(timeout)
    except TimeoutError:
        logger.warning("the rewriter took over %g s; the policy's rewriting is used", timeout)
        return None
    except Exception as error:
        logger.warning("the rewriter failed, so the policy's rewriting is used: %s", error)
        return None
    if not isinstance(text, str) or not text.strip() or len(text) > MAX_CHARACTERS or not _is_text(text):
        logger.warning("the rewriter gave no usable text; the policy's rewriting is used")
        return None
    return text


def _is_text(text: str) -> bool:
    """Whether it has no half of a surrogate pair, which no encoder reads."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
