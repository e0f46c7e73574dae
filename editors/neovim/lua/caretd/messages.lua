-- What the plugin says by itself.
local M = {}

--- Shows a message. One longer than the screen is wide would stop the user until Enter is pressed;
--- the state's whole reason is in :Caretd status.
function M.show(text, level)
  local room = math.max(vim.v.echospace, 20)
  if vim.fn.strdisplaywidth(text) > room then
    text = vim.fn.strcharpart(text, 0, room - 1) .. '…'
  end
  vim.notify(text, level)
end

return M
