-- :checkhealth caretd
local client = require('caretd.client')
local config = require('caretd.config')
local status = require('caretd.status')

local M = {}

local function check_program()
  local problem = client.problem()
  if problem then
    vim.health.error(problem, { 'Install caretd, or set the option cmd of setup().' })
    return
  end
  local program = config.options.cmd[1]
  if vim.fs.basename(program) ~= 'caretd' then
    vim.health.info('started through ' .. table.concat(config.options.cmd, ' '))
    return
  end
  local result = vim.system({ program, '--version' }, { text = true }):wait(5000)
  if result.code == 0 then
    vim.health.ok(vim.split(result.stdout, '\n')[1])
  else
    vim.health.error(program .. ' --version failed', { 'Run it in a terminal to see why.' })
  end
end

function M.check()
  vim.health.start('caretd')
  if vim.fn.has('nvim-0.10') == 1 then
    vim.health.ok('Neovim ' .. tostring(vim.version()))
  else
    vim.health.error('Neovim 0.10 or newer is needed.')
  end
  check_program()
  if client.get() then
    local report = client.status.state == 'failed' and vim.health.error or vim.health.ok
    report(status.sentence())
  else
    vim.health.warn('no server runs', { 'It starts with the first file that has a filetype.' })
  end
end

return M
