-- The state of the server in words.
local client = require('caretd.client')

local M = {}

local icons = { starting = '…', ready = '●', busy = '◐', off = '○', failed = '✗' }

--- A few characters for a statusline.
function M.text()
  local status = client.status
  local text = (icons[status.state] or '?') .. ' caretd'
  if status.state == 'starting' then return ('%s %d%%'):format(text, status.percent or 0) end
  return text
end

--- One line with everything that is known.
function M.sentence()
  local status = client.status
  local where = status.model and (' (%s on %s)'):format(status.model, status.device or '?') or ''
  local why = status.reason and (': ' .. status.reason) or ''
  return ('caretd is %s%s%s'):format(status.state, where, why)
end

return M
