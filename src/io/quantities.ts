/** @file Sizes and durations in words. */

/** Returns bytes as "2.7 GB", "12.3 MB" or "45 kB". */
export function formatBytes(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(1)} GB`;
  if (bytes >= 1e6) return `${(bytes / 1e6).toFixed(1)} MB`;
  return bytes >= 1e3 ? `${Math.round(bytes / 1e3)} kB` : `${bytes} bytes`;
}

/** Returns seconds as "42s", "3m05s", "2h07m" or "1d03h". */
export function formatDuration(seconds: number): string {
  const two = (value: number) => String(value).padStart(2, '0');
  const s = Math.max(Math.round(seconds), 0);
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m${two(s % 60)}s`;
  if (s < 86400) return `${Math.floor(s / 3600)}h${two(Math.floor(s / 60) % 60)}m`;
  return `${Math.floor(s / 86400)}d${two(Math.floor(s / 3600) % 24)}h`;
}

/** Returns a learning rate as "9.5e-4". */
export function formatRate(rate: number): string {
  return rate.toExponential(1);
}

/** Returns a count with its noun: "1 layer", "2 layers". */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** Returns 1234567 as "1,234,567". */
export function grouped(value: number): string {
  return value.toLocaleString('en-US');
}

/** Returns counts that are mostly the same, each once: `10 or 9`. */
export function distinct(counts: readonly number[]): string {
  return [...new Set(counts)].join(' or ');
}
