/**
 * @file The state of `torch.optim.AdamW` in a PyTorch checkpoint: `state` by the numbers of parameters, and `param_groups`.
 * Parameters are numbered in the order in which the program gave them to its optimizer, so their names must be inferred.
 */

import { at } from '../at.ts';
import { CheckpointError } from '../errors.ts';
import type { LazyTensor } from '../formats/tensor-archive.ts';
import { isTorchTensor, type TorchTensor, type TorchValue } from '../formats/torch/checkpoint.ts';
import type { TorchInput } from '../formats/torch/writer.ts';
import { printable, printableList } from '../io/printable.ts';
import { float32 } from '../tensor/tensor.ts';
import type { StoredWeights } from './save.ts';

/** Settings of AdamW, as a parameter group has them. */
export interface AdamWSettings {
  readonly learningRate: number;
  readonly betas: readonly [number, number];
  readonly epsilon: number;
  readonly weightDecay: number;
}

type Moments = StoredWeights;

/** What AdamW keeps: the moments of each parameter, by its name. */
export interface AdamWState {
  /** Steps taken. */
  readonly step: number;
  readonly settings: AdamWSettings;
  /** `exp_avg` of each parameter; undefined before the first step, when they are 0. */
  readonly firstMoments: Moments | undefined;
  /** `exp_avg_sq` of each parameter. */
  readonly secondMoments: Moments | undefined;
}

type Dict = ReadonlyMap<TorchValue, TorchValue>;

/** A number of a parameter, or its name where the whole state of a sharded optimizer was gathered. */
type ParameterId = string | number;

/** Names that trainers give to the optimizer's state: DiT's, then those of others; Lightning has a list. */
const OPTIMIZER_KEYS = ['opt', 'optimizer', 'optimizer_state_dict', 'optimizer_states'];

const [FIRST, SECOND] = ['exp_avg', 'exp_avg_sq'] as const;

/** What to do with a state that does not fit, for the end of a message. */
const WEIGHTS_ALONE = 'to begin with its weights alone, name it in training.initFrom';

/**
 * Reads the state of AdamW in a checkpoint.
 * @param shapes the model's parameters in the order of its state dict, which usually is that of `model.parameters()`.
 * @param plainName removes from a parameter's name what wrappers add.
 * @throws {CheckpointError} in one line if there is none, it is of another optimizer, moments are missing or do not fit the
 * parameters, or acdit cannot continue it, such as groups with different settings.
 */
export async function readAdamW(
  checkpoint: Dict,
  shapes: ReadonlyMap<string, readonly number[]>,
  plainName: (name: string) => string,
  file: string,
): Promise<AdamWState> {
  const problem = (text: string): CheckpointError =>
    new CheckpointError(`${file}: ${text}; ${WEIGHTS_ALONE}`);
  const { state, groups } = optimizerOf(checkpoint, problem);
  const settings = await commonSettings(groups, problem);
  const entries = new Map([...state].filter(([, entry]) => entry instanceof Map && entry.size > 0)) as Map<
    ParameterId,
    Dict
  >;
  const ids = groups.flatMap((group) => idsOf(group, problem));
  const unknown = [...entries.keys()].find((id) => !ids.includes(id));
  if (unknown !== undefined) {
    throw problem(`its optimizer has a state of parameter ${printable(unknown)}, which is in no group`);
  }
  if (entries.size === 0) return { step: 0, settings, firstMoments: undefined, secondMoments: undefined };
  requireMoments(entries, problem);
  const orders = possibleOrders(groups, ids, shapes, plainName);
  const names = namesOf({ ids, entries, orders, groups: groups.length }, shapes, problem);
  const missing = ids.filter((id) => !entries.has(id)).map((id) => at(names, ids.indexOf(id)));
  if (missing.length > 0) {
    throw problem(
      `its optimizer has no moments of ${printableList(missing, 4)}, as if they were frozen; acdit trains all parameters ` +
        'together',
    );
  }
  const step = await commonStep(entries, problem);
  const moments = (key: string): Moments =>
    new Map(
      [...shapes.keys()].map((name): [string, LazyTensor] => {
        const id = at(ids, names.indexOf(name));
        return [name, entries.get(id)!.get(key) as TorchTensor];
      }),
    );
  return { step, settings, firstMoments: moments(FIRST), secondMoments: moments(SECOND) };
}

type Problem = (text: string) => CheckpointError;

