/** The build of ONNX Runtime in WebAssembly, where the native one is missing: the same images, and one line of advice. */

import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { saveTiny, tinyPixels } from '../../test/support/tiny-model.ts';

const LOADER = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
const LIBRARY = JSON.stringify(new URL('../generate/index.ts', import.meta.url).href);
/** Makes onnxruntime-node a package that is not installed. */
const WITHOUT_NATIVE = `
  const module = await import('node:module');
  const load = module.default._load;
  module.default._load = (name, ...rest) => {
    if (name !== 'onnxruntime-node') return load(name, ...rest);
    throw Object.assign(new Error("Cannot find module 'onnxruntime-node'"), { code: 'MODULE_NOT_FOUND' });
  };`;

function run(program: string, env: Record<string, string> = {}) {
  const args = ['--import', LOADER, '--input-type=module', '--eval', program];
  const options = { encoding: 'utf8', timeout: 100_000, env: { ...process.env, ...env } } as const;
  return spawnSync(process.execPath, args, options);
}

describe('ONNX Runtime on Node', () => {
  it('computes in WebAssembly without the native build, and says once how to get that', async () => {
    const model = await saveTiny(join(temporaryFolder(), 'model'), tinyPixels);
    const program = `
      const { open } = await import(${LIBRARY});
      const acdit = await open(${JSON.stringify(model)}, { threads: 2 });
      const again = await open(${JSON.stringify(model)}, { threads: 2 });
      const [image] = await acdit.generate('bag', { seed: 1, steps: 3 });
      await again.generate('bag', { seed: 1, steps: 1 });
      console.log(JSON.stringify([...image.frames[0].data]));
      await Promise.all([acdit, again].map((model) => model.dispose()));`;
    const native = run(program);
    expect(native.stderr).toBe('');
    const missing = run(WITHOUT_NATIVE + program);
    expect(missing.stderr).toBe(
      'acdit: computing in WebAssembly, since onnxruntime-node is not installed; for full speed: ' +
        'ONNXRUNTIME_NODE_INSTALL=skip npm install onnxruntime-node@1.30.0\n',
    );
    const chosen = run(program, { ACDIT_ENGINE: 'wasm' });
    expect(chosen).toMatchObject({ status: 0, stderr: '' });
    const [a, b, c] = [native, missing, chosen].map(({ stdout }) => JSON.parse(stdout) as number[]);
    for (const [i, value] of a!.entries()) expect(Math.abs(value - b![i]!)).toBeLessThanOrEqual(1);
    expect(c).toEqual(b);
  });

  it('refuses GPUs without the native build', () => {
    const program = `
      const { openAccelerator } = await import(${JSON.stringify(new URL('./node.ts', import.meta.url).href)});
      await openAccelerator('cuda').catch((error) => console.log(error.message));`;
    const { stdout } = run(WITHOUT_NATIVE + program);
    expect(stdout).toBe('device cuda is not available on this system; use another\n');
  });
});
