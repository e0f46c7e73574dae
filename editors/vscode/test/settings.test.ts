// The schema of package.json against the reference of caretd's own configuration.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

interface Schema {
  default: unknown;
  scope: string;
  description?: string;
  markdownDescription?: string;
}
interface Manifest {
  contributes: { configuration: { properties: Record<string, Schema> } };
  capabilities: { untrustedWorkspaces: { restrictedConfigurations: string[] } };
}

// The tests run in the extension's folder.
const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as Manifest;
const schemas = Object.entries(manifest.contributes.configuration.properties);

/** The rows of the table of keys, by the names that settings have: default, may a project set it. */
const reference = new Map<string, { default: unknown; project: boolean }>(
  readFileSync('../../docs/configuration.md', 'utf8')
    .split('\n')
    .flatMap((line) => {
      const row = /^\| `([\w.]+)` \| `(.+?)` \| .* \| (yes|no) \|/.exec(line);
      if (row?.[1] === undefined || row[2] === undefined) return [];
      const name = row[1].replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
      return [[`caretd.${name}`, { default: JSON.parse(row[2]) as unknown, project: row[3] === 'yes' }]] as const;
    }),
);

test('settings have the defaults of the configuration and a description', () => {
  const shared = schemas.filter(([name]) => reference.has(name));
  assert.ok(shared.length >= 15, `${shared.length} settings are in the reference`);
  for (const [name, schema] of schemas) {
    assert.ok(schema.description ?? schema.markdownDescription, name);
    const known = reference.get(name);
    if (known) assert.deepEqual(schema.default, known.default, name);
  }
});

test('what a project must not set has machine scope and is restricted in untrusted workspaces', () => {
  const own = ['caretd.path', 'caretd.command'];
  const guarded = schemas
    .filter(([name]) => own.includes(name) || reference.get(name)?.project === false)
    .map(([name]) => name);
  assert.deepEqual(manifest.capabilities.untrustedWorkspaces.restrictedConfigurations.sort(), guarded.sort());
  for (const [name, schema] of schemas) assert.equal(schema.scope === 'machine', guarded.includes(name), name);
});
