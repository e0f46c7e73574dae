// :Caretd and its verbs, :checkhealth, :help, <Plug> maps, and the ways to install the plugin.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { cache, messages, root, scriptedServer, temporaryFolder, waitFor } from '../helpers.mjs';
import { Neovim } from './nvim.mjs';

const program = process.env.NVIM ?? path.join(cache, 'neovim-0.12/bin/nvim');
const here = { line: '$line', character: '$character' };
const items = [{ insertText: 'first()\nsecond()', range: { start: here, end: here } }];
const status = {
  state: 'ready', model: 'scripted', device: 'none',
  completions: { enabled: true, inComments: true, disabledLanguages: ['python'], disabledDocuments: [] },
};

async function open(t, options = {}) {
  const nvim = new Neovim(program, {
    files: { 'a.py': 'x = 1\n' },
    setup: `{ cmd = { 'node', '${scriptedServer}' } }`,
    environment: { SCRIPT: JSON.stringify({ items, status }) },
    ...options,
  });
  nvim.log = path.join(nvim.folder, 'server.log');
  nvim.environment.SCRIPT_LOG = nvim.log;
  t.after(() => nvim.close());
  await nvim.open('a.py');
  await nvim.waitForReady();
  return nvim;
}

const received = (nvim, method) => messages(nvim.log).filter((message) => message.method === method);

const waitForLines = (nvim, pattern) => waitFor(`lines like ${pattern}`, () =>
  pattern.test(nvim.lines()?.join('\n') ?? ''), undefined, () => nvim.lines());

test(':Caretd status, stats, why and log say what they should', async (t) => {
  const nvim = await open(t);
  assert.equal(nvim.lua("require('caretd').statusline()"), '○ caretd', 'python is switched off');
  nvim.command('new');
  await waitFor('another buffer', () => nvim.lua("require('caretd').statusline()") === '● caretd');
  nvim.command('quit');
  nvim.command('Caretd status');
  await waitFor('the state', () =>
    /caretd is ready \(scripted on none\)/.test(nvim.lua("vim.fn.execute('messages')") ?? ''));
  nvim.command('Caretd stats');
  await waitForLines(nvim, /^shown: 1$/);
  nvim.type('q');
  await waitForLines(nvim, /^x = 1$/);
  nvim.command('Caretd why');
  await waitForLines(nvim, /^source: model$/);
  nvim.type('q');
  await waitForLines(nvim, /^x = 1$/);
  nvim.command('Caretd log');
  await waitFor('the log', () => nvim.lua("vim.fn.expand('%:t')") === 'lsp.log');
});

test('what was switched by hand is told to a server that starts again', async (t) => {
  const nvim = await open(t);
  const last = (params) => waitFor(JSON.stringify(params), () => {
    const told = received(nvim, 'caretd/setEnabled').at(-1)?.params;
    return told?.scope === params.scope && told.enabled === params.enabled;
  }, undefined, () => received(nvim, 'caretd/setEnabled').at(-1));
  nvim.command('Caretd toggle');
  await last({ scope: 'global', enabled: false });
  nvim.command('Caretd toggle comments');
  await last({ scope: 'comments', enabled: false });
  nvim.command('Caretd toggle buffer');
  await last({ scope: 'document', enabled: false });
  nvim.command('Caretd toggle language');
  await last({ scope: 'language', enabled: true });
  nvim.command('Caretd restart');
  await waitFor('another server', () => received(nvim, '$start').length === 2);
  const told = await waitFor('the switches', () => {
    const all = received(nvim, 'caretd/setEnabled').slice(4).map(({ params }) => params);
    return all.length >= 4 && all;
  });
  assert.deepEqual(told.map(({ scope, enabled }) => `${scope} ${enabled}`).sort(),
    ['comments false', 'document false', 'global false', 'language true']);
});

test('a buffer that was switched off stays so when it is opened again', async (t) => {
  const nvim = await open(t);
  nvim.command('Caretd toggle buffer');
  await waitFor('the switch', () => received(nvim, 'caretd/setEnabled').length === 1);
  nvim.command('bdelete');
  await waitFor('the end of the buffer', () => received(nvim, 'textDocument/didClose').length === 1);
  nvim.command('edit a.py');
  await waitFor('the buffer', () => received(nvim, 'textDocument/didOpen').length === 2);
  const [first, second] = await waitFor('the switch again', () => {
    const told = received(nvim, 'caretd/setEnabled').map(({ params }) => params);
    return told.length === 2 && told;
  });
  assert.deepEqual(second, first);
});

test('a report keeps the order of lists and says where there is nothing', async (t) => {
  const nvim = await open(t);
  const lines = nvim.lua(`require('caretd.commands').to_lines({
    list = { 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j' }, nothing = vim.NIL })`);
  assert.deepEqual(lines, ['list:', ...Array.from('abcdefghij', (item, at) => `  ${at + 1}: ${item}`), 'nothing: none']);
});

