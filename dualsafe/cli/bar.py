"""The progress bar of long commands."""

from __future__ import annotations


class Bar:
    """Shows how much is done and the time left, once the total is known; a context manager."""

    def __init__(self, unit: str):
        self._unit = unit

    def __enter__(self) -> Bar:
        from tqdm.auto import tqdm

        self._bar = tqdm(unit=self._unit)
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def show(self, done: int, total: int | None) -> None:
        self._bar.total = total
        self._bar.update(done - self._bar.n)
