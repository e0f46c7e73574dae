-- What is suggested in the buffer in front: items, which one is shown, and whether what the user
-- has typed since still agrees with it. Columns are bytes, rows are 0-based.
local M = {}

--- Byte column of an LSP position in a line.
local function byte_column(line, character, encoding)
  if encoding == 'utf-8' then return math.min(character, #line) end
  if vim.fn.has('nvim-0.11') == 1 then
    return vim.str_byteindex(line, encoding, character, false)
  end
  local ok, column = pcall(vim.str_byteindex, line, character, encoding == 'utf-16')
  return ok and column or #line
end

-- The protocol leaves line ends to the server; Neovim's lines have none.
local function insert_text(item)
  local text = type(item.insertText) == 'table' and item.insertText.value or item.insertText
  return (text:gsub('\r\n?', '\n'))
end

--- Turns one item of a textDocument/inlineCompletion answer into what the plugin keeps:
--- start and stop of the replaced range in bytes, and the new text. nil when the range is not on
--- the cursor's line or the text before the cursor does not agree.
function M.from_item(item, row, column, line, encoding)
  local start, stop = column, column
  if item.range then
    if item.range.start.line ~= row or item.range['end'].line ~= row then return nil end
    start = byte_column(line, item.range.start.character, encoding)
    stop = byte_column(line, item.range['end'].character, encoding)
  end
  local text = insert_text(item)
  local typed = line:sub(start + 1, column)
  if stop < column or text:sub(1, #typed) ~= typed or #text == #typed then return nil end
  return { start = start, behind = line:sub(column + 1, stop), text = text, command = item.command }
end

--- The part of a suggestion that is not typed yet, or nil when the line no longer agrees: the
--- text between the start and the cursor must begin the suggestion and what stood behind the
--- cursor must still stand there.
function M.remainder(suggestion, line, column)
  if column < suggestion.start then return nil end
  local typed = line:sub(suggestion.start + 1, column)
  if suggestion.text:sub(1, #typed) ~= typed or #typed == #suggestion.text then return nil end
  if not vim.startswith(line:sub(column + 1), suggestion.behind) then return nil end
  return suggestion.text:sub(#typed + 1)
end

--- The first word of a text with the white space before it; a run of punctuation is a word.
function M.first_word(text)
  return text:match('^%s*[%w_\128-\255]+') or text:match('^%s*[^%w%s_\128-\255]+') or text
end

--- The first line of a text; with its line break when the line itself is empty.
function M.first_line(text)
  local first, rest = text:match('^([^\n]*)(.*)$')
  if first ~= '' then return first end
  return '\n' .. (rest:sub(2):match('^[^\n]*') or '')
end

return M
