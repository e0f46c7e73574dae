// The status bar item: what the model is doing, and a click to the menu.
import * as vscode from 'vscode';

import type { Status } from './protocol';

interface Description {
  text: string;
  tooltip: string;
  warning: boolean;
}

/** What of the switches and settings keeps completions from a document; undefined if nothing does. */
export function whatIsOff(
  { completions }: Status,
  document: { languageId: string; uri: string } | undefined,
): string | undefined {
  if (completions === undefined) return undefined;
  if (!completions.enabled) return 'Completions are off.';
  if (document === undefined) return undefined;
  const { languageId, uri } = document;
  if (completions.disabledLanguages.includes(languageId)) return `Completions are off in ${languageId} files.`;
  return completions.disabledDocuments.includes(uri) ? 'Completions are off in this file.' : undefined;
}

/** Text, icon and tooltip of a state. */
export function describe(status: Status): Description {
  const model = [status.model, status.device].filter((part) => part).join(' on ');
  switch (status.state) {
    case 'starting':
      return {
        text: `$(loading~spin) caretd ${status.percent ?? 0}%`,
        tooltip: 'caretd is loading its model.',
        warning: false,
      };
    case 'ready':
      return { text: '$(sparkle) caretd', tooltip: `caretd is ready: ${model}`, warning: false };
    case 'busy':
      return { text: '$(sync~spin) caretd', tooltip: `caretd is generating: ${model}`, warning: false };
    case 'off':
      return {
        text: '$(circle-slash) caretd',
        tooltip: status.reason ?? 'Completions are switched off.',
        warning: false,
      };
    case 'failed':
      return {
        text: '$(warning) caretd',
        tooltip: status.reason ?? 'caretd is not running.',
        warning: true,
      };
  }
}

export class StatusBar implements vscode.Disposable {
  private readonly item = vscode.window.createStatusBarItem(
    'caretd.status',
    vscode.StatusBarAlignment.Right,
    100,
  );
  private current: Status = { state: 'starting', percent: 0 };

  constructor() {
    this.item.name = 'caretd';
    this.item.command = 'caretd.menu';
    this.show(this.current);
    this.item.show();
  }

  get status(): Status {
    return this.current;
  }

  show(status: Status): void {
    this.current = status;
    this.refresh();
  }

  /** Draws the item again: what is off depends on the document in front. */
  refresh(): void {
    const { text, tooltip: state, warning } = describe(this.current);
    const document = vscode.window.activeTextEditor?.document;
    const off = whatIsOff(this.current, document && {
      languageId: document.languageId,
      uri: document.uri.toString(),
    });
    const working = this.current.state === 'ready' || this.current.state === 'busy';
    const tooltip = off === undefined ? state : `${state}. ${off}`;
    this.item.text = working && off !== undefined ? '$(circle-slash) caretd' : text;
    this.item.tooltip = tooltip;
    this.item.accessibilityInformation = { label: `caretd: ${tooltip}` };
    this.item.backgroundColor = warning
      ? new vscode.ThemeColor('statusBarItem.warningBackground')
      : undefined;
  }

  dispose(): void {
    this.item.dispose();
  }
}
