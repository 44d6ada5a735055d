"""A stacked chart of what each team uses over time, as SVG without any library."""

from __future__ import annotations

from collections.abc import Sequence

COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#a463f2")
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 900, 320, 56, 28, 40
SAMPLES = 300


def stacked(steps: Sequence[tuple[int, dict[str, int]]], total_milli: int, teams: Sequence[str], title: str) -> str:
    """GPUs in use by team, the first at the bottom; `steps` as in `simulation.Tally`, the line is all there are."""
    end = max(at for at, _ in steps) or 1
    times = [end * n // SAMPLES for n in range(SAMPLES + 1)]
    levels = _sampled(steps, times, teams)
    below = [0] * len(times)
    parts = [f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>', _text(LEFT, 18, title, "start", 14)]
    for number, team in enumerate(teams):
        above = [low + each[number] for low, each in zip(below, levels, strict=True)]
        edge = [(at, top) for at, top in zip(times, above, strict=True)]
        edge += [(at, low) for at, low in zip(reversed(times), reversed(below), strict=True)]
        points = " ".join(f"{_x(at, end):.1f},{_y(level, total_milli):.1f}" for at, level in edge)
        colour = COLOURS[number % len(COLOURS)]
        parts.append(f'<polygon points="{points}" fill="{colour}"/>')
        line = TOP + 18 * number + 12
        parts.append(f'<rect x="{WIDTH - 148}" y="{line - 10}" width="11" height="11" fill="{colour}"/>')
        parts.append(_text(WIDTH - 131, line, team, "start", 12))
        below = above
    parts += _axes(total_milli, end)
    size = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    body = "\n".join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif">\n{body}\n</svg>\n'


def _sampled(
    steps: Sequence[tuple[int, dict[str, int]]], times: Sequence[int], teams: Sequence[str]
) -> list[list[int]]:
    found, at, used = [], 0, dict[str, int]()
    for time in times:
        while at < len(steps) and steps[at][0] <= time:
            used = steps[at][1]
            at += 1
        found.append([used.get(team, 0) for team in teams])
    return found


def _axes(total_milli: int, end: int) -> list[str]:
    top, floor, right = _y(total_milli, total_milli), _y(0, total_milli), _x(end, end)
    lines = [f'<path d="M{LEFT} {top}H{right}M{LEFT} {floor}H{right}" stroke="#333" fill="none"/>']
    lines += [
        _text(LEFT - 6, _y(total_milli * n // 4, total_milli) + 4, f"{total_milli * n // 4000}", "end", 11)
        for n in range(5)
    ]
    for hour in range(0, end // 3600 + 1, _every(end // 3600)):
        x = _x(hour * 3600, end)
        lines.append(f'<path d="M{x:.1f} {floor}v4" stroke="#333"/>')
        lines.append(_text(x, HEIGHT - 20, f"{hour} h", "middle", 11))
    return [*lines, _text(LEFT - 40, TOP - 2, "GPUs", "start", 11)]


def _every(hours: int) -> int:
    """How many hours lie between two marks: eight marks or fewer, at times that a clock has."""
    return next((step for step in (1, 2, 3, 6, 12, 24, 48, 168) if hours / step <= 8), 720)


def _x(at: int, end: int) -> float:
    return LEFT + at / end * (WIDTH - LEFT - 160)


def _y(level: int, total: int) -> float:
    return HEIGHT - BOTTOM - level / total * (HEIGHT - BOTTOM - TOP - 8)


def _text(x: float, y: float, words: str, anchor: str, size: int) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="#333">{words}</text>'
