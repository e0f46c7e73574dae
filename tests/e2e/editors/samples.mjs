// Files with a place where the embedded model is sure of what comes next.
// `line` and `column` are 1-based; `typed` is typed there, `expected` begins the grey text.

export const samples = {
  python: {
    name: 'a.py',
    text: [
      'import json', '', '',
      'def load_config(path):',
      '    """Read the configuration."""',
      '    with open(path) as f:',
      '        return ', '', '',
      'def main():',
      '    print(load_config("a.json"))', '',
    ].join('\n'),
    line: 7,
    typed: 'json.l',
    expected: 'oad(f)',
  },
  go: {
    name: 'a.go',
    text: [
      'package main', '', 'import (', '\t"fmt"', '\t"os"', ')', '',
      'func read(path string) ([]byte, error) {',
      '\tdata, err := os.ReadFile(path)',
      '\tif err != nil {',
      '\t\treturn ',
      '\t}', '\treturn data, nil', '}', '',
    ].join('\n'),
    line: 11,
    typed: 'n',
    expected: 'il, err',
  },
  typescript: {
    name: 'a.ts',
    text: [
      'export function add(a: number, b: number): number {',
      '  return a + b;', '}', '',
      'export function multiply(a: number, b: number): number {',
      '  return ', '}', '',
    ].join('\n'),
    line: 6,
    typed: 'a',
    expected: ' * b;',
  },
};
