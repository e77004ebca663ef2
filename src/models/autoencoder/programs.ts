/** @file The stages of an autoencoder compiled with their weights: each takes a plane and makes the next. */

import { get, take } from '../../at.ts';
import type { Graph } from '../../graph/onnx.ts';
import type { Device, Feeds, Program } from '../../runtime/device.ts';
import { elementCount, float32, type Tensor, zeros } from '../../tensor/tensor.ts';
import { attendGraph, type ConvolutionSpec, convolutionGraph, keysAndValuesGraph } from './graphs.ts';
import {
  copyEdge,
  type Measure,
  type NormWeights,
  normalization,
  type Plane,
  type PlanePool,
  strip,
  stripCount,
} from './planes.ts';
import type { AttentionStage, ConvolutionStage, ResidualStage, Stage } from './stages.ts';

/** Gives a parameter by its name in {@link autoencoderParameters}. */
export type ParameterSource = (name: string) => Promise<Tensor<'float32'>>;

export interface CompiledStage {
  /** The plane that follows; `plane` goes back to the pool. */
  run(plane: Plane, signal?: AbortSignal): Promise<Plane>;
}

/** What stages are compiled with. */
export interface StageContext {
  readonly device: Device;
  readonly source: ParameterSource;
  readonly pool: PlanePool;
  /** Groups of the norms. */
  readonly groups: number;
  /** Most pixels of a strip, though no fewer than two rows. */
  readonly stripPixels: number;
}

/** Pixels of a strip by default: its 128 channels are 4 MB, so what one operator makes is in the cache for the next. */
export const STRIP_PIXELS = 8192;
/** Bytes of attention scores at a time. */
const SCORE_BYTES = 16e6;

/** Rows of a strip, a multiple of 2 so that it can be halved. */
function stripRows({ stripPixels }: StageContext, width: number): number {
  return Math.max(2, 2 * Math.floor(stripPixels / (2 * width)));
}

/** @param measured whether a norm follows */
export function compileStage(context: StageContext, stage: Stage, measured: boolean): Promise<CompiledStage> {
  if (stage.kind === 'convolution') return compileSingle(context, stage, measured);
  if (stage.kind === 'residual') return compileResidual(context, stage, measured);
  return compileAttention(context, stage, measured);
}

interface Convolution {
  /** @param input in strips that the convolution can take as they are; it and `residual` are left alone. */
  run(input: Plane, residual?: Plane, signal?: AbortSignal): Promise<Plane>;
}

async function compileSingle(
  context: StageContext,
  { name, norm, inputs, outputs, kernel, resize }: ConvolutionStage,
  measured: boolean,
): Promise<CompiledStage> {
  const { groups, pool } = context;
  const convolution = await compileConvolution(
    context,
    { inputs, outputs, kernel, resize, normalized: norm !== undefined, measured: measured ? groups : 0 },
    { weight: `${name}.weight`, bias: `${name}.bias` },
    norm,
  );
  return {
    async run(plane, signal) {
      const rows =
        resize === 'up' ? stripRows(context, 2 * plane.width) / 2 : stripRows(context, plane.width);
      const input = pool.recut(plane, rows);
      const result = await convolution.run(input, undefined, signal);
      pool.give(input);
      return result;
    },
  };
}

async function compileResidual(
  context: StageContext,
  { name, inputs, outputs }: ResidualStage,
  measured: boolean,
): Promise<CompiledStage> {
  const { groups, pool } = context;
  const shared = { outputs, kernel: 3, normalized: true } as const;
  const layer = (part: string): Record<'weight' | 'bias', string> => ({
    weight: `${name}.${part}.weight`,
    bias: `${name}.${part}.bias`,
  });
  const first = await compileConvolution(
    context,
    { ...shared, inputs, measured: groups },
    layer('conv1'),
    `${name}.norm1`,
  );
  const { weight: shortcutWeight, bias: shortcutBias } = layer('conv_shortcut');
  const second = await compileConvolution(
    context,
    { ...shared, inputs: outputs, residual: inputs, measured: measured ? groups : 0 },
    { ...layer('conv2'), ...(inputs !== outputs && { shortcutWeight, shortcutBias }) },
    `${name}.norm2`,
  );
  return {
    async run(plane, signal) {
      const input = pool.recut(plane, stripRows(context, plane.width));
      const middle = await first.run(input, undefined, signal);
      const result = await second.run(middle, input, signal);
      pool.give(middle);
      pool.give(input);
      return result;
    },
  };
}

async function readAll(source: ParameterSource, names: Readonly<Record<string, string>>): Promise<Feeds> {
  const entries: [string, Tensor][] = [];
  for (const [input, name] of Object.entries(names)) entries.push([input, await source(name)]);
  return Object.fromEntries(entries);
}

async function readNorm(source: ParameterSource, name: string): Promise<NormWeights> {
  return {
    weight: (await source(`${name}.weight`)).data,
    bias: (await source(`${name}.bias`)).data,
  };
}

/** Compile with weights, which the program copies: they are not kept. */
async function compileBound(
  { device, source }: StageContext,
  graph: Graph,
  names: Readonly<Record<string, string>>,
): Promise<Program> {
  return device.compile(graph, await readAll(source, names));
}

const FLAGS = { false: float32([], [0]), true: float32([], [1]) } as const;

