// What the tests of both editors share.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

export const root = path.resolve(import.meta.dirname, '../../..');
export const cache = path.join(root, '.cache/editors');
export const images = path.join(root, 'docs/images');
export const caretd = process.env.CARETD ?? path.join(root, 'build/release/bin/caretd');
export const scriptedServer = path.join(import.meta.dirname, 'scripted_server.mjs');

export function temporaryFolder(name) {
  return fs.mkdtempSync(path.join(os.tmpdir(), `caretd-${name}-`));
}

/** Polls until `condition` gives something true; the condition may be asynchronous. */
export async function waitFor(what, condition, milliseconds = 15000) {
  const end = Date.now() + milliseconds;
  let last;
  while (Date.now() < end) {
    last = await condition();
    if (last) return last;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`waited ${milliseconds} ms for ${what}; last seen: ${JSON.stringify(last)}`);
}

/** The messages that the scripted server wrote down. */
export function messages(file) {
  if (!fs.existsSync(file)) return [];
  return fs
    .readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

export function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}
