/** @file The diagrams of docs/method.md, drawn from the library's own attention plans. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type AttentionSetting, describeAttention } from '../../src/models/acdit/attention.ts';
import { paperConfig } from '../../src/models/acdit/config.ts';
import { type BlockPlan, blockPlan } from '../../src/models/acdit/plan-cells.ts';
import { planDrawing } from '../../src/models/acdit/plan-drawing.ts';
import { cacheDiagram } from './cache-diagram.ts';
import { color } from './palette.ts';
import { type Drawing, svgFile, text } from './svg.ts';

/** The plan of the paper's image model with other blocks. */
function plan(blocks: number, blockSize: number) {
  return blockPlan({ ...paperConfig('XL', 'image'), blocks, blockSize });
}

/** The plan of a model of 6 blocks with an attention of its own. */
function attentionDiagram(attention: AttentionSetting): string {
  const config = { ...paperConfig('XL', 'image'), blocks: 6, blockSize: 256, attention };
  return svgFile(planDiagram(blockPlan(config)), describeAttention(attention));
}

const planDiagram = (plan: BlockPlan): Drawing => planDrawing(plan, { color, text });

/** The module of docs/attention.md: clean blocks at odd distances. */
const ODD_DISTANCES: AttentionSetting = {
  noised: ['100000', '110000', '011000', '101100', '010110', '101011'],
  clean: ['100000', '110000', '011000', '101100', '010110', '101011'],
};

/** SVG files by name. */
export function diagrams(): ReadonlyMap<string, string> {
  return new Map([
    ['scam.svg', svgFile(planDiagram(plan(4, 256)), 'SCAM, 4 blocks of 256 tokens')],
    ['one-block.svg', svgFile(planDiagram(plan(1, 1024)), 'SCAM, one block of 1024 tokens')],
    ['one-token.svg', svgFile(planDiagram(plan(256, 1)), 'SCAM, 256 blocks of one token')],
    ['attention-window.svg', attentionDiagram({ window: 2, sinks: 1 })],
    ['attention-block-causal.svg', attentionDiagram('block-causal')],
    ['attention-full.svg', attentionDiagram('full')],
    ['attention-table.svg', attentionDiagram(ODD_DISTANCES)],
    ['cache.svg', svgFile(cacheDiagram(plan(4, 256)), 'The cache of 4 blocks of 256 tokens')],
  ]);
}

export function writeDiagrams(folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (const [name, svg] of diagrams()) writeFileSync(join(folder, name), svg);
}
