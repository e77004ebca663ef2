/** @file A model as the server has it: what samples it, what decodes it, and who may use them. */

import type { Decoder } from '../decoding/decoder.ts';
import { type AcditConfig, defaultGuidance, imageSize } from '../models/acdit/config.ts';
import type { RequestSampler } from '../sampling/process-sampler.ts';
import type { ModelEntry } from './api.ts';
import type { Gate } from './gate.ts';

/** A model that is ready to answer. */
export interface ServedModel {
  readonly id: string;
  readonly config: AcditConfig;
  /** When it was opened, in seconds since 1970. */
  readonly created: number;
  /** Takes several requests at a time. */
  readonly sampler: RequestSampler;
  readonly decoder: Decoder;
  readonly gate: Gate;
}

/** `32x32` */
export function sizeName(config: AcditConfig): string {
  const { width, height } = imageSize(config);
  return `${width}x${height}`;
}

export function modelEntry({ id, config, created }: ServedModel): ModelEntry {
  return {
    id,
    object: 'model',
    created,
    owned_by: 'acdit',
    kind: config.frames > 1 ? 'video' : 'image',
    ...imageSize(config),
    frames: config.frames,
    blocks: config.blocks,
    classes: config.classes,
    class_names: config.classNames ? [...config.classNames] : null,
    cfg_scale: defaultGuidance(config),
    config: { ...config },
  };
}
