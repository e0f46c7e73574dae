#!/usr/bin/env node
// A language server with a scripted chat and scripted code actions, for what the editors do with
// them. SCRIPT is JSON, or SCRIPT_FILE a file of it that is read at each request: `pieces` of every
// reply, sent every `milliseconds` (0: at once), an `opening`, an `error` instead of a result,
// `actions` of every textDocument/codeAction and the `edit` that resolving one gives (an object, or a
// string: the sentence it fails with) or a command has applied, or the command's `result`. In actions and
// edits "$uri" and "$version" stand for those of the document. SCRIPT_LOG receives a line of JSON for every message.
import fs from 'node:fs';

import { frame, frameReader } from './frames.mjs';

if (process.argv.includes('--version')) {
  console.log('caretd 0.1.0 (scripted)');
  process.exit(0);
}
const given = () =>
  process.env.SCRIPT_FILE ? fs.readFileSync(process.env.SCRIPT_FILE, 'utf8') : process.env.SCRIPT ?? '{}';
const read = () => ({ pieces: [], milliseconds: 0, actions: [], ...JSON.parse(given()) });
let script = read();
const commands = ['caretd.explain', 'caretd.writeTests', 'caretd.refactor'];
const running = new Map();
const applying = new Map(); // requests of the client that wait for its own answer
let asked = 0;
const document = { uri: '', version: 0 };

const log = (entry) => {
  if (process.env.SCRIPT_LOG) fs.appendFileSync(process.env.SCRIPT_LOG, `${JSON.stringify(entry)}\n`);
};

const send = (message) => process.stdout.write(frame(message));

const filled = (value) =>
  JSON.parse(
    JSON.stringify(value)
      .replaceAll('"$version"', String(document.version))
      .replaceAll('$uri', document.uri),
  );

const fail = (id, code, message) => send({ id, error: { code, message } });

/** Streams the pieces, then answers. */
function chat(id, token) {
  const opening = {
    conversationId: 'chat-1', context: [], promptTokens: 10, messagesLeftOut: 0, ...filled(script.opening ?? {}),
  };
  const progress = (value) => send({ method: '$/progress', params: { token, value } });
  progress(opening);
  const { pieces, error } = script;
  let sent = 0;
  const end = () => {
    clearInterval(running.get(id));
    running.delete(id);
    if (error) return fail(id, -32803, error);
    return send({ id, result: { ...opening, content: pieces.join(''), finishReason: 'end' } });
  };
  const one = () => {
    if (sent === pieces.length) return end();
    return progress({ content: pieces[sent++] });
  };
  if (script.milliseconds > 0) running.set(id, setInterval(one, script.milliseconds));
  else for (let step = 0; step <= pieces.length; ++step) one();
}

const answers = {
  initialize: () => ({
    capabilities: {
      positionEncoding: 'utf-16',
      textDocumentSync: { openClose: true, change: 2 },
      codeActionProvider: { codeActionKinds: ['quickfix', 'refactor.rewrite', 'source'], resolveProvider: true },
      executeCommandProvider: { commands },
    },
    serverInfo: { name: 'caretd', version: '0.1.0' },
  }),
  'caretd/status': () => ({ state: 'ready', model: 'scripted', device: 'none' }),
  'caretd/setEnabled': () => null,
  'textDocument/codeAction': () => filled(script.actions),
  shutdown: () => null,
};

function resolve(id, action) {
  if (action.command) return send({ id, result: action });
  const edit = filled(script.edit ?? 'there is no edit');
  if (typeof edit === 'string') return fail(id, -32803, edit);
  return send({ id, result: { ...action, edit } });
}

/** What a command does that edits: asks the client to, and answers as it was answered. */
function apply(id, title) {
  const own = `apply-${++asked}`;
  applying.set(own, id);
  send({ id: own, method: 'workspace/applyEdit', params: { label: title, edit: filled(script.edit) } });
}

function handle({ id, method, params, result }) {
  log({ method, params, result });
  if (method === undefined && applying.has(id)) send({ id: applying.get(id), result });
  if (method === 'exit') process.exit(0);
  if (method === 'initialized') send({ method: 'caretd/status', params: answers['caretd/status']() });
  if (method === 'textDocument/didOpen' || method === 'textDocument/didChange') {
    Object.assign(document, { uri: params.textDocument.uri, version: params.textDocument.version });
  }
  if (method === '$/cancelRequest' && running.has(params.id)) {
    clearInterval(running.get(params.id));
    running.delete(params.id);
    fail(params.id, -32800, 'The request was cancelled.');
  }
  if (id === undefined || method === undefined) return;
  script = read();
  if (method === 'caretd/chat') chat(id, params.partialResultToken);
  else if (method === 'workspace/executeCommand') {
    if (params.command === 'caretd.explain') chat(id, params.arguments[0].partialResultToken);
    else if (script.edit) apply(id, params.command);
    else send({ id, result: script.result ?? { applied: true } });
  } else if (method === 'codeAction/resolve') resolve(id, params);
  else if (answers[method]) send({ id, result: answers[method](params) });
  else fail(id, -32601, `no ${method}`);
}

process.stdin.on('data', frameReader(handle));
process.stdin.on('end', () => process.exit(0));
log({ method: '$start', pid: process.pid });
