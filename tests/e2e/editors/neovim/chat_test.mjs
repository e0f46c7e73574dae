// :Caretd chat and code actions in Neovim: scripted answers first, then the embedded model.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { cache, messages, recordedCaretd, waitFor } from '../helpers.mjs';
import { Recording } from '../recording.mjs';
import { Neovim } from './nvim.mjs';

const program = process.env.NVIM ?? path.join(cache, 'neovim-0.12/bin/nvim');
const server = path.resolve(import.meta.dirname, '../chat_server.mjs');
const source = ['def f(x):', '    return x', '', 'y = f(1)', ''].join('\n');
const reply = ['Use this:\n\n``', '`python\ndef f(x):\n', '    return x + 1\n```\n', '\nDone.'];

async function open(t, script, text = source) {
  const nvim = new Neovim(program, {
    files: { 'a.py': text },
    setup: `{ cmd = { 'node', '${server}' } }`,
    environment: { SCRIPT: JSON.stringify(script) },
  });
  nvim.log = path.join(nvim.folder, 'server.log');
  nvim.environment.SCRIPT_LOG = nvim.log;
  t.after(() => nvim.close());
  await nvim.open('a.py');
  await waitFor('didOpen', () => received(nvim, 'textDocument/didOpen').length > 0);
  await nvim.waitForReady();
  return nvim;
}

const received = (nvim, method) => messages(nvim.log).filter((message) => message.method === method);
const transcript = (nvim) =>
  nvim.lua("vim.api.nvim_buf_get_lines(vim.fn.bufnr('caretd://chat'), 0, -1, false)") ?? [];
const sourceLines = (nvim) =>
  nvim.lua("vim.api.nvim_buf_get_lines(vim.fn.bufnr('a.py'), 0, -1, false)");

async function command(nvim, text) {
  nvim.type(`:${text}`);
  nvim.press('Enter');
}

test('a question streams into a split; a code block is yanked and applied, undone by one u', async (t) => {
  const nvim = await open(t, { pieces: reply, milliseconds: 20 });
  await command(nvim, '1,2Caretd chat Why?');
  await waitFor('the reply', () => transcript(nvim).includes('Done.'));
  const lines = transcript(nvim);
  assert.equal(lines[0], '## Why?');
  assert.ok(lines.includes('    return x + 1'));
  const [{ params }] = received(nvim, 'caretd/chat');
  assert.equal(params.message, 'Why?');
  assert.deepEqual(params.context[0].range, {
    start: { line: 0, character: 0 }, end: { line: 2, character: 0 },
  });
  await waitFor('the end', () => nvim.lua("require('caretd.chat').busy() == false"));
  nvim.type('gy');
  await waitFor('the yank', () => nvim.lua("vim.fn.getreg('\"')") === 'def f(x):\n    return x + 1\n');
  nvim.type('ga');
  await waitFor('the edit', () => sourceLines(nvim)?.[1] === '    return x + 1');
  assert.deepEqual(sourceLines(nvim), ['def f(x):', '    return x + 1', '', 'y = f(1)']);
  await command(nvim, 'wincmd p');
  nvim.type('u');
  await waitFor('undo', () => sourceLines(nvim)?.[1] === '    return x');
  assert.deepEqual(sourceLines(nvim), source.split('\n').slice(0, -1));
});

test('the next question goes on with the conversation; what is visual goes along', async (t) => {
  const nvim = await open(t, { pieces: ['ok'] });
  await command(nvim, 'Caretd chat One?');
  await waitFor('the reply', () => transcript(nvim).includes('ok'));
  await command(nvim, 'wincmd p');
  nvim.type('Vj');
  await command(nvim, 'Caretd chat Two?');
  await waitFor('the second', () => received(nvim, 'caretd/chat').length === 2);
  const { params } = received(nvim, 'caretd/chat')[1];
  assert.equal(params.conversationId, 'chat-1');
  assert.equal(params.context[0].kind, 'selection');
  await waitFor('its end', () => nvim.lua("require('caretd.chat').busy() == false"));
  nvim.type('R');
  await waitFor('once more', () => received(nvim, 'caretd/chat').at(-1).params.regenerate === true);
});

