"""quota: the tree with what each node is guaranteed and takes, and who waits for what; explain, simulate and usage
are in `quota_asked`.

The platform says what each project holds of each flavour; what a team or cohort uses is the sum of what is below it.
What is borrowed comes first out of what the parent guarantees beyond its children, then out of what its other
children leave unused, in proportion to it: that part is `lent`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from . import quota_asked
from .forms import moment
from .listings import Column
from .options import AsJson, client, example
from .output import print_json, print_table, say

if TYPE_CHECKING:
    from ..quota.tree import Tree
    from ..sdk import Client
    from ..wire.api.holdings import Held, QuotaView, Stored

TREE: Final = tuple(
    Column(name, name, "drawn") for name in ("tree", "flavour", "nominal", "used", "borrowed", "lent", "waiting")
)
WINDOWS: Final = tuple(Column(name, name) for name in ("window of", "more", "hours", "state"))
STORED: Final = (
    *(Column(name, name) for name in ("project", "stored", "of", "used")),
    *(Column(name, name, rank=1) for name in ("artifacts", "tables", "logs")),
    Column("state", "state"),
)
HELD: Final = (Column("project", "project"), Column("holds", "holds", "id"), Column("devices", "devices", "names"))
WAITING: Final = (
    Column("waiting step", "name", "id"), Column("run", "run", "id"), Column("project", "project", "id"),
    Column("since", "since_us", "time", rank=1), Column("why", "reason"),
)  # fmt: skip
RUN_TAIL: Final = 6


EXAMPLES: Final = example(
    "headwater quota", "headwater quota --apply quota.toml --dry-run", "headwater quota explain fit"
)


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Show the quota tree, ask why a step waits and what would happen if.")
    group.callback(invoke_without_command=True, epilog=EXAMPLES)(quota)
    quota_asked.register(group)
    app.add_typer(group, name="quota", rich_help_panel="Look")


def quota(
    context: typer.Context,
    apply: Annotated[Path | None, typer.Option(metavar="FILE", help="Replace the tree by that of a TOML file.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --apply: only say who would lose what.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the quota tree: what each project is guaranteed, uses, borrows, lends and stores, and why steps wait."""
    if context.invoked_subcommand is not None:
        return
    with client() as hw:
        if apply is not None:
            answer = _apply(hw, apply, dry_run=dry_run)
            if dry_run:
                print_json(answer) if as_json else say("\n".join(losses_in(answer)))
                return
        found = hw.quota()
    if as_json:
        print_json(found)
    else:
        _print(found)


def _print(found: QuotaView) -> None:
    from ..quota.tree import parse_tree
    from ..quota.windows import tree_at

    say(f"Quota tree, version {found.version}, by {found.principal}, {moment(found.applied_us)}", style="bold")
    declared, now_us = parse_tree(found.tree), time.time_ns() // 1000
    print_table(TREE, list(rows_of(tree_at(declared, now_us), found)), empty="The tree names no node.")
    if windows := list(window_rows(declared, now_us)):
        say("")
        print_table(WINDOWS, windows, empty="")
    if found.stored:
        say("")
        print_table(STORED, [stored_row(each) for each in found.stored], empty="")
    if found.held:
        say("")
        print_table(HELD, [_held(each) for each in found.held], empty="")
    say("")
    waiting = [{"name": each.name, "run": each.run_id[-RUN_TAIL:], "project": each.project,
                "since_us": each.since_us, "reason": each.reason or each.code} for each in found.waiting]  # fmt: skip
    print_table(WAITING, waiting, empty="No step waits.")


def rows_of(tree: Tree, found: QuotaView) -> Iterator[dict[str, str]]:
    """A row for each node and flavour that it has a quota of, parents first."""
    use = {flavour: _use(tree, found, flavour) for flavour in tree.flavours()}
    waiting = _waiting(tree, found)
    for index, stem, trunk in _drawn(tree):
        node, is_member = tree.nodes[index], tree.nodes[index].parent >= 0
        for nth, (flavour, quota) in enumerate(node.quotas.items() or [("", None)]):
            used = use.get(flavour)
            yield {
                "tree": stem if nth == 0 else trunk,
                "flavour": flavour,
                "nominal": _amount(flavour, quota.nominal) if quota else "",
                "used": _amount(flavour, used[index]) if used else "",
                "borrowed": _amount(flavour, _borrowed(tree, used, index, flavour)) if used and is_member else "",
                "lent": _amount(flavour, lent(tree, used, index, flavour)) if used and is_member else "",
                "waiting": _steps(waiting[index]) if nth == 0 else "",
            }


def window_rows(tree: Tree, now_us: int) -> Iterator[dict[str, str]]:
    """A row for each window that is open or still to come, in the order of the tree."""
    for window in tree.windows:
        span = window.hours.span(now_us)
        if span is not None:
            state = f"opens {moment(span[0])}" if now_us < span[0] else f"open until {moment(span[1])}"
            more, path = f"+{_amount(window.flavour, window.amount)}", tree.nodes[window.node].path
            yield {"window of": path, "more": more, "hours": window.hours.shown(), "state": state}


