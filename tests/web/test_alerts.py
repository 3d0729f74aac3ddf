"""The page of alerts: what is open, what was told, what is silenced; and the acts that silence and end that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from poller import Client
from poller.web.rights import ALL, Right
from tests.command_line import value
from tests.web.desks import browser, confirmed

if TYPE_CHECKING:
    import psycopg

PEOPLED = True
EPISODE = """
with opened as (
    insert into poller.episode (subject_type, subject, kind, targets, times, error, place, notices)
    values ('job', 'tick', 'failed', '{oncall}', 3, 'ValueError', '<b>shop.py:7', 1)
    returning id
), made as (
    insert into poller.message (target, payload, state, attempts, error) values ('oncall', '{}', 'waiting', 2, 's3cret')
    returning key
)
insert into poller.notice (episode_id, target, number, reason, message)
select opened.id, 'oncall', 1, 'opened', made.key from opened, made
"""


def test_it_shows_what_goes_wrong_and_silences_it(url: str, db: psycopg.Connection[Any]) -> None:
    """What a receiver has answered is told to those alone who may see values; an act is confirmed, and written down."""
    assert "Nothing goes wrong" in browser(url, Right.LOOK).get("/alerts").text
    db.execute(EPISODE)
    seeing, looking = (browser(url, rights).get("/alerts").text for rights in (ALL, Right.LOOK))
    for text in (seeing, looking):
        assert '<a href="/job?name=tick">tick</a>' in text
        assert "&lt;b&gt;shop.py:7" in text
        assert "waiting</span>" in text
    assert ("s3cret" in seeing, "s3cret" in looking) == (True, False)
    assert ("/confirm" in seeing, "/confirm" in looking) == (True, False)

    client = browser(url)
    form = {"act": "silence", "name": "ti*", "for": "1d", "reason": "a <b>move</b>"}
    shown = client.post("/confirm", data=form).text
    assert "Silence ti* for 1d?" in shown
    assert "a &lt;b&gt;move&lt;/b&gt;" in shown
    assert value(db, "select count(*) from poller.silence") == 0
    done = client.post("/confirm", data=confirmed(client, form))
    assert (done.status_code, done.headers["location"]) == (303, "/alerts")
    [made] = Client(url).silences().items
    assert (made.name, made.reason, "(ann)" in made.actor) == ("ti*", "a <b>move</b>", True)
    text = client.get("/alerts").text
    assert "silent</span>" in text
    assert "a &lt;b&gt;move&lt;/b&gt;" in text
    ending = {"act": "silence", "name": "ti*", "for": "0"}
    assert "End the silence of ti*?" in client.post("/confirm", data=ending).text
    assert client.post("/confirm", data=confirmed(client, ending)).status_code == 303
    assert Client(url).silences().items == ()
    orders = db.execute("select action, via, detail from poller.action order by id").fetchall()
    assert orders == [("silence", "desk", "for 1 day, 0:00:00: a <b>move</b>"), ("silence", "desk", "ended")]
    wrong = {"act": "silence", "name": "ti*", "for": "soon"}
    assert "is not a duration" in client.post("/confirm", data=confirmed(client, wrong)).text
