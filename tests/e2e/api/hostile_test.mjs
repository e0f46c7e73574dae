// Clients that mean no good: each gets the right answer, and the others notice nothing.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { CARETD, environment, PATIENCE_MS, Server } from './serve.mjs';

const REQUEST = { prompt: 'def add(a, b):\n', max_tokens: 4, temperature: 0 };

let server;
before(async () => {
  server = await Server.start(['--set', 'http.timeout_s=2', '--set', 'http.max_connections=40']);
});
after(async () => assert.equal(await server.stop(), 0));

const works = async () => assert.equal((await server.post('/v1/completions', REQUEST)).status, 200);
const statusOf = (reply) => Number(/^HTTP\/1\.1 (\d+)/.exec(reply)?.[1]);

test('what is not HTTP is refused', async () => {
  for (const bytes of ['\u0016\u0003\u0001\u0002\u0000', 'GET\r\n\r\n', 'GET / HTTP/9.9\r\n\r\n',
    'POST /v1/completions HTTP/1.1\r\nContent-Length: -5\r\n\r\n',
    'POST /v1/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n']) {
    const { socket, reply } = server.raw();
    socket.write(bytes);
    // Short garbage may still become a request: then the time-out is the answer.
    assert.ok([400, 408].includes(statusOf(await reply)), JSON.stringify(bytes));
  }
  await works();
});

test('10,000 header fields are too many', async () => {
  const { socket, reply } = server.raw();
  const fields = Array.from({ length: 10_000 }, (_, i) => `X-${i}: y\r\n`).join('');
  socket.write(`GET /health HTTP/1.1\r\nHost: localhost\r\n${fields}\r\n`);
  assert.equal(statusOf(await reply), 431);
  await works();
});

test('a body of 100 MB is refused by its announced length', async () => {
  const { socket, reply } = server.raw();
  socket.write('POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 104857600\r\n\r\n');
  const part = Buffer.alloc(1 << 20, 0x20);
  for (let i = 0; i < 100 && !socket.destroyed; ++i) socket.write(part);
  const text = await reply;
  assert.equal(statusOf(text), 413);
  assert.match(text, /body_too_large/);
  assert.ok(server.residentMiB() < 400);
  await works();
});

test('a chunked body of 100 MB is refused when it grows too long', async () => {
  const { socket, reply } = server.raw();
  socket.write('POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n');
  const part = Buffer.concat([Buffer.from('100000\r\n'), Buffer.alloc(1 << 20, 0x20), Buffer.from('\r\n')]);
  for (let i = 0; i < 100 && !socket.destroyed; ++i) socket.write(part);
  assert.equal(statusOf(await reply), 413);
  await works();
});

test('malformed JSON and wrong types name what is wrong', async () => {
  for (const [body, status] of [['', 400], ['{', 400], ['[]', 400], ['"x"', 400], ['[['.repeat(50_000), 400],
    ['{"prompt":null}', 400], ['{"prompt":[[],5]}', 400], ['{"prompt":"x","max_tokens":1e99}', 400],
    ['{"prompt":"x","temperature":"hot"}', 400], [`{"prompt":[${'1,'.repeat(100_000)}"x"]}`, 400]]) {
    const reply = await server.post('/v1/completions', body);
    assert.equal(reply.status, status, body.slice(0, 60));
    assert.equal(typeof (await reply.json()).error.message, 'string');
  }
  await works();
});

test('a header that drips in is given up', async () => {
  const { socket, reply } = server.raw();
  socket.write('POST /v1/completions HTTP/1.1\r\n');
  const drip = setInterval(() => socket.write('X-Drip: y\r\n'), 100);
  assert.equal(statusOf(await reply), 408);
  clearInterval(drip);
});

test('a body that drips in is given up', async () => {
  const { socket, reply } = server.raw();
  socket.write('POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n');
  const drip = setInterval(() => socket.write(' '), 100);
  assert.equal(statusOf(await reply), 408);
  clearInterval(drip);
});

