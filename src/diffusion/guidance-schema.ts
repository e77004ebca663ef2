/** @file Guidance as JSON holds it: in a model's config.json, in recipes and in requests to a server. */

import { z } from 'zod';
import { GUIDANCE_SCHEDULES } from './guidance.ts';

const scale = z.number().min(0);

/** The form of a {@link Guidance}; `guidanceProblem` checks the rest. */
export const guidanceSchema = z.strictObject({
  scale: z.union([scale, z.array(scale).min(1)]),
  interval: z.tuple([z.number(), z.number()]).exactOptional(),
  schedule: z.enum(GUIDANCE_SCHEDULES).exactOptional(),
});
