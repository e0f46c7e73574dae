// Minutes of typing in VS Code with the real caretd: no notification, no line in a log.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { extension, recordedCaretd, waitFor } from '../helpers.mjs';
import { assertQuiet, Recording } from '../recording.mjs';
import { Code } from '../vscode/code.mjs';
import { files, minutes, work } from './typist.mjs';

let code;
let window;
let recording;

before(async () => {
  code = new Code({ vsix: extension, files });
  recording = new Recording(path.join(code.folder, 'lsp.log'));
  code.applySettings({ 'caretd.command': recordedCaretd(recording.file) });
  await code.start();
  window = await code.open('client.py');
  await waitFor('caretd to be ready', async () => /ready: tiny on/.test(await window.status()), 180000);
});

after(async () => code?.close());

function typist() {
  const press = (key) => window.keyboard.press(key);
  return {
    type: (text) => window.keyboard.type(text),
    press: (name) => press({ Up: 'ArrowUp', Down: 'ArrowDown' }[name] ?? name),
    newLine: async () => { await press('Escape'); await press('End'); await press('Enter'); },
    acceptAll: () => press('Tab'),
    acceptWord: () => press('Control+ArrowRight'),
    undo: () => press('Control+z'),
    save: () => window.save(),
    openFile: async (name) => { await window.openFile(name); await press('Control+End'); },
    suggests: async () => (await window.ghost()) !== undefined,
  };
}

/** What the extension wrote to its log as a warning or an error. */
function noisyLines() {
  return fs.readdirSync(path.join(code.folder, 'data/logs'), { recursive: true })
    .filter((name) => /caretd.*\.log$/.test(name))
    .flatMap((name) => fs.readFileSync(path.join(code.folder, 'data/logs', name), 'utf8').split('\n'))
    .filter((line) => /\[(error|warning)\]/.test(line));
}

test(`${minutes} minutes in VS Code without a notification or a line in a log`, async (t) => {
  await window.page.evaluate(() => {
    window.caretdToasts = [];
    new MutationObserver(() => {
      const toast = document.querySelector('.notification-toast .notification-list-item-message');
      if (toast) window.caretdToasts.push(toast.textContent);
    }).observe(document.body, { subtree: true, childList: true });
  });
  const { keys, accepted } = await work(typist());
  const asked = recording.suggestions().length;
  t.diagnostic(`${keys} keys, ${asked} requests, ${accepted} suggestions taken`);
  assertQuiet(recording);
  // VS Code's own TypeScript extension misses its server, which install.sh leaves out.
  const toasts = await window.page.evaluate(() => window.caretdToasts);
  assert.deepEqual(toasts.filter((text) => !text.includes('tsserver')), []);
  assert.deepEqual(noisyLines(), []);
  assert.ok(keys > 50 * minutes && accepted >= minutes / 2, 'the session did too little');
});