test('a reply is cancelled and says so', async (t) => {
  const nvim = await open(t, { pieces: Array(2000).fill('on '), milliseconds: 10 });
  await command(nvim, 'Caretd chat Talk');
  await waitFor('some words', () => transcript(nvim).some((line) => line.startsWith('on on')));
  // Neovim takes a Ctrl-C that arrives while it works for an interrupt and not for a key.
  await waitFor('the word of it', () => {
    nvim.press('C-c');
    return transcript(nvim).includes('> cancelled');
  });
  await waitFor('the cancel', () => received(nvim, '$/cancelRequest').length === 1);
  // An answer of the server after that one means that nothing streams any more.
  const length = transcript(nvim).join('').length;
  await command(nvim, 'wincmd p');
  await command(nvim, 'lua vim.lsp.buf.code_action()');
  await waitFor('a later request', () => received(nvim, 'textDocument/codeAction').length > 0);
  assert.equal(transcript(nvim).join('').length, length, 'text after the cancel');
});

test('a server that ends during a reply ends the reply', async (t) => {
  const nvim = await open(t, { pieces: Array(2000).fill('on '), milliseconds: 10 });
  await command(nvim, 'Caretd chat Talk');
  await waitFor('some words', () => transcript(nvim).some((line) => line.startsWith('on on')));
  process.kill(received(nvim, '$start').at(-1).pid, 'SIGKILL');
  await waitFor('the word of it', () => transcript(nvim).some((line) => /> caretd ended/.test(line)));
  assert.equal(nvim.lua("require('caretd.chat').busy() == false"), true);
  await waitFor('another server', () => received(nvim, 'textDocument/didOpen').length === 2);
  await nvim.waitForReady();
  await command(nvim, 'Caretd chat Again');
  await waitFor('its reply', () => received(nvim, 'caretd/chat').at(-1).params.message === 'Again');
  assert.equal(received(nvim, 'caretd/chat').at(-1).params.conversationId, undefined);
});

test('a question about text that was just typed comes after the text', async (t) => {
  const nvim = await open(t, { pieces: ['ok'] });
  nvim.lua(`(function()
    vim.api.nvim_buf_set_lines(0, 0, 1, false, { 'def g(x):' })
    require('caretd.chat').ask('Why?', { 0, 2 })
  end)()`);
  await waitFor('the question', () => received(nvim, 'caretd/chat').length === 1);
  const order = messages(nvim.log).map(({ method }) => method);
  const changed = order.indexOf('textDocument/didChange');
  assert.ok(changed >= 0 && changed < order.indexOf('caretd/chat'), order.join());
});

test('errors of the server, context and notices are lines of the transcript', async (t) => {
  const nvim = await open(t, {
    pieces: [],
    error: 'The model folder is missing.',
    opening: {
      notice: 'Only a little chat.',
      context: [{ kind: 'file', uri: '$uri', tokens: 5, totalTokens: 9, leftOut: 'cut' }],
    },
  });
  await command(nvim, 'Caretd chat Hello');
  await waitFor('the error', () => transcript(nvim).includes('> The model folder is missing.'));
  assert.ok(transcript(nvim).includes('> Only a little chat.'));
  assert.ok(transcript(nvim).some((line) => /^> context: .*a\.py \(5 tokens, cut of 9\)$/.test(line)));
});

const documentAction = {
  title: "Document 'f'", kind: 'refactor.rewrite', data: { uri: '$uri', version: '$version' },
};
const edit = {
  documentChanges: [{
    textDocument: { uri: '$uri', version: '$version' },
    edits: [{
      range: { start: { line: 1, character: 0 }, end: { line: 1, character: 12 } },
      newText: '    """Give x back."""\n    return x',
    }],
  }],
};

test('a code action is resolved, applied, and undone by one u', async (t) => {
  const nvim = await open(t, { actions: [documentAction], edit });
  await command(nvim, 'lua vim.lsp.buf.code_action({ apply = true })');
  await waitFor('the edit', () => sourceLines(nvim)?.[1] === '    """Give x back."""');
  nvim.type('u');
  await waitFor('undo', () => sourceLines(nvim)?.[1] === '    return x');
  assert.equal(sourceLines(nvim).length, 4);
});

