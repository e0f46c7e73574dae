// One running server: found, started, watched, restarted, stopped.
import * as path from 'node:path';

import * as vscode from 'vscode';
import type { LanguageClient, State } from 'vscode-languageclient/node';

import { findLaunch } from './binary';
import type { ActionHost, OpenAction } from './chat/actions';
import type { ChatServer } from './chat/conversation';
import { tellingErrors } from './chat/failures';
import type { ChatResult, Part } from './chat/protocol';
import { commandSetting, documentSelector, programSetting } from './config';
import { Lifecycle, type Server } from './lifecycle';
import type { Status, Switch } from './protocol';
import type { StatusBar } from './status';
import type { Switches } from './switches';

interface RunningServer extends Server {
  client: LanguageClient;
}

export class Session implements vscode.Disposable, ChatServer {
  private readonly lifecycle = new Lifecycle<RunningServer>((wanted) => this.launch(wanted));

  constructor(
    private readonly extensionFolder: string,
    private readonly log: vscode.LogOutputChannel,
    private readonly statusBar: StatusBar,
    private readonly switches: Switches,
    private readonly host: ActionHost,
  ) {}

  /** Starts a server, in place of the one that runs. */
  async start(): Promise<void> {
    this.statusBar.show({ state: 'starting', percent: 0 });
    await this.lifecycle.restart();
  }

  /** Ends the server that runs or is being started; there is none any more. */
  async stop(): Promise<void> {
    await this.lifecycle.close();
  }

  /** Sends a request; undefined when no server runs or it answers with an error. */
  async request<T>(method: string, params: unknown): Promise<T | undefined> {
    if (this.client?.isRunning() !== true) return undefined;
    return this.client.sendRequest<T>(method, params).catch((error: unknown) => {
      this.log.warn(`${method}: ${String(error)}`);
      return undefined;
    });
  }

  async stream(
    method: string,
    params: (partialResultToken: string) => object,
    hear: (part: Part) => void,
    cancelled: vscode.CancellationToken,
  ): Promise<ChatResult> {
    const { stream } = await import('./caretdClient');
    return await stream(this.running(), method, params, hear, cancelled);
  }

  /** Carries a code action out as far as the user's decision. */
  async proposeEdit(action: OpenAction): Promise<void> {
    const { proposeEdit } = await import('./caretdClient');
    await tellingErrors(() => proposeEdit(this.running(), action, this.host));
  }

  notify(method: string, params: object): void {
    if (this.client?.isRunning() === true) void this.client.sendNotification(method, params);
  }

  async apply(change: Switch): Promise<void> {
    this.switches.remember(change);
    const status = await this.request<Status | null>('caretd/setEnabled', change);
    if (status) this.statusBar.show(status);
  }

  /** The server forgets a document's switch when it is closed. */
  opened(document: vscode.TextDocument): void {
    const known = this.switches.of({ scope: 'document', uri: document.uri.toString(), enabled: false });
    if (known !== undefined) void this.request('caretd/setEnabled', known);
  }

  /** Tells the server which document is in front, so that it can read ahead. */
  focus(editor: vscode.TextEditor | undefined): void {
    if (editor === undefined || this.client?.isRunning() !== true) return;
    if (vscode.languages.match(documentSelector, editor.document) === 0) return;
    const { line, character } = editor.selection.active;
    void this.client.sendNotification('caretd/didFocus', {
      textDocument: { uri: editor.document.uri.toString() },
      position: { line, character },
    });
  }

  dispose(): void {
    void this.stop();
  }

  private get client(): LanguageClient | undefined {
    return this.lifecycle.current?.client;
  }

  private running(): LanguageClient {
    if (this.client?.isRunning() === true) return this.client;
    throw new Error('caretd is not running; its status bar item says why.');
  }

  private async launch(wanted: () => boolean): Promise<RunningServer | undefined> {
    const launch = await findLaunch({
      command: commandSetting(),
      program: programSetting(),
      extensionFolder: this.extensionFolder,
      searchPath: process.env.PATH ?? '',
    });
    if (!wanted()) return undefined;
    if ('problem' in launch) {
      this.failed(launch.problem, 'caretd.path', { 'How to Install': this.instructions });
      return undefined;
    }
    // The client library is most of the extension's code: a file of its own that is loaded after
    // activation.
    const { createClient, startServer, State } = await import('./caretdClient');
    if (!wanted()) return undefined;
    this.log.info(`starting ${launch.argv.join(' ')}`);
    const failed = (reason: string) => {
      if (wanted()) this.failed(reason, 'caretd.command', { 'Show Log': this.showLog, Restart: this.restart });
    };
    const client = createClient(launch.argv, this.log, { failed, wanted }, this.host);
    this.watch(client, State, wanted);
    return startServer(client, failed);
  }

  private watch(client: LanguageClient, states: typeof State, wanted: () => boolean): void {
    client.onNotification('caretd/status', (status: Status) => {
      if (wanted()) this.statusBar.show(status);
    });
    client.onDidChangeState(({ newState }) => {
      if (!wanted()) return;
      if (newState === states.Starting) {
        this.statusBar.show({ state: 'starting', percent: 0 });
      }
      if (newState === states.Running) void this.greet(client);
    });
  }

  /** What a new server process has to be told, and asked, again. */
  private async greet(client: LanguageClient): Promise<void> {
    for (const change of this.switches.remembered()) {
      await this.request('caretd/setEnabled', change);
    }
    const status = await this.request<Status>('caretd/status', {});
    if (status !== undefined && client === this.client) this.statusBar.show(status);
    this.focus(vscode.window.activeTextEditor);
  }

  /** Shows why there is no server, and what may help: the setting that names it, and others by their titles. */
  private failed(reason: string, setting: string, remedies: Record<string, () => unknown>): void {
    this.log.error(reason);
    this.statusBar.show({ state: 'failed', reason });
    const all: typeof remedies = {
      ...remedies,
      'Open Settings': () => vscode.commands.executeCommand('workbench.action.openSettings', setting),
    };
    void vscode.window.showErrorMessage(reason, ...Object.keys(all)).then((choice) => all[choice ?? '']?.());
  }

  private readonly instructions = () =>
    vscode.commands.executeCommand(
      'markdown.showPreview',
      vscode.Uri.file(path.join(this.extensionFolder, 'README.md')),
    );

  private readonly showLog = () => {
    this.log.show();
  };

  private readonly restart = () => this.start();
}
