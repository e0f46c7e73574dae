// A real VS Code: its workbench in headless Chromium, its extension host behind code-server.
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';

import { launchChromium } from '../chromium.mjs';
import { cache, Daemon, privateEnvironment, removeFolder, temporaryFolder, waitFor } from '../helpers.mjs';

const entry = path.join(cache, 'code-server/node_modules/code-server/out/node/entry.js');

const quietSettings = {
  'security.workspace.trust.enabled': false,
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
   * @param {{ vsix: string, files: Record<string, string>, settings?: object,
   *           environment?: Record<string, string> }} options
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
      { env: this.environment, encoding: 'utf8', timeout: 180000 });
    if (install.status !== 0) throw new Error(`vsix: ${install.stdout}${install.stderr}`);
    this.port = await freePort();
    this.server = spawn(process.execPath,
      [...this.arguments, '--auth', 'none', '--bind-addr', `127.0.0.1:${this.port}`,
        '--disable-telemetry', '--disable-update-check', '--disable-workspace-trust',
        '--disable-getting-started-override', '--ignore-last-opened'],
      { env: this.environment, detached: true, stdio: 'ignore' });
    await waitFor('code-server', () =>
      fetch(`http://127.0.0.1:${this.port}/healthz`).then((answer) => answer.ok, () => false), 180000);
    this.browser = await launchChromium();
  }

  /** Opens a window on the workspace with a file in front. */
  async open(file) {
    const context = await this.browser.newContext({ viewport: { width: 1100, height: 620 } });
    const page = await context.newPage();
    const uri = `vscode-remote://127.0.0.1:${this.port}${this.workspace}/${file}`;
    const payload = encodeURIComponent(JSON.stringify([['openFile', uri]]));
    const folder = encodeURIComponent(this.workspace);
    // Loading the workbench takes long on a machine with other work.
    const timeout = 180000;
    const url = `http://127.0.0.1:${this.port}/?folder=${folder}&payload=${payload}`;
    await page.goto(url, { waitUntil: 'commit', timeout });
    await page.waitForSelector('.monaco-editor .view-line', { timeout });
    page.setDefaultTimeout(30000);
    return new Window(page);
  }

  async close() {
    await this.browser?.close();
    if (this.server) {
      try {
        process.kill(-this.server.pid, 'SIGTERM');
      } catch {
        // It has ended already.
      }
    }
    this.daemon.stop();
    removeFolder(this.folder);
  }
}

/** One window of the workbench. */
export class Window {
  constructor(page) {
    this.page = page;
    this.keyboard = page.keyboard;
  }

  async focusEditor() {
    await this.page.locator('.monaco-editor .view-lines').first().click();
  }

  /** Runs a command by its title through the command palette. */
  async command(title) {
    await this.keyboard.press('F1');
    await this.keyboard.type(title);
    await this.page.locator('.quick-input-list .monaco-list-row').first().waitFor();
    await this.keyboard.press('Enter');
  }

  /** Brings another file of the workspace to the front. */
  async openFile(name) {
    await this.page.locator('.explorer-folders-view .monaco-list-row', { hasText: name }).dblclick();
    await this.page.locator(`.monaco-editor[data-uri$="/${name}"]`).waitFor();
    await this.focusEditor();
  }

  async goTo(line, column) {
    await this.keyboard.press('Control+g');
    await this.keyboard.type(`:${line}:${column}`);
    await this.keyboard.press('Enter');
  }

  /** Lines of grey text on the screen, from the DOM; empty when there is none. */
  async ghost() {
    const clean = (texts) => texts.join('').replace(/\u00a0/g, ' ');
    const first = await this.page
      .locator('.monaco-editor [class*="ghost-text-decoration"]')
      .allTextContents();
    const below = await this.page
      .locator('.monaco-editor .suggest-preview-text .ghost-text')
      .allTextContents();
    const lines = [clean(first), ...below.map((line) => clean([line]))];
    return lines.some((line) => line !== '') ? lines : undefined;
  }

  waitForGhost(milliseconds = 30000) {
    return waitFor('grey text', () => this.ghost(), milliseconds);
  }

  waitForNoGhost() {
    return waitFor('no grey text', async () => !(await this.ghost()));
  }

  /** A picture of the upper part of the editor without what surrounds it. */
  async screenshot() {
    const box = await this.page.locator('.monaco-workbench .part.editor').boundingBox();
    return this.page.screenshot({ clip: { ...box, height: 300 } });
  }

  /** Milliseconds that VS Code says the extension took to activate. */
  async activationTime(name) {
    await this.command('Developer: Show Running Extensions');
    const row = this.page.locator('.runtime-extensions-editor .extension', { hasText: name }).first();
    const text = await row.locator('.activation-time').textContent();
    return Number(/(\d+)\s*ms/.exec(text)[1]);
  }

  /** Text and tooltip of the extension's status bar item. */
  async status() {
    const item = this.page.locator('.statusbar-item[id="caretd.caretd.caretd.status"], .statusbar-item[id*="caretd"]').first();
    return (await item.getAttribute('aria-label', { timeout: 5000 }).catch(() => '')) ?? '';
  }

  async save() {
    await this.keyboard.press('Control+s');
  }
}
