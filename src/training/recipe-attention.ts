/** @file The key `model.attention` of a recipe. */

import { z } from 'zod';
import { ConfigError } from '../errors.ts';
import { isRecord } from '../io/json.ts';
import { printable } from '../io/printable.ts';
import {
  type AttentionSetting,
  attentionOf,
  attentionProblem,
  isModulePath,
} from '../models/acdit/attention.ts';

/** A setting, or the path of a JavaScript or TypeScript module, relative to the current folder. */
export const attentionSchema = z
  .custom<AttentionSetting | (string & Record<never, never>)>()
  .transform(withoutDefaultSinks)
  .optional();

type RecipeAttention = z.infer<typeof attentionSchema>;

/** Spells a window without sinks in one way, since settings of a run are compared when it resumes. Nothing is checked yet. */
function withoutDefaultSinks<T>(attention: T): T {
  if (!isRecord(attention) || !('window' in attention) || attention.sinks !== 0) return attention;
  const { sinks: _, ...rest } = attention;
  return rest as T;
}

const MODULES = '; a module ends in .mjs, .js or .ts';

/** Reports what is wrong with a model's attention, unless it is a module that is still to be loaded. */
export function checkAttention(
  { attention, blocks }: { readonly attention?: RecipeAttention; readonly blocks: number },
  context: z.RefinementCtx,
): void {
  if (attention === undefined || isModulePath(attention)) return;
  const problem = attentionProblem(attention, blocks);
  if (problem === undefined) return;
  const modules = typeof attention === 'string' ? MODULES : '';
  context.addIssue({ code: 'custom', path: ['attention'], message: problem + modules });
}

/**
 * Returns the attention of a recipe's model.
 * @throws {ConfigError} if it is a module that is not loaded, or timesteps do not fit
 */
export function requireAttention(
  attention: RecipeAttention,
  timestepPer: 'block' | 'sample',
): AttentionSetting | undefined {
  if (attention === undefined) return undefined;
  if (isModulePath(attention)) {
    throw new ConfigError(
      `recipe: model.attention names the module ${printable(attention)}, which is not loaded; call loadAttention first`,
    );
  }
  if (attentionOf({ attention }).together && timestepPer !== 'sample') {
    throw new ConfigError(
      'recipe: model.attention full denoises all blocks together, so training.timestepPer must be sample, got block',
    );
  }
  return attention;
}
