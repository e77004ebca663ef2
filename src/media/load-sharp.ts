/** @file sharp, loaded on first use, because loading it takes longer than most commands do. */

/** sharp's constructor. */
export async function loadSharp() {
  return (await import('sharp')).default;
}
