"""nodes, node join|drain|restore: the machines of a platform, and what one of them offers."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InvalidInput
from .listings import LISTINGS
from .options import DEFAULT_LIMIT, HOME, AsJson, Limit, client, example, show
from .output import say

LIST_EXAMPLES = example("headwater nodes", "headwater nodes --json")
JOIN_EXAMPLES = example("headwater node join --home /srv/headwater --host 10.0.0.7 --label rack=r12 --label block=b1")
RESTORE_EXAMPLES = example("headwater node restore gpu-7", "headwater node restore gpu-7 --device GPU-5f2a…")
NODE = typer.Argument(metavar="NODE", help="From `headwater nodes`.")

node = typer.Typer(no_args_is_help=True, help="Make this machine a node; drain one, or restore it.")


def register(app: typer.Typer) -> None:
    app.command("nodes", help=LISTINGS["nodes",].help, rich_help_panel="Look", epilog=LIST_EXAMPLES)(list_nodes)
    app.add_typer(node, name="node", rich_help_panel="Platform")


def list_nodes(limit: Limit = DEFAULT_LIMIT, as_json: AsJson = False) -> None:
    show(("nodes",), {}, limit, as_json=as_json)


@node.command("join", epilog=JOIN_EXAMPLES)
def join(
    home: Annotated[Path | None, HOME] = None,
    name: Annotated[str, typer.Option(help="What the node is called; this host's name if not given.")] = "",
    host: Annotated[str, typer.Option(help="This machine's address for the others.")] = "127.0.0.1",
    label: Annotated[
        list[str], typer.Option("--label", metavar="KEY=VALUE", help="Repeatable; island, rack, block.")
    ] = [],  # noqa: B006
    gpus: Annotated[int, typer.Option(min=0, help="Logical GPUs, where the machine has no real ones.")] = 0,
    gpu_model: Annotated[str, typer.Option(help="What the logical GPUs are taken for.")] = "",
    gpu_memory: Annotated[str, typer.Option(help="Of a logical GPU, such as 80GiB.")] = "",
    cpus: Annotated[int, typer.Option(min=0, help="To lend; all if not given.")] = 0,
    memory: Annotated[str, typer.Option(help="To lend, such as 64GiB; all if not given.")] = "",
    drain_within: Annotated[float, typer.Option(help="Seconds that its steps may take to end when it leaves.")] = 300.0,
    detach: Annotated[bool, typer.Option("--detach", help="Go on in the background.")] = False,
) -> None:
    """Make this machine a node of the platform whose home folder it shares, until Ctrl-C. Its steps end first."""
    from ..core.node_offer import Offer
    from ..local.node import Joining, main

    offer = Offer(
        name=name or socket.gethostname(),
        gpus=gpus,
        gpu_model=gpu_model,
        gpu_memory_bytes=_bytes(gpu_memory, "--gpu-memory"),
        cpus=cpus,
        memory_bytes=_bytes(memory, "--memory"),
        labels=dict(_label(each) for each in label),
    )
    words = [word for word in sys.argv[1:] if word != "--detach"] if detach else []
    main(Joining(offer, host, drain_within), home=home, detached=words)


@node.command("drain", epilog=example("headwater node drain gpu-7"))
def drain(name: Annotated[str, NODE]) -> None:
    """Start nothing new on a node; what runs there goes on to its end."""
    with client() as hw:
        hw.order("node.drain", {"node": name})
    say(f"{name} is drained; `headwater node restore {name}` takes it back")


@node.command("restore", epilog=RESTORE_EXAMPLES)
def restore(
    name: Annotated[str, NODE],
    device: Annotated[str, typer.Option(metavar="DEVICE", help="One of its devices, out of quarantine.")] = "",
) -> None:
    """Take a drained node back into service, or a device of it out of quarantine."""
    with client() as hw:
        if device:
            hw.order("device.restore", {"device": device})
        else:
            hw.order("node.drain", {"node": name, "drained": False})
    say(f"{device or name} is in service")


def _label(given: str) -> tuple[str, str]:
    key, equals, text = given.partition("=")
    if not equals:
        raise InvalidInput(f"--label {given!r} is no label", remedy="Write KEY=VALUE, for example rack=r12")
    return key, text


def _bytes(given: str, option: str) -> int:
    from ..quota.units import amount

    return amount("memory", given, where=option) if given else 0
