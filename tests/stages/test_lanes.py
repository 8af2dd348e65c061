"""Work on all cores, in order."""

import threading
import time

import pytest
import torch

from vidfeat.crew import torch_threads
from vidfeat.stages.lanes import cores, in_lanes


@pytest.mark.parametrize("lanes", [1, 2, 5])
def test_results_come_in_order_and_errors_stay_with_their_argument(lanes):
    def work(number):
        time.sleep(0.01 * (number % 3))
        if number == 4:
            raise ValueError("four")
        return number * number

    futures = list(in_lanes(work, range(12), lanes))
    assert [f.result() for i, f in enumerate(futures) if i != 4] == [i * i for i in range(12) if i != 4]
    with pytest.raises(ValueError, match="four"):
        futures[4].result()


def test_arguments_are_taken_as_they_are_needed():
    taken, done = [], []
    arguments = (taken.append(i) or i for i in range(100))
    for future in in_lanes(lambda number: number, arguments, 2):
        done.append(future.result())
        assert len(taken) - len(done) <= 4
    assert done == list(range(100))


def test_lanes_use_one_thread_each_and_the_setting_comes_back():
    before = torch.get_num_threads()
    barrier = threading.Barrier(2, timeout=10)  # breaks unless two lanes run at once
    seen = [f.result() for f in in_lanes(lambda _: (barrier.wait(), torch.get_num_threads())[1], range(2), 2)]
    assert seen == [1, 1]
    assert torch.get_num_threads() == before
    assert [f.result() for f in in_lanes(lambda _: torch.get_num_threads(), range(2), 1)] == [before] * 2


@pytest.mark.parametrize("count", [1, 3])
def test_threads_of_torch_for_a_while_also_after_an_error(count):
    before = torch.get_num_threads()
    with pytest.raises(ValueError, match="stop"), torch_threads(count):
        assert torch.get_num_threads() == count
        raise ValueError("stop")
    assert torch.get_num_threads() == before


def test_an_interruption_drops_what_waits():
    started = []

    def work(number):
        started.append(number)
        time.sleep(0.05)

    with pytest.raises(KeyboardInterrupt):
        for _ in in_lanes(work, range(100), 2):
            raise KeyboardInterrupt
    assert len(started) < 6
    assert cores() >= 1
