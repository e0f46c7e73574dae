// Code actions: what of them needs the user, the chat view or a preview; all else is the server's.
import * as vscode from 'vscode';
import {
  CancellationToken,
  type ExecuteCommandSignature,
  type Middleware,
  type StaticFeature,
  type WorkspaceEdit,
} from 'vscode-languageclient/node';

import { tellingErrors } from './failures';
import type { Proposal } from './preview';
import type { ActionArgument, UnplacedReply } from './protocol';

/** Where explanations and proposed edits go. */
export interface ActionHost {
  explain: (argument: ActionArgument) => Promise<void>;
  propose: (proposal: Proposal) => Promise<boolean>;
  showUnplaced: (reply: UnplacedReply) => Promise<void>;
}

/** An action whose edit the server makes when it is asked to, as codeAction/resolve takes it. */
export interface OpenAction {
  title: string;
  data: unknown;
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
  host: ActionHost,
  command: string,
  argument: ActionArgument,
  next: ExecuteCommandSignature,
): Promise<void> {
  if (command === 'caretd.explain') {
    await host.explain(argument);
  } else if (command === 'caretd.refactor') {
    const instruction = await askInstruction();
    if (instruction !== undefined) await next(command, [{ ...argument, instruction }]);
  } else {
    const result = (await next(command, [argument])) as Partial<UnplacedReply> | undefined;
    const { reason, content } = result ?? {};
    if (reason !== undefined && content !== undefined) await host.showUnplaced({ reason, content });
  }
}

function noticeIn({ changeAnnotations }: WorkspaceEdit): string | undefined {
  const descriptions = Object.values(changeAnnotations ?? {}).map(({ description }) => description);
  return descriptions.find((description) => description !== undefined);
}

/** An edit of the server, which is of one document; undefined for any other. */
export function proposalIn(edit: WorkspaceEdit, title: string): Proposal | undefined {
  const changes = edit.documentChanges ?? [];
  const edited = changes.filter((change) => 'textDocument' in change);
  const [only] = edited;
  if (only === undefined || edited.length > 1) return undefined;
  const { uri, version } = only.textDocument;
  const created = changes.some((change) => 'kind' in change && change.kind === 'create' && change.uri === uri);
  if (!created && version === null) return undefined;
  const edits = only.edits.flatMap((part) => {
    if (!('newText' in part)) return [];
    const { start, end } = part.range;
    const range = new vscode.Range(start.line, start.character, end.line, end.character);
    return [new vscode.TextEdit(range, part.newText)];
  });
  return {
    uri: vscode.Uri.parse(uri),
    title,
    edits,
    version: created ? undefined : (version ?? undefined),
    notice: noticeIn(edit),
  };
}

/** VS Code keeps source actions out of the light bulb; without that kind they are under "More Actions". */
function inLightBulb<Action extends vscode.Command | vscode.CodeAction>(action: Action): Action {
  const kind = action instanceof vscode.CodeAction ? action.kind : undefined;
  if (kind !== undefined && vscode.CodeActionKind.Source.contains(kind)) {
    (action as vscode.CodeAction).kind = vscode.CodeActionKind.Empty;
  }
  return action;
}

/** VS Code applies what it resolves; an edit of the model is shown first, so a command resolves it. */
function proposing<Action extends vscode.Command | vscode.CodeAction>(action: Action): Action {
  const { title, data } = action as { title: string; data?: unknown };
  if (action instanceof vscode.CodeAction && action.command === undefined && data !== undefined) {
    const open: OpenAction = { title, data };
    action.command = { title, command: 'caretd.proposeEdit', arguments: [open] };
  }
  return action;
}

const talking = ['caretd.explain', 'caretd.refactor', 'caretd.writeTests'];

/** The language client's middleware for code actions and their commands. */
export function actionMiddleware(host: ActionHost): Middleware {
  return {
    executeCommand: async (command, args: unknown[], next) => {
      if (!talking.includes(command)) return (await next(command, args)) as unknown;
      const [argument] = args as [ActionArgument];
      await tellingErrors(() => execute(host, command, argument, next));
      return undefined;
    },
    provideCodeActions: async (document, range, context, token, next) => {
      const actions = (await next(document, range, context, token))?.map(proposing);
      return context.only === undefined ? actions?.map(inLightBulb) : actions;
    },
    resolveCodeAction: (item) => item,
  };
}

/** workspace/applyEdit: the server hears what the user decided. */
export function applyEditMiddleware(host: ActionHost): NonNullable<Middleware['workspace']> {
  return {
    handleApplyEdit: async (params, next) => {
      const proposal = proposalIn(params.edit, `caretd: ${params.label ?? 'edit'}`);
      if (proposal === undefined) return await next(params, CancellationToken.None);
      try {
        return { applied: await host.propose(proposal) };
      } catch (error) {
        return { applied: false, failureReason: (error as Error).message };
      }
    },
  };
}
