import { describe, expect, it } from 'vitest';
import { tinyClips } from '../../test/support/tiny-config.ts';
import { tinyPixels } from '../../test/support/tiny-model.ts';
import { ArgumentError } from '../errors.ts';
import { tokenSize } from '../models/acdit/config.ts';
import { Generator } from '../tensor/generator.ts';
import { elementCount, float32, type Tensor } from '../tensor/tensor.ts';
import {
  blockOf,
  givenBlocks,
  planSampling,
  type SampleRequest,
  solverNoise,
  stackBlocks,
  startingNoise,
  untrainedNote,
} from './request.ts';

describe('planSampling', () => {
  it('draws noise from seed 42 unless another is given, for each sample by its number', () => {
    const noiseOf = (request: Partial<SampleRequest>) =>
      startingNoise(tinyPixels, planSampling(tinyPixels, { labels: [0, 1], ...request }));
    const noise = noiseOf({});
    const values = elementCount(noise.shape) / 2;
    for (const sample of [0, 1]) {
      const drawn = Generator.seeded(42, sample).randn(values);
      expect(noise.data.slice(sample * values, (sample + 1) * values)).toEqual(drawn);
    }
    expect(noiseOf({ seed: 0 })).not.toEqual(noise);
    expect(noiseOf({ labels: [0], first: 1 }).data).toEqual(noise.data.slice(values));
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])('refuses noise and given blocks with %s in it', (value) => {
    const inner = [tinyPixels.blockSize, tokenSize(tinyPixels)];
    const blocks = (count: number): Tensor<'float32'> => {
      const shape = [2, count, ...inner];
      return float32(shape, new Float32Array(elementCount(shape)));
    };
    const [starting, given] = [blocks(tinyPixels.blocks), blocks(1)];
    expect(() => planSampling(tinyPixels, { labels: [0, 1], noise: starting, given })).not.toThrow();
    starting.data[starting.data.length - 1] = value;
    const last = [1, tinyPixels.blocks - 1, ...inner.map((size) => size - 1)];
    const plan = (request: object) => () => planSampling(tinyPixels, { labels: [0, 1], ...request });
    expect(plan({ noise: starting })).toThrow(`sample: noise must be finite, got ${value} at [${last}]`);
    given.data[0] = value;
    expect(plan({ given })).toThrow(`sample: given must be finite, got ${value} at [0,0,0,0]`);
  });
});

describe('the error of a request', () => {
  const wide = { shape: [1, 1, 1, 1], data: new Float32Array(1) };
  it.each([
    ['labels', { labels: [] }],
    ['labels', { labels: [4] }],
    ['labels', { labels: [[0, 1]] }],
    ['steps', { steps: 0 }],
    ['steps', { steps: 1001 }],
    ['steps', { steps: [5, 5, 5] }],
    ['steps', { steps: 3, timesteps: [999, 500] }],
    ['steps', { steps: [2, 2, 2, 3], timesteps: [999, 500] }],
    ['timesteps', { timesteps: [] }],
    ['timesteps', { timesteps: [500, 999] }],
    ['timesteps', { timesteps: [1000, 3] }],
    ['timesteps', { timesteps: [[999], [999]] }],
    ['timesteps', { timesteps: [[999], 5, [999], [999]] }],
    ['timesteps', { timesteps: 'logSNR' }],
    ['timesteps', { timesteps: 7 }],
    ['timesteps', { timesteps: ['999'] }],
    ['cfg', { cfg: -1 }],
    ['solver', { solver: 'euler' }],
    ['seed', { seed: 0.5 }],
    ['first', { first: Number.NaN }],
    ['blocks', { blocks: 5 }],
    ['window', { window: 4 }],
    ['contextNoise', { contextNoise: 1000 }],
    ['contextNoise', { contextNoise: -1 }],
    ['contextNoise', { contextNoise: 0.5 }],
    ['noise', { noise: wide }],
    ['given', { given: wide }],
  ])('names the field %s: %j', (name, wrong) => {
    const plan = () => planSampling(tinyPixels, { labels: [0], ...wrong } as SampleRequest);
    expect(plan).toThrow(expect.objectContaining({ field: name, problem: expect.stringMatching(/^must /) }));
    expect(plan).toThrow(`sample: ${name} must `);
  });
});