test('an action that comes to nothing says why and changes nothing', async (t) => {
  const nvim = await open(t, {
    actions: [documentAction], edit: 'The reply is empty; nothing was changed.',
  });
  await command(nvim, 'lua vim.lsp.buf.code_action({ apply = true })');
  await waitFor('the sentence', () =>
    /The reply is empty/.test(nvim.lua("vim.fn.execute('messages')") ?? ''));
  assert.deepEqual(sourceLines(nvim), source.split('\n').slice(0, -1));
});

const actionCalled = (title) =>
  `lua vim.lsp.buf.code_action({ apply = true, filter = function(a) return a.title == "${title}" end })`;

const testsAction = {
  title: "Write tests for 'f'", kind: 'source.writeTests',
  command: {
    title: "Write tests for 'f'", command: 'caretd.writeTests',
    arguments: [{ verb: 'writeTests', uri: '$uri', version: '$version', range: {} }],
  },
};

test('a file of tests is made and shown, and never goes over one that is there', async (t) => {
  const uri = '$uri.test.py';
  const newText = 'def test_f():\n    assert f(1) == 1\n';
  const start = { line: 0, character: 0 };
  const nvim = await open(t, {
    actions: [testsAction],
    edit: {
      documentChanges: [
        { kind: 'create', uri, options: { overwrite: false } },
        { textDocument: { uri, version: null }, edits: [{ range: { start, end: start }, newText }] },
      ],
    },
  });
  const decisions = () => messages(nvim.log).map(({ result }) => result)
    .filter((result) => result?.applied !== undefined);
  const made = path.join(nvim.folder, 'a.py.test.py');
  fs.writeFileSync(made, 'kept\n');
  await command(nvim, actionCalled("Write tests for 'f'"));
  await waitFor('the refusal', () => decisions().length === 1);
  assert.equal(decisions()[0].applied, false);
  assert.match(decisions()[0].failureReason, /^a\.py\.test\.py exists already; open it and ask again/);
  assert.equal(fs.readFileSync(made, 'utf8'), 'kept\n');

  fs.rmSync(made);
  await command(nvim, actionCalled("Write tests for 'f'"));
  await waitFor('the file', () => decisions().length === 2);
  assert.deepEqual(decisions()[1], { applied: true });
  await nvim.waitForScreen('def test_f():');
  assert.equal(nvim.lua("vim.fn.expand('%:t')"), 'a.py');
});

test('an edit of a text that has changed is refused with a reason', async (t) => {
  const stale = structuredClone(edit);
  stale.documentChanges[0].textDocument.version = 1;
  const nvim = await open(t, { actions: [testsAction], edit: stale });
  nvim.type('onew');
  nvim.press('Escape');
  await waitFor('the change', () =>
    received(nvim, 'textDocument/didChange').some(({ params }) => params.textDocument.version > 1));
  await command(nvim, actionCalled("Write tests for 'f'"));
  const answer = await waitFor('the refusal', () =>
    messages(nvim.log).map(({ result }) => result).find((result) => result?.applied !== undefined));
  assert.deepEqual(answer, { applied: false, failureReason: 'a.py has changed meanwhile; ask again' });
  assert.match(sourceLines(nvim)[1], /new/);
});

test('tests that no file can be made for are shown in the split, with the reason', async (t) => {
  const nvim = await open(t, {
    actions: [testsAction], result: { applied: false, reason: 'No file for these.', content: 'def test_f(): pass' },
  });
  await command(nvim, actionCalled("Write tests for 'f'"));
  await waitFor('the reply', () => transcript(nvim).includes('def test_f(): pass'));
  assert.ok(transcript(nvim).includes('> No file for these.'));
});

