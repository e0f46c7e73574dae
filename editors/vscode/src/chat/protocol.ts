// Messages of caretd/chat (docs/protocol.md) and those between the extension and its webview.

export interface ContextReport {
  kind: 'selection' | 'file' | 'diagnostics';
  uri: string;
  tokens: number;
  totalTokens: number;
  leftOut?: string;
}

/** The first partial result of a reply. */
export interface ChatOpening {
  conversationId: string;
  context: ContextReport[];
  promptTokens: number;
  messagesLeftOut: number;
  notice?: string;
}

export interface ChatResult extends ChatOpening {
  content: string;
  finishReason: 'end' | 'maxTokens' | 'contextFull';
}

/** A partial result: the opening, then the pieces of the reply. */
export type Part = ChatOpening | { content: string };

/** What may go with a question. */
export type ContextChoice = 'selection' | 'file' | 'openFiles' | 'diagnostics';

/** The argument of a code action's command. */
export interface ActionArgument {
  verb: string;
  uri: string;
  version: number;
  range: unknown;
  instruction?: string;
  partialResultToken?: string;
}

/** A reply with code that the server found no file for, and why. */
export interface UnplacedReply {
  reason: string;
  content: string;
}

export type ToWebview =
  | { type: 'question'; text: string }
  | { type: 'opening'; context: string; notice: string }
  | { type: 'piece'; text: string }
  | { type: 'end'; note: string }
  | { type: 'clear' };

export type FromWebview =
  | { type: 'ready' }
  | { type: 'ask'; text: string; context: ContextChoice[] }
  | { type: 'cancel' }
  | { type: 'regenerate' }
  | { type: 'new' }
  | { type: 'copy'; code: string }
  | { type: 'insert'; code: string }
  | { type: 'apply'; code: string };
