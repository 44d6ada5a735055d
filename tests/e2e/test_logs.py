"""What steps print, on real workers: live, in order, none lost."""

from __future__ import annotations

from collections import defaultdict

from headwater.sdk import Client

STEPS, LINES = 32, 5_000


def test_every_line_of_many_steps_arrives_live_in_order_and_once(hw: Client) -> None:
    run = hw.run("eta/talk", {"steps": STEPS, "lines": LINES})
    heard: dict[int, list[str]] = defaultdict(list)
    for text in run.logs("say_lines", follow=True):
        heard[text.ordinal] += text.text.splitlines()
    assert len(heard) == STEPS
    for ordinal, lines in heard.items():
        printed = [line for line in lines if line.startswith("out ")]
        logged = [line.rpartition(" ")[2] for line in lines if "INFO talk:" in line]
        assert printed == [f"out {ordinal} {number}" for number in range(LINES)]
        assert logged == [str(number) for number in range(0, LINES, 100)]
    assert run.result(100) == STEPS
    assert run.logs("say_lines").count("\n") == STEPS * (LINES + LINES // 100 + 1)