test('Explain opens the split, Refactor asks for an instruction', async (t) => {
  const argument = { verb: 'explain', uri: '$uri', version: '$version', range: {} };
  const action = (title, name) => ({
    title, kind: 'source', command: { title, command: name, arguments: [argument] },
  });
  const nvim = await open(t, {
    pieces: ['It returns x.'],
    actions: [action('Explain', 'caretd.explain'), action('Refactor', 'caretd.refactor')],
  });
  const run = (title) => command(nvim, actionCalled(title));
  await run('Refactor');
  await waitFor('the prompt', () => /What to change/.test(nvim.screen()));
  nvim.type('Rename it');
  nvim.press('Enter');
  await waitFor('the command', () => received(nvim, 'workspace/executeCommand').length === 1);
  assert.equal(received(nvim, 'workspace/executeCommand')[0].params.arguments[0].instruction, 'Rename it');
  await run('Explain');
  await waitFor('the explanation', () => transcript(nvim).includes('It returns x.'));
});

/** A Neovim with caretd and the embedded model, ready, and what they say to each other. */
async function openCaretd(t) {
  const nvim = new Neovim(program, { files: { 'a.py': source } });
  t.after(() => nvim.close());
  const recording = new Recording(path.join(nvim.folder, 'lsp.log'));
  const server = recordedCaretd(recording.file).map((word) => `'${word}'`).join(', ');
  nvim.configure(`{ cmd = { ${server} } }`);
  await nvim.open('a.py');
  await nvim.waitForReady();
  return { nvim, recording };
}

test('the embedded model chats and is cancelled', async (t) => {
  const { nvim } = await openCaretd(t);
  await command(nvim, 'Caretd chat Write a function that adds two numbers.');
  await waitFor('the notice', () => transcript(nvim).some((line) => /^> 'tiny' is a/.test(line)));
  await waitFor('the end of the reply, which is cancelled', () => {
    nvim.press('C-c');
    return nvim.lua("require('caretd.chat').busy() == false");
  });
});

test('the embedded model carries out every action: an edit, undone by one u, or a sentence', async (t) => {
  const { nvim, recording } = await openCaretd(t);
  const before = source.split('\n').slice(0, -1);
  const isAsBefore = () => sourceLines(nvim)?.join('\n') === before.join('\n');
  // What the model writes is a matter of chance; what becomes of it is not.
  const carriedOut = async (method, take) => {
    const known = recording.answers(method).length;
    await command(nvim, 'buffer a.py');
    await command(nvim, '2');
    await take();
    const answer = await waitFor(`the answer to ${method}`, () => recording.answers(method)[known]);
    if (answer.error) {
      await waitFor('the sentence', () => nvim.screen().includes('nothing was changed'));
      nvim.press('Enter');  // it is longer than the message line
    }
    return answer;
  };
  const undone = async (answer) => {
    if (!answer.error) {
      await waitFor('the edit', () => !isAsBefore());
      nvim.type('u');
    }
    await waitFor('the lines as they were', isAsBefore);
  };
  await undone(await carriedOut('codeAction/resolve', () => command(nvim, actionCalled("Document 'f'"))));

  const diagnostic = '{ message = "x is wrong", range = { start = { line = 1, character = 11 }, ' +
    '["end"] = { line = 1, character = 12 } } }';
  await undone(await carriedOut('codeAction/resolve', () => command(nvim,
    'lua vim.lsp.buf.code_action({ apply = true, context = { only = { "quickfix" }, ' +
    `diagnostics = { ${diagnostic} } } })`)));

  await undone(await carriedOut('workspace/executeCommand', async () => {
    await command(nvim, actionCalled("Refactor 'f' with an instruction…"));
    await waitFor('the prompt', () => /What to change/.test(nvim.screen()));
    nvim.type('Return x + 1.');
    nvim.press('Enter');
  }));

  const testLines = () => nvim.lua("vim.api.nvim_buf_get_lines(vim.fn.bufnr('test_a.py'), 0, -1, false)");
  const tests = await carriedOut('workspace/executeCommand', () =>
    command(nvim, actionCalled("Write tests for 'f'")));
  if (!tests.error) {
    assert.equal(tests.result.applied, true, JSON.stringify(tests.result));
    await waitFor('the file of tests', () => /\S/.test(testLines()?.join('') ?? ''));
  }
  await waitFor('the lines as they were', isAsBefore);

  const explained = await carriedOut('workspace/executeCommand', () =>
    command(nvim, actionCalled("Explain 'f'")));
  assert.equal(typeof explained.result?.content, 'string', JSON.stringify(explained));
});
