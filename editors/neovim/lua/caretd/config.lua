-- Options of setup(), their defaults and their types.
local M = {}

M.defaults = {
  -- The command that speaks LSP on its standard streams; e.g. { 'ssh', 'box', 'caretd', 'lsp' }.
  cmd = { 'caretd', 'lsp' },
  -- Milliseconds between a key press and the request, 0 to 2000.
  debounce = 0,
  -- true or false by filetype; '*' is everything that is not named.
  filetypes = { ['*'] = true },
  -- Keys in insert mode; false sets none. <Tab> keeps its meaning when nothing is suggested.
  keymaps = {
    accept = '<Tab>',
    accept_word = '<M-Right>',
    accept_line = '<M-Down>',
    next = '<M-]>',
    previous = '<M-[>',
    dismiss = '<C-]>',
    trigger = '<M-\\>',
  },
  -- The server's own settings, by the names of its configuration file; what is not named is left
  -- to that file. `server` is read at start: { model = { path = '/srv/models/x' } }.
  server = {},
  -- `settings` is what may change while it runs: { completion = { max_tokens = 32 } }.
  settings = {},
}

M.options = vim.deepcopy(M.defaults)

local types = {
  cmd = 'table',
  debounce = 'number',
  filetypes = 'table',
  keymaps = { 'table', 'boolean' },
  server = 'table',
  settings = 'table',
}

local function has_type(value, expected)
  if type(expected) == 'string' then return type(value) == expected end
  return vim.tbl_contains(expected, type(value))
end

local function key_problem(name, lhs)
  if M.defaults.keymaps[name] == nil then
    return ("there is no key '%s' in option 'keymaps'"):format(name)
  elseif lhs and type(lhs) ~= 'string' then
    return ("key '%s' of option 'keymaps' cannot be a %s"):format(name, type(lhs))
  end
end

--- What is wrong with the options a user gave; empty if nothing is.
function M.problems(given)
  local found = {}
  for name, value in pairs(given) do
    if types[name] == nil then
      table.insert(found, ("there is no option '%s'"):format(name))
    elseif not has_type(value, types[name]) then
      table.insert(found, ("option '%s' cannot be a %s"):format(name, type(value)))
    end
  end
  local keymaps = type(given.keymaps) == 'table' and given.keymaps or {}
  for name, lhs in pairs(keymaps) do
    found[#found + 1] = key_problem(name, lhs)
  end
  table.sort(found)
  return found
end

--- Merges the user's options over the defaults; what is wrong is reported and left out.
function M.set(given)
  given = given or {}
  local found = M.problems(given)
  if #found > 0 then
    vim.notify('caretd: ' .. table.concat(found, '; '), vim.log.levels.ERROR)
    given = vim.deepcopy(given)
    for name, value in pairs(given) do
      if types[name] == nil or not has_type(value, types[name]) then given[name] = nil end
    end
    for name, lhs in pairs(type(given.keymaps) == 'table' and given.keymaps or {}) do
      if key_problem(name, lhs) then given.keymaps[name] = nil end
    end
  end
  M.options = vim.tbl_deep_extend('force', M.defaults, given)
  if given.cmd then M.options.cmd = given.cmd end
  if given.keymaps == true then M.options.keymaps = vim.deepcopy(M.defaults.keymaps) end
end

--- Whether suggestions are wanted in a buffer: the buffer's own switch, then its filetype's.
function M.enabled(buffer)
  local own = vim.b[buffer].caretd_enabled
  if own ~= nil then return own end
  local by_type = M.options.filetypes[vim.bo[buffer].filetype]
  if by_type ~= nil then return by_type end
  return M.options.filetypes['*'] ~= false
end

return M
