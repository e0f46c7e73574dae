// The settings of package.json. Their names are those of docs/configuration.md in camelCase; what
// the user has not set is not passed on, so that caretd's own configuration decides.
import * as vscode from 'vscode';

const section = 'caretd';

/** The documents that the server is told of. */
export const documentSelector = [{ scheme: 'file' }, { scheme: 'untitled' }, { scheme: 'vscode-remote' }];

/** Only the user may set these: they have machine scope, and restart the server. */
const machineKeys = [
  'model.path',
  'model.device',
  'model.threads',
  'chat.model',
  'remote.url',
  'remote.model',
  'remote.keyFile',
];

/** A workspace may set these; they take effect at once. */
const projectKeys = [
  'completion.enabled',
  'completion.disabledLanguages',
  'completion.inComments',
  'completion.multiline',
  'completion.minProbability',
  'completion.languageMinProbability',
  'completion.maxTokens',
  'completion.timeBudgetMs',
  'completion.promptTokens',
  'chat.maxTokens',
  'chat.temperature',
  'context.relatedCode',
  'context.ignore',
  'context.respectGitignore',
];

function get<T>(key: string, fallback: T): T {
  return vscode.workspace.getConfiguration(section).get<T>(key) ?? fallback;
}

function explicitlySet(keys: string[], scope?: vscode.Uri): Record<string, unknown> {
  const settings = vscode.workspace.getConfiguration(section, scope);
  const found: Record<string, unknown> = {};
  for (const key of keys) {
    const where = settings.inspect(key);
    const given = [where?.globalValue, where?.workspaceValue, where?.workspaceFolderValue];
    if (given.some((value) => value !== undefined)) found[key] = settings.get(key);
  }
  return found;
}

export function programSetting(): string {
  return get('path', '');
}

export function commandSetting(): string[] {
  return get<string[]>('command', []);
}

/** Counted here and not by the server: VS Code has waited its own 50 ms before it asks. */
export function debounceMilliseconds(): number {
  return get('completion.debounceMs', 0);
}

/** What the server may learn from the user alone, with dotted names. */
export function initializationOptions(): Record<string, unknown> {
  return explicitlySet(machineKeys);
}

/** The answer to workspace/configuration: what a cloned repository might have set as well. */
export function serverConfiguration(scope?: string): Record<string, unknown> {
  return explicitlySet(projectKeys, scope === undefined ? undefined : vscode.Uri.parse(scope));
}

/** Settings that only take effect when the server starts again. */
export function needsRestart(event: vscode.ConfigurationChangeEvent): boolean {
  return ['path', 'command', ...machineKeys].some((key) =>
    event.affectsConfiguration(`${section}.${key}`),
  );
}
