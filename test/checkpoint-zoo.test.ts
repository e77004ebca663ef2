/**
 * @file Checkpoints as people have them, which PyTorch makes on the spot where Debian's python3-torch is installed: each is
 * opened, converted and sampled from, or refused in one line. src/checkpoints/official.test.ts has the same by hand.
 */
// @module-tag slow

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadModel } from '../src/checkpoints/load.ts';
import { tensorBytes } from '../src/tensor/tensor.ts';
import { runInProcess } from './support/cli.ts';
import { golden } from './support/golden.ts';
import { pythonWithTorch } from './support/python-torch.ts';

const SCRIPT = fileURLToPath(new URL('support/checkpoint-zoo.py', import.meta.url));

/** Those of the golden model, for checkpoints that do not state them. */
const LAYOUT = { patch: 1, blockSize: 16, blocks: 4 };
const LAYOUT_FLAGS = ['--patch_size', '1', '--block_size', '16', '--ar_len', '4'];

const WITH_ARGUMENTS = [
  ...['plain.pt', 'ddp.pt', 'compile.pt', 'ddp_compile.pt', 'compile_ddp.pt', 'block_compile.pt'],
  ...['checkpoint_wrapper.pt', 'fsdp.pt', 'dit.pt', 'ema_only.pt', 'state_dict_key.pt', 'lightning.ckpt'],
  ...[
    'args_dict.pt',
    'args_odd.pt',
    'parameters.pt',
    'plain_dict.pt',
    'views.pt',
    'transposed.pt',
    'strided.pt',
  ],
  ...['bfloat16.pt', 'float16.pt', 'float64.pt', 'mixed.pt', 'shared.pt'],
  ...[2, 3, 4, 5].flatMap((protocol) => [`zip${protocol}.pt`, `legacy${protocol}.pt`]),
  ...['cuda.pt', 'mps.pt', 'compressed.pt', 'directories.pt'],
];
const WITHOUT_ARGUMENTS = ['bare.pt', 'no_args.pt', 'none_args.pt'];

const REFUSED: Readonly<Record<string, RegExp>> = {
  'extra.pt': /weights do not fit the model: unknown: pos_embed, rope.freqs/,
  'missing.pt': /weights do not fit the model: missing: blocks.1.mlp.fc2.bias/,
  'sparse.pt':
    /x_embedder.weight is a tensor of torch._utils._rebuild_sparse_tensor, which cannot be read; save it as/,
  'whole_module.pt': /got an object of the class __main__.Model; save its state_dict\(\) instead/,
  'empty.pt': /is empty, so its download or copy failed/,
  'page.pt': /is a web page, so its download failed/,
  'pointer.pt': /is a git-lfs pointer/,
  'truncated.pt': /is cut off: .*; get the whole file/,
  'gzip.pt': /is compressed with gzip; unpack it first/,
};

describe.skipIf(pythonWithTorch === undefined)('a checkpoint from PyTorch', { timeout: 60_000 }, () => {
  let folder: string;
  /** Checksums of the weights as PyTorch reads them. */
  let expected: Readonly<Record<string, string>>;
  let plainLatents: Uint8Array;

  async function latents(name: string, ...flags: string[]): Promise<Uint8Array> {
    const file = join(folder, 'latents.npy');
    rmSync(file, { force: true });
    const sampling = [
      '--labels',
      '1',
      '--steps',
      '2',
      '--no-decode',
      '--latents',
      file,
      '--out',
      join(folder, 'out'),
    ];
    const result = await runInProcess(['sample', join(folder, name), ...sampling, ...flags]);
    expect(result).toMatchObject({ code: 0 });
    return readFileSync(file);
  }

  async function refusal(command: string, name: string, ...rest: string[]): Promise<string> {
    const { code, stdout, stderr } = await runInProcess([command, join(folder, name), ...rest]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^acdit: .*\n$/);
    expect(stderr).toContain(name);
    return stderr;
  }

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'acdit-zoo-'));
    const { status, stderr } = spawnSync(pythonWithTorch!, [SCRIPT, golden('image-tiny.pt'), folder], {
      encoding: 'utf8',
    });
    expect(status, stderr).toBe(0);
    expected = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8'));
    plainLatents = await latents('plain.pt');
  }, 120_000);

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('is of a kind that is listed here', () => {
    const files = readdirSync(folder).filter((name) => /\.(pt|ckpt)$/.test(name));
    expect(files.sort()).toEqual(
      [...WITH_ARGUMENTS, ...WITHOUT_ARGUMENTS, ...Object.keys(REFUSED), 'nan.pt'].sort(),
    );
  });

  it.each([
    ...WITH_ARGUMENTS.map((name) => [name, []] as const),
    ...WITHOUT_ARGUMENTS.map((name) => [name, LAYOUT_FLAGS] as const),
  ])('%s has the weights that PyTorch reads, and samples the same', async (name, flags) => {
    const { config } = await loadModel(golden('image-tiny.pt'));
    const read = await loadModel(join(folder, name), { layout: LAYOUT });
    expect(read.config).toEqual(config);
    expect(checksumOf(read.weights)).toBe(expected[name]);
    expect(await runInProcess(['info', join(folder, name), ...flags])).toMatchObject({ code: 0 });

    const converted = join(folder, `${name}-folder`);
    expect(
      await runInProcess(['convert', join(folder, name), `${converted}/`, '--quiet', ...flags]),
    ).toMatchObject({
      code: 0,
    });
    expect(checksumOf((await loadModel(converted)).weights)).toBe(expected[name]);
    const same = expected[name] === expected['plain.pt'];
    expect(Buffer.from(plainLatents).equals(await latents(name, ...flags))).toBe(same);
  });

  it.each(WITHOUT_ARGUMENTS)('%s without its layout is refused, with the flags to give', async (name) => {
    for (const command of ['info', 'sample']) {
      expect(await refusal(command, name)).toContain('give --patch-size N --block-size N --ar-len N');
    }
    expect(await refusal('convert', name, join(folder, 'never'))).toContain('does not state patch_size');
  });

  it.each(Object.entries(REFUSED))('%s is refused in one line', async (name, message) => {
    for (const command of ['info', 'sample']) expect(await refusal(command, name)).toMatch(message);
    expect(await refusal('convert', name, join(folder, 'never'))).toMatch(message);
  });

  it('has its moving average taken on request', async () => {
    for (const name of ['dit.pt', 'ema_only.pt']) {
      expect(Buffer.from(plainLatents).equals(await latents(name, '--weights', 'ema'))).toBe(true);
    }
    expect(await refusal('sample', 'ema_only.pt', '--weights', 'model')).toMatch(
      /holds no 'model' weights, but 'ema'/,
    );
  });

  it('with weights that are NaN is described, and not sampled from', async () => {
    expect(await runInProcess(['info', join(folder, 'nan.pt')])).toMatchObject({ code: 0 });
    const { code, stderr } = await runInProcess([
      'sample',
      join(folder, 'nan.pt'),
      '--labels',
      '1',
      '--no-decode',
    ]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/blocks.0.attn.qkv.weight.*NaN|NaN.*blocks.0.attn.qkv.weight/);
  });
});

function checksumOf(weights: Awaited<ReturnType<typeof loadModel>>['weights']): string {
  const digest = createHash('sha256');
  for (const name of [...weights.keys()].sort()) digest.update(tensorBytes(weights.get(name)!));
  return digest.digest('hex');
}
