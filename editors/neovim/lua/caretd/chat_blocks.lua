-- The fenced code blocks of Markdown lines.
local M = {}

-- The fence that a line is: its mark and length, its info string; nil if it is none.
local function fence(line)
  local mark, rest = line:match('^%s*([`~]+)(.*)$')
  if not mark or #mark < 3 or mark ~= mark:sub(1, 1):rep(#mark) then return nil end
  if mark:sub(1, 1) == '`' and rest:find('`', 1, true) then return nil end
  return mark, vim.trim(rest)
end

--- All blocks: `first` and `last` are the 0-based rows of the fences, `lines` the code between.
--- A block that has not ended yet has no `last`.
function M.find(lines)
  local blocks, open = {}, nil
  for row, line in ipairs(lines) do
    local mark, info = fence(line)
    if
      open
      and mark
      and mark:sub(1, 1) == open.mark:sub(1, 1)
      and #mark >= #open.mark
      and info == ''
    then
      open.last = row - 1
      open = nil
    elseif open then
      table.insert(open.lines, line)
    elseif mark then
      open = { first = row - 1, mark = mark, language = info:match('^%S*'), lines = {} }
      table.insert(blocks, open)
    end
  end
  return blocks
end

--- The block around a row, or the last finished one in front of it.
function M.at(lines, row)
  local found
  for _, block in ipairs(M.find(lines)) do
    if block.last and block.first <= row then found = block end
  end
  return found
end

return M
