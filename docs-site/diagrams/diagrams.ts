/** @file The diagrams of docs/method.md, drawn from the library's own attention plans. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { paperConfig } from '../../src/models/acdit/config.ts';
import { type BlockPlan, blockPlan, type PredicateName } from '../../src/models/acdit/plan-cells.ts';
import { planDrawing } from '../../src/models/acdit/plan-drawing.ts';
import { cacheDiagram } from './cache-diagram.ts';
import { color } from './palette.ts';
import { type Drawing, svgFile, text } from './svg.ts';

/** The paper's image model with other blocks. */
function plan(predicate: PredicateName, blocks: number, blockSize: number) {
  return blockPlan({ ...paperConfig('XL', 'image'), blocks, blockSize }, predicate, 1);
}

const planDiagram = (plan: BlockPlan): Drawing => planDrawing(plan, { color, text });

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
