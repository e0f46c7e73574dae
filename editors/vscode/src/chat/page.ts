// The page of the chat view.
import * as crypto from 'node:crypto';

import * as vscode from 'vscode';

/** No network, no inline code: our script by its nonce, styles from our folder, nothing else. */
export function page(webview: vscode.Webview, folder: vscode.Uri): string {
  const nonce = crypto.randomBytes(16).toString('base64');
  const file = (name: string) => webview.asWebviewUri(vscode.Uri.joinPath(folder, name)).toString();
  const policy = [
    "default-src 'none'",
    `script-src 'nonce-${nonce}'`,
    `style-src ${webview.cspSource}`,
    "form-action 'none'",
    "base-uri 'none'",
  ].join('; ');
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<link rel="stylesheet" href="${file('chat.css')}">
<title>caretd chat</title>
</head>
<body>
<main id="transcript" role="log" aria-live="polite"></main>
<footer>
<div id="choices">
<label><input type="checkbox" value="selection" checked>Selection</label>
<label><input type="checkbox" value="file">File</label>
<label><input type="checkbox" value="openFiles">Open files</label>
<label><input type="checkbox" value="diagnostics">Problems</label>
</div>
<textarea id="question" rows="3" placeholder="Ask about your code" aria-label="Question"></textarea>
<div id="buttons">
<button id="send">Send</button>
<button id="stop" hidden>Stop</button>
<button id="again" class="quiet">Once More</button>
<button id="new" class="quiet">New Chat</button>
</div>
</footer>
<script nonce="${nonce}" src="${file('chat.js')}"></script>
</body>
</html>`;
}
