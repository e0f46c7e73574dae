// Helix, configured as docs/editors.md says, with the real caretd: a client with a completion menu
// and without grey text.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { cache, recordedCaretd, root, waitFor } from '../helpers.mjs';
import { assertQuiet, Recording } from '../recording.mjs';
import { lineOf, samples } from '../samples.mjs';
import { Terminal } from '../terminal.mjs';

const { python } = samples;

/** The snippet of the documentation, as a user would paste it. */
function documented() {
  const page = fs.readFileSync(path.join(root, 'docs/editors.md'), 'utf8');
  const [, snippet] = /## Helix\n[^]*?```toml\n([^]*?)```/.exec(page);
  assert.match(snippet, /command = "caretd"/);
  return snippet;
}

/** A folder for PATH with a program caretd that writes down what passes. */
function programs(folder, log) {
  const [node, recorder, ...rest] = recordedCaretd(log).slice(0, -1);
  const bin = path.join(folder, 'bin');
  fs.mkdirSync(bin);
  fs.writeFileSync(path.join(bin, 'caretd'),
    `#!/bin/sh\nexec ${[node, recorder, ...rest].map((word) => `'${word}'`).join(' ')} "$@"\n`, { mode: 0o755 });
  return bin;
}

test('the suggestion is an entry of the completion menu', async (t) => {
  const helix = new Terminal('helix');
  t.after(() => helix.close());
  const recording = new Recording(path.join(helix.folder, 'lsp.log'));
  helix.environment.PATH = `${programs(helix.folder, recording.file)}:${process.env.PATH}`;
  const configuration = path.join(helix.folder, '.config/helix');
  fs.mkdirSync(configuration, { recursive: true });
  fs.writeFileSync(path.join(configuration, 'languages.toml'), documented());
  // The menu only when it is asked for, so that it does not change under the keys that follow.
  fs.writeFileSync(path.join(configuration, 'config.toml'), '[editor]\nauto-completion = false\n');
  const file = path.join(helix.folder, python.name);
  fs.writeFileSync(file, python.text);

  await helix.run([path.join(cache, 'helix/bin/hx'), file]);
  await waitFor('caretd to be ready', () => recording.timesReady() > 0);
  helix.type(`${python.line}ggA`);
  await helix.waitForScreen(' INS ');
  // Helix tells the server of keys that come in one burst in any order.
  for (const [index, key] of [...python.typed].entries()) {
    helix.type(key);
    await waitFor(`the key ${key}`, () => recording.of('textDocument/didChange').length === index + 1);
  }
  helix.press('C-x');
  const line = lineOf(python) + python.typed;
  const [item] = await waitFor('an entry', () => {
    const { id } = recording.of('textDocument/completion')
      .findLast(({ params }) => params.position.character === line.length) ?? {};
    const { message } = recording.entries()
      .find(({ from, message: answer }) => from === 'server' && answer.id === id && answer.result) ?? {};
    return id !== undefined && (message?.result.items ?? message?.result);
  }, undefined, () => recording.entries().at(-1));
  await helix.waitForScreen(item.label);
  helix.press('C-n', 'Enter');
  const completed = line.slice(0, item.textEdit.range.start.character) + item.textEdit.newText;
  await helix.waitForScreen(completed);
  helix.press('Escape');
  await helix.waitForScreen(' NOR ');
  helix.command('write');
  // While Helix writes there is a moment without the file.
  await waitFor('the file to be written', () => recording.of('textDocument/didSave').length > 0,
    undefined, () => helix.screen());
  assert.equal(fs.readFileSync(file, 'utf8').split('\n')[python.line - 1], completed);
  assert.match(completed, /return json\.loads?\(.*\)$/);
  assertQuiet(recording);
});
