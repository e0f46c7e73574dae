-- Loaded by Neovim at start: the command and the <Plug> maps. Nothing starts before setup().
if vim.g.loaded_caretd then return end
vim.g.loaded_caretd = true

local function verb(name)
  return function() require('caretd')[name]() end
end

local plugs = {
  ['<Plug>(caretd-accept)'] = 'accept',
  ['<Plug>(caretd-accept-word)'] = 'accept_word',
  ['<Plug>(caretd-accept-line)'] = 'accept_line',
  ['<Plug>(caretd-next)'] = 'next',
  ['<Plug>(caretd-previous)'] = 'previous',
  ['<Plug>(caretd-dismiss)'] = 'dismiss',
  ['<Plug>(caretd-trigger)'] = 'trigger',
}
for lhs, name in pairs(plugs) do
  vim.keymap.set('i', lhs, verb(name), { silent = true, desc = 'caretd: ' .. name:gsub('_', ' ') })
end

vim.api.nvim_create_user_command(
  'Caretd',
  function(args) require('caretd.commands').run(args) end,
  {
    nargs = '*',
    range = true,
    complete = function(_, line) return require('caretd.commands').complete(line) end,
    desc = 'caretd: status, chat, toggle, why, stats, log, restart',
  }
)
