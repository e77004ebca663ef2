/** @file The network as a list of stages, each with its parameters under the names that diffusers gives them. */

import { at, take } from '../../at.ts';
import type { AutoencoderConfig } from './config.ts';

/** A convolution, with zeros around the picture so that it keeps its size. */
export interface ConvolutionStage {
  readonly kind: 'convolution';
  readonly name: string;
  readonly inputs: number;
  readonly outputs: number;
  readonly kernel: 1 | 3;
  /** The norm before it, followed by SiLU. */
  readonly norm?: string;
  /** Doubles the picture's sides before the convolution, or halves them by its stride. */
  readonly resize?: 'up' | 'down';
}

/** norm, SiLU, 3 x 3 convolution, twice, added to what came in. */
export interface ResidualStage {
  readonly kind: 'residual';
  readonly name: string;
  readonly inputs: number;
  readonly outputs: number;
}

/** norm and self-attention of one head over all pixels, added to what came in. */
export interface AttentionStage {
  readonly kind: 'attention';
  readonly name: string;
  readonly inputs: number;
}

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

function residual(name: string, inputs: number, outputs: number): ResidualStage {
  return { kind: 'residual', name, inputs, outputs };
}

/** Residual blocks of one resolution; the first changes the channels. */
function residuals(name: string, count: number, inputs: number, outputs: number): ResidualStage[] {
  return Array.from({ length: count }, (_, i) =>
    residual(`${name}.resnets.${i}`, i === 0 ? inputs : outputs, outputs),
  );
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

/** From pictures to moments: means and log variances, as channels of one picture. */
function encoderStages(config: AutoencoderConfig): Stage[] {
  const { blockChannels, layersPerBlock, inChannels, latentChannels } = config;
  const moments = 2 * latentChannels;
  const [first, deepest] = [at(blockChannels, 0), at(blockChannels, -1)];
  const blocks = blockChannels.flatMap((channels, i): Stage[] => {
    const name = `encoder.down_blocks.${i}`;
    const halve = convolution(`${name}.downsamplers.0.conv`, channels, channels);
    return [
      ...residuals(name, layersPerBlock, at(blockChannels, Math.max(i - 1, 0)), channels),
      ...(i < blockChannels.length - 1 ? [{ ...halve, resize: 'down' } as const] : []),
    ];
  });
  return [
    convolution('encoder.conv_in', inChannels, first),
    ...blocks,
    ...middle('encoder', config, deepest),
    end('encoder', deepest, moments),
    ...(config.quantConv ? [convolution('quant_conv', moments, moments, 1)] : []),
  ];
}

/** From latents to pictures. */
function decoderStages(config: AutoencoderConfig): Stage[] {
  const { layersPerBlock, outChannels, latentChannels } = config;
  const blockChannels = [...config.blockChannels].reverse();
  const [first, last] = [at(blockChannels, 0), at(blockChannels, -1)];
  const blocks = blockChannels.flatMap((channels, i): Stage[] => {
    const name = `decoder.up_blocks.${i}`;
    const double = convolution(`${name}.upsamplers.0.conv`, channels, channels);
    return [
      ...residuals(name, layersPerBlock + 1, at(blockChannels, Math.max(i - 1, 0)), channels),
      ...(i < blockChannels.length - 1 ? [{ ...double, resize: 'up' } as const] : []),
    ];
  });
  return [
    ...(config.postQuantConv ? [convolution('post_quant_conv', latentChannels, latentChannels, 1)] : []),
    convolution('decoder.conv_in', latentChannels, first),
    ...middle('decoder', config, first),
    ...blocks,
    end('decoder', last, outChannels),
  ];
}

/** The stages of one part, in the order in which a picture passes them. */
export function stagesOf(config: AutoencoderConfig, part: Part): Stage[] {
  return part === 'encoder' ? encoderStages(config) : decoderStages(config);
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
