/** @file The diagrams of docs/method.md, drawn from the library's own attention plans. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { blockPlan, type PredicateName } from '../../src/cli/plan-cells.ts';
import { paperConfig } from '../../src/models/acdit/paper-models.ts';
import { cacheDiagram } from './cache-diagram.ts';
import { planDiagram } from './plan-diagram.ts';
import { svgFile } from './svg.ts';

/** The paper's image model with other blocks. */
function plan(predicate: PredicateName, blocks: number, blockSize: number) {
  return blockPlan({ ...paperConfig('XL', 'image'), blocks, blockSize }, predicate, 1);
}

/** SVG files by name. */
export function diagrams(): ReadonlyMap<string, string> {
  return new Map([
    ['scam.svg', svgFile(planDiagram(plan('scam', 4, 256)), 'SCAM, 4 blocks of 256 tokens')],
    ['one-block.svg', svgFile(planDiagram(plan('scam', 1, 1024)), 'SCAM, one block of 1024 tokens')],
    ['one-token.svg', svgFile(planDiagram(plan('scam', 256, 1)), 'SCAM, 256 blocks of one token')],
    ['windowed.svg', svgFile(planDiagram(plan('windowed', 8, 256)), 'A window of one block')],
    ['cache.svg', svgFile(cacheDiagram(plan('scam', 4, 256)), 'The cache of 4 blocks of 256 tokens')],
  ]);
}

export function writeDiagrams(folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (const [name, svg] of diagrams()) writeFileSync(join(folder, name), svg);
}
