// The strict rules of typescript-eslint, with those that are switched off or set for this extension.
import eslint from '@eslint/js';
import tseslint from 'typescript-eslint';

export default tseslint.config(
  eslint.configs.recommended,
  ...tseslint.configs.strictTypeChecked,
  ...tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      // Index signatures are read with brackets (noPropertyAccessFromIndexSignature's habit).
      '@typescript-eslint/dot-notation': 'off',
      'max-lines': ['error', { max: 300 }],
      complexity: ['error', 12],
    },
  },
  {
    // node:test runs what test() returns; nobody has to wait for it.
    files: ['test/**'],
    rules: { '@typescript-eslint/no-floating-promises': 'off' },
  },
);
