// A real Neovim in a real terminal (tmux): keys go in through the terminal, questions are asked
// through Neovim's own socket.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

import { root, waitFor } from '../helpers.mjs';
import { Terminal } from '../terminal.mjs';

export class Neovim extends Terminal {
  /**
   * @param {string} program nvim
   * @param {{ files?: Record<string, string>, setup?: string, init?: string, load?: string,
   *           environment?: Record<string, string> }} options
   *   setup: a Lua table, the argument of require('caretd').setup; init: Lua run before it; load: Lua
   *   that puts the plugin on the runtime path.
   */
  constructor(program, options) {
    super('nvim', options.environment);
    this.program = program;
    this.socket = path.join(this.folder, 'nvim.sock');
    for (const [name, text] of Object.entries(options.files ?? {})) {
      fs.writeFileSync(path.join(this.folder, name), text);
    }
    this.init = options.init ?? '';
    const plugin = JSON.stringify(path.join(root, 'editors/neovim'));
    this.load = options.load ?? `vim.opt.runtimepath:append(${plugin})`;
    this.configure(options.setup ?? '{}');
  }

  /** Writes the configuration; before open(). `setup` is a Lua table for require('caretd').setup. */
  configure(setup) {
    fs.writeFileSync(
      path.join(this.folder, 'init.lua'),
      [
        this.load,
        'vim.o.swapfile = false',
        'vim.o.termguicolors = true',
        'vim.cmd("syntax on | filetype plugin indent on")',
        this.init,
        `require('caretd').setup(${setup})`,
      ].join('\n'),
    );
  }

  async open(file) {
    await this.run([this.program, '--clean', '-n', '-u', `${this.folder}/init.lua`,
      '--listen', this.socket, path.join(this.folder, file)]);
    await waitFor('Neovim to listen', () => fs.existsSync(this.socket));
    await waitFor('the buffer', () => this.lua("vim.fn.expand('%:t')") === file);
    this.pid = this.lua('vim.fn.getpid()');
  }

  /** A Neovim that has shown an error waits for Enter when its terminal goes. */
  close() {
    super.close();
    try {
      if (this.pid) process.kill(this.pid, 'SIGKILL');
    } catch {
      // It has ended already.
    }
  }

  /** Value of a Lua expression, through JSON. */
  lua(expression) {
    const code = `luaeval(${JSON.stringify(`vim.json.encode((${expression}) or vim.NIL)`)})`;
    const run = spawnSync(this.program, ['--server', this.socket, '--remote-expr', code], {
      env: this.environment,
      encoding: 'utf8',
      timeout: 60000,
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

  /** Waits for grey text, if given like `wanted`. */
  waitForGhost(wanted = () => true) {
    return waitFor('grey text', () => {
      const ghost = this.ghost();
      return ghost && wanted(ghost) && ghost;
    }, undefined, () => this.ghost());
  }

  /** Waits until Neovim says that there is none; without an answer nothing is known. */
  waitForNoGhost() {
    return waitFor('no grey text', () => this.lines() && !this.ghost(), undefined, () => this.ghost());
  }

  waitForReady() {
    return waitFor('caretd to be ready',
      () => this.lua("require('caretd.client').status.state") === 'ready', undefined,
      () => this.lua("require('caretd.client').status"));
  }
}
