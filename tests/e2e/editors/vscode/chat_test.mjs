// The chat view and the code actions in VS Code: scripted answers first, then the embedded model.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';

import {
  assertBelow, extension, messages, percentile, recordedCaretd, saveImage, waitFor,
} from '../helpers.mjs';
import { Recording } from '../recording.mjs';
import { Code } from './code.mjs';

const server = path.resolve(import.meta.dirname, '../chat_server.mjs');
const source = 'def add(a, b):\n    return a + b\n\nprint(add(1, 2))\n';
const sources = { 'a.py': source, 'b.json': '{\n  "a": 1,\n  "a": 2\n}\n' };

// Every way a reply could try to run, load or send something.
const hostile = [
  '<script>window.hit = 1</script>\n\n',
  '<img src="https://example.invalid/x.png" onerror="window.hit = 1">\n\n',
  '![x](https://example.invalid/y.png) [click](javascript:window.hit=1)\n\n',
  '[x]: https://example.invalid/z\n\n<https://example.invalid/auto> [x]\n\n',
  '<iframe src="https://example.invalid"></iframe><svg onload="window.hit=1">\n\n',
  '```html"><script>window.hit=1</script>\n<script>window.hit = 1</script>\n```\n',
];
const talk = Array.from({ length: 20000 }, (_, i) => (i % 40 === 39 ? '.\n\n' : `word${i} `));
talk.splice(400, 0, '\n\n```python\n', ...Array.from({ length: 300 }, (_, i) => `x${i} = ${i}\n`), '```\n\n');

const documentAction = {
  title: "Document 'add'", kind: 'refactor.rewrite', data: { uri: '$uri', version: '$version' },
};
const documentEdit = {
  changeAnnotations: {
    caretd: { label: 'caretd: Documenting add', needsConfirmation: true, description: 'By tiny.' },
  },
  documentChanges: [{
    textDocument: { uri: '$uri', version: '$version' },
    edits: [{
      range: { start: { line: 1, character: 4 }, end: { line: 1, character: 4 } },
      newText: '"""Add two numbers."""\n    ',
      annotationId: 'caretd',
    }],
  }],
};

let code;
let window;
let view;
let log;

const received = (method) => messages(log).filter((message) => message.method === method);
// Put in place at once: VS Code asks for actions whenever it likes, and the server reads this at each request.
const script = (next) => {
  const file = path.join(code.folder, 'script.json');
  fs.writeFileSync(`${file}.new`, JSON.stringify(next));
  fs.renameSync(`${file}.new`, file);
};
const settingsFor = (command) => ({
  'caretd.command': command,
  'files.autoSave': 'afterDelay',
  'files.autoSaveDelay': 50,
});
const waitForFile = (what, condition, name = 'a.py') =>
  waitFor(what, () => condition(code.read(name)), undefined, () => code.read(name));

before(async () => {
  code = new Code({
    vsix: extension,
    files: sources,
    settings: settingsFor([process.execPath, server]),
  });
  log = path.join(code.folder, 'server.log');
  Object.assign(code.environment, { SCRIPT_LOG: log, SCRIPT_FILE: path.join(code.folder, 'script.json') });
  script({});
  await code.start();
  window = await code.open('a.py');
  await waitFor('didOpen', () => received('textDocument/didOpen').length > 0, 180000);
  await window.focusEditor();
  await window.command('caretd: Open Chat');
  view = window.page.frameLocator('iframe.webview').frameLocator('iframe#active-frame');
  await view.locator('#question').waitFor({ timeout: 60000 });
});

after(async () => code?.close());

async function ask(text) {
  await view.locator('#question').fill(text);
  await view.locator('#question').press('Enter');
}

async function newChat() {
  await view.locator('#new').click();
  await waitFor('an empty view', async () => (await view.locator('#transcript > *').count()) === 0);
}

const clickEditor = (name = 'a.py') =>
  window.page.locator(`.monaco-editor[data-uri$="/${name}"] .view-lines`).first().click();

