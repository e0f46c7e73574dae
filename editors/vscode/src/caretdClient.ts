// The language client: one process that speaks LSP, restarted when it dies.
import * as vscode from 'vscode';
import {
  CloseAction,
  ErrorAction,
  LanguageClient,
  ProgressType,
  RevealOutputChannelOn,
  type CloseHandlerResult,
  type CodeAction,
  type ErrorHandler,
  type Middleware,
} from 'vscode-languageclient/node';

import {
  actionMiddleware,
  applyEditMiddleware,
  chatCapabilities,
  proposalIn,
  type ActionHost,
  type OpenAction,
} from './chat/actions';
import type { ChatResult, Part } from './chat/protocol';
import {
  debounceMilliseconds,
  documentSelector,
  initializationOptions,
  serverConfiguration,
} from './config';

export { State } from 'vscode-languageclient/node';

const restartWindowMilliseconds = 60_000;
const restartsInWindow = 10;

/** Restarts a server that died, with growing pauses; gives up when it dies again and again. */
class RestartPolicy implements ErrorHandler {
  private deaths: number[] = [];

  constructor(private readonly gaveUp: (reason: string) => void) {}

  error() {
    return { action: ErrorAction.Continue };
  }

  async closed(): Promise<CloseHandlerResult> {
    const now = Date.now();
    this.deaths = [...this.deaths.filter((at) => now - at < restartWindowMilliseconds), now];
    if (this.deaths.length > restartsInWindow) {
      this.gaveUp('caretd ended again and again; its log says why.');
      return { action: CloseAction.DoNotRestart, handled: true };
    }
    await delay(50 * 2 ** Math.min(this.deaths.length - 1, 6));
    return { action: CloseAction.Restart, handled: true };
  }
}

function delay(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

const middleware: Middleware = {
  workspace: {
    configuration: ({ items }) =>
      items.map(({ section, scopeUri }) => (section === 'caretd' ? serverConfiguration(scopeUri) : null)),
  },
  /** Waits the user's extra debounce; a request that was withdrawn meanwhile is not sent. */
  provideInlineCompletionItems: async (document, position, context, token, next) => {
    const automatic = context.triggerKind === vscode.InlineCompletionTriggerKind.Automatic;
    const wait = debounceMilliseconds();
    if (automatic && wait > 0) await delay(wait);
    return token.isCancellationRequested ? undefined : await next(document, position, context, token);
  },
};

/** A client that is not started yet. */
export function createClient(
  argv: [string, ...string[]],
  log: vscode.LogOutputChannel,
  gaveUp: (reason: string) => void,
  host: ActionHost,
): LanguageClient {
  const [command, ...args] = argv;
  const client = new LanguageClient(
    'caretd',
    'caretd',
    { command, args },
    {
      documentSelector,
      initializationOptions: initializationOptions(),
      outputChannel: log,
      revealOutputChannelOn: RevealOutputChannelOn.Never,
      errorHandler: new RestartPolicy(gaveUp),
      middleware: {
        ...middleware,
        ...actionMiddleware(host),
        workspace: { ...middleware.workspace, ...applyEditMiddleware(host) },
      },
    },
  );
  client.registerFeature(chatCapabilities);
  return client;
}

let streams = 0;

/** Sends a request whose partial results are heard as they come. */
export async function stream(
  client: LanguageClient,
  method: string,
  params: (partialResultToken: string) => object,
  hear: (part: Part) => void,
  cancelled: vscode.CancellationToken,
): Promise<ChatResult> {
  const token = `caretd-stream-${++streams}`;
  const listener = client.onProgress(new ProgressType<Part>(), token, hear);
  try {
    return await client.sendRequest<ChatResult>(method, params(token), cancelled);
  } finally {
    listener.dispose();
  }
}

/** Lets the model make the edit of an action and shows it; throws the sentence it fails with. */
export async function proposeEdit(client: LanguageClient, action: OpenAction, host: ActionHost): Promise<void> {
  const { edit } = await client.sendRequest<CodeAction>('codeAction/resolve', action);
  const proposal = edit && proposalIn(edit, `caretd: ${action.title}`);
  if (proposal !== undefined) await host.propose(proposal);
}
