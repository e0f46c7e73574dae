// Load on `caretd serve`: many connections, random cancels and dropped sockets, from a
// fixed seed.
//
//   CARETD=build/release/bin/caretd node tests/bench/http_load.mjs churn [REQUESTS] [CONNECTIONS]
//   CARETD=... node tests/bench/http_load.mjs streams [STREAMS]
//   CARETD=... node tests/bench/http_load.mjs overhead
//   CARETD=... node tests/bench/http_load.mjs keystrokes
//
// Prints one figure a line; churn exits with 1 where a request was lost or answered twice, or where
// memory or descriptors grew.
import { spawn } from 'node:child_process';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';

import { CARETD, PATIENCE_MS, Server } from '../e2e/api/serve.mjs';

/** Numerical Recipes' linear congruential generator: the same numbers on every run. */
function generator(seed) {
  let state = seed >>> 0;
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
}

const quantile = (values, q) => values.sort((a, b) => a - b)[Math.floor(q * (values.length - 1))];
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * One request; resolves with its end: 'answered', 'dropped' or what went wrong. `drop` says how the
 * client gives up, and after how many milliseconds: 'close' goes away, 'reset' aborts the connection,
 * 'half' sends half of the body first.
 */
function once(server, agent, fields, drop) {
  const body = JSON.stringify(fields);
  return new Promise((resolve) => {
    const request = http.request({ port: server.port, method: 'POST', path: '/v1/completions', agent,
      headers: { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) } });
    let timer;
    let dropped = false;
    const end = (how) => { clearTimeout(timer); resolve(dropped ? 'dropped' : how); };
    const giveUp = () => {
      dropped = true;
      if (drop.how === 'reset') request.socket?.resetAndDestroy();
      request.destroy();
    };
    if (drop) timer = setTimeout(giveUp, drop.afterMs);
    request.on('error', (error) => end(`error ${error.code}`));
    request.on('response', (response) => {
      let text = '';
      response.on('data', (bytes) => { text += bytes; });
      response.on('error', (error) => end(`error ${error.code}`));
      response.on('close', () => {
        if (response.statusCode !== 200) return end(`status ${response.statusCode}`);
        if (!response.complete) return end('cut short');
        const answers = fields.stream ? text.split('data: [DONE]').length - 1 : JSON.parse(text).choices.length;
        end(answers === 1 ? 'answered' : `answered ${answers} times`);
      });
    });
    if (drop?.how === 'half') request.write(body.slice(0, body.length / 2));
    else request.end(body);
  });
}

/** A fifth of the requests is given up, in one of three ways. */
function randomRequest(random) {
  const ways = ['close', 'reset', 'half'];
  const drop = random() < 0.2 ? { how: ways[Math.floor(random() * 3)], afterMs: random() * 40 } : undefined;
  const fields = { prompt: `value_${Math.floor(random() * 50)} = `, max_tokens: 1 + Math.floor(random() * 8),
    temperature: 0, stream: random() < 0.5 };
  return [fields, drop];
}

/** Runs the requests over the connections; the ends by how often they came. */
async function load(server, random, requests, connections) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: connections });
  const counts = {};
  let left = requests;
  const worker = async () => {
    while (left-- > 0) {
      const how = await once(server, agent, ...randomRequest(random));
      counts[how] = (counts[how] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: connections }, worker));
  agent.destroy();
  await server.metricReaches('caretd_engine_running', 0);
  await server.metricReaches('caretd_engine_queued', 0);
  // The connection that asks is one.
  await server.metricReaches('caretd_http_connections', 1);
  return counts;
}

async function churn(server, requests, connections) {
  const random = generator(1);
  // What is compared is the state after the same kind of load, not that of a fresh process.
  await load(server, random, Math.ceil(requests / 10), connections);
  const before = { fds: server.descriptors(), memory: server.residentMiB() };
  const begin = performance.now();
  const counts = await load(server, random, requests, connections);
  const seconds = (performance.now() - begin) / 1000;
  // A connection is counted down a moment before its descriptor is closed.
  const patience = performance.now() + PATIENCE_MS;
  while (server.descriptors() > before.fds && performance.now() < patience) await sleep(20);
  const after = { fds: server.descriptors(), memory: server.residentMiB() };
  const total = Object.values(counts).reduce((a, b) => a + b, 0);
  console.log(`requests ${total} in ${seconds.toFixed(1)} s, ${(total / seconds).toFixed(0)} a second`);
  console.log(`ends ${JSON.stringify(counts)}`);
  console.log(`descriptors ${before.fds} -> ${after.fds}, memory ${before.memory.toFixed(1)} -> ${after.memory.toFixed(1)} MiB`);
  const wrong = Object.keys(counts).filter((how) => how !== 'answered' && how !== 'dropped');
  return total === requests && wrong.length === 0 && after.fds <= before.fds && after.memory < before.memory + 16;
}

/**
 * Runs chat_streams, which is built beside caretd: on the cores that generate, a client that computes
 * little. Resolves with the line it prints, or with nothing where `stop` ended it.
 */
function runStreams(server, count, tokens, words, stop) {
  const client = spawn(path.join(path.dirname(CARETD), 'chat_streams'),
    [server.port, count, tokens, words].map(String), { stdio: ['ignore', 'pipe', 'inherit'], signal: stop });
  let line = '';
  client.stdout.on('data', (bytes) => { line += bytes; });
  return new Promise((resolve, reject) => {
    client.on('error', (error) => (stop?.aborted ? resolve() : reject(error)));
    client.on('close', (code) => (code === 0 ? resolve(line.trim()) : reject(new Error(`chat_streams: ${code}`))));
  });
}

