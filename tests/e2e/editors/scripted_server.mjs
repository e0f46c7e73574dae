#!/usr/bin/env node
// A language server with one scripted answer, for what the editors do with answers: popups,
// ranges, alternatives, deaths. The scenarios with the model use the real caretd.
//
// SCRIPT is JSON: { items: [...] } returned by every textDocument/inlineCompletion with `$line`
// replaced by the position's line, `$character` by its character; `status` is notified at start;
// `starting` and `ending` are milliseconds that it takes to answer `initialize` and to end.
// SCRIPT_LOG receives a line of JSON for every message, and for the process's start and end.
import fs from 'node:fs';

import { frame, frameReader } from './frames.mjs';

if (process.argv.includes('--version')) {
  console.log('caretd 0.1.0 (scripted)');
  process.exit(0);
}
const script = JSON.parse(process.env.SCRIPT ?? '{"items":[]}');
const log = (entry) => {
  if (process.env.SCRIPT_LOG) fs.appendFileSync(process.env.SCRIPT_LOG, JSON.stringify(entry) + '\n');
};

const send = (message) => process.stdout.write(frame(message));

function itemsAt({ line, character }) {
  const text = JSON.stringify(script.items)
    .replaceAll('"$line"', String(line))
    .replaceAll(/"\$character([+-]\d+)?"/g, (_, offset) => String(character + Number(offset ?? 0)));
  return JSON.parse(text);
}

const answers = {
  initialize: () => ({
    capabilities: {
      positionEncoding: 'utf-16',
      textDocumentSync: { openClose: true, change: 2 },
      inlineCompletionProvider: true,
      executeCommandProvider: { commands: ['caretd.accepted'] },
    },
    serverInfo: { name: 'caretd', version: '0.1.0' },
  }),
  'textDocument/inlineCompletion': ({ position }) => ({ items: itemsAt(position) }),
  'caretd/status': () => script.status ?? { state: 'ready', model: 'scripted', device: 'none' },
  'caretd/stats': () => ({ shown: 1 }),
  'caretd/why': () => ({ source: 'model' }),
  'caretd/setEnabled': () => null,
  'workspace/executeCommand': () => null,
  shutdown: () => null,
};

function end() {
  log({ method: '$end', pid: process.pid });
  process.exit(0);
}

function respond({ id, method, params }) {
  const answer = answers[method];
  if (answer) send({ id, result: answer(params) });
  else send({ id, error: { code: -32601, message: `no ${method}` } });
}

function handle(message) {
  const { method, params, id, result } = message;
  log(method ? { method, params } : { answer: id, result });
  if (message.method === 'exit') setTimeout(end, script.ending ?? 0);
  if (message.method === 'initialized' && script.status) {
    send({ method: 'caretd/status', params: script.status });
  }
  if (message.method === 'initialized') {
    // The answer, which has no method, is in the log like everything else.
    const items = [{ section: 'caretd' }];
    send({ id: 'configuration', method: 'workspace/configuration', params: { items } });
  }
  if (message.id === undefined || message.method === undefined) return;
  if (method === 'initialize' && script.starting) setTimeout(() => respond(message), script.starting);
  else respond(message);
}

process.stdin.on('data', frameReader(handle));
process.stdin.on('end', () => setTimeout(end, script.ending ?? 0));
process.on('SIGTERM', end);
log({ method: '$start', pid: process.pid, script: { starting: script.starting, ending: script.ending } });
