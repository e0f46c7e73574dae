// The status bar item: what the model is doing, and a click to the menu.
import * as vscode from 'vscode';

import type { Status } from './protocol';

/** Text, icon and tooltip of a status; pure. */
export function describe(status: Status): { text: string; tooltip: string; warning: boolean } {
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
    const { text, tooltip, warning } = describe(status);
    this.item.text = text;
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
