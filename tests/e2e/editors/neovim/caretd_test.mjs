// The plugin with the real caretd, its daemon and the embedded model.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';

import { assertBelow, cache, percentile, recordedCaretd, waitFor } from '../helpers.mjs';
import { assertQuiet, comesFrom, Recording } from '../recording.mjs';
import { balanced, insideCall, lineOf, samples } from '../samples.mjs';
import { Neovim } from './nvim.mjs';
import { saveScreenshot } from './screenshot.mjs';
import { stopwatch } from './stopwatch.mjs';

const program = process.env.NVIM ?? path.join(cache, 'neovim-0.12/bin/nvim');
const { python } = samples;

/** Neovim with a sample in front, `line` being the line that the scenario is about. */
async function open(t, sample, { server = '{}', init = '', environment, failing = false } = {}) {
  const nvim = new Neovim(program, { files: { [sample.name]: sample.text }, init, environment });
  const log = path.join(nvim.folder, 'lsp.log');
  nvim.recording = new Recording(log);
  const command = recordedCaretd(log).map((word) => `'${word}'`).join(', ');
  nvim.configure(`{ cmd = { ${command} }, server = ${server} }`);
  nvim.line = () => nvim.lines()?.[sample.line - 1];
  t.after(() => {
    try {
      if (!failing) assertQuiet(nvim.recording);
    } finally {
      nvim.close();
    }
  });
  await nvim.open(sample.name);
  return nvim;
}

async function openReady(t, sample, options) {
  const nvim = await open(t, sample, options);
  await nvim.waitForReady();
  return nvim;
}

/**
 * Waits for grey text that a programmer might write and that the server suggested, once the last
 * request, for a character of the line, is answered.
 */
async function suggestion(nvim, plausible, character) {
  const answer = await nvim.recording.answer(character);
  const suggested = comesFrom(nvim.recording, answer);
  const { lines } = await nvim.waitForGhost(({ column, lines: [first] }) =>
    column === character && plausible.test(first) && suggested(first));
  return lines.join('\n');
}

const endOf = (sample) => lineOf(sample).length + sample.typed.length;

async function typeSample(nvim, sample) {
  nvim.type(`${sample.line}GA${sample.typed}`);
  return suggestion(nvim, sample.plausible, endOf(sample));
}

async function waitForLine(nvim, what, expected) {
  await waitFor(`${what}: ${JSON.stringify(expected)}`, () => nvim.line() === expected);
}

for (const [language, sample] of Object.entries(samples)) {
  test(`${language}: grey text from the model, taken with Tab, undone at once`, async (t) => {
    const nvim = await openReady(t, sample);
    const shown = await typeSample(nvim, sample);
    const typed = lineOf(sample) + sample.typed;
    await nvim.waitForScreen((typed + shown.split('\n')[0]).replaceAll('\t', '        '));
    if (language === 'python') await saveScreenshot(nvim, 'neovim.png');
    nvim.press('Tab');
    await waitFor('the accepted text', () => nvim.lines()?.join('\n').includes(typed + shown));
    nvim.press('Escape');
    nvim.type('u');
    await waitForLine(nvim, 'undone', typed);
    assert.deepEqual(nvim.lines(), sample.text.trimEnd().split('\n').with(sample.line - 1, typed));
  });
}

test('accepted word by word, then the rest of the line; each is one step to undo', async (t) => {
  const nvim = await openReady(t, python);
  const shown = await typeSample(nvim, python);
  const typed = lineOf(python) + python.typed;
  const word = /^\s*\w+/.exec(shown)[0];
  nvim.press('M-Right');
  await waitForLine(nvim, 'one word', typed + word);
  await nvim.waitForGhost(({ lines }) => lines.join('\n') === shown.slice(word.length));
  nvim.press('M-Down');
  await waitForLine(nvim, 'the line', typed + shown);
  nvim.press('Escape');
  nvim.type('u');
  await waitForLine(nvim, 'the line undone', typed + word);
  nvim.type('u');
  await waitForLine(nvim, 'the word undone', typed);
});

test('in the middle of a line, before a closing bracket', async (t) => {
  const nvim = await openReady(t, insideCall);
  nvim.type(`${insideCall.line}G$i${insideCall.typed}`);
  const before = insideCall.before + insideCall.typed;
  const shown = await suggestion(nvim, insideCall.plausible, before.length);
  await nvim.waitForScreen(before + shown + insideCall.behind);
  nvim.press('Tab');
  await waitForLine(nvim, 'accepted', before + shown + insideCall.behind);
  assert.ok(balanced(nvim.line()), nvim.line());
});

test('a bracket that the editor closed by itself is not closed twice', async (t) => {
  const nvim = await openReady(t, python, { init: "vim.keymap.set('i', '(', '()<Left>')" });
  const call = 'json.load(';
  nvim.type(`${python.line}GA${call}`);
  const shown = await suggestion(nvim, /^\w+/, lineOf(python).length + call.length);
  nvim.press('Tab');
  await waitFor('acceptance', () => nvim.line()?.includes(shown));
  assert.ok(nvim.line().startsWith('        return json.load('), nvim.line());
  assert.ok(balanced(nvim.line()), nvim.line());
});

