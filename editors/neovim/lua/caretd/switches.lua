-- What is switched off, or on over a setting; told again to every new server process.
local client = require('caretd.client')

local M = {}

-- Parameters of caretd/setEnabled by a key that names their target; a target that is back at what
-- the settings say has none.
local switched = {}

local function send(switch)
  client.request('caretd/setEnabled', switch, function() end, vim.api.nvim_get_current_buf())
end

-- What the server says of a target, its settings included; nil while it says nothing.
local function off_on_server(target)
  local now = client.status.completions
  if not now then return nil end
  if target.scope == 'global' then return not now.enabled end
  if target.scope == 'comments' then return not now.inComments end
  if target.scope == 'language' then
    return vim.list_contains(now.disabledLanguages, target.languageId)
  end
  return vim.list_contains(now.disabledDocuments, target.uri)
end

--- Switches a target to the other side; returns whether it is on now. The target is the
--- parameters of caretd/setEnabled without `enabled`.
function M.toggle(target)
  local key = table.concat({ target.scope, target.languageId or target.uri or '' }, ' ')
  local known = switched[key]
  local enabled = off_on_server(target)
  if enabled == nil then enabled = known ~= nil and not known.enabled end
  local switch = vim.tbl_extend('force', target, { enabled = enabled })
  local back = known ~= nil and known.enabled ~= enabled
  switched[key] = not back and switch or nil
  send(switch)
  return enabled
end

--- Tells a server that has just started; documents are told of when they are opened.
function M.greet()
  vim.schedule(function()
    for _, switch in pairs(switched) do
      if switch.scope ~= 'document' then send(switch) end
    end
  end)
end

--- The server forgets a document's switch when it is closed.
function M.opened(buffer)
  local uri = vim.uri_from_bufnr(buffer)
  for _, switch in pairs(switched) do
    if switch.uri == uri then send(switch) end
  end
end

return M
