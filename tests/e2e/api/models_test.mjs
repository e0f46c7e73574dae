// More than one model behind the API: one that completes and one that chats, and one elsewhere.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Server } from './serve.mjs';

const TINY = fileURLToPath(new URL('../../../models/tiny', import.meta.url));
const PROMPT = 'def add(a, b):\n    return a + b\n\n\ndef sub(a, b):\n    return';
const COMPLETION = { prompt: PROMPT, max_tokens: 8, temperature: 0 };
const CHAT = { messages: [{ role: 'user', content: 'hello' }], max_tokens: 8, temperature: 0 };
const INFILL = { input_prefix: 'def add(a, b):\n', input_suffix: '\n\nprint(add(1, 2))\n',
  prompt: '    return ', n_predict: 8 };

let folder;
let server;  // "tiny" completes, "talker" chats
let remote;  // asks the server, without a tokenizer
let knowing;  // and with one
const elsewhere = () => ['--set', `remote.url=${server.url}`, '--set', 'remote.model=tiny'];
before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'caretd-models-'));
  const talker = path.join(folder, 'talker');
  symlinkSync(TINY, talker);
  server = await Server.start(['--set', `chat.model=${talker}`]);
  remote = await Server.start(elsewhere());
  knowing = await Server.start([...elsewhere(), '--set', `remote.tokenizer=${TINY}`]);
});
after(async () => {
  for (const one of [knowing, remote, server]) assert.equal(await one?.stop(), 0);
  rmSync(folder, { recursive: true, force: true });
});

const reply = async (to, endpoint, fields) => {
  const response = await to.post(endpoint, fields);
  assert.equal(response.status, 200, await response.clone().text());
  return response.json();
};
const refusal = async (to, endpoint, fields) => {
  const response = await to.post(endpoint, fields);
  const { error } = await response.json();
  return { status: response.status, ...error };
};
const names = async (of) =>
  (await (await fetch(`${of.url}/v1/models`)).json()).data.map((model) => model.id);

test('both models are listed, the one that completes first', async () => {
  assert.deepEqual(await names(server), ['tiny', 'talker']);
});

test('each endpoint asks its own model, unless the request names the other', async () => {
  const answered = async (endpoint, fields) => (await reply(server, endpoint, fields)).model;
  assert.equal(await answered('/v1/completions', COMPLETION), 'tiny');
  assert.equal(await answered('/infill', INFILL), 'tiny');
  assert.equal(await answered('/v1/chat/completions', CHAT), 'talker');
  assert.equal(await answered('/v1/chat/completions', { ...CHAT, model: 'tiny' }), 'tiny');
  assert.equal(await answered('/v1/completions', { ...COMPLETION, model: 'talker' }), 'talker');
  // Names of models elsewhere mean whatever is served.
  assert.equal(await answered('/v1/completions', { ...COMPLETION, model: 'gpt-4o' }), 'tiny');
  assert.equal((await refusal(server, '/v1/completions', { ...COMPLETION, model: 7 })).param, 'model');
});

test('a model elsewhere completes as it does at home', async () => {
  assert.deepEqual(await names(remote), ['tiny']);
  const text = async (from, fields) =>
    (await reply(from, '/v1/completions', { ...COMPLETION, ...fields })).choices.map((c) => c.text);
  for (const fields of [{}, { suffix: '\n\nprint(sub(1, 2))\n' }, { echo: true }, { n: 2 },
    { prompt: [PROMPT, 'import '] }]) {
    assert.deepEqual(await text(remote, fields), await text(server, fields), JSON.stringify(fields));
  }
  const usage = (await reply(remote, '/v1/completions', COMPLETION)).usage;
  assert.equal(usage.completion_tokens, 8);
  assert.ok(usage.prompt_tokens > 8);
});

test('a model elsewhere fills in for llama.cpp\'s clients', async () => {
  const here = await reply(server, '/infill', INFILL);
  const there = await reply(remote, '/infill', INFILL);
  assert.equal(there.content, here.content);
  assert.equal(there.truncated, false);
  // What is too long for its context is cut, characters whole.
  const long = { ...INFILL, input_prefix: 'naïve_value = compute(index)\n'.repeat(5000), input_extra: [{ text: 'x' }] };
  assert.equal((await reply(remote, '/infill', long)).truncated, true);
});

test('a stream from elsewhere is passed on, and ends upstream with its client', async () => {
  const stream = await (await remote.post('/v1/completions', { ...COMPLETION, stream: true })).text();
  const events = stream.trim().split('\n\n').map((event) => event.replace('data: ', ''));
  assert.equal(events.pop(), '[DONE]');
  const pieces = events.map((event) => JSON.parse(event).choices[0].text);
  assert.equal(pieces.join(''), (await reply(server, '/v1/completions', COMPLETION)).choices[0].text);

  const leave = new AbortController();
  const endless = await fetch(`${remote.url}/v1/completions`, { method: 'POST', signal: leave.signal,
    body: JSON.stringify({ ...COMPLETION, max_tokens: 1900, ignore_eos: true, stream: true }) });
  await endless.body.getReader().read();
  leave.abort();
  await remote.metricReaches('caretd_engine_running', 0);
  await server.metricReaches('caretd_engine_running', 0);
});

test('conversations go elsewhere where the tokenizer knows their form', async () => {
  const error = await refusal(remote, '/v1/chat/completions', CHAT);
  assert.deepEqual([error.status, error.code], [501, 'no_chat_template'], error.message);
  const text = async (from) => (await reply(from, '/v1/chat/completions',
    { ...CHAT, model: 'tiny' })).choices[0].message.content;
  assert.equal(await text(knowing), await text(server));
});

test('what a model elsewhere cannot give is refused with its field', async () => {
  assert.equal((await refusal(remote, '/v1/completions', { ...COMPLETION, logprobs: 1 })).param, 'logprobs');
  assert.equal((await refusal(knowing, '/v1/chat/completions', { ...CHAT, logprobs: true })).param, 'logprobs');
  const ids = await refusal(remote, '/v1/completions', { ...COMPLETION, prompt: [300, 301] });
  assert.deepEqual([ids.status, /remote\.tokenizer/.test(ids.message)], [400, true]);
});
