// One conversation with the server: questions go out, replies stream in.
import * as vscode from 'vscode';

import type { ActionArgument, ChatResult, ContextReport, Part, ToWebview, UnplacedReply } from './protocol';

/** What a conversation needs of the running server. */
export interface ChatServer {
  /** A request whose partial results are heard as they come; throws the sentence it fails with. */
  stream: (
    method: string,
    params: (partialResultToken: string) => object,
    hear: (part: Part) => void,
    cancelled: vscode.CancellationToken,
  ) => Promise<ChatResult>;
  notify: (method: string, params: object) => void;
}

const leftOutWords: Record<string, string> = {
  cut: 'cut',
  noRoom: 'no room',
  ignored: 'ignored',
  notOpen: 'not open',
};

function describe(item: ContextReport): string {
  const name = vscode.workspace.asRelativePath(vscode.Uri.parse(item.uri));
  if (item.leftOut === undefined) return `${name} (${item.tokens} tokens)`;
  const of = item.leftOut === 'cut' ? ` to ${item.tokens} of ${item.totalTokens} tokens` : '';
  return `${name} (${leftOutWords[item.leftOut] ?? item.leftOut}${of})`;
}

function endNote(result: ChatResult): string {
  return result.finishReason === 'end' ? '' : 'The reply was cut at its longest.';
}

export class Conversation {
  private id: string | undefined;
  private running: vscode.CancellationTokenSource | undefined;

  constructor(
    private readonly server: () => ChatServer,
    private readonly show: (message: ToWebview) => void,
  ) {}

  async ask(message: string, context: object[]): Promise<void> {
    await this.send(message, 'caretd/chat', (partialResultToken) => ({
      message,
      context,
      partialResultToken,
      ...(this.id === undefined ? {} : { conversationId: this.id }),
    }));
  }

  async regenerate(): Promise<void> {
    const conversationId = this.id;
    if (conversationId === undefined) return;
    await this.send('Once more', 'caretd/chat', (partialResultToken) => ({
      message: '',
      regenerate: true,
      conversationId,
      partialResultToken,
    }));
  }

  /** An Explain action: the server writes the question; the conversation goes on from there. */
  async explain(argument: ActionArgument): Promise<void> {
    this.reset();
    await this.send('Explain this', 'workspace/executeCommand', (partialResultToken) => ({
      command: 'caretd.explain',
      arguments: [{ ...argument, partialResultToken }],
    }));
  }

  /** Tests that the server found no file for: to be copied from a conversation of their own. */
  showUnplaced({ reason, content }: UnplacedReply): void {
    this.reset();
    this.show({ type: 'question', text: 'Write tests' });
    this.show({ type: 'piece', text: content });
    this.show({ type: 'end', note: reason });
  }

  cancel(): void {
    this.running?.cancel();
  }

  /** Ends the conversation; the next question begins another. */
  reset(): void {
    this.cancel();
    this.running = undefined;
    if (this.id !== undefined) this.server().notify('caretd/closeChat', { conversationId: this.id });
    this.id = undefined;
    this.show({ type: 'clear' });
  }

  private async send(
    question: string,
    method: string,
    params: (partialResultToken: string) => object,
  ): Promise<void> {
    if (this.running !== undefined) return;
    const running = new vscode.CancellationTokenSource();
    this.running = running;
    this.show({ type: 'question', text: question });
    const hear = (part: Part) => {
      if (this.running === running) this.hear(part);
    };
    const note = await this.server()
      .stream(method, params, hear, running.token)
      .then(endNote, (error: unknown) => this.failure(error, running.token));
    running.dispose();
    if (this.running !== running) return; // another conversation is shown by now
    this.running = undefined;
    this.show({ type: 'end', note });
  }

  private failure(error: unknown, { isCancellationRequested }: vscode.CancellationToken): string {
    if (isCancellationRequested) return 'Cancelled.';
    // A server that started again does not know the conversation; the next question begins one.
    this.id = undefined;
    return (error as Error).message;
  }

  private hear(part: Part): void {
    if ('content' in part) {
      this.show({ type: 'piece', text: part.content });
      return;
    }
    this.id = part.conversationId;
    const parts = part.context.map(describe);
    if (part.messagesLeftOut > 0) parts.push(`${part.messagesLeftOut} older messages left out`);
    this.show({ type: 'opening', context: parts.join(', '), notice: part.notice ?? '' });
  }
}
