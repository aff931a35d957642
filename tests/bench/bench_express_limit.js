// express-rate-limit behind Express, for bench_limits.py: node bench_express_limit.js PORT [REDIS_PORT]
// With a port of Redis its store is rate-limit-redis, else it is the process's memory.
'use strict';
const express = require('express');
const { rateLimit } = require('express-rate-limit');

const key = (request) => request.headers['x-forwarded-for'] || 'nobody';

async function limits(redisPort) {
  const all = { windowMs: 900000, keyGenerator: key, standardHeaders: 'draft-7', legacyHeaders: false, validate: false };
  if (!redisPort) return (limit) => rateLimit({ ...all, limit });
  const { createClient } = require('redis');
  const { RedisStore } = require('rate-limit-redis');
  const client = createClient({ socket: { host: '127.0.0.1', port: redisPort } });
  await client.connect();
  const sendCommand = (...words) => client.sendCommand(words);
  return (limit) => rateLimit({ ...all, limit, store: new RedisStore({ sendCommand, prefix: `express:${limit}:` }) });
}

async function main() {
  const limit = await limits(Number(process.argv[3]));
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.use('/tight', limit(1));
  app.use('/check', limit(65535));
  app.use((request, response) => response.status(200).end());
  app.listen(Number(process.argv[2]), '127.0.0.1');
}

main();