test('a client that stops reading is cut off, and nobody waits for it', async () => {
  const socket = net.connect({ port: server.port, host: '127.0.0.1' });
  socket.pause();
  socket.on('error', () => {});
  // Log-probabilities make events of kilobytes: many choices of them overflow every buffer.
  const body = JSON.stringify({ messages: [{ role: 'user', content: 'x' }], n: 32, stream: true,
    logprobs: true, top_logprobs: 20, max_tokens: 400, temperature: 1.5, seed: 1 });
  socket.write('POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n' +
    `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
  await works();
  await server.metricReaches('caretd_engine_running', 0);
  socket.destroy();
});

test('a client that keeps reading has all the time that takes', async () => {
  // One reply, larger than the buffers on the way.
  const body = JSON.stringify({ ...REQUEST, n: 64, logprobs: 20, max_tokens: 60, temperature: 1.5, seed: 1, ignore_eos: true });
  const socket = net.connect({ port: server.port, host: '127.0.0.1' });
  socket.write('POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n' +
    `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
  const parts = [];
  let begin;
  for await (const part of socket) {
    begin ??= Date.now();
    parts.push(part);
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
  const reply = Buffer.concat(parts).toString();
  assert.equal(JSON.parse(reply.slice(reply.indexOf('\r\n\r\n'))).choices.length, 64);
  assert.ok(Date.now() - begin > 4000, `${reply.length} bytes are too few to show anything`);
});

/** A server with three places of its own; nobody's requests time out meanwhile. */
async function withThreePlaces(use) {
  const small = await Server.start(['--set', 'http.max_connections=3']);
  try {
    await use(small);
  } finally {
    assert.equal(await small.stop(), 0);
  }
}

function asksForHealth({ socket, reply }) {
  socket.write('GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
  return reply.then(statusOf);
}

test('connections that ask nothing make room for those that come', async () => {
  await withThreePlaces(async (small) => {
    const idle = Array.from({ length: 6 }, () => small.raw());
    assert.equal(await idle[0].reply, '');
    assert.equal(await asksForHealth(small.raw()), 200);
    for (const { socket } of idle) socket.destroy();
  });
});

test('connections beyond the bound are told so, and free places are used again', async () => {
  await withThreePlaces(async (small) => {
    // In the middle of their requests, as the server's reply to the header shows.
    const held = Array.from({ length: 3 }, () => small.raw());
    await Promise.all(held.map(({ socket }) => new Promise((resolve) => {
      socket.once('data', resolve);
      socket.write('POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n' +
        'Expect: 100-continue\r\n\r\n');
    })));
    const refused = await small.raw().reply;
    assert.equal(statusOf(refused), 503);
    assert.match(refused, /too_many_connections/);
    held[0].socket.destroy();
    const patience = Date.now() + PATIENCE_MS;
    while (await asksForHealth(small.raw()) !== 200) {
      assert.ok(Date.now() < patience, 'no place became free');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    for (const { socket } of held) socket.destroy();
  });
});

test('beyond the bound of the queue a request is refused and told when to come back', async () => {
  const leave = new AbortController();
  const body = JSON.stringify({ prompt: 'x', n: 128, max_tokens: 1000, temperature: 1, seed: 1 });
  // 64 generations run and 256 wait: a third request of 128 finds no room.
  const flood = Array.from({ length: 3 }, () => fetch(`${server.url}/v1/completions`,
    { method: 'POST', body, signal: leave.signal }));
  flood.forEach((request) => request.catch(() => {}));
  const refused = await Promise.race(flood);
  assert.equal(refused.status, 503);
  assert.equal(refused.headers.get('retry-after'), '1');
  const { error } = await refused.json();
  assert.equal(error.type, 'unavailable_error');
  assert.match(error.message, /waiting already/);
  leave.abort();
  await server.metricReaches('caretd_engine_running', 0);
  await server.metricReaches('caretd_engine_queued', 0);
  await works();
});

test('pipelined requests are answered in order', async () => {
  const { socket, reply } = server.raw();
  const get = (path, more = '') => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${more}\r\n`;
  socket.write(get('/health') + get('/v1/models') + get('/nowhere', 'Connection: close\r\n'));
  const text = await reply;
  assert.deepEqual([...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map((m) => m[1]), ['200', '200', '404']);
});

test('web pages of other sites are refused', async () => {
  const ask = (headers) => {
    const { socket, reply } = server.raw();
    const fields = Object.entries({ Connection: 'close', ...headers }).map(([k, v]) => `${k}: ${v}\r\n`);
    socket.write(`GET /v1/models HTTP/1.1\r\n${fields.join('')}\r\n`);
    return reply.then(statusOf);
  };
  assert.equal(await ask({ Host: 'evil.example' }), 403);
  assert.equal(await ask({ Host: '127.evil.example:8012' }), 403);
  assert.equal(await ask({ Host: '127.0.0.1.evil.example' }), 403);
  assert.equal(await ask({ Host: 'localhost:8012', Origin: 'https://evil.example' }), 403);
  assert.equal(await ask({ Host: 'localhost:8012', Origin: 'http://127.0.0.1.evil.example' }), 403);
  assert.equal(await ask({ Host: '127.0.0.2:8012', Origin: 'http://127.0.0.1:3000' }), 200);
  assert.equal(await ask({ Host: 'localhost:8012', Origin: 'http://localhost:3000' }), 200);
  assert.equal(await ask({ Host: '[::1]:8012', Origin: 'vscode-webview://x' }), 200);
});

// ---- keys and TLS -----------------------------------------------------------------------------

test('with a key everything but /health needs it', async (t) => {
  const locked = await Server.start([], { env: { CARETD_HTTP_API_KEY: 'secret' } });
  t.after(async () => assert.equal(await locked.stop(), 0));
  const status = async (path, headers) => (await fetch(`${locked.url}${path}`, { headers })).status;
  assert.equal(await status('/health'), 200);
  assert.equal(await status('/v1/models'), 401);
  assert.equal(await status('/metrics'), 401);
  assert.equal(await status('/v1/models', { Authorization: 'Bearer secre' }), 401);
  assert.equal(await status('/v1/models', { Authorization: 'Bearer secret' }), 200);
  assert.equal(await status('/v1/models', { 'X-Api-Key': 'secret' }), 200);
});

test('other machines are served with a key and TLS, or not at all', () => {
  const home = mkdtempSync(path.join(tmpdir(), 'caretd-api-'));
  const refusal = (words, env = {}) => {
    const result = spawnSync(CARETD, ['serve', '--listen', '0.0.0.0:0', ...words],
      { env: environment(home, env), encoding: 'utf8', timeout: PATIENCE_MS });
    assert.notEqual(result.status, 0);
    return result.stderr;
  };
  assert.match(refusal([]), /api_key_file/);
  assert.match(refusal([], { CARETD_HTTP_API_KEY: 'k' }), /certificate.*--insecure/);
  assert.match(refusal(['--insecure']), /api_key_file/);
  rmSync(home, { recursive: true, force: true });
});

test('a key on the command line is warned of, and the configuration does not print it', async () => {
  const visible = await Server.start(['--set', 'http.api_key=secret'], { ready: false });
  await visible.stop();
  assert.match(visible.log, /visible/);
  assert.doesNotMatch(visible.log, /secret/);
  const shown = execFileSync(CARETD, ['config', 'show', '--set', 'http.api_key=secret'],
    { env: environment(tmpdir()), encoding: 'utf8' });
  assert.match(shown, /http\.api_key = \(set\)/);
  assert.doesNotMatch(shown, /secret/);
});

test('TLS is served with the certificate that was named', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'caretd-api-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const [certificate, key] = ['cert.pem', 'key.pem'].map((name) => path.join(folder, name));
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out',
    certificate, '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'],
  { stdio: 'ignore' });
  writeFileSync(path.join(folder, 'key'), 'secret\n');
  const secure = await Server.start(['--set', `http.certificate=${certificate}`, '--set', `http.key=${key}`,
    '--set', `http.api_key_file=${folder}/key`], { ready: false });
  t.after(() => secure.stop());
  assert.match(secure.url, /^https:/);
  const curl = (where, ...words) => execFileSync('curl', ['--silent', '--fail', '--no-buffer', '--cacert', certificate,
    '--header', 'Authorization: Bearer secret', ...words, `https://localhost:${secure.port}${where}`], { encoding: 'utf8' });
  curl('/health', '--retry', '30', '--retry-delay', '1');  // 503 while the model loads
  assert.equal(JSON.parse(curl('/v1/models')).object, 'list');
  const streamed = curl('/v1/completions', '--data', JSON.stringify({ ...REQUEST, stream: true }));
  assert.match(streamed, /data: \[DONE\]\n\n$/);
});
