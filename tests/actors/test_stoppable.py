import cProfile
import threading

import pytest

from headwater.actors.work.stoppable import Gate, Stopped


def test_a_stop_before_the_gate_opens_keeps_the_work_from_beginning() -> None:
    gate, begun = Gate(), list[int]()
    gate.stop("cancelled")
    with pytest.raises(Stopped):
        gate.run(lambda: begun.append(1))
    assert begun == []


def test_a_stop_strikes_the_work_where_it_stands() -> None:
    gate, running, ends = Gate(), threading.Event(), list[str]()

    def work() -> None:
        running.set()
        while True:
            pass

    def serve() -> None:
        try:
            gate.run(work)
        except Stopped:
            ends.append(gate.reason)

    thread = threading.Thread(target=serve)
    thread.start()
    assert running.wait(10)
    gate.stop("timeout")
    gate.stop("cancelled")
    thread.join(60)
    assert ends == ["timeout"]


def test_a_stop_after_the_work_has_ended_changes_nothing() -> None:
    gate = Gate()
    gate.run(lambda: None)
    gate.stop("cancelled")
    assert gate.reason == ""


def test_a_gate_that_closed_leaves_the_interpreter_as_it_was() -> None:
    Gate().run(lambda: None)
    with cProfile.Profile() as profile:  # hung when the gate took back a stop that nobody had sent
        Gate().run(lambda: None)
    assert profile.getstats()