function optimizerOf(checkpoint: Dict, problem: Problem): { state: Dict; groups: Dict[] } {
  const found = OPTIMIZER_KEYS.map((key) => checkpoint.get(key)).find((value) => value != null);
  if (found === undefined) {
    throw problem(
      `holds no state of an optimizer (${OPTIMIZER_KEYS.join(', ')}), but ${printableList(checkpoint.keys(), 12)}`,
    );
  }
  const several = Array.isArray(found) ? found : [found];
  if (several.length !== 1) throw problem(`holds the states of ${several.length} optimizers instead of one`);
  const optimizer = several[0];
  const state = optimizer instanceof Map ? optimizer.get('state') : undefined;
  const groups = optimizer instanceof Map ? optimizer.get('param_groups') : undefined;
  const isGroup = (group: TorchValue): boolean => group instanceof Map && Array.isArray(group.get('params'));
  if (!(state instanceof Map) || !Array.isArray(groups) || groups.length === 0 || !groups.every(isGroup)) {
    throw problem(
      'the state of its optimizer is not that of torch.optim.AdamW: it needs state and param_groups with params',
    );
  }
  return { state, groups: groups as Dict[] };
}

function idsOf(group: Dict, problem: Problem): ParameterId[] {
  const ids = group.get('params') as readonly TorchValue[];
  if (ids.every((id) => typeof id === 'number' || typeof id === 'string')) return ids as ParameterId[];
  throw problem('the params of its parameter groups are not numbers or names');
}

/** Options of PyTorch that change what a step computes. */
const REFUSED_OPTIONS = { amsgrad: true, maximize: true } as const;

/** Returns the settings that all groups share. */
async function commonSettings(groups: readonly Dict[], problem: Problem): Promise<AdamWSettings> {
  const all = await Promise.all(groups.map((group) => settingsOf(group, problem)));
  const first = at(all, 0);
  for (const key of ['learningRate', 'betas', 'epsilon', 'weightDecay'] as const) {
    const values = [...new Set(all.map((settings) => JSON.stringify(settings[key])))];
    if (values.length === 1) continue;
    throw problem(
      `its parameter groups differ in ${key} (${values.slice(0, 4).join(', ')}); acdit trains all parameters alike`,
    );
  }
  return first;
}

async function settingsOf(group: Dict, problem: Problem): Promise<AdamWSettings> {
  const keys = [...group.keys()].filter((key) => key !== 'params');
  if (!['betas', 'eps', 'weight_decay', 'amsgrad'].every((key) => group.has(key))) {
    throw problem(
      `its optimizer is not AdamW: the settings of its parameter groups are ${printableList(keys, 12)}`,
    );
  }
  for (const [option, refused] of Object.entries(REFUSED_OPTIONS)) {
    if (group.get(option) === refused)
      throw problem(`its optimizer uses ${option}, which acdit does not have`);
  }
  const number = async (value: TorchValue | undefined): Promise<number> => {
    const found = await scalar(value);
    if (found !== undefined) return found;
    throw problem('the settings of its parameter groups are not numbers');
  };
  const betas = group.get('betas');
  const [beta1, beta2] = Array.isArray(betas) ? betas : [];
  const weightDecay = await number(group.get('weight_decay'));
  if (group.get('decoupled_weight_decay') === false && weightDecay !== 0) {
    throw problem('its optimizer is Adam with a weight_decay that is not decoupled, unlike AdamW');
  }
  return {
    learningRate: await number(group.get('lr')),
    betas: [await number(beta1), await number(beta2)],
    epsilon: await number(group.get('eps')),
    weightDecay,
  };
}

/** Returns a number that may be stored as a tensor with one element. */
async function scalar(value: TorchValue | undefined): Promise<number | undefined> {
  if (typeof value === 'number') return value;
  if (!isTorchTensor(value) || value.shape.some((size) => size !== 1)) return undefined;
  return Number((await value.read()).data[0]);
}

/** Checks that each entry has AdamW's moments. */
function requireMoments(entries: ReadonlyMap<ParameterId, Dict>, problem: Problem): void {
  for (const [id, entry] of entries) {
    const has = (key: string): boolean => isTorchTensor(entry.get(key));
    if (!has(FIRST) || !has(SECOND)) {
      throw problem(
        `its optimizer is not AdamW: the state of parameter ${printable(id)} holds ${printableList(entry.keys(), 8)} ` +
          `instead of ${FIRST} and ${SECOND}`,
      );
    }
    if (entry.has('max_exp_avg_sq')) throw problem('its optimizer uses amsgrad, which acdit does not have');
  }
}

async function commonStep(entries: ReadonlyMap<ParameterId, Dict>, problem: Problem): Promise<number> {
  const steps = new Set<number | undefined>();
  for (const entry of entries.values()) steps.add(await scalar(entry.get('step')));
  const [step] = steps;
  if (steps.size > 1) {
    throw problem(
      `its parameters have taken different numbers of steps (${[...steps].slice(0, 4).join(', ')}); acdit trains all ` +
        'parameters together',
    );
  }
  if (step !== undefined && Number.isSafeInteger(step) && step > 0) return step;
  throw problem(`the step of its optimizer is ${step ?? 'missing'}, not a positive whole number`);
}

/** The parameters of an optimizer whose names are to be inferred. */
interface NumberedParameters {
  readonly ids: readonly ParameterId[];
  readonly entries: ReadonlyMap<ParameterId, Dict>;
  /** Names that they may have. */
  readonly orders: readonly (readonly string[])[];
  readonly groups: number;
}

