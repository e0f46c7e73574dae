// The script of the chat view. Runs in the webview: no network, no editor, messages alone.
import type { ContextChoice, FromWebview, ToWebview } from '../protocol';
import { StreamingMarkdown } from './markdown';

declare function acquireVsCodeApi(): { postMessage(message: FromWebview): void };

const host = acquireVsCodeApi();
const transcript = element('transcript');
const question = element('question') as HTMLTextAreaElement;
const send = element('send');
const stop = element('stop');

let reply: StreamingMarkdown | undefined;
let pending = '';
let scheduled = false;

function element(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) throw new Error(id);
  return found;
}

function add(className: string, text: string): HTMLElement {
  const node = document.createElement('div');
  node.className = className;
  node.textContent = text;
  transcript.append(node);
  return node;
}

function setBusy(busy: boolean): void {
  send.hidden = busy;
  stop.hidden = !busy;
}

/** Whether the user sees the end; then the view follows it. */
function followsEnd(): boolean {
  return transcript.scrollHeight - transcript.scrollTop - transcript.clientHeight < 40;
}

/** Draws at most once a frame, however many pieces arrive. */
function flush(): void {
  scheduled = false;
  if (reply === undefined || pending === '') return;
  const follow = followsEnd();
  reply.push(pending);
  pending = '';
  if (follow) transcript.scrollTop = transcript.scrollHeight;
}

function currentReply(): StreamingMarkdown {
  reply ??= new StreamingMarkdown(add('reply', ''));
  return reply;
}

const handlers: { [Type in ToWebview['type']]: (message: Extract<ToWebview, { type: Type }>) => void } = {
  question: ({ text }) => {
    add('question', text);
    reply = undefined;
    setBusy(true);
    transcript.scrollTop = transcript.scrollHeight;
  },
  opening: ({ context, notice }) => {
    if (context !== '') add('note', context);
    if (notice !== '' && !transcript.textContent.includes(notice)) add('note', notice);
  },
  piece: ({ text }) => {
    currentReply();
    pending += text;
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(flush);
  },
  end: ({ note }) => {
    flush();
    reply?.finish();
    reply = undefined;
    if (note !== '') add('note', note);
    setBusy(false);
  },
  clear: () => {
    transcript.replaceChildren();
    reply = undefined;
    pending = '';
    setBusy(false);
  },
};

window.addEventListener('message', ({ data }: MessageEvent<ToWebview>) => {
  (handlers[data.type] as ((message: ToWebview) => void) | undefined)?.(data);
});

function ask(): void {
  const text = question.value.trim();
  if (text === '' || send.hidden) return;
  const boxes = document.querySelectorAll<HTMLInputElement>('#choices input:checked');
  host.postMessage({ type: 'ask', text, context: [...boxes].map((box) => box.value as ContextChoice) });
  question.value = '';
}

send.addEventListener('click', ask);
stop.addEventListener('click', () => {
  host.postMessage({ type: 'cancel' });
});
element('again').addEventListener('click', () => {
  host.postMessage({ type: 'regenerate' });
});
element('new').addEventListener('click', () => {
  host.postMessage({ type: 'new' });
});
question.addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  ask();
});
transcript.addEventListener('click', ({ target }) => {
  if (!(target instanceof HTMLButtonElement)) return;
  const code = target.closest('.block')?.querySelector('code')?.textContent ?? '';
  const action = target.dataset['action'];
  if (action === 'copy' || action === 'insert' || action === 'apply') host.postMessage({ type: action, code });
});

host.postMessage({ type: 'ready' });