/** Brings the file's editor to the front with the cursor at a place. */
async function putCursor(line, column, name = 'a.py') {
  await clickEditor(name);
  await window.goTo(line, column);
  await waitFor('the cursor', async () => (await window.page.locator('.statusbar-item[id="status.editor.selection"]')
    .textContent()).includes(`Ln ${line}, Col ${column}`));
}

async function undone(name = 'a.py') {
  await clickEditor(name);
  await window.keyboard.press('Control+z');
  await waitForFile('undo', (text) => text === sources[name], name);
}

const titleButton = (title) => window.page.locator(`.editor-actions .action-label[aria-label*="${title}"]`);
const diff = () => window.page.locator('.monaco-diff-editor');

/** Waits until an edit is shown as a diff, and sees that nothing is changed yet. */
async function proposed(text) {
  await diff().locator('.editor.modified .view-lines').getByText(text).first().waitFor();
  assert.equal(code.read('a.py'), source);
}

/** Keeps or discards the edit that is shown. */
async function decide(decision) {
  await titleButton(`${decision} Proposed Edit`).click();
  await diff().waitFor({ state: 'detached' });
}

const closeTab = () => window.page.locator('.tab.active .tab-actions .codicon-close').click();

test('a hostile reply stays text, and the page would run nothing even if it did not', async () => {
  script({ pieces: [...hostile, 'Done.'], opening: { notice: 'Only a little chat.' } });
  const requests = [];
  await window.page.route(/example\.invalid/, (route) => {
    requests.push(route.request().url());
    return route.abort();
  });
  await ask('Why?');
  await view.getByText('Done.').waitFor();
  await view.getByText('Only a little chat.').waitFor();
  const drawn = ['script', 'img', 'iframe', 'a', 'svg'].map((tag) => `#transcript ${tag}`).join(',');
  assert.equal(await view.locator(drawn).count(), 0);
  // The policy holds without the Markdown library: what is put into the page by force is inert.
  const violations = await view.locator('body').evaluate(async (body) => {
    const seen = new Set();
    document.addEventListener('securitypolicyviolation', ({ effectiveDirective }) =>
      seen.add(effectiveDirective.replace(/-(attr|elem)$/, '')));
    const box = body.appendChild(document.createElement('div'));
    box.innerHTML = '<img src="https://example.invalid/i.png" onerror="window.hit = 1">' +
      '<button onclick="window.hit = 1">x</button><iframe src="https://example.invalid/"></iframe>';
    box.querySelector('button').click();
    const inline = box.appendChild(document.createElement('script'));
    inline.textContent = 'window.hit = 1';
    await fetch('https://example.invalid/').catch(() => undefined);
    for (let i = 0; i < 600 && seen.size < 4; ++i) await new Promise((done) => setTimeout(done, 50));
    box.remove();
    return [...seen].sort();
  });
  assert.deepEqual(violations, ['connect-src', 'frame-src', 'img-src', 'script-src']);
  assert.equal(await view.locator('body').evaluate(() => globalThis.hit), undefined);
  assert.deepEqual(requests, []);
});

test('a code block is highlighted, copied, inserted at the cursor, and applied as a diff', async () => {
  await newChat();
  script({ pieces: ['Use\n\n``', '`python\ndef add(a, b):\n', '    return b + a\n```\n', '\nDone.'] });
  await putCursor(4, 1);
  await ask('How?');
  await view.getByText('Done.').waitFor();
  const block = view.locator('.block');
  await block.locator('.hljs-keyword').first().waitFor();
  saveImage('vscode-chat.png', await window.page.screenshot(), 'docs/images/vscode-chat.png');

  await block.getByText('Insert at Cursor').click();
  await waitForFile('the inserted code', (text) => text.includes('    return b + aprint(add(1, 2))') ||
    text.includes('    return b + a\nprint(add(1, 2))'));
  await undone();

  await putCursor(1, 1);
  await window.keyboard.press('Shift+ArrowDown');
  await window.keyboard.press('Shift+ArrowDown');
  await block.getByText('Apply as Diff').click();
  await proposed('return b + a');
  await decide('Keep');
  await waitForFile('the edit', (text) => text === source.replace('a + b', 'b + a'));
  await undone();

  await block.getByText('Copy').click();
  await putCursor(5, 1);
  await window.keyboard.press('Control+v');
  await waitForFile('the pasted code', (text) => text.startsWith(`${source}def add(a, b):\n    return b + a`));
  await undone();
});

