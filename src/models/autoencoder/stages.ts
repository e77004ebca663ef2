/** @file The network as a list of stages, each with its parameters under the names that diffusers gives them. */

import { at, take } from '../../at.ts';
import type { AutoencoderConfig } from './config.ts';

interface StageOf<Kind> {
  readonly kind: Kind;
  readonly name: string;
  readonly inputs: number;
}

/** A convolution, with zeros around the image so that it keeps its size. */
export interface ConvolutionStage extends StageOf<'convolution'> {
  readonly outputs: number;
  readonly kernel: 1 | 3;
  /** The norm before it, followed by SiLU. */
  readonly norm?: string;
  /** Doubles the image's sides before the convolution, or halves them by its stride. */
  readonly resize?: 'up' | 'down';
}

/** norm, SiLU, 3 x 3 convolution, twice, added to what came in. */
export interface ResidualStage extends StageOf<'residual'> {
  readonly outputs: number;
}

/** norm and self-attention of one head over all pixels, added to what came in. */
export type AttentionStage = StageOf<'attention'>;

export type Stage = ConvolutionStage | ResidualStage | AttentionStage;

/** A half of an autoencoder. */
export type Part = 'encoder' | 'decoder';

/** Whether a stage begins with a norm, which needs the statistics of its whole input. */
export function beginsWithNorm(stage: Stage | undefined): boolean {
  return stage !== undefined && (stage.kind !== 'convolution' || stage.norm !== undefined);
}

function convolution(name: string, inputs: number, outputs: number, kernel: 1 | 3 = 3): ConvolutionStage {
  return { kind: 'convolution', name, inputs, outputs, kernel };
}

/** Residual blocks of one resolution; the first changes the channels. */
function residuals(name: string, count: number, inputs: number, outputs: number): ResidualStage[] {
  return Array.from({ length: count }, (_, i) => ({
    kind: 'residual',
    name: `${name}.resnets.${i}`,
    inputs: i === 0 ? inputs : outputs,
    outputs,
  }));
}

/** Residual blocks at each resolution, with convolutions between them that resize. */
function levels(
  name: string,
  resize: 'up' | 'down',
  count: number,
  blockChannels: readonly number[],
): Stage[] {
  return blockChannels.flatMap((channels, i): Stage[] => {
    const block = `${name}.${resize}_blocks.${i}`;
    const blocks = residuals(block, count, at(blockChannels, Math.max(i - 1, 0)), channels);
    if (i === blockChannels.length - 1) return blocks;
    return [...blocks, { ...convolution(`${block}.${resize}samplers.0.conv`, channels, channels), resize }];
  });
}

function middle(part: Part, { midAttention }: AutoencoderConfig, channels: number): Stage[] {
  const name = `${part}.mid_block`;
  const attention: AttentionStage = { kind: 'attention', name: `${name}.attentions.0`, inputs: channels };
  const [first, second] = take(residuals(name, 2, channels, channels), 2);
  return [first, ...(midAttention ? [attention] : []), second];
}

function end(part: Part, inputs: number, outputs: number): ConvolutionStage {
  return { ...convolution(`${part}.conv_out`, inputs, outputs), norm: `${part}.conv_norm_out` };
}

/** The stages of one part, in the order in which an image passes them. */
export function stagesOf(config: AutoencoderConfig, part: Part): Stage[] {
  const { blockChannels, layersPerBlock, inChannels, outChannels, latentChannels } = config;
  const [finest, deepest] = [at(blockChannels, 0), at(blockChannels, -1)];
  if (part === 'encoder') {
    // Means and log variances, as channels of one image.
    const moments = 2 * latentChannels;
    return [
      convolution('encoder.conv_in', inChannels, finest),
      ...levels('encoder', 'down', layersPerBlock, blockChannels),
      ...middle('encoder', config, deepest),
      end('encoder', deepest, moments),
      ...(config.quantConv ? [convolution('quant_conv', moments, moments, 1)] : []),
    ];
  }
  return [
    ...(config.postQuantConv ? [convolution('post_quant_conv', latentChannels, latentChannels, 1)] : []),
    convolution('decoder.conv_in', latentChannels, deepest),
    ...middle('decoder', config, deepest),
    ...levels('decoder', 'up', layersPerBlock + 1, blockChannels.toReversed()),
    end('decoder', finest, outChannels),
  ];
}

type Shapes = [name: string, shape: number[]][];

function layer(name: string, ...shape: number[]): Shapes {
  return [
    [`${name}.weight`, shape],
    [`${name}.bias`, shape.slice(0, 1)],
  ];
}

/** Names and shapes of a stage's parameters. */
function stageParameters(stage: Stage): Shapes {
  const { name, inputs } = stage;
  if (stage.kind === 'attention') {
    const products = ['to_q', 'to_k', 'to_v', 'to_out.0'];
    return [
      ...layer(`${name}.group_norm`, inputs),
      ...products.flatMap((product) => layer(`${name}.${product}`, inputs, inputs)),
    ];
  }
  const { outputs } = stage;
  if (stage.kind === 'convolution') {
    const { kernel, norm } = stage;
    return [...(norm ? layer(norm, inputs) : []), ...layer(name, outputs, inputs, kernel, kernel)];
  }
  return [
    ...layer(`${name}.norm1`, inputs),
    ...layer(`${name}.conv1`, outputs, inputs, 3, 3),
    ...layer(`${name}.norm2`, outputs),
    ...layer(`${name}.conv2`, outputs, outputs, 3, 3),
    ...(inputs === outputs ? [] : layer(`${name}.conv_shortcut`, outputs, inputs, 1, 1)),
  ];
}

/** Every parameter's name and shape; of one part, or of both. */
export function autoencoderParameters(
  config: AutoencoderConfig,
  parts: readonly Part[] = ['encoder', 'decoder'],
): Map<string, readonly number[]> {
  return new Map(parts.flatMap((part) => stagesOf(config, part).flatMap(stageParameters)));
}

/** What diffusers before version 0.12 called the projections of an attention. */
const OLD_NAMES: Readonly<Record<string, string>> = {
  query: 'to_q',
  key: 'to_k',
  value: 'to_v',
  proj_attn: 'to_out.0',
};

/** A parameter's name of today, from it or from an old one. */
export function currentName(name: string): string {
  return name.replace(
    /(\.attentions\.\d+\.)(query|key|value|proj_attn)\./,
    (_, before: string, old: string) => `${before}${OLD_NAMES[old]}.`,
  );
}
