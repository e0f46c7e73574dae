// The official client against the real server with the embedded model.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import OpenAI from 'openai';

import { Server } from './serve.mjs';

const CODE = 'def add(a, b):\n    return a + b\n\n\ndef sub(a, b):\n    return';
const QUESTION = [{ role: 'user', content: 'Write a function that adds two numbers.' }];

let server;
let client;
before(async () => {
  server = await Server.start();
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });
});
after(async () => assert.equal(await server.stop(), 0));

const complete = (fields) => client.completions.create(
  { model: 'tiny', prompt: CODE, temperature: 0, max_tokens: 24, ...fields });
const chat = (fields) => client.chat.completions.create(
  { model: 'tiny', messages: QUESTION, temperature: 0, max_tokens: 24, ...fields });

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

async function refusal(promise) {
  const error = await promise.then(() => assert.fail('it was not refused'), (e) => e);
  assert.ok(error instanceof OpenAI.APIError, String(error));
  return error;
}

test('the model is listed', async () => {
  const models = await collect(client.models.list());
  assert.deepEqual(models.map((m) => [m.id, m.object]), [['tiny', 'model']]);
});

test('a completion has text, usage and a reason to end', async () => {
  const reply = await complete({});
  assert.equal(reply.object, 'text_completion');
  assert.equal(reply.model, 'tiny');
  assert.equal(reply.choices.length, 1);
  assert.ok(reply.choices[0].text.length > 0);
  const usage = reply.usage;
  assert.ok(usage.prompt_tokens > 10 && usage.completion_tokens > 0);
  assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
});

test('a stream says the same as the whole', async () => {
  const whole = await complete({});
  const chunks = await collect(await complete({ stream: true }));
  assert.equal(chunks.map((c) => c.choices[0].text).join(''), whole.choices[0].text);
  assert.equal(chunks.at(-1).choices[0].finish_reason, whole.choices[0].finish_reason);
  assert.ok(chunks.length > 3);
});

test('a chat and its stream say the same, without the space of the form', async () => {
  const whole = await chat({});
  assert.equal(whole.object, 'chat.completion');
  assert.equal(whole.choices[0].message.role, 'assistant');
  const text = whole.choices[0].message.content;
  assert.ok(text.length > 0 && !text.startsWith(' '), JSON.stringify(text));
  const chunks = await collect(await chat({ stream: true, stream_options: { include_usage: true } }));
  assert.equal(chunks[0].choices[0].delta.role, 'assistant');
  assert.equal(chunks.map((c) => c.choices[0]?.delta.content ?? '').join(''), text);
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.equal(chunks.at(-1).usage.completion_tokens, whole.usage.completion_tokens);
});

test('the client library gathers a streamed chat', async () => {
  const final = await client.chat.completions.stream(
    { model: 'tiny', messages: QUESTION, temperature: 0, max_tokens: 12 }).finalChatCompletion();
  assert.equal(final.choices[0].message.content, (await chat({ max_tokens: 12 })).choices[0].message.content);
});

test('system, developer and assistant messages and text parts are taken', async () => {
  const reply = await chat({ messages: [
    { role: 'developer', content: 'Answer in Python.' }, ...QUESTION,
    { role: 'assistant', content: 'def add(a, b):' },
    { role: 'user', content: [{ type: 'text', text: 'Go ' }, { type: 'text', text: 'on.' }] }] });
  assert.ok(reply.usage.prompt_tokens > 20);
});

test('max_tokens cuts, stop strings end', async () => {
  const cut = await complete({ max_tokens: 3 });
  assert.equal(cut.choices[0].finish_reason, 'length');
  assert.equal(cut.usage.completion_tokens, 3);
  const free = (await complete({ max_tokens: 24 })).choices[0].text;
  const stop = free.slice(4, 8);
  const stopped = (await complete({ stop })).choices[0];
  assert.equal(stopped.text, free.slice(0, free.indexOf(stop)));
  assert.equal(stopped.finish_reason, 'stop');
  const several = (await complete({ stop: ['never there', stop] })).choices[0];
  assert.equal(several.text, stopped.text);
});

test('the same seed gives the same text, another one another', async () => {
  const draw = async (seed) => (await complete({ temperature: 1.5, seed, max_tokens: 32 })).choices[0].text;
  const first = await draw(7);
  assert.equal(await draw(7), first);
  assert.notEqual(await draw(8), first);
});

test('n choices differ and stream side by side', async () => {
  const reply = await chat({ n: 3, temperature: 1.5, seed: 1, max_tokens: 16 });
  assert.deepEqual(reply.choices.map((c) => c.index), [0, 1, 2]);
  assert.equal(new Set(reply.choices.map((c) => c.message.content)).size, 3);
  const chunks = await collect(await chat({ n: 3, temperature: 1.5, seed: 1, max_tokens: 16, stream: true }));
  const texts = ['', '', ''];
  for (const { choices: [choice] } of chunks) texts[choice.index] += choice.delta.content ?? '';
  assert.deepEqual(texts, reply.choices.map((c) => c.message.content));
});

