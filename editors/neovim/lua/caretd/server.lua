-- The server's process: started with the first buffer, again when it dies or is told to,
-- one at a time.
local config = require('caretd.config')
local messages = require('caretd.messages')

local M = {}

local restarts_per_minute = 10
-- How long a server may take to end by itself, and then to end by a signal.
local patience, last_patience = 2000, 1000
local is_011 = vim.fn.has('nvim-0.11') == 1

-- run: the process of now, { id = of its client, stopping = whether it was told to end }.
-- held: keeps another from starting: 'restart' until the one before has ended, 'stopped', 'failed',
-- or a table for the pause after a death.
local state = { run = nil, held = nil, deaths = {} }

--- Set by client.lua: `config(cmd)` is what vim.lsp.start takes, `attach_all()` attaches every
--- buffer, `tell(status)` shows a state, `ended()` hears that nothing is answered any more.
M.host = {}

local function failed(reason)
  local before = M.host.status()
  M.host.tell({ state = 'failed', reason = reason })
  -- Every buffer that is entered tries again.
  if before.state ~= 'failed' or before.reason ~= reason then
    messages.show('caretd: ' .. reason, vim.log.levels.WARN)
  end
end

--- The client of a server that was not told to end, or nil; it may not be initialized yet.
function M.client()
  local run = state.run
  if not run or run.stopping or not run.id then return nil end
  return vim.lsp.get_client_by_id(run.id)
end

-- Counts the deaths of the last minute; false when it is time to give up.
local function may_restart()
  local now = vim.uv.now()
  state.deaths = vim.tbl_filter(function(at) return now - at < 60000 end, state.deaths)
  table.insert(state.deaths, now)
  return #state.deaths <= restarts_per_minute
end

local function start_again()
  state.held = nil
  M.host.attach_all()
end

local function start_after_pause(code, signal)
  M.host.tell({
    state = 'starting',
    percent = 0,
    reason = ('ended with %d/%d'):format(code, signal),
  })
  local pause = {}
  state.held = pause
  vim.defer_fn(function()
    if state.held == pause then start_again() end
  end, 50 * 2 ^ math.min(#state.deaths - 1, 6))
end

local function on_exit(run, code, signal)
  -- One that was given up ends at a time when another may run.
  if state.run ~= run then return end
  state.run = nil
  M.host.ended()
  if state.held == 'restart' then return start_again() end
  if run.stopping then return end
  if may_restart() then return start_after_pause(code, signal) end
  state.held = 'failed'
  failed('it ended again and again; :Caretd log says why, :Caretd restart tries once more')
end

-- Starts the process. Its end is told to Neovim as an ordinary one: the plugin restarts it and
-- shows its state itself, where Neovim would stop the user with a message about the exit code.
local function spawn(run)
  return function(dispatchers)
    local watched = vim.tbl_extend('force', {}, dispatchers)
    watched.on_exit = function(code, signal)
      dispatchers.on_exit(0, 0)
      vim.schedule(function() on_exit(run, code, signal) end)
    end
    local ok, rpc = pcall(vim.lsp.rpc.start, config.options.cmd, watched)
    if not ok then
      run.problem = rpc
      error(rpc, 0)
    end
    return rpc
  end
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
  if state.held then return end
  local problem = M.problem()
  if problem then return failed(problem) end
  local run = state.run or {}
  state.run = run
  run.id = vim.lsp.start(M.host.config(spawn(run)), {
    bufnr = buffer,
    silent = true,
    -- A dead client lingers in Neovim's list for a while; only ours of now is shared.
    reuse_client = function(client) return client.id == run.id end,
  }) or run.id
  if run.id then return end
  state.run = nil
  failed(
    ("'%s' cannot be started: %s"):format(
      config.options.cmd[1],
      vim.split(tostring(run.problem or 'see :Caretd log'), '\n')[1]
    )
  )
end

local function stop(run, force)
  run.stopping = true
  local client = run.id and vim.lsp.get_client_by_id(run.id)
  if not client then return end
  if is_011 then
    client:stop(force)
  else
    client.stop(force)
  end
end

function M.stop()
  state.held = 'stopped'
  if state.run then stop(state.run) end
end

--- Ends the server and starts another once it has ended: by itself, by a signal, or not at all.
function M.restart()
  if state.held == 'restart' then return end
  state.deaths = {}
  M.host.tell({ state = 'starting', percent = 0 })
  local run = state.run
  if not run then return start_again() end
  state.held = 'restart'
  stop(run)
  vim.defer_fn(function()
    if state.run ~= run then return end
    stop(run, true)
    vim.defer_fn(function() on_exit(run) end, last_patience)
  end, patience)
end

return M
