#!/usr/bin/env node
// A language server with one scripted answer, for what the editors do with answers: popups,
// ranges, alternatives, deaths. The scenarios with the model use the real caretd.
//
// SCRIPT is JSON: { items: [...] } returned by every textDocument/inlineCompletion with `$line`
// replaced by the position's line, `$character` by its character; `status` is notified at start.
// SCRIPT_LOG receives a line of JSON for every message.
import fs from 'node:fs';

if (process.argv.includes('--version')) {
  console.log('caretd 0.1.0 (scripted)');
  process.exit(0);
}
const script = JSON.parse(process.env.SCRIPT ?? '{"items":[]}');
const log = (entry) => {
  if (process.env.SCRIPT_LOG) fs.appendFileSync(process.env.SCRIPT_LOG, JSON.stringify(entry) + '\n');
};

function send(message) {
  const body = Buffer.from(JSON.stringify({ jsonrpc: '2.0', ...message }));
  process.stdout.write(`Content-Length: ${body.length}\r\n\r\n`);
  process.stdout.write(body);
}

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
  'caretd/setEnabled': () => null,
  'workspace/executeCommand': () => null,
  shutdown: () => null,
};

function handle(message) {
  log({ method: message.method, params: message.params });
  if (message.method === 'exit') process.exit(0);
  if (message.method === 'initialized' && script.status) {
    send({ method: 'caretd/status', params: script.status });
  }
  if (message.id === undefined || message.method === undefined) return;
  const answer = answers[message.method];
  if (answer) send({ id: message.id, result: answer(message.params) });
  else send({ id: message.id, error: { code: -32601, message: `no ${message.method}` } });
}

let buffered = Buffer.alloc(0);
process.stdin.on('data', (data) => {
  buffered = Buffer.concat([buffered, data]);
  for (;;) {
    const end = buffered.indexOf('\r\n\r\n');
    if (end < 0) return;
    const length = Number(/Content-Length: (\d+)/i.exec(buffered.subarray(0, end))[1]);
    if (buffered.length < end + 4 + length) return;
    const body = buffered.subarray(end + 4, end + 4 + length);
    buffered = buffered.subarray(end + 4 + length);
    handle(JSON.parse(body));
  }
});
process.stdin.on('end', () => process.exit(0));
log({ method: '$start', pid: process.pid });
