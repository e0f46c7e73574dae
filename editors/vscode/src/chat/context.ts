// What the user lets go with a question, taken from the editor in front.
import * as vscode from 'vscode';

import type { ContextChoice } from './protocol';

type Params = Record<string, unknown>;

function toPosition({ line, character }: vscode.Position): Params {
  return { line, character };
}

export function toRange({ start, end }: vscode.Range): Params {
  return { start: toPosition(start), end: toPosition(end) };
}

function diagnosticsOf(uri: vscode.Uri): Params[] {
  return vscode.languages.getDiagnostics(uri).map(({ range, message, source, severity }) => ({
    range: toRange(range),
    message,
    severity: severity + 1,
    ...(source === undefined ? {} : { source }),
  }));
}

function contextFor(choice: ContextChoice, editor: vscode.TextEditor): Params | undefined {
  const textDocument = { uri: editor.document.uri.toString() };
  switch (choice) {
    case 'selection':
      if (editor.selection.isEmpty) return undefined;
      return { kind: 'selection', textDocument, range: toRange(editor.selection) };
    case 'file':
      return { kind: 'file', textDocument };
    case 'diagnostics': {
      const diagnostics = diagnosticsOf(editor.document.uri);
      return diagnostics.length === 0 ? undefined : { kind: 'diagnostics', textDocument, diagnostics };
    }
    case 'openFiles':
      return { kind: 'openFiles' };
  }
}

/** The context of a `caretd/chat` request; nothing where there is nothing to send. */
export function chatContext(choices: ContextChoice[], editor: vscode.TextEditor | undefined): Params[] {
  if (editor === undefined) return [];
  return choices.map((choice) => contextFor(choice, editor)).filter((params) => params !== undefined);
}