test('the log, when it was looked at last, is not where code is put', async () => {
  await newChat();
  script({ pieces: ['```python\nz = 1\n```\n', '\nDone.'] });
  await putCursor(4, 1);
  await ask('How?');
  await view.getByText('Done.').waitFor();
  await window.command('caretd: Show Log');
  await window.page.locator('.part.panel .monaco-editor .view-lines').first().click();
  await window.page.locator('.part.panel .monaco-editor.focused').waitFor();
  await view.locator('.block').getByText('Insert at Cursor').click();
  await waitForFile('the inserted code', (text) => text.includes('z = 1'));
  await window.command('View: Hide Panel');
  await undone();
});

test('the view keeps up with 200 tokens a second; Stop ends the reply', async (t) => {
  await newChat();
  script({ pieces: talk, milliseconds: 5 });
  await ask('Talk');
  await view.locator('.reply').waitFor();
  const frames = await view.locator('body').evaluate(
    () => new Promise((resolve) => {
      const times = [];
      let last;
      requestAnimationFrame(function frame(now) {
        if (last !== undefined) times.push(now - last);
        last = now;
        if (times.length < 240) requestAnimationFrame(frame);
        else resolve(times);
      });
    }),
  );
  assertBelow(t, 'time between frames, p50', percentile(frames, 0.5), 32);
  assertBelow(t, 'time between frames, p90', percentile(frames, 0.9), 32);
  await view.locator('.block .hljs-number').first().waitFor();
  const cancels = received('$/cancelRequest').length;
  await view.locator('#stop').click();
  await view.getByText('Cancelled.').waitFor();
  assert.equal(received('$/cancelRequest').length, cancels + 1);
  script({ pieces: ['Again.'] });
  await view.locator('#again').click();
  await view.getByText('Again.').waitFor();
  assert.equal(received('caretd/chat').at(-1).params.regenerate, true);
  await ask('And?');
  await waitFor('the next question', () => received('caretd/chat').at(-1).params.message === 'And?');
  assert.equal(received('caretd/chat').at(-1).params.conversationId, 'chat-1');
});

/** Takes an action out of the menu that `open` opens; false if that does not come or does not stay. */
async function chooseAction(open, title) {
  const entry = window.page.locator('.action-widget .monaco-list-row', { hasText: title });
  const soon = { timeout: 10000 };
  try {
    await open();
    // The menu takes clicks once the mouse has moved.
    await entry.hover({ force: true, ...soon });
    await entry.click(soon);
    return true;
  } catch (error) {
    if (error.name !== 'TimeoutError') throw error;
    return false;
  }
}

const lightBulb = () => window.keyboard.press('Control+.');
const sourceActions = () => window.command('Source Action');

const taken = (log) => log('codeAction/resolve').length + log('workspace/executeCommand').length;

/**
 * Takes an action at the second line, once more where VS Code has made the menu anew under the click or
 * closed it, as when the chat comes to the front. `log` gives the messages of a method that the server got.
 */
async function act(title, log = received, name = 'a.py', open = lightBulb) {
  const before = taken(log);
  const input = window.page.locator('.quick-input-widget .quick-input-box input');
  await waitFor(`the action ${title}`, async () => {
    await putCursor(2, 5, name);
    if (!(await chooseAction(open, title))) return false;
    return waitFor('what it does', async () => taken(log) > before || input.isVisible(), 10000)
      .catch(() => false);
  }, 180000);
}

