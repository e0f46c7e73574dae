-- workspace/applyEdit: what Neovim would apply to the wrong text, or over a file, is refused with
-- a reason.
local M = {}

local function name_of(uri) return vim.fn.fnamemodify(vim.uri_to_fname(uri), ':t') end

-- Neovim empties a file that such an operation finds; the protocol wants it left alone.
local function overwrites(change)
  local options = change.options or {}
  return change.kind == 'create'
    and not options.overwrite
    and not options.ignoreIfExists
    and vim.uv.fs_stat(vim.uri_to_fname(change.uri)) ~= nil
end

-- Neovim only prints that it skips such an edit, and answers that it was applied.
local function is_stale(change)
  local document = change.textDocument
  if not document or type(document.version) ~= 'number' then return false end
  local buffer = vim.uri_to_bufnr(document.uri)
  return (vim.lsp.util.buf_versions[buffer] or 0) > document.version
end

local function refusal(edit)
  for _, change in ipairs(edit.documentChanges or {}) do
    if overwrites(change) then
      return ('%s exists already; open it and ask again, and the tests are added to it'):format(
        name_of(change.uri)
      )
    end
    if is_stale(change) then
      return ('%s has changed meanwhile; ask again'):format(name_of(change.textDocument.uri))
    end
  end
end

-- Shows a file that was made below the window in front, which keeps the cursor.
local function show_created(edit)
  for _, change in ipairs(edit.documentChanges or {}) do
    if change.kind == 'create' then
      local buffer = vim.uri_to_bufnr(change.uri)
      if #vim.fn.win_findbuf(buffer) == 0 then
        vim.api.nvim_open_win(buffer, false, { split = 'below', win = 0 })
      end
    end
  end
end

--- The handler of workspace/applyEdit.
function M.apply(err, params, ctx)
  local reason = params and refusal(params.edit)
  if reason then return { applied = false, failureReason = reason } end
  local answer = vim.lsp.handlers['workspace/applyEdit'](err, params, ctx)
  if answer.applied then
    -- No room for another window leaves the buffer in the list.
    pcall(show_created, params.edit)
  end
  return answer
end

return M
