/** @file Table look-up by integer index. */

import { ShapeError } from '../../errors.ts';
import { zeros } from '../../tensor/tensor.ts';
import { apply, constant, type SymbolicTensor, showShape } from '../symbolic.ts';
import { expand } from './broadcasting.ts';

/** Rows of a table: (R, C) and int64 indices (N) -> (N, C). The gradient adds up where an index repeats. */
export function gatherRows(table: SymbolicTensor, indices: SymbolicTensor): SymbolicTensor {
  if (table.shape.length !== 2 || indices.shape.length !== 1 || indices.dtype !== 'int64') {
    throw new ShapeError(
      `Gather: expected a table (R, C) and int64 indices (N), got ${showShape(table.shape)} and ${indices.dtype} ${showShape(indices.shape)}`,
    );
  }
  const [count] = indices.shape;
  return apply({
    operator: 'Gather',
    inputs: [table, indices],
    attributes: { axis: 0 },
    outputs: [{ shape: [count, table.shape[1]] }],
    gradient: ([g]) => [g && scatterRows(g, indices, table)],
  })[0];
}

function scatterRows(rows: SymbolicTensor, indices: SymbolicTensor, table: SymbolicTensor): SymbolicTensor {
  const empty = expand(constant(zeros('float32', [1, 1])), table.shape);
  const column = apply({
    operator: 'Unsqueeze',
    inputs: [indices, constant({ dtype: 'int64', shape: [1], data: BigInt64Array.of(1n) })],
    outputs: [{ shape: [...indices.shape, 1], dtype: 'int64' }],
  })[0];
  return apply({
    operator: 'ScatterND',
    inputs: [empty, column, rows],
    attributes: { reduction: 'add' },
    outputs: [{ shape: table.shape }],
    gradient: ([g]) => [undefined, undefined, g && gatherRows(g, indices)],
  })[0];
}
