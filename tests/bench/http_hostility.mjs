// What hostile clients cost the others: the latency of one client's completions alone and beside
// clients that send slowly, do not read, or send what is too large or malformed.
//
//   CARETD=build/release/bin/caretd node tests/bench/http_hostility.mjs [SECONDS]
//
// The hostile clients are a process of their own at the lowest priority: what they compute themselves
// is not what is measured. Rounds alone and beside them alternate, so that a machine that slows down
// slows down both.
import { fork } from 'node:child_process';
import net from 'node:net';
import os from 'node:os';
import { fileURLToPath } from 'node:url';

import { Server } from '../e2e/api/serve.mjs';

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const quantile = (values, q) => values.sort((a, b) => a - b)[Math.floor(q * (values.length - 1))];

/** A connection that sends `head` and then, forever, what `more` gives, every `everyMs`; again once closed. */
function assault(port, head, more, everyMs, { reads = true } = {}) {
  const socket = net.connect(port, '127.0.0.1');
  if (reads) socket.resume();
  socket.on('error', () => {});
  socket.write(head);
  const timer = more && setInterval(() => { if (socket.writableLength === 0) socket.write(more); }, everyMs);
  socket.on('close', () => {
    clearInterval(timer);
    setTimeout(() => assault(port, head, more, everyMs, { reads }), everyMs);
  });
}

function attack(port) {
  os.setPriority(os.constants.priority.PRIORITY_LOW);
  const post = (length) => `POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${length}\r\n\r\n`;
  const malformed = '{"prompt": [[[';
  const wrong = '{"prompt": {"a": 1}, "n": "many"}';
  const fields = Array.from({ length: 10_000 }, (_, i) => `X-${i}: y\r\n`).join('');
  for (let i = 0; i < 40; ++i) assault(port, 'POST /v1/completions HTTP/1.1\r\n', 'X-Drip: y\r\n', 100);
  for (let i = 0; i < 40; ++i) assault(port, post(10_000), ' ', 100);
  for (const body of [malformed, wrong]) assault(port, post(body.length) + body, post(body.length) + body, 20);
  assault(port, post(100 << 20), Buffer.alloc(1 << 16, 0x20), 20);
  assault(port, `GET /health HTTP/1.1\r\nHost: localhost\r\n${fields}\r\n`, undefined, 100);
  for (let i = 0; i < 5; ++i) {  // pipelined replies that nobody reads
    const get = 'GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n';
    assault(port, get, get.repeat(10), 100, { reads: false });
  }
}

/** The latencies of completions, one every 20 ms. */
async function latencies(server, seconds) {
  const times = [];
  const end = performance.now() + 1000 * seconds;
  while (performance.now() < end) {
    const begin = performance.now();
    const reply = await server.post('/infill', { input_prefix: 'def f(x):\n', input_suffix: '\n', prompt: `    v = ${times.length}`, n_predict: 8 });
    if (reply.status !== 200) throw new Error(`status ${reply.status}`);
    await reply.json();
    times.push(performance.now() - begin);
    await sleep(20);
  }
  return times;
}

async function main(seconds) {
  const server = await Server.start([], { threads: 0 });
  await latencies(server, 1);
  const alone = [];
  const beside = [];
  const computing = [];  // milliseconds a second, with nobody but hostile clients
  const rounds = 5;
  for (let round = 0; round < rounds; ++round) {
    alone.push(...await latencies(server, seconds / rounds / 2));
    const attacker = fork(fileURLToPath(import.meta.url), ['attack', String(server.port)]);
    await sleep(500);
    const computed = server.processorMs();
    await sleep(1000);
    computing.push(server.processorMs() - computed);
    beside.push(...await latencies(server, seconds / rounds / 2));
    attacker.kill();
    await sleep(200);
  }
  console.log(`hostile clients cost ${quantile(computing, 0.5)} ms of the server's computing time a second`);
  for (const q of [0.5, 0.9]) {
    const [a, b] = [quantile(alone, q), quantile(beside, q)];
    console.log(`p${100 * q}: alone ${a.toFixed(2)} ms, beside hostile clients ${b.toFixed(2)} ms, ${(100 * (b / a - 1)).toFixed(1)} % more`);
  }
  process.exitCode = await server.stop();
}

if (process.argv[2] === 'attack') attack(Number(process.argv[3]));
else await main(Number(process.argv[2] ?? 30));
