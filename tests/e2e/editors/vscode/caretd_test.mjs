// The extension with the real caretd, its daemon and the embedded model.
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { assertBelow, extension, percentile, recordedCaretd, saveImage, waitFor } from '../helpers.mjs';
import { assertQuiet, Recording } from '../recording.mjs';
import { balanced, insideCall, lineOf, samples } from '../samples.mjs';
import { Code } from './code.mjs';
import { readStopwatch, startStopwatch } from './stopwatch.mjs';

const { python } = samples;
const acceptLine = 'Control+Alt+l';
// A file for each scenario, so that none sees what another left.
const scenarios = { ...samples, words: python, insideCall, closed: python, popup: python,
  toggle: python, killed: python, broken: python, latency: python };
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
  await waitForReady();
  await window.focusEditor();
});

after(async () => code?.close());

function waitForReady() {
  return waitFor('caretd to be ready', async () => /ready: tiny on/.test(await window.status()), 180000);
}

/** Waits until the file of a scenario is on disk as `condition` wants its lines. */
async function saved(scenario, what, condition) {
  await window.save();
  return waitFor(what, () => condition(code.read(nameOf(scenario)).split('\n')));
}

/** Waits for grey text that the server suggested and a programmer might write. */
async function suggestion(plausible) {
  const lines = await waitFor(`grey text like ${plausible}`, async () => {
    const ghost = await window.ghost();
    return ghost && plausible.test(ghost[0]) && ghost;
  }, 30000, () => recording.suggestions().at(-1));
  assert.ok(recording.suggested(lines[0]), `the server did not say ${lines[0]}`);
  return lines.join('\n');
}

async function type(line, column, text) {
  await window.goTo(line, column);
  await window.keyboard.type(text, { delay: 40 });
}

async function typeSample(sample) {
  await type(sample.line, 200, sample.typed);
  return suggestion(sample.plausible);
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
  await waitFor('the rest', async () => (await window.ghost())?.[0] === shown.slice(word.length));
  await window.keyboard.press(acceptLine);
  await window.waitForNoGhost();
  await saved('words', 'the line', (lines) =>
    lines[python.line - 1] === lineOf(python) + python.typed + shown);
});

test('in the middle of a line, before a closing bracket', async () => {
  await window.openFile(nameOf('insideCall'));
  await type(insideCall.line, insideCall.before.length + 1, insideCall.typed);
  const shown = await suggestion(insideCall.plausible);
  await window.keyboard.press('Tab');
  await saved('insideCall', 'the accepted text', (lines) => lines[insideCall.line - 1] ===
    insideCall.before + insideCall.typed + shown + insideCall.behind);
});

test('a bracket that the editor closed by itself is not closed twice', async () => {
  await window.openFile(nameOf('closed'));
  await type(python.line, 200, 'json.load(');
  const shown = await suggestion(/^\w+/);
  await window.keyboard.press('Tab');
  const [line] = await saved('closed', 'the accepted text', (lines) =>
    lines[python.line - 1].includes(`json.load(${shown.replace(/\)$/, '')}`) &&
    [lines[python.line - 1]]);
  assert.ok(balanced(line), line);
});

test('beside the popup: the suggestion extends what is selected there', async () => {
  await window.openFile(nameOf('popup'));
  await type(python.line, 200, 'load_c');
  await window.keyboard.press('Control+Space');
  await window.page.locator('.suggest-widget.visible .monaco-list-row.focused').waitFor();
  const shown = await suggestion(/^onfig\(/);
  const { request } = recording.suggestions().at(-1);
  assert.equal(request.context.selectedCompletionInfo?.text, 'load_config');
  await window.keyboard.press('Tab');
  await window.page.locator('.suggest-widget.visible').waitFor({ state: 'hidden' });
  assert.ok(recording.suggested(shown));
  await saved('popup', 'the entry', (lines) => lines[python.line - 1].includes('load_config'));
});

test('two windows at once: one is switched off for a language, the other goes on', async (t) => {
  const other = await code.open(nameOf('go'));
  t.after(() => other.page.context().close());
  await window.openFile(nameOf('toggle'));
  await window.command('caretd: Toggle Completions for This Language');
  await waitFor('the switch', () => recording.of('caretd/setEnabled').at(-1)?.params.enabled === false);
  const asked = recording.suggestions().length;
  await type(python.line, 200, python.typed);
  const answers = await waitFor('answers', () => {
    const all = recording.suggestions().slice(asked);
    return all.length > 0 && all;
  });
  assert.deepEqual(answers.flatMap(({ items }) => items), []);
  assert.equal(await window.ghost(), undefined);
  await other.focusEditor();
  await other.goTo(samples.go.line, 200);
  await other.keyboard.type(samples.go.typed);
  await other.waitForGhost();
  await window.focusEditor();
  await window.command('caretd: Toggle Completions for This Language');
  await waitFor('the switch back', () => recording.of('caretd/setEnabled').at(-1).params.enabled);
});

test('a daemon that is killed comes back and suggests again', async () => {
  await window.openFile(nameOf('killed'));
  await typeSample(python);
  const killed = code.daemon.pid();
  process.kill(killed, 'SIGKILL');
  await waitFor('another daemon', () => ![undefined, killed].includes(code.daemon.pid()));
  await waitForReady();
  await window.keyboard.press('Escape');
  await type(python.line, 200, '\b\b\b\b\b\bjson.l');
  await suggestion(python.plausible);
});

test('key press to grey text: the editor’s own share, and activation', async (t) => {
  await window.openFile(nameOf('latency'));
  await window.goTo(python.line, 200);
  await startStopwatch(window.page);
  for (let run = 0; run < 10; ++run) {
    await window.keyboard.type('j');
    await window.waitForGhost();
    await window.keyboard.press('Escape');
    await window.keyboard.press('Backspace');
    await window.page.waitForTimeout(200);
    await window.keyboard.press('Escape');
  }
  const times = await readStopwatch(window.page, recording);
  assert.ok(times.length >= 5, `grey text came from the server ${times.length} times`);
  const own = times.map((run) => run.own);
  t.diagnostic(`${times.length} drawings, key to grey text p50 ` +
    `${percentile(times.map((run) => run.total), 0.5).toFixed(1)} ms, own p90 ` +
    `${percentile(own, 0.9).toFixed(1)} ms`);
  assertBelow(t, 'the editor beyond its debounce of 50 ms, p50', percentile(own, 0.5), 60);
  assertBelow(t, 'activation', await window.activationTime('caretd'), 50);
});

test('a broken model path: a failed state with the reason, and back', async () => {
  await window.openFile(nameOf('broken'));
  assertQuiet(recording);
  code.applySettings({ ...settings, 'caretd.model.path': '/nonexistent/model' });
  await waitFor('the reason', async () => /\/nonexistent\/model/.test(await window.status()));
  await type(python.line, 200, python.typed);
  await saved('broken', 'the typed text', (lines) =>
    lines[python.line - 1] === lineOf(python) + python.typed);
  assert.equal(await window.ghost(), undefined);
  code.applySettings(settings);
  await waitForReady();
  await window.focusEditor();
  await type(python.line, 200, '\b\b\b\b\b\bjson.l');
  await suggestion(python.plausible);
});
