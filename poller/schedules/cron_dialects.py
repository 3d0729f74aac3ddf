"""Recognises the cron lines of other programs, and suggests the line to write instead.

Quartz and AWS count weekdays from 1 for Sunday and may name a year; Jenkins writes `H` for a value of its own
choosing, OpenBSD and cronie `~`; crontabs hold commands and comments, YAML files quotes. A line whose meaning
here differs from that in its own program is refused, never guessed. Pure: texts in, texts out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_DIGIT = re.compile(r"(?<![#/\d])\d+")
_SIMPLE = re.compile(r"(?:[0-7]|[A-Z]{3})(?:-(?:[0-7]|[A-Z]{3}))?")
_SIMPLE = re.compile(r"(?:[0-7]|[A-Z]{3})(?:-(?:[0-7]|[A-Z]{3}))?")
_YEAR = re.compile(r"\*|(19|20)\d\d\S*")
_CALL = re.compile(r"(CRON|RATE|AT)\s*\((.*)\)", re.DOTALL)
_RATE = re.compile(r"(\d+) (MINUTE|HOUR|DAY)S?")
_KEY = re.compile(r"(-\s*)?(CRON|SCHEDULE)\s*[:=]\s*", re.IGNORECASE)
_QUOTED = re.compile(r"""(["'`])(.*)\1,?""", re.DOTALL)
_COMMENT = re.compile(r"(.*?\S)\s+#.*", re.DOTALL)
_WORD = re.compile(r"(@[A-Z]+)\s+(.*)", re.DOTALL)
_HASHED = re.compile(r"H(?:\((\d+)-(\d+)\))?(/\d+)?")
_RANDOM = re.compile(r"(\d*)~(\d*)")
_TIME = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d))?")
_EVERY = re.compile(r"(?:@?EVERY )?(\d+|A|AN|ONE)? ?(SECOND|SEC|MINUTE|MIN|HOUR|HR|DAY|WEEK|S|M|H|D|W)S?")
_NAME = "SUN|MON|TUE|WED|THU|FRI|SAT|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC"
_CRON_FIELD = re.compile(rf"(?:[0-9*?/,#LW~-]|{_NAME})+")
_CHOSEN = ("17", "3", "1", "1", "1")  # replacements for a hash, by field
_FULL_NAME = re.compile(
    r"(?<![A-Z])(?:(SUN|MON|TUE|WED|THU|FRI|SAT)(?:S|SDAY|NESDAY|URDAY|RSDAY|R|RS|DAY)"
    r"|(JAN|FEB|MAR|APR|JUN|JUL|AUG|SEP|OCT|NOV|DEC)(?:UARY|RUARY|CH|IL|E|Y|UST|T|TEMBER|OBER|EMBER))(?![A-Z])"
)
_WORDS = {
    "@MINUTELY": "* * * * *",
    "@EVERY_MINUTE": "* * * * *",
    "@QUARTERLY": "0 0 1 */3 *",
    "@WEEKDAYS": "0 0 * * MON-FRI",
    "@WEEKENDS": "0 0 * * SAT,SUN",
    "@NOON": "0 12 * * *",
    **{word: f"@{word.lower()}" for word in ("YEARLY", "ANNUALLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY")},
    "MIDNIGHT": "@midnight",
    "MINUTELY": "* * * * *",
    "QUARTERLY": "0 0 1 */3 *",
}
_FIELDS, _WITH_SECONDS, _WITH_YEAR = 5, 6, 7


def advice(text: str, reads: Callable[[str], bool]) -> str | None:
    """Return which program's line this is and what to write instead; None if it is not recognised.

    Args:
        text: a line that was refused, as it was given.
        reads: tells whether a line would be taken.
    """
    line = " ".join(text.upper().split())
    for whose, instead in _readings(line, text):
        if reads(instead) or re.match(r"@every \d+[smhd]$", instead):
            return f"{whose}; write {instead}"
    return _without_a_line(line)


def _readings(line: str, text: str) -> Iterator[tuple[str, str]]:
    """Yield what a line may mean: the program that it comes from, and the line to write."""
    yield from _wrapped(line, text)
    if (call := _CALL.fullmatch(line)) is not None:
        yield from _of_aws(call[1], call[2].strip())
    if line in _WORDS:
        yield "unknown word", _WORDS[line]
    if (word := _WORD.fullmatch(line)) is not None:
        yield f"{word[1].lower()} stands for all five fields, and nothing follows it", word[1].lower()
    yield from _of_fields(line.split())
    yield from _in_words(line)


def _wrapped(line: str, text: str) -> Iterator[tuple[str, str]]:
    """Yield readings of lines with extra text: a comment, quotes, the key of a YAML file."""
    if (commented := _COMMENT.fullmatch(line)) is not None:
        yield "a comment is not part of the schedule", _lowered(commented[1])
    bare = _KEY.sub("", line, count=1)
    quoted = _QUOTED.fullmatch(bare)
    inner = quoted[2] if quoted else bare
    if inner != line:
        yield "quotes and keys around the line are no part of it", _lowered(inner.strip())
    if (full := _FULL_NAME.sub(lambda found: found[1] or found[2], line)) != line:
        yield "months and weekdays are named by three letters", full
    if "\N{FULLWIDTH ASTERISK}" in text or "\\*" in text:
        yield (
            "its asterisks are not plain ones",
            line.replace("\N{FULLWIDTH ASTERISK}", "*").replace("\\*", "*"),
        )


def _lowered(line: str) -> str:
    return line.lower() if line.startswith("@") else line