const toast = (text) => window.page.locator('.notifications-toasts').getByText(text);

test('an action of the light bulb is shown as a diff, and kept or discarded', async () => {
  script({ actions: [documentAction], edit: documentEdit });
  await act("Document 'add'");
  await proposed('Add two numbers.');
  await toast('By tiny.').waitFor();
  await decide('Discard');
  assert.equal(code.read('a.py'), source);

  await act("Document 'add'");
  await proposed('Add two numbers.');
  await closeTab();
  await diff().waitFor({ state: 'detached' });
  assert.equal(code.read('a.py'), source);

  await act("Document 'add'");
  await proposed('Add two numbers.');
  await decide('Keep');
  await waitForFile('the edit', (text) => text.includes('    """Add two numbers."""\n    return a + b'));
  await undone();
});

test('an edit of a document that changed meanwhile is not applied; failures are told', async () => {
  script({ actions: [documentAction], edit: documentEdit });
  await act("Document 'add'");
  await proposed('Add two numbers.');
  fs.writeFileSync(path.join(code.workspace, 'a.py'), `# new\n${source}`);
  await diff().locator('.editor.original .view-lines').getByText('# new').waitFor();
  await decide('Keep');
  await toast('the document has changed meanwhile').waitFor();
  assert.equal(code.read('a.py'), `# new\n${source}`);
  fs.writeFileSync(path.join(code.workspace, 'a.py'), source);
  await window.page.locator('.monaco-editor[data-uri$="/a.py"] .view-lines').getByText('# new')
    .waitFor({ state: 'detached' });
  await window.command('Notifications: Clear All Notifications');

  script({ actions: [documentAction], edit: 'The reply is empty; nothing was changed.' });
  await act("Document 'add'");
  await toast('The reply is empty').waitFor();
  assert.equal(code.read('a.py'), source);
  await window.command('Notifications: Clear All Notifications');
});

const testsAction = {
  title: "Write tests for 'add'", kind: 'source.writeTests',
  command: {
    title: "Write tests for 'add'", command: 'caretd.writeTests',
    arguments: [{ verb: 'writeTests', uri: '$uri', version: '$version', range: { start: {}, end: {} } }],
  },
};

test('a file of tests is shown before it is made, and the server hears what was decided', async () => {
  const made = path.join(code.workspace, 'test_a.py');
  const uri = pathToFileURL(made).href;
  const edit = {
    documentChanges: [
      { kind: 'create', uri, options: { overwrite: false } },
      {
        textDocument: { uri, version: null },
        edits: [{
          range: { start: { line: 0, character: 0 }, end: { line: 0, character: 0 } },
          newText: 'def test_add():\n    assert add(1, 2) == 3\n',
        }],
      },
    ],
  };
  script({ actions: [testsAction], edit });
  const answers = () => messages(log).map(({ result }) => result).filter((result) => result?.applied !== undefined);
  const decisions = () => answers().map(({ applied }) => applied);
  await act("Write tests for 'add'");
  await proposed('def test_add():');
  await decide('Discard');
  await waitFor('the decision', () => decisions().length === 1);
  assert.equal(fs.existsSync(made), false);
  await act("Write tests for 'add'");
  await proposed('def test_add():');
  await decide('Keep');
  await waitFor('the file', () => fs.existsSync(made) && fs.readFileSync(made, 'utf8').startsWith('def test_add'));
  assert.deepEqual(decisions(), [false, true]);
  await closeTab();

  await act("Write tests for 'add'");
  await waitFor('the refusal', () => decisions().length === 3);
  assert.equal(answers()[2].applied, false);
  assert.match(answers()[2].failureReason, /^test_a\.py exists already; open it and ask again/);
  fs.rmSync(made);
});

