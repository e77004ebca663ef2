/** The page of goldens.test.ts: checks a model against golden numbers on a device of the browser. */

import { openAddress, openBrowserDevice } from '../../src/browser/index.ts';
import { readWeights } from '../../src/checkpoints/stored-model.ts';
import { openNpz } from '../../src/formats/npz.ts';
import { openUrl } from '../../src/io/http-source.ts';
import { type Check, verifyModel } from '../../src/verification/index.ts';
import { runtimeFiles } from '../../web/src/engine/runtime-files.ts';

interface Verified {
  readonly device: string;
  readonly checks: readonly Check[];
}

/** @param prefix of the golden numbers to check. @param last name of the last one, if not all are. */
async function verify(
  model: string,
  choice: 'wasm' | 'webgpu',
  prefix: string,
  last?: string,
): Promise<Verified> {
  const device = await openBrowserDevice({ device: choice, files: runtimeFiles });
  const golden = await openNpz(await openUrl(`fixtures/${model}.npz`));
  const stored = await openAddress(`fixtures/${model}.pt`);
  const checks: Check[] = [];
  const some = {
    has: (name: string) => name.startsWith(prefix) && golden.has(name),
    read: (name: string) => golden.read(name),
  };
  const options = { config: stored.config, weights: await readWeights(stored), golden: some, device };
  for await (const check of verifyModel(options)) {
    checks.push(check);
    if (check.name === last) break;
  }
  await device.dispose();
  return { device: device.name, checks };
}

Object.assign(globalThis, { verify });
