// Finding the caretd program and making sure that it is new enough.
import { execFile } from 'node:child_process';
import { access, constants, stat } from 'node:fs/promises';
import * as path from 'node:path';

export const minimumVersion = '0.1.0';

/** A program and its arguments, or why there is none. */
export type Launch = { argv: [string, ...string[]] } | { problem: string };

export interface Surroundings {
  /** Setting `caretd.command`. */
  command: string[];
  /** Setting `caretd.path`. */
  program: string;
  /** Folder of the extension. */
  extensionFolder: string;
  /** The variable PATH. */
  searchPath: string;
}

/** Decides what to start: the command setting, the path setting, beside the extension, PATH. */
export async function findLaunch(around: Surroundings): Promise<Launch> {
  const [first, ...rest] = around.command;
  if (first !== undefined) return { argv: [first, ...rest] };
  if (around.program !== '') {
    return (await isExecutable(around.program))
      ? checked(around.program)
      : { problem: `caretd.path names ${around.program}, which is not a program.` };
  }
  const folders = [path.join(around.extensionFolder, 'bin'), ...around.searchPath.split(path.delimiter)];
  for (const folder of folders) {
    const candidate = path.join(folder, process.platform === 'win32' ? 'caretd.exe' : 'caretd');
    if (folder !== '' && (await isExecutable(candidate))) return checked(candidate);
  }
  return { problem: 'The program caretd was not found.' };
}

async function checked(program: string): Promise<Launch> {
  const version = await versionOf(program);
  if (version === undefined) return { problem: `${program} does not answer to --version.` };
  if (compareVersions(version, minimumVersion) < 0) {
    return { problem: `${program} is version ${version}; ${minimumVersion} or newer is needed.` };
  }
  return { argv: [program, 'lsp'] };
}

function versionOf(program: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile(program, ['--version'], { timeout: 5000 }, (error, stdout) => {
      resolve(error ? undefined : /\b(\d+\.\d+\.\d+)/.exec(stdout)?.[1]);
    });
  });
}

async function isExecutable(file: string): Promise<boolean> {
  try {
    await access(file, constants.X_OK);
    return (await stat(file)).isFile();
  } catch {
    return false;
  }
}

/** Negative, zero or positive as `left` is older than, equal to or newer than `right`. */
export function compareVersions(left: string, right: string): number {
  const numbers = (version: string) => version.split('.').map(Number);
  const [a, b] = [numbers(left), numbers(right)];
  for (let i = 0; i < 3; ++i) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
