"""The view of `redrive`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.text import Text

from s3agg.commands import redrive
from s3agg.commands.dead_letters import HIDDEN_S
from s3agg.errors import NO_OPTIONS, Advice, AwsOptions, S3aggError, plural
from s3agg.render.document import problem_documents
from s3agg.render.words import STYLES, ago, counted, dead_letters, new_table, place_of, plain, spaced
from s3agg.render.wrapping import Wrapped

MOST_BODIES = 10  # messages that are shown with their bodies
LONGEST_BODY = 1000  # characters of a body
KINDS: Mapping[redrive.Kind, str] = {
    "s3_event": "S3 event",
    "refresh_message": "refresh message",
    "not_understood": "message",
}


def of_kind(kind: redrive.Kind, count: int | None = None) -> str:
    """The words for one message of a kind, or for several with their count."""
    words = KINDS[kind] if count is None else plural(count, KINDS[kind])
    return f"{words} that redrive does not understand" if kind == "not_understood" else words


def redrive_document(
    report: redrive.Report, problems: Sequence[S3aggError] = (), aws_options: AwsOptions = NO_OPTIONS
) -> dict[str, object]:
    """The JSON of `redrive`, as schemas/redrive.json describes it. `problems` prevent the changes."""
    return {
        "stack": report.stack,
        "region": report.region,
        "account": report.account,
        "problems": problem_documents(problems, aws_options),
        "counts": report.counts,
        "in_flight": report.in_flight,
        "dead_letters": [
            {**vars(each), "error": each.error and each.error.text(aws_options)}
            for each in report.dead_letters
        ],
    }


def redrive_view(
    report: redrive.Report, now: datetime, aws_options: AwsOptions = NO_OPTIONS
) -> RenderableType:
    """The results for the dead letters. Letters with the same result, bucket and reason share a row.

    A letter with a body has a row of its own. Each advised command repeats `aws_options`.
    """
    where = place_of(report.stack, report.region, report.account)
    notes: list[RenderableType] = []
    if report.in_flight:
        notes.append(
            plain(
                f"In flight in another run: about {plural(report.in_flight, 'more message')}."
                f" Each becomes visible within {HIDDEN_S} s. Then run the same command again."
            )
        )
    strange = [
        each for each in report.dead_letters if each.body is not None and each.outcome in {"to_keep", "kept"}
    ]
    if strange:
        notes.append(
            Wrapped(
                f"Kept in the queue: {of_kind('not_understood', len(strange))}."
                " To see all of each, pass --output json."
                f" To delete one, run: {Advice('redrive', options={'discard': 'ID'}).words(aws_options)}"
            )
        )
    hidden = [each for each in report.dead_letters if each.body is not None][MOST_BODIES:]
    if hidden:
        notes.append(plain(f"Not shown: {plural(len(hidden), 'more message')}. --output json shows them."))
    if not report.dead_letters:
        return Group(plain(f"No dead letters: {where}."), *notes)
    alike: dict[tuple[object, ...], list[redrive.DeadLetter]] = {}
    for each in report.dead_letters:
        own = "" if each.body is None else each.id
        same = (each.outcome, each.kind, each.bucket, each.reason, str(each.error), own)
        alike.setdefault(same, []).append(each)
    table = new_table("result", "message and reason")
    for letters in alike.values():
        letter = letters[0]
        if letter in hidden:
            continue
        lines = [plain(_about_all(letters, now)), plain(letter.reason, "dim")]
        if letter.body is not None:
            lines += [plain(f"ID: {letter.id}"), _body(letter.body)]
        if letter.error:
            lines.append(plain(letter.error.text(aws_options), "red"))
        table.add_row(plain(spaced(letter.outcome), STYLES[letter.outcome]), Text("\n").join(lines))
    heading = f"{dead_letters(len(report.dead_letters))}: {counted(report.counts)}; {where}"
    return Group(plain(heading, "bold"), table, *notes)


def _body(body: str) -> Text:
    more = len(body) - LONGEST_BODY
    text = plain(body[:LONGEST_BODY])
    return text if more <= 0 else text.append(f" ... {plural(more, 'more character')}", style="dim")


def _about_all(letters: Sequence[redrive.DeadLetter], now: datetime) -> str:
    """The number of messages, their kind, bucket and age."""
    kind, bucket, count = letters[0].kind, letters[0].bucket, len(letters)
    words = of_kind(kind, count)
    if bucket:
        words += f" of bucket {bucket}"
    if keys := sum(each.keys or 0 for each in letters):
        words += f", {plural(keys, 'key')}"
    since = min((each.since for each in letters if each.since is not None), default=None)
    if since is not None:
        words += f", {'' if count == 1 else 'the oldest '}sent {ago(now, since)}"
    return words
