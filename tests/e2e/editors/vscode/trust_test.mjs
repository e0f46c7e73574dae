// A folder that the user does not trust, in VS Code's restricted mode.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';

import { extension, messages, scriptedServer, waitFor } from '../helpers.mjs';
import { Code } from './code.mjs';

test('an untrusted folder is completed with the user’s own program, model and server', async (t) => {
  const code = new Code({
    vsix: extension,
    trust: 'asked',
    files: {
      'a.py': '\n',
      '.vscode/settings.json': JSON.stringify({
        'caretd.command': ['/nonexistent/evil'],
        'caretd.path': '/nonexistent/evil',
        'caretd.model.path': '/nonexistent/evil',
        'caretd.remote.url': 'http://evil.example',
      }),
    },
    settings: {
      'caretd.command': [process.execPath, scriptedServer],
      'security.workspace.trust.startupPrompt': 'never',
    },
    environment: {
      SCRIPT: JSON.stringify({ items: [], status: { state: 'ready', model: 'scripted', device: 'none' } }),
    },
  });
  t.after(() => code.close());
  const log = path.join(code.folder, 'server.log');
  code.environment.SCRIPT_LOG = log;
  await code.start();
  const window = await code.open('a.py');
  await window.page.locator('.statusbar-item', { hasText: 'Restricted Mode' }).waitFor();
  await window.waitForStatus(/ready: scripted on none/);
  await waitFor('the configuration', () => messages(log).some(({ answer }) => answer === 'configuration'));
  assert.doesNotMatch(JSON.stringify(messages(log)), /evil/);
  const { params } = messages(log).find(({ method }) => method === 'initialize');
  assert.deepEqual(params.initializationOptions, {});
});
