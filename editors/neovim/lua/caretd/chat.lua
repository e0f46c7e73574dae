-- :Caretd chat: a conversation in a split, streamed as it is written.
local blocks = require('caretd.chat_blocks')
local client = require('caretd.client')

local M = {}

-- buffer: the transcript; conversation: its id at the server; cancel: of the reply under way;
-- source: where code is applied: a buffer, and an extmark around what was sent of it.
local state = { tokens = 0 }
local namespace = vim.api.nvim_create_namespace('caretd.chat')

local function say(text, level) vim.notify('caretd: ' .. text, level or vim.log.levels.INFO) end

local function is_open() return state.buffer ~= nil and vim.api.nvim_buf_is_valid(state.buffer) end

local function transcript() return vim.api.nvim_buf_get_lines(state.buffer, 0, -1, false) end

-- Adds text at the end; windows whose cursor is on the last line follow it.
local function append(text)
  if not is_open() then return end
  local buffer = state.buffer
  local last = vim.api.nvim_buf_line_count(buffer) - 1
  local line = vim.api.nvim_buf_get_lines(buffer, last, last + 1, false)[1]
  local following = vim.tbl_filter(
    function(window) return vim.api.nvim_win_get_cursor(window)[1] == last + 1 end,
    vim.fn.win_findbuf(buffer)
  )
  vim.bo[buffer].modifiable = true
  vim.api.nvim_buf_set_text(
    buffer,
    last,
    #line,
    last,
    #line,
    vim.split(text, '\n', { plain = true })
  )
  vim.bo[buffer].modifiable = false
  for _, window in ipairs(following) do
    vim.api.nvim_win_set_cursor(window, { vim.api.nvim_buf_line_count(buffer), 0 })
  end
end

local function close_conversation()
  if state.cancel then state.cancel() end
  if state.conversation and client.get() then
    client.notify('caretd/closeChat', { conversationId = state.conversation })
  end
  state.conversation, state.cancel = nil, nil
end

local function set_keys(buffer)
  local function map(lhs, action, desc)
    vim.keymap.set('n', lhs, action, { buffer = buffer, nowait = true, desc = 'caretd: ' .. desc })
  end
  map('<CR>', M.ask, 'ask')
  map('<C-c>', M.cancel, 'cancel the reply')
  map('R', M.regenerate, 'answer once more')
  map('gy', M.yank, 'yank the code block')
  map('ga', M.apply, 'apply the code block')
  map('q', '<Cmd>close<CR>', 'close')
end

local function new_buffer()
  local buffer = vim.api.nvim_create_buf(false, true)
  vim.bo[buffer].bufhidden = 'hide'
  vim.bo[buffer].modeline = false
  vim.bo[buffer].undolevels = -1
  vim.bo[buffer].filetype = 'markdown'
  vim.bo[buffer].modifiable = false
  pcall(vim.api.nvim_buf_set_name, buffer, 'caretd://chat')
  set_keys(buffer)
  vim.api.nvim_create_autocmd('BufWipeout', { buffer = buffer, callback = close_conversation })
  return buffer
end

--- Opens the split, or finds it; the cursor goes there.
function M.open()
  if not is_open() then state.buffer = new_buffer() end
  local window = vim.fn.win_findbuf(state.buffer)[1]
  if window then
    vim.api.nvim_set_current_win(window)
    return
  end
  vim.cmd('botright vsplit')
  vim.api.nvim_win_set_buf(0, state.buffer)
  vim.wo.wrap = true
  vim.wo.linebreak = true
  vim.wo.number = false
end

local function describe(context)
  local parts = {}
  for _, item in ipairs(context) do
    local name = vim.fn.fnamemodify(vim.uri_to_fname(item.uri), ':.')
    local left_out = item.leftOut and (', %s of %d'):format(item.leftOut, item.totalTokens) or ''
    table.insert(parts, ('%s (%d tokens%s)'):format(name, item.tokens, left_out))
  end
  return table.concat(parts, ', ')
end

-- What the prompt was made of, in front of the reply.
local function show_opening(opening)
  state.conversation = opening.conversationId
  if #opening.context > 0 then append('> context: ' .. describe(opening.context) .. '\n\n') end
  if opening.messagesLeftOut > 0 then
    append(('> %d older messages were left out\n\n'):format(opening.messagesLeftOut))
  end
  if opening.notice and opening.notice ~= state.notice then
    state.notice = opening.notice
    append('> ' .. opening.notice .. '\n\n')
  end
end

-- Whether a reply is under way, which is then said.
local function busy()
  if state.cancel then say('the last question is still being answered; <C-c> cancels it') end
  return state.cancel ~= nil
end

-- Sends a request whose reply streams into the transcript, behind what was typed into a buffer.
local function send(method, params, holder, buffer)
  if busy() then return end
  state.tokens = state.tokens + 1
  local token = 'caretd-chat-' .. state.tokens
  holder.partialResultToken = token
  local over = false
  local function finish(text)
    if over then return end
    over = true
    client.progress[token] = nil
    state.cancel = nil
    append(text)
  end
  client.progress[token] = function(value)
    if value.conversationId then show_opening(value) end
    if value.content then append(value.content) end
  end
  local cancel = client.request(method, params, function(err, result)
    if not err and result and result.finishReason == 'maxTokens' then append(' […]') end
    -- Another server does not know the conversation of the one before.
    if err then state.conversation = nil end
    finish(err and ('> ' .. err.message .. '\n\n') or '\n\n')
  end, buffer or state.buffer)
  if not cancel then
    finish('> ' .. require('caretd.status').sentence() .. '\n\n')
    return
  end
  state.cancel = function()
    cancel()
    -- Neovim keeps the answer to a cancelled request to itself.
    finish('\n\n> cancelled\n\n')
  end
