// Read-only pages with what the server says about itself: "why this suggestion" and statistics.
import * as vscode from 'vscode';

const scheme = 'caretd-report';

/** Shows text in a read-only editor; a page of the same title is replaced. */
export class Reports implements vscode.TextDocumentContentProvider, vscode.Disposable {
  private readonly pages = new Map<string, string>();
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();
  readonly onDidChange = this.changed.event;
  private readonly registration = vscode.workspace.registerTextDocumentContentProvider(scheme, this);

  provideTextDocumentContent(uri: vscode.Uri): string {
    return this.pages.get(uri.path) ?? '';
  }

  async show(title: string, text: string): Promise<void> {
    const uri = vscode.Uri.from({ scheme, path: `/${title}.md` });
    this.pages.set(uri.path, text);
    this.changed.fire(uri);
    const document = await vscode.workspace.openTextDocument(uri);
    await vscode.window.showTextDocument(document, { preview: true, viewColumn: vscode.ViewColumn.Beside });
  }

  dispose(): void {
    this.registration.dispose();
    this.changed.dispose();
  }
}

/** Any JSON value as nested Markdown bullets, in the order of its keys. */
export function toBullets(value: unknown, depth = 0): string {
  const indent = '  '.repeat(depth);
  if (Array.isArray(value)) {
    return value.map((item, index) => bullet(indent, String(index + 1), item, depth)).join('');
  }
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value)
      .map(([name, item]) => bullet(indent, name, item, depth))
      .join('');
  }
  return `${indent}${scalar(value)}\n`;
}

function bullet(indent: string, name: string, value: unknown, depth: number): string {
  const nested = typeof value === 'object' && value !== null;
  return nested
    ? `${indent}- ${name}\n${toBullets(value, depth + 1)}`
    : `${indent}- ${name}: ${scalar(value)}\n`;
}

function scalar(value: unknown): string {
  if (typeof value === 'number') return Number.isInteger(value) ? String(value) : value.toFixed(3);
  return typeof value === 'string' ? value.replaceAll('\n', '⏎') : JSON.stringify(value);
}
