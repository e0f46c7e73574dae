-- Draws one suggestion as grey text: inside or at the end of a line, further lines below it.
local M = {}

local namespace = vim.api.nvim_create_namespace('caretd')
M.namespace = namespace

local function set_highlights()
  vim.api.nvim_set_hl(0, 'CaretdGhost', { default = true, link = 'NonText' })
  vim.api.nvim_set_hl(0, 'CaretdReplaced', { default = true, strikethrough = true })
end

--- Splits what is to be shown from what stands behind the cursor already: when the suggestion
--- ends with the text it replaces (an auto-closed bracket), only the rest is drawn.
--- @param text string what would be inserted at the cursor
--- @param replaced string the text behind the cursor that it replaces
--- @return string shown, boolean strike whether the replaced text must be marked
function M.visible_part(text, replaced)
  if replaced == '' then return text, false end
  if vim.endswith(text, replaced) then return text:sub(1, #text - #replaced), false end
  return text, true
end

function M.clear(buffer)
  if vim.api.nvim_buf_is_valid(buffer) then
    vim.api.nvim_buf_clear_namespace(buffer, namespace, 0, -1)
  end
end

local function chunks(line) return { { line, 'CaretdGhost' } } end

--- Shows `text` at a cursor (0-based row, byte column). `replaced` is the text behind the cursor
--- that accepting would replace.
function M.show(buffer, row, column, text, replaced)
  M.clear(buffer)
  set_highlights()
  local shown, strike = M.visible_part(text, replaced)
  local lines = vim.split(shown, '\n', { plain = true })
  local below = {}
  for i = 2, #lines do
    below[#below + 1] = chunks(lines[i] == '' and ' ' or lines[i])
  end
  vim.api.nvim_buf_set_extmark(buffer, namespace, row, column, {
    virt_text = lines[1] ~= '' and chunks(lines[1]) or nil,
    virt_text_pos = 'inline',
    virt_lines = #below > 0 and below or nil,
    hl_mode = 'combine',
    right_gravity = false,
  })
  if strike then
    vim.api.nvim_buf_set_extmark(buffer, namespace, row, column, {
      end_row = row,
      end_col = column + #replaced,
      hl_group = 'CaretdReplaced',
    })
  end
end

return M
