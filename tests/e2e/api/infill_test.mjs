// What llama.vim and llama.vscode send to POST /infill, as documented in llama.cpp's server README
// and in the plugins' sources: the fields, their order of use, and what they read of the reply.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { after, before, test } from 'node:test';

import { Server } from './serve.mjs';

const TIMINGS = ['prompt_n', 'prompt_ms', 'prompt_per_token_ms', 'prompt_per_second',
  'predicted_n', 'predicted_ms', 'predicted_per_token_ms', 'predicted_per_second'];
const RESPONSE_FIELDS = ['content', ...TIMINGS.map((t) => `timings/${t}`), 'truncated', 'tokens_cached'];
const EXTRA = Array.from({ length: 12 }, (_, i) => ({
  text: `def helper_${i}(value):\n    return value * ${i}\n`, time: [1, i], filename: `helpers_${i}.py` }));

let server;
before(async () => { server = await Server.start(); });
after(async () => assert.equal(await server.stop(), 0));

/** llama.vim's request for a completion. */
const vimRequest = (fields = {}) => ({
  id_slot: 0, input_prefix: 'import os\n\n\ndef read_lines(path):\n    with open(path) as f:\n',
  input_suffix: '\n\nprint(read_lines("x"))\n', input_extra: EXTRA, prompt: '        return ',
  n_predict: 32, stop: [], n_indent: 8, top_k: 40, top_p: 0.9, stream: false,
  samplers: ['top_k', 'top_p', 'infill'], cache_prompt: true, t_max_prompt_ms: 500,
  t_max_predict_ms: 1000, response_fields: RESPONSE_FIELDS, ...fields });

/** What it sends while nobody types, so that the extra context is in the cache. */
const warmUp = { input_prefix: '', input_suffix: '', input_extra: EXTRA, prompt: '', n_predict: 0,
  temperature: 0, stream: false, samplers: [], cache_prompt: true, t_max_prompt_ms: 1,
  t_max_predict_ms: 1, response_fields: [''] };

/** The plugin's own way: curl with the body on stdin. */
function curl(request, ...more) {
  return execFileSync('curl', ['--silent', '--no-buffer', '--request', 'POST', '--url',
    `${server.url}/infill`, '--header', 'Content-Type: application/json', '--data', '@-', ...more],
  { input: JSON.stringify(request), encoding: 'utf8' });
}

test('the warm-up answers nothing and fills the cache', async () => {
  assert.deepEqual(JSON.parse(curl(warmUp)), {});
  const reply = JSON.parse(curl(vimRequest()));
  assert.ok(reply.tokens_cached > 100, `${reply.tokens_cached} tokens were cached`);
});

test('llama.vim gets the fields it asks for under their paths', async () => {
  const reply = JSON.parse(curl(vimRequest()));
  assert.deepEqual(Object.keys(reply).sort(), [...RESPONSE_FIELDS].sort());
  assert.ok(reply.content.trim().length > 0);
  assert.equal(reply.truncated, false);
  assert.ok(reply['timings/predicted_n'] > 0 && reply['timings/predicted_per_second'] > 0);
});

test('what is typed on is answered from the cache but for the new line', async () => {
  curl(vimRequest());
  const reply = JSON.parse(curl(vimRequest({ prompt: '        return [' })));
  assert.ok(reply['timings/prompt_n'] <= 8, `${reply['timings/prompt_n']} tokens were computed`);
});

test('the content goes on behind the typed text', async () => {
  const whole = JSON.parse(curl(vimRequest({ prompt: '        ret' }))).content;
  assert.ok(!whole.startsWith('        ret'), whole);
  assert.ok(whole.startsWith('urn'), JSON.stringify(whole));
});

test('llama.vscode reads the timings of the whole reply', async () => {
  const { response_fields: _, ...request } = vimRequest();
  const reply = await (await server.post('/infill', request)).json();
  for (const name of TIMINGS) assert.equal(typeof reply.timings[name], 'number', name);
  assert.equal(reply.stop, true);
  assert.match(reply.stop_type, /^(eos|limit|word)$/);
  assert.equal(reply.tokens_predicted, reply.timings.predicted_n);
});

