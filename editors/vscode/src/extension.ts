// Entry point: builds the parts, registers the commands, starts the server without waiting for it.
import * as vscode from 'vscode';

import type { OpenAction } from './chat/actions';
import { Previews } from './chat/preview';
import { ChatView } from './chat/view';
import { needsRestart } from './config';
import { showMenu, switchFor } from './menu';
import type { Switch } from './protocol';
import { Reports, toBullets } from './report';
import { Session } from './session';
import { describe, StatusBar } from './status';
import { Switches } from './switches';

let session: Session | undefined;

export function activate(context: vscode.ExtensionContext): void {
  const log = vscode.window.createOutputChannel('caretd', { log: true });
  const statusBar = new StatusBar();
  const switches = new Switches(context.globalState);
  const reports = new Reports();
  const previews = new Previews();
  const chat: ChatView = new ChatView(context.extensionUri, previews, () => running);
  const running = new Session(context.extensionPath, log, statusBar, switches, {
    explain: (argument) => chat.explain(argument),
    propose: (proposal) => previews.propose(proposal),
    showUnplaced: (reply) => chat.showUnplaced(reply),
  });
  session = running;
  context.subscriptions.push(log, statusBar, reports, running, chat, previews);

  const toggle = (scope: Switch['scope']) => async () => {
    const target = switchFor(scope, false);
    if (target) await running.apply({ ...target, enabled: switches.isOff(target, statusBar.status) });
  };
  const commands: Record<string, (...given: never[]) => unknown> = {
    'caretd.menu': () => showMenu(statusBar, switches),
    'caretd.toggle': toggle('global'),
    'caretd.toggleLanguage': toggle('language'),
    'caretd.toggleDocument': toggle('document'),
    'caretd.toggleComments': toggle('comments'),
    'caretd.why': () => showWhy(running, reports, statusBar),
    'caretd.statistics': () => showStatistics(running, reports, statusBar),
    'caretd.openChat': () => chat.reveal(),
    'caretd.proposeEdit': (action: OpenAction) => running.proposeEdit(action),
    'caretd.restart': () => running.start(),
    'caretd.showLog': () => {
      log.show();
    },
  };
  for (const [name, run] of Object.entries(commands)) {
    context.subscriptions.push(vscode.commands.registerCommand(name, run));
  }
  context.subscriptions.push(
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (needsRestart(event)) void running.start();
    }),
    vscode.workspace.onDidOpenTextDocument((document) => {
      running.opened(document);
    }),
    vscode.window.onDidChangeActiveTextEditor((editor) => {
      statusBar.refresh();
      running.focus(editor);
    }),
  );
  void running.start();
}

export async function deactivate(): Promise<void> {
  await session?.stop();
}

/** What a report says, and why where there is nothing to report. */
function toReport(answer: unknown, statusBar: StatusBar): string {
  if (answer) return toBullets(answer);
  return `caretd gave no answer. ${describe(statusBar.status).tooltip}\n\n“caretd: Show Log” says more.`;
}

async function showWhy(running: Session, reports: Reports, statusBar: StatusBar): Promise<void> {
  const editor = vscode.window.activeTextEditor;
  if (editor === undefined) return;
  const { line, character } = editor.selection.active;
  const answer = await running.request('caretd/why', {
    textDocument: { uri: editor.document.uri.toString() },
    position: { line, character },
  });
  await reports.show('Why this suggestion', toReport(answer, statusBar));
}

async function showStatistics(running: Session, reports: Reports, statusBar: StatusBar): Promise<void> {
  const answer = await running.request('caretd/stats', {});
  await reports.show('caretd statistics', toReport(answer, statusBar));
}
