// The extension with the real caretd and the embedded model: a complete scenario in one window.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { caretd, images, root, waitFor } from '../helpers.mjs';
import { samples } from '../samples.mjs';
import { Code } from './code.mjs';

const vsix = process.env.VSIX ?? path.join(root, 'build/editors/caretd.vsix');

let code;

before(async () => {
  code = new Code({
    vsix,
    files: Object.fromEntries(Object.values(samples).map(({ name, text }) => [name, text])),
    settings: { 'caretd.command': [caretd, 'lsp', '--standalone'] },
  });
  await code.start();
});

after(async () => code?.close());

async function openReady(file) {
  const window = await code.open(file);
  await waitFor('caretd to be ready', async () => /ready: tiny on/.test(await window.status()), 60000);
  await window.focusEditor();
  return window;
}

async function typeAtEndOf(window, sample) {
  await window.goTo(sample.line, 200);
  await window.keyboard.type(sample.typed, { delay: 40 });
  return waitFor(`grey text that begins with ${sample.expected}`, async () => {
    const ghost = await window.ghost();
    return ghost?.[0].startsWith(sample.expected.trimEnd()) && ghost;
  });
}

for (const [language, sample] of Object.entries(samples)) {
  test(`${language}: grey text from the embedded model, taken with Tab, undone`, async () => {
    const window = await openReady(sample.name);
    const ghost = await typeAtEndOf(window, sample);
    if (language === 'python' && process.env.UPDATE_IMAGES) {
      fs.mkdirSync(images, { recursive: true });
      await window.page.screenshot({ path: path.join(images, 'vscode.png') });
    }
    await window.keyboard.press('Tab');
    await window.save();
    const line = () => code.read(sample.name).split('\n')[sample.line - 1];
    const before = sample.text.split('\n')[sample.line - 1];
    await waitFor('the accepted line', () => line() === before + sample.typed + ghost[0]);
    await window.keyboard.press('Control+z');
    await window.save();
    await waitFor('undo', () => line() !== before + sample.typed + ghost[0]);
    await window.page.context().close();
  });
}

test('switched off for a language: no grey text; two windows at once', async () => {
  const python = await openReady('a.py');
  const go = await openReady('a.go');
  await python.command('caretd: Toggle Completions for This Language');
  await python.focusEditor();
  await python.goTo(samples.python.line, 200);
  await python.keyboard.type('x');
  await typeAtEndOf(go, samples.go);
  assert.equal(await python.ghost(), undefined);
});
