// The server's process under Neovim: never two at once, whatever ends it and however long that takes.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { cache, messages, scriptedServer, waitFor } from '../helpers.mjs';
import { Neovim } from './nvim.mjs';

const program = process.env.NVIM ?? path.join(cache, 'neovim-0.12/bin/nvim');
const status = { state: 'ready', model: 'scripted', device: 'none' };

async function open(t, { script = {}, setup, ready = true, init, environment } = {}) {
  const nvim = new Neovim(program, {
    files: { 'a.py': 'x = 1\n', 'b.py': 'y = 2\n' },
    setup: setup ?? `{ cmd = { 'node', '${scriptedServer}' } }`,
    environment: { SCRIPT: JSON.stringify({ items: [], status, ...script }), ...environment },
    init,
  });
  nvim.log = path.join(nvim.folder, 'server.log');
  Object.assign(nvim.environment, { SCRIPT_LOG: nvim.log, DEATHS: path.join(nvim.folder, 'deaths') });
  t.after(() => nvim.close());
  await nvim.open('a.py');
  if (ready) await nvim.waitForReady();
  return nvim;
}

const received = (nvim, method) => messages(nvim.log).filter((message) => message.method === method);
const restart = (nvim) => nvim.lua("(function() require('caretd.client').restart() end)()");
const reason = (nvim) => nvim.lua("require('caretd.client').status.reason");

/** Starts and ends of processes, in their order. */
const lives = (nvim) => messages(nvim.log).map(({ method }) => method)
  .filter((method) => method === '$start' || method === '$end');

/** Waits until so many servers were started and the last is ready, and sees that each ended before the next. */
async function oneAtATime(nvim, starts) {
  await waitFor(`start ${starts}`, () => received(nvim, 'initialized').length === starts, undefined,
    () => lives(nvim));
  await nvim.waitForReady();
  const expected = Array.from({ length: starts }, () => ['$start', '$end']).flat().slice(0, -1);
  assert.deepEqual(lives(nvim), expected);
}

test('a restart waits for a server that takes long to end; more restarts meanwhile are one', async (t) => {
  const nvim = await open(t, { script: { ending: 700 } });
  restart(nvim);
  assert.equal(nvim.lua("require('caretd.client').status.state"), 'starting');
  restart(nvim);
  nvim.command('edit b.py');
  await oneAtATime(nvim, 2);
  restart(nvim);
  await oneAtATime(nvim, 3);
});

test('a server that does not end by itself is ended', async (t) => {
  const nvim = await open(t, { script: { ending: 600000 } });
  restart(nvim);
  await oneAtATime(nvim, 2);
});

test('a server that never came up is ended at once', async (t) => {
  const nvim = await open(t, { script: { starting: 600000 }, ready: false });
  await waitFor('the start', () => received(nvim, 'initialize').length === 1);
  restart(nvim);
  await waitFor('another', () => received(nvim, 'initialize').length === 2);
  assert.deepEqual(lives(nvim), ['$start', '$end', '$start']);
});

test('one that ends again and again is given up until :Caretd restart', async (t) => {
  const nvim = await open(t, {
    setup: "{ cmd = { 'sh', '-c', 'echo start >> $DEATHS; exec sleep 0' } }",
    ready: false,
  });
  const starts = () => fs.readFileSync(nvim.environment.DEATHS, 'utf8').split('\n').length - 1;
  await waitFor('the failed state', () => /:Caretd restart/.test(reason(nvim) ?? ''));
  assert.equal(starts(), 11);
  nvim.command('edit b.py');
  await waitFor('the other buffer', () => nvim.lua("vim.fn.expand('%:t')") === 'b.py');
  assert.match(reason(nvim), /:Caretd restart/);
  assert.equal(starts(), 11);
  restart(nvim);
  await waitFor('one more', () => starts() > 11);
});

test('a program that cannot be started is a failed state with a reason', async (t) => {
  const nvim = await open(t, {
    init: `vim.fn.writefile({ '#!/nonexistent/interpreter' }, vim.env.HOME .. '/bad')
      vim.fn.setfperm(vim.env.HOME .. '/bad', 'rwxr-xr-x')`,
    setup: "{ cmd = { vim.env.HOME .. '/bad' } }",
    ready: false,
  });
  await waitFor('the failed state', () => /bad' cannot be started: /.test(reason(nvim) ?? ''), undefined,
    () => [reason(nvim), nvim.screen()]);
});

test('settings that change while it runs are told, once', async (t) => {
  const setup = (tokens) => `{ cmd = { 'node', '${scriptedServer}' },
    settings = { completion = { max_tokens = ${tokens} } } }`;
  const nvim = await open(t, { setup: setup(8) });
  const told = () => received(nvim, 'workspace/didChangeConfiguration')
    .map(({ params }) => params.settings.caretd.completion.max_tokens);
  const again = (tokens) => nvim.lua(`(function() require('caretd').setup(${setup(tokens)}) end)()`);
  again(16);
  again(16);
  again(32);
  await waitFor('the last settings', () => told().at(-1) === 32, undefined, told);
  assert.deepEqual(told().filter((tokens) => tokens !== 8), [16, 32]);
  assert.equal(nvim.lua("require('caretd.client').get().settings.caretd.completion.max_tokens"), 32);
  assert.deepEqual(lives(nvim), ['$start']);
});
