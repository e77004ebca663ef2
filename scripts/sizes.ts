/**
 * @file Checks that no function of src and web/src has more than 60 lines, and no file more than 400. Components, and
 * switches and tables in functions, count too.
 *
 *     npm run sizes
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';

const MAX_FUNCTION_LINES = 60;
const MAX_FILE_LINES = 400;

/** Lists what is too long in a file, one line per function. */
function tooLong(path: string, text: string): string[] {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const lineAt = (position: number): number => source.getLineAndCharacterOfPosition(position).line + 1;
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    const first = lineAt(node.getStart());
    const lines = lineAt(node.end) - first + 1;
    if (ts.isFunctionLike(node) && lines > MAX_FUNCTION_LINES) {
      found.push(`${path}:${first}: ${nameOf(node)} has ${lines} lines, at most ${MAX_FUNCTION_LINES}`);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  const lines = text.trimEnd().split('\n').length;
  if (lines > MAX_FILE_LINES) {
    found.push(`${path}: ${lines} lines, at most ${MAX_FILE_LINES}`);
  }
  return found;
}

/** Its own name, or that of the variable or property that it is the value of. */
function nameOf(node: ts.SignatureDeclaration): string {
  const named = node.name ?? (node.parent as ts.Node & { name?: ts.Node }).name;
  return named?.getText() ?? 'a function';
}

const root = join(import.meta.dirname, '..');
const files = ['src', 'web/src'].flatMap((folder) =>
  ts.sys.readDirectory(join(root, folder), ['.ts', '.tsx'], ['**/*.test.ts']),
);
const found = files.flatMap((path) => tooLong(path.slice(root.length + 1), readFileSync(path, 'utf8')));
for (const line of found) console.error(line);
if (found.length > 0) process.exitCode = 1;
