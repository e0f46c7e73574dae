// Formats the Neovim plugin's Lua in place; with --check only says which files would change.
import fs from 'node:fs';
import path from 'node:path';

import { Config, OutputVerification, CollapseSimpleStatement, IndentType, QuoteStyle, formatCode }
  from '@johnnymorganz/stylua';

const check = process.argv.includes('--check');
const root = path.resolve(import.meta.dirname, '../../../editors/neovim');

function config() {
  const style = Config.new();
  style.column_width = 100;
  style.indent_type = IndentType.Spaces;
  style.indent_width = 2;
  style.quote_style = QuoteStyle.AutoPreferSingle;
  style.collapse_simple_statement = CollapseSimpleStatement.Always;
  return style;
}

let different = 0;
for (const entry of fs.readdirSync(root, { recursive: true })) {
  if (!entry.endsWith('.lua')) continue;
  const file = path.join(root, entry);
  const before = fs.readFileSync(file, 'utf8');
  const after = formatCode(before, config(), undefined, OutputVerification.Full);
  if (after === before) continue;
  ++different;
  if (check) console.error(`not formatted: ${path.relative(root, file)}`);
  else fs.writeFileSync(file, after);
}
process.exitCode = check && different > 0 ? 1 : 0;
