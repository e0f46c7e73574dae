// Markdown that is drawn while it is written. Blocks that are finished are drawn once and stay;
// only the last one, which may still change, is drawn again.
import hljs from 'highlight.js/lib/common';
import MarkdownIt, { type Token } from 'markdown-it';

// What a model writes is untrusted: HTML is text, and nothing points anywhere.
const markdown = new MarkdownIt({ html: false, linkify: false }).disable([
  'image',
  'link',
  'autolink',
  'reference',
]);

// Colours for more than that would hold up the drawing.
const mostHighlighted = 50_000;

markdown.renderer.rules.fence = (tokens, index) => {
  const token = tokens[index];
  return token === undefined ? '' : codeBlock(token.content, token.info.trim().split(/\s+/)[0] ?? '');
};
markdown.renderer.rules.code_block = (tokens, index) => codeBlock(tokens[index]?.content ?? '', '');

function highlighted(code: string, language: string): string {
  if (code.length > mostHighlighted || hljs.getLanguage(language) === undefined) {
    return markdown.utils.escapeHtml(code);
  }
  return hljs.highlight(code, { language, ignoreIllegals: true }).value;
}

function codeBlock(code: string, language: string): string {
  const name = markdown.utils.escapeHtml(language);
  return (
    `<div class="block"><div class="bar"><span>${name}</span>` +
    '<button data-action="copy">Copy</button>' +
    '<button data-action="insert">Insert at Cursor</button>' +
    '<button data-action="apply">Apply as Diff</button>' +
    `</div><pre><code class="hljs">${highlighted(code, language)}</code></pre></div>`
  );
}

function render(tokens: Token[]): string {
  return markdown.renderer.render(tokens, markdown.options, {});
}

/** The fence that `source` begins with and does not end; its code so far. */
function openFence(source: string): string | undefined {
  const opening = /^ {0,3}(`{3,}|~{3,})[^\n]*\n/.exec(source);
  if (opening?.[1] === undefined) return undefined;
  const code = source.slice(opening[0].length);
  const mark = opening[1];
  const closing = new RegExp(`^ {0,3}${mark.charAt(0)}{${mark.length},}[ \\t]*$`, 'm');
  return closing.test(code) ? undefined : code;
}

export class StreamingMarkdown {
  private source = ''; // of the block that is not finished
  private readonly live = document.createElement('div');
  private plain: Text | undefined; // the code of a fence that is still written

  constructor(parent: HTMLElement) {
    parent.append(this.live);
  }

  push(text: string): void {
    this.source += text;
    const code = openFence(this.source);
    if (code !== undefined) {
      this.drawOpenFence(code);
      return;
    }
    this.plain = undefined;
    const tokens = markdown.parse(this.source, {});
    this.live.innerHTML = render(this.settle(tokens));
  }

  finish(): void {
    this.live.insertAdjacentHTML('beforebegin', render(markdown.parse(this.source, {})));
    this.live.remove();
  }

  /** Code grows at its end; it gets its colours when it is complete. */
  private drawOpenFence(code: string): void {
    if (this.plain === undefined) {
      const pre = document.createElement('pre');
      const inner = document.createElement('code');
      this.plain = document.createTextNode('');
      inner.append(this.plain);
      pre.append(inner);
      this.live.replaceChildren(pre);
    }
    this.plain.appendData(code.slice(this.plain.length));
  }

  /** Moves all blocks but the last out of the part that is drawn again; what is left of them. */
  private settle(tokens: Token[]): Token[] {
    const last = tokens.findLastIndex(({ level, map, nesting }) => level === 0 && map !== null && nesting >= 0);
    const line = tokens[last]?.map?.[0] ?? 0;
    if (line === 0) return tokens;
    this.live.insertAdjacentHTML('beforebegin', render(tokens.slice(0, last)));
    this.source = this.source.split('\n').slice(line).join('\n');
    return tokens.slice(last);
  }
}
