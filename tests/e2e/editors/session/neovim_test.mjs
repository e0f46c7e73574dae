// Minutes of typing in Neovim with the real caretd: no message, no line in a log.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { cache, recordedCaretd } from '../helpers.mjs';
import { Neovim } from '../neovim/nvim.mjs';
import { assertQuiet, Recording } from '../recording.mjs';
import { files, minutes, work } from './typist.mjs';

const program = process.env.NVIM ?? path.join(cache, 'neovim-0.12/bin/nvim');

function typistOf(nvim) {
  const keys = (...names) => nvim.press(...names);
  return {
    type: (text) => nvim.type(text),
    press: (name) => keys({ Backspace: 'BSpace' }[name] ?? name),
    newLine: () => keys('End', 'Enter'),
    acceptAll: () => keys('Tab'),
    acceptWord: () => keys('M-Right'),
    undo: () => keys('Escape', 'u', 'A'),
    save: () => { keys('Escape'); nvim.command('silent write'); keys('A'); },
    openFile: (name) => { keys('Escape'); nvim.command(`silent edit ${name}`); keys('G', 'A'); },
    suggests: () => nvim.ghost() !== undefined,
  };
}

function noisyLines(file, pattern) {
  if (!fs.existsSync(file)) return [];
  return fs.readFileSync(file, 'utf8').split('\n').filter((line) => pattern.test(line));
}

test(`${minutes} minutes in Neovim without a message or a line in a log`, async (t) => {
  const nvim = new Neovim(program, { files });
  t.after(() => nvim.close());
  const recording = new Recording(path.join(nvim.folder, 'lsp.log'));
  const command = recordedCaretd(recording.file).map((word) => `'${word}'`).join(', ');
  nvim.configure(`{ cmd = { ${command} } }`);
  await nvim.open('client.py');
  await nvim.waitForReady();
  const { keys, accepted } = await work(typistOf(nvim));
  nvim.press('Escape');
  const asked = recording.suggestions().length;
  t.diagnostic(`${keys} keys, ${asked} requests, ${accepted} suggestions taken`);
  assertQuiet(recording);
  assert.equal(nvim.lua('vim.v.errmsg'), '');
  // Neovim itself reports what an undo took back.
  const messages = nvim.lua("vim.fn.execute('messages')").trim().split('\n');
  assert.deepEqual(messages.filter((line) => line && !/; (before|after) #\d+ /.test(line)), []);
  const state = path.join(nvim.folder, '.local/state');
  assert.deepEqual(noisyLines(path.join(state, 'nvim/lsp.log'), /\[(ERROR|WARN)\]/), []);
  assert.deepEqual(noisyLines(path.join(state, 'caretd/daemon.log'), / (error|warning) /), []);
  assert.ok(keys > 50 * minutes && accepted >= minutes / 2, 'the session did too little');
});
