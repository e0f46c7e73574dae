// An edit that the model proposes: shown as a diff, kept or discarded by the user.
import * as vscode from 'vscode';

/** Scheme of the documents that hold proposed texts. */
const scheme = 'caretd-proposal';

export interface Proposal {
  uri: vscode.Uri;
  title: string;
  edits: vscode.TextEdit[];
  /** Of the document that the edits were made for; undefined: it is a file to be created. */
  version: number | undefined;
  /** What the user should know of the model that made it. */
  notice?: string | undefined;
}

interface Preview {
  readonly proposed: vscode.Uri;
  readonly decide: (keep: boolean) => void;
}

/** The text with the edits, which do not overlap and stand in the order of the text. */
function withEdits(document: vscode.TextDocument | undefined, edits: vscode.TextEdit[]): string {
  if (document === undefined) return edits.map(({ newText }) => newText).join('');
  let text = '';
  let end = 0;
  const source = document.getText();
  for (const { range, newText } of edits) {
    text += source.slice(end, document.offsetAt(range.start)) + newText;
    end = document.offsetAt(range.end);
  }
  return text + source.slice(end);
}

function isChanged(document: vscode.TextDocument | undefined, { version }: Proposal): boolean {
  return version !== undefined && document?.version !== version;
}

async function exists(uri: vscode.Uri): Promise<boolean> {
  return await vscode.workspace.fs.stat(uri).then(
    () => true,
    () => false,
  );
}

/** The text that the edits are for; undefined where they make a file. Throws why they cannot be applied. */
async function documentOf(proposal: Proposal): Promise<vscode.TextDocument | undefined> {
  const { uri, version } = proposal;
  if (version === undefined) {
    if (!(await exists(uri))) return undefined;
    const name = vscode.workspace.asRelativePath(uri);
    throw new Error(`${name} exists already; open it and ask again, and the tests are added to it`);
  }
  const document = await vscode.workspace.openTextDocument(uri);
  if (isChanged(document, proposal)) throw new Error('the document has changed; ask again');
  return document;
}

function shownUri(input: unknown): string | undefined {
  return input instanceof vscode.TabInputTextDiff ? input.modified.toString() : undefined;
}

async function closeDiff(proposed: vscode.Uri): Promise<void> {
  const tabs = vscode.window.tabGroups.all.flatMap((group) => group.tabs);
  await vscode.window.tabGroups.close(tabs.filter(({ input }) => shownUri(input) === proposed.toString()));
}

/** One step, so that one undo takes it back. */
async function apply({ uri, edits, version }: Proposal): Promise<void> {
  const edit = new vscode.WorkspaceEdit();
  if (version === undefined) edit.createFile(uri, { overwrite: false });
  edit.set(uri, edits);
  if (!(await vscode.workspace.applyEdit(edit))) throw new Error('VS Code did not take the edit');
}

export class Previews implements vscode.TextDocumentContentProvider, vscode.Disposable {
  /** By the URI of the proposed text. */
  private readonly texts = new Map<string, string>();
  private readonly open = new Map<string, Preview>();
  private readonly subscriptions: vscode.Disposable[];
  private made = 0;

  constructor() {
    const decision = (keep: boolean) => (uri?: vscode.Uri) => {
      this.inFront(uri)?.decide(keep);
    };
    this.subscriptions = [
      vscode.workspace.registerTextDocumentContentProvider(scheme, this),
      vscode.commands.registerCommand('caretd.keepEdit', decision(true)),
      vscode.commands.registerCommand('caretd.discardEdit', decision(false)),
      // A diff that is closed is an edit that was not wanted.
      vscode.window.tabGroups.onDidChangeTabs(({ closed }) => {
        for (const { input } of closed) this.open.get(shownUri(input) ?? '')?.decide(false);
      }),
    ];
  }

  provideTextDocumentContent(uri: vscode.Uri): string {
    return this.texts.get(uri.toString()) ?? '';
  }

  /** Shows the proposal until the user has decided; whether it was kept. Throws why it was not applied. */
  async propose(proposal: Proposal): Promise<boolean> {
    const { uri, notice } = proposal;
    const document = await documentOf(proposal);
    if (notice !== undefined) void vscode.window.showInformationMessage(`caretd: ${notice}`);
    const proposed = uri.with({ scheme, query: String(++this.made) });
    const before = document === undefined ? uri.with({ scheme, query: 'new' }) : uri;
    this.texts.set(proposed.toString(), withEdits(document, proposal.edits));
    const kept = await this.decision(before, proposed, proposal.title);
    await closeDiff(proposed);
    this.texts.delete(proposed.toString());
    if (!kept) return false;
    if (isChanged(document, proposal)) throw new Error('the document has changed meanwhile; ask again');
    await apply(proposal);
    await vscode.window.showTextDocument(uri);
    return true;
  }

  dispose(): void {
    for (const { decide } of this.open.values()) decide(false);
    vscode.Disposable.from(...this.subscriptions).dispose();
  }

  private async decision(before: vscode.Uri, proposed: vscode.Uri, title: string): Promise<boolean> {
    const key = proposed.toString();
    const decided = new Promise<boolean>((decide) => {
      this.open.set(key, { proposed, decide });
    });
    const name = vscode.workspace.asRelativePath(proposed.with({ scheme: before.scheme, query: '' }));
    // An editor of its own: as a "preview" the next file that is looked at would take its place.
    await vscode.commands.executeCommand('vscode.diff', before, proposed, `${title} (${name})`, { preview: false });
    return await decided.finally(() => this.open.delete(key));
  }

  /** The preview that a button was pressed in, or that a command of the palette is meant for. */
  private inFront(uri?: vscode.Uri): Preview | undefined {
    const shown = shownUri(vscode.window.tabGroups.activeTabGroup.activeTab?.input);
    return this.open.get(uri?.toString() ?? '') ?? this.open.get(shown ?? '');
  }
}
