// graphile-worker's side: see `benchmarks.peers.graphile`.
"use strict";

const { Logger, makeWorkerUtils, run, runMigrations } = require("graphile-worker");

const ADD = `
  select count(*)
    from graphile_worker.add_jobs(array(
      select json_populate_record(null::graphile_worker.job_spec,
               json_build_object('identifier', 'nothing', 'payload', json_build_object('number', n)))
        from generate_series(1, $1::integer) as n))`;
const quiet = new Logger(() => (level, message) => {
  if (level === "error" || level === "warning") console.error(message);
});

async function install(connectionString) {
  await runMigrations({ connectionString, logger: quiet });
}

async function work(connectionString) {
  const preset = {
    worker: {
      connectionString,
      concurrentJobs: 24,
      maxPoolSize: 25,
      localQueue: { size: 500 },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0,
      logger: quiet,
    },
  };
  const runner = await run({ preset, taskList: { nothing: async () => {} } });
  await runner.promise;
}

async function put(connectionString, rows) {
  const utils = await makeWorkerUtils({ connectionString, logger: quiet });
  await utils.withPgClient(async (client) => {
    await client.query("begin");
    await client.query(ADD, [rows]);
    await client.query("analyze graphile_worker._private_jobs");
    await client.query("commit");
  });
  console.log("committed");
  for await (const _ of process.stdin);
  await utils.release();
}

const [what, ...rest] = process.argv.slice(2);
({ install, work, put })[what](...rest).catch((error) => {
  console.error(error);
  process.exit(1);
});
