"""serve, unserve: models behind HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import client, example
from .output import say

EXAMPLES = example(
    "headwater serve delay --version 3",
    "headwater serve delay --min-replicas 1 --max-replicas 4",
    "headwater serve ranker --max-replicas 2 --gpus 1 --gpu-model H100 --tier 1",
)
MODEL = typer.Argument(metavar="MODEL", help="From `headwater models`.")


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel="Act", epilog=EXAMPLES)(serve)
    app.command(rich_help_panel="Act", epilog=example("headwater unserve delay"))(unserve)


def serve(
    model: Annotated[str, MODEL],
    version: Annotated[int | None, typer.Option(min=1, help="The newest if not given.")] = None,
    min_replicas: Annotated[int, typer.Option(min=0, help="As few while nobody asks.")] = 1,
    max_replicas: Annotated[int | None, typer.Option(min=1, help="As many under load; with --gpus always.")] = None,
    gpus: Annotated[str, typer.Option(help="That each replica leases: 1, 2, or a part such as 0.25.")] = "0",
    gpu_model: Annotated[str | None, typer.Option(help="Such as H100; any if not given.")] = None,
    tier: Annotated[int | None, typer.Option(min=1, max=4, help="Of its leases; the project's if not given.")] = None,
) -> None:
    """Serve a model over HTTP, or change how it is served. With --gpus each replica leases devices of the quota of the
    model's project; tier 1 takes them from preemptible training within seconds."""
    from ..sdk.register import Serving

    asked = Serving(min_replicas, max_replicas or max(min_replicas, 1), gpus=gpus, gpu_model=gpu_model, tier=tier)
    with client() as hw:
        hw.models[model].serve(asked, version=version)
    say(f"{model} is to be served; `headwater deployments` says how it stands")


def unserve(model: Annotated[str, MODEL]) -> None:
    """Serve a model no longer. Its versions stay."""
    with client() as hw:
        hw.models[model].unserve()
    say(f"{model} is served no longer")
