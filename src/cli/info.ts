/** @file `acdit info`: a model's size and layout, and its attention plan as text and as a drawing. */

import { dirname } from 'node:path';
import { ArgumentError } from '../errors.ts';
import { makeFolders, writeFileAtomically } from '../io/atomic-write.ts';
import { printableJson } from '../io/printable.ts';
import { paperConfig, SIZE_NAMES, type SizeName } from '../models/acdit/paper-models.ts';
import { namedOrBundled } from '../runs/bundled-model.ts';
import { checkpointFlags, openChosenModel } from './checkpoint-flags.ts';
import { defineCommand, type Terminal } from './command.ts';
import type { Flags, FlagValues } from './flags.ts';
import { modelNeeds, needsText } from './model-needs.ts';
import { modelPath } from './model-path.ts';
import { type ModelSummary, summarizeModel, summaryText } from './model-summary.ts';
import { overwriteFlags, requireFreeFiles } from './overwrite.ts';
import { type BlockPlan, blockPlan, PREDICATES, planNumbers } from './plan-cells.ts';
import { planSvg } from './plan-drawing.ts';
import { planText } from './plan-text.ts';
import { choice, outputFile, wholeNumber } from './values.ts';

const infoFlags = {
  size: {
    type: 'string',
    value: 'NAME',
    help: `a model of the paper instead of a file: ${SIZE_NAMES.join(', ')}`,
  },
  video: { type: 'boolean', help: 'with --size, or with no MODEL: the video model' },
  batch: { type: 'string', value: 'N', help: 'samples at a time, of which the memory is told (1)' },
  steps: { type: 'string', value: 'N', help: 'solver steps a block, of which the arithmetic is told (25)' },
  plan: { type: 'boolean', help: 'draw who attends whom in training' },
  predicate: { type: 'string', value: 'NAME', help: `of the plan: ${PREDICATES.join(', ')}` },
  window: { type: 'string', value: 'N', help: 'blocks that a windowed plan looks back (1)' },
  svg: { type: 'string', value: 'FILE', help: 'draw the plan into an SVG file' },
  png: { type: 'string', value: 'FILE', help: 'draw the plan into a PNG file' },
  ...checkpointFlags,
  ...overwriteFlags,
  json: { type: 'boolean', help: 'print all as JSON' },
} as const satisfies Flags;

export const infoCommand = defineCommand({
  name: 'info',
  positionals: ['[MODEL]'],
  summary:
    'Describe a model: parameters by part, tokens, blocks, and what it needs to sample and to train. Its weights are\n' +
    'not read. Without MODEL, the bundled one.',
  flags: infoFlags,
  run: ({ values, positionals }, terminal) => info(positionals[0], values, terminal),
});

type InfoValues = FlagValues<typeof infoFlags>;

async function info(path: string | undefined, values: InfoValues, terminal: Terminal): Promise<undefined> {
  const { stdout } = terminal;
  const { predicate = 'scam', window = '1', batch = '1', steps = '25' } = values;
  const svg = values.svg === undefined ? undefined : outputFile('svg', values.svg, '.svg');
  const png = values.png === undefined ? undefined : outputFile('png', values.png, '.png');
  await requireFreeFiles([svg, png], values.overwrite);
  const predicateName = choice('predicate', predicate, PREDICATES);
  const windowSize = wholeNumber('window', window, 0);
  const [batchSize, stepCount] = [wholeNumber('batch', batch), wholeNumber('steps', steps)];
  const summary = await readSummary(path, values, terminal);
  const needs = modelNeeds(summary.config, batchSize, stepCount);
  const wanted = values.plan || svg !== undefined || png !== undefined || values.predicate !== undefined;
  const plan = wanted ? blockPlan(summary.config, predicateName, windowSize) : undefined;
  const files: string[] = [];
  if (plan && svg !== undefined) files.push(await writeDrawing(svg, planSvg(plan)));
  if (plan && png !== undefined) files.push(await writeDrawing(png, await rasterize(planSvg(plan))));
  if (values.json) {
    stdout.write(`${printableJson({ ...summary, needs, ...(plan && { plan: planReport(plan) }) })}\n`);
    return;
  }
  const parts = [summaryText(summary), needsText(needs), ...(plan ? [planText(plan)] : [])];
  stdout.write(`${parts.join('\n\n')}\n`);
  for (const file of files) stdout.write(`${file}\n`);
}

async function readSummary(
  path: string | undefined,
  values: InfoValues,
  terminal: Terminal,
): Promise<ModelSummary> {
  const { size, video, json } = values;
  if (size !== undefined) {
    if (path !== undefined) throw new ArgumentError(`give a model (${path}) or --size, not both`);
    const name: SizeName = choice('size', size, SIZE_NAMES);
    const kind = video ? 'video' : 'image';
    return summarizeModel(`ACDiT-${name} ${kind}`, paperConfig(name, kind));
  }
  const model = namedOrBundled(path, video, '--video without --size');
  const { config, archive } = await openChosenModel(await modelPath(model, terminal, json === true), values);
  try {
    return summarizeModel(model, config, (name) => archive.info(name).dtype);
  } finally {
    await archive.close();
  }
}

async function writeDrawing(path: string, content: string | Uint8Array): Promise<string> {
  const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
  await makeFolders(dirname(path));
  await writeFileAtomically(path, (write) => write(bytes));
  return path;
}

async function rasterize(svg: string): Promise<Uint8Array> {
  const { default: sharp } = await import('sharp');
  return sharp(Buffer.from(svg), { density: 144 }).png().toBuffer();
}

function planReport(plan: BlockPlan) {
  const { predicate, blocks, clean, blockSize } = plan;
  const tiles = plan.plan.tiles.map(({ queries, keys, allowed }) => ({
    queries,
    keys,
    masked: allowed !== undefined,
  }));
  return { predicate, blocks, clean, blockSize, ...planNumbers(plan), tiles };
}
