import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { formulaWeights } from '../../test/support/formula-weights.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { CheckpointError } from '../errors.ts';
import { type TorchInput, writeTorchCheckpoint } from '../formats/torch/writer.ts';
import { toFloatType } from '../tensor/convert.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import { resumeTraining, saveTraining, type TrainingPoint } from './checkpoint.ts';
import { initialState } from './optimizer.ts';
import { parseRecipe, type Recipe, recipeModel } from './recipe.ts';
import { exportTraining, importTraining } from './torch-training.ts';

const recipe = parseRecipe({
  model: { layers: 2, hidden: 8, heads: 1, patch: 4, blocks: 4 },
  data: { path: 'data', imageSize: 8, channels: 1 },
  training: { steps: 5, batch: 3, accumulate: 2, learningRate: 0.25, schedule: 'cosine', weightDecay: 0.1 },
  output: { folder: 'out' },
});
const config = recipeModel(recipe, { classNames: ['a', 'b'], sampleShape: [1, 1, 8, 8] });

/** A point whose every tensor has its own values. */
function pointAt(step: number): TrainingPoint {
  const state = initialState(formulaWeights(config));
  for (const [i, part] of [state.ema, state.firstMoments, state.secondMoments].entries()) {
    for (const [j, { data }] of [...part.values()].entries()) data.fill(i + 1 + j / 64);
  }
  return { step, position: step * 6, state };
}

type Dict = Map<string | number, TorchInput>;

/** The order of the official code's parameters: the second norm of a layer comes after its attention. */
const NAMES = [
  't_embedder.mlp.0.weight',
  't_embedder.mlp.0.bias',
  't_embedder.mlp.2.weight',
  't_embedder.mlp.2.bias',
  'y_embedder.embedding_table.weight',
  'x_embedder.weight',
  ...[0, 1].flatMap((layer) =>
    [
      'norm1.weight',
      'attn.qkv.weight',
      'attn.qkv.bias',
      'attn.q_norm.weight',
      'attn.k_norm.weight',
      'attn.proj.weight',
      'attn.proj.bias',
      'norm2.weight',
      'mlp.fc1.weight',
      'mlp.fc1.bias',
      'mlp.fc2.weight',
      'mlp.fc2.bias',
      'adaLN_modulation.1.weight',
      'adaLN_modulation.1.bias',
    ].map((name) => `blocks.${layer}.${name}`),
  ),
  'final_layer.norm_final.weight',
  'final_layer.linear.weight',
  'final_layer.linear.bias',
  'final_layer.adaLN_modulation.1.weight',
  'final_layer.adaLN_modulation.1.bias',
];

const point = pointAt(4);
const SETTINGS = { lr: 0.01, betas: [0.9, 0.95], eps: 1e-8, weight_decay: 0.1, amsgrad: false };

function dict(entries: object): Dict {
  return new Map(Object.entries(entries));
}

/** The entry of a parameter in the optimizer's state. */
function entryOf(name: string, { step = 4 as TorchInput, convert = (value: Tensor) => value } = {}): Dict {
  const moment = (part: 'firstMoments' | 'secondMoments') => convert(point.state[part].get(name)!);
  return dict({ step, exp_avg: moment('firstMoments'), exp_avg_sq: moment('secondMoments') });
}

interface Variation {
  readonly order?: readonly string[];
  readonly entry?: (name: string) => Dict | undefined;
  /** Settings of each group, with the number of its parameters. */
  readonly groups?: readonly (readonly [size: number, settings: object])[];
  readonly top?: object;
}

/** A checkpoint of a PyTorch program. */
function checkpointOf({
  order = NAMES,
  entry = entryOf,
  groups = [[NAMES.length, {}]],
  top = {},
}: Variation): Dict {
  const entries = order.flatMap((name, i): [number, TorchInput][] => {
    const found = entry(name);
    return found ? [[i, found]] : [];
  });
  let first = 0;
  const groupList = groups.map(([size, settings]) => {
    const params = Array.from({ length: size }, (_, i) => first + i);
    first += size;
    return dict({ ...('momentum' in settings ? {} : SETTINGS), params, ...settings });
  });
  const model = new Map(NAMES.map((name): [string, TorchInput] => [name, point.state.weights.get(name)!]));
  const args = dict({ patch_size: 4, block_size: 1, ar_len: 4, acdit_config: JSON.stringify(config) });
  return dict({
    model: { kind: 'ordered-dict', entries: model },
    opt: dict({ state: new Map(entries), param_groups: groupList }),
    args: { kind: 'namespace', entries: args },
    ...top,
  });
}