test('several prompts are answered in order', async () => {
  const prompts = ['import os\n', CODE, 'x = ['];
  const together = await complete({ prompt: prompts, n: 2 });
  assert.equal(together.choices.length, 6);
  for (const [i, prompt] of prompts.entries()) {
    const alone = (await complete({ prompt })).choices[0].text;
    assert.equal(together.choices[2 * i].text, alone);
    assert.equal(together.choices[2 * i + 1].text, alone);
  }
});

test('a prompt of token ids is its text', async () => {
  // 16 prompt logprobs name the tokens; their ids are not told, so a list of ids is checked by its
  // usage and by being refused where it is out of range.
  const reply = await complete({ prompt: [0, 300, 301, 302] });
  assert.equal(reply.usage.prompt_tokens, 4);
  const error = await refusal(complete({ prompt: [0, 99_999_999] }));
  assert.equal(error.status, 400);
});

test('a suffix fills in the middle', async () => {
  const prompt = 'def add(a, b):\n    result = ';
  const suffix = '\n    return result\n';
  const filled = await complete({ prompt, suffix, max_tokens: 16 });
  const plain = await complete({ prompt, max_tokens: 16 });
  assert.ok(filled.usage.prompt_tokens > plain.usage.prompt_tokens);
  assert.notEqual(filled.choices[0].text, plain.choices[0].text);
  assert.doesNotMatch(filled.choices[0].text, /fim/);
});

test('control tokens may be written out in raw prompts and nowhere else', async () => {
  const raw = await complete({ prompt: '<｜fim▁begin｜>a = <｜fim▁hole｜>\n<｜fim▁end｜>' });
  assert.ok(raw.usage.prompt_tokens < 12, `${raw.usage.prompt_tokens}`);
  const quoted = await chat({ messages: [{ role: 'user', content: '<｜fim▁hole｜>' }] });
  const empty = await chat({ messages: [{ role: 'user', content: '' }] });
  assert.ok(quoted.usage.prompt_tokens > empty.usage.prompt_tokens + 4);
});

test('logprobs name every token and its rivals', async () => {
  const { logprobs, text } = (await complete({ logprobs: 3, max_tokens: 8 })).choices[0];
  assert.equal(logprobs.tokens.join(''), text);
  assert.equal(logprobs.token_logprobs.length, 8);
  assert.ok(logprobs.token_logprobs.every((l) => l <= 0));
  assert.ok(logprobs.top_logprobs.every((top) => Object.keys(top).length >= 3));
  const entries = (await chat({ logprobs: true, top_logprobs: 2, max_tokens: 8 })).choices[0].logprobs.content;
  assert.equal(entries.length, 8);
  for (const entry of entries) {
    assert.deepEqual(entry.bytes, [...Buffer.from(entry.token)]);
    assert.equal(entry.top_logprobs.length, 2);
    assert.equal(entry.top_logprobs[0].logprob, entry.logprob);  // greedy
  }
});

test('echo gives the prompt back, with its own logprobs', async () => {
  const choice = (await complete({ echo: true, logprobs: 0, max_tokens: 2 })).choices[0];
  assert.ok(choice.text.startsWith(CODE));
  assert.equal(choice.logprobs.token_logprobs[0], null);
  assert.ok(choice.logprobs.token_logprobs.slice(1).every((l) => l <= 0));
  const scored = (await complete({ echo: true, logprobs: 0, max_tokens: 0 })).choices[0];
  assert.equal(scored.text, CODE);
  assert.equal(scored.logprobs.tokens.length, choice.logprobs.tokens.length - 2);
});

test('text offsets count characters, through a whole stream and with the prompt in front', async () => {
  // Characters of one to four bytes, of which the model's tokens may hold only a part.
  const prompt = '# caf\u00e9 \u65e5\u672c\u8a9e \u{1f600}\nname = "caf\u00e9 \u65e5\u672c\u8a9e \u{1f600}"\nname = "caf';
  const fields = { prompt, max_tokens: 12, temperature: 0, ignore_eos: true, logprobs: 0 };
  const { text, logprobs } = (await complete(fields)).choices[0];
  // Of tokens that are whole characters, the text between two offsets is the token.
  const isThere = (tokens, offsets, all) => {
    const characters = [...all];
    for (const [i, token] of tokens.entries()) {
      if (token.includes('\ufffd') || token.startsWith('<')) continue;
      assert.equal(characters.slice(offsets[i], offsets[i] + [...token].length).join(''), token);
    }
  };
  assert.equal(logprobs.text_offset[0], 0);
  isThere(logprobs.tokens, logprobs.text_offset, text);

  const streamed = [];
  for (const { choices } of await collect(await complete({ ...fields, stream: true }))) {
    streamed.push(...choices[0].logprobs?.text_offset ?? []);
  }
  assert.deepEqual(streamed, logprobs.text_offset);

  const echoed = (await complete({ ...fields, echo: true })).choices[0];
  assert.match(echoed.logprobs.tokens[0], /^<.*begin/);  // not in the text
  assert.deepEqual(echoed.logprobs.text_offset.slice(0, 2), [0, 0]);
  isThere(echoed.logprobs.tokens, echoed.logprobs.text_offset, echoed.text);
  assert.deepEqual(echoed.logprobs.text_offset.slice(-streamed.length),
    streamed.map((offset) => offset + [...prompt].length));
});

