// The extension with the real caretd, its daemon and the embedded model.
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { assertBelow, extension, percentile, recordedCaretd, saveImage, waitFor } from '../helpers.mjs';
import { assertQuiet, comesFrom, Recording } from '../recording.mjs';
import { balanced, insideCall, lineOf, samples } from '../samples.mjs';
import { Code } from './code.mjs';
import { readStopwatch, startStopwatch } from './stopwatch.mjs';

const { python } = samples;
const ready = /ready: tiny on/;
const acceptLine = 'Control+Alt+l';
// A file for each scenario, so that none sees what another left.
const scenarios = { ...samples, words: python, insideCall, closed: python, popup: python,
  toggle: python, second: samples.go, killed: python, broken: python, latency: python };
const nameOf = (scenario) => `${scenario}_${scenarios[scenario].name}`;

let code;
let window;
let recording;
let settings;

before(async () => {
  const files = Object.entries(scenarios).map(([name, { text }]) => [nameOf(name), text]);
  code = new Code({ vsix: extension, files: Object.fromEntries(files) });
  recording = new Recording(path.join(code.folder, 'lsp.log'));
  settings = {
    'caretd.command': recordedCaretd(recording.file),
    // The popup only where a scenario opens it.
    'editor.quickSuggestions': { other: 'off', comments: 'off', strings: 'off' },
    'editor.suggestOnTriggerCharacters': false,
  };
  code.applySettings(settings);
  code.writeKeybindings([
    { key: 'ctrl+alt+l', command: 'editor.action.inlineSuggest.acceptNextLine' },
  ]);
  await code.start();
  window = await code.open(nameOf('python'));
  await window.waitForStatus(ready);
  await window.focusEditor();
});

after(async () => code?.close());

/**
 * Waits until the file of a scenario is on disk as `condition` wants its lines; while it is written
 * there are fewer.
 */
function saved(scenario, what, condition) {
  const text = () => code.read(nameOf(scenario));
  return window.saveUntil(what, () => condition(text().split('\n')), text);
}

/**
 * Waits for grey text that a programmer might write and that the server suggested, once the last
 * request, for a character of the line, is answered.
 */
async function suggestion(plausible, character, { ofKind, on = window } = {}) {
  const answer = await recording.answer(character, ofKind);
  const suggested = comesFrom(recording, answer);
  const lines = await on.waitForGhost(([first]) => plausible.test(first) && suggested(first));
  return lines.join('\n');
}

async function type(line, column, text) {
  await window.goTo(line, column);
  await window.keyboard.type(text, { delay: 40 });
}

const endOf = (sample) => lineOf(sample).length + sample.typed.length;

async function typeSample(sample) {
  await type(sample.line, 200, sample.typed);
  return suggestion(sample.plausible, endOf(sample));
}

/** Takes back what typeSample() typed and types it once more. */
async function typeAgain(sample) {
  await window.goTo(sample.line, 200);
  for (let i = 0; i < sample.typed.length; ++i) await window.keyboard.press('Backspace');
  await window.keyboard.type(sample.typed, { delay: 40 });
  return suggestion(sample.plausible, endOf(sample));
}

for (const [language, sample] of Object.entries(samples)) {
  test(`${language}: grey text from the model, taken with Tab, undone`, async () => {
    await window.openFile(nameOf(language));
    const shown = await typeSample(sample);
    if (language === 'python') {
      saveImage('vscode.png', await window.screenshot(),
        'docs/images/vscode.png', 'editors/vscode/images/suggestion.png');
    }
    const typed = lineOf(sample) + sample.typed;
    await window.keyboard.press('Tab');
    await saved(language, 'the accepted text', (lines) => lines.join('\n').includes(typed + shown));
    await window.keyboard.press('Control+z');
    await saved(language, 'undone', (lines) => lines[sample.line - 1] === typed);
  });
}

test('accepted word by word, then the rest of the line', async () => {
  await window.openFile(nameOf('words'));
  const shown = await typeSample(python);
  const word = /^\s*\w+/.exec(shown)[0];
  await window.keyboard.press('Control+ArrowRight');
  await window.waitForGhost(([first]) => first === shown.slice(word.length));
  await window.keyboard.press(acceptLine);
  await saved('words', 'the line', (lines) =>
    lines[python.line - 1] === lineOf(python) + python.typed + shown);
});

test('in the middle of a line, before a closing bracket', async () => {
  await window.openFile(nameOf('insideCall'));
  await type(insideCall.line, insideCall.before.length + 1, insideCall.typed);
  const shown = await suggestion(
    insideCall.plausible, insideCall.before.length + insideCall.typed.length);
  await window.keyboard.press('Tab');
  await saved('insideCall', 'the accepted text', (lines) => lines[insideCall.line - 1] ===
    insideCall.before + insideCall.typed + shown + insideCall.behind);
});