def lent(tree: Tree, used: list[int], index: int, flavour: str) -> int:
    """What others of the same parent use of what this node is guaranteed."""
    family = [at for at, node in enumerate(tree.nodes) if node.parent == tree.nodes[index].parent >= 0]
    idle = {at: max(0, _nominal(tree, at, flavour) - used[at]) for at in family}
    if not idle.get(index):
        return 0
    surplus = _nominal(tree, tree.nodes[index].parent, flavour) - sum(_nominal(tree, at, flavour) for at in family)
    wanted = sum(_borrowed(tree, used, at, flavour) for at in family) - max(0, surplus)
    return min(idle[index], max(0, wanted) * idle[index] // sum(idle.values()))


def _borrowed(tree: Tree, used: list[int], index: int, flavour: str) -> int:
    return max(0, used[index] - _nominal(tree, index, flavour)) if tree.nodes[index].parent >= 0 else 0


def _nominal(tree: Tree, index: int, flavour: str) -> int:
    quota = tree.nodes[index].quotas.get(flavour)
    return quota.nominal if quota else 0


def _use(tree: Tree, found: QuotaView, flavour: str) -> list[int]:
    return _summed(tree, {each.project: each.used.get(flavour, 0) for each in found.held})


def _waiting(tree: Tree, found: QuotaView) -> list[int]:
    counts: dict[str, int] = {}
    for each in found.waiting:
        counts[each.project] = counts.get(each.project, 0) + 1
    return _summed(tree, counts)


def _summed(tree: Tree, by_project: Mapping[str, int]) -> list[int]:
    """The amounts of the projects, and of each group what is below it; children come after their parents."""
    sums = [by_project.get(node.name, 0) if node.kind == "project" else 0 for node in tree.nodes]
    for index in range(len(sums) - 1, -1, -1):
        if tree.nodes[index].parent >= 0:
            sums[tree.nodes[index].parent] += sums[index]
    return sums


def _drawn(tree: Tree, parent: int = -1, indent: str = "") -> Iterator[tuple[int, str, str]]:
    """(index, the line of its name, the line below its name) of each node, in the order it is drawn."""
    children = [at for at, node in enumerate(tree.nodes) if node.parent == parent]
    for at in children:
        node, is_last = tree.nodes[at], at == children[-1]
        branch, below = ("", "") if parent < 0 else ("└─ ", "   ") if is_last else ("├─ ", "│  ")
        name = node.name if node.kind == "project" else f"{node.name} ({node.kind})"
        has_children = any(each.parent == at for each in tree.nodes)
        yield at, f"{indent}{branch}{name}", f"{indent}{below}{'│' if has_children else ''}"
        yield from _drawn(tree, at, indent + below)


def _amount(flavour: str, value: int) -> str:
    from ..quota.units import shown

    return shown(flavour, value).removesuffix(" of memory") if value else "0"


def stored_row(stored: Stored) -> dict[str, Any]:
    """The percents are whole ones: 80 is warned of, 100 is full."""
    parts = {"artifacts": stored.artifacts_bytes, "tables": stored.tables_bytes, "logs": stored.logs_bytes}
    used, limit = sum(parts.values()), stored.limit_bytes
    row = {name: _amount("memory", size_bytes) for name, size_bytes in {"stored": used, **parts}.items()}
    if limit is None:
        return {"project": stored.project, **row, "of": "no limit", "used": "", "state": ""}
    share = f"{used * 100 // limit} %" if limit else "full"
    return {"project": stored.project, **row, "of": _amount("memory", limit), "used": share, "state": stored.level}


def _held(held: Held) -> dict[str, Any]:
    holds = ", ".join(_amount(flavour, value) for flavour, value in held.used.items())
    return {"project": held.project, "holds": holds, "devices": held.devices}


def _steps(count: int) -> str:
    return f"{count} step{'' if count == 1 else 's'}" if count else ""


def _apply(hw: Client, path: Path, *, dry_run: bool) -> Any:
    tree = quota_asked.toml_of(path, remedy="Give a TOML file with a [quota] section.")
    return hw.order("quota.apply", {"tree": tree.get("quota", tree), "dry_run": dry_run}).result


def losses_in(answer: Mapping[str, Any]) -> list[str]:
    """Who holds or stores more than a tree would allow, a line each."""
    lines = [
        f"{loss['project']} would hold {_amount(loss['flavour'], loss['amount'])} beyond its guarantee of "
        f"{_amount(loss['flavour'], loss['guaranteed_after'])}"
        for loss in answer["losses"]
    ]
    lines += [
        f"{over['project']} stores {_amount('memory', over['stored_bytes'])}, and could write nothing beyond "
        f"{_amount('memory', over['limit_bytes'])}"
        for over in answer["over_storage"]
    ]
    return lines or ["Nobody would lose anything." if answer["changed"] else "It is the tree in force."]
