// A program in a real terminal: tmux in a folder of its own, with an environment of its own.
import { spawnSync } from 'node:child_process';
import path from 'node:path';

import {
  Daemon, privateEnvironment, removeFolder, startTwice, temporaryFolder, waitFor,
} from './helpers.mjs';

export class Terminal {
  constructor(name, environment = {}) {
    this.folder = temporaryFolder(name);
    this.name = path.basename(this.folder);
    this.environment = privateEnvironment(this.folder, {
      LC_ALL: 'C.UTF-8',
      TERM: 'xterm-256color',
      ...environment,
    });
    this.daemon = new Daemon(this.environment);
  }

  tmux(...args) {
    return spawnSync('tmux', ['-L', this.name, ...args], {
      env: this.environment,
      encoding: 'utf8',
      timeout: 60000,
    });
  }

  /** Runs a command in a terminal of 100 columns and 24 rows. */
  async run(command) {
    await startTwice('tmux', async () => {
      const { status, stderr, error } = this.tmux('-f', '/dev/null', 'start-server', ';', 'set', '-sa',
        'terminal-features', '*:RGB', ';', 'new-session', '-d', '-x', '100', '-y', '24',
        '-c', this.folder, command.map((word) => `'${word}'`).join(' '));
      if (status !== 0) throw error ?? new Error(stderr);
    });
    this.tmux('set', '-s', 'escape-time', '0');
  }

  /** Types text as it is. */
  type(text) {
    this.tmux('send-keys', '-l', '--', text);
  }

  /** Presses keys by tmux's names: Escape, Enter, Tab, M-Right. */
  press(...keys) {
    this.tmux('send-keys', '--', ...keys);
  }

  /** Runs a command of the command line. */
  command(text) {
    this.type(`:${text}`);
    this.press('Enter');
  }

  screen(...options) {
    return this.tmux('capture-pane', '-p', ...options).stdout;
  }

  /** Waits until the terminal shows a text: it is drawn after the program has answered. */
  waitForScreen(text) {
    return waitFor(`${text} on the screen`, () => this.screen().includes(text), undefined,
      () => this.screen());
  }

  close() {
    this.tmux('kill-server');
    this.daemon.stop();
    removeFolder(this.folder);
  }
}
