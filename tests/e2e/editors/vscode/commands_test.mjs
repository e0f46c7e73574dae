// What a user reaches by keys, the status bar's menu and commands, against scripted answers.
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { extension, messages, scriptedServer, waitFor } from '../helpers.mjs';
import { Code } from './code.mjs';

const atCursor = (insertText) => {
  const here = { line: '$line', character: '$character' };
  return { insertText, range: { start: here, end: here } };
};
const settings = {
  'caretd.command': [process.execPath, scriptedServer],
  'editor.quickSuggestions': { other: 'off', comments: 'off', strings: 'off' },
};
const status = {
  state: 'ready', model: 'scripted', device: 'none',
  completions: { enabled: true, inComments: true, disabledLanguages: ['python'], disabledDocuments: [] },
};

let code;
let window;
let log;

before(async () => {
  code = new Code({
    vsix: extension,
    files: { 'a.py': 'x = 1\n\ny = foo()\n' },
    settings,
    environment: {
      SCRIPT: JSON.stringify({ items: [atCursor('first(1)\nmore()'), atCursor('second(2)')], status }),
    },
  });
  code.writeKeybindings([
    { key: 'ctrl+alt+l', command: 'editor.action.inlineSuggest.acceptNextLine' },
  ]);
  log = path.join(code.folder, 'server.log');
  code.environment.SCRIPT_LOG = log;
  await code.start();
  window = await code.open('a.py');
  await window.waitForStatus(/ready: scripted on none/);
  await window.focusEditor();
});

after(async () => code?.close());

const received = (method) => messages(log).filter((message) => message.method === method);
const kinds = () => received('textDocument/inlineCompletion').map(({ params }) => params.context.triggerKind);
const firstLine = (text) => ([first]) => first === text;

test('alternatives are cycled, a line is accepted, a suggestion is asked for', async () => {
  await window.goTo(2, 1);
  await window.keyboard.type('a');
  await window.waitForGhost(firstLine('first(1)'));
  assert.ok(!kinds().includes(1), 'an alternative was asked for before a key said so');
  await window.keyboard.press('Alt+]');
  await window.waitForGhost(firstLine('second(2)'));
  await waitFor('the request for alternatives', () => kinds().includes(1));
  await window.keyboard.press('Alt+[');
  await window.waitForGhost(firstLine('first(1)'));
  await window.keyboard.press('Control+Alt+l');
  await window.saveUntil('the line', () => code.read('a.py').split('\n')[1] === 'afirst(1)');
  await window.keyboard.press('Escape');
  await window.waitForNoGhost();
  const asked = kinds().length;
  await window.command('Trigger Inline Suggestion');
  await waitFor('the request', () => kinds().slice(asked).includes(1));
  await window.waitForGhost(firstLine('first(1)'));
  await window.keyboard.press('Escape');
  await window.waitForNoGhost();
});

/** Opens the menu with a click on the status bar and chooses an entry. */
async function choose(entry) {
  const rows = window.page.locator('.quick-input-list .monaco-list-row');
  await window.page.locator('.statusbar-item[id*="caretd"] a').first().click();
  await rows.filter({ hasText: entry }).click();
  await rows.first().waitFor({ state: 'hidden' });
}

/** Waits for a report beside the file, and closes it. */
async function report(title, text) {
  const tab = window.page.locator('.tab', { hasText: title });
  await window.page.locator('.monaco-editor[data-uri^="caretd-report"]', { hasText: text }).waitFor();
  await tab.locator('.codicon-close').click();
  await tab.waitFor({ state: 'detached' });
  await window.focusEditor();
}

test('the menu of the status bar switches, counts and explains', async () => {
  const last = (params) => waitFor(JSON.stringify(params), () =>
    JSON.stringify(received('caretd/setEnabled').at(-1)?.params) === JSON.stringify(params),
  undefined, () => received('caretd/setEnabled').at(-1));
  await choose('Completions everywhere');
  await last({ scope: 'global', enabled: false });
  await choose('Completions in this file');
  await last({ scope: 'document', uri: `file://${code.workspace}/a.py`, enabled: false });
  await choose('Completions in comments');
  await last({ scope: 'comments', enabled: false });
  await choose('Completions in python files');
  await last({ scope: 'language', languageId: 'python', enabled: true });
  await choose('Statistics');
  await report('caretd statistics', 'shown: 1');
  await choose('Why this suggestion?');
  await report('Why this suggestion', 'source: model');
});

test('what was switched by hand is told to the server of a new window', async () => {
  const before = received('caretd/setEnabled').length;
  await window.page.reload();
  await window.waitForStatus(/ready: scripted on none/);
  const told = await waitFor('the switches', () => {
    const all = received('caretd/setEnabled').slice(before).map(({ params }) => params);
    return all.length >= 4 && all;
  });
  assert.deepEqual(told.map(({ scope, enabled }) => `${scope} ${enabled}`).sort(),
    ['comments false', 'document false', 'global false', 'language true']);
});

test('a missing program: one notification, with a button that opens the instructions', async () => {
  const toasts = window.page.locator('.notification-toast');
  code.applySettings({ ...settings, 'caretd.command': [], 'caretd.path': '/nonexistent/caretd' });
  await toasts.filter({ hasText: '/nonexistent/caretd, which is not a program' }).first().waitFor();
  await window.waitForStatus(/nonexistent/);
  assert.equal(await toasts.count(), 1);
  await choose('Statistics');
  await report('caretd statistics', '/nonexistent/caretd, which is not a program');
  await toasts.locator('.monaco-button', { hasText: 'How to Install' }).click();
  await window.page.locator('.tab', { hasText: 'Preview README.md' }).waitFor();
  code.applySettings(settings);
  await window.waitForStatus(/ready: scripted on none/);
});
