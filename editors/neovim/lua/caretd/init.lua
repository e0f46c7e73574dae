-- caretd: inline suggestions from a language model on this machine. See :help caretd.
local client = require('caretd.client')
local config = require('caretd.config')
local inline = require('caretd.inline')
local suggestion = require('caretd.suggestion')

local M = {}

--- Accepts the suggestion whole, to the end of its first word, or of its first line.
--- Each returns false when nothing is suggested.
function M.accept() return inline.accept() end
function M.accept_word() return inline.accept(suggestion.first_word) end
function M.accept_line() return inline.accept(suggestion.first_line) end
function M.next() inline.cycle(1) end
function M.previous() inline.cycle(-1) end
function M.dismiss() inline.dismiss() end
function M.trigger() inline.trigger() end
--- True while grey text is on the screen; for mappings of one's own.
function M.visible() return inline.visible() end
--- Text for a statusline.
function M.statusline() return require('caretd.status').text() end

-- What a key did before: its mapping, or the key itself; ahead of keys that were typed meanwhile.
local function previous_meaning(lhs)
  local mapping = vim.fn.maparg(lhs, 'i', false, true)
  if vim.tbl_isempty(mapping) then
    return function() vim.api.nvim_feedkeys(vim.keycode(lhs), 'in', false) end
  end
  return function()
    if mapping.callback and mapping.expr == 0 then return mapping.callback() end
    local keys = mapping.callback and mapping.callback() or mapping.rhs
    if mapping.expr == 1 and not mapping.callback then keys = vim.api.nvim_eval(mapping.rhs) end
    vim.api.nvim_feedkeys(vim.keycode(keys or ''), mapping.noremap == 1 and 'in' or 'im', false)
  end
end

local function popup_owns_keys()
  local info = vim.fn.complete_info({ 'pum_visible', 'selected' })
  if info.pum_visible == 1 and info.selected >= 0 then return true end
  local ok, blink = pcall(function()
    local menu = package.loaded['blink.cmp']
    return menu.is_visible() and menu.get_selected_item() ~= nil
  end)
  if ok and blink then return true end
  local found, cmp = pcall(function() return package.loaded['cmp'].get_active_entry() end)
  return found and cmp ~= nil
end

local function map(lhs, action)
  local fallback = previous_meaning(lhs)
  vim.keymap.set('i', lhs, function()
    if inline.visible() and not popup_owns_keys() then
      action()
    else
      fallback()
    end
  end, { silent = true, desc = 'caretd' })
end

-- The keys that are ours, and what stood there before.
local replaced = {}

local function give_keys_back()
  for lhs, mapping in pairs(replaced) do
    local now = vim.fn.maparg(lhs, 'i', false, true)
    if now.buffer == 0 and vim.startswith(now.desc or '', 'caretd') then
      vim.keymap.del('i', lhs)
      if mapping.buffer == 0 then vim.fn.mapset('i', false, mapping) end
    end
  end
  replaced = {}
end

local function set_keymaps(keymaps)
  give_keys_back()
  for name, lhs in pairs(keymaps or {}) do
    if lhs then replaced[lhs] = vim.fn.maparg(lhs, 'i', false, true) end
    if lhs and name == 'trigger' then
      vim.keymap.set('i', lhs, M.trigger, { silent = true, desc = 'caretd: trigger' })
    elseif lhs then
      map(lhs, M[name])
    end
  end
end

local function set_autocommands()
  local group = vim.api.nvim_create_augroup('caretd', {})
  local function on(events, callback, pattern)
    vim.api.nvim_create_autocmd(events, { group = group, callback = callback, pattern = pattern })
  end
  on({ 'FileType', 'BufEnter' }, function(event)
    if client.wants(event.buf) then client.attach(event.buf) end
  end)
  on({ 'TextChangedI', 'TextChangedP' }, inline.on_change)
  -- The mode only changes after the event.
  on('InsertEnter', vim.schedule_wrap(inline.schedule))
  on('CursorMovedI', inline.on_move)
  on('BufLeave', inline.on_leave)
  -- InsertLeave is not told of <C-c>, nor of the change to Replace mode.
  on('ModeChanged', inline.on_leave, 'i*:[^i]*')
  on({ 'BufEnter', 'LspAttach' }, function(event)
    if event.buf == vim.api.nvim_get_current_buf() then client.focus(event.buf) end
  end)
  on('LspAttach', function(event)
    local server = client.get()
    if server and server.id == event.data.client_id then
      require('caretd.switches').opened(event.buf)
    end
  end)
  on('VimLeavePre', client.stop)
end

--- Starts caretd. Options: :help caretd-options. May be called again to change them.
function M.setup(options)
  if vim.fn.has('nvim-0.10') == 0 then
    vim.notify('caretd needs Neovim 0.10 or newer.', vim.log.levels.ERROR)
    return
  end
  config.set(options)
  client.configure()
  set_autocommands()
  set_keymaps(config.options.keymaps)
  local buffer = vim.api.nvim_get_current_buf()
  if client.wants(buffer) then client.attach(buffer) end
end

return M