test('a stream ends with the figures', async () => {
  const { response_fields: _, ...request } = vimRequest({ stream: true, t_max_predict_ms: 0 });
  const text = await (await server.post('/infill', request)).text();
  const events = text.trim().split('\n\n').map((e) => JSON.parse(e.replace(/^data: /, '')));
  const whole = await (await server.post('/infill', { ...request, stream: false })).json();
  assert.equal(events.map((e) => e.content).join(''), whole.content);
  assert.deepEqual(events.map((e) => e.stop), [...Array(events.length - 1).fill(false), true]);
  assert.equal(events.at(-1).timings.predicted_n, whole.timings.predicted_n);
});

test('context beyond the window is cut and said so', async () => {
  const extra = Array.from({ length: 300 }, (_, i) => ({ text: `value_${i} = ${i}\n`.repeat(10) }));
  const reply = JSON.parse(curl(vimRequest({ input_prefix: 'x = 1\n'.repeat(5000), input_extra: extra, n_predict: 4 })));
  assert.equal(reply.truncated, true);
  assert.ok(reply.content.length > 0);
});

test('several completions are a list of replies that differ', async () => {
  const { response_fields: _, ...request } = vimRequest({ n_cmpl: 3, seed: 1 });
  const replies = await (await server.post('/infill', request)).json();
  assert.deepEqual(replies.map((r) => r.index), [0, 1, 2]);
  assert.ok(new Set(replies.map((r) => r.content)).size > 1);
});

test('the chat requests of llama.vscode and llama.vim are taken as they are', async () => {
  const messages = [{ role: 'system', content: 'You are an expert coder.' },
    { role: 'user', content: 'Add a comment to this.\n\ndef add(a, b):\n    return a + b\n' }];
  const edit = { messages, stream: false, cache_prompt: true, samplers: 'edkypmxt', temperature: 0.8,
    dynatemp_range: 0, dynatemp_exponent: 1, top_k: 40, top_p: 0.95, min_p: 0.05, typical_p: 1,
    xtc_probability: 0, xtc_threshold: 0.1, repeat_last_n: 64, repeat_penalty: 1, presence_penalty: 0,
    frequency_penalty: 0, dry_multiplier: 0, dry_base: 1.75, dry_allowed_length: 2,
    dry_penalty_last_n: -1, max_tokens: -1, timings_per_token: false, stop: ['\n\n'] };
  const warmUpReply = await server.post('/v1/chat/completions', { messages, n_predict: 0, samplers: [],
    cache_prompt: true, t_max_prompt_ms: 1, t_max_predict_ms: 1 });
  assert.equal((await warmUpReply.json()).usage.completion_tokens, 0);
  const reply = await (await server.post('/v1/chat/completions', edit)).json();
  assert.equal(typeof reply.choices[0].message.content, 'string');
  assert.ok(reply.usage.prompt_tokens_details.cached_tokens > reply.usage.prompt_tokens / 2);
});

test('a killed curl frees its place', async () => {
  const { response_fields: _, ...request } = vimRequest({ n_predict: 1500, t_max_predict_ms: 0 });
  const asked = await server.metric('caretd_engine_requests_total');
  const job = spawn('curl', ['--silent', '--url', `${server.url}/infill`, '--data', '@-']);
  job.stdin.end(JSON.stringify({ ...request, temperature: 1.5, stop: [] }));
  await server.metricReaches('caretd_engine_requests_total', asked + 1);
  job.kill();
  await server.metricReaches('caretd_engine_running', 0);
});

test('prefix and suffix are needed', async () => {
  const reply = await server.post('/infill', { input_prefix: 'x' });
  assert.equal(reply.status, 400);
  assert.match((await reply.json()).error.message, /input_suffix/);
});
