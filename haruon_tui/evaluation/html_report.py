"""The evaluation as one HTML file to send to a colleague: no script, no network, no other file.

Every text that a model, a file or a server wrote is escaped, and the page's own Content Security
Policy forbids scripts and every request, should an escape ever be missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from haruon_tui.dataset import persona
from haruon_tui.evaluation import results, svg
from haruon_tui.evaluation.difference import Difference, compare
from haruon_tui.evaluation.figures import FIGURES, SHARES, written
from haruon_tui.evaluation.summary import ALL, NO_LEVEL

POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'"
)
WORST = 12
RULES = 20
"""At most so many rows."""
_COLOURS = 6
_MAX_CHARACTERS = 20_000


def page(document: dict[str, Any], lines: Sequence[dict[str, Any]], title: str) -> str:
    """The whole page from what evaluation.json holds and the lines of generations.jsonl."""
    models = results.models_of(document)
    last = list(models)[-1]
    parts = [
        f"<h1>Evaluation</h1><p class='lead'>{_safe(document['summary'])}</p>",
        _about(document, models, title),
        "<h2>Figures over all cases</h2>",
        _chart(models, ALL),
        _table(models, ALL),
    ]
    groups = [group for group in models[last]["groups"] if group != ALL]
    for group in groups if len(groups) > 1 else []:
        count = models[last]["groups"][group]["cases"]
        parts.append(f"<h2>{_safe(group)} <small>{count} cases</small></h2>")
        parts.append(_table(models, group))
    parts.append(_personas(models))
    parts.append(_confusions(last, models[last]))
    parts.append(_rules({name: results.of_model(lines, name) for name in models}))
    if document.get("judged"):
        parts.append(_judged(document["judged"]))
    if len(models) > 1:
        first = next(iter(models))
        found = compare(
            results.of_model(lines, first),
            results.of_model(lines, last),
            document["params"]["seed"],
        )
        parts.append(_difference(found, first, last))
    parts.append(_worst(last, results.of_model(lines, last)))
    parts.append(_method(document))
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        "<meta name='color-scheme' content='light dark'><link rel='icon' href='data:,'>"
        f"<title>Evaluation {_safe(title)}</title><style>{_style()}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


@cache
def _style() -> str:
    return (files("haruon_tui.data.evaluation") / "report.css").read_text("utf-8")


def _safe(text: object) -> str:
    return escape(svg.clean(str(text)))


def _colour(place: int) -> str:
    return f"m{place % _COLOURS}"


def _about(document: dict[str, Any], models: dict[str, Any], title: str) -> str:
    rows = [("run", title), ("cases", str(document["cases"]))]
    rows.append(("rules", document["params"]["rules"]))
    rows.append(("longest report", f"{document['params']['max_new_tokens']} tokens"))
    legend = "".join(
        f"<li><span class='swatch {_colour(place)}'></span><b>{_safe(name)}</b> "
        f"{_safe(model.get('ran_on', ''))}, {_speed(model)}</li>"
        for place, (name, model) in enumerate(models.items())
    )
    facts = "".join(f"<div><dt>{name}</dt><dd>{_safe(value)}</dd></div>" for name, value in rows)
    return f"<dl>{facts}</dl><ul class='legend'>{legend}</ul>"


def _speed(model: dict[str, Any]) -> str:
    speed = model.get("tokens_per_second")
    return f"{speed:,.0f} tokens/s" if speed else "speed not known"


def _chart(models: dict[str, Any], group: str) -> str:
    rows = []
    for figure in SHARES:
        dots = []
        for place, report in enumerate(models.values()):
            if one := results.estimate(report, figure.key, group):
                words = written(figure.key, one.mean)
                dots.append((_colour(place), one.mean, (one.low, one.high), words))
        if dots:
            rows.append((figure.title, dots))
    return f"<figure>{svg.intervals(rows, 'Figures with their intervals')}</figure>"


def _table(models: dict[str, Any], group: str) -> str:
    head = "".join(f"<th>{_safe(name)}</th>" for name in models)
    body = []
    for figure in FIGURES:
        cells = []
        for report in models.values():
            one = results.estimate(report, figure.key, group)
            ends = (
                f" <small>{written(figure.key, one.low)} – {written(figure.key, one.high)}</small>"
                if one
                else ""
            )
            cells.append(f"<td>{written(figure.key, one.mean if one else None)}{ends}</td>")
        body.append(f"<tr><th>{figure.title}</th>{''.join(cells)}</tr>")
    return _wide(f"<table><thead><tr><th></th>{head}</tr></thead>{''.join(body)}</table>")


def _wide(table: str) -> str:
    return f"<div class='wide'>{table}</div>"


def _personas(models: dict[str, Any]) -> str:
    names = list(
        dict.fromkeys(
            name for report in models.values() for name in report["groups"][ALL].get("persona", {})
        )
    )
    if not names:
        return ""
    rows = []
    for name in names:
        dots = [
            (_colour(place), value, None, f"{value:.2f}")
            for place, report in enumerate(models.values())
            if (value := report["groups"][ALL].get("persona", {}).get(name)) is not None
        ]
        rows.append((name, dots))
    chart = svg.intervals(rows, "Persona qualities")
    return f"<h2>Persona qualities</h2><figure>{chart}</figure>"


def _confusions(name: str, report: dict[str, Any]) -> str:
    confusion = report["groups"][ALL].get("confusion", {})
    columns = [*persona.LEVELS, NO_LEVEL]
    shown = []
    for trait in persona.TRAITS:
        rows = confusion.get(trait.key, {})
        if not rows:
            continue
        counts = [[row.get(level, 0) for level in columns] for row in rows.values()]
        right = report["groups"][ALL]["levels_by_trait"].get(trait.key, {})
        title = f"{trait.korean} ({trait.english})"
        share = f"{right.get('hits', 0)}/{right.get('total', 0)} right"
        chart = svg.heatmap(list(rows), columns, counts, title)
        shown.append(
            f"<figure><figcaption>{_safe(title)} <small>{share}</small></figcaption>"
            f"{chart}</figure>"
        )
    return (
        f"<h2>Trait levels: expected (rows) and found, {_safe(name)}</h2>"
        f"<div class='grid2'>{''.join(shown)}</div>"
    )


def _rules(lines: dict[str, Sequence[dict[str, Any]]]) -> str:
    broken = {name: results.broken_rules(of_model) for name, of_model in lines.items()}
    rules = list(dict.fromkeys(rule for name in reversed(broken) for rule in broken[name]))
    if not rules:
        return ""
    head = "".join(f"<th>{_safe(name)}</th>" for name in broken)
    body = "".join(
        f"<tr><th>{_safe(rule)}</th>"
        + "".join(f"<td>{of_model.get(rule, 0) or '–'}</td>" for of_model in broken.values())
        + "</tr>"
        for rule in rules[:RULES]
    )
    return "<h2>Rules that found something <small>number of reports</small></h2>" + _wide(
        f"<table><thead><tr><th></th>{head}</tr></thead>{body}</table>"
    )


def _judged(judged: dict[str, dict[str, float]]) -> str:
    keys = [key for key in next(iter(judged.values())) if key != "reports"]
    head = "".join(f"<th>{_safe(key)}</th>" for key in (*keys, "reports"))
    body = "".join(
        f"<tr><th>{_safe(name)}</th>"
        + "".join(f"<td>{scores[key]:.2f}</td>" if key in scores else "<td>–</td>" for key in keys)
        + f"<td>{scores.get('reports', 0):.0f}</td></tr>"
        for name, scores in judged.items()
    )
    return "<h2>The judge's opinion <small>1 to 5, apart from the rules</small></h2>" + _wide(
        f"<table><thead><tr><th></th>{head}</tr></thead>{body}</table>"
    )


def _difference(found: Difference, before: str, after: str) -> str:
    rows = "".join(
        f"<tr class='{change.verdict.split()[0]}'><th>{change.title}</th>"
        f"<td>{written(change.key, change.before)}</td>"
        f"<td>{written(change.key, change.after)}</td>"
        f"<td>{_signed(change.key, change.low)} – {_signed(change.key, change.high)}</td>"
        f"<td>{change.verdict}</td></tr>"
        for change in found.figures
    )
    head = f"<th></th><th>{_safe(before)}</th><th>{_safe(after)}</th><th>difference</th><th></th>"
    return f"<h2>{_safe(before)} to {_safe(after)}</h2><p>{_safe(found.summary)}.</p>" + _wide(
        f"<table><thead><tr>{head}</tr></thead>{rows}</table>"
    )


def _signed(key: str, value: float) -> str:
    return ("+" if value > 0 else "") + written(key, value)


def _worst(name: str, lines: Sequence[dict[str, Any]]) -> str:
    bad = [line for line in lines if line["reasons"]][:WORST]
    title = f"<h2>The worst reports of {_safe(name)}</h2>"
    if not bad:
        return title + "<p>No report has anything wrong with it.</p>"
    return title + "".join(_case(line, is_open=place == 0) for place, line in enumerate(bad))


def _case(line: dict[str, Any], *, is_open: bool) -> str:
    reasons = "".join(f"<li>{_safe(reason)}</li>" for reason in line["reasons"])
    answers = "".join(
        f"<li><b>{trait.korean}</b> {_safe(line.get('answers', {}).get(trait.key, ''))} "
        f"<small>{_safe(line['score']['traits'].get(trait.key, {}).get('expected', ''))}</small>"
        "</li>"
        for trait in persona.TRAITS
    )
    text = _safe(str(line["text"])[:_MAX_CHARACTERS]) or "(nothing)"
    return (
        f"<details{' open' if is_open else ''}><summary><b>{_safe(line['case'])}</b> "
        f"{_safe(line['reasons'][0])}</summary><ul class='reasons'>{reasons}</ul>"
        f"<ol>{answers}</ol><pre>{text}</pre></details>"
    )


def _method(document: dict[str, Any]) -> str:
    boot = document["bootstrap"]
    return (
        "<footer><p>Greedy decoding. The checks are those of the dataset's validator. Intervals: "
        f"percentile bootstrap over cases, {boot['resamples']:,} resamples, {boot['level']:.0%}, "
        f"seed {document['params']['seed']} (Efron and Tibshirani 1993, chapter 13). Where every "
        "case has the same value an interval has no width and says nothing of other cases.</p>"
        "</footer>"
    )
