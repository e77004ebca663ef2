import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { encodeGraph, type GraphNode } from '../../test/support/formula-inception.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { CheckpointError, FormatError } from '../errors.ts';
import { writeSafetensors } from '../formats/safetensors-writer.ts';
import { writeTorchCheckpoint } from '../formats/torch/writer.ts';
import { INCEPTION_LAYERS } from '../models/inception/layers.ts';
import { convolutionsOf } from '../models/network-layers.ts';
import { float32, type Tensor, zeros } from '../tensor/tensor.ts';
import { openInception } from './inception.ts';

/** Where the graph has each of these convolutions: scopes by the names of pytorch-fid. */
const SCOPES = {
  Conv2d_1a_3x3: 'conv',
  Conv2d_4a_3x3: 'conv_4',
  'Mixed_5b.branch1x1': 'mixed/conv',
  'Mixed_5b.branch3x3dbl_3': 'mixed/tower_1/conv_2',
  'Mixed_5d.branch_pool': 'mixed_2/tower_2/conv',
  'Mixed_6a.branch3x3': 'mixed_3/conv',
  'Mixed_6a.branch3x3dbl_1': 'mixed_3/tower/conv',
  'Mixed_6d.branch1x1': 'mixed_6/conv',
  'Mixed_6e.branch7x7dbl_5': 'mixed_7/tower_1/conv_4',
  'Mixed_7a.branch3x3_1': 'mixed_8/tower/conv',
  'Mixed_7a.branch7x7x3_4': 'mixed_8/tower_1/conv_3',
  'Mixed_7b.branch3x3_2b': 'mixed_9/tower/mixed/conv_1',
  'Mixed_7c.branch3x3dbl_3a': 'mixed_10/tower_1/mixed/conv',
  'Mixed_7c.branch_pool': 'mixed_10/tower_2/conv',
} as const;

/** Scopes in the graph's own order of creation: towers are numbered within a block, convolutions within a tower. */
function scopes(): string[] {
  const numbered = (name: string, i: number) => (i === 0 ? name : `${name}_${i}`);
  const tower = (scope: string, count: number) =>
    Array.from({ length: count }, (_, i) => `${scope}/${numbered('conv', i)}`);
  const block = (i: number, alone: boolean, towers: readonly number[]) => [
    ...(alone ? [`${numbered('mixed', i)}/conv`] : []),
    ...towers.flatMap((count, t) => tower(`${numbered('mixed', i)}/${numbered('tower', t)}`, count)),
  ];
  const forks = (i: number) => {
    const scope = numbered('mixed', i);
    const fork = (towerScope: string) => tower(`${towerScope}/mixed`, 2);
    return [
      `${scope}/conv`,
      ...tower(`${scope}/tower`, 1),
      ...fork(`${scope}/tower`),
      ...tower(`${scope}/tower_1`, 2),
      ...fork(`${scope}/tower_1`),
      ...tower(`${scope}/tower_2`, 1),
    ];
  };
  return [
    ...Array.from({ length: 5 }, (_, i) => numbered('conv', i)),
    ...[0, 1, 2].flatMap((i) => block(i, true, [2, 3, 1])),
    ...block(3, true, [3]),
    ...[4, 5, 6, 7].flatMap((i) => block(i, true, [3, 5, 1])),
    ...block(8, false, [2, 4]),
    ...[9, 10].flatMap(forks),
  ];
}

/** A graph whose every constant is one number, repeated: of the convolution that is i-th in the graph, i + 1. */
function graphNodes(change: (node: GraphNode) => GraphNode | undefined = (node) => node): GraphNode[] {
  const layers = convolutionsOf(INCEPTION_LAYERS);
  const filled = (name: string, shape: readonly number[], value: number): GraphNode => ({
    name,
    value: { dtype: 'float32', shape, data: Float32Array.of(value) },
    singly: true,
  });
  const nodes = scopes().flatMap((scope, i) => {
    const { outputs, inputs, kernel } = layers[i];
    const norm = (part: string, value: number) => filled(`${scope}/batchnorm/${part}`, [outputs], value);
    return [
      filled(`${scope}/conv2d_params`, [...kernel, inputs, outputs], i + 1),
      norm('gamma', 2),
      norm('beta', 0.5),
      norm('moving_mean', 0.25),
      norm('moving_variance', 4 - 1e-3),
    ];
  });
  return [...nodes, filled('softmax/weights', [2048, 1008], 7)].flatMap((node) => change(node) ?? []);
}

