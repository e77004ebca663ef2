/** @file `acdit info`: a model's size and layout, and its attention plan as text and as a drawing. */

import { dirname } from 'node:path';
import { attempt } from '../attempt.ts';
import { DEFAULT_MODELS } from '../checkpoints/bundled-names.ts';
import type { StoredModel } from '../checkpoints/load.ts';
import type { SolverFile } from '../checkpoints/solver-file.ts';
import type { Ranks } from '../distributed/communicator.ts';
import { ArgumentError } from '../errors.ts';
import { makeFolders, writeFileAtomically } from '../io/atomic-write.ts';
import { closingAfter } from '../io/byte-source.ts';
import {
  ATTENTION_NAMES,
  type AttentionSetting,
  attentionProblem,
  isModulePath,
} from '../models/acdit/attention.ts';
import { type AcditConfig, paperConfig, SIZE_NAMES } from '../models/acdit/config.ts';
import { type ModelSummary, summarizeModel } from '../models/acdit/model-summary.ts';
import { type BlockPlan, blockPlan, planNumbers, planText } from '../models/acdit/plan-cells.ts';
import { requireFreeFiles } from '../runs/checks.ts';
import { expectedSpeed } from '../runs/expected-speed.ts';
import { modelNeeds } from '../runs/model-needs.ts';
import { checkRanks, describeRankCheck } from '../runs/rank-check.ts';
import { engine } from '../runtime/node-engine.ts';
import { defaultPrecision } from '../sampling/precision.ts';
import { DEFAULT_STEPS } from '../sampling/settings.ts';
import { attentionOfModule } from '../training/attention-module.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { deviceFlags, openDevice, precisionFlag } from './device.ts';
import { choiceFlag, countFlag, type Flags, type FlagValues, fileFlag } from './flags.ts';
import { needsText, speedText, summaryText } from './info-text.ts';
import { planSvg } from './plan-svg.ts';
import { onRanks, rankFlags } from './ranks.ts';
import { checkpointFlags, namedOrBundled, openChosenModel, overwriteFlags } from './shared-flags.ts';

const infoFlags = {
  size: choiceFlag(SIZE_NAMES, `a model of the paper instead of a file: ${SIZE_NAMES.join(', ')}`),
  video: { help: 'with --size, or without MODEL: the video model' },
  batch: countFlag('batch size for the memory estimate', { default: 1 }),
  steps: countFlag('solver steps per block for the compute estimate', { default: DEFAULT_STEPS }),
  plan: { help: 'draw which blocks attend which in training' },
  predicate: {
    value: 'RULE',
    help: `attention of the plan, as model.attention of a recipe: ${ATTENTION_NAMES.join(', ')}, '{"window": 2, "sinks": 1}' or MODULE.mjs (default: the model's)`,
  },
  svg: fileFlag('.svg', 'draw the plan into an SVG file', 'FILE'),
  png: fileFlag('.png', 'draw the plan into a PNG file', 'FILE'),
  ranks: { help: 'with mpirun or srun: list the processes (ranks), and measure their connection' },
  ...checkpointFlags,
  precision: precisionFlag,
  ...deviceFlags,
  ...overwriteFlags,
  ...rankFlags,
  json: { help: 'print everything as JSON' },
} as const satisfies Flags;

/** Flags that ask for the plan. */
const DRAWS_PLAN = ['plan', 'predicate', 'svg', 'png'] as const satisfies (keyof typeof infoFlags)[];

