/** Chromium for tests: Debian's or another that is installed, through playwright-core. */

import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';

const USUAL_PLACES = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/usr/bin/google-chrome-stable',
];

/** Chromium's path: that of the environment, or a usual one. */
export function findChromium(): string | undefined {
  const { CHROMIUM_PATH } = process.env;
  return [...(CHROMIUM_PATH ? [CHROMIUM_PATH] : []), ...USUAL_PLACES].find((path) => existsSync(path));
}

/** Whether to skip the tests that need it. Where `ACDIT_REQUIRE_CHROMIUM` is set they are not skipped, but fail. */
export function withoutChromium(): boolean {
  if (findChromium() !== undefined) return false;
  if (process.env.ACDIT_REQUIRE_CHROMIUM) {
    throw new Error('Chromium is required and not there; install it, or set CHROMIUM_PATH');
  }
  console.warn('SKIPPED: there is no Chromium for the tests in a browser; install it, or set CHROMIUM_PATH');
  return true;
}

/** WebGPU with no graphics card. */
export const SOFTWARE_WEBGPU = [
  '--enable-unsafe-webgpu',
  '--use-webgpu-adapter=swiftshader',
  '--enable-features=Vulkan',
];

export function launchChromium(args: readonly string[] = []): Promise<Browser> {
  const executablePath = findChromium();
  if (executablePath === undefined) throw new Error('there is no Chromium');
  // The sandbox needs rights that containers do not give.
  return chromium.launch({ executablePath, args: ['--no-sandbox', ...args] });
}