async function graphFile(nodes: readonly GraphNode[]): Promise<string> {
  const path = join(temporaryFolder(), 'classify_image_graph_def.pb');
  await writeFile(path, encodeGraph(nodes));
  return path;
}

describe('openInception', () => {
  it('finds every layer of the frozen graph, and folds batch norms', async () => {
    const names = new Map(convolutionsOf(INCEPTION_LAYERS).map(({ name }, i) => [name, scopes()[i]]));
    for (const [name, scope] of Object.entries(SCOPES)) expect(names.get(name)).toBe(scope);
    const stored = await openInception(await graphFile(graphNodes()));
    for (const [i, layer] of convolutionsOf(INCEPTION_LAYERS).entries()) {
      const { weight, bias } = await stored.convolution(layer);
      expect(weight.shape).toEqual([layer.outputs, layer.inputs, ...layer.kernel]);
      expect(new Set(weight.data)).toEqual(new Set([i + 1])); // 2 / sqrt(4) times that
      expect(bias).toEqual(float32([layer.outputs], new Float32Array(layer.outputs).fill(0.25)));
    }
    expect((await stored.classifier()).shape).toEqual([1008, 2048]);
    await stored.close();
  });

  it('turns kernels of the graph around', async () => {
    const kernel = float32(
      [3, 3, 3, 32],
      Array.from({ length: 864 }, (_, i) => i),
    );
    const nodes = graphNodes((node) =>
      node.name === 'conv/conv2d_params' ? { name: node.name, value: kernel } : node,
    );
    const stored = await openInception(await graphFile(nodes));
    const { weight } = await stored.convolution(convolutionsOf(INCEPTION_LAYERS)[0]);
    const at = (k: number, c: number, y: number, x: number) => weight.data[((k * 3 + c) * 3 + y) * 3 + x];
    for (const [k, c, y, x] of [
      [0, 0, 0, 1],
      [5, 2, 1, 0],
      [31, 1, 2, 2],
    ]) {
      expect(at(k, c, y, x)).toBe(((y * 3 + x) * 3 + c) * 32 + k);
    }
    await stored.close();
  });

  it('refuses another network, naming what differs', async () => {
    const without = graphNodes((node) => (node.name.startsWith('mixed_4/tower_1/') ? undefined : node));
    const path = await graphFile(without);
    await expect(openInception(path)).rejects.toThrow(CheckpointError);
    await expect(openInception(path)).rejects.toThrow(
      /is not the Inception network of 2015-12-05: mixed_4\/tower_1\/conv\/conv2d_params is missing; .*and 22 more$/,
    );
    // As torchvision has it, with the classes of ImageNet.
    const folder = temporaryFolder();
    const tensors: [string, Tensor][] = [['fc.weight', zeros('float32', [1000, 2048])]];
    await writeSafetensors(join(folder, 'a.safetensors'), tensors);
    await expect(openInception(join(folder, 'a.safetensors'))).rejects.toThrow(
      'fc.weight has shape [1000,2048] instead of [1008,2048]; Conv2d_1a_3x3.conv.weight is missing',
    );
    await writeTorchCheckpoint(join(folder, 'a.pth'), new Map(tensors));
    await expect(openInception(join(folder, 'a.pth'))).rejects.toThrow('fc.weight has shape [1000,2048]');
    await writeTorchCheckpoint(join(folder, 'b.pth'), 'no weights');
    await expect(openInception(join(folder, 'b.pth'))).rejects.toThrow(/b\.pth: a state dict should be/);
    await expect(openInception(join(folder, 'none.pb'))).rejects.toThrow(FormatError);
  });
});
