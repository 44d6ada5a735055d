"""Whether the manifest of a deployed folder can be taken in, judged against the quota tree and the flows there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from msgspec import Struct

from ...errors import did_you_mean
from ...wire.manifest import FlowSpec, Manifest
from ...wire.terms import JSON


class Fault(Struct, frozen=True):
    """Why a deploy is refused: a code for programs, a sentence with file and line for people."""

    code: str
    reason: str


class Known(Struct, frozen=True):
    """What a manifest is judged against: projects by name, and of each flow, as `project/flow`, the flows that it
    waits for."""

    projects: frozenset[str]
    flows: Mapping[str, frozenset[str]]


def fault_of(manifest: Manifest, known: Known) -> Fault | None:
    """The first thing that is wrong with the manifest; None where all of it can be taken."""
    if not manifest.flows:
        return Fault("no_flows", "The code declares no flow. Decorate a function with @flow(project=...)")
    names = Counter(full_name(flow) for flow in manifest.flows)
    flows = {**known.flows, **{full_name(flow): waits_for(flow) for flow in manifest.flows}}
    for flow in manifest.flows:
        if names[full_name(flow)] > 1:
            return Fault("duplicate_flow", f"{_at(flow)}: flow {full_name(flow)} is declared twice. Rename one of them")
        fault = _fault_of_flow(flow, Known(known.projects, flows))
        if fault is not None:
            return fault
    return None


def waits_for(flow: FlowSpec) -> frozenset[str]:
    """The flows whose end starts this one, as `project/flow`."""
    found = [heard for trigger in flow.triggers for heard in (trigger, *trigger.members) if heard.kind == "finished"]
    return frozenset(_wanted(flow, trigger.subject) for trigger in found)


def full_name(flow: FlowSpec) -> str:
    return f"{flow.project}/{flow.name}"


def projects_of(tree: JSON) -> frozenset[str]:
    """The names of all projects of a quota tree as it stands in its row."""
    cohorts = tree.get("cohort", {}) if isinstance(tree, dict) else {}
    return frozenset(name for cohort in cohorts.values() for name in _projects(cohort))


def _projects(group: JSON) -> Iterator[str]:
    yield from group.get("projects", {})
    for team in group.get("teams", {}).values():
        yield from _projects(team)


def _fault_of_flow(flow: FlowSpec, known: Known) -> Fault | None:
    if flow.project not in known.projects:
        what = f"{_at(flow)}: flow {flow.name!r} belongs to project {flow.project!r}, which no quota tree has"
        return Fault("unknown_project", _with_remedy(what, flow.project, known.projects))
    names = Counter(trigger.name for trigger in flow.triggers)
    for trigger in flow.triggers:
        where = _at(flow, trigger.line)
        if names[trigger.name] > 1:
            what = f"{where}: flow {flow.name!r} has two triggers named {trigger.name!r}"
            return Fault("duplicate_trigger", f"{what}. Give one of them a name of its own with name=")
        for heard in (trigger, *trigger.members):
            wanted = _wanted(flow, heard.subject)
            if heard.kind == "finished" and wanted not in known.flows:
                what = f"{where}: trigger {heard.name!r} of flow {flow.name!r} waits for {wanted}, which is no flow"
                return Fault("unknown_flow", _with_remedy(what, wanted, known.flows))
    circle = _circle(full_name(flow), known.flows)
    if circle:
        what = f"{_at(flow)}: flow {flow.name!r} triggers itself: {' ends, '.join(circle)} starts again"
        return Fault("cyclic_trigger", f"{what}. Take one on.finished out of the circle")
    return None


def _circle(start: str, flows: Mapping[str, frozenset[str]]) -> list[str]:
    """The way from the flow to itself over flows that wait for one another, the earlier first; empty without one."""
    ways, seen = [[start]], set[str]()
    while ways:
        way = ways.pop()
        for before in sorted(flows.get(way[0], ())):
            if before == start:
                return [start, *way]
            if before not in seen:
                seen.add(before)
                ways.append([before, *way])
    return []


def _wanted(flow: FlowSpec, subject: str) -> str:
    return subject if "/" in subject else f"{flow.project}/{subject}"


def _at(flow: FlowSpec, line: int = 0) -> str:
    return f"{flow.file or flow.function}:{line or flow.line}"


def _with_remedy(what: str, word: str, known: Collection[str]) -> str:
    remedy = did_you_mean(word, known)
    return f"{what}. {remedy}" if remedy else what