end

local function show_question(text) append('## ' .. text:gsub('\n', '\n## ') .. '\n\n') end

-- Remembers a range of a buffer (rows, the last exclusive) as what `ga` replaces.
local function remember_source(buffer, first, last)
  state.source = { buffer = buffer, window = vim.api.nvim_get_current_win() }
  vim.api.nvim_buf_clear_namespace(buffer, namespace, 0, -1)
  if first then
    state.source.mark = vim.api.nvim_buf_set_extmark(buffer, namespace, first, 0, {
      end_row = math.min(last, vim.api.nvim_buf_line_count(buffer)),
      end_right_gravity = false,
      strict = false,
    })
  end
end

local function selection_context(buffer, first, last)
  return {
    kind = 'selection',
    textDocument = { uri = vim.uri_from_bufnr(buffer) },
    range = {
      start = { line = first, character = 0 },
      ['end'] = { line = last, character = 0 },
    },
  }
end

--- Asks `question`, or asks the user for one. `range`: rows of the buffer in front, the last
--- exclusive, that go with it.
function M.ask(question, range)
  local buffer = vim.api.nvim_get_current_buf()
  local context = {}
  if client.wants(buffer) then remember_source(buffer, range and range[1], range and range[2]) end
  if range then context = { selection_context(buffer, range[1], range[2]) } end
  local function go(text)
    if not text or vim.trim(text) == '' then return end
    M.open()
    if busy() then return end
    show_question(text)
    local params = { message = text, conversationId = state.conversation }
    if #context > 0 then params.context = context end
    send('caretd/chat', params, params, buffer)
  end
  if question and question ~= '' then return go(question) end
  vim.ui.input({ prompt = 'Ask caretd: ' }, go)
end

--- Carries out the command of an Explain action in the split.
function M.explain(command)
  if busy() then return end
  local argument = vim.deepcopy(command.arguments[1])
  remember_source(vim.uri_to_bufnr(argument.uri))
  M.open()
  show_question(command.title)
  close_conversation()
  local run = { command = command.command, arguments = { argument } }
  send('workspace/executeCommand', run, argument)
end

--- Carries out a command of caretd that answers with an edit or a sentence.
function M.execute(command)
  client.request('workspace/executeCommand', command, function(err, result)
    if err then return say(err.message, vim.log.levels.WARN) end
    if result and result.content then
      M.open()
      append(('> %s\n\n%s\n\n'):format(result.reason, result.content))
    end
  end, vim.api.nvim_get_current_buf())
end

--- Asks for an instruction, then carries the command out.
function M.refactor(command)
  vim.ui.input({ prompt = 'What to change: ' }, function(text)
    if not text or vim.trim(text) == '' then return end
    local argument = vim.tbl_extend('force', command.arguments[1], { instruction = text })
    M.execute({ command = command.command, arguments = { argument } })
  end)
end

function M.cancel()
  if state.cancel then state.cancel() end
end

function M.regenerate()
  if not state.conversation then return say('there is no reply yet') end
  append('> once more\n\n')
  local params = { conversationId = state.conversation, message = '', regenerate = true }
  send('caretd/chat', params, params)
end

-- The code block under the cursor of the split, or the last one above it.
local function block_here()
  if not is_open() then return nil end
  local window = vim.fn.win_findbuf(state.buffer)[1]
  local row = window and vim.api.nvim_win_get_cursor(window)[1] - 1 or math.huge
  local block = blocks.at(transcript(), row)
  if not block then say('there is no code block here') end
  return block
end

--- Yanks the code block under the cursor.
function M.yank()
  local block = block_here()
  if not block then return end
  vim.fn.setreg(vim.v.register, block.lines, 'l')
  say(('yanked %d lines'):format(#block.lines))
end

--- Puts the code block where the selection was that went with the question, else below the
--- cursor of the window that asked; one undo step.
function M.apply()
  local block = block_here()
  if not block then return end
  local source = state.source
  if not source or not vim.api.nvim_buf_is_loaded(source.buffer) then
    return say('there is no buffer to apply it to')
  end
  local first, last
  local mark = source.mark
    and vim.api.nvim_buf_get_extmark_by_id(
      source.buffer,
      namespace,
      source.mark,
      { details = true }
    )
  if mark and mark[1] then
    first, last = mark[1], mark[3].end_row
  else
    local window = vim.fn.win_findbuf(source.buffer)[1]
    first = window and vim.api.nvim_win_get_cursor(window)[1]
      or vim.api.nvim_buf_line_count(source.buffer)
    last = first
  end
  vim.api.nvim_buf_set_lines(source.buffer, first, last, false, block.lines)
end

--- For tests and statuslines: whether a reply is being written.
function M.busy() return state.cancel ~= nil end

--- The commands that Neovim runs here instead of at the server.
M.commands = {
  ['caretd.explain'] = function(command) M.explain(command) end,
  ['caretd.refactor'] = function(command) M.refactor(command) end,
  ['caretd.writeTests'] = function(command) M.execute(command) end,
}

return M
