"""Lines as people write them: each has the meaning of crontab(5), or is refused with the line to write instead.

From crontabs, Kubernetes CronJobs, GitHub's and GitLab's workflows, Quartz, Spring, Jenkins, AWS and systemd.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice, pairwise

import pytest
from cronsim import CronSim

from poller import PollerError, cron
from poller.schedules.slots import parse

START = datetime(2026, 11, 27, 23, 30, tzinfo=UTC)
SOME = 8

# Lines on which cronsim, which has cronie's meaning, has its say.
PLAIN = """
* * * * *
*/1 * * * *
*/2 * * * *
*/5 * * * *
*/10 * * * *
*/15 * * * *
*/20 * * * *
*/30 * * * *
0 * * * *
1 * * * *
17 * * * *
30 * * * *
0,30 * * * *
5,20,35,50 * * * *
0-29 * * * *
10-59/10 * * * *
3-59/15 * * * *
0-59/2 * * * *
0 0 * * *
0 1 * * *
0 2 * * *
0 3 * * *
15 3 * * *
30 4 * * *
0 12 * * *
59 23 * * *
25 6 * * *
0 0,12 * * *
0 6,18 * * *
0 8,13,18 * * *
0 */2 * * *
0 */3 * * *
0 */4 * * *
0 */6 * * *
0 */8 * * *
0 */12 * * *
15 */6 * * *
0 9-17 * * *
0 9-17/2 * * *
*/15 9-17 * * *
*/10 8-18 * * 1-5
0 9-18 * * 1-5
30 8 * * 1-5
0 9 * * 1
0 9 * * MON
0 9 * * mon
0 9 * * Mon
0 17 * * FRI
0 17 * * 5
0 0 * * 0
0 0 * * 7
0 0 * * SUN
47 6 * * 7
0 4 * * 6,0
0 4 * * SAT,SUN
0 22 * * 1-5
0 22 * * MON-FRI
5 4 * * SUN
0 3 * * 2,4
0 3 * * TUE,THU
23 0-23/2 * * *
5 0 * 8 *
15 14 1 * *
0 0 1 * *
52 6 1 * *
0 0 15 * *
0 0 1,15 * *
0 0 1-7 * *
0 0 28 * *
0 0 31 * *
0 0 30 * *
0 0 29 2 *
0 0 1 1 *
0 0 25 12 *
0 0 1 */3 *
0 0 1 */2 *
0 0 1 */6 *
0 0 1 1,4,7,10 *
0 0 1 JAN,JUL *
0 0 1 jan-jun *
0 9 1-7 * *
0 0 */2 * *
0 0 */3 * *
0 0 */10 * *
0 0 1-31/2 * *
0 0 13 * 5
0 0 1 * MON
30 4 1,15 * 5
0 0 1,15 * 3
0 0 */2 * MON
0 0 13 * */2
0 0 L * *
0 0 * * 5#3
0 0 * * MON#1
0 0 * * 1#1,1#3
0 0 * * 5L
*/5 0-6 * * *
*/5 * * * 1-5
* 2-4 * * *
0 0-5,20-23 * * *
0-10,30-40 * * * *
0 5 1 1 1
14,44 * * * *
07 03 * * *
00 00 * * *
0 0 * 11,12 *
0 0 2 JAN-MAR *
*/7 * * * *
*/25 * * * *
0 */5 * * *
0 */7 * * *
2-58/4 * * * *
37 13 * * 0,3,5
@yearly
@annually
@monthly
@weekly
@daily
@hourly
""".strip().splitlines()

# Lines whose next slots are written down.
WRITTEN = [
    ("@midnight", ["11-28T00:00", "11-29T00:00"]),
    ("0 22-6 * * *", ["11-28T00:00", "11-28T01:00", "11-28T02:00"]),
    ("0 22-6/4 * * *", ["11-28T02:00", "11-28T06:00", "11-28T22:00"]),
    ("50-10/10 * * * *", ["11-27T23:50", "11-28T00:00", "11-28T00:10", "11-28T00:50"]),
    ("0 0 1 NOV-MAR *", ["12-01T00:00", "2027-01-01T00:00", "2027-02-01T00:00", "2027-03-01T00:00", "2027-11-01T00:00"]),
    ("0 0 30-2 * *", ["11-30T00:00", "12-01T00:00", "12-02T00:00", "12-30T00:00"]),
    ("0 0 * * FRI-MON", ["11-28T00:00", "11-29T00:00", "11-30T00:00", "12-04T00:00"]),
    ("0 0 * * 5-1", ["11-28T00:00", "11-29T00:00", "11-30T00:00", "12-04T00:00"]),
    ("0 0 * * FRI-SUN", ["11-28T00:00", "11-29T00:00", "12-04T00:00"]),
    ("0 0 * * 6-7", ["11-28T00:00", "11-29T00:00", "12-05T00:00"]),
    ("0 0 * * SUN-SAT", ["11-28T00:00", "11-29T00:00", "11-30T00:00"]),
    ("0 0 LW * *", ["11-30T00:00", "12-31T00:00", "2027-01-29T00:00"]),
    ("0 0 L-3 * *", ["12-28T00:00", "2027-01-28T00:00", "2027-02-25T00:00"]),
    ("0 0 15W * *", ["12-15T00:00", "2027-01-15T00:00", "2027-02-15T00:00"]),
    ("0 0 1W * *", ["12-01T00:00", "2027-01-01T00:00", "2027-02-01T00:00", "2027-03-01T00:00"]),
    ("0 0 L,15 * *", ["11-30T00:00", "12-15T00:00", "12-31T00:00"]),
    ("0 0 * * FRIL", ["12-25T00:00", "2027-01-29T00:00"]),
    ("0 0 12 * * ?", ["11-28T12:00", "11-29T12:00"]),
    ("0 15 10 ? * MON-FRI", ["11-30T10:15", "12-01T10:15"]),
    ("0 15 10 ? * FRI#3", ["12-18T10:15", "2027-01-15T10:15"]),
    ("0 15 10 L * ?", ["11-30T10:15", "12-31T10:15"]),
    ("0 0/5 14 * * ?", ["11-28T14:00", "11-28T14:05"]),
    ("0 0/5 14,18 * * ?", ["11-28T14:00", "11-28T14:05"]),
    ("0 10,44 14 ? 3 WED", ["2027-03-03T14:10", "2027-03-03T14:44"]),
    ("0 11 11 11 11 ?", ["2027-11-11T11:11"]),
    ("*/10 * * * * *", ["11-27T23:30:10", "11-27T23:30:20"]),
    ("0 */15 * * * *", ["11-27T23:45", "11-28T00:00"]),
    ("30 0 3 * * *", ["11-28T03:00:30"]),
    ("5/15 * * * *", ["11-27T23:35", "11-27T23:50", "11-28T00:05"]),
    ("  0   3\t* * *  ", ["11-28T03:00"]),
    ("CRON_TZ=Asia/Tokyo 0 9 * * *", ["11-28T00:00", "11-29T00:00"]),
    ("TZ=Europe/Berlin 0 3 * * *", ["11-28T02:00"]),
    ("@every 1h30m", ["11-28T01:00", "11-28T02:30"]),
]  # fmt: skip

# What is refused, and the line that the refusal tells to write.
REFUSED = [
    ("0 0 9 ? * 2-6", "0 0 9 * * MON-FRI"),
    ("0 15 10 ? * 6L", "0 15 10 * * FRIL"),
    ("0 15 10 ? * 6#3", "0 15 10 * * FRI#3"),
    ("0 0 12 ? * 1", "0 0 12 * * SUN"),
    ("0 0 12 ? * 1,7", "0 0 12 * * SUN,SAT"),
    ("0 9 ? * 2", "0 9 * * MON"),
    ("0 0 12 ? * 0", "0 0 12 * * SUN"),
    ("0 0 12 1/1 * ? *", "0 0 12 1/1 * *"),
    ("0 0 12 ? * MON-FRI *", "0 0 12 * * MON-FRI"),
    ("0 0 12 ? * 2 *", "0 0 12 * * MON"),
    ("0 12 * * ? *", "0 12 * * *"),
    ("15 10 ? * 6L *", "15 10 * * FRIL"),
    ("0 8 1 * ? *", "0 8 1 * *"),
    ("0/15 * * * ? *", "0/15 * * * *"),
    ("0 18 ? * MON-FRI *", "0 18 * * MON-FRI"),
    ("cron(0 10 * * ? *)", "0 10 * * *"),
    ("cron(15 12 * * ? *)", "15 12 * * *"),
    ("cron(0 18 ? * 2-6 *)", "0 18 * * MON-FRI"),
    ("cron(0/10 * ? * MON-FRI *)", "0/10 * * * MON-FRI"),
    ("rate(5 minutes)", "@every 5m"),
    ("rate(1 hour)", "@every 1h"),
    ("rate(7 days)", "@every 7d"),
    ("H 2 * * *", "17 2 * * *"),
    ("H * * * *", "17 * * * *"),
    ("H H * * *", "17 3 * * *"),
    ("H/15 * * * *", "*/15 * * * *"),
    ("H(0-29)/10 * * * *", "0-29/10 * * * *"),
    ("H H(0-7) * * *", "17 0 * * *"),
    ("H 9-16/2 * * 1-5", "17 9-16/2 * * 1-5"),
    ("H H 1,15 1-11 *", "17 3 1,15 1-11 *"),
    ("H H * * H", "17 3 * * 1"),
    ("0~59 * * * *", "0 * * * *"),
    ("~ 3 * * *", "0 3 * * *"),
    ("@daily * * *", "@daily"),
    ("@hourly /usr/local/bin/run", "@hourly"),
    ("@weekly root /usr/bin/certbot renew", "@weekly"),
    ("0 5 * * * # comment", "0 5 * * *"),
    ("*/5 * * * * # every five minutes", "*/5 * * * *"),
    ("@daily # at midnight", "@daily"),
    ("0 5 * * 1 tar -zcf /var/backups/home.tgz /home/", "0 5 * * 1"),
    ("17 * * * * root cd / && run-parts --report /etc/cron.hourly", "17 * * * *"),
    ("*/5 * * * * /usr/bin/php /var/www/artisan schedule:run", "*/5 * * * *"),
    ("30 3 * * * backup", "30 3 * * *"),
    ("'0 5 * * *'", "0 5 * * *"),
    ('"*/15 * * * *"', "*/15 * * * *"),
    ("- cron: '30 5 * * 1,3'", "30 5 * * 1,3"),
    ("cron: '0 0 * * 0'", "0 0 * * 0"),
    ('schedule: "*/1 * * * *"', "*/1 * * * *"),
    ("`0 3 * * *`", "0 3 * * *"),
    ("* * * * MONDAY", "* * * * MON"),
    ("0 9 * * monday-friday", "0 9 * * MON-FRI"),
    ("0 9 * * Tues,Thurs", "0 9 * * TUE,THU"),
    ("0 0 1 January *", "0 0 1 JAN *"),
    ("0 0 1 sept *", "0 0 1 SEP *"),
    ("daily", "@daily"),
    ("hourly", "@hourly"),
    ("weekly", "@weekly"),
    ("monthly", "@monthly"),
    ("midnight", "@midnight"),
    ("@minutely", "* * * * *"),
    ("@every_minute", "* * * * *"),
    ("@quarterly", "0 0 1 */3 *"),
    ("@weekdays", "0 0 * * MON-FRI"),
    ("@noon", "0 12 * * *"),
    ("every 5 minutes", "@every 5m"),
    ("every 2 hours", "@every 2h"),
    ("every minute", "@every 1m"),
    ("every day", "@every 1d"),
    ("every week", "@every 7d"),
    ("5m", "@every 5m"),
    ("30 seconds", "@every 30s"),
    ("03:00", "0 3 * * *"),
    ("daily at 03:30", "30 3 * * *"),
    ("*-*-* 03:00:00", "0 3 * * *"),
    ("Mon *-*-* 00:00:00", "0 0 * * MON"),
    ("0 7 */100,1-7 * MON", "0 7 * * MON#1"),
    ("0 7 1-7,*/100 * MON", "1"),
    ("0 2 1-7 * */7", "0 2 * * SUN#1"),
    ("0 2 13 * */7", None),
    ("0 9 */50,1-7 * TUE-WED", "0 9 * * TUE#1,WED#1"),
    ("*/90 * * * *", "0"),
    ("0 */24 * * *", "0"),
    ("0 0 1 */12 *", "1"),
    ("0 0 */100,13 * FRI", None),
    ("0 0 12 1 1 ? 2030", None),
    ("cron(0 10 * * ? 2030)", None),
    ("0 0 31 2 *", None),
    ("@reboot", None),
    ("* * * *", None),
    ("60 * * * *", None),
    ("0 24 * * *", None),
    ("0 0 0 * *", None),
    ("0 0 * * 8", None),
    ("0 0 * 0 *", None),
    ("", None),
]


@pytest.mark.parametrize("line", PLAIN)
def test_g10_a_line_of_crontab_has_the_meaning_of_crontab(line: str) -> None:
    """By the word of another program that has it."""
    schedule = parse(line)
    words = {
        "@yearly": "0 0 1 1 *",
        "@annually": "0 0 1 1 *",
        "@monthly": "0 0 1 * *",
        "@weekly": "0 0 * * 0",
    }
    plain = words.get(line, {"@daily": "0 0 * * *", "@hourly": "0 * * * *"}.get(line, line))
    slot, found = START, []
    for _ in range(SOME):
        slot = schedule.next_after(slot, START) or START
        found.append(slot)
    assert found == list(islice(CronSim(plain, START), SOME))
    assert all(earlier < later for earlier, later in pairwise(found))


@pytest.mark.parametrize(("line", "expected"), WRITTEN)
def test_g10_a_line_with_more_than_crontab_has_means_what_it_says(line: str, expected: list[str]) -> None:
    """Ranges that wrap around, ends of the month, Quartz' seconds and question marks, zones."""
    schedule, slot = parse(line), START
    for text in expected:
        slot = schedule.next_after(slot, START) or START
        wanted = text if text.startswith("2027") else f"2026-{text}"
        assert slot == datetime.fromisoformat(f"{wanted}+00:00"), line


@pytest.mark.parametrize(("line", "instead"), REFUSED)
def test_g10_a_line_that_means_something_else_here_is_refused_with_the_line_to_write(
    line: str, instead: str | None
) -> None:
    """What it says to write is taken, and means what was meant."""
    with pytest.raises(PollerError) as refused:
        cron(line)
    said = str(refused.value)
    assert "\n" not in said
    _, found, written = said.rpartition("; write ")
    if instead is None:
        assert not found or not written.startswith(tuple("0123456789*@")), said
    else:
        assert written.split(", or ")[0] == instead, said
        if len(instead) > 1:
            parse(instead)


def test_there_are_as_many_lines_as_people_write() -> None:
    """Some two hundred, none twice."""
    lines = [*PLAIN, *(line for line, _ in WRITTEN), *(line for line, _ in REFUSED)]
    assert len(lines) == len(set(lines)) >= 200
