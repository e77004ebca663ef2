/**
 * @file A denoising step with guidance on a GPU, one row per model and precision: seconds, share of the card's peak, and what
 * crosses between the host and the card. The peak is that of large products on the card itself, in the same precision; as
 * their results come back to the host, it is the difference between a chain of many products and one of few.
 * Usage: npm run bench:gpu -- DEVICE [sizes: B,XL, or tiny] [tokens cached: 512] [repeats: 9] [Python]
 * With a Python whose PyTorch has CUDA, a row of each size is PyTorch's, in half floats and recorded as a CUDA graph.
 */

import { get } from '../src/at.ts';
import { DeviceError } from '../src/errors.ts';
import { graphOf } from '../src/graph/onnx.ts';
import { linear } from '../src/graph/operators/index.ts';
import { input, type SymbolicTensor } from '../src/graph/symbolic.ts';
import { stepCost } from '../src/models/acdit/cost.ts';
import type { Device, DeviceTensor } from '../src/runtime/device.ts';
import { ACCELERATORS, openAccelerator } from '../src/runtime/node.ts';
import { type Precision, preparation } from '../src/sampling/precision.ts';
import { bytesPerElement, elementCount, float32, type Tensor } from '../src/tensor/tensor.ts';
import { tinyConfig } from '../test/support/tiny-config.ts';
import { median, time } from './matrix-speed.ts';
import { BRANCHES, openDenoisingStep, type Size } from './paper-steps.ts';
import { startPeer } from './torch-peer.ts';

const [name = 'webgpu', sizes = 'B,XL', cached = '512', repeats = '9', python] = process.argv.slice(2);
const isTiny = sizes === 'tiny';
/** Width of the products that the peak is measured with, and how many are in the chains. */
const [WIDTH, FEW, MANY] = isTiny ? [64, 1, 9] : [4096, 1, 17];

/** What crosses between the host and a device. */
interface Crossings {
  runs: number;
  tensors: number;
  bytes: number;
}

/** The device, which counts what crosses. */
function counting(device: Device): { readonly device: Device; readonly crossings: Crossings } {
  const crossings = { runs: 0, tensors: 0, bytes: 0 };
  const note = (values: Readonly<Record<string, Tensor | DeviceTensor>>): void => {
    for (const value of Object.values(values)) {
      // Where results are not kept, what stands for them is on the host, and crosses in each run.
      const bytes = bytesPerElement(value.dtype) * elementCount(value.shape);
      if (bytes === 0 || (device.keepsTensors && !('data' in value))) continue;
      crossings.tensors++;
      crossings.bytes += bytes;
    }
  };
  return {
    crossings,
    device: {
      ...device,
      async compileKeeping(...args) {
        const program = await device.compileKeeping(...args);
        return {
          ...program,
          async run(feeds, wanted) {
            crossings.runs++;
            note(feeds);
            const results = await program.run(feeds, wanted);
            note({ ...results.outputs, ...results.kept });
            return results;
          },
        };
      },
    },
  };
}

/** Operations per second of large products. */
async function peak(device: Device, precision: Precision): Promise<number> {
  const prepare = await preparation(device, precision);
  const weight = float32(
    [WIDTH, WIDTH],
    Float32Array.from({ length: WIDTH ** 2 }, (_, i) => ((i % 17) - 8) / 1e4),
  );
  const x = float32([WIDTH, WIDTH], weight.data.slice());
  const chain = async (length: number): Promise<() => Promise<unknown>> => {
    let y: SymbolicTensor = input('x', [WIDTH, WIDTH]);
    const factor = input('blocks.0.weight', [WIDTH, WIDTH]);
    for (let i = 0; i < length; i++) y = linear(y, factor);
    const bound = prepare({ graph: graphOf({ y }), weights: { 'blocks.0.weight': weight } });
    const program = await device.compile(bound.graph, bound.weights);
    return async () => get(await program.run({ x }), 'y');
  };
  const [few, many] = [await chain(FEW), await chain(MANY)];
  const times: [few: number[], many: number[]] = [[], []];
  for (let i = 0; i < Number(repeats) + 1; i++) {
    times[0].push(await time(few));
    times[1].push(await time(many));
  }
  const [short, long] = times.map((own) => median(own.slice(1)) / 1000);
  return (2 * WIDTH ** 3 * (MANY - FEW)) / (Number(long) - Number(short));
}

/** Why there is no such device here; undefined if there is one. */
async function missing(device: (typeof ACCELERATORS)[number]): Promise<string | undefined> {
  try {
    const opened = await openAccelerator(device);
    await opened.dispose();
    return undefined;
  } catch (error) {
    if (error instanceof DeviceError) return error.message;
    throw error;
  }
}

/** One line of the table. */
async function row(size: string, precision: Precision): Promise<string> {
  const { device, crossings } = counting(await openAccelerator(name as (typeof ACCELERATORS)[number]));
  try {
    const operations = await peak(device, precision);
    const model = isTiny ? tinyConfig() : (size as Size);
    const { config, step, append } = await openDenoisingStep(device, model, precision);
    const blocks = isTiny ? 1 : Number(cached) / config.blockSize;
    for (let block = 0; block < blocks; block++) await append();
    for (let i = 0; i < 2; i++) await step();
    const before = { ...crossings };
    const times: number[] = [];
    for (let i = 0; i < Number(repeats); i++) times.push(await time(step));
    const seconds = median(times) / 1000;
    const share = (2 * BRANCHES * stepCost(config, blocks)) / seconds / operations;
    const per = (key: keyof Crossings): number => (crossings[key] - before[key]) / Number(repeats);
    const cells = [
      seconds.toFixed(4),
      `${(100 * share).toFixed(1)}%`,
      Number((operations / 1e12).toPrecision(3)),
      ...[per('runs'), per('tensors')],
      (per('bytes') / 1e6).toFixed(3),
    ];
    return `| ${size} | ${precision} | ${cells.join(' | ')} |`;
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error;
    return `| ${size} | ${precision} | ${error.message} | | | | | |`;
  } finally {
    await device.dispose();
  }
}

/** PyTorch's line of the table. */
async function peerRow(python: string, size: string): Promise<string> {
  const peer = await startPeer(python, ['step', size, cached, 'cuda-fp16']);
  const seconds: number[] = [];
  for (let i = 0; i < Number(repeats); i++) seconds.push(await peer.step());
  peer.stop();
  return `| ${size} | PyTorch, fp16 | ${median(seconds).toFixed(4)} | | | | | |`;
}

const known = ACCELERATORS.find((accelerator) => accelerator === name);
const reason = known ? await missing(known) : `the device must be one of ${ACCELERATORS.join(', ')}`;
if (reason !== undefined) {
  console.error(reason);
  process.exit(2);
}
console.log(`${name}, ${isTiny ? 'one block' : `${cached} tokens`} cached, medians of ${repeats} steps`);
console.log(
  '| model | precision | seconds | share of peak | peak, TFLOP/s | runs | tensors that cross | MB that cross |',
);
console.log('| --- | --- | --- | --- | --- | --- | --- | --- |');
for (const size of sizes.split(',')) {
  for (const precision of ['fp32', 'fp16'] as const) console.log(await row(size, precision));
  if (python) console.log(await peerRow(python, size));
}
process.exit();
