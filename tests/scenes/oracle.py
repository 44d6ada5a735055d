"""The oracle: what must hold of a platform after every fault, sentence by sentence, in words where it does not.

For each accepted event and each trigger that matches there is one outcome, and no run without one. At most one
SUCCEEDED attempt per step. `seq` gapless per run, `position` per store. What was published is the log. No device
with two live leases. Every offset of an inbound topic ended as a run, a no-match, a duplicate or a dead letter.

It asks the rows and the broker, never the platform, and may be asked while the platform works: what is on its way
is no violation. `unsettled` says what still is. It knows nothing of runs that were archived.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

from headwater.core.records.attempts import AttemptState
from headwater.core.records.leases import LeaseState
from headwater.core.records.steps import StepState
from headwater.wire.entries.steps import StepSucceeded
from headwater.wire.topics import BY_NAME, Direction
from scenes import oracle_outcomes as outcomes
from scenes.evidence import Evidence, evidence_of
from scenes.oracle_kafka import RELAY, offsets_came_to_an_end, what_was_published_is_the_log

WHOLE = 1_000
Sentence = Callable[[Evidence], Iterator[str]]


def violations(store: str, bootstrap: str) -> list[str]:
    """What does not hold of this store (its URL) and this broker, one line each; none where all is well."""
    return judged(evidence_of(store, bootstrap))


def judged(evidence: Evidence) -> list[str]:
    return [line for sentence in SENTENCES for line in sentence(evidence)]


def unsettled(evidence: Evidence) -> list[str]:
    """What is still on its way: a promise about the end can be asked when nothing is."""
    return [*_under_way(evidence)]


def steps_succeed_once(seen: Evidence) -> Iterator[str]:
    won = Counter(attempt.step_id for attempt in seen.attempts if attempt.state is AttemptState.SUCCEEDED)
    yield from (f"step {step} has {count} SUCCEEDED attempts" for step, count in won.items() if count > 1)
    said = Counter(entry.body.step_id for entry in seen.entries if isinstance(entry.body, StepSucceeded))
    yield from (f"the log says {count} times that step {step} succeeded" for step, count in said.items() if count > 1)
    for step in seen.steps:
        if won[step.id] and step.state not in (StepState.SUCCEEDED, StepState.CANCELLED):
            yield f"step {step.id} is {step.state} with a SUCCEEDED attempt"


def the_log_has_no_gap(seen: Evidence) -> Iterator[str]:
    positions = [position for position, _, _ in seen.numbers]
    if positions != list(range(1, seen.position + 1)):
        missing = sorted(set(range(1, seen.position + 1)) - set(positions))[:10]
        beyond = [position for position in positions if position > seen.position][:10]
        yield f"the log's head is {seen.position}: positions {missing} are missing, {beyond} lie beyond it"


def the_sequence_of_a_run_has_no_gap(seen: Evidence) -> Iterator[str]:
    seqs: dict[str, list[int]] = defaultdict(list)
    for _, run_id, seq in seen.numbers:
        if run_id is not None and seq is not None:
            seqs[run_id].append(seq)
    for run in seen.runs:
        if seqs[run.id] != list(range(1, run.seq + 1)):
            yield f"run {run.id} is at seq {run.seq}, and its words in the order of the log are {seqs[run.id][:50]}"
    for run_id in seqs.keys() - {run.id for run in seen.runs}:
        yield f"the log speaks of run {run_id}, which is not there"


def devices_are_lent_once(seen: Evidence) -> Iterator[str]:
    lent: dict[str, list[str]] = defaultdict(list)
    milli: Counter[str] = Counter()
    states = {attempt.fence: attempt.state for attempt in seen.attempts}
    for lease in seen.leases:
        if lease.state is LeaseState.FREE:
            continue
        lent[lease.device].append(f"fence {lease.fence} ({lease.milli} milli, {lease.state})")
        milli[lease.device] += lease.milli
        state = states.get(lease.fence)
        if lease.state is LeaseState.HELD and (state is None or not state.live):
            yield f"fence {lease.fence} holds device {lease.device}, and its attempt is {state}"
    yield from (f"device {one} has the live leases {', '.join(lent[one])}" for one in lent if milli[one] > WHOLE)


SENTENCES: tuple[Sentence, ...] = (
    outcomes.outcomes_are_what_the_triggers_say,
    outcomes.accepted_words_of_our_own_are_in_the_inbox,
    outcomes.outcomes_are_there,
    outcomes.runs_have_one_cause,
    outcomes.gatherings_end_as_they_say,
    outcomes.commands_have_one_answer,
    steps_succeed_once,
    the_log_has_no_gap,
    the_sequence_of_a_run_has_no_gap,
    devices_are_lent_once,
    what_was_published_is_the_log,
    offsets_came_to_an_end,
)


def _under_way(seen: Evidence) -> Iterator[str]:
    kept = {(offset.topic, offset.partition): offset for offset in seen.offsets}
    for place, records in seen.topics.items():
        offset = kept.get(place)
        inbound = place[0] not in BY_NAME or BY_NAME[place[0]].direction is Direction.INBOUND
        if inbound and records and (offset is None or (offset.next <= records[-1].offset and not offset.halted)):
            yield f"{place[0]}/{place[1]} is read up to {offset.next if offset else 0} of {records[-1].offset + 1}"
    if (marked := seen.next_of(RELAY)) <= seen.position:
        yield f"the relay has marked {marked - 1} of {seen.position}"
    going = [run for run in seen.runs if run.state in ("PENDING", "RUNNING", "CANCELLING")]
    if going:
        yield f"{len(going)} runs go on, the first is {going[0].id} ({going[0].flow}, {going[0].state})"
    live = [lease for lease in seen.leases if lease.state in (LeaseState.HELD, LeaseState.RELEASING)]
    if live:
        yield f"{len(live)} leases are live, the first is of {live[0].device} ({live[0].state})"
