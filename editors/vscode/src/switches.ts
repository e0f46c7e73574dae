// Which completions the user switched off. The server holds the switches of a session; this
// remembers them across restarts of the server and of the editor.
import type { Memento } from 'vscode';

import type { Switch } from './protocol';

const key = 'caretd.switches';

function sameTarget(left: Switch, right: Switch): boolean {
  if (left.scope === 'language') {
    return right.scope === 'language' && left.languageId === right.languageId;
  }
  if (left.scope === 'document') return right.scope === 'document' && left.uri === right.uri;
  return left.scope === right.scope;
}

export class Switches {
  constructor(private readonly memory: Pick<Memento, 'get' | 'update'>) {}

  /** Everything that is off now; what is on needs no mention. */
  remembered(): Switch[] {
    return this.memory.get<Switch[]>(key) ?? [];
  }

  isOff(target: Switch): boolean {
    return this.remembered().some((known) => sameTarget(known, target));
  }

  remember(change: Switch): void {
    const others = this.remembered().filter((known) => !sameTarget(known, change));
    void this.memory.update(key, change.enabled ? others : [...others, change]);
  }
}
