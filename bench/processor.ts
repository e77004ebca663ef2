/** @file Describes the processor that a benchmark runs on. */

import { existsSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';

/** Vector extensions that matter for the speed of products, as Linux names them. */
const EXTENSIONS = ['avx2', 'avx512f', 'avx512_vnni', 'avx_vnni', 'avx512_bf16', 'amx_tile'];

/** The processor, its vector extensions, and the number of cores. */
export function processor(): string {
  const flags = new Set(
    existsSync('/proc/cpuinfo') ? readFileSync('/proc/cpuinfo', 'utf8').split(/\s+/) : [],
  );
  const extensions = EXTENSIONS.filter((name) => flags.has(name));
  return `${cpus()[0]?.model ?? 'unknown processor'} (${extensions.join(', ')}), ${cpus().length} cores`;
}
