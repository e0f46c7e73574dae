// The plugin with the real caretd, its daemon and the embedded model.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { assertBelow, cache, percentile, recordedCaretd, waitFor } from '../helpers.mjs';
import { assertQuiet, Recording } from '../recording.mjs';
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

/** Waits for grey text at the cursor that the server suggested and a programmer might write. */
async function suggestion(nvim, plausible) {
  const { lines } = await waitFor(`grey text like ${plausible}`, () => {
    const ghost = nvim.ghost();
    return ghost && plausible.test(ghost.lines[0]) && ghost;
  }, 30000, () => nvim.recording.suggestions().at(-1));
  const shown = lines.join('\n');
  assert.ok(nvim.recording.suggested(shown), `the server did not say ${shown}`);
  return shown;
}

async function typeSample(nvim, sample) {
  nvim.type(`${sample.line}GA${sample.typed}`);
  return suggestion(nvim, sample.plausible);
}

async function waitForLine(nvim, what, expected) {
  await waitFor(`${what}: ${JSON.stringify(expected)}`, () => nvim.line() === expected);
}

for (const [language, sample] of Object.entries(samples)) {
  test(`${language}: grey text from the model, taken with Tab, undone at once`, async (t) => {
    const nvim = await openReady(t, sample);
    const shown = await typeSample(nvim, sample);
    const typed = lineOf(sample) + sample.typed;
    assert.ok(nvim.screen().includes((typed + shown.split('\n')[0]).replaceAll('\t', '        ')));
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
  assert.equal(nvim.ghost().lines.join('\n'), shown.slice(word.length));
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
  const shown = await suggestion(nvim, insideCall.plausible);
  const before = insideCall.before + insideCall.typed;
  assert.deepEqual([nvim.ghost().row, nvim.ghost().column], [insideCall.line - 1, before.length]);
  assert.ok(nvim.screen().includes(before + shown + insideCall.behind));
  nvim.press('Tab');
  await waitForLine(nvim, 'accepted', before + shown + insideCall.behind);
  assert.ok(balanced(nvim.line()), nvim.line());
});

test('a bracket that the editor closed by itself is not closed twice', async (t) => {
  const nvim = await openReady(t, python, { init: "vim.keymap.set('i', '(', '()<Left>')" });
  nvim.type(`${python.line}GAjson.load(`);
  const shown = await suggestion(nvim, /^\w+/);
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
  const shown = await suggestion(nvim, /^son\./);
  nvim.press('C-n');
  await waitFor('a chosen entry', () => nvim.lua('vim.fn.complete_info().selected') >= 0);
  nvim.press('Tab');
  await waitFor('the popup to take the key', () => nvim.lua('vim.fn.pumvisible()') === 0);
  assert.ok(!nvim.line().includes(shown), nvim.line());
  nvim.press('Escape');
  nvim.type('ccjson.l');
  nvim.press('C-x', 'C-n');
  await nvim.waitForGhost();
  nvim.press('Tab');
  await waitFor('the suggestion to be taken', () => /json\.loads?\(/.test(nvim.line()));
});

test('switched off for the language and on again', async (t) => {
  const nvim = await openReady(t, python);
  nvim.command('Caretd toggle language');
  await waitFor('the switch', () =>
    nvim.lua("require('caretd.client').status.completions.disabledLanguages[1]") === 'python');
  nvim.type(`${python.line}GAjson`);
  const asked = (line) => nvim.recording.suggestions()
    .find(({ request }) => request.position.character === lineOf(python).length + line.length);
  const { items } = await waitFor('the answer', () => asked('json'));
  assert.deepEqual(items, []);
  assert.equal(nvim.ghost(), undefined);
  nvim.press('Escape');
  nvim.command('Caretd toggle language');
  nvim.type('A.l');
  await suggestion(nvim, python.plausible);
});

test('a daemon that is killed comes back and suggests again', async (t) => {
  const nvim = await openReady(t, python);
  await typeSample(nvim, python);
  const killed = nvim.daemon.pid();
  process.kill(killed, 'SIGKILL');
  await waitFor('another daemon', () => ![undefined, killed].includes(nvim.daemon.pid()));
  await nvim.waitForReady();
  nvim.press('Escape');
  nvim.type(`ccreturn json.l`);
  await suggestion(nvim, python.plausible);
});

test('two windows at once share one daemon', async (t) => {
  const first = await openReady(t, python);
  const { XDG_RUNTIME_DIR } = first.environment;
  const second = await openReady(t, samples.go, { environment: { XDG_RUNTIME_DIR } });
  first.type(`${python.line}GA${python.typed}`);
  second.type(`${samples.go.line}GA${samples.go.typed}`);
  await Promise.all([suggestion(first, python.plausible), suggestion(second, samples.go.plausible)]);
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
  await waitFor('an answer', () => nvim.recording.suggestions().length > 0);
  assert.equal(nvim.ghost(), undefined);
  assert.equal(nvim.recording.of('window/showMessage').length, 1);
});

test('the editor’s own share from key press to grey text is under 30 ms', async (t) => {
  const nvim = await openReady(t, python, { init: stopwatch });
  nvim.type(`${python.line}GA`);
  for (const character of 'json.load(f)') {
    nvim.type(character);
    await sleep(250);
  }
  const times = nvim.lua('vim.g.caretd_times');
  assert.ok(times.length >= 3, `grey text was drawn ${times.length} times`);
  const own = times.map((run) => run.drawn - run.key - (run.received - run.sent));
  const total = times.map((run) => run.drawn - run.key);
  t.diagnostic(`${times.length} drawings, key to grey text p50 ` +
    `${percentile(total, 0.5).toFixed(1)} ms, own p90 ${percentile(own, 0.9).toFixed(1)} ms`);
  assertBelow(t, 'the editor, p50', percentile(own, 0.5), 30);
});
