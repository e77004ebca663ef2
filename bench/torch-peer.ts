/** @file Starts bench/peers/torch_peer.py, which times steps of the same transformer in PyTorch. */

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** The program, which has taken two steps. */
export interface Peer {
  /** Seconds of one step. */
  step(): Promise<number>;
  stop(): void;
}

/**
 * Starts the program with `python`, which has PyTorch.
 *
 * @param options its arguments, see its head.
 * @param variables of its environment, besides those of this program.
 */
export async function startPeer(
  python: string,
  options: readonly string[],
  variables: Readonly<Record<string, string>> = {},
): Promise<Peer> {
  const child = spawn(python, ['bench/peers/torch_peer.py', ...options], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, PYTHONWARNINGS: 'ignore', ...variables },
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const nextLine = async (): Promise<string> => {
    const { done, value } = await lines.next();
    if (done) throw new Error(`the PyTorch program ended: ${options.join(' ')}`);
    return value;
  };
  if ((await nextLine()) !== 'ready') throw new Error('the PyTorch program did not start');
  return {
    async step() {
      child.stdin.write('\n');
      return Number(await nextLine());
    },
    stop: () => child.stdin.end(),
  };
}
