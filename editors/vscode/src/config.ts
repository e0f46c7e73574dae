// The settings of package.json, read with their types.
import * as vscode from 'vscode';

const section = 'caretd';

function get<T>(key: string, fallback: T): T {
  return vscode.workspace.getConfiguration(section).get<T>(key) ?? fallback;
}

export function programSetting(): string {
  return get('path', '');
}

export function commandSetting(): string[] {
  return get<string[]>('command', []);
}

export function debounceMilliseconds(): number {
  return get('debounce', 0);
}

/**
 * What the server may only learn from the user, never from a workspace: these settings have
 * machine scope, so VS Code itself ignores them in a workspace's settings.json.
 */
export function initializationOptions(): Record<string, unknown> {
  const options: Record<string, unknown> = {};
  const model = get<string>('model', '');
  if (model !== '') options['model'] = model;
  const device = get<string>('device', 'auto');
  if (device !== 'auto') options['device'] = device;
  const url = get<string>('remote.url', '');
  if (url !== '') options['remote'] = { url, model: get<string>('remote.model', '') };
  return options;
}

/** Settings that only take effect when the server starts again. */
export function needsRestart(event: vscode.ConfigurationChangeEvent): boolean {
  return ['path', 'command', 'model', 'device', 'remote'].some((key) =>
    event.affectsConfiguration(`${section}.${key}`),
  );
}
