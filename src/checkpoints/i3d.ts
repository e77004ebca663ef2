/**
 * @file The weights of I3D on disk. Two files are in use: `i3d_torchscript.pt`, a TorchScript archive that came with
 * StyleGAN-V, and `i3d_pretrained_400.pt`, a state dict that came with VideoGPT and TATS. Their parameters are found
 * by their names or, where these are others, by their order and shapes.
 */

import { at } from '../at.ts';
import { CheckpointError } from '../errors.ts';
import { openSafetensors } from '../formats/safetensors.ts';
import type { TensorArchive } from '../formats/tensor-archive.ts';
import { nestedTensors, openTorchCheckpoint } from '../formats/torch/checkpoint.ts';
import { closingOnError } from '../io/byte-source.ts';
import { openFile } from '../io/file-source.ts';
import { problemList } from '../io/printable.ts';
import { I3D_CONVOLUTIONS } from '../models/i3d/i3d.ts';
import {
  type ConvolutionLayer,
  type ConvolutionParameters,
  foldBatchNorm,
  weightShape,
} from '../models/network-layers.ts';
import { toFloat32 } from '../tensor/convert.ts';
import { float32 } from '../tensor/tensor.ts';

/** The two files in use, and where to get them. */
export const I3D_FILES = {
  torchScript: {
    name: 'i3d_torchscript.pt',
    address: 'https://www.dropbox.com/s/ge9e5ujwgetktms/i3d_torchscript.pt',
  },
  stateDict: { name: 'i3d_pretrained_400.pt', address: 'https://github.com/songweige/TATS' },
} as const;

/** What a batch norm adds to a variance: in the TensorFlow network and in the TorchScript file. */
const TENSORFLOW_EPSILON = 1e-3;
/** The same in the network that VideoGPT and TATS load their file into. */
const VIDEOGPT_EPSILON = 1e-5;

/** I3D whose weights are still in their file. */
export interface StoredI3d {
  /** What batch norms add to their variances. */
  readonly epsilon: number;
  /** Reads a convolution, with its batch norm folded in, while the file is open. */
  parameters(convolution: ConvolutionLayer): Promise<ConvolutionParameters>;
  /** Close its file. */
  close(): Promise<void>;
}

/**
 * Open a file with the weights of I3D without reading them. No code in it is run.
 * @param epsilon what batch norms add to their variances; default: 1e-5 for the names of VideoGPT's port, else 1e-3.
 * @throws {FormatError} if it is damaged; {CheckpointError} if it does not hold every layer of I3D for Kinetics-400.
 */
export async function openI3d(path: string, epsilon?: number): Promise<StoredI3d> {
  const archive = await openArchive(path);
  return closingOnError(archive, async () => storedI3d(archive, path, epsilon));
}

/** As {@link openI3d}, from an open archive, which is closed with it. @param path what to call it in messages. */
export function storedI3d(archive: TensorArchive, path: string, epsilon?: number): StoredI3d {
  const units = matchUnits(unitsOf(archive), path);
  const usesVideoGptNames = [...units.values()].some(({ norm }) => norm?.endsWith('.bn'));
  const chosen = epsilon ?? (usesVideoGptNames ? VIDEOGPT_EPSILON : TENSORFLOW_EPSILON);
  return {
    epsilon: chosen,
    parameters: ({ name }) => readUnit(archive, units.get(name)!, chosen, path),
    close: () => archive.close(),
  };
}

async function openArchive(path: string): Promise<TensorArchive> {
  const file = await openFile(path);
  if (path.endsWith('.safetensors')) return openSafetensors(file);
  const { value, close } = await openTorchCheckpoint(file);
  return nestedTensors(value, close);
}

/** A convolution as it is stored, by the names of its tensors. */
interface Unit {
  /** The name of the module that holds the convolution and its norm. */
  readonly path: string;
  readonly weight: string;
  readonly shape: readonly number[];
  readonly bias: string | undefined;
  /** Name of the batch norm. */
  readonly norm: string | undefined;
}

function parentOf(name: string): string {
  return name.slice(0, Math.max(name.lastIndexOf('.'), 0));
}

