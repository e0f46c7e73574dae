import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Memento } from 'vscode';

import { Switches } from '../src/switches.ts';

function memory(): Pick<Memento, 'get' | 'update'> {
  const values = new Map<string, unknown>();
  return {
    get: (key: string) => values.get(key) as never,
    update: (key: string, value: unknown) => Promise.resolve(void values.set(key, value)),
  };
}

test('only what is off is remembered, each target once', () => {
  const switches = new Switches(memory());
  switches.remember({ scope: 'language', languageId: 'go', enabled: false });
  switches.remember({ scope: 'language', languageId: 'go', enabled: false });
  switches.remember({ scope: 'language', languageId: 'rust', enabled: false });
  switches.remember({ scope: 'language', languageId: 'rust', enabled: true });
  assert.deepEqual(switches.remembered(), [{ scope: 'language', languageId: 'go', enabled: false }]);
  assert.ok(switches.isOff({ scope: 'language', languageId: 'go', enabled: true }));
  assert.ok(!switches.isOff({ scope: 'language', languageId: 'rust', enabled: true }));
  assert.ok(!switches.isOff({ scope: 'global', enabled: true }));
});
