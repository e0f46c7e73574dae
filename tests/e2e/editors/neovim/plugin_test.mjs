// The plugin against scripted answers: what is drawn, kept, accepted and undone.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { cache, messages, scriptedServer, waitFor } from '../helpers.mjs';
import { Neovim } from './nvim.mjs';

const program = process.env.NVIM ?? path.join(cache, 'neovim-0.12/bin/nvim');
const here = { line: '$line', character: '$character' };
const fromLineStart = (insertText) => ({
  insertText,
  range: { start: { line: '$line', character: 0 }, end: here },
});
const atCursor = (insertText, extra = {}) => ({
  insertText,
  range: { start: here, end: here },
  ...extra,
});

async function open(t, items, options = {}) {
  const nvim = new Neovim(program, {
    files: { 'a.py': 'x = foo()\n', ...options.files },
    setup: options.setup ?? `{ cmd = { 'node', '${scriptedServer}' } }`,
    init: options.init,
    environment: { SCRIPT: JSON.stringify({ items, status: { state: 'ready' } }), ...options.environment },
  });
  nvim.log = path.join(nvim.folder, 'server.log');
  nvim.environment.SCRIPT_LOG = nvim.log;
  t.after(() => nvim.close());
  await nvim.open('a.py');
  await waitFor('didOpen', () => messages(nvim.log).some((m) => m.method === 'textDocument/didOpen'));
  return nvim;
}

test('grey text at the end of a line, accepted whole, undone in one step', async (t) => {
  const nvim = await open(t, [atCursor('return a + b\n    # next', {
    command: { title: 'accepted', command: 'caretd.accepted', arguments: ['id-1'] },
  })]);
  nvim.type('o');
  const ghost = await nvim.waitForGhost();
  assert.deepEqual(ghost, { row: 1, column: 0, lines: ['return a + b', '    # next'] });
  await nvim.waitForScreen('return a + b\n    # next');
  nvim.press('Tab');
  await waitFor('acceptance', () => nvim.lines()?.length === 3);
  assert.deepEqual(nvim.lines(), ['x = foo()', 'return a + b', '    # next']);
  await waitFor('the command', () =>
    messages(nvim.log).some((m) => m.method === 'workspace/executeCommand'));
  nvim.press('Escape');
  await waitFor('normal mode', () => nvim.mode() === 'n');
  await nvim.waitForNoGhost();
  nvim.type('u');
  await waitFor('undo', () => nvim.lines()?.length === 2);
  assert.deepEqual(nvim.lines(), ['x = foo()', '']);
});

test('accept by word and by line keeps the rest', async (t) => {
  const nvim = await open(t, [fromLineStart('alpha beta(gamma)\nsecond')]);
  nvim.type('o');
  await nvim.waitForGhost();
  nvim.lua("require('caretd').accept_word()");
  await waitFor('the word', () => nvim.lines()?.[1] === 'alpha');
  await nvim.waitForGhost(({ lines }) => lines.join('\n') === ' beta(gamma)\nsecond');
  nvim.lua("require('caretd').accept_line()");
  await waitFor('the line', () => nvim.lines()?.[1] === 'alpha beta(gamma)');
});

test('grey text inside a line; a replaced closer is not drawn twice', async (t) => {
  const nvim = await open(t, [{
    insertText: 'value)',
    range: { start: here, end: { line: '$line', character: '$character+1' } },
  }]);
  nvim.type('$i');
  const ghost = await nvim.waitForGhost();
  assert.deepEqual(ghost, { row: 0, column: 8, lines: ['value'] });
  nvim.press('Tab');
  await waitFor('acceptance', () => nvim.lines()?.[0] === 'x = foo(value)');
});

test('typing what is suggested keeps the grey text; typing else removes it', async (t) => {
  const nvim = await open(t, [fromLineStart('hello')]);
  nvim.type('o');
  await nvim.waitForGhost();
  nvim.type('he');
  await waitFor('the rest', () => nvim.ghost()?.lines[0] === 'llo');
  nvim.type('x');
  await nvim.waitForNoGhost();
});

// By the key: the modes in which no grey text belongs on the screen.
for (const [name, keys] of Object.entries({ 'Ctrl-C': ['C-c'], 'Replace mode': ['IC'], 'Ctrl-O': ['C-o', 'v'] })) {
  test(`grey text goes with insert mode: ${name}`, async (t) => {
    const nvim = await open(t, [atCursor('hello')]);
    nvim.type('o');
    await nvim.waitForGhost();
    nvim.press(...keys);
    await waitFor('another mode', () => ![undefined, 'i'].includes(nvim.mode()));
    await nvim.waitForNoGhost();
    assert.equal(nvim.lua("require('caretd').visible() == false"), true);
  });
}

test('line ends of DOS in a suggestion are line ends', async (t) => {
  const nvim = await open(t, [atCursor('one()\r\ntwo()\r\n')]);
  nvim.type('o');
  await nvim.waitForGhost(({ lines }) => lines[0] === 'one()' && lines[1] === 'two()');
  nvim.press('Tab');
  await waitFor('acceptance', () => nvim.lines()?.length === 4);
  assert.deepEqual(nvim.lines(), ['x = foo()', 'one()', 'two()', '']);
});

