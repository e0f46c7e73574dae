// What the tests of both editors share.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export const root = path.resolve(import.meta.dirname, '../../..');
export const cache = path.join(root, '.cache/editors');
export const extension = process.env.VSIX ?? path.join(root, 'build/editors/caretd.vsix');
export const caretd = process.env.CARETD ?? path.join(root, 'build/release/bin/caretd');
export const scriptedServer = path.join(import.meta.dirname, 'scripted_server.mjs');
const recorder = path.join(import.meta.dirname, 'recorder.mjs');

/** The command that runs the real caretd and writes down what it and the editor say. */
export function recordedCaretd(log, ...args) {
  if (!fs.existsSync(caretd)) throw new Error(`${caretd} is missing: build it, or set CARETD`);
  return [process.execPath, recorder, log, caretd, 'lsp', ...args];
}

/** The environment without what belongs to the user who runs the tests. */
export function privateEnvironment(folder, more = {}) {
  const runtime = path.join(folder, 'run');
  fs.mkdirSync(runtime, { recursive: true, mode: 0o700 });
  const own = /^(CARETD_|VSCODE_|XDG_)/;
  const kept = Object.entries(process.env).filter(([name]) => !own.test(name));
  // The embedded model is rarely sure, and slow on a busy machine; what it says is to be shown whole.
  const whole = { CARETD_COMPLETION_MIN_PROBABILITY: '0', CARETD_COMPLETION_TIME_BUDGET_MS: '60000' };
  return { ...Object.fromEntries(kept), ...whole, HOME: folder, XDG_RUNTIME_DIR: runtime, ...more };
}

/** The daemon of an environment. */
export class Daemon {
  constructor(environment) {
    this.environment = environment;
  }

  /** Its process, or undefined while none runs. */
  pid() {
    const lock = path.join(this.environment.XDG_RUNTIME_DIR, 'caretd/daemon.lock');
    const pid = fs.existsSync(lock) && Number(fs.readFileSync(lock, 'utf8'));
    return pid && fs.existsSync(`/proc/${pid}`) ? pid : undefined;
  }

  stop() {
    if (this.pid() === undefined) return;
    spawnSync(caretd, ['daemon', 'stop'], { env: this.environment, timeout: 60000 });
  }
}

export function temporaryFolder(name) {
  return fs.mkdtempSync(path.join(os.tmpdir(), `caretd-${name}-`));
}

/** Removes a scenario's folder; what still ends there may keep it from going. */
export function removeFolder(folder) {
  try {
    fs.rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  } catch (error) {
    if (error.code !== 'ENOTEMPTY') throw error;
  }
}

/** How long something may take on a machine with much other work; what is waited for mostly comes at once. */
const patience = 60000;

/**
 * Polls until `condition` gives something true; the condition may be asynchronous. When it never
 * does, `explain` says what there was instead.
 */
export async function waitFor(what, condition, milliseconds = patience, explain = undefined) {
  const end = Date.now() + milliseconds;
  let last;
  while (Date.now() < end) {
    last = await condition();
    if (last) return last;
    await sleep(20);
  }
  const seen = JSON.stringify(explain ? await explain() : last);
  throw new Error(`waited ${milliseconds} ms for ${what}; last seen: ${seen}`);
}

/** Starts what may crash for want of memory or time: once more after a failure, and says so. */
export async function startTwice(what, start) {
  try {
    return await start();
  } catch (error) {
    console.error(`${what} did not start, starting it once more: ${error.message.split('\n')[0]}`);
    return start();
  }
}

/** The lines of JSON in a file that another process appends to; the last may be half written. */
export function jsonLines(file) {
  if (!fs.existsSync(file)) return [];
  return fs.readFileSync(file, 'utf8').split('\n').slice(0, -1).map((line) => JSON.parse(line));
}

/** The messages that the scripted server wrote down. */
export const messages = jsonLines;

/** Keeps a picture in build/editors; with UPDATE_IMAGES also as these files of the sources. */
export function saveImage(name, png, ...sources) {
  const places = [path.join('build/editors', name)];
  if (process.env.UPDATE_IMAGES) places.push(...sources);
  for (const place of places) {
    fs.mkdirSync(path.dirname(path.join(root, place)), { recursive: true });
    fs.writeFileSync(path.join(root, place), png);
  }
}

/**
 * Prints what was measured and its bound. Times are held to it where CARETD_ENFORCE_TIMES asks for that,
 * as `./dev editors` does: on a machine that is busy with other work they say nothing about the editor.
 */
export function assertBelow(t, what, milliseconds, bound) {
  t.diagnostic(`${what}: ${milliseconds.toFixed(1)} ms (bound ${bound})`);
  assert.ok(!process.env.CARETD_ENFORCE_TIMES || milliseconds < bound, `${what}: ${milliseconds} ms`);
}

export function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}
