// opossum, in the same run as ours (dev.d/bench.sh): nanoseconds a call of a closed breaker, and of
// one that is open, median of rounds. Lines as bench_segment_breaker prints them.
'use strict';
const CircuitBreaker = require('opossum');

const CALLS = 100000;
const ROUNDS = 5;

async function measure(name, breaker) {
  const all = [];
  for (let round = 0; round < ROUNDS; round++) {
    const begin = process.hrtime.bigint();
    for (let i = 0; i < CALLS; i++) {
      await breaker.fire().catch(() => {});
    }
    all.push(Number(process.hrtime.bigint() - begin) / CALLS);
  }
  all.sort((a, b) => a - b);
  console.log(`opossum,"${name}",same,1,${all[ROUNDS >> 1].toFixed(1)},${all[0].toFixed(1)},` +
              `${all[ROUNDS - 1].toFixed(1)}`);
}

async function main() {
  const closed = new CircuitBreaker(async () => 1, { timeout: 3000 });
  await measure('call, closed', closed);
  closed.shutdown();
  const open = new CircuitBreaker(async () => { throw new Error('bad'); },
                                  { resetTimeout: 3600000 });
  await open.fire().catch(() => {});
  await measure('refused while open', open);
  open.shutdown();
}

main();
