/**
 * Lua that writes down when a key was typed, when the request left and came back, and when the
 * grey text was drawn: vim.g.caretd_times is a list of { key, sent, received, drawn } in
 * milliseconds.
 */
export const stopwatch = `
  vim.g.caretd_times = {}
  local now = function() return vim.uv.hrtime() / 1e6 end
  local run = {}
  vim.on_key(function() run = { key = now() } end)
  local client, ghost = require('caretd.client'), require('caretd.ghost')
  local request, show = client.request, ghost.show
  client.request = function(method, params, handler, buffer)
    if method ~= 'textDocument/inlineCompletion' then
      return request(method, params, handler, buffer)
    end
    local mine = run
    mine.sent = now()
    return request(method, params, function(...)
      mine.received = now()
      handler(...)
    end, buffer)
  end
  ghost.show = function(...)
    show(...)
    if run.received and not run.drawn then
      run.drawn = now()
      local all = vim.g.caretd_times
      table.insert(all, run)
      vim.g.caretd_times = all
    end
  end
`;
