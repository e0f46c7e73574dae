// The server's process under VS Code: one at a time, whatever asks for another and however long it takes.
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { extension, messages, scriptedServer, waitFor } from '../helpers.mjs';
import { Code } from './code.mjs';

const status = { state: 'ready', model: 'scripted', device: 'none' };
const ready = /ready: scripted on none/;

let code;
let window;
let log;

/** Settings that start the scripted server with a script of its own. */
const settings = (script) => ({
  'caretd.command': ['env', `SCRIPT=${JSON.stringify({ items: [], status, ...script })}`,
    process.execPath, scriptedServer],
});

before(async () => {
  code = new Code({ vsix: extension, files: { 'a.py': 'x = 1\n' }, settings: settings({}) });
  log = path.join(code.folder, 'server.log');
  code.environment.SCRIPT_LOG = log;
  await code.start();
  window = await code.open('a.py');
  await window.waitForStatus(ready);
  await window.focusEditor();
});

after(async () => code?.close());

const received = (method) => messages(log).filter((message) => message.method === method);

function isAlive({ pid }) {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

const starts = () => received('$start');
const lives = (from = 0) => messages(log).slice(from).map(({ method }) => method)
  .filter((method) => /^\$(start|end)$/.test(method));

/** Waits until the only server is one with such a script that was started after `before` others, and ready. */
async function alone(script, before = 0) {
  await waitFor(`only a server with ${JSON.stringify(script)}`, () => {
    const [only, ...others] = starts().filter(isAlive);
    return only && others.length === 0 && starts().length > before && starts().at(-1).pid === only.pid &&
      JSON.stringify(only.script) === JSON.stringify(script);
  }, undefined, () => starts().filter(isAlive));
  await waitFor('it to be ready', () => {
    const all = messages(log).map(({ method }) => method);
    return all.lastIndexOf('initialized') > all.lastIndexOf('$start');
  });
  await window.waitForStatus(ready);
}

async function use(script) {
  code.applySettings(settings(script));
  await alone(script);
}

/** Makes a server be started that does not come up. */
async function hang() {
  const asked = received('initialize').length;
  code.applySettings(settings({ starting: 600000 }));
  await waitFor('a start that hangs', () => received('initialize').length > asked);
}

const toasts = () =>
  window.page.locator('.notification-toast .notification-list-item-message').allTextContents();
const restart = () => window.command('caretd: Restart');

test('a change of the settings while a server starts replaces it', async () => {
  await hang();
  await use({ starting: 1 });
});

test('restarts in a row leave one server, each started when the one before has ended', async () => {
  const script = { ending: 600 };
  await use(script);
  const [from, before] = [messages(log).length, starts().length];
  await restart();
  await restart();
  await alone(script, before);
  const seen = lives(from);
  assert.deepEqual(seen, seen.map((_, at) => (at % 2 === 0 ? '$end' : '$start')));
});

test('a server that does not end by itself is ended', async () => {
  const script = { ending: 600000 };
  await use(script);
  const before = starts().length;
  await restart();
  await alone(script, before);
});

test('a restart during the pause after a death is none of the failures that are told', async () => {
  await use({});
  for (let death = 0; death < 6; ++death) {
    const before = starts().length;
    process.kill(starts().at(-1).pid, 'SIGKILL');
    if (death < 5) await alone({}, before);
  }
  const before = starts().length;
  await restart();
  await alone({}, before);
  // The pause, which nothing tells the end of.
  await sleep(2500);
  assert.deepEqual(await toasts(), []);
  assert.equal(starts().length, before + 1);
});

test('a failure is told once, by a sentence with what may help', async () => {
  const failures = {
    'caretd did not start: .*ENOENT': ['/nonexistent/caretd', 'lsp'],
    'Something else than caretd writes to its output': ['sh', '-c', 'echo Welcome; exec cat'],
    'caretd ended again and again; its log says why': ['false'],
  };
  for (const [reason, command] of Object.entries(failures)) {
    code.applySettings({ 'caretd.command': command });
    await window.waitForStatus(new RegExp(reason));
    await window.page.locator('.notification-toast .monaco-button', { hasText: 'Show Log' }).waitFor();
    const told = await toasts();
    assert.equal(told.length, 1, told.join());
    assert.match(told[0], new RegExp(reason));
    await window.command('Notifications: Clear All Notifications');
    await waitFor('no notification', async () => (await toasts()).length === 0);
  }
  await use({});
});

test('a window that goes while a server starts leaves none', async () => {
  await hang();
  const before = starts().length;
  code.applySettings(settings({ starting: 1 }));
  await window.page.goto('about:blank');
  await waitFor('the end of all', () => starts().filter(isAlive).length === 0, undefined, () =>
    starts().filter(isAlive));
  assert.ok(starts().length <= before + 1);
});
