/** @file The stages of an autoencoder compiled with their weights: each takes a plane and makes the next. */

import { get, take } from '../../at.ts';
import type { Graph } from '../../graph/onnx.ts';
import { inputName } from '../../graph/symbolic.ts';
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

/** Makes the plane that follows; `plane` goes back to the pool. */
export type CompiledStage = (plane: Plane, signal?: AbortSignal) => Promise<Plane>;

/** What stages are compiled with. */
export interface StageContext {
  readonly device: Device;
  readonly source: ParameterSource;
  /** Gets every compiled program. */
  readonly programs: Program[];
  readonly pool: PlanePool;
  /** Groups of the norms. */
  readonly groups: number;
  /** Max pixels of a strip, which has at least two rows. */
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

/** @param normFollows whether the result is measured */
export function compileStage(
  context: StageContext,
  stage: Stage,
  normFollows: boolean,
): Promise<CompiledStage> {
  const measured = normFollows ? context.groups : 0;
  if (stage.kind === 'convolution') return compileSingle(context, stage, measured);
  if (stage.kind === 'residual') return compileResidual(context, stage, measured);
  return compileAttention(context, stage, measured);
}

async function compileSingle(
  context: StageContext,
  stage: ConvolutionStage,
  measured: number,
): Promise<CompiledStage> {
  const { pool } = context;
  const convolve = await compileConvolution(context, { ...stage, measured });
  return async (plane, signal) => {
    const doubled = stage.resize === 'up' ? 2 : 1;
    const input = pool.recut(plane, stripRows(context, doubled * plane.width) / doubled);
    const result = await convolve(input, undefined, signal);
    pool.give(input);
    return result;
  };
}

async function compileResidual(
  context: StageContext,
  { name, inputs, outputs }: ResidualStage,
  measured: number,
): Promise<CompiledStage> {
  const { groups, pool } = context;
  const half = (number: 1 | 2) =>
    ({ name: `${name}.conv${number}`, norm: `${name}.norm${number}`, outputs, kernel: 3 }) as const;
  const first = await compileConvolution(context, { ...half(1), inputs, measured: groups });
  const residual = { channels: inputs, shortcut: `${name}.conv_shortcut` };
  const second = await compileConvolution(context, { ...half(2), inputs: outputs, residual, measured });
  return async (plane, signal) => {
    const input = pool.recut(plane, stripRows(context, plane.width));
    const middle = await first(input, undefined, signal);
    const result = await second(middle, input, signal);
    pool.give(middle);
    pool.give(input);
    return result;
  };
}

async function readNorm(source: ParameterSource, name: string): Promise<NormWeights> {
  return {
    weight: (await source(`${name}.weight`)).data,
    bias: (await source(`${name}.bias`)).data,
  };
}

/** Compile with the parameters among the graph's inputs, which the program copies: they are not kept. */
async function compileBound({ device, source, programs }: StageContext, graph: Graph): Promise<Program> {
  const bound: Record<string, Tensor> = {};
  for (const name of graph.inputs.map(inputName)) if (name.includes('.')) bound[name] = await source(name);
  const program = await device.compile(graph, bound);
  programs.push(program);
  return program;
}

const FLAGS = { false: float32([], [0]), true: float32([], [1]) } as const;

/** Takes its input in strips that the convolution can take as they are; it and `residual` are left alone. */
type Convolution = (input: Plane, residual?: Plane, signal?: AbortSignal) => Promise<Plane>;

async function compileConvolution(context: StageContext, spec: ConvolutionSpec): Promise<Convolution> {
  const program = await compileBound(context, convolutionGraph(spec));
  const norm = spec.norm === undefined ? undefined : await readNorm(context.source, spec.norm);
  const { kernel, resize, outputs, measured } = spec;
  const factor = resize === 'up' ? 2 : resize === 'down' ? 0.5 : 1;
  return async (input, residual, signal) => {
    const { channels, height, width, rows } = input;
    const output = context.pool.take(outputs, height * factor, width * factor, rows * factor);
    const fixed = norm ? affineFeeds(input, norm) : {};
    const edge = (): Tensor<'float32'> => zeros('float32', [1, channels, 1, width]);
    // Where an image is halved, the zeros are below alone.
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
      const added = residual && { residual: strip(residual, index) };
      const feeds = { strip: strip(input, index), ...fixed, ...neighbours, ...exists, ...added };
      await runStrip(program, feeds, strip(output, index), measured, measures);
    }
    return { ...output, measures };
  };
}

function affineFeeds(plane: Plane, norm: NormWeights): Feeds {
  const shape = [1, norm.weight.length, 1, 1];
  const { scale, shift } = normalization(plane, norm);
  return { scale: float32(shape, scale), shift: float32(shape, shift) };
}

/** Run a program that fills `result`; if there are `groups`, its measure is appended to `measures`. */
async function runStrip(
  program: Program,
  feeds: Feeds,
  result: Tensor<'float32'>,
  groups: number,
  measures: Measure[],
): Promise<void> {
  if (groups === 0) {
    await program.run(feeds, { result });
    return;
  }
  const count = elementCount(result.shape) / groups;
  const outputs = await program.run({ ...feeds, inverseCount: float32([], [1 / count]) }, { result });
  const valuesOf = (name: string): Float32Array => get(outputs, name).data as Float32Array;
  measures.push({ count, means: valuesOf('means'), squares: valuesOf('squares') });
}

async function compileAttention(
  context: StageContext,
  stage: AttentionStage,
  measured: number,
): Promise<CompiledStage> {
  const { pool } = context;
  const { name, inputs: channels } = stage;
  const keysAndValues = await compileBound(context, keysAndValuesGraph(stage));
  const attend = await compileBound(context, attendGraph(stage, measured));
  const norm = await readNorm(context.source, `${name}.group_norm`);
  return async (plane, signal) => {
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
      await keysAndValues.run({ strip: pixels(strip(input, index), [1]), ...affine }, into);
    }
    keys = pool.recut(keys, height);
    values = pool.recut(values, height);
    const all = { keys: pixels(strip(keys, 0)), values: pixels(strip(values, 0)) };
    const output = pool.take(channels, height, width, rows);
    const measures: Measure[] = [];
    for (let index = 0; index < stripCount(input); index++) {
      signal?.throwIfAborted();
      const feeds = { strip: pixels(strip(input, index), [1]), ...affine, ...all };
      await runStrip(attend, feeds, pixels(strip(output, index), [1]), measured, measures);
    }
    for (const used of [input, keys, values]) pool.give(used);
    return { ...output, measures };
  };
}

/** (1, C, rows, W) as (..., C, pixels), by default (C, pixels). */
function pixels({ shape, data }: Tensor<'float32'>, leading: readonly number[] = []): Tensor<'float32'> {
  const [, channels, rows, width] = take(shape, 4);
  return float32([...leading, channels, rows * width], data);
}