/** Imports a checkpoint, and resumes the training. */
async function resumed(checkpoint: Dict, changed: Recipe = recipe) {
  const folder = temporaryFolder();
  await writeTorchCheckpoint(join(folder, 'x.pt'), checkpoint);
  const { notes } = await importTraining(join(folder, 'x.pt'), join(folder, 'run'), {});
  const found = await resumeTraining(join(folder, 'run'), config, changed);
  return { ...found!, notes };
}

describe('exportTraining and importTraining', () => {
  it('are inverse, and PyTorch continues with the rate of the next step', async () => {
    const folder = temporaryFolder();
    await saveTraining(join(folder, 'run'), config, recipe, point);
    await exportTraining(join(folder, 'run'), join(folder, 'x.pt'));
    await importTraining(join(folder, 'x.pt'), join(folder, 'back'), {});
    expect(await resumeTraining(join(folder, 'back'), config, recipe)).toEqual(point);
  });
});

describe('importTraining', () => {
  it('reads a training that another program began, as if it had had the recipe that adopts it', async () => {
    const { notes, ...found } = await resumed(checkpointOf({}));
    const { weights, firstMoments, secondMoments } = point.state;
    expect(found).toEqual({
      step: 4,
      position: 24,
      state: { weights, ema: weights, firstMoments, secondMoments },
    });
    expect(notes).toEqual([
      'the checkpoint holds no moving average (ema), so it begins at the weights',
      'its learning rate was 0.01; from here on, the recipe sets the rate',
    ]);
  });

  const isVector = (name: string): boolean => point.state.weights.get(name)!.shape.length < 2;
  const matrices = NAMES.filter((name) => !isVector(name));
  const vectors = NAMES.filter(isVector);
  const shuffled = NAMES.toReversed();
  const stored = [...point.state.weights.keys()];

  it.each<[string, Variation]>([
    ['steps that are tensors', { entry: (name) => entryOf(name, { step: float32([], [4]) }) }],
    [
      'flags of how it is computed',
      { groups: [[NAMES.length, { fused: true, foreach: true, capturable: true }]] },
    ],
    ['names of parameters', { order: shuffled, groups: [[NAMES.length, { param_names: shuffled }]] }],
    ['wrapped names', { groups: [[NAMES.length, { param_names: NAMES.map((name) => `module.${name}`) }]] }],
    [
      'two groups',
      {
        order: [...matrices, ...vectors],
        groups: [
          [matrices.length, {}],
          [vectors.length, {}],
        ],
      },
    ],
    [
      'vectors first',
      {
        order: [...vectors, ...matrices],
        groups: [
          [vectors.length, {}],
          [matrices.length, {}],
        ],
      },
    ],
    [
      'a state dict in another order',
      {
        top: {
          model: {
            kind: 'ordered-dict',
            entries: new Map(stored.map((name) => [name, point.state.weights.get(name)!])),
          },
        },
      },
    ],
    ['a list with one optimizer', { top: { opt: null, optimizer_states: [checkpointOf({}).get('opt')] } }],
  ])('reads %s', async (_, variation) => {
    const { state, step } = await resumed(checkpointOf(variation));
    expect(step).toBe(4);
    expect(state.firstMoments).toEqual(point.state.firstMoments);
    expect(state.secondMoments).toEqual(point.state.secondMoments);
  });

  it('reads moments of bfloat16, and an optimizer that has taken no step', async () => {
    const convert = (value: Tensor) => toFloatType(value, 'bfloat16');
    const { state } = await resumed(checkpointOf({ entry: (name) => entryOf(name, { convert }) }));
    expect(state.firstMoments.get('x_embedder.weight')!.data[0]).toBeCloseTo(
      point.state.firstMoments.get('x_embedder.weight')!.data[0]!,
      2,
    );
    const first = await resumed(checkpointOf({ entry: () => undefined }));
    expect([first.step, first.position]).toEqual([0, 0]);
    expect(
      [...first.state.secondMoments.values()].every(({ data }) => data.every((value) => value === 0)),
    ).toBe(true);
  });

  const half = 19;
  it.each<[string, Variation, string]>([
    [
      'SGD',
      { groups: [[NAMES.length, { lr: 0.1, momentum: 0.9, nesterov: false }]] },
      'its optimizer is not AdamW: the settings of its parameter groups are lr, momentum, nesterov',
    ],
    [
      'AMSGrad',
      { groups: [[NAMES.length, { amsgrad: true }]] },
      'its optimizer uses amsgrad, which acdit does not have',
    ],
    ['maximize', { groups: [[NAMES.length, { maximize: true }]] }, 'its optimizer uses maximize'],
    [
      'Adam',
      { groups: [[NAMES.length, { decoupled_weight_decay: false }]] },
      'its optimizer is Adam with a weight_decay that is not decoupled',
    ],
    [
      'momentum',
      { entry: (name) => dict({ momentum_buffer: point.state.weights.get(name)! }) },
      'its optimizer is not AdamW: the state of parameter 0 holds momentum_buffer instead of exp_avg and exp_avg_sq',
    ],
    [
      'missing moments',
      { entry: (name) => (name.startsWith('blocks.1.attn.q_norm') ? undefined : entryOf(name)) },
      'its optimizer has no moments of blocks.1.attn.q_norm.weight, as if they were frozen',
    ],
    [
      'frozen parameters',
      { groups: [[half, {}]], entry: (name) => (NAMES.indexOf(name) < half ? entryOf(name) : undefined) },
      'its optimizer has 19 parameters and its model 39',
    ],
    [
      'different steps',
      { entry: (name) => entryOf(name, { step: name.startsWith('blocks.0') ? 3 : 4 }) },
      'its parameters have taken different numbers of steps (4, 3)',
    ],
    ['half a step', { entry: (name) => entryOf(name, { step: 1.5 }) }, 'the step of its optimizer is 1.5'],
    [
      'groups with settings of their own',
      {
        groups: [
          [10, {}],
          [NAMES.length - 10, { weight_decay: 0 }],
        ],
      },
      'its parameter groups differ in weightDecay (0.1, 0)',
    ],
    [
      'groups without names',
      {
        groups: [
          [10, {}],
          [NAMES.length - 10, {}],
        ],
      },
      'its optimizer has 2 parameter groups and does not record the names of their parameters',
    ],
    [
      'another order',
      { order: shuffled },
      'the moments of parameter 0 are of shape [16], and t_embedder.mlp.0.weight is of [8,256]',
    ],
    ['no optimizer', { top: { opt: null } }, 'holds no state of an optimizer (opt, optimizer,'],
    [
      'something else',
      { top: { opt: dict({ lr: 1 }) } },
      'the state of its optimizer is not that of torch.optim.AdamW',
    ],
    ['two optimizers', { top: { opt: [1, 2] } }, 'holds the states of 2 optimizers instead of one'],
  ])('refuses %s in one line', async (_, variation, message) => {
    const refused = resumed(checkpointOf(variation));
    await expect(refused).rejects.toThrow(CheckpointError);
    await expect(refused).rejects.toThrow(message);
    await expect(refused).rejects.toThrow(
      /x\.pt: [^\n]*; to begin with its weights alone, name it in training\.initFrom$/,
    );
  });

  it('is adopted only by a recipe of the same model with the same settings', async () => {
    const { model, training } = recipe;
    const other = {
      ...recipe,
      training: { ...training, betas: [0.9, 0.999] as [number, number], weightDecay: 0 },
    };
    await expect(resumed(checkpointOf({}), other)).rejects.toThrow(
      'another program trained it with different settings: training.betas was [0.9,0.95] and is now [0.9,0.999]; ' +
        'training.weightDecay was 0.1 and is now 0. Give the recipe the earlier values, or allow changes',
    );
    const folder = temporaryFolder();
    await writeTorchCheckpoint(join(folder, 'x.pt'), checkpointOf({}));
    await importTraining(join(folder, 'x.pt'), join(folder, 'run'), {});
    const blocks = { ...recipe, model: { ...model, blocks: 1 } };
    const fewer = recipeModel(blocks, { classNames: ['a', 'b'], sampleShape: [1, 1, 8, 8] });
    await expect(resumeTraining(join(folder, 'run'), fewer, blocks)).rejects.toThrow(
      "the model's blockSize was 1 and is now 4; the model's blocks was 4 and is now 1. Give the recipe the earlier values",
    );
    const swapped = recipeModel(recipe, { classNames: ['b', 'a'], sampleShape: [1, 1, 8, 8] });
    await expect(resumeTraining(join(folder, 'run'), swapped, recipe)).rejects.toThrow(
      /the label of class 'a' was 0 and is now 1/,
    );
  });
});
