-- Asks for suggestions while the user types, shows one, and accepts it whole or in parts.
local client = require('caretd.client')
local config = require('caretd.config')
local ghost = require('caretd.ghost')
local suggestion = require('caretd.suggestion')

local M = {}

local automatic, invoked = 2, 1

-- The suggestion of the buffer in front: { buffer, row, items, index }.
local current = nil
-- The request in flight and the timer before it.
local pending = { cancel = nil, timer = nil, generation = 0 }

local function cursor()
  local position = vim.api.nvim_win_get_cursor(0)
  return position[1] - 1, position[2]
end

local function inserting() return vim.api.nvim_get_mode().mode:sub(1, 1) == 'i' end

local function forget()
  if current then ghost.clear(current.buffer) end
  current = nil
end

local function cancel_pending()
  pending.generation = pending.generation + 1
  if pending.timer then
    pending.timer:stop()
    pending.timer:close()
    pending.timer = nil
  end
  if pending.cancel then
    pending.cancel()
    pending.cancel = nil
  end
end

--- What is left of the shown suggestion at the cursor: the item and its text, or nil.
local function live()
  if not current or current.buffer ~= vim.api.nvim_get_current_buf() then return nil end
  local row, column = cursor()
  if row ~= current.row then return nil end
  local item = current.items[current.index]
  local rest = suggestion.remainder(item, vim.api.nvim_get_current_line(), column)
  if not rest then return nil end
  return item, rest
end

local function redraw()
  local item, rest = live()
  if not item then
    forget()
    return false
  end
  local row, column = cursor()
  ghost.show(current.buffer, row, column, rest, item.behind)
  return true
end

-- Which of the items is the suggestion on the screen, so that one the user has chosen stays.
local function index_of_shown(items)
  local _, rest = live()
  local _, column = cursor()
  local line = vim.api.nvim_get_current_line()
  for index, item in ipairs(items) do
    if rest and suggestion.remainder(item, line, column) == rest then return index end
  end
  return 1
end

local function show(buffer, result, encoding)
  if vim.api.nvim_get_current_buf() ~= buffer or not inserting() then return end
  local row, column = cursor()
  local line = vim.api.nvim_get_current_line()
  local items = {}
  for _, item in ipairs(result and (result.items or result) or {}) do
    items[#items + 1] = suggestion.from_item(item, row, column, line, encoding)
  end
  if #items == 0 then
    -- No answer takes away what still agrees with the typed text.
    if not live() then forget() end
    return
  end
  current = { buffer = buffer, row = row, items = items, index = index_of_shown(items) }
  redraw()
end

local function ask(kind)
  local buffer = vim.api.nvim_get_current_buf()
  local server = client.get()
  if not server or not inserting() then return end
  local params = vim.lsp.util.make_position_params(0, server.offset_encoding)
  params.context = { triggerKind = kind }
  local tick = vim.api.nvim_buf_get_changedtick(buffer)
  local generation = pending.generation
  pending.cancel = client.request('textDocument/inlineCompletion', params, function(err, result)
    if generation ~= pending.generation then return end
    pending.cancel = nil
    if err or not vim.api.nvim_buf_is_valid(buffer) then return end
    if vim.api.nvim_buf_get_changedtick(buffer) ~= tick then return end
    show(buffer, result, server.offset_encoding)
  end, buffer)
end

local function native_is_on(buffer)
  local native = vim.lsp.inline_completion
  return native ~= nil and native.is_enabled({ bufnr = buffer })
end

--- Asks after the configured debounce; what was asked before is withdrawn.
function M.schedule()
  local buffer = vim.api.nvim_get_current_buf()
  cancel_pending()
  if not config.enabled(buffer) or native_is_on(buffer) then return end
  if config.options.debounce <= 0 then
    ask(automatic)
    return
  end
  local timer = vim.uv.new_timer()
  pending.timer = timer
  timer:start(
    config.options.debounce,
    0,
    vim.schedule_wrap(function()
      if pending.timer ~= timer then return end
      timer:close()
      pending.timer = nil
      ask(automatic)
    end)
  )
end

--- The text changed in insert mode: keep what agrees at once, and ask for what comes next.
function M.on_change()
  redraw()
  M.schedule()
end

--- The cursor moved without a change: a suggestion belongs to its place.
function M.on_move()
  if current and not redraw() then cancel_pending() end
end

function M.on_leave()
  cancel_pending()
  forget()
end

function M.trigger()
  cancel_pending()
  ask(invoked)
end

function M.dismiss()
  cancel_pending()
  forget()
end

function M.visible() return live() ~= nil end

--- Shows another of the alternatives; asks for some when there is only one.
function M.cycle(step)
  if not live() then return end
  if #current.items == 1 then
    M.trigger()
    return
  end
  current.index = (current.index - 1 + step) % #current.items + 1
  redraw()
end

-- A change of its own for undo: what was typed before stays, what is accepted goes in one step.
local function undo_break() vim.bo.undolevels = vim.bo.undolevels end

local function insert(row, column, text, behind)
  local lines = vim.split(text, '\n', { plain = true })
  vim.api.nvim_buf_set_text(0, row, column, row, column + #behind, lines)
  local last_row = row + #lines - 1
  local last_column = #lines == 1 and column + #text or #lines[#lines]
  vim.api.nvim_win_set_cursor(0, { last_row + 1, last_column })
end

local function run_command(command)
  if not command or command == vim.NIL then return end
  client.request('workspace/executeCommand', {
    command = command.command,
    arguments = command.arguments,
  }, function() end, vim.api.nvim_get_current_buf())
end

--- Accepts everything, or the part of it that `part` cuts off. True if there was a suggestion.
function M.accept(part)
  local item, rest = live()
  if not item then return false end
  local row, column = cursor()
  local piece = part and part(rest) or rest
  undo_break()
  if piece == rest then
    local command = item.command
    forget()
    insert(row, column, piece, item.behind)
    run_command(command)
  else
    insert(row, column, piece, '')
    M.follow(item, rest:sub(#piece + 1))
  end
  undo_break()
  return true
end

--- Keeps what is left after a part was accepted, at the new place of the cursor.
function M.follow(item, rest)
  local row, column = cursor()
  local left = vim.deepcopy(item)
  left.start, left.text = column, rest
  current = { buffer = vim.api.nvim_get_current_buf(), row = row, items = { left }, index = 1 }
  redraw()
end

return M