describe('labels', () => {
  it.each([
    [{ labels: ['1'] }, "class numbers, such as [0, 3], got '1'; findClass"],
    [{ labels: [['0', '0', '0', '0']] }, "class numbers, such as [0, 3], got '0'; findClass"],
    [{ labels: '1' }, "class numbers, such as [0, 3], got '1'; findClass"],
    [{ labels: undefined }, 'class numbers, such as [0, 3], got undefined; findClass'],
    [{ labels: [null] }, 'class numbers, such as [0, 3], got null; findClass'],
    [{ labels: [0], cfg: '2' }, 'cfg must be a number or a list of one per block, got 2'],
  ])('that are not class numbers are refused: %j', (request, message) => {
    const plan = () => planSampling(tinyPixels, request as unknown as SampleRequest);
    expect(plan).toThrow(ArgumentError);
    expect(plan).toThrow(message);
  });
});

describe('a plan', () => {
  it('has every default', () => {
    expect(planSampling(tinyClips, { labels: [0, 3] })).toEqual({
      labels: [
        [0, 0, 0, 0],
        [3, 3, 3, 3],
      ],
      blocks: 4,
      window: 3,
      slides: false,
      contextNoise: 0,
      steps: [25, 25, 25, 25],
      timesteps: 'uniform',
      guidance: { scale: [2.5, 2.5, 2.5, 2.5] },
      passes: [50, 50, 50, 50],
      solver: 'dpm-solver-plus-plus-2m',
      seed: 42,
      first: 0,
    });
  });

  it('has what was asked for, per block or once for all of them', () => {
    const plan = planSampling(tinyPixels, {
      labels: [[0, 1, 2, 3], [2], 1],
      steps: [1, 2, 3, 1000],
      cfg: [0],
      solver: 'ddpm',
      seed: -7,
      first: 9,
    });
    expect(plan).toMatchObject({
      labels: [
        [0, 1, 2, 3],
        [2, 2, 2, 2],
        [1, 1, 1, 1],
      ],
      steps: [1, 2, 3, 1000],
      guidance: { scale: [0, 0, 0, 0] },
      solver: 'ddpm',
      seed: -7,
      first: 9,
    });
  });

  it('has as many steps as timesteps, and is itself a request for the same plan', () => {
    const requests: [Partial<SampleRequest>, object][] = [
      [
        { timesteps: 'logsnr', steps: 8 },
        { timesteps: 'logsnr', steps: [8, 8, 8, 8] },
      ],
      [{ timesteps: [999, 7] }, { timesteps: Array(4).fill([999, 7]), steps: [2, 2, 2, 2] }],
      [{ timesteps: [[9], [8, 1], [7], [6]] }, { timesteps: [[9], [8, 1], [7], [6]], steps: [1, 2, 1, 1] }],
      [{ timesteps: [9, 4], steps: 2 }, { steps: [2, 2, 2, 2] }],
    ];
    for (const [request, planned] of requests) {
      const plan = planSampling(tinyPixels, { labels: [0], ...request });
      expect(plan).toMatchObject(planned);
      expect(planSampling(tinyPixels, plan)).toEqual(plan);
    }
  });

  it.each([
    [{ blocks: 3 }, { blocks: 3, window: 3, slides: false }],
    [
      { blocks: 4, window: 3 },
      { blocks: 4, window: 3, slides: false },
    ],
    [{ blocks: 5 }, { blocks: 5, window: 3, slides: true }],
    [
      { blocks: 4, window: 2 },
      { blocks: 4, window: 2, slides: true },
    ],
    [
      { blocks: 1, window: 1 },
      { blocks: 1, window: 1, slides: false },
    ],
    [
      { blocks: 1, window: 9 },
      { blocks: 1, window: 9, slides: false },
    ],
  ])('of a video of other length: %j', (length, planned) => {
    expect(planSampling(tinyClips, { labels: [0], ...length })).toMatchObject(planned);
  });

  const whole = { ...tinyClips, blocks: 1, blockSize: 32 };
  it('of a model with one block per video has one block', () => {
    const planned = { blocks: 1, window: 1, slides: false };
    expect(planSampling(whole, { labels: [0] })).toMatchObject(planned);
    expect(() => planSampling(whole, { labels: [0], blocks: 2 })).toThrow('blocks must be 1');
  });

  it.each([
    { blocks: 0 },
    { blocks: 1.5 },
    { window: 0 },
    { window: 1.5 },
    { labels: [-1] },
    { labels: [0.5] },
    { steps: 1.5 },
    { cfg: Number.NaN },
    { cfg: Number.POSITIVE_INFINITY },
    { cfg: [] },
  ])('of %j does not exist', (wrong) => {
    expect(() => planSampling(tinyClips, { labels: [0], ...wrong })).toThrow(ArgumentError);
  });
});

