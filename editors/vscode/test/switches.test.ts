// What is remembered of the switches, and what the server says of them first.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Memento } from 'vscode';

import type { Status, Switch } from '../src/protocol.ts';
import { Switches } from '../src/switches.ts';

const silent: Status = { state: 'starting' };

function memory(): Pick<Memento, 'get' | 'update'> {
  const values = new Map<string, unknown>();
  return {
    get: (key: string) => values.get(key) as never,
    update: (key: string, value: unknown) => Promise.resolve(void values.set(key, value)),
  };
}

test('what was switched off is remembered, each target once', () => {
  const switches = new Switches(memory());
  switches.remember({ scope: 'language', languageId: 'go', enabled: false });
  switches.remember({ scope: 'language', languageId: 'go', enabled: false });
  switches.remember({ scope: 'language', languageId: 'rust', enabled: false });
  switches.remember({ scope: 'language', languageId: 'rust', enabled: true });
  assert.deepEqual(switches.remembered(), [{ scope: 'language', languageId: 'go', enabled: false }]);
  assert.ok(switches.isOff({ scope: 'language', languageId: 'go', enabled: true }, silent));
  assert.ok(!switches.isOff({ scope: 'language', languageId: 'rust', enabled: true }, silent));
  assert.ok(!switches.isOff({ scope: 'global', enabled: true }, silent));
});

test('what was switched on over a setting is remembered until it is switched back', () => {
  const switches = new Switches(memory());
  const on: Switch = { scope: 'language', languageId: 'markdown', enabled: true };
  switches.remember(on);
  assert.deepEqual(switches.remembered(), [on]);
  assert.ok(!switches.isOff(on, silent));
  switches.remember({ ...on, enabled: false });
  assert.deepEqual(switches.remembered(), []);
});

test('what the server says goes before what is remembered', () => {
  const switches = new Switches(memory());
  switches.remember({ scope: 'language', languageId: 'go', enabled: false });
  const status: Status = {
    state: 'ready',
    completions: {
      enabled: true,
      inComments: false,
      disabledLanguages: ['markdown'],
      disabledDocuments: ['file:///a.py'],
    },
  };
  assert.ok(!switches.isOff({ scope: 'language', languageId: 'go', enabled: true }, status));
  assert.ok(switches.isOff({ scope: 'language', languageId: 'markdown', enabled: true }, status));
  assert.ok(switches.isOff({ scope: 'comments', enabled: true }, status));
  assert.ok(switches.isOff({ scope: 'document', uri: 'file:///a.py', enabled: true }, status));
  assert.ok(!switches.isOff({ scope: 'global', enabled: true }, status));
});
