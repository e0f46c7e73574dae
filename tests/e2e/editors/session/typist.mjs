// A programmer who types real files for minutes: keys with human pauses, slips of the finger,
// suggestions taken whole or by word, undo, saving, going to another place and another file.
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { root } from '../helpers.mjs';
import { samples } from '../samples.mjs';

export const minutes = Number(process.env.EDITOR_SESSION_MINUTES ?? 10);

const read = (name) => fs.readFileSync(path.join(root, name), 'utf8');

/** What is typed, by the name of the file it is typed into. */
export const drafts = {
  'client.py': read('tests/e2e/language_client.py'),
  'status.ts': read('editors/vscode/src/status.ts'),
  'read.go': samples.go.text,
};

/** What is in those files at first. */
export const files = Object.fromEntries(Object.keys(drafts).map((name) => [name, '\n']));

// The same sequence in every run (mulberry32).
function randomNumbers(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

async function typeLine(editor, line, random, counts) {
  for (const character of line) {
    await editor.type(character);
    ++counts.keys;
    await sleep(30 + 120 * random());
    if (random() < 0.02) {
      await editor.type('x');
      await editor.press('Backspace');
    }
    if (random() < 0.05 && (await editor.suggests())) {
      const whole = random() < 0.5;
      await (whole ? editor.acceptAll() : editor.acceptWord());
      ++counts.accepted;
      if (whole) return;
    }
  }
}

async function betweenLines(editor, random) {
  if (random() < 0.1) await editor.undo();
  if (random() < 0.2) await editor.save();
  if (random() < 0.1) {
    await editor.press('Up');
    await editor.press('Down');
  }
  if (random() < 0.2) await sleep(1500);
  await editor.newLine();
}

/**
 * Types until the time is over. `editor` has type, press, newLine, acceptAll, acceptWord, undo,
 * save, openFile and suggests. Returns how many keys were typed and suggestions taken.
 */
export async function work(editor) {
  const random = randomNumbers(7);
  const counts = { keys: 0, accepted: 0 };
  const end = Date.now() + minutes * 60_000;
  const places = Object.entries(drafts).map(([name, text]) =>
    ({ name, lines: text.split('\n').map((line) => line.trim()), next: 0 }));
  for (let turn = 0; Date.now() < end; ++turn) {
    const place = places[turn % places.length];
    await editor.openFile(place.name);
    for (let i = 0; i < 8 && Date.now() < end; ++i) {
      await typeLine(editor, place.lines[place.next++ % place.lines.length], random, counts);
      await betweenLines(editor, random);
    }
  }
  return counts;
}
