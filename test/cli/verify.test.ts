import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadModel } from '../../src/checkpoints/load.ts';
import { saveModel } from '../../src/checkpoints/save.ts';
import { encodeNpz, openNpz } from '../../src/formats/npz.ts';
import { openFile } from '../../src/io/file-source.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import type { Check } from '../../src/verification/check.ts';
import { lastLine, runInProcess, spawnCli } from '../support/cli.ts';
import { golden } from '../support/golden.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const [model, numbers] = [golden('image-tiny.pt'), golden('image-tiny.npz')];

/** Some arrays of the golden file as a file of their own. */
async function selection(change: (arrays: Record<string, Tensor>) => void, names: RegExp): Promise<string> {
  const npz = await openNpz(await openFile(numbers));
  const arrays: Record<string, Tensor> = {};
  for (const name of npz.names) if (names.test(name)) arrays[name] = await npz.read(name);
  await npz.close();
  change(arrays);
  const path = join(temporaryFolder(), 'golden.npz');
  await writeFile(path, await encodeNpz(arrays));
  return path;
}

describe('acdit verify', () => {
  it.each(['image-tiny', 'video-tiny'])('passes %s', async (name) => {
    const { code, stdout } = await spawnCli(['verify', golden(`${name}.pt`), golden(`${name}.npz`)]);
    expect(code).toBe(0);
    expect(lastLine(stdout)).toMatch(/^\d\d passed, 0 failed$/);
    expect(stdout).not.toContain('FAILED');
    for (const title of ['rope.cos', 'scam.mask', 'train.grad.* (39)', 'train.after3.*', 'sample.latents']) {
      expect(stdout).toContain(title);
    }
  });

  it('lists gradients with --verbose', async () => {
    const { stdout } = await runInProcess(['verify', model, numbers, '--verbose']);
    expect(stdout).toMatch(/ok +train\.grad\.blocks\.1\.attn\.qkv\.weight +\S+ +of 1e-4/);
  });

  it('reports as JSON', async () => {
    const { code, stdout, stderr } = await runInProcess(['verify', model, numbers, '--json']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const report: { passed: number; failed: number; checks: Check[] } = JSON.parse(stdout);
    expect(report).toMatchObject({ passed: report.checks.length, failed: 0 });
    expect(report.checks.find(({ name }) => name === 'sample.latents')?.error).toBeLessThan(1e-3);
  });

  it('exits 1 and names what a changed weight breaks', async () => {
    const { config, weights } = await loadModel(model);
    weights.get('final_layer.linear.bias')!.data[0] += 0.1;
    const folder = temporaryFolder();
    await saveModel(folder, config, weights);
    const { code, stdout } = await runInProcess(['verify', folder, numbers]);
    expect(code).toBe(1);
    for (const name of ['train.prediction', 'train.loss', 'sample.block0.first.eps', 'sample.latents']) {
      expect(stdout).toMatch(new RegExp(`FAILED +${name.replaceAll('.', '\\.')} `));
    }
    expect(stdout).toMatch(/ok +rope\.cos/);
    expect(lastLine(stdout)).toMatch(/[1-9]\d* failed$/);
  });

  it('fails arrays of another size, and those that hold NaN', async () => {
    const path = await selection((arrays) => {
      arrays['rope.cos'] = { ...arrays['rope.cos'], shape: [1, 2], data: new Float32Array(2) };
      (arrays['rope.sin'].data as Float32Array)[3] = Number.NaN;
    }, /^(rope|scam)/);
    const { code, stdout } = await runInProcess(['verify', model, path]);
    expect(code).toBe(1);
    expect(stdout).toMatch(/FAILED +rope\.cos .*has 4096 values, golden shape \[1,2\] has 2/);
    expect(stdout).toMatch(/FAILED +rope\.sin +NaN/);
    expect(lastLine(stdout)).toBe('1 passed, 2 failed');
  });

  it('leaves out what the file does not have', async () => {
    const path = await selection(() => undefined, /^(position_ids|rope)/);
    expect(lastLine((await runInProcess(['verify', model, path])).stdout)).toBe('3 passed, 0 failed');
  });

  it('stops when interrupted', async () => {
    const interruption = new AbortController();
    interruption.abort(new Error('interrupted'));
    expect((await runInProcess(['verify', model, numbers], interruption.signal)).code).toBe(130);
  });

  it('refuses golden numbers of another model, incomplete ones, and other files', async () => {
    const incomplete = await selection(
      (arrays) => delete arrays['train.noise'],
      /^train\.(clean|noise|loss)/,
    );
    const truncated = join(temporaryFolder(), 'truncated.npz');
    await writeFile(truncated, (await readFile(numbers)).subarray(0, 5000));
    const cases: [string[], string][] = [
      [[model, golden('video-tiny.npz')], 'are they of another model?'],
      [[model, golden('schedulers.npz')], 'no known golden numbers'],
      [[model, incomplete], "holds no array 'train.noise'"],
      [[model, truncated], 'truncated.npz'],
      [[model, 'missing.npz'], 'missing.npz'],
      [['missing.pt', numbers], 'missing.pt: no such model'],
      [[model], 'needs MODEL and GOLDEN.npz'],
    ];
    for (const [args, message] of cases) {
      const { code, stderr } = await runInProcess(['verify', ...args]);
      expect(code, message).toBe(2);
      expect(lastLine(stderr)).toContain(message);
    }
  });
});