describe('a window that slides', () => {
  it.each([
    // The model has 4 blocks.
    [{}, { blocks: 4 }, true],
    [{}, { blocks: 9 }, false],
    [{}, { blocks: 3, window: 1 }, false],
    [{ window: 1 }, { blocks: 9 }, true],
    [{ window: 2 }, { blocks: 9 }, true],
    [{ window: 1, sinks: 1 }, { blocks: 9, window: 2 }, true],
    [{ window: 2 }, { blocks: 9, window: 1 }, false],
    // In training, these see the whole clip.
    [{ window: 3 }, { blocks: 9 }, false],
    [{ window: 2, sinks: 1 }, { blocks: 9 }, false],
    [{ window: 3 }, { blocks: 4 }, true],
  ])('with attention %j and %j is trained for: %j', (attention, length, trained) => {
    const config = { ...tinyClips, ...('window' in attention && { attention }) };
    const note = untrainedNote(config, planSampling(config, { labels: [0], ...length }));
    expect(note).toEqual(trained ? undefined : expect.stringContaining('not trained for'));
  });
});

describe('given blocks', () => {
  const inner = [tinyClips.blockSize, tokenSize(tinyClips)];
  const given = (rows: number, blocks: number): Tensor<'float32'> => {
    const shape = [rows, blocks, ...inner];
    return float32(shape, new Generator(1).randn(elementCount(shape)));
  };
  const planned = (labels: number[], given: Tensor<'float32'>) => planSampling(tinyClips, { labels, given });

  it('are those of each sample, or one row for all samples', () => {
    const own = given(2, 3);
    const blocks = givenBlocks(planned([0, 1], own));
    expect(blocks.map(({ shape }) => shape)).toEqual(Array(3).fill([2, ...inner]));
    expect(stackBlocks(blocks)).toEqual(own);
    const one = given(1, 2);
    for (const [block, shared] of givenBlocks(planned([0, 1, 2], one)).entries()) {
      const { data } = blockOf(one, block);
      expect(shared).toEqual(float32([3, ...inner], [...data, ...data, ...data]));
    }
    expect(givenBlocks(planSampling(tinyClips, { labels: [0] }))).toEqual([]);
  });

  it.each([
    ['that leave no block to make', [0], given(1, 4), '[1, 1 to 3, '],
    ['of another number of samples', [0, 1, 2], given(2, 1), '[3 or 1, 1 to 3, '],
    [
      'of another size',
      [0],
      float32([1, 1, 1, ...inner.slice(1)], new Float32Array(inner[1] ?? 0)),
      'must have shape',
    ],
  ])('are refused %s', (_, labels, wrong, message) => {
    expect(() => planned(labels, wrong)).toThrow(ArgumentError);
    expect(() => planned(labels, wrong)).toThrow(message);
  });
});

describe('noise', () => {
  it('may be given', () => {
    const { blocks, blockSize } = tinyPixels;
    const shape = [1, blocks, blockSize, tokenSize(tinyPixels)];
    const noise = float32(shape, new Float32Array(elementCount(shape)).fill(0.5));
    expect(startingNoise(tinyPixels, planSampling(tinyPixels, { labels: [0], noise }))).toBe(noise);
    expect(() => planSampling(tinyPixels, { labels: [0, 1], noise })).toThrow('noise must have shape [2,');
  });

  it('of solvers is drawn for each sample by its number, apart from the starting noise', () => {
    const drawn = solverNoise(planSampling(tinyPixels, { labels: [0, 1], seed: 5, first: 3 })).randn(8);
    const expected = [3, 4].flatMap((number) => [...Generator.seeded(5, number, 1).randn(4)]);
    expect([...drawn]).toEqual(expected);
  });
});
