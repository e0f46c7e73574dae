-- The language server: started once, attached to every ordinary buffer, started again when it dies.
local config = require('caretd.config')

local M = {}

local state = { id = nil, deaths = {}, stopping = false }
local restarts_per_minute = 10
local is_011 = vim.fn.has('nvim-0.11') == 1

--- The last caretd/status, or a starting one.
M.status = { state = 'starting', percent = 0 }

--- Partial results by their token: called with every value.
M.progress = {}

local function tell_status(status)
  M.status = status
  vim.cmd.redrawstatus()
end

function M.get() return state.id and vim.lsp.get_client_by_id(state.id) or nil end

--- True for buffers that hold a user's text.
function M.wants(buffer)
  return vim.api.nvim_buf_is_loaded(buffer)
    and vim.bo[buffer].buftype == ''
    and vim.bo[buffer].filetype ~= ''
    and not vim.b[buffer].large_buf
end

--- Sends a request; `handler(error, result)` runs on the main loop. Returns a function that
--- cancels it, or nil when no server runs. Pending changes of the buffer are sent first.
function M.request(method, params, handler, buffer)
  local client = M.get()
  if not client then return nil end
  local function answer(err, result) handler(err, result) end
  local sent, id
  if is_011 then
    sent, id = client:request(method, params, answer, buffer)
  else
    sent, id = client.request(method, params, answer, buffer)
  end
  if not sent then return nil end
  return function()
    -- An answer that waits to be handled has ended the request; to cancel it then is an error in
    -- Neovim's log.
    local request = client.requests[id]
    if not request or request.type ~= 'pending' then return end
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

-- Counts the deaths of the last minute; false when it is time to give up.
local function may_restart()
  local now = vim.uv.now()
  state.deaths = vim.tbl_filter(function(at) return now - at < 60000 end, state.deaths)
  table.insert(state.deaths, now)
  return #state.deaths <= restarts_per_minute
end

local function on_exit(code, signal)
  state.id = nil
  if state.stopping then return end
  if not may_restart() then
    tell_status({ state = 'failed', reason = 'caretd ended again and again; see :Caretd log' })
    return
  end
  tell_status({
    state = 'starting',
    percent = 0,
    reason = ('ended with %d/%d'):format(code, signal),
  })
  vim.defer_fn(attach_all, 50 * 2 ^ math.min(#state.deaths - 1, 6))
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

-- Starts the process. Its end is told to Neovim as an ordinary one: the plugin restarts it and
-- shows its state itself, where Neovim would stop the user with a message about the exit code.
local function spawn(dispatchers)
  local watched = vim.tbl_extend('force', {}, dispatchers)
  watched.on_exit = function(code, signal)
    dispatchers.on_exit(0, 0)
    vim.schedule(function() on_exit(code, signal) end)
  end
  return vim.lsp.rpc.start(config.options.cmd, watched)
end

local levels = {
  vim.log.levels.ERROR,
  vim.log.levels.WARN,
  vim.log.levels.INFO,
  vim.log.levels.DEBUG,
}

-- A message longer than the screen is wide would stop the user until Enter is pressed; the state's
-- whole reason is in :Caretd status.
local function show_message(_, params)
  local text, room = params.message, math.max(vim.v.echospace, 20)
  if vim.fn.strdisplaywidth(text) > room then
    text = vim.fn.strcharpart(text, 0, room - 1) .. '…'
  end
  vim.notify(text, levels[params.type] or vim.log.levels.INFO)
end

-- An empty Lua table would travel as an empty list.
local function object(options) return next(options) and options or vim.empty_dict() end

-- An edit is taken back by `u`, so that nobody has to be asked beforehand. What is left out of the
-- capabilities above Neovim adds again.
local function without_confirmation(params)
  params.capabilities.workspace.workspaceEdit.changeAnnotationSupport = nil
end

local function client_config()
  return {
    name = 'caretd',
    cmd = spawn,
    root_dir = vim.fn.getcwd(),
    capabilities = capabilities(),
    before_init = without_confirmation,
    init_options = object(config.options.server),
    settings = { caretd = object(config.options.settings) },
    handlers = {
      ['caretd/status'] = function(_, status) tell_status(status) end,
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

--- Why the configured command cannot be started, or nil.
function M.problem()
  local program = config.options.cmd[1]
  if program == nil then return 'the option cmd is empty' end
  if vim.fn.executable(program) == 1 then return nil end
  return ("'%s' is not a program on this machine; see :help caretd-install"):format(program)
end

--- Attaches the server to a buffer, starting it first if need be.
function M.attach(buffer)
  local problem = M.problem()
  if problem then
    if M.status.state ~= 'failed' then
      tell_status({ state = 'failed', reason = problem })
      vim.notify('caretd: ' .. problem, vim.log.levels.WARN)
    end
    return
  end
  state.stopping = false
  state.id = vim.lsp.start(client_config(), {
    bufnr = buffer,
    -- A dead client lingers in Neovim's list for a while; only ours of now is shared.
    reuse_client = function(client) return client.id == state.id end,
  }) or state.id
end

function M.stop()
  state.stopping = true
  local client = M.get()
  if not client then return end
  if is_011 then
    client:stop()
  else
    client.stop()
  end
end

function M.restart()
  M.stop()
  state.deaths = {}
  vim.defer_fn(function()
    state.id = nil
    attach_all()
  end, 200)
end

return M