export const command = defineCommand({
  name: 'info',
  positionals: ['[MODEL]'],
  summary:
    'Describe a model: parameters by part, tokens, blocks, and the memory and compute to sample and to train. The\n' +
    'speed of this machine is measured in a second, to estimate times. Weights are not read. Without MODEL,\n' +
    `${DEFAULT_MODELS.image} is described.`,
  flags: infoFlags,
  examples: ['acdit info', 'acdit info ACDiT-XL-img --batch 8', 'acdit info --size XL --plan'],
  run: async ({ values, given, positionals }, context) => {
    if (values.ranks) return onRanks(context, values, reportRanks);
    const { predicate, batch, steps, svg, png } = values;
    await requireFreeFiles([svg, png], values.overwrite);
    const { precision: stored, solver, ...summary } = await readSummary(positionals[0], values, context);
    const needs = modelNeeds(summary.config, batch, steps, solver);
    const speed = await closingAfter(await openDevice(values), (device) =>
      expectedSpeed(summary.config, needs, device, values.precision ?? defaultPrecision(device, stored)),
    );
    const drawsPlan = DRAWS_PLAN.some((flag) => given.has(flag));
    const plan = drawsPlan ? await chosenPlan(summary.config, predicate) : undefined;
    const files: string[] = [];
    if (plan && svg !== undefined) files.push(await writeDrawing(svg, planSvg(plan)));
    if (plan && png !== undefined) files.push(await writeDrawing(png, await rasterize(planSvg(plan))));
    context.report.emit({
      ...summary,
      needs,
      speed,
      engine: engineReport(),
      ...(plan && { plan: planReport(plan) }),
    });
    const parts = [
      summaryText(summary),
      needsText(needs),
      speedText(speed, steps),
      engineText(),
      ...(plan ? [planText(plan)] : []),
    ];
    context.report.print([parts.join('\n\n'), ...files].join('\n'));
  },
});

async function reportRanks({ report }: CommandContext, ranks?: Ranks): Promise<void> {
  if (!ranks) {
    throw new ArgumentError(
      '--ranks tests the processes that mpirun or srun has started, and it was started alone',
    );
  }
  const check = await checkRanks(ranks.communicator);
  report.emit(check);
  report.print(describeRankCheck(check));
}

function engineReport() {
  const { kind, version, advice } = engine;
  return { kind, version, ...(advice !== undefined && { advice }) };
}

/** Returns what computes here, as a line. */
function engineText(): string {
  const { kind, version, advice } = engine;
  const build = kind === 'native' ? 'native build' : 'WebAssembly build';
  return `engine      ONNX Runtime ${version}, ${build}${advice === undefined ? '' : `: ${advice}`}`;
}

async function readSummary(
  path: string | undefined,
  { size: name, video, ...values }: FlagValues<typeof infoFlags>,
  context: CommandContext,
): Promise<ModelSummary & Pick<StoredModel, 'precision'> & { readonly solver?: SolverFile }> {
  if (name !== undefined) {
    if (path !== undefined) throw new ArgumentError(`give a model (${path}) or --size, not both`);
    const kind = video ? 'video' : 'image';
    return summarizeModel(`ACDiT-${name} ${kind}`, paperConfig(name, kind));
  }
  const model = namedOrBundled(path, video, '--video without --size');
  const { config, archive, precision, describedSolver } = await openChosenModel(model, values, context);
  return closingAfter(archive, async () => {
    const solver = await describedSolver?.();
    return {
      ...summarizeModel(model, config, (name) => archive.info(name).dtype),
      ...(precision && { precision }),
      ...(solver && { solver }),
    };
  });
}

/** Returns the plan of the model, or with the attention of a flag. @throws {ArgumentError} if that does not fit it */
async function chosenPlan(config: AcditConfig, rule: string | undefined): Promise<BlockPlan> {
  if (rule === undefined) return blockPlan(config);
  if (isModulePath(rule)) {
    return blockPlan({ ...config, attention: await attentionOfModule(rule, config.blocks) });
  }
  const attention: unknown = attempt(() => JSON.parse(rule), rule);
  const problem = attentionProblem(attention, config.blocks);
  if (problem) throw new ArgumentError(`--predicate ${problem}`);
  return blockPlan({ ...config, attention: attention as AttentionSetting });
}

async function writeDrawing(path: string, content: string | Uint8Array): Promise<string> {
  const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
  await makeFolders(dirname(path));
  await writeFileAtomically(path, (write) => write(bytes));
  return path;
}

async function rasterize(svg: string): Promise<Uint8Array> {
  const { default: sharp } = await import('sharp');
  return sharp(Buffer.from(svg), { density: 216 }).png().toBuffer();
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
