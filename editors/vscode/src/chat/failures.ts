// Failures of chat and code actions: sentences for the user.
import * as vscode from 'vscode';

/** The code of the Language Server Protocol for what the user withdrew. */
const requestCancelled = -32800;

function isCancellation(error: unknown): boolean {
  return error instanceof vscode.CancellationError || (error as { code?: unknown }).code === requestCancelled;
}

/** Does the work; where it fails the user is told why. */
export async function tellingErrors(work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (isCancellation(error)) return;
    void vscode.window.showWarningMessage(`caretd: ${(error as Error).message}`);
  }
}
