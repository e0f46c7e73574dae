// Messages beyond the LSP specification; docs/protocol.md is their reference.

export type State = 'starting' | 'ready' | 'busy' | 'off' | 'failed';

/** Parameters of the `caretd/status` notification and result of the request of that name. */
export interface Status {
  state: State;
  /** Progress of loading the model, 0 to 100; while starting. */
  percent?: number;
  model?: string;
  device?: string;
  /** One sentence, when off or failed. */
  reason?: string;
  /** What is switched on and off, settings and switches together. */
  completions?: {
    enabled: boolean;
    inComments: boolean;
    disabledLanguages: string[];
    disabledDocuments: string[];
  };
}

/** Parameters of `caretd/setEnabled`. */
export type Switch =
  | { scope: 'global'; enabled: boolean }
  | { scope: 'language'; languageId: string; enabled: boolean }
  | { scope: 'document'; uri: string; enabled: boolean }
  | { scope: 'comments'; enabled: boolean };
