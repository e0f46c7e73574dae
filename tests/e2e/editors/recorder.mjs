#!/usr/bin/env node
// Stands between an editor and the real server and writes down what passes:
//   recorder.mjs LOG PROGRAM [ARGUMENTS]
// Each line of LOG is { at, by, from: 'editor' | 'server', message }; `at` is milliseconds of the
// wall clock, `by` the recorder's process, since windows may share a log. Bytes are passed on before
// they are looked at, so an editor may show what is not in the log yet.
import { spawn } from 'node:child_process';
import fs from 'node:fs';

import { frameReader } from './frames.mjs';

const [log, program, ...args] = process.argv.slice(2);
const write = (entry) =>
  fs.appendFileSync(log, JSON.stringify({ by: process.pid, ...entry }) + '\n');

function record(from) {
  let at;
  const read = frameReader((message) => write({ at, from, message }));
  return (data) => {
    at = performance.timeOrigin + performance.now();
    read(data);
  };
}

const server = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
write({ at: Date.now(), from: 'recorder', message: { pid: server.pid } });
const fromEditor = record('editor');
const fromServer = record('server');
process.stdin.on('data', (data) => {
  server.stdin.write(data);
  fromEditor(data);
});
process.stdin.on('end', () => server.stdin.end());
server.stdin.on('error', () => undefined);
server.stdout.on('data', (data) => {
  process.stdout.write(data);
  fromServer(data);
});
server.on('exit', (code, signal) => process.exit(signal ? 1 : code));
process.on('SIGTERM', () => server.kill('SIGTERM'));
