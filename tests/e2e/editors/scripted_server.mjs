#!/usr/bin/env node
// A language server with one scripted answer, for what the editors do with answers: popups,
// ranges, alternatives, deaths. The scenarios with the model use the real caretd.
//
// SCRIPT is JSON: { items: [...] } returned by every textDocument/inlineCompletion with `$line`
// replaced by the position's line, `$character` by its character; `status` is notified at start.
// SCRIPT_LOG receives a line of JSON for every message.
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

function handle(message) {
  const { method, params, id, result } = message;
  log(method ? { method, params } : { answer: id, result });
  if (message.method === 'exit') process.exit(0);
  if (message.method === 'initialized' && script.status) {
    send({ method: 'caretd/status', params: script.status });
  }
  if (message.method === 'initialized') {
    // The answer, which has no method, is in the log like everything else.
    const items = [{ section: 'caretd' }];
    send({ id: 'configuration', method: 'workspace/configuration', params: { items } });
  }
  if (message.id === undefined || message.method === undefined) return;
  const answer = answers[message.method];
  if (answer) send({ id: message.id, result: answer(message.params) });
  else send({ id: message.id, error: { code: -32601, message: `no ${message.method}` } });
}

process.stdin.on('data', frameReader(handle));
process.stdin.on('end', () => process.exit(0));
log({ method: '$start', pid: process.pid });
