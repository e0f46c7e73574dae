// A real Neovim in a real terminal (tmux): keys go in through the terminal, questions are asked
// through Neovim's own socket.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

import { root, temporaryFolder, waitFor } from '../helpers.mjs';

export class Neovim {
  /**
   * @param {string} program nvim
   * @param {{ files?: Record<string, string>, setup?: string, init?: string,
   *           environment?: Record<string, string> }} options
   *   setup: a Lua table, the argument of require('caretd').setup; init: Lua run before it.
   */
  constructor(program, options) {
    this.program = program;
    this.folder = temporaryFolder('nvim');
    this.socket = path.join(this.folder, 'nvim.sock');
    this.name = path.basename(this.folder);
    for (const [name, text] of Object.entries(options.files ?? {})) {
      fs.writeFileSync(path.join(this.folder, name), text);
    }
    fs.writeFileSync(
      path.join(this.folder, 'init.lua'),
      [
        `vim.opt.runtimepath:append(${JSON.stringify(path.join(root, 'editors/neovim'))})`,
        'vim.o.swapfile = false',
        'vim.cmd("syntax on | filetype plugin indent on")',
        options.init ?? '',
        `require('caretd').setup(${options.setup ?? '{}'})`,
      ].join('\n'),
    );
    this.environment = {
      ...process.env,
      HOME: this.folder,
      XDG_STATE_HOME: path.join(this.folder, 'state'),
      XDG_RUNTIME_DIR: this.runtimeFolder(),
      LC_ALL: 'C.UTF-8',
      TERM: 'xterm-256color',
      ...options.environment,
    };
  }

  runtimeFolder() {
    const folder = path.join(this.folder, 'run');
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
    return folder;
  }

  tmux(...args) {
    return spawnSync('tmux', ['-L', this.name, ...args], {
      env: this.environment,
      encoding: 'utf8',
      timeout: 5000,
    });
  }

  async open(file) {
    const command = [this.program, '--clean', '-n', '-u', `${this.folder}/init.lua`,
      '--listen', this.socket, path.join(this.folder, file)];
    this.tmux('-f', '/dev/null', 'new-session', '-d', '-x', '100', '-y', '24',
      '-c', this.folder, command.map((word) => `'${word}'`).join(' '));
    this.tmux('set', '-s', 'escape-time', '0');
    await waitFor('Neovim to listen', () => fs.existsSync(this.socket));
    await waitFor('the buffer', () => this.lua("vim.fn.expand('%:t')") === file);
  }

  /** Types text as it is. */
  type(text) {
    this.tmux('send-keys', '-l', '--', text);
  }

  /** Presses keys by tmux's names: Escape, Enter, Tab, M-Right. */
  press(...keys) {
    this.tmux('send-keys', '--', ...keys);
  }

  /** Value of a Lua expression, through JSON. */
  lua(expression) {
    const code = `luaeval(${JSON.stringify(`vim.json.encode((${expression}) or vim.NIL)`)})`;
    const run = spawnSync(this.program, ['--server', this.socket, '--remote-expr', code], {
      env: this.environment,
      encoding: 'utf8',
      timeout: 5000,
    });
    const text = (run.stdout || run.stderr).trim();
    try {
      return JSON.parse(text);
    } catch {
      return undefined;
    }
  }

  /** The grey text on the screen: first line and the lines below it, from the extmarks. */
  ghost() {
    const marks = this.lua(
      "vim.api.nvim_buf_get_extmarks(0, require('caretd.ghost').namespace, 0, -1, {details=true})",
    );
    if (!Array.isArray(marks)) return undefined;
    const [mark] = marks.filter(([, , , details]) => details.virt_text || details.virt_lines);
    if (!mark) return undefined;
    const details = mark[3];
    const text = (chunks) => chunks.map(([piece]) => piece).join('');
    return {
      row: mark[1],
      column: mark[2],
      lines: [text(details.virt_text ?? []), ...(details.virt_lines ?? []).map(text)],
    };
  }

  lines() {
    return this.lua('vim.api.nvim_buf_get_lines(0, 0, -1, false)');
  }

  mode() {
    return this.lua('vim.api.nvim_get_mode().mode');
  }

  screen(...options) {
    return this.tmux('capture-pane', '-p', ...options).stdout;
  }

  waitForGhost(milliseconds = 15000) {
    return waitFor('grey text', () => this.ghost(), milliseconds);
  }

  waitForReady() {
    return waitFor('caretd to be ready',
      () => this.lua("require('caretd.client').status.state") === 'ready');
  }

  close() {
    this.tmux('kill-server');
    // Neovim and its server write their last lines while they end.
    fs.rmSync(this.folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  }
}
