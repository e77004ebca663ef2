/** @file The FID's Inception network with formula weights, as the files that it is had as. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { afterAll } from 'vitest';
import { writeTorchCheckpoint } from '../../src/formats/torch/writer.ts';
import {
  INCEPTION_CLASSES,
  INCEPTION_FEATURES,
  INCEPTION_LAYERS,
} from '../../src/models/inception/layers.ts';
import { convolutionsOf, weightShape } from '../../src/models/network-layers.ts';
import { type Tensor, tensorBytes } from '../../src/tensor/tensor.ts';
import { formulaTensor } from './formula-weights.ts';

/** The state dict of pytorch-fid, name by name. */
export function* formulaInception(): Generator<[string, Tensor<'float32'>]> {
  const named = (name: string, shape: readonly number[]): [string, Tensor<'float32'>] => [
    name,
    formulaTensor(name, shape),
  ];
  for (const layer of convolutionsOf(INCEPTION_LAYERS)) {
    const { name, outputs } = layer;
    yield named(`${name}.conv.weight`, weightShape(layer));
    for (const part of ['weight', 'bias', 'running_mean', 'running_var']) {
      yield named(`${name}.bn.${part}`, [outputs]);
    }
  }
  yield named('fc.weight', [INCEPTION_CLASSES, INCEPTION_FEATURES]);
  yield named('fc.bias', [INCEPTION_CLASSES]);
}

/** A checkpoint of it, as pytorch-fid has one, which is removed when the test file ends. */
export async function formulaInceptionFile(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'acdit-test-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'formula.pth');
  await writeTorchCheckpoint(path, new Map(formulaInception()));
  return path;
}

/** What a node of a graph is: a constant, with its values as bytes or as single numbers, or something else. */
export interface GraphNode {
  readonly name: string;
  readonly operator?: string;
  readonly value?: Tensor<'float32'>;
  readonly singly?: boolean;
}

/** A TensorFlow GraphDef of such nodes. */
export function encodeGraph(nodes: Iterable<GraphNode>): Uint8Array {
  const writer = new BinaryWriter();
  for (const { name, operator = 'Const', value, singly = false } of nodes) {
    nested(writer, 1, (node) => {
      node.tag(1, WireType.LengthDelimited).string(name);
      node.tag(2, WireType.LengthDelimited).string(operator);
      attribute(node, 'dtype', (type) => type.tag(6, WireType.Varint).int32(1));
      if (value)
        attribute(node, 'value', (holder) => nested(holder, 8, (t) => writeTensor(t, value, singly)));
    });
  }
  return writer.finish();
}

function nested(writer: BinaryWriter, field: number, write: (message: BinaryWriter) => void): void {
  writer.tag(field, WireType.LengthDelimited).fork();
  write(writer);
  writer.join();
}

function attribute(writer: BinaryWriter, key: string, write: (message: BinaryWriter) => void): void {
  nested(writer, 5, (entry) => {
    entry.tag(1, WireType.LengthDelimited).string(key);
    nested(entry, 2, write);
  });
}

function writeTensor(writer: BinaryWriter, value: Tensor<'float32'>, singly: boolean): void {
  writer.tag(1, WireType.Varint).int32(1);
  nested(writer, 2, (shape) => {
    for (const size of value.shape) nested(shape, 2, (dim) => dim.tag(1, WireType.Varint).int64(size));
  });
  if (singly) for (const element of value.data) writer.tag(5, WireType.Bit32).float(element);
  else writer.tag(4, WireType.LengthDelimited).bytes(tensorBytes(value));
}
