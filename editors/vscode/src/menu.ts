// The menu behind the status bar item.
import * as vscode from 'vscode';

import type { Switch } from './protocol';
import type { StatusBar } from './status';
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

function toggleEntry(switches: Switches, scope: Switch['scope'], what: string, command: string): Entry[] {
  const target = switchFor(scope, false);
  if (target === undefined) return [];
  const off = switches.isOff(target);
  return [{ label: `${off ? '$(circle-outline)' : '$(check)'} Completions ${what}`, command }];
}

export async function showMenu(statusBar: StatusBar, switches: Switches): Promise<void> {
  const language = vscode.window.activeTextEditor?.document.languageId ?? '';
  const entries: Entry[] = [
    ...toggleEntry(switches, 'global', 'everywhere', 'caretd.toggle'),
    ...toggleEntry(switches, 'language', `in ${language} files`, 'caretd.toggleLanguage'),
    ...toggleEntry(switches, 'document', 'in this file', 'caretd.toggleDocument'),
    ...toggleEntry(switches, 'comments', 'in comments', 'caretd.toggleComments'),
    { label: '$(question) Why this suggestion?', command: 'caretd.why' },
    { label: '$(graph) Statistics', command: 'caretd.statistics' },
    { label: '$(output) Log', command: 'caretd.showLog' },
    { label: '$(debug-restart) Restart', command: 'caretd.restart' },
  ];
  const reason = statusBar.status.reason ?? [statusBar.status.model, statusBar.status.device].join(' · ');
  const choice = await vscode.window.showQuickPick(entries, { title: 'caretd', placeHolder: reason });
  if (choice !== undefined) await vscode.commands.executeCommand(choice.command);
}
