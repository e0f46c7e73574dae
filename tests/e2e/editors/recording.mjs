// Questions about what recorder.mjs wrote down.
import assert from 'node:assert/strict';
import fs from 'node:fs';

const suggestionMethod = 'textDocument/inlineCompletion';

export class Recording {
  constructor(file) {
    this.file = file;
  }

  entries() {
    if (!fs.existsSync(this.file)) return [];
    // The last line may be half written.
    return fs.readFileSync(this.file, 'utf8').split('\n').slice(0, -1).map((line) => JSON.parse(line));
  }

  /** Messages of a method, from either side. */
  of(method) {
    return this.entries().map(({ message }) => message).filter((message) => message.method === method);
  }

  /** Each answered request for a suggestion: { request, items, sent, answered }. */
  suggestions() {
    const open = new Map();
    const found = [];
    for (const { at, from, message } of this.entries()) {
      if (from === 'editor' && message.method === suggestionMethod) {
        open.set(message.id, { request: message.params, sent: at });
      } else if (from === 'server' && open.has(message.id) && message.method === undefined) {
        const items = message.result?.items ?? [];
        found.push({ ...open.get(message.id), items, answered: at });
        open.delete(message.id);
      }
    }
    return found;
  }

  /** Whether the server itself answered with a text that contains what an editor shows. */
  suggested(shown) {
    return this.suggestions().some(({ items }) =>
      items.some(({ insertText }) => insertText.includes(shown)));
  }

  /** Errors that the server answered with; a request that was withdrawn is none. */
  errors() {
    return this.entries()
      .filter(({ from, message }) => from === 'server' && message.error)
      .map(({ message }) => message.error)
      .filter(({ code }) => code !== -32800);
  }
}

/** Nothing was shown to the user and no request failed. */
export function assertQuiet(recording) {
  assert.ok(recording.of('initialized').length > 0, 'nothing was recorded');
  assert.deepEqual(recording.of('window/showMessage'), []);
  assert.deepEqual(recording.errors(), []);
}
