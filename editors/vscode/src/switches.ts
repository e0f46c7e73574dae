// Which completions the user switched off, or on over a setting. The server holds the switches of a
// session; this remembers them across restarts of the server and of the editor.
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

  /** Everything that is switched to other than what the settings say. */
  remembered(): Switch[] {
    return this.memory.get<Switch[]>(key) ?? [];
  }

  /** Whether a target is off now; without a word from the server, as far as is remembered. */
  isOff(target: Switch, status: Status): boolean {
    return offOnServer(target, status) ?? this.of(target)?.enabled === false;
  }

  /** Switching back to what the settings say leaves nothing to remember, and later settings count. */
  remember(change: Switch): void {
    const known = this.of(change);
    const others = this.remembered().filter((other) => other !== known);
    const back = known !== undefined && known.enabled !== change.enabled;
    void this.memory.update(key, back ? others : [...others, change]);
  }

  /** What is remembered of a target. */
  of(target: Switch): Switch | undefined {
    return this.remembered().find((known) => sameTarget(known, target));
  }
}