/** Convolutions over three axes, in the order of the file. */
function unitsOf(archive: TensorArchive): Unit[] {
  const norms = new Map(
    archive.names
      .filter((name) => name.endsWith('.running_var'))
      .map((name) => [parentOf(parentOf(name)), parentOf(name)]),
  );
  return archive.names.flatMap((weight): Unit[] => {
    const { shape } = archive.info(weight);
    if (shape.length !== 5) return [];
    const convolution = parentOf(weight);
    const path = parentOf(convolution);
    const bias = archive.has(`${convolution}.bias`) ? `${convolution}.bias` : undefined;
    return [{ path, weight, shape, bias, norm: norms.get(path) }];
  });
}

const STEM = /(?:^|\.)conv3d_(1a_7x7|2b_1x1|2c_3x3)$/i;
const LOGITS = /(?:^|\.)(?:logits|conv3d_0c_1x1)$/i;
/** `Mixed_3b.b1a` and `mixed_3b.branch_1.0`. */
const BRANCH = /(?:^|\.)mixed_([345][b-f])\.(?:branch_|b)([0-3])\.?([ab01])?$/i;

/** The name in {@link I3D_CONVOLUTIONS} of a module that has a known name. */
function knownName(path: string): string | undefined {
  if (LOGITS.test(path)) return 'logits';
  const [, stem] = STEM.exec(path) ?? [];
  if (stem !== undefined) return `Conv3d_${stem.toLowerCase()}`;
  const [, block, branch = '', place = ''] = BRANCH.exec(path) ?? [];
  if (block === undefined) return undefined;
  const letter = { 0: '', 3: 'b' }[branch] ?? { 0: 'a', 1: 'b' }[place] ?? place.toLowerCase();
  return `Mixed_${block.toLowerCase()}.b${branch}${letter}`;
}

/** Every convolution of I3D by its name. @throws {CheckpointError} if there are not all of them, in their shapes. */
function matchUnits(units: readonly Unit[], path: string): Map<string, Unit> {
  const named = new Map(units.map((unit) => [knownName(unit.path), unit]));
  const haveNames = I3D_CONVOLUTIONS.some(({ name }) => named.has(name));
  const found = (layer: ConvolutionLayer, i: number): Unit | undefined =>
    haveNames ? named.get(layer.name) : units[i];
  const problems = I3D_CONVOLUTIONS.flatMap((layer, i) => problemOf(layer, found(layer, i)));
  if (!haveNames && units.length > I3D_CONVOLUTIONS.length) {
    problems.push(`there are ${units.length} convolutions instead of ${I3D_CONVOLUTIONS.length}`);
  }
  if (problems.length === 0)
    return new Map(I3D_CONVOLUTIONS.map((layer, i) => [layer.name, found(layer, i)!]));
  throw new CheckpointError(`${path}: is not the I3D network of Kinetics-400: ${problemList(problems, 3)}`);
}

function problemOf(layer: ConvolutionLayer, unit: Unit | undefined): string[] {
  if (!unit) return [`${layer.name} is missing`];
  const shape = weightShape(layer);
  if (String(unit.shape) !== String(shape)) {
    return [`${unit.weight} has shape [${unit.shape}] instead of [${shape}]`];
  }
  // A file made for use alone may have its norms folded in already.
  if (unit.norm !== undefined && !layer.last) return [];
  return unit.bias === undefined ? [`${unit.path} has no ${layer.last ? 'bias' : 'batch norm'}`] : [];
}

async function readUnit(
  archive: TensorArchive,
  { weight: name, shape, bias, norm }: Unit,
  epsilon: number,
  path: string,
): Promise<ConvolutionParameters> {
  const weight = toFloat32(await archive.read(name));
  const vector = async (vectorName: string) => {
    const { data } = toFloat32(await archive.read(vectorName));
    if (data.length === shape[0]) return data;
    throw new CheckpointError(`${path}: ${vectorName} has ${data.length} values instead of ${shape[0]}`);
  };
  if (norm === undefined) return { weight, bias: float32([at(shape, 0)], await vector(bias!)) };
  return foldBatchNorm(weight, {
    mean: await vector(`${norm}.running_mean`),
    variance: await vector(`${norm}.running_var`),
    shift: await vector(`${norm}.bias`),
    scale: archive.has(`${norm}.weight`) ? await vector(`${norm}.weight`) : undefined,
    epsilon,
  });
}
