// The plugin with the real caretd and the embedded model.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { cache, caretd, percentile, waitFor } from '../helpers.mjs';
import { samples } from '../samples.mjs';
import { Neovim } from './nvim.mjs';

const program = process.env.NVIM ?? path.join(cache, 'neovim-0.12/bin/nvim');

// Writes down when a key was typed, when the request left and came back, and when the grey text
// was drawn: vim.g.caretd_times is a list of { key, sent, received, drawn } in milliseconds.
const stopwatch = `
  vim.g.caretd_times = {}
  local now = function() return vim.uv.hrtime() / 1e6 end
  local run = {}
  vim.on_key(function() run = { key = now() } end)
  local client, ghost = require('caretd.client'), require('caretd.ghost')
  local request, show = client.request, ghost.show
  client.request = function(method, params, handler, buffer)
    if method ~= 'textDocument/inlineCompletion' then
      return request(method, params, handler, buffer)
    end
    local mine = run
    mine.sent = now()
    return request(method, params, function(...)
      mine.received = now()
      handler(...)
    end, buffer)
  end
  ghost.show = function(...)
    show(...)
    if run.received and not run.drawn then
      run.drawn = now()
      local all = vim.g.caretd_times
      table.insert(all, run)
      vim.g.caretd_times = all
    end
  end
`;

async function open(t, sample, options = {}) {
  const nvim = new Neovim(program, {
    files: { [sample.name]: sample.text, ...options.files },
    setup: options.setup ?? `{ cmd = { '${caretd}', 'lsp', '--standalone' } }`,
    init: stopwatch,
  });
  t.after(() => nvim.close());
  await nvim.open(sample.name);
  if (!options.setup) await nvim.waitForReady();
  return nvim;
}

async function typeAtEndOf(nvim, sample) {
  nvim.type(`${sample.line}GA${sample.typed}`);
  return waitFor(`grey text that begins with ${sample.expected}`, () => {
    const ghost = nvim.ghost();
    return ghost?.lines[0].startsWith(sample.expected) && ghost;
  });
}

for (const [language, sample] of Object.entries(samples)) {
  test(`${language}: grey text from the embedded model, taken with Tab, undone at once`, async (t) => {
    const nvim = await open(t, sample);
    const ghost = await typeAtEndOf(nvim, sample);
    if (language === 'python') fs.writeFileSync(path.join(nvim.folder, 'screen'), nvim.screen('-e'));
    nvim.press('Tab');
    const before = sample.text.split('\n')[sample.line - 1];
    const accepted = before + sample.typed + ghost.lines[0];
    await waitFor('the accepted line', () => nvim.lines()?.[sample.line - 1] === accepted);
    nvim.press('Escape');
    nvim.type('u');
    await waitFor('undo', () => nvim.lines()?.[sample.line - 1] === before + sample.typed);
  });
}

test('in the middle of a line, before a closing bracket', async (t) => {
  const sample = samples.python;
  const nvim = await open(t, { ...sample, text: sample.text.replace('return ', 'return dict()') });
  nvim.type(`${sample.line}G$i${sample.typed}`);
  const ghost = await nvim.waitForGhost();
  assert.equal(ghost.row, sample.line - 1);
  assert.equal(ghost.column, '        return dict(json.l'.length);
  nvim.press('Tab');
  await waitFor('the accepted line', () => /^ {8}return dict\(json\.load\(f\)\)$/
    .test(nvim.lines()?.[sample.line - 1]));
});

test('switched off for the language and on again', async (t) => {
  const sample = samples.python;
  const nvim = await open(t, sample);
  nvim.type(':Caretd toggle language');
  nvim.press('Enter');
  nvim.type(`${sample.line}GAjson`);
  await waitFor('the typed text', () => nvim.lines()?.[sample.line - 1].endsWith('json'));
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.equal(nvim.ghost(), undefined);
  nvim.press('Escape');
  nvim.type(':Caretd toggle language');
  nvim.press('Enter');
  nvim.type('A.l');
  await nvim.waitForGhost();
});

test('a broken model path: one message, no grey text, the editor works on', async (t) => {
  const sample = samples.python;
  const nvim = await open(t, sample, {
    setup: `{ cmd = { '${caretd}', '--model', '/nonexistent/model', 'lsp', '--standalone' } }`,
  });
  await waitFor('the failed state', () =>
    nvim.lua("require('caretd.client').status.state") === 'failed');
  assert.match(nvim.lua("require('caretd.client').status.reason"), /\/nonexistent\/model/);
  nvim.press('Enter');
  nvim.type(`${sample.line}GAx = 1`);
  await waitFor('the typed text', () => nvim.lines()?.[sample.line - 1].endsWith('x = 1'));
  assert.equal(nvim.ghost(), undefined);
});

test('the editor’s own share from key press to grey text is under 30 ms', async (t) => {
  const sample = samples.python;
  const nvim = await open(t, sample);
  nvim.type(`${sample.line}GA`);
  for (const character of 'json.load(f)') {
    nvim.type(character);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  const times = nvim.lua('vim.g.caretd_times');
  assert.ok(times.length >= 3, `grey text was drawn ${times.length} times`);
  const own = times.map((run) => run.drawn - run.key - (run.received - run.sent));
  const total = times.map((run) => run.drawn - run.key);
  t.diagnostic(`key to grey text p50 ${percentile(total, 0.5).toFixed(1)} ms, of it the editor ` +
    `p50 ${percentile(own, 0.5).toFixed(1)} ms, p90 ${percentile(own, 0.9).toFixed(1)} ms, ` +
    `${times.length} drawings`);
  assert.ok(percentile(own, 0.5) < 30);
});
