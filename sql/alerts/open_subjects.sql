-- Purpose  List of what episodes are open, with whom they tell; of a job its function, too.
-- Locks    none.
-- Fence    none: a hint; route_episodes.sql writes down what has changed.
-- Index    episode_open; job's primary key.
select e.id, e.subject_type, e.subject, j.function, e.targets
  from poller.episode as e
  left join poller.job as j on e.subject_type = 'job' and j.name = e.subject
 where e.closed_at is null
