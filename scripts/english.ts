/**
 * @file Finds phrases that are not idiomatic English, and "picture" where the documents mean an image. Fails if there are
 * more than the maximum.
 *
 *     npm run english
 */

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const MAX_PHRASES = 12;
const MAX_PICTURES = 20;

/** A pattern of words, separated by white space. */
const anyOf = (words: string): string => `(${words.trim().split(/\s+/).join('|')})`;

/** What is counted, and per what: "solver steps a block". */
const QUANTITY = anyOf(`
  steps samples tokens columns rows bytes frames images clips pixels numbers values blocks requests times seconds
  minutes hours passes products parts GMACs [KMG]i?B ms one once seek process line entry sum folder package`);
const UNIT = anyOf(`
  seconds? minute hour day block step frame sample token letter image picture clip video batch micro-batch class layer
  pixel parameter channel file head request row column part pass thread process core shard platform model line`);

/** Each pattern, with what to write instead. Lookarounds such as `(?<!there )` let idiomatic uses pass. */
const PHRASES: readonly (readonly [pattern: RegExp, advice: string])[] = [
  [new RegExp(`\\b${QUANTITY} an? ${UNIT}\\b`, 'gi'), 'per'],
  [/(?<!\bthere )\b(is|was) no (?!longer\b|more than\b|match\b)[a-z]+/gi, 'is not a'],
  [/\b(go|goes|going|gone|went) on\b/gi, 'continue, resume'],
  [/(\/\*\*|^\s*\*|\/\/) (Of|Whether what|Whoever)\b/g, 'begin with a verb or a noun'],
  [/\b(tells|(is|are|be|been|being|was|were) told)\b/gi, 'reports, says, returns'],
  [/\b(for|of|from|to|by|one|those) who\b/gi, 'name the caller, client or reader'],
  [/\banew\b/gi, 'again'],
  [/\bbeside\b/gi, 'next to'],
  [/\bbehind\b(?![- ]an?[- ])/gi, 'after'],
  [/\bby (itself|themselves)\b/gi, 'automatically, on its own'],
  [/\b(whatever|whoever|whichever|whosever)\b/gi, 'any, every, the caller'],
  [/\bwithout being (told|asked)\b/gi, 'by default'],
  [/\bfound out\b/gi, 'detected'],
  [/\bevery how many/gi, 'stride'],
  [/\b(can(not)?|could(n't)?|to) be had\b/gi, 'is available, could not be fetched'],
  [/\b(is|are|was|were) not there\b/gi, 'is missing, is unavailable'],
  [/\ballows? to [a-z]+/gi, 'lets you'],
  [/\bof which the\b/gi, 'whose'],
  [/\b(graphics cards?|an? (real )?card)\b/gi, 'GPU'],
  [/\b(of|after|for|by|with|from) so many\b/gi, 'a number of, at most N'],
  [/\bas far as\b/gi, 'if, where'],
  [/\ba like [a-z]+/gi, 'similar'],
];

const FOLDERS = ['docs', 'docs-site', 'src', 'web/src', 'scripts', 'bench'];

const root = join(import.meta.dirname, '..');
const phrases: string[] = [];
const pictures: string[] = [];

for (const path of textFiles()) {
  const isDocument = path.endsWith('.md');
  for (const [index, line] of readFileSync(join(root, path), 'utf8').split('\n').entries()) {
    for (const [pattern, advice] of PHRASES) {
      for (const [match] of line.matchAll(pattern)) {
        phrases.push(`${path}:${index + 1}: "${match}": ${advice}`);
      }
    }
    if (!isDocument) continue;
    for (const [match] of line.matchAll(/\bpictures?\b/gi)) {
      pictures.push(`${path}:${index + 1}: "${match}": image`);
    }
  }
}
report(phrases, MAX_PHRASES, 'phrases');
report(pictures, MAX_PICTURES, 'pictures');

/** Tracked documents and source; not this file, which names the phrases. */
function textFiles(): string[] {
  return execFileSync('git', ['ls-files', 'README.md', ...FOLDERS], { cwd: root, encoding: 'utf8' })
    .split('\n')
    .filter((path) => /\.(md|tsx?)$/.test(path) && path !== 'scripts/english.ts');
}

/** Prints what was found, all of it if it is too much. */
function report(found: readonly string[], max: number, what: string): void {
  if (found.length > max || process.argv.includes('--list')) for (const line of found) console.error(line);
  console.log(`${found.length} ${what}, at most ${max}`);
  if (found.length > max) process.exitCode = 1;
}
