-- :Caretd and its verbs.
local client = require('caretd.client')
local status = require('caretd.status')

local M = {}

local function say(text) vim.notify(text, vim.log.levels.INFO) end

--- Opens lines in a scratch window below; q closes it.
local function show(title, lines)
  vim.cmd('botright new')
  local buffer = vim.api.nvim_get_current_buf()
  vim.bo[buffer].buftype = 'nofile'
  vim.bo[buffer].bufhidden = 'wipe'
  vim.bo[buffer].swapfile = false
  vim.api.nvim_buf_set_lines(buffer, 0, -1, false, lines)
  vim.bo[buffer].modifiable = false
  pcall(vim.api.nvim_buf_set_name, buffer, title)
  vim.keymap.set('n', 'q', '<Cmd>close<CR>', { buffer = buffer })
end

--- A JSON value as indented lines, keys in alphabetical order.
function M.to_lines(value, indent, lines)
  indent, lines = indent or '', lines or {}
  local keys = vim.tbl_keys(value)
  table.sort(keys, function(a, b)
    if type(a) == 'number' and type(b) == 'number' then return a < b end
    return tostring(a) < tostring(b)
  end)
  for _, key in ipairs(keys) do
    local item = value[key]
    if type(item) == 'table' then
      lines[#lines + 1] = ('%s%s:'):format(indent, key)
      M.to_lines(item, indent .. '  ', lines)
    else
      local text = type(item) == 'number' and ('%.6g'):format(item) or tostring(item)
      if item == vim.NIL then text = 'none' end
      lines[#lines + 1] = ('%s%s: %s'):format(indent, key, (text:gsub('\n', '⏎')))
    end
  end
  return lines
end

local function report(title, method, params)
  local buffer = vim.api.nvim_get_current_buf()
  local sent = client.request(method, params, function(err, result)
    if err or not result then
      say('caretd: ' .. (err and err.message or 'nothing to show'))
    else
      show(title, M.to_lines(result))
    end
  end, buffer)
  if not sent then say(status.sentence()) end
end

local toggles = {
  global = function() return { scope = 'global' } end,
  language = function() return { scope = 'language', languageId = vim.bo.filetype } end,
  buffer = function() return { scope = 'document', uri = vim.uri_from_bufnr(0) } end,
  comments = function() return { scope = 'comments' } end,
}

local verbs = {}

function verbs.status() say(status.sentence()) end

function verbs.toggle(what)
  local target = toggles[what or 'global']
  if not target then
    say('caretd: toggle global, language, buffer or comments')
    return
  end
  require('caretd.inline').dismiss()
  local on = require('caretd.switches').toggle(target())
  say(('caretd: %s completions are %s'):format(what or 'all', on and 'on' or 'off'))
end

function verbs.why()
  local server = client.get()
  local encoding = server and server.offset_encoding or 'utf-16'
  report('caretd://why', 'caretd/why', vim.lsp.util.make_position_params(0, encoding))
end

function verbs.stats() report('caretd://stats', 'caretd/stats', vim.empty_dict()) end

function verbs.log()
  vim.cmd('tabedit ' .. vim.fn.fnameescape(require('vim.lsp.log').get_filename()))
end

--- :[range]Caretd chat [question]
function verbs.chat(_, args)
  local question = table.concat(args.fargs, ' ', 2)
  local range = args.range > 0 and { args.line1 - 1, args.line2 } or nil
  require('caretd.chat').ask(question, range)
end

function verbs.restart() client.restart() end

function M.run(args)
  local verb = verbs[args.fargs[1] or 'status']
  if not verb then
    say('caretd: there is no verb ' .. args.fargs[1])
    return
  end
  verb(args.fargs[2], args)
end

--- Completion of the command line.
function M.complete(line)
  local words = vim.split(line, '%s+', { trimempty = false })
  local from = words[2] == 'toggle' and #words > 2 and toggles or verbs
  local names = vim.tbl_filter(
    function(name) return vim.startswith(name, words[#words]) end,
    vim.tbl_keys(from)
  )
  table.sort(names)
  return names
end

return M
