// Files with a place where a programmer has little choice. `line` is 1-based; `typed` is typed at
// its end; `plausible` says what is code there, whatever the model prefers. That an editor shows
// what the server answered is checked against the recording, not against these.

const python = [
  'import json', '', '',
  'def load_config(path):',
  '    """Read the configuration."""',
  '    with open(path) as f:',
  '        return ', '', '',
  'def main():',
  '    print(load_config("a.json"))', '',
].join('\n');

export const samples = {
  python: { name: 'a.py', text: python, line: 7, typed: 'json.l', plausible: /^oads?\(.*\)$/ },
  typescript: {
    name: 'a.ts',
    text: [
      'export function add(a: number, b: number): number {',
      '  return a + b;', '}', '',
      'export function multiply(a: number, b: number): number {',
      '  return ', '}', '',
    ].join('\n'),
    line: 6,
    typed: 'a ',
    plausible: /^[-+*/%] [ab]\b.*;$/,
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
    plausible: /^il, (err|fmt\.Errorf\(".*\))$/,
  },
};

/** The line of a sample as it is in the file. */
export function lineOf(sample) {
  return sample.text.split('\n')[sample.line - 1];
}

/** A call whose argument is missing: the cursor belongs before the closing bracket. */
export const insideCall = {
  name: 'call.py',
  text: python.replace('return ', 'return dict()'),
  line: 7,
  before: '        return dict(',
  behind: ')',
  typed: 'json.l',
  plausible: /^oads?\(.*\)$/,
};

/** Whether brackets pair up; strings of the samples contain none. */
export function balanced(line) {
  const open = [];
  for (const character of line) {
    if ('([{'.includes(character)) open.push(')]}'['([{'.indexOf(character)]);
    if (')]}'.includes(character) && open.pop() !== character) return false;
  }
  return open.length === 0;
}
