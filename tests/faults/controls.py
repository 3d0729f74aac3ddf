"""Negative controls: each guard is taken away in a copy of the code, and the tests that are for it must fail.

`make controls` runs them all and prints a table; `python -m tests.faults.controls NAME…` some. A control whose tests
pass without the guard is a hole in the tests; one whose text is not there any more is found by the suite.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

ROOT = Path(__file__).parents[2]
COPIED = ("poller", "sql", "tests", "handlers", "pyproject.toml", "README.md", "docs")
PATIENCE = 300.0  # seconds for one
AT_A_TIME = 2


@dataclass(frozen=True)
class Control:
    """A guard, and what catches its absence.

    Attributes:
        guard: what it is called.
        file: where it stands.
        old: the text that is it.
        new: what stands there without it.
        tests: what must fail then, as pytest takes it.
    """

    guard: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


RECOVERY = "tests/services/test_recovery.py"
RACES = "tests/store/test_races.py"
POSTPONED = "tests/services/test_postponed.py"
CLAIMS = "tests/faults/test_claims.py"
STATEFUL = "tests/faults/test_stateful.py"
VISITS = "tests/services/test_forgetter.py"
COLUMNS = "tests/store/test_status_columns.py"
HELD_AND_SAME = "       and {shows_held}\n       and o.is_held\n"
TAKE = "sql/functions/take.sql"
PAUSES = "tests/fleet/test_pauses.py"
OTHER_KEYS = "tests/faults/test_other_keys.py"
LOST_KEYS = "tests/store/test_lost_keys.py"
ALERTS = "tests/alerts"
CLAIMS_AGAIN = (
    " where o.key not in (\n             select k.key from poller.claim as c, unnest(c.keys) as k (key)\n"
    "              where c.handler_id = take.handler and c.lease <> all (take.seen))\n       and"
)
NOT_LEASED = (
    "       and a.key not in (\n             select k.key from poller.claim as c, unnest(c.keys) as k (key)\n"
    "              where c.handler_id = %(handler)s)\n"
)
CONTROLS = (
    Control(
        "a row is taken back by what its lease has noted",
        "poller/services/sweeper.py",
        "self._bindings[each[0]].leased_as(each[1])",
        "self._bindings[each[0]]",
        (f"{RECOVERY}::test_g1_rows_are_taken_back_by_programs_that_have_another_during",),
    ),
    Control(
        "a claim notes the during that its rows show",
        "poller/store/claimed_rows.py",
        "if binding.show_during is not None and not binding.handler.is_job:",
        "if False:",
        (f"{RECOVERY}::test_g1_rows_are_taken_back_by_programs_that_have_another_during",),
    ),
    Control(
        "what is known by a key that is none any more is dropped",
        "poller/services/claim_looks.py",
        "if isinstance(error, UNREADABLE):",
        "if False:",
        (LOST_KEYS,),
    ),
    Control(
        "a result whose key is none any more is given up",
        "poller/services/postponed.py",
        "if isinstance(error, UNREADABLE) and self._drops_lost_keys(result):",
        "if False:",
        (LOST_KEYS,),
    ),
    Control(
        "a worker without file descriptors ends",
        "poller/fleet/worker.py",
        "elif descriptors.have_run_out():",
        "elif False:",
        (
            "tests/fleet/test_processes.py::test_g11_a_handler_that_leaks_file_descriptors_costs_no_row_of_others",
        ),
    ),
    Control(
        "a worker's last signs wait until they are heard",
        "poller/fleet/worker_main.py",
        "os.set_blocking(number, True)",
        "os.set_blocking(number, False)",
        (f"{PAUSES}::test_a_worker_that_drains_is_not_replaced_by_a_supervisor_that_hears_of_it_late",),
    ),
    Control(
        "a fault of the whole statement is nobody's attempt",
        "poller/services/postponed.py",
        "        elif (alone or part.why is _Why.TROUBLE) and (fault := self._fault_of_all(part)) is not None:\n",
        "        elif (fault := None) is not None:\n",
        (POSTPONED,),
    ),
    Control(
        "a handler in trouble waits apart",
        "poller/services/settler.py",
        "        except Exception:  # a value may fail in any way on its way to Postgres\n"
        "            if not self._settlements.link.lives() and not self._has_lost:\n",
        "        except Exception:\n            if True:\n",
        (POSTPONED,),
    ),
    Control(
        "a lease counts when a handler's process is ready, too",
        "poller/executor/attempt.py",
        "if self.ended or self.started >= self.trusted_until():",
        "if self.ended and self.coroutine:",
        ("tests/executor/test_processes.py",),
    ),
    Control(
        "a beat that is asked for while another is under way follows it",
        "poller/services/heartbeat.py",
        "        self._beat_at = began + self._lease / BEATS\n",
        "        self._beat_at = began + self._lease / BEATS\n        self._hurries = False\n",
        ("tests/faults/test_claims.py",),
    ),
    Control(
        "a worker that has learnt of its death registers at once",
        "poller/services/heartbeat.py",
        "        self.hurry()  # the next round, which",
        "        # the next round, which",
        ("tests/faults/test_claims.py",),
    ),
    Control(
        "what a fault of all has cost is not held against one row",
        "poller/services/postponed.py",
        "        elif part.why is _Why.TROUBLE:\n",
        "        elif part.why is None:\n",
        (POSTPONED,),
    ),
    Control(
        "a row that is locked is not waited for",
        "sql/settle/free_rows.sql",
        "for no key update of t skip locked",
        "for no key update of t",
        (POSTPONED,),
    ),
    Control(
        "an outcome that comes too late is not taken for a locked one",
        "poller/store/binding.py",
        '            "o.lease not in (select h.lease from held as h)"\n            " and o.lease in',
        '            "o.lease in',
        (POSTPONED,),
    ),
    Control(
        "what is handled and not written is bounded",
        "poller/services/claim_size.py",
        "MOST_HELD_ROWS = 2000",
        "MOST_HELD_ROWS = 1_000_000",
        (POSTPONED,),
    ),
    Control(
        "a move shows the status that it is recorded with",
        "sql/settle/settle.sql",
        "case when {strays}\n                   then poller.refuse_status(t.{status}::text) end",
        "null",
        (POSTPONED, "tests/db/test_tables.py"),
    ),
    Control(
        "long keys have a digest",
        "sql/functions/digest.sql",
        "when octet_length(key) <= 500 then key",
        "when true then key",
        ("tests/store/test_long_keys.py",),
    ),
    Control(
        "a retry waits for its time",
        "sql/settle/settle.sql",
        "make_interval(secs => coalesce(s.delay, 0))",
        "interval '0'",
        ("tests/test_testing.py", "tests/model/test_retry_policy.py", "tests/model/test_handlers.py"),
    ),
    Control(
        "an UPDATE that was swallowed is no move",
        "sql/settle/settle.sql",
        "then 'refused' else",
        "then o.verdict else",
        ("tests/db/test_tables.py",),
    ),
    Control(
        "a statement is for the key that it was made for",
        "poller/store/binding.py",
        '"is_keyed": _TRUE if self.handler.is_job else self.table.is_keyed',
        '"is_keyed": _TRUE',
        (OTHER_KEYS,),
    ),
    Control(
        "a row is read by what it was fetched by",
        "poller/executor/attempt.py",
        "    return Row(task.form.shape, task.values)",
        "    return Row(task.lease.binding.shape, task.values)",
        ("tests/faults/test_changes.py",),
    ),
    Control(
        "a handler is bound anew at one go",
        "poller/store/binding.py",
        "        self.__dict__ = made.__dict__  # at one go: other threads compose statements meanwhile",
        "        self.table, self.texts, self.hashed = table, texts, hashed",
        ("tests/store/test_rebind.py",),
    ),
    Control(
        "what is refused for its key is bound anew",
        "poller/services/postponed.py",
        "if not is_transient(fault):",
        "if False:",
        (OTHER_KEYS,),
    ),
    Control(
        "a row that a worker shows in work is not taken back",
        "sql/claim/restore_retried.sql",
        "where c.handler_id = any (array(select h.id from poller.handler as h where {has_its_rows})))",
        "where false)",
        ("tests/store/test_tidy_retries.py",),
    ),
    Control(
        "what is given up with its table is remembered if it shows a during",
        "sql/settle/forfeit.sql",
        "where g.during is not null",
        "where false",
        ("tests/faults/test_changes.py",),
    ),
    Control(
        "ctx.settle counts once it is committed",
        "poller/executor/attempt.py",
        "if call.context is not None and call.context.settled is not None:",
        "if False:",
        ("tests/executor/test_ctx_settle.py",),
    ),
    Control(
        "a signal rings whatever Python is doing",
        "poller/runtime/bell.py",
        "signal.set_wakeup_fd(self._in, warn_on_full_buffer=False)",
        "pass",
        ("tests/services/test_idle.py",),
    ),
    Control(
        "a handler cannot end its transaction",
        "poller/executor/lent_connection.py",
        "    def _refuse_end(self) -> None:\n        if self.is_lent:\n",
        "    def _refuse_end(self) -> None:\n        if False:\n",
        ("tests/executor/test_transactional.py", "tests/executor/test_clean_attempts.py"),
    ),
    Control(
        "a connection that a handler has detached is lent to no other",
        "poller/executor/transaction.py",
        "            or not self._is_whole\n",
        "",
        ("tests/executor/test_clean_attempts.py",),
    ),
    Control(
        "nor by a statement",
        "poller/executor/clean_session.py",
        "if self.is_lent and isinstance(query, str) and",
        "if False and",
        ("tests/executor/test_clean_attempts.py",),
    ),
    Control(
        "a session is put back between rows",
        "poller/executor/transaction.py",
        "if self._is_dirty else []",
        "if False else []",
        ("tests/executor/test_clean_attempts.py",),
    ),
    Control(
        "each attempt has a context of its own",
        "poller/executor/executor.py",
        "answer = contextvars.Context().run(self._answer, call)",
        "answer = self._answer(call)",
        ("tests/executor/test_clean_attempts.py",),
    ),
    Control(
        "a text can be stored",
        "poller/errors_in_words.py",
        'return text.encode(target, "backslashreplace").decode(target)',
        "return text",
        ("tests/telemetry/test_texts.py",),
    ),
    Control(
        "errors do not hold the values of rows",
        "poller/errors_in_words.py",
        "return text[: added.start()] if added else text",
        "return text",
        ("tests/test_errors_in_words.py",),
    ),
    Control(
        "jobs that start each other for ever start nothing",
        "poller/jobs/job_store.py",
        "in circles(jobs, jobs_before(connection, jobs)):",
        "in circles((), {}):",
        ("tests/services/test_scheduler.py::test_g10_jobs_after_each_other_in_a_circle_are_refused",),
    ),
    Control(
        "a success locks the runs that may make way before the rows of jobs",
        "sql/functions/run_succeeded.sql",
        "j.overlap = 'replace'\n",
        "false\n",
        (
            "tests/services/test_scheduler.py::test_g7_a_run_that_ends_while_it_is_to_make_way_does_not_wait_in_a_circle",
        ),
    ),
    Control(
        "who blocks the event loop pays for it alone",
        "poller/executor/watchdog.py",
        "if blocker is not None and blocker is not call and call.coroutine is not None:",
        "if False:",
        (
            "tests/executor/test_event_loop.py::test_g11_who_blocks_the_loop_times_out_and_the_others_lose_no_attempt",
        ),
    ),
    Control(
        "a fault of the whole statement is nobody's in a transaction",
        "poller/executor/shared_transactions.py",
        "self._transactions.rehearse(binding, columns)",
        "return None",
        (
            "tests/executor/test_transactional_errors.py::test_g11_a_fault_of_the_whole_statement_counts_for_nobody",
        ),
    ),
    Control(
        "a value that Python cannot hold is forgiven",
        "poller/db/values.py",
        "    except BaseException as error:\n        # The question",
        "    except ZeroDivisionError as error:\n        # The question",
        ("tests/model/test_columns.py", "tests/db/test_unreadable_values.py"),
    ),
    Control(
        "fence of an outcome",
        "sql/settle/settle.sql",
        "       and o.is_held\n       and o.to_status",
        "       and o.to_status",
        (RACES,),
    ),
    Control(
        "fence of simple moves",
        "sql/settle/settle_moved.sql",
        "       and ((o.lease_no, o.poller_key) in (select h.lease_no, unnest(h.keys) from held as h)) is true\n",
        "",
        (RACES,),
    ),
    Control(
        "of two orders beside each other one puts a row back",
        "poller/client/retrying.py",
        'conditions = ["true"] if chosen.keys else [_IN_TROUBLE, _NOT_SNOOZED]',
        'conditions = ["true"] if chosen.keys else [_NOT_SNOOZED]',
        ("tests/client/test_trouble.py",),
    ),
    Control(
        "what an order has not locked is looked at again",
        "poller/client/retrying.py",
        "if not skipped or self._batches.is_over or self._stuck.is_locked(handler):",
        "if True:",
        ("tests/client/test_trouble.py",),
    ),
    Control(
        "a retry reaches no more rows than it may",
        "sql/client/retry.sql",
        "     limit %(room)s\n",
        "     limit %(room)s + 1\n",
        ("tests/client/test_trouble.py::test_an_order_reaches_no_more_rows_than_it_may",),
    ),
    Control(
        "a move reaches no more rows than it may",
        "poller/client/moves.py",
        "        keys = keys[: self._batches.room]\n",
        "",
        ("tests/client/test_moves.py::test_a_move_reaches_no_more_rows_than_it_may",),
    ),
    Control(
        "a prefix is believed of proxies that were named",
        "poller/web/proxies.py",
        " if is_among(_peer(scope), proxies) else []",
        "",
        ("tests/web/test_mount.py::test_a_prefix_that_is_no_path_is_refused",),
    ),
    Control(
        "a role that may only read takes the rights away",
        "poller/web/guard.py",
        "return replace(viewer, rights=viewer.rights & READING)",
        "return replace(viewer)",
        ("tests/web/test_role.py::test_all_pages_work_and_no_acts_are_there",),
    ),
    Control(
        "compare and set of a person's move",
        "sql/client/move.sql",
        "              and ({shows_from})\n",
        "",
        ("tests/client/test_moves.py::test_it_is_compared_and_set",),
    ),
    Control(
        "a person's move waits for no row",
        "sql/client/move.sql",
        "for no key update of t skip locked",
        "for no key update of t",
        ("tests/client/test_moves.py::test_what_another_transaction_has_locked_is_left_and_told",),
    ),
    Control(
        "totals outlast the purge of what they are made of",
        "sql/functions/fold_tally.sql",
        "set moved = t.moved + excluded.moved",
        "set moved = excluded.moved",
        ("tests/client/test_fare.py",),
    ),
    Control(
        "a question that does not go along an index is not asked",
        "poller/client/counts.py",
        'and "Filter" not in node',
        "",
        ("tests/client/test_bounds.py",),
    ),
    Control("compare and set", "sql/settle/settle.sql", HELD_AND_SAME, "       and o.is_held\n", (RACES,)),
    Control(
        "only a lease in the order of the key is passed over by its last one",
        "poller/store/binding.py",
        '"sorted": self.goes_on,',
        '"sorted": True,',
        (RACES,),
    ),
    Control(
        "compare and set of simple moves",
        "sql/settle/settle_moved.sql",
        "       and {shows_held}\n",
        "",
        (RACES,),
    ),
    Control(
        "keys are compared in their own collation",
        "poller/db/tables.py",
        'each + trusted(f" collate {name}") if name else each',
        "each",
        (RACES,),
    ),
    Control("second look for leases", TAKE, CLAIMS_AGAIN, " where", (RACES,)),
    Control(
        "leases seen before are those that were seen",
        TAKE,
        "c.lease <> all (take.seen)",
        "c.lease <> all (take.seen) and false",
        (RACES,),
    ),
    Control(
        "second look for attempts",
        TAKE,
        "= poller.digest(o.key) limit 1) is null)",
        "= poller.digest(o.key) limit 1) is null or true)",
        (RACES,),
    ),
    Control(
        "first look leaves leased rows out",
        "sql/claim/look.sql",
        "c.handler_id = %(handler)s and (not c.sorted or {lease_after}) and {claimed_after}",
        "c.handler_id = %(handler)s and false",
        (STATEFUL,),
    ),
    Control(
        "first look leaves rows in trouble out",
        "sql/claim/look.sql",
        "= poller.digest({key}) limit 1) is null)",
        "= poller.digest({key}) limit 1) is null or true)",
        ("tests/store/test_tidy_retries.py::test_a_row_that_waits_hides_none_behind_it",),
    ),
    Control(
        "row locks that children do not wait for",
        "sql/claim/look.sql",
        "for no key update of t",
        "for update of t",
        (RACES,),
    ),
    Control(
        "locked rows are skipped", "sql/claim/look.sql", "skip locked", "", ("tests/db/test_tables.py", RACES)
    ),
    Control(
        "a retry is taken once",
        "sql/claim/retake.sql",
        NOT_LEASED,
        "",
        (RACES, STATEFUL),
    ),
    Control(
        "suspects are claimed in halves",
        "sql/claim/retake.sql",
        "greatest(1, max(due.company) / 2)",
        "max(due.company)",
        (RECOVERY, STATEFUL),
    ),
    Control(
        "nothing is claimed beside suspects",
        "poller/services/suspects.py",
        "max(0.0, self._until - monotonic()) if self._suspects else 0.0",
        "0.0",
        (RECOVERY,),
    ),
    Control(
        "one single in a worker",
        "poller/services/suspects.py",
        "        if any(task.company == 1 for task in list(self._suspects)):\n            return None\n",
        "",
        (RECOVERY, RACES),
    ),
    Control(
        "a crash in company is never the last attempt",
        "poller/store/outcomes.py",
        "(error.suspected or last) and not handler.is_job",
        "error.suspected",
        (RECOVERY, STATEFUL),
    ),
    Control(
        "a suspect's crash in company is not counted again",
        "poller/store/outcomes.py",
        "(error.suspected or last) and not handler.is_job",
        "last",
        (RECOVERY, STATEFUL),
    ),
    Control(
        "the visit of a row that is given back after its handler ran is remembered",
        "sql/settle/settle.sql",
        "        or s.result = 'released' and s.begun and not s.retaken",
        "        or false",
        (RECOVERY, STATEFUL),
    ),
    Control(
        "a worker says by its pipe that it was told to end",
        "poller/fleet/worker_process.py",
        "        if self.drains:\n            self.restart_at = inf\n",
        "        if self.drains or status == 5:\n            self.restart_at = inf\n",
        ("tests/fleet/test_fleet.py::test_g6_no_status_that_a_handler_ends_its_worker_with_means_anything",),
    ),
    Control(
        "beats wait for no commit",
        "poller/services/heartbeat.py",
        '        connection.execute("set synchronous_commit = off")\n',
        "",
        (f"{RECOVERY}::test_a_beat_is_answered_while_commits_stall",),
    ),
    Control(
        "no heartbeat is believed to have lapsed where the clock was set",
        "poller/services/sweeper.py",
        " and abs(clocks - before) < SLOW",
        "",
        (RECOVERY,),
    ),
    Control(
        "a dead worker cannot beat",
        "sql/liveness/beat.sql",
        "     where id = %(worker)s and died_at is null\n",
        "     where id = %(worker)s\n",
        ("tests/services/test_idle.py",),
    ),
    Control(
        "the dead claim nothing",
        TAKE,
        "where w.id = take.worker and w.died_at is null and",
        "where w.id = take.worker and",
        (f"{CLAIMS}::test_g3_a_worker_that_is_declared_dead_during_its_claim_claims_nothing",),
    ),
    Control(
        "what is paused is not claimed",
        TAKE,
        "where h.id = take.handler and h.paused_at is not null",
        "where h.id = take.handler and false",
        ("tests/store/test_pauses.py::test_nothing_fresh_is_claimed_while_a_handler_is_paused",),
    ),
    Control(
        "nor retried",
        "sql/claim/retake.sql",
        "where h.id = %(handler)s and h.paused_at is not null",
        "where h.id = %(handler)s and false",
        ("tests/store/test_pauses.py::test_no_retry_is_claimed_while_a_handler_is_paused",),
    ),
    Control(
        "what waits in a worker is given back at a pause",
        "poller/services/claim_looks.py",
        "            self._executor.pause(paused)\n",
        "",
        (f"{PAUSES}::test_a_pause_takes_effect_within_a_second_where_rows_are_slow_and_queued",),
    ),
    Control(
        "what shares a transaction with what runs is given back at a pause",
        "poller/executor/executor.py",
        "        tasks = self._queues.unless_paused(tasks)\n",
        "",
        (f"{PAUSES}::test_a_pause_takes_effect_within_a_second_where_rows_are_slow_and_queued",),
    ),
    Control(
        "a worker that had stood still asks before it begins what waits",
        "poller/fleet/worker.py",
        "        if monotonic() > self._tick_by or self._claimer.asked_at < self._woke_at:\n",
        "        if False:\n",
        (f"{PAUSES}::test_a_worker_that_had_stood_still_begins_nothing_of_what_waits_until_it_has_asked",),
    ),
    Control(
        "a drain outlasts the worker's number",
        "sql/liveness/register_worker.sql",
        "w.pid = %(after)s",
        "false",
        (
            f"{PAUSES}::test_a_worker_that_was_declared_dead_before_it_heard_of_its_drain_drains_when_it_is_back",
        ),
    ),
    Control(
        "a worker that drains claims nothing",
        TAKE,
        "w.died_at is null and w.drain_at is null",
        "w.died_at is null",
        ("tests/store/test_pauses.py::test_a_worker_that_is_to_drain_claims_nothing",),
    ),
    Control(
        "the dead take no retries",
        "sql/claim/retake.sql",
        "where w.id = %(worker)s and w.died_at is null and",
        "where w.id = %(worker)s and",
        (f"{CLAIMS}::test_g3_a_worker_that_was_declared_dead_claims_nothing",),
    ),
    Control(
        "what an older registration has claimed is not begun",
        "poller/services/claim_handover.py",
        "            if tasks and tasks[0].lease.worker != self._registration.worker:\n",
        "            if False:\n",
        (f"{CLAIMS}::test_g3_what_is_claimed_while_the_registration_is_lost_is_not_begun",),
    ),
    Control(
        "a claim is bounded by bytes",
        "sql/claim/fitting.sql",
        "select case when s.total <= %(bytes)s then",
        "select case when true then",
        (f"{CLAIMS}::test_a_row_that_is_larger_than_a_claim_comes_alone",),
    ),
    Control(
        "what a claim brings after a stop is given back",
        "poller/fleet/worker.py",
        "        self._executor.drain()\n",
        "        self._executor._queues.give_back()\n",
        (f"{CLAIMS}::test_g6_what_a_claim_brings_after_a_stop_is_given_back_uncounted",),
    ),
    Control(
        "a task on its way to its handler is waited for",
        "poller/fleet/worker.py",
        "        while self._executor.handling and",
        "        while self._executor.running and",
        (f"{CLAIMS}::test_g6_a_task_on_its_way_from_the_queue_to_its_handler_is_waited_for",),
    ),
    Control(
        "a handler in trouble is asked apart",
        "poller/services/claim_looks.py",
        "            self.require_connection(error)\n            if len(able) == 1:",
        "            raise\n            if len(able) == 1:",
        (f"{CLAIMS}::test_a_table_that_somebody_has_locked_holds_up_no_other",),
    ),
    Control(
        "a rate has its slots",
        "poller/services/claim_size.py",
        " and self.startable(each) <= 0\n",
        " and False\n",
        ("tests/fleet/test_limits_fleet.py::test_a_handler_that_fills_every_slot_leaves_one_to_a_rate",),
    ),
    Control(
        "only the dead are swept",
        "sql/liveness/dead_claims.sql",
        "w.died_at is not null and ",
        "",
        (STATEFUL,),
    ),
    Control(
        "a crash counts as an attempt",
        "poller/services/sweeper.py",
        "attempt = dead.attempt + 1",
        "attempt = dead.attempt",
        (STATEFUL,),
    ),
    Control(
        "the dead's sessions are ended",
        "poller/services/sweeper.py",
        "            self._liveness.end_sessions(dead.supervisor, dead.pid)\n",
        "",
        (
            "tests/faults/test_killed_at_steps.py::test_g3_workers_stopped_at_each_step_beyond_their_leases_change_nothing_afterwards",
        ),
    ),
    Control(
        "who reports is decided once",
        "poller/executor/in_flight.py",
        "self._running.pop(call.task, None) is not None",
        "self._running.get(call.task) is not None or self._running.pop(call.task, None) is not None",
        ("tests/executor/test_in_flight.py",),
    ),
    Control(
        "a transaction ends with its lease",
        "poller/executor/transaction.py",
        "if Became.LATE in settled.became:",
        "if False:",
        ("tests/executor/test_transactional.py",),
    ),
    Control(
        "rows are looked at again in their transaction",
        "sql/claim/lock_rows.sql",
        "   and {shows_held}\n",
        "",
        ("tests/executor/test_transactional.py",),
    ),
    Control(
        "ctx.settle is fenced",
        "poller/store/settlements.py",
        "    if became is not Became.MOVED:\n",
        "    if False:\n",
        ("tests/executor/test_ctx_settle.py",),
    ),
    Control(
        "a user's adapters do not read what poller asks on their connection",
        "poller/db/connection.py",
        "        return OwnConnection.plain.adapters\n",
        "        return super().adapters\n",
        ("tests/executor/test_ctx_settle.py",),
    ),
    Control(
        "a change of a detached instance is told",
        "poller/executor/attempt.py",
        "fault = lost(changed[0], answer) if changed else None",
        "fault = None",
        ("tests/model/test_mapped.py",),
    ),
    Control(
        "what a key's index includes is not the key",
        "sql/catalog/table.sql",
        " and k.place <= i.indnkeyatts",
        "",
        ("tests/db/test_tables.py::test_what_a_primary_key_only_includes_is_not_part_of_it",),
    ),
    Control(
        "a job that did nothing has not succeeded",
        "poller/jobs/run.py",
        '        refuse_not_begun(call(), "the job")\n',
        "        call()\n",
        ("tests/model/test_signatures.py::test_a_job_that_did_nothing_has_failed",),
    ),
    Control(
        "claims at a limit do not overlap",
        "sql/claim/claim_alone.sql",
        "for no key update skip locked",
        "",
        ("tests/store/test_limits.py",),
    ),
    Control(
        "what is in flight counts at a limit",
        "sql/claim/limit_room.sql",
        "coalesce(sum(cardinality(c.keys)), 0)",
        "0",
        ("tests/store/test_limits.py",),
    ),
    Control(
        "what was begun counts at a rate",
        "sql/claim/limit_room.sql",
        "coalesce(sum(s.rows), 0)",
        "0",
        ("tests/store/test_limits.py",),
    ),
    Control(
        "a row that would begin late is given back",
        "poller/executor/queues.py",
        "return None if self._is_late(task) else task",
        "return task",
        ("tests/store/test_limits.py",),
    ),
    Control(
        "what a retry reads is not forgotten meanwhile",
        "sql/claim/retake.sql",
        "       for key share of a skip locked\n",
        "",
        (f"{VISITS}::test_g2_a_row_that_is_being_forgotten_is_not_retried",),
    ),
    Control(
        "a row that is held is not forgotten",
        "sql/settle/forget.sql",
        "   and a.key not in (\n         select k.key from poller.claim as c, unnest(c.keys) as k (key)\n"
        "          where c.handler_id = %(handler)s)\n",
        "",
        (f"{VISITS}::test_g2_a_row_that_is_held_is_not_forgotten",),
    ),
    Control(
        "what is remembered of a row in hand is not locked",
        "sql/settle/stray_attempts.sql",
        '       and k."~key" not in (\n'
        "             select c_key.key from poller.claim as c, unnest(c.keys) as c_key (key)\n"
        "              where c.handler_id = %(handler)s)\n",
        "",
        (f"{VISITS}::test_g11_a_settle_that_parks_waits_for_no_look",),
    ),
    Control(
        "a row that has come back is not forgotten",
        "sql/settle/forget.sql",
        "coalesce({shows_own}, false)",
        "false",
        (f"{VISITS}::test_a_row_that_comes_back_while_it_is_looked_at_is_at_the_same_visit",),
    ),
    Control(
        "a row that is hidden is not taken for gone",
        "poller/store/binding.py",
        '"table_oid": sql.Literal(self.table.oid)',
        '"table_oid": sql.Literal(1259)',  # a table of the catalogue, which hides nothing
        (f"{VISITS}::test_a_row_that_row_security_hides_is_not_taken_for_gone",),
    ),
    Control(
        "a simple move ends what the next handler knew",
        "sql/settle/settle_moved.sql",
        "     where a.handler_id = any (array(select n.id from next_handler as n))\n",
        "     where false\n",
        (VISITS,),
    ),
    Control(
        "any move ends what the next handler knew",
        "sql/settle/settle.sql",
        "     where a.handler_id = any (array(select n.id from next_handler as n))\n",
        "     where false\n",
        (VISITS,),
    ),
    Control(
        "a simple move ends nothing that is known of another column",
        "sql/settle/settle_moved.sql",
        "       and h.status_column = {status_column}\n",
        "",
        (COLUMNS,),
    ),
    Control(
        "nor does any move",
        "sql/settle/settle.sql",
        "       and h.status_column = {status_column}\n",
        "",
        (COLUMNS,),
    ),
    Control(
        "nor does a job's move",
        "sql/retention/forget_moved.sql",
        "       and h.status_column = {status_column}\n",
        "",
        (COLUMNS,),
    ),
    Control(
        "a session that could not be opened is not tried again at once",
        "poller/executor/transaction.py",
        "                self._again_at = monotonic() + self._outage.pause()\n",
        "                self._again_at = monotonic()\n",
        ("tests/executor/test_transactional_sessions.py",),
    ),
    Control(
        "a retry that was claimed since is not put off",
        "sql/claim/put_off_retries.sql",
        "   and a.key not in (\n         select k.key from poller.claim as c, unnest(c.keys) as k (key)\n"
        "          where c.handler_id = %(handler)s)\n",
        "",
        ("tests/store/test_tidy_retries.py",),
    ),
    Control(
        "a wait that was written since stands",
        "poller/store/claims.py",
        "            connection.execute(binding.put_off_retries, asked)\n",
        "            later = \"update poller.attempt set next_at = poller.now() + '1 minute'\"\n"
        "            connection.execute(later, asked)\n",
        ("tests/store/test_tidy_retries.py",),
    ),
    Control(
        "rows that go round wait",
        "poller/services/claim_handover.py",
        "        if self._circling is not None:\n",
        "        if False:\n",
        ("tests/services/test_circling.py",),
    ),
    Control(
        "a slot is one run",
        "sql/jobs/plan_runs.sql",
        "    on conflict (job, planned_at) do nothing\n",
        "",
        ("tests/services/test_scheduler.py",),
    ),
    Control(
        "an answer is one that may be given",
        "poller/store/outcomes.py",
        "    if plain(move.status) not in handler.to:\n",
        "    if False:\n",
        (
            "tests/model/test_handlers.py",
            "tests/executor/test_batch.py",
            "tests/executor/test_transactional.py",
            "tests/test_testing.py",
        ),
    ),
    Control(
        "what a worker has forgotten is given back",
        "poller/services/claim_reconciler.py",
        "        if self._in_doubt and monotonic() >= self._look_again_at:\n",
        "        if False:\n",
        (
            "tests/faults/test_postgres.py::test_g3_a_fleet_goes_on_over_a_database_that_was_set_back",
            "tests/faults/test_network.py::test_g5_commits_whose_replies_are_lost_count_once",
        ),
    ),
    Control(
        "a poll finds what nobody announced",
        "poller/services/claim_looks.py",
        "        return max(0.0, min([self._turn_at, *ends]) - now)",
        "        return 3600.0",
        ("tests/fleet/test_fleet.py::test_g1_without_triggers_a_row_is_taken_within_the_poll_interval",),
    ),
    Control(
        "turns are taken",
        "poller/services/poll_turns.py",
        "        if self.workers <= 1:\n",
        "        if True:\n",
        ("tests/services/test_idle.py",),
    ),
    Control(
        "a notification is for one worker",
        "poller/services/poll_turns.py",
        "self.workers <= 1 or crc32(said.encode()) % self.workers == self.place",
        "True",
        (
            "tests/services/test_notices.py::test_what_arrives_costs_as_many_claims_in_a_fleet_as_in_one_worker",
        ),
    ),
    Control(
        "a claim that finds its rows locked is repeated more and more seldom",
        "poller/services/claim_cursor.py",
        "FIRST_MISS_SECONDS * 2 ** min(self.misses, 10)",
        "FIRST_MISS_SECONDS",
        (
            "tests/services/test_notices.py::test_a_row_that_is_locked_is_asked_for_seldom_and_taken_soon_after",
        ),
    ),
    Control(
        "a limit that is freed has its worker look",
        "poller/services/claimer.py",
        "is_freed = is_held or binding.handler.is_limited or binding.handler.waits_its_turn",
        "is_freed = is_held",
        ("tests/services/test_notices.py::test_rows_that_a_limit_has_turned_away_do_not_wait_for_a_turn",),
    ),
    Control(
        "a supervisor that does not hear looks often",
        "poller/services/sweeper.py",
        "PERIOD_SECONDS if deaths.strangers or not hears else",
        "",
        ("tests/services/test_idle.py",),
    ),
    Control(
        "a stop is bounded",
        "poller/fleet/supervisor.py",
        "        if not within(seconds, lambda: statuses.extend(site.end() for site in self._sites)):\n",
        "        if statuses.extend(site.end() for site in self._sites):\n",
        ("tests/faults/test_network.py::test_a_stop_is_bounded_behind_a_silent_wire",),
    ),
    Control(
        "names are composed",
        "poller/db/statements.py",
        '.replace(b"%", b"%%")',
        "",
        ("tests/db/test_statements.py", "tests/db/test_tables.py"),
    ),
    Control(
        "an old row is looked at again under its lock",
        "sql/retention/purge_batch.sql",
        '     where "~listed"."~needed" is null and {due}\n',
        '     where "~listed"."~needed" is null\n',
        ("tests/ready_made/test_purge.py",),
    ),
    Control(
        "what a run leaves for its alerts cannot fail it",
        "sql/functions/run_signals.sql",
        "exception when others then\n    raise warning",
        "exception when others then\n    raise exception",
        (f"{ALERTS}/test_targets.py::test_no_run_waits_for_its_alerts",),
    ),
    Control(
        "pings of a job keep their order",
        "sql/alerts/take_messages.sql",
        "(w.ping is not null or w.next_at <= poller.now())",
        "w.next_at <= poller.now()",
        (f"{ALERTS}/test_targets.py::test_a_health_check_hears_of_each_run_in_order",),
    ),
    Control(
        "a ping that another session holds is not overtaken",
        "sql/alerts/take_messages.sql",
        "            limit 1) as m\n",
        "            limit 1\n              for update skip locked) as m\n",
        (f"{ALERTS}/test_targets.py::test_pings_keep_their_order_while_the_first_is_in_other_hands",),
    ),
    Control(
        "a sender whose message another has taken reports nothing",
        "sql/alerts/message_failed.sql",
        "and attempts = %(attempts)s and",
        "and",
        (f"{ALERTS}/test_targets.py::test_a_sender_that_was_too_slow_changes_nothing",),
    ),
    Control(
        "what is paused is silent",
        "sql/functions/is_silent.sql",
        "and j.paused_at is not null",
        "and false",
        (f"{ALERTS}/test_surveys.py::test_jobs",),
    ),
    Control(
        "an episode is told once",
        "sql/alerts/make_notices.sql",
        "owed = case when c.reason = 'opened' and e.closed_at is not null and %(recovery)s then 'recovered' end",
        "owed = e.owed",
        (f"{ALERTS}/test_episodes.py",),
    ),
)


def caught(control: Control, copy: Path) -> tuple[bool, str]:
    """Run the tests without the guard; return whether they failed, and the first that did."""
    file = copy / control.file
    # Where projects of the tests find the copy, and not the example's handlers beside it.
    path = copy / "path"
    path.mkdir()
    (path / "poller").symlink_to(copy / "poller")
    file.write_text(file.read_text().replace(control.old, control.new, 1))
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-rf", *control.tests],
            cwd=copy,
            env=os.environ | {"PYTHONPATH": str(path), "POLLER_FIRST_FAILURE": "1"},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return True, "they did not end"
    failed = [line for line in ended.stdout.splitlines() if line.startswith("FAILED ")]
    if ended.returncode not in (0, 1):
        return False, f"pytest ended with {ended.returncode}: {ended.stdout[-200:]}"
    return bool(failed), failed[0].partition("::")[2].partition(" ")[0] if failed else ""


def main(names: list[str]) -> int:
    """Run the controls of these names, or all; return 1 if one was not caught, 2 if there is none of a name."""
    console = Console()
    if unknown := sorted(set(names).difference(each.guard for each in CONTROLS)):
        console.print(f"no control is named {', '.join(map(repr, unknown))}; the names are:")
        console.print(*(each.guard for each in CONTROLS), sep="\n")
        return 2
    chosen = [each for each in CONTROLS if not names or each.guard in names]
    table = Table("guard taken away", "caught by", "s", title="negative controls")
    missed = 0
    with (
        tempfile.TemporaryDirectory() as folder,
        ThreadPoolExecutor(AT_A_TIME) as pool,
        Progress(console=Console(stderr=True)) as progress,
    ):
        task = progress.add_task("", total=len(chosen))
        for control, (is_caught, by, seconds) in zip(
            chosen, pool.map(partial(_run, Path(folder)), enumerate(chosen)), strict=True
        ):
            missed += not is_caught
            table.add_row(control.guard, by if is_caught else f"[red]NOT CAUGHT {by}", f"{seconds:.0f}")
            progress.update(task, advance=1, description=control.guard)
    console.print(table)
    console.print(f"{len(chosen) - missed} of {len(chosen)} are caught")
    return int(missed > 0)


def _run(folder: Path, numbered: tuple[int, Control]) -> tuple[bool, str, float]:
    number, control = numbered
    copy = folder / str(number)
    copy.mkdir()
    for each in COPIED:
        _copy(ROOT / each, copy / each)
    began = monotonic()
    is_caught, by = caught(control, copy)
    shutil.rmtree(copy)
    return is_caught, by, monotonic() - began


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