test('beside the popup: grey text stays, a chosen entry keeps the keys', async (t) => {
  const nvim = await openReady(t, python, { init: "vim.o.completeopt = 'menuone,noselect'" });
  nvim.type(`${python.line}GAj`);
  await nvim.waitForGhost();
  nvim.press('C-n');
  await waitFor('the popup', () => nvim.lua('vim.fn.pumvisible()') === 1);
  const shown = await suggestion(nvim, /^son\./, lineOf(python).length + 1);
  nvim.press('C-n');
  await waitFor('a chosen entry', () => nvim.lua('vim.fn.complete_info().selected') >= 0);
  nvim.press('Tab');
  await waitFor('the popup to take the key', () => nvim.lua('vim.fn.pumvisible()') === 0);
  assert.ok(!nvim.line().includes(shown), nvim.line());
  nvim.press('Escape');
  nvim.type('ccjson.l');
  nvim.press('C-x', 'C-n');
  await suggestion(nvim, python.plausible, '        json.l'.length);
  nvim.press('Tab');
  await waitFor('the suggestion to be taken', () => /json\.loads?\(/.test(nvim.line()), undefined,
    () => nvim.line());
});

test('switched off for the language and on again', async (t) => {
  const nvim = await openReady(t, python);
  nvim.command('Caretd toggle language');
  await waitFor('the switch', () =>
    nvim.lua("require('caretd.client').status.completions.disabledLanguages[1]") === 'python');
  assert.equal(nvim.lua("require('caretd').statusline()"), '○ caretd');
  nvim.type(`${python.line}GAjson`);
  const { items } = await nvim.recording.answer(lineOf(python).length + 'json'.length);
  assert.deepEqual(items, []);
  assert.equal(nvim.ghost(), undefined);
  nvim.press('Escape');
  nvim.command('Caretd toggle language');
  nvim.type('A.l');
  await suggestion(nvim, python.plausible, endOf(python));
});

test('a daemon that is killed comes back and suggests again', async (t) => {
  const nvim = await openReady(t, python);
  await typeSample(nvim, python);
  const killed = nvim.daemon.pid();
  const before = nvim.recording.timesReady();
  process.kill(killed, 'SIGKILL');
  await waitFor('another daemon', () => ![undefined, killed].includes(nvim.daemon.pid()));
  await waitFor('its word that it is ready', () => nvim.recording.timesReady() > before);
  await nvim.waitForReady();
  nvim.press('Escape');
  nvim.type(`ccreturn json.l`);
  await suggestion(nvim, python.plausible, endOf(python));
});

test('two windows at once share one daemon', async (t) => {
  const first = await openReady(t, python);
  const { XDG_RUNTIME_DIR } = first.environment;
  const second = await openReady(t, samples.go, { environment: { XDG_RUNTIME_DIR } });
  await Promise.all([typeSample(first, python), typeSample(second, samples.go)]);
  assert.ok(first.daemon.pid() !== undefined);
  assert.equal(first.daemon.pid(), second.daemon.pid());
});

test('a broken model path: one message, no grey text, the editor works on', async (t) => {
  const server = "{ model = { path = '/nonexistent/model' } }";
  const nvim = await open(t, python, { server, failing: true });
  await waitFor('the failed state', () =>
    nvim.lua("require('caretd.client').status.state") === 'failed');
  assert.match(nvim.lua("require('caretd.client').status.reason"), /\/nonexistent\/model/);
  nvim.type(`${python.line}GAx = 1`);
  await waitForLine(nvim, 'typed', `${lineOf(python)}x = 1`);
  const { items } = await nvim.recording.answer(lineOf(python).length + 'x = 1'.length);
  assert.deepEqual(items, []);
  assert.equal(nvim.ghost(), undefined);
  assert.equal(nvim.recording.of('window/showMessage').length, 1);
});

test('the editor’s own share from key press to grey text is under 30 ms', async (t) => {
  const nvim = await openReady(t, python, { init: stopwatch });
  nvim.type(`${python.line}GA`);
  const text = 'json.load(f)';
  for (let typed = 1; typed <= text.length; ++typed) {
    nvim.type(text[typed - 1]);
    await nvim.recording.answer(lineOf(python).length + typed);
  }
  const times = await waitFor('the drawings', () => {
    const drawn = nvim.lua('vim.g.caretd_times') ?? [];
    return drawn.length >= 3 && drawn;
  });
  const own = times.map((run) => run.drawn - run.key - (run.received - run.sent));
  const total = times.map((run) => run.drawn - run.key);
  t.diagnostic(`${times.length} drawings, key to grey text p50 ` +
    `${percentile(total, 0.5).toFixed(1)} ms, own p90 ${percentile(own, 0.9).toFixed(1)} ms`);
  assertBelow(t, 'the editor, p50', percentile(own, 0.5), 30);
});
