// Which blocks attend which: a block attends the clean blocks 1, 2, 4, 8, ... before it, as in LogSparse Transformers
// (Li et al. 2019, arXiv 1907.00235). So of T blocks it attends about log2(T), and yet each depends on all earlier ones.
export default function attends(query, key) {
  if (query.block === key.block) return query.clean === key.clean; // its own copy only
  const distance = query.block - key.block;
  return key.clean && distance > 0 && Number.isInteger(Math.log2(distance));
}
