// Which completions the user switched off. The server holds the switches of a session; this
// remembers them across restarts of the server and of the editor.
import type { Memento } from 'vscode';

import type { Status, Switch } from './protocol';

const key = 'caretd.switches';

function sameTarget(left: Switch, right: Switch): boolean {
  if (left.scope === 'language') {
    return right.scope === 'language' && left.languageId === right.languageId;
  }
  if (left.scope === 'document') return right.scope === 'document' && left.uri === right.uri;
  return left.scope === right.scope;
}

/** What the server says of a target, settings included; undefined while it says nothing. */
function offOnServer(target: Switch, { completions }: Status): boolean | undefined {
  switch (target.scope) {
    case 'global':
      return completions && !completions.enabled;
    case 'comments':
      return completions && !completions.inComments;
    case 'language':
      return completions?.disabledLanguages.includes(target.languageId);
    case 'document':
      return completions?.disabledDocuments.includes(target.uri);
  }
}

export class Switches {
  constructor(private readonly memory: Pick<Memento, 'get' | 'update'>) {}

  /** Everything that was switched off; what is on needs no mention. */
  remembered(): Switch[] {
    return this.memory.get<Switch[]>(key) ?? [];
  }

  /** Whether a target is off now; without a word from the server, as far as is remembered. */
  isOff(target: Switch, status: Status): boolean {
    return offOnServer(target, status) ?? this.remembered().some((known) => sameTarget(known, target));
  }

  remember(change: Switch): void {
    const others = this.remembered().filter((known) => !sameTarget(known, change));
    void this.memory.update(key, change.enabled ? others : [...others, change]);
  }
}
