/**
 * @file Writing a model as an ONNX program for other runtimes than ours: `NAME.onnx`, and beside it `NAME.onnx.data`
 * with the weights. That is a safetensors file: ONNX only wants to know where each weight's bytes are.
 */

import { basename } from 'node:path';
import { ShapeError } from '../errors.ts';
import { byteCount, fileOffsets, inFileOrder } from '../formats/safetensors.ts';
import { writeSafetensors } from '../formats/safetensors-writer.ts';
import { encodeOnnx, type FileTensor } from '../graph/onnx.ts';
import type { SymbolicTensor } from '../graph/symbolic.ts';
import { writeFileAtomically } from '../io/atomic-write.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { wholeGraph } from '../models/acdit/whole-graph.ts';
import { type StoredWeights, storedAs } from './save.ts';

/** The file with a program's weights. */
export function onnxDataPath(path: string): string {
  return `${path}.data`;
}

/**
 * Write the graph of the whole network (`wholeGraph`) with its weights in float32, one tensor at a time. The program is put in place
 * last, so where it is, its weights are whole.
 * @throws {AcditError} if a file cannot be written.
 */
export async function saveOnnx(
  path: string,
  config: AcditConfig,
  weights: StoredWeights,
  signal?: AbortSignal,
): Promise<void> {
  const stored = inFileOrder(storedAs(weights, 'float32'));
  const metadata = { format: 'pt', config: JSON.stringify(config) };
  const offsets = fileOffsets(stored, metadata);
  const dataPath = onnxDataPath(path);
  const graph = wholeGraph(config);
  const bound = Object.fromEntries(
    graph.weights.map((weight) => [nameOf(weight), placeOf(weight, offsets, basename(dataPath))]),
  );
  await writeFileAtomically(path, async (write) => {
    await write(encodeOnnx(graph, bound));
    await writeSafetensors(dataPath, stored, metadata, signal);
  });
}

function nameOf({ source }: SymbolicTensor): string {
  if (source.kind === 'input') return source.name;
  throw new ShapeError('graph: a weight must be an input');
}

const STACKED = ['query', 'key', 'value'];

/** Where a weight's bytes are: a stored tensor's, or an equal part of those of the stacked `attn.qkv`. */
function placeOf(weight: SymbolicTensor, offsets: ReadonlyMap<string, number>, file: string): FileTensor {
  const shape = weight.shape.map(Number);
  const length = byteCount({ dtype: 'float32', shape });
  const name = nameOf(weight);
  const part = STACKED.findIndex((word) => name.includes(`.attn.${word}.`));
  const stored = part < 0 ? name : name.replace(`.attn.${STACKED[part]}.`, '.attn.qkv.');
  return { dtype: 'float32', shape, file, offset: offsets.get(stored)! + Math.max(part, 0) * length, length };
}