/** Finds the name of each parameter that the optimizer knows by a number: the moments have the shapes of the parameters. */
function namesOf(
  { ids, entries, orders, groups }: NumberedParameters,
  shapes: ReadonlyMap<string, readonly number[]>,
  problem: Problem,
): readonly string[] {
  if (ids.length !== shapes.size || new Set(ids).size !== ids.length) {
    throw problem(`its optimizer has ${ids.length} parameters and its model ${shapes.size}`);
  }
  const isMisfit = (id: ParameterId, name: string): boolean => {
    const shape = shapes.get(name)?.join();
    return [FIRST, SECOND].some((key) => {
      const moments = entries.get(id)?.get(key) as TorchTensor | undefined;
      return moments && moments.shape.join() !== shape;
    });
  };
  const misfits = orders.map((names) => ids.findIndex((id, i) => isMisfit(id, at(names, i))));
  const fitting = misfits.indexOf(-1);
  if (fitting >= 0) return at(orders, fitting);
  const [order, misfit] = [orders[0], misfits[0]];
  if (order === undefined || misfit === undefined) {
    throw problem(
      `its optimizer has ${groups} parameter groups and does not record the names of their parameters (param_names, which ` +
        'PyTorch 2.6 stores for named_parameters())',
    );
  }
  const name = at(order, misfit);
  const { shape } = entries.get(at(ids, misfit))!.get(FIRST) as TorchTensor;
  throw problem(
    `the moments of parameter ${misfit} are of shape [${shape}], and ${printable(name)} is of ` +
      `[${shapes.get(name) ?? []}]; the optimizer's parameters should be in the order of the model's`,
  );
}

/**
 * The orders that parameters may be numbered in: that of the names that were stored, that of the state dict, that of the
 * official code, or, in two groups, the latter with matrices apart from vectors (which weight decay often leaves out).
 */
function possibleOrders(
  groups: readonly Dict[],
  ids: readonly ParameterId[],
  shapes: ReadonlyMap<string, readonly number[]>,
  plainName: (name: string) => string,
): string[][] {
  const stored = groups.map((group) => group.get('param_names'));
  if (stored.every((names) => Array.isArray(names)))
    return [stored.flat().map((name) => plainName(String(name)))];
  if (ids.every((id) => typeof id === 'string')) return [ids.map((id) => plainName(String(id)))];
  const names = officialOrder([...shapes.keys()]);
  if (groups.length === 1) return [[...shapes.keys()], names];
  const isVector = (name: string): boolean => shapes.get(name)!.length < 2;
  const [vectors, matrices] = [names.filter(isVector), names.filter((name) => !isVector(name))];
  const sizes = groups.map((group) => (group.get('params') as readonly TorchValue[]).length).join();
  return [
    [matrices, vectors],
    [vectors, matrices],
  ]
    .filter((order) => order.map(({ length }) => length).join() === sizes)
    .map((order) => order.flat());
}

/**
 * Returns a model's parameters in the order in which the official code defines them, which is that of `model.parameters()`: a
 * layer's second norm comes after its attention.
 */
export function officialOrder(names: readonly string[]): string[] {
  const isNorm = (name: string): boolean => /^blocks\.\d+\.norm2\.weight$/.test(name);
  return names
    .filter((name) => !isNorm(name))
    .flatMap((name) => {
      const [, layer] = /^blocks\.(\d+)\.attn\.proj\.bias$/.exec(name) ?? [];
      return layer === undefined ? [name] : [name, `blocks.${layer}.norm2.weight`];
    });
}

/**
 * Returns the state of AdamW as `torch.optim.AdamW(model.parameters()).load_state_dict` takes it.
 * @param peak the learning rate that a schedule of PyTorch begins with.
 */
export function adamWStateDict(
  { step, settings, firstMoments, secondMoments }: AdamWState,
  names: readonly string[],
  peak: number,
): TorchInput {
  const entry = (name: string): TorchInput =>
    new Map<string, TorchInput>([
      ['step', float32([], [step])],
      [FIRST, firstMoments!.get(name)!],
      [SECOND, secondMoments!.get(name)!],
    ]);
  const group = new Map<string, TorchInput>([
    ['lr', settings.learningRate],
    ['betas', settings.betas],
    ['eps', settings.epsilon],
    ['weight_decay', settings.weightDecay],
    ['amsgrad', false],
    ['maximize', false],
    ['foreach', null],
    ['capturable', false],
    ['differentiable', false],
    ['fused', null],
    ['initial_lr', peak],
    ['params', names.map((_, i) => i)],
    ['param_names', names],
  ]);
  const state = firstMoments ? names.map((name, i): [number, TorchInput] => [i, entry(name)]) : [];
  return new Map<string, TorchInput>([
    ['state', new Map<number, TorchInput>(state)],
    ['param_groups', [group]],
  ]);
}