test('a suffix heals the prompt, and offsets begin behind what was healed', async () => {
  const choice = (await complete({ prompt: 'import json\njson.du', suffix: '\n', max_tokens: 4, logprobs: 0 })).choices[0];
  const healed = choice.logprobs.tokens.join('').length - choice.text.length;
  assert.ok(healed > 0, `${choice.logprobs.tokens}`);
  assert.equal(choice.logprobs.text_offset[0], 0);
  let bytes = 0;
  for (const [i, token] of choice.logprobs.tokens.entries()) {
    assert.equal(choice.logprobs.text_offset[i], Math.max(0, bytes - healed));
    bytes += token.length;
  }
});

test('a prompt that was seen is not computed again', async () => {
  const prompt = Array.from({ length: 40 }, (_, i) => `def unseen_${i}():\n    return ${i}\n`).join('');
  const first = (await complete({ prompt })).usage;
  const second = (await complete({ prompt })).usage;
  assert.ok(first.prompt_tokens_details.cached_tokens < first.prompt_tokens / 2);
  assert.ok(second.prompt_tokens_details.cached_tokens > second.prompt_tokens * 0.8);
});

test('what cannot be honoured is refused by name', async () => {
  const cases = [
    [() => complete({ temperature: 3 }), 'temperature'],
    [() => complete({ n: 0 }), 'n'],
    [() => complete({ prompt: { text: 1 } }), 'prompt'],
    [() => complete({ stop: 5 }), 'stop'],
    [() => complete({ best_of: 4 }), 'best_of'],
    [() => complete({ logprobs: 1000 }), 'logprobs'],
    [() => complete({ presence_penalty: 1 }), 'presence_penalty'],
    [() => complete({ max_tokens: -2 }), 'max_tokens'],
    [() => chat({ messages: [] }), 'messages'],
    [() => chat({ messages: [{ role: 'tool', content: 'x' }] }), 'messages[0].role'],
    [() => chat({ messages: [{ role: 'user', content: [{ type: 'image_url' }] }] }), 'messages[0].content[0].type'],
    [() => chat({ tools: [{ type: 'function', function: { name: 'f' } }] }), 'tools'],
    [() => chat({ response_format: { type: 'json_object' } }), 'response_format'],
  ];
  for (const [ask, param] of cases) {
    const error = await refusal(ask());
    assert.deepEqual([error.status, error.param], [400, param], error.message);
  }
  const harmless = await complete({ presence_penalty: 0, logit_bias: {}, user: 'me', best_of: 1 });
  assert.equal(harmless.choices.length, 1);
});

test('a prompt beyond the context is refused with its code', async () => {
  const error = await refusal(complete({ prompt: 'word '.repeat(20_000) }));
  assert.deepEqual([error.status, error.code], [400, 'context_length_exceeded']);
});

test('a client that goes away frees its place', async () => {
  const stream = await chat({ stream: true, max_tokens: 1500, stop: ['\u0001'] });
  await stream[Symbol.asyncIterator]().next();
  stream.controller.abort();
  await server.metricReaches('caretd_engine_running', 0);
});

test('unknown paths and methods are errors of the API', async () => {
  const nowhere = await fetch(`${server.url}/v1/nowhere`);
  assert.equal(nowhere.status, 404);
  assert.equal((await nowhere.json()).error.code, 'not_found');
  assert.equal((await fetch(`${server.url}/v1/completions`)).status, 405);
  assert.equal((await server.post('/v1/completions', '{"prompt":')).status, 400);
});

test('metrics are in the form of Prometheus', async () => {
  const page = await (await fetch(`${server.url}/metrics`)).text();
  for (const line of page.trim().split('\n')) {
    assert.match(line, /^(# (HELP|TYPE) \w+ .+|\w+(\{[^}]*\})? -?[\d.e+-]+)$/);
  }
  assert.ok((await server.metric('caretd_http_generated_tokens_total')) > 100);
});
