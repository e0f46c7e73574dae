// The menu behind the status bar item.
import * as vscode from 'vscode';

import type { Status, Switch } from './protocol';
import { describe, type StatusBar } from './status';
import type { Switches } from './switches';

interface Entry extends vscode.QuickPickItem {
  command: string;
}

/** The switch of each kind, for the document in front. */
export function switchFor(scope: Switch['scope'], enabled: boolean): Switch | undefined {
  const document = vscode.window.activeTextEditor?.document;
  switch (scope) {
    case 'global':
      return { scope, enabled };
    case 'comments':
      return { scope, enabled };
    case 'language':
      return document && { scope, languageId: document.languageId, enabled };
    case 'document':
      return document && { scope, uri: document.uri.toString(), enabled };
  }
}

interface State {
  switches: Switches;
  status: Status;
}

function toggleEntry(now: State, scope: Switch['scope'], what: string, command: string): Entry[] {
  const target = switchFor(scope, false);
  if (target === undefined) return [];
  const off = now.switches.isOff(target, now.status);
  return [{ label: `${off ? '$(circle-outline)' : '$(check)'} Completions ${what}`, command }];
}

export async function showMenu(statusBar: StatusBar, switches: Switches): Promise<void> {
  const language = vscode.window.activeTextEditor?.document.languageId ?? '';
  const { status } = statusBar;
  const now = { switches, status };
  const entries: Entry[] = [
    ...toggleEntry(now, 'global', 'everywhere', 'caretd.toggle'),
    ...toggleEntry(now, 'language', `in ${language} files`, 'caretd.toggleLanguage'),
    ...toggleEntry(now, 'document', 'in this file', 'caretd.toggleDocument'),
    ...toggleEntry(now, 'comments', 'in comments', 'caretd.toggleComments'),
    { label: '$(question) Why this suggestion?', command: 'caretd.why' },
    { label: '$(graph) Statistics', command: 'caretd.statistics' },
    { label: '$(output) Log', command: 'caretd.showLog' },
    { label: '$(debug-restart) Restart', command: 'caretd.restart' },
  ];
  const { tooltip: placeHolder } = describe(status);
  const choice = await vscode.window.showQuickPick(entries, { title: 'caretd', placeHolder });
  if (choice !== undefined) await vscode.commands.executeCommand(choice.command);
}
