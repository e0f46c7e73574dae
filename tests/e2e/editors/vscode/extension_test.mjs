// The extension against scripted answers: what VS Code shows, accepts and sends.
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { extension, messages, scriptedServer, waitFor } from '../helpers.mjs';
import { Code } from './code.mjs';

const here = { line: '$line', character: '$character' };

let code;
let window;
let log;

before(async () => {
  code = new Code({
    vsix: extension,
    files: {
      'a.py': 'x = 1\n\ny = foo()\n',
      // What a cloned repository would like to set.
      '.vscode/settings.json': JSON.stringify({
        'caretd.command': ['/nonexistent/evil'],
        'caretd.path': '/nonexistent/evil',
        'caretd.model.path': '/nonexistent/evil',
        'caretd.remote.url': 'http://evil.example',
        'caretd.completion.maxTokens': 7,
      }),
    },
    settings: {
      'caretd.command': [process.execPath, scriptedServer],
      'caretd.model.threads': 1,
      'caretd.completion.inComments': false,
      'editor.quickSuggestions': { other: 'off', comments: 'off', strings: 'off' },
    },
    environment: {
      SCRIPT: JSON.stringify({
        items: [{
          insertText: 'alpha beta(gamma)\n    delta',
          range: { start: { line: '$line', character: 0 }, end: here },
          command: { title: 'accepted', command: 'caretd.accepted', arguments: ['id-1'] },
        }],
        status: { state: 'ready', model: 'scripted', device: 'none' },
      }),
    },
  });
  log = path.join(code.folder, 'server.log');
  code.environment.SCRIPT_LOG = log;
  await code.start();
  window = await code.open('a.py');
  await waitFor('didOpen', () => received('textDocument/didOpen').length > 0, 180000);
});

after(async () => code?.close());

const received = (method) => messages(log).filter((message) => message.method === method);

test('the status bar shows what the server says', async () => {
  await window.waitForStatus(/ready: scripted on none/);
});

test('a workspace sets how to complete, but no program, model or server', async () => {
  const [{ params }] = received('initialize');
  assert.deepEqual(params.initializationOptions, { 'model.threads': 1 });
  const { result } = await waitFor('the configuration', () =>
    messages(log).find(({ answer }) => answer === 'configuration'));
  assert.deepEqual(result, [{ 'completion.maxTokens': 7, 'completion.inComments': false }]);
});

test('grey text appears and Tab takes it, command included', async () => {
  await window.focusEditor();
  await window.goTo(2, 1);
  await window.keyboard.type('al');
  await window.waitForGhost(([first, second]) => first === 'pha beta(gamma)' && /delta/.test(second));
  await window.keyboard.press('Tab');
  await waitFor('the command', () => received('workspace/executeCommand').length > 0);
  await window.saveUntil('the file', () => code.read('a.py').includes('alpha beta(gamma)\n    delta'));
  await window.keyboard.press('Control+z');
  await window.saveUntil('undo', () => /^x = 1\n(?!alpha)[^]*foo\(\)\n$/.test(code.read('a.py')));
});

test('a word is accepted with the editor’s own key', async () => {
  await window.goTo(2, 1);
  await window.keyboard.press('Control+Shift+k');
  await window.keyboard.press('Enter');
  await window.keyboard.press('ArrowUp');
  await window.keyboard.type('alp');
  await window.waitForGhost(([first]) => first === 'ha beta(gamma)');
  await window.keyboard.press('Control+ArrowRight');
  await window.waitForGhost(([first]) => first === ' beta(gamma)');
  await window.keyboard.press('Escape');
  await window.waitForNoGhost();
});

test('toggling the language tells the server', async () => {
  await window.command('caretd: Toggle Completions for This Language');
  const last = await waitFor('the switch', () => received('caretd/setEnabled').at(-1));
  assert.deepEqual(last.params, { scope: 'language', languageId: 'python', enabled: false });
  await window.command('caretd: Toggle Completions for This Language');
  await waitFor('the switch back', () => received('caretd/setEnabled').at(-1).params.enabled);
});

test('a killed server comes back and is told the text', async () => {
  const { pid } = received('$start').at(-1);
  const opened = received('textDocument/didOpen').length;
  process.kill(pid, 'SIGKILL');
  await waitFor('didOpen again', () => received('textDocument/didOpen').length > opened);
});
