// Where the program is looked for, and what is said of one that is missing or too old.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { test } from 'node:test';

import { compareVersions, findLaunch, minimumVersion } from '../src/binary.ts';

async function folderWithProgram(version: string): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'caretd-test-'));
  await writeFile(path.join(folder, 'caretd'), `#!/bin/sh\necho "caretd ${version} (test)"\n`, {
    mode: 0o755,
  });
  return folder;
}

const nothing = { command: [], program: '', extensionFolder: '/nonexistent', searchPath: '' };

test('versions compare by number, not by text', () => {
  assert.ok(compareVersions('0.10.0', '0.9.9') > 0);
  assert.ok(compareVersions('0.9.9', '1.0.0') < 0);
  assert.equal(compareVersions('1.2.3', '1.2.3'), 0);
});

test('the command setting is taken as it is', async () => {
  const launch = await findLaunch({ ...nothing, command: ['ssh', 'box', 'caretd', 'lsp'] });
  assert.deepEqual(launch, { argv: ['ssh', 'box', 'caretd', 'lsp'] });
});

test('the program on PATH is found and asked for its version', async () => {
  const folder = await folderWithProgram(minimumVersion);
  const launch = await findLaunch({ ...nothing, searchPath: `/nonexistent:${folder}` });
  assert.deepEqual(launch, { argv: [path.join(folder, 'caretd'), 'lsp'] });
});

test('a folder of that name on PATH is no program', async () => {
  const folders = await mkdtemp(path.join(tmpdir(), 'caretd-test-'));
  await mkdir(path.join(folders, 'caretd'));
  const folder = await folderWithProgram(minimumVersion);
  const launch = await findLaunch({ ...nothing, searchPath: `${folders}:${folder}` });
  assert.deepEqual(launch, { argv: [path.join(folder, 'caretd'), 'lsp'] });
  const named = await findLaunch({ ...nothing, program: path.join(folders, 'caretd') });
  assert.ok('problem' in named && named.problem.includes('not a program'), JSON.stringify(named));
});

test('a program that is too old, silent or missing is a problem with a reason', async () => {
  const old = await folderWithProgram('0.0.9');
  for (const around of [
    { ...nothing, searchPath: old },
    { ...nothing, program: '/nonexistent/caretd' },
    { ...nothing, program: '/bin/false' },
    nothing,
  ]) {
    const launch = await findLaunch(around);
    assert.ok('problem' in launch && launch.problem.endsWith('.'), JSON.stringify(launch));
  }
});