def _of_aws(kind: str, inner: str) -> Iterator[tuple[str, str]]:
    if kind == "CRON" and len(fields := inner.split()) == _WITH_SECONDS and fields[5] == "*":
        yield "AWS' cron(…), with a year", _from_quartz(fields[:5])
    if kind == "RATE" and (rate := _RATE.fullmatch(inner)) is not None:
        yield "AWS' rate(…)", f"@every {rate[1]}{rate[2][0].lower()}"


def _of_fields(fields: list[str]) -> Iterator[tuple[str, str]]:
    """Yield readings of lines with a field too many, or with values that only their own program knows."""
    named = fields[5:] and not all(_CRON_FIELD.fullmatch(each) for each in fields[5:])
    if named:
        yield "a schedule names no user and no command", " ".join(fields[:5])
    if len(fields) == _WITH_SECONDS and fields[5] == "*" and "?" in (fields[2], fields[4]):
        yield "AWS' notation, with a year at its end", _from_quartz(fields[:5])
    if len(fields) == _WITH_YEAR and fields[6] == "*":
        yield "7 fields: Quartz' notation, with a year at its end", _from_quartz(fields[:6])
    if len(fields) == _FIELDS and any(_HASHED.fullmatch(each) for each in fields):
        why = "H is Jenkins' and stands for a value of its choosing; choose one, or spread the runs with jitter="
        yield why, " ".join(map(_chosen, fields, _CHOSEN))
    if any("~" in each for each in fields):
        why = (
            "~ stands for a value by chance, which each planner would draw anew; choose one, or give jitter="
        )
        yield why, " ".join(_RANDOM.sub(lambda found: found[1] or "0", each) for each in fields)


def _chosen(field: str, value: str) -> str:
    hashed = _HASHED.fullmatch(field)
    if hashed is None:
        return field
    low, high, step = hashed.groups()
    if step:
        return f"{low}-{high}{step}" if low else f"*{step}"
    return low or value


def _from_quartz(fields: list[str]) -> str:
    """Return a line of Quartz or AWS with weekdays by their names, and `*` for `?`."""
    *others, weekday = fields
    return " ".join("*" if field == "?" else field for field in [*others, _named(weekday)])


def _named(weekdays: str) -> str:
    first = 0 if re.search(r"(?<![#/\d])0", weekdays) else 1  # Spring counts from 0, Quartz and AWS from 1
    return _DIGIT.sub(lambda found: _WEEKDAYS[(int(found[0]) - first) % 7], weekdays)


def _in_words(line: str) -> Iterator[tuple[str, str]]:
    if (every := _EVERY.fullmatch(line)) is not None and (every[1] or line.startswith(("EVERY", "@EVERY"))):
        count = every[1] if every[1] and every[1].isdigit() else "1"
        number, unit = (int(count) * 7, "d") if every[2][0] == "W" else (int(count), every[2][0].lower())
        yield "it is a period", f"@every {number}{unit}"
    if (time := _TIME.search(line)) is not None:
        plain = f"{int(time[2])} {int(time[1])} * * *"
        day = next((name for name in _WEEKDAYS if line.startswith(name)), "*")
        yield "a time of day is written by its fields", f"{plain[:-1]}{day}"


def _without_a_line(line: str) -> str | None:
    fields = line.split()
    if len(fields) == _WITH_YEAR and _YEAR.fullmatch(fields[6]):
        return "7 fields: a schedule names no year; give starts_at= and ends_at=, or run it once with @at"
    if _CALL.fullmatch(line):
        return "it is AWS' notation; write the five fields alone, and @at for one time"
    return None


def refuse_quartz_weekdays(fields: list[str]) -> None:
    """Refuse a `?` beside weekdays by number: programs with `?` count from 1 for Sunday, or from 0.

    Args:
        fields: five or six, in upper case.

    Raises:
        ValueError: with the line to write.
    """
    if "?" in (fields[-3], fields[-1]) and _DIGIT.search(fields[-1]):
        instead = _from_quartz(fields)
        msg = f"with ? this is Quartz' notation, which counts weekdays from 1 for Sunday; write {instead}"
        raise ValueError(msg)


def both_days(item: str, line: list[str]) -> str:
    """Return what to write for `*/100,1-7 * MON`, or `1-7 * */7`, whose star makes both fields of days count.

    Args:
        item: the item with the star, whose step exceeds its range.
        line: six fields.
    """
    why = f"the step of {item!r} leaves its range; it is there so that day and weekday must both hold"
    days, weekdays = line[3].split(","), line[5].split(",")
    if item in weekdays:
        weekdays = ["SUN", *(each for each in weekdays if each != item)]
    else:
        days.remove(item)
    if days != ["1-7"] or not all(_SIMPLE.fullmatch(each) for each in weekdays):
        return f"{why}, for which no line can be written; have the job look at run.planned_at"
    fields = [*line[:3], "*", line[4], ",".join(f"{day}#1" for day in _single(weekdays))]
    return f"{why}; write {' '.join(fields[1:] if line[0] == '0' else fields)}"


def _single(weekdays: Iterable[str]) -> Iterator[str]:
    """Yield weekdays one by one: `MON-WED` as three."""
    for each in weekdays:
        first, _, last = each.partition("-")
        low, high = _place(first), _place(last or first)
        for day in range(low, high + 1 if low <= high else high + 8):
            yield _WEEKDAYS[day % 7]


def _place(weekday: str) -> int:
    return _WEEKDAYS.index(weekday) if weekday in _WEEKDAYS else int(weekday) % 7
