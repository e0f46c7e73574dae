// Questions about what recorder.mjs wrote down.
import assert from 'node:assert/strict';

import { jsonLines, waitFor } from './helpers.mjs';

const suggestionMethod = 'textDocument/inlineCompletion';

export class Recording {
  constructor(file) {
    this.file = file;
  }

  entries() {
    return jsonLines(this.file);
  }

  /** Messages of a method, from either side. */
  of(method) {
    return this.entries().map(({ message }) => message).filter((message) => message.method === method);
  }

  /** What the server answered to the requests of a method, in the order of its answers. */
  answers(method) {
    const open = new Set();
    const found = [];
    for (const { from, message } of this.entries()) {
      if (from === 'editor' && message.method === method) open.add(message.id);
      if (from === 'server' && message.method === undefined && open.delete(message.id)) found.push(message);
    }
    return found;
  }

  /** Each answered request for a suggestion: { request, items, sent, answered }. */
  suggestions() {
    return this.requests().filter(({ answered }) => answered !== undefined);
  }

  /** Each request for a suggestion in the order of sending, those without an answer included. */
  requests() {
    const open = new Map();
    const all = [];
    for (const { at, by, from, message } of this.entries()) {
      const key = `${by} ${message.id}`;
      if (from === 'editor' && message.method === suggestionMethod) {
        const request = { request: message.params, sent: at };
        all.push(request);
        open.set(key, request);
      } else if (from === 'server' && message.method === undefined && open.has(key)) {
        Object.assign(open.get(key), { items: message.result?.items ?? [], answered: at });
        open.delete(key);
      }
    }
    return all;
  }

  /**
   * Waits until every request is answered and the last asked at a character of its line, and of
   * such a kind; then no answer changes any more what an editor shows.
   */
  answer(character, ofKind = () => true) {
    return waitFor(`an answer at character ${character}`, () => {
      const all = this.requests();
      const last = all.at(-1);
      return all.every(({ answered }) => answered !== undefined) &&
        last?.request.position.character === character && ofKind(last.request) && last;
    }, undefined, () => this.requests().at(-1));
  }

  /** How often the server said that it is ready. */
  timesReady() {
    return this.of('caretd/status').filter(({ params }) => params?.state === 'ready').length;
  }

  /** Errors that the server answered with; a request that was withdrawn is none. */
  errors() {
    return this.entries()
      .filter(({ from, message }) => from === 'server' && message.error)
      .map(({ message }) => message.error)
      .filter(({ code }) => code !== -32800);
  }
}

const says = (answer, shown) => answer.items.some(({ insertText }) => insertText.includes(shown));

/**
 * Whether what an editor shows comes from the last answer, or, a second after it, from one before:
 * editors keep a suggestion that still agrees with what was typed.
 */
export function comesFrom(recording, answer) {
  const begin = Date.now();
  return (shown) => says(answer, shown) ||
    (Date.now() - begin > 1000 && recording.suggestions().some((earlier) => says(earlier, shown)));
}

/** Nothing was shown to the user and no request failed. */
export function assertQuiet(recording) {
  assert.ok(recording.of('initialized').length > 0, 'nothing was recorded');
  assert.deepEqual(recording.of('window/showMessage'), []);
  assert.deepEqual(recording.errors(), []);
}
