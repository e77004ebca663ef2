import { afterAll, describe, expect, it } from 'vitest';
import { openInception } from '../../src/checkpoints/inception.ts';
import { inceptionNetwork } from '../../src/evaluation/feature-network.ts';
import { openNpz } from '../../src/formats/npz.ts';
import { constant, type SymbolicTensor } from '../../src/graph/symbolic.ts';
import { openFile } from '../../src/io/file-source.ts';
import { preprocess } from '../../src/models/inception/inception.ts';
import { INCEPTION_LAYERS } from '../../src/models/inception/layers.ts';
import { applyLayers, convolutionsOf } from '../../src/models/network-layers.ts';
import { openCpu } from '../../src/runtime/node.ts';
import { float32, type Tensor, tensor } from '../../src/tensor/tensor.ts';
import { evaluate } from '../support/evaluate.ts';
import { formulaInceptionFile } from '../support/formula-inception.ts';
import { golden, relativeError } from '../support/golden.ts';

const device = openCpu({ threads: 2 });
const npz = await openNpz(await openFile(golden('inception-fid.npz')));
const images = (await npz.read('images')) as Tensor<'uint8'>;
const stored = await openInception(await formulaInceptionFile());
afterAll(async () => {
  await npz.close();
  await stored.close();
  await device.dispose();
});

describe('Inception with formula weights, against pytorch-fid', () => {
  it('has the features, spatial features and logits of the ADM suite', async () => {
    const network = await inceptionNetwork(device, stored, 'adm');
    const { features, spatial, logits } = await network.extract(images);
    expect(network.protocol).toEqual({ weights: expect.stringMatching(/^[0-9a-f]{16}$/) });
    for (const [name, value] of Object.entries({
      adm_pool3: features,
      adm_spatial: spatial!,
      adm_logits_no_bias: logits!,
    })) {
      const expected = await npz.read(name);
      expect(value.shape).toEqual(expected.shape);
      expect(relativeError(value, expected), name).toBeLessThan(1e-5);
    }
    // One image after the other, as they would be in batches of one.
    const second = tensor('uint8', [1, 64, 64, 3], images.data.slice(64 * 64 * 3, 2 * 64 * 64 * 3));
    const alone = (await network.extract(second)).features;
    expect(relativeError(alone, { data: features.data.slice(2048, 4096) })).toBeLessThan(1e-6);
    await network.dispose();
  });

  it('says which weights it has', async () => {
    const classifier = async () => {
      const weight = await stored.classifier();
      return { ...weight, data: weight.data.map((value, i) => (i === 5 ? value + 1e-3 : value)) };
    };
    const networks = [stored, stored, { ...stored, classifier }].map((weights) =>
      inceptionNetwork(device, weights),
    );
    const protocols = [];
    for (const network of await Promise.all(networks)) {
      protocols.push(network.protocol?.weights);
      await network.dispose();
    }
    expect(protocols[1]).toBe(protocols[0]);
    expect(protocols[2]).not.toBe(protocols[0]);
  });

  it("has the features of pytorch-fid's own way to prepare images", async () => {
    const network = await inceptionNetwork(device, stored, 'pytorch-fid');
    const { features } = await network.extract(images);
    expect(relativeError(features, await npz.read('pytorch_fid_pool'))).toBeLessThan(1e-5);
    expect(relativeError(features, await npz.read('adm_pool3'))).toBeGreaterThan(1e-4); // not the ADM suite's
    await network.dispose();
  });

  it('has the first channels of the first block', async () => {
    const { shape, data } = images;
    const first = tensor('uint8', [1, ...shape.slice(1)], data.slice(0, 64 * 64 * 3));
    const weights = new Map<string, { weight: SymbolicTensor; bias: SymbolicTensor }>();
    for (const layer of convolutionsOf(INCEPTION_LAYERS).slice(0, 3)) {
      const { weight, bias } = await stored.convolution(layer);
      weights.set(layer.name, { weight: constant(weight), bias: constant(bias) });
    }
    const pictures = constant(preprocess(first, 'pytorch-fid'));
    const block = applyLayers(INCEPTION_LAYERS.slice(0, 4), pictures, ({ name }) => weights.get(name)!);
    expect(block.shape).toEqual([1, 64, 73, 73]);
    const { result } = await evaluate({ result: block });
    const expected = await npz.read('block0');
    const channels = float32(expected.shape, (result.data as Float32Array).slice(0, expected.data.length));
    expect(relativeError(channels, expected)).toBeLessThan(1e-5);
  });
});