test('alternatives are cycled', async (t) => {
  const nvim = await open(t, [atCursor('first'), atCursor('second')]);
  nvim.type('o');
  await nvim.waitForGhost();
  nvim.lua("require('caretd').next()");
  await nvim.waitForGhost(({ lines }) => lines[0] === 'second');
  nvim.lua("require('caretd').previous()");
  await nvim.waitForGhost(({ lines }) => lines[0] === 'first');
  nvim.lua("require('caretd').dismiss()");
  await nvim.waitForNoGhost();
});

test('switched off for a filetype, a buffer, and back on', async (t) => {
  const nvim = await open(t, [atCursor('text')], {
    setup: `{ cmd = { 'node', '${scriptedServer}' }, filetypes = { python = false } }`,
  });
  nvim.type('ox');
  await waitFor('the typed text', () => nvim.lines()?.[1] === 'x');
  assert.equal(nvim.ghost(), undefined);
  assert.ok(!messages(nvim.log).some((m) => m.method === 'textDocument/inlineCompletion'));
  nvim.lua('(function() vim.b.caretd_enabled = true end)()');
  nvim.type('y');
  await nvim.waitForGhost();
});

test('the completion popup keeps its keys', async (t) => {
  const nvim = await open(t, [atCursor('ghost')], { files: { 'a.py': 'import_one import_two\n' } });
  nvim.type('oimp');
  await nvim.waitForGhost();
  nvim.press('C-n');
  await waitFor('the popup', () => nvim.lua('vim.fn.pumvisible()') === 1);
  nvim.press('Tab');
  await waitFor('the popup to take the key', () => nvim.lua('vim.fn.pumvisible()') === 0);
  assert.doesNotMatch(nvim.lines()[1], /ghost/);
});

// What the plugin asks of other popups, as they answer it.
const popups = {
  'nvim-cmp': (entry) => `package.loaded['cmp'] = { get_active_entry = function() return ${entry} end }`,
  'blink.cmp': (entry) => `package.loaded['blink.cmp'] = {
    is_visible = function() return true end, get_selected_item = function() return ${entry} end,
  }`,
};
for (const [name, popup] of Object.entries(popups)) {
  test(`a selected entry of ${name} keeps the keys, one that is only shown does not`, async (t) => {
    const nvim = await open(t, [atCursor('return a')], { init: popup('vim.g.entry') });
    nvim.lua("vim.api.nvim_set_var('entry', 'selected')");
    nvim.type('o');
    await nvim.waitForGhost();
    nvim.press('Tab');
    await waitFor('a Tab', () => /^\s+$/.test(nvim.lines()?.[1] ?? ''));
    nvim.lua("vim.api.nvim_del_var('entry')");
    await nvim.waitForGhost();
    nvim.press('Tab');
    await waitFor('acceptance', () => /^\s+return a$/.test(nvim.lines()?.[1] ?? ''));
  });
}

test('Tab means Tab when nothing is suggested', async (t) => {
  const nvim = await open(t, []);
  // At one stroke: what is typed meanwhile stays behind the tab.
  nvim.press('o', 'Tab', 'x');
  await waitFor('a tab', () => /^\s+x$/.test(nvim.lines()?.[1] ?? ''));
});

test('withdrawing what is answered already leaves no trace', async (t) => {
  const nvim = await open(t, []);
  nvim.lua(`(function()
    local function answered() vim.g.answered = true end
    withdraw = require('caretd.client').request('caretd/stats', vim.empty_dict(), answered, 0)
  end)()`);
  await waitFor('the answer', () => nvim.lua('vim.g.answered') === true);
  nvim.lua('withdraw()');
  const log = nvim.lua("require('vim.lsp.log').get_filename()");
  assert.doesNotMatch(fs.existsSync(log) ? fs.readFileSync(log, 'utf8') : '', /\[ERROR\]/);
  nvim.lua("require('caretd.client').notify('caretd/last', vim.empty_dict())");
  await waitFor('what was sent after it', () => messages(nvim.log).some((m) => m.method === 'caretd/last'));
  assert.ok(!messages(nvim.log).some((m) => m.method === '$/cancelRequest'));
});

test('a server that is killed comes back and is told the text', async (t) => {
  const nvim = await open(t, [atCursor('again')]);
  const { pid } = messages(nvim.log).find((m) => m.method === '$start');
  process.kill(pid, 'SIGKILL');
  await waitFor('a second start', () =>
    messages(nvim.log).filter((m) => m.method === 'textDocument/didOpen').length === 2);
  nvim.type('o');
  assert.equal((await nvim.waitForGhost()).lines[0], 'again');
});

test('the statusline follows the state without a key', async (t) => {
  const nvim = await open(t, [], {
    init: `vim.o.laststatus = 2
      vim.o.statusline = "%{v:lua.require'caretd'.statusline()}"`,
  });
  await nvim.waitForReady();
  await nvim.waitForScreen('● caretd');
});

test('a missing program is a failed state with a reason', async (t) => {
  const nvim = new Neovim(program, {
    files: { 'a.py': '' },
    setup: "{ cmd = { '/nonexistent/caretd', 'lsp' } }",
  });
  t.after(() => nvim.close());
  await nvim.open('a.py');
  await waitFor('the failed state', () =>
    nvim.lua("require('caretd.client').status.state") === 'failed');
  assert.match(nvim.lua("require('caretd').statusline()"), /✗/);
  assert.match(nvim.lua("require('caretd.client').problem()"), /not a program/);
});