/** @param names parameters by the names of the graph's inputs */
async function compileConvolution(
  context: StageContext,
  spec: ConvolutionSpec,
  names: Readonly<Record<string, string>>,
  normName?: string,
): Promise<Convolution> {
  const program = await compileBound(context, convolutionGraph(spec), names);
  const norm = normName === undefined ? undefined : await readNorm(context.source, normName);
  const { kernel, resize, outputs, measured } = spec;
  const factor = resize === 'up' ? 2 : resize === 'down' ? 0.5 : 1;
  return {
    async run(input, residual, signal) {
      const { channels, height, width, rows } = input;
      const output = context.pool.take(outputs, height * factor, width * factor, rows * factor);
      const fixed = norm ? affineFeeds(input, norm) : {};
      const edge = (): Tensor<'float32'> => zeros('float32', [1, channels, 1, width]);
      // Where a picture is halved, the zeros are below alone.
      const neighbours: Partial<Record<'above' | 'below', Tensor<'float32'>>> = {
        ...(kernel === 3 && resize !== 'down' && { above: edge() }),
        ...(kernel === 3 && { below: edge() }),
      };
      const measures: Measure[] = [];
      for (let index = 0; index < stripCount(input); index++) {
        signal?.throwIfAborted();
        if (neighbours.above) copyEdge(input, index - 1, 'last', neighbours.above.data);
        if (neighbours.below) copyEdge(input, index + 1, 'first', neighbours.below.data);
        const exists = norm &&
          kernel === 3 && {
            isAbove: FLAGS[`${index > 0}`],
            isBelow: FLAGS[`${index + 1 < stripCount(input)}`],
          };
        const feeds = { strip: strip(input, index), ...fixed, ...neighbours, ...exists };
        const added = residual && { residual: strip(residual, index) };
        const measure = await runStrip(program, { ...feeds, ...added }, strip(output, index), measured);
        if (measure) measures.push(measure);
      }
      return { ...output, measures };
    },
  };
}

function affineFeeds(plane: Plane, norm: NormWeights): Feeds {
  const shape = [1, norm.weight.length, 1, 1];
  const { scale, shift } = normalization(plane, norm);
  return { scale: float32(shape, scale), shift: float32(shape, shift) };
}

/** Run a program that fills `result`, and measures it if there are `groups`. */
async function runStrip(
  program: Program,
  feeds: Feeds,
  result: Tensor<'float32'>,
  groups: number,
): Promise<Measure | undefined> {
  if (groups === 0) {
    await program.run(feeds, { result });
    return undefined;
  }
  const count = elementCount(result.shape) / groups;
  const outputs = await program.run({ ...feeds, inverseCount: float32([], [1 / count]) }, { result });
  const valuesOf = (name: string): Float32Array => get(outputs, name).data as Float32Array;
  return { count, means: valuesOf('means'), squares: valuesOf('squares') };
}

async function compileAttention(
  context: StageContext,
  { name, inputs: channels }: AttentionStage,
  measured: boolean,
): Promise<CompiledStage> {
  const { pool, groups, source } = context;
  const layers = (...parts: string[]): Record<string, string> =>
    Object.fromEntries(
      parts.flatMap((part) => ['weight', 'bias'].map((end) => [`${part}.${end}`, `${name}.${part}.${end}`])),
    );
  const keysAndValues = await compileBound(context, keysAndValuesGraph(channels), layers('to_k', 'to_v'));
  const measuredGroups = measured ? groups : 0;
  const attend = await compileBound(
    context,
    attendGraph(channels, measuredGroups),
    layers('to_q', 'to_out.0'),
  );
  const norm = await readNorm(source, `${name}.group_norm`);
  return {
    async run(plane, signal) {
      const { height, width } = plane;
      const queryRows = Math.floor(SCORE_BYTES / (4 * height * width * width));
      const input = pool.recut(plane, Math.max(1, Math.min(queryRows, stripRows(context, width))));
      const { rows } = input;
      const affine = affineFeeds(input, norm);
      let keys = pool.take(channels, height, width, rows);
      let values = pool.take(channels, height, width, rows);
      for (let index = 0; index < stripCount(input); index++) {
        signal?.throwIfAborted();
        const into = { keys: pixels(strip(keys, index)), values: pixels(strip(values, index)) };
        await keysAndValues.run({ strip: flat(strip(input, index)), ...affine }, into);
      }
      keys = pool.recut(keys, height);
      values = pool.recut(values, height);
      const all = { keys: pixels(strip(keys, 0)), values: pixels(strip(values, 0)) };
      const output = pool.take(channels, height, width, rows);
      const measures: Measure[] = [];
      for (let index = 0; index < stripCount(input); index++) {
        signal?.throwIfAborted();
        const feeds = { strip: flat(strip(input, index)), ...affine, ...all };
        const measure = await runStrip(attend, feeds, flat(strip(output, index)), measuredGroups);
        if (measure) measures.push(measure);
      }
      for (const used of [input, keys, values]) pool.give(used);
      return { ...output, measures };
    },
  };
}

/** (1, C, rows, W) as (1, C, pixels). */
function flat({ shape, data }: Tensor<'float32'>): Tensor<'float32'> {
  const [, channels, rows, width] = take(shape, 4);
  return float32([1, channels, rows * width], data);
}

/** (1, C, rows, W) as (C, pixels). */
function pixels({ shape, data }: Tensor<'float32'>): Tensor<'float32'> {
  const [, channels, rows, width] = take(shape, 4);
  return float32([channels, rows * width], data);
}
