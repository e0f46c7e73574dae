// Code actions: what of them needs the user or the chat view; all else is the server's.
import * as vscode from 'vscode';
import type { ExecuteCommandSignature, Middleware, StaticFeature } from 'vscode-languageclient/node';

import type { ActionArgument } from './protocol';

/** Where Explain goes. */
export interface Explainer {
  explain: (argument: ActionArgument) => Promise<void>;
}

/** Tells the server that there is a chat view, and somebody to ask for an instruction. */
export const chatCapabilities: StaticFeature = {
  fillClientCapabilities: (capabilities) => {
    capabilities.experimental = {
      ...(capabilities.experimental as object | undefined),
      caretd: { chat: true, instruction: true },
    };
  },
  initialize: () => undefined,
  getState: () => ({ kind: 'static' }),
  clear: () => undefined,
};

async function askInstruction(): Promise<string | undefined> {
  const instruction = await vscode.window.showInputBox({
    title: 'caretd: Refactor',
    prompt: 'What should change?',
    placeHolder: 'Split this into two functions',
  });
  return instruction?.trim() === '' ? undefined : instruction;
}

async function execute(
  chat: Explainer,
  command: string,
  argument: ActionArgument,
  next: ExecuteCommandSignature,
): Promise<void> {
  if (command === 'caretd.explain') {
    await chat.explain(argument);
  } else if (command === 'caretd.refactor') {
    const instruction = await askInstruction();
    if (instruction !== undefined) await next(command, [{ ...argument, instruction }]);
  } else {
    await next(command, [argument]);
  }
}

/** An error of the server is a sentence for the user. */
async function tellingErrors<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof vscode.CancellationError)) warn((error as Error).message);
    return undefined;
  }
}

function warn(sentence: string): void {
  void vscode.window.showWarningMessage(`caretd: ${sentence}`);
}

/** VS Code keeps source actions out of the light bulb; without that kind they are under "More Actions". */
function inLightBulb<Action extends vscode.Command | vscode.CodeAction>(action: Action): Action {
  const kind = action instanceof vscode.CodeAction ? action.kind : undefined;
  if (kind !== undefined && vscode.CodeActionKind.Source.contains(kind)) {
    (action as vscode.CodeAction).kind = vscode.CodeActionKind.Empty;
  }
  return action;
}

const talking = ['caretd.explain', 'caretd.refactor', 'caretd.writeTests'];

/** The language client's middleware for code actions and their commands. */
export function actionMiddleware(chat: Explainer): Middleware {
  return {
    executeCommand: async (command, args: unknown[], next) => {
      if (!talking.includes(command)) return (await next(command, args)) as unknown;
      const [argument] = args as [ActionArgument];
      await tellingErrors(() => execute(chat, command, argument, next));
      return undefined;
    },
    provideCodeActions: async (document, range, context, token, next) => {
      const actions = await next(document, range, context, token);
      return context.only === undefined ? actions?.map(inLightBulb) : actions;
    },
    resolveCodeAction: async (item, token, next) => {
      const resolved = await tellingErrors(async () => (await next(item, token)) ?? item);
      // The client keeps it to itself that the document has changed.
      const nothing = resolved !== undefined && resolved.edit === undefined;
      if (nothing && !token.isCancellationRequested) warn('the document has changed; ask again.');
      return resolved ?? item;
    },
  };
}
