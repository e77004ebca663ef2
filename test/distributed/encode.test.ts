/** @file `acdit encode` on several ranks: the same files as alone, however it ends. */

import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runInProcess } from '../support/cli.ts';
import { writePictureFolder } from '../support/picture-folder.ts';
import { BUILT_CLI, launchers, ownLines, pidsOf, runRanks, startRanks } from '../support/ranks.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { saveAutoencoder } from '../support/tiny-autoencoder.ts';
import { checksums } from '../support/tiny-run.ts';

/** A set of images to encode; `out` is relative to its folder. */
async function encoding(perClass: number, shardSize: number) {
  const folder = temporaryFolder();
  const data = await writePictureFolder(join(folder, 'images'), perClass, 16);
  const vae = await saveAutoencoder(join(folder, 'vae'));
  const size = ['--size', '16', '--shard-size', String(shardSize)];
  const args = (out: string, ...more: string[]): string[] => {
    return ['encode', data, join(folder, out), '--vae', vae, ...size, '--threads', '1', '--json', ...more];
  };
  const files = (out: string): string[] => {
    const names = readdirSync(join(folder, out)).sort();
    return [...names, ...checksums(join(folder, out), names)];
  };
  return { folder, args, files };
}

describe.skipIf(launchers.length === 0)(
  'encoding on several ranks',
  { tags: ['slow'], timeout: 600_000 },
  () => {
    // 21 images in 3 shards are 5 runs of at most 8 images; the last round has ranks without work.
    it('gives the files of one process', async () => {
      const { args, files } = await encoding(7, 10);
      expect((await runInProcess(args('alone'))).code).toBe(0);
      for (const launcher of launchers) {
        for (const count of [2, 3]) {
          const out = `${launcher.command}-${count}`;
          const { code, stdout, stderr } = await runRanks(launcher, count, [BUILT_CLI, ...args(out)]);
          expect(stderr).toBe('');
          expect(code).toBe(0);
          const events = stdout
            .trim()
            .split('\n')
            .map((line) => JSON.parse(line));
          expect(events.at(-1)).toMatchObject({ kind: 'done', samples: 21, skipped: 0 });
          expect(files(out)).toEqual(files('alone'));
        }
      }
    });

    it.each(launchers)('resumes alone after a rank was killed ($name)', async (launcher) => {
      const { args, files } = await encoding(60, 4);
      const running = startRanks(launcher, 2, [BUILT_CLI, ...args('killed')]);
      await running.printed('{"kind":"shard","shard":1,');
      process.kill(pidsOf(running)[1]!, 'SIGKILL');
      expect((await running.result).code).not.toBe(0);
      const { code, stdout } = await runInProcess(args('killed'));
      expect(code).toBe(0);
      expect(JSON.parse(stdout.split('\n')[0]!)).toMatchObject({ kind: 'start', images: 180 });
      expect(JSON.parse(stdout.split('\n')[0]!).done).toBeGreaterThanOrEqual(8);
      await runInProcess(args('alone'));
      expect(files('killed')).toEqual(files('alone'));
    });

    it.each(launchers)('stops after SIGTERM to one rank, with exit code 130 ($name)', async (launcher) => {
      const { args } = await encoding(60, 4);
      const running = startRanks(launcher, 2, [BUILT_CLI, ...args('stopped')]);
      await running.printed('{"kind":"shard","shard":1,');
      process.kill(pidsOf(running)[1]!, 'SIGTERM');
      const { code, stdout, stderr } = await running.result;
      expect(ownLines(stderr)).toEqual([]);
      expect(JSON.parse(stdout.trim().split('\n').at(-1)!)).toMatchObject({ kind: 'interrupted' });
      expect(code).toBe(130);
    });

    it('reports once which option is wrong, and which data differ', async () => {
      const { args } = await encoding(2, 4);
      const run = (...more: string[]) => runRanks(launchers[0]!, 2, [BUILT_CLI, ...args('out', ...more)]);
      const wrong = await run('--size', '15');
      expect(ownLines(wrong.stderr)).toEqual(['acdit: --size must be a multiple of 2, got 15']);
      expect(wrong.code).toBe(2);
      const { folder, args: own } = await encoding(2, 4);
      await writePictureFolder(join(folder, 'images0'), 2, 16);
      await writePictureFolder(join(folder, 'images1'), 3, 16);
      const program = join(folder, 'of-rank.mjs');
      writeFileSync(
        program,
        `process.argv[3] += process.env.OMPI_COMM_WORLD_RANK ?? process.env.PMI_RANK;\nawait import(${JSON.stringify(BUILT_CLI)});\n`,
      );
      const differing = await runRanks(launchers[0]!, 2, [program, ...own('out')]);
      expect(ownLines(differing.stderr)).toEqual([
        expect.stringMatching(
          /^acdit: the number of images of rank 1 on .* is 9, but 6 on .*: all ranks must/,
        ),
      ]);
      expect(differing.code).toBe(2);
    });
  },
);
