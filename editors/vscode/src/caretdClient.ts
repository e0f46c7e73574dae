// The language client: one process that speaks LSP, restarted when it dies.
import { once } from 'node:events';
import type { ChildProcess } from 'node:child_process';

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
  type LanguageClientOptions,
  type Message,
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
const endingMilliseconds = 500;

/** What a client asks of the one who started it. */
export interface Owner {
  /** Hears why the server does not run, in a sentence for the user. */
  failed: (reason: string) => void;
  /** False once it is to be ended or replaced. */
  wanted: () => boolean;
}

/** Restarts a server that died, with growing pauses; gives up when it dies again and again. */
class RestartPolicy implements ErrorHandler {
  private deaths: number[] = [];
  private ends = 0;

  constructor(private readonly owner: Owner) {}

  /** Whether a server has ended by itself. */
  get sawAnEnd(): boolean {
    return this.ends > 0;
  }

  error(error: Error & { code?: unknown }, written: Message | undefined) {
    // Neither a message that could not be written nor a broken stream: what came is no message, such
    // as the greeting of a shell that starts the server.
    if (written === undefined && error.code === undefined) this.owner.failed('Something else than caretd writes to its output; its log says what.');
    return { action: ErrorAction.Continue, handled: true };
  }

  async closed(): Promise<CloseHandlerResult> {
    ++this.ends;
    if (!this.owner.wanted()) return { action: CloseAction.DoNotRestart, handled: true };
    const now = Date.now();
    this.deaths = [...this.deaths.filter((at) => now - at < restartWindowMilliseconds), now];
    if (this.deaths.length > restartsInWindow) {
      this.owner.failed('caretd ended again and again; its log says why.');
      return { action: CloseAction.DoNotRestart, handled: true };
    }
    await delay(50 * 2 ** Math.min(this.deaths.length - 1, 6));
    const action = this.owner.wanted() ? CloseAction.Restart : CloseAction.DoNotRestart;
    return { action, handled: true };
  }
}

/** The library's client. What it would show the user of a failure is for its log: the owner tells why. */
export class CaretdClient extends LanguageClient {
  constructor(
    argv: [string, ...string[]],
    readonly policy: RestartPolicy,
    options: LanguageClientOptions,
  ) {
    const [command, ...args] = argv;
    super('caretd', 'caretd', { command, args }, options);
  }

  override error(message: string, data?: unknown): void {
    super.error(message, data, false);
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
  owner: Owner,
  host: ActionHost,
): CaretdClient {
  const policy = new RestartPolicy(owner);
  const client = new CaretdClient(argv, policy, {
    documentSelector,
    initializationOptions: initializationOptions(),
    outputChannel: log,
    revealOutputChannelOn: RevealOutputChannelOn.Never,
    errorHandler: policy,
    initializationFailedHandler: () => false,
    middleware: {
      ...middleware,
      ...actionMiddleware(host),
      workspace: { ...middleware.workspace, ...applyEditMiddleware(host) },
    },
  });
  client.registerFeature(chatCapabilities);
  return client;
}

function ended(server: ChildProcess | undefined): Promise<unknown> {
  const runs = server?.exitCode === null && server.signalCode === null;
  return runs ? once(server, 'exit') : Promise.resolve();
}

/** Starts the client's server; `failed` hears why it did not come up. */
export function startServer(client: CaretdClient, failed: (reason: string) => void) {
  // The client forgets its process before that has ended.
  let server: ChildProcess | undefined;
  return {
    client,
    started: client.start().catch(async (error: unknown) => {
      // A server that ended is started again, or given up for that; its streams may break before.
      await delay(endingMilliseconds);
      if (!client.policy.sawAnEnd) failed(`caretd did not start: ${error instanceof Error ? error.message : String(error)}`);
    }),
    end: async () => {
      server = client.serverProcess;
      // One that never came up cannot be asked.
      await client.dispose().catch(() => server?.kill());
      await ended(server);
    },
    kill: () => {
      (server ?? client.serverProcess)?.kill('SIGKILL');
    },
  };
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
