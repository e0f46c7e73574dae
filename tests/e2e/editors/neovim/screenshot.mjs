// A picture of Neovim's terminal: what tmux holds, drawn by xterm.js in headless Chromium.
import fs from 'node:fs';
import path from 'node:path';

import { launchChromium } from '../chromium.mjs';
import { saveImage } from '../helpers.mjs';

const xterm = path.join(import.meta.dirname, '../node_modules/@xterm/xterm');

function pageOf(rows, columns, text) {
  const style = fs.readFileSync(path.join(xterm, 'css/xterm.css'), 'utf8');
  const script = fs.readFileSync(path.join(xterm, 'lib/xterm.js'), 'utf8');
  const options = { rows, cols: columns, fontFamily: 'DejaVu Sans Mono', fontSize: 14,
    lineHeight: 1.15, theme: { background: '#14161b' } };
  return `<!doctype html><style>${style} body { margin: 0; display: inline-block }</style>
    <div id="terminal"></div><script>${script}</script><script>
      const terminal = new Terminal(${JSON.stringify(options)});
      terminal.open(document.getElementById('terminal'));
      terminal.write(${JSON.stringify(text)}, () => document.body.classList.add('drawn'));
    </script>`;
}

/** Saves the first rows of the screen, colours included. */
export async function saveScreenshot(nvim, name, rows = 14) {
  const lines = nvim.screen('-e').split('\n');
  const [row, column] = nvim.tmux('display-message', '-p', '#{cursor_y} #{cursor_x}').stdout
    .split(' ').map(Number);
  const text = lines.slice(0, rows).join('\r\n') + `\x1b[${row + 1};${column + 1}H`;
  const browser = await launchChromium();
  try {
    const page = await browser.newPage({ viewport: { width: 760, height: 400 } });
    await page.setContent(pageOf(rows, 80, text));
    await page.locator('body.drawn').waitFor();
    saveImage(name, await page.locator('.xterm-screen').screenshot(), `docs/images/${name}`);
  } finally {
    await browser.close();
  }
}
