"""The queue: who shares a call, who is dropped, who is told to come back."""

from __future__ import annotations

from concurrent.futures import CancelledError
from threading import Event

import pytest

from dualsafe.serve.batching import Batcher, Closed, Full
from dualsafe.serve.pace import Pace


class Work:
    """Notes its calls; each waits for `may_go`; an item "bad" fails its call."""

    def __init__(self):
        self.calls, self.may_go, self.begun = [], Event(), Event()

    def __call__(self, kind, items):
        self.calls.append((kind, list(items)))
        self.begun.set()
        assert self.may_go.wait(10)
        if "bad" in items:
            raise ValueError("bad")
        return [f"{kind}:{item}" for item in items]


@pytest.fixture
def work():
    work = Work()
    yield work
    work.may_go.set()


def busy(work: Work, **options) -> Batcher:
    """A batcher that is held up by a first job, so that what comes next waits."""
    batcher = Batcher(work, **({"max_batch": 3, "max_queue": 6, "max_wait": 0.0} | options))
    batcher.submit("first", [0])
    assert work.begun.wait(10)
    return batcher


def test_items_of_a_kind_share_calls_in_the_order_of_their_arrival(work):
    batcher = busy(work)
    futures = [f for kind, item in [*zip("abaab", range(5)), ("a", 5)] for f in batcher.submit(kind, [item])]
    assert batcher.waiting == 6
    work.may_go.set()
    assert [f.result(10) for f in futures] == ["a:0", "b:1", "a:2", "a:3", "b:4", "a:5"]
    assert work.calls[1:] == [("a", [0, 2, 3]), ("b", [1, 4]), ("a", [5])]
    batcher.close()


def test_a_first_item_waits_for_others(work):
    work.may_go.set()
    batcher = Batcher(work, 2, 8, 5.0)
    futures = batcher.submit("a", [1]) + batcher.submit("a", [2])
    assert [f.result(4) for f in futures] == ["a:1", "a:2"] and work.calls == [("a", [1, 2])]
    batcher.close()


def test_a_full_queue_takes_all_or_nothing_and_says_when_to_come_back(work):
    batcher = busy(work)
    kept = batcher.submit("a", range(5))
    with pytest.raises(Full) as caught:
        batcher.submit("a", [5, 6])
    assert caught.value.retry_after >= 1 and batcher.waiting == 5
    kept[0].cancel()
    assert len(batcher.submit("a", [5, 6])) == 2
    work.may_go.set()
    batcher.close()


def test_what_is_cancelled_in_the_queue_is_never_drawn(work):
    batcher = busy(work)
    dropped, kept = batcher.submit("a", [1, 2])
    assert dropped.cancel() and batcher.waiting == 1
    work.may_go.set()
    assert kept.result(10) == "a:2" and work.calls[1:] == [("a", [2])]
    with pytest.raises(CancelledError):
        dropped.result(0)
    batcher.close()


def test_what_is_at_work_cant_be_cancelled(work):
    batcher = Batcher(work, 1, 2, 0.0)
    (future,) = batcher.submit("a", [1])
    assert work.begun.wait(10) and not future.cancel()
    work.may_go.set()
    assert future.result(10) == "a:1"
    batcher.close()


def test_one_that_fails_doesnt_fail_the_others(work):
    batcher = busy(work)
    futures = batcher.submit("a", [1, "bad", 3])
    work.may_go.set()
    assert futures[0].result(10) == "a:1" and futures[2].result(10) == "a:3"
    with pytest.raises(ValueError, match="bad"):
        futures[1].result(10)
    assert batcher.is_serving and batcher.submit("a", [4])[0].result(10) == "a:4"
    batcher.close()


def test_closing_finishes_what_is_queued_and_takes_nothing_new(work):
    batcher = busy(work)
    futures = batcher.submit("a", range(4))
    work.may_go.set()
    batcher.close()
    assert all(f.done() for f in futures) and not batcher.is_serving
    with pytest.raises(Closed):
        batcher.submit("a", [1])


def test_who_is_sent_away_is_told_when_all_that_runs_and_waits_is_drawn(work):
    pace = Pace()
    pace.learn(pictures=1, steps=10, seconds=20.0)
    steps = {"first": 10, "a": 5, "b": 25}
    batcher = busy(work, max_batch=2, max_queue=4, steps_of=steps.get, pace=pace)
    batcher.submit("a", [1, 2, 3])
    batcher.submit("b", [4])

    def retry_after() -> int:
        with pytest.raises(Full) as caught:
            batcher.submit("b", [5])
        return caught.value.retry_after

    # 10 steps at work; 5 of two pictures, which take as long as twice one; 5 of one; 25
    assert 20 + 20 + 10 + 50 - 1 <= retry_after() <= 20 + 20 + 10 + 50
    for _ in range(9):
        batcher.step()  # much faster than was thought
    assert 80 <= retry_after() <= 82
    work.may_go.set()
    batcher.close()


def test_a_larger_call_takes_longer_until_one_was_seen():
    pace = Pace()
    pace.learn(2, 10, 10.0)
    assert pace.seconds(1, 4) == 4 and pace.seconds(4, 4) == 8
    pace.learn(4, 10, 12.0)
    assert pace.seconds(4, 5) == 6


def test_aborting_answers_everybody_at_once_and_ends_the_work_with_its_next_step():
    begun, go = Event(), Event()

    def work(kind, items):
        begun.set()
        go.wait(10)
        batcher.step()
        raise AssertionError("it went on")

    batcher = Batcher(work, 2, 8, 0.0)
    futures = batcher.submit("a", [1, 2]) + batcher.submit("b", [3])
    assert begun.wait(10)
    batcher.abort()
    for future in futures:
        with pytest.raises(Closed):
            future.result(0)
    assert batcher.is_serving is False and not batcher.is_idle
    with pytest.raises(Closed):
        batcher.submit("a", [4])
    batcher.close()  # which waits for no step
    go.set()
    batcher._thread.join(10)
    assert batcher.is_idle
