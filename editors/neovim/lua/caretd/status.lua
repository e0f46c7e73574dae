-- The state of the server in words.
local client = require('caretd.client')
local config = require('caretd.config')

local M = {}

local icons = { starting = '…', ready = '●', busy = '◐', off = '○', failed = '✗' }

-- Whether completions are off in the buffer in front: everywhere, for its filetype, for itself.
local function is_off()
  local buffer = vim.api.nvim_get_current_buf()
  if not config.enabled(buffer) then return true end
  local now = client.status.completions
  if not now then return false end
  return not now.enabled
    or vim.list_contains(now.disabledLanguages, vim.bo[buffer].filetype)
    or vim.list_contains(now.disabledDocuments, vim.uri_from_bufnr(buffer))
end

--- A few characters for a statusline.
function M.text()
  local status = client.status
  local works = status.state == 'ready' or status.state == 'busy'
  local icon = works and is_off() and icons.off or icons[status.state]
  local text = (icon or '?') .. ' caretd'
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
