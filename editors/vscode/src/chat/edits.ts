// What becomes of a code block of a reply in the editor.
import * as vscode from 'vscode';

import type { Proposal } from './preview';

/** VS Code counts the panel with the log among its editors; the others show what caretd says. */
const readOnlySchemes = ['output', 'caretd-report', 'caretd-proposal'];

function holdsText(editor: vscode.TextEditor | undefined): editor is vscode.TextEditor {
  return editor !== undefined && !readOnlySchemes.includes(editor.document.uri.scheme);
}

/** The editor that a question was asked from: the active one, or the last that was. */
export class EditorInFront implements vscode.Disposable {
  private last = [vscode.window.activeTextEditor].find(holdsText);
  private readonly subscription = vscode.window.onDidChangeActiveTextEditor((editor) => {
    // The focus of the chat view is no editor; the one before it stays meant.
    if (holdsText(editor)) this.last = editor;
  });

  get(): vscode.TextEditor | undefined {
    const visible = vscode.window.visibleTextEditors.filter(holdsText);
    return visible.find((editor) => editor === this.last) ?? visible[0];
  }

  dispose(): void {
    this.subscription.dispose();
  }
}

/** The text with the line ends of the document. */
function withLineEndsOf(document: vscode.TextDocument, text: string): string {
  const lines = text.replace(/\n$/, '').split('\n');
  return lines.join(document.eol === vscode.EndOfLine.CRLF ? '\r\n' : '\n');
}

export async function insertAtCursor(editor: vscode.TextEditor, code: string): Promise<void> {
  const text = withLineEndsOf(editor.document, code);
  const taken = await editor.edit((edit) => {
    edit.replace(editor.selection, text);
  });
  if (!taken) throw new Error('the file in front cannot be edited; open another and try again');
  await vscode.window.showTextDocument(editor.document, editor.viewColumn);
}

/** Whole lines that the selection touches; the cursor's place where nothing is selected. */
function appliedRange(document: vscode.TextDocument, selection: vscode.Selection): vscode.Range {
  if (selection.isEmpty) return selection;
  const lastLine =
    selection.end.character === 0 && selection.end.line > selection.start.line
      ? selection.end.line - 1
      : selection.end.line;
  return new vscode.Range(selection.start.line, 0, lastLine, document.lineAt(lastLine).text.length);
}

/** What the code would change. */
export function proposalOf({ document, selection }: vscode.TextEditor, code: string): Proposal {
  const edit = new vscode.TextEdit(appliedRange(document, selection), withLineEndsOf(document, code));
  return { uri: document.uri, title: 'caretd: code from the chat', edits: [edit], version: document.version };
}
