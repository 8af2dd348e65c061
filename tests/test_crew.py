"""Work shared among threads."""

import os
import threading
import time

import pytest
import torch

from vidfeat.crew import crew, shared, torch_threads


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_arguments(threads):
    def slow_first(number, factor):
        time.sleep(0.02 if number == 0 else 0)
        return number * factor

    assert shared(slow_first, [(number, 3) for number in range(7)], threads) == [0, 3, 6, 9, 12, 15, 18]
    assert shared(slow_first, [], threads) == []


def test_several_threads_work_this_one_among_them():
    both = threading.Barrier(2)

    def meet():
        both.wait(timeout=10)
        return threading.get_ident()

    found = shared(meet, [(), ()], 2)
    assert len(set(found)) == 2 and threading.get_ident() in found


@pytest.mark.parametrize("bad", [0, 1])
def test_after_an_error_nothing_more_is_begun(bad):
    begun, both = [], threading.Barrier(2)

    def fail(number):
        begun.append(number)
        if number < 2:
            both.wait(timeout=10)
        if number == bad:
            raise ValueError("bad")
        time.sleep(0.1)

    with pytest.raises(ValueError, match="bad"):
        shared(fail, [(number,) for number in range(50)], 2)
    assert len(begun) <= 4
    assert shared(lambda: 1, [()], 2) == [1]


def test_the_error_of_the_caller_goes_first_and_all_have_ended_by_then():
    both, ended = threading.Barrier(2), []

    def fail(_):
        both.wait(timeout=10)
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        time.sleep(0.1)
        ended.append(1)
        raise ValueError("of a helper")

    with pytest.raises(KeyboardInterrupt):
        shared(fail, [(0,), (1,), (2,)], 2)
    assert ended == [1]


def test_a_forked_process_has_threads_of_its_own():
    assert shared(abs, [(-1,), (-2,)], 2) == [1, 2]
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, bytes(shared(abs, [(-3,), (-4,), (-5,)], 2)))
        os._exit(0)
    os.waitpid(child, 0)
    assert list(os.read(reading, 9)) == [3, 4, 5]


def test_nested_work_ends():
    def inner(number):
        return sum(shared(lambda x: x, [(number,), (1,)], 2))

    assert shared(inner, [(number,) for number in range(40)], 2) == [number + 1 for number in range(40)]


def test_a_crew_multiplies_with_one_thread_each_and_torch_goes_on_as_before():
    with torch_threads(3):
        with crew() as run:
            assert list(run(lambda _: torch.get_num_threads(), range(8))) == [1] * 8
        assert torch.get_num_threads() == 3
        found = []
        later = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
        later.start()
        later.join()
        assert found == [3]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad, torch.inference_mode])
def test_a_crew_works_in_the_mode_of_its_caller(mode):
    def modes(_):
        return torch.is_grad_enabled(), torch.is_inference_mode_enabled()

    with torch_threads(2), mode(), crew() as run:
        assert set(run(modes, range(20))) == {modes(0)}


def test_a_crew_of_one_is_this_thread():
    with crew(several=False) as run:
        assert list(run(lambda _: threading.get_ident(), range(3))) == [threading.get_ident()] * 3