async function streams(server, count) {
  // From 192 tokens of context to 320.
  const tokens = 128;
  const words = 89;
  await runStreams(server, count, 8, words);
  let good = true;
  for (let round = 0; round < 5; ++round) {
    const before = await server.metric('caretd_engine_generated_tokens_total');
    const prompts = await server.metric('caretd_engine_prompt_tokens_total');
    const computed = server.processorMs();
    const line = await runStreams(server, count, tokens, words);
    await server.metricReaches('caretd_engine_running', 0);
    const generated = (await server.metric('caretd_engine_generated_tokens_total')) - before;
    const context = ((await server.metric('caretd_engine_prompt_tokens_total')) - prompts) / count + tokens / 2;
    console.log(`${line}, at a mean context of ${context.toFixed(0)}; the server computed ${server.processorMs() - computed} ms`);
    good &&= generated === count * tokens;
  }
  return good;
}

/** What a request costs beyond the engine: /health over one connection, and a request for one token. */
async function overhead(server) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const get = () => new Promise((resolve, reject) => {
    const begin = performance.now();
    http.get({ port: server.port, path: '/health', agent }, (response) => {
      response.resume();
      response.on('end', () => resolve(performance.now() - begin));
    }).on('error', reject);
  });
  const times = [];
  const computed = server.processorMs();
  for (let i = 0; i < 2000; ++i) times.push(await get());
  console.log(`/health: ${((server.processorMs() - computed) / 2000).toFixed(3)} ms of the server's computing time`);
  console.log(`/health round trip: p50 ${quantile(times, 0.5).toFixed(3)} ms, p90 ${quantile(times, 0.9).toFixed(3)} ms`);
  const outside = [];
  const inside = [];
  for (let i = 0; i < 300; ++i) {
    const begin = performance.now();
    const reply = await (await server.post('/infill', { input_prefix: 'x = 1\n', input_suffix: '\n', prompt: 'y', n_predict: 4 })).json();
    outside.push(performance.now() - begin);
    inside.push(reply.timings.prompt_ms + reply.timings.predicted_ms);
  }
  const extra = outside.map((time, i) => time - inside[i]);
  console.log(`infill of 4 tokens: p50 ${quantile(outside, 0.5).toFixed(2)} ms, of which outside the engine ` +
    `p50 ${quantile(extra, 0.5).toFixed(3)} ms, p90 ${quantile(extra, 0.9).toFixed(3)} ms (the client's own share included)`);
  agent.destroy();
  return true;
}

/** POSTs over one connection, one request after another, and computes little beside the server. */
class LightClient {
  constructor(port) {
    this.received = Buffer.alloc(0);
    this.socket = net.connect(port, '127.0.0.1').setNoDelay(true);
    this.socket.on('data', (bytes) => this.take(bytes));
    this.socket.on('error', (error) => this.reject?.(error));
    this.socket.on('close', () => this.reject?.(new Error('the server closed the connection')));
  }

  /** Of a reply that announces its length. */
  take(bytes) {
    this.received = Buffer.concat([this.received, bytes]);
    const body = this.received.indexOf('\r\n\r\n') + 4;
    if (body < 4) return;
    const [, status, length] = /^HTTP\/1\.1 (\d+)[^]*\r\nContent-Length: (\d+)/.exec(this.received.toString('latin1', 0, body));
    if (this.received.length < body + Number(length)) return;
    const text = this.received.toString('utf8', body);
    this.received = Buffer.alloc(0);
    if (status === '200') this.resolve(JSON.parse(text));
    else this.reject(new Error(`status ${status}: ${text}`));
  }

  post(path, fields) {
    const body = JSON.stringify(fields);
    this.socket.write(`POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
    return new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
  }

  close() { this.socket.destroy(); }
}

async function keystrokes(server) {
  const editor = new LightClient(server.port);
  const type = async (count) => {
    const times = [];
    let typed = '';
    for (let i = 0; i < count; ++i) {
      typed += 'abc'[i % 3];
      const begin = performance.now();
      const reply = await editor.post('/infill', { input_prefix: 'def f(x):\n', input_suffix: '\n', prompt: `    v = ${typed}`, n_predict: 8 });
      times.push(performance.now() - begin);
      if (reply.tokens_predicted < 1) throw new Error('nothing was generated');
      await sleep(60);
    }
    return quantile(times, 0.9);
  };
  await type(5);
  const alone = await type(40);
  const stop = new AbortController();
  const chats = (async () => {
    while (!stop.signal.aborted) await runStreams(server, 4, 1500, 120, stop.signal);
  })();
  await sleep(500);
  const among = await type(40);
  stop.abort();
  await chats;
  editor.close();
  console.log(`keystroke p90: alone ${alone.toFixed(1)} ms, among four chats ${among.toFixed(1)} ms, grown by ${(among - alone).toFixed(1)} ms`);
  // All of this happens while an editor is active; the log names each step that was longer than those before.
  const longest = server.log.split('\n').filter((line) => line.includes('longest step')).at(-1);
  console.log(longest.slice(longest.indexOf('longest step')));
  return true;
}

const [what = 'churn', first, second] = process.argv.slice(2);
const server = await Server.start(what === 'keystrokes' ? ['--set', 'log.level=debug'] : [], { threads: 0 });
const runs = {
  churn: () => churn(server, Number(first ?? 10_000), Number(second ?? 50)),
  streams: () => streams(server, Number(first ?? 8)),
  overhead: () => overhead(server),
  keystrokes: () => keystrokes(server),
};
const good = await runs[what]();
const code = await server.stop();
process.exitCode = good && code === 0 ? 0 : 1;