test('keys of setup(): true is the default, a name that is none is reported', async (t) => {
  const setup = (keymaps) => `{ cmd = { 'node', '${scriptedServer}' }, keymaps = ${keymaps} }`;
  const nvim = await open(t, { setup: setup('true') });
  assert.equal(nvim.lua("vim.fn.maparg('<Tab>', 'i', false, true).desc"), 'caretd');
  assert.deepEqual(nvim.lua("require('caretd.config').problems({ keymaps = { acept = '<Tab>', next = 5 } })"),
    ["key 'next' of option 'keymaps' cannot be a number", "there is no key 'acept' in option 'keymaps'"]);
});

test('setup() again changes the keys and gives the old ones back', async (t) => {
  const nvim = await open(t, { init: "vim.keymap.set('i', '<Tab>', 'before')" });
  const again = (keymaps) => nvim.lua(`(function() require('caretd').setup({ keymaps = ${keymaps} }) end)()`);
  const meaning = (key) => nvim.lua(`{ vim.fn.maparg('${key}', 'i', false, true).desc or vim.fn.maparg('${key}', 'i') }`);
  assert.deepEqual(meaning('<Tab>'), ['caretd']);
  again("{ accept = '<F6>' }");
  assert.deepEqual([meaning('<Tab>'), meaning('<F6>'), meaning('<C-]>')], [['before'], ['caretd'], ['caretd']]);
  again('false');
  assert.deepEqual([meaning('<Tab>'), meaning('<F6>'), meaning('<C-]>')], [['before'], [''], ['']]);
  again('true');
  nvim.type('o');
  await nvim.waitForGhost();
  nvim.press('C-]');
  await nvim.waitForNoGhost();
  nvim.press('Tab');
  await waitForLines(nvim, /before$/);
});

test(':checkhealth caretd reports the program and the server', async (t) => {
  const nvim = await open(t);
  nvim.command('checkhealth caretd');
  await waitForLines(nvim, /started through node/);
  await waitForLines(nvim, /OK caretd is ready \(scripted on none\)/);
  assert.doesNotMatch(nvim.lines().join('\n'), /ERROR|WARNING/);
});

test('a <Plug> map takes the line', async (t) => {
  const nvim = await open(t, {
    init: "vim.keymap.set('i', '<F5>', '<Plug>(caretd-accept-line)')",
  });
  nvim.type('o');
  await nvim.waitForGhost();
  nvim.press('F5');
  await waitFor('the line', () => nvim.lines()?.[1] === 'first()');
  await nvim.waitForGhost(({ row }) => row === 1);
});

test('without a plugin manager, as the README says, :help included', async (t) => {
  const copy = temporaryFolder('plugin');
  t.after(() => fs.rmSync(copy, { recursive: true }));
  fs.cpSync(path.join(root, 'editors/neovim'), copy, { recursive: true });
  const nvim = await open(t, {
    load: `vim.opt.runtimepath:append('${copy}') vim.cmd.helptags('${copy}/doc')`,
  });
  nvim.command('help caretd');
  await waitFor('the help', () => nvim.lua("vim.fn.expand('%:t')") === 'caretd.txt');
});

/** A repository with the plugin where this one has it. */
function repository(folder) {
  fs.cpSync(path.join(root, 'editors/neovim'), path.join(folder, 'editors/neovim'), { recursive: true });
  const git = (...args) => {
    const user = ['-c', 'user.name=test', '-c', 'user.email=test@localhost', '-c', 'commit.gpgsign=false'];
    const { status: code, stderr } = spawnSync('git', ['-C', folder, ...user, ...args], { encoding: 'utf8' });
    assert.equal(code, 0, stderr);
  };
  git('init', '--quiet', '--initial-branch=main');
  git('add', '.');
  git('commit', '--quiet', '--message=plugin');
}

const is012 = !program.includes('0.10');

test('installed by vim.pack, as the README says', { skip: !is012 }, async (t) => {
  const source = temporaryFolder('repository');
  t.after(() => fs.rmSync(source, { recursive: true }));
  repository(source);
  const nvim = await open(t, {
    load: `vim.pack.add({ { src = 'file://${source}', name = 'caretd' } }, { confirm = false, load = function(plugin)
      vim.opt.runtimepath:append(plugin.path .. '/editors/neovim')
    end })`,
  });
  assert.match(nvim.lua("vim.api.nvim_get_runtime_file('lua/caretd/init.lua', false)[1]"), /pack\/core\/opt\/caretd/);
  nvim.type('o');
  await nvim.waitForGhost();
});

test('where vim.lsp.inline_completion is enabled, it draws', { skip: !is012 }, async (t) => {
  const nvim = await open(t, {
    init: `vim.api.nvim_create_autocmd('LspAttach', { callback = function(event)
      vim.lsp.inline_completion.enable(true, { bufnr = event.buf })
    end })`,
  });
  nvim.type('ox');
  await waitFor('the grey text of Neovim itself', () => nvim.lua(
    "#vim.api.nvim_buf_get_extmarks(0, vim.api.nvim_create_namespace('nvim.lsp.inline_completion'), 0, -1, {})") > 0);
  assert.equal(nvim.ghost(), undefined);
});
