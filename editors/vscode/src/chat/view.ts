// The chat view: a webview that runs one script of ours and can reach nothing else.
import * as vscode from 'vscode';

import { chatContext } from './context';
import { Conversation, type ChatServer } from './conversation';
import { EditorInFront, insertAtCursor, proposalOf } from './edits';
import { tellingErrors } from './failures';
import { page } from './page';
import { type Previews } from './preview';
import type { ActionArgument, FromWebview, ToWebview, UnplacedReply } from './protocol';

export class ChatView implements vscode.WebviewViewProvider, vscode.Disposable {
  static readonly id = 'caretd.chat';

  private view: vscode.WebviewView | undefined;
  private ready = false;
  /** What the view has to show, so that one that is made again can. */
  private shown: ToWebview[] = [];
  private readonly editor = new EditorInFront();
  private readonly conversation: Conversation;
  private readonly registration: vscode.Disposable;

  constructor(
    private readonly extensionUri: vscode.Uri,
    private readonly previews: Previews,
    server: () => ChatServer,
  ) {
    this.conversation = new Conversation(server, (message) => {
      this.show(message);
    });
    this.registration = vscode.window.registerWebviewViewProvider(ChatView.id, this, {
      webviewOptions: { retainContextWhenHidden: true },
    });
  }

  resolveWebviewView(view: vscode.WebviewView): void {
    this.view = view;
    this.ready = false;
    const folder = vscode.Uri.joinPath(this.extensionUri, 'dist');
    view.webview.options = { enableScripts: true, localResourceRoots: [folder] };
    view.webview.html = page(view.webview, folder);
    view.webview.onDidReceiveMessage((message: FromWebview) => {
      void this.handle(message);
    });
    view.onDidDispose(() => {
      this.view = undefined;
    });
  }

  /** Brings the view to the front. */
  async reveal(): Promise<void> {
    await vscode.commands.executeCommand(`${ChatView.id}.focus`);
  }

  /** Carries an Explain action out as the beginning of a conversation. */
  async explain(argument: ActionArgument): Promise<void> {
    await this.reveal();
    await this.conversation.explain(argument);
  }

  /** Shows tests that the server found no file for. */
  async showUnplaced(reply: UnplacedReply): Promise<void> {
    await this.reveal();
    this.conversation.showUnplaced(reply);
  }

  dispose(): void {
    this.conversation.cancel();
    this.registration.dispose();
    this.editor.dispose();
  }

  private show(message: ToWebview): void {
    if (message.type === 'clear') this.shown = [];
    this.shown.push(message);
    if (this.ready) void this.view?.webview.postMessage(message);
  }

  private async handle(message: FromWebview): Promise<void> {
    switch (message.type) {
      case 'ready':
        this.ready = true;
        for (const kept of this.shown) void this.view?.webview.postMessage(kept);
        return;
      case 'ask':
        await this.conversation.ask(message.text, chatContext(message.context, this.editor.get()));
        return;
      case 'cancel':
        this.conversation.cancel();
        return;
      case 'regenerate':
        await this.conversation.regenerate();
        return;
      case 'new':
        this.conversation.reset();
        return;
      case 'copy':
        await vscode.env.clipboard.writeText(message.code);
        return;
      case 'insert':
      case 'apply':
        await this.use(message.type, message.code);
    }
  }

  private async use(how: 'insert' | 'apply', code: string): Promise<void> {
    const editor = this.editor.get();
    if (editor === undefined) {
      void vscode.window.showInformationMessage('caretd: open a file to put the code into.');
    } else if (how === 'insert') {
      await tellingErrors(() => insertAtCursor(editor, code));
    } else {
      await tellingErrors(() => this.previews.propose(proposalOf(editor, code)));
    }
  }
}
