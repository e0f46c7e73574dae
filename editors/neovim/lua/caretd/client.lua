-- The language server as the plugin speaks with it: its state, requests, notifications, settings.
local config = require('caretd.config')
local messages = require('caretd.messages')
local server = require('caretd.server')

local M = {}

local is_011 = vim.fn.has('nvim-0.11') == 1

-- Handlers of requests that are not answered yet, by a number of their own.
local unanswered, asked = {}, 0

--- The last caretd/status, or a starting one.
M.status = { state = 'starting', percent = 0 }

--- Partial results by their token: called with every value.
M.progress = {}

local function tell_status(status)
  M.status = status
  vim.cmd.redrawstatus()
end

--- The client of a server that takes requests, or nil.
function M.get()
  local client = server.client()
  return client and client.initialized and client or nil
end

--- True for buffers that hold a user's text.
function M.wants(buffer)
  return vim.api.nvim_buf_is_loaded(buffer)
    and vim.bo[buffer].buftype == ''
    and vim.bo[buffer].filetype ~= ''
    and not vim.b[buffer].large_buf
end

-- Neovim forgets the requests of a server that ends.
local function end_unanswered()
  local left = unanswered
  unanswered = {}
  for _, handler in pairs(left) do
    handler({ message = 'caretd ended before it had answered; ask again' })
  end
end

--- Sends a request; `handler(error, result)` runs on the main loop, once. Returns a function that
--- cancels it, or nil when no server runs. Pending changes of the buffer are sent first.
function M.request(method, params, handler, buffer)
  local client = M.get()
  if not client then return nil end
  asked = asked + 1
  local key = asked
  local function answer(err, result)
    if not unanswered[key] then return end
    unanswered[key] = nil
    handler(err, result)
  end
  unanswered[key] = handler
  local sent, id
  if is_011 then
    sent, id = client:request(method, params, answer, buffer)
  else
    sent, id = client.request(method, params, answer, buffer)
  end
  if not sent then
    unanswered[key] = nil
    return nil
  end
  return function()
    -- An answer that waits to be handled has ended the request; to cancel it then is an error in
    -- Neovim's log.
    local request = client.requests[id]
    if not request or request.type ~= 'pending' then return end
    unanswered[key] = nil
    if is_011 then
      client:cancel_request(id)
    else
      client.cancel_request(id)
    end
  end
end

--- Tells the server which buffer is in front, so that it can read ahead.
function M.focus(buffer)
  local client = M.get()
  if not client or not vim.lsp.buf_is_attached(buffer, client.id) then return end
  local params = vim.lsp.util.make_position_params(0, client.offset_encoding)
  if is_011 then
    client:notify('caretd/didFocus', params)
  else
    client.notify('caretd/didFocus', params)
  end
end

--- Sends a notification, if a server runs.
function M.notify(method, params)
  local client = M.get()
  if not client then return end
  if is_011 then
    client:notify(method, params)
  else
    client.notify(method, params)
  end
end

local function attach_all()
  for _, buffer in ipairs(vim.api.nvim_list_bufs()) do
    if M.wants(buffer) then M.attach(buffer) end
  end
end

local function capabilities()
  local all = vim.lsp.protocol.make_client_capabilities()
  all.general = all.general or {}
  all.general.positionEncodings = { 'utf-8', 'utf-16' }
  all.textDocument.inlineCompletion = { dynamicRegistration = false }
  all.experimental = { caretd = { chat = true, instruction = true } }
  -- Neovim takes documentChanges without saying so; only in them can files be made and versions be
  -- checked.
  all.workspace.workspaceEdit.documentChanges = true
  return all
end

local levels = {
  vim.log.levels.ERROR,
  vim.log.levels.WARN,
  vim.log.levels.INFO,
  vim.log.levels.DEBUG,
}

local function show_message(_, params)
  messages.show(params.message, levels[params.type] or vim.log.levels.INFO)
end

-- An empty Lua table would travel as an empty list.
local function object(options) return next(options) and options or vim.empty_dict() end

-- An edit is taken back by `u`, so that nobody has to be asked beforehand. What is left out of the
-- capabilities above Neovim adds again.
local function without_confirmation(params)
  params.capabilities.workspace.workspaceEdit.changeAnnotationSupport = nil
end

-- One that was told to end has nothing to say any more.
local function on_status(_, status, context)
  local client = server.client()
  if client and client.id == context.client_id then tell_status(status) end
end

local function settings() return { caretd = object(config.options.settings) } end

local function client_config(cmd)
  return {
    name = 'caretd',
    cmd = cmd,
    root_dir = vim.fn.getcwd(),
    capabilities = capabilities(),
    before_init = without_confirmation,
    init_options = object(config.options.server),
    settings = settings(),
    handlers = {
      ['caretd/status'] = on_status,
      ['window/showMessage'] = show_message,
      ['workspace/applyEdit'] = require('caretd.edits').apply,
      ['$/progress'] = function(err, params, ctx, ...)
        local listener = M.progress[params.token]
        if listener then return listener(params.value) end
        return vim.lsp.handlers['$/progress'](err, params, ctx, ...)
      end,
    },
    commands = require('caretd.chat').commands,
    on_init = function() require('caretd.switches').greet() end,
  }
end

server.host = {
  config = client_config,
  attach_all = attach_all,
  status = function() return M.status end,
  tell = tell_status,
  ended = end_unanswered,
}

M.problem = server.problem
M.attach = server.attach
M.stop = server.stop
M.restart = server.restart

--- Passes the option `settings` on where it changed; a server that starts reads it by itself.
function M.configure()
  local client, now = server.client(), settings()
  if not client or vim.deep_equal(client.settings, now) then return end
  client.settings = now
  M.notify('workspace/didChangeConfiguration', { settings = now })
end

return M
