"""The table of the API's routes. The guard, the description and the tests read it."""

from __future__ import annotations

from poller.client import (
    actions,
    alerts,
    checks,
    counting,
    find,
    graph,
    holdups,
    inflight,
    job_queries,
    jobs,
    limits,
    listed,
    moves,
    pausing,
    performance,
    releasing,
    retrying,
    row_queries,
    status,
    trouble,
)
from poller.web import api_asked as asked
from poller.web import api_orders as orders
from poller.web import api_questions as questions
from poller.web.api import Call
from poller.web.rights import Right

LOOK = Right.LOOK
OPERATE = LOOK | Right.OPERATE

CALLS = (
    Call("GET", "/status", LOOK, questions.status, asked.Asked, list[status.StatusLine]),
    Call("GET", "/graph", LOOK, questions.graph, asked.Drawn, graph.Graph),
    Call("GET", "/handlers", LOOK, questions.handlers, asked.Asked, list[status.HandlerLine]),
    Call("GET", "/rows", LOOK, questions.rows, asked.OfTable, list[questions.Listed]),
    Call("GET", "/count", LOOK, questions.count, asked.OfStatus, counting.ExactCount),
    Call("GET", "/performance", LOOK, questions.performance, asked.Done, performance.Performance),
    Call("GET", "/upkeep", LOOK, questions.upkeep, asked.OneTable, performance.Upkeep),
    Call("GET", "/find", LOOK, questions.find, asked.Word, list[find.Found]),
    Call("GET", "/alerts", LOOK, questions.alerts, asked.Asked, list[alerts.Episode]),
    Call("GET", "/silences", LOOK, questions.silences, asked.Asked, list[alerts.Silence]),
    Call("GET", "/row", LOOK, questions.row, asked.OneRow, listed.RowShown),
    Call("GET", "/inflight", LOOK, questions.inflight, asked.Selected, list[inflight.Held]),
    Call("GET", "/trouble", LOOK, questions.trouble, asked.Selected, list[trouble.Failure]),
    Call("GET", "/trouble/groups", LOOK, questions.groups, asked.Grouped, list[trouble.Group]),
    Call("GET", "/history", LOOK, questions.history, asked.OfRow, list[row_queries.HistoryEvent]),
    Call("GET", "/jobs", LOOK, questions.jobs, asked.Listing, list[jobs.JobLine]),
    Call("GET", "/jobs/next", LOOK, questions.slots, asked.Ahead, list[questions.Slot]),
    Call("GET", "/runs", LOOK, questions.runs, asked.OfJob, list[job_queries.RunLine]),
    Call("GET", "/runs/{id:int}", LOOK, questions.run, asked.Asked, job_queries.RunLine),
    Call("GET", "/runs/{id:int}/output", LOOK | Right.VALUES, questions.output, asked.Asked, jobs.Logs),
    Call("GET", "/workers", LOOK, questions.workers, asked.Asked, list[row_queries.WorkerLine]),
    Call("GET", "/limits", LOOK, questions.limits, asked.Asked, list[limits.LimitLine]),
    Call("GET", "/limits/keys", LOOK, questions.full_keys, asked.Asked, list[holdups.FullKey]),
    Call("GET", "/limits/holdups", LOOK, questions.holdups, asked.Asked, holdups.Holdups),
    Call("GET", "/check", LOOK, questions.check, asked.Asked, list[checks.Finding]),
    Call("GET", "/actions", LOOK, questions.actions, asked.Listing, list[actions.Action]),
    Call(
        "GET",
        "/explain",
        LOOK,
        questions.explain,
        asked.Explained,
        questions.RowToldOf | questions.ClaimToldOf,
    ),
    Call("POST", "/retry", OPERATE, orders.retry, asked.RowsOrder, retrying.Retried),
    Call("POST", "/release", OPERATE, orders.release, asked.RowsOrder, releasing.Released),
    Call("POST", "/move", OPERATE | Right.MOVE, orders.move, asked.MoveOrder, moves.Moved),
    Call(
        "POST",
        "/jobs/trigger",
        OPERATE,
        orders.trigger,
        asked.TriggerOrder,
        jobs.Triggered,
        is_repeatable=True,
    ),
    Call("POST", "/jobs/pause", OPERATE, orders.pause_job, asked.JobPause, jobs.Paused),
    Call("POST", "/jobs/resume", OPERATE, orders.resume_job, asked.JobResume, jobs.Resumed),
    Call(
        "POST", "/handlers/pause", OPERATE, orders.pause_handler, asked.HandlerPause, pausing.HandlersPaused
    ),
    Call(
        "POST",
        "/handlers/resume",
        OPERATE,
        orders.resume_handler,
        asked.HandlerResume,
        pausing.HandlersResumed,
    ),
    Call("POST", "/silence", OPERATE, orders.silence, asked.SilenceOrder, alerts.Silenced),
    Call("POST", "/runs/{id:int}/cancel", OPERATE, orders.cancel, asked.Asked, jobs.Cancelled),
)
