"""When a signal interrupts, and when it waits."""

import os
import signal

import pytest

from vidfeat import interrupt


@pytest.fixture(autouse=True)
def handlers():
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    interrupt.install_handlers()
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


def test_outside_a_block_a_signal_interrupts_at_once():
    with pytest.raises(interrupt.Interrupted) as caught:
        os.kill(os.getpid(), signal.SIGTERM)
    assert caught.value.exit_code == 143


def test_inside_a_block_it_waits_for_check():
    reached = False
    with pytest.raises(interrupt.Interrupted) as caught, interrupt.deferred():
        os.kill(os.getpid(), signal.SIGINT)
        reached = True
        interrupt.check()
    assert reached
    assert caught.value.exit_code == 130


def test_a_signal_after_the_last_check_is_not_lost():
    with pytest.raises(interrupt.Interrupted), interrupt.deferred():
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_second_signal_still_waits_and_a_third_does_not():
    count = 0
    with pytest.raises(interrupt.Interrupted), interrupt.deferred():
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)
            count += 1
    assert count == 2


def test_nothing_is_pending_in_a_new_block():
    with pytest.raises(interrupt.Interrupted), interrupt.deferred():
        os.kill(os.getpid(), signal.SIGINT)
    with interrupt.deferred():
        interrupt.check()
