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
from poller.web.api import ApiCall
from poller.web.rights import Right

LOOK = Right.LOOK
OPERATE = LOOK | Right.OPERATE

CALLS = (
    ApiCall("GET", "/status", LOOK, questions.status, asked.Asked, list[status.StatusLine]),
    ApiCall("GET", "/graph", LOOK, questions.graph, asked.Drawn, graph.Graph),
    ApiCall("GET", "/handlers", LOOK, questions.handlers, asked.Asked, list[status.HandlerLine]),
    ApiCall("GET", "/rows", LOOK, questions.rows, asked.PageOfStatus, list[questions.ListedRow]),
    ApiCall("GET", "/count", LOOK, questions.count, asked.OfStatus, counting.ExactCount),
    ApiCall("GET", "/performance", LOOK, questions.performance, asked.DoneOn, performance.Performance),
    ApiCall("GET", "/upkeep", LOOK, questions.upkeep, asked.OneTable, performance.Upkeep),
    ApiCall("GET", "/find", LOOK, questions.find, asked.Word, list[find.Found]),
    ApiCall("GET", "/alerts", LOOK, questions.alerts, asked.Asked, list[alerts.Episode]),
    ApiCall("GET", "/silences", LOOK, questions.silences, asked.Asked, list[alerts.Silence]),
    ApiCall("GET", "/row", LOOK, questions.row, asked.OneRow, listed.RowShown),
    ApiCall("GET", "/inflight", LOOK, questions.inflight, asked.Selected, list[inflight.Held]),
    ApiCall("GET", "/trouble", LOOK, questions.trouble, asked.Selected, list[trouble.Failure]),
    ApiCall("GET", "/trouble/groups", LOOK, questions.groups, asked.Grouped, list[trouble.Group]),
    ApiCall("GET", "/history", LOOK, questions.history, asked.OfRow, list[row_queries.HistoryEvent]),
    ApiCall("GET", "/jobs", LOOK, questions.jobs, asked.PageOf, list[jobs.JobLine]),
    ApiCall("GET", "/jobs/next", LOOK, questions.slots, asked.Ahead, list[questions.Slot]),
    ApiCall("GET", "/runs", LOOK, questions.runs, asked.OfJob, list[job_queries.RunLine]),
    ApiCall("GET", "/runs/{id:int}", LOOK, questions.run, asked.Asked, job_queries.RunLine),
    ApiCall("GET", "/runs/{id:int}/output", LOOK | Right.VALUES, questions.output, asked.Asked, jobs.Logs),
    ApiCall("GET", "/workers", LOOK, questions.workers, asked.Asked, list[row_queries.WorkerLine]),
    ApiCall("GET", "/limits", LOOK, questions.limits, asked.Asked, list[limits.LimitLine]),
    ApiCall("GET", "/limits/keys", LOOK, questions.full_keys, asked.Asked, list[holdups.FullKey]),
    ApiCall("GET", "/limits/holdups", LOOK, questions.holdups, asked.Asked, holdups.Holdups),
    ApiCall("GET", "/check", LOOK, questions.check, asked.Asked, list[checks.Finding]),
    ApiCall("GET", "/actions", LOOK, questions.actions, asked.PageOf, list[actions.Action]),
    ApiCall(
        "GET",
        "/explain",
        LOOK,
        questions.explain,
        asked.Explained,
        questions.RowToldOf | questions.ClaimToldOf,
    ),
    ApiCall("POST", "/retry", OPERATE, orders.retry, asked.RowsOrder, retrying.Retried),
    ApiCall("POST", "/release", OPERATE, orders.release, asked.RowsOrder, releasing.Released),
    ApiCall("POST", "/move", OPERATE | Right.MOVE, orders.move, asked.MoveOrder, moves.Moved),
    ApiCall(
        "POST",
        "/jobs/trigger",
        OPERATE,
        orders.trigger,
        asked.TriggerOrder,
        jobs.Triggered,
        is_repeatable=True,
    ),
    ApiCall("POST", "/jobs/pause", OPERATE, orders.pause_job, asked.JobPause, jobs.Paused),
    ApiCall("POST", "/jobs/resume", OPERATE, orders.resume_job, asked.JobResume, jobs.Resumed),
    ApiCall(
        "POST", "/handlers/pause", OPERATE, orders.pause_handler, asked.HandlerPause, pausing.HandlersPaused
    ),
    ApiCall(
        "POST",
        "/handlers/resume",
        OPERATE,
        orders.resume_handler,
        asked.HandlerResume,
        pausing.HandlersResumed,
    ),
    ApiCall("POST", "/silence", OPERATE, orders.silence, asked.SilenceOrder, alerts.Silenced),
    ApiCall("POST", "/runs/{id:int}/cancel", OPERATE, orders.cancel, asked.Asked, jobs.Cancelled),
)
