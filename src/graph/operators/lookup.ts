/** @file Table look-up by integer index. */

import { take } from '../../at.ts';
import { ShapeError } from '../../errors.ts';
import { applyOne, constant, type Dim, integers, type SymbolicTensor, showShape } from '../symbolic.ts';
import { transposedMatmul } from './linear-algebra.ts';

/** Rows of a table: (R, C) and int64 or int32 indices (N) -> (N, C). The gradient adds up where an index repeats. */
export function gatherRows(table: SymbolicTensor, indices: SymbolicTensor): SymbolicTensor {
  const isWhole = indices.dtype === 'int64' || indices.dtype === 'int32';
  if (table.shape.length !== 2 || indices.shape.length !== 1 || !isWhole) {
    throw new ShapeError(
      `Gather: expected a table (R, C) and int64 or int32 indices (N), got ${showShape(table.shape)} and ${indices.dtype} ${showShape(indices.shape)}`,
    );
  }
  const [rows, columns] = take(table.shape, 2);
  return applyOne({
    operator: 'Gather',
    inputs: [table, indices],
    attributes: { axis: 0 },
    shape: [...indices.shape, columns],
    gradient: (g) => [scatterRows(g, indices, rows)],
  });
}

/**
 * Each row added to the table's row of its index, as a product with one-hot rows. ScatterND would do it directly, but
 * ONNX Runtime's adds from several threads at once and loses sums where an index repeats.
 */
function scatterRows(rows: SymbolicTensor, indices: SymbolicTensor, count: Dim): SymbolicTensor {
  const offAndOn = constant({ dtype: 'float32', shape: [2], data: Float32Array.of(0, 1) });
  const oneHot = applyOne({
    operator: 'OneHot',
    inputs: [indices, integers([Number(count)]), offAndOn],
    shape: [...indices.shape, count],
    dtype: 'float32',
  });
  return transposedMatmul(oneHot, rows);
}