test('tests that no file can be made for are shown in the chat, with the reason', async () => {
  script({
    actions: [testsAction],
    result: { applied: false, reason: 'No file for these.', content: '```python\ndef test_add(): pass\n```\n' },
  });
  await act("Write tests for 'add'");
  await view.getByText('No file for these.').waitFor();
  await view.locator('.block code', { hasText: 'def test_add(): pass' }).waitFor();
});

test('Explain is in the light bulb and among the source actions, and goes on in the chat', async () => {
  const argument = { verb: 'explain', uri: '$uri', version: '$version', range: { start: {}, end: {} } };
  const explain = {
    title: "Explain 'add'", kind: 'source.explain',
    command: { title: "Explain 'add'", command: 'caretd.explain', arguments: [argument] },
  };
  for (const [open, reply] of [[lightBulb, 'It adds.'], [sourceActions, 'It adds again.']]) {
    script({ actions: [explain], pieces: [reply] });
    await act(explain.title, received, 'a.py', open);
    await view.getByText(reply).waitFor();
  }
});

test('the embedded model chats, is cancelled, and carries out every action', async () => {
  const recording = new Recording(path.join(code.folder, 'lsp.log'));
  code.applySettings(settingsFor(recordedCaretd(recording.file)));
  await waitFor('caretd to be ready', async () => /ready: tiny on/.test(await window.status()), 180000);
  await newChat();
  await ask('Write a function that adds two numbers.');
  await view.getByText(/'tiny' is a .* set \w+\.\w+/).waitFor();
  await waitFor('some of the reply', async () => (await view.locator('.reply').textContent()) !== '');
  // It may end by itself before it is stopped.
  await waitFor('the end of the reply', async () => {
    await view.locator('#stop').click({ timeout: 500 }).catch(() => undefined);
    return view.locator('#send').isVisible();
  });

  // What the model writes is a matter of chance; what becomes of it is not: a diff that is kept, or a
  // sentence. True for a diff.
  const decided = async (method, count, name = 'a.py') => {
    const answer = await waitFor(`the answer to ${method}`, async () =>
      recording.answers(method)[count] ?? ((await diff().count()) > 0 && {}), 120000);
    if (answer.error) {
      await toast('nothing was changed').first().waitFor();
      await window.command('Notifications: Clear All Notifications');
      assert.equal(code.read(name), sources[name]);
      return false;
    }
    await diff().locator('.editor.modified .view-line').first().waitFor();
    await decide('Keep');
    return true;
  };
  const undoneIf = async (kept, name = 'a.py') => {
    if (!kept) return;
    await waitForFile('the edit', (text) => text !== sources[name], name);
    await undone(name);
  };
  const sent = (method) => recording.of(method);
  await act("Document 'add'", sent);
  await undoneIf(await decided('codeAction/resolve', 0));

  // VS Code itself complains of a key that is there twice.
  await window.command('View: Show Explorer');
  await window.openFile('b.json');
  await window.page.locator('.monaco-editor[data-uri$="/b.json"] .squiggly-warning').first().waitFor();
  await act('Fix: Duplicate object key', sent, 'b.json');
  await undoneIf(await decided('codeAction/resolve', 1, 'b.json'), 'b.json');
  await closeTab();

  const commands = () => recording.answers('workspace/executeCommand').length;
  await act("Refactor 'add'", sent);
  await window.page.locator('.quick-input-widget .quick-input-box input').fill('Subtract b from a.');
  await window.keyboard.press('Enter');
  await undoneIf(await decided('workspace/executeCommand', 0));
  await waitFor('the answer', () => commands() === 1);

  await act("Write tests for 'add'", sent);
  await decided('workspace/executeCommand', 1);
  await waitFor('the answer', () => commands() === 2);
  assert.equal(code.read('a.py'), source);
  if (await window.page.locator('.tab', { hasText: 'test_a.py' }).count() > 0) await closeTab();

  await act("Explain 'add'", sent);
  const answer = await waitFor('the explanation', () => recording.answers('workspace/executeCommand')[2], 120000);
  assert.equal(typeof answer.result?.content, 'string');
});
