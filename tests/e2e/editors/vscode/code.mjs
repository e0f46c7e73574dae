// A real VS Code: its workbench in headless Chromium, its extension host behind code-server.
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';

import { launchChromium } from '../chromium.mjs';
import {
  cache, Daemon, privateEnvironment, removeFolder, startTwice, temporaryFolder, waitFor,
} from '../helpers.mjs';
import { Window } from './window.mjs';

const entry = path.join(cache, 'code-server/node_modules/code-server/out/node/entry.js');

// Loading the server and the workbench takes long on a machine with other work.
const loading = 180000;

const quietSettings = {
  'telemetry.telemetryLevel': 'off',
  'update.mode': 'none',
  'extensions.autoCheckUpdates': false,
  'extensions.autoUpdate': false,
  'extensions.ignoreRecommendations': true,
  'workbench.startupEditor': 'none',
  'workbench.tips.enabled': false,
  'chat.commandCenter.enabled': false,
  'chat.disableAIFeatures': true,
  'editor.minimap.enabled': false,
  'editor.accessibilitySupport': 'off',
  'editor.cursorBlinking': 'solid',
  'git.enabled': false,
};

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export class Code {
  /**
   * @param {{ vsix: string, files: Record<string, string>, settings?: object, trust?: 'asked',
   *           environment?: Record<string, string> }} options
   *   trust: the workspace is trusted unless 'asked'; nobody answers the question then.
   */
  constructor(options) {
    this.options = options;
    this.folder = temporaryFolder('code');
    this.workspace = path.join(this.folder, 'workspace');
    for (const name of ['workspace', 'data/User', 'data/Machine', 'extensions']) {
      fs.mkdirSync(path.join(this.folder, name), { recursive: true, mode: 0o700 });
    }
    for (const [name, text] of Object.entries(options.files)) this.write(name, text);
    fs.writeFileSync(path.join(this.folder, 'config.yaml'), 'auth: none\n');
    this.applySettings(options.settings ?? {});
    this.environment = privateEnvironment(this.folder, {
      EXTENSIONS_GALLERY: '{"serviceUrl":""}',
      ...options.environment,
    });
    this.daemon = new Daemon(this.environment);
  }

  /** Settings of the machine's user; takes effect at once in a running editor. */
  applySettings(settings) {
    fs.writeFileSync(
      path.join(this.folder, 'data/User/settings.json'),
      JSON.stringify({ ...quietSettings, ...settings }, null, 1),
    );
    // Machine-scoped settings of a remote extension host live in the machine's own file.
    fs.writeFileSync(
      path.join(this.folder, 'data/Machine/settings.json'),
      JSON.stringify(settings, null, 1),
    );
  }

  /** The keys of commands that VS Code binds to none. */
  writeKeybindings(bindings) {
    fs.writeFileSync(path.join(this.folder, 'data/User/keybindings.json'), JSON.stringify(bindings));
  }

  write(name, text) {
    fs.mkdirSync(path.dirname(path.join(this.workspace, name)), { recursive: true });
    fs.writeFileSync(path.join(this.workspace, name), text);
  }

  read(name) {
    return fs.readFileSync(path.join(this.workspace, name), 'utf8');
  }

  get arguments() {
    const at = (name) => path.join(this.folder, name);
    return [entry, '--config', at('config.yaml'), '--user-data-dir', at('data'),
      '--extensions-dir', at('extensions')];
  }

  async start() {
    const install = spawnSync(process.execPath,
      [...this.arguments, '--install-extension', this.options.vsix, '--force'],
      { env: this.environment, encoding: 'utf8', timeout: loading });
    if (install.status !== 0) throw new Error(`vsix: ${install.stdout}${install.stderr}`);
    await startTwice('code-server', () => this.startServer());
    this.browser = await launchChromium();
  }

  async startServer() {
    this.port = await freePort();
    const trust = this.options.trust === 'asked' ? [] : ['--disable-workspace-trust'];
    const server = spawn(process.execPath,
      [...this.arguments, '--auth', 'none', '--bind-addr', `127.0.0.1:${this.port}`,
        '--disable-telemetry', '--disable-update-check', ...trust,
        '--disable-getting-started-override', '--ignore-last-opened'],
      { env: this.environment, detached: true, stdio: 'ignore' });
    this.server = server;
    try {
      await waitFor('code-server', () => {
        if (server.exitCode !== null || server.signalCode !== null) {
          throw new Error(`it ended with ${server.exitCode ?? server.signalCode}`);
        }
        return fetch(`http://127.0.0.1:${this.port}/healthz`).then((answer) => answer.ok, () => false);
      }, loading);
    } catch (error) {
      this.stopServer();
      throw error;
    }
  }

  stopServer() {
    try {
      if (this.server) process.kill(-this.server.pid, 'SIGTERM');
    } catch {
      // It has ended already.
    }
  }

  /** Opens a window on the workspace with a file in front. */
  async open(file) {
    const page = await startTwice('a window', () => this.load(file));
    page.setDefaultTimeout(60000);
    return new Window(page);
  }

  async load(file) {
    if (!this.browser.isConnected()) this.browser = await launchChromium();
    const context = await this.browser.newContext({ viewport: { width: 1100, height: 620 } });
    const uri = `vscode-remote://127.0.0.1:${this.port}${this.workspace}/${file}`;
    const payload = encodeURIComponent(JSON.stringify([['openFile', uri]]));
    const folder = encodeURIComponent(this.workspace);
    const url = `http://127.0.0.1:${this.port}/?folder=${folder}&payload=${payload}`;
    try {
      const page = await context.newPage();
      await page.goto(url, { waitUntil: 'commit', timeout: loading });
      await page.waitForSelector('.monaco-editor .view-line', { timeout: loading });
      return page;
    } catch (error) {
      await context.close().catch(() => undefined);
      throw error;
    }
  }

  async close() {
    await this.browser?.close();
    this.stopServer();
    this.daemon.stop();
    removeFolder(this.folder);
  }
}
