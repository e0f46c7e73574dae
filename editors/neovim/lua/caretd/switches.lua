-- What is switched off on the server, told again to every new server process.
local client = require('caretd.client')

local M = {}

-- Parameters of caretd/setEnabled by a key that names their target.
local off = {}

local function send(switch)
  client.request('caretd/setEnabled', switch, function() end, vim.api.nvim_get_current_buf())
end

--- Switches a target to the other side; returns whether it is on now. The target is the
--- parameters of caretd/setEnabled without `enabled`.
function M.toggle(target)
  local key = table.concat({ target.scope, target.languageId or target.uri or '' }, ' ')
  local enabled = off[key] ~= nil
  local switch = vim.tbl_extend('force', target, { enabled = enabled })
  off[key] = not enabled and switch or nil
  send(switch)
  return enabled
end

--- Tells a server that has just started.
function M.greet()
  vim.schedule(function()
    for _, switch in pairs(off) do
      send(switch)
    end
  end)
end

return M