test('a bracket that the editor closed by itself is not closed twice', async () => {
  await window.openFile(nameOf('closed'));
  const call = 'json.load(';
  await type(python.line, 200, call);
  const shown = await suggestion(/^\w+/, lineOf(python).length + call.length);
  await window.keyboard.press('Tab');
  const [line] = await saved('closed', 'the accepted text', (lines) =>
    lines[python.line - 1]?.includes(`json.load(${shown.replace(/\)$/, '')}`) &&
    [lines[python.line - 1]]);
  assert.ok(balanced(line), line);
});

test('beside the popup: the suggestion extends what is selected there', async () => {
  await window.openFile(nameOf('popup'));
  const typed = 'load_c';
  await type(python.line, 200, typed);
  await window.keyboard.press('Control+Space');
  await window.page.locator('.suggest-widget.visible .monaco-list-row.focused').waitFor();
  await suggestion(/^onfig\(/, lineOf(python).length + typed.length,
    { ofKind: ({ context }) => context.selectedCompletionInfo?.text === 'load_config' });
  await window.keyboard.press('Tab');
  await window.page.locator('.suggest-widget.visible').waitFor({ state: 'hidden' });
  await saved('popup', 'the entry', (lines) => lines[python.line - 1]?.includes('load_config'));
});

test('two windows at once: one is switched off for a language, the other goes on', async (t) => {
  const other = await code.open(nameOf('second'));
  t.after(() => other.page.context().close());
  await window.openFile(nameOf('toggle'));
  await window.command('caretd: Toggle Completions for This Language');
  await waitFor('the switch', () => recording.of('caretd/setEnabled').at(-1)?.params.enabled === false);
  await window.waitForStatus(/off in python files/);
  const asked = recording.requests().length;
  await type(python.line, 200, python.typed);
  await recording.answer(endOf(python));
  assert.deepEqual(recording.requests().slice(asked).flatMap(({ items }) => items), []);
  assert.equal(await window.ghost(), undefined);
  await other.waitForStatus(ready);
  await other.focusEditor();
  await other.goTo(samples.go.line, 200);
  await other.keyboard.type(samples.go.typed);
  await suggestion(samples.go.plausible, endOf(samples.go), { on: other });
  await window.focusEditor();
  await window.command('caretd: Toggle Completions for This Language');
  await waitFor('the switch back', () => recording.of('caretd/setEnabled').at(-1).params.enabled);
});

test('a daemon that is killed comes back and suggests again', async () => {
  await window.openFile(nameOf('killed'));
  await typeSample(python);
  const killed = code.daemon.pid();
  const before = recording.timesReady();
  process.kill(killed, 'SIGKILL');
  await waitFor('another daemon', () => ![undefined, killed].includes(code.daemon.pid()));
  await waitFor('its word that it is ready', () => recording.timesReady() > before);
  await window.waitForStatus(ready);
  await window.keyboard.press('Escape');
  await typeAgain(python);
});

test('key press to grey text: the editor’s own share, and activation', async (t) => {
  await window.openFile(nameOf('latency'));
  await window.goTo(python.line, 200);
  await startStopwatch(window.page);
  const times = await waitFor('ten drawings', async () => {
    await window.keyboard.type('j');
    await window.waitForGhost();
    await window.keyboard.press('Escape');
    await window.keyboard.press('Backspace');
    await recording.answer(lineOf(python).length);
    await window.keyboard.press('Escape');
    // What was typed through before it could be drawn does not count.
    const drawn = await readStopwatch(window.page, recording);
    return drawn.length >= 10 && drawn;
  }, 180000);
  const own = times.map((run) => run.own);
  t.diagnostic(`${times.length} drawings, key to grey text p50 ` +
    `${percentile(times.map((run) => run.total), 0.5).toFixed(1)} ms, own p90 ` +
    `${percentile(own, 0.9).toFixed(1)} ms`);
  assertBelow(t, 'the editor beyond its debounce of 50 ms, p50', percentile(own, 0.5), 60);
  assertBelow(t, 'activation', await window.activationTime('caretd'), 50);
});

test('a setting takes effect in the running server', async () => {
  const started = recording.of('initialize').length;
  code.applySettings({ ...settings, 'caretd.completion.enabled': false });
  await window.waitForStatus(/ready: tiny on .*Completions are off\./);
  code.applySettings(settings);
  await window.waitForStatus(/ready: tiny on [^.]*$/);
  assert.equal(recording.of('initialize').length, started);
});

test('a broken model path: a failed state with the reason, and back', async () => {
  await window.openFile(nameOf('broken'));
  assertQuiet(recording);
  code.applySettings({ ...settings, 'caretd.model.path': '/nonexistent/model' });
  await window.waitForStatus(/\/nonexistent\/model/);
  await type(python.line, 200, python.typed);
  await saved('broken', 'the typed text', (lines) =>
    lines[python.line - 1] === lineOf(python) + python.typed);
  assert.equal(await window.ghost(), undefined);
  code.applySettings(settings);
  await window.waitForStatus(ready);
  await window.focusEditor();
  await typeAgain(python);
});
